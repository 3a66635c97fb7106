/* CreateTable, DeleteTable, ListTables. */
#include "local/dynamo/dynamo.h"

enum { LIST_MAX = 100 };

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

int ddb_create_index_rows(struct local_tx *tx, struct arena *a, int64_t id, int number, struct err *e) {
    return execf(tx, a, e,
                 "CREATE TABLE i%lld_%d(h BLOB, r BLOB, pk BLOB, sk BLOB, PRIMARY KEY(h, r, pk, sk)) WITHOUT ROWID",
                 (long long)id, number);
}

static int create_rows(struct local_tx *tx, struct arena *a, const struct ddb_table *t, struct err *e) {
    if (execf(tx, a, e, "CREATE TABLE d%lld(pk BLOB, sk BLOB, item BLOB, PRIMARY KEY(pk, sk)) WITHOUT ROWID",
              (long long)t->id, 0))
        return -1;
    for (size_t i = 0; i < t->n_indexes; i++)
        if (ddb_create_index_rows(tx, a, t->id, t->indexes[i].number, e)) return -1;
    return 0;
}

/* The definition without what is kept elsewhere. */
static struct json kept(struct arena *a, const struct json *p) {
    struct json def = json_make_obj();
    for (uint32_t i = 0; i < p->n; i++)
        if (!str_is(p->members[i].key, "Tags") && !str_is(p->members[i].key, "StreamSpecification"))
            json_set_str(a, &def, p->members[i].key, p->members[i].value);
    return def;
}

int ddb_create_table(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct ddb_table *t = NULL;
    int rc = -1;
    if (ddb_params(tx, c) || ddb_check_settings(&c->params, e) || ddb_check_definition(&c->arena, &c->params, e))
        return -1;
    const struct json *tags = param(&c->params, "Tags");
    struct str name = param_table(&c->params);
    if (tags && ddb_check_tags(tags, e)) return -1;
    if (ddb_table_load(tx->db, name, &t, e)) goto out;
    if (t) {
        err_set(e, ERR_DDB_IN_USE, "Table already exists: %.*s", STR_ARG(name));
        goto out;
    }
    struct json def = kept(&c->arena, &c->params);
    if (insert_row(tx, name, &def, e) || ddb_touch_schema(tx, e) || ddb_table_load(tx->db, name, &t, e)) goto out;
    if (create_rows(tx, &c->arena, t, e) || (tags && ddb_put_tags(tx, t, tags, e))) goto out;
    rc = ddb_describe(tx, &c->arena, t, "TableDescription", NULL, &c->result, e);
out:
    ddb_table_free(t);
    return rc;
}

/* ==== deleting ==== */

static int forget_rows(struct local_tx *tx, int64_t id, struct err *e) {
    static const char *const sql[] = {
        "DELETE FROM ddb_table WHERE id = ?1", "DELETE FROM ddb_index WHERE table_id = ?1",
        "DELETE FROM ddb_tag WHERE table_id = ?1", "DELETE FROM ddb_count WHERE table_id = ?1"};
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++) {
        struct db_stmt *s;
        if (db_stmt(tx->db, sql[i], &s, e)) return -1;
        db_bind_i64(s, 1, id);
        if (db_run(s, e)) return -1;
    }
    return 0;
}

int ddb_delete_table(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct ddb_table *t;
    if (ddb_params(tx, c) || ddb_table(tx, param_table(&c->params), &t, e)) return -1;
    if (param_flag(&t->def, "DeletionProtectionEnabled"))
        return err_set(
            e, ERR_VALIDATION,
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection "
            "first.");
    if (ddb_describe(tx, &c->arena, t, "TableDescription", "DELETING", &c->result, e)) return -1;
    return ddb_discard(tx, t, NULL, e) || forget_rows(tx, t->id, e) || ddb_touch_schema(tx, e) ? -1 : 0;
}

/* ==== listing ==== */

int ddb_list_tables(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct db_stmt *s = NULL;
    struct json names = json_make_arr();
    int64_t max = LIST_MAX;
    int row;
    if (ddb_params(tx, c)) return -1;
    const struct json *limit = param(&c->params, "Limit");
    struct str from = json_get_s(&c->params, "ExclusiveStartTableName");
    if (limit) json_i64(limit, &max);
    if (db_stmt(tx->db, "SELECT name FROM ddb_table WHERE name > ?1 ORDER BY name LIMIT ?2", &s, e)) return -1;
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
