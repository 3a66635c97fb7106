#include "base/str.h"
#include <string.h>

struct str str_c(const char *cstr) {
    return cstr ? (struct str){cstr, strlen(cstr)} : STR_NONE;
}

struct str str_n(const char *p, size_t n) {
    return (struct str){p, n};
}

struct str str_from(struct str s, size_t pos) {
    if (pos > s.n) pos = s.n;
    return (struct str){s.p ? s.p + pos : NULL, s.n - pos};
}

struct str str_take(struct str s, size_t n) {
    return (struct str){s.p, n < s.n ? n : s.n};
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s) {
    while (s.n && is_space(s.p[0])) s = str_from(s, 1);
    while (s.n && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *cstr) {
    return str_eq(a, str_c(cstr));
}

static unsigned char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : (unsigned char)c;
}

bool str_ieq(struct str a, struct str b) {
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

int str_cmp(struct str a, struct str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_eq(str_take(s, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix) {
    return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

ptrdiff_t str_chr(struct str s, char c, size_t from) {
    if (from >= s.n) return -1;
    const char *hit = memchr(s.p + from, c, s.n - from);
    return hit ? hit - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle, size_t from) {
    if (from > s.n || needle.n > s.n - from) return -1;
    if (needle.n == 0) return (ptrdiff_t)from;
    const char *hit = memmem(s.p + from, s.n - from, needle.p, needle.n);
    return hit ? hit - s.p : -1;
}

struct str str_cut(struct str *rest, char sep) {
    struct str all = *rest;
    ptrdiff_t i = str_chr(all, sep, 0);
    if (i < 0) {
        *rest = STR_NONE;
        return all;
    }
    *rest = str_from(all, (size_t)i + 1);
    return str_take(all, (size_t)i);
}

bool str_i64(struct str s, int64_t *ret) {
    bool negative = s.n && s.p[0] == '-';
    if (negative) s = str_from(s, 1);
    if (s.n == 0) return false;
    int64_t v = 0; /* kept negative: INT64_MIN has no positive counterpart */
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, s.p[i] - '0', &v)) return false;
    }
    if (!negative && v == INT64_MIN) return false;
    *ret = negative ? v : -v;
    return true;
}

uint64_t str_hash(struct str s) {
    uint64_t h = 0xcbf29ce484222325u ^ s.n;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

/* Length of the well-formed sequence at p (RFC 3629 4), 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t n) {
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len) return 0;
    unsigned char min = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char max = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < min || p[1] > max) return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return len;
}

static bool is_ascii8(const unsigned char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return !(w & 0x8080808080808080u);
}

/* Eight bytes at a time; when the last eight are ASCII, no rest is left to be looked at one by one. */
ptrdiff_t str_bad_utf8(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    size_t end = s.n >= 8 && is_ascii8(p + s.n - 8) ? s.n - 8 : s.n;
    for (size_t i = 0; i < end;) {
        size_t len = i + 8 <= s.n && is_ascii8(p + i) ? 8 : p[i] < 0x80 ? 1 : utf8_len(p + i, s.n - i);
        if (!len) return (ptrdiff_t)i;
        i += len;
    }
    return -1;
}
