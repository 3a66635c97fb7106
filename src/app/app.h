/* app: the SAM template (config/template.yaml) read once into plain structs: the only list of functions, routes,
 * queues, tables, indexes, buckets, schedules, environment and permissions. Immutable after app_load; owned by struct
 * app.
 *
 * Who calls it: perigee.c (start, `perigee check`); route and in read the structs. May fail: unreadable file, bad YAML,
 * everything unsupported or wrong; app_load gathers ALL problems, each "file:line: sentence", before it gives up.
 *
 * Supported: Transform AWS::Serverless-2016-10-31; Parameters (Default; overridden by app_options.parameters), Globals
 * (Function, Api, HttpApi), Conditions, Mappings, Outputs (checked, not used), Metadata, Description; intrinsics Ref,
 * Fn::GetAtt, Sub, Join, If, Equals, Not, And, Or, FindInMap, Select, Split in short and long form; pseudo parameters
 * AWS::Region, AccountId, Partition, StackName, URLSuffix, NoValue. Resources: AWS::Serverless::Function, ::Api,
 * ::HttpApi, ::SimpleTable, AWS::DynamoDB::Table, AWS::SQS::Queue, AWS::SQS::QueuePolicy, AWS::S3::Bucket,
 * AWS::S3::BucketPolicy, AWS::SES::EmailIdentity, AWS::SNS::Topic|TopicPolicy|Subscription (of alarms),
 * AWS::Logs::LogGroup, AWS::CloudWatch::Alarm, AWS::IAM::Role|Policy|ManagedPolicy. Of each resource the properties are
 * known by name: those that matter locally are used, those that only matter in the cloud (encryption, alarms, tags, log
 * retention, PITR, ...) are listed in the code as such and accepted; any other is an error naming it. */
#ifndef PERIGEE_APP_H
#define PERIGEE_APP_H
#include "base/function.h"
#include "base/json.h"

struct app_parameter { /* --parameter Name=Value */
    struct str name, value;
};
struct app_name { /* the physical name of a resource that has none in the template */
    struct str logical_id, name;
    bool asked; /* by the user: a problem unless the template declares such a resource without a name of its own */
};
struct app_options {
    const char *template_path;
    const struct app_parameter *parameters;
    size_t n_parameters;
    const char *region, *account; /* what pseudo parameters and ARNs are made of */
    const char *partition;        /* NULL: "aws" */
    const char *stack;            /* AWS::StackName; NULL: "perigee" */
    const char *queue_base;       /* queue URLs without "/name"; NULL: "https://sqs.<region>.amazonaws.com/<account>" */
    const struct app_name *names;
    size_t n_names;
};

enum app_payload { APP_REST_V1, APP_HTTP_V1, APP_HTTP_V2 }; /* the documents that its API sends */
struct app_route {
    struct str method; /* "GET", or "ANY" */
    struct str path;   /* "/orders/{id}", greedy "{proxy+}" allowed at the end */
    const struct function *function;
    enum app_payload payload;
    int line;
};

struct app_table {
    struct str name; /* physical: TableName, else the logical id */
    struct str logical_id;
    struct json create;       /* parameters of CreateTable, ready to send */
    struct str ttl_attribute; /* empty: none */
    int line;
};

struct app_queue {
    struct str name, logical_id;
    struct json create; /* parameters of CreateQueue: {QueueName, Attributes:{VisibilityTimeout:"30",
                           RedrivePolicy:"{...}", ...}} */
    struct str
        dead_letter; /* physical name of the DLQ or empty; such queues come before those that name them in `queues` */
    int line;
};

struct app_bucket {
    struct str name, logical_id;
    struct json create; /* parameters of CreateBucket */
    int line;
};

/* An SQS event of a function (AWS::Lambda event source mapping). */
struct app_feed {
    struct str queue; /* physical name */
    const struct function *function;
    uint32_t batch_size;      /* 1..10 (standard queues: up to 10,000 with a window; capped at 10 a receive) */
    uint32_t window_ms;       /* MaximumBatchingWindowInSeconds */
    uint32_t max_concurrency; /* ScalingConfig.MaximumConcurrency; 0: not given */
    bool report_failures;     /* FunctionResponseTypes: [ReportBatchItemFailures] */
    bool enabled;
    int line;
};

struct app_schedule {
    struct str name;
    struct str expression; /* "rate(1 minute)", "cron(0 12 * * ? *)": checked here */
    struct str input;      /* JSON text or empty */
    const struct function *function;
    bool enabled;
    int line;
};

struct app_cors { /* of the API: empty allow_origins means no CORS */
    const struct str *allow_origins;
    size_t n_origins;
    struct str allow_methods, allow_headers, expose_headers; /* joined with ", " */
    int64_t max_age_s;                                       /* -1: not given */
    bool allow_credentials;
    bool rest; /* of a REST API, which leaves the headers of answers to its functions */
};

struct app_problem {
    struct str text; /* "config/template.yaml:12: Resources.X.Properties.Foo: ..." */
};

struct app_given { /* a parameter's value */
    struct str name, value;
    bool secret; /* NoEcho */
};
struct app {
    struct arena arena;
    struct str template_path, dir;
    const struct function *functions;
    size_t n_functions;
    bool has_urls; /* one of them has a URL of its own */
    const struct app_route *routes;
    size_t n_routes;
    const struct app_table *tables;
    size_t n_tables;
    const struct app_queue *queues;
    size_t n_queues;
    const struct app_bucket *buckets;
    size_t n_buckets;
    const struct app_feed *feeds;
    size_t n_feeds;
    const struct app_schedule *schedules;
    size_t n_schedules;
    struct app_cors cors;
    const struct str *identities; /* SES identities (addresses or domains) */
    size_t n_identities;
    /* Parameters named in Metadata.Perigee.RequireOffLoopback whose value is empty: the host refuses to listen off
     * loopback. */
    const struct str *unset_secrets;
    size_t n_unset_secrets;
    /* Metadata.Perigee.Redact: members of bodies that recordings are not to hold ("email", "customer.name"). */
    const struct str *redact;
    size_t n_redact;
    /* The Parameters whose values were given, in the template's order. */
    const struct app_given *given;
    size_t n_given;
    /* Metadata.Perigee.LeaseTable: the declared table (one HASH key, of type S) in which replicas agree on who runs a
     * schedule's occurrence; NULL: none. */
    const struct app_table *lease_table;
};

/* On failure *ret_problems (in problems_arena) has every problem found and e the first. CodeUri is resolved against the
 * template's directory; one that ends in .zip is a package, made of the directory Metadata.Perigee.Handlers, which is
 * run instead. Duplicate routes, unknown references, a feed's queue whose VisibilityTimeout is shorter than
 * the function's Timeout, a policy template that is not known, ... are problems. */
int app_load(const struct app_options *o, struct arena *problems_arena, struct app_problem **ret_problems,
             size_t *ret_n_problems, struct app **ret, struct err *e);
void app_free(struct app *a);
/* The table of that logical id, else of that physical name; NULL: none. */
const struct app_table *app_table(const struct app *a, struct str name);
/* "aws-cn" -> "amazonaws.com.cn" */
const char *app_url_suffix(const char *partition);
const struct function *app_function(const struct app *a, struct str name);

/* -- the manifest: what a packaged function must know of its template, without YAML (perigee.json beside the bootstrap)
 * --
 * {"version":1, "handlers":{"orders.create":{"functions":["CreateOrder"], "routes":[["POST","/orders"]],
 * "report_failures":true, "stream":false}, ...}, "cors":{"origins":["*"], "expose":"", "credentials":false}}
 * cors: only what functions of a REST API must send themselves. */
void app_manifest_write(const struct app *a, struct buf *b);
struct app_manifest {
    struct app *app; /* one function, its routes; no resources. Freed with app_free */
    bool report_failures, stream;
};
/* The part of one handler ("orders.create"). text empty: there is no manifest; then no routes, no reports. `env` and
 * `limits` of the function are the caller's to fill. e names what is wrong in the file. */
int app_manifest_read(struct str text, struct str handler, struct str code_dir, struct app_manifest *ret,
                      struct err *e);

/* Schedules: the next time strictly after `after_ms` that the expression names (UTC), or -1 and e for a bad one.
 * rate(n unit) counts from `start_ms` (0: all hosts agree); cron has AWS's six fields with ? L W #. */
int64_t app_schedule_next(struct str expression, int64_t start_ms, int64_t after_ms, struct err *e);

#endif
