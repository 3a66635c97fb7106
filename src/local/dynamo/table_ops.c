/* CreateTable, DescribeTable, ListTables. */
#include "base/crypto.h"
#include "local/dynamo/dynamo.h"

enum { LIST_MAX = 100 };

static const struct ddb_param create_params[] = {
    {"TableName", P_STR},
    {"AttributeDefinitions", P_ARR},
    {"KeySchema", P_ARR},
    {"GlobalSecondaryIndexes", P_ARR},
    {"LocalSecondaryIndexes", P_ARR},
    {"BillingMode", P_STR},
    {"ProvisionedThroughput", P_OBJ},
    {"StreamSpecification", P_ABSENT},
    {"SSESpecification", P_ABSENT},
    {"Tags", P_ABSENT},
    {"TableClass", P_ABSENT},
    {"DeletionProtectionEnabled", P_ABSENT},
    {"ResourcePolicy", P_ABSENT},
    {"OnDemandThroughput", P_ABSENT},
    {"WarmThroughput", P_ABSENT},
    {0},
};

/* ==== describing ==== */

static struct json throughput(struct arena *a, const struct json *given) {
    struct json t = json_make_obj();
    const struct json *r = param(given, "ReadCapacityUnits"), *w = param(given, "WriteCapacityUnits");
    json_set(a, &t, "NumberOfDecreasesToday", json_make_i64(a, 0));
    json_set(a, &t, "ReadCapacityUnits", r ? *r : json_make_i64(a, 0));
    json_set(a, &t, "WriteCapacityUnits", w ? *w : json_make_i64(a, 0));
    return t;
}

static int count_rows(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, int64_t *ret_n,
                      int64_t *ret_bytes, struct err *e) {
    struct db_stmt *s = NULL;
    long long id = (long long)t->id;
    int rc =
        x ? db_stmtf(tx->db, &s, e, "SELECT count(*), sum(length(d.item)) FROM i%lld_%d x JOIN d%lld d USING(pk, sk)",
                     id, x->number, id)
          : db_stmtf(tx->db, &s, e, "SELECT count(*), sum(length(item)) FROM d%lld", id);
    if (rc) return -1;
    rc = db_step(s, e) < 0 ? -1 : 0;
    if (!rc) {
        *ret_n = db_i64(s, 0);
        *ret_bytes = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

static struct json arn(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_index *x) {
    return json_make_str(arena_printf(a, "arn:%.*s:dynamodb:%.*s:%.*s:table/%.*s%s%.*s", STR_ARG(tx->id.partition),
                                      STR_ARG(tx->id.region), STR_ARG(tx->id.account), STR_ARG(t->name),
                                      x ? "/index/" : "", x ? (int)x->name.n : 0, x ? x->name.p : ""));
}

static int counts(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_index *x,
                  struct json *to, struct err *e) {
    int64_t n = 0, bytes = 0;
    if (count_rows(tx, t, x, &n, &bytes, e)) return -1;
    json_set(a, to, "ItemCount", json_make_i64(a, n));
    json_set(a, to, x ? "IndexSizeBytes" : "TableSizeBytes", json_make_i64(a, bytes));
    return 0;
}

static int describe_indexes(struct local_tx *tx, struct arena *a, const struct ddb_table *t, bool global,
                            struct json *to, struct err *e) {
    const char *member = global ? "GlobalSecondaryIndexes" : "LocalSecondaryIndexes";
    const struct json *defs = param(&t->def, member);
    if (!defs) return 0;
    struct json list = json_make_arr();
    for (uint32_t i = 0; i < defs->n; i++) {
        const struct json *d = &defs->items[i];
        const struct ddb_index *x = ddb_index(t, json_get_s(d, "IndexName"));
        struct json o = json_make_obj();
        json_set(a, &o, "IndexName", json_make_str(x->name));
        json_set(a, &o, "KeySchema", *param(d, "KeySchema"));
        json_set(a, &o, "Projection", *param(d, "Projection"));
        json_set(a, &o, "IndexArn", arn(tx, a, t, x));
        if (global) json_set(a, &o, "IndexStatus", json_make_c("ACTIVE"));
        if (global) json_set(a, &o, "ProvisionedThroughput", throughput(a, param(d, "ProvisionedThroughput")));
        if (counts(tx, a, t, x, &o, e)) return -1;
        json_push(a, &list, o);
    }
    json_set(a, to, member, list);
    return 0;
}

/* 8-4-4-4-12, stable for a table. */
static struct json table_id(struct arena *a, const struct ddb_table *t) {
    struct buf b = BUF_MAX(600);
    uint8_t h[16];
    buf_printf(&b, "%.*s %lld %lld", STR_ARG(t->name), (long long)t->id, (long long)t->created_ms);
    crypto_md5(buf_view(&b), h);
    buf_clear(&b);
    crypto_hex(&b, str_n((char *)h, sizeof h));
    const char *p = buf_cstr(&b);
    struct str id = arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", p, p + 8, p + 12, p + 16, p + 20);
    buf_free(&b);
    return json_make_str(id);
}

static struct json seconds(struct arena *a, int64_t ms) {
    return json_make_num(arena_printf(a, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000)));
}

static int describe(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const char *member,
                    struct json *ret, struct err *e) {
    struct json o = json_make_obj();
    json_set(a, &o, "TableName", json_make_str(arena_str(a, t->name)));
    json_set(a, &o, "TableArn", arn(tx, a, t, NULL));
    json_set(a, &o, "TableId", table_id(a, t));
    json_set(a, &o, "TableStatus", json_make_c("ACTIVE"));
    json_set(a, &o, "CreationDateTime", seconds(a, t->created_ms));
    json_set(a, &o, "AttributeDefinitions", *param(&t->def, "AttributeDefinitions"));
    json_set(a, &o, "KeySchema", *param(&t->def, "KeySchema"));
    json_set(a, &o, "ProvisionedThroughput", throughput(a, param(&t->def, "ProvisionedThroughput")));
    if (str_is(json_get_s(&t->def, "BillingMode"), "PAY_PER_REQUEST")) {
        struct json b = json_make_obj();
        json_set(a, &b, "BillingMode", json_make_c("PAY_PER_REQUEST"));
        json_set(a, &b, "LastUpdateToPayPerRequestDateTime", seconds(a, t->created_ms));
        json_set(a, &o, "BillingModeSummary", b);
    }
    json_set(a, &o, "DeletionProtectionEnabled", json_make_bool(false));
    if (describe_indexes(tx, a, t, true, &o, e) || describe_indexes(tx, a, t, false, &o, e)) return -1;
    if (counts(tx, a, t, NULL, &o, e)) return -1;
    *ret = json_make_obj();
    /* The cached description may go before the answer is written. */
    json_set(a, ret, member, json_copy(a, &o));
    return 0;
}

int ddb_describe_table(struct local_tx *tx, struct aws_call *c) {
    static const struct ddb_param params[] = {{"TableName", P_STR}, {0}};
    struct str name;
    struct ddb_table *t;
    if (check_params(&c->params, "DescribeTable", params, &c->err)) return -1;
    if (check_table_name(&c->params, "TableName", &name, &c->err) || ddb_table(tx, name, &t, &c->err)) return -1;
    return describe(tx, &c->arena, t, "Table", &c->result, &c->err);
}

/* ==== creating ==== */

static int insert_row(struct local_tx *tx, struct str name, const struct json *def, struct err *e) {
    struct db_stmt *s;
    struct buf text = BUF_MAX(1 << 20);
    int rc = -1;
    json_write(&text, def);
    if (buf_check(&text, "the table definition", e)) goto out;
    if (db_stmt(tx->db, "INSERT INTO ddb_table(name, def, created_ms) VALUES(?1, ?2, ?3)", &s, e)) goto out;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, buf_view(&text));
    db_bind_i64(s, 3, tx->now_ms);
    rc = db_run(s, e) ? -1 : 0;
out:
    buf_free(&text);
    return rc;
}

static int execf(struct local_tx *tx, struct arena *a, struct err *e, const char *fmt, long long id, int number) {
    struct str sql = arena_printf(a, fmt, id, number);
    return db_exec(tx->db, sql.p, e);
}

static int create_rows(struct local_tx *tx, struct arena *a, const struct ddb_table *t, struct err *e) {
    long long id = (long long)t->id;
    if (execf(tx, a, e, "CREATE TABLE d%lld(pk BLOB, sk BLOB, item BLOB, PRIMARY KEY(pk, sk)) WITHOUT ROWID", id, 0))
        return -1;
    for (size_t i = 0; i < t->n_indexes; i++)
        if (execf(tx, a, e,
                  "CREATE TABLE i%lld_%d(h BLOB, r BLOB, pk BLOB, sk BLOB, PRIMARY KEY(h, r, pk, sk)) WITHOUT ROWID",
                  id, t->indexes[i].number))
            return -1;
    return 0;
}

int ddb_create_table(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct str name;
    struct ddb_table *t = NULL;
    int rc = -1;
    if (check_params(&c->params, "CreateTable", create_params, e)) return -1;
    if (check_table_name(&c->params, "TableName", &name, e) || ddb_check_definition(&c->arena, &c->params, e))
        return -1;
    if (ddb_table_load(tx->db, name, &t, e)) goto out;
    if (t) {
        err_set(e, ERR_DDB_IN_USE, "Table already exists: %.*s", STR_ARG(name));
        goto out;
    }
    if (insert_row(tx, name, &c->params, e) || ddb_touch_schema(tx, e) || ddb_table_load(tx->db, name, &t, e)) goto out;
    if (create_rows(tx, &c->arena, t, e)) goto out;
    rc = describe(tx, &c->arena, t, "TableDescription", &c->result, e);
out:
    ddb_table_free(t);
    return rc;
}

/* ==== listing ==== */

int ddb_list_tables(struct local_tx *tx, struct aws_call *c) {
    static const struct ddb_param params[] = {{"ExclusiveStartTableName", P_STR}, {"Limit", P_NUM}, {0}};
    struct err *e = &c->err;
    const struct json *limit = param(&c->params, "Limit");
    struct db_stmt *s = NULL;
    struct json names = json_make_arr();
    int64_t max = LIST_MAX;
    int row;
    if (check_params(&c->params, "ListTables", params, e)) return -1;
    if (limit && (!json_i64(limit, &max) || max < 1 || max > LIST_MAX))
        return err_set(
            e, ERR_VALIDATION,
            "1 validation error detected: Value '%.*s' at 'limit' failed to satisfy constraint: Member must have "
            "value between 1 and 100",
            STR_ARG(limit->s));
    if (db_stmt(tx->db, "SELECT name FROM ddb_table WHERE name > ?1 ORDER BY name LIMIT ?2", &s, e)) return -1;
    struct str from = json_get_s(&c->params, "ExclusiveStartTableName");
    db_bind_text(s, 1, from.p ? from : STR(""));
    db_bind_i64(s, 2, max + 1);
    while ((row = db_step(s, e)) == 1 && names.n <= max)
        json_push(&c->arena, &names, json_make_str(arena_str(&c->arena, db_bytes(s, 0))));
    db_done(s);
    if (row < 0) return -1;
    bool more = names.n > max;
    names.n -= more;
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "TableNames", names);
    if (more) json_set(&c->arena, &c->result, "LastEvaluatedTableName", names.items[names.n - 1]);
    return 0;
}
