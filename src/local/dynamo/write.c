/* One item written: the static checks, the key, the condition, the new item. */
#include "local/dynamo/dynamo.h"

/* ==== static part ==== */

static int check_wanted(const struct json *p, enum write_kind kind, struct err *e) {
    bool any = param(p, "ConditionExpression") || param(p, "UpdateExpression");
    const char *without =
        kind == W_UPDATE ? "UpdateExpression and ConditionExpression are null" : "ConditionExpression is null";
    return expr_wanted(p, any, any ? NULL : without, e);
}

static int too_large(const char *what, struct err *e) {
    return err_set(e, ERR_VALIDATION, "%s has exceeded the maximum allowed size", what);
}

static int parse_expressions(struct arena *a, const struct json *p, struct ddb_write *w, struct err *e) {
    struct expr_names x;
    const struct json *update = w->kind == W_UPDATE ? param(p, "UpdateExpression") : NULL;
    const struct json *condition = param(p, "ConditionExpression");
    if (expr_names(a, p, &x, e)) return -1;
    if (update && expr_update(a, &x, update->s, &w->update, e)) return -1;
    if (condition && expr_condition(a, &x, "ConditionExpression", condition->s, &w->condition, e)) return -1;
    if (expr_unused(&x, e)) return -1;
    if (!condition && legacy_conditions(a, p, "Expected", &w->condition, e)) return -1;
    return !update && w->kind == W_UPDATE ? legacy_updates(a, p, &w->update, e) : 0;
}

int write_sized(struct ddb_write *w, struct err *e) {
    w->size = av_item_size(&w->given);
    return w->size > ITEM_MAX ? too_large("Item size", e) : 0;
}

int write_parse(struct arena *a, const struct json *p, enum write_kind kind, struct ddb_write *w, struct err *e) {
    static const char *const failure[] = {"NONE", "ALL_OLD", NULL};
    const char *member = kind == W_PUT ? "Item" : "Key";
    *w = (struct ddb_write){.kind = kind, .table_name = param_table(p)};
    w->old_on_failure = param_enum(p, "ReturnValuesOnConditionCheckFailure", failure, 0) == 1;
    if (legacy_check(a, p, "Expected", e) || check_wanted(p, kind, e)) return -1;
    if (av_item_from_json(a, param(p, member), member, &w->given, e)) return -1;
    struct str rv = json_get_s(p, "ReturnValues");
    if (kind != W_UPDATE && rv.p && !str_is(rv, "ALL_OLD") && !str_is(rv, "NONE"))
        return err_set(e, ERR_VALIDATION, "ReturnValues can only be ALL_OLD or NONE");
    if (kind == W_PUT && write_sized(w, e)) return -1;
    return parse_expressions(a, p, w, e);
}

/* ==== against the table ==== */

static int check_updates_key(const struct ddb_write *w, struct err *e) {
    for (uint32_t i = 0; i < w->update.n; i++) {
        struct str name = w->update.actions[i].path.steps[0].name, shown = clip(name);
        if (str_eq(name, w->table->hash.name) || (w->table->range.type && str_eq(name, w->table->range.name)))
            return err_set(
                e, ERR_VALIDATION,
                "One or more parameter values were invalid: Cannot update attribute %.*s. This attribute is part of "
                "the key",
                STR_ARG(shown));
    }
    return 0;
}

static int check_expressions(const struct ddb_write *w, struct err *e) {
    if (w->condition && check_scalar_keys(w->table, w->condition, e)) return -1;
    return check_scalar_update(w->table, &w->update, e);
}

int write_bind(struct arena *a, struct ddb_write *w, struct err *e) {
    if (w->kind != W_PUT) {
        if (key_of_key(a, w->table, &w->given, &w->key, e) || check_updates_key(w, e)) return -1;
        return check_expressions(w, e);
    }
    if (key_of_item(a, w->table, &w->given, &w->key, e) || check_expressions(w, e)) return -1;
    return item_check_indexes(a, w->table, &w->given, e);
}

/* ==== the new item ==== */

static int depth_of(const struct av *v) {
    int deepest = 0;
    if (v->type != AV_M && v->type != AV_L) return 0;
    for (uint32_t i = 0; i < v->n; i++) {
        int d = depth_of(v->type == AV_M ? &v->members[i].value : &v->items[i]);
        if (d > deepest) deepest = d;
    }
    return deepest + 1;
}

/* A private copy of the old item's tree, by its blob: containers may be changed in place. */
static int copy_of(struct arena *a, const struct av *item, struct av *ret, struct err *e) {
    return av_decode(a, av_encode(a, item), ret, e);
}

static int make_updated(struct arena *a, struct ddb_write *w, struct err *e) {
    struct av *next = ARENA_NEW(a, struct av);
    bool want = w->want_touched;
    if (copy_of(a, w->old ? w->old : &w->given, next, e)) return -1;
    /* An item that is made has its key before anything else. */
    const struct av *before = w->old ? w->old : &w->given;
    if (update_apply(a, &w->update, before, next, want ? &w->touched_new : NULL, want ? &w->touched_old : NULL, e))
        return -1;
    if (!w->old && update_only_removes(&w->update)) return 0; /* an item is not made by removing from it */
    if (item_check_indexes(a, w->table, next, e)) return -1;
    w->size = av_item_size(next);
    if (w->size > ITEM_MAX) return too_large("Item size to update", e);
    if (depth_of(next) - 1 > NESTING_MAX)
        return err_set(
            e, ERR_VALIDATION,
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond "
            "supported limit");
    w->next = next;
    return 0;
}

/* What was there must be known for conditions and updates, for index entries and expiry that have to go, and for the
 * caller. */
static bool needs_old(const struct ddb_write *w) {
    return w->condition || w->kind == W_UPDATE || w->want_old || w->table->n_indexes || w->table->ttl.n;
}

int write_prepare(struct local_tx *tx, struct arena *a, struct ddb_write *w, struct err *e) {
    w->knows_old = needs_old(w);
    if (w->knows_old && item_read(tx, a, w->table, &w->key, &w->old, e)) return -1;
    if (w->condition && !expr_test(a, w->condition, w->old))
        return err_set(e, ERR_DDB_CONDITION, "The conditional request failed");
    if (w->kind == W_PUT) w->next = &w->given;
    if (w->kind == W_UPDATE && make_updated(a, w, e)) return -1;
    if (w->next) w->blob = av_encode(a, w->next);
    return 0;
}

int write_apply(struct local_tx *tx, struct arena *a, struct ddb_write *w, struct err *e) {
    if (w->kind == W_CHECK || (w->kind == W_UPDATE && !w->next && !w->old)) return 0;
    return item_replace(tx, a, w->table, &w->key, w->knows_old, w->old, w->next, w->blob, e);
}
