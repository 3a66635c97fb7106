/* feed_clock: the template's schedules. Times are wall time of the injected clock, so the timer never sleeps longer
 * than LOOK_MS: a clock that was moved (or a machine that slept) is noticed then. Occurrences missed meanwhile are run
 * once.
 *
 * An occurrence: due -> [owed: the lease is asked for] -> running -> [its end is written] -> over. */
#include "base/crypto.h"
#include "base/now.h"
#include "in/lease.h"
#include <stdlib.h>

enum {
    LOOK_MS = 500,
    SLACK_MS = 5000,      /* a run counts as ended so long after its function's Timeout */
    AGAIN_MAX_MS = 30000, /* between tries to get a lease; doubled from LOOK_MS with each */
};

struct clock_run {
    struct clock_feed *feed;
    const struct app_schedule *schedule;
    int64_t next_ms;
    int64_t owed_ms;       /* occurrence whose lease is still to be had, -1: none */
    int64_t due_ms;        /* of the present run */
    uint64_t again_ms;     /* the loop's time before which the lease is not asked for again */
    unsigned failures;     /* in a row, of asking */
    struct aws_call *call; /* of the lease */
    bool running;
    struct arena arena; /* of the present run's event */
    char id[37];
};
struct clock_feed {
    struct clock_feed_config cfg;
    struct loop_timer timer;
    struct loop_task ended;
    int64_t start_ms;
    size_t n, running, calls;
    bool stopping, closed; /* closed: the last run to end frees the feed */
    void (*done)(void *ud);
    void *done_ud;
    struct clock_run runs[];
};

// ---- one run ----

/* As EventBridge sends it; or the schedule's Input. */
static int make_event(struct clock_run *r, int64_t due_ms, struct json *ret, struct err *e) {
    const struct aws_identity *id = &r->feed->cfg.id;
    const struct event_origin origin = {id->region, id->account, id->partition, due_ms};
    if (r->schedule->input.n) return json_parse(&r->arena, r->schedule->input, NULL, ret, e);
    *ret = event_make_schedule(&r->arena, &origin, str_c(r->id), r->schedule->name);
    return 0;
}

static void feed_free(struct clock_feed *f) {
    for (size_t i = 0; i < f->n; i++) arena_free(&f->runs[i].arena);
    free(f);
}

/* Nothing is asked, runs or is being written any more. */
static void look_for_end(struct clock_feed *f) {
    if (f->stopping && !f->running && !f->calls) loop_defer(f->cfg.loop, &f->ended);
}

static void end_lease(struct clock_run *r);

static void on_done(void *ud, const struct err *e) {
    struct clock_run *r = ud;
    struct clock_feed *f = r->feed;
    if (f->closed) {
        if (!--f->running) feed_free(f);
        return;
    }
    if (e)
        log_event(f->cfg.log, LOG_ERROR, "scheduled run failed", "SSss", "schedule", r->schedule->name, "function",
                  r->schedule->function->name, "request_id", r->id, "error", e->msg);
    r->running = false;
    f->running--;
    end_lease(r);
    look_for_end(f);
}

static void start_run(struct clock_run *r, int64_t due_ms) {
    struct clock_feed *f = r->feed;
    struct json event;
    struct err e;
    r->due_ms = due_ms;
    arena_reset(&r->arena);
    crypto_uuid7(clock_ms(f->cfg.clock), r->id);
    if (make_event(r, due_ms, &event, &e)) {
        log_event(f->cfg.log, LOG_ERROR, "scheduled run impossible: bad Input", "Ss", "schedule", r->schedule->name,
                  "error", e.msg);
        end_lease(r);
        return;
    }
    metric_add(f->cfg.metrics, METRIC_SCHEDULES, 1);
    r->running = true;
    f->running++;
    route_event(f->cfg.route, r->schedule->function, event, str_c(r->id), on_done, r);
}

// ---- leases ----

static struct lease_occurrence occurrence(const struct clock_run *r) {
    int64_t now = clock_ms(r->feed->cfg.clock);
    return (struct lease_occurrence){r->schedule->name, r->due_ms, now,
                                     now + r->schedule->function->timeout_ms + SLACK_MS};
}

static void start_call(struct clock_run *r, struct aws_call *c, void (*done)(struct aws_call *c, void *ud)) {
    struct clock_feed *f = r->feed;
    r->call = c;
    f->calls++;
    c->done = done;
    c->ud = r;
    c->context.function = r->schedule->function->name;
    if (aws_start(f->cfg.lease.backend, f->cfg.loop, c) == AWS_DONE) done(c, r);
}

static void end_call(struct clock_run *r) {
    aws_call_free(r->call);
    r->call = NULL;
    r->feed->calls--;
    look_for_end(r->feed);
}

/* An end that is not written is assumed by everybody a little later. */
static void on_end_written(struct aws_call *c, void *ud) {
    struct clock_run *r = ud;
    if (c->err.code)
        log_event(r->feed->cfg.log, LOG_WARN, "end of a scheduled run not written", "Sss", "schedule",
                  r->schedule->name, "request_id", r->id, "error", c->err.msg);
    end_call(r);
}

static void end_lease(struct clock_run *r) {
    const struct clock_lease *l = &r->feed->cfg.lease;
    struct lease_occurrence o = occurrence(r);
    if (l->backend) start_call(r, lease_end(l, &o), on_end_written);
}

static void lease_failed(struct clock_run *r, const struct err *e) {
    struct clock_feed *f = r->feed;
    uint64_t wait = (uint64_t)LOOK_MS << (r->failures > 8 ? 8 : r->failures);
    if (!r->failures++)
        log_event(f->cfg.log, LOG_WARN, "scheduled run waits: its lease cannot be had", "SSs", "schedule",
                  r->schedule->name, "table", f->cfg.lease.table, "error", e->msg);
    r->again_ms = loop_now_ms(f->cfg.loop) + (wait > AGAIN_MAX_MS ? AGAIN_MAX_MS : wait);
}

static void on_taken(struct aws_call *c, void *ud) {
    struct clock_run *r = ud;
    struct clock_feed *f = r->feed;
    struct lease_occurrence o = occurrence(r);
    enum lease_answer answer = lease_taken(&f->cfg.lease, &o, c);
    if (answer == LEASE_UNKNOWN)
        lease_failed(r, &c->err);
    else if (r->owed_ms == o.due_ms)
        r->owed_ms = -1;
    if (answer == LEASE_ELSEWHERE)
        log_event(f->cfg.log, LOG_DEBUG, "scheduled run is another replica's", "S", "schedule", r->schedule->name);
    f->running++; /* the end is not between the call and the run */
    end_call(r);
    if (answer == LEASE_TAKEN) start_run(r, o.due_ms);
    f->running--;
    look_for_end(f);
}

/* At each look, until the lease was had or refused. */
static void ask_lease(struct clock_run *r) {
    struct clock_feed *f = r->feed;
    if (r->owed_ms < 0 || r->call || r->running || loop_now_ms(f->cfg.loop) < r->again_ms) return;
    r->due_ms = r->owed_ms;
    struct lease_occurrence o = occurrence(r);
    start_call(r, lease_take(&f->cfg.lease, &o), on_taken);
}

static void owe(struct clock_run *r, int64_t due_ms) {
    struct clock_feed *f = r->feed;
    if (r->owed_ms >= 0)
        log_event(f->cfg.log, LOG_ERROR, "scheduled run given up: its lease could not be had until the next was due",
                  "S", "schedule", r->schedule->name);
    r->owed_ms = due_ms;
    r->again_ms = 0;
    r->failures = 0;
}

// ---- the timer ----

static int64_t next_of(const struct clock_run *r, int64_t after_ms) {
    return app_schedule_next(r->schedule->expression, r->feed->start_ms, after_ms, NULL);
}

static void tick(void *ud);

static void arm(struct clock_feed *f) {
    int64_t wait = LOOK_MS, now = clock_ms(f->cfg.clock);
    for (size_t i = 0; i < f->n; i++)
        if (f->runs[i].next_ms >= 0 && f->runs[i].next_ms - now < wait) wait = f->runs[i].next_ms - now;
    loop_timer_start(f->cfg.loop, &f->timer, wait < 1 ? 1 : (uint64_t)wait, tick, f);
}

static void fall_due(struct clock_run *r, int64_t due_ms) {
    struct clock_feed *f = r->feed;
    if (r->running)
        log_event(f->cfg.log, LOG_WARN, "scheduled run skipped: the one before it still runs", "SSs", "schedule",
                  r->schedule->name, "function", r->schedule->function->name, "request_id", r->id);
    else if (f->cfg.lease.backend)
        owe(r, due_ms);
    else
        start_run(r, due_ms);
}

static void tick(void *ud) {
    struct clock_feed *f = ud;
    int64_t now = clock_ms(f->cfg.clock);
    for (size_t i = 0; i < f->n; i++) {
        struct clock_run *r = &f->runs[i];
        if (r->next_ms < 0 || r->next_ms > now) continue;
        int64_t due = r->next_ms;
        r->next_ms = next_of(r, now);
        fall_due(r, due);
    }
    for (size_t i = 0; i < f->n; i++) ask_lease(&f->runs[i]);
    arm(f);
}

// ---- opening and closing ----

static void on_ended(void *ud) {
    struct clock_feed *f = ud;
    void (*done)(void *) = f->done;
    f->done = NULL;
    if (done) done(f->done_ud);
}

static int add_schedule(struct clock_feed *f, const struct app_schedule *s, struct err *e) {
    int64_t next = app_schedule_next(s->expression, f->start_ms, clock_ms(f->cfg.clock), e);
    if (next < 0) return err_wrap(e, "schedule %.*s", STR_ARG(s->name));
    f->runs[f->n++] = (struct clock_run){.feed = f, .schedule = s, .next_ms = next, .owed_ms = -1};
    return 0;
}

int clock_feed_open(const struct clock_feed_config *c, struct clock_feed **ret, struct err *e) {
    struct clock_feed *f = calloc(1, sizeof *f + sizeof *f->runs * c->app->n_schedules);
    if (!f) fatal("out of memory for %zu schedules", c->app->n_schedules);
    f->cfg = *c;
    f->start_ms = c->lease.backend ? 0 : clock_ms(c->clock);
    loop_task_init(&f->ended, on_ended, f);
    for (size_t i = 0; i < c->app->n_schedules; i++)
        if (c->app->schedules[i].enabled && add_schedule(f, &c->app->schedules[i], e)) {
            free(f);
            return -1;
        }
    if (f->n) arm(f);
    *ret = f;
    return 0;
}

void clock_feed_stop(struct clock_feed *f, void (*done)(void *ud), void *ud) {
    f->stopping = true;
    f->done = done;
    f->done_ud = ud;
    loop_timer_stop(f->cfg.loop, &f->timer);
    look_for_end(f);
}

void clock_feed_close(struct clock_feed *f) {
    if (!f) return;
    loop_timer_stop(f->cfg.loop, &f->timer);
    loop_defer_cancel(f->cfg.loop, &f->ended);
    f->closed = true;
    for (size_t i = 0; i < f->n; i++)
        if (f->runs[i].call) aws_cancel(f->runs[i].call);
    if (!f->running) feed_free(f);
}
