/* The table of S3 operations, the tables in the store, and what all operations check. */
#include "local/s3/s3.h"
#include "base/crypto.h"
#include <string.h>

const struct s3_header s3_headers[S3_HEADERS] = {{"CacheControl", "cache-control"},
                                                 {"ContentDisposition", "content-disposition"},
                                                 {"ContentEncoding", "content-encoding"},
                                                 {"ContentLanguage", "content-language"},
                                                 {"Expires", "expires"}};
const struct s3_header s3_checksums[S3_CHECKSUMS] = {[S3_CRC32] = {"ChecksumCRC32", "x-amz-checksum-crc32"},
                                                     [S3_CRC32C] = {"ChecksumCRC32C", "x-amz-checksum-crc32c"},
                                                     [S3_CRC64NVME] = {"ChecksumCRC64NVME", "x-amz-checksum-crc64nvme"},
                                                     [S3_SHA1] = {"ChecksumSHA1", "x-amz-checksum-sha1"},
                                                     [S3_SHA256] = {"ChecksumSHA256", "x-amz-checksum-sha256"}};

/* == tables =========================================================================================================
 */

/* What stores of earlier builds do not have. */
static const struct db_column columns[] = {
    {"objects", "version_id", "TEXT NOT NULL DEFAULT ''"}, {"objects", "tags", "TEXT NOT NULL DEFAULT ''"},
    {"objects", "parts", "TEXT NOT NULL DEFAULT ''"},      {"buckets", "versioning", "TEXT NOT NULL DEFAULT ''"},
    {"buckets", "lifecycle", "TEXT NOT NULL DEFAULT ''"},  {"buckets", "swept_day", "INTEGER NOT NULL DEFAULT 0"},
    {"buckets", "swept_key", "TEXT NOT NULL DEFAULT ''"}};

int s3_schema(struct db *db, struct err *e) {
    int rc = db_exec(
        db,
        "CREATE TABLE IF NOT EXISTS buckets(name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL,"
        " versioning TEXT NOT NULL DEFAULT '', lifecycle TEXT NOT NULL DEFAULT '',"
        " swept_day INTEGER NOT NULL DEFAULT 0, swept_key TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS objects(bucket TEXT NOT NULL, key TEXT NOT NULL, object_id TEXT NOT NULL,"
        " size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL, content_type TEXT NOT NULL,"
        " headers TEXT NOT NULL, metadata TEXT NOT NULL, checksums TEXT NOT NULL, version_id TEXT NOT NULL DEFAULT '',"
        " tags TEXT NOT NULL DEFAULT '', parts TEXT NOT NULL DEFAULT '', PRIMARY KEY(bucket, key)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS object_versions(bucket TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL,"
        " object_id TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL,"
        " content_type TEXT NOT NULL, headers TEXT NOT NULL, metadata TEXT NOT NULL, checksums TEXT NOT NULL,"
        " version_id TEXT NOT NULL, tags TEXT NOT NULL, parts TEXT NOT NULL, marker INTEGER NOT NULL,"
        " PRIMARY KEY(bucket, key, seq)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS uploads(bucket TEXT NOT NULL, key TEXT NOT NULL, upload_id TEXT NOT NULL,"
        " created_ms INTEGER NOT NULL, content_type TEXT NOT NULL, headers TEXT NOT NULL, metadata TEXT NOT NULL,"
        " tags TEXT NOT NULL, algorithm TEXT NOT NULL, type TEXT NOT NULL, done TEXT NOT NULL,"
        " PRIMARY KEY(bucket, key, upload_id)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS parts(upload_id TEXT NOT NULL, number INTEGER NOT NULL, object_id TEXT NOT NULL,"
        " size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL, checksums TEXT NOT NULL,"
        " PRIMARY KEY(upload_id, number)) WITHOUT ROWID",
        e);
    return rc ? -1 : db_add_columns(db, columns, sizeof columns / sizeof *columns, e);
}

/* == checks =========================================================================================================
 */

int s3_bucket_row(struct local_tx *tx, struct arena *a, struct str name, struct s3_bucket *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT versioning FROM buckets WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    if (rc == 1) {
        struct str v = db_bytes(s, 0);
        *ret = (struct s3_bucket){arena_str(a, name), str_is(v, "Enabled"), str_is(v, "Suspended")};
    }
    db_done(s);
    if (rc) return rc == 1 ? 0 : -1;
    return err_set(e, ERR_S3_NO_BUCKET, "The specified bucket does not exist: %.*s", STR_ARG(str_take(name, 80)));
}

int s3_bucket_of(struct local_tx *tx, struct aws_call *c, struct str *ret, struct err *e) {
    struct s3_bucket row;
    if (params_str(&c->params, "Bucket", ERR_S3_ARGUMENT, ret, e)) return -1;
    if (!ret->n) return err_set(e, ERR_S3_ARGUMENT, "the parameter Bucket is missing");
    return s3_bucket_row(tx, &c->arena, *ret, &row, e);
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

struct str s3_common_prefix(struct str key, struct str prefix, struct str delimiter) {
    ptrdiff_t at = delimiter.n ? str_find(key, delimiter, prefix.n) : -1;
    return at < 0 ? STR_NONE : str_take(key, (size_t)at + delimiter.n);
}

void s3_tell_checksums(struct arena *a, struct json *row, struct str text) {
    struct json sums, names = json_make_arr();
    struct err ignored;
    if (text.n <= 2 || json_parse(a, arena_str(a, text), NULL, &sums, &ignored)) return;
    for (int i = 0; i < S3_CHECKSUMS; i++)
        if (json_get(&sums, s3_checksums[i].member)) json_push(a, &names, json_make_c(s3_checksums[i].member + 8));
    if (names.n) json_set(a, row, "ChecksumAlgorithm", names);
    if (json_get_s(&sums, "ChecksumType").n)
        json_set(a, row, "ChecksumType", json_make_str(json_get_s(&sums, "ChecksumType")));
}

struct str s3_json_text(struct arena *a, const struct json *v) {
    struct buf b = BUF_MAX(8 << 20);
    json_write(&b, v);
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

struct json s3_time(struct arena *a, int64_t unix_ms) {
    char *when = arena_alloc(a, 25);
    now_iso(unix_ms, when);
    return json_make_c(when);
}

struct str s3_owner_id(struct local_tx *tx, struct arena *a) {
    uint8_t sha[32];
    char *hex = arena_alloc(a, 64);
    crypto_sha256(tx->id.account, sha);
    crypto_hex_to(hex, sha, 32);
    return str_n(hex, 64);
}

/* == operations =====================================================================================================
 */

/* Operations of s3_makes_file never come this way: their rows are written after their files are there. */
static int without_file(struct local_tx *tx, struct aws_call *c) {
    (void)tx;
    return err_set(&c->err, ERR_INTERNAL, "%s without a file", c->row->action);
}

const struct local_row s3_rows[] = {{AWS_S3_CreateBucket, s3_create_bucket},
                                    {AWS_S3_HeadBucket, s3_head_bucket},
                                    {AWS_S3_DeleteBucket, s3_delete_bucket},
                                    {AWS_S3_ListBuckets, s3_list_buckets},
                                    {AWS_S3_GetBucketLocation, s3_location},
                                    {AWS_S3_PutBucketVersioning, s3_set_versioning},
                                    {AWS_S3_GetBucketVersioning, s3_get_versioning},
                                    {AWS_S3_PutBucketLifecycleConfiguration, s3_set_lifecycle},
                                    {AWS_S3_GetBucketLifecycleConfiguration, s3_get_lifecycle},
                                    {AWS_S3_DeleteBucketLifecycle, s3_delete_lifecycle},
                                    {AWS_S3_PutObject, without_file},
                                    {AWS_S3_CopyObject, without_file},
                                    {AWS_S3_GetObject, s3_get},
                                    {AWS_S3_HeadObject, s3_head},
                                    {AWS_S3_DeleteObject, s3_delete},
                                    {AWS_S3_DeleteObjects, s3_delete_many},
                                    {AWS_S3_ListObjects, s3_list_v1},
                                    {AWS_S3_ListObjectsV2, s3_list},
                                    {AWS_S3_ListObjectVersions, s3_list_versions},
                                    {AWS_S3_PutObjectTagging, s3_set_tags},
                                    {AWS_S3_GetObjectTagging, s3_get_tags},
                                    {AWS_S3_DeleteObjectTagging, s3_delete_tags},
                                    {AWS_S3_CreateMultipartUpload, s3_upload_create},
                                    {AWS_S3_UploadPart, without_file},
                                    {AWS_S3_UploadPartCopy, without_file},
                                    {AWS_S3_CompleteMultipartUpload, without_file},
                                    {AWS_S3_AbortMultipartUpload, s3_upload_abort},
                                    {AWS_S3_ListParts, s3_upload_parts},
                                    {AWS_S3_ListMultipartUploads, s3_uploads},
                                    {0, NULL}};
