/* PutItem, UpdateItem, DeleteItem. */
#include "local/dynamo/dynamo.h"

enum return_values { RV_NONE, RV_ALL_OLD, RV_UPDATED_OLD, RV_ALL_NEW, RV_UPDATED_NEW };
static const char *const return_values[] = {"NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW", NULL};

static void attributes(struct aws_call *c, const struct av *item) {
    if (item && item->n) json_set(&c->arena, &c->result, "Attributes", av_item_to_json(&c->arena, item));
}

static void answer(struct aws_call *c, const struct ddb_write *w, int rv) {
    c->result = json_make_obj();
    if (rv == RV_ALL_OLD) attributes(c, w->old);
    if (rv == RV_ALL_NEW) attributes(c, w->next);
    if (rv == RV_UPDATED_OLD) attributes(c, &w->touched_old);
    if (rv == RV_UPDATED_NEW) attributes(c, &w->touched_new);
}

static int write_one(struct local_tx *tx, struct aws_call *c, enum write_kind kind) {
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct ddb_write w;
    struct usage used;
    struct json metrics = json_make_null();
    c->result = json_make_obj();
    if (ddb_params(tx, c)) return -1;
    usage_open(a, &c->params, &used);
    bool sized = metrics_wanted(&c->params);
    int rv = param_enum(&c->params, "ReturnValues", return_values, RV_NONE);
    if (write_parse(a, &c->params, kind, &w, e)) return -1;
    if (ddb_table(tx, w.table_name, &w.table, e) || write_bind(a, &w, e)) return -1;
    w.want_old = rv == RV_ALL_OLD || used.wanted;
    w.want_touched = rv == RV_UPDATED_OLD || rv == RV_UPDATED_NEW;
    if (write_prepare(tx, a, &w, e)) {
        if (e->code == ERR_DDB_CONDITION && w.old_on_failure && w.old)
            json_set(a, &c->result, "Item", av_item_to_json(a, w.old));
        return -1;
    }
    if (write_apply(tx, a, &w, e) || (sized && metrics_of(tx, a, &w, &metrics, e))) return -1;
    answer(c, &w, rv);
    usage_write(&used, &w);
    usage_report(&used, false, &c->result);
    if (metrics.type == JSON_OBJ) json_set(a, &c->result, "ItemCollectionMetrics", metrics);
    return 0;
}

int ddb_put_item(struct local_tx *tx, struct aws_call *c) {
    return write_one(tx, c, W_PUT);
}

int ddb_update_item(struct local_tx *tx, struct aws_call *c) {
    return write_one(tx, c, W_UPDATE);
}

int ddb_delete_item(struct local_tx *tx, struct aws_call *c) {
    return write_one(tx, c, W_DELETE);
}

const struct local_row dynamo_rows[] = {
    {AWS_DYNAMODB_CreateTable, ddb_create_table},
    {AWS_DYNAMODB_DescribeTable, ddb_describe_table},
    {AWS_DYNAMODB_ListTables, ddb_list_tables},
    {AWS_DYNAMODB_UpdateTable, ddb_update_table},
    {AWS_DYNAMODB_DeleteTable, ddb_delete_table},
    {AWS_DYNAMODB_TagResource, ddb_tag},
    {AWS_DYNAMODB_UntagResource, ddb_untag},
    {AWS_DYNAMODB_ListTagsOfResource, ddb_list_tags},
    {AWS_DYNAMODB_DescribeLimits, ddb_limits},
    {AWS_DYNAMODB_DescribeEndpoints, ddb_endpoints},
    {AWS_DYNAMODB_DescribeContinuousBackups, ddb_backups},
    {AWS_DYNAMODB_UpdateTimeToLive, ddb_update_ttl},
    {AWS_DYNAMODB_DescribeTimeToLive, ddb_describe_ttl},
    {AWS_DYNAMODB_PutItem, ddb_put_item},
    {AWS_DYNAMODB_GetItem, ddb_get_item},
    {AWS_DYNAMODB_UpdateItem, ddb_update_item},
    {AWS_DYNAMODB_DeleteItem, ddb_delete_item},
    {AWS_DYNAMODB_Query, ddb_query},
    {AWS_DYNAMODB_Scan, ddb_scan},
    {AWS_DYNAMODB_BatchGetItem, ddb_batch_get},
    {AWS_DYNAMODB_BatchWriteItem, ddb_batch_write},
    {AWS_DYNAMODB_TransactWriteItems, ddb_transact_write},
    {AWS_DYNAMODB_TransactGetItems, ddb_transact_get},
    {0, NULL},
};
