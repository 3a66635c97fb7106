/* pool: a few threads that take work in order. Each is started when there is work that no other waits for. */
#include "loop/loop.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct pool {
    pthread_mutex_t lock; /* guards all but niceness and max_threads */
    pthread_cond_t more;
    struct list queue;
    bool closing;
    int niceness, max_threads, n_threads;
    int n_idle, n_waiting; /* threads and work */
    pthread_t threads[];
};

/* The next piece of work; NULL when the pool closes and nothing is left. */
static struct pool_work *take(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    p->n_idle++;
    while (list_empty(&p->queue) && !p->closing) pthread_cond_wait(&p->more, &p->lock);
    p->n_idle--;
    struct list *n = list_pop(&p->queue);
    if (n) p->n_waiting--;
    pthread_mutex_unlock(&p->lock);
    return n ? CONTAINER(n, struct pool_work, node) : NULL;
}

static void finish(struct pool_work *w) {
    w->work(w->ud);
    loop_post(w->home, &w->task);
}

/* On Linux a nice value belongs to the thread; a refusal only costs priority. */
static void *run(void *ud) {
    struct pool *p = ud;
    if (p->niceness) {
        int was = getpriority(PRIO_PROCESS, (id_t)gettid());
        (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), was + p->niceness);
    }
    for (struct pool_work *w; (w = take(p));) finish(w);
    return NULL;
}

static void on_done(void *ud) {
    struct pool_work *w = ud;
    w->done(w->ud);
}

/* Under the lock. Signals are for the loops' threads. That none can be started is no failure while there is another. */
static void start_thread(struct pool *p) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (!pthread_create(&p->threads[p->n_threads], NULL, run, p)) p->n_threads++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int pool_open(int threads, int niceness, struct pool **ret, struct err *e) {
    if (threads < 0) return err_set(e, ERR_CONFIG, "a pool cannot have %d threads", threads);
    struct pool *p = calloc(1, sizeof *p + sizeof(pthread_t) * (size_t)threads);
    if (!p) fatal("out of memory for a pool of %d threads", threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    list_init(&p->queue);
    p->niceness = niceness;
    p->max_threads = threads;
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
    p->n_waiting++;
    if (p->n_waiting > p->n_idle && p->n_threads < p->max_threads) start_thread(p);
    bool alone = !p->n_threads;
    if (alone)
        p->n_waiting--;
    else
        list_add(&p->queue, &w->node);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
    if (alone) finish(w); /* there is no other thread: the caller's must do */
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
