/* Presigned URLs: "Authenticating Requests: Using Query Parameters". */
#include "sign/canonical.h"

/* ==== checks ==== */

/* Index of the first byte that RFC 3986 does not allow in a path or query, or -1. */
static ptrdiff_t bad_uri_byte(struct str s, const char *also) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (!c || (!strchr("-._~!$&'()*+,;=:@/%", c) && !strchr(also, c)))) return (ptrdiff_t)i;
    }
    return -1;
}

static int check_uri(struct str path, struct str query, struct err *e) {
    if (!str_starts(path, STR("/")))
        return err_set(e, ERR_S3_ARGUMENT, "the path to presign \"%.*s\" does not begin with '/'", STR_ARG(path));
    ptrdiff_t at = bad_uri_byte(path, "");
    if (at >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the path to presign has byte 0x%02x at %td, which must be percent-encoded",
                       (unsigned char)path.p[at], at);
    at = bad_uri_byte(query, "?");
    if (at >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the query to presign has byte 0x%02x at %td, which must be percent-encoded",
                       (unsigned char)query.p[at], at);
    for (struct str rest = query; rest.n;) {
        struct str name = str_cut(&rest, '&');
        if (sign_is_auth_param(str_cut(&name, '=')))
            return err_set(e, ERR_S3_ARGUMENT, "the query to presign already has a signing parameter");
    }
    return 0;
}

/* Splits "http://Host:80" into its scheme with "://" and the host as a client will send it (RFC 9110 7.2), but for the
 * case: without the scheme's default port. */
static int split_base(struct str base, struct str *ret_scheme, struct str *ret_host, struct err *e) {
    struct str http = STR("http://"), https = STR("https://");
    struct str scheme = str_starts(base, http) ? http : str_starts(base, https) ? https : STR_NONE;
    struct str rest = str_from(base, scheme.n);
    if (!scheme.n || !rest.n || bad_uri_byte(rest, "[]") >= 0 || str_chr(rest, '/', 0) >= 0 ||
        str_chr(rest, '@', 0) >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the base to presign \"%.*s\" is not http(s)://host[:port]", STR_ARG(base));
    struct str port = scheme.n == http.n ? STR(":80") : STR(":443");
    if (str_ends(rest, port)) rest.n -= port.n;
    *ret_scheme = scheme;
    *ret_host = rest;
    return 0;
}

static int check_expires(int64_t expires_s, struct err *e) {
    if (expires_s >= 1 && expires_s <= SIGN_EXPIRES_MAX) return 0;
    return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Expires must be 1 to %d seconds, not %lld", SIGN_EXPIRES_MAX,
                   (long long)expires_s);
}

static int check_headers(const struct sign_link *l, struct err *e) {
    for (size_t i = 0; i < l->n_headers; i++)
        if (str_ieq(l->headers[i].name, STR("host")))
            return err_set(e, ERR_S3_ARGUMENT, "the host to presign comes from the base, not from the headers");
    return 0;
}

/* ==== the link ==== */

/* In canonical order and encoding, so that it needs no sorting when there is no other parameter. */
static char *put_auth_query(char *p, const struct sign_credentials *c, const char *time, struct str scope,
                            struct str names, int64_t expires_s) {
    char digits[8], *d = digits + sizeof digits;
    p = SIGN_PUT(p, "X-Amz-Algorithm=" SIGN_ALGORITHM "&X-Amz-Credential=");
    p = sign_put_encoded(p, c->access_key);
    p = SIGN_PUT(p, "%2F");
    p = sign_put_encoded(p, scope);
    p = SIGN_PUT(p, "&X-Amz-Date=");
    memcpy(p, time, 16);
    p = SIGN_PUT(p + 16, "&X-Amz-Expires=");
    for (; expires_s; expires_s /= 10) *--d = (char)('0' + expires_s % 10);
    p = sign_put(p, str_n(d, (size_t)(digits + sizeof digits - d)));
    if (c->session_token.n) p = SIGN_PUT(p, "&X-Amz-Security-Token=");
    p = sign_put_encoded(p, c->session_token);
    p = SIGN_PUT(p, "&X-Amz-SignedHeaders=");
    return sign_put_encoded(p, names);
}

static char *put_query(char *p, struct str extra, const struct sign_credentials *c, const char *time, struct str scope,
                       struct str names, int64_t expires_s) {
    if (!extra.n) return put_auth_query(p, c, time, scope, names, expires_s);
    char *raw = p;
    p = sign_put(p, extra);
    *p++ = '&';
    p = put_auth_query(p, c, time, scope, names, expires_s);
    struct sign_room room; /* the canonical form may be longer than the raw one */
    char *canonical = sign_room_take(&room, sign_query_bound(str_n(raw, (size_t)(p - raw))));
    char *end = sign_put_query(canonical, str_n(raw, (size_t)(p - raw)));
    p = sign_put(raw, str_n(canonical, (size_t)(end - canonical)));
    sign_room_free(&room);
    return p;
}

static size_t query_bound(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                          struct str extra) {
    return sign_query_bound(extra) +
           3 * (c->access_key.n + c->session_token.n + sign_scope_bound(s) +
                sign_names_bound(r->headers, r->n_headers)) +
           4 * 200;
}

/* r: without a query; its first header is the host. */
static void presign(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                    const struct sign_link *l, struct sign_key_cache *cache, struct str scheme, struct buf *out) {
    struct sign_room room;
    struct sign_sorted sorted;
    struct crypto_hmac own;
    char time[17], hex[65];
    size_t query_max = query_bound(c, s, r, l->extra_query);
    char *p = sign_room_take(&room, 2 * sign_scope_bound(s) + SIGN_TEXT_MORE + sign_canonical_bound(r, query_max) +
                                        sign_names_bound(r->headers, r->n_headers));
    sign_time(cache, s->unix_ms, time);
    sign_sort_headers(r->headers, r->n_headers, true, &sorted);
    struct str scope = {p, 0}, names, query, text;
    names.p = p = sign_put_scope(p, time, s);
    scope.n = (size_t)(p - scope.p);
    query.p = p = sign_put_names(p, &sorted);
    names.n = (size_t)(p - names.p);
    text.p = p = put_query(p, l->extra_query, c, time, scope, names, l->expires_s);
    query.n = (size_t)(p - query.p);
    char *end = sign_put_canonical(p, r, query, &sorted, names);
    text.n = (size_t)(end - text.p);
    p = sign_put_text(end, time, scope, text);
    const struct crypto_hmac *key = sign_find_key(cache, c->secret_key, s, scope, &own);
    sign_mac(key, str_n(end, (size_t)(p - end)), hex);
    sign_unkey(key, &own);
    buf_reserve(out, scheme.n + r->headers[0].value.n + r->path.n + query.n + 84);
    buf_str(out, scheme);
    buf_str(out, r->headers[0].value);
    buf_str(out, r->path);
    buf_byte(out, '?');
    buf_str(out, query);
    buf_add(out, "&X-Amz-Signature=", 17);
    buf_add(out, hex, 64);
    sign_sorted_free(&sorted);
    sign_room_free(&room);
}

int sign_presign(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_link *l,
                 struct sign_key_cache *cache, struct buf *out, struct err *e) {
    struct str scheme = STR_NONE, host = STR_NONE;
    if (check_expires(l->expires_s, e) || check_uri(l->path, l->extra_query, e) || check_headers(l, e) ||
        split_base(l->base, &scheme, &host, e))
        return -1;
    struct sign_room room;
    size_t headers_size = (l->n_headers + 1) * sizeof(struct http_header);
    char *p = sign_room_take(&room, headers_size + host.n);
    struct http_header *headers = (struct http_header *)p;
    char *lower = p + headers_size;
    for (size_t i = 0; i < host.n; i++)
        lower[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
    headers[0] = (struct http_header){STR("host"), str_n(lower, host.n)};
    if (l->n_headers) memcpy(headers + 1, l->headers, l->n_headers * sizeof *headers);
    struct str hash = l->payload_hash.n ? l->payload_hash : STR("UNSIGNED-PAYLOAD");
    struct sign_request r = {.method = l->method,
                             .path = l->path,
                             .headers = headers,
                             .n_headers = l->n_headers + 1,
                             .payload_hash = hash,
                             .double_encode = l->double_encode,
                             .dots = l->dots};
    presign(c, s, &r, l, cache, scheme, out);
    sign_room_free(&room);
    return buf_check(out, "the presigned URL", e);
}
