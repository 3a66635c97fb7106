/* HTTP documents -> requests. */
#include "base/crypto.h"
#include "base/url.h"
#include "route/event.h"
#include "route/table.h"

struct reading {
    struct arena *a;
    const struct json *d, *context;
    struct event_http *out;
    struct http_header *headers;
    bool encoded; /* path and path parameters are as the client sent them */
    bool fitted;  /* the path ends in what the route's pattern says */
    struct err *e;
};

/* HTTP APIs decode the path, in both payload formats; REST APIs, function URLs and load balancers do not. */
static bool keeps_encoding(enum event_kind k) {
    return k == EVENT_REST_V1 || k == EVENT_URL || k == EVENT_ALB;
}

static int wrong(struct reading *r, const char *where, struct str key, const char *must, const struct json *v) {
    return err_set(r->e, ERR_VALIDATION, "%s.%.*s: must be %s, not %s", where, STR_ARG(str_take(key, 128)), must,
                   json_type_name(v->type));
}

/* == members that are maps: one value or a list of values a name ====================================================
 */

typedef void add_fn(struct reading *r, void *ud, struct str name, struct str value);

static int each_of_list(struct reading *r, const char *where, const struct json_member *m, add_fn *add, void *ud) {
    if (m->value.type == JSON_NULL) return 0;
    if (m->value.type != JSON_ARR) return wrong(r, where, m->key, "a list of strings", &m->value);
    for (uint32_t i = 0; i < m->value.n; i++) {
        const struct json *v = &m->value.items[i];
        if (v->type != JSON_STR) return wrong(r, where, m->key, "a list of strings", &m->value);
        add(r, ud, m->key, v->s);
    }
    return 0;
}

static int each(struct reading *r, const char *where, const struct json *map, bool lists, add_fn *add, void *ud) {
    for (uint32_t i = 0; map && i < map->n; i++) {
        const struct json_member *m = &map->members[i];
        if (lists) {
            if (each_of_list(r, where, m, add, ud)) return -1;
        } else if (m->value.type == JSON_STR) {
            add(r, ud, m->key, m->value.s);
        } else if (m->value.type != JSON_NULL) {
            return wrong(r, where, m->key, "a string", &m->value);
        }
    }
    return 0;
}

/* The map of lists, or (missing) the map of single values. *ret_many tells which. */
static int maps(struct reading *r, const char *many, const char *one, const struct json **ret, bool *ret_many) {
    const struct json *single;
    if (event_member(r->d, "", many, JSON_OBJ, ret, r->e) || event_member(r->d, "", one, JSON_OBJ, &single, r->e))
        return -1;
    *ret_many = *ret != NULL;
    if (!*ret) *ret = single;
    return 0;
}

static size_t values(const struct json *map) {
    size_t n = 0;
    for (uint32_t i = 0; map && i < map->n; i++) {
        const struct json *v = &map->members[i].value;
        n += v->type == JSON_ARR ? v->n : 1;
    }
    return n;
}

// ---- headers ----

static void add_header(struct reading *r, void *ud, struct str name, struct str value) {
    (void)ud;
    r->headers[r->out->request.n_headers++] = (struct http_header){name, value};
}

static int read_headers(struct reading *r) {
    enum { MORE = 2 }; /* Cookie, Host */
    const struct json *map;
    bool many;
    if (maps(r, "multiValueHeaders", "headers", &map, &many)) return -1;
    r->headers = ARENA_ARRAY(r->a, struct http_header, values(map) + MORE);
    r->out->request.headers = r->headers;
    r->out->multi_value = many;
    return each(r, many ? "multiValueHeaders" : "headers", map, many, add_header, NULL);
}

/* Payload 2.0: "cookies" has them, one an element. */
static int read_cookies(struct reading *r) {
    const struct json *list;
    if (event_member(r->d, "", "cookies", JSON_ARR, &list, r->e)) return -1;
    if (!list || !list->n || http_header(&r->out->request, "Cookie").p) return 0;
    struct buf b = BUF_MAX(1 << 20);
    int rc = 0;
    for (uint32_t i = 0; i < list->n && !rc; i++) {
        if (list->items[i].type != JSON_STR)
            rc = err_set(r->e, ERR_VALIDATION, "cookies: must be a list of strings");
        else
            buf_printf(&b, "%s%.*s", i ? "; " : "", STR_ARG(list->items[i].s));
    }
    if (!rc) rc = buf_check(&b, "cookies", r->e);
    if (!rc) add_header(r, NULL, STR("cookie"), arena_str(r->a, buf_view(&b)));
    buf_free(&b);
    return rc;
}

static void add_host(struct reading *r) {
    struct str domain = json_get_s(r->context, "domainName");
    if (domain.n && !http_header(&r->out->request, "Host").p) add_header(r, NULL, STR("host"), domain);
}

// ---- query ----

static void pair(struct buf *b, struct str name, struct str value, bool encode) {
    if (b->n) buf_byte(b, '&');
    if (encode) {
        url_encode(b, name, false);
        buf_byte(b, '=');
        url_encode(b, value, false);
    } else {
        buf_printf(b, "%.*s=%.*s", STR_ARG(name), STR_ARG(value));
    }
}

static void add_pair(struct reading *r, void *ud, struct str name, struct str value) {
    pair(ud, name, value, r->out->kind != EVENT_ALB);
}

/* API Gateway has decoded names and values; a load balancer hands them on as they came ("Using AWS Lambda with an
 * Application Load Balancer": "If the query parameters are URL-encoded, the load balancer does not decode them"). */
static int read_query(struct reading *r) {
    const struct json *map;
    bool many;
    struct buf b = BUF_MAX(1 << 20);
    int rc = maps(r, "multiValueQueryStringParameters", "queryStringParameters", &map, &many);
    if (!rc) rc = each(r, many ? "multiValueQueryStringParameters" : "queryStringParameters", map, many, add_pair, &b);
    if (!rc) rc = buf_check(&b, "the query", r->e);
    if (!rc) r->out->request.raw_query = arena_str(r->a, buf_view(&b));
    buf_free(&b);
    return rc;
}

// ---- path ----

static struct str decoded(struct reading *r, struct str s, bool *ret_bad) {
    struct str out = s;
    *ret_bad = r->encoded && url_decode(r->a, s, false, &out, NULL);
    if (str_bad_utf8(out) >= 0 || (out.n && str_chr(out, '\0', 0) >= 0)) *ret_bad = true;
    return out;
}

static size_t segments(struct str path) {
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) n += path.p[i] == '/';
    return n - (path.n > 1 && path.p[path.n - 1] == '/');
}

/* Where the last n segments of the path begin. */
static size_t tail(struct str path, size_t n) {
    size_t at = path.n > 1 && path.p[path.n - 1] == '/' ? path.n - 1 : path.n;
    while (n--) {
        do at--;
        while (path.p[at] != '/');
    }
    return at;
}

static bool fits(struct reading *r, struct str pattern, struct str path) {
    bool bad;
    pattern = str_from(pattern, 1);
    path = str_from(path, 1);
    while (pattern.p) {
        struct str want = str_cut(&pattern, '/'), got = str_cut(&path, '/');
        if (segment_is_param(want)) continue;
        if (!str_eq(want, decoded(r, got, &bad))) return false;
    }
    return true;
}

/* How many segments the path of a request to this route has; 0: unknown. */
static size_t route_segments(const struct json *params, struct str pattern) {
    size_t n = segments(pattern);
    struct str last = pattern;
    while (str_chr(last, '/', 0) >= 0) str_cut(&last, '/');
    if (!segment_is_greedy(last)) return n;
    struct str value = json_str(json_get_str(params, segment_param(last)));
    if (!value.n) return 0;
    for (size_t i = 0; i < value.n; i++) n += value.p[i] == '/';
    return n - (value.n && value.p[value.n - 1] == '/');
}

/* Before the route's own segments a path may have the stage, or the base path of a custom domain. */
static struct str without_stage(struct reading *r, struct str path, struct str pattern, const struct json *params) {
    size_t have = segments(path), want = pattern.n ? route_segments(params, pattern) : 0;
    if (want && want <= have) {
        struct str end = str_from(path, tail(path, want));
        r->fitted = fits(r, pattern, end);
        if (r->fitted) return end;
    }
    struct str stage = json_get_s(r->context, "stage"), rest = str_from(path, 1);
    if (r->out->kind == EVENT_ALB || !stage.n || str_is(stage, "$default") || !str_starts(rest, stage)) return path;
    rest = str_from(rest, stage.n);
    if (!rest.n) return STR("/");
    return rest.p[0] == '/' ? rest : path;
}

static struct str encoded(struct reading *r, struct str path) {
    struct buf b = BUF_MAX(path.n * 3 + 1);
    if (r->encoded) return path;
    url_encode(&b, path, true);
    path = arena_str(r->a, buf_view(&b));
    buf_free(&b);
    return path;
}

static int read_params(struct reading *r, const struct json *map) {
    if (!map || !map->n) return 0;
    struct script_param *list = ARENA_ARRAY(r->a, struct script_param, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct json_member *m = &map->members[i];
        bool bad;
        if (m->value.type != JSON_STR) return wrong(r, "pathParameters", m->key, "a string", &m->value);
        struct str value = decoded(r, m->value.s, &bad);
        list[r->out->n_params++] = (struct script_param){m->key, bad ? m->value.s : value};
    }
    r->out->params = list;
    return 0;
}

/* REST APIs do not decode path parameters; no page of AWS's says so. Where path and pattern fit, the path tells them as
 * it does under `perigee serve`. */
static void params_of_path(struct reading *r, struct str pattern, struct str path) {
    struct script_param *list = ARENA_ARRAY(r->a, struct script_param, segments(pattern) + 1);
    size_t n = 0;
    if (path.n > 1 && path.p[path.n - 1] == '/') path.n--;
    pattern = str_from(pattern, 1);
    path = str_from(path, 1);
    while (pattern.p) {
        struct str rest = path, want = str_cut(&pattern, '/'), got = str_cut(&path, '/');
        bool bad;
        if (!segment_is_param(want)) continue;
        struct str value = decoded(r, segment_is_greedy(want) ? rest : got, &bad);
        if (bad) return;
        list[n++] = (struct script_param){segment_param(want), value};
    }
    r->out->params = list;
    r->out->n_params = n;
}

static int read_path(struct reading *r, const char *key, struct str pattern) {
    struct http_request *q = &r->out->request;
    const struct json *params;
    struct str path;
    bool bad;
    if (event_need_text(r->d, "", key, &path, r->e)) return -1;
    if (event_member(r->d, "", "pathParameters", JSON_OBJ, &params, r->e) || read_params(r, params)) return -1;
    if (!path.n) path = STR("/");
    if (path.p[0] != '/') return err_set(r->e, ERR_VALIDATION, "%s: must begin with a slash", key);
    if (pattern.n && pattern.p[0] != '/') pattern = STR_NONE; /* $default */
    r->out->params_known = pattern.n || r->out->n_params;
    path = without_stage(r, path, pattern, params);
    if (r->encoded && r->fitted) params_of_path(r, pattern, path);
    q->path = encoded(r, path);
    r->out->path = decoded(r, path, &bad);
    if (bad) r->out->path = STR_NONE;
    q->target = q->raw_query.n ? arena_printf(r->a, "%.*s?%.*s", STR_ARG(q->path), STR_ARG(q->raw_query)) : q->path;
    return 0;
}

// ---- body ----

static int read_body(struct reading *r) {
    struct http_request *q = &r->out->request;
    bool base64;
    if (event_text(r->d, "", "body", &q->body, r->e)) return -1;
    if (event_flag(r->d, "", "isBase64Encoded", &base64, r->e)) return -1;
    if (!base64 || !q->body.n) return 0;
    struct buf b = BUF_MAX(q->body.n);
    int rc = crypto_unbase64(&b, q->body) ? 0
                                          : err_set(r->e, ERR_VALIDATION,
                                                    "body: is not base64, though "
                                                    "isBase64Encoded is true");
    if (!rc) q->body = arena_str(r->a, buf_view(&b));
    buf_free(&b);
    return rc;
}

// ---- the three families ----

static int read_method(struct reading *r, const struct json *obj, const char *at, const char *key) {
    struct str *m = &r->out->request.method;
    if (event_need_text(obj, at, key, m, r->e)) return -1;
    for (size_t i = 0; i < m->n; i++)
        if (m->p[i] < 'A' || m->p[i] > 'Z')
            return err_set(r->e, ERR_VALIDATION, "%s%s: '%.*s' is no HTTP method", at, key, STR_ARG(str_take(*m, 32)));
    return m->n ? 0 : err_set(r->e, ERR_VALIDATION, "%s%s: is empty", at, key);
}

/* API Gateway developer guide, "Input format of a Lambda function for proxy integration in API Gateway" (REST), and
 * "Create AWS Lambda proxy integrations for HTTP APIs" (payload format 1.0). */
static int read_v1(struct reading *r) {
    const struct json *identity;
    struct str resource;
    if (read_method(r, r->d, "", "httpMethod") || read_headers(r) || read_query(r)) return -1;
    if (event_text(r->d, "", "resource", &resource, r->e) || read_path(r, "path", resource)) return -1;
    if (event_member(r->context, "requestContext.", "identity", JSON_OBJ, &identity, r->e)) return -1;
    return event_text(identity, "requestContext.identity.", "sourceIp", &r->out->request.remote_ip, r->e);
}

/* The same page (payload format 2.0); Lambda developer guide, "Invoking Lambda function URLs". */
static int read_v2(struct reading *r) {
    const struct json *http;
    struct http_request *q = &r->out->request;
    struct str pattern;
    if (event_need_object(r->context, "requestContext.", "http", &http, r->e)) return -1;
    if (read_method(r, http, "requestContext.http.", "method") || read_headers(r) || read_cookies(r)) return -1;
    if (event_text(r->d, "", "rawQueryString", &q->raw_query, r->e)) return -1;
    if (event_text(r->d, "", "routeKey", &pattern, r->e)) return -1;
    if (str_chr(pattern, ' ', 0) >= 0) str_cut(&pattern, ' ');
    if (read_path(r, "rawPath", r->out->kind == EVENT_URL ? STR_NONE : pattern)) return -1;
    return event_text(http, "requestContext.http.", "sourceIp", &q->remote_ip, r->e);
}

static bool is_loopback(struct str ip) {
    if (str_starts(ip, STR("::ffff:"))) ip = str_from(ip, 7);
    return str_starts(ip, STR("127.")) || str_is(ip, "::1");
}

/* The load balancer appends who connected to it. No client of its is on the function's loopback interface: such an
 * address was sent, not seen. */
static struct str forwarded_for(const struct http_request *q) {
    struct str last = STR_NONE;
    for (size_t i = 0; i < q->n_headers; i++) {
        struct str rest = q->headers[i].value;
        if (!str_ieq(q->headers[i].name, STR("X-Forwarded-For"))) continue;
        while (rest.p) last = str_trim(str_cut(&rest, ','));
    }
    return is_loopback(last) ? STR_NONE : last;
}

/* Elastic Load Balancing user guide, "Lambda functions as targets": "Receive events from the load balancer". */
static int read_alb(struct reading *r) {
    if (read_method(r, r->d, "", "httpMethod") || read_headers(r) || read_query(r)) return -1;
    if (read_path(r, "path", STR_NONE)) return -1;
    r->out->request.remote_ip = forwarded_for(&r->out->request);
    return 0;
}

static int read_kind(struct reading *r) {
    switch (r->out->kind) {
    case EVENT_HTTP_V2:
    case EVENT_URL:
        return read_v2(r);
    case EVENT_ALB:
        return read_alb(r);
    default:
        return read_v1(r);
    }
}

int event_read_http(struct arena *a, const struct json *d, struct event_http *ret, struct err *e) {
    struct event_http out = {.kind = event_kind_of(d), .request = {.version = STR("HTTP/1.1"), .arena = a}};
    struct reading r = {.a = a, .d = d, .out = &out, .e = e, .encoded = keeps_encoding(out.kind)};
    if (!event_is_http(out.kind)) return err_set(e, ERR_VALIDATION, "the event is no HTTP request of an AWS service");
    r.context = json_get(d, "requestContext");
    if (read_kind(&r) || read_body(&r)) return -1;
    add_host(&r);
    out.request.loopback = is_loopback(out.request.remote_ip);
    *ret = out;
    return 0;
}
