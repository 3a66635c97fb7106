#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max) {
    *b = BUF_MAX(max);
}

void buf_free(struct buf *b) {
    free(b->p);
    *b = BUF_MAX(b->max);
}

void buf_clear(struct buf *b) {
    b->n = 0;
    b->over = false;
    if (b->p) b->p[0] = '\0';
}

/* Makes room for `more` bytes and the NUL; false (and `over`) when that passes the cap. */
static bool room(struct buf *b, size_t more) {
    if (b->over) return false;
    if (more > b->max || b->n > b->max - more) {
        b->over = true;
        return false;
    }
    if (b->n + more < b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= b->n + more) cap *= 2;
    if (cap - 1 > b->max) cap = b->max + 1;
    char *p = realloc(b->p, cap);
    if (!p) fatal("out of memory growing a buffer to %zu bytes", cap);
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_reserve(struct buf *b, size_t more) {
    bool fresh = !b->p;
    if (more <= b->max && b->n <= b->max - more && room(b, more) && fresh) b->p[0] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n) {
    if (n == 0 || !room(b, n)) return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_str(struct buf *b, struct str s) {
    buf_add(b, s.p, s.n);
}

void buf_c(struct buf *b, const char *cstr) {
    if (cstr) buf_add(b, cstr, strlen(cstr));
}

void buf_byte(struct buf *b, char c) {
    if (!room(b, 1)) return;
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}

void buf_u64(struct buf *b, uint64_t v) {
    char digits[20];
    size_t i = sizeof digits;
    do digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    buf_add(b, digits + i, sizeof digits - i);
}

void buf_i64(struct buf *b, int64_t v) {
    if (v < 0) buf_byte(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_printf(struct buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0 && room(b, (size_t)n)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

int buf_check(const struct buf *b, const char *what, struct err *e) {
    if (!b->over) return 0;
    return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", what, b->max);
}

struct str buf_view(const struct buf *b) {
    return (struct str){b->p ? b->p : "", b->n};
}

const char *buf_cstr(struct buf *b) {
    return b->p ? b->p : "";
}

char *buf_release(struct buf *b, size_t *ret_n) {
    char *p = b->n ? b->p : NULL;
    if (ret_n) *ret_n = b->n;
    if (!p) free(b->p);
    *b = BUF_MAX(b->max);
    return p;
}
