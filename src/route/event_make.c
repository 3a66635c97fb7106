/* Requests -> HTTP documents: what API Gateway, a function URL or a load balancer would have sent. The pages that
 * describe them are named in event_http.c. */
#include "base/crypto.h"
#include "base/url.h"
#include "route/event.h"
#include <string.h>
#include <time.h>

enum { QUERY_MAX = 10000 };

struct making {
    struct arena *a;
    enum event_kind kind;
    const struct http_request *q;
    const struct event_route *r;
};

// ---- values ----

/* Bytes that are no UTF-8 become U+FFFD. */
static struct str clean(struct arena *a, struct str s) {
    ptrdiff_t bad = str_bad_utf8(s);
    if (bad < 0) return s.p ? s : STR("");
    struct buf b = BUF_MAX(s.n * 3);
    for (; bad >= 0; bad = str_bad_utf8(s)) {
        buf_str(&b, str_take(s, (size_t)bad));
        buf_c(&b, "\xef\xbf\xbd");
        s = str_from(s, (size_t)bad + 1);
    }
    buf_str(&b, s);
    s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static void text(struct making *m, struct json *obj, const char *key, struct str s) {
    json_set(m->a, obj, key, json_make_str(clean(m->a, s)));
}

static void null(struct making *m, struct json *obj, const char *key) {
    json_set(m->a, obj, key, json_make_null());
}

static struct str lower(struct arena *a, struct str s) {
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] += 'a' - 'A';
    return str_n(p, s.n);
}

/* "12/Mar/2020:19:03:58 +0000" */
static struct str log_time(struct arena *a, int64_t ms) {
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    gmtime_r(&s, &t);
    return arena_printf(a, "%02d/%s/%04d:%02d:%02d:%02d +0000", t.tm_mday, months[t.tm_mon], t.tm_year + 1900,
                        t.tm_hour, t.tm_min, t.tm_sec);
}

// ---- names with several values ----

/* In order of appearance; what comes under a name already seen joins it there. */
static void add_to_list(struct arena *a, struct json *lists, struct str name, struct str value) {
    struct json *list = (struct json *)json_get_str(lists, name);
    if (!list) list = json_set_str(a, lists, name, json_make_arr());
    json_push(a, list, json_make_str(value));
}

/* {a: ["1", "2"]} -> {a: "2"}, or joined. */
static struct json singles(struct arena *a, const struct json *lists, const char *joined_with) {
    struct json map = json_make_obj();
    for (uint32_t i = 0; i < lists->n; i++) {
        const struct json *list = &lists->members[i].value;
        struct str s = list->items[joined_with ? 0 : list->n - 1].s;
        for (uint32_t k = 1; joined_with && k < list->n; k++)
            s = arena_printf(a, "%.*s%s%.*s", STR_ARG(s), joined_with, STR_ARG(list->items[k].s));
        json_set_str(a, &map, lists->members[i].key, json_make_str(s));
    }
    return map;
}

/* REST APIs keep the case of names. */
static struct json headers_of(struct making *m) {
    struct json lists = json_make_obj();
    for (size_t i = 0; i < m->q->n_headers; i++) {
        struct str name = m->q->headers[i].name;
        struct str key = m->kind == EVENT_REST_V1 ? clean(m->a, name) : lower(m->a, clean(m->a, name));
        add_to_list(m->a, &lists, key, clean(m->a, m->q->headers[i].value));
    }
    return lists;
}

static struct str decode(struct making *m, struct str raw) {
    struct str s = raw;
    if (m->kind != EVENT_ALB && url_decode(m->a, raw, true, &s, NULL)) s = raw;
    return clean(m->a, s);
}

static struct json query_of(struct making *m) {
    struct json lists = json_make_obj();
    struct str rest = m->q->raw_query;
    for (int n = 0; rest.p && rest.n && n < QUERY_MAX;) {
        struct str value = str_cut(&rest, '&'), name;
        if (!value.n) continue;
        name = str_cut(&value, '=');
        add_to_list(m->a, &lists, decode(m, name), value.p ? decode(m, value) : STR(""));
        n++;
    }
    return lists;
}

static struct json map_or_null(struct json map) {
    return map.n ? map : json_make_null();
}

static void both(struct making *m, struct json *d, const char *one, const char *many, struct json lists) {
    json_set(m->a, d, one, map_or_null(singles(m->a, &lists, NULL)));
    json_set(m->a, d, many, map_or_null(lists));
}

// ---- parts ----

static struct json params_of(struct making *m) {
    struct json map = json_make_obj();
    for (size_t i = 0; i < m->r->n_params; i++) {
        struct str value = clean(m->a, m->r->params[i].value);
        if (m->kind == EVENT_REST_V1) {
            struct buf b = BUF_MAX(value.n * 3 + 1);
            url_encode(&b, value, true);
            value = arena_str(m->a, buf_view(&b));
            buf_free(&b);
        }
        json_set_str(m->a, &map, m->r->params[i].name, json_make_str(value));
    }
    return map;
}

static void add_body(struct making *m, struct json *d) {
    struct str body = m->q->body;
    bool plain = event_is_text(http_header(m->q, "Content-Type"), body);
    if (!body.n && m->kind == EVENT_ALB)
        text(m, d, "body", STR(""));
    else if (!body.n && (m->kind == EVENT_REST_V1 || m->kind == EVENT_HTTP_V1))
        null(m, d, "body");
    else if (body.n && plain)
        json_set(m->a, d, "body", json_make_str(body));
    else if (body.n) {
        struct buf b = BUF_MAX(body.n / 3 * 4 + 8);
        crypto_base64(&b, body);
        json_set(m->a, d, "body", json_make_str(arena_str(m->a, buf_view(&b))));
        buf_free(&b);
    }
    json_set(m->a, d, "isBase64Encoded", json_make_bool(!plain));
}

static struct str prefix_of(struct making *m) {
    return m->r->api_id.n ? m->r->api_id : STR("perigee");
}

/* The host that a client asked for, but for function URLs: they are known by theirs. */
static struct str domain_of(struct making *m) {
    struct str host = http_header(m->q, "Host");
    if (m->kind == EVENT_URL)
        return arena_printf(m->a, "%.*s.lambda-url.%.*s.on.aws", STR_ARG(prefix_of(m)), STR_ARG(m->r->region));
    if (host.n && str_find(host, STR(".lambda-url."), 0) < 0) return str_cut(&host, ':');
    return arena_printf(m->a, "%.*s.execute-api.%.*s.amazonaws.com", STR_ARG(prefix_of(m)), STR_ARG(m->r->region));
}

/* HTTP APIs hand on the decoded path. */
static struct str decoded_path(struct making *m) {
    struct str path;
    if (url_decode(m->a, m->q->path, false, &path, NULL)) return clean(m->a, m->q->path);
    return clean(m->a, path);
}

static struct str stage_of(struct making *m) {
    if (m->r->stage.n) return m->r->stage;
    return m->kind == EVENT_REST_V1 ? STR("Prod") : STR("$default");
}

static void add_context(struct making *m, struct json *c) {
    text(m, c, "accountId", m->r->account);
    text(m, c, "apiId", prefix_of(m));
    text(m, c, "domainName", domain_of(m));
    text(m, c, "domainPrefix", prefix_of(m));
    text(m, c, "requestId", m->q->request_id);
    text(m, c, "stage", stage_of(m));
}

// ---- REST, and HTTP APIs with payload format 1.0 ----

static struct json identity_of(struct making *m) {
    static const char *const nulls[] = {"accessKey",
                                        "accountId",
                                        "caller",
                                        "cognitoAuthenticationProvider",
                                        "cognitoAuthenticationType",
                                        "cognitoIdentityId",
                                        "cognitoIdentityPoolId",
                                        "principalOrgId",
                                        "user",
                                        "userArn",
                                        NULL};
    struct json o = json_make_obj();
    for (int i = 0; nulls[i]; i++) null(m, &o, nulls[i]);
    text(m, &o, "sourceIp", m->q->remote_ip);
    text(m, &o, "userAgent", http_header(m->q, "User-Agent"));
    return o;
}

static struct json context_v1(struct making *m, struct str resource, struct str path) {
    struct json c = json_make_obj();
    struct str stage = stage_of(m);
    bool in_path = m->kind == EVENT_REST_V1;
    add_context(m, &c);
    text(m, &c, "extendedRequestId", m->q->request_id);
    text(m, &c, "httpMethod", m->q->method);
    json_set(m->a, &c, "identity", identity_of(m));
    text(m, &c, "path", in_path ? arena_printf(m->a, "/%.*s%.*s", STR_ARG(stage), STR_ARG(path)) : path);
    text(m, &c, "protocol", m->q->version);
    text(m, &c, "requestTime", log_time(m->a, m->r->unix_ms));
    json_set(m->a, &c, "requestTimeEpoch", json_make_i64(m->a, m->r->unix_ms));
    text(m, &c, "resourceId",
         in_path ? STR("perigee") : arena_printf(m->a, "%.*s %.*s", STR_ARG(m->q->method), STR_ARG(resource)));
    text(m, &c, "resourcePath", resource);
    return c;
}

static void make_v1(struct making *m, struct json *d) {
    struct str path = m->kind == EVENT_HTTP_V1 ? decoded_path(m) : m->q->path;
    struct str resource = m->r->pattern.n ? m->r->pattern : path;
    if (m->kind == EVENT_HTTP_V1) text(m, d, "version", STR("1.0"));
    text(m, d, "resource", resource);
    text(m, d, "path", path);
    text(m, d, "httpMethod", m->q->method);
    both(m, d, "headers", "multiValueHeaders", headers_of(m));
    both(m, d, "queryStringParameters", "multiValueQueryStringParameters", query_of(m));
    json_set(m->a, d, "pathParameters", map_or_null(params_of(m)));
    null(m, d, "stageVariables");
    json_set(m->a, d, "requestContext", context_v1(m, resource, path));
    add_body(m, d);
}

// ---- HTTP APIs with payload format 2.0, and function URLs ----

static void add_headers_v2(struct making *m, struct json *d) {
    struct json lists = headers_of(m), rest = json_make_obj(), cookies = json_make_arr();
    for (uint32_t i = 0; i < lists.n; i++) {
        if (!str_is(lists.members[i].key, "cookie")) {
            json_set_str(m->a, &rest, lists.members[i].key, lists.members[i].value);
            continue;
        }
        const struct json *values = &lists.members[i].value;
        for (uint32_t k = 0; k < values->n; k++)
            for (struct str all = values->items[k].s; all.p;)
                json_push(m->a, &cookies, json_make_str(str_trim(str_cut(&all, ';'))));
    }
    if (cookies.n) json_set(m->a, d, "cookies", cookies);
    json_set(m->a, d, "headers", singles(m->a, &rest, ","));
}

static struct json context_v2(struct making *m, struct str path, struct str route_key) {
    struct json c = json_make_obj(), http = json_make_obj();
    add_context(m, &c);
    text(m, &http, "method", m->q->method);
    text(m, &http, "path", path);
    text(m, &http, "protocol", m->q->version);
    text(m, &http, "sourceIp", m->q->remote_ip);
    text(m, &http, "userAgent", http_header(m->q, "User-Agent"));
    json_set(m->a, &c, "http", http);
    text(m, &c, "routeKey", route_key);
    text(m, &c, "time", log_time(m->a, m->r->unix_ms));
    json_set(m->a, &c, "timeEpoch", json_make_i64(m->a, m->r->unix_ms));
    return c;
}

static void make_v2(struct making *m, struct json *d) {
    struct str path = m->kind == EVENT_URL ? m->q->path : decoded_path(m), route_key = STR("$default");
    if (m->r->pattern.n && m->kind != EVENT_URL)
        route_key = arena_printf(m->a, "%.*s %.*s", STR_ARG(m->q->method), STR_ARG(m->r->pattern));
    struct json query = query_of(m), params = params_of(m);
    struct str stage = stage_of(m);
    struct str raw = str_is(stage, "$default") ? path : arena_printf(m->a, "/%.*s%.*s", STR_ARG(stage), STR_ARG(path));
    text(m, d, "version", STR("2.0"));
    text(m, d, "routeKey", route_key);
    text(m, d, "rawPath", raw);
    text(m, d, "rawQueryString", m->q->raw_query);
    add_headers_v2(m, d);
    if (query.n) json_set(m->a, d, "queryStringParameters", singles(m->a, &query, ","));
    json_set(m->a, d, "requestContext", context_v2(m, raw, route_key));
    if (params.n && m->kind != EVENT_URL) json_set(m->a, d, "pathParameters", params);
    add_body(m, d);
}

// ---- load balancers ----

/* The client's address goes to the end of X-Forwarded-For. */
static void add_forwarded(struct making *m, struct json *lists) {
    const struct json *old = json_get(lists, "x-forwarded-for");
    struct str ip = m->q->remote_ip;
    if (!ip.n) return;
    if (old)
        old->items[old->n - 1].s = arena_printf(m->a, "%.*s, %.*s", STR_ARG(old->items[old->n - 1].s), STR_ARG(ip));
    else
        add_to_list(m->a, lists, STR("x-forwarded-for"), ip);
}

static void make_alb(struct making *m, struct json *d) {
    struct json context = json_make_obj(), elb = json_make_obj(), headers = headers_of(m), query = query_of(m);
    text(m, &elb, "targetGroupArn",
         arena_printf(m->a, "arn:%.*s:elasticloadbalancing:%.*s:%.*s:targetgroup/perigee/0123456789abcdef",
                      STR_ARG(m->r->partition), STR_ARG(m->r->region), STR_ARG(m->r->account)));
    json_set(m->a, &context, "elb", elb);
    json_set(m->a, d, "requestContext", context);
    text(m, d, "httpMethod", m->q->method);
    text(m, d, "path", m->q->path);
    add_forwarded(m, &headers);
    if (m->r->multi_value) {
        json_set(m->a, d, "multiValueQueryStringParameters", query);
        json_set(m->a, d, "multiValueHeaders", headers);
    } else {
        json_set(m->a, d, "queryStringParameters", singles(m->a, &query, NULL));
        json_set(m->a, d, "headers", singles(m->a, &headers, NULL));
    }
    add_body(m, d);
}

int event_make_http(struct arena *a, enum event_kind kind, const struct http_request *req, const struct event_route *r,
                    struct json *ret, struct err *e) {
    struct making m = {.a = a, .kind = kind, .q = req, .r = r};
    struct json d = json_make_obj();
    if (!event_is_http(kind))
        return err_set(e, ERR_VALIDATION, "an event of the kind %s is made of no request", event_kind_name(kind));
    if (kind == EVENT_ALB)
        make_alb(&m, &d);
    else if (kind == EVENT_HTTP_V2 || kind == EVENT_URL)
        make_v2(&m, &d);
    else
        make_v1(&m, &d);
    *ret = d;
    return 0;
}
