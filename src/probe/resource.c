/* The tables, queues and buckets that calls name. */
#include "base/buf.h"
#include "probe/state.h"

typedef bool named_fn(void *ud, struct str name); /* true: enough */

/* "Orders" of "arn:aws:dynamodb:...:table/Orders/index/by_status". */
static struct str table_name(struct str s) {
    if (!str_starts(s, STR("arn:"))) return s;
    str_cut(&s, '/');
    return str_cut(&s, '/');
}

static bool of_transaction(const struct json *items, named_fn *fn, void *ud) {
    for (uint32_t i = 0; json_is(items, JSON_ARR) && i < items->n; i++) {
        const struct json *one = &items->items[i];
        if (!json_is(one, JSON_OBJ) || !one->n) continue;
        struct str name = json_get_s(&one->members[0].value, "TableName");
        if (name.n && fn(ud, table_name(name))) return true;
    }
    return false;
}

static bool of_batch(const struct json *items, named_fn *fn, void *ud) {
    for (uint32_t i = 0; json_is(items, JSON_OBJ) && i < items->n; i++)
        if (fn(ud, table_name(items->members[i].key))) return true;
    return false;
}

static bool of_member(const struct json *params, const char *member, named_fn *fn, void *ud) {
    struct str s = json_get_s(params, member);
    return s.n && fn(ud, s);
}

static bool of_dynamodb(const struct json *params, named_fn *fn, void *ud) {
    struct str table = json_get_s(params, "TableName"), arn = json_get_s(params, "ResourceArn");
    if (table.n || arn.n) return fn(ud, table_name(table.n ? table : arn));
    return of_batch(json_get(params, "RequestItems"), fn, ud) ||
           of_transaction(json_get(params, "TransactItems"), fn, ud);
}

static bool of_sqs(const struct json *params, named_fn *fn, void *ud) {
    struct str url = json_get_s(params, "QueueUrl"), arn = json_get_s(params, "SourceArn");
    if (url.n || arn.n) return fn(ud, aws_queue_name(url.n ? url : arn));
    return of_member(params, "QueueName", fn, ud);
}

/* Whether fn was satisfied by one of them. */
static bool each_resource(const struct aws_call *c, named_fn *fn, void *ud) {
    switch (c->row->service) {
    case AWS_DYNAMODB:
        return of_dynamodb(&c->params, fn, ud);
    case AWS_SQS:
        return of_sqs(&c->params, fn, ud);
    case AWS_S3:
        return of_member(&c->params, "Bucket", fn, ud);
    case AWS_SES:
        return of_member(&c->params, "EmailIdentity", fn, ud);
    default:
        return false;
    }
}

static bool is_it(void *ud, struct str name) {
    return str_eq(*(const struct str *)ud, name);
}

bool resource_is(const struct aws_call *c, struct str name) {
    return each_resource(c, is_it, &name);
}

static bool is_in_list(struct str list, struct str name) {
    while (list.n)
        if (str_eq(str_cut(&list, ','), name)) return true;
    return false;
}

static bool add_name(void *ud, struct str name) {
    struct buf *b = ud;
    if (is_in_list(buf_view(b), name)) return false;
    if (b->n) buf_byte(b, ',');
    buf_str(b, name);
    return b->over;
}

void probe_resource(const struct aws_call *c, struct buf *ret) {
    each_resource(c, add_name, ret);
}
