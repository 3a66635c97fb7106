/* host_event.c: sample events: what a source would send to a function, from a few words and the template. */
#include "base/crypto.h"
#include "base/fs.h"
#include "base/url.h"
#include "host.h"
#include <stdlib.h>
#include <string.h>

#define SAMPLE_MS 1767225600000 /* 2026-01-01T00:00:00Z */
#define BODY_MAX (6u << 20)
enum { USUAL_MAX = 8 }; /* headers that are added */

struct sample {
    struct arena arena;
    const struct perigee_event *o;
    struct app *app; /* NULL: no function was named */
    const struct function *function;
    struct event_origin origin;
    struct buf file;
};

/* -- sources, and what belongs to them -------------------------------------------------------------------------------
 */

enum group { GROUP_HTTP, GROUP_ALB, GROUP_SQS, GROUP_SCHEDULE, GROUP_BRIDGE };
static const struct source {
    const char *name;
    enum event_kind kind;
    enum group group;
} sources[] = {
    {"apigw-rest", EVENT_REST_V1, GROUP_HTTP},
    {"apigw-http", EVENT_HTTP_V2, GROUP_HTTP},
    {"apigw-http-1", EVENT_HTTP_V1, GROUP_HTTP},
    {"url", EVENT_URL, GROUP_HTTP},
    {"alb", EVENT_ALB, GROUP_ALB},
    {"sqs", EVENT_SQS, GROUP_SQS},
    {"schedule", EVENT_BRIDGE, GROUP_SCHEDULE},
    {"eventbridge", EVENT_BRIDGE, GROUP_BRIDGE},
};

static int find_source(const char *name, const struct source **ret, struct err *e) {
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        *ret = &sources[i];
        if (!strcmp(sources[i].name, name)) return 0;
    }
    return err_set(e, ERR_CONFIG,
                   "'%s' is no source of events (apigw-rest, apigw-http, apigw-http-1, url, alb, sqs, schedule, "
                   "eventbridge)",
                   name);
}

/* The option was given, but does not go with the source. */
static bool is_stray(const struct perigee_event *o, enum group g, const char **ret_option) {
    bool http = g == GROUP_HTTP || g == GROUP_ALB;
    const struct {
        const char *option;
        bool given, fits;
    } rows[] = {
        {"--method", o->method, http},
        {"--path", o->path, http},
        {"--query", o->query, http},
        {"--header", o->headers.n, http},
        {"--body", o->body, http},
        {"--body-file", o->body_file, http},
        {"--base64", o->base64, http},
        {"--source-ip", o->source_ip, http},
        {"--multi-value", o->multi_value, g == GROUP_ALB},
        {"--queue", o->queue, g == GROUP_SQS},
        {"--message", o->messages.n, g == GROUP_SQS},
        {"--group", o->group, g == GROUP_SQS},
        {"--fifo", o->fifo, g == GROUP_SQS},
        {"--schedule", o->schedule, g == GROUP_SCHEDULE},
        {"--source", o->source, g == GROUP_BRIDGE},
        {"--detail-type", o->detail_type, g == GROUP_BRIDGE},
        {"--detail", o->detail, g == GROUP_BRIDGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        *ret_option = rows[i].option;
        if (rows[i].given && !rows[i].fits) return true;
    }
    return false;
}

/* -- what all have --------------------------------------------------------------------------------------------------
 */

static struct str text(const char *given, const char *otherwise) {
    return str_c(given ? given : otherwise);
}

/* Of what was asked for, so that the same words give the same document; with --now never the same. */
static struct str make_id(struct sample *s, struct str of, size_t index) {
    char id[37];
    uint64_t halves[4];
    struct buf b = BUF_MAX(BODY_MAX + 4096);
    buf_printf(&b, "%zu ", index);
    buf_str(&b, of);
    crypto_sha256(buf_view(&b), (uint8_t *)halves);
    buf_free(&b);
    halves[0] = (halves[0] & ~UINT64_C(0xf000)) | 0x4000; /* RFC 9562 5.4 */
    halves[1] = (halves[1] & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    if (s->o->now)
        crypto_uuid7(s->origin.unix_ms, id);
    else
        crypto_uuid_text(halves[0], halves[1], id);
    return arena_str(&s->arena, str_c(id));
}

static int open_function(struct sample *s, const struct perigee_config *c, struct err *e) {
    struct deployment d = {.region = s->origin.region.p, .account = s->origin.account.p};
    if (host_load_app(c, &d, &s->arena, NULL, &s->app, e)) return -1;
    s->function = host_find_function(s->app, s->o->function, e);
    return s->function ? 0 : -1;
}

/* -- HTTP -----------------------------------------------------------------------------------------------------------
 */

/* As it would stand in a request line: what may not, is percent-encoded; escapes stay. */
static struct str escaped(struct arena *a, struct str path) {
    static const char plain[] = "!$&'()*+,;=:@/%?";
    struct buf b = BUF_MAX(3 * path.n + 16);
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] && strchr(plain, path.p[i]))
            buf_byte(&b, path.p[i]);
        else
            url_encode(&b, str_n(path.p + i, 1), false);
    }
    struct str out = arena_str(a, buf_view(&b));
    buf_free(&b);
    return out;
}

static int read_headers(struct sample *s, struct http_request *q, struct err *e) {
    const struct conf_list *list = &s->o->headers;
    struct http_header *out = ARENA_ARRAY(&s->arena, struct http_header, list->n + USUAL_MAX);
    struct http_response check;
    int rc = 0;
    http_response_init(&check, 200);
    for (size_t i = 0; i < list->n && !rc; i++) {
        struct str value = str_c(list->items[i]), name = str_cut(&value, ':');
        out[i] = (struct http_header){name, str_trim(value)};
        if (!value.p) rc = err_set(e, ERR_CONFIG, "--header: '%s' is not Name: value", list->items[i]);
        if (!rc && http_set(&check, name, out[i].value, e)) rc = err_wrap(e, "--header");
    }
    http_response_free(&check);
    q->headers = out;
    q->n_headers = list->n;
    return rc;
}

static int read_body(struct sample *s, struct http_request *q, struct err *e) {
    const struct perigee_event *o = s->o;
    q->body = text(o->body, "");
    if (o->body && o->body_file) return err_set(e, ERR_CONFIG, "--body and --body-file exclude each other");
    if (!o->body_file) return 0;
    if (fs_read(o->body_file, &s->file, e)) return err_wrap(e, "--body-file");
    q->body = buf_view(&s->file);
    return 0;
}

/* A Content-Type where none was given, for what the body looks like. */
static void add_type(struct sample *s, struct http_request *q) {
    struct json ignored;
    struct http_header *h = (struct http_header *)q->headers;
    if (!q->body.n || http_header(q, "content-type").p) return;
    const char *type = str_bad_utf8(q->body) >= 0                             ? "application/octet-stream"
                       : json_parse(&s->arena, q->body, NULL, &ignored, NULL) ? "text/plain; charset=utf-8"
                                                                              : "application/json";
    h[q->n_headers++] = (struct http_header){STR("content-type"), str_c(type)};
}

static void list_routes(const struct sample *s, struct buf *b) {
    for (size_t i = 0; i < s->app->n_routes; i++) {
        const struct app_route *r = &s->app->routes[i];
        if (r->function == s->function)
            buf_printf(b, "%s%.*s %.*s", b->n ? ", " : "", STR_ARG(r->method), STR_ARG(r->path));
    }
}

static int no_route(const struct sample *s, const char *why, struct err *e) {
    struct buf b = BUF_MAX(512);
    list_routes(s, &b);
    err_set(e, ERR_CONFIG, "%.*s %s%s%s%s", STR_ARG(s->function->name), why, b.n ? " (it answers " : "", buf_cstr(&b),
            b.n ? ")" : "");
    buf_free(&b);
    return -1;
}

/* Method and path where they were not given: those of the function's first route. */
static int default_route(struct sample *s, struct str *method, struct str *path, struct err *e) {
    const struct app_route *r = NULL;
    for (size_t i = 0; i < s->app->n_routes && !r; i++)
        if (s->app->routes[i].function == s->function && (!method->p || str_eq(s->app->routes[i].method, *method)))
            r = &s->app->routes[i];
    if (!r) return no_route(s, "has no such route", e);
    if (!path->p && str_chr(r->path, '{', 0) >= 0) return no_route(s, "needs --path, for its path has parameters", e);
    if (!path->p) *path = r->path;
    if (!method->p) *method = str_is(r->method, "ANY") ? STR("GET") : r->method;
    return 0;
}

static int find_route(struct sample *s, const struct http_request *q, struct event_route *r, struct err *e) {
    const struct app_route *found;
    if (event_find_route(s->app, &s->arena, q->method, q->path, &found, &r->params, &r->n_params, e)) return -1;
    if (!found || found->function != s->function) return no_route(s, "does not answer this request", e);
    r->pattern = found->path;
    return 0;
}

/* What every client and gateway sends, where it was not given. */
static void add_usual(struct sample *s, struct http_request *q, enum event_kind kind) {
    struct str region = s->origin.region;
    const struct http_header usual[] = {
        {STR("accept"), STR("*/*")},
        {STR("host"), kind == EVENT_URL ? arena_printf(&s->arena, "perigee.lambda-url.%.*s.on.aws", STR_ARG(region))
                      : kind == EVENT_ALB
                          ? STR("perigee.example.org")
                          : arena_printf(&s->arena, "perigee.execute-api.%.*s.amazonaws.com", STR_ARG(region))},
        {STR("user-agent"), STR("perigee-event")},
        {STR("x-forwarded-port"), STR("443")},
        {STR("x-forwarded-proto"), STR("https")},
        {STR("x-forwarded-for"), q->remote_ip}, /* a load balancer's is added by event_make_http */
    };
    struct http_header *h = (struct http_header *)q->headers;
    for (size_t i = 0; i < sizeof usual / sizeof *usual - (kind == EVENT_ALB); i++)
        if (!http_header(q, usual[i].name.p).p) h[q->n_headers++] = usual[i];
}

/* Without a template: one route for everything. */
static void catch_all(struct sample *s, const struct http_request *q, struct event_route *r) {
    struct script_param *proxy = ARENA_NEW(&s->arena, struct script_param);
    r->pattern = STR("/{proxy+}");
    *proxy = (struct script_param){STR("proxy"), str_from(q->path, 1)};
    url_decode(&s->arena, proxy->value, false, &proxy->value, NULL);
    r->params = proxy;
    r->n_params = proxy->value.n > 0;
    if (!r->n_params) r->pattern = STR("/");
}

/* Function URLs and load balancers send everything to a function that has no routes; APIs know theirs. */
static bool takes_all(const struct sample *s, enum event_kind kind) {
    for (size_t i = 0; i < s->app->n_routes; i++)
        if (s->app->routes[i].function == s->function) return false;
    return kind == EVENT_URL || kind == EVENT_ALB;
}

static int read_request(struct sample *s, enum event_kind kind, struct http_request *q, struct event_route *r,
                        struct err *e) {
    struct arena *a = &s->arena;
    struct str method = str_c(s->o->method), path = str_c(s->o->path);
    bool routed = s->function && !takes_all(s, kind);
    if (routed && (!method.p || !path.p) && default_route(s, &method, &path, e)) return -1;
    if (read_body(s, q, e) || read_headers(s, q, e)) return -1;
    add_type(s, q);
    q->method = method.p ? method : q->body.n ? STR("POST") : STR("GET");
    q->path = escaped(a, path.p ? path : STR("/"));
    if (q->path.p[0] != '/' || str_chr(q->path, '?', 0) >= 0)
        return err_set(e, ERR_CONFIG, "--path: '%.*s' must start with '/' and hold no query (--query)",
                       STR_ARG(q->path));
    q->raw_query = escaped(a, text(s->o->query, ""));
    q->target = q->raw_query.n ? arena_printf(a, "%.*s?%.*s", STR_ARG(q->path), STR_ARG(q->raw_query)) : q->path;
    q->version = STR("HTTP/1.1");
    q->remote_ip = text(s->o->source_ip, "127.0.0.1");
    q->arena = a;
    q->request_id = make_id(s, q->target, q->body.n);
    add_usual(s, q, kind);
    return routed ? find_route(s, q, r, e) : (catch_all(s, q, r), 0);
}

/* --base64: also a body that would be text. */
static void encode_body(struct sample *s, const struct http_request *q, struct json *document) {
    struct buf b = BUF_MAX(2 * BODY_MAX);
    crypto_base64(&b, q->body);
    for (uint32_t i = 0; i < document->n; i++) {
        struct json_member *m = &document->members[i];
        if (str_is(m->key, "body")) m->value = json_make_str(arena_str(&s->arena, buf_view(&b)));
        if (str_is(m->key, "isBase64Encoded")) m->value = json_make_bool(true);
    }
    buf_free(&b);
}

static int make_http(struct sample *s, enum event_kind kind, struct json *ret, struct err *e) {
    struct http_request q = {0};
    struct event_route r = {.region = s->origin.region,
                            .account = s->origin.account,
                            .partition = s->origin.partition,
                            .unix_ms = s->origin.unix_ms,
                            .multi_value = s->o->multi_value};
    if (read_request(s, kind, &q, &r, e) || event_make_http(&s->arena, kind, &q, &r, ret, e)) return -1;
    if (s->o->base64) encode_body(s, &q, ret);
    return 0;
}

/* -- queues ---------------------------------------------------------------------------------------------------------
 */

/* The physical name: of the function's feed, of the template, or as given. */
static int find_queue(struct sample *s, struct str *ret, struct err *e) {
    struct str asked = str_c(s->o->queue);
    for (size_t i = 0; s->app && i < s->app->n_feeds; i++) {
        const struct app_feed *f = &s->app->feeds[i];
        if (f->function != s->function) continue;
        *ret = f->queue;
        if (!asked.p || str_eq(asked, f->queue)) return 0;
        for (size_t q = 0; q < s->app->n_queues; q++)
            if (str_eq(s->app->queues[q].logical_id, asked) && str_eq(s->app->queues[q].name, f->queue)) return 0;
    }
    if (s->function)
        return err_set(e, ERR_CONFIG, "%.*s is not fed by %s%s", STR_ARG(s->function->name),
                       asked.p ? "queue " : "a queue", asked.p ? asked.p : "");
    *ret = asked.p ? asked : s->o->fifo ? STR("sample.fifo") : STR("sample");
    return 0;
}

static int make_sqs(struct sample *s, struct json *ret, struct err *e) {
    const struct conf_list *list = &s->o->messages;
    struct event_batch b = {.n = list->n ? list->n : 1, .group = text(s->o->group, "sample")};
    struct event_body *bodies = ARENA_ARRAY(&s->arena, struct event_body, b.n);
    if (find_queue(s, &b.queue, e)) return -1;
    b.fifo = str_ends(b.queue, STR(".fifo"));
    if (!b.fifo && (s->o->fifo || s->o->group))
        return err_set(e, ERR_CONFIG, "queue %.*s is no FIFO queue: its name does not end with .fifo",
                       STR_ARG(b.queue));
    for (size_t i = 0; i < b.n; i++) {
        struct str body = list->n ? str_c(list->items[i]) : STR("hello");
        bodies[i] = (struct event_body){make_id(s, body, i), body};
    }
    b.messages = bodies;
    *ret = event_make_sqs(&s->arena, &s->origin, &b);
    return 0;
}

/* -- EventBridge ----------------------------------------------------------------------------------------------------
 */

static int make_schedule(struct sample *s, struct json *ret, struct err *e) {
    struct str asked = str_c(s->o->schedule);
    const struct app_schedule *found = NULL;
    for (size_t i = 0; s->app && i < s->app->n_schedules && !found; i++) {
        const struct app_schedule *one = &s->app->schedules[i];
        if (one->function == s->function && (!asked.p || str_eq(one->name, asked))) found = one;
    }
    if (s->function && !found)
        return err_set(e, ERR_CONFIG, "%.*s has no schedule%s%s", STR_ARG(s->function->name), asked.p ? " " : "",
                       asked.p ? asked.p : "");
    if (found && found->input.n) return json_parse(&s->arena, found->input, NULL, ret, e);
    struct str name = found ? found->name : asked.p ? asked : STR("sample");
    *ret = event_make_schedule(&s->arena, &s->origin, make_id(s, name, 0), name);
    return 0;
}

static int make_bridge(struct sample *s, struct json *ret, struct err *e) {
    struct json detail = json_make_obj();
    struct str source = text(s->o->source, "sample"), type = text(s->o->detail_type, "Sample");
    if (s->o->detail && json_parse(&s->arena, str_c(s->o->detail), NULL, &detail, e)) return err_wrap(e, "--detail");
    if (detail.type != JSON_OBJ)
        return err_set(e, ERR_CONFIG, "--detail: must be an object, not %s", json_type_name(detail.type));
    *ret = event_make_bridge(&s->arena, &s->origin, make_id(s, type, 0), source, type, STR_NONE, detail);
    return 0;
}

/* -- all ------------------------------------------------------------------------------------------------------------
 */

static int make(struct sample *s, const struct source *source, struct json *ret, struct err *e) {
    if (source->group == GROUP_SQS) return make_sqs(s, ret, e);
    if (source->group == GROUP_SCHEDULE) return make_schedule(s, ret, e);
    if (source->group == GROUP_BRIDGE) return make_bridge(s, ret, e);
    return make_http(s, source->kind, ret, e);
}

/* Indented, for it is to be read and changed. */
static void write_indented(struct buf *b, const struct json *v, int depth) {
    if ((v->type != JSON_OBJ && v->type != JSON_ARR) || !v->n) {
        json_write(b, v);
        return;
    }
    bool map = v->type == JSON_OBJ;
    buf_c(b, map ? "{" : "[");
    for (uint32_t i = 0; i < v->n; i++) {
        buf_printf(b, "%s\n%*s", i ? "," : "", 2 * depth + 2, "");
        if (map) json_write_str(b, v->members[i].key);
        if (map) buf_c(b, ": ");
        write_indented(b, map ? &v->members[i].value : &v->items[i], depth + 1);
    }
    buf_printf(b, "\n%*s%c", 2 * depth, "", map ? '}' : ']');
}

int perigee_event(const struct perigee_config *c, const char *name, const struct perigee_event *o, struct buf *ret,
                  struct err *e) {
    const struct source *source;
    const char *option;
    struct json document;
    struct sample s = {
        .o = o,
        .origin = {text(c->region, "us-east-1"), text(c->account, "000000000000"), STR("aws"),
                   o->now ? clock_ms(c->clock) : SAMPLE_MS},
        .file = BUF_MAX(BODY_MAX),
    };
    if (find_source(name, &source, e) || host_check_account(c, e)) return -1;
    if (is_stray(o, source->group, &option))
        return err_set(e, ERR_CONFIG, "%s does not go with %s", option, source->name);
    int rc = o->function ? open_function(&s, c, e) : 0;
    if (!rc) rc = make(&s, source, &document, e);
    if (!rc) write_indented(ret, &document, 0);
    if (!rc) rc = buf_check(ret, "the event", e);
    if (s.app) app_free(s.app);
    buf_free(&s.file);
    arena_free(&s.arena);
    return rc;
}
