/* HTTP documents: the request runs as it would under `perigee serve`. */
#include "base/now.h"
#include "base/trace.h"
#include "route/invoke.h"

// ---- ending ----

static struct http_stream *stream_of(const struct route_run *run) {
    return run->http.kind == EVENT_URL ? run->in.stream : NULL;
}

/* An answer that is there as a whole. Takes res over. */
static void stream_whole(struct route_run *run, struct http_response *res) {
    const struct http_stream *to = run->in.stream;
    struct buf body = res->body;
    res->body = (struct buf){0};
    run->outcome.streamed = true;
    to->ops->begin(to->stream, res);
    if (body.n && !str_is(run->http.request.method, "HEAD")) to->ops->write(to->stream, buf_view(&body));
    buf_free(&body);
}

/* The answer in the form that its caller reads. */
static int give(struct route_run *run, struct http_response *res, struct err *e) {
    if (!stream_of(run)) return event_write_answer(&run->outcome.body, &run->http, res, run->in.answer_max, e);
    if (str_bad_utf8(buf_view(&res->head)) >= 0)
        return err_set(e, ERR_VALIDATION, "the answer's headers are not UTF-8");
    stream_whole(run, res);
    return 0;
}

/* The answer is too large for the service, or no text can say it: told to the client, and to the log. */
static void refused(struct route_run *run, const struct err *why) {
    struct http_response res;
    struct err e;
    const struct http_request *q = &run->http.request;
    log_event(run->route->cfg.log, LOG_ERROR, "answer not sent", "SSs", "request_id", run->in.request_id, "function",
              run->in.function->name, "error", why->msg);
    bool large = why->code == ERR_TOO_LARGE;
    answer_error(&res, q, 500, large ? "answer_too_large" : "handler_error",
                 large ? "the answer is larger than can be sent" : "the request could not be handled");
    http_set(&res, STR("X-Request-Id"), q->request_id, NULL);
    if (give(run, &res, &e)) {
        run->outcome.err = e;
        run->outcome.error_type = STR("Function.ResponseSizeTooLarge");
    }
    http_response_free(&res);
}

/* API Gateway and function URLs add CORS headers by themselves, but for the proxy integrations of REST APIs. */
static void add_cors(struct route_run *run, struct http_response *res) {
    const struct app_cors *cors = &run->route->cfg.app->cors;
    if (run->http.kind == EVENT_REST_V1 && cors->rest && cors_enabled(cors)) cors_add(cors, &run->http.request, res);
}

/* Takes res over. */
static void end_with(struct route_run *run, struct http_response *res) {
    struct err e;
    add_cors(run, res);
    answer_complete(&run->request, res);
    if (give(run, res, &e)) refused(run, &e);
    http_response_free(res);
    invoke_end(run);
}

static void end_error(struct route_run *run, int status, const char *code, const char *message) {
    struct http_response res;
    answer_error(&res, &run->http.request, status, code, message);
    end_with(run, &res);
}

// ---- the job ----

static void end_stream(struct route_run *run, const struct script_reply *reply) {
    struct http_response res;
    run->outcome.streamed = true;
    stream_end(&run->request, reply, &res);
    if (reply->err.code) invoke_failed_job(run, reply);
    invoke_end(run);
}

static void on_job(void *ud, struct script_reply *reply) {
    struct route_run *run = ud;
    struct http_request *q = &run->http.request;
    struct http_response res;
    run->handle = NULL;
    if (reply->streamed) {
        end_stream(run, reply);
        return;
    }
    if (reply->err.code) answer_log_failure(&run->request, q->request_id, q->trace_id, reply);
    if (reply->err.code && run->route->cfg.fail_http) {
        invoke_failed_job(run, reply);
        invoke_end(run);
        return;
    }
    if (reply->err.code) {
        answer_failure(&res, q, reply, run->route->cfg.development && q->loopback);
    } else {
        res = *reply->http;
        http_response_init(reply->http, 0);
    }
    if (reply->version && *reply->version) http_set(&res, STR("X-Perigee-Version"), str_c(reply->version), NULL);
    end_with(run, &res);
}

static void run_function(struct route_run *run) {
    struct script_job job = invoke_job(run, SCRIPT_HTTP);
    job.request_id = run->http.request.request_id;
    job.trace_id = run->http.request.trace_id;
    job.http = &run->http.request;
    job.path = run->http.path;
    job.params = run->http.params;
    job.n_params = run->http.n_params;
    run->request.function = run->in.function;
    job.stream = stream_open(&run->request, stream_of(run), false);
    script_start(run->route->cfg.script, &job, on_job, run, &run->handle);
}

// ---- which route ----

static void end_unrouted(struct route_run *run, const struct route_match *m) {
    struct http_response res;
    if (m->target && !m->allow.n)
        answer_status(&res, m->target->builtin == ROUTE_HEALTH ? "ok" : "ready");
    else
        answer_unrouted(&run->route->cfg.app->cors, &run->http.request, m, &res);
    end_with(run, &res);
}

/* Documents of load balancers and function URLs name no route. */
static void find_route(struct route_run *run) {
    struct http_request *q = &run->http.request;
    struct route_match m;
    struct err e;
    if (own_match(run->route, run->in.function, q, &m, &e)) {
        end_error(run, 400, "bad_request", e.msg);
    } else if (m.function) {
        run->http.params = m.params;
        run->http.n_params = m.n_params;
        run_function(run);
    } else {
        end_unrouted(run, &m);
    }
}

// ---- starting ----

static void set_ids(struct route_run *run) {
    struct http_request *q = &run->http.request;
    struct str id = http_header(q, "X-Request-Id");
    struct str trace = trace_of_parent(http_header(q, "traceparent"));
    q->request_id = trace_request_id_ok(id) ? id : run->in.request_id;
    q->trace_id = trace.n ? trace : str_n(run->trace_id, 32);
    q->start_ns = now_mono_ns();
    run->request = (struct route_ticket){
        .route = run->route, .start_ns = q->start_ns, .req = q, .aws_request_id = run->in.request_id};
}

void invoke_http(struct route_run *run) {
    struct err e;
    if (event_read_http(run->in.arena, &run->document, &run->http, &e)) {
        invoke_fail(run, e.code, "Runtime.MalformedEvent", "the event: %s", e.msg);
        return;
    }
    set_ids(run);
    if (!run->http.params_known)
        find_route(run);
    else if (run->http.path.p)
        run_function(run);
    else
        end_error(run, 400, "bad_request", "the path has a bad percent escape, or is not UTF-8");
}
