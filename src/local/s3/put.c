/* PutObject and DeleteObject.
 *
 *   loop: check ─► pool: hash, verify, write the file ─► loop ─► writer: conditions, row ─► loop: old file removed,
 * done
 *
 * When anything after the file fails, the new file goes and the object is what it was. */
#include "base/crypto.h"
#include "local/s3/s3.h"
#include <string.h>

struct put {
    struct aws_call *call;
    struct local_conn *conn;
    struct pool_work work;
    struct local_op op;
    struct str bucket, key, id, etag, content_type, if_match, if_none_match;
    struct json headers, metadata, checksums;
    struct err err;
    const char *path;
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
    return read_metadata(p, e);
}

/* == hashes, on the pool ============================================================================================
 */

static struct str encoded(struct arena *a, const void *digest, size_t n) {
    struct buf b = BUF_MAX(128);
    crypto_base64(&b, str_n(digest, n));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static struct str checksum(struct arena *a, int kind, struct str body) {
    uint8_t d[32];
    if (kind == 0) {
        uint32_t crc = crypto_crc32(body);
        for (int i = 0; i < 4; i++) d[i] = (uint8_t)(crc >> (24 - 8 * i));
        return encoded(a, d, 4);
    }
    if (kind == 1) {
        crypto_sha1(body, d);
        return encoded(a, d, 20);
    }
    crypto_sha256(body, d);
    return encoded(a, d, 32);
}

static int verify_checksums(struct put *p, struct arena *a, struct err *e) {
    struct str body = p->call->body;
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        struct str want = json_get_s(&p->checksums, s3_checksums[i].member);
        if (want.p && !str_eq(want, checksum(a, i, body)))
            return err_set(e, ERR_S3_BAD_DIGEST, "The %s you specified did not match what we received.",
                           s3_checksums[i].member);
    }
    struct str asked = json_get_s(&p->call->params, "ChecksumAlgorithm");
    for (int i = 0; asked.n && i < S3_CHECKSUMS; i++) {
        const char *member = s3_checksums[i].member;
        if (!str_is(asked, member + 8)) continue;
        if (!json_get(&p->checksums, member)) json_set(a, &p->checksums, member, json_make_str(checksum(a, i, body)));
        return 0;
    }
    return asked.n
               ? err_set(e, ERR_S3_ARGUMENT, "ChecksumAlgorithm %.*s is not supported yet; CRC32, SHA1 and SHA256 are",
                         STR_ARG(str_take(asked, 40)))
               : 0;
}

static int verify(struct put *p, struct arena *a, struct err *e) {
    struct str want;
    struct buf raw = BUF_MAX(64);
    uint8_t md5[16];
    char hex[32];
    if (params_str(&p->call->params, "ContentMD5", ERR_S3_ARGUMENT, &want, e)) return -1;
    crypto_md5(p->call->body, md5);
    crypto_hex_to(hex, md5, 16);
    p->etag = arena_printf(a, "\"%.32s\"", hex);
    bool valid = !want.p || (crypto_unbase64(&raw, want) && raw.n == 16);
    bool same = !want.p || (valid && !memcmp(raw.p, md5, 16));
    buf_free(&raw);
    if (!valid) return err_set(e, ERR_S3_INVALID_DIGEST, "The Content-MD5 you specified is not valid.");
    if (!same) return err_set(e, ERR_S3_BAD_DIGEST, "The Content-MD5 you specified did not match what we received.");
    return verify_checksums(p, a, e);
}

static void on_pool(void *ud) {
    struct put *p = ud;
    struct arena *a = &p->call->arena;
    if (verify(p, a, &p->err)) return;
    p->path = s3_path(p->conn->local, a, p->bucket, p->id);
    if (s3_file_write(p->conn->local, a, p->bucket, p->id, p->call->body, &p->err)) p->path = NULL;
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
    db_bind_i64(s, 4, (int64_t)p->call->body.n);
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
        s3_file_remove(p->path);
    } else {
        json_set(&c->arena, &c->result, "ETag", json_make_str(p->etag));
        for (uint32_t i = 0; i < p->checksums.n; i++)
            json_set_str(&c->arena, &c->result, p->checksums.members[i].key, p->checksums.members[i].value);
    }
    aws_complete(c);
}

static void file_written(void *ud) {
    struct put *p = ud;
    p->conn->in_flight--;
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

enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c) {
    struct put *p = ARENA_NEW(&c->arena, struct put);
    p->call = c;
    p->conn = conn;
    if (check(p, &c->err)) return AWS_DONE;
    char *id = arena_alloc(&c->arena, 37);
    crypto_uuid7(clock_ms(conn->local->clock), id);
    p->id = str_n(id, S3_ID);
    conn->in_flight++;
    pool_run(conn->local->pool, conn->loop, &p->work, on_pool, file_written, p);
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
