/* Requests of S3 to parameters: header fields, the query, XML. A header field may also come in the query (links). */
#include "base/crypto.h"
#include "local/face/s3.h"
#include <string.h>

uint64_t s3_bit(enum aws_op op) {
    return UINT64_C(1) << (op - AWS_S3_CreateBucket);
}

/* == fields =========================================================================================================
 */

#define BIT(op) (UINT64_C(1) << (AWS_S3_##op - AWS_S3_CreateBucket))
#define PUT BIT(PutObject)
#define COPY BIT(CopyObject)
#define GET BIT(GetObject)
#define PART BIT(UploadPart)
#define PART_COPY BIT(UploadPartCopy)
#define MAKE BIT(CreateMultipartUpload)
#define COMPLETE BIT(CompleteMultipartUpload)
#define CONTENT (PUT | COPY | MAKE)
#define TAGS (BIT(PutObjectTagging) | BIT(GetObjectTagging) | BIT(DeleteObjectTagging))
#define V2 BIT(ListObjectsV2)
#define V1 BIT(ListObjects)
#define VERSIONS BIT(ListObjectVersions)
#define UPLOADS BIT(ListMultipartUploads)
#define PARTS BIT(ListParts)
#define BUCKETS BIT(ListBuckets)
#define SUMS (PUT | PART | COMPLETE)

const struct s3_field s3_fields[] = {
    {"ContentType", "content-type", false, false, CONTENT},
    {"CacheControl", "cache-control", false, false, CONTENT},
    {"ContentDisposition", "content-disposition", false, false, CONTENT},
    {"ContentEncoding", "content-encoding", false, false, CONTENT},
    {"ContentLanguage", "content-language", false, false, CONTENT},
    {"Expires", "expires", false, false, CONTENT},
    {"Tagging", "x-amz-tagging", false, false, CONTENT},
    {"ContentMD5", "content-md5", false, false, PUT | PART},
    {"ChecksumAlgorithm", "x-amz-sdk-checksum-algorithm", false, false, PUT | PART},
    {"ChecksumAlgorithm", "x-amz-checksum-algorithm", false, false, COPY | MAKE},
    {"ChecksumType", "x-amz-checksum-type", false, false, MAKE | COMPLETE},
    {"ChecksumCRC32", "x-amz-checksum-crc32", false, false, SUMS},
    {"ChecksumCRC32C", "x-amz-checksum-crc32c", false, false, SUMS},
    {"ChecksumCRC64NVME", "x-amz-checksum-crc64nvme", false, false, SUMS},
    {"ChecksumSHA1", "x-amz-checksum-sha1", false, false, SUMS},
    {"ChecksumSHA256", "x-amz-checksum-sha256", false, false, SUMS},
    {"MpuObjectSize", "x-amz-mp-object-size", false, false, COMPLETE},
    {"IfMatch", "if-match", false, false, PUT | COPY | COMPLETE | GET | BIT(DeleteObject)},
    {"IfNoneMatch", "if-none-match", false, false, PUT | COPY | COMPLETE | GET},
    {"IfModifiedSince", "if-modified-since", false, false, GET},
    {"IfUnmodifiedSince", "if-unmodified-since", false, false, GET},
    {"Range", "range", false, false, GET},
    {"ChecksumMode", "x-amz-checksum-mode", false, false, GET},
    {"CopySource", "x-amz-copy-source", false, false, COPY | PART_COPY},
    {"CopySourceRange", "x-amz-copy-source-range", false, false, PART_COPY},
    {"CopySourceIfMatch", "x-amz-copy-source-if-match", false, false, COPY | PART_COPY},
    {"CopySourceIfNoneMatch", "x-amz-copy-source-if-none-match", false, false, COPY | PART_COPY},
    {"CopySourceIfModifiedSince", "x-amz-copy-source-if-modified-since", false, false, COPY | PART_COPY},
    {"CopySourceIfUnmodifiedSince", "x-amz-copy-source-if-unmodified-since", false, false, COPY | PART_COPY},
    {"MetadataDirective", "x-amz-metadata-directive", false, false, COPY},
    {"TaggingDirective", "x-amz-tagging-directive", false, false, COPY},
    {"VersionId", "versionId", true, false, GET | BIT(DeleteObject) | TAGS},
    {"PartNumber", "partNumber", true, false, GET | PART | PART_COPY},
    {"UploadId", "uploadId", true, false, PART | PART_COPY | COMPLETE | PARTS | BIT(AbortMultipartUpload)},
    {"Prefix", "prefix", true, false, V1 | V2 | VERSIONS | UPLOADS | BUCKETS},
    {"Delimiter", "delimiter", true, false, V1 | V2 | VERSIONS | UPLOADS},
    {"EncodingType", "encoding-type", true, false, V1 | V2 | VERSIONS | UPLOADS},
    {"MaxKeys", "max-keys", true, false, V1 | V2 | VERSIONS},
    {"Marker", "marker", true, false, V1},
    {"ContinuationToken", "continuation-token", true, false, V2 | BUCKETS},
    {"StartAfter", "start-after", true, false, V2},
    {"FetchOwner", "fetch-owner", true, true, V2},
    {"KeyMarker", "key-marker", true, false, VERSIONS | UPLOADS},
    {"VersionIdMarker", "version-id-marker", true, false, VERSIONS},
    {"UploadIdMarker", "upload-id-marker", true, false, UPLOADS},
    {"MaxUploads", "max-uploads", true, false, UPLOADS},
    {"MaxParts", "max-parts", true, false, PARTS},
    {"PartNumberMarker", "part-number-marker", true, false, PARTS},
    {"MaxBuckets", "max-buckets", true, false, BUCKETS},
    {"BucketRegion", "bucket-region", true, false, BUCKETS},
    {NULL, NULL, false, false, 0}};

/* Of a link by Signature Version 2. */
static bool is_v2_auth(const struct rest *f, struct str name) {
    if (!face_param(f->f, "AWSAccessKeyId").p) return false;
    return str_is(name, "AWSAccessKeyId") || str_is(name, "Signature") || str_is(name, "Expires");
}

static struct str field_value(struct rest *f, const struct s3_field *row) {
    if (row->in_query) return face_param(f->f, row->wire);
    if (!strcmp(row->wire, "content-encoding")) return f->f->content_encoding;
    struct str v = face_header(f->f, row->wire);
    for (size_t i = 0; !v.p && i < f->f->n_query; i++)
        if (str_ieq(f->f->query[i].name, str_c(row->wire)) && !is_v2_auth(f, f->f->query[i].name))
            v = f->f->query[i].value;
    return v;
}

static int add_fields(struct rest *f, struct aws_call *c, struct err *e) {
    for (const struct s3_field *row = s3_fields; row->member; row++) {
        if (!(row->ops & s3_bit(c->op))) continue;
        struct str v = field_value(f, row);
        struct json value = json_make_str(v);
        bool empty = row->in_query && !v.n && strcmp(row->member, "ContinuationToken") != 0;
        if (!v.p || empty) continue;
        if (str_bad_utf8(v) >= 0) return err_set(e, ERR_S3_ARGUMENT, "The value of %s is not UTF-8.", row->wire);
        if (row->is_bool) value = json_make_bool(str_ieq(v, STR("true")));
        json_set(&c->arena, &c->params, row->member, value);
    }
    return 0;
}

static const struct s3_field *find_field(const struct rest *f, struct str name, bool in_query) {
    for (const struct s3_field *row = s3_fields; row->member; row++)
        if (row->in_query == in_query && row->ops & s3_bit(f->route->op) &&
            (in_query ? str_is(name, row->wire) : str_ieq(name, str_c(row->wire))))
            return row;
    return NULL;
}

/* == header fields ==================================================================================================
 */

/* They say nothing of the outcome, or are read elsewhere. Checksums: see check_body. */
static bool is_harmless(struct str name) {
    static const char *const names[] = {"x-amz-date",
                                        "x-amz-content-sha256",
                                        "x-amz-security-token",
                                        "x-amz-user-agent",
                                        "x-amz-trailer",
                                        "x-amz-decoded-content-length",
                                        "x-amz-te",
                                        "x-amz-request-payer",
                                        "x-amz-algorithm",
                                        "x-amz-credential",
                                        "x-amz-expires",
                                        "x-amz-signedheaders",
                                        "x-amz-signature",
                                        "x-amz-invocation-id",
                                        "x-amz-sdk-checksum-algorithm",
                                        "x-amz-checksum-crc32",
                                        "x-amz-checksum-crc32c",
                                        "x-amz-checksum-crc64nvme",
                                        "x-amz-checksum-sha1",
                                        "x-amz-checksum-sha256",
                                        "x-amz-checksum-mode",
                                        "x-amz-request-id",
                                        "x-amz-id-2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(name, str_c(names[i]))) return true;
    return false;
}

/* Asking for what is so anyway. */
static bool is_granted(struct str name, struct str value) {
    static const char *const rows[][2] = {{"x-amz-acl", "private"},
                                          {"x-amz-acl", "bucket-owner-full-control"},
                                          {"x-amz-storage-class", "STANDARD"},
                                          {"x-amz-object-ownership", "BucketOwnerEnforced"},
                                          {"x-amz-bucket-object-lock-enabled", "false"},
                                          {"x-amz-bypass-governance-retention", "false"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_ieq(name, str_c(rows[i][0])) && str_ieq(value, str_c(rows[i][1]))) return true;
    return false;
}

static int check_header(struct rest *f, struct json *metadata, struct aws_call *c, struct str name, struct str value,
                        struct err *e) {
    if (!str_ieq(str_take(name, 6), STR("x-amz-"))) return 0;
    if (find_field(f, name, false) || is_harmless(name) || is_granted(name, value)) return 0;
    if (str_ieq(str_take(name, 11), STR("x-amz-meta-")) && s3_bit(c->op) & CONTENT) {
        json_set_str(&c->arena, metadata, str_from(name, 11), json_make_str(value.p ? str_trim(value) : STR("")));
        return 0;
    }
    if (str_ieq(name, STR("x-amz-expected-bucket-owner")) || str_ieq(name, STR("x-amz-source-expected-bucket-owner")))
        return str_eq(str_trim(value), f->f->conn->backend.id.account) ? 0 : err_set(e, ERR_S3_DENIED, "Access Denied");
    return rest_unsupported(f, arena_printf(f->r->arena, "the header %.*s", STR_ARG(str_take(name, 80))), e);
}

static int check_headers(struct rest *f, struct aws_call *c, struct err *e) {
    struct json metadata = json_make_obj();
    for (size_t i = 0; i < f->r->n_headers; i++)
        if (check_header(f, &metadata, c, f->r->headers[i].name, f->r->headers[i].value, e)) return -1;
    for (size_t i = 0; i < f->f->n_query; i++)
        if (check_header(f, &metadata, c, f->f->query[i].name, f->f->query[i].value, e)) return -1;
    if (metadata.n) json_set(&c->arena, &c->params, "Metadata", metadata);
    return 0;
}

/* == the query ======================================================================================================
 */

static int unknown_param(struct rest *f, struct str name, struct err *e) {
    return rest_unsupported(f, arena_printf(f->r->arena, "the query parameter \"%.*s\"", STR_ARG(str_take(name, 80))),
                            e);
}

/* What a header field cannot hold must not be left out silently. */
static int check_override(struct rest *f, const struct url_param *q, struct err *e) {
    bool known = false;
    for (size_t i = 0; s3_overrides[i]; i++) known |= str_is(str_from(q->name, 9), s3_overrides[i]);
    if (!known) return unknown_param(f, q->name, e);
    for (size_t i = 0; i < q->value.n; i++)
        if ((unsigned char)q->value.p[i] < 0x20 && q->value.p[i] != '\t')
            return err_set(e, ERR_S3_ARGUMENT, "The value of %.*s is not valid.", STR_ARG(q->name));
    return 0;
}

static int check_list_type(struct rest *f, struct err *e) {
    if (f->route->op != AWS_S3_ListObjectsV2 || str_is(face_param(f->f, "list-type"), "2")) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "Invalid List Type specified in Request");
}

/* Parameters that are no part of the signature and none of the operation's mean something that would be overlooked. */
static int check_query(struct rest *f, struct err *e) {
    for (size_t i = 0; i < f->f->n_query; i++) {
        struct str name = f->f->query[i].name;
        if (str_ieq(str_take(name, 6), STR("x-amz-")) || str_is(name, "x-id") || is_v2_auth(f, name)) continue;
        if (f->route->sub && str_is(name, f->route->sub)) continue;
        if (find_field(f, name, true) || find_field(f, name, false)) continue;
        bool override = f->route->op == AWS_S3_GetObject && str_starts(name, STR("response-"));
        if (override ? check_override(f, &f->f->query[i], e) : unknown_param(f, name, e)) return -1;
    }
    return 0;
}

/* == bodies =========================================================================================================
 */

static int check_md5(struct rest *f, const uint8_t md5[16], struct err *e) {
    struct str want = face_header(f->f, "content-md5");
    struct buf raw = BUF_MAX(64);
    if (!want.p) return 0;
    bool valid = crypto_unbase64(&raw, want) && raw.n == 16, same = valid && !memcmp(raw.p, md5, 16);
    buf_free(&raw);
    if (!valid) return err_set(e, ERR_S3_INVALID_DIGEST, "The Content-MD5 you specified is not valid.");
    if (same) return 0;
    return err_set(e, ERR_S3_BAD_DIGEST, "The Content-MD5 you specified did not match what we received.");
}

/* Of documents: what objects' bytes are held against is the engine's own. */
static int check_body(struct rest *f, struct err *e) {
    bool wanted[S3_CHECKSUMS], any = face_header(f->f, "content-md5").p;
    struct str sums[S3_CHECKSUMS];
    struct s3_sums s;
    uint8_t md5[16];
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        wanted[i] = face_header(f->f, s3_checksums[i].header).p;
        any |= wanted[i];
    }
    if (!any && f->route->op == AWS_S3_DeleteObjects)
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "Missing required header for this request: Content-MD5 OR "
                       "x-amz-checksum-*");
    s3_sums_begin(&s, wanted);
    s3_sums_add(&s, f->f->body);
    s3_sums_end(&s, f->r->arena, md5, sums);
    for (int i = 0; i < S3_CHECKSUMS; i++)
        if (wanted[i] && !str_eq(str_trim(face_header(f->f, s3_checksums[i].header)), sums[i]))
            return err_set(e, ERR_S3_BAD_DIGEST, "The %s you specified did not match what we received.",
                           s3_checksums[i].member);
    return check_md5(f, md5, e);
}

static int malformed(struct err *e) {
    return err_set(e, ERR_S3_XML,
                   "The XML you provided was not well-formed or did not validate against our published schema");
}

/* The checksums of CompleteMultipartUpload are those of the object. */
static int read_document(struct rest *f, struct aws_call *c, struct err *e) {
    struct xml *root = NULL;
    struct json document;
    struct err why;
    if (c->op != AWS_S3_CompleteMultipartUpload && check_body(f, e)) return -1;
    if (!str_trim(f->f->body).n && c->op == AWS_S3_CreateBucket) return 0;
    if (xml_parse(&c->arena, f->f->body, &root, &why) || !str_is(root->name, aws_s3_root(f->route->body)))
        return malformed(e);
    if (aws_s3_read_request(&c->arena, f->route->body, root, &document, e)) return -1;
    json_set(&c->arena, &c->params, f->route->into, document);
    return 0;
}

int rest_request(struct rest *f, struct aws_call *c, struct err *e) {
    if (f->bucket.n) json_set(&c->arena, &c->params, "Bucket", json_make_str(f->bucket));
    if (f->key.n) json_set(&c->arena, &c->params, "Key", json_make_str(f->key));
    if (check_list_type(f, e) || check_query(f, e) || check_headers(f, c, e) || add_fields(f, c, e)) return -1;
    c->body = f->f->body;
    return f->route->body ? read_document(f, c, e) : 0;
}
