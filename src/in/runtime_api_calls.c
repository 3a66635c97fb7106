/* runtime_api_calls: the endpoints. What a request may do is decided at its head; it is answered at its end.
 *
 * The state machine is AWS's (runtime interface emulator, core/states.go): Started -> /next -> Ready -> Running ->
 * /response or /error -> ResponseSent -> /next. /next while an event runs gives the same event again; with more than
 * one at a time it waits for another. */
#include "base/crypto.h"
#include "base/json.h"
#include "in/runtime_api.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_BODY = 256 * 1024, ERROR_BODY = RUNTIME_PAYLOAD_MAX, EXTENSIONS_MAX = 10 };

struct endpoint {
    const char *method, *path; /* "*" is one segment, call->id */
    /* At the head: what refuses the request. May be NULL. */
    void (*head)(struct runtime_api *r, struct api_call *c);
    /* The request was read whole and not refused: answers it, now or later. */
    void (*end)(struct runtime_api *r, struct api_call *c);
};

struct api_call {
    struct list node; /* of waiting polls */
    struct api_conn *conn;
    const struct endpoint *endpoint;
    struct str id; /* of the path */
    struct invocation *invocation;
    struct extension *extension; /* that waits */
    struct buf body;
    bool too_large;
    struct { /* status 0: not refused */
        int status;
        const char *type;
        char message[256];
    } refused;
};

static struct str header(const struct api_call *c, const char *name) {
    return http1_header(&c->conn->http, name);
}

static void refuse(struct api_call *c, int status, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(struct api_call *c, int status, const char *type, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->refused.message, sizeof c->refused.message, fmt, args);
    va_end(args);
    c->refused.status = status;
    c->refused.type = type;
}

static void accepted(struct api_call *c) {
    api_answer(c->conn, 202, STR_NONE, STR("application/json"), STR("{\"status\":\"OK\"}\n"), true);
}

/* == states ======================================================================================================== */

static const char *state_name(const struct runtime_api *r, const struct invocation *v) {
    static const char *const names[] = {"Ready", "Running", "InvocationResponse", "ResponseSent", "ResponseSent"};
    if (v) return names[v->state];
    return r->state == ENV_STARTED ? "Started" : r->state == ENV_READY ? "Ready" : "InitError";
}

static void wrong_state(struct runtime_api *r, struct api_call *c, const struct invocation *v, const char *wanted) {
    refuse(c, 403, "InvalidStateTransition",
           "State transition from %s to %s failed for runtime. Error: State transition is not allowed",
           state_name(r, v), wanted);
}

static struct invocation *only_one(struct runtime_api *r) {
    if (r->cfg.concurrency > 1 || list_empty(&r->running)) return NULL;
    return CONTAINER(r->running.next, struct invocation, node);
}

/* == /next ========================================================================================================= */

static struct str trace_of(const struct invocation *v) {
    return v->event.trace.n ? v->event.trace : str_c(v->trace);
}

static void send_event(struct api_conn *conn, const struct invocation *v) {
    struct buf h = BUF_MAX(1 << 20);
    char deadline[24];
    const struct runtime_event *e = &v->event;
    snprintf(deadline, sizeof deadline, "%lld", (long long)v->deadline_ms);
    api_header(&h, "Lambda-Runtime-Aws-Request-Id", str_c(v->id));
    api_header(&h, "Lambda-Runtime-Invocation-Id", str_c(v->nonce));
    api_header(&h, "Lambda-Runtime-Trace-Id", trace_of(v));
    api_header(&h, "Lambda-Runtime-Client-Context", e->client_context);
    api_header(&h, "Lambda-Runtime-Cognito-Identity", e->identity);
    api_header(&h, "Lambda-Runtime-Invoked-Function-Arn", str_c(v->api->cfg.arn));
    api_header(&h, "Lambda-Runtime-Deadline-Ms", str_c(deadline));
    api_header(&h, "Lambda-Runtime-Aws-Tenant-Id", e->tenant_id);
    api_answer(conn, 200, buf_view(&h), e->content_type.n ? e->content_type : STR("application/json"), e->payload,
               true);
    buf_free(&h);
}

static void next_end(struct runtime_api *r, struct api_call *c) {
    struct invocation *v = only_one(r);
    if (r->state == ENV_FAILED || (v && v->state == INVOCATION_RESPONDING)) {
        wrong_state(r, c, v, "Ready");
        api_refuse(c->conn, c->refused.status, c->refused.type, "%s", c->refused.message);
        return;
    }
    runtime_initialized(r);
    if (v && v->state == INVOCATION_RUNNING) {
        send_event(c->conn, v);
        return;
    }
    size_t waiting = 0;
    for (struct list *n = r->polls.next; n != &r->polls; n = n->next) waiting++;
    if (r->cfg.concurrency > 1 && waiting >= r->cfg.concurrency) {
        api_refuse(c->conn, 500, "Runtime.TooManyIdleRuntimes", "more than %u runtimes wait for an event",
                   r->cfg.concurrency);
        return;
    }
    list_add(&r->polls, &c->node);
    program_drain(r);
    if (v) invocation_end(v);
    runtime_dispatch(r);
}

static bool extensions_are_ready(const struct runtime_api *r) {
    for (struct list *n = r->extensions.next; n != &r->extensions; n = n->next) {
        const struct extension *x = CONTAINER(n, struct extension, node);
        if (x->wants_invoke && !x->poll) return false;
    }
    return true;
}

bool runtime_has_poll(const struct runtime_api *r) {
    return !list_empty(&r->polls) && extensions_are_ready(r);
}

static void tell_extension(struct extension *x, const struct invocation *v) {
    struct buf b = BUF_MAX(1 << 20), h = BUF_MAX(4096);
    char id[37];
    struct api_call *c = x->poll;
    x->poll = NULL;
    c->extension = NULL;
    crypto_uuid4(id);
    api_header(&h, "Lambda-Extension-Event-Identifier", str_c(id));
    buf_printf(&b, "{\"eventType\":\"INVOKE\",\"deadlineMs\":%lld,\"requestId\":\"%s\",\"invokedFunctionArn\":",
               (long long)v->deadline_ms, v->id);
    json_write_str(&b, str_c(v->api->cfg.arn));
    buf_c(&b, ",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":");
    json_write_str(&b, trace_of(v));
    buf_c(&b, "}}");
    api_answer(c->conn, 200, buf_view(&h), STR("application/json"), buf_view(&b), true);
    buf_free(&b);
    buf_free(&h);
}

/* Alone, an event goes to whoever waits: AWS's does not tell two polls of one runtime apart. */
void runtime_deliver(struct runtime_api *r, struct invocation *v) {
    for (struct list *n = r->extensions.next; n != &r->extensions; n = n->next) {
        struct extension *x = CONTAINER(n, struct extension, node);
        if (x->wants_invoke && x->poll) tell_extension(x, v);
    }
    do {
        struct api_call *c = CONTAINER(list_pop(&r->polls), struct api_call, node);
        send_event(c->conn, v);
    } while (r->cfg.concurrency == 1 && !list_empty(&r->polls));
}

/* == /response ===================================================================================================== */

/* The invocation of the path, if it may be answered now. */
static struct invocation *find_running(struct runtime_api *r, struct api_call *c, const char *wanted) {
    struct invocation *v = runtime_find(r, c->id);
    struct str nonce = header(c, "lambda-runtime-invocation-id");
    if (!v)
        refuse(c, 400, "InvalidRequestID", "Invalid request ID");
    else if (v->state == INVOCATION_EXPIRED || (nonce.n && !str_is(nonce, v->nonce)))
        refuse(c, 410, "InvokeTimeout", "The invocation has timed out, or its id is stale");
    else if (v->state != INVOCATION_RUNNING)
        wrong_state(r, c, v, wanted);
    else
        return v;
    if (v && v->state == INVOCATION_EXPIRED) invocation_free(v);
    return NULL;
}

static void take(struct api_call *c, struct invocation *v) {
    v->state = INVOCATION_RESPONDING;
    v->answering = c;
    c->invocation = v;
}

/* The answer is there: with others beside it, that is its end. */
static void sent(struct invocation *v) {
    struct runtime_api *r = v->api;
    v->state = INVOCATION_SENT;
    if (v->answering) runtime_forget_call(v->answering);
    if (r->cfg.concurrency == 1) return;
    program_drain(r);
    invocation_end(v);
}

static void pass_on(struct invocation *v, struct str bytes) {
    struct str type = header(v->answering, "content-type");
    size_t waiting = v->event.part(v->event.ud, type, bytes);
    if (waiting > HTTP_STREAM_HIGH) api_pause(v->answering->conn, true);
}

static void response_head(struct runtime_api *r, struct api_call *c) {
    struct str mode = header(c, "lambda-runtime-function-response-mode");
    struct invocation *v = find_running(r, c, "InvocationResponse");
    if (!v) return;
    if (mode.n && !str_is(mode, "streaming")) {
        refuse(c, 400, "InvalidFunctionResponseMode", "Invalid function response mode");
        invocation_fail(v, "Runtime.InvalidResponseModeHeader", "Invalid function response mode");
        sent(v);
        return;
    }
    take(c, v);
    v->streaming = mode.n && v->event.part;
    if (v->streaming) pass_on(v, STR(""));
}

static void response_body(struct api_call *c, struct str part) {
    struct invocation *v = c->invocation;
    if (!v) return;
    if (v->streaming) {
        pass_on(v, part);
        return;
    }
    buf_str(&v->answer, part);
    c->too_large = v->answer.over;
}

static void too_large(struct api_call *c) {
    struct invocation *v = c->invocation;
    invocation_fail(v, "Function.ResponseSizeTooLarge",
                    "Response payload size exceeded maximum allowed payload size (%d bytes).", RUNTIME_PAYLOAD_MAX);
    sent(v);
    api_refuse(c->conn, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (%d bytes).",
               RUNTIME_PAYLOAD_MAX);
}

/* An error in trailers: the type plain, the document in base64. */
static void answer_with_trailers(struct api_call *c, struct invocation *v, struct str type) {
    struct buf doc = BUF_MAX(ERROR_BODY);
    char clean[80];
    struct str encoded = header(c, "lambda-runtime-function-error-body");
    report_error_type(type, clean);
    if (!encoded.n || !crypto_unbase64(&doc, encoded)) {
        buf_clear(&doc);
        report_error(&doc, clean, STR("the answer was broken off by the runtime"));
    }
    invocation_answer(v, clean, STR("application/json"), buf_view(&doc));
    buf_free(&doc);
}

static void response_end(struct runtime_api *r, struct api_call *c) {
    struct invocation *v = c->invocation;
    struct str type = header(c, "lambda-runtime-function-error-type");
    (void)r;
    if (!v) {
        refuse(c, 410, "InvokeTimeout", "The invocation has timed out");
        api_refuse(c->conn, 410, c->refused.type, "%s", c->refused.message);
        return;
    }
    if (c->too_large) {
        too_large(c);
        return;
    }
    if (c->conn->http.chunked && type.n)
        answer_with_trailers(c, v, type);
    else
        invocation_answer(v, NULL, header(c, "content-type"), buf_view(&v->answer));
    sent(v);
    accepted(c);
}

/* Cut off. What was passed on cannot be taken back; else the runtime may try again. */
static void response_gone(struct api_call *c) {
    struct invocation *v = c->invocation;
    if (!v) return;
    runtime_forget_call(c);
    if (v->streaming) {
        invocation_fail(v, "Runtime.TruncatedResponse", "the answer was cut off");
        sent(v);
        return;
    }
    v->state = INVOCATION_RUNNING;
    buf_free(&v->answer);
}

/* == /error ======================================================================================================== */

static void error_head(struct runtime_api *r, struct api_call *c) {
    struct invocation *v = find_running(r, c, "InvocationErrorResponse");
    if (v) take(c, v);
}

static void error_end(struct runtime_api *r, struct api_call *c) {
    struct invocation *v = c->invocation;
    struct str type = header(c, "content-type");
    char clean[80];
    if (!v || c->too_large) {
        response_end(r, c);
        return;
    }
    report_error_type(header(c, "lambda-runtime-function-error-type"), clean);
    invocation_answer(v, clean, type.n ? type : STR("application/json"), buf_view(&v->answer));
    sent(v);
    accepted(c);
}

static void init_error_head(struct runtime_api *r, struct api_call *c) {
    if (r->state != ENV_STARTED) wrong_state(r, c, only_one(r), "InitError");
}

static void init_error_end(struct runtime_api *r, struct api_call *c) {
    char clean[80];
    report_error_type(header(c, "lambda-runtime-function-error-type"), clean);
    runtime_init_failed(r, clean, STR("application/json"), buf_view(&c->body));
    accepted(c);
}

/* == extensions ==================================================================================================== */

static bool read_events(struct api_call *c, struct extension *x) {
    struct arena a = {0};
    struct json doc;
    struct err e = {0};
    const struct json_limits limits = {.duplicate_keys = true};
    bool fine = !json_parse(&a, buf_view(&c->body), &limits, &doc, &e) && json_is(&doc, JSON_OBJ);
    const struct json *events = fine ? json_get(&doc, "events") : NULL;
    if (!fine) refuse(c, 403, "InvalidRequestFormat", "%.200s", e.msg);
    for (uint32_t i = 0; json_is(events, JSON_ARR) && i < events->n && !c->refused.status; i++) {
        struct str event = json_str(&events->items[i]);
        if (str_is(event, "INVOKE"))
            x->wants_invoke = true;
        else
            refuse(c, 403, "Extension.InvalidEventType", "%.*s: %s", (int)(event.n > 80 ? 80 : event.n),
                   event.n ? event.p : "", "event type is not supported for internal extensions");
    }
    arena_free(&a);
    return !c->refused.status;
}

static bool may_register(struct runtime_api *r, struct api_call *c, struct str name) {
    size_t n = 0;
    bool taken = false;
    for (struct list *i = r->extensions.next; i != &r->extensions; i = i->next, n++)
        taken = taken || str_eq(CONTAINER(i, struct extension, node)->name, name);
    if (!name.n)
        refuse(c, 403, "Extension.InvalidExtensionName", "Empty extension name");
    else if (r->state != ENV_STARTED)
        refuse(c, 403, "Extension.RegistrationClosed", "Extension registration closed already");
    else if (taken)
        refuse(c, 403, "Extension.InvalidExtensionState", "Extension with this name already registered");
    else if (n == EXTENSIONS_MAX)
        refuse(c, 403, "Extension.TooManyExtensions", "Extension limit (%d) reached", EXTENSIONS_MAX);
    return !c->refused.status;
}

static void registered(struct runtime_api *r, struct api_call *c, const struct extension *x) {
    struct buf b = BUF_MAX(1 << 16), h = BUF_MAX(256);
    api_header(&h, "Lambda-Extension-Identifier", str_c(x->id));
    buf_c(&b, "{\"functionName\":");
    json_write_str(&b, str_c(r->cfg.function_name));
    buf_c(&b, ",\"functionVersion\":\"$LATEST\",\"handler\":");
    json_write_str(&b, str_c(r->cfg.handler ? r->cfg.handler : ""));
    if (str_find(header(c, "lambda-extension-accept-feature"), STR("accountId"), 0) >= 0) {
        buf_c(&b, ",\"accountId\":");
        json_write_str(&b, str_c(r->cfg.account ? r->cfg.account : "000000000000"));
    }
    buf_c(&b, "}\n");
    api_answer(c->conn, 200, buf_view(&h), STR("application/json"), buf_view(&b), true);
    buf_free(&b);
    buf_free(&h);
}

static void register_end(struct runtime_api *r, struct api_call *c) {
    struct str name = header(c, "lambda-extension-name");
    struct extension x = {.name = name};
    if (!may_register(r, c, name) || !read_events(c, &x)) {
        api_refuse(c->conn, c->refused.status, c->refused.type, "%s", c->refused.message);
        return;
    }
    struct extension *kept = ARENA_NEW(&r->env_arena, struct extension);
    *kept = x;
    kept->name = arena_str(&r->env_arena, name);
    crypto_uuid4(kept->id);
    list_add(&r->extensions, &kept->node);
    registered(r, c, kept);
}

static struct extension *find_extension(struct runtime_api *r, struct api_call *c) {
    struct str id = header(c, "lambda-extension-identifier");
    for (struct list *i = r->extensions.next; id.n && i != &r->extensions; i = i->next)
        if (str_is(id, CONTAINER(i, struct extension, node)->id)) return CONTAINER(i, struct extension, node);
    if (!id.n)
        refuse(c, 403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header");
    else
        refuse(c, 403, "Extension.UnknownExtensionIdentifier", "Unknown extension %.*s", (int)(id.n > 40 ? 40 : id.n),
               id.p);
    return NULL;
}

static void extension_head(struct runtime_api *r, struct api_call *c) {
    c->extension = find_extension(r, c);
}

/* The last poll of an extension counts. One without events waits for ever: it is there to be told of SIGTERM. */
static void extension_next_end(struct runtime_api *r, struct api_call *c) {
    c->extension->poll = c;
    runtime_dispatch(r);
}

/* init/error and exit/error: what the extension says stands in the log. */
static void extension_error_end(struct runtime_api *r, struct api_call *c) {
    char type[80];
    snprintf(type, sizeof type, "%.*s", STR_ARG(header(c, "lambda-extension-function-error-type")));
    report_line(r, "EXTENSION Name: %.*s\tState: Failed\tError Type: %s", STR_ARG(c->extension->name), type);
    list_del(&c->extension->node);
    c->extension = NULL;
    accepted(c);
}

/* == what AWS's has not locally either ============================================================================= */

static void ping_end(struct runtime_api *r, struct api_call *c) {
    (void)r;
    api_answer(c->conn, 200, STR_NONE, STR("text/plain; charset=utf-8"), STR("pong"), true);
}

static void telemetry_end(struct runtime_api *r, struct api_call *c) {
    (void)r;
    bool logs = str_starts(c->conn->http.target, STR("/2020-08-15/"));
    api_refuse(c->conn, 202, logs ? "Logs.NotSupported" : "Telemetry.NotSupported", "%s API is not supported",
               logs ? "Logs" : "Telemetry");
}

/* == requests ====================================================================================================== */

static const struct endpoint endpoints[] = {
    {"GET", "/2018-06-01/runtime/invocation/next", NULL, next_end},
    {"POST", "/2018-06-01/runtime/invocation/*/response", response_head, response_end},
    {"POST", "/2018-06-01/runtime/invocation/*/error", error_head, error_end},
    {"POST", "/2018-06-01/runtime/init/error", init_error_head, init_error_end},
    {"GET", "/2018-06-01/ping", NULL, ping_end},
    {"POST", "/2020-01-01/extension/register", NULL, register_end},
    {"GET", "/2020-01-01/extension/event/next", extension_head, extension_next_end},
    {"POST", "/2020-01-01/extension/init/error", extension_head, extension_error_end},
    {"POST", "/2020-01-01/extension/exit/error", extension_head, extension_error_end},
    {"PUT", "/2020-08-15/logs", NULL, telemetry_end},
    {"PUT", "/2022-07-01/telemetry", NULL, telemetry_end},
    {0},
};

static bool matches(const char *pattern, struct str path, struct str *ret_id) {
    struct str want = str_c(pattern);
    while (want.p && path.p) {
        struct str a = str_cut(&want, '/'), b = str_cut(&path, '/');
        if (str_is(a, "*"))
            *ret_id = b;
        else if (!str_eq(a, b))
            return false;
    }
    return !want.p && !path.p;
}

static void find_endpoint(struct api_call *c) {
    struct str rest = c->conn->http.target, path = str_cut(&rest, '?');
    c->refused.status = 404;
    c->refused.type = "NotFound";
    for (const struct endpoint *p = endpoints; p->method; p++) {
        if (!matches(p->path, path, &c->id)) continue;
        c->refused.status = str_is(c->conn->http.method, p->method) ? 0 : 405;
        if (c->refused.status) continue;
        c->endpoint = p;
        return;
    }
    snprintf(c->refused.message, sizeof c->refused.message, "%.*s %.*s is no call of the Runtime API",
             (int)(c->conn->http.method.n > 16 ? 16 : c->conn->http.method.n), c->conn->http.method.p,
             (int)(path.n > 160 ? 160 : path.n), path.p);
}

static void free_body(void *ud) {
    buf_free(ud);
}

static void on_head(void *ud, struct api_conn *conn) {
    struct arena *a = &conn->http.arena;
    struct api_call *c = ARENA_NEW(a, struct api_call);
    c->conn = conn;
    c->body = BUF_MAX(SMALL_BODY);
    list_init(&c->node);
    arena_defer(a, free_body, &c->body);
    conn->request = c;
    find_endpoint(c);
    if (c->endpoint && c->endpoint->head) c->endpoint->head(ud, c);
}

static void on_body(void *ud, struct api_conn *conn, struct str part) {
    struct api_call *c = conn->request;
    (void)ud;
    if (c->refused.status) return;
    if (c->endpoint->head == response_head || c->endpoint->head == error_head)
        response_body(c, part);
    else
        buf_str(&c->body, part);
}

static void on_end(void *ud, struct api_conn *conn) {
    struct api_call *c = conn->request;
    if (c->body.over) refuse(c, 413, "RequestEntityTooLarge", "the body is larger than %d bytes", SMALL_BODY);
    if (c->refused.status)
        api_refuse(conn, c->refused.status, c->refused.type, "%s", c->refused.message);
    else
        c->endpoint->end(ud, c);
}

static void on_gone(void *ud, struct api_conn *conn) {
    struct api_call *c = conn->request;
    (void)ud;
    list_del(&c->node);
    if (c->extension && c->extension->poll == c) c->extension->poll = NULL;
    response_gone(c);
}

void runtime_forget_call(struct api_call *c) {
    c->invocation->answering = NULL;
    c->invocation = NULL;
    if (c->conn->paused) api_pause(c->conn, false);
}

void runtime_resume_call(struct api_call *c) {
    api_pause(c->conn, false);
}

const struct api_handler runtime_calls = {.head = on_head, .body = on_body, .end = on_end, .gone = on_gone};
