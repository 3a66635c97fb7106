/* What changes of tables leave to be done, in steps of the writer's housekeeping: new indexes are filled, rows of
 * deleted tables and indexes removed. A step is one transaction; a crash loses none. */
#include "local/dynamo/dynamo.h"

enum { STEP_BYTES = 4 << 20 };

/* ==== discarding ==== */

int ddb_discard_rows(struct local_tx *tx, struct str name, const char *columns, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "INSERT INTO ddb_trash VALUES(?1, ?2)", &s, e)) return -1;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, str_c(columns));
    return db_run(s, e) ? -1 : 0;
}

static int discard_index(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, struct err *e) {
    struct arena a = {0};
    int rc = ddb_discard_rows(tx, arena_printf(&a, "i%lld_%d", (long long)t->id, x->number), "h, r, pk, sk", e);
    arena_free(&a);
    return rc;
}

int ddb_discard(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, struct err *e) {
    struct arena a = {0};
    int rc = -1;
    if (x) return discard_index(tx, t, x, e);
    if (ddb_discard_rows(tx, arena_printf(&a, "d%lld", (long long)t->id), "pk, sk", e)) goto out;
    if (t->ttl.n && ddb_discard_rows(tx, arena_printf(&a, "x%lld", (long long)t->id), EXPIRY_COLUMNS, e)) goto out;
    for (size_t i = 0; i < t->n_indexes; i++)
        if (discard_index(tx, t, &t->indexes[i], e)) goto out;
    rc = 0;
out:
    arena_free(&a);
    return rc;
}

static int drop(struct local_tx *tx, struct str name, struct err *e) {
    struct arena a = {0};
    struct db_stmt *s;
    int rc = db_exec(tx->db, arena_printf(&a, "DROP TABLE %.*s", STR_ARG(name)).p, e);
    arena_free(&a);
    if (rc || db_stmt(tx->db, "DELETE FROM ddb_trash WHERE name = ?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    return db_run(s, e) ? -1 : 0;
}

static int empty_one(struct local_tx *tx, struct arena *a, int max, int *ret_n, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT name, cols FROM ddb_trash LIMIT 1", &s, e)) return -1;
    int row = db_step(s, e);
    struct str name = STR_NONE, cols = STR_NONE;
    if (row == 1) {
        name = arena_str(a, db_bytes(s, 0));
        cols = arena_str(a, db_bytes(s, 1));
    }
    db_done(s);
    if (row <= 0) return row;
    if (db_stmtf(tx->db, &s, e, "DELETE FROM %.*s WHERE (%.*s) IN (SELECT %.*s FROM %.*s LIMIT ?1)", STR_ARG(name),
                 STR_ARG(cols), STR_ARG(cols), STR_ARG(name)))
        return -1;
    db_bind_i64(s, 1, max);
    if (db_run(s, e)) return -1;
    int64_t n = db_changes(tx->db);
    if (n < max && drop(tx, name, e)) return -1;
    *ret_n = max; /* there may be more */
    return 0;
}

/* ==== filling ==== */

struct filling {
    int64_t table;
    int number;
    struct ddb_key at;
};

static int find_filling(struct local_tx *tx, struct arena *a, struct filling *ret, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT table_id, number, pk, sk FROM ddb_index WHERE state = 1 LIMIT 1", &s, e)) return -1;
    int row = db_step(s, e);
    if (row == 1) {
        *ret = (struct filling){.table = db_i64(s, 0), .number = (int)db_i64(s, 1)};
        ret->at = (struct ddb_key){arena_str(a, db_bytes(s, 2)), arena_str(a, db_bytes(s, 3))};
    }
    db_done(s);
    return row;
}

static int table_of(struct local_tx *tx, struct arena *a, const struct filling *f, struct ddb_table **ret,
                    const struct ddb_index **ret_index, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT name FROM ddb_table WHERE id = ?1", &s, e)) return -1;
    db_bind_i64(s, 1, f->table);
    int row = db_step(s, e);
    struct str name = row == 1 ? arena_str(a, db_bytes(s, 0)) : STR_NONE;
    db_done(s);
    if (row < 0) return -1;
    if (row && ddb_table(tx, name, ret, e)) return -1;
    *ret_index = NULL;
    if (row && f->number == EXPIRY_NUMBER && (*ret)->ttl.n) return 0;
    for (size_t i = 0; row && i < (*ret)->n_indexes; i++)
        if ((*ret)->indexes[i].number == f->number) {
            *ret_index = &(*ret)->indexes[i];
            return 0;
        }
    return err_set(e, ERR_CORRUPT, "index %d of table %lld is to be filled, but is not there", f->number,
                   (long long)f->table);
}

static int add_expiry(struct local_tx *tx, const struct ddb_table *t, const struct av *item, const struct ddb_key *k,
                      struct err *e) {
    struct db_stmt *s;
    int64_t at;
    if (!item_expiry(t, item, &at)) return 0;
    if (db_stmtf(tx->db, &s, e, "INSERT OR IGNORE INTO x%lld VALUES(?1, ?2, ?3)", (long long)t->id)) return -1;
    db_bind_i64(s, 1, at);
    db_bind_blob(s, 2, k->pk);
    db_bind_blob(s, 3, k->sk);
    return db_run(s, e) ? -1 : 0;
}

/* x NULL: the table's expiry. Writers keep both as they go, so an entry may be there. */
static int add_entry(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, const struct av *item,
                     const struct ddb_key *k, struct arena *a, struct err *e) {
    struct str h, r;
    struct db_stmt *s;
    if (!x) return add_expiry(tx, t, item, k, e);
    if (!key_of_indexed(a, x, item, &h, &r)) return 0;
    if (db_stmtf(tx->db, &s, e, "INSERT OR IGNORE INTO i%lld_%d VALUES(?1, ?2, ?3, ?4)", (long long)t->id, x->number))
        return -1;
    db_bind_blob(s, 1, h);
    db_bind_blob(s, 2, r);
    db_bind_blob(s, 3, k->pk);
    db_bind_blob(s, 4, k->sk);
    return db_run(s, e) ? -1 : 0;
}

/* *ret_end: the last item has been seen. */
static int fill_rows(struct local_tx *tx, struct arena *a, struct filling *f, const struct ddb_table *t,
                     const struct ddb_index *x, int max, bool *ret_end, struct err *e) {
    struct db_stmt *s;
    size_t bytes = 0;
    int row = 0, rc = -1;
    if (db_stmtf(tx->db, &s, e, "SELECT pk, sk, item FROM d%lld WHERE (pk, sk) > (?1, ?2) ORDER BY pk, sk LIMIT ?3",
                 (long long)t->id))
        return -1;
    struct ddb_key from = f->at;
    db_bind_blob(s, 1, from.pk);
    db_bind_blob(s, 2, from.sk);
    db_bind_i64(s, 3, max);
    int n = 0;
    for (; bytes < STEP_BYTES && (row = db_step(s, e)) == 1; n++) {
        struct av item;
        struct str blob = arena_str(a, db_bytes(s, 2));
        f->at = (struct ddb_key){arena_str(a, db_bytes(s, 0)), arena_str(a, db_bytes(s, 1))};
        bytes += blob.n;
        if (av_decode(a, blob, &item, e) || add_entry(tx, t, x, &item, &f->at, a, e)) goto out;
    }
    *ret_end = row == 0 && n < max;
    rc = row < 0 ? -1 : 0;
out:
    db_done(s);
    return rc;
}

static int save_filling(struct local_tx *tx, const struct filling *f, bool end, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "UPDATE ddb_index SET state = ?3, pk = ?4, sk = ?5 WHERE table_id = ?1 AND number = ?2", &s, e))
        return -1;
    db_bind_i64(s, 1, f->table);
    db_bind_i64(s, 2, f->number);
    db_bind_i64(s, 3, end ? INDEX_ACTIVE : INDEX_CREATING);
    db_bind_blob(s, 4, end ? STR("") : f->at.pk);
    db_bind_blob(s, 5, end ? STR("") : f->at.sk);
    return db_run(s, e) || (end && ddb_touch_schema(tx, e)) ? -1 : 0;
}

static int fill_one(struct local_tx *tx, struct arena *a, int max, int *ret_n, struct err *e) {
    struct filling f = {0};
    struct ddb_table *t = NULL;
    const struct ddb_index *x = NULL;
    bool end = false;
    int row = find_filling(tx, a, &f, e);
    if (row <= 0) return row;
    if (table_of(tx, a, &f, &t, &x, e) || fill_rows(tx, a, &f, t, x, max, &end, e)) return -1;
    *ret_n = max;
    return save_filling(tx, &f, end, e);
}

int ddb_sweep_tables(struct local_tx *tx, struct arena *a, int max, int *ret_n, struct err *e) {
    if (fill_one(tx, a, max, ret_n, e)) return -1;
    return *ret_n ? 0 : empty_one(tx, a, max, ret_n, e);
}
