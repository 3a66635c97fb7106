/* What a template may declare, and what it may refer to. */
#include "app/template.h"
#include <string.h>

#define FUNCTION_USED                                                                                                  \
    "Handler CodeUri Timeout MemorySize Environment Policies Role Events FunctionName Runtime PackageType "            \
    "EventInvokeConfig FunctionUrlConfig"
#define FUNCTION_CLOUD                                                                                                 \
    "Description Architectures Tags Tracing Layers VpcConfig KmsKeyArn EphemeralStorage ReservedConcurrentExecutions " \
    "ProvisionedConcurrencyConfig AutoPublishAlias DeploymentPreference LoggingConfig SnapStart PermissionsBoundary "  \
    "RolePath AssumeRolePolicyDocument CodeSigningConfigArn RuntimeManagementConfig VersionDescription "               \
    "PropagateTags RecursiveLoop"

/* Properties that are named nowhere here would change what happens locally, or are unknown: they are refused. */
static const struct template_type types[] = {
    {"AWS::Serverless::Function", KIND_FUNCTION, "FunctionName", FUNCTION_USED, FUNCTION_CLOUD},
    {"AWS::Serverless::Api", KIND_API, NULL, "Cors",
     "StageName Name Description AccessLogSetting Tags MethodSettings TracingEnabled EndpointConfiguration Domain "
     "BinaryMediaTypes MinimumCompressionSize OpenApiVersion FailOnWarnings PropagateTags CanarySetting "
     "CacheClusterEnabled CacheClusterSize DisableExecuteApiEndpoint AlwaysDeploy MergeDefinitions"},
    {"AWS::Serverless::HttpApi", KIND_HTTP_API, NULL, "CorsConfiguration",
     "StageName Name Description AccessLogSettings Tags DefaultRouteSettings RouteSettings Domain FailOnWarnings "
     "PropagateTags DisableExecuteApiEndpoint"},
    {"AWS::Serverless::SimpleTable", KIND_SIMPLE_TABLE, "TableName", "TableName PrimaryKey ProvisionedThroughput",
     "SSESpecification PointInTimeRecoverySpecification Tags"},
    {"AWS::DynamoDB::Table", KIND_TABLE, "TableName",
     "TableName AttributeDefinitions KeySchema GlobalSecondaryIndexes LocalSecondaryIndexes BillingMode "
     "ProvisionedThroughput TimeToLiveSpecification",
     "SSESpecification PointInTimeRecoverySpecification Tags DeletionProtectionEnabled TableClass ResourcePolicy "
     "ContributorInsightsSpecification OnDemandThroughput WarmThroughput"},
    {"AWS::SQS::Queue", KIND_QUEUE, "QueueName",
     "QueueName VisibilityTimeout DelaySeconds MaximumMessageSize MessageRetentionPeriod "
     "ReceiveMessageWaitTimeSeconds RedrivePolicy FifoQueue ContentBasedDeduplication DeduplicationScope "
     "FifoThroughputLimit",
     "KmsMasterKeyId KmsDataKeyReusePeriodSeconds SqsManagedSseEnabled Tags"},
    {"AWS::S3::Bucket", KIND_BUCKET, "BucketName", "BucketName",
     "BucketEncryption PublicAccessBlockConfiguration OwnershipControls LifecycleConfiguration LoggingConfiguration "
     "AccessControl VersioningConfiguration MetricsConfigurations InventoryConfigurations AnalyticsConfigurations "
     "IntelligentTieringConfigurations ReplicationConfiguration AccelerateConfiguration Tags"},
    {"AWS::SES::EmailIdentity", KIND_IDENTITY, "EmailIdentity", "EmailIdentity",
     "ConfigurationSetAttributes DkimAttributes DkimSigningAttributes FeedbackAttributes MailFromAttributes Tags"},
    {"AWS::IAM::Role", KIND_ROLE, "RoleName", "RoleName Policies ManagedPolicyArns",
     "AssumeRolePolicyDocument Description MaxSessionDuration Path PermissionsBoundary Tags"},
    {"AWS::IAM::Policy", KIND_POLICY, "PolicyName", "PolicyName PolicyDocument Roles", ""},
    {"AWS::IAM::ManagedPolicy", KIND_MANAGED_POLICY, "ManagedPolicyName", "ManagedPolicyName PolicyDocument Roles",
     "Description Path"},
    {"AWS::SQS::QueuePolicy", KIND_OTHER, NULL, "", "PolicyDocument Queues"},
    {"AWS::S3::BucketPolicy", KIND_OTHER, NULL, "", "PolicyDocument Bucket"},
    {"AWS::SNS::Topic", KIND_TOPIC, "TopicName", "TopicName",
     "DisplayName KmsMasterKeyId SignatureVersion TracingConfig DataProtectionPolicy Tags"},
    {"AWS::SNS::TopicPolicy", KIND_OTHER, NULL, "", "PolicyDocument Topics"},
    {"AWS::SNS::Subscription", KIND_OTHER, NULL, "Protocol", "TopicArn Endpoint Region"},
    {"AWS::Logs::LogGroup", KIND_OTHER, "LogGroupName", "LogGroupName",
     "RetentionInDays KmsKeyId LogGroupClass DataProtectionPolicy Tags"},
    {"AWS::CloudWatch::Alarm", KIND_OTHER, "AlarmName", "AlarmName",
     "AlarmDescription ActionsEnabled AlarmActions OKActions InsufficientDataActions Namespace MetricName Dimensions "
     "Statistic ExtendedStatistic Period EvaluationPeriods DatapointsToAlarm Threshold ThresholdMetricId "
     "ComparisonOperator TreatMissingData EvaluateLowSampleCountPercentile Unit Metrics Tags"},
};

const struct template_type *template_type(const struct yaml *resource) {
    const struct yaml *type = yaml_get(resource, "Type");
    for (size_t i = 0; type && type->type == YAML_SCALAR && i < sizeof types / sizeof *types; i++)
        if (str_is(type->text, types[i].type)) return &types[i];
    return NULL;
}

static struct str resource_path(struct template *t, struct str logical_id) {
    return template_path(t, STR("Resources"), arena_cstr(t->a, logical_id));
}

static const struct yaml *resource(const struct template *t, struct str logical_id) {
    const struct yaml *list = t->resources;
    for (size_t i = 0; list && i < list->n; i++)
        if (str_eq(list->keys[i]->text, logical_id)) return list->items[i];
    return NULL;
}

bool template_included(struct template *t, const struct yaml *r, struct str logical_id) {
    const struct yaml *c = yaml_get(r, "Condition");
    if (!c || c->type != YAML_SCALAR) return true;
    return template_condition(t, c->text, c->line, resource_path(t, logical_id));
}

/* ==== Globals ==== */

static bool mergeable(struct template *t, const struct yaml *v, enum yaml_type type) {
    const struct yaml *arg;
    return v->type == type && !template_intrinsic(t, v, &arg).p;
}

static size_t key_index(const struct yaml *map, struct str key) {
    size_t i = 0;
    while (i < map->n && !str_eq(map->keys[i]->text, key)) i++;
    return i;
}

/* SAM's rules: maps are merged, lists appended to the global one, anything else is overridden. */
static struct yaml *merge(struct template *t, const struct yaml *global, const struct yaml *local) {
    struct yaml *out = ARENA_NEW(t->a, struct yaml);
    bool maps = mergeable(t, global, YAML_MAP) && mergeable(t, local, YAML_MAP);
    bool lists = mergeable(t, global, YAML_SEQ) && mergeable(t, local, YAML_SEQ);
    *out = *local;
    if (!maps && !lists) return out;
    out->keys = ARENA_ARRAY(t->a, struct yaml *, global->n + local->n);
    out->items = ARENA_ARRAY(t->a, struct yaml *, global->n + local->n);
    for (size_t i = 0; i < global->n; i++) {
        if (maps) out->keys[i] = global->keys[i];
        out->items[i] = global->items[i];
    }
    out->n = global->n;
    for (size_t i = 0; i < local->n; i++) {
        size_t at = maps ? key_index(out, local->keys[i]->text) : out->n;
        out->items[at] = at < out->n ? merge(t, out->items[at], local->items[i]) : local->items[i];
        if (maps) out->keys[at] = local->keys[i];
        if (at == out->n) out->n++;
    }
    return out;
}

static const struct yaml *globals_of(const struct template *t, enum template_kind kind) {
    static const char *const sections[] = {[KIND_FUNCTION] = "Function",
                                           [KIND_API] = "Api",
                                           [KIND_HTTP_API] = "HttpApi",
                                           [KIND_SIMPLE_TABLE] = "SimpleTable"};
    return kind <= KIND_SIMPLE_TABLE ? yaml_get(t->globals, sections[kind]) : NULL;
}

/* Not resolved. */
static const struct yaml *raw_properties(struct template *t, const struct yaml *r) {
    const struct template_type *type = template_type(r);
    const struct yaml *own = yaml_get(r, "Properties"), *global = type ? globals_of(t, type->kind) : NULL;
    if (!own || own->type != YAML_MAP) {
        struct yaml *none = ARENA_NEW(t->a, struct yaml);
        *none = (struct yaml){.type = YAML_MAP, .line = r->line, .tag = STR("")};
        own = none;
    }
    return global && global->type == YAML_MAP ? merge(t, global, own) : own;
}

struct yaml *template_properties(struct template *t, struct str logical_id, struct str *ret_where) {
    const struct yaml *r = resource(t, logical_id);
    *ret_where = template_path(t, resource_path(t, logical_id), "Properties");
    return template_resolve(t, raw_properties(t, r), *ret_where);
}

/* ==== names and ARNs ==== */

/* Bucket names have no capital letters. */
/* A FIFO queue's name ends in ".fifo", as CloudFormation makes it too. */
static struct str default_name(struct template *t, const struct yaml *r, const struct template_type *type,
                               struct str logical_id) {
    const struct yaml *fifo = type->kind == KIND_QUEUE ? yaml_get(raw_properties(t, r), "FifoQueue") : NULL;
    if (fifo && fifo->type == YAML_SCALAR && str_is(fifo->text, "true"))
        return arena_printf(t->a, "%.*s.fifo", STR_ARG(logical_id));
    char *name = arena_cstr(t->a, logical_id);
    for (char *p = name; type->kind == KIND_BUCKET && *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    return str_n(name, logical_id.n);
}

/* The template's own name of the resource; empty: none. */
static struct str explicit_name(struct template *t, const struct yaml *r, const struct template_type *type,
                                struct str logical_id) {
    const struct yaml *v = type->name_property ? yaml_get(raw_properties(t, r), type->name_property) : NULL;
    struct str where = template_path(t, resource_path(t, logical_id), "Properties");
    if (v) v = template_resolve(t, v, template_path(t, where, type->name_property));
    return v && v->type == YAML_SCALAR ? v->text : STR("");
}

static const struct app_name *given_name(const struct template *t, struct str logical_id) {
    for (size_t i = 0; i < t->o->n_names; i++)
        if (str_eq(t->o->names[i].logical_id, logical_id)) return &t->o->names[i];
    return NULL;
}

struct str template_name(struct template *t, struct str logical_id) {
    const struct yaml *r = resource(t, logical_id);
    const struct template_type *type = r ? template_type(r) : NULL;
    if (!type) return logical_id;
    struct str own = explicit_name(t, r, type, logical_id);
    if (own.n) return own;
    const struct app_name *given = given_name(t, logical_id);
    return given ? given->name : default_name(t, r, type, logical_id);
}

static bool nameable(enum template_kind kind) {
    return kind == KIND_SIMPLE_TABLE || kind == KIND_TABLE || kind == KIND_QUEUE || kind == KIND_BUCKET;
}

void template_check_names(struct template *t) {
    for (size_t i = 0; i < t->o->n_names; i++) {
        const struct app_name *given = &t->o->names[i];
        const struct yaml *r = resource(t, given->logical_id);
        const struct template_type *type = r ? template_type(r) : NULL;
        if (!given->asked) continue;
        if (!type || !nameable(type->kind)) {
            template_problem(t, r ? r->line : 1, STR("--resources"),
                             "%.*s is no table, queue or bucket of this template", STR_ARG(given->logical_id));
            continue;
        }
        struct str own = explicit_name(t, r, type, given->logical_id);
        if (own.n && !str_eq(own, given->name))
            template_problem(t, r->line, STR("--resources"), "%.*s has the %s '%.*s' in the template",
                             STR_ARG(given->logical_id), type->name_property, STR_ARG(own));
    }
}

const char *template_partition(const struct template *t) {
    return t->o->partition ? t->o->partition : "aws";
}

/* "arn:aws:<service>:<region>:<account>:<prefix><name>"; S3 and IAM leave region (and account) out. */
static struct str arn(struct template *t, const char *service, bool region, bool account, const char *prefix,
                      struct str name) {
    return arena_printf(t->a, "arn:%s:%s:%s:%s:%s%.*s", template_partition(t), service, region ? t->o->region : "",
                        account ? t->o->account : "", prefix, STR_ARG(name));
}

struct str template_arn(struct template *t, struct str logical_id) {
    const struct yaml *r = resource(t, logical_id);
    const struct template_type *type = r ? template_type(r) : NULL;
    struct str name = template_name(t, logical_id);
    if (!type) return STR("");
    switch (type->kind) {
    case KIND_FUNCTION:
        return arn(t, "lambda", true, true, "function:", name);
    case KIND_SIMPLE_TABLE:
    case KIND_TABLE:
        return arn(t, "dynamodb", true, true, "table/", name);
    case KIND_QUEUE:
        return arn(t, "sqs", true, true, "", name);
    case KIND_BUCKET:
        return arn(t, "s3", false, false, "", name);
    case KIND_IDENTITY:
        return arn(t, "ses", true, true, "identity/", name);
    case KIND_ROLE:
        return arn(t, "iam", false, true, "role/", name);
    case KIND_MANAGED_POLICY:
        return arn(t, "iam", false, true, "policy/", name);
    case KIND_TOPIC:
        return arn(t, "sns", true, true, "", name);
    default:
        break;
    }
    if (str_is(yaml_get(r, "Type")->text, "AWS::Logs::LogGroup"))
        return arena_printf(t->a, "%s:*", arn(t, "logs", true, true, "log-group:", name).p);
    if (str_is(yaml_get(r, "Type")->text, "AWS::CloudWatch::Alarm"))
        return arn(t, "cloudwatch", true, true, "alarm:", name);
    return STR("");
}

static struct str queue_url(struct template *t, struct str name) {
    if (t->o->queue_base) return arena_printf(t->a, "%s/%.*s", t->o->queue_base, STR_ARG(name));
    return arena_printf(t->a, "https://sqs.%s.%s/%s/%.*s", t->o->region, app_url_suffix(t->o->partition), t->o->account,
                        STR_ARG(name));
}

/* ==== Ref and Fn::GetAtt ==== */

static struct yaml *unknown(struct template *t, int line) {
    struct yaml *v = template_scalar(t, line, STR(""));
    v->tag = STR("!broken");
    return v;
}

static struct str pseudo(const struct template *t, struct str name) {
    const struct {
        const char *name;
        const char *value;
    } all[] = {{"AWS::Region", t->o->region},
               {"AWS::AccountId", t->o->account},
               {"AWS::Partition", template_partition(t)},
               {"AWS::StackName", t->o->stack ? t->o->stack : "perigee"},
               {"AWS::URLSuffix", app_url_suffix(t->o->partition)}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_is(name, all[i].name)) return str_c(all[i].value);
    return STR_NONE;
}

/* The function whose role SAM makes, for "CreateOrderRole". */
static bool implicit_role(const struct template *t, struct str name) {
    const struct yaml *r = str_ends(name, STR("Role")) ? resource(t, str_take(name, name.n - 4)) : NULL;
    const struct template_type *type = r ? template_type(r) : NULL;
    return type && type->kind == KIND_FUNCTION;
}

static bool implicit(const struct template *t, struct str name) {
    return str_is(name, "ServerlessHttpApi") || str_is(name, "ServerlessRestApi") || implicit_role(t, name);
}

/* NULL when it may be referred to. */
static const char *refusal(struct template *t, const struct yaml *r, struct str name) {
    if (!r) return "which is no parameter or resource of this template";
    if (!template_type(r)) return "whose type is not supported";
    return template_included(t, r, name) ? NULL : "which its Condition leaves out";
}

/* A resource of an unknown type is named at its own line; that others refer to it is no mistake of theirs. */
static void refuse(struct template *t, const struct yaml *r, struct str name, const char *why, int line,
                   struct str where) {
    if (r && !template_type(r) && template_included(t, r, name)) return;
    template_problem(t, line, where, "refers to %.*s, %s", STR_ARG(name), why);
}

struct yaml *template_ref(struct template *t, struct str name, int line, struct str where) {
    struct str value = pseudo(t, name);
    if (value.p) return template_scalar(t, line, value);
    struct yaml *parameter = template_parameter(t, name, line);
    if (parameter) return parameter;
    const struct yaml *r = resource(t, name);
    if (!r && implicit(t, name)) return template_scalar(t, line, name);
    const char *why = refusal(t, r, name);
    if (why) {
        refuse(t, r, name, why, line, where);
        return unknown(t, line);
    }
    enum template_kind kind = template_type(r)->kind;
    value = template_name(t, name);
    if (kind == KIND_QUEUE) value = queue_url(t, value);
    if (kind == KIND_MANAGED_POLICY || kind == KIND_TOPIC) value = template_arn(t, name);
    return template_scalar(t, line, value);
}

static struct str attribute_of(struct template *t, const struct template_type *type, struct str id, struct str attr) {
    struct str name = template_name(t, id);
    if (type->kind == KIND_QUEUE && str_is(attr, "QueueName")) return name;
    if (type->kind == KIND_TOPIC && str_is(attr, "TopicName")) return name;
    if (type->kind == KIND_TOPIC) return str_is(attr, "TopicArn") ? template_arn(t, id) : STR("");
    if (type->kind == KIND_QUEUE && str_is(attr, "QueueUrl")) return queue_url(t, name);
    if (type->kind == KIND_BUCKET && str_is(attr, "DomainName"))
        return arena_printf(t->a, "%.*s.s3.%s", STR_ARG(name), app_url_suffix(t->o->partition));
    if (type->kind == KIND_BUCKET && str_is(attr, "RegionalDomainName"))
        return arena_printf(t->a, "%.*s.s3.%s.%s", STR_ARG(name), t->o->region, app_url_suffix(t->o->partition));
    if (str_is(attr, "Arn") && type->kind != KIND_IDENTITY) return template_arn(t, id);
    return STR("");
}

struct yaml *template_attribute(struct template *t, struct str name, struct str attribute, int line, struct str where) {
    const struct yaml *r = resource(t, name);
    if (!r && implicit_role(t, name) && str_is(attribute, "Arn"))
        return template_scalar(t, line, arn(t, "iam", false, true, "role/", name));
    const char *why = refusal(t, r, name);
    struct str value = why ? STR("") : attribute_of(t, template_type(r), name, attribute);
    if (why)
        refuse(t, r, name, why, line, where);
    else if (!value.n)
        template_problem(t, line, where, "%.*s has no attribute '%.*s' that is supported", STR_ARG(name),
                         STR_ARG(attribute));
    return value.n ? template_scalar(t, line, value) : unknown(t, line);
}

/* ==== checks ==== */

static void check_depends(struct template *t, const struct yaml *r, struct str where) {
    const struct yaml *d = yaml_get(r, "DependsOn");
    struct str *names;
    size_t n;
    if (!d || template_texts(t, d, template_path(t, where, "DependsOn"), &names, &n)) return;
    for (size_t i = 0; i < n; i++)
        if (!resource(t, names[i]))
            template_problem(t, d->line, where, "DependsOn: there is no resource %.*s", STR_ARG(names[i]));
}

/* Whom alarms tell is no matter here; what a topic starts is: nothing publishes locally. */
static void check_subscription(struct template *t, const struct yaml *props, struct str where) {
    struct str protocol = STR("");
    if (!template_text(t, props, "Protocol", where, &protocol)) return;
    if (!template_word("email email-json sms http https application firehose", protocol))
        template_problem(t, yaml_get(props, "Protocol")->line, where,
                         "Protocol %.*s is not supported: no topic starts anything locally", STR_ARG(protocol));
}

static void check_resource(struct template *t, const struct yaml *id, const struct yaml *r) {
    struct str where = resource_path(t, id->text);
    const struct yaml *type = yaml_get(r, "Type");
    const struct template_type *known = template_type(r);
    template_check_keys(t, r, where, "Type Properties Condition DependsOn",
                        "Metadata DeletionPolicy UpdateReplacePolicy");
    if (!known) {
        bool text = type && type->type == YAML_SCALAR;
        template_problem(t, type ? type->line : id->line, where, text ? "Type %s is not supported" : "needs a Type%s",
                         text ? type->text.p : "");
        return;
    }
    check_depends(t, r, where);
    if (!template_included(t, r, id->text)) return;
    const struct yaml *props = yaml_get(r, "Properties");
    if (props) template_check_keys(t, props, template_path(t, where, "Properties"), known->used, known->cloud);
    /* Resolving finds references that lead nowhere also where nothing else reads the value. */
    if (known->kind < KIND_TOPIC) return;
    props = template_properties(t, id->text, &where);
    if (str_is(type->text, "AWS::SNS::Subscription")) check_subscription(t, props, where);
}

static void check_globals(struct template *t) {
    template_check_keys(t, t->globals, STR("Globals"), "Function Api HttpApi SimpleTable", NULL);
    for (enum template_kind k = KIND_FUNCTION; k <= KIND_SIMPLE_TABLE; k++) {
        const struct yaml *g = globals_of(t, k);
        struct str where = STR("Globals");
        const char *section = strrchr(types[k].type, ':') + 1;
        if (!g) continue;
        where = template_path(t, where, section);
        template_check_keys(t, g, where, types[k].used, types[k].cloud);
        /* Of an API that SAM makes, nothing else reads more than CORS. */
        if (k == KIND_API || k == KIND_HTTP_API) template_resolve(t, g, where);
    }
}

void template_check_resources(struct template *t) {
    if (t->globals) check_globals(t);
    for (size_t i = 0; t->resources && i < t->resources->n; i++) {
        struct str id = t->resources->keys[i]->text;
        if (yaml_get(t->parameters, id.p))
            template_problem(t, t->resources->keys[i]->line, STR("Resources"), "%s is a parameter too", id.p);
        check_resource(t, t->resources->keys[i], t->resources->items[i]);
    }
}
