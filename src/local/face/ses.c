/* SES version 2: REST with JSON. Source: Amazon SES API v2 Reference.
 *
 * POST /v2/email/outbound-emails · POST, GET /v2/email/identities · POST /v2/email/list-identities (what SDKs of 2025
 * call) · GET, DELETE /v2/email/identities/NAME · GET /v2/email/account */
#include "local/face/face.h"

enum { DEPTH_MAX = 64 };

#define PREFIX "/v2/email/"

static const struct way {
    const char *method, *path; /* behind the prefix; a last "/" is followed by the identity */
    enum aws_op op;
} ways[] = {
    {"POST", "outbound-emails", AWS_SES_SendEmail},           {"POST", "identities", AWS_SES_CreateEmailIdentity},
    {"GET", "identities", AWS_SES_ListEmailIdentities},       {"GET", "identities/", AWS_SES_GetEmailIdentity},
    {"POST", "list-identities", AWS_SES_ListEmailIdentities}, {"GET", "account", AWS_SES_GetAccount},
    {"DELETE", "identities/", AWS_SES_DeleteEmailIdentity}};

/* == answers ========================================================================================================
 */

static void send(struct face *f, struct http_response *res) {
    face_set(res, "Content-Type", STR("application/json"));
    face_set(res, "x-amzn-RequestId", f->r->request_id);
    face_send(f, res);
}

void face_ses_error(struct face *f, const struct err *e) {
    struct http_response res;
    http_response_init(&res, err_status_of(e));
    face_set(&res, "x-amzn-ErrorType", str_c(err_name_of(e)));
    buf_c(&res.body, "{\"message\":");
    json_write_str(&res.body, str_c(e->msg));
    buf_byte(&res.body, '}');
    send(f, &res);
}

static void done(struct aws_call *c, void *ud) {
    struct face *f = ud;
    struct err e = c->err;
    if (!e.code) {
        struct http_response res;
        http_response_init(&res, 200);
        json_write(&res.body, &c->result);
        aws_call_free(c);
        send(f, &res);
        return;
    }
    aws_call_free(c);
    face_ses_error(f, &e);
}

/* == requests =======================================================================================================
 */

/* *ret_name: what follows a way that ends in "/". */
static const struct way *find(const struct face *f, struct str *ret_name) {
    struct str path = f->r->path;
    if (!str_starts(path, STR(PREFIX))) return NULL;
    path = str_from(path, sizeof PREFIX - 1);
    if (path.n && path.p[path.n - 1] == '/') path.n--;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct str way = str_c(ways[i].path);
        bool named = way.p[way.n - 1] == '/';
        if (!str_is(f->r->method, ways[i].method)) continue;
        if (named ? !str_starts(path, way) || path.n == way.n : !str_eq(path, way)) continue;
        *ret_name = str_from(path, way.n);
        if (named && str_chr(*ret_name, '/', 0) >= 0) continue;
        return &ways[i];
    }
    return NULL;
}

static int read_body(const struct face *f, struct aws_call *c, struct err *e) {
    static const struct json_limits limits = {.depth = DEPTH_MAX, .duplicate_keys = true};
    struct err why = {0};
    if (!str_is(f->r->method, "POST")) return 0;
    if (!f->body.n) return err_set(e, ERR_SERIALIZATION, "The request has no body");
    if (json_parse(&c->arena, f->body, &limits, &c->params, &why))
        return err_set(e, ERR_SERIALIZATION, "The request body is not JSON: %s", why.msg);
    if (json_is(&c->params, JSON_OBJ)) return 0;
    return err_set(e, ERR_SERIALIZATION, "The request body is %s, not an object", json_type_name(c->params.type));
}

/* ?PageSize=10&NextToken=x: whatever is no part of a signature is a parameter. */
static void read_query(const struct face *f, struct aws_call *c) {
    for (size_t i = 0; i < f->n_query; i++) {
        struct str name = f->query[i].name;
        if (str_ieq(str_take(name, 6), STR("X-Amz-")) || json_get_str(&c->params, name)) continue;
        json_set_str(&c->arena, &c->params, name, json_make_str(f->query[i].value));
    }
}

static int read_request(const struct face *f, struct aws_call *c, struct str name, struct err *e) {
    if (read_body(f, c, e)) return -1;
    if (str_is(f->r->method, "GET")) read_query(f, c);
    if (!name.n) return 0;
    struct str decoded;
    if (url_decode(&c->arena, name, false, &decoded, NULL) || str_bad_utf8(decoded) >= 0)
        return err_set(e, ERR_SES_BAD_REQUEST, "The path %.*s is not well-formed", STR_ARG(str_take(f->r->path, 200)));
    json_set(&c->arena, &c->params, "EmailIdentity", json_make_str(decoded));
    return 0;
}

void face_ses(struct face *f) {
    struct err e = {0};
    struct str name = STR_NONE;
    const struct way *way = find(f, &name);
    if (!way) {
        err_service(&e, "UnknownOperationException", 404, false, "%.*s %.*s is no operation that is known here",
                    STR_ARG(str_take(f->r->method, 20)), STR_ARG(str_take(f->r->path, 200)));
        face_ses_error(f, &e);
        return;
    }
    struct aws_call *c = aws_call_new(way->op);
    if (!read_request(f, c, name, &e)) {
        face_start(f, c, done, f);
        return;
    }
    aws_call_free(c);
    face_ses_error(f, &e);
}
