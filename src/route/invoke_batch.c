/* SQS batches: each message is a job of its own. Messages of a standard queue run at once; those of one group of a FIFO
 * queue one after the other, and the first that fails ends its group: the rest has failed with it and did not run. */
#include "base/now.h"
#include "route/invoke.h"

struct invoke_message {
    struct invoke_batch *batch;
    const struct script_message *m;
    struct str group; /* empty: in no group */
    struct route_ticket *ticket;
    bool failed, ended;
};
struct invoke_batch {
    struct route_run *run;
    struct invoke_message *messages;
    size_t n, left;
    bool starting;
};

// ---- the answer ----

/* Lambda developer guide, "Implementing partial batch responses": an empty list is a batch that has succeeded. */
static void report(struct invoke_batch *b, struct buf *out) {
    bool any = false;
    buf_c(out, "{\"batchItemFailures\":[");
    for (size_t i = 0; i < b->n; i++) {
        if (!b->messages[i].failed) continue;
        buf_c(out, any ? ",{\"itemIdentifier\":" : "{\"itemIdentifier\":");
        any = true;
        json_write_str(out, b->messages[i].m->id);
        buf_byte(out, '}');
    }
    buf_c(out, "]}");
}

static void end(struct invoke_batch *b) {
    struct route_run *run = b->run;
    run->batch = NULL;
    if (run->in.report_failures) {
        run->outcome.err.code = ERR_NONE;
        run->outcome.error_type = run->outcome.traceback = STR_NONE;
        report(b, &run->outcome.body);
    } else if (!run->outcome.err.code) {
        buf_c(&run->outcome.body, "null");
    }
    invoke_end(run);
}

// ---- running ----

static void run_message(struct invoke_message *m);

static void fail(struct invoke_message *m) {
    m->ended = m->failed = true;
    m->batch->left--;
}

/* Who of its group runs after m: nobody when m has failed, as all that is left of the group has failed with it. */
static struct invoke_message *next_of(struct invoke_message *m) {
    struct invoke_batch *b = m->batch;
    for (struct invoke_message *next = m + 1; m->group.n && next < b->messages + b->n; next++) {
        if (!str_eq(next->group, m->group)) continue;
        if (!m->failed) return next;
        fail(next);
    }
    return NULL;
}

/* From m on, until one waits. */
static void run_group(struct invoke_message *m) {
    while (m) {
        run_message(m);
        m = m->ended ? next_of(m) : NULL;
    }
}

/* The first failure is the invocation's, when failures are not reported one by one. */
static void on_message(void *ud, struct script_reply *reply) {
    struct invoke_message *m = ud;
    struct invoke_batch *b = m->batch;
    m->ticket = NULL;
    m->ended = true;
    m->failed = reply->err.code != ERR_NONE;
    b->left--;
    if (m->failed && !b->run->outcome.err.code) {
        invoke_failed_job(b->run, reply);
        err_wrap(&b->run->outcome.err, "message %.*s", STR_ARG(str_take(m->m->id, 128)));
    }
    if (b->starting) return; /* who has started it goes on */
    b->starting = true;
    run_group(next_of(m));
    b->starting = false;
    if (!b->left) end(b);
}

static bool too_late(struct invoke_message *m) {
    struct script_reply reply = {0};
    if (clock_mono_ms(m->batch->run->route->cfg.clock) < m->batch->run->end_ms) return false;
    err_set(&reply.err, ERR_TIMEOUT, "no time was left to run it");
    on_message(m, &reply);
    return true;
}

static void run_message(struct invoke_message *m) {
    if (too_late(m)) return;
    struct script_job job = invoke_job(m->batch->run, SCRIPT_MESSAGE);
    job.request_id = m->m->id;
    job.message = m->m;
    m->ticket = work_start(m->batch->run->route, &job, on_message, m);
}

static bool is_first(const struct invoke_message *m) {
    for (const struct invoke_message *o = m->batch->messages; m->group.n && o < m; o++)
        if (str_eq(o->group, m->group)) return false;
    return true;
}

static struct invoke_batch *batch_new(struct route_run *run, const struct event_messages *list) {
    struct invoke_batch *b = ARENA_NEW(run->in.arena, struct invoke_batch);
    b->run = run;
    b->n = b->left = list->n;
    b->messages = ARENA_ARRAY(run->in.arena, struct invoke_message, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        b->messages[i] = (struct invoke_message){
            .batch = b, .m = &list->messages[i], .group = list->groups ? list->groups[i] : STR_NONE};
    return b;
}

void invoke_batch(struct route_run *run) {
    struct event_messages list;
    struct err e;
    if (event_read_sqs(run->in.arena, &run->document, &list, &e)) {
        invoke_fail(run, e.code, "Runtime.MalformedEvent", "the event: %s", e.msg);
        return;
    }
    struct invoke_batch *b = run->batch = batch_new(run, &list);
    b->starting = true;
    for (size_t i = 0; i < b->n; i++)
        if (is_first(&b->messages[i])) run_group(&b->messages[i]);
    b->starting = false;
    if (!b->left) end(b);
}

void invoke_batch_cancel(struct invoke_batch *b) {
    for (size_t i = 0; i < b->n; i++)
        if (b->messages[i].ticket) work_cancel(b->messages[i].ticket);
}
