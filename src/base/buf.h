/* buf: an owned, growing, capped byte buffer. Passing `max` sets `over` and drops the bytes; every later
 * add is a no-op, so a writer checks once at its end with buf_check. Failed malloc is fatal.
 * Content is always followed by a NUL byte that `n` does not count, so buf_cstr is free. */
#ifndef PERIGEE_BASE_BUF_H
#define PERIGEE_BASE_BUF_H
#include "base/err.h"
#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool over;
};

#define BUF_MAX(bytes) ((struct buf){.max = (bytes)})

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* also makes it reusable, max kept */
void buf_clear(struct buf *b); /* keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_c(struct buf *b, const char *cstr);
void buf_byte(struct buf *b, char c);
void buf_i64(struct buf *b, int64_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* -1 and ERR_TOO_LARGE "<what> is larger than <max> bytes" when the cap was passed. */
int buf_check(const struct buf *b, const char *what, struct err *e);
struct str buf_view(const struct buf *b);
const char *buf_cstr(struct buf *b); /* NUL-terminated, never NULL */
/* Hands the malloc'd bytes (NULL when empty) to the caller, who frees them; the buf is empty afterwards. */
char *buf_release(struct buf *b, size_t *ret_n);

#endif
