/* SQS batches -> messages. Shape: Lambda developer guide, "Using Lambda with Amazon SQS". */
#include "route/event.h"

struct str event_correlation(struct arena *a, const struct script_message *m) {
    struct str id = json_get_s(json_get(&m->attributes, "correlation_id"), "StringValue");
    if (id.n || !m->body.n || m->body.p[0] != '{') return id;
    struct json body;
    if (json_parse(a, m->body, &(struct json_limits){.duplicate_keys = true}, &body, NULL)) return STR_NONE;
    return json_get_s(&body, "correlation_id");
}

/* {dataType, stringValue | binaryValue, ...} as Lambda has it -> {DataType, StringValue | BinaryValue} as SQS has it */
static int read_attribute(struct arena *a, const char *at, const struct json *v, struct json *ret, struct err *e) {
    static const char *const from[] = {"dataType", "stringValue", "binaryValue"}, *const to[] = {"DataType",
                                                                                                 "StringValue",
                                                                                                 "BinaryValue"};
    *ret = json_make_obj();
    for (int i = 0; i < 3; i++) {
        const struct json *text;
        if (event_member(v, at, from[i], JSON_STR, &text, e)) return -1;
        if (text) json_set(a, ret, to[i], *text);
    }
    return 0;
}

static int read_attributes(struct arena *a, const char *at, const struct json *record, struct json *ret,
                           struct err *e) {
    const struct json *map;
    *ret = json_make_obj();
    if (event_member(record, at, "messageAttributes", JSON_OBJ, &map, e)) return -1;
    for (uint32_t i = 0; map && i < map->n; i++) {
        struct str name = map->members[i].key;
        const char *where = arena_printf(a, "%smessageAttributes.%.*s.", at, STR_ARG(str_take(name, 256))).p;
        struct json v;
        if (read_attribute(a, where, &map->members[i].value, &v, e)) return -1;
        json_set_str(a, ret, name, v);
    }
    return 0;
}

static int number(const struct json *system, const char *at, const char *key, int64_t *ret, struct err *e) {
    struct str s;
    if (event_text(system, at, key, &s, e)) return -1;
    *ret = 0;
    if (!s.n || str_i64(s, ret)) return 0;
    return err_set(e, ERR_VALIDATION, "%s%s: '%.*s' is no number", at, key, STR_ARG(str_take(s, 32)));
}

/* "arn:aws:sqs:eu-central-1:123456789012:orders" -> "orders" */
static int read_queue(const struct json *record, const char *at, struct str *ret, struct err *e) {
    struct str arn;
    if (event_need_text(record, at, "eventSourceARN", &arn, e)) return -1;
    while (str_chr(arn, ':', 0) >= 0) str_cut(&arn, ':');
    if (!arn.n) return err_set(e, ERR_VALIDATION, "%seventSourceARN: names no queue", at);
    *ret = arn;
    return 0;
}

static int read_record(struct arena *a, uint32_t index, const struct json *record, struct script_message *m,
                       struct str *group, struct err *e) {
    const char *at = arena_printf(a, "Records[%u].", index).p;
    const char *system_at = arena_printf(a, "%sattributes.", at).p;
    const struct json *system;
    struct str source;
    if (event_need_text(record, at, "eventSource", &source, e)) return -1;
    if (!str_is(source, "aws:sqs"))
        return err_set(e, ERR_VALIDATION, "%seventSource: must be aws:sqs as in Records[0]", at);
    if (event_need_text(record, at, "messageId", &m->id, e) || event_need_text(record, at, "body", &m->body, e))
        return -1;
    if (!m->id.n) return err_set(e, ERR_VALIDATION, "%smessageId: is empty", at);
    if (read_queue(record, at, &m->queue, e) || read_attributes(a, at, record, &m->attributes, e)) return -1;
    if (event_member(record, at, "attributes", JSON_OBJ, &system, e)) return -1;
    if (number(system, system_at, "ApproximateReceiveCount", &m->receive_count, e)) return -1;
    if (number(system, system_at, "SentTimestamp", &m->sent_ms, e)) return -1;
    m->correlation_id = event_correlation(a, m);
    return event_text(system, system_at, "MessageGroupId", group, e);
}

int event_read_sqs(struct arena *a, const struct json *d, struct event_messages *ret, struct err *e) {
    const struct json *records;
    if (event_member(d, "", "Records", JSON_ARR, &records, e)) return -1;
    if (!records) return err_set(e, ERR_VALIDATION, "Records: missing");
    struct script_message *m = ARENA_ARRAY(a, struct script_message, records->n + 1);
    struct str *groups = ARENA_ARRAY(a, struct str, records->n + 1);
    bool fifo = false;
    for (uint32_t i = 0; i < records->n; i++) {
        if (records->items[i].type != JSON_OBJ)
            return err_set(e, ERR_VALIDATION, "Records[%u]: must be an object, not %s", i,
                           json_type_name(records->items[i].type));
        if (read_record(a, i, &records->items[i], &m[i], &groups[i], e)) return -1;
        fifo = fifo || str_ends(m[i].queue, STR(".fifo"));
    }
    *ret = (struct event_messages){m, fifo ? groups : NULL, records->n};
    return 0;
}
