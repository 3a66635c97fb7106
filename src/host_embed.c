/* host_embed.c: a host without threads of its own workers: the caller's thread spins the loop until its question is
 * answered. */
#include "base/crypto.h"
#include "host.h"
#include <stdlib.h>
#include <string.h>

enum { REMOTE_LOOK_MS = 100 }; /* between looks at queues over the network */

/* -- requests --------------------------------------------------------------------------------------------------- */

struct answer {
    struct http_response *res;
    bool done;
};

static void on_reply(void *ud, struct http_response *res) {
    struct answer *a = ud;
    *a->res = *res; /* takes head, body and file over */
    http_response_init(res, res->status);
    a->done = true;
}

static int died(struct err *e) {
    return err_set(e, ERR_DIED, "the process died");
}

static int answer(struct worker *w, bool cloud_port, struct http_request *r, struct http_response *ret, struct err *e) {
    struct answer a = {.res = ret};
    void *ticket = cloud_port ? local_face(w->conn.local, r, on_reply, &a) : route_http(w->route, r, on_reply, &a);
    int rc = host_spin(w, &a.done, e);
    if (rc && cloud_port && ticket) local_face_cancel(ticket);
    if (rc && !cloud_port && ticket) route_cancel(ticket);
    host_settle(w);
    return rc;
}

int host_spin(struct worker *w, const bool *done, struct err *e) {
    while (!*done) {
        if (w->died) return died(e);
        if (w->host->simulation.on && loop_is_over(w->loop))
            return err_set(e, ERR_TIMEOUT, "it waits for what never comes");
        loop_once(w->loop, -1);
    }
    return 0;
}

int perigee_request(struct perigee *p, bool cloud_port, struct http_request *r, struct http_response *ret,
                    struct err *e) {
    if (!p->embedded) return err_set(e, ERR_INTERNAL, "perigee_request is for embedded hosts (workers = -1)");
    struct worker *w = &p->workers[0];
    if (cloud_port && !w->conn.local) return err_set(e, ERR_CONFIG, "on AWS there is no cloud port");
    struct crypto_source *former = host_enter(p);
    int rc = w->died ? died(e) : answer(w, cloud_port, r, ret, e);
    host_leave(former);
    return rc;
}

/* Gives up those that nobody will answer. */
static void forget_unanswered(const struct answer *list, void *const *tickets, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!list[i].done && tickets[i]) route_cancel(tickets[i]);
}

int perigee_requests(struct perigee *p, struct http_request *const *list, size_t n, struct http_response *ret,
                     bool *ret_answered, struct err *e) {
    struct worker *w = &p->workers[0];
    if (!p->embedded) return err_set(e, ERR_INTERNAL, "perigee_requests is for embedded hosts (workers = -1)");
    if (w->died) return died(e);
    struct answer *a = calloc(n + 1, sizeof *a);
    void **tickets = calloc(n + 1, sizeof *tickets);
    if (!a || !tickets) fatal("out of memory for %zu requests", n);
    struct crypto_source *former = host_enter(p);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        a[i].res = &ret[i];
        tickets[i] = route_http(w->route, list[i], on_reply, &a[i]);
    }
    for (size_t i = 0; i < n && !rc; i++) rc = host_spin(w, &a[i].done, e);
    if (rc) forget_unanswered(a, tickets, n);
    host_settle(w);
    host_leave(former);
    for (size_t i = 0; i < n; i++) ret_answered[i] = a[i].done;
    free(tickets);
    free(a);
    return rc;
}

/* -- queues ----------------------------------------------------------------------------------------------------- */

static int64_t attribute_number(const struct json *attributes, const char *name) {
    int64_t v = 0;
    str_i64(json_get_s(attributes, name), &v);
    return v;
}

/* Messages a queue still owes its feed: visible, in flight or delayed; -1 on error. */
static int64_t queue_backlog(struct perigee *p, struct str name, struct err *e) {
    struct worker *w = &p->workers[0];
    struct aws_call *c = aws_call_new(AWS_SQS_GetQueueAttributes);
    struct str url = arena_printf(&c->arena, "%.*s/%.*s", STR_ARG(cloud_queue_base(&p->cloud)), STR_ARG(name));
    struct json names = json_make_arr();
    json_push(&c->arena, &names, json_make_c("All"));
    c->params = json_make_obj();
    json_set(&c->arena, &c->params, "QueueUrl", json_make_str(url));
    json_set(&c->arena, &c->params, "AttributeNames", names);
    aws_call_wait(cloud_backend(&w->conn), w->loop, c);
    int64_t n = -1;
    if (c->err.code) {
        *e = c->err;
    } else {
        const struct json *a = json_get(&c->result, "Attributes");
        n = attribute_number(a, "ApproximateNumberOfMessages") +
            attribute_number(a, "ApproximateNumberOfMessagesNotVisible") +
            attribute_number(a, "ApproximateNumberOfMessagesDelayed");
    }
    aws_call_free(c);
    return n;
}

int host_is_idle(struct perigee *p, struct err *e) {
    int64_t all = 0;
    for (size_t i = 0; i < p->app->n_feeds; i++) {
        if (!p->app->feeds[i].enabled) continue;
        int64_t n = queue_backlog(p, p->app->feeds[i].queue, e);
        if (n < 0) return -1;
        all += n;
    }
    size_t jobs = script_jobs(p->workers[0].script);
    if (all || jobs) err_set(e, ERR_TIMEOUT, "%lld messages are still queued and %zu jobs run", (long long)all, jobs);
    return !all && !jobs;
}

static void on_feed_stopped(void *ud) {
    size_t *left = ud;
    --*left;
}

void host_close_feeds(struct worker *w) {
    size_t left = w->n_feeds;
    for (size_t i = 0; i < w->n_feeds; i++) feed_stop(w->feeds[i], on_feed_stopped, &left);
    while (left && !w->died) loop_once(w->loop, -1); /* what still has to be settled may kill too */
    for (size_t i = 0; i < w->n_feeds; i++) feed_close(w->feeds[i]);
    w->n_feeds = 0;
}

static int drain(struct perigee *p, int64_t max_ms, struct err *e) {
    struct worker *w = &p->workers[0];
    if (worker_open_feeds(w, e)) return -1;
    uint64_t end = now_mono_ms() + (uint64_t)max_ms, look = 0;
    int rc = 0;
    do {
        loop_once(w->loop, 2);
        if (now_mono_ms() < look) continue;
        rc = host_is_idle(p, e);
        look = p->cloud.remote ? now_mono_ms() + REMOTE_LOOK_MS : 0;
    } while (rc == 0 && now_mono_ms() < end);
    host_close_feeds(w);
    return rc == 1 ? 0 : -1;
}

int perigee_drain(struct perigee *p, int64_t max_ms, struct err *e) {
    if (!p->embedded) return err_set(e, ERR_INTERNAL, "perigee_drain is for embedded hosts (workers = -1)");
    if (!p->simulation.on) return drain(p, max_ms, e);
    if (p->workers[0].died) return died(e);
    struct crypto_source *former = host_enter(p);
    int rc = host_drain_simulated(p, max_ms, e);
    host_leave(former);
    return rc;
}

/* -- schedules -------------------------------------------------------------------------------------------------- */

struct run {
    struct arena arena;
    bool done, left;
    struct err err;
};

static void run_free(struct run *r) {
    arena_free(&r->arena);
    free(r);
}

static void on_run_done(void *ud, const struct err *e) {
    struct run *r = ud;
    if (e) r->err = *e;
    r->done = true;
    if (r->left) run_free(r);
}

int host_find_schedule(const struct app *a, const char *name, const struct app_schedule **ret, struct err *e) {
    for (size_t i = 0; i < a->n_schedules; i++) {
        *ret = &a->schedules[i];
        if (str_is(a->schedules[i].name, name) || str_is(a->schedules[i].function->name, name)) return 0;
    }
    return err_set(e, ERR_CONFIG, "the template has no schedule or scheduled function named '%s'", name);
}

int host_schedule_event(struct perigee *p, const struct app_schedule *s, struct arena *a, char id[37], struct json *ret,
                        struct err *e) {
    const struct aws_identity *own = &cloud_backend(&p->workers[0].conn)->id;
    const struct event_origin origin = {own->region, own->account, own->partition, clock_ms(p->clock)};
    crypto_uuid7(origin.unix_ms, id);
    if (s->input.n) return json_parse(a, s->input, NULL, ret, e);
    *ret = event_make_schedule(a, &origin, str_c(id), s->name);
    return 0;
}

/* A run that a dead process leaves is freed when its job ends, with the Lua state. */
static int run_schedule(struct perigee *p, const struct app_schedule *s, struct err *e) {
    struct worker *w = &p->workers[0];
    struct run *r = calloc(1, sizeof *r);
    char id[37];
    struct json event;
    if (!r) fatal("out of memory");
    int rc = host_schedule_event(p, s, &r->arena, id, &event, e);
    r->done = rc != 0;
    if (!rc) {
        route_event(w->route, s->function, event, arena_str(&r->arena, str_c(id)), on_run_done, r);
        rc = host_spin(w, &r->done, e);
        host_settle(w);
    }
    if (!rc && r->err.code) {
        *e = r->err;
        rc = -1;
    }
    r->left = !r->done;
    if (r->done) run_free(r);
    return rc;
}

int perigee_run_schedule(struct perigee *p, const char *name, struct err *e) {
    const struct app_schedule *s;
    if (host_find_schedule(p->app, name, &s, e)) return -1;
    if (p->workers[0].died) return died(e);
    struct crypto_source *former = host_enter(p);
    int rc = run_schedule(p, s, e);
    host_leave(former);
    return rc;
}
