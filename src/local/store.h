/* store (private to local/): the opened data directory, a worker's connection to it, and the writer's operations.
 *
 * An operation's life: (loop) made -> gathered -> at the end of the loop's turn handed over -> (writer) run inside a
 * group's transaction [-> parked -> run again] -> committed -> (loop) done. `done` runs exactly once, on the
 * connection's loop. */
#ifndef PERIGEE_LOCAL_STORE_H
#define PERIGEE_LOCAL_STORE_H
#include "local/engine.h"
#include "sign/sign.h"
#include <pthread.h>

struct writer;
struct snapshot;

/* A further pair of keys that the cloud port knows. */
struct local_key {
    struct str id, secret;
};

struct local {
    struct aws_identity id;
    char *dir, *region, *account, *access_key, *secret_key;
    bool in_memory, threadless;
    struct str image; /* local_config's; while it opens */
    int lock_fd;
    struct clock *clock;
    struct log *log;
    struct metrics *metrics;
    struct pool *pool;
    bool own_pool;
    struct writer *writer;
    local_fn *fns[AWS_OPS];
    uint8_t secret[32]; /* of this store, made with it: seals receipt handles and continuation tokens */
    _Atomic int64_t faults[LOCAL_FAULTS];
    _Atomic int cloud_port;
    char *public_url;       /* set before workers run */
    struct local_key *keys; /* beside access_key; set at open */
    size_t n_keys;
    struct arena key_arena;
    bool strict_ses;
    bool no_verify; /* the cloud port takes any signature and none */
    enum local_control control;
    struct clock own_clock;
    struct faults *injected; /* see face/control.h */
    struct snapshot *kept;   /* the writer's: the one restored last, opened; see snapshot.h */
    pthread_rwlock_t files;  /* shared while object files go, alone while they come back: see s3_bin_empty */
    uint64_t era;            /* restores so far; under `files` */
};

struct local_conn {
    struct aws_backend backend; /* first: the backend is the connection */
    struct local *local;
    struct loop *loop;
    struct db *db;  /* its own, or the writer's */
    void **service; /* its own, or the writer's */
    void *own_service[AWS_ENGINE_SERVICES];
    struct loop_hook hook;
    struct loop_task nudge;
    struct list gathered; /* operations of this turn */
    size_t in_flight;     /* operations and file jobs whose end has not been seen on the loop */
    struct list finished; /* the writer's: tasks to be posted after the commit */
    struct list finished_node;
    struct sign_key_cache signing; /* of those who sign requests to the cloud port */
};

/* Where the bytes of a transaction's services come from: opens and closes their per-connection states. */
int service_open(struct db *db, void **service, struct err *e);
void service_close(void **service);

struct local_op {
    struct list node;
    struct loop_task task;
    struct local_conn *conn;
    struct aws_call *call; /* NULL: not on behalf of one */
    /* Writer thread. 0, or -1 with `err` filled; may run again after a rollback, so it starts from scratch each time.
     */
    int (*run)(struct local_op *op, struct local_tx *tx, struct err *e);
    void (*done)(struct local_op *op); /* loop thread */
    void *ud;
    bool alone; /* runs by itself and outside of transactions; caches are forgotten afterwards */
    struct err err;
    bool relaxed; /* may be answered before the disk has it: see writer.c */
    /* parking, see local_park */
    bool parked;
    int64_t queue;
    int64_t due_ms;      /* wall clock at which trying again is worth it; 0: only when woken */
    uint64_t wait_until; /* monotonic ms */
    _Atomic bool cancelled;
    /* what to run when the result cannot be delivered any more (set by the operation on each run) */
    int (*undo)(struct local_op *op, struct local_tx *tx, struct err *e);
    void *undo_ud;
    /* loop thread, after the commit, before done; set like undo */
    void (*after)(void *ud);
    void *after_ud;
};

/* Loop thread: hands op over at the end of the turn. */
void local_submit(struct local_conn *c, struct local_op *op);

/* Inside an operation that found nothing: wait until the queue is touched, the wall clock passes due_ms, or wait_ms
 * (counted from the first parking) is over, then run again. */
void local_park(struct local_tx *tx, int64_t queue, int64_t due_ms, int64_t wait_ms);
/* Inside an operation: what waits for this queue is run again, in the same transaction. */
void local_touch(struct local_tx *tx, int64_t queue);
/* Inside an operation: housekeeping runs after its commit, without waiting for its second to be over. */
void local_sweep_soon(struct local_tx *tx);
/* Inside an operation: undo(op, ...) is to run if the caller was gone when the result came. */
void local_on_undelivered(struct local_tx *tx, int (*undo)(struct local_op *, struct local_tx *, struct err *),
                          void *ud);

/* Inside an operation: fn(ud) runs on the loop's thread after a successful commit. */
void local_after_commit(struct local_tx *tx, void (*fn)(void *ud), void *ud);

/* meta table: small values by name. 1: found; 0: not; -1. */
int meta_get(struct db *db, struct arena *a, const char *name, struct str *ret, struct err *e);
int meta_set(struct db *db, const char *name, struct str value, struct err *e);
/* fs_sync_dir, where there is a disk. */
int store_sync_dir(const struct local *l, const char *path, struct err *e);
/* l->dir: new, private, in memory where there is such a file system. Removes what dead processes left of theirs: those
 * whose lock file holds STORE_MARK and is not locked. */
int store_private_dir(struct local *l, struct err *e);
#define STORE_MARK "in memory\n"
/* Makes a store of any version one of this version, in one transaction, with l's secret. */
int store_upgrade(struct local *l, struct db *db, struct err *e);
int store_inspect(const char *path, bool *ret_fresh, struct db **ret_open, struct err *e); /* db_inspect */

/* true when an injected LOCAL_FAULT_FILE strikes here. */
bool local_file_fault(struct local *l);

extern const struct local_row sts_rows[];

struct faults *faults_new(void);
void faults_free(struct faults *x);
/* true, and c->err filled, when an injected fault strikes this call. */
bool faults_strike(struct faults *x, struct aws_call *c);

/* Reads l->keys from a file; errors name its lines. */
int face_keys_open(struct local *l, const char *path, struct err *e);
void face_keys_close(struct local *l);
/* The secret of an access key that l knows, or STR_NONE; time does not depend on which. */
struct str face_secret(const struct local *l, struct str access_key);

#endif
