/* GetObject and HeadObject: conditions (RFC 9110, 13.1), ranges (14.2, one range), and the bytes. */
#include "local/s3/s3.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { READ_AT_ONCE = 64 * 1024, REOPENS = 3 };

struct slice {
    int64_t off, len;
    bool partial;
};

/* == conditions =====================================================================================================
 */

static int not_modified(struct err *e) {
    return err_set(e, ERR_S3_NOT_MODIFIED, "Not Modified");
}

static int precondition(const char *which, struct err *e) {
    return err_set(e, ERR_S3_PRECONDITION, "At least one of the pre-conditions you specified did not hold: %s", which);
}

static int read_date(const struct json *params, const char *name, int64_t *ret, struct err *e) {
    struct str v;
    *ret = -1;
    if (params_str(params, name, ERR_S3_ARGUMENT, &v, e)) return -1;
    if (v.n && !now_parse_http(v, ret) && !now_parse_iso(v, ret))
        *ret = -1; /* "A recipient MUST ignore" an invalid date */
    return 0;
}

static int check_conditions(const struct json *params, const struct s3_object *o, struct err *e) {
    struct str match, none;
    int64_t since, unless, modified = o->modified_ms / 1000 * 1000;
    if (params_str(params, "IfMatch", ERR_S3_ARGUMENT, &match, e)) return -1;
    if (params_str(params, "IfNoneMatch", ERR_S3_ARGUMENT, &none, e)) return -1;
    if (read_date(params, "IfModifiedSince", &since, e) || read_date(params, "IfUnmodifiedSince", &unless, e))
        return -1;
    if (match.p && !s3_etag_listed(match, o->etag)) return precondition("If-Match", e);
    if (!match.p && unless >= 0 && modified > unless) return precondition("If-Unmodified-Since", e);
    if (none.p && s3_etag_listed(none, o->etag)) return not_modified(e);
    if (!none.p && since >= 0 && modified <= since) return not_modified(e);
    return 0;
}

/* == ranges =========================================================================================================
 */

/* What is no single well-formed byte range is ignored, as RFC 9110 allows and S3 does. */
static int read_range(struct str range, int64_t size, struct slice *ret, struct err *e) {
    struct str rest = str_from(range, 6), first = str_trim(str_cut(&rest, '-')),
               last = rest.p ? str_trim(rest) : STR_NONE;
    int64_t from = 0, to = size - 1, n = 0;
    *ret = (struct slice){0, size, false};
    if (!str_starts(range, STR("bytes=")) || !rest.p || str_chr(range, ',', 0) >= 0) return 0;
    if (first.n ? !str_i64(first, &from) || from < 0 : !str_i64(last, &n) || n < 0) return 0;
    if (first.n && last.n && (!str_i64(last, &to) || to < from)) return 0;
    if (!first.n) from = n >= size ? 0 : size - n;
    if (to > size - 1) to = size - 1;
    if (from > size - 1 || (!first.n && !n))
        return err_set(e, ERR_S3_RANGE, "The requested range is not satisfiable: %.*s of %lld bytes",
                       STR_ARG(str_take(range, 80)), (long long)size);
    *ret = (struct slice){from, to - from + 1, true};
    return 0;
}

/* == result =========================================================================================================
 */

static void copy_members(struct arena *a, struct json *into, const struct json *from) {
    for (uint32_t i = 0; i < from->n; i++) json_set_str(a, into, from->members[i].key, from->members[i].value);
}

static void describe(struct aws_call *c, const struct s3_object *o, const struct slice *s) {
    struct arena *a = &c->arena;
    struct json *r = &c->result;
    char *when = arena_alloc(a, 25);
    now_iso(o->modified_ms, when);
    json_set(a, r, "AcceptRanges", json_make_c("bytes"));
    json_set(a, r, "LastModified", json_make_c(when));
    json_set(a, r, "ContentLength", json_make_i64(a, s->len));
    json_set(a, r, "ETag", json_make_str(o->etag));
    json_set(a, r, "ContentType", json_make_str(o->content_type));
    if (s->partial)
        json_set(a, r, "ContentRange",
                 json_make_str(arena_printf(a, "bytes %lld-%lld/%lld", (long long)s->off,
                                            (long long)(s->off + s->len - 1), (long long)o->size)));
    copy_members(a, r, &o->headers);
    if (!s->partial && str_is(json_get_s(&c->params, "ChecksumMode"), "ENABLED")) copy_members(a, r, &o->checksums);
    json_set(a, r, "Metadata", o->metadata);
}

static int locate(struct local_tx *tx, struct aws_call *c, struct str *bucket, struct s3_object *o, struct slice *s) {
    struct str key, range;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket Key Range IfMatch IfNoneMatch IfModifiedSince IfUnmodifiedSince ChecksumMode",
                    c->row->action, ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_bucket_of(tx, c, bucket, e) || s3_key_of(c, &key, e)) return -1;
    if (params_str(&c->params, "Range", ERR_S3_ARGUMENT, &range, e)) return -1;
    int found = s3_find(tx, &c->arena, *bucket, key, o, e);
    if (found < 0) return -1;
    if (!found) return err_set(e, ERR_S3_NO_KEY, "The specified key does not exist: %.*s", STR_ARG(str_take(key, 200)));
    if (!check_conditions(&c->params, o, e)) return read_range(range, o->size, s, e);
    json_set(&c->arena, &c->result, "ETag", json_make_str(o->etag));
    return -1;
}

/* Somebody removed it from the directory: to the caller the object is gone, so that it can be made again. */
static int file_missing(struct local_tx *tx, const char *path, struct err *e) {
    log_event(tx->local->log, LOG_WARN, "store: the file of an object is missing", "s", "path", path);
    return err_set(e, ERR_S3_NO_KEY, "The object's file is missing from the data directory: %s", path);
}

int s3_head(struct local_tx *tx, struct aws_call *c) {
    struct s3_object o;
    struct slice s;
    struct str bucket;
    if (locate(tx, c, &bucket, &o, &s)) return -1;
    const char *path = s3_path(tx->local, &c->arena, bucket, o.id);
    if (access(path, F_OK) && errno == ENOENT) return file_missing(tx, path, &c->err);
    describe(c, &o, &s);
    return 0;
}

/* == bytes ==========================================================================================================
 */

struct mapping {
    void *p;
    size_t n;
};

static void unmap(void *ud) {
    struct mapping *m = ud;
    munmap(m->p, m->n);
}

static int map_bytes(struct aws_call *c, int fd, const struct s3_object *o, const struct slice *s, struct err *e) {
    void *p = mmap(NULL, (size_t)o->size, PROT_READ, MAP_PRIVATE, fd, 0); /* object files never change */
    if (p == MAP_FAILED) return err_sys(e, ERR_IO, errno, "cannot map an object's file");
    struct mapping *m = ARENA_NEW(&c->arena, struct mapping);
    *m = (struct mapping){p, (size_t)o->size};
    arena_defer(&c->arena, unmap, m);
    c->result_body = str_n((char *)p + s->off, (size_t)s->len);
    return 0;
}

static int read_bytes(struct aws_call *c, int fd, const struct slice *s, struct err *e) {
    char *p = arena_alloc(&c->arena, (size_t)s->len + 1);
    for (int64_t done = 0; done < s->len;) {
        ssize_t n = pread(fd, p + done, (size_t)(s->len - done), (off_t)(s->off + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_sys(e, ERR_IO, errno, "cannot read an object's file");
        if (!n) return err_set(e, ERR_CORRUPT, "an object's file is shorter than its row says");
        done += n;
    }
    c->result_body = str_n(p, (size_t)s->len);
    return 0;
}

/* The file may have been replaced, and removed, since the row was read: then there is another row by now. */
static int open_bytes(struct local_tx *tx, struct aws_call *c, struct s3_object *o, struct slice *s, int *ret_fd) {
    for (int i = 0;; i++) {
        struct str bucket;
        if (locate(tx, c, &bucket, o, s)) return -1;
        const char *path = s3_path(tx->local, &c->arena, bucket, o->id);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        *ret_fd = fd;
        if (fd >= 0) return 0;
        if (errno == ENOENT && i == REOPENS) return file_missing(tx, path, &c->err);
        if (errno != ENOENT) return err_sys(&c->err, ERR_IO, errno, "cannot open an object's file %s", path);
        if (db_commit(tx->db, &c->err) || db_begin(tx->db, &c->err)) return -1;
    }
}

int s3_get(struct local_tx *tx, struct aws_call *c) {
    struct s3_object o;
    struct slice s;
    struct s3_file *file = c->state;
    int fd = -1, rc = 0;
    if (open_bytes(tx, c, &o, &s, &fd)) return -1;
    if (file)
        *file = (struct s3_file){fd, (uint64_t)s.off, (uint64_t)s.len};
    else if (s.len > READ_AT_ONCE)
        rc = map_bytes(c, fd, &o, &s, &c->err);
    else
        rc = read_bytes(c, fd, &s, &c->err);
    if (!file) close(fd);
    if (!rc) describe(c, &o, &s);
    return rc;
}

/* == into a file ====================================================================================================
 */

struct copy {
    struct aws_call *call;
    struct local_conn *conn;
    struct pool_work work;
    struct s3_file from;
    char *room;
    struct err err;
};

static int write_all(int fd, struct str data, struct err *e) {
    while (data.n) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return err_sys(e, errno == ENOSPC || errno == EDQUOT ? ERR_DISK_FULL : ERR_IO, errno,
                           "cannot write the object to the file");
        data = str_from(data, (size_t)n);
    }
    return 0;
}

static void copy_piece(void *ud) {
    struct copy *x = ud;
    for (uint64_t done = 0; x->from.len && done < S3_PIECE;) {
        ssize_t n =
            pread(x->from.fd, x->room, x->from.len < S3_STEP ? (size_t)x->from.len : S3_STEP, (off_t)x->from.off);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) err_sys(&x->err, ERR_IO, errno, "cannot read an object's file");
        if (!n) err_set(&x->err, ERR_CORRUPT, "an object's file is shorter than its row says");
        if (n <= 0 || write_all(x->call->result_fd, str_n(x->room, (size_t)n), &x->err)) return;
        x->from.off += (uint64_t)n;
        x->from.len -= (uint64_t)n;
        done += (uint64_t)n;
    }
}

static void copy_next(struct copy *x);

static void piece_copied(void *ud) {
    struct copy *x = ud;
    x->conn->in_flight--;
    if (!x->err.code && x->from.len && !x->call->cancelled) {
        copy_next(x);
        return;
    }
    close(x->from.fd);
    x->call->err = x->err;
    aws_complete(x->call);
}

static void copy_next(struct copy *x) {
    x->conn->in_flight++;
    pool_run(x->conn->local->pool, x->conn->loop, &x->work, copy_piece, piece_copied, x);
}

enum aws_started s3_copy_start(struct local_conn *conn, struct aws_call *c, const struct s3_file *from) {
    struct copy *x = ARENA_NEW(&c->arena, struct copy);
    *x = (struct copy){.call = c, .conn = conn, .from = *from, .room = arena_alloc(&c->arena, S3_STEP)};
    copy_next(x);
    return AWS_PENDING;
}
