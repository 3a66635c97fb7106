/* Object files: written in their place, fsync, fsync of the directories; and clearing up what a crash left. */
#include "base/fs.h"
#include "base/map.h"
#include "local/s3/s3.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sharded by the last, random characters of the id. */
static const char *shard(const struct local *l, struct arena *a, struct str bucket, struct str id) {
    return arena_printf(a, "%s/s3/%.*s/%.*s", l->dir, STR_ARG(bucket), STR_ARG(str_from(id, S3_ID - 2))).p;
}

const char *s3_path(const struct local *l, struct arena *a, struct str bucket, struct str id) {
    return arena_printf(a, "%s/%.*s", shard(l, a, bucket, id), STR_ARG(id)).p;
}

static int failed(const char *what, const char *path, int errnum, struct err *e) {
    bool full = errnum == ENOSPC || errnum == EDQUOT;
    return err_sys(e, full ? ERR_DISK_FULL : ERR_IO, errnum, "cannot %s %s", what, path);
}

static int make_dir(struct local *l, const char *path, const char *parent, struct err *e) {
    if (!mkdir(path, 0755)) return store_sync_dir(l, parent, e);
    return errno == EEXIST ? 0 : failed("make", path, errno, e);
}

/* == writing ========================================================================================================
 */

static int make_home(struct s3_writer *w, struct err *e) {
    const char *root = arena_printf(w->a, "%s/s3", w->l->dir).p;
    const char *home = arena_printf(w->a, "%s/%.*s", root, STR_ARG(w->bucket)).p;
    return make_dir(w->l, home, root, e) || make_dir(w->l, shard(w->l, w->a, w->bucket, w->id), home, e) ? -1 : 0;
}

static int open_new(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

/* In its place at once: nobody looks for it before its row is there. */
int s3_write_begin(struct s3_writer *w, struct err *e) {
    w->path = s3_path(w->l, w->a, w->bucket, w->id);
    if (local_file_fault(w->l)) return failed("make", w->path, EIO, e);
    w->fd = open_new(w->path);
    if (w->fd < 0 && errno == ENOENT) {
        if (make_home(w, e)) return -1;
        w->fd = open_new(w->path);
    }
    return w->fd < 0 ? failed("make", w->path, errno, e) : 0;
}

void s3_write_drop(struct s3_writer *w) {
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    unlink(w->path);
}

int s3_write_add(struct s3_writer *w, struct str data, struct err *e) {
    while (data.n) {
        ssize_t n = write(w->fd, data.p, data.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            failed("write", w->path, errno, e);
            s3_write_drop(w);
            return -1;
        }
        data = str_from(data, (size_t)n);
    }
    return 0;
}

static int sync_file(struct s3_writer *w, struct err *e) {
    int errnum = 0;
    if (local_file_fault(w->l))
        errnum = EIO;
    else if (!w->l->in_memory && fsync(w->fd))
        errnum = errno;
    close(w->fd);
    w->fd = -1;
    return errnum ? failed("sync", w->path, errnum, e) : 0;
}

int s3_write_end(struct s3_writer *w, struct err *e) {
    const char *dir = shard(w->l, w->a, w->bucket, w->id);
    int rc = sync_file(w, e);
    if (!rc) rc = local_file_fault(w->l) ? failed("sync", dir, EIO, e) : store_sync_dir(w->l, dir, e);
    if (rc) s3_write_drop(w);
    return rc;
}

/* A file that stays behind is found at the next opening. */
void s3_file_remove(const char *path) {
    unlink(path);
}

/* == at open ========================================================================================================
 */

static int known_ids(struct db *db, struct arena *a, struct map *ids, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(db,
                "SELECT object_id FROM objects UNION ALL SELECT object_id FROM object_versions UNION ALL SELECT "
                "object_id FROM parts",
                &s, e))
        return -1;
    while ((rc = db_step(s, e)) == 1) {
        struct str id = arena_str(a, db_bytes(s, 0));
        map_put(ids, id, (void *)id.p);
    }
    db_done(s);
    return rc;
}

static struct str basename_of(struct str path) {
    for (size_t i = path.n; i-- > 0;)
        if (path.p[i] == '/') return str_from(path, i + 1);
    return path;
}

int s3_prepare(struct local *l, struct db *db, struct err *e) {
    struct arena a = {0};
    struct map ids = {0};
    struct str *files = NULL;
    size_t n = 0, removed = 0;
    const char *root = arena_printf(&a, "%s/s3", l->dir).p;
    int rc = fs_mkdirs(root, e);
    if (!rc) rc = fs_list(&a, root, "", &files, &n, e);
    if (!rc && n) rc = known_ids(db, &a, &ids, e);
    for (size_t i = 0; !rc && i < n; i++) {
        if (map_get(&ids, basename_of(files[i]))) continue;
        unlink(arena_printf(&a, "%s/%.*s", root, STR_ARG(files[i])).p);
        removed++;
    }
    if (removed) log_event(l->log, LOG_INFO, "store: removed unfinished object files", "u", "files", (uint64_t)removed);
    map_free(&ids);
    arena_free(&a);
    return rc;
}
