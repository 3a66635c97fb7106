/* The input is a request target; no target that was not signed may verify. And it is the parts of a request, ended by
 * NUL each: what we sign must verify, whatever it is, in a header and in a link, with and without a cache of keys. */
#include "sign/sign.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const int64_t now = INT64_C(1700000000000);

static struct str secret(void *ud, struct str access_key) {
    (void)ud, (void)access_key;
    return STR("a secret that the fuzzer does not know");
}

static void refuse(struct str target, bool header) {
    struct arena a = {0};
    struct str rest = target;
    struct http_header headers[] = {{STR("host"), STR("127.0.0.1:4566")}, {STR("authorization"), target}};
    struct http_request r = {
        .method = STR("GET"), .target = target, .arena = &a, .headers = headers, .n_headers = header ? 2 : 1};
    r.path = str_cut(&rest, '?');
    r.raw_query = rest.p ? rest : STR("");
    struct sign_verified v;
    struct err e = {0};
    if (!sign_verify(&r, now, secret, NULL, &v, &e)) abort();
    arena_free(&a);
}

/* A name that a request has only once and that a list can hold. */
static bool is_usable(struct str name) {
    static const char *const taken[] = {"host", "x-amz-date", "x-amz-content-sha256", "authorization"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (str_ieq(name, str_c(taken[i]))) return false;
    return name.n && str_chr(name, ';', 0) < 0 && str_chr(name, ',', 0) < 0 && str_eq(str_trim(name), name) &&
           !sign_is_never_signed(name);
}

static bool has_auth_parameter(struct str query) {
    while (query.n) {
        struct str value = str_cut(&query, '&'), name = str_cut(&value, '=');
        if (str_starts(name, STR("X-Amz-")) || str_starts(name, STR("AWSAccessKeyId"))) return true;
    }
    return false;
}

struct parts {
    struct str path, query, name, value, service;
};

static void expect(const struct http_request *r) {
    struct sign_verified v;
    struct err e = {0};
    struct sign_key_cache cache = {0};
    if (sign_verify(r, now, secret, NULL, &v, &e)) abort();
    for (int i = 0; i < 2; i++)
        if (sign_verify_with(r, now, secret, NULL, &cache, SIGN_DOTS_DEFAULT, &v, &e)) abort();
}

static void in_header(const struct parts *p, const struct sign_credentials *c, const struct sign_scope *s) {
    struct arena a = {0};
    struct buf out = BUF_MAX(1 << 24);
    struct sign_key_cache cache = {0};
    struct http_header h[5] = {{STR("host"), STR("h")},
                               {STR("x-amz-date"), STR("20231114T221320Z")},
                               {STR("X-Amz-Content-SHA256"), STR("UNSIGNED-PAYLOAD")},
                               {p->name, p->value}};
    struct sign_request q = {STR("PUT"), p->path, p->query, h, 4, STR("UNSIGNED-PAYLOAD"), !sign_is_s3(s->service)};
    sign_authorization(c, s, &q, &cache, &out, NULL);
    h[4] = (struct http_header){STR("Authorization"), buf_view(&out)};
    struct http_request r = {
        .method = STR("PUT"), .path = p->path, .raw_query = p->query, .arena = &a, .headers = h, .n_headers = 5};
    expect(&r);
    buf_free(&out);
    arena_free(&a);
}

static void in_link(const struct parts *p, const struct sign_credentials *c, const struct sign_scope *s) {
    struct arena a = {0};
    struct buf out = BUF_MAX(1 << 24);
    struct http_header h[2] = {{p->name, p->value}, {STR("host"), STR("h")}};
    struct err e;
    struct sign_link l = {.method = STR("GET"),
                          .base = STR("http://h"),
                          .path = p->path,
                          .extra_query = p->query,
                          .headers = h,
                          .n_headers = 1,
                          .payload_hash = sign_is_s3(s->service)
                                              ? STR_NONE
                                              : STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                          .double_encode = !sign_is_s3(s->service),
                          .expires_s = 60};
    if (!sign_presign(c, s, &l, NULL, &out, &e)) {
        struct str query = str_from(buf_view(&out), strlen("http://h"));
        struct http_request r = {.method = STR("GET"), .arena = &a, .headers = h, .n_headers = 2};
        r.path = str_cut(&query, '?');
        r.raw_query = query;
        expect(&r);
    }
    buf_free(&out);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str input = str_n((const char *)data, n), rest = input;
    refuse(input, n & 1);
    struct parts p = {str_cut(&rest, 0), str_cut(&rest, 0), str_cut(&rest, 0), str_cut(&rest, 0), str_cut(&rest, 0)};
    struct sign_credentials c = {STR("AKID"), secret(NULL, STR_NONE), n & 2 ? p.value : STR_NONE};
    struct sign_scope s = {STR("us-east-1"), n & 4 ? STR("s3") : p.service, now};
    if (!s.service.n || str_chr(s.service, '/', 0) >= 0 || str_chr(s.service, ',', 0) >= 0 || !is_usable(p.name) ||
        has_auth_parameter(p.query))
        return 0;
    if (str_eq(str_trim(s.service), s.service)) in_header(&p, &c, &s);
    in_link(&p, &c, &s);
    return 0;
}
