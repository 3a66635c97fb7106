/* aws: an AWS call as data, and the vtable of what can carry it out (local/: the embedded engine; remote/: AWS itself,
 * or whatever speaks its protocols).
 *
 * Who calls it: script/lib/aws.c (handlers), in/feed_sqs.c (queues), in/feed_clock.c (leases), host_provision.c. Who
 * implements it: local, remote. A call owns an arena with its parameters and its result. Parameters and results have
 * the shape of AWS's JSON protocols: DynamoDB, SQS, STS: as on the wire (DynamoDB AttributeValues {"S":".."}, B as
 * base64 text; SQS JSON 1.0 shapes). SESv2: {FromEmailAddress, Destination, Content:{Simple|Raw}} -> {MessageId}. S3:
 * members named as in the API reference (Bucket, Key, ContentType, Metadata {..}, Range, Prefix, MaxKeys, ...); object
 * bytes travel beside, in call->body and call->result_body, or as files in body_fd and result_fd. Query services:
 * parameters as in the API reference (lists as JSON arrays), results likewise. Completion: aws_start returns AWS_DONE
 * (result is there, done() is never called) or AWS_PENDING (done() is called exactly once, on the loop that started it,
 * never before aws_start has returned), unless aws_cancel came first. Threads: a call belongs to its loop's thread;
 * while PENDING the backend may read it from its own threads. */
#ifndef PERIGEE_AWS_H
#define PERIGEE_AWS_H
#include "base/http.h"
#include "base/json.h"
#include "base/policy.h"
#include "loop/loop.h"

enum aws_protocol { AWS_JSON_1_0, AWS_JSON_1_1, AWS_QUERY, AWS_REST_XML, AWS_REST_JSON };

enum aws_service {
#define AWS_SERVICE(id, name, protocol, prefix, signing, endpoint_id, target) AWS_##id,
#include "aws/services.def"
#undef AWS_SERVICE
    AWS_SERVICES,
    AWS_ENGINE_SERVICES = AWS_STS + 1 /* those with rows in ops.def */
};
struct aws_service_row {
    const char *name; /* as in IAM: "dynamodb" */
    enum aws_protocol protocol;
    const char *prefix, *signing, *endpoint_id; /* "email", "ses", "SESV2" */
    const char *target;                         /* X-Amz-Target prefix (JSON) or API version (QUERY) */
};
const struct aws_service_row *aws_service_row(enum aws_service s);

enum aws_flags {
    AWS_READ = 1,       /* changes nothing: may run on the worker's own connection */
    AWS_WRITE = 2,      /* goes through the writer */
    AWS_IDEMPOTENT = 4, /* the same call twice has the effect of one */
    AWS_LONG = 8,       /* may wait by contract (ReceiveMessage with WaitTimeSeconds) */
};

/* One row an operation: ops.def holds AWS_OP(service, Action, flags). */
enum aws_op {
#define AWS_OP(service, action, flags) AWS_##service##_##action,
#include "aws/ops.def"
#undef AWS_OP
    AWS_OPS,
    AWS_OTHER = AWS_OPS /* an operation without a row: only remote/ can carry it out */
};
struct aws_op_row {
    enum aws_service service;
    const char *action; /* "PutItem" */
    unsigned flags;
};
const struct aws_op_row *aws_op_row(enum aws_op op); /* not of AWS_OTHER */
/* -1 when there is none of that name; the message lists what is near or what there is. */
int aws_op_find(enum aws_service service, struct str action, enum aws_op *ret, struct err *e);
/* DynamoDB's operations on items: attribute values in what is asked and answered, and ReturnConsumedCapacity. */
bool aws_op_has_items(enum aws_op op);
int aws_service_find(struct str name, enum aws_service *ret, struct err *e); /* "dynamodb", "sqs", ... */
const char *aws_service_name(enum aws_service s);                            /* as in IAM: "dynamodb" */

/* Who calls and until when; every recording point sees these. Borrowed: must outlive the call. */
struct aws_context {
    struct str request_id, correlation_id, trace_id, function;
    const struct policy *policy; /* NULL: not enforced */
    uint64_t deadline_ms;        /* monotonic; 0: none */
    uint64_t job;                /* of a script, as its observer is told; 0: none */
};

enum aws_started { AWS_DONE, AWS_PENDING };

struct aws_call {
    enum aws_op op;
    const struct aws_op_row *row; /* service, action, flags; of AWS_OTHER too */
    struct arena arena;
    struct json params; /* an object */
    struct str body;    /* S3 PutObject: the bytes, in the arena or otherwise alive as long as the call */
    int body_fd;        /* >= 0: the body is this regular file from offset 0, body_len bytes; closed by aws_call_free */
    uint64_t body_len;
    int result_fd; /* >= 0: S3 GetObject writes the object there (result_body stays empty); closed by aws_call_free */
    struct aws_context context;
    void (*done)(struct aws_call *c, void *ud);
    void *ud;
    /* result */
    struct err err;         /* code ERR_NONE: success */
    struct json result;     /* on errors: the error's further members (Item, CancellationReasons), else empty object;
                            message: the whole of one that is too long for err */
    struct str result_body; /* S3 GetObject: in the arena (or mapped, with an arena defer) */
    char request_id[72];    /* the service's own id for this call; of S3 also x-amz-id-2 in extended_id */
    struct str extended_id;
    unsigned attempts;  /* tries that were sent; 0: the embedded engine */
    uint64_t waited_ms; /* between them */
    /* private to aws and the backend */
    struct aws_backend *backend;
    struct loop *home;
    bool cancelled, pending;
    struct list node;
    struct loop_task task;
    void *state;
};

/* The names and account an ARN and a queue URL are made of. */
struct aws_identity {
    struct str region, account, partition; /* "us-east-1", "000000000000", "aws" */
};

struct aws_backend {
    const struct aws_backend_ops *ops;
    struct aws_identity id;
};
/* A link to one S3 object. `query` (decoded) and `headers` are signed with it: response-content-type & co. in the
 * query; headers must then be sent by whoever uses the link. host_hint: the Host header of the request that asked, so
 * that the link works for that caller; may be empty. */
struct aws_presign {
    struct str method, bucket, key;
    int64_t expires_s;
    struct str host_hint;
    const struct http_header *query, *headers;
    size_t n_query, n_headers;
};
struct aws_backend_ops {
    enum aws_started (*start)(struct aws_backend *b, struct aws_call *c);
    /* The caller lost interest: stop waiting if that is possible without harm (a parked ReceiveMessage must not consume
     * a message afterwards); a write that is already queued still happens. */
    void (*cancel)(struct aws_backend *b, struct aws_call *c);
    /* Presigned S3 URL. ret_expires_ms: Unix ms when it really stops working (min of asked and credential life). */
    int (*presign)(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                   int64_t *ret_expires_ms, struct err *e);
    /* S3 "Browser-based uploads using POST". params: {Bucket, Key, ExpiresIn, Fields:{..}, Conditions:[..]}.
     * *ret: {url, fields:{..}} in a. */
    int (*presign_post)(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                        struct json *ret, int64_t *ret_expires_ms, struct err *e);
    int64_t (*now_ms)(struct aws_backend *b);
    /* Settings in effect, counters, last error; no secrets. {backend:"local"|"remote", region, ...} in a. */
    void (*describe)(struct aws_backend *b, struct arena *a, struct json *ret);
};

struct aws_call *aws_call_new(enum aws_op op);
/* Any operation by name; AWS_OTHER when it has no row. `action` is copied. */
struct aws_call *aws_call_named(enum aws_service service, struct str action);
void aws_call_free(struct aws_call *c); /* not while pending */
/* Checks the policy (ERR_ACCESS_DENIED naming function, action and resource), then starts. On AWS_PENDING the call
 * belongs to the backend until done(); the caller frees it afterwards. */
enum aws_started aws_start(struct aws_backend *b, struct loop *home, struct aws_call *c);
/* done() will not be called; the call frees itself when the backend is through with it. Frees at once when not pending.
 */
void aws_cancel(struct aws_call *c);
/* For set-up and tools: spins `home` until the call is done. */
void aws_call_wait(struct aws_backend *b, struct loop *home, struct aws_call *c);
/* Backend side: the call is complete (err/result filled). Loop thread. Frees it when it was cancelled. */
void aws_complete(struct aws_call *c);
/* Every ARN that a call touches ("arn:aws:dynamodb:us-east-1:000000000000:table/Orders", ".../index/by_status"). */
int aws_call_arns(const struct aws_identity *id, struct arena *a, const struct aws_call *c, struct str **ret,
                  size_t *ret_n, struct err *e);
/* The queue that a QueueUrl (any host, trailing slashes), a queue ARN or a bare name means; a view into it. */
struct str aws_queue_name(struct str queue_url);
/* "a@b" of "Name <a@b>"; anything else is only trimmed. */
struct str aws_bare_address(struct str address);
/* {"__type": name, "message": msg, ...members of c->result}: the error as the JSON protocols send it. */
void aws_error_json(const struct aws_call *c, struct buf *b);

/* == S3's documents: structures of the API (s3_shapes.def) in XML; the same for who asks and who answers ==============
 */
enum s3_shape {
    S3_OF_NONE,
#define S3_SHAPE(name, root) S3_OF_##name,
#define S3_ELEMENT(of, member, element, kind, inner, flags)
#include "aws/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
};
enum s3_type { S3_TEXT, S3_INT, S3_BOOL, S3_DATE /* RFC 9110 5.6.7 */, S3_ISO };
/* A parameter as text; -1 when it is of another type. Dates are HTTP dates, ISO 8601 or Unix seconds. */
int aws_s3_text(struct arena *a, enum s3_type type, const char *name, const struct json *v, struct str *ret,
                struct err *e);
const char *aws_s3_root(enum s3_shape shape); /* "Tagging" */
bool aws_s3_has(enum s3_shape shape, struct str member);
/* A whole document. Members that the structure has not, and values of other types, are refused by name. Of a request
 * also texts that XML cannot hold (answers have U+FFFD), and dates may be given in any way. */
int aws_s3_write_request(struct arena *a, struct buf *b, enum s3_shape shape, const struct json *obj, struct err *e);
int aws_s3_write_answer(struct buf *b, enum s3_shape shape, const struct json *obj, struct err *e);
int aws_s3_malformed(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* MalformedXML; -1 */
struct xml;
/* The members of `root`, typed, dates as the engine writes them. A request must be as the table says: MalformedXML. Of
 * an answer, elements that are not known are left out; -1: one that is required is missing, or a key wrongly encoded.
 */
int aws_s3_read_request(struct arena *a, enum s3_shape shape, const struct xml *root, struct json *ret, struct err *e);
int aws_s3_read_answer(struct arena *a, enum s3_shape shape, const struct xml *root, bool decode_keys, struct json *ret,
                       struct err *e);

#endif
