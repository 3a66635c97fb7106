/* exchange: what an exchange is without curl: its checks, its failures, its answer. */
#include "base/url.h"
#include "remote/transport_curl.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BODY = 64 << 20 };

void exchange_empty(struct exchange *x) {
    arena_reset(&x->arena);
    buf_clear(&x->body_in);
    x->body_in.max = x->max_body ? x->max_body : MAX_BODY;
    x->failure = EXCHANGE_OK;
    x->why[0] = '\0';
    x->status = 0;
    x->response_headers = NULL;
    x->n_response_headers = 0;
    x->date_ms = -1;
    x->received_ms = 0;
    x->sent = false;
}

void exchange_free(struct exchange *x) {
    arena_free(&x->arena);
    buf_free(&x->body_in);
    x->response_headers = NULL;
    x->n_response_headers = 0;
}

struct str exchange_header(const struct exchange *x, const char *name) {
    struct str wanted = str_c(name);
    for (size_t i = 0; i < x->n_response_headers; i++)
        if (str_ieq(x->response_headers[i].name, wanted)) return x->response_headers[i].value;
    return STR_NONE;
}

const char *exchange_peer(const struct exchange *x, char out[EXCHANGE_PEER]) {
    struct url u;
    if (url_parse(x->url, &u, NULL)) return "?";
    bool v6 = str_chr(u.host, ':', 0) >= 0;
    snprintf(out, EXCHANGE_PEER, v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(str_take(u.host, EXCHANGE_PEER - 16)), u.port);
    return out;
}

void exchange_fail(struct exchange *x, enum exchange_failure failure, const char *fmt, ...) {
    va_list ap;
    x->failure = failure;
    va_start(ap, fmt);
    vsnprintf(x->why, sizeof x->why, fmt, ap);
    va_end(ap);
}

// ---- checks ----

static bool method_known(struct str m) {
    static const char *const known[] = {"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(m, known[i])) return true;
    return false;
}

static bool is_token(struct str s) { /* RFC 9110 5.6.2: one bit a character */
    static const uint64_t token[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c > 127 || !(token[c >> 6] >> (c & 63) & 1)) return false;
    }
    return s.n > 0;
}

static bool is_value(struct str s) {
    return !s.n || (!memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) && !memchr(s.p, '\0', s.n));
}

static int64_t body_length(const struct exchange *x) {
    return x->read ? x->body_len : (int64_t)x->body.n;
}

/* Framing is made by the transport; what contradicts it must not pass. */
static const char *framing_fault(const struct exchange *x, const struct http_header *h) {
    int64_t n;
    if (str_ieq(h->name, STR("content-length")) && (!str_i64(h->value, &n) || n != body_length(x)))
        return "contradicts the length of the body";
    if (str_ieq(h->name, STR("transfer-encoding"))) return "is made by the transport itself";
    if (str_ieq(h->name, STR("expect"))) return "is not supported";
    return NULL;
}

static bool check_header(struct exchange *x, const struct http_header *h) {
    const char *fault = NULL;
    if (!is_token(h->name))
        fault = "is no header name";
    else if (!is_value(h->value))
        fault = "holds a line break or a NUL byte";
    else
        fault = framing_fault(x, h);
    if (fault) exchange_fail(x, EXCHANGE_BAD_URL, "the header '%.*s' %s", STR_ARG(str_take(h->name, 64)), fault);
    return !fault;
}

static bool check_headers(struct exchange *x) {
    size_t bytes = 0;
    for (size_t i = 0; i < x->n_headers; i++) {
        if (!check_header(x, &x->headers[i])) return false;
        bytes += x->headers[i].name.n + x->headers[i].value.n;
    }
    if (x->n_headers <= TRANSFER_HEADERS && bytes <= TRANSFER_HEAD_BYTES) return true;
    exchange_fail(x, EXCHANGE_BAD_URL, "the request has more than %d headers or %d bytes of them", TRANSFER_HEADERS,
                  TRANSFER_HEAD_BYTES);
    return false;
}

bool exchange_check(struct exchange *x, struct str *ret_origin) {
    struct url u;
    struct err e;
    if (!method_known(x->method)) {
        exchange_fail(x, EXCHANGE_BAD_URL, "the method '%.*s' is not supported", STR_ARG(str_take(x->method, 32)));
        return false;
    }
    if (url_parse(x->url, &u, &e)) {
        exchange_fail(x, EXCHANGE_BAD_URL, "%s", e.msg);
        return false;
    }
    if (x->url.n > TRANSFER_HEAD_BYTES) {
        exchange_fail(x, EXCHANGE_BAD_URL, "the URL is longer than %d bytes", TRANSFER_HEAD_BYTES);
        return false;
    }
    if (str_is(x->method, "HEAD") && (x->read || x->body.n)) {
        exchange_fail(x, EXCHANGE_BAD_URL, "a HEAD request has no body");
        return false;
    }
    if (!check_headers(x)) return false;
    size_t end = u.scheme.n + 3; /* of the authority, RFC 3986 3.2 */
    for (char c; end < x->url.n && (c = x->url.p[end]) != '/' && c != '?' && c != '#';) end++;
    *ret_origin = str_take(x->url, end);
    return true;
}

// ---- proxies ----

static const char *variable(const char *(*get)(void *ud, const char *name), void *ud, const char *lower,
                            const char *upper) {
    const char *v = get ? get(ud, lower) : getenv(lower);
    if (v && *v) return v;
    v = get ? get(ud, upper) : getenv(upper);
    return v && *v ? v : NULL;
}

struct proxies proxies_of_environment(const char *(*get)(void *ud, const char *name), void *ud) {
    const char *all = variable(get, ud, "all_proxy", "ALL_PROXY");
    struct proxies p = {.http = variable(get, ud, "http_proxy", "HTTP_PROXY"),
                        .https = variable(get, ud, "https_proxy", "HTTPS_PROXY"),
                        .except = variable(get, ud, "no_proxy", "NO_PROXY")};
    if (!p.http) p.http = all;
    if (!p.https) p.https = all;
    return p;
}
