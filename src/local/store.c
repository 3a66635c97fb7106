/* Opening and closing a data directory: lock, inspection, schema, writer. */
#include "local/store.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "local/s3/s3.h"
#include "local/snapshot.h"
#include "local/writer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define APPLICATION_ID 0x50524759u /* "PRGY" */
enum {
    STORE_VERSION = 1,
    FILE_WRITERS = 4, /* threads: so many syncs at a time share one commit of the file system's journal */
};

/* == meta ===========================================================================================================
 */

int meta_get(struct db *db, struct arena *a, const char *name, struct str *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(db, "SELECT value FROM meta WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, str_c(name));
    int rc = db_step(s, e);
    if (rc == 1) *ret = arena_str(a, db_bytes(s, 0));
    db_done(s);
    return rc;
}

int meta_set(struct db *db, const char *name, struct str value, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(db, "INSERT INTO meta(name,value) VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET value=excluded.value",
                &s, e))
        return -1;
    db_bind_text(s, 1, str_c(name));
    db_bind_blob(s, 2, value);
    return db_run(s, e) ? -1 : 0;
}

static int save_secret(struct local *l, struct db *db, struct err *e) {
    return meta_set(db, "secret", str_n((char *)l->secret, sizeof l->secret), e);
}

static int load_secret(struct local *l, struct db *db, struct err *e) {
    struct arena a = {0};
    struct str v = STR_NONE;
    int rc = meta_get(db, &a, "secret", &v, e);
    if (rc == 1 && v.n == sizeof l->secret) {
        memcpy(l->secret, v.p, v.n);
        rc = 0;
    } else if (rc >= 0) {
        crypto_random(l->secret, sizeof l->secret);
        rc = save_secret(l, db, e);
    }
    arena_free(&a);
    return rc;
}

static int make_schema(struct local *l, struct db *db, bool fresh,
                       int (*secret)(struct local *, struct db *, struct err *), struct err *e) {
    char identity[128];
    snprintf(identity, sizeof identity, "PRAGMA application_id=%u; PRAGMA user_version=%d", APPLICATION_ID,
             STORE_VERSION);
    if (db_begin(db, e)) return -1;
    if (fresh && db_exec(db, identity, e)) goto out;
    if (db_exec(db, "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID", e)) goto out;
    if (secret(l, db, e)) goto out;
    if (dynamo_schema(db, e) || sqs_schema(db, e) || s3_schema(db, e) || ses_schema(db, e)) goto out;
    if (db_commit(db, e)) goto out;
    return 0;
out:
    db_rollback(db);
    return -1;
}

int store_upgrade(struct local *l, struct db *db, struct err *e) {
    return make_schema(l, db, true, save_secret, e);
}

int store_inspect(const char *path, bool *ret_fresh, struct db **ret_open, struct err *e) {
    return db_inspect(path, APPLICATION_ID, STORE_VERSION, ret_fresh, ret_open, e);
}

/* == services =======================================================================================================
 */

int service_open(struct db *db, void **service, struct err *e) {
    return dynamo_open(db, &service[AWS_DYNAMODB], e);
}

void service_close(void **service) {
    if (service[AWS_DYNAMODB]) dynamo_close(service[AWS_DYNAMODB]);
    service[AWS_DYNAMODB] = NULL;
    sqs_close(service[AWS_SQS]);
    service[AWS_SQS] = NULL;
}

static void add_rows(struct local *l, const struct local_row *rows) {
    for (; rows->fn; rows++) l->fns[rows->op] = rows->fn;
}

/* == the directory ==================================================================================================
 */

static char *path_of(const struct local *l, const char *name) {
    char *p = NULL;
    if (asprintf(&p, "%s/%s", l->dir, name) < 0) fatal("out of memory");
    return p;
}

static char *copy(const char *s, const char *otherwise) {
    char *p = strdup(s && *s ? s : otherwise);
    if (!p) fatal("out of memory");
    return p;
}

int store_sync_dir(const struct local *l, const char *path, struct err *e) {
    return l->in_memory ? 0 : fs_sync_dir(path, e);
}

static int take_dir(struct local *l, const char *dir, struct err *e) {
    l->in_memory = !dir;
    if (!dir) return store_private_dir(l, e);
    l->dir = copy(dir, ".");
    if (fs_mkdirs(l->dir, e)) return err_wrap(e, "data directory %s", l->dir);
    if (!access(l->dir, W_OK | X_OK)) return 0;
    return err_sys(e, ERR_IO, errno, "data directory %s is not writable", l->dir);
}

/* The lock goes with the process, so a crash leaves none behind; the number in the file is for the message only. Nobody
 * holds that of a private directory for longer than a look. */
static int take_lock(struct local *l, struct err *e) {
    char *path = path_of(l, "lock"), pid[64] = "";
    int rc = -1;
    l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (l->lock_fd < 0) {
        err_sys(e, ERR_IO, errno, "data directory %s is not writable: cannot open %s", l->dir, path);
        goto out;
    }
    if (flock(l->lock_fd, l->in_memory ? LOCK_EX : LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(l->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        err_set(e, ERR_LOCKED, "data directory %s is in use by process %s; stop it or choose another --data directory",
                l->dir, *pid ? pid : "(unknown)");
        close(l->lock_fd);
        l->lock_fd = -1;
        goto out;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n%s", (long)getpid(), l->in_memory ? STORE_MARK : "");
    if (ftruncate(l->lock_fd, 0) || pwrite(l->lock_fd, pid, (size_t)n, 0) != n) {
        err_sys(e, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, errno, "cannot write %s", path);
        goto out;
    }
    rc = 0;
out:
    free(path);
    return rc;
}

/* == open and close =================================================================================================
 */

static int make_in_memory(struct local *l, struct db **ret, struct err *e) {
    if (db_open(NULL, DB_MEMORY, false, ret, e)) return -1;
    if (!l->image.n) return make_schema(l, *ret, true, load_secret, e);
    return db_load_image(*ret, l->image, e) || load_secret(l, *ret, e) ? -1 : 0;
}

int local_image(struct local *l, struct buf *ret, struct err *e) {
    void **service;
    struct db *db = writer_shared(l->writer, &service);
    return db ? db_image(db, ret, e) : err_set(e, ERR_INTERNAL, "only a store in memory has an image");
}

/* A new store is made without waiting for the disk between the steps: until its first commit for somebody it may get
 * lost. One that is complete already is not written to. */
static int make_store(struct local *l, const char *path, bool fresh, struct db **ret, struct err *e) {
    bool durable = !l->in_memory;
    if (l->threadless && l->in_memory) return make_in_memory(l, ret, e);
    if (db_open(path, DB_WRITER, durable && !fresh, ret, e)) return -1;
    if (make_schema(l, *ret, fresh, load_secret, e)) return -1;
    return durable && fresh ? db_harden(*ret, e) : 0;
}

static int open_store(struct local *l, struct err *e) {
    char *path = path_of(l, "store.db");
    struct db *db = NULL, *looked = NULL;
    bool fresh = false;
    int rc = -1;
    if (store_inspect(path, &fresh, &looked, e)) goto out;
    if (make_store(l, path, fresh, &db, e)) goto out;
    if ((fresh || !s3_is_clean(l)) && s3_prepare(l, db, e)) goto out;
    if (snapshot_prepare(l, e)) goto out;
    if (writer_open(l, db, &l->writer, e)) goto out;
    db = NULL;
    rc = 0;
out:
    db_close(db);
    db_close(looked);
    free(path);
    return rc;
}

static void name_it(struct local *l, const struct local_config *c) {
    l->region = copy(c->region, "us-east-1");
    l->account = copy(c->account, "000000000000");
    l->access_key = copy(c->access_key, "perigee");
    l->secret_key = copy(c->secret_key, "perigee");
    l->public_url = copy("", "");
    l->id = (struct aws_identity){str_c(l->region), str_c(l->account), STR("aws")};
}

int local_open(const struct local_config *c, struct local **ret, struct err *e) {
    struct local *l = calloc(1, sizeof *l);
    if (!l) fatal("out of memory");
    l->lock_fd = -1;
    pthread_rwlock_init(&l->files, NULL);
    l->clock = c->clock ? c->clock : &l->own_clock;
    l->control = c->control;
    l->injected = faults_new();
    l->log = c->log;
    l->metrics = c->metrics;
    l->pool = c->pool;
    l->no_verify = c->no_verify;
    l->threadless = c->threadless;
    l->image = c->image;
    l->strict_ses = c->strict_ses;
    name_it(l, c);
    if (c->keys && face_keys_open(l, c->keys, e)) goto out;
    add_rows(l, dynamo_rows);
    add_rows(l, sqs_rows);
    add_rows(l, s3_rows);
    add_rows(l, ses_rows);
    add_rows(l, sts_rows);
    if (take_dir(l, c->dir, e) || take_lock(l, e)) goto out;
    if (!l->pool) {
        if (pool_open(l->threadless ? 0 : FILE_WRITERS, 0, &l->pool, e)) goto out;
        l->own_pool = true;
    }
    if (open_store(l, e)) goto out;
    *ret = l;
    return 0;
out:
    local_close(l);
    return -1;
}

void local_close(struct local *l) {
    struct err e = {0};
    if (!l) return;
    bool was_open = l->writer != NULL;
    if (was_open) writer_close(l->writer);
    snapshot_close(l);
    if (l->own_pool) pool_close(l->pool);
    if (was_open) s3_keep_clean(l);
    if (l->in_memory && l->dir && fs_remove_tree(l->dir, &e))
        log_event(l->log, LOG_WARN, "store: private directory stays behind", "ss", "dir", l->dir, "error", e.msg);
    if (l->lock_fd >= 0) close(l->lock_fd);
    face_keys_close(l);
    faults_free(l->injected);
    free(l->dir);
    free(l->region);
    free(l->account);
    free(l->access_key);
    free(l->secret_key);
    free(l->public_url);
    pthread_rwlock_destroy(&l->files);
    free(l);
}

void local_set_endpoint(struct local *l, int cloud_port, const char *public_url) {
    atomic_store(&l->cloud_port, cloud_port);
    free(l->public_url);
    l->public_url = copy(public_url, "");
}

void local_announce(struct local *l, const char *host, int port) {
    const char *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
    char text[512];
    int n = snprintf(text, sizeof text, "%ld\nhttp://%s%s%s:%d\n", (long)getpid(), open, host, close, port);
    if (l->in_memory || n < 0 || (size_t)n >= sizeof text) return;
    if (pwrite(l->lock_fd, text, (size_t)n, 0) != n)
        log_event(l->log, LOG_WARN, "store: its lock file does not name the cloud port", "s", "dir", l->dir);
}

void local_fault(struct local *l, enum local_fault f, int64_t n) {
    atomic_store(&l->faults[f], n);
}

bool local_file_fault(struct local *l) {
    int64_t v = atomic_load(&l->faults[LOCAL_FAULT_FILE]);
    while (v > 0)
        if (atomic_compare_exchange_weak(&l->faults[LOCAL_FAULT_FILE], &v, v - 1)) return v == 1;
    return false;
}
