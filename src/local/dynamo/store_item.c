/* Items in SQLite: reading one, replacing one with its index entries and expiry. */
#include "local/dynamo/dynamo.h"

enum { FIVE_YEARS_S = 5 * 365 * 86400 };

static void bind_key(struct db_stmt *s, int first, const struct ddb_key *k) {
    db_bind_blob(s, first, k->pk);
    db_bind_blob(s, first + 1, k->sk);
}

int item_read(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_key *k, struct av **ret,
              struct err *e) {
    struct db_stmt *s = NULL;
    struct av *item = NULL;
    int rc = -1;
    if (db_stmt(tx->db, t->sql_get, &s, e)) return -1;
    bind_key(s, 1, k);
    int row = db_step(s, e);
    if (row < 0) goto out;
    if (row) {
        item = ARENA_NEW(a, struct av);
        if (av_decode(a, arena_str(a, db_bytes(s, 0)), item, e)) goto out;
    }
    *ret = item;
    rc = 0;
out:
    db_done(s);
    return rc;
}

/* ==== the row itself ==== */

static int put_row(struct local_tx *tx, const struct ddb_table *t, const struct ddb_key *k, bool fresh, struct str blob,
                   struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, fresh ? t->sql_new : t->sql_put, &s, e)) return -1;
    bind_key(s, 1, k);
    db_bind_blob(s, 3, blob);
    return db_run(s, e) ? -1 : 0;
}

static int delete_row(struct local_tx *tx, const struct ddb_table *t, const struct ddb_key *k, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, t->sql_del, &s, e)) return -1;
    bind_key(s, 1, k);
    return db_run(s, e) ? -1 : 0;
}

/* ==== index entries ==== */

struct entry {
    bool in;
    struct str h, r;
};

static int entry_of(struct arena *a, const struct ddb_index *x, const struct av *item, struct entry *ret,
                    struct err *e) {
    *ret = (struct entry){0};
    return item ? key_of_index(a, x, item, &ret->in, &ret->h, &ret->r, e) : 0;
}

static int run_entry(struct local_tx *tx, const char *sql, const struct entry *n, const struct ddb_key *k,
                     struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_blob(s, 1, n->h);
    db_bind_blob(s, 2, n->r);
    bind_key(s, 3, k);
    return db_run(s, e) ? -1 : 0;
}

/* What is there already has an entry if it can have one. */
static void old_entry(struct arena *a, const struct ddb_index *x, const struct av *item, struct entry *ret) {
    *ret = (struct entry){0};
    ret->in = item && key_of_indexed(a, x, item, &ret->h, &ret->r);
}

static int move_entry(struct local_tx *tx, struct arena *a, const struct ddb_index *x, const struct ddb_key *k,
                      const struct av *old, const struct av *next, struct err *e) {
    struct entry was, is;
    old_entry(a, x, old, &was);
    if (entry_of(a, x, next, &is, e)) return -1;
    if (was.in == is.in && (!is.in || (str_eq(was.h, is.h) && str_eq(was.r, is.r)))) return 0;
    if (was.in && run_entry(tx, x->sql_del, &was, k, e)) return -1;
    return is.in ? run_entry(tx, x->sql_put, &is, k, e) : 0;
}

int item_check_indexes(struct arena *a, const struct ddb_table *t, const struct av *item, struct err *e) {
    struct entry n;
    for (size_t i = 0; i < t->n_indexes; i++)
        if (entry_of(a, &t->indexes[i], item, &n, e)) return -1;
    return 0;
}

/* ==== expiry ==== */

bool item_expiry(const struct ddb_table *t, const struct av *item, int64_t *ret) {
    const struct av *v = t->ttl.n && item ? av_get(item, t->ttl) : NULL;
    if (!v || v->type != AV_N) return false;
    struct str whole = v->s;
    ptrdiff_t dot = str_chr(whole, '.', 0);
    if (dot >= 0) whole = str_take(whole, (size_t)dot);
    return str_i64(whole, ret) && *ret > 0;
}

static int run_expiry(struct local_tx *tx, const char *sql, int64_t at, const struct ddb_key *k, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, at);
    bind_key(s, 2, k);
    return db_run(s, e) ? -1 : 0;
}

static int move_expiry(struct local_tx *tx, const struct ddb_table *t, const struct ddb_key *k, const struct av *old,
                       const struct av *next, struct err *e) {
    int64_t was = 0, is = 0;
    bool had = item_expiry(t, old, &was), has = item_expiry(t, next, &is);
    if (had == has && was == is) return 0;
    if (had && run_expiry(tx, t->sql_del_expiry, was, k, e)) return -1;
    return has ? run_expiry(tx, t->sql_put_expiry, is, k, e) : 0;
}

/* ==== together ==== */

int item_replace(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_key *k,
                 bool knows_old, const struct av *old, const struct av *next, struct str blob, struct err *e) {
    if (next && put_row(tx, t, k, knows_old && !old, blob, e)) return -1;
    if (!next && (!knows_old || old) && delete_row(tx, t, k, e)) return -1;
    for (size_t i = 0; i < t->n_indexes; i++)
        if (move_entry(tx, a, &t->indexes[i], k, old, next, e)) return -1;
    return t->ttl.n ? move_expiry(tx, t, k, old, next, e) : 0;
}

/* ==== sweeping ==== */

struct expired {
    struct ddb_key key;
    int64_t at;
};

/* At most max of a table's items whose time has come, but not those that are more than five years late, as in AWS. */
static int find_expired(struct local_tx *tx, struct arena *a, const struct ddb_table *t, int max, struct expired *ret,
                        int *ret_n, struct err *e) {
    struct db_stmt *s = NULL;
    int64_t now = tx->now_ms / 1000;
    int n = 0, row = 0;
    if (db_stmtf(tx->db, &s, e, "SELECT at, pk, sk FROM x%lld WHERE at <= ?1 AND at > ?2 ORDER BY at LIMIT ?3",
                 (long long)t->id))
        return -1;
    db_bind_i64(s, 1, now);
    db_bind_i64(s, 2, now - FIVE_YEARS_S);
    db_bind_i64(s, 3, max);
    while (n < max && (row = db_step(s, e)) == 1) {
        ret[n].at = db_i64(s, 0);
        ret[n].key.pk = arena_str(a, db_bytes(s, 1));
        ret[n++].key.sk = arena_str(a, db_bytes(s, 2));
    }
    db_done(s);
    *ret_n = n;
    return row < 0 ? -1 : 0;
}

static int sweep_table(struct local_tx *tx, struct arena *a, const struct ddb_table *t, int max, int *ret_n,
                       struct err *e) {
    struct expired *list = ARENA_ARRAY(a, struct expired, (size_t)max);
    int n;
    if (find_expired(tx, a, t, max, list, &n, e)) return -1;
    for (int i = 0; i < n; i++) {
        struct av *old;
        if (item_read(tx, a, t, &list[i].key, &old, e)) return -1;
        if (!old) return err_set(e, ERR_CORRUPT, "an expiry entry of table %.*s has no item", STR_ARG(t->name));
        if (item_replace(tx, a, t, &list[i].key, true, old, NULL, STR(""), e)) return -1;
    }
    *ret_n = n;
    return 0;
}

static int names_with_ttl(struct local_tx *tx, struct arena *a, struct str **ret, size_t *ret_n, struct err *e) {
    struct db_stmt *s = NULL;
    struct json names = json_make_arr();
    int row;
    if (db_stmt(tx->db, "SELECT name FROM ddb_table WHERE ttl IS NOT NULL", &s, e)) return -1;
    while ((row = db_step(s, e)) == 1) json_push(a, &names, json_make_str(arena_str(a, db_bytes(s, 0))));
    db_done(s);
    if (row < 0) return -1;
    *ret = ARENA_ARRAY(a, struct str, names.n);
    for (uint32_t i = 0; i < names.n; i++) (*ret)[i] = names.items[i].s;
    *ret_n = names.n;
    return 0;
}

static int sweep_tokens(struct local_tx *tx, int max, int *ret_n, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db,
                "DELETE FROM ddb_token WHERE token IN (SELECT token FROM ddb_token WHERE at_ms <= ?1 ORDER BY at_ms "
                "LIMIT ?2)",
                &s, e))
        return -1;
    db_bind_i64(s, 1, tx->now_ms - TOKEN_MS);
    db_bind_i64(s, 2, max);
    if (db_run(s, e)) return -1;
    *ret_n = (int)db_changes(tx->db);
    return 0;
}

int dynamo_sweep(struct local_tx *tx, int max, bool *ret_more, struct err *e) {
    struct arena a = {0};
    struct str *names;
    size_t n_names;
    int rc = -1, n = 0, done = 0;
    if (names_with_ttl(tx, &a, &names, &n_names, e)) goto out;
    for (size_t i = 0; i < n_names && done < max; i++, done += n) {
        struct ddb_table *t;
        if (ddb_table(tx, names[i], &t, e) || sweep_table(tx, &a, t, max - done, &n, e)) goto out;
    }
    n = 0;
    if (done < max && sweep_tokens(tx, max - done, &n, e)) goto out;
    done += n;
    n = 0;
    if (done < max && ddb_sweep_tables(tx, &a, max - done, &n, e)) goto out;
    done += n;
    if (ddb_sweep_counts(tx, e)) goto out;
    *ret_more = done >= max;
    rc = 0;
out:
    arena_free(&a);
    return rc;
}
