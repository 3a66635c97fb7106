/* internal (private to loop/): the loop's insides, shared by loop.c, timer.c and watch.c. */
#ifndef PERIGEE_LOOP_INTERNAL_H
#define PERIGEE_LOOP_INTERNAL_H
#include "loop/loop.h"
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_poll_t wake;      /* of wake_fd: another thread posted while the loop slept */
    int wake_fd;         /* an eventfd: uv_async spins, yielding the processor, while a sender is in it */
    uv_timer_t alarm;    /* due at the head of the heap */
    uv_timer_t patience; /* max_wait_ms of loop_once */
    bool in_uv;          /* inside uv_run: no nested turn possible */
    _Atomic pthread_t thread;
    _Atomic bool stop;
    /* True only while the loop may block and nobody has woken it: whoever turns it false wakes it. */
    _Atomic bool asleep;

    struct list deferred;
    size_t n_deferred;
    struct list hooks;

    pthread_mutex_t lock; /* guards posted */
    struct list posted;

    struct loop_timer **heap; /* 1-based binary heap by due_ms */
    size_t n_timers, cap_timers;
    uint64_t armed_ms; /* what `alarm` is set to; 0: not set */

    struct clock *simulated; /* whose time it lives in; NULL: in real time */
    size_t n_handles;        /* descriptors, signals and watches that libuv still knows */
    bool happened;           /* a callback came since it was set to false */
    size_t n_watched;        /* descriptors that are waited for */
};

/* The loop is not asleep any more: every callback from libuv calls it first. */
static inline void loop_awake(struct loop *l) {
    l->happened = true;
    atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
}
void loop_timers_arm(struct loop *l); /* before the loop may block */
void loop_timers_run(struct loop *l); /* what is due, at most what was there at the start */
int loop_uv_err(struct err *e, int rc, const char *what);

#endif
