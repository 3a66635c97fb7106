/* route: from a request to its function's job, and the job's reply back. */
#include "route/route.h"
#include "base/now.h"
#include "route/insides.h"
#include <stdlib.h>

// ---- tickets ----

struct route_ticket *ticket_new(struct route *r) {
    struct list *n = list_pop(&r->spare);
    struct route_ticket *t = n ? CONTAINER(n, struct route_ticket, node) : malloc(sizeof *t);
    if (!t) fatal("out of memory for a request");
    *t = (struct route_ticket){.route = r, .start_ns = now_mono_ns(), .starting = true};
    list_add(&r->live, &t->node);
    return t;
}

void ticket_free(struct route_ticket *t) {
    list_del(&t->node);
    list_add(&t->route->spare, &t->node);
}

/* At the end of the starting call: NULL when all is done. */
static struct route_ticket *hold(struct route_ticket *t) {
    t->starting = false;
    if (!t->replied) return t;
    ticket_free(t);
    return NULL;
}

static void finish(struct route_ticket *t, struct http_response *res) {
    answer_send(t, res);
    if (!t->starting) ticket_free(t);
}

static void finish_stream(struct route_ticket *t, const struct script_reply *reply) {
    struct http_response res;
    stream_end(t, reply, &res);
    t->replied = true;
    t->reply(t->ud, &res);
    if (!t->starting) ticket_free(t);
}

static void finish_error(struct route_ticket *t, int status, const char *code, const char *message) {
    struct http_response res;
    answer_error(&res, t->req, status, code, message);
    finish(t, &res);
}

// ---- handlers ----

static void on_job(void *ud, struct script_reply *reply) {
    struct route_ticket *t = ud;
    const struct http_request *q = t->req;
    struct http_response res;
    if (reply->streamed) {
        finish_stream(t, reply);
        return;
    }
    if (reply->err.code == ERR_NONE) {
        res = *reply->http;
        http_response_init(reply->http, 0);
    } else {
        answer_log_failure(t, q->request_id, q->trace_id, reply);
        answer_failure(&res, q, reply, t->route->cfg.development && q->loopback);
    }
    if (reply->version && *reply->version) http_set(&res, STR("X-Perigee-Version"), str_c(reply->version), NULL);
    finish(t, &res);
}

/* request.event: what the API of the route would have sent. */
static int make_document(void *ud, const struct script_job *job, struct arena *a, struct json *ret, struct err *e) {
    static const enum event_kind kinds[] = {
        [APP_REST_V1] = EVENT_REST_V1, [APP_HTTP_V1] = EVENT_HTTP_V1, [APP_HTTP_V2] = EVENT_HTTP_V2};
    const struct route_document *d = ud;
    const struct route_config *cfg = &d->route->cfg;
    struct event_route r = {.pattern = d->of ? d->of->path : STR_NONE,
                            .api_id = d->of ? STR_NONE : job->function->name,
                            .params = job->params,
                            .n_params = job->n_params,
                            .region = cfg->region,
                            .account = cfg->account,
                            .partition = cfg->partition,
                            .unix_ms = clock_ms(cfg->clock)};
    return event_make_http(a, d->of ? kinds[d->of->payload] : EVENT_URL, job->http, &r, ret, e);
}

static void run_function(struct route_ticket *t, const struct route_match *m) {
    const struct app *app = t->route->cfg.app;
    struct script_job job = {.kind = SCRIPT_HTTP,
                             .function = m->function,
                             .request_id = t->req->request_id,
                             .trace_id = t->req->trace_id,
                             .stream = stream_open(t, t->req->stream, !t->url),
                             .http = t->req,
                             .path = m->path,
                             .make_document = make_document,
                             .make_ud = &t->route->documents[t->url ? app->n_routes : (size_t)(m->route - app->routes)],
                             .params = m->params,
                             .n_params = m->n_params};
    t->function = m->function;
    script_start(t->route->cfg.script, &job, on_job, t, &t->handle);
}

// ---- what is answered here ----

static void finish_status(struct route_ticket *t, const char *status) {
    struct http_response res;
    answer_status(&res, status);
    finish(t, &res);
}

static void on_ready(void *ud, const struct err *e) {
    struct route_ticket *t = ud;
    if (t->cancelled) {
        if (t->route)
            ticket_free(t);
        else
            free(t);
        return;
    }
    if (e && e->code) {
        finish_error(t, 503, "not_ready", e->msg);
        return;
    }
    finish_status(t, "ready");
}

static void metrics(struct route_ticket *t) {
    struct http_response res;
    http_response_init(&res, 200);
    metric_write(&res.body, t->route->cfg.all_metrics, t->route->cfg.n_metrics);
    http_set(&res, STR("Content-Type"), STR("text/plain; version=0.0.4; charset=utf-8"), NULL);
    finish(t, &res);
}

static void run_builtin(struct route_ticket *t, enum route_builtin which) {
    const struct route_config *cfg = &t->route->cfg;
    if (which == ROUTE_HEALTH)
        finish_status(t, "ok");
    else if (which == ROUTE_METRICS)
        metrics(t);
    else if (cfg->ready)
        cfg->ready(cfg->ready_ud, on_ready, t);
    else
        on_ready(t, NULL);
}

static void unrouted(struct route_ticket *t, const struct route_match *m) {
    struct http_response res;
    answer_unrouted(&t->route->cfg.app->cors, t->req, m, &res);
    finish(t, &res);
}

/* Function URLs are hosts: <url-id>.lambda-url.<region>.on.aws; here the logical id in any case, and what follows is
 * free (*.localhost is this machine, RFC 6761 6.3). */
static const struct function *url_of(const struct app *app, struct str host) {
    struct str id = str_cut(&host, '.');
    if (!str_starts(host, STR("lambda-url."))) return NULL;
    for (size_t i = 0; i < app->n_functions; i++)
        if (app->functions[i].url && str_ieq(app->functions[i].name, id)) return &app->functions[i];
    return NULL;
}

static void run_match(struct route_ticket *t, const struct route_match *m) {
    if (m->function)
        run_function(t, m);
    else if (m->target && !m->allow.n)
        run_builtin(t, m->target->builtin);
    else
        unrouted(t, m);
}

static void run_url(struct route_ticket *t, const struct function *f) {
    struct route_match m;
    struct err e;
    t->url = true;
    if (own_match(t->route, f, t->req, &m, &e))
        finish_error(t, 400, "bad_request", e.msg);
    else
        run_match(t, &m);
}

static void dispatch(struct route_ticket *t) {
    struct route_match m;
    struct err e;
    struct http_request *q = t->req;
    const struct app *app = t->route->cfg.app;
    const struct function *url = app->has_urls ? url_of(app, http_header(q, "Host")) : NULL;
    if (url) {
        run_url(t, url);
        return;
    }
    if (table_match(&t->route->table, q->arena, q->method, q->path, &m, &e))
        finish_error(t, 400, "bad_request", e.msg);
    else if (m.target && cors_enabled(&t->route->cfg.app->cors) && cors_is_preflight(q))
        unrouted(t, &m);
    else
        run_match(t, &m);
}

struct route_ticket *route_http(struct route *r, struct http_request *req, http_reply_fn *reply, void *ud) {
    struct route_ticket *t = ticket_new(r);
    t->req = req;
    t->reply = reply;
    t->ud = ud;
    dispatch(t);
    return hold(t);
}

void route_cancel(struct route_ticket *t) {
    const struct http_request *q = t->req;
    log_event(t->route->cfg.log, LOG_INFO, "request cancelled", "SSSSS", "method", q->method, "path", q->path,
              "request_id", q->request_id, "function", t->function ? t->function->name : STR("-"), "trace_id",
              q->trace_id);
    t->cancelled = true;
    if (!t->function) return; /* a probe of readiness: its ticket lives until it ends */
    script_cancel(t->route->cfg.script, t->handle);
    ticket_free(t);
}

// ---- opening and closing ----

int route_open(const struct route_config *c, struct route **ret, struct err *e) {
    struct route *r = calloc(1, sizeof *r);
    if (!r) fatal("out of memory for a router");
    r->cfg = *c;
    list_init(&r->live);
    list_init(&r->spare);
    if (table_build(&r->table, c->app, e)) {
        err_wrap(e, "%.*s", STR_ARG(c->app->template_path));
        free(r);
        return -1;
    }
    r->documents = calloc(c->app->n_routes + 1, sizeof *r->documents);
    if (!r->documents) fatal("out of memory for a router");
    for (size_t i = 0; i < c->app->n_routes; i++) r->documents[i] = (struct route_document){r, &c->app->routes[i]};
    r->documents[c->app->n_routes] = (struct route_document){r, NULL};
    own_open(r);
    *ret = r;
    return 0;
}

/* A cancelled probe of readiness is still going to report: its ticket is freed then. */
static void close_live(struct route_ticket *t) {
    if (t->cancelled)
        t->route = NULL;
    else
        free(t);
}

void route_close(struct route *r) {
    if (!r) return;
    for (struct list *n; (n = list_pop(&r->live));) close_live(CONTAINER(n, struct route_ticket, node));
    for (struct list *n; (n = list_pop(&r->spare));) free(CONTAINER(n, struct route_ticket, node));
    table_free(&r->table);
    own_close(r);
    free(r->documents);
    free(r);
}
