/* The canonical request: "Create a canonical request", AWS General Reference. */
#include "sign/canonical.h"
#include <endian.h>
#include <stdlib.h>

/* ---- memory ---- */

static void *take(size_t bytes) {
    void *p = malloc(bytes);
    if (!p) fatal("out of memory for %zu bytes to be signed", bytes);
    return p;
}

char *sign_room_take(struct sign_room *room, size_t bytes) {
    room->heap = bytes > sizeof room->small ? take(bytes) : NULL;
    return room->heap ? room->heap : room->small;
}

void sign_room_free(struct sign_room *room) {
    free(room->heap);
}

/* ---- characters ---- */

enum { PLAIN = 1, SLASH = 2, PERCENT = 4 }; /* PLAIN: RFC 3986 2.3, unreserved */

static const unsigned char kinds[256] = {
    ['a' ... 'z'] = PLAIN, ['A' ... 'Z'] = PLAIN, ['0' ... '9'] = PLAIN, ['-'] = PLAIN,   ['.'] = PLAIN,
    ['_'] = PLAIN,         ['~'] = PLAIN,         ['/'] = SLASH,         ['%'] = PERCENT,
};

static unsigned char lower(char c) {
    unsigned char u = (unsigned char)c;
    return (unsigned char)(u - 'A') < 26 ? u | 0x20 : u;
}

/* The additions carry into the top bit of a byte from 'A' on and from behind 'Z' on. */
static uint64_t lower_of_8(const char *p) {
    const uint64_t ones = 0x0101010101010101;
    uint64_t x;
    memcpy(&x, p, 8);
    uint64_t low = x & 0x7f * ones;
    uint64_t upper = (low + (0x80 - 'A') * ones) & ~(low + (0x80 - 'Z' - 1) * ones) & ~x & 0x80 * ones;
    return x | upper >> 2;
}

static char *put_escaped(char *p, unsigned char c) {
    static const char digits[] = "0123456789ABCDEF";
    p[0] = '%';
    p[1] = digits[c >> 4];
    p[2] = digits[c & 15];
    return p + 3;
}

/* keep: the kinds that stay as they are. With PERCENT, the text is taken as encoded already. */
static char *put_kept(char *p, struct str s, unsigned keep) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (kinds[c] & keep)
            *p++ = (char)c;
        else
            p = put_escaped(p, c);
    }
    return p;
}

char *sign_put_encoded(char *p, struct str text) {
    return put_kept(p, text, PLAIN);
}

/* ---- path ---- */

/* RFC 3986 5.2.4, with empty segments dropped; only a '/' at the very end stays. */
static char *put_normalised(char *p, struct str path, unsigned keep) {
    char *start = p;
    for (struct str rest = path; rest.p;) {
        struct str seg = str_cut(&rest, '/');
        if (!seg.n || str_is(seg, ".")) continue;
        if (str_is(seg, "..")) {
            while (p > start && *--p != '/') {
            }
        } else {
            *p++ = '/';
            p = put_kept(p, seg, keep);
        }
    }
    if (p == start || (path.n && path.p[path.n - 1] == '/')) *p++ = '/';
    return p;
}

static char *put_path(char *p, const struct sign_request *r) {
    bool normalised = r->dots == SIGN_DOTS_DEFAULT ? r->double_encode : r->dots == SIGN_DOTS_NORMALISED;
    unsigned keep = r->double_encode ? PLAIN : PLAIN | PERCENT; /* the second encoding: '%' becomes "%25" */
    if (r->path.n == 1 && r->path.p[0] == '/') return sign_put(p, r->path);
    if (normalised) return put_normalised(p, r->path, keep);
    if (!r->path.n) return SIGN_PUT(p, "/");
    return put_kept(p, r->path, keep | SLASH);
}

/* ---- query ---- */

struct pair {
    struct str name, value;
};

static int by_name_and_value(const void *x, const void *y) {
    const struct pair *a = x, *b = y;
    int c = str_cmp(a->name, b->name);
    return c ? c : str_cmp(a->value, b->value);
}

static size_t count_pieces(struct str query) {
    size_t n = query.n ? 1 : 0;
    for (size_t i = 0; i < query.n; i++) n += query.p[i] == '&';
    return n;
}

size_t sign_query_bound(struct str query) {
    return 4 * query.n + 2;
}

/* Escapes stay as they are, bytes that should have been escaped are, '+' is a space. */
static struct str put_part(char **p, struct str s) {
    char *start = *p;
    while (s.n) {
        ptrdiff_t plus = str_chr(s, '+', 0);
        *p = put_kept(*p, plus < 0 ? s : str_take(s, (size_t)plus), PLAIN | PERCENT);
        if (plus < 0) break;
        *p = SIGN_PUT(*p, "%20");
        s = str_from(s, (size_t)plus + 1);
    }
    return str_n(start, (size_t)(*p - start));
}

static char *put_pairs(char *p, const struct pair *pairs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i) *p++ = '&';
        p = sign_put(p, pairs[i].name);
        *p++ = '=';
        p = sign_put(p, pairs[i].value);
    }
    return p;
}

char *sign_put_query(char *p, struct str query) {
    size_t n = count_pieces(query), i = 0;
    if (!n) return p;
    struct pair small[32], *pairs = n > 32 ? take(n * sizeof *pairs) : small;
    struct sign_room room;
    char *pool = sign_room_take(&room, sign_query_bound(query));
    for (struct str rest = query; i < n; i++) {
        struct str value = str_cut(&rest, '&'), name = str_cut(&value, '=');
        pairs[i].name = put_part(&pool, name);
        pairs[i].value = put_part(&pool, value);
    }
    qsort(pairs, n, sizeof *pairs, by_name_and_value);
    p = put_pairs(p, pairs, n);
    sign_room_free(&room);
    if (pairs != small) free(pairs);
    return p;
}

/* ---- headers ---- */

/* What proxies and clients change or add on the way: SIGNED_HEADERS_BLACKLIST of botocore's auth.py, and the header
 * that the signature goes into. */
bool sign_is_never_signed(struct str name) {
    static const struct str names[] = {
        {"te", 2},
        {"expect", 6},
        {"baggage", 7},
        {"trailer", 7},
        {"upgrade", 7},
        {"connection", 10},
        {"keep-alive", 10},
        {"tracestate", 10},
        {"user-agent", 10},
        {"traceparent", 11},
        {"authorization", 13},
        {"x-amzn-trace-id", 15},
        {"transfer-encoding", 17},
        {"proxy-authenticate", 18},
        {"proxy-authorization", 19},
    };
    const unsigned lengths =
        1u << 2 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 11 | 1u << 13 | 1u << 15 | 1u << 17 | 1u << 18 | 1u << 19;
    if (name.n > 19 || !(lengths >> name.n & 1)) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name.n == names[i].n && lower(name.p[0]) == names[i].p[0] && str_ieq(name, names[i])) return true;
    return false;
}

static int cmp_names(struct str a, struct str b) {
    size_t n = a.n < b.n ? a.n : b.n, i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t x = be64toh(lower_of_8(a.p + i)), y = be64toh(lower_of_8(b.p + i));
        if (x != y) return x < y ? -1 : 1;
    }
    for (; i < n; i++) {
        int c = lower(a.p[i]) - lower(b.p[i]);
        if (c) return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

/* Headers lie in one array, so their addresses are the order of appearance. */
static int by_name_and_place(const void *x, const void *y) {
    const struct http_header *a = *(const struct http_header *const *)x, *b = *(const struct http_header *const *)y;
    int c = cmp_names(a->name, b->name);
    return c ? c : (a > b) - (a < b);
}

static void insertion_sort(const struct http_header **h, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const struct http_header *x = h[i];
        size_t at = i;
        for (; at && cmp_names(h[at - 1]->name, x->name) > 0; at--) h[at] = h[at - 1];
        h[at] = x;
    }
}

void sign_sort_headers(const struct http_header *headers, size_t n, bool to_sign, struct sign_sorted *ret) {
    const size_t few = sizeof ret->small / sizeof *ret->small;
    ret->h = n > few ? take(n * sizeof *ret->h) : ret->small;
    ret->n = 0;
    for (size_t i = 0; i < n; i++)
        if (!to_sign || !sign_is_never_signed(headers[i].name)) ret->h[ret->n++] = &headers[i];
    if (n > few)
        qsort(ret->h, ret->n, sizeof *ret->h, by_name_and_place);
    else
        insertion_sort(ret->h, ret->n);
}

void sign_sorted_free(struct sign_sorted *s) {
    if (s->h != s->small) free(s->h);
}

static char *put_lower(char *p, struct str s) {
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t x = lower_of_8(s.p + i);
        memcpy(p + i, &x, 8);
    }
    for (; i < s.n; i++) p[i] = (char)lower(s.p[i]);
    return p + s.n;
}

/* The first header of its name in the sorted list. */
static inline bool is_first(const struct sign_sorted *s, size_t i) {
    return !i || s->h[i]->name.n != s->h[i - 1]->name.n || cmp_names(s->h[i]->name, s->h[i - 1]->name) != 0;
}

char *sign_put_names(char *p, const struct sign_sorted *s) {
    for (size_t i = 0; i < s->n; i++) {
        if (!is_first(s, i)) continue;
        if (i) *p++ = ';';
        p = put_lower(p, s->h[i]->name);
    }
    return p;
}

/* Whether a byte is at most ' ', eight at a time. */
static bool has_blank(struct str s) {
    const uint64_t ones = 0x0101010101010101;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t x;
        memcpy(&x, s.p + i, 8);
        if ((x - 0x21 * ones) & ~x & 0x80 * ones) return true;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ') return true;
    return false;
}

/* Trimmed, runs of white space inside made one space. */
static char *put_value(char *p, struct str v) {
    if (!has_blank(v)) return sign_put(p, v);
    v = str_trim(v);
    bool gap = false;
    for (size_t i = 0; i < v.n; i++) {
        bool space = v.p[i] == ' ' || (v.p[i] >= '\t' && v.p[i] <= '\r');
        if (!space)
            *p++ = v.p[i];
        else if (!gap)
            *p++ = ' ';
        gap = space;
    }
    return p;
}

/* names: of sign_put_names, for their lower case. */
static char *put_headers(char *p, const struct sign_sorted *s, struct str names) {
    const char *name = names.p;
    for (size_t i = 0; i < s->n; i++) {
        if (is_first(s, i)) {
            if (i) *p++ = '\n';
            p = sign_put(p, str_n(name, s->h[i]->name.n));
            name += s->h[i]->name.n + 1;
            *p++ = ':';
        } else {
            *p++ = ',';
        }
        p = put_value(p, s->h[i]->value);
    }
    if (s->n) *p++ = '\n';
    return p;
}

/* ---- the request ---- */

size_t sign_names_bound(const struct http_header *headers, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += headers[i].name.n + 1;
    return bytes;
}

size_t sign_canonical_bound(const struct sign_request *r, size_t query) {
    size_t bytes = 2 * query + r->method.n + 3 * r->path.n + r->payload_hash.n + 16;
    for (size_t i = 0; i < r->n_headers; i++) bytes += 2 * r->headers[i].name.n + r->headers[i].value.n + 3;
    return bytes;
}

char *sign_put_canonical(char *p, const struct sign_request *r, struct str query, const struct sign_sorted *headers,
                         struct str names) {
    p = sign_put(p, r->method);
    *p++ = '\n';
    p = put_path(p, r);
    *p++ = '\n';
    p = sign_put(p, query);
    *p++ = '\n';
    p = put_headers(p, headers, names);
    *p++ = '\n';
    p = sign_put(p, names);
    *p++ = '\n';
    return sign_put(p, r->payload_hash);
}
