/* Uploads in parts: making, dropping and listing them. */
#include "base/crypto.h"
#include "base/url.h"
#include "local/s3/make.h"

/* == rows ===========================================================================================================
 */

#define UPLOAD "upload_id,key,created_ms,content_type,headers,metadata,tags,algorithm,type,done"

static void read_upload(struct db_stmt *s, struct arena *a, struct s3_upload *u) {
    *u = (struct s3_upload){.id = arena_str(a, db_bytes(s, 0)), .key = arena_str(a, db_bytes(s, 1))};
    u->created_ms = db_i64(s, 2);
    struct str *texts[] = {&u->content_type, &u->headers, &u->metadata, &u->tags, &u->algorithm, &u->type, &u->done};
    for (int i = 0; i < 7; i++) *texts[i] = arena_str(a, db_bytes(s, 3 + i));
}

int s3_upload_of(struct local_tx *tx, struct aws_call *c, bool completed, struct s3_upload *ret, struct err *e) {
    struct str bucket, key, id;
    struct db_stmt *s = NULL;
    if (s3_bucket_of(tx, c, &bucket, e) || s3_key_of(c, &key, e)) return -1;
    if (params_str(&c->params, "UploadId", ERR_S3_ARGUMENT, &id, e)) return -1;
    if (!id.n) return err_set(e, ERR_S3_ARGUMENT, "the parameter UploadId is missing");
    if (db_stmt(tx->db, "SELECT " UPLOAD " FROM uploads WHERE bucket=?1 AND key=?2 AND upload_id=?3", &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    db_bind_text(s, 3, id);
    int rc = db_step(s, e);
    if (rc == 1) read_upload(s, &c->arena, ret);
    db_done(s);
    if (rc < 0) return -1;
    if (rc && (completed || !ret->done.n)) return 0;
    return err_set(e, ERR_S3_NO_UPLOAD,
                   "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
                   "aborted or completed.");
}

static int read_part(struct db_stmt *s, struct arena *a, struct s3_part *p, struct err *e) {
    *p = (struct s3_part){.number = db_i64(s, 0), .size = db_i64(s, 2), .modified_ms = db_i64(s, 4)};
    p->id = arena_str(a, db_bytes(s, 1));
    p->etag = arena_str(a, db_bytes(s, 3));
    return json_parse(a, arena_str(a, db_bytes(s, 5)), NULL, &p->checksums, e) ? err_wrap(e, "a part's row") : 0;
}

int s3_part_find(struct local_tx *tx, struct arena *a, struct str upload, int64_t number, struct s3_part *ret,
                 struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "SELECT number,object_id,size,etag,modified_ms,checksums FROM parts WHERE upload_id=?1 AND number=?2",
                &s, e))
        return -1;
    db_bind_text(s, 1, upload);
    db_bind_i64(s, 2, number);
    int rc = db_step(s, e);
    if (rc == 1 && read_part(s, a, ret, e)) rc = -1;
    db_done(s);
    return rc;
}

int s3_parts_forget(struct local_tx *tx, struct arena *a, struct str bucket, struct str upload, struct s3_bin *bin,
                    struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(tx->db, "SELECT object_id FROM parts WHERE upload_id=?1", &s, e)) return -1;
    db_bind_text(s, 1, upload);
    while ((rc = db_step(s, e)) == 1) s3_bin_add(bin, tx->local, bucket, arena_str(a, db_bytes(s, 0)));
    db_done(s);
    if (rc < 0 || db_stmt(tx->db, "DELETE FROM parts WHERE upload_id=?1", &s, e)) return -1;
    db_bind_text(s, 1, upload);
    return db_run(s, e) ? -1 : 0;
}

int s3_upload_forget(struct local_tx *tx, struct arena *a, struct str bucket, struct str upload, struct s3_bin *bin,
                     struct err *e) {
    struct db_stmt *s = NULL;
    if (s3_parts_forget(tx, a, bucket, upload, bin, e)) return -1;
    if (db_stmt(tx->db, "DELETE FROM uploads WHERE bucket=?1 AND upload_id=?2", &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, upload);
    return db_run(s, e) ? -1 : 0;
}

/* == creating and aborting ==========================================================================================
 */

/* Object integrity: CRC64NVME is over the whole, SHA sums over the parts' sums, the other CRCs either. */
static int read_type(const struct json *params, int algorithm, struct str *ret, struct err *e) {
    if (params_str(params, "ChecksumType", ERR_S3_ARGUMENT, ret, e)) return -1;
    bool whole = str_is(*ret, "FULL_OBJECT"), sums = str_is(*ret, "COMPOSITE");
    if (ret->n && !whole && !sums)
        return err_set(e, ERR_S3_BAD_REQUEST, "Value for x-amz-checksum-type header is invalid.");
    if (ret->n && algorithm < 0)
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
    if ((whole && (algorithm == S3_SHA1 || algorithm == S3_SHA256)) || (sums && algorithm == S3_CRC64NVME))
        return err_set(e, ERR_S3_BAD_REQUEST, "The %.*s checksum type cannot be used with the %s checksum algorithm.",
                       STR_ARG(*ret), s3_checksums[algorithm].member + 8);
    if (!ret->n && algorithm >= 0) *ret = algorithm == S3_CRC64NVME ? STR("FULL_OBJECT") : STR("COMPOSITE");
    return 0;
}

static int insert(struct local_tx *tx, struct str bucket, struct s3_make *m, const struct s3_upload *u, struct err *e) {
    struct arena *a = &m->call->arena;
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "INSERT INTO uploads(bucket," UPLOAD ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,'')", &s, e))
        return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, u->id);
    db_bind_text(s, 3, u->key);
    db_bind_i64(s, 4, tx->now_ms);
    db_bind_text(s, 5, m->o.content_type);
    db_bind_text(s, 6, s3_json_text(a, &m->o.headers));
    db_bind_text(s, 7, s3_json_text(a, &m->o.metadata));
    db_bind_text(s, 8, u->tags);
    db_bind_text(s, 9, u->algorithm);
    db_bind_text(s, 10, u->type.p ? u->type : STR(""));
    return db_run(s, e) ? -1 : 0;
}

int s3_upload_create(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct s3_make m = {.call = c}; /* only what it reads of the description is wanted */
    struct s3_upload u = {.algorithm = STR("")};
    struct str bucket, tagging, name;
    struct err *e = &c->err;
    int algorithm;
    if (params_only(&c->params,
                    "Bucket Key ContentType CacheControl ContentDisposition ContentEncoding ContentLanguage Expires "
                    "Metadata Tagging ChecksumAlgorithm ChecksumType",
                    c->row->action, ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_bucket_of(tx, c, &bucket, e) || s3_key_of(c, &u.key, e) || s3_make_metadata(&m, e)) return -1;
    if (params_str(&c->params, "Tagging", ERR_S3_ARGUMENT, &tagging, e) || s3_tags_of_header(a, tagging, &u.tags, e) ||
        params_str(&c->params, "ChecksumAlgorithm", ERR_S3_ARGUMENT, &name, e) ||
        s3_make_algorithm(name, &algorithm, e) || read_type(&c->params, algorithm, &u.type, e))
        return -1;
    char *id = arena_alloc(a, 37);
    crypto_uuid7(tx->now_ms, id); /* uploads of one key are listed in the order of their beginning */
    u.id = str_n(id, 36);
    if (algorithm >= 0) u.algorithm = str_c(s3_checksums[algorithm].member + 8);
    if (insert(tx, bucket, &m, &u, e)) return -1;
    json_set(a, &c->result, "Bucket", json_make_str(bucket));
    json_set(a, &c->result, "Key", json_make_str(u.key));
    json_set(a, &c->result, "UploadId", json_make_str(u.id));
    if (algorithm >= 0) json_set(a, &c->result, "ChecksumAlgorithm", json_make_str(u.algorithm));
    if (u.type.n) json_set(a, &c->result, "ChecksumType", json_make_str(u.type));
    return 0;
}

int s3_upload_abort(struct local_tx *tx, struct aws_call *c) {
    struct s3_upload u;
    if (params_only(&c->params, "Bucket Key UploadId", c->row->action, ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_upload_of(tx, c, false, &u, &c->err)) return -1;
    return s3_upload_forget(tx, &c->arena, json_get_s(&c->params, "Bucket"), u.id, s3_bin_of(tx, &c->arena), &c->err);
}

/* == listing parts ==================================================================================================
 */

static struct json owner_of(struct local_tx *tx, struct arena *a) {
    struct json owner = json_make_obj();
    json_set(a, &owner, "ID", json_make_str(s3_owner_id(tx, a)));
    json_set(a, &owner, "DisplayName", json_make_str(tx->id.account));
    return owner;
}

static void add_part(struct arena *a, struct json *parts, const struct s3_part *p) {
    struct json row = json_make_obj();
    json_set(a, &row, "PartNumber", json_make_i64(a, p->number));
    json_set(a, &row, "LastModified", s3_time(a, p->modified_ms));
    json_set(a, &row, "ETag", json_make_str(p->etag));
    json_set(a, &row, "Size", json_make_i64(a, p->size));
    for (uint32_t i = 0; i < p->checksums.n; i++)
        json_set_str(a, &row, p->checksums.members[i].key, p->checksums.members[i].value);
    json_push(a, parts, row);
}

struct part_page {
    int64_t marker, max, last;
    bool more;
    struct json parts;
};

static int walk_parts(struct local_tx *tx, struct aws_call *c, struct str upload, struct part_page *p, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    p->parts = json_make_arr();
    if (db_stmt(tx->db,
                "SELECT number,object_id,size,etag,modified_ms,checksums FROM parts WHERE upload_id=?1 AND number>?2"
                " ORDER BY number",
                &s, e))
        return -1;
    db_bind_text(s, 1, upload);
    db_bind_i64(s, 2, p->marker);
    while ((rc = db_step(s, e)) == 1) {
        struct s3_part part;
        bool full = p->parts.n >= p->max;
        p->more = full && p->max;
        rc = full ? 0 : read_part(s, &c->arena, &part, e);
        if (full || rc) break;
        add_part(&c->arena, &p->parts, &part);
        p->last = part.number;
    }
    db_done(s);
    return rc;
}

int s3_upload_parts(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json *r = &c->result;
    struct s3_upload u;
    struct part_page p = {0};
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket Key UploadId MaxParts PartNumberMarker", "ListParts", ERR_S3_ARGUMENT, e) ||
        params_int(&c->params, "MaxParts", 0, INT32_MAX, 1000, ERR_S3_ARGUMENT, &p.max, e) ||
        params_int(&c->params, "PartNumberMarker", 0, INT32_MAX, 0, ERR_S3_ARGUMENT, &p.marker, e))
        return -1;
    if (p.max > 1000) p.max = 1000;
    if (s3_upload_of(tx, c, false, &u, e) || walk_parts(tx, c, u.id, &p, e)) return -1;
    json_set(a, r, "Bucket", json_make_str(json_get_s(&c->params, "Bucket")));
    json_set(a, r, "Key", json_make_str(u.key));
    json_set(a, r, "UploadId", json_make_str(u.id));
    json_set(a, r, "PartNumberMarker", json_make_i64(a, p.marker));
    if (p.more) json_set(a, r, "NextPartNumberMarker", json_make_i64(a, p.last));
    json_set(a, r, "MaxParts", json_make_i64(a, p.max));
    json_set(a, r, "IsTruncated", json_make_bool(p.more));
    if (p.parts.n) json_set(a, r, "Parts", p.parts);
    json_set(a, r, "Initiator", owner_of(tx, a));
    json_set(a, r, "Owner", owner_of(tx, a));
    json_set(a, r, "StorageClass", json_make_c("STANDARD"));
    if (u.algorithm.n) json_set(a, r, "ChecksumAlgorithm", json_make_str(u.algorithm));
    if (u.type.n) json_set(a, r, "ChecksumType", json_make_str(u.type));
    return 0;
}

/* == listing uploads ================================================================================================
 */

struct upload_page {
    struct str bucket, prefix, delimiter, key, id; /* after that upload of that key */
    struct str encoding, last_key, last_id;
    int64_t max;
    bool more;
    struct json uploads, prefixes;
};

static struct str shown(struct arena *a, const struct upload_page *p, struct str s) {
    if (!p->encoding.n) return s;
    struct buf b = BUF_MAX(4 * S3_KEY_MAX);
    url_encode(&b, s, true);
    struct str out = arena_str(a, buf_view(&b));
    buf_free(&b);
    return out;
}

static void add_upload(struct local_tx *tx, struct arena *a, struct upload_page *p, const struct s3_upload *u) {
    struct json row = json_make_obj();
    json_set(a, &row, "UploadId", json_make_str(u->id));
    json_set(a, &row, "Key", json_make_str(shown(a, p, u->key)));
    json_set(a, &row, "Initiated", s3_time(a, u->created_ms));
    json_set(a, &row, "StorageClass", json_make_c("STANDARD"));
    json_set(a, &row, "Owner", owner_of(tx, a));
    json_set(a, &row, "Initiator", owner_of(tx, a));
    if (u->algorithm.n) json_set(a, &row, "ChecksumAlgorithm", json_make_str(u->algorithm));
    if (u->type.n) json_set(a, &row, "ChecksumType", json_make_str(u->type));
    json_push(a, &p->uploads, row);
}

/* The common prefix that u goes into, or empty. */
static void add_row(struct local_tx *tx, struct arena *a, struct upload_page *p, const struct s3_upload *u) {
    struct str common = s3_common_prefix(u->key, p->prefix, p->delimiter), known = STR_NONE;
    struct json row = json_make_obj();
    if (p->prefixes.n) known = json_get_s(&p->prefixes.items[p->prefixes.n - 1], "Prefix");
    bool same = common.n && (str_eq(shown(a, p, common), known) || str_starts(p->key, common));
    p->more = !same && p->uploads.n + p->prefixes.n >= p->max;
    if (p->more) return;
    p->last_key = common.n ? common : u->key;
    p->last_id = common.n ? STR("") : u->id;
    if (!common.n) add_upload(tx, a, p, u);
    if (!common.n || same) return;
    json_set(a, &row, "Prefix", json_make_str(shown(a, p, common)));
    json_push(a, &p->prefixes, row);
}

static int walk_uploads(struct local_tx *tx, struct arena *a, struct upload_page *p, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(tx->db,
                "SELECT " UPLOAD " FROM uploads WHERE bucket=?1 AND done='' AND (key>?2 OR (key=?2 AND ?3<>'' AND "
                "upload_id>?3)) AND key>=?4 ORDER BY key,upload_id",
                &s, e))
        return -1;
    db_bind_text(s, 1, p->bucket);
    db_bind_text(s, 2, p->key.p ? p->key : STR(""));
    db_bind_text(s, 3, p->id.p ? p->id : STR(""));
    db_bind_text(s, 4, p->prefix.p ? p->prefix : STR(""));
    while ((rc = db_step(s, e)) == 1) {
        struct s3_upload u;
        if (!str_starts(db_bytes(s, 1), p->prefix)) break;
        read_upload(s, a, &u);
        add_row(tx, a, p, &u);
        if (p->more) break;
    }
    db_done(s);
    return rc < 0 ? -1 : 0;
}

static int read_uploads(struct local_tx *tx, struct aws_call *c, struct upload_page *p, struct err *e) {
    const struct json *params = &c->params;
    const struct {
        const char *name;
        struct str *to;
    } texts[] = {{"Prefix", &p->prefix},
                 {"Delimiter", &p->delimiter},
                 {"KeyMarker", &p->key},
                 {"UploadIdMarker", &p->id},
                 {"EncodingType", &p->encoding}};
    if (params_only(params, "Bucket Prefix Delimiter KeyMarker UploadIdMarker EncodingType MaxUploads", c->row->action,
                    ERR_S3_ARGUMENT, e) ||
        s3_bucket_of(tx, c, &p->bucket, e))
        return -1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (params_str(params, texts[i].name, ERR_S3_ARGUMENT, texts[i].to, e)) return -1;
    if (p->encoding.n && !str_is(p->encoding, "url"))
        return err_set(e, ERR_S3_ARGUMENT, "Invalid Encoding Method specified in Request");
    if (params_int(params, "MaxUploads", 0, INT32_MAX, 1000, ERR_S3_ARGUMENT, &p->max, e)) return -1;
    if (p->max > 1000) p->max = 1000;
    return 0;
}

int s3_uploads(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json *r = &c->result;
    struct upload_page p = {.uploads = json_make_arr(), .prefixes = json_make_arr()};
    if (read_uploads(tx, c, &p, &c->err) || (p.max && walk_uploads(tx, a, &p, &c->err))) return -1;
    json_set(a, r, "Bucket", json_make_str(p.bucket));
    json_set(a, r, "KeyMarker", json_make_str(shown(a, &p, p.key.p ? p.key : STR(""))));
    json_set(a, r, "UploadIdMarker", json_make_str(p.id.p ? p.id : STR("")));
    if (p.more) json_set(a, r, "NextKeyMarker", json_make_str(shown(a, &p, p.last_key)));
    if (p.more) json_set(a, r, "NextUploadIdMarker", json_make_str(p.last_id));
    json_set(a, r, "Prefix", json_make_str(shown(a, &p, p.prefix.p ? p.prefix : STR(""))));
    if (p.delimiter.n) json_set(a, r, "Delimiter", json_make_str(shown(a, &p, p.delimiter)));
    if (p.encoding.n) json_set(a, r, "EncodingType", json_make_str(p.encoding));
    json_set(a, r, "MaxUploads", json_make_i64(a, p.max));
    json_set(a, r, "IsTruncated", json_make_bool(p.more));
    if (p.uploads.n) json_set(a, r, "Uploads", p.uploads);
    if (p.prefixes.n) json_set(a, r, "CommonPrefixes", p.prefixes);
    return 0;
}
