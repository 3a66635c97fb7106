/* Which service a document is from, and the reading of its members. */
#include "route/event.h"

static const char *const names[] = {
    [EVENT_OTHER] = "event",
    [EVENT_REST_V1] = "apigw-rest",
    [EVENT_HTTP_V1] = "apigw-http-1",
    [EVENT_HTTP_V2] = "apigw-http",
    [EVENT_URL] = "url",
    [EVENT_ALB] = "alb",
    [EVENT_SQS] = "sqs",
    [EVENT_BRIDGE] = "schedule",
};

const char *event_kind_name(enum event_kind k) {
    return k < EVENT_KINDS ? names[k] : names[EVENT_OTHER];
}

bool event_is_http(enum event_kind k) {
    return k >= EVENT_REST_V1 && k <= EVENT_ALB;
}

static bool has_text(const struct json *obj, const char *key) {
    return json_get_s(obj, key).p != NULL;
}

/* Lambda authorizers of an API are called with documents much like those of its integrations. */
static bool is_authorizer(const struct json *d) {
    return has_text(d, "type") && (has_text(d, "methodArn") || has_text(d, "routeArn"));
}

/* Lambda developer guide, "Invoking Lambda function URLs": the host is <url-id>.lambda-url.<region>.on.aws. */
static bool is_function_url(const struct json *context) {
    return str_find(json_get_s(context, "domainName"), STR(".lambda-url."), 0) > 0;
}

/* Others count versions, too: VPC Lattice has events of a version 2.0. */
static bool is_payload_2(const struct json *d, const struct json *context) {
    return str_is(json_get_s(d, "version"), "2.0") && (json_get(context, "http") || json_get(d, "rawPath"));
}

static enum event_kind http_kind(const struct json *d, const struct json *context) {
    if (json_get(context, "elb")) return EVENT_ALB;
    if (is_payload_2(d, context)) return is_function_url(context) ? EVENT_URL : EVENT_HTTP_V2;
    if (!json_get(d, "httpMethod")) return EVENT_OTHER;
    if (str_is(json_get_s(d, "version"), "1.0")) return EVENT_HTTP_V1;
    return json_get(d, "resource") || json_get(context, "resourceId") ? EVENT_REST_V1 : EVENT_OTHER;
}

enum event_kind event_kind_of(const struct json *d) {
    const struct json *context = json_get(d, "requestContext"), *records = json_get(d, "Records");
    if (json_is(context, JSON_OBJ) && !is_authorizer(d)) return http_kind(d, context);
    if (json_is(records, JSON_ARR) && records->n && str_is(json_get_s(&records->items[0], "eventSource"), "aws:sqs"))
        return EVENT_SQS;
    return has_text(d, "detail-type") && has_text(d, "source") ? EVENT_BRIDGE : EVENT_OTHER;
}

// ---- members ----

static int missing(const char *at, const char *key, struct err *e) {
    return err_set(e, ERR_VALIDATION, "%s%s: missing", at, key);
}

static const char *a_type(enum json_type t) {
    static const char *const a[] = {
        [JSON_NULL] = "null",    [JSON_FALSE] = "a boolean", [JSON_TRUE] = "a boolean", [JSON_NUM] = "a number",
        [JSON_STR] = "a string", [JSON_ARR] = "a list",      [JSON_OBJ] = "an object",
    };
    return a[t];
}

int event_member(const struct json *obj, const char *at, const char *key, enum json_type type, const struct json **ret,
                 struct err *e) {
    const struct json *v = json_get(obj, key);
    *ret = NULL;
    if (!v || v->type == JSON_NULL) return 0;
    if (v->type != type)
        return err_set(e, ERR_VALIDATION, "%s%s: must be %s, not %s", at, key, a_type(type), a_type(v->type));
    *ret = v;
    return 0;
}

int event_text(const struct json *obj, const char *at, const char *key, struct str *ret, struct err *e) {
    const struct json *v;
    if (event_member(obj, at, key, JSON_STR, &v, e)) return -1;
    *ret = json_str(v);
    return 0;
}

int event_need_text(const struct json *obj, const char *at, const char *key, struct str *ret, struct err *e) {
    const struct json *v;
    if (event_member(obj, at, key, JSON_STR, &v, e)) return -1;
    *ret = json_str(v);
    return v ? 0 : missing(at, key, e);
}

int event_need_object(const struct json *obj, const char *at, const char *key, const struct json **ret, struct err *e) {
    if (event_member(obj, at, key, JSON_OBJ, ret, e)) return -1;
    return *ret ? 0 : missing(at, key, e);
}

int event_flag(const struct json *obj, const char *at, const char *key, bool *ret, struct err *e) {
    const struct json *v = json_get(obj, key);
    *ret = false;
    if (!v || v->type == JSON_NULL || json_bool(v, ret)) return 0;
    return err_set(e, ERR_VALIDATION, "%s%s: must be a boolean, not %s", at, key, a_type(v->type));
}
