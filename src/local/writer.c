/* The writer: a thread; or, of a threadless store, what the loop of its connection calls at the end of each turn.
 *
 *   queue (all workers) --> group --BEGIN IMMEDIATE--> run each --COMMIT--> finished, one post a worker
 *                             ^                          |
 *              waiters --touched, due or expired------ parked
 *
 * A group runs without savepoints first: most operations fail, if at all, before they write. When one fails after it
 * wrote, the group is rolled back and run again, each operation under a savepoint; so operations start from scratch
 * when run.
 *
 * What may be answered before the disk has it (receives from standard queues) has a transaction of its own without a
 * sync, before the others': its callers need not wait for the disk. The next synced commit takes it along, since both
 * are in the one write-ahead log. */
#include "local/writer.h"
#include "local/s3/s3.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    GROUP_MAX = 2048,      /* operations a transaction: bounds the time to the first acknowledgement */
    WAITER_TICK_MS = 50,   /* how often parked operations are held against the (movable) wall clock */
    SWEEP_MS = 1000,       /* wall clock between housekeeping runs */
    SWEEP_ROWS = 200,      /* rows a service may delete in one: bounds how long others wait for it */
    SWEEP_REST = 3,        /* times as long as one took, others come first when much is to be deleted */
    IDLE_MS = 100,         /* quiet for so long: the time for a checkpoint */
    REST_MS = 1000,        /* quiet for so long: memory is given back */
    IDLE_PAGES = 256,      /* below that the WAL is left alone */
    WAL_PAGES_MAX = 16000, /* 64 MB: measured, 4000 costs 39 ms at p99 under random upserts, 16000 2-5 ms */
};

struct writer {
    struct local *local;
    struct db *db;
    void *service[AWS_ENGINE_SERVICES];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct list queue; /* under mutex, like the three flags */
    bool stop, cancels, poked;
    bool threadless;
    /* the thread's own */
    struct list waiters;
    struct local_op *current;
    struct list *group; /* where local_touch puts what it wakes */
    struct list conns;  /* with finished tasks */
    int64_t swept_ms;
    uint64_t sweep_from_ns; /* monotonic: unless idle, not before */
    uint64_t worked_ms;     /* monotonic; 0: resting */
    bool sweep_again, services_lost;
    /* threadless */
    struct loop *loop; /* of the one connection; NULL: there is none now */
    struct loop_timer wait;
};

/* == finishing ======================================================================================================
 */

static uint64_t mono_ms(const struct writer *w) {
    return clock_mono_ms(w->local->clock);
}

static void finish(struct writer *w, struct local_op *op) {
    struct local_conn *c = op->conn;
    if (list_empty(&c->finished)) list_add(&w->conns, &c->finished_node);
    list_add(&c->finished, &op->task.node);
}

/* A connection may go away as soon as its last task was posted: it is not touched afterwards. */
static void post_finished(struct writer *w) {
    struct list *n;
    while ((n = list_pop(&w->conns)) != NULL) {
        struct local_conn *c = CONTAINER(n, struct local_conn, finished_node);
        struct loop *loop = c->loop;
        struct list tasks, *t;
        list_init(&tasks);
        while ((t = list_pop(&c->finished)) != NULL) list_add(&tasks, t);
        loop_post_all(loop, &tasks);
    }
}

static void finish_all(struct writer *w, struct list *group, const struct err *e) {
    struct list *n;
    while ((n = list_pop(group)) != NULL) {
        struct local_op *op = CONTAINER(n, struct local_op, node);
        if (e) {
            op->err = *e;
            op->undo = NULL;
            op->after = NULL;
            if (op->call) op->call->result = json_make_obj();
        }
        finish(w, op);
    }
}

/* == a group ========================================================================================================
 */

static void arm_faults(struct writer *w, bool on) {
    _Atomic int64_t *n = w->local->faults;
    db_faults(w->db, on ? &n[LOCAL_FAULT_STEP] : NULL, on ? &n[LOCAL_FAULT_COMMIT] : NULL);
}

/* What services cached may stem from what was just rolled back. */
static void forget_services(struct writer *w) {
    struct err e = {0};
    arm_faults(w, false);
    service_close(w->service);
    w->services_lost = service_open(w->db, w->service, &e) != 0;
    if (w->services_lost) log_event(w->local->log, LOG_ERROR, "store: caches cannot be opened", "s", "error", e.msg);
    arm_faults(w, true);
}

static int run_one(struct writer *w, struct local_op *op) {
    struct local_tx tx = {
        .db = w->db, .now_ms = clock_ms(w->local->clock), .local = w->local, .id = w->local->id, .writable = true};
    memcpy(tx.service, w->service, sizeof tx.service);
    op->err = (struct err){0};
    op->parked = false;
    op->undo = NULL;
    op->after = NULL;
    if (op->queue && atomic_load(&op->cancelled)) return err_set(&op->err, ERR_CANCELLED, "the caller is gone");
    w->current = op;
    int rc = op->run(op, &tx, &op->err);
    w->current = NULL;
    memcpy(w->service, tx.service, sizeof tx.service);
    if (rc) {
        op->parked = false;
        op->after = NULL;
    }
    return rc;
}

static int run_guarded(struct writer *w, struct local_op *op, struct err *e) {
    if (db_savepoint(w->db, e)) return -1;
    uint64_t before = db_writes(w->db);
    if (!run_one(w, op)) return db_release(w->db, e);
    bool wrote = db_writes(w->db) != before;
    db_rollback_to(w->db);
    if (wrote) forget_services(w);
    if (db_in_transaction(w->db)) return 0;
    *e = op->err; /* SQLite gave up the whole transaction */
    return -1;
}

/* What parked waits at once, so that a later operation of the same group can wake it. */
static void leave_if_parked(struct writer *w, struct local_op *op) {
    if (!op->parked) return;
    list_del(&op->node);
    list_add(&w->waiters, &op->node);
}

/* What those that wait have seen may be what was just rolled back. */
static void recheck_waiters(struct writer *w) {
    for (struct list *n = w->waiters.next; n != &w->waiters; n = n->next)
        CONTAINER(n, struct local_op, node)->due_ms = 1;
}

static int begin_group(struct writer *w, struct err *e) {
    if (w->services_lost) forget_services(w);
    if (w->services_lost) return err_set(e, ERR_IO, "the store's caches cannot be opened");
    return db_begin(w->db, e);
}

/* 0: committed. 1: one failed half-way, guards are needed. -1: all failed. */
static int run_group(struct writer *w, struct list *group, bool guarded, struct err *e) {
    if (begin_group(w, e)) return -1;
    for (struct list *n = group->next, *next; n != group; n = next) {
        struct local_op *op = CONTAINER(n, struct local_op, node);
        uint64_t before = db_writes(w->db);
        if (guarded) {
            if (run_guarded(w, op, e)) return -1;
        } else if (run_one(w, op) && db_writes(w->db) != before) {
            return 1;
        }
        next = n->next; /* what op woke was added at the end */
        leave_if_parked(w, op);
    }
    return db_commit(w->db, e);
}

static void count_commit(struct writer *w, struct list *group) {
    size_t n = 0;
    for (struct list *i = group->next; i != group; i = i->next) n++;
    metric_add(w->local->metrics, METRIC_COMMITS, 1);
    metric_add(w->local->metrics, METRIC_COMMITTED_OPS, n);
}

static void checkpoint(struct writer *w, bool idle) {
    struct err e = {0};
    int64_t pages = db_wal_pages(w->db);
    if (pages < (idle ? IDLE_PAGES : WAL_PAGES_MAX)) return;
    if (db_checkpoint(w->db, false, &e))
        log_event(w->local->log, LOG_WARN, "store: checkpoint failed, will try again", "s", "error", e.msg);
}

static void commit_group(struct writer *w, struct list *group) {
    struct err e = {0};
    w->group = group;
    w->worked_ms = now_mono_ms();
    int rc = run_group(w, group, false, &e);
    if (rc == 1) {
        db_rollback(w->db);
        recheck_waiters(w);
        forget_services(w);
        rc = run_group(w, group, true, &e);
    }
    w->group = NULL;
    if (rc) {
        db_rollback(w->db);
        recheck_waiters(w);
        forget_services(w);
        log_event(w->local->log, LOG_ERROR, "store: commit failed", "s", "error", e.msg);
        checkpoint(w, true); /* on a full disk: lets the WAL start anew where the file has room for its pages */
    } else {
        count_commit(w, group);
    }
    finish_all(w, group, rc ? &e : NULL);
    post_finished(w);
}

/* What was cached or seen before may be no more. */
static void run_alone(struct writer *w, struct local_op *op) {
    struct list one;
    list_init(&one);
    list_add(&one, &op->node);
    w->worked_ms = now_mono_ms();
    run_one(w, op);
    forget_services(w);
    recheck_waiters(w);
    finish_all(w, &one, NULL);
    post_finished(w);
}

/* Moves to `to` what needs no sync. */
static void split_relaxed(struct list *group, struct list *to) {
    for (struct list *n = group->next, *next; n != group; n = next) {
        next = n->next;
        if (!CONTAINER(n, struct local_op, node)->relaxed) continue;
        list_del(n);
        list_add(to, n);
    }
}

static void commit_all(struct writer *w, struct list *group) {
    struct list relaxed;
    list_init(&relaxed);
    split_relaxed(group, &relaxed);
    if (!list_empty(&relaxed)) {
        db_relax(w->db, true);
        commit_group(w, &relaxed);
        db_relax(w->db, false);
    }
    if (!list_empty(group)) commit_group(w, group);
}

/* == parking ========================================================================================================
 */

void local_park(struct local_tx *tx, int64_t queue, int64_t due_ms, int64_t wait_ms) {
    struct local_op *op = tx->local->writer->current;
    uint64_t now = mono_ms(tx->local->writer);
    if (!op->wait_until) op->wait_until = now + (uint64_t)wait_ms;
    op->queue = queue;
    op->due_ms = due_ms;
    op->parked = now < op->wait_until;
}

void local_touch(struct local_tx *tx, int64_t queue) {
    struct writer *w = tx->local->writer;
    for (struct list *n = w->waiters.next, *next; n != &w->waiters; n = next) {
        next = n->next;
        struct local_op *op = CONTAINER(n, struct local_op, node);
        if (op->queue != queue) continue;
        list_del(n);
        list_add(w->group, n);
    }
}

void local_sweep_soon(struct local_tx *tx) {
    tx->local->writer->sweep_again = true;
}

void local_on_undelivered(struct local_tx *tx, int (*undo)(struct local_op *, struct local_tx *, struct err *),
                          void *ud) {
    struct local_op *op = tx->local->writer->current;
    op->undo = undo;
    op->undo_ud = ud;
}

void local_after_commit(struct local_tx *tx, void (*fn)(void *ud), void *ud) {
    struct local_op *op = tx->local->writer->current;
    op->after = fn;
    op->after_ud = ud;
}

/* Moves to the group what is worth another run, or must end. */
static void take_due_waiters(struct writer *w, struct list *group, bool stopping) {
    int64_t wall = clock_ms(w->local->clock);
    uint64_t mono = mono_ms(w);
    for (struct list *n = w->waiters.next, *next; n != &w->waiters; n = next) {
        next = n->next;
        struct local_op *op = CONTAINER(n, struct local_op, node);
        bool due = op->due_ms && op->due_ms <= wall;
        if (!due && mono < op->wait_until && !stopping && !atomic_load(&op->cancelled)) continue;
        list_del(n);
        list_add(group, n);
    }
}

/* == housekeeping ===================================================================================================
 */

static int sweep_services(struct writer *w, struct s3_bin *bin, bool *ret_more, struct err *e) {
    struct local_tx tx = {
        .db = w->db, .now_ms = clock_ms(w->local->clock), .local = w->local, .id = w->local->id, .writable = true};
    bool more[3] = {false, false, false};
    memcpy(tx.service, w->service, sizeof tx.service);
    if (db_begin(w->db, e)) return -1;
    int rc = dynamo_sweep(&tx, SWEEP_ROWS, &more[0], e);
    if (!rc) rc = sqs_sweep(&tx, SWEEP_ROWS, &more[1], e);
    if (!rc) rc = s3_sweep(&tx, bin, SWEEP_ROWS, &more[2], e);
    memcpy(w->service, tx.service, sizeof tx.service);
    if (!rc) rc = db_commit(w->db, e);
    *ret_more = more[0] || more[1] || more[2];
    return rc;
}

static bool sweep_is_due(const struct writer *w, bool idle, int64_t now_ms) {
    if (w->sweep_again) return idle || now_mono_ns() >= w->sweep_from_ns;
    return now_ms - w->swept_ms >= SWEEP_MS || now_ms < w->swept_ms;
}

/* -1: failed, will be tried again when it is due. */
static int sweep(struct writer *w, bool idle) {
    struct err e = {0};
    int64_t now = clock_ms(w->local->clock);
    if (!sweep_is_due(w, idle, now)) return 0;
    uint64_t start = now_mono_ns();
    w->swept_ms = now;
    w->sweep_again = false;
    struct list woken;
    list_init(&woken);
    w->group = &woken;
    arm_faults(w, false);
    struct arena a = {0};
    struct s3_bin bin = {.a = &a};
    int rc = sweep_services(w, &bin, &w->sweep_again, &e);
    if (!rc) s3_bin_empty(&bin);
    arena_free(&a);
    if (rc) {
        db_rollback(w->db);
        forget_services(w);
        log_event(w->local->log, LOG_WARN, "store: housekeeping failed, will try again", "s", "error", e.msg);
    }
    arm_faults(w, true);
    uint64_t end = now_mono_ns();
    w->sweep_from_ns = end + (end - start) * SWEEP_REST;
    if (!list_empty(&woken)) commit_all(w, &woken);
    return rc;
}

/* What a load left behind, in the page cache and in free pieces of the heaps. */
static void rest(struct writer *w) {
    if (!w->worked_ms || now_mono_ms() < w->worked_ms + REST_MS) return;
    w->worked_ms = 0;
    db_shrink(w->db);
    malloc_trim(0);
}

/* == the thread =====================================================================================================
 */

static int wait_ms(const struct writer *w) {
    if (w->sweep_again) return 1;
    if (!list_empty(&w->waiters)) return WAITER_TICK_MS;
    return db_wal_pages(w->db) >= IDLE_PAGES ? IDLE_MS : SWEEP_MS;
}

/* Waits until there is something to do. Returns whether the writer is idle: nothing came in that time. */
static bool await(struct writer *w) {
    struct timespec until;
    int ms = wait_ms(w), rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!rc && list_empty(&w->queue) && !w->stop && !w->cancels && !w->poked)
        rc = pthread_cond_timedwait(&w->cond, &w->mutex, &until);
    w->cancels = w->poked = false;
    return rc != 0;
}

static struct local_op *first_queued(struct writer *w) {
    return list_empty(&w->queue) ? NULL : CONTAINER(w->queue.next, struct local_op, node);
}

/* What can be one transaction; or else, returned, what runs alone. */
static struct local_op *take_queued(struct writer *w, struct list *group) {
    struct local_op *op = first_queued(w);
    if (op && op->alone) {
        list_del(&op->node);
        return op;
    }
    for (int i = 0; i < GROUP_MAX && (op = first_queued(w)) != NULL && !op->alone; i++) {
        list_del(&op->node);
        list_add(group, &op->node);
    }
    return NULL;
}

static void *writer_main(void *ud) {
    struct writer *w = ud;
    struct list group;
    list_init(&group);
    for (bool stopping = false; !stopping;) {
        pthread_mutex_lock(&w->mutex);
        bool idle = await(w);
        struct local_op *alone = take_queued(w, &group);
        stopping = w->stop && list_empty(&w->queue);
        pthread_mutex_unlock(&w->mutex);
        if (alone) run_alone(w, alone);
        take_due_waiters(w, &group, stopping);
        if (!list_empty(&group)) commit_all(w, &group);
        if (stopping) break;
        sweep(w, idle);
        checkpoint(w, idle);
        rest(w);
    }
    return NULL;
}

/* == without a thread ===============================================================================================
 */

static void work_off(struct writer *w);

static void on_wait(void *ud) {
    work_off(ud);
}

/* A timer for the first of those that wait: in simulated time, wall and monotonic time go on together. */
static void arm(struct writer *w) {
    int64_t wall = clock_ms(w->local->clock);
    uint64_t mono = mono_ms(w), ms = UINT64_MAX;
    for (struct list *n = w->waiters.next; n != &w->waiters; n = n->next) {
        const struct local_op *op = CONTAINER(n, struct local_op, node);
        uint64_t left = op->wait_until > mono ? op->wait_until - mono : 0;
        if (op->due_ms && op->due_ms <= wall) left = 0;
        if (op->due_ms && (uint64_t)(op->due_ms - wall) < left) left = (uint64_t)(op->due_ms - wall);
        if (left < ms) ms = left;
    }
    if (!w->loop) return;
    if (ms == UINT64_MAX)
        loop_timer_stop(w->loop, &w->wait);
    else
        loop_timer_start(w->loop, &w->wait, ms, on_wait, w);
}

static void sweep_all(struct writer *w) {
    while (!sweep(w, true) && w->sweep_again) {
    }
}

static void work_off(struct writer *w) {
    struct list group;
    list_init(&group);
    do {
        struct local_op *alone = take_queued(w, &group);
        if (alone) run_alone(w, alone);
        take_due_waiters(w, &group, w->stop);
        if (!list_empty(&group)) commit_all(w, &group);
        sweep_all(w);
    } while (!list_empty(&w->queue));
    checkpoint(w, false);
    arm(w);
}

void writer_turn_end(struct writer *w) {
    if (w->threadless && (w->cancels || w->poked || !list_empty(&w->queue))) {
        w->cancels = w->poked = false;
        work_off(w);
    }
}

void writer_look(struct writer *w) {
    if (w->threadless && sweep_is_due(w, true, clock_ms(w->local->clock))) sweep_all(w);
}

struct db *writer_shared(struct writer *w, void ***ret_service) {
    if (!db_in_memory(w->db)) return NULL;
    *ret_service = w->service;
    return w->db;
}

int writer_attach(struct writer *w, struct loop *loop, struct err *e) {
    if (!w->threadless) return 0;
    if (w->loop) return err_set(e, ERR_INTERNAL, "a store without a thread has one connection");
    w->loop = loop;
    return 0;
}

void writer_detach(struct writer *w, struct loop *loop) {
    if (w->loop != loop) return;
    loop_timer_stop(w->loop, &w->wait);
    w->loop = NULL;
}

/* == from outside ===================================================================================================
 */

void writer_push(struct writer *w, struct list *ops) {
    struct list *n;
    pthread_mutex_lock(&w->mutex);
    while ((n = list_pop(ops)) != NULL) list_add(&w->queue, n);
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static void raise_flag(struct writer *w, bool *flag) {
    pthread_mutex_lock(&w->mutex);
    *flag = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

void writer_notice_cancel(struct writer *w) {
    raise_flag(w, &w->cancels);
}

uint64_t writer_work(struct writer *w) {
    return db_work(w->db);
}

void writer_poke(struct writer *w) {
    raise_flag(w, &w->poked);
    if (w->loop) loop_timer_start(w->loop, &w->wait, 0, on_wait, w);
}

int writer_open(struct local *l, struct db *db, struct writer **ret, struct err *e) {
    struct writer *w = calloc(1, sizeof *w);
    pthread_condattr_t attr;
    if (!w) fatal("out of memory");
    w->local = l;
    w->db = db;
    w->threadless = l->threadless;
    list_init(&w->queue);
    list_init(&w->waiters);
    list_init(&w->conns);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    w->swept_ms = clock_ms(l->clock);
    if (service_open(db, w->service, e)) goto out;
    arm_faults(w, true);
    l->writer = w;
    int rc = w->threadless ? 0 : pthread_create(&w->thread, NULL, writer_main, w);
    if (rc) {
        err_sys(e, ERR_INTERNAL, rc, "cannot start the writer thread");
        goto out;
    }
    *ret = w;
    return 0;
out:
    service_close(w->service);
    l->writer = NULL;
    free(w);
    return -1;
}

void writer_close(struct writer *w) {
    struct err e = {0};
    raise_flag(w, &w->stop);
    if (!w->threadless) pthread_join(w->thread, NULL);
    if (!w->local->in_memory && db_checkpoint(w->db, true, &e))
        log_event(w->local->log, LOG_WARN, "store: last checkpoint failed", "s", "error", e.msg);
    service_close(w->service);
    db_close(w->db);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
