/* The table of S3 operations, the tables in the store, buckets, and what all objects' operations check. */
#include "local/s3/s3.h"
#include <string.h>

const struct s3_header s3_headers[S3_HEADERS] = {{"CacheControl", "cache-control"},
                                                 {"ContentDisposition", "content-disposition"},
                                                 {"ContentEncoding", "content-encoding"},
                                                 {"ContentLanguage", "content-language"},
                                                 {"Expires", "expires"}};
const struct s3_header s3_checksums[S3_CHECKSUMS] = {{"ChecksumCRC32", "x-amz-checksum-crc32"},
                                                     {"ChecksumSHA1", "x-amz-checksum-sha1"},
                                                     {"ChecksumSHA256", "x-amz-checksum-sha256"}};

int s3_schema(struct db *db, struct err *e) {
    return db_exec(
        db,
        "CREATE TABLE IF NOT EXISTS buckets(name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS objects(bucket TEXT NOT NULL, key TEXT NOT NULL, object_id TEXT NOT NULL,"
        " size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL, content_type TEXT NOT NULL,"
        " headers TEXT NOT NULL, metadata TEXT NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY(bucket, key))"
        " WITHOUT ROWID",
        e);
}

/* == checks =========================================================================================================
 */

/* Amazon S3 User Guide, "Bucket naming rules". */
static int check_bucket_name(struct str name, struct err *e) {
    bool ok = name.n >= 3 && name.n <= 63;
    size_t digits = 0;
    for (size_t i = 0; ok && i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        digits += (c >= '0' && c <= '9') || c == '.';
        ok = alnum || ((c == '-' || c == '.') && i > 0 && i + 1 < name.n && !(c == '.' && name.p[i - 1] == '.'));
    }
    if (ok && !(digits == name.n && str_chr(name, '.', 0) >= 0)) return 0;
    return err_set(e, ERR_S3_BAD_NAME,
                   "The specified bucket is not valid: \"%.*s\" must be 3 to 63 lower-case letters, digits, "
                   "dots and hyphens, and begin and end with a letter or digit",
                   STR_ARG(str_take(name, 80)));
}

static int bucket_exists(struct local_tx *tx, struct str name, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT 1 FROM buckets WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    db_done(s);
    return rc;
}

int s3_bucket_of(struct local_tx *tx, struct aws_call *c, struct str *ret, struct err *e) {
    if (params_str(&c->params, "Bucket", ERR_S3_ARGUMENT, ret, e)) return -1;
    if (!ret->n) return err_set(e, ERR_S3_ARGUMENT, "the parameter Bucket is missing");
    int rc = bucket_exists(tx, *ret, e);
    if (rc) return rc == 1 ? 0 : -1;
    return err_set(e, ERR_S3_NO_BUCKET, "The specified bucket does not exist: %.*s", STR_ARG(str_take(*ret, 80)));
}

int s3_key_of(struct aws_call *c, struct str *ret, struct err *e) {
    if (params_str(&c->params, "Key", ERR_S3_ARGUMENT, ret, e)) return -1;
    if (!ret->n) return err_set(e, ERR_S3_ARGUMENT, "the parameter Key is missing");
    if (ret->n > S3_KEY_MAX)
        return err_set(e, ERR_S3_KEY_LENGTH, "Your key is too long: %zu bytes, %d are allowed", ret->n, S3_KEY_MAX);
    if (str_bad_utf8(*ret) >= 0 || memchr(ret->p, 0, ret->n))
        return err_set(e, ERR_S3_ARGUMENT, "the Key is not UTF-8 without NUL");
    return 0;
}

bool s3_etag_listed(struct str list, struct str etag) {
    while (list.p) {
        struct str one = str_trim(str_cut(&list, ','));
        if (one.n >= 2 && one.p[0] == '"' && one.p[one.n - 1] == '"') one = str_n(one.p + 1, one.n - 2);
        if (str_is(one, "*") || str_eq(one, str_n(etag.p + 1, etag.n - 2))) return true;
    }
    return false;
}

/* == rows ===========================================================================================================
 */

static int read_json(struct arena *a, struct str text, struct json *ret, struct err *e) {
    return json_parse(a, arena_str(a, text), NULL, ret, e) ? err_wrap(e, "an object's row") : 0;
}

static int read_object(struct db_stmt *s, struct arena *a, struct s3_object *o, struct err *e) {
    o->id = arena_str(a, db_bytes(s, 0));
    o->size = db_i64(s, 1);
    o->etag = arena_str(a, db_bytes(s, 2));
    o->modified_ms = db_i64(s, 3);
    o->content_type = arena_str(a, db_bytes(s, 4));
    if (read_json(a, db_bytes(s, 5), &o->headers, e) || read_json(a, db_bytes(s, 6), &o->metadata, e)) return -1;
    return read_json(a, db_bytes(s, 7), &o->checksums, e);
}

int s3_find(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
            struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "SELECT object_id,size,etag,modified_ms,content_type,headers,metadata,checksums FROM objects"
                " WHERE bucket=?1 AND key=?2",
                &s, e))
        return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    int rc = db_step(s, e);
    if (rc == 1 && read_object(s, a, ret, e)) rc = -1;
    db_done(s);
    return rc;
}

/* == buckets ========================================================================================================
 */

/* In us-east-1, creating a bucket that one owns already succeeds. */
static int create_bucket(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket", "CreateBucket", ERR_S3_ARGUMENT, e)) return -1;
    if (params_str(&c->params, "Bucket", ERR_S3_ARGUMENT, &name, e) || check_bucket_name(name, e)) return -1;
    if (db_stmt(tx->db, "INSERT INTO buckets(name,created_ms) VALUES(?1,?2) ON CONFLICT DO NOTHING", &s, e)) return -1;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, tx->now_ms);
    if (db_run(s, e)) return -1;
    json_set(&c->arena, &c->result, "Location", json_make_str(arena_printf(&c->arena, "/%.*s", STR_ARG(name))));
    return 0;
}

static int head_bucket(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    if (params_only(&c->params, "Bucket", "HeadBucket", ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_bucket_of(tx, c, &name, &c->err)) return -1;
    json_set(&c->arena, &c->result, "BucketRegion", json_make_str(tx->id.region));
    return 0;
}

static int list_buckets(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json all = json_make_arr();
    struct db_stmt *s = NULL;
    int rc;
    if (params_only(&c->params, "", "ListBuckets", ERR_S3_ARGUMENT, &c->err)) return -1;
    if (db_stmt(tx->db, "SELECT name,created_ms FROM buckets ORDER BY name", &s, &c->err)) return -1;
    while ((rc = db_step(s, &c->err)) == 1) {
        struct json row = json_make_obj();
        char *when = arena_alloc(a, 25);
        now_iso(db_i64(s, 1), when);
        json_set(a, &row, "Name", json_make_str(arena_str(a, db_bytes(s, 0))));
        json_set(a, &row, "CreationDate", json_make_c(when));
        json_push(a, &all, row);
    }
    db_done(s);
    json_set(a, &c->result, "Buckets", all);
    return rc;
}

const struct local_row s3_rows[] = {
    {AWS_S3_CreateBucket, create_bucket}, {AWS_S3_HeadBucket, head_bucket}, {AWS_S3_ListBuckets, list_buckets},
    {AWS_S3_PutObject, s3_put_row},       {AWS_S3_GetObject, s3_get},       {AWS_S3_HeadObject, s3_head},
    {AWS_S3_DeleteObject, s3_delete},     {AWS_S3_ListObjectsV2, s3_list},  {0, NULL}};
