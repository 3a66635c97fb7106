/* BatchGetItem, BatchWriteItem. */
#include "local/dynamo/dynamo.h"

enum { GET_MAX = 100, PUT_MAX = 25, BATCH_BYTES = 16 << 20 };

static bool same_key(const struct ddb_key *a, const struct ddb_key *b) {
    return str_eq(a->pk, b->pk) && str_eq(a->sk, b->sk);
}

static int too_many(const char *op, struct err *e) {
    return err_set(e, ERR_VALIDATION, "Too many items requested for the %s call", op);
}

static int duplicate(struct err *e) {
    return err_set(e, ERR_VALIDATION, "Provided list of item keys contains duplicates");
}

/* ==== BatchGetItem ==== */

struct get_group {
    const struct json *p, *keys;
    struct str table;
    struct ddb_get *gets;
};

static int parse_group(struct arena *a, const struct json_member *m, struct get_group *g, uint32_t *n, struct err *e) {
    struct projection projection;
    if (get_legacy(a, &m->value, e) || get_projection(a, &m->value, &projection, e)) return -1;
    *g = (struct get_group){&m->value, param(&m->value, "Keys"), m->key, NULL};
    g->gets = ARENA_ARRAY(a, struct ddb_get, g->keys->n);
    for (uint32_t i = 0; i < g->keys->n; i++) {
        g->gets[i].projection = projection;
        if (av_item_from_json(a, &g->keys->items[i], "Key", &g->gets[i].given, e)) return -1;
        for (uint32_t k = 0; k < i; k++)
            if (av_equal(&g->gets[k].given, &g->gets[i].given)) return duplicate(e);
        if (++*n > GET_MAX) return too_many("BatchGetItem", e);
    }
    return 0;
}

static int bind_group(struct arena *a, struct get_group *g, struct ddb_table *t, struct err *e) {
    for (uint32_t i = 0; i < g->keys->n; i++) {
        g->gets[i].table = t;
        if (key_of_key(a, t, &g->gets[i].given, &g->gets[i].key, e)) return -1;
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
        usage_read(used, g->gets[i].table, NULL, size, param_flag(g->p, "ConsistentRead"));
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
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct usage used;
    uint32_t n = 0;
    if (ddb_params(tx, c)) return -1;
    usage_open(a, &c->params, &used);
    const struct json *items = param(&c->params, "RequestItems");
    struct get_group *groups = ARENA_ARRAY(a, struct get_group, items->n);
    for (uint32_t i = 0; i < items->n; i++)
        if (parse_group(a, &items->members[i], &groups[i], &n, e)) return -1;
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

static int parse_request(struct arena *a, const struct json *j, struct str table, struct ddb_write *w, struct err *e) {
    const struct json *put = param(j, "PutRequest"), *del = param(j, "DeleteRequest");
    if (!put == !del)
        return err_set(
            e, ERR_VALIDATION,
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes");
    const char *member = put ? "Item" : "Key";
    *w = (struct ddb_write){.kind = put ? W_PUT : W_DELETE, .table_name = ddb_arn_name(table)};
    if (av_item_from_json(a, param(put ? put : del, member), member, &w->given, e)) return -1;
    return put ? write_sized(w, e) : 0;
}

static int parse_requests(struct arena *a, const struct json *items, struct ddb_write *w, uint32_t *ret_n,
                          struct err *e) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct json *list = &items->members[i].value;
        for (uint32_t k = 0; k < list->n; k++)
            if (n == PUT_MAX ? too_many("BatchWriteItem", e)
                             : parse_request(a, &list->items[k], items->members[i].key, &w[n++], e))
                return -1;
    }
    *ret_n = n;
    return 0;
}

/* A batch does not tell which key it misses. */
static int bind_request(struct arena *a, struct ddb_write *w, struct err *e) {
    const struct ddb_table *t = w->table;
    const struct av *h = av_get(&w->given, t->hash.name), *r = t->range.type ? av_get(&w->given, t->range.name) : NULL;
    if (!h || h->type != t->hash.type || (t->range.type && (!r || r->type != t->range.type)))
        return err_set(e, ERR_VALIDATION, "The provided key element does not match the schema");
    return write_bind(a, w, e);
}

static int bind_requests(struct local_tx *tx, struct arena *a, struct ddb_write *w, uint32_t n, struct err *e) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if ((i ? ddb_table_more : ddb_table)(tx, w[i].table_name, &w[i].table, e) || bind_request(a, &w[i], e))
            return -1;
        for (uint32_t k = 0; k < i; k++)
            if (w[k].table == w[i].table && same_key(&w[k].key, &w[i].key)) return duplicate(e);
        bytes += w[i].size;
    }
    if (bytes > BATCH_BYTES)
        return err_set(e, ERR_VALIDATION, "BatchWriteItem: the items are larger than 16 MB together");
    return 0;
}

int ddb_batch_write(struct local_tx *tx, struct aws_call *c) {
    struct ddb_write w[PUT_MAX];
    struct err *e = &c->err;
    uint32_t n;
    struct usage used;
    if (ddb_params(tx, c)) return -1;
    usage_open(&c->arena, &c->params, &used);
    bool sized = metrics_wanted(&c->params);
    if (parse_requests(&c->arena, param(&c->params, "RequestItems"), w, &n, e) || bind_requests(tx, &c->arena, w, n, e))
        return -1;
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
