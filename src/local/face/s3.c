/* S3's REST protocol: which operation a request is, by its method, its path or host, and the sub-resource in its query.
 * Whatever S3 has and this has not is refused by name, in S3's XML. */
#include "local/face/s3.h"
#include <string.h>
#include <unistd.h>

static const struct s3_route routes[] = {
    {AWS_S3_ListBuckets, "GET", 's', NULL, S3_OF_NONE, NULL, S3_OF_ListAllMyBucketsResult, 200},
    {AWS_S3_CreateBucket, "PUT", 'b', NULL, S3_OF_CreateBucketConfiguration, "CreateBucketConfiguration", S3_OF_NONE,
     200},
    {AWS_S3_HeadBucket, "HEAD", 'b', NULL, S3_OF_NONE, NULL, S3_OF_NONE, 200},
    {AWS_S3_DeleteBucket, "DELETE", 'b', NULL, S3_OF_NONE, NULL, S3_OF_NONE, 204},
    {AWS_S3_GetBucketLocation, "GET", 'b', "location", S3_OF_NONE, NULL, S3_OF_LocationConstraint, 200},
    {AWS_S3_PutBucketVersioning, "PUT", 'b', "versioning", S3_OF_VersioningConfiguration, "VersioningConfiguration",
     S3_OF_NONE, 200},
    {AWS_S3_GetBucketVersioning, "GET", 'b', "versioning", S3_OF_NONE, NULL, S3_OF_VersioningConfiguration, 200},
    {AWS_S3_PutBucketLifecycleConfiguration, "PUT", 'b', "lifecycle", S3_OF_LifecycleConfiguration,
     "LifecycleConfiguration", S3_OF_NONE, 200},
    {AWS_S3_GetBucketLifecycleConfiguration, "GET", 'b', "lifecycle", S3_OF_NONE, NULL, S3_OF_LifecycleConfiguration,
     200},
    {AWS_S3_DeleteBucketLifecycle, "DELETE", 'b', "lifecycle", S3_OF_NONE, NULL, S3_OF_NONE, 204},
    {AWS_S3_ListObjectsV2, "GET", 'b', "list-type", S3_OF_NONE, NULL, S3_OF_ListBucketResultV2, 200},
    {AWS_S3_ListObjectVersions, "GET", 'b', "versions", S3_OF_NONE, NULL, S3_OF_ListVersionsResult, 200},
    {AWS_S3_ListMultipartUploads, "GET", 'b', "uploads", S3_OF_NONE, NULL, S3_OF_ListMultipartUploadsResult, 200},
    {AWS_S3_ListObjects, "GET", 'b', NULL, S3_OF_NONE, NULL, S3_OF_ListBucketResult, 200},
    {AWS_S3_DeleteObjects, "POST", 'b', "delete", S3_OF_Delete, "Delete", S3_OF_DeleteResult, 200},
    {AWS_S3_UploadPart, "PUT", 'o', "uploadId", S3_OF_NONE, NULL, S3_OF_NONE, 200},
    {AWS_S3_PutObjectTagging, "PUT", 'o', "tagging", S3_OF_Tagging, "Tagging", S3_OF_NONE, 200},
    {AWS_S3_PutObject, "PUT", 'o', NULL, S3_OF_NONE, NULL, S3_OF_NONE, 200},
    {AWS_S3_ListParts, "GET", 'o', "uploadId", S3_OF_NONE, NULL, S3_OF_ListPartsResult, 200},
    {AWS_S3_GetObjectTagging, "GET", 'o', "tagging", S3_OF_NONE, NULL, S3_OF_Tagging, 200},
    {AWS_S3_GetObject, "GET", 'o', NULL, S3_OF_NONE, NULL, S3_OF_NONE, 200},
    {AWS_S3_GetObject, "HEAD", 'o', NULL, S3_OF_NONE, NULL, S3_OF_NONE,
     200}, /* with the file: the server leaves the bytes out */
    {AWS_S3_AbortMultipartUpload, "DELETE", 'o', "uploadId", S3_OF_NONE, NULL, S3_OF_NONE, 204},
    {AWS_S3_DeleteObjectTagging, "DELETE", 'o', "tagging", S3_OF_NONE, NULL, S3_OF_NONE, 204},
    {AWS_S3_DeleteObject, "DELETE", 'o', NULL, S3_OF_NONE, NULL, S3_OF_NONE, 204},
    {AWS_S3_CreateMultipartUpload, "POST", 'o', "uploads", S3_OF_NONE, NULL, S3_OF_InitiateMultipartUploadResult, 200},
    {AWS_S3_CompleteMultipartUpload, "POST", 'o', "uploadId", S3_OF_CompleteMultipartUpload, "MultipartUpload",
     S3_OF_CompleteMultipartUploadResult, 200},
    /* not by this table: x-amz-copy-source makes copies of two of them */
    {AWS_S3_CopyObject, "", 0, NULL, S3_OF_NONE, NULL, S3_OF_CopyObjectResult, 200},
    {AWS_S3_UploadPartCopy, "", 0, NULL, S3_OF_NONE, NULL, S3_OF_CopyPartResult, 200},
};
enum { ROUTES = sizeof routes / sizeof *routes };

/* Amazon S3 API Reference, "Operations": sub-resources that mean operations of their own, and what those are called
 * behind Get, Put or Delete; with a '=' before it, whatever the method. On objects, if that is another: after a slash.
 */
static const struct {
    const char *sub, *name;
} sub_resources[] = {{"abac", "BucketAbac"},
                     {"accelerate", "BucketAccelerateConfiguration"},
                     {"acl", "BucketAcl/ObjectAcl"},
                     {"analytics", "BucketAnalyticsConfiguration"},
                     {"annotation", "ObjectAnnotation"},
                     {"attributes", "=GetObjectAttributes"},
                     {"cors", "BucketCors"},
                     {"delete", "=DeleteObjects"},
                     {"encryption", "BucketEncryption"},
                     {"intelligent-tiering", "BucketIntelligentTieringConfiguration"},
                     {"inventory", "BucketInventoryConfiguration"},
                     {"legal-hold", "ObjectLegalHold"},
                     {"lifecycle", "BucketLifecycleConfiguration"},
                     {"location", "BucketLocation"},
                     {"logging", "BucketLogging"},
                     {"metadataConfiguration", "BucketMetadataConfiguration"},
                     {"metadataInventoryTable", "=UpdateBucketMetadataInventoryTableConfiguration"},
                     {"metadataJournalTable", "=UpdateBucketMetadataJournalTableConfiguration"},
                     {"metadataTable", "BucketMetadataTableConfiguration"},
                     {"metrics", "BucketMetricsConfiguration"},
                     {"notification", "BucketNotificationConfiguration"},
                     {"object-lock", "ObjectLockConfiguration"},
                     {"ownershipControls", "BucketOwnershipControls"},
                     {"policy", "BucketPolicy"},
                     {"policyStatus", "BucketPolicyStatus"},
                     {"publicAccessBlock", "PublicAccessBlock"},
                     {"renameObject", "=RenameObject"},
                     {"replication", "BucketReplication"},
                     {"requestPayment", "BucketRequestPayment"},
                     {"restore", "=RestoreObject"},
                     {"retention", "ObjectRetention"},
                     {"select", "=SelectObjectContent"},
                     {"session", "=CreateSession"},
                     {"tagging", "BucketTagging/ObjectTagging"},
                     {"torrent", "ObjectTorrent"},
                     {"uploads", "=ListMultipartUploads/=CreateMultipartUpload"},
                     {"versioning", "BucketVersioning"},
                     {"versions", "=ListObjectVersions"},
                     {"website", "BucketWebsite"}};

static bool has_param(const struct rest *f, const char *name) {
    for (size_t i = 0; i < f->f->n_query; i++)
        if (str_is(f->f->query[i].name, name)) return true;
    return false;
}

static const char *sub_resource_of(const struct rest *f) {
    for (size_t i = 0; i < sizeof sub_resources / sizeof *sub_resources; i++)
        if (has_param(f, sub_resources[i].sub)) return sub_resources[i].sub;
    return NULL;
}

/* "GetBucketAcl (?acl)" */
static struct str operation_called(const struct rest *f, const char *sub) {
    struct str name = STR("");
    for (size_t i = 0; i < sizeof sub_resources / sizeof *sub_resources; i++)
        if (!strcmp(sub_resources[i].sub, sub)) name = str_c(sub_resources[i].name);
    struct str object = name, bucket = str_cut(&object, '/');
    if (f->key.n && object.p) bucket = object;
    const char *verb = str_is(f->r->method, "PUT") ? "Put" : str_is(f->r->method, "DELETE") ? "Delete" : "Get";
    if (str_starts(bucket, STR("="))) return arena_printf(f->r->arena, "%.*s (?%s)", STR_ARG(str_from(bucket, 1)), sub);
    return arena_printf(f->r->arena, "%s%.*s (?%s)", verb, STR_ARG(bucket), sub);
}

static const struct s3_route *route_of_op(enum aws_op op) {
    const struct s3_route *r = routes;
    while (r->op != op) r++;
    return r;
}

static const struct s3_route *with_source(const struct rest *f, const struct s3_route *r) {
    if ((r->op != AWS_S3_PutObject && r->op != AWS_S3_UploadPart) || !face_header(f->f, "x-amz-copy-source").p)
        return r;
    return route_of_op(r->op == AWS_S3_PutObject ? AWS_S3_CopyObject : AWS_S3_UploadPartCopy);
}

int rest_unsupported(const struct rest *f, struct str what, struct err *e) {
    return err_set(e, ERR_NOT_IMPLEMENTED,
                   "A header or query you provided implies functionality that is not "
                   "implemented: %.*s %.*s: %.*s",
                   STR_ARG(str_take(f->r->method, 20)), STR_ARG(str_take(f->r->path, 200)),
                   STR_ARG(str_take(what, 200)));
}

static int choose_route(struct rest *f, struct err *e) {
    char level = f->key.n ? 'o' : f->bucket.n ? 'b' : 's';
    const char *sub = sub_resource_of(f);
    for (size_t i = 0; i < ROUTES && !f->route; i++) {
        const struct s3_route *r = &routes[i];
        bool fits = r->sub ? has_param(f, r->sub) : !sub;
        if (r->level == level && str_is(f->r->method, r->method) && fits) f->route = with_source(f, r);
    }
    if (f->route) return 0;
    if (sub) return rest_unsupported(f, operation_called(f, sub), e);
    if (str_is(f->r->method, "OPTIONS")) return rest_unsupported(f, STR("CORS"), e);
    return err_set(e, ERR_S3_METHOD, "The specified method is not allowed against this resource.");
}

static int read_path(struct rest *f, struct err *e) {
    struct str rest = str_from(f->r->path, 1), bucket = f->f->host_bucket;
    if (!bucket.n) bucket = str_cut(&rest, '/');
    if (!url_decode(f->r->arena, bucket, false, &f->bucket, e) &&
        !url_decode(f->r->arena, rest.p ? rest : STR(""), false, &f->key, e))
        return 0;
    return err_set(e, ERR_S3_ARGUMENT, "Couldn't parse the specified URI.");
}

/* Forms carry their signature themselves. */
static int begin_form(struct rest *f, struct err *e) {
    struct aws_call *c = NULL;
    if (!f->bucket.n || f->key.n)
        return err_set(e, ERR_S3_METHOD,
                       "The specified method is not allowed against this "
                       "resource.");
    if (f->f->n_query)
        return rest_unsupported(f, arena_printf(f->r->arena, "?%.*s beside a form", STR_ARG(f->f->query[0].name)), e);
    if (s3_post_call(f->f->conn->local, f->r, f->bucket, &f->post, &c, e)) return -1;
    f->form = true;
    face_start(f->f, c, rest_done, f);
    return 0;
}

static int begin(struct rest *f, struct err *e) {
    if (read_path(f, e)) return -1;
    if (f->f->form) return begin_form(f, e);
    if (choose_route(f, e)) return -1;
    struct aws_call *c = aws_call_new(f->route->op);
    if (rest_request(f, c, e)) {
        aws_call_free(c);
        return -1;
    }
    if (c->op == AWS_S3_GetObject) c->state = &f->file;
    face_start(f->f, c, rest_done, f);
    return 0;
}

void face_s3(struct face *face) {
    struct rest *f = ARENA_NEW(face->r->arena, struct rest);
    struct err e = {0};
    *f = (struct rest){.f = face, .r = face->r, .file = {.fd = -1}};
    if (begin(f, &e)) rest_send_error(face, &e, NULL);
}

void face_s3_error(struct face *f, const struct err *e) {
    rest_send_error(f, e, NULL);
}
