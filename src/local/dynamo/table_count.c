/* Items of large tables, counted little by little by the writer: DescribeTable tells the last count, as AWS does. */
#include "local/dynamo/dynamo.h"

enum { STEP_ROWS = 2000, AGAIN_MS = 3600 * 1000 };

/* The next table whose count is old, if there is one. */
static int choose(struct local_tx *tx, struct ddb_counting *c, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db,
                "SELECT t.id FROM ddb_table t LEFT JOIN ddb_count c ON c.table_id = t.id WHERE c.at_ms IS NULL OR "
                "c.at_ms < ?1 OR c.at_ms > ?2 LIMIT 1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, tx->now_ms - AGAIN_MS);
    db_bind_i64(s, 2, tx->now_ms);
    int row = db_step(s, e);
    if (row == 1) c->table = db_i64(s, 0);
    db_done(s);
    c->items = c->bytes = 0;
    c->at = (struct ddb_key){STR(""), STR("")};
    return row < 0 ? -1 : 0;
}

static int is_there(struct local_tx *tx, int64_t table, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT 1 FROM ddb_table WHERE id = ?1", &s, e)) return -1;
    db_bind_i64(s, 1, table);
    int row = db_step(s, e);
    db_done(s);
    return row;
}

/* *ret_end: the table is counted. */
static int count_step(struct local_tx *tx, struct ddb_counting *c, bool *ret_end, struct err *e) {
    struct arena next = {0};
    struct ddb_key at = c->at;
    struct db_stmt *s;
    int n = 0, row;
    if (db_stmtf(tx->db, &s, e,
                 "SELECT length(item), pk, sk FROM d%lld WHERE (pk, sk) > (?1, ?2) ORDER BY pk, sk LIMIT ?3",
                 (long long)c->table))
        return -1;
    db_bind_blob(s, 1, c->at.pk);
    db_bind_blob(s, 2, c->at.sk);
    db_bind_i64(s, 3, STEP_ROWS);
    while ((row = db_step(s, e)) == 1) {
        c->items++;
        c->bytes += db_i64(s, 0);
        if (++n == STEP_ROWS) at = (struct ddb_key){arena_str(&next, db_bytes(s, 1)), arena_str(&next, db_bytes(s, 2))};
    }
    db_done(s);
    arena_free(&c->arena);
    c->arena = next;
    c->at = at;
    *ret_end = n < STEP_ROWS;
    return row < 0 ? -1 : 0;
}

static int keep(struct local_tx *tx, const struct ddb_counting *c, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "REPLACE INTO ddb_count VALUES(?1, ?2, ?3, ?4)", &s, e)) return -1;
    db_bind_i64(s, 1, c->table);
    db_bind_i64(s, 2, c->items);
    db_bind_i64(s, 3, c->bytes);
    db_bind_i64(s, 4, tx->now_ms);
    return db_run(s, e) ? -1 : 0;
}

int ddb_sweep_counts(struct local_tx *tx, struct err *e) {
    struct ddb_state *st = tx->service[AWS_DYNAMODB];
    struct ddb_counting *c = &st->counting;
    bool end = false;
    if (!c->table && choose(tx, c, e)) return -1;
    if (!c->table) return 0;
    int there = is_there(tx, c->table, e);
    if (there < 0 || (there && count_step(tx, c, &end, e)) || (end && keep(tx, c, e))) {
        c->table = 0;
        return -1;
    }
    if (end || !there) c->table = 0;
    return 0;
}
