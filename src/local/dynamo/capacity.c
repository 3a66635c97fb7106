/* ReturnConsumedCapacity and ReturnItemCollectionMetrics.
 * Developer guide, "Capacity unit consumption": a read unit is 4 KiB strongly consistent, half of that eventually,
 * twice in a transaction; a write unit is 1 KiB of the larger of the old and the new item, twice in a transaction; each
 * global or local index that changes is written likewise, by what it projects. Counted in halves. */
#include "local/dynamo/dynamo.h"

enum { READ_BYTES = 4096, WRITE_BYTES = 1024, COLLECTION_ROWS = 10000, GB = 1 << 30 };
enum report { REPORT_INDEXES, REPORT_TOTAL, REPORT_NONE };

void usage_open(struct arena *a, const struct json *p, struct usage *ret) {
    static const char *const modes[] = {"INDEXES", "TOTAL", "NONE", NULL};
    int mode = param_enum(p, "ReturnConsumedCapacity", modes, REPORT_NONE);
    *ret = (struct usage){.a = a, .wanted = mode != REPORT_NONE, .indexes = mode == REPORT_INDEXES};
}

static struct table_usage *of_table(struct usage *u, const struct ddb_table *t) {
    for (size_t i = 0; i < u->n; i++)
        if (u->tables[i].table == t) return &u->tables[i];
    struct table_usage *more = ARENA_ARRAY(u->a, struct table_usage, u->n + 1);
    for (size_t i = 0; i < u->n; i++) more[i] = u->tables[i];
    u->tables = more;
    struct table_usage *x = &u->tables[u->n++];
    x->table = t;
    x->index = ARENA_ARRAY(u->a, int64_t, t->n_indexes);
    x->touched = ARENA_ARRAY(u->a, bool, t->n_indexes);
    return x;
}

static void add(struct usage *u, const struct ddb_table *t, const struct ddb_index *x, int64_t halves) {
    struct table_usage *to = of_table(u, t);
    if (!x) {
        to->halves += halves;
        return;
    }
    to->index[x - t->indexes] += halves;
    to->touched[x - t->indexes] = true;
}

static int64_t units(size_t bytes, size_t of) {
    return bytes ? (int64_t)((bytes + of - 1) / of) : 1;
}

void usage_read(struct usage *u, const struct ddb_table *t, const struct ddb_index *x, size_t bytes, bool consistent) {
    if (u->wanted) add(u, t, x, units(bytes, READ_BYTES) * (u->transaction ? 4 : consistent ? 2 : 1));
}

/* ==== writes ==== */

bool index_projects(const struct ddb_table *t, const struct ddb_index *x, struct str name) {
    const struct ddb_attr *const keys[] = {&t->hash, &t->range, &x->hash, &x->range};
    if (x->projection == PROJECT_ALL) return true;
    for (int i = 0; i < 4; i++)
        if (keys[i]->type && str_eq(keys[i]->name, name)) return true;
    for (size_t i = 0; i < x->n_include; i++)
        if (str_eq(x->include[i], name)) return true;
    return false;
}

size_t index_size(const struct ddb_table *t, const struct ddb_index *x, const struct av *item) {
    size_t n = 0;
    for (uint32_t i = 0; i < item->n; i++)
        if (index_projects(t, x, item->members[i].name))
            n += item->members[i].name.n + av_size(&item->members[i].value);
    return n;
}

static bool same_projected(const struct ddb_table *t, const struct ddb_index *x, const struct av *a,
                           const struct av *b) {
    for (uint32_t i = 0; i < a->n; i++)
        if (index_projects(t, x, a->members[i].name) && !av_equal(&a->members[i].value, av_get(b, a->members[i].name)))
            return false;
    return true;
}

/* A changed key is an entry removed and another added. */
static int64_t index_units(struct arena *a, const struct ddb_table *t, const struct ddb_index *x, const struct av *old,
                           const struct av *next) {
    struct str h, r, oh, was_r;
    bool was = old && key_of_indexed(a, x, old, &oh, &was_r), is = next && key_of_indexed(a, x, next, &h, &r);
    int64_t n = was ? units(index_size(t, x, old), WRITE_BYTES) : 0,
            m = is ? units(index_size(t, x, next), WRITE_BYTES) : 0;
    if (!was || !is) return n + m;
    if (!str_eq(h, oh) || !str_eq(r, was_r)) return n + m;
    if (same_projected(t, x, old, next) && same_projected(t, x, next, old)) return 0;
    return n > m ? n : m;
}

void usage_write(struct usage *u, const struct ddb_write *w) {
    const struct ddb_table *t = w->table;
    if (!u->wanted) return;
    size_t old = w->old ? av_item_size(w->old) : 0, next = w->next ? av_item_size(w->next) : 0;
    int64_t factor = u->transaction ? 4 : 2;
    add(u, t, NULL, units(old > next ? old : next, WRITE_BYTES) * factor);
    for (size_t i = 0; i < t->n_indexes && w->kind != W_CHECK; i++) {
        int64_t n = index_units(u->a, t, &t->indexes[i], w->old, w->next);
        if (n) add(u, t, &t->indexes[i], n * factor);
    }
}

/* ==== the report ==== */

static struct json number(struct usage *u, int64_t halves) {
    return json_make_num(arena_printf(u->a, "%lld.%d", (long long)(halves / 2), halves % 2 ? 5 : 0));
}

static void set_units(struct usage *u, struct json *o, int64_t halves) {
    json_set(u->a, o, "CapacityUnits", number(u, halves));
    if (u->transaction) json_set(u->a, o, u->writes ? "WriteCapacityUnits" : "ReadCapacityUnits", number(u, halves));
}

static void set_indexes(struct usage *u, const struct table_usage *x, bool global, struct json *o) {
    struct json map = json_make_obj();
    for (size_t i = 0; i < x->table->n_indexes; i++) {
        if (!x->touched[i] || x->table->indexes[i].global != global) continue;
        struct json one = json_make_obj();
        set_units(u, &one, x->index[i]);
        json_set_str(u->a, &map, arena_str(u->a, x->table->indexes[i].name), one);
    }
    if (map.n) json_set(u->a, o, global ? "GlobalSecondaryIndexes" : "LocalSecondaryIndexes", map);
}

static struct json report(struct usage *u, const struct table_usage *x) {
    struct json o = json_make_obj();
    int64_t all = x->halves;
    for (size_t i = 0; i < x->table->n_indexes; i++) all += x->index[i];
    json_set(u->a, &o, "TableName", json_make_str(arena_str(u->a, x->table->name)));
    set_units(u, &o, all);
    if (!u->indexes) return o;
    struct json t = json_make_obj();
    set_units(u, &t, x->halves);
    json_set(u->a, &o, "Table", t);
    set_indexes(u, x, false, &o);
    set_indexes(u, x, true, &o);
    return o;
}

void usage_report(struct usage *u, bool list, struct json *result) {
    if (!u->wanted || (!list && !u->n)) return;
    struct json all = json_make_arr();
    for (size_t i = 0; i < u->n; i++) json_push(u->a, &all, report(u, &u->tables[i]));
    json_set(u->a, result, "ConsumedCapacity", list ? all : all.items[0]);
}

/* ==== item collections ==== */

bool metrics_wanted(const struct json *p) {
    return str_is(json_get_s(p, "ReturnItemCollectionMetrics"), "SIZE");
}

static bool has_local_index(const struct ddb_table *t) {
    for (size_t i = 0; i < t->n_indexes; i++)
        if (!t->indexes[i].global) return true;
    return false;
}

static int collection_bytes(struct local_tx *tx, const struct ddb_write *w, int64_t *ret, struct err *e) {
    struct db_stmt *s;
    if (db_stmtf(tx->db, &s, e, "SELECT sum(n) FROM (SELECT length(item) n FROM d%lld WHERE pk = ?1 LIMIT %d)",
                 (long long)w->table->id, COLLECTION_ROWS))
        return -1;
    db_bind_blob(s, 1, w->key.pk);
    int row = db_step(s, e);
    if (row == 1) *ret = db_i64(s, 0);
    db_done(s);
    return row < 0 ? -1 : 0;
}

int metrics_of(struct local_tx *tx, struct arena *a, const struct ddb_write *w, struct json *ret, struct err *e) {
    int64_t bytes = 0;
    *ret = json_make_null();
    if (!has_local_index(w->table)) return 0;
    if (collection_bytes(tx, w, &bytes, e)) return -1;
    struct json o = json_make_obj(), key = json_make_obj(), range = json_make_arr();
    json_set_str(a, &key, arena_str(a, w->table->hash.name), av_to_json(a, av_get(&w->given, w->table->hash.name)));
    for (int i = 0; i < 2; i++)
        json_push(a, &range, json_make_num(arena_printf(a, "%lld.0", (long long)(bytes / GB + i))));
    json_set(a, &o, "ItemCollectionKey", key);
    json_set(a, &o, "SizeEstimateRangeGB", range);
    *ret = o;
    return 0;
}

int metrics_of_all(struct local_tx *tx, struct arena *a, const struct ddb_write *w, uint32_t n, struct json *result,
                   struct err *e) {
    struct json all = json_make_obj();
    for (uint32_t i = 0; i < n; i++) {
        struct json one;
        bool seen = false;
        if (w[i].kind == W_CHECK) continue;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = w[k].kind != W_CHECK && w[k].table == w[i].table && str_eq(w[k].key.pk, w[i].key.pk);
        if (seen) continue;
        if (metrics_of(tx, a, &w[i], &one, e)) return -1;
        if (one.type == JSON_NULL) continue;
        struct json *list = (struct json *)json_get_str(&all, w[i].table->name);
        if (!list) list = json_set_str(a, &all, arena_str(a, w[i].table->name), json_make_arr());
        json_push(a, list, one);
    }
    json_set(a, result, "ItemCollectionMetrics", all);
    return 0;
}
