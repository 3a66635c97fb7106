/* S3: parameters -> requests. Object keys are encoded once, '/' kept, and never normalised. */
#include "base/crypto.h"
#include "base/url.h"
#include "remote/wire_s3.h"
#include <stdlib.h>
#include <string.h>

/* == members ========================================================================================================
 */

#define CREATE S3_CREATE
#define HEAD_BUCKET S3_HEAD_BUCKET
#define BUCKETS S3_BUCKETS
#define PUT S3_PUT
#define HEAD S3_HEAD
#define DELETE S3_DELETE
#define LIST S3_LIST
#define READ S3_READ
#define COPY S3_COPY
#define MAKE S3_MAKE
#define PART S3_PART
#define PART_COPY S3_PART_COPY
#define COMPLETE S3_COMPLETE
#define PARTS S3_PARTS
#define UPLOADS S3_UPLOADS
#define UPLOAD S3_UPLOAD
#define V1 S3_LIST_V1
#define VERSIONS S3_LIST_VERSIONS
#define DELETE_MANY S3_DELETE_MANY
#define SET_VERSIONING S3_SET_VERSIONING
#define TAGGING (S3_TAG | S3_TAGS | S3_UNTAG)
#define LISTS (S3_LIST | S3_LIST_V1 | S3_LIST_VERSIONS | S3_UPLOADS)
#define CONTENT (S3_PUT | S3_COPY | S3_MAKE)
#define STORED (CONTENT | S3_PART | S3_COMPLETE)
#define OWNED ~(S3_CREATE | S3_BUCKETS)
#define PAID (S3_OF_KEY | S3_DELETE_MANY | LISTS)
#define HEADER false
#define QUERY true

static const struct s3_member members[] = {
#define S3_MEMBER(member, place, wire, type, takes, gives) {#member, wire, place, S3_##type, takes, gives},
#include "remote/s3_members.def"
#undef S3_MEMBER
    {0}};

const struct s3_member *s3_members(void) {
    return members;
}

#define NOTHING NULL, S3_OF_NONE
static const struct s3_plan plans[] = {
    {AWS_S3_CreateBucket, S3_CREATE, "PUT", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_HeadBucket, S3_HEAD_BUCKET, "HEAD", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_DeleteBucket, S3_DELETE_BUCKET, "DELETE", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_ListBuckets, S3_BUCKETS, "GET", NULL, NOTHING, S3_OF_ListAllMyBucketsResult},
    {AWS_S3_GetBucketLocation, S3_LOCATION, "GET", "location", NOTHING, S3_OF_LocationConstraint},
    {AWS_S3_PutBucketVersioning, S3_SET_VERSIONING, "PUT", "versioning", "VersioningConfiguration",
     S3_OF_VersioningConfiguration, S3_OF_NONE},
    {AWS_S3_GetBucketVersioning, S3_GET_VERSIONING, "GET", "versioning", NOTHING, S3_OF_VersioningConfiguration},
    {AWS_S3_PutBucketLifecycleConfiguration, S3_SET_LIFECYCLE, "PUT", "lifecycle", "LifecycleConfiguration",
     S3_OF_LifecycleConfiguration, S3_OF_NONE},
    {AWS_S3_GetBucketLifecycleConfiguration, S3_GET_LIFECYCLE, "GET", "lifecycle", NOTHING,
     S3_OF_LifecycleConfiguration},
    {AWS_S3_DeleteBucketLifecycle, S3_DROP_LIFECYCLE, "DELETE", "lifecycle", NOTHING, S3_OF_NONE},
    {AWS_S3_PutObject, S3_PUT, "PUT", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_CopyObject, S3_COPY, "PUT", NULL, NOTHING, S3_OF_CopyObjectResult},
    {AWS_S3_GetObject, S3_GET, "GET", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_HeadObject, S3_HEAD, "HEAD", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_DeleteObject, S3_DELETE, "DELETE", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_DeleteObjects, S3_DELETE_MANY, "POST", "delete", "Delete", S3_OF_Delete, S3_OF_DeleteResult},
    {AWS_S3_ListObjects, S3_LIST_V1, "GET", NULL, NOTHING, S3_OF_ListBucketResult},
    {AWS_S3_ListObjectsV2, S3_LIST, "GET", NULL, NOTHING, S3_OF_ListBucketResultV2},
    {AWS_S3_ListObjectVersions, S3_LIST_VERSIONS, "GET", "versions", NOTHING, S3_OF_ListVersionsResult},
    {AWS_S3_PutObjectTagging, S3_TAG, "PUT", "tagging", "Tagging", S3_OF_Tagging, S3_OF_NONE},
    {AWS_S3_GetObjectTagging, S3_TAGS, "GET", "tagging", NOTHING, S3_OF_Tagging},
    {AWS_S3_DeleteObjectTagging, S3_UNTAG, "DELETE", "tagging", NOTHING, S3_OF_NONE},
    {AWS_S3_CreateMultipartUpload, S3_MAKE, "POST", "uploads", NOTHING, S3_OF_InitiateMultipartUploadResult},
    {AWS_S3_UploadPart, S3_PART, "PUT", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_UploadPartCopy, S3_PART_COPY, "PUT", NULL, NOTHING, S3_OF_CopyPartResult},
    {AWS_S3_CompleteMultipartUpload, S3_COMPLETE, "POST", NULL, "MultipartUpload", S3_OF_CompleteMultipartUpload,
     S3_OF_CompleteMultipartUploadResult},
    {AWS_S3_AbortMultipartUpload, S3_ABORT, "DELETE", NULL, NOTHING, S3_OF_NONE},
    {AWS_S3_ListParts, S3_PARTS, "GET", NULL, NOTHING, S3_OF_ListPartsResult},
    {AWS_S3_ListMultipartUploads, S3_UPLOADS, "GET", "uploads", NOTHING, S3_OF_ListMultipartUploadsResult},
};
#undef NOTHING

const struct s3_plan *s3_plan(enum aws_op op) {
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (plans[i].op == op) return &plans[i];
    fatal("remote: %d is no operation of S3", (int)op);
}

enum s3_operation s3_operation(enum aws_op op) {
    return s3_plan(op)->operation;
}

/* == reading parameters =============================================================================================
 */

struct out {
    const struct settings *s;
    struct aws_call *call;
    const struct s3_plan *plan;
    enum s3_operation op;
    struct arena *a;
    struct wire_request *r;
    struct http_header *query; /* encoded names and values */
    size_t n_query;
    struct err *e;
};

static int wrong(struct out *o, const char *name, const char *what) {
    return err_set(o->e, ERR_S3_ARGUMENT, "parameter %s is %s", name, what);
}

/* RFC 9110 5.5: no CR, LF, NUL; other controls make no sense either. */
static bool fits_header(struct str v) {
    for (size_t i = 0; i < v.n; i++)
        if (((unsigned char)v.p[i] < 0x20 && v.p[i] != '\t') || v.p[i] == 0x7f) return false;
    return true;
}

static struct str encoded(struct out *o, struct str s, bool keep_slash) {
    struct buf b = BUF_MAX(3 * s.n + 1);
    url_encode(&b, s, keep_slash);
    struct str out = arena_str(o->a, buf_view(&b));
    buf_free(&b);
    return out;
}

/* "bucket/key", "/bucket/key?versionId=id", encoded or not; it travels encoded, but for its slashes. */
static int encode_source(struct out *o, struct str source, struct str *ret) {
    const struct str mark = STR("?versionId=");
    ptrdiff_t at = str_find(source, mark, 0);
    struct str name = at < 0 ? source : str_take(source, (size_t)at), version = STR("");
    if (url_decode(o->a, name, false, &name, NULL) || str_bad_utf8(name) >= 0)
        return wrong(o, "CopySource", "wrongly encoded: a percent sign in a key is %25");
    if (at >= 0) version = encoded(o, str_from(source, (size_t)at + mark.n), false);
    *ret = arena_printf(o->a, "%.*s%s%.*s", STR_ARG(encoded(o, name, true)), at < 0 ? "" : mark.p, STR_ARG(version));
    return 0;
}

static int add_member(struct out *o, const struct s3_member *m, const struct json *v) {
    struct str text;
    if (aws_s3_text(o->a, m->type, m->name, v, &text, o->e)) return -1;
    if (str_is(str_c(m->name), "CopySource") && encode_source(o, text, &text)) return -1;
    if (m->in_query && !text.n && str_is(str_c(m->name), "EncodingType")) return 0;
    if (m->in_query) {
        o->query[o->n_query++] = (struct http_header){encoded(o, str_c(m->wire), false), encoded(o, text, false)};
        return 0;
    }
    text = str_trim(text);
    if (!fits_header(text)) return wrong(o, m->name, "a text that cannot be sent as a header");
    if (text.n) wire_header(o->a, o->r, m->wire, text);
    return 0;
}

static const struct s3_member *find_member(enum s3_operation op, struct str name) {
    for (const struct s3_member *m = members; m->name; m++)
        if (m->takes & op && str_is(name, m->name)) return m;
    return NULL;
}

static bool is_special(const struct out *o, struct str name) {
    if (str_is(name, "Bucket")) return o->op != S3_BUCKETS;
    if (str_is(name, "Key")) return o->op & S3_OF_KEY;
    if (str_is(name, "Metadata")) return o->op & CONTENT;
    if (str_is(name, "ContentLength")) return o->op & (S3_PUT | S3_PART);
    if (o->plan->takes && str_is(name, o->plan->takes)) return true;
    return o->op == S3_CREATE && str_is(name, "CreateBucketConfiguration");
}

static int add_members(struct out *o) {
    const struct json *p = &o->call->params;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct s3_member *m = find_member(o->op, p->members[i].key);
        if (!m && !is_special(o, p->members[i].key))
            return err_set(o->e, ERR_S3_ARGUMENT, "%s: %.*s is unknown or not supported yet", o->call->row->action,
                           STR_ARG(str_take(p->members[i].key, 80)));
        if (m && !json_is(&p->members[i].value, JSON_NULL) && add_member(o, m, &p->members[i].value)) return -1;
    }
    return 0;
}

static int text_param(struct out *o, const char *name, struct str *ret) {
    const struct json *v = json_get(&o->call->params, name);
    *ret = json_str(v);
    if (v && !json_is(v, JSON_STR) && !json_is(v, JSON_NULL))
        return wrong(o, name, arena_printf(o->a, "%s, not a string", json_type_name(v->type)).p);
    return ret->n ? 0 : err_set(o->e, ERR_S3_ARGUMENT, "the parameter %s is missing", name);
}

static int add_path(struct out *o) {
    const size_t key_max = 1024;
    struct str key;
    if (o->op != S3_BUCKETS && text_param(o, "Bucket", &o->r->bucket)) return -1;
    if (!(o->op & S3_OF_KEY)) return 0;
    if (text_param(o, "Key", &key)) return -1;
    if (key.n > key_max)
        return err_set(o->e, ERR_S3_KEY_LENGTH, "Your key is too long: %zu bytes, %zu are allowed", key.n, key_max);
    if (str_bad_utf8(key) >= 0 || memchr(key.p, 0, key.n))
        return err_set(o->e, ERR_S3_ARGUMENT, "the Key is not UTF-8 without NUL");
    o->r->path = arena_printf(o->a, "/%.*s", STR_ARG(encoded(o, key, true)));
    return 0;
}

static int by_text(const void *x, const void *y) {
    const struct http_header *a = x, *b = y;
    int c = str_cmp(a->name, b->name);
    return c ? c : str_cmp(a->value, b->value);
}

static void write_query(struct out *o) {
    struct buf b = BUF_MAX(WIRE_BODY_MAX);
    if (!o->n_query) return;
    qsort(o->query, o->n_query, sizeof *o->query, by_text);
    for (size_t i = 0; i < o->n_query; i++)
        buf_printf(&b, "%s%.*s=%.*s", i ? "&" : "", STR_ARG(o->query[i].name), STR_ARG(o->query[i].value));
    o->r->raw_query = arena_str(o->a, buf_view(&b));
    buf_free(&b);
}

/* == PutObject ======================================================================================================
 */

static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}", s.p[i])) return false;
    return s.n;
}

static int add_metadata(struct out *o) {
    const struct json *m = json_get(&o->call->params, "Metadata");
    if (!m || json_is(m, JSON_NULL)) return 0;
    if (!json_is(m, JSON_OBJ))
        return err_set(o->e, ERR_S3_ARGUMENT, "Metadata is %s, not an object", json_type_name(m->type));
    for (uint32_t i = 0; i < m->n; i++) {
        struct str key = m->members[i].key, value = json_str(&m->members[i].value);
        if (!json_is(&m->members[i].value, JSON_STR))
            return err_set(o->e, ERR_S3_ARGUMENT, "Metadata.%.*s is not a string", STR_ARG(str_take(key, 80)));
        struct str name = arena_printf(o->a, "x-amz-meta-%.*s", STR_ARG(key));
        for (size_t k = 0; k < name.n; k++) /* S3 keeps metadata names in lower case */
            if (name.p[k] >= 'A' && name.p[k] <= 'Z') ((char *)name.p)[k] += 32;
        if (!key.n || !is_token(name) || !fits_header(value) || str_bad_utf8(value) >= 0)
            return err_set(o->e, ERR_S3_ARGUMENT, "Metadata.%.*s cannot be sent as a header",
                           STR_ARG(str_take(key, 80)));
        wire_header(o->a, o->r, name.p, s3_words_encode(o->a, str_trim(value)));
    }
    return 0;
}

static int check_length(struct out *o, uint64_t length) {
    const struct json *v = json_get(&o->call->params, "ContentLength");
    struct str text;
    int64_t n;
    if (!v || json_is(v, JSON_NULL)) return 0;
    struct err why;
    if (!aws_s3_text(o->a, S3_INT, "ContentLength", v, &text, &why) && str_i64(text, &n) && n >= 0 &&
        (uint64_t)n == length)
        return 0;
    return err_set(o->e, ERR_S3_ARGUMENT, "ContentLength is not that of the body, which has %llu bytes",
                   (unsigned long long)length);
}

/* The sum to be sent: the one asked for, else CRC32 unless sums go out only where they are required. S3_SUMS: none, or
 * the caller gives one. */
static int choose_sum(struct out *o, enum s3_sum *ret) {
    const struct json *p = &o->call->params;
    struct str asked = json_get_s(p, "ChecksumAlgorithm");
    *ret = S3_SUMS;
    for (int i = 0; i < S3_SUMS; i++)
        if (json_get_s(p, s3_sum_row(i)->member).n) return 0;
    if (!asked.n) {
        if (o->s->request_checksum == CHECKSUM_WHEN_SUPPORTED) *ret = S3_CRC32;
        return 0;
    }
    for (int i = 0; i < S3_SUMS; i++)
        if (str_is(asked, s3_sum_row(i)->algorithm)) *ret = i;
    if (*ret != S3_SUMS) return 0;
    return err_set(o->e, ERR_S3_ARGUMENT,
                   "ChecksumAlgorithm %.*s is not supported yet; CRC32, CRC32C, CRC64NVME, SHA1 and SHA256 are",
                   STR_ARG(str_take(asked, 40)));
}

static void add_algorithm(struct out *o, enum s3_sum sum) {
    if (!json_get_s(&o->call->params, "ChecksumAlgorithm").n)
        wire_header(o->a, o->r, "x-amz-sdk-checksum-algorithm", str_c(s3_sum_row(sum)->algorithm));
}

static int put_file(struct out *o, enum s3_sum sum) {
    if (sum != S3_SUMS && sum != S3_CRC32)
        return err_set(o->e, ERR_S3_ARGUMENT, "ChecksumAlgorithm %s is not supported yet for files; CRC32 is",
                       s3_sum_row(sum)->algorithm);
    o->r->has_body_file = true;
    o->r->trailing_crc32 = sum == S3_CRC32;
    if (sum == S3_CRC32) add_algorithm(o, sum);
    return 0;
}

static int add_body(struct out *o) {
    struct aws_call *c = o->call;
    enum s3_sum sum;
    if (check_length(o, c->body_fd >= 0 ? c->body_len : c->body.n) || choose_sum(o, &sum)) return -1;
    if (c->body_fd >= 0) return put_file(o, sum);
    o->r->body = c->body.p ? c->body : STR("");
    if (sum == S3_SUMS) return 0;
    wire_header(o->a, o->r, s3_sum_row(sum)->header, s3_sum(o->a, sum, o->r->body));
    add_algorithm(o, sum);
    return 0;
}

/* == the others =====================================================================================================
 */

static int write_document(struct out *o, const char *name, enum s3_shape shape, const struct json *v) {
    struct buf b = BUF_MAX(WIRE_BODY_MAX);
    if (!json_is(v, JSON_OBJ))
        return wrong(o, name, v ? arena_printf(o->a, "%s, not an object", json_type_name(v->type)).p : "missing");
    if (aws_s3_write_request(o->a, &b, shape, v, o->e)) {
        buf_free(&b);
        return err_wrap(o->e, "%s", name);
    }
    wire_header(o->a, o->r, "content-type", STR("application/xml"));
    return wire_take(o->a, &b, name, &o->r->body, o->e);
}

/* Buckets are made in the region that is called, which all regions but us-east-1 want to be told. */
static int add_location(struct out *o) {
    const char *name = "CreateBucketConfiguration", *location = "LocationConstraint";
    const struct json *given = json_get(&o->call->params, name);
    struct json all = json_make_obj();
    if (given && !json_is(given, JSON_OBJ) && !json_is(given, JSON_NULL)) return wrong(o, name, "no object");
    for (uint32_t i = 0; json_is(given, JSON_OBJ) && i < given->n; i++) {
        const struct json *v = &given->members[i].value;
        bool empty = json_is(v, JSON_NULL) || (json_is(v, JSON_STR) && !v->s.n);
        if (!empty) json_set_str(o->a, &all, given->members[i].key, *v);
    }
    if (!str_is(o->s->region, "us-east-1") && !json_get(&all, location))
        json_set(o->a, &all, location, json_make_str(o->s->region));
    return all.n ? write_document(o, name, S3_OF_CreateBucketConfiguration, &all) : 0;
}

/* What must be there with the bodies of these operations: a checksum. */
static int add_document(struct out *o) {
    const char *name = o->plan->takes;
    if (write_document(o, name, o->plan->body, json_get(&o->call->params, name))) return -1;
    if (o->op == S3_COMPLETE) return 0;
    wire_header(o->a, o->r, "x-amz-checksum-crc32", s3_sum(o->a, S3_CRC32, o->r->body));
    wire_header(o->a, o->r, "x-amz-sdk-checksum-algorithm", STR("CRC32"));
    return 0;
}

static void add_param(struct out *o, const char *name, const char *value) {
    o->query[o->n_query++] = (struct http_header){str_c(name), str_c(value)};
}

/* Keys come back encoded, so that any of them survives XML, and are decoded unless the caller asked for that. */
static void add_fixed_params(struct out *o) {
    if (o->plan->sub) add_param(o, o->plan->sub, "");
    if (o->op == S3_LIST) add_param(o, "list-type", "2");
    if (o->op & LISTS && !json_get_s(&o->call->params, "EncodingType").n) add_param(o, "encoding-type", "url");
}

static void ask_for_sums(struct out *o) {
    if (o->s->response_checksum == CHECKSUM_WHEN_SUPPORTED && !json_get_s(&o->call->params, "ChecksumMode").n)
        wire_header(o->a, o->r, "x-amz-checksum-mode", STR("ENABLED"));
}

static int check_upload(struct out *o) {
    struct str id;
    if (!(o->op & S3_UPLOAD)) return 0;
    if (text_param(o, "UploadId", &id)) return -1;
    if (!(o->op & (S3_PART | S3_PART_COPY)) || json_get(&o->call->params, "PartNumber")) return 0;
    return err_set(o->e, ERR_S3_ARGUMENT, "the parameter PartNumber is missing");
}

static int check_source(struct out *o) {
    struct str source;
    return o->op & (S3_COPY | S3_PART_COPY) ? text_param(o, "CopySource", &source) : 0;
}

int wire_s3_encode(const struct settings *s, struct aws_call *c, struct arena *a, struct wire_request *r,
                   struct err *e) {
    struct out o = {.s = s, .call = c, .plan = s3_plan(c->op), .op = s3_operation(c->op), .a = a, .r = r, .e = e};
    o.query = ARENA_ARRAY(a, struct http_header, c->params.n + 3);
    r->method = str_c(o.plan->method);
    if (add_members(&o) || add_path(&o) || check_upload(&o) || check_source(&o)) return -1;
    if (o.op == S3_CREATE && add_location(&o)) return -1;
    if (o.op & CONTENT && add_metadata(&o)) return -1;
    if (o.op & (S3_PUT | S3_PART) && add_body(&o)) return -1;
    if (o.plan->takes && add_document(&o)) return -1;
    add_fixed_params(&o);
    if (o.op == S3_GET) ask_for_sums(&o);
    write_query(&o);
    return 0;
}
