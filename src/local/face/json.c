/* The JSON protocols of DynamoDB and SQS (AWS JSON 1.0): X-Amz-Target names the operation, the body is its parameters.
 *
 * Checked in AWS's order: method and content type, JSON, operation, signature (face.c), parameters (the engine). */
#include "local/face/face.h"
#include <stdio.h>

enum { DYNAMODB_BODY_MAX = 16 << 20, SQS_BODY_MAX = 8 << 20, DEPTH_MAX = 256 };

/* == answers ========================================================================================================
 */

/* "CRC32 checksum of the HTTP response body", DynamoDB only. */
static void set_sum(struct face *f, struct http_response *res) {
    if (f->service != AWS_DYNAMODB) return;
    char sum[16];
    snprintf(sum, sizeof sum, "%u", (unsigned)crypto_crc32(buf_view(&res->body)));
    face_set(res, "x-amz-crc32", str_c(sum));
}

/* What DynamoDB answers to requests that are not of its protocol. */
static void send_foreign(struct face *f) {
    struct http_response res;
    http_response_init(&res, 404);
    buf_c(&res.body, "<UnknownOperationException/>\n");
    face_set(&res, "x-amzn-RequestId", f->r->request_id);
    set_sum(f, &res);
    face_send(f, &res);
}

static void send(struct face *f, struct http_response *res) {
    face_set(res, "Content-Type", STR("application/x-amz-json-1.0"));
    face_set(res, "x-amzn-RequestId", f->r->request_id);
    set_sum(f, res);
    face_send(f, res);
}

/* Clients that knew SQS before it spoke JSON look for the old code of an error. */
static void set_query_error(struct face *f, struct http_response *res, const struct err *e) {
    if (f->service != AWS_SQS || !str_ieq(http_header(f->r, "x-amzn-query-mode"), STR("true"))) return;
    struct str v =
        arena_printf(f->r->arena, "%s;%s", face_sqs_query_code(e), err_status_of(e) >= 500 ? "Receiver" : "Sender");
    face_set(res, "x-amzn-query-error", v);
}

/* Frees the call. */
static void send_error(struct face *f, struct aws_call *c) {
    struct http_response res;
    http_response_init(&res, err_status_of(&c->err));
    aws_error_json(c, &res.body);
    set_query_error(f, &res, &c->err);
    aws_call_free(c);
    send(f, &res);
}

void face_json_error(struct face *f, const struct err *e) {
    struct aws_call *c = f->call ? f->call : aws_call_named(f->service, f->action);
    f->call = NULL;
    if (f->service == AWS_DYNAMODB && err_status_of(e) == 404) {
        aws_call_free(c);
        send_foreign(f);
        return;
    }
    c->err = *e;
    send_error(f, c);
}

static void done(struct aws_call *c, void *ud) {
    struct face *f = ud;
    struct http_response res;
    if (c->err.code) {
        send_error(f, c);
        return;
    }
    if (f->service == AWS_SQS) face_fix_queue_urls(f, c);
    http_response_init(&res, 200);
    json_write(&res.body, &c->result);
    if (buf_check(&res.body, "the answer", &c->err)) {
        http_response_free(&res);
        send_error(f, c);
        return;
    }
    aws_call_free(c);
    send(f, &res);
}

/* == requests =======================================================================================================
 */

static int check_size(const struct face *f, struct err *e) {
    size_t max = f->service == AWS_DYNAMODB ? DYNAMODB_BODY_MAX : SQS_BODY_MAX;
    if (f->r->body.n <= max) return 0;
    return err_set(e, ERR_TOO_LARGE, "The request body is %zu bytes long, more than %zu", f->r->body.n, max);
}

static int check_operation(const struct face *f, struct err *e) {
    if (!f->action.n)
        return err_set(e, ERR_UNKNOWN_OPERATION,
                       "The X-Amz-Target header is missing: it names the operation, as in %s.%s",
                       aws_service_row(f->service)->target, f->service == AWS_SQS ? "SendMessage" : "PutItem");
    if (f->call->op != AWS_OTHER && f->conn->local->fns[f->call->op]) return 0;
    return err_set(e, ERR_UNKNOWN_OPERATION, "The operation %.*s is not known here", STR_ARG(str_take(f->action, 128)));
}

/* A missing body is an empty one, as far as AWS is concerned; "{}" is what clients send for no parameters. */
static int read_params(struct face *f, struct err *e) {
    static const struct json_limits limits = {.depth = DEPTH_MAX, .duplicate_keys = true, .open = true};
    struct aws_call *c = f->call;
    struct err why = {0};
    if (json_parse(&c->arena, f->r->body, &limits, &c->params, &why)) {
        c->params = json_make_obj();
        return err_set(e, ERR_SERIALIZATION, "The request body is not JSON: %s", why.msg);
    }
    if (json_is(&c->params, JSON_OBJ)) return 0;
    err_set(e, ERR_SERIALIZATION, "The request body is %s, not an object", json_type_name(c->params.type));
    c->params = json_make_obj();
    return -1;
}

static bool is_json(struct str type) {
    struct str name = str_trim(str_cut(&type, ';'));
    return str_ieq(name, STR("application/x-amz-json-1.0")) || str_ieq(name, STR("application/json"));
}

/* DynamoDB's front door: POST, and JSON by its type where there is a body. */
static int check_protocol(const struct face *f, struct err *e) {
    if (f->service != AWS_DYNAMODB) return 0;
    if (str_is(f->r->method, "POST") && (!f->r->body.n || is_json(http_header(f->r, "content-type")))) return 0;
    return err_service(e, "UnknownOperationException", 404, false, "not of DynamoDB's protocol");
}

int face_json_check(struct face *f, struct err *e) {
    f->call = aws_call_named(f->service, f->action);
    if (check_protocol(f, e)) return -1;
    if (!str_is(f->r->method, "POST"))
        return err_set(e, ERR_UNKNOWN_OPERATION, "%.*s is no method of this protocol: it takes POST",
                       STR_ARG(str_take(f->r->method, 20)));
    if (check_size(f, e) || read_params(f, e)) return -1;
    return check_operation(f, e);
}

void face_json(struct face *f) {
    struct aws_call *c = f->call;
    f->call = NULL;
    face_start(f, c, done, f);
}
