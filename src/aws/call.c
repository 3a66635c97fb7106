/* The life of a call: NEW -> (aws_start) DONE | PENDING -> (aws_complete) DONE, or cancelled -> freed. */
#include "aws/access.h"
#include "base/buf.h"
#include <stdlib.h>
#include <unistd.h>

struct aws_call *aws_call_new(enum aws_op op) {
    struct aws_call *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory");
    c->op = op;
    c->row = op == AWS_OTHER ? NULL : aws_op_row(op);
    c->body_fd = c->result_fd = -1;
    c->params = json_make_obj();
    c->result = json_make_obj();
    list_init(&c->node);
    return c;
}

struct aws_call *aws_call_named(enum aws_service service, struct str action) {
    enum aws_op op = AWS_OTHER;
    if (!aws_op_find(service, action, &op, NULL)) return aws_call_new(op);
    struct aws_call *c = aws_call_new(AWS_OTHER);
    struct aws_op_row *row = ARENA_NEW(&c->arena, struct aws_op_row);
    *row = (struct aws_op_row){service, arena_cstr(&c->arena, action), 0};
    c->row = row;
    return c;
}

static void close_fd(int fd) {
    if (fd >= 0) close(fd);
}

void aws_call_free(struct aws_call *c) {
    if (!c) return;
    if (c->pending) fatal("aws: %s freed while pending", c->row->action);
    close_fd(c->body_fd);
    close_fd(c->result_fd);
    arena_free(&c->arena);
    free(c);
}

/* == permissions ====================================================================================================
 */

static bool allowed(const struct policy *p, const struct access *r) {
    return policy_allows(p, r->action, r->arn) || (r->or_arn.n && policy_allows(p, r->action, r->or_arn));
}

static int check_policy(struct aws_call *c, const struct aws_identity *id, struct err *e) {
    const struct policy *p = c->context.policy;
    struct access *rows = NULL;
    size_t n = 0;
    if (!p || p->allow_all) return 0;
    struct str f = c->context.function.n ? c->context.function : STR("(none)"), action;
    if (c->op == AWS_OTHER) {
        if (!access_other(p, &c->arena, c, &action)) return 0;
        return err_set(e, ERR_ACCESS_DENIED, "function %.*s is not authorized to perform: %.*s on any resource",
                       STR_ARG(f), STR_ARG(action));
    }
    access_list(id, &c->arena, c, &rows, &n);
    for (size_t i = 0; i < n; i++) {
        if (allowed(p, &rows[i])) continue;
        return err_set(e, ERR_ACCESS_DENIED, "function %.*s is not authorized to perform: %.*s on resource: %.*s",
                       STR_ARG(f), STR_ARG(rows[i].action), STR_ARG(str_take(rows[i].arn, 512)));
    }
    return 0;
}

/* What is missing is denied to who may not know it. */
static void check_missing(struct aws_call *c) {
    const struct policy *p = c->context.policy;
    if (!p || p->allow_all || c->err.code == ERR_S3_NO_BUCKET || err_status_of(&c->err) != 404) return;
    struct str arn = access_listing(&c->backend->id, c, &c->arena);
    if (!arn.n || policy_allows(p, STR("s3:ListBucket"), arn)) return;
    err_set(
        &c->err, ERR_ACCESS_DENIED,
        "function %.*s is not authorized to perform: s3:ListBucket on resource: %.*s (without it S3 denies access to "
        "an object that is missing)",
        STR_ARG(c->context.function), STR_ARG(arn));
}

/* == start, cancel, complete ========================================================================================
 */

enum aws_started aws_start(struct aws_backend *b, struct loop *home, struct aws_call *c) {
    c->backend = b;
    c->home = home;
    c->err = (struct err){0};
    c->result = json_make_obj();
    c->result_body = STR_NONE;
    if (!json_is(&c->params, JSON_OBJ)) {
        err_set(&c->err, ERR_VALIDATION, "the parameters of %s are %s, not an object", c->row->action,
                json_type_name(c->params.type));
        return AWS_DONE;
    }
    if (check_policy(c, &b->id, &c->err)) return AWS_DONE;
    c->pending = true;
    enum aws_started s = b->ops->start(b, c);
    if (s == AWS_DONE) {
        c->pending = false;
        check_missing(c);
    }
    return s;
}

void aws_cancel(struct aws_call *c) {
    if (!c->pending) {
        aws_call_free(c);
        return;
    }
    if (c->cancelled) return;
    c->cancelled = true;
    c->backend->ops->cancel(c->backend, c);
}

void aws_complete(struct aws_call *c) {
    c->pending = false;
    if (c->cancelled) {
        aws_call_free(c);
        return;
    }
    check_missing(c);
    c->done(c, c->ud);
}

static void set_flag(struct aws_call *c, void *ud) {
    (void)c;
    *(bool *)ud = true;
}

void aws_call_wait(struct aws_backend *b, struct loop *home, struct aws_call *c) {
    bool done = false;
    c->done = set_flag;
    c->ud = &done;
    if (aws_start(b, home, c) == AWS_DONE) return;
    while (!done) loop_once(home, -1);
}

/* == errors =========================================================================================================
 */

/* The namespace that the service's own errors carry; those of the common machinery carry coral's. */
static const char *type_prefix(const struct aws_call *c) {
    enum aws_service s = c->row->service;
    enum err_code code = c->err.code;
    bool common = code == ERR_SERIALIZATION || code == ERR_UNKNOWN_OPERATION || code == ERR_ACCESS_DENIED ||
                  code == ERR_AUTH_MISSING || code == ERR_AUTH_CLIENT || code == ERR_AUTH_SIGNATURE ||
                  code == ERR_AUTH_INCOMPLETE || code == ERR_TOO_LARGE;
    if ((s == AWS_SQS || s == AWS_DYNAMODB) && common) return "com.amazon.coral.service#";
    if (s == AWS_SQS) return "com.amazonaws.sqs#";
    if (s != AWS_DYNAMODB) return "";
    if (code == ERR_VALIDATION) return "com.amazon.coral.validate#";
    return "com.amazonaws.dynamodb.v20120810#";
}

void aws_error_json(const struct aws_call *c, struct buf *b) {
    bool coral =
        c->row->service == AWS_DYNAMODB && (c->err.code == ERR_SERIALIZATION || c->err.code == ERR_ACCESS_DENIED);
    buf_printf(b, "{\"__type\":\"%s%s\",\"%s\":", type_prefix(c), err_name_of(&c->err), coral ? "Message" : "message");
    struct str longer = json_get_s(&c->result, "message");
    json_write_str(b, longer.n ? longer : str_c(c->err.msg));
    for (uint32_t i = 0; json_is(&c->result, JSON_OBJ) && i < c->result.n; i++) {
        if (str_is(c->result.members[i].key, "message")) continue;
        buf_byte(b, ',');
        json_write_str(b, c->result.members[i].key);
        buf_byte(b, ':');
        json_write(b, &c->result.members[i].value);
    }
    buf_byte(b, '}');
}
