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

int get_legacy(struct arena *a, const struct json *p, struct err *e) {
    return legacy_check(a, p, NULL, e) || expr_wanted(p, param(p, "ProjectionExpression"), NULL, e) ? -1 : 0;
}

int get_projection(struct arena *a, const struct json *p, struct projection *ret, struct err *e) {
    const struct json *text = param(p, "ProjectionExpression");
    struct expr_names x;
    *ret = (struct projection){0};
    if (legacy_projection(a, p, ret, e)) return -1;
    if (expr_names(a, p, &x, e)) return -1;
    if (text && expr_projection(a, &x, text->s, ret, e)) return -1;
    return expr_unused(&x, e);
}

int get_parse(struct arena *a, const struct json *p, struct ddb_get *g, struct err *e) {
    *g = (struct ddb_get){.table_name = param_table(p)};
    if (get_legacy(a, p, e) || av_item_from_json(a, param(p, "Key"), "Key", &g->given, e)) return -1;
    return get_projection(a, p, &g->projection, e);
}

int ddb_get_item(struct local_tx *tx, struct aws_call *c) {
    struct ddb_get g;
    struct av *item;
    size_t size;
    struct usage used;
    struct err *e = &c->err;
    if (ddb_params(tx, c) || get_parse(&c->arena, &c->params, &g, e)) return -1;
    usage_open(&c->arena, &c->params, &used);
    if (ddb_table(tx, g.table_name, &g.table, e) || key_of_key(&c->arena, g.table, &g.given, &g.key, e)) return -1;
    if (get_one(tx, &c->arena, &g, &item, &size, e)) return -1;
    c->result = json_make_obj();
    if (item) json_set(&c->arena, &c->result, "Item", av_item_to_json(&c->arena, item));
    usage_read(&used, g.table, NULL, size, param_flag(&c->params, "ConsistentRead"));
    usage_report(&used, false, &c->result);
    return 0;
}
