/* Taking, restoring and deleting snapshots: on the writer's thread, between two transactions. */
#include "local/snapshot.h"
#include "base/fs.h"
#include "local/s3/s3.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_BYTES = 64, ABOUT_MAX = 4096 };

/* Opened, for it is often restored again. */
struct snapshot {
    struct db *db;
    struct snapshot_ids ids;
    int64_t offset_ms, frozen_ms;
    char name[NAME_BYTES + 1];
};

struct job {
    struct local_op op;
    struct arena a;
    enum local_snapshot what;
    const char *name;
    void (*fn)(void *ud, const struct err *e);
    void *ud;
};

/* == names ==========================================================================================================
 */

static int check_name(struct str name, struct err *e) {
    bool ok = name.n && name.n <= NAME_BYTES && name.p[0] != '.';
    for (size_t i = 0; ok && i < name.n; i++) ok = isalnum((unsigned char)name.p[i]) || strchr("-_.", name.p[i]);
    if (ok && !memchr(name.p, 0, name.n)) return 0;
    return err_set(e, ERR_VALIDATION,
                   "snapshots: a name is 1 to %d letters, digits, '-', '_' and '.', and does not begin with '.'",
                   NAME_BYTES);
}

static int unknown(const char *name, struct err *e) {
    return err_service(e, "NotFoundException", 404, false, "snapshots: there is no \"%s\"", name);
}

static const char *root_of(const struct local *l, struct arena *a) {
    return arena_printf(a, "%s/snapshots", l->dir).p;
}

/* The directory of a snapshot; of one in the making, or that goes. */
static const char *dir_of(const struct local *l, struct arena *a, const char *name) {
    return arena_printf(a, "%s/%s", root_of(l, a), name).p;
}

static const char *temp_of(const struct local *l, struct arena *a, const char *name) {
    return arena_printf(a, "%s/.%s", root_of(l, a), name).p;
}

static const char *in(struct arena *a, const char *dir, const char *name) {
    return arena_printf(a, "%s/%s", dir, name).p;
}

static int move_dir(const struct local *l, struct arena *a, const char *from, const char *to, struct err *e) {
    if (rename(from, to)) return err_sys(e, ERR_IO, errno, "cannot rename %s to %s", from, to);
    return store_sync_dir(l, root_of(l, a), e) || store_sync_dir(l, l->dir, e) ? -1 : 0;
}

static int names_in(struct arena *a, const char *root, struct json *ret, struct err *e) {
    DIR *d = opendir(root);
    *ret = json_make_arr();
    if (!d) return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "cannot list %s", root);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        json_push(a, ret, json_make_str(arena_str(a, str_c(entry->d_name))));
    closedir(d);
    return 0;
}

/* == what is known of one ===========================================================================================
 */

static int write_about(struct local *l, struct arena *a, const char *dir, struct err *e) {
    struct json v = json_make_obj();
    json_set(a, &v, "created_ms", json_make_i64(a, clock_ms(NULL)));
    json_set(a, &v, "offset_ms", json_make_i64(a, atomic_load(&l->clock->offset_ms)));
    json_set(a, &v, "frozen_ms", json_make_i64(a, atomic_load(&l->clock->frozen_ms)));
    struct buf b = BUF_MAX(ABOUT_MAX);
    json_write(&b, &v);
    int rc = fs_write_durable(in(a, dir, "about.json"), buf_view(&b), e);
    buf_free(&b);
    return rc;
}

static int read_about(struct arena *a, const char *dir, struct json *ret, struct err *e) {
    const char *path = in(a, dir, "about.json");
    struct buf b = BUF_MAX(ABOUT_MAX);
    int rc = fs_read(path, &b, e);
    if (!rc) rc = json_parse(a, arena_str(a, buf_view(&b)), NULL, ret, e);
    buf_free(&b);
    return rc ? err_wrap(e, "%s", path) : 0;
}

static int read_clock(struct arena *a, const char *dir, struct snapshot *s, struct err *e) {
    struct json about;
    if (read_about(a, dir, &about, e)) return -1;
    if (json_i64(json_get(&about, "offset_ms"), &s->offset_ms) &&
        json_i64(json_get(&about, "frozen_ms"), &s->frozen_ms))
        return 0;
    return err_set(e, ERR_CORRUPT, "%s/about.json: offset_ms or frozen_ms is missing", dir);
}

/* == taking =========================================================================================================
 */

static int copy_store(struct local *l, struct arena *a, struct db *db, const char *dir, struct err *e) {
    struct db *to = NULL;
    if (db_open(in(a, dir, "store.db"), DB_ALONE, !l->in_memory, &to, e)) return -1;
    int rc = db_copy(to, db, e) || db_leave_wal(to, e) ? -1 : 0;
    db_close(to);
    return rc;
}

static int copy_files(struct local *l, struct arena *a, struct db *db, const char *dir, struct err *e) {
    struct snapshot_ids ids = {0};
    int rc = snapshot_ids(db, &ids, e);
    if (!rc) rc = snapshot_files_keep(l, &ids, in(a, dir, "s3"), e);
    snapshot_ids_free(&ids);
    return rc;
}

static int take(struct job *j, struct local *l, struct db *db, struct err *e) {
    struct arena *a = &j->a;
    const char *dir = dir_of(l, a, j->name), *temp = temp_of(l, a, j->name);
    struct err ignored = {0};
    if (fs_is_dir(dir))
        return err_service(e, "ConflictException", 409, false, "snapshots: there is a \"%s\" already", j->name);
    if (fs_remove_tree(temp, e) || fs_mkdirs(in(a, temp, "s3"), e)) return -1;
    if (!copy_store(l, a, db, temp, e) && !copy_files(l, a, db, temp, e) && !write_about(l, a, temp, e) &&
        !move_dir(l, a, temp, dir, e))
        return 0;
    fs_remove_tree(temp, &ignored);
    return -1;
}

/* == restoring ======================================================================================================
 */

static void forget(struct local *l) {
    if (!l->kept) return;
    db_close(l->kept->db);
    snapshot_ids_free(&l->kept->ids);
    free(l->kept);
    l->kept = NULL;
}

/* One of an earlier version is brought up to date first: what is restored needs no further step. */
static int open_store(struct local *l, struct arena *a, const char *dir, struct snapshot *s, struct err *e) {
    const char *path = in(a, dir, "store.db");
    struct db *looked = NULL;
    bool fresh = false;
    if (store_inspect(path, &fresh, &looked, e)) return -1;
    db_close(looked);
    if (fresh) return err_set(e, ERR_CORRUPT, "%s is missing or empty", path);
    return db_open(path, DB_ALONE, !l->in_memory, &s->db, e) || store_upgrade(l, s->db, e) ? -1 : 0;
}

static int keep(struct local *l, struct arena *a, const char *name, struct err *e) {
    const char *dir = dir_of(l, a, name);
    if (!fs_is_dir(dir)) return unknown(name, e);
    if (l->kept && !strcmp(l->kept->name, name)) return 0;
    forget(l);
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s) fatal("out of memory");
    l->kept = s;
    snprintf(s->name, sizeof s->name, "%s", name);
    if (!read_clock(a, dir, s, e) && !open_store(l, a, dir, s, e) && !snapshot_ids(s->db, &s->ids, e)) return 0;
    forget(l);
    return err_wrap(e, "snapshots: \"%s\" is damaged", name);
}

/* From here on no file goes that an earlier transaction did away with: it may be one of those that come back. */
static void begin_era(struct local *l) {
    pthread_rwlock_wrlock(&l->files);
    l->era++;
    pthread_rwlock_unlock(&l->files);
}

static int replace(struct local *l, struct arena *a, struct db *db, const struct snapshot_ids *now, struct err *e) {
    const struct snapshot *s = l->kept;
    begin_era(l);
    if (snapshot_files_bring(l, now, &s->ids, in(a, dir_of(l, a, s->name), "s3"), e) || db_copy(db, s->db, e)) {
        snapshot_files_drop(l, &s->ids, now);
        return -1;
    }
    atomic_store(&l->clock->frozen_ms, s->frozen_ms);
    atomic_store(&l->clock->offset_ms, s->offset_ms);
    snapshot_files_drop(l, now, &s->ids);
    return 0;
}

static int restore(struct job *j, struct local *l, struct db *db, struct err *e) {
    struct snapshot_ids now = {0};
    int rc = keep(l, &j->a, j->name, e);
    if (!rc) rc = snapshot_ids(db, &now, e);
    if (!rc) rc = replace(l, &j->a, db, &now, e);
    snapshot_ids_free(&now);
    return rc;
}

/* == deleting =======================================================================================================
 */

static int delete (struct job *j, struct local *l, struct err *e) {
    const char *dir = dir_of(l, &j->a, j->name), *temp = temp_of(l, &j->a, j->name);
    if (!fs_is_dir(dir)) return unknown(j->name, e);
    if (l->kept && !strcmp(l->kept->name, j->name)) forget(l);
    if (fs_remove_tree(temp, e) || move_dir(l, &j->a, dir, temp, e)) return -1;
    return fs_remove_tree(temp, e);
}

/* == from outside ===================================================================================================
 */

/* Writer thread. */
static int run(struct local_op *op, struct local_tx *tx, struct err *e) {
    struct job *j = op->ud;
    if (check_name(str_c(j->name), e)) return -1;
    if (j->what == LOCAL_SNAPSHOT_TAKE) return take(j, tx->local, tx->db, e);
    return j->what == LOCAL_SNAPSHOT_RESTORE ? restore(j, tx->local, tx->db, e) : delete (j, tx->local, e);
}

static void done(struct local_op *op) {
    struct job *j = op->ud;
    j->fn(j->ud, op->err.code ? &op->err : NULL);
    arena_free(&j->a);
    free(j);
}

void local_snapshot(struct local_conn *c, enum local_snapshot what, struct str name,
                    void (*fn)(void *ud, const struct err *e), void *ud) {
    struct job *j = calloc(1, sizeof *j);
    if (!j) fatal("out of memory");
    *j = (struct job){.what = what, .fn = fn, .ud = ud, .op = {.run = run, .done = done, .ud = j, .alone = true}};
    bool nul = name.n && memchr(name.p, 0, name.n);
    j->name = arena_cstr(&j->a, nul ? STR("") : str_take(name, NAME_BYTES + 1));
    local_submit(c, &j->op);
}

/* Skips what another thread is just deleting. */
static void list_one(const struct local *l, struct arena *a, struct str name, struct json *ret) {
    const char *dir = dir_of(l, a, arena_cstr(a, name));
    struct json about, row = json_make_obj();
    struct err ignored = {0};
    struct stat st;
    int64_t created;
    char iso[25];
    if (read_about(a, dir, &about, &ignored) || stat(in(a, dir, "store.db"), &st)) return;
    if (!json_i64(json_get(&about, "created_ms"), &created)) return;
    now_iso(created, iso);
    json_set(a, &row, "name", json_make_str(name));
    json_set(a, &row, "created", json_make_str(arena_str(a, str_c(iso))));
    json_set(a, &row, "bytes", json_make_i64(a, st.st_size));
    json_push(a, ret, row);
}

static int by_name(const void *x, const void *y) {
    return str_cmp(((const struct json *)x)->s, ((const struct json *)y)->s);
}

int local_snapshots(struct local_conn *c, struct arena *a, struct json *ret, struct err *e) {
    struct json names;
    *ret = json_make_arr();
    if (names_in(a, root_of(c->local, a), &names, e)) return -1;
    if (names.n) qsort(names.items, names.n, sizeof *names.items, by_name);
    for (uint32_t i = 0; i < names.n; i++)
        if (!check_name(names.items[i].s, NULL)) list_one(c->local, a, names.items[i].s, ret);
    return 0;
}

int snapshot_prepare(struct local *l, struct err *e) {
    struct arena a = {0};
    struct json names;
    const char *root = root_of(l, &a);
    int rc = names_in(&a, root, &names, e);
    for (uint32_t i = 0; !rc && i < names.n; i++) {
        struct str name = names.items[i].s;
        if (name.p[0] != '.' || str_is(name, ".") || str_is(name, "..")) continue;
        rc = fs_remove_tree(in(&a, root, arena_cstr(&a, name)), e);
    }
    arena_free(&a);
    return rc;
}

void snapshot_close(struct local *l) {
    forget(l);
}
