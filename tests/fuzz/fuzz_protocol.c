/* Answers of servers: any operation, any status, any headers, any bytes. Input: operation, status, flags (one byte
 * each), header lines "name: value\n" up to an empty line, the body. The body also serves as parameters: what is made
 * of them can be sent. */
#include "remote/endpoint.h"
#include "remote/wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_HEADERS = 32, OTHERS = 4 };

static struct aws_call *call_of(uint8_t which) {
    static const struct {
        enum aws_service service;
        const char *action;
    } others[OTHERS] = {
        {AWS_SNS, "ListTopics"}, {AWS_KMS, "Encrypt"}, {AWS_IAM, "GetUser"}, {AWS_SECRETSMANAGER, "PutSecretValue"}};
    unsigned i = which % (AWS_OPS + OTHERS);
    if (i < AWS_OPS) return aws_call_new((enum aws_op)i);
    return aws_call_named(others[i - AWS_OPS].service, str_c(others[i - AWS_OPS].action));
}

/* Results are JSON: UTF-8, and as deep as a reader takes. */
static void check_json(const struct json *v) {
    const struct json_limits limits = {.depth = 1000, .duplicate_keys = true};
    struct arena a = {0};
    struct buf b = BUF_MAX(256 << 20);
    struct json again;
    json_write(&b, v);
    if (json_parse(&a, buf_view(&b), &limits, &again, NULL)) abort();
    buf_free(&b);
    arena_free(&a);
}

static void check_answer(const struct aws_call *c, int rc) {
    if ((rc == -1) != (c->err.code != ERR_NONE) || !json_is(&c->result, JSON_OBJ)) abort();
    if (rc && (!c->err.msg[0] || str_bad_utf8(str_c(err_name_of(&c->err))) >= 0)) abort();
    if (c->err.name[0] && (c->err.status < 300 || c->err.status > 599)) abort();
    for (const char *p = c->request_id; *p; p++)
        if ((unsigned char)*p < 0x20) abort();
    check_json(&c->result);
}

static void check_text(struct str s, bool query) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (query ? ch <= ' ' || ch > '~' : (ch < ' ' && ch != '\t') || ch == 0x7f) abort();
    }
}

static void try_encode(const struct settings *s, struct aws_call *c, struct str text) {
    struct arena a = {0};
    struct wire_request r;
    struct err e = {0};
    if (json_parse(&c->arena, text, NULL, &c->params, &e)) {
        c->params = json_make_obj();
    } else if (!protocol_encode(s, c, &a, &r, &e)) {
        if (!r.path.n || r.path.p[0] != '/') abort();
        check_text(r.path, true);
        check_text(r.raw_query, true);
        for (size_t i = 0; i < r.n_headers; i++) {
            check_text(r.headers[i].name, true);
            check_text(r.headers[i].value, false);
        }
    } else if (!e.code) {
        abort();
    }
    if (!json_is(&c->params, JSON_OBJ)) c->params = json_make_obj();
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const int statuses[] = {200, 200, 204, 206, 301, 304, 307, 400, 403, 404, 412, 429, 500, 501, 503, 599};
    struct http_header headers[MAX_HEADERS];
    struct settings s = {.region = STR("eu-west-1")};
    struct arena a = {0};
    if (n < 3) return 0;
    struct wire_response r = {.status = statuses[data[1] % 16], .headers = headers, .streamed = data[2] & 1};
    struct aws_call *c = call_of(data[0]);
    struct str rest = str_n((const char *)data + 3, n - 3);
    for (struct str line = str_cut(&rest, '\n'); line.n && rest.p && r.n_headers < MAX_HEADERS;
         line = str_cut(&rest, '\n')) {
        struct str value = line, name = str_cut(&value, ':');
        headers[r.n_headers++] = (struct http_header){name, str_trim(value)};
    }
    r.body = rest;
    if (data[2] & 2) try_encode(&s, c, rest);
    check_answer(c, protocol_decode(&s, c, &r));
    struct str region = protocol_redirect_region(&r, &a);
    if (region.n && !endpoint_region_ok(region)) abort();
    aws_call_free(c);
    arena_free(&a);
    return 0;
}
