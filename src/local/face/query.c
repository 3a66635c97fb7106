/* The Query protocol: parameters in a form or a query string, answers in XML. SQS before JSON, STS, SES version 1.
 *
 *   form ─► tree of names ─► parameters as the JSON protocol has them ─► call ─► result ─► XML
 *
 * Sources: SQS API Reference, "Making Query API requests"; STS and SES (2010-12-01) API References. */
#include "local/face/query.h"
#include <stdlib.h>
#include <string.h>

enum { PARAMS_MAX = 2000, DEPTH_MAX = 8, XML_MAX = 32 << 20 };

struct query {
    struct face *f;
    struct json tree;
};

/* == parameters =====================================================================================================
 */

static bool is_protocols(struct str name) {
    static const char *const names[] = {"Action",    "Version",          "AWSAccessKeyId",
                                        "Signature", "SignatureVersion", "SignatureMethod",
                                        "Timestamp", "Expires",          "SecurityToken"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i])) return true;
    return str_ieq(str_take(name, 6), STR("X-Amz-"));
}

static struct json *member(struct json *obj, struct str key) {
    for (uint32_t i = 0; i < obj->n; i++)
        if (str_eq(obj->members[i].key, key)) return &obj->members[i].value;
    return NULL;
}

static int malformed(struct str name, const char *why, struct err *e) {
    return err_set(e, ERR_SERIALIZATION, "The query parameter %.*s %s", STR_ARG(str_take(name, 200)), why);
}

static int add(struct arena *a, struct json *root, const struct url_param *p, struct err *e) {
    struct json *at = root;
    struct str rest = p->name;
    int depth = 0;
    for (;;) {
        struct str key = str_cut(&rest, '.');
        if (!key.n || ++depth > DEPTH_MAX) return malformed(p->name, "is not well-formed", e);
        struct json *next = member(at, key);
        if (next && json_is(next, JSON_OBJ) != (rest.p != NULL))
            return malformed(p->name, "does not go together with the others", e);
        if (next && !rest.p) return malformed(p->name, "occurs more than once", e);
        if (!next) next = json_set_str(a, at, key, rest.p ? json_make_obj() : json_make_str(p->value));
        if (!rest.p) return 0;
        at = next;
    }
}

int query_tree(const struct face *f, struct arena *a, struct json *ret, struct err *e) {
    *ret = json_make_obj();
    if (f->n_query > PARAMS_MAX)
        return err_set(e, ERR_SERIALIZATION, "The request has %zu parameters, more than %d", f->n_query, PARAMS_MAX);
    for (size_t i = 0; i < f->n_query; i++) {
        if (is_protocols(f->query[i].name)) continue;
        if (str_bad_utf8(f->query[i].name) >= 0 || str_bad_utf8(f->query[i].value) >= 0)
            return err_set(e, ERR_SERIALIZATION, "The request's parameter %zu is not UTF-8", i + 1);
        if (add(a, ret, &f->query[i], e)) return -1;
    }
    return 0;
}

struct numbered {
    int64_t n;
    const struct json *v;
};

static int by_number(const void *x, const void *y) {
    const struct numbered *a = x, *b = y;
    return a->n < b->n ? -1 : a->n > b->n;
}

int query_list(struct arena *a, const struct json *v, const char *what, struct json *ret, struct err *e) {
    if (json_is(json_get(v, "member"), JSON_OBJ)) v = json_get(v, "member");
    *ret = json_make_arr();
    if (json_is(v, JSON_STR) && !v->s.n) return 0; /* how clients write an empty list */
    if (!json_is(v, JSON_OBJ)) return malformed(str_c(what), "is no list", e);
    struct numbered *all = ARENA_ARRAY(a, struct numbered, v->n + 1);
    for (uint32_t i = 0; i < v->n; i++) {
        all[i].v = &v->members[i].value;
        if (!str_i64(v->members[i].key, &all[i].n) || all[i].n < 1)
            return malformed(str_c(what), "is a list whose members are numbered from 1", e);
    }
    qsort(all, v->n, sizeof *all, by_number);
    for (uint32_t i = 0; i < v->n; i++) json_push(a, ret, *all[i].v);
    return 0;
}

/* == answers ========================================================================================================
 */

static const char *namespace_of(enum aws_service s) {
    return s == AWS_SQS   ? "http://queue.amazonaws.com/doc/2012-11-05/"
           : s == AWS_SES ? "http://ses.amazonaws.com/doc/2010-12-01/"
                          : "https://sts.amazonaws.com/doc/2011-06-15/";
}

static void send(struct face *f, struct http_response *res) {
    face_set(res, "Content-Type", STR("text/xml"));
    face_set(res, "x-amzn-RequestId", f->r->request_id);
    face_send(f, res);
}

/* SES version 1 has other names for two errors that its version 2 has. */
static const char *code_of(const struct face *f, const struct err *e) {
    const char *name = err_name_of(e);
    if (!strcmp(name, "SerializationException")) return "MalformedQueryString";
    if (f->service == AWS_SES && !strcmp(name, "BadRequestException")) return "InvalidParameterValue";
    return face_sqs_query_code(e);
}

void face_query_error(struct face *f, const struct err *e) {
    struct http_response res;
    int status = err_status_of(e);
    http_response_init(&res, status);
    buf_printf(&res.body, "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"%s\"><Error>", namespace_of(f->service));
    face_xml(&res.body, "Type", status >= 500 ? STR("Receiver") : STR("Sender"));
    face_xml(&res.body, "Code", str_c(code_of(f, e)));
    face_xml(&res.body, "Message", str_c(e->msg));
    buf_c(&res.body, "<Detail/></Error>");
    face_xml(&res.body, "RequestId", f->r->request_id);
    buf_c(&res.body, "</ErrorResponse>");
    send(f, &res);
}

static void write_plain(struct buf *b, const struct json *result) {
    for (uint32_t i = 0; i < result->n; i++)
        if (json_is(&result->members[i].value, JSON_STR))
            face_xml(b, result->members[i].key.p, result->members[i].value.s);
}

static void write_result(struct buf *b, const struct query *q, struct aws_call *c) {
    if (q->f->service == AWS_SQS)
        query_sqs_result(b, q->f->action, &c->result);
    else if (q->f->service == AWS_SES)
        query_ses_result(b, q->f, &q->tree, c);
    else
        write_plain(b, &c->result);
}

/* SQS's actions whose answer has no members have no result element; an empty list has one. */
static bool has_result(const struct face *f) {
    static const char *const none[] = {"AddPermission",      "RemovePermission", "ChangeMessageVisibility",
                                       "DeleteMessage",      "DeleteQueue",      "PurgeQueue",
                                       "SetQueueAttributes", "TagQueue",         "UntagQueue"};
    for (size_t i = 0; f->service == AWS_SQS && i < sizeof none / sizeof *none; i++)
        if (str_is(f->action, none[i])) return false;
    return true;
}

/* "<ActionResponse xmlns=..><ActionResult>..</ActionResult><ResponseMetadata>..". */
static void done(struct aws_call *c, void *ud) {
    struct query *q = ud;
    struct face *f = q->f;
    struct buf body = BUF_MAX(XML_MAX);
    struct http_response res;
    if (!c->err.code && f->service == AWS_SQS) face_fix_queue_urls(f, c);
    if (!c->err.code || f->service == AWS_SES) write_result(&body, q, c);
    if (!c->err.code) buf_check(&body, "the answer", &c->err);
    struct err e = c->err;
    aws_call_free(c);
    if (e.code) {
        buf_free(&body);
        face_query_error(f, &e);
        return;
    }
    http_response_init(&res, 200);
    buf_printf(&res.body, "<?xml version=\"1.0\"?>\n<%.*sResponse xmlns=\"%s\">", STR_ARG(f->action),
               namespace_of(f->service));
    if (has_result(f)) {
        buf_printf(&res.body, "<%.*sResult>", STR_ARG(f->action));
        buf_str(&res.body, buf_view(&body));
        buf_printf(&res.body, "</%.*sResult>", STR_ARG(f->action));
    }
    buf_c(&res.body, "<ResponseMetadata>");
    face_xml(&res.body, "RequestId", f->r->request_id);
    buf_printf(&res.body, "</ResponseMetadata></%.*sResponse>", STR_ARG(f->action));
    buf_free(&body);
    send(f, &res);
}

/* == requests =======================================================================================================
 */

static int check_version(const struct face *f, struct err *e) {
    static const char *const known[] = {"2012-11-05", "2011-10-01", "2009-02-01", "2011-06-15", "2010-12-01"};
    struct str version = face_param(f, "Version");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!version.n || str_is(version, known[i])) return 0;
    return err_service(e, "NoSuchVersion", 400, false, "The requested version ( %.*s ) of service %s does not exist",
                       STR_ARG(str_take(version, 40)), aws_service_name(f->service));
}

static int check_request(const struct face *f, struct err *e) {
    if (!str_is(f->r->method, "POST") && !str_is(f->r->method, "GET"))
        return err_service(e, "MethodNotAllowed", 405, false,
                           "%.*s is no method of this protocol: it takes GET and POST",
                           STR_ARG(str_take(f->r->method, 20)));
    if (!f->action.n)
        return err_service(e, "MissingAction", 400, false, "The request must contain the parameter Action.");
    return check_version(f, e);
}

/* A known action is made of letters only, so that it can be part of the answer's elements. */
static struct aws_call *engine_call(struct query *q, struct err *e) {
    struct face *f = q->f;
    struct aws_call *c = aws_call_named(f->service, f->action);
    if (c->op == AWS_OTHER || !f->conn->local->fns[c->op]) {
        err_set(e, ERR_UNKNOWN_OPERATION, "The action %.*s is not valid for this web service.",
                STR_ARG(str_take(f->action, 128)));
        goto out;
    }
    if (f->service == AWS_SQS ? query_sqs_params(&c->arena, f->action, &q->tree, &c->params, e) : 0) goto out;
    if (f->service == AWS_SQS && !json_get(&c->params, "QueueUrl") && str_chr(f->r->path, '/', 1) > 0)
        json_set(&c->arena, &c->params, "QueueUrl", json_make_str(f->r->path)); /* "POST /123456789012/queue" */
    return c;
out:
    aws_call_free(c);
    return NULL;
}

void face_query(struct face *f) {
    struct query *q = ARENA_NEW(f->r->arena, struct query);
    struct aws_call *c = NULL;
    struct err e = {0};
    q->f = f;
    if (!check_request(f, &e) && !query_tree(f, f->r->arena, &q->tree, &e))
        c = f->service == AWS_SES ? query_ses_call(f, &q->tree, &e) : engine_call(q, &e);
    if (c)
        face_start(f, c, done, q);
    else
        face_query_error(f, &e);
}
