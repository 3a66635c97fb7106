/* GetItem, and what the batch and transactional gets share with it. */
#include "local/dynamo/dynamo.h"

int get_one(struct local_tx *tx, struct arena *a, const struct ddb_get *g, struct av **ret, size_t *ret_size,
            struct err *e) {
    struct av *item;
    if (check_scalar_paths(g->table, &g->projection, e)) return -1;
    if (item_read(tx, a, g->table, &g->key, &item, e)) return -1;
    *ret_size = item ? av_item_size(item) : 0;
    if (item && g->projection.n) *item = project(a, &g->projection, item);
    *ret = item;
    return 0;
}

int get_projection(struct arena *a, const struct json *p, struct projection *ret, struct err *e) {
    const struct json *text = param(p, "ProjectionExpression");
    struct expr_names x;
    *ret = (struct projection){0};
    if (legacy_check(a, p, NULL, e)) return -1;
    if (expr_names(a, p, text ? NULL : "ProjectionExpression is null", &x, e)) return -1;
    if (text && expr_projection(a, &x, text->s, ret, e)) return -1;
    return expr_unused(&x, e) || legacy_projection(a, p, ret, e) ? -1 : 0;
}

int get_parse(struct arena *a, const struct json *p, struct ddb_get *g, struct err *e) {
    const struct json *key;
    *g = (struct ddb_get){0};
    if (check_table_name(p, "TableName", &g->table_name, e) || check_required(p, "Key", &key, e)) return -1;
    return av_item_from_json(a, key, "Key", &g->given, e) || get_projection(a, p, &g->projection, e) ? -1 : 0;
}

int ddb_get_item(struct local_tx *tx, struct aws_call *c) {
    static const struct ddb_param params[] = {{"TableName", P_STR},
                                              {"Key", P_OBJ},
                                              {"ConsistentRead", P_BOOL},
                                              {"ProjectionExpression", P_STR},
                                              {"ExpressionAttributeNames", P_OBJ},
                                              {"ReturnConsumedCapacity", P_STR},
                                              {"AttributesToGet", P_ARR},
                                              {0}};
    struct ddb_get g;
    struct av *item;
    size_t size;
    struct usage used;
    struct err *e = &c->err;
    if (check_params(&c->params, "GetItem", params, e) || usage_open(&c->arena, &c->params, &used, e) ||
        get_parse(&c->arena, &c->params, &g, e))
        return -1;
    if (ddb_table(tx, g.table_name, &g.table, e) || key_of_key(&c->arena, g.table, &g.given, &g.key, e)) return -1;
    if (get_one(tx, &c->arena, &g, &item, &size, e)) return -1;
    c->result = json_make_obj();
    if (item) json_set(&c->arena, &c->result, "Item", av_item_to_json(&c->arena, item));
    usage_read(&used, g.table, NULL, size, check_flag(&c->params, "ConsistentRead"));
    usage_report(&used, false, &c->result);
    return 0;
}
