/* A call's way through the probe; listeners; order. */
#include "probe/state.h"
#include <stdlib.h>

enum { LATE_MS = 2000 };     /* longer than most jobs take, shorter than their Timeout */
enum { GIVE_UP_MS = 60000 }; /* a call without a deadline that gets no answer: as the read timeout of AWS's clients */

static void arrived(struct aws_call *c, void *ud);

static struct aws_backend *inner_of(struct aws_backend *b) {
    return CONTAINER(b, struct probe, backend)->cfg.inner;
}

void probe_look_busy(struct probe *p) {
    p->busy = p->dead || p->counting || p->price || p->seed || p->n_listeners || p->before || !list_empty(&p->faults) ||
              !list_empty(&p->waiting);
}

/* == telling ========================================================================================================
 */

static void tell(struct passing *x) {
    struct probe *p = x->p;
    struct probe_call *s = &x->seen;
    if (x->told) return;
    x->told = true;
    s->fault = x->strike.name;
    s->ended_ms = clock_ms(p->cfg.clock);
    s->begun = p->count;
    if (x->epoch != p->epoch) s->n = 0;
    if (s->n) probe_cost_add(&p->total, &s->cost);
    for (size_t i = 0; i < p->n_listeners; i++) p->listeners[i].fn(p->listeners[i].ud, s);
}

static void tell_nobody_was(struct passing *x, const char *why) {
    err_set(&x->seen.told, ERR_CANCELLED, "%s", why);
    tell(x);
}

/* The caller is next to hear of it. */
static void over(struct passing *x) {
    struct aws_call *c = x->call;
    c->done = x->done;
    c->ud = x->ud;
    list_del(&x->node);
    loop_timer_stop(x->p->cfg.loop, &x->give_up);
    x->where = OVER;
    x->seen.told = c->err;
    tell(x);
}

/* The call is being freed. */
static void gone(void *ud) {
    struct passing *x = ud;
    if (x->where == OVER || !x->p) return;
    list_del(&x->node);
    loop_timer_stop(x->p->cfg.loop, &x->give_up);
    if (x->where == INSIDE) {
        x->seen.effect = x->call->err.code == ERR_NONE;
        cost_take(x);
    }
    tell_nobody_was(x, "given up by its caller");
}

/* == a call's way ===================================================================================================
 */

static void lose(struct passing *x) {
    struct aws_call *c = x->call;
    c->err = *x->strike.err;
    c->result = json_make_obj();
    c->result_body = STR_NONE;
}

static void give_up(void *ud) {
    struct passing *x = ud;
    struct aws_call *c = x->call;
    lose(x);
    over(x);
    aws_complete(c);
}

/* No answer comes. A job's end gives the call up; what belongs to no job would wait for ever. */
static void hold(struct passing *x) {
    struct probe *p = x->p;
    struct aws_call *c = x->call;
    x->where = HELD;
    c->pending = true;
    if (p->dead || c->context.deadline_ms) return;
    x->strike.err = ARENA_NEW(&c->arena, struct err);
    err_set(x->strike.err, ERR_TIMEOUT, "no answer within %d seconds", GIVE_UP_MS / 1000);
    loop_timer_start(p->cfg.loop, &x->give_up, GIVE_UP_MS, give_up, x);
}

static void die(struct passing *x) {
    struct probe *p = x->p;
    p->dead = true;
    hold(x);
    tell_nobody_was(x, "the process died");
    p->cfg.died(p->cfg.ud);
}

static bool is_receive(const struct aws_call *c) {
    return c->op == AWS_SQS_ReceiveMessage && !c->err.code;
}

static uint32_t received(const struct aws_call *c) {
    const struct json *messages = json_get(&c->result, "Messages");
    return json_is(messages, JSON_ARR) ? messages->n : 0;
}

static void again_done(struct aws_call *again, void *ud) {
    struct passing *x = ud;
    struct aws_call *c = x->call;
    aws_call_free(again);
    x->again = NULL;
    over(x);
    aws_complete(c);
}

static void add_visible(struct aws_call *again, struct json *entries, uint32_t i, const struct json *message) {
    struct arena *a = &again->arena;
    struct json o = json_make_obj();
    json_set(a, &o, "Id", json_make_str(arena_printf(a, "%u", i)));
    json_set(a, &o, "ReceiptHandle", json_make_str(arena_str(a, json_get_s(message, "ReceiptHandle"))));
    json_set(a, &o, "VisibilityTimeout", json_make_i64(a, 0));
    json_push(a, entries, o);
}

/* What was handed out is visible again before its receiver hears of it. AWS_PENDING: the caller is told later. */
static enum aws_started hand_out_again(struct passing *x) {
    struct aws_call *c = x->call, *again = aws_call_new(AWS_SQS_ChangeMessageVisibilityBatch);
    const struct json *messages = json_get(&c->result, "Messages");
    json_set(&again->arena, &again->params, "QueueUrl",
             json_make_str(arena_str(&again->arena, json_get_s(&c->params, "QueueUrl"))));
    struct json *entries = json_set(&again->arena, &again->params, "Entries", json_make_arr());
    for (uint32_t i = 0; i < messages->n; i++) add_visible(again, entries, i, &messages->items[i]);
    again->done = again_done;
    again->ud = x;
    if (aws_start(x->p->cfg.inner, c->home, again) == AWS_DONE) {
        aws_call_free(again);
        return AWS_DONE;
    }
    x->again = again;
    x->where = AGAIN;
    c->pending = true;
    return AWS_PENDING;
}

/* The inner backend is through. AWS_DONE: the caller hears of it now. */
static enum aws_started come_out(struct passing *x) {
    struct probe *p = x->p;
    struct aws_call *c = x->call;
    x->seen.effect = c->err.code == ERR_NONE;
    x->seen.empty = is_receive(c) && !received(c);
    cost_take(x);
    if (!p->dead && is_receive(c) && received(c) && fault_twice(p, x) && hand_out_again(x) == AWS_PENDING)
        return AWS_PENDING;
    if (p->dead || (x->strike.name && x->strike.kind == PROBE_STALLS)) {
        hold(x);
        return AWS_PENDING;
    }
    if (x->strike.name && x->strike.kind == PROBE_AFTER) {
        die(x);
        return AWS_PENDING;
    }
    if (x->strike.name && x->strike.kind == PROBE_LOST) lose(x);
    over(x);
    return AWS_DONE;
}

static void arrived(struct aws_call *c, void *ud) {
    if (come_out(ud) == AWS_DONE) c->done(c, c->ud);
}

static enum aws_started go_in(struct passing *x) {
    struct probe *p = x->p;
    if (p->before) p->before(p->before_ud, x->call);
    x->where = INSIDE;
    cost_ask(x);
    if (p->cfg.inner->ops->start(p->cfg.inner, x->call) == AWS_PENDING) return AWS_PENDING;
    return come_out(x);
}

static void leave_at_last(void *ud) {
    struct passing *x = ud;
    struct aws_call *c = x->call;
    if (!x->p->dead && go_in(x) == AWS_DONE) aws_complete(c);
}

/* Meanwhile it may be given up, or the process dies: then it does not happen. */
static enum aws_started leave_late(struct passing *x) {
    x->where = HELD;
    x->call->pending = true;
    loop_timer_start(x->p->cfg.loop, &x->give_up, LATE_MS, leave_at_last, x);
    return AWS_PENDING;
}

/* What is answered at once was not committed: the next commit is another call's. */
static enum aws_started fail_commit(struct passing *x) {
    const struct probe_config *c = &x->p->cfg;
    c->fail_commit(c->ud, true);
    enum aws_started s = go_in(x);
    if (s == AWS_DONE) c->fail_commit(c->ud, false);
    return s;
}

/* The call's turn. */
static enum aws_started leave(struct passing *x) {
    struct probe *p = x->p;
    x->seen.n = ++p->count;
    x->epoch = p->epoch;
    x->seen.began_ms = clock_ms(p->cfg.clock);
    fault_find(p, x, &x->strike);
    if (!x->strike.name) return go_in(x);
    switch (x->strike.kind) {
    case PROBE_REFUSED:
        lose(x);
        over(x);
        return AWS_DONE;
    case PROBE_HANGS:
        hold(x);
        return AWS_PENDING;
    case PROBE_BEFORE:
        die(x);
        return AWS_PENDING;
    case PROBE_LATE:
        return leave_late(x);
    case PROBE_COMMIT:
        return fail_commit(x);
    default:
        return go_in(x);
    }
}

/* == order ==========================================================================================================
 */

/* splitmix64 */
static uint64_t next_random(struct probe *p) {
    uint64_t z = p->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct passing *pick(struct probe *p) {
    uint64_t n = 0;
    for (struct list *i = p->waiting.next; i != &p->waiting; i = i->next) n++;
    struct list *one = p->waiting.next;
    for (uint64_t skip = p->seed && n ? next_random(p) % n : 0; skip; skip--) one = one->next;
    return n ? CONTAINER(one, struct passing, node) : NULL;
}

/* One call, and whatever it sets off, before the next. */
static void pump(void *ud) {
    struct probe *p = ud;
    struct passing *x = p->dead ? NULL : pick(p);
    if (!x) return;
    list_del(&x->node);
    list_add(&p->passing, &x->node);
    if (!list_empty(&p->waiting)) loop_defer(p->cfg.loop, &p->pump);
    struct aws_call *c = x->call;
    if (leave(x) == AWS_DONE) aws_complete(c);
    probe_look_busy(p);
}

static enum aws_started wait_for_turn(struct passing *x) {
    struct probe *p = x->p;
    x->where = WAITING;
    list_add(&p->waiting, &x->node);
    loop_defer(p->cfg.loop, &p->pump);
    return AWS_PENDING;
}

void probe_shuffle(struct probe *p, uint64_t seed) {
    p->seed = p->random = seed;
    probe_look_busy(p);
}

/* == the backend ====================================================================================================
 */

static enum aws_started pass(struct probe *p, struct aws_call *c) {
    struct passing *x = ARENA_NEW(&c->arena, struct passing);
    *x = (struct passing){.p = p, .call = c, .done = c->done, .ud = c->ud, .seen = {.call = c}};
    list_init(&x->node);
    arena_defer(&c->arena, gone, x);
    c->done = arrived;
    c->ud = x;
    if (!p->dead && (p->seed || !list_empty(&p->waiting))) return wait_for_turn(x);
    list_add(&p->passing, &x->node);
    if (!p->dead) return leave(x);
    x->told = true; /* of what does not exist any more */
    hold(x);
    return AWS_PENDING;
}

static enum aws_started start(struct aws_backend *b, struct aws_call *c) {
    struct probe *p = CONTAINER(b, struct probe, backend);
    return p->busy ? pass(p, c) : p->cfg.inner->ops->start(p->cfg.inner, c);
}

static void cancel(struct aws_backend *b, struct aws_call *c) {
    struct passing *x = c->done == arrived ? c->ud : NULL;
    if (!x || x->where == INSIDE) {
        inner_of(b)->ops->cancel(inner_of(b), c);
        return;
    }
    if (x->again) aws_cancel(x->again);
    aws_complete(c); /* frees it */
}

static int presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                   int64_t *ret_expires_ms, struct err *e) {
    return inner_of(b)->ops->presign(inner_of(b), p, a, ret_url, ret_expires_ms, e);
}

static int presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                        struct json *ret, int64_t *ret_expires_ms, struct err *e) {
    return inner_of(b)->ops->presign_post(inner_of(b), params, host_hint, a, ret, ret_expires_ms, e);
}

static int64_t now_ms(struct aws_backend *b) {
    return inner_of(b)->ops->now_ms(inner_of(b));
}

static void describe(struct aws_backend *b, struct arena *a, struct json *ret) {
    inner_of(b)->ops->describe(inner_of(b), a, ret);
}

static const struct aws_backend_ops ops = {start, cancel, presign, presign_post, now_ms, describe};

/* == open, close, asking ============================================================================================
 */

int probe_open(const struct probe_config *c, struct probe **ret, struct err *e) {
    if (!c->inner || !c->loop || !c->died) return err_set(e, ERR_INTERNAL, "a probe needs a backend, a loop and died");
    struct probe *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory for a probe");
    p->backend = (struct aws_backend){&ops, c->inner->id};
    p->cfg = *c;
    list_init(&p->passing);
    list_init(&p->waiting);
    list_init(&p->faults);
    loop_task_init(&p->pump, pump, p);
    *ret = p;
    return 0;
}

/* Cancelled calls may still be inside: they go their way alone. */
void probe_close(struct probe *p) {
    struct list *n;
    if (!p) return;
    if (!list_empty(&p->waiting)) fatal("probe: closed while calls wait");
    while ((n = list_pop(&p->passing)) != NULL) {
        struct passing *x = CONTAINER(n, struct passing, node);
        if (x->where != INSIDE) fatal("probe: closed while %s is out", x->call->row->action);
        x->p = NULL;
    }
    loop_defer_cancel(p->cfg.loop, &p->pump);
    probe_forgive(p, 0);
    free(p);
}

struct aws_backend *probe_backend(struct probe *p) {
    return &p->backend;
}

int probe_listen(struct probe *p, probe_seen_fn *seen, void *ud, struct err *e) {
    if (p->n_listeners == PROBE_LISTENERS)
        return err_set(e, ERR_LIMIT, "a probe has at most %d listeners", PROBE_LISTENERS);
    p->listeners[p->n_listeners++] = (struct listener){seen, ud};
    probe_look_busy(p);
    return 0;
}

void probe_unlisten(struct probe *p, probe_seen_fn *seen, void *ud) {
    for (size_t i = 0; i < p->n_listeners; i++) {
        if (p->listeners[i].fn != seen || p->listeners[i].ud != ud) continue;
        p->n_listeners--;
        for (size_t k = i; k < p->n_listeners; k++) p->listeners[k] = p->listeners[k + 1];
        break;
    }
    probe_look_busy(p);
}

void probe_before(struct probe *p, void (*fn)(void *ud, const struct aws_call *c), void *ud) {
    p->before = fn;
    p->before_ud = ud;
    probe_look_busy(p);
}

void probe_mark(struct probe *p) {
    p->epoch++;
    p->count = 0;
    p->total = (struct probe_cost){0};
    p->counting = true;
    probe_look_busy(p);
}

uint64_t probe_count(const struct probe *p) {
    return p->count;
}

void probe_price(struct probe *p, bool on) {
    p->price = on;
    probe_look_busy(p);
}

struct probe_cost probe_total(const struct probe *p) {
    return p->total;
}

bool probe_is_dead(const struct probe *p) {
    return p->dead;
}

void probe_revive(struct probe *p) {
    p->dead = false;
    if (!list_empty(&p->waiting)) loop_defer(p->cfg.loop, &p->pump);
    probe_look_busy(p);
}
