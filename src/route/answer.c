#include "base/now.h"
#include "route/insides.h"

static void member(struct buf *b, const char *name, struct str value) {
    buf_printf(b, ",\"%s\":", name);
    json_write_str(b, value);
}

static void write_error(struct http_response *res, const struct http_request *req, const char *code, struct str message,
                        struct str traceback) {
    buf_clear(&res->body);
    buf_c(&res->body, "{\"error\":{\"code\":");
    json_write_str(&res->body, str_c(code));
    member(&res->body, "message", message);
    if (traceback.n) member(&res->body, "traceback", traceback);
    member(&res->body, "request_id", req->request_id);
    buf_c(&res->body, "}}");
    http_set(res, STR("Content-Type"), STR("application/json; charset=utf-8"), NULL);
}

void answer_error(struct http_response *res, const struct http_request *req, int status, const char *code,
                  const char *message) {
    http_response_init(res, status);
    write_error(res, req, code, str_c(message), STR_NONE);
}

static void set_json(struct http_response *res) {
    http_set(res, STR("Content-Type"), STR("application/json; charset=utf-8"), NULL);
}

void answer_status(struct http_response *res, const char *status) {
    http_response_init(res, 200);
    buf_printf(&res->body, "{\"status\":\"%s\"}", status);
    set_json(res);
}

static void options(const struct app_cors *cors, const struct http_request *req, struct str allow,
                    struct http_response *res) {
    http_response_init(res, 204);
    if (cors_enabled(cors) && cors_is_preflight(req))
        cors_preflight(cors, req, res);
    else if (allow.n)
        http_set(res, STR("Allow"), arena_printf(req->arena, "%.*s, OPTIONS", STR_ARG(allow)), NULL);
}

static void wrong_method(const struct http_request *req, struct str allow, struct http_response *res) {
    struct str text =
        arena_printf(req->arena, "%.*s is not possible here, but %.*s", STR_ARG(req->method), STR_ARG(allow));
    answer_error(res, req, 405, "method_not_allowed", text.p);
    http_set(res, STR("Allow"), allow, NULL);
}

void answer_unrouted(const struct app_cors *cors, const struct http_request *req, const struct route_match *m,
                     struct http_response *res) {
    if (str_is(req->method, "OPTIONS") && (m->target || str_is(req->path, "*")))
        options(cors, req, m->allow, res);
    else if (!m->target)
        answer_error(res, req, 404, "not_found", "there is nothing at this path");
    else
        wrong_method(req, m->allow, res);
}

int route_failure_status(enum err_code code) {
    if (code == ERR_TIMEOUT) return 504;
    return code == ERR_UNAVAILABLE || code == ERR_CANCELLED ? 503 : 500;
}

/* In the style of the handlers' own codes (lua/perigee/http.lua). */
static const char *code_of(enum err_code code) {
    switch (code) {
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNAVAILABLE:
    case ERR_CANCELLED:
        return "unavailable";
    case ERR_LIMIT:
        return "limit_exceeded";
    default:
        return "handler_error";
    }
}

static const char *public_message(int status) {
    if (status == 504) return "the request took too long";
    return status == 503 ? "the service cannot take this request now; try again" : "the request could not be handled";
}

void answer_failure(struct http_response *res, const struct http_request *req, const struct script_reply *why,
                    bool show) {
    int status = route_failure_status(why->err.code);
    http_response_init(res, status);
    const char *message = show ? why->err.msg : public_message(status);
    write_error(res, req, code_of(why->err.code), str_c(message), show ? why->traceback : STR_NONE);
    if (status == 503) http_set(res, STR("Retry-After"), STR("1"), NULL);
}

struct str answer_log_id(const struct route_ticket *t, struct str own) {
    return t->aws_request_id.n ? t->aws_request_id : own;
}

void answer_log_request(const struct route_ticket *t, const struct http_response *res) {
    const struct http_request *q = t->req;
    double ms = (double)((now_mono_ns() - t->start_ns) / 1000) / 1e3;
    enum log_level level = t->route->cfg.quiet && res->status < 500 && !res->cut ? LOG_DEBUG : LOG_INFO;
    log_event(t->route->cfg.log, level, res->cut ? "request cut" : "request done", "SSifSSS", "method", q->method,
              "path", q->path, "status", (int64_t)res->status, "duration_ms", ms, "request_id",
              answer_log_id(t, q->request_id), "function", t->function ? t->function->name : STR("-"), "trace_id",
              q->trace_id);
}

void answer_complete(const struct route_ticket *t, struct http_response *res) {
    if (!head_has(res, STR("X-Request-Id"))) http_set(res, STR("X-Request-Id"), t->req->request_id, NULL);
    answer_log_request(t, res);
}

void answer_send(struct route_ticket *t, struct http_response *res) {
    const struct app_cors *cors = &t->route->cfg.app->cors;
    if (cors_enabled(cors) && !t->url) cors_add(cors, t->req, res);
    answer_complete(t, res);
    t->replied = true;
    t->reply(t->ud, res);
}

void answer_log_failure(const struct route_ticket *t, struct str request_id, struct str trace_id,
                        const struct script_reply *why) {
    log_event(t->route->cfg.log, LOG_ERROR, "handler failed", "SSssSSs", "request_id", answer_log_id(t, request_id),
              "function", t->function->name, "code", err_name_of(&why->err), "error", why->err.msg, "traceback",
              why->traceback, "trace_id", trace_id, "version", why->version);
}
