/* The canonical request: "Create a canonical request", AWS General Reference. */
#include "sign/canonical.h"
#include <stdlib.h>
#include <string.h>

struct pair {
    struct str name, value;
    size_t order; /* of appearance: makes the sort stable */
};

static bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static void add_escaped(struct buf *b, unsigned char c) {
    static const char digits[] = "0123456789ABCDEF";
    char t[3] = {'%', digits[c >> 4], digits[c & 15]};
    buf_add(b, t, 3);
}

/* Text that is percent-encoded already: escapes stay as they are, bytes that should have been escaped are. */
static void add_encoded(struct buf *b, struct str s, const char *keep, bool plus_is_space) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '+' && plus_is_space)
            buf_c(b, "%20");
        else if (is_unreserved(c) || (c && strchr(keep, c)))
            buf_byte(b, (char)c);
        else
            add_escaped(b, c);
    }
}

/* ---- path ---- */

/* RFC 3986 5.2.4, with empty segments dropped; a trailing '/' stays. */
static void add_normalised(struct buf *b, struct str path) {
    struct buf flat = BUF_MAX(path.n + 2);
    bool directory = true;
    for (struct str rest = path; rest.p;) {
        struct str seg = str_cut(&rest, '/');
        directory = !seg.n || str_is(seg, ".") || str_is(seg, "..");
        if (str_is(seg, "..")) {
            while (flat.n && flat.p[flat.n - 1] != '/') flat.n--;
            if (flat.n) flat.n--;
        } else if (!directory) {
            buf_byte(&flat, '/');
            buf_str(&flat, seg);
        }
    }
    if (directory || !flat.n) buf_byte(&flat, '/');
    add_encoded(b, buf_view(&flat), "/", false); /* the second encoding: '%' becomes "%25" */
    buf_free(&flat);
}

static void add_path(struct buf *b, struct str path, bool double_encode) {
    if (double_encode)
        add_normalised(b, path);
    else if (!path.n)
        buf_byte(b, '/');
    else
        add_encoded(b, path, "/%", false);
}

/* ---- sorted pairs ---- */

static int by_name(const struct pair *a, const struct pair *b) {
    return str_cmp(a->name, b->name);
}

static int by_name_and_order(const void *x, const void *y) {
    const struct pair *a = x, *b = y;
    int c = by_name(a, b);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

static int by_name_and_value(const void *x, const void *y) {
    const struct pair *a = x, *b = y;
    int c = by_name(a, b);
    return c ? c : str_cmp(a->value, b->value);
}

static struct pair *pairs_new(size_t n) {
    struct pair *p = calloc(n ? n : 1, sizeof *p);
    if (!p) fatal("out of memory for %zu parameters to be signed", n);
    return p;
}

/* ---- query ---- */

static size_t count_pieces(struct str query) {
    size_t n = query.n ? 1 : 0;
    for (size_t i = 0; i < query.n; i++) n += query.p[i] == '&';
    return n;
}

static struct str encode_part(struct buf *pool, struct str s) {
    size_t at = pool->n;
    add_encoded(pool, s, "%", true);
    return str_n(pool->p + at, pool->n - at);
}

void sign_canonical_query(struct str query, struct buf *out) {
    size_t n = count_pieces(query), i = 0;
    struct pair *pairs = pairs_new(n);
    struct buf pool = BUF_MAX(3 * query.n + 1);
    buf_reserve(&pool, 3 * query.n); /* views into it stay valid */
    for (struct str rest = query; i < n; i++) {
        struct str value = str_cut(&rest, '&'), name = str_cut(&value, '=');
        pairs[i].name = encode_part(&pool, name);
        pairs[i].value = encode_part(&pool, value);
    }
    qsort(pairs, n, sizeof *pairs, by_name_and_value);
    for (i = 0; i < n; i++) {
        if (i) buf_byte(out, '&');
        buf_str(out, pairs[i].name);
        buf_byte(out, '=');
        buf_str(out, pairs[i].value);
    }
    buf_free(&pool);
    free(pairs);
}

/* ---- headers ---- */

static struct str add_lower(struct buf *pool, struct str s) {
    size_t at = pool->n;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        buf_byte(pool, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    return str_n(pool->p + at, pool->n - at);
}

/* Trimmed, runs of white space inside made one space. */
static void add_header_value(struct buf *out, struct str v) {
    v = str_trim(v);
    bool gap = false;
    for (size_t i = 0; i < v.n; i++) {
        bool space = v.p[i] == ' ' || (v.p[i] >= '\t' && v.p[i] <= '\r');
        if (!space)
            buf_byte(out, v.p[i]);
        else if (!gap)
            buf_byte(out, ' ');
        gap = space;
    }
}

static void add_headers(const struct pair *h, size_t n, struct buf *out, struct buf *names) {
    for (size_t i = 0; i < n; i++) {
        bool again = i && str_eq(h[i].name, h[i - 1].name);
        if (again) {
            buf_byte(out, ',');
        } else {
            if (i) buf_byte(out, '\n');
            if (i) buf_byte(names, ';');
            buf_str(names, h[i].name);
            buf_str(out, h[i].name);
            buf_byte(out, ':');
        }
        add_header_value(out, h[i].value);
    }
    if (n) buf_byte(out, '\n');
}

static void add_sorted_headers(const struct http_header *headers, size_t n, struct buf *out, struct buf *names) {
    struct pair *pairs = pairs_new(n);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += headers[i].name.n;
    struct buf pool = BUF_MAX(bytes + 1);
    buf_reserve(&pool, bytes);
    for (size_t i = 0; i < n; i++) pairs[i] = (struct pair){add_lower(&pool, headers[i].name), headers[i].value, i};
    qsort(pairs, n, sizeof *pairs, by_name_and_order);
    add_headers(pairs, n, out, names);
    buf_free(&pool);
    free(pairs);
}

void sign_canonical_request(const struct sign_request *r, struct buf *out, struct buf *signed_headers) {
    size_t names_at = signed_headers->n;
    buf_str(out, r->method);
    buf_byte(out, '\n');
    add_path(out, r->path, r->double_encode);
    buf_byte(out, '\n');
    sign_canonical_query(r->raw_query, out);
    buf_byte(out, '\n');
    add_sorted_headers(r->headers, r->n_headers, out, signed_headers);
    buf_byte(out, '\n');
    buf_str(out, str_from(buf_view(signed_headers), names_at));
    buf_byte(out, '\n');
    buf_str(out, r->payload_hash);
}
