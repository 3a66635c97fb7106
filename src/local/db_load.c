/* SQLite, loaded when the first of its functions is called: a line for each that db.c calls. */
#include "base/lazy.h"
#include "local/db.h"
#include <sqlite3.h>
#include <stdarg.h>

LAZY_LIBRARY(libsqlite, "libsqlite3.so.0", "the store");
LAZY(libsqlite, int, sqlite3_open_v2, (const char *path, sqlite3 **ret, int flags, const char *vfs),
     (path, ret, flags, vfs))
LAZY(libsqlite, int, sqlite3_close, (sqlite3 * h), (h))
LAZY(libsqlite, int, sqlite3_extended_result_codes, (sqlite3 * h, int on), (h, on))
LAZY(libsqlite, int, sqlite3_busy_timeout, (sqlite3 * h, int ms), (h, ms))
LAZY(libsqlite, int, sqlite3_errcode, (sqlite3 * h), (h))
LAZY(libsqlite, const char *, sqlite3_errmsg, (sqlite3 * h), (h))
LAZY(libsqlite, const char *, sqlite3_errstr, (int rc), (rc))
LAZY(libsqlite, int, sqlite3_exec,
     (sqlite3 * h, const char *sql, int (*fn)(void *, int, char **, char **), void *ud, char **ret),
     (h, sql, fn, ud, ret))
LAZY(libsqlite, int, sqlite3_get_autocommit, (sqlite3 * h), (h))
LAZY(libsqlite, sqlite3_int64, sqlite3_changes64, (sqlite3 * h), (h))
LAZY(libsqlite, int, sqlite3_db_release_memory, (sqlite3 * h), (h))
LAZY(libsqlite, int, sqlite3_file_control, (sqlite3 * h, const char *name, int op, void *arg), (h, name, op, arg))
LAZY(libsqlite, int, sqlite3_prepare_v3,
     (sqlite3 * h, const char *sql, int n, unsigned flags, sqlite3_stmt **ret, const char **tail),
     (h, sql, n, flags, ret, tail))
LAZY(libsqlite, int, sqlite3_bind_blob64,
     (sqlite3_stmt * s, int i, const void *p, sqlite3_uint64 n, void (*done)(void *)), (s, i, p, n, done))
LAZY(libsqlite, int, sqlite3_bind_text64,
     (sqlite3_stmt * s, int i, const char *p, sqlite3_uint64 n, void (*done)(void *), unsigned char encoding),
     (s, i, p, n, done, encoding))
LAZY(libsqlite, int, sqlite3_bind_int64, (sqlite3_stmt * s, int i, sqlite3_int64 v), (s, i, v))
LAZY(libsqlite, int, sqlite3_bind_null, (sqlite3_stmt * s, int i), (s, i))
LAZY(libsqlite, int, sqlite3_clear_bindings, (sqlite3_stmt * s), (s))
LAZY(libsqlite, int, sqlite3_step, (sqlite3_stmt * s), (s))
LAZY(libsqlite, int, sqlite3_reset, (sqlite3_stmt * s), (s))
LAZY(libsqlite, int, sqlite3_finalize, (sqlite3_stmt * s), (s))
LAZY(libsqlite, int, sqlite3_stmt_readonly, (sqlite3_stmt * s), (s))
LAZY(libsqlite, int, sqlite3_stmt_status, (sqlite3_stmt * s, int op, int reset), (s, op, reset))
LAZY(libsqlite, const void *, sqlite3_column_blob, (sqlite3_stmt * s, int col), (s, col))
LAZY(libsqlite, int, sqlite3_column_bytes, (sqlite3_stmt * s, int col), (s, col))
LAZY(libsqlite, sqlite3_int64, sqlite3_column_int64, (sqlite3_stmt * s, int col), (s, col))
LAZY(libsqlite, int, sqlite3_column_type, (sqlite3_stmt * s, int col), (s, col))
LAZY(libsqlite, int, sqlite3_table_column_metadata,
     (sqlite3 * h, const char *name, const char *table, const char *column, const char **ret_type,
      const char **ret_collation, int *ret_not_null, int *ret_primary, int *ret_auto),
     (h, name, table, column, ret_type, ret_collation, ret_not_null, ret_primary, ret_auto))
LAZY(libsqlite, int, sqlite3_wal_checkpoint_v2, (sqlite3 * h, const char *name, int mode, int *ret_log, int *ret_done),
     (h, name, mode, ret_log, ret_done))
LAZY(libsqlite, void *, sqlite3_wal_hook, (sqlite3 * h, int (*fn)(void *, sqlite3 *, const char *, int), void *ud),
     (h, fn, ud))
LAZY(libsqlite, sqlite3_backup *, sqlite3_backup_init,
     (sqlite3 * to, const char *to_name, sqlite3 *from, const char *from_name), (to, to_name, from, from_name))
LAZY(libsqlite, int, sqlite3_backup_step, (sqlite3_backup * b, int pages), (b, pages))
LAZY(libsqlite, int, sqlite3_backup_pagecount, (sqlite3_backup * b), (b))
LAZY(libsqlite, int, sqlite3_backup_finish, (sqlite3_backup * b), (b))
LAZY(libsqlite, void, sqlite3_free, (void *p), (p))
LAZY(libsqlite, char *, sqlite3_vmprintf, (const char *fmt, va_list ap), (fmt, ap))

LAZY_HIDDEN char *sqlite3_mprintf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    return s;
}

/* The options of ours take an int. */
LAZY_HIDDEN int sqlite3_config(int option, ...) {
    LAZY_REAL(libsqlite, sqlite3_config);
    va_list ap;
    va_start(ap, option);
    int rc = real(option, va_arg(ap, int));
    va_end(ap);
    return rc;
}

/* The options of ours take an int, and where to tell of it. */
LAZY_HIDDEN int sqlite3_db_config(sqlite3 *h, int option, ...) {
    LAZY_REAL(libsqlite, sqlite3_db_config);
    va_list ap;
    va_start(ap, option);
    int on = va_arg(ap, int), *ret = va_arg(ap, int *);
    va_end(ap);
    return real(h, option, on, ret);
}

int db_load(struct err *e) {
    return lazy_load(&libsqlite, e);
}
