/* Documents of queues and EventBridge that are made here, and the route that an API Gateway would choose. */
#include "base/crypto.h"
#include "base/now.h"
#include "route/route.h"
#include "route/table.h"

// ---- EventBridge ----

/* EventBridge user guide, "Event structure": the time has no fraction. */
static struct str bridge_time(struct arena *a, int64_t ms) {
    char iso[25];
    now_iso(ms, iso);
    return arena_printf(a, "%.19sZ", iso);
}

struct json event_make_bridge(struct arena *a, const struct event_origin *o, struct str id, struct str source,
                              struct str detail_type, struct str resource, struct json detail) {
    struct json d = json_make_obj();
    json_set(a, &d, "version", json_make_c("0"));
    json_set(a, &d, "id", json_make_str(id));
    json_set(a, &d, "detail-type", json_make_str(detail_type));
    json_set(a, &d, "source", json_make_str(source));
    json_set(a, &d, "account", json_make_str(o->account));
    json_set(a, &d, "time", json_make_str(bridge_time(a, o->unix_ms)));
    json_set(a, &d, "region", json_make_str(o->region));
    struct json *resources = json_set(a, &d, "resources", json_make_arr());
    if (resource.n) json_push(a, resources, json_make_str(resource));
    json_set(a, &d, "detail", detail);
    return d;
}

struct json event_make_schedule(struct arena *a, const struct event_origin *o, struct str id, struct str rule) {
    struct str arn = arena_printf(a, "arn:%.*s:events:%.*s:%.*s:rule/%.*s", STR_ARG(o->partition), STR_ARG(o->region),
                                  STR_ARG(o->account), STR_ARG(rule));
    return event_make_bridge(a, o, id, STR("aws.events"), STR("Scheduled Event"), arn, json_make_obj());
}

// ---- queues ----

static struct str hex_md5(struct arena *a, struct str text) {
    uint8_t sum[16];
    char *hex = arena_alloc(a, 2 * sizeof sum);
    crypto_md5(text, sum);
    crypto_hex_to(hex, sum, sizeof sum);
    return str_n(hex, 2 * sizeof sum);
}

static struct str handle_of(struct arena *a, struct str id) {
    struct buf b = BUF_MAX(1024);
    buf_c(&b, "AQEB");
    crypto_base64(&b, id);
    struct str handle = arena_str(a, buf_view(&b));
    buf_free(&b);
    return handle;
}

/* Lambda developer guide, "Using Lambda with Amazon SQS": all values are strings. */
static struct json attributes_of(struct arena *a, const struct event_origin *o, const struct event_batch *b, size_t i) {
    struct json t = json_make_obj();
    struct str ms = arena_printf(a, "%lld", (long long)o->unix_ms);
    json_set(a, &t, "ApproximateReceiveCount", json_make_c("1"));
    json_set(a, &t, "SentTimestamp", json_make_str(ms));
    if (b->fifo) {
        uint8_t sum[32];
        char *hex = arena_alloc(a, 2 * sizeof sum);
        crypto_sha256(b->messages[i].body, sum);
        crypto_hex_to(hex, sum, sizeof sum);
        json_set(a, &t, "SequenceNumber", json_make_str(arena_printf(a, "%020zu", i + 1)));
        json_set(a, &t, "MessageGroupId", json_make_str(b->group));
        json_set(a, &t, "MessageDeduplicationId", json_make_str(str_n(hex, 2 * sizeof sum)));
    }
    json_set(a, &t, "SenderId", json_make_str(o->account));
    json_set(a, &t, "ApproximateFirstReceiveTimestamp", json_make_str(ms));
    return t;
}

static struct json record_of(struct arena *a, const struct event_origin *o, const struct event_batch *b, size_t i) {
    const struct event_body *m = &b->messages[i];
    struct json r = json_make_obj();
    struct str arn = arena_printf(a, "arn:%.*s:sqs:%.*s:%.*s:%.*s", STR_ARG(o->partition), STR_ARG(o->region),
                                  STR_ARG(o->account), STR_ARG(b->queue));
    json_set(a, &r, "messageId", json_make_str(m->id));
    json_set(a, &r, "receiptHandle", json_make_str(handle_of(a, m->id)));
    json_set(a, &r, "body", json_make_str(m->body));
    json_set(a, &r, "attributes", attributes_of(a, o, b, i));
    json_set(a, &r, "messageAttributes", json_make_obj());
    json_set(a, &r, "md5OfBody", json_make_str(hex_md5(a, m->body)));
    json_set(a, &r, "eventSource", json_make_c("aws:sqs"));
    json_set(a, &r, "eventSourceARN", json_make_str(arn));
    json_set(a, &r, "awsRegion", json_make_str(o->region));
    return r;
}

struct json event_make_sqs(struct arena *a, const struct event_origin *o, const struct event_batch *b) {
    struct json d = json_make_obj();
    struct json *records = json_set(a, &d, "Records", json_make_arr());
    for (size_t i = 0; i < b->n; i++) json_push(a, records, record_of(a, o, b, i));
    return d;
}

// ---- routes ----

int event_find_route(const struct app *app, struct arena *a, struct str method, struct str path,
                     const struct app_route **ret_route, const struct script_param **ret_params, size_t *ret_n,
                     struct err *e) {
    struct route_table t;
    struct route_match m;
    if (table_build(&t, app, e)) return -1;
    int rc = table_match(&t, a, method, path, &m, e);
    if (!rc) {
        *ret_route = m.route;
        *ret_n = m.n_params;
        struct script_param *params = ARENA_ARRAY(a, struct script_param, m.n_params + 1);
        for (size_t i = 0; i < m.n_params; i++)
            params[i] = (struct script_param){arena_str(a, m.params[i].name), m.params[i].value};
        *ret_params = params;
    }
    table_free(&t);
    return rc;
}
