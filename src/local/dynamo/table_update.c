/* UpdateTable: billing, throughput, settings; one global index made or deleted at a time, as in AWS. */
#include "local/dynamo/dynamo.h"
#include "local/store.h"

enum { INDEX_UPDATES_MAX = 40 };

struct change {
    struct arena *a;
    const struct json *p;
    const struct ddb_table *t;
    struct json def;             /* as it will be */
    const struct json *create;   /* a new index */
    const struct ddb_index *del; /* one to go */
};

static struct json *member(struct json *obj, const char *name) {
    return (struct json *)json_get(obj, name);
}

static void put(struct change *u, struct json *obj, const char *name, struct json v) {
    struct json *there = member(obj, name);
    if (there)
        *there = v;
    else
        json_set(u->a, obj, name, v);
}

static void drop(struct json *obj, const char *name) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < obj->n; i++)
        if (!str_is(obj->members[i].key, name)) obj->members[n++] = obj->members[i];
    obj->n = n;
}

static const struct json *index_def(const struct json *def, struct str name) {
    const struct json *list = param(def, "GlobalSecondaryIndexes");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(json_get_s(&list->items[i], "IndexName"), name)) return &list->items[i];
    return NULL;
}

/* ==== billing ==== */

static int check_same(const struct change *u, struct err *e) {
    const struct json *now = param(&u->t->def, "ProvisionedThroughput"), *to = param(u->p, "ProvisionedThroughput");
    int64_t r, w, nr, nw;
    if (!now || !to || param(u->p, "GlobalSecondaryIndexUpdates") || param(u->p, "BillingMode")) return 0;
    if (!json_i64(param(now, "ReadCapacityUnits"), &r) || !json_i64(param(now, "WriteCapacityUnits"), &w)) return 0;
    if (!json_i64(param(to, "ReadCapacityUnits"), &nr) || !json_i64(param(to, "WriteCapacityUnits"), &nw)) return 0;
    if (r != nr || w != nw) return 0;
    return err_set(
        e, ERR_VALIDATION,
        "The provisioned throughput for the table will not change. The requested value equals the current value. "
        "Current ReadCapacityUnits provisioned for the table: %lld. Requested ReadCapacityUnits: %lld. Current "
        "WriteCapacityUnits provisioned for the table: %lld. Requested WriteCapacityUnits: %lld. Refer to the Amazon "
        "DynamoDB Developer Guide for current limits and how to request higher limits.",
        (long long)r, (long long)r, (long long)w, (long long)w);
}

static int change_billing(struct change *u, struct err *e) {
    const struct json *mode = param(u->p, "BillingMode"), *units = param(u->p, "ProvisionedThroughput");
    struct json *indexes = member(&u->def, "GlobalSecondaryIndexes");
    if (check_same(u, e)) return -1;
    if (mode) put(u, &u->def, "BillingMode", *mode);
    if (units) put(u, &u->def, "ProvisionedThroughput", *units);
    if (!mode || !str_is(mode->s, "PAY_PER_REQUEST") || units) return 0;
    drop(&u->def, "ProvisionedThroughput");
    for (uint32_t i = 0; indexes && i < indexes->n; i++) drop(&indexes->items[i], "ProvisionedThroughput");
    put(u, &u->def, "_pay_per_request_ms", json_make_i64(u->a, 0));
    return 0;
}

/* ==== attributes ==== */

static int merge_attributes(struct change *u, struct err *e) {
    const struct json *given = param(u->p, "AttributeDefinitions");
    struct json *all = member(&u->def, "AttributeDefinitions");
    for (uint32_t i = 0; given && i < given->n; i++) {
        struct str name = json_get_s(&given->items[i], "AttributeName"), shown = clip(name), was = STR_NONE;
        for (uint32_t k = 0; k < all->n; k++)
            if (str_eq(json_get_s(&all->items[k], "AttributeName"), name))
                was = json_get_s(&all->items[k], "AttributeType");
        if (was.p && !str_eq(was, json_get_s(&given->items[i], "AttributeType")))
            return err_set(e, ERR_VALIDATION,
                           "One or more parameter values were invalid: the attribute %.*s is defined with another type "
                           "already: %.*s",
                           STR_ARG(shown), STR_ARG(was));
        if (!was.p) json_push(u->a, all, given->items[i]);
    }
    return 0;
}

static bool schema_uses(const struct json *owner, struct str name) {
    const struct json *schema = param(owner, "KeySchema");
    for (uint32_t i = 0; schema && i < schema->n; i++)
        if (str_eq(json_get_s(&schema->items[i], "AttributeName"), name)) return true;
    return false;
}

static bool in_use(const struct json *def, struct str name) {
    static const char *const lists[] = {"GlobalSecondaryIndexes", "LocalSecondaryIndexes"};
    if (schema_uses(def, name)) return true;
    for (int l = 0; l < 2; l++) {
        const struct json *list = param(def, lists[l]);
        for (uint32_t i = 0; list && i < list->n; i++)
            if (schema_uses(&list->items[i], name)) return true;
    }
    return false;
}

/* Definitions that only the deleted index needed go with it. */
static void drop_unused(struct change *u) {
    struct json *all = member(&u->def, "AttributeDefinitions");
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->n; i++)
        if (in_use(&u->def, json_get_s(&all->items[i], "AttributeName"))) all->items[n++] = all->items[i];
    all->n = n;
}

/* ==== indexes ==== */

static int create_index(struct change *u, const struct json *x, struct err *e) {
    struct str name = json_get_s(x, "IndexName"), shown = clip(name);
    struct json *list = member(&u->def, "GlobalSecondaryIndexes");
    if (ddb_index(u->t, name))
        return err_set(e, ERR_VALIDATION, "Attempting to create an index which already exists: %.*s", STR_ARG(shown));
    for (size_t i = 0; i < u->t->n_indexes; i++)
        if (u->t->indexes[i].creating)
            return err_set(e, ERR_DDB_IN_USE,
                           "Attempt to change a resource which is still in use: Index is being created.");
    if (!list) list = json_set(u->a, &u->def, "GlobalSecondaryIndexes", json_make_arr());
    json_push(u->a, list, *x);
    u->create = x;
    return 0;
}

static int delete_index(struct change *u, const struct json *x, struct err *e) {
    struct str name = json_get_s(x, "IndexName");
    struct json *list = member(&u->def, "GlobalSecondaryIndexes");
    const struct json *there = index_def(&u->def, name);
    if (!there) return err_set(e, ERR_DDB_NOT_FOUND, "Requested resource not found");
    for (uint32_t i = (uint32_t)(there - list->items); i + 1 < list->n; i++) list->items[i] = list->items[i + 1];
    if (!--list->n) drop(&u->def, "GlobalSecondaryIndexes");
    u->del = ddb_index(u->t, name);
    return 0;
}

static int update_index(struct change *u, const struct json *x, struct err *e) {
    const struct json *there = index_def(&u->def, json_get_s(x, "IndexName"));
    const struct json *units = param(x, "ProvisionedThroughput");
    if (!there) return err_set(e, ERR_DDB_NOT_FOUND, "Requested resource not found");
    put(u, (struct json *)there, "ProvisionedThroughput", *units);
    return 0;
}

static int change_index(struct change *u, const struct json *j, struct err *e) {
    const struct json *create = param(j, "Create"), *del = param(j, "Delete"), *upd = param(j, "Update");
    if ((create || del) && (u->create || u->del))
        return err_set(e, ERR_DDB_LIMIT,
                       "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per "
                       "table");
    if (create) return create_index(u, create, e);
    return del ? delete_index(u, del, e) : update_index(u, upd, e);
}

/* ==== the definition ==== */

/* Each changes one index, and none is named twice. */
static int check_index_updates(const struct json *list, struct err *e) {
    static const char *const kinds[] = {"Update", "Create", "Delete"};
    struct str names[INDEX_UPDATES_MAX];
    for (uint32_t i = 0; list && i < list->n && i < INDEX_UPDATES_MAX; i++) {
        const struct json *x = NULL;
        for (int k = 0; !x && k < 3; k++) x = param(&list->items[i], kinds[k]);
        if (!x)
            return err_set(e, ERR_VALIDATION,
                           "One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate.Update, "
                           "GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null");
        names[i] = json_get_s(x, "IndexName");
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(names[k], names[i]))
                return err_set(e, ERR_VALIDATION,
                               "One or more parameter values were invalid: Only one global secondary index update per "
                               "index is allowed simultaneously. Index: %.*s",
                               STR_ARG(names[i]));
    }
    return 0;
}

static int check_given(const struct json *p, struct err *e) {
    static const char *const any[] = {"ProvisionedThroughput",    "BillingMode", "StreamSpecification",
                                      "SSESpecification",         "TableClass",  "GlobalSecondaryIndexUpdates",
                                      "DeletionProtectionEnabled"};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        const struct json *v = param(p, any[i]);
        if (v && (v->type != JSON_ARR || v->n)) return 0;
    }
    return err_set(e, ERR_VALIDATION,
                   "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
                   "GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required");
}

static int check_changes(const struct json *p, struct err *e) {
    const struct json *updates = param(p, "GlobalSecondaryIndexUpdates");
    bool by_units = str_is(json_get_s(p, "BillingMode"), "PROVISIONED"), units = param(p, "ProvisionedThroughput");
    if (by_units && !units)
        return err_set(e, ERR_VALIDATION,
                       "One or more parameter values were invalid: ProvisionedThroughput must be specified when "
                       "BillingMode is PROVISIONED");
    return (units && ddb_check_throughput(p, e)) || check_index_updates(updates, e) ? -1 : 0;
}

static int redefine(struct change *u, int64_t now_ms, struct err *e) {
    static const char *const settings[] = {"SSESpecification", "TableClass", "DeletionProtectionEnabled"};
    const struct json *updates = param(u->p, "GlobalSecondaryIndexUpdates");
    u->def = json_copy(u->a, &u->t->def);
    if (merge_attributes(u, e) || change_billing(u, e)) return -1;
    for (uint32_t i = 0; updates && i < updates->n; i++)
        if (change_index(u, &updates->items[i], e)) return -1;
    if (u->del) drop_unused(u);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (param(u->p, settings[i])) put(u, &u->def, settings[i], *param(u->p, settings[i]));
    struct json *since = member(&u->def, "_pay_per_request_ms");
    int64_t ms = 0;
    if (since && json_i64(since, &ms) && !ms) *since = json_make_i64(u->a, now_ms);
    return ddb_check_definition(u->a, &u->def, e);
}

/* ==== the store ==== */

static int save(struct local_tx *tx, const struct change *u, struct err *e) {
    struct buf text = BUF_MAX(1 << 20);
    struct db_stmt *s;
    int rc = -1;
    json_write(&text, &u->def);
    if (buf_check(&text, "the table definition", e)) goto out;
    if (db_stmt(tx->db, "UPDATE ddb_table SET def = ?1 WHERE id = ?2", &s, e)) goto out;
    db_bind_text(s, 1, buf_view(&text));
    db_bind_i64(s, 2, u->t->id);
    rc = db_run(s, e) ? -1 : 0;
out:
    buf_free(&text);
    return rc;
}

static int save_index(struct local_tx *tx, int64_t table, int number, struct str name, enum index_state state,
                      struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "REPLACE INTO ddb_index VALUES(?1, ?2, ?3, ?4, x'', x'')", &s, e)) return -1;
    db_bind_i64(s, 1, table);
    db_bind_i64(s, 2, number);
    db_bind_text(s, 3, name);
    db_bind_i64(s, 4, state);
    return db_run(s, e) ? -1 : 0;
}

static int next_number(struct local_tx *tx, int64_t table, int *ret, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT max(number) FROM ddb_index WHERE table_id = ?1", &s, e)) return -1;
    db_bind_i64(s, 1, table);
    int row = db_step(s, e);
    if (row == 1) *ret = (int)db_i64(s, 0) + 1;
    db_done(s);
    return row < 0 ? -1 : 0;
}

/* From now on the numbers of this table's indexes do not follow from their places. */
static int save_indexes(struct local_tx *tx, const struct change *u, struct err *e) {
    const struct ddb_table *t = u->t;
    int number = 0;
    for (size_t i = 0; i < t->n_indexes; i++) {
        const struct ddb_index *x = &t->indexes[i];
        enum index_state state = x == u->del ? INDEX_DELETED : x->creating ? INDEX_CREATING : INDEX_ACTIVE;
        if (save_index(tx, t->id, x->number, x->name, state, e)) return -1;
    }
    if (u->del && ddb_discard(tx, t, u->del, e)) return -1;
    if (!u->create) return 0;
    if (next_number(tx, t->id, &number, e)) return -1;
    if (save_index(tx, t->id, number, json_get_s(u->create, "IndexName"), INDEX_CREATING, e)) return -1;
    return ddb_create_index_rows(tx, u->a, t->id, number, e);
}

/* The deleted index is shown once more. */
static void show_deleting(struct change *u, struct json *result, struct json shown) {
    struct json *t = member(result, "TableDescription"), *list = member(t, "GlobalSecondaryIndexes");
    put(u, &shown, "IndexStatus", json_make_c("DELETING"));
    if (!list) list = json_set(u->a, t, "GlobalSecondaryIndexes", json_make_arr());
    json_push(u->a, list, shown);
}

int ddb_update_table(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct ddb_table *t;
    struct json deleted = {0};
    if (ddb_params(tx, c) || check_given(&c->params, e) || check_changes(&c->params, e)) return -1;
    struct str name = param_table(&c->params);
    if (ddb_check_settings(&c->params, e) || ddb_table(tx, name, &t, e)) return -1;
    struct change u = {.a = &c->arena, .p = &c->params, .t = t};
    if (redefine(&u, tx->now_ms, e)) return -1;
    if (u.del) deleted = json_copy(u.a, index_def(&t->def, u.del->name));
    if (save(tx, &u, e) || ((u.create || u.del) && save_indexes(tx, &u, e)) || ddb_touch_schema(tx, e)) return -1;
    if (ddb_table(tx, name, &t, e)) return -1;
    if (ddb_describe(tx, &c->arena, t, "TableDescription", "UPDATING", &c->result, e)) return -1;
    if (u.del) show_deleting(&u, &c->result, deleted);
    local_sweep_soon(tx);
    return 0;
}
