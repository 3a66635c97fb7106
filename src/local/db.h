/* db (private to local/): SQLite behind struct err. db.c is the only file that includes sqlite3.h, beside db_load.c.
 * A connection belongs to one thread at a time. Errors map: SQLITE_FULL -> DISK_FULL, SQLITE_CORRUPT/NOTADB -> CORRUPT,
 * SQLITE_CONSTRAINT -> DB_CONSTRAINT result of db_step and db_run, others -> IO. */
#ifndef PERIGEE_LOCAL_DB_H
#define PERIGEE_LOCAL_DB_H
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include <stdatomic.h>

struct db;
struct db_stmt;

int db_load(struct err *e); /* the library; UNAVAILABLE */

/* DB_ALONE: a file that nobody else opens, without a write-ahead log. DB_MEMORY: in the memory of this process (path is
 * not looked at), reader and writer in one: what else has none of its own uses it on the same thread. */
enum db_mode { DB_WRITER, DB_READER, DB_ALONE, DB_MEMORY };
int db_open(const char *path, enum db_mode mode, bool sync_full, struct db **ret, struct err *e);
void db_close(struct db *d);
int db_exec(struct db *d, const char *sql, struct err *e); /* one or more statements without results */

/* A cached prepared statement, reset and without bindings. The cache is keyed by the text's bytes; statements whose
 * text holds a table number are cached alike. Until db_done it must not be asked for again (nested use is an internal
 * error). */
int db_stmt(struct db *d, const char *sql, struct db_stmt **ret, struct err *e);
int db_stmtf(struct db *d, struct db_stmt **ret, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Parameters are 1-based. Bytes are not copied: they must stay until db_done. */
void db_bind_i64(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, struct str v);
void db_bind_blob(struct db_stmt *s, int i, struct str v);
void db_bind_null(struct db_stmt *s, int i);
/* 1: a row is there; 0: finished; -1: error; DB_CONSTRAINT: a constraint refused the row (err is filled with code
 * INTERNAL, for the caller to replace; the transaction goes on). */
#define DB_CONSTRAINT (-2)
int db_step(struct db_stmt *s, struct err *e);
/* Steps a statement without rows to its end and calls db_done. */
int db_run(struct db_stmt *s, struct err *e);
/* Columns are 0-based; views live until the next step or db_done. */
int64_t db_i64(struct db_stmt *s, int col);
struct str db_bytes(struct db_stmt *s, int col); /* text or blob; NULL gives STR_NONE */
bool db_is_null(struct db_stmt *s, int col);
void db_done(struct db_stmt *s); /* harmless with NULL */
/* Steps of SQLite's virtual machine that finished statements took: how work grows with tables. Any thread. */
uint64_t db_work(struct db *d);
int64_t db_changes(struct db *d);

int db_begin(struct db *d, struct err *e); /* BEGIN IMMEDIATE for a writer, BEGIN for a reader */
int db_commit(struct db *d, struct err *e);
void db_rollback(struct db *d);
int db_savepoint(struct db *d, struct err *e); /* one level, named "op" */
int db_release(struct db *d, struct err *e);
void db_rollback_to(struct db *d); /* to "op", and releases it */

/* -- for store.c and writer.c ------------------------------------------------------------------------------------- */
/* Refuses what is no store of ours: not SQLite, another application_id, a user_version above `version`, damaged pages
 * (of a small one: looking through a large one would delay the start). Changes nothing. *ret_fresh: there is no file
 * yet, or an empty one. *ret_open: the connection that looked, to be closed, or NULL; as long as it is open, the WAL
 * that a crash left is not recovered again. */
int db_inspect(const char *path, uint32_t application_id, int version, bool *ret_fresh, struct db **ret_open,
               struct err *e);
/* Between transactions: whether commits return before the disk has them. What is committed later with a sync takes them
 * along; a crash of the process loses none of them. Without effect on a store that never syncs. */
void db_relax(struct db *d, bool relaxed);
/* Counts statements run that may write; unchanged over an operation: nothing is there to be rolled back. */
uint64_t db_writes(const struct db *d);
bool db_in_transaction(const struct db *d);
int64_t db_wal_pages(const struct db *d); /* frames in the WAL after the last commit of this connection */
int db_checkpoint(struct db *d, bool truncate, struct err *e);
/* Makes a file that was opened with sync_full off durable as it is, and each commit from now on. Not in a transaction.
 */
int db_harden(struct db *d, struct err *e);
/* Gives back the memory of pages that are on the disk too. */
void db_shrink(struct db *d);
/* Adds what stores of earlier builds do not have. */
struct db_column {
    const char *table, *name, *definition;
};
int db_add_columns(struct db *d, const struct db_column *columns, size_t n, struct err *e);
/* What `from` holds becomes all that `to` holds, as one transaction of its own: others that have `to` open see it from
 * their next transaction on. Neither may be in one. A copy is made DB_ALONE again by db_leave_wal. */
int db_copy(struct db *to, struct db *from, struct err *e);
int db_leave_wal(struct db *d, struct err *e);
bool db_in_memory(const struct db *d);
/* All bytes of a database in memory, between transactions; and the other way round: statements of the same schema stay
 * prepared. */
int db_image(struct db *d, struct buf *ret, struct err *e);
int db_load_image(struct db *d, struct str image, struct err *e);
/* Counters that injected faults count down at each step and each commit; NULL: none. */
void db_faults(struct db *d, _Atomic int64_t *step, _Atomic int64_t *commit);

#endif
