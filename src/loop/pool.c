/* pool: a fixed set of threads that take work in order. */
#include "loop/loop.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct pool {
    pthread_mutex_t lock; /* guards queue and closing */
    pthread_cond_t more;
    struct list queue;
    bool closing;
    int niceness, n_threads;
    pthread_t threads[];
};

/* The next piece of work; NULL when the pool closes and nothing is left. */
static struct pool_work *take(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    while (list_empty(&p->queue) && !p->closing) pthread_cond_wait(&p->more, &p->lock);
    struct list *n = list_pop(&p->queue);
    pthread_mutex_unlock(&p->lock);
    return n ? CONTAINER(n, struct pool_work, node) : NULL;
}

/* On Linux a nice value belongs to the thread; a refusal only costs priority. */
static void *run(void *ud) {
    struct pool *p = ud;
    if (p->niceness) {
        int was = getpriority(PRIO_PROCESS, (id_t)gettid());
        (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), was + p->niceness);
    }
    for (struct pool_work *w; (w = take(p));) {
        w->work(w->ud);
        loop_post(w->home, &w->task);
    }
    return NULL;
}

static void on_done(void *ud) {
    struct pool_work *w = ud;
    w->done(w->ud);
}

/* Signals are for the loops' threads. */
static int start_threads(struct pool *p, int threads) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = 0;
    while (!rc && p->n_threads < threads) {
        rc = pthread_create(&p->threads[p->n_threads], NULL, run, p);
        if (!rc) p->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int pool_open(int threads, int niceness, struct pool **ret, struct err *e) {
    if (threads < 1) return err_set(e, ERR_CONFIG, "a pool needs at least one thread, not %d", threads);
    struct pool *p = calloc(1, sizeof *p + sizeof(pthread_t) * (size_t)threads);
    if (!p) fatal("out of memory for a pool of %d threads", threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    list_init(&p->queue);
    p->niceness = niceness;
    int rc = start_threads(p, threads);
    if (rc) {
        pool_close(p);
        return err_sys(e, ERR_UNAVAILABLE, rc, "cannot start a thread of the pool");
    }
    *ret = p;
    return 0;
}

void pool_run(struct pool *p, struct loop *home, struct pool_work *w, void (*work)(void *ud), void (*done)(void *ud),
              void *ud) {
    loop_task_init(&w->task, on_done, w);
    w->home = home;
    w->work = work;
    w->done = done;
    w->ud = ud;
    pthread_mutex_lock(&p->lock);
    list_add(&p->queue, &w->node);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

void pool_close(struct pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
