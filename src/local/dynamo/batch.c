/* BatchGetItem, BatchWriteItem. */
#include "local/dynamo/dynamo.h"

enum { GET_MAX = 100, PUT_MAX = 25, BATCH_BYTES = 16 << 20 };

static int check_request_items(const struct json *p, const struct json **ret, struct err *e) {
    if (check_required(p, "RequestItems", ret, e)) return -1;
    if ((*ret)->n) return 0;
    return err_set(
        e, ERR_VALIDATION,
        "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have "
        "length greater than or equal to 1");
}

static bool same_key(const struct ddb_key *a, const struct ddb_key *b) {
    return str_eq(a->pk, b->pk) && str_eq(a->sk, b->sk);
}

static int duplicate(struct err *e) {
    return err_set(e, ERR_VALIDATION, "Provided list of item keys contains duplicates");
}

/* Number of elements below the tables of RequestItems; `member` is the list's name, NULL: the value is the list. */
static int count(const struct json *items, const char *member, uint32_t max, const char *op, struct err *e) {
    size_t n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct json *list = member ? param(&items->members[i].value, member) : &items->members[i].value;
        struct str name = clip(items->members[i].key);
        if (check_name(items->members[i].key, "TableName", e)) return -1;
        if (!json_is(list, JSON_ARR))
            return err_set(e, ERR_SERIALIZATION, "%s: RequestItems.%.*s must have a list%s%s", op, STR_ARG(name),
                           member ? " " : "", member ? member : "");
        if (!list->n)
            return err_set(
                e, ERR_VALIDATION,
                "1 validation error detected: Value '[]' at 'requestItems.%.*s.member%s%s' failed to satisfy "
                "constraint: Member must have length greater than or equal to 1",
                STR_ARG(name), member ? "." : "", member ? "keys" : "");
        n += list->n;
    }
    if (n > max) return err_set(e, ERR_VALIDATION, "Too many items requested for the %s call", op);
    return 0;
}

/* ==== BatchGetItem ==== */

static const struct ddb_param keys_params[] = {{"Keys", P_ARR},
                                               {"ConsistentRead", P_BOOL},
                                               {"ProjectionExpression", P_STR},
                                               {"ExpressionAttributeNames", P_OBJ},
                                               {"AttributesToGet", P_ARR},
                                               {0}};

struct get_group {
    const struct json *p, *keys;
    struct str table;
    struct ddb_get *gets;
};

static int parse_group(struct arena *a, const struct json_member *m, struct get_group *g, struct err *e) {
    struct projection projection;
    if (check_params(&m->value, "BatchGetItem", keys_params, e) || get_projection(a, &m->value, &projection, e))
        return -1;
    *g = (struct get_group){&m->value, param(&m->value, "Keys"), m->key, NULL};
    g->gets = ARENA_ARRAY(a, struct ddb_get, g->keys->n);
    for (uint32_t i = 0; i < g->keys->n; i++) {
        g->gets[i].projection = projection;
        if (av_item_from_json(a, &g->keys->items[i], "Key", &g->gets[i].given, e)) return -1;
    }
    return 0;
}

static int bind_group(struct arena *a, struct get_group *g, struct ddb_table *t, struct err *e) {
    for (uint32_t i = 0; i < g->keys->n; i++) {
        g->gets[i].table = t;
        if (key_of_key(a, t, &g->gets[i].given, &g->gets[i].key, e)) return -1;
        for (uint32_t k = 0; k < i; k++)
            if (same_key(&g->gets[k].key, &g->gets[i].key)) return duplicate(e);
    }
    return 0;
}

/* The group's request again, with the keys from `from` on. */
static struct json unprocessed(struct arena *a, const struct get_group *g, uint32_t from) {
    struct json o = json_make_obj(), keys = json_make_arr();
    for (uint32_t i = from; i < g->keys->n; i++) json_push(a, &keys, g->keys->items[i]);
    for (uint32_t i = 0; i < g->p->n; i++) {
        bool list = str_is(g->p->members[i].key, "Keys");
        json_set_str(a, &o, g->p->members[i].key, list ? keys : g->p->members[i].value);
    }
    return o;
}

static int get_group(struct local_tx *tx, struct arena *a, struct get_group *g, size_t *bytes, struct usage *used,
                     struct json *found, uint32_t *ret_done, struct err *e) {
    uint32_t i = 0;
    for (; i < g->keys->n && *bytes <= BATCH_BYTES; i++) {
        struct av *item;
        size_t size;
        if (get_one(tx, a, &g->gets[i], &item, &size, e)) return -1;
        *bytes += size;
        if (*bytes > BATCH_BYTES) break;
        usage_read(used, g->gets[i].table, NULL, size, check_flag(g->p, "ConsistentRead"));
        if (item) json_push(a, found, av_item_to_json(a, item));
    }
    *ret_done = i;
    return 0;
}

static int get_groups(struct local_tx *tx, struct arena *a, struct get_group *groups, uint32_t n, struct usage *used,
                      struct json *responses, struct json *rest, struct err *e) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct json found = json_make_arr();
        uint32_t done = 0;
        if (get_group(tx, a, &groups[i], &bytes, used, &found, &done, e)) return -1;
        json_set_str(a, responses, groups[i].table, found);
        if (done < groups[i].keys->n) json_set_str(a, rest, groups[i].table, unprocessed(a, &groups[i], done));
    }
    return 0;
}

int ddb_batch_get(struct local_tx *tx, struct aws_call *c) {
    static const struct ddb_param params[] = {{"RequestItems", P_OBJ}, {"ReturnConsumedCapacity", P_STR}, {0}};
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    const struct json *items;
    struct usage used;
    if (check_params(&c->params, "BatchGetItem", params, e) || usage_open(a, &c->params, &used, e)) return -1;
    if (check_request_items(&c->params, &items, e)) return -1;
    if (count(items, "Keys", GET_MAX, "BatchGetItem", e)) return -1;
    struct get_group *groups = ARENA_ARRAY(a, struct get_group, items->n);
    for (uint32_t i = 0; i < items->n; i++)
        if (parse_group(a, &items->members[i], &groups[i], e)) return -1;
    for (uint32_t i = 0; i < items->n; i++) {
        struct ddb_table *t;
        if ((i ? ddb_table_more : ddb_table)(tx, groups[i].table, &t, e) || bind_group(a, &groups[i], t, e)) return -1;
    }
    struct json responses = json_make_obj(), rest = json_make_obj();
    if (get_groups(tx, a, groups, items->n, &used, &responses, &rest, e)) return -1;
    c->result = json_make_obj();
    json_set(a, &c->result, "Responses", responses);
    json_set(a, &c->result, "UnprocessedKeys", rest);
    usage_report(&used, true, &c->result);
    return 0;
}

/* ==== BatchWriteItem ==== */

static const struct ddb_param request_params[] = {{"PutRequest", P_OBJ}, {"DeleteRequest", P_OBJ}, {0}};
static const struct ddb_param put_params[] = {{"Item", P_OBJ}, {0}};
static const struct ddb_param delete_params[] = {{"Key", P_OBJ}, {0}};

static int parse_request(struct arena *a, const struct json *j, struct str table, struct ddb_write *w, struct err *e) {
    if (check_params(j, "BatchWriteItem", request_params, e)) return -1;
    const struct json *put = param(j, "PutRequest"), *del = param(j, "DeleteRequest"), *given;
    if (!put == !del)
        return err_set(
            e, ERR_VALIDATION,
            "Supplied AttributeValue %s, must contain exactly one of the supported request types: PutRequest, "
            "DeleteRequest",
            put ? "has more than one request set" : "is empty");
    const char *member = put ? "Item" : "Key";
    if (check_params(put ? put : del, put ? "PutRequest" : "DeleteRequest", put ? put_params : delete_params, e))
        return -1;
    if (check_required(put ? put : del, member, &given, e)) return -1;
    *w = (struct ddb_write){.kind = put ? W_PUT : W_DELETE, .table_name = table};
    return av_item_from_json(a, given, member, &w->given, e);
}

static int parse_requests(struct arena *a, const struct json *items, struct ddb_write *w, uint32_t *ret_n,
                          struct err *e) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct json *list = &items->members[i].value;
        for (uint32_t k = 0; k < list->n; k++)
            if (parse_request(a, &list->items[k], items->members[i].key, &w[n++], e)) return -1;
    }
    *ret_n = n;
    return 0;
}

static int bind_requests(struct local_tx *tx, struct arena *a, struct ddb_write *w, uint32_t n, struct err *e) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if ((i ? ddb_table_more : ddb_table)(tx, w[i].table_name, &w[i].table, e) || write_bind(a, &w[i], e)) return -1;
        for (uint32_t k = 0; k < i; k++)
            if (w[k].table == w[i].table && same_key(&w[k].key, &w[i].key)) return duplicate(e);
        bytes += w[i].size;
    }
    if (bytes > BATCH_BYTES)
        return err_set(e, ERR_VALIDATION, "BatchWriteItem: the items are larger than 16 MB together");
    return 0;
}

int ddb_batch_write(struct local_tx *tx, struct aws_call *c) {
    static const struct ddb_param params[] = {
        {"RequestItems", P_OBJ}, {"ReturnConsumedCapacity", P_STR}, {"ReturnItemCollectionMetrics", P_STR}, {0}};
    struct ddb_write w[PUT_MAX];
    struct err *e = &c->err;
    const struct json *items;
    uint32_t n;
    struct usage used;
    bool sized;
    if (check_params(&c->params, "BatchWriteItem", params, e) || usage_open(&c->arena, &c->params, &used, e)) return -1;
    if (metrics_wanted(&c->params, &sized, e)) return -1;
    if (check_request_items(&c->params, &items, e)) return -1;
    if (count(items, NULL, PUT_MAX, "BatchWriteItem", e)) return -1;
    if (parse_requests(&c->arena, items, w, &n, e) || bind_requests(tx, &c->arena, w, n, e)) return -1;
    for (uint32_t i = 0; i < n; i++) {
        w[i].want_old = used.wanted;
        if (write_prepare(tx, &c->arena, &w[i], e) || write_apply(tx, &c->arena, &w[i], e)) return -1;
        usage_write(&used, &w[i]);
    }
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "UnprocessedItems", json_make_obj());
    if (sized && metrics_of_all(tx, &c->arena, w, n, &c->result, e)) return -1;
    usage_report(&used, true, &c->result);
    return 0;
}
