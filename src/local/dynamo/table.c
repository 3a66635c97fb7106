/* Table descriptions: schema of the engine's own tables, loading, caching. */
#include "base/crypto.h"
#include "local/dynamo/dynamo.h"
#include <stdlib.h>

int dynamo_schema(struct db *db, struct err *e) {
    return db_exec(
        db,
        "CREATE TABLE IF NOT EXISTS ddb_meta(k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID;"
        "INSERT OR IGNORE INTO ddb_meta VALUES('version', 1);"
        "CREATE TABLE IF NOT EXISTS ddb_table(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, "
        "def TEXT NOT NULL, created_ms INTEGER NOT NULL, ttl TEXT);"
        "CREATE TABLE IF NOT EXISTS ddb_token(token TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, hash BLOB NOT NULL) "
        "WITHOUT ROWID;"
        "CREATE INDEX IF NOT EXISTS ddb_token_at ON ddb_token(at_ms);"
        "CREATE TABLE IF NOT EXISTS ddb_index(table_id INTEGER, number INTEGER, name TEXT, state INTEGER, pk BLOB, "
        "sk BLOB, PRIMARY KEY(table_id, number)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS ddb_tag(table_id INTEGER, k TEXT, v TEXT, PRIMARY KEY(table_id, k)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS ddb_count(table_id INTEGER PRIMARY KEY, items INTEGER, bytes INTEGER, at_ms "
        "INTEGER);"
        "CREATE TABLE IF NOT EXISTS ddb_trash(name TEXT PRIMARY KEY, cols TEXT) WITHOUT ROWID;",
        e);
}

/* ==== shape ==== */

static struct ddb_attr attribute(const struct json *def, struct str name) {
    const struct json *all = param(def, "AttributeDefinitions");
    struct ddb_attr k = {.name = name};
    for (uint32_t i = 0; all && i < all->n; i++)
        if (str_eq(json_get_s(&all->items[i], "AttributeName"), name))
            av_type_find(json_get_s(&all->items[i], "AttributeType"), &k.type);
    return k;
}

static void key_schema(const struct json *def, const struct json *schema, struct ddb_attr *hash,
                       struct ddb_attr *range) {
    *hash = attribute(def, json_get_s(&schema->items[0], "AttributeName"));
    if (schema->n > 1) *range = attribute(def, json_get_s(&schema->items[1], "AttributeName"));
}

static void index_shape(struct arena *a, const struct json *def, const struct json *j, bool global,
                        struct ddb_index *x) {
    const struct json *projection = param(j, "Projection"), *include = param(projection, "NonKeyAttributes");
    struct str type = json_get_s(projection, "ProjectionType");
    x->name = json_get_s(j, "IndexName");
    x->global = global;
    key_schema(def, param(j, "KeySchema"), &x->hash, &x->range);
    x->projection = str_is(type, "ALL") ? PROJECT_ALL : str_is(type, "INCLUDE") ? PROJECT_INCLUDE : PROJECT_KEYS;
    x->n_include = include ? include->n : 0;
    x->include = ARENA_ARRAY(a, struct str, x->n_include);
    for (size_t i = 0; i < x->n_include; i++) x->include[i] = json_str(&include->items[i]);
}

int ddb_table_shape(struct ddb_table *t, struct err *e) {
    const struct json *def = &t->def, *gsi = param(def, "GlobalSecondaryIndexes"),
                      *lsi = param(def, "LocalSecondaryIndexes");
    const struct json *schema = param(def, "KeySchema");
    if (!schema || !schema->n) return err_set(e, ERR_CORRUPT, "a stored table definition has no KeySchema");
    key_schema(def, schema, &t->hash, &t->range);
    t->n_indexes = (gsi ? gsi->n : 0) + (lsi ? lsi->n : 0);
    t->indexes = ARENA_ARRAY(&t->arena, struct ddb_index, t->n_indexes);
    struct ddb_index *x = t->indexes;
    for (uint32_t i = 0; gsi && i < gsi->n; i++) index_shape(&t->arena, def, &gsi->items[i], true, x++);
    for (uint32_t i = 0; lsi && i < lsi->n; i++) index_shape(&t->arena, def, &lsi->items[i], false, x++);
    for (size_t i = 0; i < t->n_indexes; i++) t->indexes[i].number = (int)i + 1;
    return 0;
}

const struct ddb_index *ddb_index(const struct ddb_table *t, struct str name) {
    for (size_t i = 0; i < t->n_indexes; i++)
        if (str_eq(t->indexes[i].name, name)) return &t->indexes[i];
    return NULL;
}

int ddb_index_states(struct db *db, struct ddb_table *t, struct err *e) {
    struct db_stmt *s = NULL;
    int row;
    if (!t->n_indexes) return 0;
    if (db_stmt(db, "SELECT number, name, state FROM ddb_index WHERE table_id = ?1 AND state <> 2", &s, e)) return -1;
    db_bind_i64(s, 1, t->id);
    while ((row = db_step(s, e)) == 1) {
        struct ddb_index *x = (struct ddb_index *)ddb_index(t, db_bytes(s, 1));
        if (!x) continue;
        x->number = (int)db_i64(s, 0);
        x->creating = db_i64(s, 2) == INDEX_CREATING;
    }
    db_done(s);
    return row;
}

/* ==== loading ==== */

void ddb_table_free(struct ddb_table *t) {
    if (!t) return;
    arena_free(&t->arena);
    free(t);
}

/* The texts of the hot path's statements, so that they need not be put together for each call. */
static void render(struct ddb_table *t) {
    struct arena *a = &t->arena;
    long long id = (long long)t->id;
    t->sql_get = arena_printf(a, "SELECT item FROM d%lld WHERE pk = ?1 AND sk = ?2", id).p;
    t->sql_new = arena_printf(a, "INSERT INTO d%lld VALUES(?1, ?2, ?3)", id).p;
    t->sql_put = arena_printf(a, "REPLACE INTO d%lld VALUES(?1, ?2, ?3)", id).p;
    t->sql_del = arena_printf(a, "DELETE FROM d%lld WHERE pk = ?1 AND sk = ?2", id).p;
    t->sql_put_expiry = arena_printf(a, "REPLACE INTO x%lld VALUES(?1, ?2, ?3)", id).p;
    t->sql_del_expiry = arena_printf(a, "DELETE FROM x%lld WHERE at = ?1 AND pk = ?2 AND sk = ?3", id).p;
    for (size_t i = 0; i < t->n_indexes; i++) {
        struct ddb_index *x = &t->indexes[i];
        x->sql_put = arena_printf(a, "INSERT INTO i%lld_%d VALUES(?1, ?2, ?3, ?4)", id, x->number).p;
        x->sql_del =
            arena_printf(a, "DELETE FROM i%lld_%d WHERE h = ?1 AND r = ?2 AND pk = ?3 AND sk = ?4", id, x->number).p;
    }
}

static int fill(struct ddb_table *t, struct db_stmt *s, struct str name, struct err *e) {
    t->name = arena_str(&t->arena, name);
    t->id = db_i64(s, 0);
    t->created_ms = db_i64(s, 2);
    t->ttl = arena_str(&t->arena, db_bytes(s, 3));
    struct str text = arena_str(&t->arena, db_bytes(s, 1));
    return json_parse(&t->arena, text, NULL, &t->def, e) || ddb_table_shape(t, e) ? -1 : 0;
}

int ddb_table_load(struct db *db, struct str name, struct ddb_table **ret, struct err *e) {
    struct db_stmt *s = NULL;
    struct ddb_table *t = NULL;
    int rc = -1;
    if (db_stmt(db, "SELECT id, def, created_ms, ttl FROM ddb_table WHERE name = ?1", &s, e)) goto out;
    db_bind_text(s, 1, name);
    int row = db_step(s, e);
    if (row < 0) goto out;
    if (row) {
        t = calloc(1, sizeof *t);
        if (!t) fatal("out of memory");
        if (fill(t, s, name, e)) goto out;
    }
    if (t && ddb_index_states(db, t, e)) goto out;
    if (t) render(t);
    *ret = t;
    t = NULL;
    rc = 0;
out:
    db_done(s);
    ddb_table_free(t);
    return rc;
}

/* ==== cache ==== */

int dynamo_open(struct db *db, void **ret, struct err *e) {
    (void)e;
    struct ddb_state *st = calloc(1, sizeof *st);
    if (!st) fatal("out of memory");
    st->db = db;
    *ret = st;
    return 0;
}

static void forget(struct ddb_state *st) {
    for (size_t i = 0; i < st->tables.n; i++)
        if (st->tables.slots[i].key.p) ddb_table_free(st->tables.slots[i].value);
    map_free(&st->tables);
}

void dynamo_close(void *state) {
    struct ddb_state *st = state;
    if (!st) return;
    forget(st);
    arena_free(&st->counting.arena);
    free(st);
}

static int refresh(struct ddb_state *st, struct db *db, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(db, "SELECT v FROM ddb_meta WHERE k = 'version'", &s, e)) return -1;
    int row = db_step(s, e);
    int64_t version = row == 1 ? db_i64(s, 0) : 0;
    db_done(s);
    if (row < 0) return -1;
    if (!row) return err_set(e, ERR_CORRUPT, "the store has no ddb_meta version");
    if (version != st->version) forget(st);
    st->version = version;
    return 0;
}

int ddb_table(struct local_tx *tx, struct str name, struct ddb_table **ret, struct err *e) {
    return refresh(tx->service[AWS_DYNAMODB], tx->db, e) ? -1 : ddb_table_more(tx, name, ret, e);
}

int ddb_table_more(struct local_tx *tx, struct str name, struct ddb_table **ret, struct err *e) {
    struct ddb_state *st = tx->service[AWS_DYNAMODB];
    struct ddb_table *t = map_get(&st->tables, name);
    if (!t) {
        if (ddb_table_load(tx->db, name, &t, e)) return -1;
        if (!t && st->terse) return err_set(e, ERR_DDB_NOT_FOUND, "Requested resource not found");
        if (!t)
            return err_set(e, ERR_DDB_NOT_FOUND, "Requested resource not found: Table: %.*s not found", STR_ARG(name));
        map_put(&st->tables, t->name, t);
    }
    *ret = t;
    return 0;
}

/* Random, so that a version that was rolled back never comes again with other tables. */
int ddb_touch_schema(struct local_tx *tx, struct err *e) {
    struct db_stmt *s;
    int64_t v;
    crypto_random(&v, sizeof v);
    if (db_stmt(tx->db, "UPDATE ddb_meta SET v = ?1 WHERE k = 'version'", &s, e)) return -1;
    db_bind_i64(s, 1, (v & INT64_MAX) | 2);
    return db_run(s, e);
}
