/* work: queue messages and events, which have no HTTP about them. */
#include "base/crypto.h"
#include "base/now.h"
#include "route/insides.h"
#include <string.h>

static void log_done(const struct route_ticket *t, const struct err *e) {
    const struct log *log = t->route->cfg.log;
    double ms = (double)(now_mono_ns() - t->start_ns) / 1e6;
    bool message = t->message.id.p;
    log_event(log, t->route->cfg.quiet && !e ? LOG_DEBUG : LOG_INFO, message ? "message done" : "event done",
              "SSfbSSSs", "function", t->function->name, "request_id", answer_log_id(t, t->request_id), "duration_ms",
              ms, "ok", !e, "queue", t->message.queue, "correlation_id", t->message.correlation_id, "trace_id",
              str_n(t->trace_id, 32), "code", e ? err_name_of(e) : NULL);
}

static void on_job(void *ud, struct script_reply *reply) {
    struct route_ticket *t = ud;
    const struct err *e = reply->err.code ? &reply->err : NULL;
    if (e) answer_log_failure(t, t->request_id, str_n(t->trace_id, 32), reply);
    if (e && t->message.id.p) metric_add(t->route->cfg.metrics, METRIC_MESSAGE_FAILURES, 1);
    log_done(t, e);
    t->replied = true;
    if (t->done)
        t->done(t->ud, e);
    else
        t->done_reply(t->ud, reply);
    if (!t->starting) ticket_free(t);
}

void work_trace_id(char ret[33]) {
    uint8_t random[16];
    crypto_random(random, sizeof random);
    crypto_hex_to(ret, random, sizeof random);
    ret[32] = '\0';
}

static struct route_ticket *begin(struct route *r, struct script_job *job, void *ud) {
    struct route_ticket *t = ticket_new(r);
    if (job->trace_id.n == 32)
        memcpy(t->trace_id, job->trace_id.p, 32);
    else
        work_trace_id(t->trace_id);
    job->trace_id = str_n(t->trace_id, 32);
    t->function = job->function;
    t->request_id = job->request_id;
    t->aws_request_id = job->aws_request_id;
    t->ud = ud;
    if (!job->message) return t;
    t->message = *job->message;
    job->message = &t->message;
    metric_add(r->cfg.metrics, METRIC_MESSAGES, 1);
    return t;
}

static struct route_ticket *start(struct route_ticket *t, const struct script_job *job) {
    script_start(t->route->cfg.script, job, on_job, t, &t->handle);
    t->starting = false;
    if (!t->replied) return t;
    ticket_free(t);
    return NULL;
}

struct route_ticket *work_start(struct route *r, struct script_job *job, work_done_fn *done, void *ud) {
    struct route_ticket *t = begin(r, job, ud);
    t->done_reply = done;
    return start(t, job);
}

void work_cancel(struct route_ticket *t) {
    script_cancel(t->route->cfg.script, t->handle);
    ticket_free(t);
}

void route_message(struct route *r, const struct function *f, const struct script_message *m,
                   void (*done)(void *ud, const struct err *e), void *ud) {
    struct script_job job = {.kind = SCRIPT_MESSAGE, .function = f, .request_id = m->id, .message = m};
    struct route_ticket *t = begin(r, &job, ud);
    t->done = done;
    start(t, &job);
}

void route_event(struct route *r, const struct function *f, struct json event, struct str request_id,
                 void (*done)(void *ud, const struct err *e), void *ud) {
    struct script_job job = {.kind = SCRIPT_EVENT, .function = f, .request_id = request_id, .event = event};
    struct route_ticket *t = begin(r, &job, ud);
    t->done = done;
    start(t, &job);
}
