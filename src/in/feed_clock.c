/* feed_clock: the template's schedules. Times are wall time of the injected clock, so the timer never sleeps longer
 * than LOOK_MS: a clock that was moved (or a machine that slept) is noticed then. Occurrences missed meanwhile are run
 * once. */
#include "base/crypto.h"
#include "base/now.h"
#include "in/in.h"
#include <stdlib.h>

enum { LOOK_MS = 500 };

struct clock_run {
    struct clock_feed *feed;
    const struct app_schedule *schedule;
    int64_t next_ms;
    bool running;
    struct arena arena; /* of the present run's event */
    char id[37];
};
struct clock_feed {
    struct clock_feed_config cfg;
    struct loop_timer timer;
    struct loop_task ended;
    int64_t start_ms;
    size_t n, running;
    bool stopping, closed; /* closed: the last run to end frees the feed */
    void (*done)(void *ud);
    void *done_ud;
    struct clock_run runs[];
};

// ---- one run ----

static struct str event_time(struct arena *a, int64_t ms) {
    char iso[25];
    now_iso(ms, iso);
    return arena_printf(a, "%.19sZ", iso);
}

/* As EventBridge sends it; or the schedule's Input. */
static int make_event(struct clock_run *r, int64_t due_ms, struct json *ret, struct err *e) {
    const struct clock_feed_config *c = &r->feed->cfg;
    struct arena *a = &r->arena;
    if (r->schedule->input.n) return json_parse(a, r->schedule->input, NULL, ret, e);
    struct str arn = arena_printf(a, "arn:aws:events:%.*s:%.*s:rule/%.*s", STR_ARG(c->region), STR_ARG(c->account),
                                  STR_ARG(r->schedule->name));
    struct json o = json_make_obj();
    json_set(a, &o, "version", json_make_c("0"));
    json_set(a, &o, "id", json_make_c(r->id));
    json_set(a, &o, "detail-type", json_make_c("Scheduled Event"));
    json_set(a, &o, "source", json_make_c("aws.events"));
    json_set(a, &o, "account", json_make_str(c->account));
    json_set(a, &o, "time", json_make_str(event_time(a, due_ms)));
    json_set(a, &o, "region", json_make_str(c->region));
    json_push(a, json_set(a, &o, "resources", json_make_arr()), json_make_str(arn));
    json_set(a, &o, "detail", json_make_obj());
    *ret = o;
    return 0;
}

static void feed_free(struct clock_feed *f) {
    for (size_t i = 0; i < f->n; i++) arena_free(&f->runs[i].arena);
    free(f);
}

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
    if (f->stopping && !f->running) loop_defer(f->cfg.loop, &f->ended);
}

static void start_run(struct clock_run *r, int64_t due_ms) {
    struct clock_feed *f = r->feed;
    struct json event;
    struct err e;
    if (r->running) {
        log_event(f->cfg.log, LOG_WARN, "scheduled run skipped: the one before it still runs", "SSs", "schedule",
                  r->schedule->name, "function", r->schedule->function->name, "request_id", r->id);
        return;
    }
    arena_reset(&r->arena);
    crypto_uuid7(clock_ms(f->cfg.clock), r->id);
    if (make_event(r, due_ms, &event, &e)) {
        log_event(f->cfg.log, LOG_ERROR, "scheduled run impossible: bad Input", "Ss", "schedule", r->schedule->name,
                  "error", e.msg);
        return;
    }
    metric_add(f->cfg.metrics, METRIC_SCHEDULES, 1);
    r->running = true;
    f->running++;
    route_event(f->cfg.route, r->schedule->function, event, str_c(r->id), on_done, r);
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

static void tick(void *ud) {
    struct clock_feed *f = ud;
    int64_t now = clock_ms(f->cfg.clock);
    for (size_t i = 0; i < f->n; i++) {
        struct clock_run *r = &f->runs[i];
        if (r->next_ms < 0 || r->next_ms > now) continue;
        int64_t due = r->next_ms;
        r->next_ms = next_of(r, now);
        start_run(r, due);
    }
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
    int64_t next = app_schedule_next(s->expression, f->start_ms, f->start_ms, e);
    if (next < 0) return err_wrap(e, "schedule %.*s", STR_ARG(s->name));
    f->runs[f->n++] = (struct clock_run){.feed = f, .schedule = s, .next_ms = next};
    return 0;
}

int clock_feed_open(const struct clock_feed_config *c, struct clock_feed **ret, struct err *e) {
    struct clock_feed *f = calloc(1, sizeof *f + sizeof *f->runs * c->app->n_schedules);
    if (!f) fatal("out of memory for %zu schedules", c->app->n_schedules);
    f->cfg = *c;
    f->start_ms = clock_ms(c->clock);
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
    if (!f->running) loop_defer(f->cfg.loop, &f->ended);
}

void clock_feed_close(struct clock_feed *f) {
    if (!f) return;
    loop_timer_stop(f->cfg.loop, &f->timer);
    loop_defer_cancel(f->cfg.loop, &f->ended);
    f->closed = true;
    if (!f->running) feed_free(f);
}
