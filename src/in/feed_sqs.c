/* feed_sqs: one queue for one function on one worker.
 *
 * A batch: GATHERING (one or, with a batching window, several receives) -> RUNNING (each message a job) -> SETTLING
 * (what succeeded is deleted, what failed becomes visible again later) -> gone. At most one batch gathers at a time, at
 * most `concurrency` batches exist. Messages of one group of a FIFO queue run one after the other; the first that fails
 * ends its group, the rest of which has failed with it and did not run. */
#include "base/crypto.h"
#include "in/in.h"
#include <stdlib.h>

enum {
    WAIT_S = 20,          /* the longest long poll */
    RECEIVE_MAX = 10,     /* messages a receive, entries a batch call */
    BACKOFF_MAX_S = 900,  /* of a failed message */
    RETRY_MS = 200,       /* of failed calls: doubled with each, up to */
    RETRY_MAX_MS = 10000, /* this */
    SETTLE_ATTEMPTS = 6,  /* then the messages come back by themselves */
    EMPTY_MS = 200,       /* before the next receive when an empty answer did not wait as asked */
};

struct feed_message {
    struct feed_batch *batch;
    struct script_message m;
    struct str handle;
    struct str group; /* of a FIFO queue, else empty */
    bool started, finished, failed, cancelled, settled;
};
struct feed_batch {
    struct list node;
    struct feed *feed;  /* NULL: the feed was closed, the last message to end frees the batch */
    struct arena arena; /* messages, and their texts */
    struct feed_message *messages;
    size_t n, running;
    bool starting;
    uint64_t gather_until_ms;
    struct aws_call *call; /* the pending settling call */
    unsigned attempts;     /* of it */
    struct loop_timer retry;
};
struct feed {
    struct feed_config cfg;
    struct str url;               /* malloc'd, once known */
    struct aws_call *call;        /* the pending GetQueueUrl or ReceiveMessage */
    struct feed_batch *gathering; /* belongs to the pending receive */
    struct list batches;          /* running and settling */
    uint32_t n_batches;
    uint32_t failures; /* receives that failed in a row */
    uint64_t asked_ms; /* when the pending receive began */
    struct loop_task poll, ended;
    struct loop_timer wait;
    bool polling, stopping;
    void (*done)(void *ud);
    void *done_ud;
};

// ---- calls ----

/* A call may outlive feed and batch (it was cancelled, but its write still happens): it owns what it says. */
static struct aws_call *new_call(struct feed *f, enum aws_op op, void (*done)(struct aws_call *c, void *ud), void *ud) {
    struct aws_call *c = aws_call_new(op);
    c->params = json_make_obj();
    c->context.function = f->cfg.feed->function->name;
    c->done = done;
    c->ud = ud;
    if (f->url.n) json_set(&c->arena, &c->params, "QueueUrl", json_make_str(arena_str(&c->arena, f->url)));
    return c;
}

static void start_call(struct feed *f, struct aws_call *c) {
    if (aws_start(f->cfg.backend, f->cfg.loop, c) == AWS_DONE) c->done(c, c->ud);
}

static uint64_t retry_ms(unsigned failures) {
    uint64_t ms = (uint64_t)RETRY_MS << (failures > 10 ? 10 : failures);
    return ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
}

static uint32_t random_below(uint32_t n) {
    uint32_t r;
    crypto_random(&r, sizeof r);
    return n ? r % n : 0;
}

// ---- settling ----

static void settle(struct feed_batch *b);

static void batch_free(struct feed_batch *b) {
    list_del(&b->node);
    arena_free(&b->arena);
    free(b);
}

static void batch_end(struct feed_batch *b) {
    struct feed *f = b->feed;
    batch_free(b);
    f->n_batches--;
    if (!f->stopping)
        loop_defer(f->cfg.loop, &f->poll);
    else if (!f->n_batches)
        loop_defer(f->cfg.loop, &f->ended);
}

static bool batch_failed(const struct feed_batch *b) {
    for (size_t i = 0; i < b->n; i++)
        if (b->messages[i].failed) return true;
    return false;
}

/* Without ReportBatchItemFailures the batch succeeds or fails as a whole. */
static bool is_back(const struct feed_message *m, bool any_failed) {
    return m->failed || (any_failed && !m->batch->feed->cfg.feed->report_failures);
}

/* 2^receives seconds and some, so that failures of one moment do not come back in one moment; interrupted ones at once.
 */
static int64_t backoff_s(const struct feed_message *m) {
    if (m->cancelled) return 0;
    int64_t n = m->m.receive_count < 0 ? 0 : m->m.receive_count > 10 ? 10 : m->m.receive_count;
    int64_t s = (int64_t)1 << n;
    s += random_below((uint32_t)(s / 4 + 2));
    return s > BACKOFF_MAX_S ? BACKOFF_MAX_S : s;
}

/* Fills Entries with up to ten messages of one kind that are not settled; returns how many. */
static int add_entries(struct feed_batch *b, struct aws_call *c, bool back, bool any_failed) {
    struct json *entries = json_set(&c->arena, &c->params, "Entries", json_make_arr());
    int n = 0;
    for (size_t i = 0; i < b->n && n < RECEIVE_MAX; i++) {
        struct feed_message *m = &b->messages[i];
        if (m->settled || is_back(m, any_failed) != back) continue;
        struct json o = json_make_obj();
        json_set(&c->arena, &o, "Id", json_make_str(arena_printf(&c->arena, "%zu", i)));
        json_set(&c->arena, &o, "ReceiptHandle", json_make_str(arena_str(&c->arena, m->handle)));
        if (back) json_set(&c->arena, &o, "VisibilityTimeout", json_make_i64(&c->arena, backoff_s(m)));
        json_push(&c->arena, entries, o);
        n++;
    }
    return n;
}

static void mark_settled(struct feed_batch *b, const struct aws_call *c) {
    const struct json *entries = json_get(&c->params, "Entries");
    for (uint32_t i = 0; i < entries->n; i++) {
        int64_t index = 0;
        str_i64(json_get_s(&entries->items[i], "Id"), &index);
        b->messages[index].settled = true;
    }
}

static void log_refused(const struct feed *f, const struct aws_call *c) {
    const struct json *failed = json_get(&c->result, "Failed");
    for (uint32_t i = 0; json_is(failed, JSON_ARR) && i < failed->n; i++)
        log_event(f->cfg.log, LOG_WARN, "message not settled", "SSSs", "queue", f->cfg.feed->queue, "code",
                  json_get_s(&failed->items[i], "Code"), "error", json_get_s(&failed->items[i], "Message"), "action",
                  c->row->action);
}

static void on_retry(void *ud) {
    settle(ud);
}

/* A failed call is tried again; after the last attempt the messages come back when their visibility ends. */
static void on_settled(struct aws_call *c, void *ud) {
    struct feed_batch *b = ud;
    struct feed *f = b->feed;
    b->call = NULL;
    bool again = c->err.code && ++b->attempts < SETTLE_ATTEMPTS;
    if (c->err.code)
        log_event(f->cfg.log, LOG_ERROR, "messages not settled", "Sssu", "queue", f->cfg.feed->queue, "action",
                  c->row->action, "error", c->err.msg, "attempt", (uint64_t)b->attempts);
    else
        log_refused(f, c);
    if (!again) {
        mark_settled(b, c);
        b->attempts = 0;
    }
    aws_call_free(c);
    if (again)
        loop_timer_start(f->cfg.loop, &b->retry, retry_ms(b->attempts), on_retry, b);
    else
        settle(b);
}

static bool settle_some(struct feed_batch *b, enum aws_op op, bool back, bool any_failed) {
    struct aws_call *c = new_call(b->feed, op, on_settled, b);
    if (!add_entries(b, c, back, any_failed)) {
        aws_call_free(c);
        return false;
    }
    b->call = c;
    start_call(b->feed, c);
    return true;
}

static void settle(struct feed_batch *b) {
    bool any_failed = batch_failed(b);
    if (settle_some(b, AWS_SQS_DeleteMessageBatch, false, any_failed)) return;
    if (settle_some(b, AWS_SQS_ChangeMessageVisibilityBatch, true, any_failed)) return;
    batch_end(b);
}

// ---- running ----

static void on_message(void *ud, const struct err *e);

static void run_message(struct feed_message *m) {
    struct feed *f = m->batch->feed;
    m->started = true;
    route_message(f->cfg.route, f->cfg.feed->function, &m->m, on_message, m);
}

/* Runs what comes behind m in its group, or fails it with m. */
static void go_on(struct feed_message *m) {
    struct feed_batch *b = m->batch;
    for (struct feed_message *next = m + 1; m->group.n && next < b->messages + b->n; next++) {
        if (!str_eq(next->group, m->group)) continue;
        if (!m->failed) {
            run_message(next);
            return;
        }
        next->finished = next->failed = true;
        next->cancelled = m->cancelled;
        b->running--;
    }
}

static void on_message(void *ud, const struct err *e) {
    struct feed_message *m = ud;
    struct feed_batch *b = m->batch;
    b->running--;
    if (!b->feed) {
        if (!b->running) batch_free(b);
        return;
    }
    m->finished = true;
    m->failed = e != NULL;
    m->cancelled = e && e->code == ERR_CANCELLED;
    bool outer = !b->starting;
    b->starting = true;
    go_on(m);
    if (outer) b->starting = false;
    if (!b->running && outer) settle(b);
}

/* The first of its group, or of no group. */
static bool is_first(const struct feed_message *m) {
    for (const struct feed_message *o = m->batch->messages; m->group.n && o < m; o++)
        if (str_eq(o->group, m->group)) return false;
    return true;
}

static void run_batch(struct feed_batch *b) {
    b->running = b->n;
    b->starting = true;
    for (size_t i = 0; i < b->n; i++)
        if (is_first(&b->messages[i])) run_message(&b->messages[i]);
    b->starting = false;
    if (!b->running) settle(b);
}

/* Stopped before its messages ran: they are visible again at once. */
static void give_back(struct feed_batch *b) {
    for (size_t i = 0; i < b->n; i++) b->messages[i].failed = b->messages[i].cancelled = true;
    settle(b);
}

// ---- receiving ----

static int64_t attribute(const struct json *message, const char *name) {
    int64_t v = 0;
    str_i64(json_get_s(json_get(message, "Attributes"), name), &v);
    return v;
}

static void add_message(struct feed_batch *b, const struct json *j) {
    struct arena *a = &b->arena;
    struct feed_message *m = &b->messages[b->n++];
    const struct json *attributes = json_get(j, "MessageAttributes");
    m->batch = b;
    m->handle = arena_str(a, json_get_s(j, "ReceiptHandle"));
    m->m.id = arena_str(a, json_get_s(j, "MessageId"));
    m->m.body = arena_str(a, json_get_s(j, "Body"));
    m->m.queue = b->feed->cfg.feed->queue;
    m->m.receive_count = attribute(j, "ApproximateReceiveCount");
    m->m.sent_ms = attribute(j, "SentTimestamp");
    m->m.attributes = attributes ? json_copy(a, attributes) : json_make_obj();
    m->m.correlation_id = event_correlation(a, &m->m);
    const struct json *system = json_get(j, "Attributes");
    if (json_get(system, "SequenceNumber")) m->group = arena_str(a, json_get_s(system, "MessageGroupId"));
}

static struct feed_batch *batch_new(struct feed *f) {
    struct feed_batch *b = calloc(1, sizeof *b);
    if (!b) fatal("out of memory for a batch of messages");
    b->feed = f;
    b->messages = ARENA_ARRAY(&b->arena, struct feed_message, f->cfg.feed->batch_size);
    b->gather_until_ms = loop_now_ms(f->cfg.loop) + f->cfg.feed->window_ms;
    list_init(&b->node);
    f->n_batches++;
    return b;
}

static void take_messages(struct feed *f, const struct json *messages) {
    if (!f->gathering) f->gathering = batch_new(f);
    for (uint32_t i = 0; i < messages->n && f->gathering->n < f->cfg.feed->batch_size; i++)
        add_message(f->gathering, &messages->items[i]);
}

static bool batch_full(const struct feed *f) {
    const struct feed_batch *b = f->gathering;
    return b->n >= f->cfg.feed->batch_size || loop_now_ms(f->cfg.loop) >= b->gather_until_ms;
}

static void run_gathered(struct feed *f) {
    struct feed_batch *b = f->gathering;
    f->gathering = NULL;
    list_add(&f->batches, &b->node);
    run_batch(b);
}

static void on_wait(void *ud) {
    struct feed *f = ud;
    loop_defer(f->cfg.loop, &f->poll);
}

static void poll_later(struct feed *f, uint64_t ms) {
    if (ms)
        loop_timer_start(f->cfg.loop, &f->wait, ms, on_wait, f);
    else
        loop_defer(f->cfg.loop, &f->poll);
}

static void call_failed(struct feed *f, const struct aws_call *c) {
    if (f->polling || !f->failures)
        log_event(f->cfg.log, LOG_ERROR, "cannot receive messages", "SSss", "queue", f->cfg.feed->queue, "function",
                  f->cfg.feed->function->name, "code", err_name_of(&c->err), "error", c->err.msg);
    f->polling = false;
    f->failures++;
    poll_later(f, retry_ms(f->failures - 1));
}

static void on_received(struct aws_call *c, void *ud) {
    struct feed *f = ud;
    f->call = NULL;
    const struct json *messages = json_get(&c->result, "Messages");
    size_t n = json_is(messages, JSON_ARR) ? messages->n : 0;
    if (c->err.code)
        call_failed(f, c);
    else {
        bool hasty = !n && !f->gathering && loop_now_ms(f->cfg.loop) - f->asked_ms < EMPTY_MS;
        f->polling = true;
        f->failures = 0;
        if (n) take_messages(f, messages);
        poll_later(f, hasty ? EMPTY_MS : 0);
    }
    aws_call_free(c);
    if (f->gathering && batch_full(f)) run_gathered(f);
}

/* After a failure the first receive does not wait: it tells at once whether polling works again. */
static int64_t wait_s(const struct feed *f) {
    if (!f->polling) return 0;
    if (!f->gathering) return WAIT_S;
    int64_t left = (int64_t)(f->gathering->gather_until_ms - loop_now_ms(f->cfg.loop) + 999) / 1000;
    return left > WAIT_S ? WAIT_S : left;
}

static void receive(struct feed *f) {
    struct aws_call *c = f->call = new_call(f, AWS_SQS_ReceiveMessage, on_received, f);
    struct arena *a = &c->arena;
    size_t room = f->cfg.feed->batch_size - (f->gathering ? f->gathering->n : 0);
    json_set(a, &c->params, "MaxNumberOfMessages", json_make_i64(a, room > RECEIVE_MAX ? RECEIVE_MAX : (int64_t)room));
    json_set(a, &c->params, "WaitTimeSeconds", json_make_i64(a, wait_s(f)));
    json_push(a, json_set(a, &c->params, "MessageSystemAttributeNames", json_make_arr()), json_make_c("All"));
    json_push(a, json_set(a, &c->params, "MessageAttributeNames", json_make_arr()), json_make_c("All"));
    f->asked_ms = loop_now_ms(f->cfg.loop);
    start_call(f, c);
}

static void on_url(struct aws_call *c, void *ud) {
    struct feed *f = ud;
    f->call = NULL;
    struct str url = json_get_s(&c->result, "QueueUrl");
    if (c->err.code)
        call_failed(f, c);
    else {
        char *copy = malloc(url.n + 1);
        if (!copy) fatal("out of memory for a queue URL");
        for (size_t i = 0; i < url.n; i++) copy[i] = url.p[i];
        f->url = str_n(copy, url.n);
        f->polling = true;
        f->failures = 0;
        poll_later(f, 0);
    }
    aws_call_free(c);
}

static void find_url(struct feed *f) {
    struct aws_call *c = f->call = new_call(f, AWS_SQS_GetQueueUrl, on_url, f);
    json_set(&c->arena, &c->params, "QueueName", json_make_str(f->cfg.feed->queue));
    start_call(f, c);
}

static void poll(void *ud) {
    struct feed *f = ud;
    if (f->stopping || f->call || f->wait.pos) return;
    if (!f->url.n)
        find_url(f);
    else if (f->gathering && batch_full(f))
        run_gathered(f);
    else if (f->gathering || f->n_batches < f->cfg.concurrency)
        receive(f);
}

// ---- opening and closing ----

static void on_ended(void *ud) {
    struct feed *f = ud;
    void (*done)(void *) = f->done;
    f->done = NULL;
    if (done) done(f->done_ud);
}

int feed_open(const struct feed_config *c, struct feed **ret, struct err *e) {
    if (!c->concurrency || !c->feed->batch_size)
        return err_set(e, ERR_CONFIG, "queue %.*s: concurrency and batch size must be at least 1",
                       STR_ARG(c->feed->queue));
    struct feed *f = calloc(1, sizeof *f);
    if (!f) fatal("out of memory for a queue feed");
    f->cfg = *c;
    list_init(&f->batches);
    loop_task_init(&f->poll, poll, f);
    loop_task_init(&f->ended, on_ended, f);
    if (c->feed->enabled)
        loop_defer(c->loop, &f->poll);
    else
        f->polling = true;
    *ret = f;
    return 0;
}

bool feed_polling(const struct feed *f) {
    return f->polling;
}

static void stop_polling(struct feed *f) {
    f->stopping = true;
    loop_timer_stop(f->cfg.loop, &f->wait);
    loop_defer_cancel(f->cfg.loop, &f->poll);
    if (f->call) aws_cancel(f->call);
    f->call = NULL;
}

void feed_stop(struct feed *f, void (*done)(void *ud), void *ud) {
    f->done = done;
    f->done_ud = ud;
    stop_polling(f);
    struct feed_batch *b = f->gathering;
    f->gathering = NULL;
    if (b) {
        list_add(&f->batches, &b->node);
        give_back(b);
    }
    if (!f->n_batches) loop_defer(f->cfg.loop, &f->ended);
}

// ---- closing before all has stopped ----

/* The write happens, nobody waits for it. */
static bool fire(struct feed_batch *b, enum aws_op op, bool back, bool any_failed) {
    struct feed *f = b->feed;
    struct aws_call *c = new_call(f, op, NULL, NULL);
    bool any = add_entries(b, c, back, any_failed) > 0;
    if (any) mark_settled(b, c);
    if (any && aws_start(f->cfg.backend, f->cfg.loop, c) == AWS_PENDING)
        aws_cancel(c);
    else
        aws_call_free(c);
    return any;
}

/* What ended is settled, what still runs is given back at once. */
static void abandon(struct feed_batch *b) {
    loop_timer_stop(b->feed->cfg.loop, &b->retry);
    if (b->call) {
        mark_settled(b, b->call);
        aws_cancel(b->call);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->messages[i].finished) continue;
        b->messages[i].failed = b->messages[i].cancelled = true;
        if (b->running && !b->messages[i].started) b->running--; /* never will */
    }
    bool any_failed = batch_failed(b);
    while (fire(b, AWS_SQS_DeleteMessageBatch, false, any_failed))
        ;
    while (fire(b, AWS_SQS_ChangeMessageVisibilityBatch, true, any_failed))
        ;
    list_del(&b->node);
    b->feed = NULL;
    if (!b->running) batch_free(b);
}

void feed_close(struct feed *f) {
    if (!f) return;
    stop_polling(f);
    if (f->gathering) abandon(f->gathering);
    while (!list_empty(&f->batches)) abandon(CONTAINER(f->batches.next, struct feed_batch, node));
    loop_defer_cancel(f->cfg.loop, &f->ended);
    free((char *)f->url.p);
    free(f);
}
