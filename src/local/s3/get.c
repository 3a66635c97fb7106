/* GetObject and HeadObject: conditions (RFC 9110, 13.1), ranges (14.2, one range), and the bytes. */
#include "base/url.h"
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
    int64_t parts; /* of the object; 0 unless one of them was asked for */
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

struct conditions {
    const char *match, *none, *since, *unless;
};

static int check_conditions(const struct json *params, const struct conditions *of, const struct s3_object *o,
                            struct err *e) {
    struct str match, none;
    int64_t since, unless, modified = o->modified_ms / 1000 * 1000;
    if (params_str(params, of->match, ERR_S3_ARGUMENT, &match, e)) return -1;
    if (params_str(params, of->none, ERR_S3_ARGUMENT, &none, e)) return -1;
    if (read_date(params, of->since, &since, e) || read_date(params, of->unless, &unless, e)) return -1;
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
    *ret = (struct slice){0, size, false, 0};
    if (!str_starts(range, STR("bytes=")) || !rest.p || str_chr(range, ',', 0) >= 0) return 0;
    if (first.n ? !str_i64(first, &from) || from < 0 : !str_i64(last, &n) || n < 0) return 0;
    if (first.n && last.n && (!str_i64(last, &to) || to < from)) return 0;
    if (!first.n) from = n >= size ? 0 : size - n;
    if (to > size - 1) to = size - 1;
    if (from > size - 1 || (!first.n && !n))
        return err_set(e, ERR_S3_RANGE, "The requested range is not satisfiable: %.*s of %lld bytes",
                       STR_ARG(str_take(range, 80)), (long long)size);
    *ret = (struct slice){from, to - from + 1, true, 0};
    return 0;
}

/* == result =========================================================================================================
 */

static void copy_members(struct arena *a, struct json *into, const struct json *from) {
    for (uint32_t i = 0; i < from->n; i++) json_set_str(a, into, from->members[i].key, from->members[i].value);
}

/* The bytes are all there are, and were not asked for as a part. */
static bool is_whole(const struct aws_call *c, const struct s3_object *o, const struct slice *s) {
    return s->len == o->size && !json_get(&c->params, "PartNumber");
}

static void describe_version(struct local_tx *tx, struct aws_call *c, struct str bucket, const struct s3_object *o) {
    struct s3_bucket b;
    struct err ignored = {0};
    bool kept = o->version.n || json_get_s(&c->params, "VersionId").n;
    if (kept || (!s3_bucket_row(tx, &c->arena, bucket, &b, &ignored) && (b.versioned || b.suspended)))
        json_set(&c->arena, &c->result, "VersionId", json_make_str(s3_shown_version(o->version)));
}

static void describe(struct local_tx *tx, struct aws_call *c, struct str bucket, const struct s3_object *o,
                     const struct slice *s) {
    struct arena *a = &c->arena;
    struct json *r = &c->result;
    int64_t tags = s3_tag_count(o->tags);
    json_set(a, r, "AcceptRanges", json_make_c("bytes"));
    json_set(a, r, "LastModified", s3_time(a, o->modified_ms));
    json_set(a, r, "ContentLength", json_make_i64(a, s->len));
    json_set(a, r, "ETag", json_make_str(o->etag));
    json_set(a, r, "ContentType", json_make_str(o->content_type));
    if (s->partial)
        json_set(a, r, "ContentRange",
                 json_make_str(arena_printf(a, "bytes %lld-%lld/%lld", (long long)s->off,
                                            (long long)(s->off + s->len - 1), (long long)o->size)));
    copy_members(a, r, &o->headers);
    if (is_whole(c, o, s) && str_ieq(json_get_s(&c->params, "ChecksumMode"), STR("ENABLED")))
        copy_members(a, r, &o->checksums);
    json_set(a, r, "Metadata", o->metadata);
    if (tags) json_set(a, r, "TagCount", json_make_i64(a, tags));
    if (s->parts) json_set(a, r, "PartsCount", json_make_i64(a, s->parts));
    describe_version(tx, c, bucket, o);
}

/* == parts ==========================================================================================================
 */

/* Of an object that was not made of parts, the first part is all. */
static int part_slice(const struct s3_object *o, int64_t number, struct slice *ret, struct err *e) {
    struct str rest = o->parts;
    int64_t off = 0, n = 0, at = 0;
    *ret = (struct slice){0, o->size, o->size > 0, 0};
    if (!o->parts.n && number == 1) return 0;
    while (o->parts.n && rest.p) {
        str_i64(str_cut(&rest, ','), &n);
        if (++at == number) *ret = (struct slice){off, n, n > 0, 0};
        off += n;
    }
    ret->parts = at;
    if (number <= at) return 0;
    return err_set(e, ERR_S3_PART_NUMBER, "The requested partnumber is not satisfiable");
}

static int read_slice(struct aws_call *c, const struct s3_object *o, struct slice *s, struct err *e) {
    struct str range;
    int64_t number;
    if (params_str(&c->params, "Range", ERR_S3_ARGUMENT, &range, e)) return -1;
    if (!json_get(&c->params, "PartNumber")) return read_range(range, o->size, s, e);
    if (range.n)
        return err_set(e, ERR_S3_BAD_REQUEST, "Cannot specify both Range header and partNumber query parameter");
    if (params_int(&c->params, "PartNumber", 1, S3_PARTS_MAX, 1, ERR_S3_ARGUMENT, &number, e))
        return err_set(e, ERR_S3_ARGUMENT, "Part number must be an integer between 1 and %d, inclusive", S3_PARTS_MAX);
    return part_slice(o, number, s, e);
}

/* RFC 9110, 15.4.5: what a 200 would have had of these. */
static void describe_unmodified(struct local_tx *tx, struct aws_call *c, struct str bucket, const struct s3_object *o) {
    static const char *const names[] = {"CacheControl", "Expires"};
    json_set(&c->arena, &c->result, "ETag", json_make_str(o->etag));
    json_set(&c->arena, &c->result, "LastModified", s3_time(&c->arena, o->modified_ms));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_get(&o->headers, names[i]))
            json_set(&c->arena, &c->result, names[i], *json_get(&o->headers, names[i]));
    describe_version(tx, c, bucket, o);
}

static int locate(struct local_tx *tx, struct aws_call *c, struct str *bucket, struct s3_object *o, struct slice *s) {
    struct str key;
    struct err *e = &c->err;
    c->result = json_make_obj();
    if (params_only(&c->params,
                    "Bucket Key VersionId PartNumber Range IfMatch IfNoneMatch IfModifiedSince IfUnmodifiedSince "
                    "ChecksumMode",
                    c->row->action, ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_bucket_of(tx, c, bucket, e) || s3_key_of(c, &key, e) || s3_locate(tx, c, *bucket, key, o, e)) return -1;
    static const struct conditions names = {"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"};
    if (!check_conditions(&c->params, &names, o, e)) return read_slice(c, o, s, e);
    if (e->code == ERR_S3_NOT_MODIFIED) describe_unmodified(tx, c, *bucket, o);
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
    describe(tx, c, bucket, &o, &s);
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
static int open_bytes(struct local_tx *tx, struct aws_call *c, struct str *bucket, struct s3_object *o, struct slice *s,
                      int *ret_fd) {
    for (int i = 0;; i++) {
        if (locate(tx, c, bucket, o, s)) return -1;
        const char *path = s3_path(tx->local, &c->arena, *bucket, o->id);
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
    struct str bucket;
    struct s3_file *file = c->state;
    int fd = -1, rc = 0;
    if (open_bytes(tx, c, &bucket, &o, &s, &fd)) return -1;
    if (file)
        *file = (struct s3_file){fd, (uint64_t)s.off, (uint64_t)s.len};
    else if (s.len > READ_AT_ONCE)
        rc = map_bytes(c, fd, &o, &s, &c->err);
    else
        rc = read_bytes(c, fd, &s, &c->err);
    if (!file) close(fd);
    if (!rc) describe(tx, c, bucket, &o, &s);
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

/* == sources of copies ==============================================================================================
 */

/* "bucket/key", "/bucket/key?versionId=id", each encoded. */
static int read_source(struct aws_call *c, struct str *bucket, struct str *key, struct str *version, struct err *e) {
    struct str text, first;
    if (params_str(&c->params, "CopySource", ERR_S3_ARGUMENT, &text, e)) return -1;
    if (text.n && text.p[0] == '/') text = str_from(text, 1);
    ptrdiff_t at = str_find(text, STR("?versionId="), 0);
    *version = at < 0 ? STR_NONE : str_from(text, (size_t)at + 11);
    if (at >= 0) text = str_take(text, (size_t)at);
    if (url_decode(&c->arena, text, false, &text, NULL) || str_starts(text, STR("arn:"))) text = STR_NONE;
    first = str_cut(&text, '/');
    *bucket = first;
    *key = text;
    if (first.n && text.n && str_bad_utf8(text) < 0) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
}

static int find_source(struct local_tx *tx, struct aws_call *c, struct str bucket, struct str key, struct str version,
                       struct s3_object *ret, struct err *e) {
    static const struct conditions names = {"CopySourceIfMatch", "CopySourceIfNoneMatch", "CopySourceIfModifiedSince",
                                            "CopySourceIfUnmodifiedSince"};
    struct s3_bucket b;
    if (s3_bucket_row(tx, &c->arena, bucket, &b, e)) return -1;
    int found = version.n ? s3_find_version(tx, &c->arena, bucket, key, version, ret, e)
                          : s3_find(tx, &c->arena, bucket, key, ret, e);
    if (found < 0) return -1;
    if (found && ret->marker)
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "The source of a copy request may not specifically refer to a delete "
                       "marker by version id.");
    if (!found)
        return err_set(e, version.n ? ERR_S3_NO_VERSION : ERR_S3_NO_KEY, "The specified %s does not exist: %.*s",
                       version.n ? "version" : "key", STR_ARG(str_take(key, 200)));
    if (!check_conditions(&c->params, &names, ret, e)) return 0;
    return e->code == ERR_S3_NOT_MODIFIED ? precondition("x-amz-copy-source-If-None-Match", e) : -1;
}

int s3_open_source(struct local_conn *conn, struct aws_call *c, struct s3_object *ret, struct str *ret_name,
                   int *ret_fd, struct err *e) {
    struct local_tx tx = {.db = conn->db, .local = conn->local, .id = conn->local->id};
    struct str bucket, key, version;
    if (read_source(c, &bucket, &key, &version, e)) return -1;
    for (int i = 0;; i++) {
        if (find_source(&tx, c, bucket, key, version, ret, e)) return -1;
        const char *path = s3_path(conn->local, &c->arena, bucket, ret->id);
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*ret_fd >= 0) break;
        if (errno == ENOENT && i == REOPENS) return file_missing(&tx, path, e);
        if (errno != ENOENT) return err_sys(e, ERR_IO, errno, "cannot open an object's file %s", path);
    }
    *ret_name = arena_printf(&c->arena, "%.*s/%.*s", STR_ARG(bucket), STR_ARG(key));
    return 0;
}

int s3_source_range(struct str range, int64_t size, int64_t *ret_off, int64_t *ret_len, struct err *e) {
    struct str rest = str_from(range, 6), first = str_cut(&rest, '-');
    int64_t from = 0, to = 0;
    if (!str_starts(range, STR("bytes=")) || !str_i64(first, &from) || !str_i64(rest, &to) || from < 0 || to < from)
        return err_set(
            e, ERR_S3_ARGUMENT,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy");
    if (to >= size)
        return err_set(e, ERR_S3_ARGUMENT, "Range specified is not valid for source object of size: %lld",
                       (long long)size);
    *ret_off = from;
    *ret_len = to - from + 1;
    return 0;
}
