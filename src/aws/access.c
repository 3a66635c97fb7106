/* Which IAM actions on which ARNs a call needs (Service Authorization Reference, one section a service). */
#include "aws/access.h"
#include "base/crypto.h"
#include "base/url.h"
#include <string.h>

struct out {
    const struct aws_identity *id;
    struct arena *a;
    struct access *rows;
    size_t n, cap;
};

static struct access *add(struct out *o, struct str action, struct str arn) {
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 4;
        struct access *rows = ARENA_ARRAY(o->a, struct access, cap);
        for (size_t i = 0; i < o->n; i++) rows[i] = o->rows[i];
        o->rows = rows;
        o->cap = cap;
    }
    o->rows[o->n] = (struct access){.action = action, .arn = arn};
    return &o->rows[o->n++];
}

/* "arn:PARTITION:SERVICE:REGION:ACCOUNT:" PREFIX NAME. Made at each call, so put together by hand. */
static struct str make_arn(struct out *o, struct str service, struct str prefix, struct str name) {
    const struct str colon = STR(":"), parts[] = {STR("arn:"), o->id->partition, colon, service, colon, o->id->region,
                                                  colon,       o->id->account,   colon, prefix,  name};
    struct str arn = {NULL, 0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) arn.n += parts[i].n;
    char *p = arena_alloc(o->a, arn.n + 1);
    arn.p = p;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(p, parts[i].p, parts[i].n);
        p += parts[i].n;
    }
    *p = '\0';
    return arn;
}

/* == DynamoDB =======================================================================================================
 */

static void add_table(struct out *o, struct str action, struct str table, struct str index) {
    if (!table.n) return;
    struct str arn = table;
    if (!str_starts(table, STR("arn:"))) arn = make_arn(o, STR("dynamodb"), STR("table/"), table);
    if (index.n) arn = arena_printf(o->a, "%.*s/index/%.*s", STR_ARG(arn), STR_ARG(index));
    add(o, action, arn);
}

static void add_batch(struct out *o, struct str action, const struct json *items) {
    for (uint32_t i = 0; json_is(items, JSON_OBJ) && i < items->n; i++)
        add_table(o, action, items->members[i].key, STR_NONE);
}

static void add_transaction(struct out *o, const struct json *items) {
    static const struct {
        const char *member, *action;
    } kinds[] = {{"Put", "dynamodb:PutItem"},
                 {"Update", "dynamodb:UpdateItem"},
                 {"Delete", "dynamodb:DeleteItem"},
                 {"ConditionCheck", "dynamodb:ConditionCheckItem"},
                 {"Get", "dynamodb:GetItem"}};
    for (uint32_t i = 0; json_is(items, JSON_ARR) && i < items->n; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            add_table(o, str_c(kinds[k].action), json_get_s(json_get(&items->items[i], kinds[k].member), "TableName"),
                      STR_NONE);
}

static void dynamodb(struct out *o, const struct aws_call *c, struct str action) {
    switch (c->op) {
    case AWS_DYNAMODB_ListTables:
    case AWS_DYNAMODB_DescribeLimits:
    case AWS_DYNAMODB_DescribeEndpoints:
        add(o, action, STR("*"));
        return;
    case AWS_DYNAMODB_TagResource:
    case AWS_DYNAMODB_UntagResource:
    case AWS_DYNAMODB_ListTagsOfResource:
        add_table(o, action, json_get_s(&c->params, "ResourceArn"), STR_NONE);
        return;
    case AWS_DYNAMODB_BatchGetItem:
    case AWS_DYNAMODB_BatchWriteItem:
        add_batch(o, action, json_get(&c->params, "RequestItems"));
        return;
    case AWS_DYNAMODB_TransactGetItems:
    case AWS_DYNAMODB_TransactWriteItems:
        add_transaction(o, json_get(&c->params, "TransactItems"));
        return;
    default:
        add_table(o, action, json_get_s(&c->params, "TableName"), json_get_s(&c->params, "IndexName"));
        if (c->op == AWS_DYNAMODB_CreateTable && json_get(&c->params, "Tags"))
            add_table(o, STR("dynamodb:TagResource"), json_get_s(&c->params, "TableName"), STR_NONE);
    }
}

/* == SQS, S3, SES ===================================================================================================
 */

struct str aws_queue_name(struct str url) {
    while (url.n && url.p[url.n - 1] == '/') url.n--;
    if (str_starts(url, STR("arn:"))) {
        for (size_t i = url.n; i-- > 0;)
            if (url.p[i] == ':') return str_from(url, i + 1);
    }
    for (size_t i = url.n; i-- > 0;)
        if (url.p[i] == '/') return str_from(url, i + 1);
    return url;
}

/* The batch forms need the permission of the single one. */
static struct str without_batch(struct str action) {
    return str_ends(action, STR("Batch")) ? str_take(action, action.n - 5) : action;
}

/* The source of a move task, as its handle tells it. */
static struct str moved_source(struct out *o, struct str handle) {
    struct buf raw = BUF_MAX(4096);
    struct json doc;
    struct str source = STR_NONE;
    if (crypto_unbase64(&raw, handle) && !raw.over &&
        !json_parse(o->a, arena_str(o->a, buf_view(&raw)), NULL, &doc, NULL))
        source = json_get_s(&doc, "sourceArn");
    buf_free(&raw);
    return source;
}

static void sqs(struct out *o, const struct aws_call *c, struct str action) {
    struct str name = json_get_s(&c->params, "QueueName"), source = json_get_s(&c->params, "SourceArn");
    if (c->op == AWS_SQS_CancelMessageMoveTask) source = moved_source(o, json_get_s(&c->params, "TaskHandle"));
    if (source.n) {
        add(o, action, source);
        return;
    }
    if (c->op == AWS_SQS_ListQueues) {
        add(o, action, STR("*"));
        return;
    }
    if (c->op != AWS_SQS_CreateQueue && c->op != AWS_SQS_GetQueueUrl)
        name = aws_queue_name(json_get_s(&c->params, "QueueUrl"));
    if (!name.n) return;
    add(o, without_batch(action), make_arn(o, STR("sqs"), STR(""), name));
}

/* Where the IAM action is not named like the operation (Actions, resources, and condition keys for Amazon S3). */
static const char *s3_action(struct str operation) {
    static const char *const names[][2] = {{"CompleteMultipartUpload", "PutObject"},
                                           {"CopyObject", "PutObject"},
                                           {"CreateMultipartUpload", "PutObject"},
                                           {"DeleteBucketLifecycle", "PutLifecycleConfiguration"},
                                           {"DeleteObjects", "DeleteObject"},
                                           {"GetBucketLifecycleConfiguration", "GetLifecycleConfiguration"},
                                           {"HeadBucket", "ListBucket"},
                                           {"HeadObject", "GetObject"},
                                           {"ListBuckets", "ListAllMyBuckets"},
                                           {"ListMultipartUploads", "ListBucketMultipartUploads"},
                                           {"ListObjects", "ListBucket"},
                                           {"ListObjectsV2", "ListBucket"},
                                           {"ListObjectVersions", "ListBucketVersions"},
                                           {"ListParts", "ListMultipartUploadParts"},
                                           {"PutBucketLifecycleConfiguration", "PutLifecycleConfiguration"},
                                           {"UploadPart", "PutObject"},
                                           {"UploadPartCopy", "PutObject"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(operation, names[i][0])) return names[i][1];
    return NULL;
}

/* Reading, deleting and tagging one version is another action than the current one. */
static struct str s3_version_action(struct str action) {
    static const char *const names[][2] = {{"s3:GetObject", "s3:GetObjectVersion"},
                                           {"s3:DeleteObject", "s3:DeleteObjectVersion"},
                                           {"s3:GetObjectTagging", "s3:GetObjectVersionTagging"},
                                           {"s3:PutObjectTagging", "s3:PutObjectVersionTagging"},
                                           {"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(action, names[i][0])) return str_c(names[i][1]);
    return action;
}

/* key.n == 0: of the bucket itself. */
static void add_s3(struct out *o, struct str action, struct str bucket, struct str key) {
    add(o, action,
        arena_printf(o->a, "arn:%.*s:s3:::%.*s%s%.*s", STR_ARG(o->id->partition), STR_ARG(bucket), key.n ? "/" : "",
                     STR_ARG(key)));
}

/* "bucket/key?versionId=id", encoded. */
static void s3_source(struct out *o, struct str source) {
    ptrdiff_t at = str_find(source, STR("?versionId="), 0);
    struct str key = at < 0 ? source : str_take(source, (size_t)at), bucket;
    if (key.n && key.p[0] == '/') key = str_from(key, 1);
    if (url_decode(o->a, key, false, &key, NULL)) return;
    bucket = str_cut(&key, '/');
    if (bucket.n && key.n) add_s3(o, at < 0 ? STR("s3:GetObject") : STR("s3:GetObjectVersion"), bucket, key);
}

static void s3_many(struct out *o, struct str bucket, const struct json *objects) {
    for (uint32_t i = 0; json_is(objects, JSON_ARR) && i < objects->n; i++) {
        const struct json *one = &objects->items[i];
        bool version = json_get_s(one, "VersionId").n;
        add_s3(o, version ? STR("s3:DeleteObjectVersion") : STR("s3:DeleteObject"), bucket, json_get_s(one, "Key"));
    }
}

static bool s3_is_of_object(const struct aws_call *c) {
    static const enum aws_op ops[] = {
        AWS_S3_PutObject,        AWS_S3_CopyObject,          AWS_S3_GetObject,
        AWS_S3_HeadObject,       AWS_S3_DeleteObject,        AWS_S3_PutObjectTagging,
        AWS_S3_GetObjectTagging, AWS_S3_DeleteObjectTagging, AWS_S3_CreateMultipartUpload,
        AWS_S3_UploadPart,       AWS_S3_UploadPartCopy,      AWS_S3_CompleteMultipartUpload,
        AWS_S3_ListParts,        AWS_S3_AbortMultipartUpload};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (c->op == ops[i]) return true;
    return false;
}

static void s3(struct out *o, const struct aws_call *c, struct str action) {
    struct str bucket = json_get_s(&c->params, "Bucket"), key = json_get_s(&c->params, "Key");
    const char *other = s3_action(str_c(c->row->action));
    bool object = s3_is_of_object(c);
    if (other) action = arena_printf(o->a, "s3:%s", other);
    if (json_get_s(&c->params, "VersionId").n) action = s3_version_action(action);
    if (c->op == AWS_S3_ListBuckets) {
        add(o, action, STR("*"));
        return;
    }
    if (!bucket.n || (object && !key.n)) return;
    if (c->op == AWS_S3_DeleteObjects) {
        s3_many(o, bucket, json_get(json_get(&c->params, "Delete"), "Objects"));
        return;
    }
    add_s3(o, action, bucket, object ? key : STR_NONE);
    s3_source(o, json_get_s(&c->params, "CopySource"));
    if (c->op != AWS_S3_PutObjectTagging && json_get_s(&c->params, "Tagging").n)
        add_s3(o, STR("s3:PutObjectTagging"), bucket, key);
}

struct str aws_bare_address(struct str a) {
    if (a.n && a.p[a.n - 1] == '>')
        for (size_t i = a.n; i-- > 0;)
            if (a.p[i] == '<') return str_n(a.p + i + 1, a.n - i - 2);
    return str_trim(a);
}

/* Of operations on one identity, and on none. */
static void ses_identity(struct out *o, const struct aws_call *c, struct str action) {
    struct str name = json_get_s(&c->params, "EmailIdentity");
    if (c->op == AWS_SES_GetAccount || c->op == AWS_SES_ListEmailIdentities)
        add(o, action, STR("*"));
    else if (name.n)
        add(o, action, make_arn(o, STR("ses"), STR("identity/"), name));
}

static void ses(struct out *o, const struct aws_call *c, struct str action) {
    if (c->op != AWS_SES_SendEmail) {
        ses_identity(o, c, action);
        return;
    }
    struct str from = aws_bare_address(json_get_s(&c->params, "FromEmailAddress"));
    ptrdiff_t at = str_chr(from, '@', 0);
    if (at < 0) return;
    if (json_get(json_get(&c->params, "Content"), "Raw")) action = STR("ses:SendRawEmail");
    struct access *row = add(o, action, STR_NONE);
    struct str *arns[] = {&row->arn, &row->or_arn}, names[] = {from, str_from(from, (size_t)at + 1)};
    for (int i = 0; i < 2; i++)
        *arns[i] = arena_printf(o->a, "arn:%.*s:ses:%.*s:%.*s:identity/%.*s", STR_ARG(o->id->partition),
                                STR_ARG(o->id->region), STR_ARG(o->id->account), STR_ARG(names[i]));
}

void access_list(const struct aws_identity *id, struct arena *a, const struct aws_call *c, struct access **ret,
                 size_t *ret_n) {
    const struct aws_op_row *row = c->row;
    struct out o = {.id = id, .a = a};
    struct str action = arena_printf(a, "%s:%s", aws_service_name(row->service), row->action);
    if (row->service == AWS_DYNAMODB) dynamodb(&o, c, action);
    if (row->service == AWS_SQS) sqs(&o, c, action);
    if (row->service == AWS_S3) s3(&o, c, action);
    if (row->service == AWS_SES) ses(&o, c, action);
    *ret = o.rows; /* sts:GetCallerIdentity needs no permission */
    *ret_n = o.n;
}

struct str access_listing(const struct aws_identity *id, const struct aws_call *c, struct arena *a) {
    if (c->op != AWS_S3_GetObject && c->op != AWS_S3_HeadObject) return STR_NONE;
    struct str bucket = json_get_s(&c->params, "Bucket");
    return arena_printf(a, "arn:%.*s:s3:::%.*s", STR_ARG(id->partition), STR_ARG(bucket));
}

/* == operations without a row =======================================================================================
 */

int access_other(const struct policy *p, struct arena *a, const struct aws_call *c, struct str *ret) {
    const char *other = c->row->service == AWS_S3 ? s3_action(str_c(c->row->action)) : NULL;
    *ret = arena_printf(a, "%s:%s", aws_service_name(c->row->service), other ? other : c->row->action);
    bool allowed = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct policy_statement *s = &p->statements[i];
        if (!policy_names_action(s, *ret)) continue;
        if (s->deny && policy_names_resource(s, STR("*"))) return -1;
        allowed |= !s->deny;
    }
    return allowed ? 0 : -1;
}

int aws_call_arns(const struct aws_identity *id, struct arena *a, const struct aws_call *c, struct str **ret,
                  size_t *ret_n, struct err *e) {
    struct access *rows = NULL;
    size_t n = 0;
    if (!json_is(&c->params, JSON_OBJ))
        return err_set(e, ERR_VALIDATION, "the parameters of %s are no object", c->row->action);
    access_list(id, a, c, &rows, &n);
    struct str *arns = ARENA_ARRAY(a, struct str, n + 1);
    for (size_t i = 0; i < n; i++) arns[i] = rows[i].arn;
    *ret = arns;
    *ret_n = n;
    return 0;
}
