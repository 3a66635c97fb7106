/* timer: a binary heap of intrusive nodes over one uv_timer, which is armed at most once a turn. */
#include "loop/internal.h"
#include <stdlib.h>

static void place(struct loop *l, size_t pos, struct loop_timer *t) {
    l->heap[pos] = t;
    t->pos = pos;
}

static void sift_up(struct loop *l, size_t pos, struct loop_timer *t) {
    while (pos > 1 && l->heap[pos / 2]->due_ms > t->due_ms) {
        place(l, pos, l->heap[pos / 2]);
        pos /= 2;
    }
    place(l, pos, t);
}

static void sift_down(struct loop *l, size_t pos, struct loop_timer *t) {
    for (;;) {
        size_t child = pos * 2;
        if (child > l->n_timers) break;
        if (child < l->n_timers && l->heap[child + 1]->due_ms < l->heap[child]->due_ms) child++;
        if (l->heap[child]->due_ms >= t->due_ms) break;
        place(l, pos, l->heap[child]);
        pos = child;
    }
    place(l, pos, t);
}

static void settle(struct loop *l, size_t pos, struct loop_timer *t) {
    if (pos > 1 && l->heap[pos / 2]->due_ms > t->due_ms)
        sift_up(l, pos, t);
    else
        sift_down(l, pos, t);
}

static void grow(struct loop *l) {
    if (l->n_timers + 1 < l->cap_timers) return;
    l->cap_timers = l->cap_timers ? l->cap_timers * 2 : 64;
    l->heap = realloc(l->heap, l->cap_timers * sizeof *l->heap);
    if (!l->heap) fatal("out of memory for %zu timers", l->cap_timers);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, void (*fn)(void *ud), void *ud) {
    uint64_t now = loop_now_ms(l);
    t->due_ms = delay_ms > UINT64_MAX / 2 ? UINT64_MAX / 2 : now + delay_ms;
    t->fn = fn;
    t->ud = ud;
    if (t->pos) {
        settle(l, t->pos, t);
        return;
    }
    grow(l);
    sift_up(l, ++l->n_timers, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t) {
    size_t pos = t->pos;
    if (!pos) return;
    t->pos = 0;
    struct loop_timer *last = l->heap[l->n_timers--];
    if (last != t) settle(l, pos, last);
}

/* uv_run runs timers before it polls: uv_stop makes it poll without waiting. */
static void on_alarm(uv_timer_t *h) {
    struct loop *l = h->data;
    loop_awake(l);
    l->armed_ms = 0;
    uv_stop(&l->uv);
}

void loop_timers_arm(struct loop *l) {
    uint64_t due = l->n_timers ? l->heap[1]->due_ms : 0;
    if (due == l->armed_ms) return;
    l->armed_ms = due;
    if (!due) {
        uv_timer_stop(&l->alarm);
        return;
    }
    uint64_t now = uv_now(&l->uv);
    uv_timer_start(&l->alarm, on_alarm, due > now ? due - now : 0, 0);
}

void loop_timers_run(struct loop *l) {
    uint64_t now = loop_now_ms(l);
    for (size_t n = l->n_timers; n && l->n_timers && l->heap[1]->due_ms <= now; n--) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        t->fn(t->ud);
    }
}
