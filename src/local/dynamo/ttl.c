/* UpdateTimeToLive, DescribeTimeToLive. Sweeping is in store_item.c. */
#include "local/dynamo/dynamo.h"

/* Entries for the items that are there already. */
static int backfill(struct local_tx *tx, struct arena *a, const struct ddb_table *t, struct err *e) {
    struct db_stmt *s = NULL, *put = NULL;
    int row;
    if (db_stmtf(tx->db, &s, e, "SELECT pk, sk, item FROM d%lld", (long long)t->id)) return -1;
    while ((row = db_step(s, e)) == 1) {
        struct arena one = {0};
        struct av item;
        int64_t at = 0;
        bool bad = av_decode(&one, db_bytes(s, 2), &item, e), has = !bad && item_expiry(t, &item, &at);
        arena_free(&one);
        if (bad) goto fail;
        if (!has) continue;
        if (db_stmtf(tx->db, &put, e, "INSERT INTO x%lld VALUES(?1, ?2, ?3)", (long long)t->id)) goto fail;
        struct str pk = arena_str(a, db_bytes(s, 0)), sk = arena_str(a, db_bytes(s, 1));
        db_bind_i64(put, 1, at);
        db_bind_blob(put, 2, pk);
        db_bind_blob(put, 3, sk);
        if (db_run(put, e)) goto fail;
    }
    db_done(s);
    return row < 0 ? -1 : 0;
fail:
    db_done(s);
    return -1;
}

static int set_ttl(struct local_tx *tx, const struct ddb_table *t, struct str name, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "UPDATE ddb_table SET ttl = ?1 WHERE id = ?2", &s, e)) return -1;
    if (name.n)
        db_bind_text(s, 1, name);
    else
        db_bind_null(s, 1);
    db_bind_i64(s, 2, t->id);
    if (db_run(s, e)) return -1;
    struct arena a = {0};
    struct str sql = arena_printf(&a,
                                  name.n ? "CREATE TABLE x%lld(at INTEGER, pk BLOB, sk BLOB, PRIMARY KEY(at, pk, sk)) "
                                           "WITHOUT ROWID"
                                         : "DROP TABLE x%lld",
                                  (long long)t->id);
    int rc = db_exec(tx->db, sql.p, e);
    arena_free(&a);
    return rc || ddb_touch_schema(tx, e) ? -1 : 0;
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
    if (ddb_params(c)) return -1;
    const struct json *spec = param(&c->params, "TimeToLiveSpecification");
    struct str table = param_table(&c->params);
    bool on = param_flag(spec, "Enabled");
    struct str name = json_get_s(spec, "AttributeName");
    if (ddb_table(tx, table, &t, e) || check_change(t, on, name, e)) return -1;
    if (set_ttl(tx, t, on ? name : STR_NONE, e)) return -1;
    if (on && (ddb_table(tx, table, &t, e) || backfill(tx, &c->arena, t, e))) return -1;
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "TimeToLiveSpecification", *spec);
    return 0;
}

int ddb_describe_ttl(struct local_tx *tx, struct aws_call *c) {
    struct ddb_table *t;
    if (ddb_params(c) || ddb_table(tx, param_table(&c->params), &t, &c->err)) return -1;
    struct json d = json_make_obj();
    json_set(&c->arena, &d, "TimeToLiveStatus", json_make_c(t->ttl.n ? "ENABLED" : "DISABLED"));
    if (t->ttl.n) json_set(&c->arena, &d, "AttributeName", json_make_str(arena_str(&c->arena, t->ttl)));
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "TimeToLiveDescription", d);
    return 0;
}
