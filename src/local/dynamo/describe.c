/* DescribeTable, and the descriptions in the answers of the operations that change tables. */
#include "base/crypto.h"
#include "local/dynamo/dynamo.h"

/* Counting ends here: DescribeTable must not cost the time of a table's size. From there on an older
 * count is told; AWS's are hours old, too. */
enum { COUNT_MAX = 10000, SIZES_MAX = 500 };

static struct json throughput(struct arena *a, const struct json *given) {
    struct json t = json_make_obj();
    const struct json *r = param(given, "ReadCapacityUnits"), *w = param(given, "WriteCapacityUnits");
    json_set(a, &t, "NumberOfDecreasesToday", json_make_i64(a, 0));
    json_set(a, &t, "ReadCapacityUnits", r ? *r : json_make_i64(a, 0));
    json_set(a, &t, "WriteCapacityUnits", w ? *w : json_make_i64(a, 0));
    return t;
}

static struct json seconds(struct arena *a, int64_t ms) {
    return json_make_num(arena_printf(a, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000)));
}

static struct json arn(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_index *x) {
    return json_make_str(arena_printf(a, "arn:%.*s:dynamodb:%.*s:%.*s:table/%.*s%s%.*s", STR_ARG(tx->id.partition),
                                      STR_ARG(tx->id.region), STR_ARG(tx->id.account), STR_ARG(t->name),
                                      x ? "/index/" : "", x ? (int)x->name.n : 0, x ? x->name.p : ""));
}

/* ==== counts ==== */

static int read_two(struct db_stmt *s, int64_t *ret_n, int64_t *ret_bytes, struct err *e) {
    int rc = db_step(s, e) < 0 ? -1 : 0;
    if (!rc) {
        *ret_n = db_i64(s, 0);
        *ret_bytes = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

static int count_items(struct local_tx *tx, const struct ddb_table *t, int64_t *ret_n, int64_t *ret_bytes,
                       struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmtf(tx->db, &s, e, "SELECT count(*), sum(n) FROM (SELECT length(item) n FROM d%lld LIMIT %d)",
                 (long long)t->id, COUNT_MAX))
        return -1;
    return read_two(s, ret_n, ret_bytes, e);
}

/* The items of an index lie anywhere in the table: the sizes of some stand for all. */
static int count_entries(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, int64_t *ret_n,
                         int64_t *ret_bytes, struct err *e) {
    struct db_stmt *s = NULL;
    long long id = (long long)t->id;
    int64_t some = 0, bytes = 0, ignored;
    if (db_stmtf(tx->db, &s, e,
                 "SELECT count(*), sum(n) FROM (SELECT length(d.item) n FROM i%lld_%d x JOIN d%lld d USING(pk, sk) "
                 "LIMIT %d)",
                 id, x->number, id, SIZES_MAX) ||
        read_two(s, &some, &bytes, e))
        return -1;
    if (db_stmtf(tx->db, &s, e, "SELECT count(*), 0 FROM (SELECT 1 FROM i%lld_%d LIMIT %d)", id, x->number,
                 COUNT_MAX) ||
        read_two(s, ret_n, &ignored, e))
        return -1;
    *ret_bytes = some ? bytes * *ret_n / some : 0;
    return 0;
}

/* What the writer counted, in its own time, of the table; an index of it has no more. */
static int estimate(struct local_tx *tx, const struct ddb_table *t, int64_t *n, int64_t *bytes, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT items, bytes FROM ddb_count WHERE table_id = ?1", &s, e)) return -1;
    db_bind_i64(s, 1, t->id);
    int row = db_step(s, e);
    if (row == 1 && db_i64(s, 0) > *n) {
        *n = db_i64(s, 0);
        *bytes = db_i64(s, 1);
    }
    db_done(s);
    return row < 0 ? -1 : 0;
}

static int counts(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_index *x,
                  struct json *to, struct err *e) {
    int64_t n = 0, bytes = 0;
    if (x ? count_entries(tx, t, x, &n, &bytes, e) : count_items(tx, t, &n, &bytes, e)) return -1;
    if (n == COUNT_MAX && estimate(tx, t, &n, &bytes, e)) return -1;
    json_set(a, to, "ItemCount", json_make_i64(a, n));
    json_set(a, to, x ? "IndexSizeBytes" : "TableSizeBytes", json_make_i64(a, bytes));
    return 0;
}

/* ==== indexes ==== */

static int describe_index(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct json *d,
                          struct json *to, struct err *e) {
    const struct ddb_index *x = ddb_index(t, json_get_s(d, "IndexName"));
    struct json o = json_make_obj();
    json_set(a, &o, "IndexName", json_make_str(x->name));
    json_set(a, &o, "KeySchema", *param(d, "KeySchema"));
    json_set(a, &o, "Projection", *param(d, "Projection"));
    json_set(a, &o, "IndexArn", arn(tx, a, t, x));
    if (x->global) {
        json_set(a, &o, "IndexStatus", json_make_c(x->creating ? "CREATING" : "ACTIVE"));
        if (x->creating) json_set(a, &o, "Backfilling", json_make_bool(true));
        json_set(a, &o, "ProvisionedThroughput", throughput(a, param(d, "ProvisionedThroughput")));
    }
    if (counts(tx, a, t, x, &o, e)) return -1;
    json_push(a, to, o);
    return 0;
}

static int describe_indexes(struct local_tx *tx, struct arena *a, const struct ddb_table *t, bool global,
                            struct json *to, struct err *e) {
    const char *member = global ? "GlobalSecondaryIndexes" : "LocalSecondaryIndexes";
    const struct json *defs = param(&t->def, member);
    if (!defs || !defs->n) return 0;
    struct json list = json_make_arr();
    for (uint32_t i = 0; i < defs->n; i++)
        if (describe_index(tx, a, t, &defs->items[i], &list, e)) return -1;
    json_set(a, to, member, list);
    return 0;
}

/* ==== the table ==== */

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

/* Given for tables that are, or were, paid for by request. */
static void describe_billing(struct arena *a, const struct ddb_table *t, struct json *o) {
    int64_t since = t->created_ms;
    bool changed = json_i64(param(&t->def, "_pay_per_request_ms"), &since);
    bool by_request = str_is(json_get_s(&t->def, "BillingMode"), "PAY_PER_REQUEST");
    if (!by_request && !changed) return;
    struct json b = json_make_obj();
    json_set(a, &b, "BillingMode", json_make_c(by_request ? "PAY_PER_REQUEST" : "PROVISIONED"));
    json_set(a, &b, "LastUpdateToPayPerRequestDateTime", seconds(a, since));
    json_set(a, o, "BillingModeSummary", b);
}

static void describe_settings(struct local_tx *tx, struct arena *a, const struct ddb_table *t, struct json *o) {
    const struct json *class = param(&t->def, "TableClass"), *sse = param(&t->def, "SSESpecification");
    json_set(a, o, "DeletionProtectionEnabled", json_make_bool(param_flag(&t->def, "DeletionProtectionEnabled")));
    if (class) {
        struct json c = json_make_obj();
        json_set(a, &c, "TableClass", *class);
        json_set(a, o, "TableClassSummary", c);
    }
    if (!param_flag(sse, "Enabled")) return;
    struct json s = json_make_obj();
    struct str key = json_get_s(sse, "KMSMasterKeyId");
    if (!str_starts(key, STR("arn:")))
        key = arena_printf(a, "arn:%.*s:kms:%.*s:%.*s:%s%.*s", STR_ARG(tx->id.partition), STR_ARG(tx->id.region),
                           STR_ARG(tx->id.account), str_starts(key, STR("alias/")) ? "" : "key/",
                           key.n ? (int)key.n : 12, key.n ? key.p : "aws-dynamodb");
    json_set(a, &s, "Status", json_make_c("ENABLED"));
    json_set(a, &s, "SSEType", json_make_c("KMS"));
    json_set(a, &s, "KMSMasterKeyArn", json_make_str(key));
    json_set(a, o, "SSEDescription", s);
}

static const char *status_of(const struct ddb_table *t) {
    for (size_t i = 0; i < t->n_indexes; i++)
        if (t->indexes[i].creating) return "UPDATING";
    return "ACTIVE";
}

int ddb_describe(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const char *member,
                 const char *status, struct json *ret, struct err *e) {
    struct json o = json_make_obj();
    json_set(a, &o, "TableName", json_make_str(arena_str(a, t->name)));
    json_set(a, &o, "TableArn", arn(tx, a, t, NULL));
    json_set(a, &o, "TableId", table_id(a, t));
    json_set(a, &o, "TableStatus", json_make_c(status ? status : status_of(t)));
    json_set(a, &o, "CreationDateTime", seconds(a, t->created_ms));
    json_set(a, &o, "AttributeDefinitions", *param(&t->def, "AttributeDefinitions"));
    json_set(a, &o, "KeySchema", *param(&t->def, "KeySchema"));
    json_set(a, &o, "ProvisionedThroughput", throughput(a, param(&t->def, "ProvisionedThroughput")));
    describe_billing(a, t, &o);
    describe_settings(tx, a, t, &o);
    if (describe_indexes(tx, a, t, true, &o, e) || describe_indexes(tx, a, t, false, &o, e)) return -1;
    if (counts(tx, a, t, NULL, &o, e)) return -1;
    *ret = json_make_obj();
    /* The cached description may go before the answer is written. */
    json_set(a, ret, member, json_copy(a, &o));
    return 0;
}

int ddb_describe_table(struct local_tx *tx, struct aws_call *c) {
    struct ddb_table *t;
    if (ddb_params(tx, c) || ddb_table(tx, param_table(&c->params), &t, &c->err)) return -1;
    return ddb_describe(tx, &c->arena, t, "Table", NULL, &c->result, &c->err);
}
