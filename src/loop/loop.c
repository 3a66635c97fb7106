/* loop: one turn is: what libuv has ready, due timers, deferred and posted tasks, turn-end hooks. All of it but the
 * callbacks of descriptors, signals and watches runs outside uv_run, so tasks and timers may spin the loop (loop_once).
 */
#include "base/now.h"
#include "loop/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long a chain of tasks that defer each other may keep the turn from ending. */
enum { CHAIN_NS = 1000000, CHAIN_ROUNDS = 1000 /* in simulated time */ };

int loop_uv_err(struct err *e, int rc, const char *what) {
    return err_set(e, ERR_IO, "%s: %s", what, uv_strerror(rc));
}

// ---- deferred and posted tasks ----

void loop_task_init(struct loop_task *t, void (*fn)(void *ud), void *ud) {
    list_init(&t->node);
    t->fn = fn;
    t->ud = ud;
    t->queued = false;
}

void loop_defer(struct loop *l, struct loop_task *t) {
    if (t->queued) return;
    t->queued = true;
    l->n_deferred++;
    list_add(&l->deferred, &t->node);
}

void loop_defer_cancel(struct loop *l, struct loop_task *t) {
    if (!t->queued) return;
    t->queued = false;
    l->n_deferred--;
    list_del(&t->node);
}

static void wake(struct loop *l) {
    uint64_t one = 1;
    if (atomic_exchange(&l->asleep, false) && write(l->wake_fd, &one, sizeof one) < 0)
        fatal("cannot wake an event loop: %s", strerror(errno));
}

void loop_post(struct loop *l, struct loop_task *t) {
    pthread_mutex_lock(&l->lock);
    list_add(&l->posted, &t->node);
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

/* Moves all nodes of `from` behind those of `to`. */
static void list_move(struct list *to, struct list *from) {
    if (list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

void loop_post_all(struct loop *l, struct list *tasks) {
    if (list_empty(tasks)) return;
    pthread_mutex_lock(&l->lock);
    list_move(&l->posted, tasks);
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

/* Posted tasks join the deferred ones. */
static void take_posted(struct loop *l) {
    struct list taken;
    list_init(&taken);
    pthread_mutex_lock(&l->lock);
    list_move(&taken, &l->posted);
    pthread_mutex_unlock(&l->lock);
    for (struct list *n; (n = list_pop(&taken));) loop_defer(l, CONTAINER(n, struct loop_task, node));
}

static void run_deferred(struct loop *l, size_t n) {
    while (n-- && l->n_deferred) {
        struct loop_task *t = CONTAINER(l->deferred.next, struct loop_task, node);
        loop_defer_cancel(l, t);
        t->fn(t->ud);
    }
}

/* What was queued runs, in order; what that queues is for the next round. */
static void drain(struct loop *l) {
    take_posted(l);
    if (l->n_deferred) run_deferred(l, l->n_deferred);
}

bool loop_is_asleep(const struct loop *l) {
    return atomic_load_explicit(&l->asleep, memory_order_relaxed);
}

// ---- turns ----

void loop_turn_end(struct loop *l, struct loop_hook *h, void (*fn)(void *ud), void *ud) {
    h->fn = fn;
    h->ud = ud;
    list_add(&l->hooks, &h->node);
}

void loop_turn_end_remove(struct loop *l, struct loop_hook *h) {
    (void)l;
    list_del(&h->node);
}

/* A hook may remove itself, not others. */
static void run_hooks(struct loop *l) {
    for (struct list *n = l->hooks.next, *next; n != &l->hooks; n = next) {
        next = n->next;
        struct loop_hook *h = CONTAINER(n, struct loop_hook, node);
        h->fn(h->ud);
    }
}

static bool posted_any(struct loop *l) {
    pthread_mutex_lock(&l->lock);
    bool any = !list_empty(&l->posted);
    pthread_mutex_unlock(&l->lock);
    return any;
}

/* Announces sleep, then looks once more for what another thread may have left in between. */
static bool may_block(struct loop *l) {
    if (l->n_deferred) return false;
    atomic_store(&l->asleep, true);
    if (!atomic_load(&l->stop) && !posted_any(l)) return true;
    loop_awake(l);
    return false;
}

/* Rounds of tasks and hooks until nothing is left, unless it goes on and on: the rest is for the next turn, which then
 * does not block. */
static void end_turn(struct loop *l) {
    drain(l);
    run_hooks(l);
    if (!l->n_deferred) return;
    uint64_t start = now_mono_ns();
    int rounds = 0;
    do {
        drain(l);
        run_hooks(l);
    } while (l->n_deferred && (l->simulated ? ++rounds < CHAIN_ROUNDS : now_mono_ns() - start < CHAIN_NS));
}

static void turn(struct loop *l, bool block) {
    if (l->in_uv) fatal("loop_once was called inside a callback of the loop");
    loop_timers_arm(l);
    l->in_uv = true;
    uv_run(&l->uv, block && may_block(l) ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    l->in_uv = false;
    loop_awake(l);
    loop_timers_run(l);
    end_turn(l);
}

void loop_run(struct loop *l) {
    atomic_store(&l->thread, pthread_self());
    uv_update_time(&l->uv);
    end_turn(l);
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) turn(l, true);
    atomic_store(&l->stop, false);
}

static void on_patience(uv_timer_t *h) {
    loop_awake(h->data);
    uv_stop(h->loop);
}

// ---- simulated time ----

void loop_simulate(struct loop *l, struct clock *c) {
    l->simulated = c;
}

bool loop_is_quiet(const struct loop *l) {
    return !l->n_deferred && !posted_any((struct loop *)l) && !(l->n_timers && l->heap[1]->due_ms <= loop_now_ms(l));
}

bool loop_is_over(const struct loop *l) {
    return loop_is_quiet(l) && !l->n_timers && !l->n_watched;
}

/* While descriptors are watched, time goes on as it does for those at their other ends. */
static void wait_for_others(struct loop *l, uint64_t max_ms) {
    uint64_t start = now_mono_ms();
    uv_update_time(&l->uv);
    if (max_ms < INT32_MAX) uv_timer_start(&l->patience, on_patience, max_ms, 0);
    if (may_block(l)) uv_run(&l->uv, UV_RUN_ONCE);
    loop_awake(l);
    uv_timer_stop(&l->patience);
    uint64_t passed = now_mono_ms() - start;
    clock_pass(l->simulated, passed < max_ms ? passed : max_ms);
}

/* Nothing is ready: to the next timer. */
static void let_time_pass(struct loop *l, int max_wait_ms) {
    uint64_t ms = l->n_timers ? l->heap[1]->due_ms - loop_now_ms(l) : UINT64_MAX;
    if (max_wait_ms >= 0 && ms > (uint64_t)max_wait_ms) ms = (uint64_t)max_wait_ms;
    if (l->n_watched)
        wait_for_others(l, ms);
    else if (ms != UINT64_MAX)
        clock_pass(l->simulated, ms);
    else
        fatal("a simulated event loop waits for what cannot happen");
}

static void simulated_turn(struct loop *l, int max_wait_ms) {
    if (l->in_uv) fatal("loop_once was called inside a callback of the loop");
    l->in_uv = true;
    l->happened = false;
    if (l->n_handles) uv_run(&l->uv, UV_RUN_NOWAIT);
    if (max_wait_ms && !l->happened && loop_is_quiet(l)) let_time_pass(l, max_wait_ms);
    l->in_uv = false;
    loop_timers_run(l);
    end_turn(l);
}

void loop_once(struct loop *l, int max_wait_ms) {
    atomic_store(&l->thread, pthread_self());
    if (l->simulated) {
        simulated_turn(l, max_wait_ms);
        return;
    }
    uv_update_time(&l->uv);
    if (max_wait_ms > 0) uv_timer_start(&l->patience, on_patience, (uint64_t)max_wait_ms, 0);
    turn(l, max_wait_ms != 0);
    if (max_wait_ms > 0) uv_timer_stop(&l->patience);
}

void loop_stop(struct loop *l) {
    atomic_store(&l->stop, true);
    wake(l);
}

uint64_t loop_now_ms(const struct loop *l) {
    return l->simulated ? clock_mono_ms(l->simulated) : uv_now(&l->uv);
}

bool loop_is_here(const struct loop *l) {
    return pthread_equal(atomic_load_explicit(&l->thread, memory_order_relaxed), pthread_self());
}

// ---- opening and closing ----

static void on_wake(uv_poll_t *h, int status, int events) {
    struct loop *l = h->data;
    uint64_t n;
    (void)status, (void)events;
    loop_awake(l);
    if (read(l->wake_fd, &n, sizeof n) < 0 && errno != EAGAIN) fatal("an event loop cannot wake: %s", strerror(errno));
}

static int open_wake(struct loop *l) {
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0) return uv_translate_sys_error(errno);
    int rc = uv_poll_init(&l->uv, &l->wake, l->wake_fd);
    if (rc) close(l->wake_fd);
    return rc;
}

int loop_open(struct loop **ret, struct err *e) {
    struct loop *l = calloc(1, sizeof *l);
    if (!l) fatal("out of memory for an event loop");
    int rc = uv_loop_init(&l->uv);
    if (rc) {
        free(l);
        return loop_uv_err(e, rc, "cannot make an event loop");
    }
    rc = open_wake(l);
    if (rc) {
        uv_loop_close(&l->uv);
        free(l);
        return loop_uv_err(e, rc, "cannot make the wake-up of an event loop");
    }
    uv_timer_init(&l->uv, &l->alarm);
    uv_timer_init(&l->uv, &l->patience);
    l->wake.data = l->alarm.data = l->patience.data = l;
    uv_poll_start(&l->wake, UV_READABLE, on_wake);
    list_init(&l->deferred);
    list_init(&l->hooks);
    list_init(&l->posted);
    pthread_mutex_init(&l->lock, NULL);
    atomic_store(&l->thread, pthread_self());
    *ret = l;
    return 0;
}

void loop_close(struct loop *l) {
    if (!l) return;
    if (l->n_timers) fatal("an event loop was closed with %zu timers running", l->n_timers);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->alarm, NULL);
    uv_close((uv_handle_t *)&l->patience, NULL);
    int rc = UV_EBUSY; /* a signal under way delays the closing of its handle by turns */
    for (int i = 0; rc && i < 10; i++) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        rc = uv_loop_close(&l->uv);
    }
    if (rc) fatal("an event loop was closed with descriptors, signals or watches in it");
    close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l);
}
