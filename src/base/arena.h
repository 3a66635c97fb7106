/* arena: memory that dies together, and clean-ups that run then. One per job, one per AWS call.
 * Not thread-safe; it may be handed from thread to thread. Failed malloc is fatal (inputs are capped before
 * they get here). Zero-initialised struct arena is ready for use. */
#ifndef PERIGEE_BASE_ARENA_H
#define PERIGEE_BASE_ARENA_H
#include "base/str.h"
#include <stdarg.h>

struct arena {
    struct arena_block *head;
    struct arena_defer *defers;
    size_t used; /* bytes handed out since the last reset */
};

void *arena_alloc(struct arena *a, size_t n); /* 8-byte aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t n);
#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (n)))
struct str arena_str(struct arena *a, struct str s); /* copy, NUL behind it */
char *arena_cstr(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fn(ud) runs at arena_reset/arena_free, last registered first. */
void arena_defer(struct arena *a, void (*fn)(void *ud), void *ud);
/* Runs the defers; keeps the first block for reuse. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

#endif
