/* runtime_api_invoke: Invoke (2015-03-31) and InvokeWithResponseStream (2021-11-15) of one function, as the service
 * model of Lambda has them. A call outlives its client: what was begun goes on. */
#include "base/crypto.h"
#include "base/json.h"
#include "base/url.h"
#include "in/runtime_api.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAYLOAD_MAX = 6 * 1024 * 1024,
    ASYNC_MAX = 1024 * 1024,
    FRAME_BYTES = 128 * 1024,
    EVENT_DEPTH = 1000,
    HEADERS_MAX = 64 * 1024
};

struct invoke_api {
    struct invoke_api_config cfg;
    struct api_server server;
    struct list calls;
};

enum invoke_kind { INVOKE_NONE, INVOKE_WAIT, INVOKE_ASYNC, INVOKE_DRY, INVOKE_STREAM };

struct invoke_call {
    struct list node;
    struct invoke_api *api;
    struct api_conn *conn; /* NULL: it was answered, or its client is gone */
    enum invoke_kind kind;
    bool too_large, tail, begun, started;
    char id[37];
    struct buf body, context, trace, tenant;
    /* kept until the end, for the log's tail */
    bool failed;
    struct buf answer, log;
};

static void call_free(struct invoke_call *c) {
    struct buf *all[] = {&c->body, &c->context, &c->trace, &c->tenant, &c->answer, &c->log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_free(all[i]);
    list_del(&c->node);
    free(c);
}

/* == answers ======================================================================================================= */

static void put_ids(struct buf *h, const struct invoke_call *c) {
    api_header(h, "x-amzn-RequestId", str_c(c->id));
    api_header(h, "X-Amz-Executed-Version", STR("$LATEST"));
}

/* An error of the service, not of the function. Ends the call. */
static void refuse(struct invoke_call *c, int status, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(struct invoke_call *c, int status, const char *type, const char *fmt, ...) {
    struct buf h = BUF_MAX(HEADERS_MAX), b = BUF_MAX(HEADERS_MAX);
    char text[512], id[37];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    crypto_uuid4(id);
    api_header(&h, "x-amzn-RequestId", str_c(id));
    api_header(&h, "x-amzn-ErrorType", str_c(type));
    buf_c(&b, "{\"Type\":\"User\",\"Message\":");
    json_write_str(&b, str_c(text));
    buf_c(&b, ",\"message\":");
    json_write_str(&b, str_c(text));
    buf_byte(&b, '}');
    c->conn->request = NULL;
    api_answer(c->conn, status, buf_view(&h), STR("application/json"), buf_view(&b), false);
    buf_free(&h);
    buf_free(&b);
    call_free(c);
}

static void put_u32(struct buf *b, uint32_t v) {
    const unsigned char bytes[] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8),
                                   (unsigned char)v};
    buf_add(b, bytes, sizeof bytes);
}

static void put_frame_header(struct buf *b, const char *name, const char *value) {
    buf_byte(b, (char)strlen(name));
    buf_c(b, name);
    buf_byte(b, 7); /* string */
    buf_byte(b, 0);
    buf_byte(b, (char)strlen(value));
    buf_c(b, value);
}

/* application/vnd.amazon.eventstream: lengths, their CRC, headers, payload, CRC of all. */
static size_t send_frame(struct invoke_call *c, const char *event, const char *type, struct str payload) {
    struct buf headers = BUF_MAX(1024), frame = BUF_MAX(2 * FRAME_BYTES + RUNTIME_PAYLOAD_MAX * 8);
    put_frame_header(&headers, ":event-type", event);
    put_frame_header(&headers, ":content-type", type);
    put_frame_header(&headers, ":message-type", "event");
    put_u32(&frame, (uint32_t)(headers.n + payload.n + 16));
    put_u32(&frame, (uint32_t)headers.n);
    put_u32(&frame, crypto_crc32(buf_view(&frame)));
    buf_str(&frame, buf_view(&headers));
    buf_str(&frame, payload);
    put_u32(&frame, crypto_crc32(buf_view(&frame)));
    size_t waiting = api_part(c->conn, buf_view(&frame));
    buf_free(&headers);
    buf_free(&frame);
    return waiting;
}

static size_t send_chunks(struct invoke_call *c, struct str bytes) {
    size_t waiting = 0;
    for (; bytes.n && c->conn; bytes = str_from(bytes, FRAME_BYTES))
        waiting = send_frame(c, "PayloadChunk", "application/octet-stream", str_take(bytes, FRAME_BYTES));
    return c->conn ? waiting : 0;
}

static void begin_stream(struct invoke_call *c) {
    struct buf h = BUF_MAX(HEADERS_MAX);
    if (c->begun) return;
    c->begun = true;
    put_ids(&h, c);
    api_begin(c->conn, 200, buf_view(&h), STR("application/vnd.amazon.eventstream"));
    buf_free(&h);
}

static void end_stream(struct invoke_call *c) {
    struct buf b = BUF_MAX(RUNTIME_PAYLOAD_MAX * 7);
    const char *comma = "";
    begin_stream(c);
    if (c->conn && !c->failed) send_chunks(c, buf_view(&c->answer));
    if (!c->conn) return;
    buf_byte(&b, '{');
    if (c->failed) {
        buf_c(&b, "\"ErrorCode\":\"Unhandled\",\"ErrorDetails\":");
        json_write_str(&b, buf_view(&c->answer));
        comma = ",";
    }
    if (c->tail) buf_printf(&b, "%s\"LogResult\":\"%s\"", comma, buf_cstr(&c->log));
    buf_byte(&b, '}');
    send_frame(c, "InvokeComplete", "application/json", buf_view(&b));
    buf_free(&b);
    if (c->conn) api_end(c->conn);
}

static void end_wait(struct invoke_call *c) {
    struct buf h = BUF_MAX(HEADERS_MAX);
    put_ids(&h, c);
    if (c->failed) api_header(&h, "X-Amz-Function-Error", STR("Unhandled"));
    if (c->tail) api_header(&h, "X-Amz-Log-Result", buf_view(&c->log));
    api_answer(c->conn, 200, buf_view(&h), STR("application/json"), buf_view(&c->answer), false);
    buf_free(&h);
}

static void tell(struct invoke_call *c) {
    struct api_conn *conn = c->conn;
    if (!conn) return;
    if (c->kind == INVOKE_STREAM)
        end_stream(c);
    else
        end_wait(c);
    c->conn = NULL; /* it may carry other requests by now */
}

/* == what the runtime says ========================================================================================= */

static size_t on_part(void *ud, struct str content_type, struct str bytes) {
    struct invoke_call *c = ud;
    (void)content_type;
    if (!c->conn) return 0;
    begin_stream(c);
    return c->conn ? send_chunks(c, bytes) : 0;
}

static void on_done(void *ud, const char *error, struct str content_type, struct str body) {
    struct invoke_call *c = ud;
    (void)content_type;
    c->failed = error != NULL;
    buf_str(&c->answer, body);
    if (!c->tail) tell(c);
    if (c->kind == INVOKE_ASYNC && error)
        log_event(c->api->cfg.log, LOG_WARN, "an asynchronous invocation failed", "sS", "request_id", c->id, "error",
                  str_take(body, 2048));
}

static void on_ended(void *ud, struct str tail) {
    struct invoke_call *c = ud;
    crypto_base64(&c->log, tail);
    if (c->tail) tell(c);
    call_free(c);
}

/* == requests ====================================================================================================== */

/* A name, a partial ARN (000000000000:function:name) or an ARN, each perhaps with a qualifier. */
static bool names_ours(const struct invoke_api *a, struct str name) {
    ptrdiff_t at = str_find(name, STR(":function:"), 0);
    if (str_starts(name, STR("arn:"))) {
        if (!str_starts(name, str_c(a->cfg.arn))) return false;
        name = str_from(name, strlen(a->cfg.arn));
        return !name.n || name.p[0] == ':';
    }
    if (at >= 0) name = str_from(name, (size_t)at + strlen(":function:"));
    return str_is(str_cut(&name, ':'), a->cfg.function_name);
}

static bool is_ours(const struct invoke_api *a, struct str path, const char *before, const char *after) {
    struct arena arena = {0};
    struct str name = str_from(path, strlen(before)), decoded = STR_NONE;
    struct err e;
    bool ours =
        !url_decode(&arena, str_take(name, name.n - strlen(after)), false, &decoded, &e) && names_ours(a, decoded);
    arena_free(&arena);
    return ours;
}

/* NONE: another call, or another function. */
static enum invoke_kind find_call(const struct invoke_api *a, struct str target, bool *ret_known) {
    static const char *const paths[][2] = {{"/2015-03-31/functions/", "/invocations"},
                                           {"/2021-11-15/functions/", "/response-streaming-invocations"}};
    struct str path = str_cut(&target, '?');
    *ret_known = false;
    for (size_t i = 0; i < 2; i++) {
        if (!str_starts(path, str_c(paths[i][0])) || !str_ends(path, str_c(paths[i][1]))) continue;
        if (path.n <= strlen(paths[i][0]) + strlen(paths[i][1])) continue;
        *ret_known = true;
        if (is_ours(a, path, paths[i][0], paths[i][1])) return i ? INVOKE_STREAM : INVOKE_WAIT;
    }
    return INVOKE_NONE;
}

static void on_head(void *ud, struct api_conn *conn) {
    struct invoke_call *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory for a call");
    c->api = ud;
    c->conn = conn;
    c->body = BUF_MAX(PAYLOAD_MAX);
    c->context = c->trace = c->tenant = BUF_MAX(HEADERS_MAX);
    c->answer = BUF_MAX(RUNTIME_PAYLOAD_MAX * 2);
    c->log = BUF_MAX(16384);
    list_add(&c->api->calls, &c->node);
    conn->request = c;
}

static void on_body(void *ud, struct api_conn *conn, struct str part) {
    struct invoke_call *c = conn->request;
    (void)ud;
    buf_str(&c->body, part);
}

static void start(struct invoke_call *c) {
    struct runtime_event e = {
        .payload = buf_view(&c->body),
        .client_context = buf_view(&c->context),
        .trace = buf_view(&c->trace),
        .tenant_id = buf_view(&c->tenant),
        .part = c->kind == INVOKE_STREAM ? on_part : NULL,
        .done = on_done,
        .ended = on_ended,
        .ud = c,
    };
    runtime_api_invoke(c->api->cfg.runtime, &e, c->id);
    c->started = true;
    if (c->kind != INVOKE_ASYNC) return;
    struct buf h = BUF_MAX(HEADERS_MAX);
    struct api_conn *conn = c->conn;
    api_header(&h, "x-amzn-RequestId", str_c(c->id));
    c->conn = NULL;
    api_answer(conn, 202, buf_view(&h), STR_NONE, STR(""), false);
    buf_free(&h);
}

/* false: the kind is unknown and was refused. */
static bool read_kind(struct invoke_call *c) {
    struct str kind = http1_header(&c->conn->http, "x-amz-invocation-type");
    if (!kind.n || str_is(kind, "RequestResponse")) return true;
    if (str_is(kind, "DryRun")) {
        c->kind = INVOKE_DRY;
        return true;
    }
    if (str_is(kind, "Event") && c->kind == INVOKE_WAIT) {
        c->kind = INVOKE_ASYNC;
        return true;
    }
    refuse(c, 400, "InvalidParameterValueException", "Value '%.*s' at 'invocationType' is not supported here",
           (int)(kind.n > 40 ? 40 : kind.n), kind.p);
    return false;
}

static bool read_payload(struct invoke_call *c) {
    struct arena a = {0};
    struct json doc;
    struct err e = {0};
    const struct json_limits limits = {.depth = EVENT_DEPTH, .duplicate_keys = true};
    size_t limit = c->kind == INVOKE_ASYNC ? ASYNC_MAX : PAYLOAD_MAX;
    if (c->body.over || c->body.n > limit) {
        refuse(c, 413, "RequestTooLargeException",
               "the payload is too large for the %s invocation type (limit %zu bytes)",
               c->kind == INVOKE_ASYNC ? "Event" : "RequestResponse", limit);
        return false;
    }
    if (!c->body.n) buf_c(&c->body, "{}");
    bool fine = !json_parse(&a, buf_view(&c->body), &limits, &doc, &e);
    if (!fine) refuse(c, 400, "InvalidRequestContentException", "Could not parse request body into json: %s", e.msg);
    arena_free(&a);
    return fine;
}

static bool read_headers(struct invoke_call *c) {
    const struct http1 *h = &c->conn->http;
    struct str context = http1_header(h, "x-amz-client-context");
    c->tail = str_is(http1_header(h, "x-amz-log-type"), "Tail") && c->kind != INVOKE_ASYNC;
    buf_str(&c->trace, http1_header(h, "x-amzn-trace-id"));
    buf_str(&c->tenant, http1_header(h, "x-amz-tenant-id"));
    if (!context.n || crypto_unbase64(&c->context, context)) return true;
    refuse(c, 400, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.");
    return false;
}

static void dry_run(struct invoke_call *c) {
    struct buf h = BUF_MAX(HEADERS_MAX);
    crypto_uuid4(c->id);
    put_ids(&h, c);
    c->conn->request = NULL;
    api_answer(c->conn, 204, buf_view(&h), STR_NONE, STR(""), false);
    buf_free(&h);
    call_free(c);
}

static void on_end(void *ud, struct api_conn *conn) {
    struct invoke_call *c = conn->request;
    struct invoke_api *a = ud;
    bool known;
    c->kind = find_call(a, conn->http.target, &known);
    if (!known || !str_is(conn->http.method, "POST"))
        refuse(c, 404, "UnknownOperationException",
               "only Invoke and InvokeWithResponseStream (POST .../functions/%s/invocations) are here",
               a->cfg.function_name);
    else if (c->kind == INVOKE_NONE)
        refuse(c, 404, "ResourceNotFoundException", "Function not found: the only one here is %s", a->cfg.arn);
    else if (read_kind(c) && read_payload(c) && read_headers(c)) {
        if (c->kind == INVOKE_DRY)
            dry_run(c);
        else
            start(c);
    }
}

/* The client went away. */
static void on_gone(void *ud, struct api_conn *conn) {
    struct invoke_call *c = conn->request;
    (void)ud;
    if (!c) return;
    c->conn = NULL;
    if (!c->started)
        call_free(c);
    else
        runtime_api_resume(c->api->cfg.runtime, c->id);
}

static void on_drained(void *ud, struct api_conn *conn) {
    struct invoke_call *c = conn->request;
    struct invoke_api *a = ud;
    if (c && c->begun) runtime_api_resume(a->cfg.runtime, c->id);
}

int invoke_api_open(const struct invoke_api_config *c, struct invoke_api **ret, struct err *e) {
    struct invoke_api *a = calloc(1, sizeof *a);
    if (!a) fatal("out of memory for the invoke API");
    a->cfg = *c;
    list_init(&a->calls);
    a->server = (struct api_server){.loop = c->loop,
                                    .log = c->log,
                                    .listen_fd = c->listen_fd,
                                    .handler = {on_head, on_body, on_end, on_gone, on_drained, a}};
    if (api_server_open(&a->server, e)) {
        free(a);
        return -1;
    }
    *ret = a;
    return 0;
}

void invoke_api_close(struct invoke_api *a) {
    if (!a) return;
    api_server_close(&a->server);
    while (!list_empty(&a->calls)) call_free(CONTAINER(a->calls.next, struct invoke_call, node));
    free(a);
}
