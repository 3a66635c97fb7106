/* What a call is going to change, as it is before; and what it reads without telling all of it. */
#include "base/url.h"
#include "probe/record.h"

enum { LOOKS_MAX = 200 /* items that are looked up for one call */ };

struct looking {
    const struct recorder_config *c;
    struct buf *b;
    size_t items, objects;
};

static void never(struct aws_call *call, void *ud) {
    (void)call;
    (void)ud;
}

/* A call of our own that the engine answers at once; NULL: it failed, or did not. */
static struct aws_call *look(const struct recorder_config *c, enum aws_op op, const struct json *params) {
    struct aws_call *call = aws_call_new(op);
    call->params = json_copy(&call->arena, params);
    call->context.function = STR("recorder");
    call->done = never;
    if (aws_start(c->look, c->loop, call) == AWS_PENDING)
        aws_cancel(call);
    else if (!call->err.code || err_status_of(&call->err) == 404)
        return call;
    else
        aws_call_free(call);
    return NULL;
}

static const struct record_table *table_of(const struct recorder_config *c, struct str name) {
    ptrdiff_t slash = str_find(name, STR("/"), 0); /* arn:aws:dynamodb:...:table/Orders */
    if (slash >= 0) name = str_from(name, (size_t)slash + 1);
    for (size_t i = 0; i < c->n_tables; i++)
        if (str_eq(c->tables[i].name, name)) return &c->tables[i];
    return NULL;
}

static void look_item(struct looking *l, const struct record_table *t, struct json key) {
    struct arena a = {0};
    struct json params = json_make_obj();
    json_set(&a, &params, "TableName", json_make_str(t->name));
    json_set(&a, &params, "Key", key);
    json_set(&a, &params, "ConsistentRead", json_make_bool(true));
    struct aws_call *call = look(l->c, AWS_DYNAMODB_GetItem, &params);
    const struct json *item = call ? json_get(&call->result, "Item") : NULL, none = json_make_null();
    if (call && !call->err.code) {
        buf_c(l->b, l->items++ ? ",{" : "\"before\":[{");
        record_text(l->b, "TableName", t->name);
        buf_c(l->b, "\"Key\":");
        json_write(l->b, &key);
        buf_c(l->b, ",\"Item\":");
        json_write(l->b, item ? item : &none);
        buf_byte(l->b, '}');
    }
    aws_call_free(call);
    arena_free(&a);
}

static void look_key(struct looking *l, struct str table, const struct json *key) {
    const struct record_table *t = table_of(l->c, table);
    if (t && json_is(key, JSON_OBJ) && l->items < LOOKS_MAX) look_item(l, t, *key);
}

static void look_item_key(struct looking *l, struct str table, const struct json *item) {
    const struct record_table *t = table_of(l->c, table);
    const struct json *hash = t ? json_get_str(item, t->hash) : NULL;
    const struct json *range = t && t->range.n ? json_get_str(item, t->range) : NULL;
    struct arena a = {0};
    struct json key = json_make_obj();
    if (!hash || (t->range.n && !range)) return; /* the call will be refused */
    json_set_str(&a, &key, t->hash, *hash);
    if (range) json_set_str(&a, &key, t->range, *range);
    if (l->items < LOOKS_MAX) look_item(l, t, key);
    arena_free(&a);
}

static void look_one(struct looking *l, const struct json *write) {
    struct str table = json_get_s(write, "TableName");
    const struct json *item = json_get(write, "Item");
    if (item)
        look_item_key(l, table, item);
    else
        look_key(l, table, json_get(write, "Key"));
}

static void look_batch(struct looking *l, const struct json *params) {
    const struct json *tables = json_get(params, "RequestItems");
    for (uint32_t i = 0; json_is(tables, JSON_OBJ) && i < tables->n; i++) {
        struct str table = tables->members[i].key;
        const struct json *list = &tables->members[i].value, *keys = json_get(list, "Keys");
        for (uint32_t k = 0; json_is(keys, JSON_ARR) && k < keys->n; k++) look_key(l, table, &keys->items[k]);
        for (uint32_t k = 0; json_is(list, JSON_ARR) && k < list->n; k++) {
            const struct json *put = json_get(json_get(&list->items[k], "PutRequest"), "Item");
            if (put)
                look_item_key(l, table, put);
            else
                look_key(l, table, json_get(json_get(&list->items[k], "DeleteRequest"), "Key"));
        }
    }
}

static void look_transaction(struct looking *l, const struct json *params) {
    const struct json *list = json_get(params, "TransactItems");
    for (uint32_t i = 0; json_is(list, JSON_ARR) && i < list->n; i++)
        for (uint32_t k = 0; json_is(&list->items[i], JSON_OBJ) && k < list->items[i].n; k++)
            look_one(l, &list->items[i].members[k].value);
}

static bool tells_all(const struct json *params) {
    return !json_get(params, "ProjectionExpression") && !json_get(params, "AttributesToGet");
}

static void look_object(struct looking *l, struct str bucket, struct str key) {
    struct arena a = {0};
    struct json params = json_make_obj();
    if (l->objects >= LOOKS_MAX) return;
    json_set(&a, &params, "Bucket", json_make_str(bucket));
    json_set(&a, &params, "Key", json_make_str(key));
    struct aws_call *call = look(l->c, AWS_S3_HeadObject, &params);
    arena_free(&a);
    if (!call) return;
    buf_c(l->b, l->objects++ ? ",{" : "\"objects\":[{");
    record_text(l->b, "Bucket", bucket);
    record_text(l->b, "Key", key);
    if (!call->err.code) {
        buf_c(l->b, "\"head\":");
        json_write(l->b, &call->result);
        buf_byte(l->b, ',');
    }
    buf_printf(l->b, "\"exists\":%s}", call->err.code ? "false" : "true");
    aws_call_free(call);
}

/* "/bucket/key?versionId=...", percent-encoded */
static void look_source(struct looking *l, struct str source) {
    struct arena a = {0};
    struct str path = str_cut(&source, '?'), plain;
    if (!url_decode(&a, path, false, &plain, NULL)) {
        if (str_starts(plain, STR("/"))) plain = str_from(plain, 1);
        struct str bucket = str_cut(&plain, '/');
        if (plain.n) look_object(l, bucket, plain);
    }
    arena_free(&a);
}

static void look_objects(struct looking *l, const struct json *params) {
    const struct json *list = json_get(json_get(params, "Delete"), "Objects");
    for (uint32_t i = 0; json_is(list, JSON_ARR) && i < list->n; i++)
        look_object(l, json_get_s(params, "Bucket"), json_get_s(&list->items[i], "Key"));
}

static void look_store(struct looking *l, enum aws_op op, const struct json *p) {
    if (op == AWS_S3_DeleteObjects)
        look_objects(l, p);
    else
        look_object(l, json_get_s(p, "Bucket"), json_get_s(p, "Key"));
    if (op == AWS_S3_CopyObject) look_source(l, json_get_s(p, "CopySource"));
}

void record_before(const struct recorder_config *c, const struct aws_call *call, struct buf *b) {
    struct looking l = {c, b, 0, 0};
    const struct json *p = &call->params;
    if (!c->look) return;
    switch ((int)call->op) {
    case AWS_DYNAMODB_PutItem:
    case AWS_DYNAMODB_UpdateItem:
    case AWS_DYNAMODB_DeleteItem:
        look_one(&l, p);
        break;
    case AWS_DYNAMODB_GetItem:
        if (!tells_all(p)) look_one(&l, p);
        break;
    case AWS_DYNAMODB_BatchWriteItem:
    case AWS_DYNAMODB_BatchGetItem:
        look_batch(&l, p);
        break;
    case AWS_DYNAMODB_TransactWriteItems:
    case AWS_DYNAMODB_TransactGetItems:
        look_transaction(&l, p);
        break;
    case AWS_S3_PutObject:
    case AWS_S3_CopyObject:
    case AWS_S3_DeleteObject:
    case AWS_S3_DeleteObjects:
        look_store(&l, call->op, p);
        break;
    default:
        break;
    }
    if (l.items || l.objects) buf_c(b, "],");
}
