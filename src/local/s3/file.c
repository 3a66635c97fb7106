/* Object files: temporary file, fsync, rename, fsync of the directories; and clearing up what a crash left. */
#include "base/fs.h"
#include "base/map.h"
#include "local/s3/s3.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sharded by the last, random characters of the id. */
static const char *shard(struct local *l, struct arena *a, struct str bucket, struct str id) {
    return arena_printf(a, "%s/s3/%.*s/%.*s", l->dir, STR_ARG(bucket), STR_ARG(str_from(id, S3_ID - 2))).p;
}

const char *s3_path(struct local *l, struct arena *a, struct str bucket, struct str id) {
    return arena_printf(a, "%s/%.*s", shard(l, a, bucket, id), STR_ARG(id)).p;
}

static int failed(const char *what, const char *path, int errnum, struct err *e) {
    bool full = errnum == ENOSPC || errnum == EDQUOT;
    return err_sys(e, full ? ERR_DISK_FULL : ERR_IO, errnum, "cannot %s %s", what, path);
}

static int sync_dir(struct local *l, const char *path, struct err *e) {
    if (l->in_memory) return 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) ? failed("sync", path, errno, e) : 0;
    if (fd >= 0) close(fd);
    return rc;
}

static int make_dir(struct local *l, const char *path, const char *parent, struct err *e) {
    if (!mkdir(path, 0755)) return sync_dir(l, parent, e);
    return errno == EEXIST ? 0 : failed("make", path, errno, e);
}

static int write_temp(struct local *l, const char *path, struct str body, struct err *e) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), rc = -1;
    if (fd < 0) return failed("make", path, errno, e);
    for (size_t done = 0; done < body.n;) {
        ssize_t n = write(fd, body.p + done, body.n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            failed("write", path, errno, e);
            goto out;
        }
        done += (size_t)n;
    }
    if (local_file_fault(l)) errno = EIO;
    if (errno == EIO || (!l->in_memory && fsync(fd))) {
        failed("sync", path, errno, e);
        goto out;
    }
    rc = 0;
out:
    close(fd);
    if (rc) unlink(path);
    return rc;
}

int s3_file_write(struct local *l, struct arena *a, struct str bucket, struct str id, struct str body, struct err *e) {
    const char *temp = arena_printf(a, "%s/s3/tmp/%.*s", l->dir, STR_ARG(id)).p;
    const char *root = arena_printf(a, "%s/s3", l->dir).p;
    const char *home = arena_printf(a, "%s/%.*s", root, STR_ARG(bucket)).p;
    const char *dir = shard(l, a, bucket, id), *path = s3_path(l, a, bucket, id);
    errno = 0;
    if (write_temp(l, temp, body, e)) return -1;
    if (make_dir(l, home, root, e) || make_dir(l, dir, home, e)) goto out;
    if (local_file_fault(l)) {
        failed("rename", temp, EIO, e);
        goto out;
    }
    if (rename(temp, path)) {
        failed("rename", temp, errno, e);
        goto out;
    }
    temp = path;
    if (local_file_fault(l)) {
        failed("sync", dir, EIO, e);
        goto out;
    }
    if (!sync_dir(l, dir, e)) return 0;
out:
    unlink(temp);
    return -1;
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
    if (db_stmt(db, "SELECT object_id FROM objects", &s, e)) return -1;
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
    int rc = fs_mkdirs(arena_printf(&a, "%s/tmp", root).p, e);
    if (!rc) rc = fs_list(&a, root, "", &files, &n, e);
    if (!rc && n) rc = known_ids(db, &a, &ids, e);
    for (size_t i = 0; !rc && i < n; i++) {
        if (map_get(&ids, basename_of(files[i])) && !str_starts(files[i], STR("tmp/"))) continue;
        unlink(arena_printf(&a, "%s/%.*s", root, STR_ARG(files[i])).p);
        removed++;
    }
    if (removed) log_event(l->log, LOG_INFO, "store: removed unfinished object files", "u", "files", (uint64_t)removed);
    map_free(&ids);
    arena_free(&a);
    return rc;
}
