/* host_functions.c: the little of Lambda's API that the cloud port of `perigee serve` has, for tests and tools: Invoke
 * (POST /2015-03-31/functions/NAME/invocations, RequestResponse) and ListEventSourceMappings, whose State says whether
 * this process polls the queue itself. Like /_perigee/cloud/ it is there with --control, or in development for clients
 * of this machine, and nothing is signed. */
#include "base/crypto.h"
#include "base/url.h"
#include "host.h"
#include <string.h>

#define ROOT "/2015-03-31/"
#define FUNCTIONS ROOT "functions/"
#define INVOCATIONS "/invocations"
#define MAPPINGS ROOT "event-source-mappings"

struct function_call {
    struct arena *arena; /* the request's */
    http_reply_fn *reply;
    void *ud;
    char id[37];
    struct script_invocation invocation;
};

/* == answers ======================================================================================================= */

static void answer(http_reply_fn *reply, void *ud, struct http_response *res) {
    struct err e = {0};
    if (http_set(res, STR("Content-Type"), STR("application/json"), &e)) fatal("%s", e.msg);
    reply(ud, res);
}

/* As Lambda's errors are: the type in a header, the message in the body. */
static void refuse(struct http_request *r, http_reply_fn *reply, void *ud, int status, const char *type,
                   const char *message) {
    struct http_response res;
    struct err e = {0};
    struct json body = json_make_obj();
    http_response_init(&res, status);
    if (http_set(&res, STR("x-amzn-ErrorType"), str_c(type), &e)) fatal("%s", e.msg);
    json_set(r->arena, &body, "Type", json_make_c("User"));
    json_set(r->arena, &body, "Message", json_make_str(arena_str(r->arena, str_c(message))));
    json_write(&res.body, &body);
    answer(reply, ud, &res);
}

/* == Invoke ======================================================================================================== */

static void on_outcome(void *ud, struct route_outcome *o) {
    struct function_call *c = ud;
    struct http_response res;
    struct err e = {0};
    bool failed = o->err.code != ERR_NONE;
    http_response_init(&res, 200);
    if (http_set(&res, STR("x-amzn-RequestId"), str_c(c->id), &e) ||
        http_set(&res, STR("X-Amz-Executed-Version"), STR("$LATEST"), &e) ||
        (failed && http_set(&res, STR("X-Amz-Function-Error"), STR("Unhandled"), &e)))
        fatal("%s", e.msg);
    if (failed && !o->body.n)
        lambda_error_document(&res.body, &o->err, o->error_type, o->traceback, str_c(c->id));
    else
        buf_str(&res.body, buf_view(&o->body));
    buf_free(&o->body);
    answer(c->reply, c->ud, &res);
}

static struct function_call *call_new(struct worker *w, const struct function *f, struct http_request *r,
                                      http_reply_fn *reply, void *ud) {
    const struct aws_identity *own = &cloud_backend(&w->conn)->id;
    struct function_call *c = ARENA_NEW(r->arena, struct function_call);
    *c = (struct function_call){.arena = r->arena, .reply = reply, .ud = ud};
    crypto_uuid4(c->id);
    c->invocation = (struct script_invocation){
        .arn = host_function_arn(r->arena, own, f),
        .function_version = STR("$LATEST"),
        .log_group = arena_printf(r->arena, "/aws/lambda/%.*s", STR_ARG(f->name)),
        .log_stream = STR("invoke"),
        .deadline_unix_ms = clock_ms(w->host->clock) + f->timeout_ms,
    };
    return c;
}

static void invoke(struct worker *w, struct str name, struct http_request *r, http_reply_fn *reply, void *ud) {
    const struct app *app = w->host->app;
    const struct function *f = NULL;
    struct str decoded = name;
    url_decode(r->arena, name, false, &decoded, NULL);
    f = app_function(app, decoded);
    if (!f) {
        refuse(r, reply, ud, 404, "ResourceNotFoundException", "the template has no such function");
        return;
    }
    worker_refresh(w);
    struct function_call *c = call_new(w, f, r, reply, ud);
    const struct route_invocation in = {.function = f,
                                        .request_id = str_c(c->id),
                                        .payload = r->body.n ? r->body : STR("{}"),
                                        .arena = r->arena,
                                        .report_failures = host_reports_failures(app, f),
                                        .invocation = &c->invocation};
    route_invoke(w->route, &in, on_outcome, c);
}

/* == ListEventSourceMappings ======================================================================================= */

static void list_mappings(struct worker *w, struct http_request *r, http_reply_fn *reply, void *ud) {
    const struct aws_identity *own = &cloud_backend(&w->conn)->id;
    const struct app *app = w->host->app;
    struct arena *a = r->arena;
    struct json body = json_make_obj(), rows = json_make_arr();
    struct http_response res;
    for (size_t i = 0; i < app->n_feeds; i++) {
        const struct app_feed *f = &app->feeds[i];
        struct json row = json_make_obj();
        json_set(a, &row, "FunctionArn", json_make_str(host_function_arn(a, own, f->function)));
        json_set(a, &row, "EventSourceArn",
                 json_make_str(arena_printf(a, "arn:%.*s:sqs:%.*s:%.*s:%.*s", STR_ARG(own->partition),
                                            STR_ARG(own->region), STR_ARG(own->account), STR_ARG(f->queue))));
        json_set(a, &row, "BatchSize", json_make_i64(a, f->batch_size));
        json_set(a, &row, "State", json_make_c(f->enabled && w->host->config.feeds ? "Enabled" : "Disabled"));
        json_push(a, &rows, row);
    }
    json_set(a, &body, "EventSourceMappings", rows);
    http_response_init(&res, 200);
    json_write(&res.body, &body);
    answer(reply, ud, &res);
}

/* == all =========================================================================================================== */

bool host_functions(struct worker *w, struct http_request *r, http_reply_fn *reply, void *ud) {
    bool functions = str_starts(r->path, STR(FUNCTIONS)) && str_ends(r->path, STR(INVOCATIONS));
    bool mappings = str_is(r->path, MAPPINGS) || str_is(r->path, MAPPINGS "/");
    struct err e = {0};
    if (!functions && !mappings) return false;
    if (local_may_control(w->conn.local, r, &e))
        refuse(r, reply, ud, 403, "AccessDeniedException", e.msg);
    else if (mappings && str_is(r->method, "GET"))
        list_mappings(w, r, reply, ud);
    else if (functions && str_is(r->method, "POST") && r->path.n > sizeof FUNCTIONS + sizeof INVOCATIONS - 2)
        invoke(w, str_n(r->path.p + sizeof FUNCTIONS - 1, r->path.n - sizeof FUNCTIONS - sizeof INVOCATIONS + 2), r,
               reply, ud);
    else
        refuse(r, reply, ud, 405, "MethodNotAllowedException", "functions are invoked by POST, mappings listed by GET");
    return true;
}
