/* What was signed verifies; with one byte changed it does not, unless the request still means the same. Input: four
 * bytes (which kind of signature; where to change: two bytes; what is XORed there), then lines: path, parameter, header
 * value, and the body or key.
 *
 * Signatures in headers and links (version 4) go to sign_verify; links of version 2 and forms to the port of an engine
 * that verifies. Their texts are made here, from the public documents, not by the code that verifies. */
#include "base/crypto.h"
#include "base/url.h"
#include "rig.h"
#include "sign/sign.h"
#include <stdio.h>
#include <string.h>

enum { HEADERS = 5, HEADERS_MAX = 16 };

struct change {
    size_t place;
    char mask;
};

struct parts {
    struct str path, parameter, value, body;
};

static struct str secret(void *ud, struct str access_key) {
    (void)ud;
    return str_is(access_key, "perigee") ? STR("perigee") : STR_NONE;
}

/* == meaning ======================================================================================================= */

static struct str without_space(struct arena *a, struct str s, bool all) {
    struct buf b = BUF_MAX(1 << 20);
    bool gap = false;
    for (s = str_trim(s); s.n; s = str_from(s, 1)) {
        bool space = s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r');
        if (space ? !gap && !all : true) buf_byte(&b, space ? ' ' : s.p[0]);
        gap = space;
    }
    struct str out = arena_str(a, buf_view(&b));
    buf_free(&b);
    return out;
}

static bool same_params(struct arena *a, struct str x, struct str y) {
    struct url_param *p = NULL, *q = NULL;
    size_t m = 0, n = 0;
    struct err e;
    if (str_eq(x, y)) return true;
    if (url_query(a, x, 1000, &p, &m, &e) || url_query(a, y, 1000, &q, &n, &e) || m != n) return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(p[i].name, q[i].name) || !str_eq(p[i].value, q[i].value)) return false;
    return true;
}

static bool same_header(struct arena *a, const struct http_header *x, const struct http_header *y) {
    bool authorization = str_ieq(x->name, STR("authorization"));
    return str_ieq(x->name, y->name) &&
           (sign_is_never_signed(x->name) && !authorization
                ? true
                : str_eq(without_space(a, x->value, authorization), without_space(a, y->value, authorization)));
}

static bool same_request(const struct http_request *x, const struct http_request *y) {
    struct arena *a = y->arena;
    if (!str_eq(x->method, y->method) || !str_eq(x->path, y->path) || !same_params(a, x->raw_query, y->raw_query))
        return false;
    for (size_t i = 0; i < x->n_headers; i++)
        if (!same_header(a, &x->headers[i], &y->headers[i])) return false;
    return str_eq(x->body, y->body);
}

/* == one byte changed ============================================================================================== */

static struct str changed(struct arena *a, struct str s, struct change *c) {
    char *p = arena_cstr(a, s);
    if (c->place < s.n) p[c->place] ^= c->mask;
    c->place = c->place < s.n ? SIZE_MAX : c->place == SIZE_MAX ? SIZE_MAX : c->place - s.n;
    return str_n(p, s.n);
}

static size_t request_size(const struct http_request *r) {
    size_t n = r->method.n + r->path.n + r->raw_query.n + r->body.n;
    for (size_t i = 0; i < r->n_headers; i++) n += r->headers[i].name.n + r->headers[i].value.n;
    return n;
}

static struct http_request changed_request(const struct http_request *r, struct http_header *h, struct change c) {
    struct http_request m = *r;
    size_t size = request_size(r);
    c.place = size ? c.place % size : 0;
    m.headers = h;
    m.method = changed(r->arena, r->method, &c);
    m.path = changed(r->arena, r->path, &c);
    m.raw_query = changed(r->arena, r->raw_query, &c);
    m.body = changed(r->arena, r->body, &c);
    for (size_t i = 0; i < r->n_headers; i++) {
        h[i].name = changed(r->arena, r->headers[i].name, &c);
        h[i].value = changed(r->arena, r->headers[i].value, &c);
    }
    return m;
}

/* == version 4 ===================================================================================================== */

static void expect_v4(const struct http_request *r, int64_t now, struct change c) {
    struct http_header headers[HEADERS_MAX];
    struct sign_verified v;
    struct sign_key_cache cache = {0};
    struct err e = {0};
    must(!sign_verify(r, now, secret, NULL, &v, &e));
    struct http_request m = changed_request(r, headers, c);
    if (sign_verify_with(&m, now, secret, NULL, &cache, SIGN_DOTS_DEFAULT, &v, &e))
        must(e.code != ERR_NONE && e.msg[0]);
    else
        must(same_request(r, &m));
    sign_key_cache_wipe(&cache);
}

static const struct sign_credentials credentials = {{"perigee", 7}, {"perigee", 7}, {NULL, 0}};

/* S3 signs the path as it is and any payload, DynamoDB the body. */
static void header_v4(const struct parts *p, struct arena *a, bool s3, struct change c) {
    int64_t now = clock_ms(NULL);
    char date[17], hash[64];
    struct buf out = BUF_MAX(1 << 20);
    now_amz(now, date);
    sign_payload_hash(p->body, hash);
    struct http_header h[HEADERS] = {{STR("host"), STR("localhost:4566")},
                                     {STR("X-Amz-Date"), str_n(date, 16)},
                                     {STR("x-amz-meta-a"), p->value},
                                     {STR("Authorization"), STR_NONE}};
    size_t n = 3;
    if (s3) h[n++] = (struct http_header){STR("x-amz-content-sha256"), STR("UNSIGNED-PAYLOAD")};
    struct sign_scope scope = {STR("us-east-1"), s3 ? STR("s3") : STR("dynamodb"), now};
    struct sign_request q = {.method = STR("PUT"),
                             .path = s3 ? p->path : STR("/"),
                             .raw_query = p->parameter,
                             .headers = h,
                             .n_headers = n,
                             .payload_hash = s3 ? STR("UNSIGNED-PAYLOAD") : str_n(hash, 64),
                             .double_encode = !s3};
    sign_authorization(&credentials, &scope, &q, NULL, &out, NULL);
    h[n++] = (struct http_header){STR("Authorization"), arena_str(a, buf_view(&out))};
    struct http_request r = {.method = q.method,
                             .path = q.path,
                             .raw_query = q.raw_query,
                             .headers = h,
                             .n_headers = n,
                             .body = s3 ? STR("") : p->body,
                             .arena = a};
    expect_v4(&r, now, c);
    buf_free(&out);
}

static void link_v4(const struct parts *p, struct arena *a, struct change c) {
    struct buf out = BUF_MAX(1 << 20);
    struct http_header h[2] = {{STR("x-amz-meta-a"), p->value}, {STR("host"), STR("localhost:4566")}};
    struct sign_scope scope = {STR("us-east-1"), STR("s3"), clock_ms(NULL)};
    struct sign_link l = {.method = STR("PUT"),
                          .base = STR("http://localhost:4566"),
                          .path = p->path,
                          .extra_query = p->parameter,
                          .headers = h,
                          .n_headers = 1,
                          .expires_s = 60};
    struct err e = {0};
    if (!sign_presign(&credentials, &scope, &l, NULL, &out, &e)) {
        struct str query = str_from(buf_view(&out), l.base.n);
        struct http_request r = {.method = l.method, .headers = h, .n_headers = 2, .body = STR(""), .arena = a};
        r.path = str_cut(&query, '?');
        r.raw_query = query;
        expect_v4(&r, scope.unix_ms, c);
    } else {
        must(e.code != ERR_NONE);
    }
    buf_free(&out);
}

/* == version 2 ===================================================================================================== */

static int get_status(struct rig *g, struct http_request *r, struct buf *body) {
    int status;
    rig_request(g, r, &status, body);
    return status;
}

/* "Signing and authenticating REST requests": the query form. Paths are signed as sent, values decoded. */
static void sign_v2(const struct parts *p, int64_t expires, struct buf *query) {
    struct buf text = BUF_MAX(1 << 20), mac = BUF_MAX(64);
    uint8_t sha[20];
    buf_printf(&text, "GET\n\n\n%lld\n", (long long)expires);
    buf_str(&text, p->path);
    buf_c(&text, "?response-content-type=");
    buf_str(&text, p->value);
    crypto_hmac_sha1(STR("perigee"), buf_view(&text), sha);
    crypto_base64(&mac, str_n((char *)sha, sizeof sha));
    buf_c(query, "AWSAccessKeyId=perigee&response-content-type=");
    url_encode(query, p->value, false);
    buf_printf(query, "&Expires=%lld&Signature=", (long long)expires);
    url_encode(query, buf_view(&mac), false);
    buf_free(&text);
    buf_free(&mac);
}

static void link_v2(struct rig *g, const struct parts *p, struct arena *a, struct change c) {
    struct buf query = BUF_MAX(1 << 20), body = BUF_MAX(1 << 20);
    struct http_header h = {STR("host"), STR("localhost:4566")};
    if (!p->value.n || memchr(p->value.p, 0, p->value.n)) return;
    sign_v2(p, clock_ms(NULL) / 1000 + 600, &query);
    struct http_request r = {.method = STR("GET"),
                             .path = p->path,
                             .raw_query = arena_str(a, buf_view(&query)),
                             .headers = &h,
                             .n_headers = 1,
                             .body = STR(""),
                             .request_id = STR("r"),
                             .arena = a,
                             .loopback = true};
    must(get_status(g, &r, &body) != 403);
    size_t at = r.path.n + r.raw_query.n ? c.place % (r.path.n + r.raw_query.n) : 0;
    struct http_request m = r;
    struct change where = {at, c.mask};
    m.path = changed(a, r.path, &where);
    m.raw_query = changed(a, r.raw_query, &where);
    bool same = str_eq(m.path, r.path) && same_params(a, r.raw_query, m.raw_query);
    int status = str_starts(m.path, STR("/bkt/")) ? get_status(g, &m, NULL) : 403;
    must(same || (status >= 400 && status != 404));
    buf_free(&query);
    buf_free(&body);
}

/* == forms ========================================================================================================= */

static void put_field(struct buf *b, struct str name, struct str value) {
    buf_printf(b, "--B\r\nContent-Disposition: form-data; name=\"%.*s\"%s\r\n\r\n", STR_ARG(name),
               str_is(name, "file") ? "; filename=\"f\"" : "");
    buf_str(b, value);
    buf_c(b, "\r\n");
}

static int send_form(struct rig *g, struct arena *a, const struct json *fields, const char *change, struct change c,
                     struct str file) {
    struct buf body = BUF_MAX(4 << 20);
    struct http_header h[2] = {{STR("host"), STR("localhost:4566")},
                               {STR("content-type"), STR("multipart/form-data; boundary=B")}};
    for (uint32_t i = 0; i < fields->n; i++) {
        struct str v = json_str(&fields->members[i].value);
        struct change where = {v.n ? c.place % v.n : 0, c.mask};
        bool this = change && str_is(fields->members[i].key, change);
        put_field(&body, fields->members[i].key, this ? changed(a, v, &where) : v);
    }
    put_field(&body, STR("file"), file);
    buf_c(&body, "--B--\r\n");
    struct http_request r = {.method = STR("POST"),
                             .path = STR("/bkt"),
                             .raw_query = STR(""),
                             .headers = h,
                             .n_headers = 2,
                             .body = arena_str(a, buf_view(&body)),
                             .request_id = STR("r"),
                             .arena = a,
                             .loopback = true};
    int status = get_status(g, &r, NULL);
    buf_free(&body);
    return status;
}

/* A part of the form may look like a delimiter: such are not judged. */
static bool is_delimiting(struct str s) {
    return str_find(s, STR("--B"), 0) >= 0;
}

static void form_v4(struct rig *g, const struct parts *p, struct arena *a, struct change c) {
    static const char *const names[] = {"policy", "x-amz-signature", "x-amz-credential", "x-amz-date",
                                        "x-amz-algorithm"};
    struct json params = json_make_obj(), fields = json_make_obj(), form;
    struct sign_scope scope = {STR("us-east-1"), STR("s3"), clock_ms(NULL)};
    int64_t until;
    struct err e = {0};
    if (is_delimiting(p->path) || is_delimiting(p->value) || is_delimiting(p->body)) return;
    if (str_bad_utf8(p->path) >= 0 || str_bad_utf8(p->value) >= 0) return;
    json_set(a, &fields, "x-amz-meta-a", json_make_str(p->value));
    json_set(a, &params, "Bucket", json_make_c("bkt"));
    json_set(a, &params, "Key", json_make_str(p->path));
    json_set(a, &params, "Fields", fields);
    if (sign_post_form(&credentials, &scope, STR("http://localhost:4566/bkt"), &params, NULL, a, &form, &until, &e)) {
        must(e.code != ERR_NONE);
        return;
    }
    const struct json *all = json_get(&form, "fields");
    must(send_form(g, a, all, NULL, c, p->body) != 403);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) must(send_form(g, a, all, names[i], c, p->body) >= 400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 4) return 0;
    struct rig *g = rig_get(false, false);
    struct arena a = {0};
    struct str rest = arena_str(&a, str_n((const char *)data + 4, n - 4));
    struct change c = {data[1] | (size_t)data[2] << 8, (char)(data[3] ? data[3] : 1)};
    struct parts p = {str_cut(&rest, '\n'), str_cut(&rest, '\n'), str_cut(&rest, '\n'), STR("")};
    p.body = rest.p ? rest : STR("");
    if (!p.parameter.p) p.parameter = STR("");
    if (!p.value.p) p.value = STR("");
    bool target = str_starts(p.path, STR("/")) && !memchr(p.path.p, '?', p.path.n);
    int kind = data[0] % 5;
    bool single = str_find(p.parameter, STR("X-Amz-"), 0) < 0 && str_find(p.parameter, STR("AWSAccessKeyId"), 0) < 0;
    if (kind == 0 && target && single) header_v4(&p, &a, true, c);
    if (kind == 1 && target && single) header_v4(&p, &a, false, c);
    if (kind == 2) link_v4(&p, &a, c);
    if (kind == 3 && str_starts(p.path, STR("/bkt/")) && target) link_v2(g, &p, &a, c);
    if (kind == 4) form_v4(g, &p, &a, c);
    arena_free(&a);
    return 0;
}
