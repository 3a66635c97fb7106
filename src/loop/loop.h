/* loop: one event loop a worker thread, on libuv; and a small pool of threads for CPU work and file syncs.
 *
 * Who calls it: local (hand-over to and from the writer), script (timers, deferred resumes, PDF work), in (sockets,
 * feeds, schedules), perigee.c (signals, file watching).
 * Ownership: embedded nodes (struct loop_task, loop_timer, pool_work) belong to the caller and must stay put until
 * they ran or were cancelled. Nothing here is thread-safe but what says so.
 * Failure: only opening can fail. */
#ifndef PERIGEE_LOOP_H
#define PERIGEE_LOOP_H
#include "base/err.h"
#include "base/list.h"
#include "base/now.h"
#include "base/str.h"

struct loop;

int loop_open(struct loop **ret, struct err *e);
/* Runs until loop_stop. Must be called on the thread that will use the loop. */
void loop_run(struct loop *l);
/* Handles what is ready, waiting at most max_wait_ms (-1: until something happens) for the first event. */
void loop_once(struct loop *l, int max_wait_ms);
void loop_stop(struct loop *l); /* any thread */
/* Everything added must have been removed. */
void loop_close(struct loop *l);
/* Monotonic ms, read once a turn. */
uint64_t loop_now_ms(const struct loop *l);
/* From now on this loop lives in the time of c, which must be simulated and belong to this thread: loop_once does not
 * wait for timers, but lets the time that is missing to the next one pass (with max_wait_ms >= 0, at most so much)
 * when nothing is ready. Only descriptors that are watched are waited for, in real time. For hosts whose other parts
 * have no threads either (pool_open with 0, local_config.threadless): then everything happens in the same order each
 * time. */
void loop_simulate(struct loop *l, struct clock *c);
bool loop_is_quiet(const struct loop *l); /* nothing is deferred, posted or due: only time or a descriptor goes on */
/* Quiet, without timers and descriptors: nothing will ever happen by itself. In simulated time loop_once(l, -1) must
 * not be called then. */
bool loop_is_over(const struct loop *l);
bool loop_is_asleep(const struct loop *l); /* waits for events; any thread, true only as a hint */
bool loop_is_here(const struct loop *l);   /* called on the loop's own thread */

/* -- deferred calls -------------------------------------------------------------------------------------------- */
struct loop_task {
    struct list node; /* private */
    void (*fn)(void *ud);
    void *ud;
    bool queued; /* private */
};
void loop_task_init(struct loop_task *t, void (*fn)(void *ud), void *ud);
/* Runs fn after the present callback has returned, in the same turn, in order of calls. Loop thread only. No-op when
 * queued. */
void loop_defer(struct loop *l, struct loop_task *t);
void loop_defer_cancel(struct loop *l, struct loop_task *t);
/* Runs fn on the loop's thread soon. Any thread. Wakes the loop at most once however many are posted meanwhile.
 * A posted task cannot be cancelled. */
void loop_post(struct loop *l, struct loop_task *t);
/* Posts a chain of tasks at one go (one lock, one wake-up): the nodes of `tasks` (sentinel) are moved. Any thread. */
void loop_post_all(struct loop *l, struct list *tasks);
/* fn runs at the end of each turn, before the loop may block: the place to hand over what the turn gathered. It runs
 * again when tasks ran after it. A hook that would give other hooks something to hand over must defer that as a task.
 */
struct loop_hook {
    struct list node;
    void (*fn)(void *ud);
    void *ud;
};
void loop_turn_end(struct loop *l, struct loop_hook *h, void (*fn)(void *ud), void *ud);
void loop_turn_end_remove(struct loop *l, struct loop_hook *h);

/* -- timers: a heap of our own over one uv_timer; starting and stopping costs O(log n), no allocation once warm -------
 */
struct loop_timer {
    uint64_t due_ms;
    size_t pos; /* private: 1-based position in the heap, 0 when idle; zero-initialise */
    void (*fn)(void *ud);
    void *ud;
};
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, void (*fn)(void *ud),
                      void *ud);                            /* restarts */
void loop_timer_stop(struct loop *l, struct loop_timer *t); /* harmless when idle */

/* -- descriptors, signals, files --------------------------------------------------------------------------------------
 */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd;
int loop_fd_add(struct loop *l, int fd, int events, void (*fn)(void *ud, int events), void *ud, struct loop_fd **ret,
                struct err *e);
void loop_fd_set(struct loop_fd *f, int events); /* other events from now on; 0: none. Also inside its callback */
void loop_fd_remove(struct loop_fd *f);
struct loop_signal;
int loop_signal_add(struct loop *l, int signum, void (*fn)(void *ud, int signum), void *ud, struct loop_signal **ret,
                    struct err *e);
void loop_signal_remove(struct loop_signal *s);
/* Reports changes of entries directly inside dir (not below it); name may be empty when unknown. */
struct loop_watch;
int loop_watch_add(struct loop *l, const char *dir, void (*fn)(void *ud, const char *name), void *ud,
                   struct loop_watch **ret, struct err *e);
void loop_watch_remove(struct loop_watch *w);

/* -- pool ------------------------------------------------------------------------------------------------------------
 */
struct pool;
struct pool_work {
    struct list node;       /* private */
    struct loop_task task;  /* private */
    struct loop *home;      /* private */
    void (*work)(void *ud); /* on a pool thread */
    void (*done)(void *ud); /* on the loop that submitted it, after work has returned */
    void *ud;
};
/* threads 0: none, work is done within pool_run. `niceness` is added to the pool threads' nice value, so that
 * background rendering gives way to requests. A thread is started when there is work for it; where the system gives
 * none at all, work is done within pool_run. */
int pool_open(int threads, int niceness, struct pool **ret, struct err *e);
void pool_run(struct pool *p, struct loop *home, struct pool_work *w, void (*work)(void *ud), void (*done)(void *ud),
              void *ud);
/* Finishes what is queued, then joins the threads. Loops that wait for `done` must still run or be drained afterwards.
 */
void pool_close(struct pool *p);

#endif
