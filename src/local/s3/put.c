/* PutObject and DeleteObject.
 *
 *   loop: check ─► pool: hash and write the file, verify ─► loop ─► writer: conditions, row ─► loop: old file removed,
 * done
 *
 * The bytes of a file (body_fd) pass the pool in pieces. When anything after the file fails, the new file goes and the
 * object is what it was. */
#include "base/crypto.h"
#include "local/s3/s3.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PUT_MAX (UINT64_C(5) << 30) /* of one PutObject */

struct put {
    struct aws_call *call;
    struct local_conn *conn;
    struct pool_work work;
    struct local_op op;
    struct str bucket, key, id, etag, content_type, if_match, if_none_match;
    struct json headers, metadata, checksums;
    int asked; /* index of the checksum that ChecksumAlgorithm names, or -1 */
    uint64_t size, written;
    struct s3_sums sums;
    struct s3_writer file;
    char *room; /* for reading body_fd; NULL until the first piece */
    bool begun;
    struct err err;
};

/* == checks on the loop =============================================================================================
 */

static int read_metadata(struct put *p, struct err *e) {
    const struct json *m = json_get(&p->call->params, "Metadata");
    struct arena *a = &p->call->arena;
    size_t bytes = 0;
    p->metadata = json_make_obj();
    if (!m || json_is(m, JSON_NULL)) return 0;
    if (!json_is(m, JSON_OBJ))
        return err_set(e, ERR_S3_ARGUMENT, "Metadata is %s, not an object", json_type_name(m->type));
    for (uint32_t i = 0; i < m->n; i++) {
        struct str name = arena_str(a, m->members[i].key), value = json_str(&m->members[i].value);
        if (!json_is(&m->members[i].value, JSON_STR))
            return err_set(e, ERR_S3_ARGUMENT, "Metadata.%.*s is not a string", STR_ARG(str_take(name, 80)));
        for (size_t k = 0; k < name.n; k++) /* S3 keeps metadata names in lower case */
            if (name.p[k] >= 'A' && name.p[k] <= 'Z') ((char *)name.p)[k] += 32;
        if (!name.n || memchr(value.p, '\n', value.n) || memchr(value.p, '\r', value.n) || memchr(value.p, 0, value.n))
            return err_set(e, ERR_S3_ARGUMENT, "Metadata.%.*s cannot be sent as a header", STR_ARG(str_take(name, 80)));
        bytes += name.n + value.n;
        json_set_str(a, &p->metadata, name, json_make_str(value));
    }
    if (bytes <= S3_METADATA_MAX) return 0;
    return err_set(e, ERR_S3_METADATA_LENGTH,
                   "Your metadata headers exceed the maximum allowed metadata size: %zu of %d bytes", bytes,
                   S3_METADATA_MAX);
}

static int copy_strings(struct put *p, const struct s3_header *names, int n, struct json *into, struct err *e) {
    *into = json_make_obj();
    for (int i = 0; i < n; i++) {
        struct str v;
        if (params_str(&p->call->params, names[i].member, ERR_S3_ARGUMENT, &v, e)) return -1;
        if (v.n) json_set(&p->call->arena, into, names[i].member, json_make_str(v));
    }
    return 0;
}

static int read_algorithm(struct put *p, struct err *e) {
    struct str asked = json_get_s(&p->call->params, "ChecksumAlgorithm");
    p->asked = -1;
    for (int i = 0; asked.n && i < S3_CHECKSUMS; i++)
        if (str_is(asked, s3_checksums[i].member + 8)) p->asked = i;
    if (!asked.n || p->asked >= 0) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "ChecksumAlgorithm %.*s is not supported yet; CRC32, SHA1 and SHA256 are",
                   STR_ARG(str_take(asked, 40)));
}

static int check_size(struct put *p, struct err *e) {
    p->size = p->call->body_fd >= 0 ? p->call->body_len : p->call->body.n;
    if (p->size <= PUT_MAX) return 0;
    return err_set(e, ERR_S3_TOO_LARGE, "Your proposed upload of %llu bytes exceeds the maximum allowed object size",
                   (unsigned long long)p->size);
}

static int check(struct put *p, struct err *e) {
    const struct json *params = &p->call->params;
    if (params_only(
            params,
            "Bucket Key ContentType CacheControl ContentDisposition ContentEncoding ContentLanguage Expires Metadata "
            "ContentMD5 ContentLength IfMatch IfNoneMatch ChecksumAlgorithm ChecksumCRC32 ChecksumSHA1 ChecksumSHA256",
            "PutObject", ERR_S3_ARGUMENT, e))
        return -1;
    struct local_tx tx = {.db = p->conn->db, .local = p->conn->local, .id = p->conn->local->id};
    if (s3_bucket_of(&tx, p->call, &p->bucket, e) || s3_key_of(p->call, &p->key, e)) return -1;
    if (params_str(params, "ContentType", ERR_S3_ARGUMENT, &p->content_type, e)) return -1;
    if (params_str(params, "IfMatch", ERR_S3_ARGUMENT, &p->if_match, e)) return -1;
    if (params_str(params, "IfNoneMatch", ERR_S3_ARGUMENT, &p->if_none_match, e)) return -1;
    if (p->if_none_match.n && !str_is(p->if_none_match, "*"))
        return err_set(e, ERR_S3_ARGUMENT, "PutObject supports IfNoneMatch only with \"*\"");
    if (!p->content_type.n) p->content_type = STR("binary/octet-stream");
    if (copy_strings(p, s3_headers, S3_HEADERS, &p->headers, e)) return -1;
    if (copy_strings(p, s3_checksums, S3_CHECKSUMS, &p->checksums, e)) return -1;
    return read_algorithm(p, e) || check_size(p, e) || read_metadata(p, e) ? -1 : 0;
}

/* == the file, on the pool ===========================================================================================
 */

static int verify_checksums(struct put *p, struct arena *a, const struct str sums[S3_CHECKSUMS], struct err *e) {
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        const char *member = s3_checksums[i].member;
        struct str want = json_get_s(&p->checksums, member);
        if (want.p && !str_eq(want, sums[i]))
            return err_set(e, ERR_S3_BAD_DIGEST, "The %s you specified did not match what we received.", member);
        if (!want.p && p->asked == i) json_set(a, &p->checksums, member, json_make_str(sums[i]));
    }
    return 0;
}

static int verify(struct put *p, struct arena *a, struct err *e) {
    struct str want, sums[S3_CHECKSUMS];
    struct buf raw = BUF_MAX(64);
    uint8_t md5[16];
    char hex[32];
    s3_sums_end(&p->sums, a, md5, sums);
    if (params_str(&p->call->params, "ContentMD5", ERR_S3_ARGUMENT, &want, e)) return -1;
    crypto_hex_to(hex, md5, 16);
    p->etag = arena_printf(a, "\"%.32s\"", hex);
    bool valid = !want.p || (crypto_unbase64(&raw, want) && raw.n == 16);
    bool same = !want.p || (valid && !memcmp(raw.p, md5, 16));
    buf_free(&raw);
    if (!valid) return err_set(e, ERR_S3_INVALID_DIGEST, "The Content-MD5 you specified is not valid.");
    if (!same) return err_set(e, ERR_S3_BAD_DIGEST, "The Content-MD5 you specified did not match what we received.");
    return verify_checksums(p, a, sums, e);
}

static int begin_file(struct put *p, struct err *e) {
    struct arena *a = &p->call->arena;
    bool wanted[S3_CHECKSUMS];
    for (int i = 0; i < S3_CHECKSUMS; i++) wanted[i] = p->asked == i || json_get(&p->checksums, s3_checksums[i].member);
    p->begun = true;
    if (p->call->body_fd >= 0) p->room = arena_alloc(a, S3_STEP);
    p->file = (struct s3_writer){.l = p->conn->local, .a = a, .bucket = p->bucket, .id = p->id, .fd = -1};
    if (s3_write_begin(&p->file, e)) return -1;
    s3_sums_begin(&p->sums, wanted);
    return 0;
}

/* The next bytes of the body. */
static int next_bytes(struct put *p, struct str *ret, struct err *e) {
    ssize_t n;
    if (p->call->body_fd < 0) {
        *ret = p->call->body;
        return 0;
    }
    uint64_t left = p->size - p->written;
    do n = pread(p->call->body_fd, p->room, left < S3_STEP ? (size_t)left : S3_STEP, (off_t)p->written);
    while (n < 0 && errno == EINTR);
    if (n < 0) return err_sys(e, ERR_IO, errno, "cannot read the file to be stored");
    if (!n) return err_set(e, ERR_IO, "the file to be stored became shorter while it was read");
    *ret = str_n(p->room, (size_t)n);
    return 0;
}

static int write_piece(struct put *p, struct err *e) {
    uint64_t until = p->written + S3_PIECE;
    struct str data;
    while (p->written < p->size && p->written < until) {
        if (next_bytes(p, &data, e)) {
            s3_write_drop(&p->file);
            return -1;
        }
        s3_sums_add(&p->sums, data);
        if (s3_write_add(&p->file, data, e)) return -1;
        p->written += data.n;
    }
    return 0;
}

static int end_file(struct put *p, struct err *e) {
    if (!verify(p, &p->call->arena, e)) return s3_write_end(&p->file, e);
    s3_write_drop(&p->file);
    return -1;
}

static void on_pool(void *ud) {
    struct put *p = ud;
    if (!p->begun && begin_file(p, &p->err)) return;
    if (write_piece(p, &p->err)) {
        s3_sums_drop(&p->sums);
        return;
    }
    if (p->written == p->size) end_file(p, &p->err);
}

/* == the row, in the writer =========================================================================================
 */

static int check_conditions(struct put *p, int found, const struct s3_object *old, struct err *e) {
    if (found && p->if_none_match.n)
        return err_set(e, ERR_S3_PRECONDITION,
                       "At least one of the pre-conditions you specified did not hold: IfNoneMatch");
    if (p->if_match.n && !found)
        return err_set(e, ERR_S3_NO_KEY, "The specified key does not exist: %.*s", STR_ARG(p->key));
    if (p->if_match.n && !s3_etag_listed(p->if_match, old->etag))
        return err_set(e, ERR_S3_PRECONDITION,
                       "At least one of the pre-conditions you specified did not hold: IfMatch");
    return 0;
}

static struct str written(struct arena *a, const struct json *v) {
    struct buf b = BUF_MAX(1 << 20);
    json_write(&b, v);
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int upsert(struct local_tx *tx, struct put *p, struct err *e) {
    struct arena *a = &p->call->arena;
    struct db_stmt *s = NULL;
    if (db_stmt(
            tx->db,
            "INSERT INTO objects(bucket,key,object_id,size,etag,modified_ms,content_type,headers,metadata,checksums)"
            " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT(bucket,key) DO UPDATE SET "
            "object_id=?3,size=?4,etag=?5,"
            "modified_ms=?6,content_type=?7,headers=?8,metadata=?9,checksums=?10",
            &s, e))
        return -1;
    struct str texts[] = {p->bucket, p->key, p->id};
    for (int i = 0; i < 3; i++) db_bind_text(s, i + 1, texts[i]);
    db_bind_i64(s, 4, (int64_t)p->size);
    db_bind_text(s, 5, p->etag);
    db_bind_i64(s, 6, tx->now_ms);
    db_bind_text(s, 7, p->content_type);
    db_bind_text(s, 8, written(a, &p->headers));
    db_bind_text(s, 9, written(a, &p->metadata));
    db_bind_text(s, 10, written(a, &p->checksums));
    return db_run(s, e) ? -1 : 0;
}

static void remove_file(void *path) {
    s3_file_remove(path);
}

static int put_row(struct local_op *op, struct local_tx *tx, struct err *e) {
    struct put *p = op->ud;
    struct s3_object old;
    struct str bucket;
    if (s3_bucket_of(tx, p->call, &bucket, e)) return -1;
    int found = s3_find(tx, &p->call->arena, p->bucket, p->key, &old, e);
    if (found < 0 || check_conditions(p, found, &old, e) || upsert(tx, p, e)) return -1;
    if (found) local_after_commit(tx, remove_file, (void *)s3_path(tx->local, &p->call->arena, p->bucket, old.id));
    return 0;
}

/* PutObject never comes this way: its row is written by put_row after its file is there. */
int s3_put_row(struct local_tx *tx, struct aws_call *c) {
    (void)tx;
    return err_set(&c->err, ERR_INTERNAL, "PutObject without a file");
}

/* == the way back ===================================================================================================
 */

static void put_done(struct local_op *op) {
    struct put *p = op->ud;
    struct aws_call *c = p->call;
    c->err = op->err;
    if (c->err.code) {
        s3_file_remove(p->file.temp);
    } else {
        json_set(&c->arena, &c->result, "ETag", json_make_str(p->etag));
        for (uint32_t i = 0; i < p->checksums.n; i++)
            json_set_str(&c->arena, &c->result, p->checksums.members[i].key, p->checksums.members[i].value);
    }
    aws_complete(c);
}

static void run_on_pool(struct put *p);

static void piece_written(void *ud) {
    struct put *p = ud;
    p->conn->in_flight--;
    if (!p->err.code && p->written < p->size) {
        run_on_pool(p);
        return;
    }
    if (p->err.code) {
        p->call->err = p->err;
        aws_complete(p->call);
        return;
    }
    p->op.run = put_row;
    p->op.done = put_done;
    p->op.ud = p;
    local_submit(p->conn, &p->op);
}

static void run_on_pool(struct put *p) {
    p->conn->in_flight++;
    pool_run(p->conn->local->pool, p->conn->loop, &p->work, on_pool, piece_written, p);
}

enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c) {
    struct put *p = ARENA_NEW(&c->arena, struct put);
    p->call = c;
    p->conn = conn;
    if (check(p, &c->err)) return AWS_DONE;
    char *id = arena_alloc(&c->arena, 37);
    crypto_uuid7(clock_ms(conn->local->clock), id);
    p->id = str_n(id, S3_ID);
    run_on_pool(p);
    return AWS_PENDING;
}

/* == DeleteObject ===================================================================================================
 */

int s3_delete(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, key;
    struct s3_object old;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket Key", "DeleteObject", ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &bucket, e) || s3_key_of(c, &key, e)) return -1;
    int found = s3_find(tx, &c->arena, bucket, key, &old, e);
    if (found <= 0) return found; /* deleting nothing succeeds */
    if (db_stmt(tx->db, "DELETE FROM objects WHERE bucket=?1 AND key=?2", &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    if (db_run(s, e)) return -1;
    local_after_commit(tx, remove_file, (void *)s3_path(tx->local, &c->arena, bucket, old.id));
    return 0;
}
