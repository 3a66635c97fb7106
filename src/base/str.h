/* str: a borrowed view of bytes. Never owns, never NUL-terminated, may hold any byte. */
#ifndef PERIGEE_BASE_STR_H
#define PERIGEE_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p

struct str str_c(const char *cstr); /* NULL gives STR_NONE */
struct str str_n(const char *p, size_t n);
struct str str_from(struct str s, size_t pos); /* pos is clamped */
struct str str_take(struct str s, size_t n);   /* n is clamped */
struct str str_trim(struct str s);             /* ASCII white space at both ends */

bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *cstr);
bool str_ieq(struct str a, struct str b); /* ASCII case-insensitive */
int str_cmp(struct str a, struct str b);  /* unsigned byte order, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first c at or after `from`, or -1. */
ptrdiff_t str_chr(struct str s, char c, size_t from);
ptrdiff_t str_find(struct str s, struct str needle, size_t from);
/* Cuts *rest at the first `sep`; returns the part before it and moves *rest behind it. When there is
 * no sep the whole is returned and *rest becomes STR_NONE (p == NULL). */
struct str str_cut(struct str *rest, char sep);
/* Strict decimal: optional '-', digits, nothing else, in range. */
bool str_i64(struct str s, int64_t *ret);
uint64_t str_hash(struct str s);
/* Well-formed UTF-8 per RFC 3629 (no surrogates, no overlong forms). Returns the offset of the first bad
 * byte, or -1. */
ptrdiff_t str_bad_utf8(struct str s);

#endif
