/* PutObject and CopyObject. */
#include "local/s3/make.h"

#define CONTENT                                                                                                        \
    "ContentType CacheControl ContentDisposition ContentEncoding ContentLanguage Expires Metadata Tagging "            \
    "ChecksumAlgorithm IfMatch IfNoneMatch "
#define SUMS "ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumSHA1 ChecksumSHA256"

static int store(struct s3_make *m, struct local_tx *tx, struct s3_bucket *ret_bucket, struct err *e) {
    struct arena *a = &m->call->arena;
    struct s3_object old;
    if (s3_bucket_row(tx, a, m->bucket, ret_bucket, e)) return -1;
    int found = s3_find(tx, a, m->bucket, m->key, &old, e);
    if (found < 0 || s3_make_conditions(m, found, &old, e)) return -1;
    return s3_store(tx, ret_bucket, m->key, &m->o, found ? &old : NULL, s3_bin_of(tx, a), e);
}

static int read_tagging(struct s3_make *m, struct err *e) {
    struct str header;
    if (params_str(&m->call->params, "Tagging", ERR_S3_ARGUMENT, &header, e)) return -1;
    return s3_tags_of_header(&m->call->arena, header, &m->o.tags, e);
}

/* "If there is no checksum, Amazon S3 adds CRC64NVME." (User Guide, "Checking object integrity") */
static void want_default(struct s3_make *m) {
    bool any = false;
    for (int i = 0; i < S3_CHECKSUMS; i++) any |= m->wanted[i];
    if (!any) m->wanted[S3_CRC64NVME] = true;
}

static int check_put(struct s3_make *m, struct local_tx *tx, struct err *e) {
    (void)tx;
    if (params_only(&m->call->params, "Bucket Key ContentMD5 ContentLength " CONTENT SUMS, "PutObject", ERR_S3_ARGUMENT,
                    e))
        return -1;
    if (s3_make_metadata(m, e) || s3_make_claims(m, e) || s3_make_writes(m, e) || read_tagging(m, e)) return -1;
    want_default(m);
    return s3_make_body(m, e);
}

static int put_row(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct s3_bucket b;
    if (store(m, tx, &b, e)) return -1;
    s3_make_sums(m, &m->call->result);
    s3_make_version(m, &b);
    return 0;
}

const struct s3_make_kind s3_make_put = {AWS_S3_PutObject, check_put, put_row, NULL};

/* == CopyObject =====================================================================================================
 */

/* "COPY" (also when it is missing) or "REPLACE". */
static int read_directive(struct s3_make *m, const char *name, bool *ret_replace, struct err *e) {
    struct str v;
    if (params_str(&m->call->params, name, ERR_S3_ARGUMENT, &v, e)) return -1;
    *ret_replace = str_is(v, "REPLACE");
    if (!v.n || *ret_replace || str_is(v, "COPY")) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "Unknown %s: %.*s", name, STR_ARG(str_take(v, 40)));
}

static int copy_description(struct s3_make *m, const struct s3_object *from, struct err *e) {
    bool metadata, tags;
    if (read_directive(m, "MetadataDirective", &metadata, e) || read_directive(m, "TaggingDirective", &tags, e))
        return -1;
    if (s3_make_metadata(m, e) || read_tagging(m, e)) return -1;
    if (!tags) m->o.tags = from->tags;
    if (metadata) return 0;
    m->o.content_type = from->content_type;
    m->o.headers = from->headers;
    m->o.metadata = from->metadata;
    return 0;
}

static int check_itself(struct s3_make *m, struct str name, struct err *e) {
    struct str own = arena_printf(&m->call->arena, "%.*s/%.*s", STR_ARG(m->bucket), STR_ARG(m->key));
    bool changed = str_is(json_get_s(&m->call->params, "MetadataDirective"), "REPLACE");
    if (!str_eq(name, own) || changed || m->version_named) return 0;
    return err_set(e, ERR_S3_BAD_REQUEST,
                   "This copy request is illegal because it is trying to copy an object to itself without changing the "
                   "object's metadata, storage class, website redirect location or encryption attributes.");
}

/* The checksum that is asked for, else those that the source has, over the whole. */
static void want_sums(struct s3_make *m, const struct s3_object *from) {
    bool asked = json_get_s(&m->call->params, "ChecksumAlgorithm").n;
    for (int i = 0; !asked && i < S3_CHECKSUMS; i++) m->wanted[i] = json_get(&from->checksums, s3_checksums[i].member);
    want_default(m);
}

static int check_copy(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct s3_object from;
    struct str name;
    (void)tx;
    if (params_only(&m->call->params,
                    "Bucket Key CopySource MetadataDirective TaggingDirective CopySourceIfMatch CopySourceIfNoneMatch "
                    "CopySourceIfModifiedSince CopySourceIfUnmodifiedSince " CONTENT,
                    "CopyObject", ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_make_claims(m, e) || s3_make_writes(m, e) || s3_make_source(m, &from, &name, e)) return -1;
    if (copy_description(m, &from, e) || check_itself(m, name, e)) return -1;
    want_sums(m, &from);
    if ((uint64_t)from.size <= S3_PUT_MAX) return 0;
    return err_set(e, ERR_S3_BAD_REQUEST,
                   "The specified copy source is larger than the maximum allowable size for a copy source: %llu",
                   (unsigned long long)S3_PUT_MAX);
}

static int copy_row(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct arena *a = &m->call->arena;
    struct json result = json_make_obj();
    struct s3_bucket b;
    if (store(m, tx, &b, e)) return -1;
    s3_make_sums(m, &result);
    json_set(a, &result, "LastModified", s3_time(a, tx->now_ms));
    json_set(a, &m->call->result, "CopyObjectResult", result);
    if (m->source_version.n) json_set(a, &m->call->result, "CopySourceVersionId", json_make_str(m->source_version));
    s3_make_version(m, &b);
    return 0;
}

const struct s3_make_kind s3_make_copy = {AWS_S3_CopyObject, check_copy, copy_row, NULL};
