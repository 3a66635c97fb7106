/* server_check: pure functions on request heads. What libmicrohttpd 0.9.75 lets through and a proxy in front may read
 * otherwise is refused here: repeated or contradictory lengths, odd names and values, more than one Host. */
#include "base/now.h"
#include "in/server.h"
#include <string.h>

static const unsigned char token_chars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!token_chars[(unsigned char)s.p[i]]) return false;
    return s.n > 0;
}

/* RFC 9110 5.5: no control characters but HTAB. */
static bool is_field_value(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static bool refuse(struct refusal *ret, int status, const char *code, const char *message) {
    *ret = (struct refusal){status, code, message};
    return false;
}

static bool bad(struct refusal *ret, const char *message) {
    return refuse(ret, 400, "bad_request", message);
}

// ---- the target ----

/* RFC 9112 3.2: origin-form, absolute-form, and "*" for OPTIONS. */
static bool split_target(struct http_request *r, struct refusal *ret) {
    struct str t = r->target;
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= 0x20 || t.p[i] == 0x7f)
            return bad(ret, "the request target holds a control character");
    if (str_is(t, "*") && str_is(r->method, "OPTIONS")) {
        r->path = t;
        r->raw_query = STR_NONE;
        return true;
    }
    if (t.n && t.p[0] != '/') {
        size_t scheme = str_ieq(str_take(t, 7), STR("http://")) ? 7 : str_ieq(str_take(t, 8), STR("https://")) ? 8 : 0;
        if (!scheme) return bad(ret, "the request target is neither a path nor an http URL");
        size_t end = scheme + strcspn(t.p + scheme, "/?");
        t = str_from(t, end);
    }
    ptrdiff_t mark = str_chr(t, '?', 0);
    r->path = mark < 0 ? t : str_take(t, (size_t)mark);
    r->raw_query = mark < 0 ? STR_NONE : str_from(t, (size_t)mark + 1);
    if (!r->path.n) r->path = STR("/");
    return true;
}

// ---- the framing ----

struct framing {
    int hosts, lengths, codings;
    struct str length, coding;
};

static bool scan_headers(const struct http_request *r, struct framing *f, struct refusal *ret) {
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        if (!is_token(h->name)) return bad(ret, "a header name holds characters that are not allowed there");
        if (!is_field_value(h->value)) return bad(ret, "a header value holds a control character");
        if (h->name.n == 4 && str_ieq(h->name, STR("host"))) f->hosts++;
        if (h->name.n == 14 && str_ieq(h->name, STR("content-length"))) {
            f->lengths++;
            f->length = h->value;
        }
        if (h->name.n == 17 && str_ieq(h->name, STR("transfer-encoding"))) {
            f->codings++;
            f->coding = h->value;
        }
    }
    return true;
}

static bool is_digits(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0;
}

/* RFC 9112 6.1: a coding that is not understood is 501; with HTTP/1.0 or Content-Length the framing is in doubt. */
static bool check_coding(const struct http_request *r, const struct framing *f, struct refusal *ret) {
    if (f->lengths) return bad(ret, "Content-Length and Transfer-Encoding exclude each other");
    if (f->codings > 1) return bad(ret, "Transfer-Encoding is given more than once");
    if (!str_is(r->version, "HTTP/1.1")) return bad(ret, "Transfer-Encoding needs HTTP/1.1");
    if (!str_ieq(f->coding, STR("chunked")))
        return refuse(ret, 501, "not_implemented", "the only transfer coding that is understood is chunked");
    return true;
}

static bool check_length(const struct framing *f, size_t body_max, int64_t *ret_length, struct refusal *ret) {
    if (f->lengths > 1) return bad(ret, "Content-Length is given more than once");
    if (!is_digits(f->length)) return bad(ret, "Content-Length is no number");
    if (!str_i64(f->length, ret_length) || (uint64_t)*ret_length > body_max)
        return refuse(ret, 413, "body_too_large", "the body is larger than this server accepts");
    return true;
}

bool server_check_head(struct http_request *r, size_t body_max, int64_t *ret_length, struct refusal *ret) {
    struct framing f = {0};
    *ret_length = 0;
    if (!is_token(r->method)) return bad(ret, "the method holds characters that are not allowed there");
    if (!scan_headers(r, &f, ret)) return false;
    if (f.hosts > 1) return bad(ret, "Host is given more than once");
    if (!f.hosts && !str_is(r->version, "HTTP/1.0")) return bad(ret, "Host is missing");
    if (!split_target(r, ret)) return false;
    if (f.codings) {
        *ret_length = LENGTH_CHUNKED;
        return check_coding(r, &f, ret);
    }
    return !f.lengths || check_length(&f, body_max, ret_length, ret);
}

// ---- raw answers ----

void server_write_raw(struct buf *b, const struct refusal *why, struct str request_id, int64_t now_ms) {
    struct http_response r;
    http_response_init(&r, why->status);
    http_error(&r, why->status, why->code, "%s", why->message);
    char date[30];
    now_http(now_ms, date);
    buf_printf(b,
               "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n"
               "Content-Length: %zu\r\nX-Request-Id: %.*s\r\n\r\n",
               why->status, http_reason(why->status), date, r.body.n, STR_ARG(request_id));
    buf_str(b, buf_view(&r.body));
    http_response_free(&r);
}
