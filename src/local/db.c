/* SQLite behind struct err: connections, cached statements, transactions, injected faults. */
#include "local/db.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IMAGE_MAX = 1 << 30 /* SQLite's own bound of databases in memory */ };
enum { STATEMENTS_KEPT = 600, SQL_MAX = 64 * 1024, CHECKED_BYTES = 4 << 20 };

/* What a connection keeps of the file, in KiB. More costs memory and gains little: the kernel keeps the same pages, 2
 * us away, and a reader forgets all of its own with each commit. */
#define WRITER_CACHE "4096"
#define READER_CACHE "2048"

struct db_stmt {
    struct db *db;
    sqlite3_stmt *s;
    char *sql;
    struct list busy; /* in db->busy while in use */
    bool in_use, writes, bind_failed;
};

struct db {
    sqlite3 *h;
    struct map stmts;
    struct list busy;
    bool writer, syncs, in_memory;
    uint64_t writes;
    _Atomic uint64_t work;
    int64_t wal_pages;
    _Atomic int64_t *fault_step, *fault_commit;
};

/* == errors =========================================================================================================
 */

static int fail(struct db *d, int rc, const char *what, struct err *e) {
    const char *msg = d && d->h ? sqlite3_errmsg(d->h) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return err_set(e, ERR_DISK_FULL, "the store's disk is full (%s: %s)", what, msg);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, ERR_CORRUPT, "the store is damaged (%s: %s)", what, msg);
    case SQLITE_NOMEM:
        fatal("out of memory");
    case SQLITE_MISUSE:
    case SQLITE_ERROR:
    case SQLITE_RANGE:
        return err_set(e, ERR_INTERNAL, "the store refused a statement (%s: %s)", what, msg);
    default:
        return err_set(e, ERR_IO, "the store cannot be read or written (%s: %s)", what, msg);
    }
}

static bool fault(_Atomic int64_t *n) {
    if (!n || atomic_load_explicit(n, memory_order_relaxed) == 0) return false;
    int64_t v = atomic_load(n);
    while (v > 0)
        if (atomic_compare_exchange_weak(n, &v, v - 1)) return v == 1;
    return false;
}

/* == connections ====================================================================================================
 */

static int on_commit(void *ud, sqlite3 *h, const char *name, int pages) {
    (void)h, (void)name;
    ((struct db *)ud)->wal_pages = pages;
    return SQLITE_OK;
}

static int configure(struct db *d, enum db_mode mode, bool sync_full, struct err *e) {
    if (mode == DB_READER)
        return db_exec(d, "PRAGMA query_only=ON; PRAGMA cache_size=-" READER_CACHE "; PRAGMA temp_store=MEMORY", e);
    if (mode == DB_MEMORY)
        return db_exec(d, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY", e);
    if (mode == DB_ALONE)
        return db_exec(
            d, sync_full ? "PRAGMA locking_mode=EXCLUSIVE" : "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF",
            e);
    sqlite3_wal_hook(d->h, on_commit, d); /* also puts an end to automatic checkpoints */
    if (db_exec(d, sync_full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF", e)) return -1;
    return db_exec(d,
                   "PRAGMA journal_mode=WAL; PRAGMA cache_size=-" WRITER_CACHE "; PRAGMA temp_store=MEMORY;"
                   "PRAGMA secure_delete=OFF",
                   e);
}

/* Counts of SQLite's memory, which nobody reads, would put a lock around each of its allocations. */
static void configure_library(void) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* path NULL: in memory. *ret is to be closed even when this fails. */
static int connect_to(const char *path, int flags, struct db **ret, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct db *d = *ret = NULL;
    if (db_load(e)) return -1;
    d = *ret = calloc(1, sizeof *d);
    if (!d) fatal("out of memory");
    pthread_once(&once, configure_library);
    list_init(&d->busy);
    /* the name has no '/' in front: nobody else can open it */
    int rc = sqlite3_open_v2(path ? path : "store", &d->h, flags | SQLITE_OPEN_NOMUTEX, path ? NULL : "memdb");
    if (rc) return fail(d, rc, path ? path : "memory", e);
    sqlite3_extended_result_codes(d->h, 1);
    sqlite3_busy_timeout(d->h, 10000);
    return 0;
}

int db_open(const char *path, enum db_mode mode, bool sync_full, struct db **ret, struct err *e) {
    struct db *d = NULL;
    if (mode == DB_MEMORY) path = NULL;
    if (connect_to(path, SQLITE_OPEN_READWRITE | (mode == DB_READER ? 0 : SQLITE_OPEN_CREATE), &d, e)) goto out;
    d->in_memory = mode == DB_MEMORY;
    d->writer = mode == DB_WRITER || d->in_memory;
    d->syncs = mode == DB_WRITER && sync_full;
    if (configure(d, mode, sync_full, e)) goto out;
    *ret = d;
    return 0;
out:
    db_close(d);
    return -1;
}

static void stmt_free(struct db_stmt *s) {
    sqlite3_finalize(s->s);
    free(s->sql);
    free(s);
}

void db_close(struct db *d) {
    if (!d) return;
    for (size_t i = 0; i < d->stmts.n; i++)
        if (d->stmts.slots[i].key.p) stmt_free(d->stmts.slots[i].value);
    map_free(&d->stmts);
    if (sqlite3_close(d->h) != SQLITE_OK) fatal("local: a connection is closed while statements run");
    free(d);
}

void db_faults(struct db *d, _Atomic int64_t *step, _Atomic int64_t *commit) {
    d->fault_step = step;
    d->fault_commit = commit;
}

int db_exec(struct db *d, const char *sql, struct err *e) {
    d->writes++;
    if (fault(d->fault_step)) return err_set(e, ERR_IO, "injected fault at a step of: %.200s", sql);
    int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);
    return rc ? fail(d, rc, str_c(sql).n > 60 ? "a batch of statements" : sql, e) : 0;
}

/* == statements =====================================================================================================
 */

/* Statement texts with table numbers in them come and go; keep their number bounded. */
static void forget_idle(struct db *d) {
    for (size_t i = 0; i < d->stmts.n; i++) {
        struct db_stmt *s = d->stmts.slots[i].value;
        if (!d->stmts.slots[i].key.p || s->in_use) continue;
        map_del(&d->stmts, str_c(s->sql));
        stmt_free(s);
    }
}

static struct db_stmt *prepare(struct db *d, const char *sql, struct err *e) {
    sqlite3_stmt *h = NULL;
    int rc = sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &h, NULL);
    if (rc) {
        fail(d, rc, sql, e);
        return NULL;
    }
    if (d->stmts.live >= STATEMENTS_KEPT) forget_idle(d);
    struct db_stmt *s = calloc(1, sizeof *s);
    char *copy = strdup(sql);
    if (!s || !copy) fatal("out of memory");
    *s = (struct db_stmt){.db = d, .s = h, .sql = copy, .writes = !sqlite3_stmt_readonly(h)};
    list_init(&s->busy);
    map_put(&d->stmts, str_c(copy), s);
    return s;
}

int db_stmt(struct db *d, const char *sql, struct db_stmt **ret, struct err *e) {
    struct db_stmt *s = map_get(&d->stmts, str_c(sql));
    if (!s) s = prepare(d, sql, e);
    if (!s) return -1;
    if (s->in_use) return err_set(e, ERR_INTERNAL, "statement is already in use: %.200s", sql);
    s->in_use = true;
    s->bind_failed = false;
    list_add(&d->busy, &s->busy);
    *ret = s;
    return 0;
}

int db_stmtf(struct db *d, struct db_stmt **ret, struct err *e, const char *fmt, ...) {
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= SQL_MAX) return err_set(e, ERR_INTERNAL, "a statement's text is too long");
    if ((size_t)n < sizeof small) return db_stmt(d, small, ret, e);
    char *big = malloc((size_t)n + 1);
    if (!big) fatal("out of memory");
    va_start(ap, fmt);
    vsnprintf(big, (size_t)n + 1, fmt, ap);
    va_end(ap);
    int rc = db_stmt(d, big, ret, e);
    free(big);
    return rc;
}

static void bound(struct db_stmt *s, int rc) {
    if (rc) s->bind_failed = true;
}

void db_bind_i64(struct db_stmt *s, int i, int64_t v) {
    bound(s, sqlite3_bind_int64(s->s, i, v));
}

void db_bind_text(struct db_stmt *s, int i, struct str v) {
    bound(s, sqlite3_bind_text64(s->s, i, v.p ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *s, int i, struct str v) {
    bound(s, sqlite3_bind_blob64(s->s, i, v.p ? v.p : "", v.n, SQLITE_STATIC));
}

void db_bind_null(struct db_stmt *s, int i) {
    bound(s, sqlite3_bind_null(s->s, i));
}

int db_step(struct db_stmt *s, struct err *e) {
    struct db *d = s->db;
    if (s->bind_failed) return err_set(e, ERR_INTERNAL, "a parameter could not be bound: %.200s", s->sql);
    if (fault(d->fault_step)) return err_set(e, ERR_IO, "injected fault at a step of: %.200s", s->sql);
    if (s->writes) d->writes++;
    int rc = sqlite3_step(s->s);
    if (rc == SQLITE_ROW) return 1;
    if (rc == SQLITE_DONE) return 0;
    if ((rc & 0xff) != SQLITE_CONSTRAINT) return fail(d, rc, s->sql, e);
    err_set(e, ERR_INTERNAL, "%s", sqlite3_errmsg(d->h));
    return DB_CONSTRAINT;
}

int db_run(struct db_stmt *s, struct err *e) {
    int rc;
    while ((rc = db_step(s, e)) == 1) {
    }
    db_done(s);
    return rc;
}

int64_t db_i64(struct db_stmt *s, int col) {
    return sqlite3_column_int64(s->s, col);
}

struct str db_bytes(struct db_stmt *s, int col) {
    if (db_is_null(s, col)) return STR_NONE;
    const char *p = sqlite3_column_blob(s->s, col);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s->s, col));
}

bool db_is_null(struct db_stmt *s, int col) {
    return sqlite3_column_type(s->s, col) == SQLITE_NULL;
}

void db_done(struct db_stmt *s) {
    if (!s || !s->in_use) return;
    sqlite3_reset(s->s);
    atomic_fetch_add_explicit(&s->db->work, (uint64_t)sqlite3_stmt_status(s->s, SQLITE_STMTSTATUS_VM_STEP, 1),
                              memory_order_relaxed);
    sqlite3_clear_bindings(s->s);
    s->in_use = false;
    list_del(&s->busy);
}

uint64_t db_work(struct db *d) {
    return atomic_load(&d->work);
}

int64_t db_changes(struct db *d) {
    return sqlite3_changes64(d->h);
}

uint64_t db_writes(const struct db *d) {
    return d->writes;
}

/* == transactions ===================================================================================================
 */

/* Control statements: cached, and never the place of an injected step fault. */
static int control(struct db *d, const char *sql, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(d, sql, &s, e)) return -1;
    int rc = sqlite3_step(s->s);
    int bad = rc == SQLITE_DONE ? 0 : fail(d, rc, sql, e);
    db_done(s);
    return bad;
}

bool db_in_transaction(const struct db *d) {
    return !sqlite3_get_autocommit(d->h);
}

int db_begin(struct db *d, struct err *e) {
    return control(d, d->writer ? "BEGIN IMMEDIATE" : "BEGIN", e);
}

int db_commit(struct db *d, struct err *e) {
    if (fault(d->fault_commit)) return err_set(e, ERR_IO, "injected fault at a commit");
    return control(d, "COMMIT", e);
}

static void end_statements(struct db *d) {
    while (!list_empty(&d->busy)) db_done(CONTAINER(d->busy.next, struct db_stmt, busy));
}

void db_rollback(struct db *d) {
    struct err e = {0};
    end_statements(d);
    if (db_in_transaction(d) && control(d, "ROLLBACK", &e) && db_in_transaction(d)) fatal("local: %s", e.msg);
}

int db_savepoint(struct db *d, struct err *e) {
    return control(d, "SAVEPOINT op", e);
}

int db_release(struct db *d, struct err *e) {
    return control(d, "RELEASE op", e);
}

void db_rollback_to(struct db *d) {
    struct err e = {0};
    end_statements(d);
    if (!db_in_transaction(d)) return; /* SQLite gave the whole transaction up already */
    if (control(d, "ROLLBACK TO op", &e) || control(d, "RELEASE op", &e)) db_rollback(d);
}

/* == the write-ahead log and the file ===============================================================================
 */

void db_relax(struct db *d, bool relaxed) {
    if (!d->syncs) return;
    if (sqlite3_exec(d->h, relaxed ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", NULL, NULL, NULL))
        fatal("local: %s", sqlite3_errmsg(d->h));
}

int64_t db_wal_pages(const struct db *d) {
    return d->wal_pages;
}

int db_checkpoint(struct db *d, bool truncate, struct err *e) {
    int log = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(d->h, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
                                       &log, &moved);
    if (rc) return fail(d, rc, "checkpoint", e);
    if (moved >= log) d->wal_pages = 0; /* the next commit starts the WAL anew */
    return 0;
}

int db_harden(struct db *d, struct err *e) {
    sqlite3_file *f = NULL;
    int rc = sqlite3_file_control(d->h, "main", SQLITE_FCNTL_FILE_POINTER, &f);
    if (!rc) rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    if (rc) return fail(d, rc, "sync", e);
    d->syncs = true; /* db_relax */
    return db_exec(d, "PRAGMA synchronous=FULL", e);
}

void db_shrink(struct db *d) {
    sqlite3_db_release_memory(d->h);
}

static int add_column(struct db *d, const struct db_column *c, struct err *e) {
    char sql[300];
    if (!sqlite3_table_column_metadata(d->h, "main", c->table, c->name, NULL, NULL, NULL, NULL, NULL)) return 0;
    snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN %s %s", c->table, c->name, c->definition);
    return db_exec(d, sql, e);
}

int db_add_columns(struct db *d, const struct db_column *columns, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (add_column(d, &columns[i], e)) return -1;
    return 0;
}

int db_leave_wal(struct db *d, struct err *e) {
    return db_exec(d, "PRAGMA journal_mode=DELETE", e);
}

/* -- images -------------------------------------------------------------------------------------------------------- */

bool db_in_memory(const struct db *d) {
    return d->in_memory;
}

static int file_of(struct db *d, sqlite3_file **ret, struct err *e) {
    int rc = sqlite3_file_control(d->h, "main", SQLITE_FCNTL_FILE_POINTER, ret);
    return rc ? fail(d, rc, "file", e) : 0;
}

int db_image(struct db *d, struct buf *ret, struct err *e) {
    sqlite3_file *f = NULL;
    sqlite3_int64 n = 0;
    if (file_of(d, &f, e)) return -1;
    int rc = f->pMethods->xFileSize(f, &n);
    if (rc) return fail(d, rc, "size", e);
    buf_clear(ret);
    buf_reserve(ret, (size_t)n);
    if (buf_check(ret, "the store", e)) return -1;
    rc = f->pMethods->xRead(f, ret->p, (int)n, 0);
    ret->n = rc ? 0 : (size_t)n;
    return rc ? fail(d, rc, "read", e) : 0;
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* "The file change counter" and "the version-valid-for number" (SQLite's file format, 1.3.6 and 1.3.14): another
 * counter than the one it has seen tells the connection to forget its pages. */
static int count_change(sqlite3_file *f, uint32_t before) {
    uint8_t header[100], counter[4];
    int rc = f->pMethods->xRead(f, header, sizeof header, 0);
    if (rc) return rc;
    uint32_t now = big_endian(header + 24);
    now = (before > now ? before : now) + 1;
    for (int i = 0; i < 4; i++) counter[i] = (uint8_t)(now >> (24 - 8 * i));
    rc = f->pMethods->xWrite(f, counter, sizeof counter, 24);
    return rc ? rc : f->pMethods->xWrite(f, counter, sizeof counter, 92);
}

int db_load_image(struct db *d, struct str image, struct err *e) {
    sqlite3_file *f = NULL;
    sqlite3_int64 n = 0;
    uint8_t header[100] = {0};
    if (file_of(d, &f, e)) return -1;
    int rc = f->pMethods->xFileSize(f, &n);
    if (!rc && n >= (sqlite3_int64)sizeof header) rc = f->pMethods->xRead(f, header, sizeof header, 0);
    if (!rc) rc = f->pMethods->xWrite(f, image.p, (int)image.n, 0);
    if (!rc && n > (sqlite3_int64)image.n) rc = f->pMethods->xTruncate(f, (sqlite3_int64)image.n);
    if (!rc) rc = count_change(f, big_endian(header + 24));
    d->writes++;
    return rc ? fail(d, rc, "image", e) : 0;
}

static int copy_image(struct db *to, struct db *from, struct err *e) {
    struct buf image = BUF_MAX(IMAGE_MAX);
    int rc = db_image(from, &image, e);
    if (!rc) rc = db_load_image(to, buf_view(&image), e);
    buf_free(&image);
    return rc;
}

int db_copy(struct db *to, struct db *from, struct err *e) {
    if (fault(to->fault_commit) || fault(from->fault_commit)) return err_set(e, ERR_IO, "injected fault at a commit");
    if (to->in_memory) return copy_image(to, from, e);
    sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
    if (!b) return fail(to, sqlite3_errcode(to->h), "copy", e);
    int rc = sqlite3_backup_step(b, -1), pages = sqlite3_backup_pagecount(b), end = sqlite3_backup_finish(b);
    if (rc != SQLITE_DONE || end) return fail(to, end ? end : rc, "copy", e);
    to->wal_pages += pages; /* the hook sees commits of statements only */
    to->writes++;
    return 0;
}

static int pragma_i64(struct db *d, const char *sql, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(d, sql, &s, e)) return -1;
    int rc = db_step(s, e);
    if (rc == 1) *ret = db_i64(s, 0);
    db_done(s);
    return rc == 1 ? 0 : -1;
}

static int check_pages(struct db *d, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(d, "PRAGMA quick_check(1)", &s, e)) return -1;
    int rc = db_step(s, e);
    if (rc == 1 && !str_is(db_bytes(s, 0), "ok"))
        rc = err_set(e, ERR_CORRUPT, "the store is damaged: %.*s", STR_ARG(str_take(db_bytes(s, 0), 300)));
    db_done(s);
    return rc < 0 ? -1 : 0;
}

static int check_identity(struct db *d, uint32_t application_id, int version, bool *ret_fresh, struct err *e) {
    int64_t id = 0, v = 0, tables = 0;
    if (pragma_i64(d, "PRAGMA application_id", &id, e) || pragma_i64(d, "PRAGMA user_version", &v, e)) return -1;
    if (pragma_i64(d, "SELECT count(*) FROM sqlite_schema", &tables, e)) return -1;
    *ret_fresh = id == 0 && v == 0 && tables == 0; /* a crash right after the file was made */
    if (*ret_fresh) return 0;
    if ((uint32_t)id != application_id) return err_set(e, ERR_CORRUPT, "an SQLite database, but no Perigee store");
    if (v > version)
        return err_set(e, ERR_CORRUPT, "written by a newer Perigee (store version %d, this one knows %d)", (int)v,
                       version);
    return 0;
}

/* Looking into a database in WAL mode makes two side files; a refused store gets them taken away again. */
static void remove_side_files(const char *path) {
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (int i = 0; i < 2; i++) {
        char *name = sqlite3_mprintf("%s%s", path, suffixes[i]);
        if (!name) fatal("out of memory");
        unlink(name);
        sqlite3_free(name);
    }
}

static bool has_wal(const char *path) {
    char *name = sqlite3_mprintf("%s-wal", path);
    if (!name) fatal("out of memory");
    bool there = access(name, F_OK) == 0;
    sqlite3_free(name);
    return there;
}

int db_inspect(const char *path, uint32_t application_id, int version, bool *ret_fresh, struct db **ret_open,
               struct err *e) {
    struct db *d = NULL;
    struct stat st;
    int rc = -1;
    *ret_open = NULL;
    if (stat(path, &st)) {
        *ret_fresh = true;
        return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "cannot look at %s", path);
    }
    *ret_fresh = st.st_size == 0;
    if (*ret_fresh) return 0;
    bool had_wal = has_wal(path);
    if (connect_to(path, SQLITE_OPEN_READWRITE, &d, e)) goto out;
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* a refused store stays as it is */
    if (check_identity(d, application_id, version, ret_fresh, e)) goto out;
    if (st.st_size <= CHECKED_BYTES && check_pages(d, e)) goto out; /* larger ones would delay the start */
    *ret_open = d;
    d = NULL;
    rc = 0;
out:
    if (rc) err_wrap(e, "%s", path);
    db_close(d);
    if (rc && !had_wal) remove_side_files(path);
    return rc;
}
