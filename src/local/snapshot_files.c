/* Object files of snapshots: they never change, so that a second name for them is a copy. */
#include "base/fs.h"
#include "local/s3/s3.h"
#include "local/snapshot.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *what, const char *path, int errnum, struct err *e) {
    bool full = errnum == ENOSPC || errnum == EDQUOT;
    return err_sys(e, full ? ERR_DISK_FULL : ERR_IO, errnum, "cannot %s %s", what, path);
}

/* == which ==========================================================================================================
 */

int snapshot_ids(struct db *db, struct snapshot_ids *ret, struct err *e) {
    struct db_stmt *s = NULL;
    int rc = db_stmt(db,
                     "SELECT bucket, object_id FROM objects UNION ALL"
                     " SELECT bucket, object_id FROM object_versions WHERE object_id<>'' UNION ALL"
                     " SELECT u.bucket, p.object_id FROM uploads u CROSS JOIN parts p ON p.upload_id=u.upload_id",
                     &s, e);
    struct str *bucket = NULL;
    while (!rc && (rc = db_step(s, e)) == 1) {
        rc = 0;
        if (!bucket || !str_eq(*bucket, db_bytes(s, 0))) { /* one string for all of a bucket's neighbours */
            bucket = ARENA_NEW(&ret->a, struct str);
            *bucket = arena_str(&ret->a, db_bytes(s, 0));
        }
        map_put(&ret->ids, arena_str(&ret->a, db_bytes(s, 1)), bucket);
    }
    db_done(s);
    return rc;
}

void snapshot_ids_free(struct snapshot_ids *x) {
    map_free(&x->ids);
    arena_free(&x->a);
}

/* == one file =======================================================================================================
 */

static int copy_bytes(int from, int to) {
    for (;;) {
        ssize_t n = sendfile(to, from, NULL, 1 << 20);
        if (!n) return 0;
        if (n < 0 && errno != EINTR) return -1;
    }
}

static int copy_file(const char *from, const char *to, bool sync) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, errnum = 0;
    if (in < 0) return -1;
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0 || copy_bytes(in, out) || (sync && fsync(out))) errnum = errno;
    close(in);
    if (out >= 0) close(out);
    if (out >= 0 && errnum) unlink(to);
    errno = errnum;
    return errnum ? -1 : 0;
}

/* 1: it was there already. */
static int same_file(struct local *l, const char *from, const char *to, struct err *e) {
    if (local_file_fault(l)) return failed("link", to, EIO, e);
    if (!link(from, to)) return 0;
    if (errno == EEXIST) return 1;
    bool cannot = errno == EPERM || errno == EMLINK || errno == ENOTSUP || errno == ENOSYS;
    if (cannot && !copy_file(from, to, !l->in_memory)) return 0;
    return failed("link", to, errno, e);
}

/* == all of them ====================================================================================================
 */

int snapshot_files_keep(struct local *l, const struct snapshot_ids *ids, const char *dir, struct err *e) {
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < ids->ids.n; i++) {
        struct arena a = {0};
        struct str id = ids->ids.slots[i].key, *bucket = ids->ids.slots[i].value;
        rc = same_file(l, s3_path(l, &a, *bucket, id), arena_printf(&a, "%s/%.*s", dir, STR_ARG(id)).p, e);
        arena_free(&a);
    }
    return rc < 0 ? -1 : store_sync_dir(l, dir, e);
}

/* Made and synced once each. */
static int shard_of(struct local *l, struct arena *a, struct map *shards, const char *path, struct err *e) {
    struct str shard = fs_dirname(str_c(path)), home = fs_dirname(shard), root = fs_dirname(home);
    if (map_get(shards, shard)) return 0;
    const char *dir = arena_cstr(a, shard);
    if (fs_mkdirs(dir, e)) return -1;
    map_put(shards, str_c(dir), (void *)dir);
    return store_sync_dir(l, arena_cstr(a, home), e) || store_sync_dir(l, arena_cstr(a, root), e) ? -1 : 0;
}

static int bring(struct local *l, const struct snapshot_ids *now, const struct snapshot_ids *then, const char *dir,
                 struct arena *a, struct map *shards, struct err *e) {
    for (size_t i = 0; i < then->ids.n; i++) {
        struct str id = then->ids.slots[i].key, *bucket = then->ids.slots[i].value;
        if (map_get(&now->ids, id)) continue;
        const char *path = s3_path(l, a, *bucket, id);
        if (shard_of(l, a, shards, path, e)) return -1;
        if (same_file(l, arena_printf(a, "%s/%.*s", dir, STR_ARG(id)).p, path, e) < 0) return -1;
    }
    for (size_t i = 0; i < shards->n; i++)
        if (store_sync_dir(l, shards->slots[i].key.p, e)) return -1;
    return 0;
}

int snapshot_files_bring(struct local *l, const struct snapshot_ids *now, const struct snapshot_ids *then,
                         const char *dir, struct err *e) {
    struct arena a = {0};
    struct map shards = {0};
    int rc = bring(l, now, then, dir, &a, &shards, e);
    map_free(&shards);
    arena_free(&a);
    return rc;
}

void snapshot_files_drop(struct local *l, const struct snapshot_ids *now, const struct snapshot_ids *then) {
    for (size_t i = 0; i < now->ids.n; i++) {
        struct str id = now->ids.slots[i].key, *bucket = now->ids.slots[i].value;
        struct arena a = {0};
        if (!map_get(&then->ids, id)) s3_file_remove(s3_path(l, &a, *bucket, id));
        arena_free(&a);
    }
}
