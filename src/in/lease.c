#include "in/lease.h"

enum {
    CALL_MS = 10000,         /* of one call, retries included */
    KEEP_MS = 2 * 86400000L, /* items are kept so long after their run, so that a clock that is late sees them */
};

static struct json number(struct arena *a, int64_t v) {
    struct json o = json_make_obj();
    json_set(a, &o, "N", json_make_str(arena_printf(a, "%lld", (long long)v)));
    return o;
}

static struct json text(struct arena *a, struct str s) {
    struct json o = json_make_obj();
    json_set(a, &o, "S", json_make_str(arena_str(a, s)));
    return o;
}

static struct aws_call *update(const struct clock_lease *l, const struct lease_occurrence *o, const char *set,
                               const char *condition) {
    struct aws_call *c = aws_call_new(AWS_DYNAMODB_UpdateItem);
    struct arena *a = &c->arena;
    struct str id = arena_printf(a, "perigee#schedule#%.*s#%.*s", STR_ARG(l->scope), STR_ARG(o->schedule));
    c->params = json_make_obj();
    c->context.deadline_ms = now_mono_ms() + CALL_MS;
    json_set(a, &c->params, "TableName", json_make_str(arena_str(a, l->table)));
    struct json *key = json_set(a, &c->params, "Key", json_make_obj());
    json_set(a, key, arena_cstr(a, l->key), text(a, id));
    json_set(a, &c->params, "UpdateExpression", json_make_c(set));
    json_set(a, &c->params, "ConditionExpression", json_make_c(condition));
    struct json *names = json_set(a, &c->params, "ExpressionAttributeNames", json_make_obj());
    json_set(a, names, "#due", json_make_c("due"));
    json_set(a, names, "#until", json_make_c("running_until"));
    json_set(a, names, "#owner", json_make_c("owner"));
    struct json *values = json_set(a, &c->params, "ExpressionAttributeValues", json_make_obj());
    json_set(a, values, ":due", number(a, o->due_ms));
    json_set(a, values, ":owner", text(a, l->owner));
    return c;
}

struct aws_call *lease_take(const struct clock_lease *l, const struct lease_occurrence *o) {
    const char *set = l->ttl.n ? "SET #due = :due, #until = :until, #owner = :owner, #ttl = :ttl"
                               : "SET #due = :due, #until = :until, #owner = :owner";
    struct aws_call *c = update(l, o, set, "attribute_not_exists(#key) OR (#due < :due AND #until < :now)");
    struct arena *a = &c->arena;
    struct json *names = (struct json *)json_get(&c->params, "ExpressionAttributeNames");
    struct json *values = (struct json *)json_get(&c->params, "ExpressionAttributeValues");
    json_set(a, names, "#key", json_make_str(arena_str(a, l->key)));
    json_set(a, values, ":until", number(a, o->until_ms));
    json_set(a, values, ":now", number(a, o->now_ms));
    if (l->ttl.n) json_set(a, names, "#ttl", json_make_str(arena_str(a, l->ttl)));
    if (l->ttl.n) json_set(a, values, ":ttl", number(a, (o->until_ms + KEEP_MS) / 1000));
    json_set(a, &c->params, "ReturnValuesOnConditionCheckFailure", json_make_c("ALL_OLD"));
    return c;
}

struct aws_call *lease_end(const struct clock_lease *l, const struct lease_occurrence *o) {
    struct aws_call *c = update(l, o, "SET #until = :zero", "#owner = :owner AND #due = :due");
    json_set(&c->arena, (struct json *)json_get(&c->params, "ExpressionAttributeValues"), ":zero",
             number(&c->arena, 0));
    return c;
}

enum lease_answer lease_taken(const struct clock_lease *l, const struct lease_occurrence *o, const struct aws_call *c) {
    int64_t due = 0;
    if (!c->err.code) return LEASE_TAKEN;
    if (c->err.code != ERR_DDB_CONDITION) return LEASE_UNKNOWN;
    const struct json *item = json_get(&c->result, "Item");
    bool ours = str_eq(json_get_s(json_get(item, "owner"), "S"), l->owner);
    str_i64(json_get_s(json_get(item, "due"), "N"), &due);
    return ours && due == o->due_ms ? LEASE_TAKEN : LEASE_ELSEWHERE;
}
