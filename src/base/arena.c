#include "base/arena.h"
#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 256 * 1024 };

struct arena_block {
    struct arena_block *next; /* older */
    size_t n, cap;
    _Alignas(16) char bytes[];
};

struct arena_defer {
    struct arena_defer *next;
    void (*fn)(void *ud);
    void *ud;
};

static void add_block(struct arena *a, size_t need) {
    size_t cap = a->head ? a->head->cap * 2 : FIRST_BLOCK;
    if (cap > LARGEST_STEP) cap = LARGEST_STEP;
    if (cap < need) cap = need;
    struct arena_block *b = malloc(sizeof *b + cap);
    if (!b) fatal("out of memory growing an arena by %zu bytes", cap);
    b->n = 0;
    b->cap = cap;
    b->next = a->head;
    a->head = b;
}

void *arena_alloc(struct arena *a, size_t n) {
    if (n > SIZE_MAX / 2) fatal("an arena was asked for %zu bytes", n);
    n = n ? (n + 7) & ~(size_t)7 : 8;
    if (!a->head || n > a->head->cap - a->head->n) add_block(a, n);
    void *p = a->head->bytes + a->head->n;
    a->head->n += n;
    a->used += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n) {
    return memset(arena_alloc(a, n), 0, n);
}

struct str arena_str(struct arena *a, struct str s) {
    return (struct str){arena_cstr(a, s), s.n};
}

char *arena_cstr(struct arena *a, struct str s) {
    char *p = arena_alloc(a, s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

static struct str vprintf_to(struct arena *a, const char *fmt, va_list ap) {
    char small[256]; /* most texts are short: they are formatted once */
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n < 0) fatal("vsnprintf failed");
    struct str s = {arena_alloc(a, (size_t)n + 1), (size_t)n};
    if (s.n < sizeof small)
        memcpy((char *)s.p, small, s.n + 1);
    else
        vsnprintf((char *)s.p, s.n + 1, fmt, again);
    va_end(again);
    return s;
}

struct str arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct str s = vprintf_to(a, fmt, ap);
    va_end(ap);
    return s;
}

void arena_defer(struct arena *a, void (*fn)(void *ud), void *ud) {
    struct arena_defer *d = arena_alloc(a, sizeof *d);
    *d = (struct arena_defer){a->defers, fn, ud};
    a->defers = d;
}

/* A defer may register further ones; they run as well. */
static void run_defers(struct arena *a) {
    while (a->defers) {
        struct arena_defer *d = a->defers;
        a->defers = d->next;
        d->fn(d->ud);
    }
}

void arena_reset(struct arena *a) {
    run_defers(a);
    while (a->head && a->head->next) {
        struct arena_block *b = a->head;
        a->head = b->next;
        free(b);
    }
    if (a->head) a->head->n = 0;
    a->used = 0;
}

void arena_free(struct arena *a) {
    arena_reset(a);
    free(a->head);
    *a = (struct arena){0};
}
