/* What starts a function: HTTP routes, queues, schedules. */
#include "app/template.h"
#include <string.h>

/* ==== routes ==== */

static bool parameter_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.';
        if (!ok) return false;
    }
    return s.n > 0;
}

/* What is wrong with the segment, or NULL. */
static const char *bad_segment(struct str s, bool last) {
    bool brace = str_chr(s, '{', 0) >= 0 || str_chr(s, '}', 0) >= 0;
    if (!s.n) return last ? NULL : "has an empty segment";
    if (!brace) return NULL;
    if (s.p[0] != '{' || s.p[s.n - 1] != '}') return "has a segment that is only partly a {parameter}";
    s = str_n(s.p + 1, s.n - 2);
    if (str_ends(s, STR("+"))) {
        if (!last) return "has a greedy {parameter+} that is not its last segment";
        s.n--;
    }
    return parameter_name(s) ? NULL : "has a malformed {parameter}";
}

static const char *bad_path(struct str path) {
    if (!path.n || path.p[0] != '/') return "must start with '/'";
    for (struct str rest = str_from(path, 1); rest.p;) {
        struct str segment = str_cut(&rest, '/');
        const char *why = bad_segment(segment, !rest.p);
        if (why) return why;
        for (struct str later = rest; later.p && segment.n && segment.p[0] == '{';)
            if (str_eq(str_cut(&later, '/'), segment)) return "has the same {parameter} twice";
    }
    return NULL;
}

static struct str method_of(struct template *t, struct str s) {
    char *p = arena_cstr(t->a, s);
    for (char *c = p; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c -= 'a' - 'A';
    return str_is(str_c(p), "*") || str_is(str_c(p), "X-AMAZON-APIGATEWAY-ANY-METHOD") ? STR("ANY") : str_c(p);
}

/* Same path but for the names of parameters. */
static bool same_shape(struct str a, struct str b) {
    while (a.p && b.p) {
        struct str x = str_cut(&a, '/'), y = str_cut(&b, '/');
        bool px = x.n && x.p[0] == '{', py = y.n && y.p[0] == '{';
        if (px != py || (!px && !str_eq(x, y))) return false;
        if (px && str_ends(x, STR("+}")) != str_ends(y, STR("+}"))) return false;
    }
    return !a.p && !b.p;
}

/* PayloadFormatVersion of an HTTP API's integration; REST APIs have none. */
static enum app_payload payload_of(struct template *t, const struct yaml *props, int line, bool rest,
                                   struct str where) {
    struct str version = STR("2.0");
    if (!template_text(t, props, "PayloadFormatVersion", where, &version) || rest || str_is(version, "2.0"))
        return rest ? APP_REST_V1 : APP_HTTP_V2;
    if (!str_is(version, "1.0"))
        template_problem(t, line, where, "PayloadFormatVersion %s is not supported (1.0 and 2.0 are)", version.p);
    return APP_HTTP_V1;
}

static void read_route(struct template *t, const struct function *f, const struct yaml *props, int line, bool rest,
                       struct str where, struct template_events *out) {
    struct app_route r = {.function = f, .line = line, .path = STR(""), .method = STR("")};
    template_check_keys(t, props, where, rest ? "Path Method" : "Path Method PayloadFormatVersion",
                        "RestApiId ApiId RouteSettings");
    bool complete =
        (int)template_text(t, props, "Path", where, &r.path) & (int)template_text(t, props, "Method", where, &r.method);
    if (!complete) {
        template_problem(t, line, where, "needs Path and Method");
        return;
    }
    r.payload = payload_of(t, props, line, rest, where);
    r.method = method_of(t, r.method);
    if (!template_word("ANY GET HEAD POST PUT PATCH DELETE OPTIONS", r.method))
        template_problem(t, line, where, "Method %s is not supported", r.method.p);
    if (bad_path(r.path)) {
        template_problem(t, line, where, "Path %s %s", r.path.p, bad_path(r.path));
        return;
    }
    for (size_t i = 0; i < out->n_routes; i++)
        if (str_eq(out->routes[i].method, r.method) && same_shape(out->routes[i].path, r.path))
            template_problem(t, line, where, "%s %s is taken by line %d already (%.*s)", r.method.p, r.path.p,
                             out->routes[i].line, STR_ARG(out->routes[i].function->name));
    out->routes = template_grow(t->a, out->routes, out->n_routes, &out->cap_routes, sizeof r);
    out->routes[out->n_routes++] = r;
}

/* ==== function URLs ==== */

void template_read_url(struct template *t, const struct yaml *props, struct str where, struct function *f) {
    const struct yaml *v = template_map(t, props, "FunctionUrlConfig", where);
    struct str mode = STR("BUFFERED"), auth = STR_NONE;
    if (!v) return;
    where = template_path(t, where, "FunctionUrlConfig");
    template_check_keys(t, v, where, "AuthType InvokeMode", "Cors");
    if (!template_text(t, v, "AuthType", where, &auth)) {
        if (!yaml_get(v, "AuthType")) template_problem(t, v->line, where, "needs an AuthType (AWS_IAM or NONE)");
    } else if (!template_word("AWS_IAM NONE", auth)) {
        template_problem(t, v->line, where, "AuthType %s is not AWS_IAM or NONE", auth.p);
    }
    if (template_text(t, v, "InvokeMode", where, &mode) && !template_word("BUFFERED RESPONSE_STREAM", mode))
        template_problem(t, v->line, where, "InvokeMode %s is not BUFFERED or RESPONSE_STREAM", mode.p);
    f->url = true;
    f->stream = str_is(mode, "RESPONSE_STREAM");
    t->app->has_urls = true;
}

/* ==== queues ==== */

static const struct app_queue *queue_of(struct template *t, struct str arn) {
    for (size_t i = 0; i < t->app->n_queues; i++)
        if (str_eq(template_arn(t, t->app->queues[i].logical_id), arn)) return &t->app->queues[i];
    return NULL;
}

static void check_visibility(struct template *t, const struct app_queue *q, const struct app_feed *feed,
                             struct str where) {
    int64_t seconds = 30;
    str_i64(json_get_s(json_get(&q->create, "Attributes"), "VisibilityTimeout"), &seconds);
    if (seconds * 1000 < feed->function->timeout_ms)
        template_problem(t, feed->line, where,
                         "queue %.*s (line %d) has a VisibilityTimeout of %lld s, shorter than the function's Timeout "
                         "of %u s",
                         STR_ARG(q->name), q->line, (long long)seconds, feed->function->timeout_ms / 1000);
}

static void read_responses(struct template *t, const struct yaml *props, struct str where, bool *ret) {
    const struct yaml *list = yaml_get(props, "FunctionResponseTypes");
    struct str *names;
    size_t n;
    where = template_path(t, where, "FunctionResponseTypes");
    if (!list || template_texts(t, list, where, &names, &n)) return;
    for (size_t i = 0; i < n; i++) {
        if (str_is(names[i], "ReportBatchItemFailures"))
            *ret = true;
        else
            template_problem(t, list->line, where, "%.*s is not supported", STR_ARG(names[i]));
    }
}

static void read_feed(struct template *t, const struct function *f, const struct yaml *props, int line,
                      struct str where, struct template_events *out) {
    struct app_feed feed = {.function = f, .line = line, .enabled = true};
    struct str arn = STR("");
    int64_t batch = 10, window = 0, concurrency = 0;
    template_check_keys(t, props, where,
                        "Queue BatchSize MaximumBatchingWindowInSeconds ScalingConfig FunctionResponseTypes Enabled",
                        "KmsKeyArn MetricsConfig");
    template_int(t, props, "BatchSize", where, 1, 10000, &batch);
    template_int(t, props, "MaximumBatchingWindowInSeconds", where, 0, 300, &window);
    template_bool(t, props, "Enabled", where, &feed.enabled);
    const struct yaml *scaling = template_map(t, props, "ScalingConfig", where);
    struct str scaling_at = template_path(t, where, "ScalingConfig");
    if (scaling) template_check_keys(t, scaling, scaling_at, "MaximumConcurrency", NULL);
    if (scaling) template_int(t, scaling, "MaximumConcurrency", scaling_at, 2, 1000, &concurrency);
    read_responses(t, props, where, &feed.report_failures);
    if (batch > 10 && window == 0)
        template_problem(t, line, where, "a BatchSize above 10 needs MaximumBatchingWindowInSeconds");
    if (template_broken(yaml_get(props, "Queue"))) return;
    template_text(t, props, "Queue", where, &arn);
    const struct app_queue *q = queue_of(t, arn);
    if (!q) {
        template_problem(t, line, where, "Queue must be the ARN of a queue of this template (!GetAtt Name.Arn)");
        return;
    }
    if (json_get(json_get(&q->create, "Attributes"), "FifoQueue") && (batch > 10 || window))
        template_problem(t, line, where, "a FIFO queue has a BatchSize of at most 10 and no batching window");
    feed.queue = q->name;
    feed.batch_size = (uint32_t)batch;
    feed.window_ms = (uint32_t)window * 1000;
    feed.max_concurrency = (uint32_t)concurrency;
    check_visibility(t, q, &feed, where);
    out->feeds = template_grow(t->a, out->feeds, out->n_feeds, &out->cap_feeds, sizeof feed);
    out->feeds[out->n_feeds++] = feed;
}

/* ==== schedules ==== */

static void read_schedule(struct template *t, const struct function *f, struct str id, const struct yaml *props,
                          int line, struct str where, struct template_events *out) {
    struct app_schedule s = {.function = f, .line = line, .enabled = true, .input = STR(""), .expression = STR("")};
    struct err e = {0};
    struct json input;
    struct str state = STR("");
    s.name = arena_printf(t->a, "%.*s%.*s", STR_ARG(f->name), STR_ARG(id));
    template_check_keys(t, props, where, "Schedule Name Enabled State Input", "Description");
    template_text(t, props, "Schedule", where, &s.expression);
    template_text(t, props, "Name", where, &s.name);
    template_bool(t, props, "Enabled", where, &s.enabled);
    if (template_text(t, props, "State", where, &state)) {
        s.enabled = str_is(state, "ENABLED");
        if (!s.enabled && !str_is(state, "DISABLED"))
            template_problem(t, line, where, "State must be ENABLED or DISABLED");
    }
    if (app_schedule_next(s.expression, 0, 0, &e) < 0) template_problem(t, line, where, "Schedule: %s", e.msg);
    if (template_text(t, props, "Input", where, &s.input) && json_parse(t->a, s.input, NULL, &input, &e))
        template_problem(t, line, where, "Input is not JSON: %s", e.msg);
    for (size_t i = 0; i < out->n_schedules; i++)
        if (str_eq(out->schedules[i].name, s.name))
            template_problem(t, line, where, "schedule %s is declared in line %d already", s.name.p,
                             out->schedules[i].line);
    out->schedules = template_grow(t->a, out->schedules, out->n_schedules, &out->cap_schedules, sizeof s);
    out->schedules[out->n_schedules++] = s;
}

/* ==== all ==== */

void template_read_event(struct template *t, const struct function *f, struct str id, const struct yaml *event,
                         struct str where, struct template_events *out) {
    struct str type = STR("");
    struct yaml none = {.type = YAML_MAP, .line = event->line, .tag = STR("")};
    template_check_keys(t, event, where, "Type Properties", NULL);
    if (template_broken(event) || event->type != YAML_MAP) return;
    const struct yaml *props = template_map(t, event, "Properties", where);
    if (!props) props = &none;
    template_text(t, event, "Type", where, &type);
    where = template_path(t, where, "Properties");
    if (str_is(type, "Api") || str_is(type, "HttpApi"))
        read_route(t, f, props, event->line, str_is(type, "Api"), where, out);
    else if (str_is(type, "SQS"))
        read_feed(t, f, props, event->line, where, out);
    else if (str_is(type, "Schedule"))
        read_schedule(t, f, id, props, event->line, where, out);
    else
        template_problem(t, event->line, where, "event Type '%.*s' is not supported (Api, HttpApi, SQS, Schedule are)",
                         STR_ARG(type));
}
