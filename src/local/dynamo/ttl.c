/* UpdateTimeToLive, DescribeTimeToLive. Sweeping is in store_item.c. */
#include "base/crypto.h"
#include "local/dynamo/dynamo.h"
#include "local/store.h"

/* The sweep makes the entries of the items that are there already. */
static int begin_expiry(struct local_tx *tx, struct arena *a, long long id, struct err *e) {
    struct str sql = arena_printf(a,
                                  "CREATE TABLE x%lld(at INTEGER, pk BLOB, sk BLOB, PRIMARY KEY(at, pk, sk)) WITHOUT "
                                  "ROWID; REPLACE INTO ddb_index VALUES(%lld, %d, '', %d, x'', x'')",
                                  id, id, EXPIRY_NUMBER, INDEX_CREATING);
    local_sweep_soon(tx);
    return db_exec(tx->db, sql.p, e);
}

/* The sweep empties it, under a name that does not come again. */
static int end_expiry(struct local_tx *tx, struct arena *a, long long id, struct err *e) {
    uint64_t random;
    crypto_random(&random, sizeof random);
    struct str name = arena_printf(a, "x%lld_%llx", id, (unsigned long long)random);
    struct str sql = arena_printf(a,
                                  "ALTER TABLE x%lld RENAME TO %s; DELETE FROM ddb_index WHERE table_id = %lld AND "
                                  "number = %d",
                                  id, name.p, id, EXPIRY_NUMBER);
    return db_exec(tx->db, sql.p, e) || ddb_discard_rows(tx, name, EXPIRY_COLUMNS, e) ? -1 : 0;
}

static int set_ttl(struct local_tx *tx, struct arena *a, const struct ddb_table *t, struct str name, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "UPDATE ddb_table SET ttl = ?1 WHERE id = ?2", &s, e)) return -1;
    if (name.n)
        db_bind_text(s, 1, name);
    else
        db_bind_null(s, 1);
    db_bind_i64(s, 2, t->id);
    if (db_run(s, e)) return -1;
    if ((name.n ? begin_expiry : end_expiry)(tx, a, (long long)t->id, e)) return -1;
    return ddb_touch_schema(tx, e) ? -1 : 0;
}

static int check_change(const struct ddb_table *t, bool on, struct str name, struct err *e) {
    if (on && t->ttl.n) return err_set(e, ERR_VALIDATION, "TimeToLive is already enabled");
    if (!on && !t->ttl.n) return err_set(e, ERR_VALIDATION, "TimeToLive is already disabled");
    if (!on && !str_eq(t->ttl, name))
        return err_set(e, ERR_VALIDATION,
                       "TimeToLive is active on a different AttributeName: current AttributeName is %.*s",
                       STR_ARG(t->ttl));
    return 0;
}

int ddb_update_ttl(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct ddb_table *t;
    if (ddb_params(tx, c)) return -1;
    const struct json *spec = param(&c->params, "TimeToLiveSpecification");
    struct str table = param_table(&c->params);
    bool on = param_flag(spec, "Enabled");
    struct str name = json_get_s(spec, "AttributeName");
    if (ddb_table(tx, table, &t, e) || check_change(t, on, name, e)) return -1;
    if (set_ttl(tx, &c->arena, t, on ? name : STR_NONE, e)) return -1;
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "TimeToLiveSpecification", *spec);
    return 0;
}

int ddb_describe_ttl(struct local_tx *tx, struct aws_call *c) {
    struct ddb_table *t;
    if (ddb_params(tx, c) || ddb_table(tx, param_table(&c->params), &t, &c->err)) return -1;
    struct json d = json_make_obj();
    json_set(&c->arena, &d, "TimeToLiveStatus", json_make_c(t->ttl.n ? "ENABLED" : "DISABLED"));
    if (t->ttl.n) json_set(&c->arena, &d, "AttributeName", json_make_str(arena_str(&c->arena, t->ttl)));
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "TimeToLiveDescription", d);
    return 0;
}
