/* Query and Scan: pages of rows, filtered and projected. */
#include "local/dynamo/dynamo.h"
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 1 << 20, PASS_ROWS = 16 };
enum select { SELECT_ALL, SELECT_PROJECTED, SELECT_SPECIFIC, SELECT_COUNT };
static const char *const selects[] = {"ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT",
                                      NULL};

struct reading {
    struct arena *a;
    const struct json *p;
    struct ddb_plan plan;
    int64_t limit; /* 0: none */
    int select;
    bool index_only; /* only what the index projects is seen */
    bool fetches;    /* items are looked up for what a local index does not project */
    struct usage used;
    struct expr *keys, *filter;
    struct projection projection;
    struct db_stmt *rows;
    struct buf foreign; /* parallel scan: the hash key of another segment that was seen last, */
    int passed;         /* and how often in a row */
    /* result */
    struct json items, last;
    int64_t count, scanned;
    size_t bytes; /* read, as AWS counts */
};

/* ==== parameters ==== */

static int64_t whole(const struct json *p, const char *name) {
    int64_t n = 0;
    const struct json *v = param(p, name);
    if (v) json_i64(v, &n);
    return n;
}

static int read_segments(struct reading *r, struct err *e) {
    bool segment = param(r->p, "Segment"), total = param(r->p, "TotalSegments");
    r->plan.segment = whole(r->p, "Segment");
    r->plan.segments = whole(r->p, "TotalSegments");
    if (segment && !total)
        return err_set(
            e, ERR_VALIDATION,
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present");
    if (total && !segment)
        return err_set(
            e, ERR_VALIDATION,
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present");
    if (total && r->plan.segment >= r->plan.segments)
        return err_set(
            e, ERR_VALIDATION,
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %lld is not "
            "less than TotalSegments: %lld",
            (long long)r->plan.segment, (long long)r->plan.segments);
    return 0;
}

static const char *old_filter(const struct reading *r) {
    return r->plan.scan ? "ScanFilter" : "QueryFilter";
}

/* What does not go together, and the parameters from before expressions. */
static int read_legacy(struct reading *r, struct err *e) {
    const struct json *keys = param(r->p, "KeyConditionExpression"), *filter = param(r->p, "FilterExpression");
    bool values = keys || filter, any = values || param(r->p, "ProjectionExpression");
    const char *without =
        r->plan.scan ? "FilterExpression is null" : "FilterExpression and KeyConditionExpression are null";
    if (legacy_check(r->a, r->p, old_filter(r), e)) return -1;
    if (expr_wanted(r->p, any, values ? NULL : without, e)) return -1;
    if (r->plan.scan && legacy_projection(r->a, r->p, &r->projection, e)) return -1;
    if (legacy_conditions(r->a, r->p, old_filter(r), &r->filter, e)) return -1;
    return r->plan.scan ? 0 : legacy_projection(r->a, r->p, &r->projection, e);
}

/* AWS says where the fault is of some. */
static int read_start(struct reading *r, const struct json *start, struct av *ret, struct err *e) {
    static const char *const bare[] = {"contains duplicates", "number set", "numeric value", "significant digits",
                                       "number with magnitude"};
    if (!av_item_from_json(r->a, start, "ExclusiveStartKey", ret, e)) return 0;
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
        if (strstr(e->msg, bare[i])) return -1;
    return e->code == ERR_VALIDATION ? err_wrap(e, "The provided starting key is invalid") : -1;
}

static int check_keys_given(const struct reading *r, struct err *e) {
    if (param(r->p, "KeyConditions") || param(r->p, "KeyConditionExpression")) return 0;
    return err_set(e, ERR_VALIDATION,
                   "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.");
}

static int read_expressions(struct reading *r, struct err *e) {
    const struct json *keys = param(r->p, "KeyConditionExpression"), *filter = param(r->p, "FilterExpression");
    const struct json *projection = param(r->p, "ProjectionExpression");
    struct expr_names x;
    if (expr_names(r->a, r->p, &x, e)) return -1;
    if (keys && expr_condition(r->a, &x, "KeyConditionExpression", keys->s, &r->keys, e)) return -1;
    if (filter && expr_condition(r->a, &x, "FilterExpression", filter->s, &r->filter, e)) return -1;
    if (projection && expr_projection(r->a, &x, projection->s, &r->projection, e)) return -1;
    if (expr_unused(&x, e)) return -1;
    return !r->plan.scan && !keys ? legacy_keys(r->a, r->p, &r->keys, e) : 0;
}

static int read_select(struct reading *r, struct err *e) {
    bool index = param(r->p, "IndexName"), projection = r->projection.n > 0;
    int dflt = projection ? SELECT_SPECIFIC : index ? SELECT_PROJECTED : SELECT_ALL;
    r->select = param_enum(r->p, "Select", selects, dflt);
    if (projection && r->select != SELECT_SPECIFIC)
        return err_set(e, ERR_VALIDATION, "Cannot specify the %s when choosing to get %s",
                       param(r->p, "AttributesToGet") ? "AttributesToGet" : "ProjectionExpression",
                       r->select == SELECT_COUNT ? "only the Count" : selects[r->select]);
    if (!projection && r->select == SELECT_SPECIFIC)
        return err_set(
            e, ERR_VALIDATION,
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES");
    if (r->select == SELECT_PROJECTED && !index)
        return err_set(e, ERR_VALIDATION, "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName");
    return 0;
}

/* ==== index projections ==== */

static bool is_key(const struct ddb_attr *k, struct str name) {
    return k->type && str_eq(k->name, name);
}

static bool projected(const struct ddb_plan *q, struct str name) {
    return index_projects(q->table, q->index, name);
}

static int by_name(const void *l, const void *r) {
    return str_cmp(*(const struct str *)l, *(const struct str *)r);
}

/* Names of top-level attributes in x that the index lacks, each once. */
static void missing(const struct ddb_plan *q, const struct expr *x, struct str *names, uint32_t *n, uint32_t max) {
    bool known = x->op != EX_PATH || projected(q, x->path.steps[0].name);
    for (uint32_t i = 0; !known && i < *n; i++) known = str_eq(names[i], x->path.steps[0].name);
    if (!known && *n < max) names[(*n)++] = x->path.steps[0].name;
    for (uint32_t i = 0; i < x->n; i++) missing(q, x->args[i], names, n, max);
}

static int check_index_filter(struct reading *r, struct err *e) {
    struct str names[20], index = clip(r->plan.index->name);
    uint32_t n = 0;
    if (!r->filter) return 0;
    missing(&r->plan, r->filter, names, &n, 20);
    if (!n) return 0;
    qsort(names, n, sizeof *names, by_name);
    struct buf b = BUF_MAX(600);
    for (uint32_t i = 0; i < n; i++) {
        struct str s = clip(names[i]);
        buf_printf(&b, "%s%.*s", i ? ", " : "", STR_ARG(s));
    }
    err_set(e, ERR_VALIDATION,
            "One or more parameter values were invalid: Secondary index %.*s does not project one or more filter "
            "attributes: [%s]",
            STR_ARG(index), buf_cstr(&b));
    buf_free(&b);
    return -1;
}

/* A global index has no other attributes than it projects; a local one reaches the table's when asked for more. */
static int check_index_select(struct reading *r, struct err *e) {
    const struct ddb_index *x = r->plan.index;
    if (!x || x->projection == PROJECT_ALL) return 0;
    if (!r->plan.scan && check_index_filter(r, e)) return -1;
    struct str name = clip(x->name);
    r->index_only = x->global || r->select == SELECT_PROJECTED || r->select == SELECT_COUNT;
    if (!x->global) {
        r->fetches = !r->index_only && r->select == SELECT_ALL;
        for (uint32_t i = 0; i < r->projection.n; i++)
            if (!r->index_only && !projected(&r->plan, r->projection.paths[i].steps[0].name)) r->fetches = true;
        return 0;
    }
    if (r->select == SELECT_ALL)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global "
            "secondary index %.*s because its projection type is not ALL",
            STR_ARG(name));
    for (uint32_t i = 0; i < r->projection.n; i++) {
        struct str attr = r->projection.paths[i].steps[0].name, shown = clip(attr);
        if (!projected(&r->plan, attr))
            return err_set(
                e, ERR_VALIDATION,
                "One or more parameter values were invalid: Global secondary index %.*s does not project [%.*s]",
                STR_ARG(name), STR_ARG(shown));
    }
    return 0;
}

static void keep_projected(struct arena *a, const struct ddb_plan *q, struct av *item) {
    const struct av_member *all = item->members;
    uint32_t n = item->n;
    item->members = ARENA_ARRAY(a, struct av_member, n);
    item->cap = n;
    item->n = 0;
    for (uint32_t i = 0; i < n; i++)
        if (projected(q, all[i].name)) item->members[item->n++] = all[i];
}

static int check_filter(const struct ddb_plan *q, const char *what, const struct expr *x, struct err *e) {
    if (x->op == EX_PATH) {
        struct str name = x->path.steps[0].name, shown = clip(name);
        if (is_key(q->hash, name) || is_key(q->range, name))
            return err_set(e, ERR_VALIDATION,
                           "%s can only contain non-primary key attributes: Primary key attribute: %.*s", what,
                           STR_ARG(shown));
    }
    for (uint32_t i = 0; i < x->n; i++)
        if (check_filter(q, what, x->args[i], e)) return -1;
    return 0;
}

/* ==== rows ==== */

/* A parallel scan reads the hash keys of all rows; items only of its own, so those of an index are no join. */
static void select_rows(struct buf *b, const struct ddb_plan *q) {
    long long id = (long long)q->table->id;
    if (!q->index)
        buf_printf(b, "SELECT d.pk, d.item FROM d%lld d", id);
    else if (q->segments)
        buf_printf(b, "SELECT x.h, x.pk, x.sk FROM i%lld_%d x", id, q->index->number);
    else
        buf_printf(b, "SELECT x.h, d.item FROM i%lld_%d x CROSS JOIN d%lld d ON d.pk = x.pk AND d.sk = x.sk", id,
                   q->index->number, id);
}

static void where_scan(struct buf *b, const struct ddb_plan *q) {
    if (q->beyond.p)
        buf_printf(b, " WHERE %s > ?2", q->index ? "x.h" : "d.pk");
    else if (q->has_start)
        buf_c(b, q->index ? " WHERE (x.h, x.r, x.pk, x.sk) > (?7, ?6, ?4, ?5)" : " WHERE (d.pk, d.sk) > (?4, ?5)");
}

/* Parameters: 1 hash, 2 lower, 3 upper bound, 4 pk, 5 sk, 6 r, 7 h of the start. */
static void where_query(struct buf *b, const struct ddb_plan *q) {
    const char *col = q->index ? "x.r" : "d.sk", *past = q->backward ? "<" : ">";
    buf_printf(b, " WHERE %s = ?1", q->index ? "x.h" : "d.pk");
    if (q->bounds.lo.p) buf_printf(b, " AND %s %s ?2", col, q->bounds.lo_open ? ">" : ">=");
    if (q->bounds.hi.p) buf_printf(b, " AND %s %s ?3", col, q->bounds.hi_open ? "<" : "<=");
    if (q->has_start && q->index) buf_printf(b, " AND (x.r, x.pk, x.sk) %s (?6, ?4, ?5)", past);
    if (q->has_start && !q->index) buf_printf(b, " AND d.sk %s ?5", past);
}

static void sql_of(struct buf *b, const struct ddb_plan *q) {
    const char *desc = q->backward ? " DESC" : "";
    select_rows(b, q);
    (q->scan ? where_scan : where_query)(b, q);
    if (!q->index)
        buf_printf(b, " ORDER BY d.pk%s, d.sk%s", desc, desc);
    else
        buf_printf(b, " ORDER BY x.h%s, x.r%s, x.pk%s, x.sk%s", desc, desc, desc, desc);
}

static int open_rows(struct local_tx *tx, const struct ddb_plan *q, struct db_stmt **ret, struct err *e) {
    struct buf b = BUF_MAX(1000);
    struct db_stmt *s = NULL;
    sql_of(&b, q);
    int rc = db_stmt(tx->db, buf_cstr(&b), &s, e);
    buf_free(&b);
    if (rc) return -1;
    if (!q->scan) db_bind_blob(s, 1, q->pk);
    if (q->bounds.lo.p) db_bind_blob(s, 2, q->bounds.lo);
    if (q->bounds.hi.p) db_bind_blob(s, 3, q->bounds.hi);
    if (q->beyond.p) {
        db_bind_blob(s, 2, q->beyond);
        *ret = s;
        return 0;
    }
    if (q->has_start && (q->scan || q->index)) db_bind_blob(s, 4, q->start.key.pk);
    if (q->has_start) db_bind_blob(s, 5, q->start.key.sk);
    if (q->has_start && q->index) db_bind_blob(s, 6, q->start.r);
    if (q->has_start && q->index && q->scan) db_bind_blob(s, 7, q->start.h);
    *ret = s;
    return 0;
}

/* Rows of other segments are passed one by one; of a hash key with many, the rest at once. */
static int pass_foreign(struct local_tx *tx, struct reading *r, struct err *e) {
    struct str h = db_bytes(r->rows, 0);
    if (!str_eq(h, buf_view(&r->foreign))) {
        buf_clear(&r->foreign);
        buf_str(&r->foreign, h);
        r->passed = 0;
        return 0;
    }
    if (++r->passed < PASS_ROWS) return 0;
    r->plan.beyond = arena_str(r->a, h);
    r->passed = 0;
    db_done(r->rows);
    r->rows = NULL;
    return open_rows(tx, &r->plan, &r->rows, e);
}

static int next_row(struct local_tx *tx, struct reading *r, struct err *e) {
    for (;;) {
        int row = db_step(r->rows, e);
        if (row != 1 || !r->plan.segments || plan_in_segment(&r->plan, db_bytes(r->rows, 0))) return row;
        if (pass_foreign(tx, r, e)) return -1;
    }
}

static int read_item(struct local_tx *tx, struct reading *r, struct av *ret, struct err *e) {
    if (!r->plan.index || !r->plan.segments) return av_decode(r->a, arena_str(r->a, db_bytes(r->rows, 1)), ret, e);
    struct ddb_key k = {arena_str(r->a, db_bytes(r->rows, 1)), arena_str(r->a, db_bytes(r->rows, 2))};
    struct av *item;
    if (item_read(tx, r->a, r->plan.table, &k, &item, e)) return -1;
    if (!item)
        return err_set(e, ERR_CORRUPT, "an index of %.*s names an item that is not there",
                       STR_ARG(r->plan.table->name));
    *ret = *item;
    return 0;
}

/* The filter of a local index sees the whole item. */
static void take(struct reading *r, const struct av *whole, struct av *item) {
    bool local = r->plan.index && !r->plan.index->global;
    r->scanned++;
    if (r->filter && !expr_test(r->a, r->filter, local ? whole : item)) return;
    r->count++;
    if (r->select == SELECT_COUNT) return;
    struct av out = r->projection.n ? project(r->a, &r->projection, item) : *item;
    json_push(r->a, &r->items, av_item_to_json(r->a, &out));
}

/* Nothing can follow `item`: it stands on the last key that the conditions admit. */
static bool at_end(const struct reading *r, const struct av *item) {
    const struct ddb_plan *q = &r->plan;
    if (q->scan || q->index) return false;
    if (!q->range->type) return true;
    struct str end = q->backward ? q->bounds.lo : q->bounds.hi;
    bool open = q->backward ? q->bounds.lo_open : q->bounds.hi_open;
    return end.p && !open && str_eq(key_bytes(r->a, av_get(item, q->range->name)), end);
}

/* Until the limit or a page is full; the page ends before the item that would pass its size. */
static int read_rows(struct local_tx *tx, struct reading *r, struct err *e) {
    size_t bytes = 0;
    struct av *last = NULL;
    bool consistent = param_flag(r->p, "ConsistentRead");
    int row;
    while ((row = next_row(tx, r, e)) == 1) {
        struct av *item = ARENA_NEW(r->a, struct av), seen;
        if (read_item(tx, r, item, e)) return -1;
        seen = *item;
        struct av whole_key = key_attributes(r->a, r->plan.table, r->plan.index, item);
        if (r->index_only) keep_projected(r->a, &r->plan, &seen);
        bytes += av_item_size(&seen);
        bool full = bytes > PAGE_BYTES && last;
        if (!full) {
            if (r->plan.index && r->fetches) usage_read(&r->used, r->plan.table, NULL, av_item_size(item), consistent);
            r->bytes += r->plan.index ? index_size(r->plan.table, r->plan.index, item) : av_item_size(item);
            take(r, item, &seen);
            last = ARENA_NEW(r->a, struct av);
            *last = whole_key;
        }
        if (!full && r->limit && r->scanned >= r->limit && at_end(r, item)) return 0;
        if (full || (r->limit && r->scanned >= r->limit)) {
            r->last = av_item_to_json(r->a, last);
            return 0;
        }
    }
    return row < 0 ? -1 : 0;
}

/* ==== operations ==== */

static int prepare(struct local_tx *tx, struct reading *r, struct err *e) {
    const struct json *start = param(r->p, "ExclusiveStartKey");
    struct ddb_table *t;
    struct av key;
    usage_open(r->a, r->p, &r->used);
    r->limit = whole(r->p, "Limit");
    if (read_legacy(r, e) || (start && read_start(r, start, &key, e))) return -1;
    if ((r->plan.scan ? read_segments(r, e) : check_keys_given(r, e)) || read_expressions(r, e) || read_select(r, e))
        return -1;
    if (ddb_table(tx, param_table(r->p), &t, e) || plan_target(&r->plan, t, r->p, e) || check_index_select(r, e))
        return -1;
    if (r->filter && check_scalar_keys(t, r->filter, e)) return -1;
    if (check_scalar_paths(t, &r->projection, e)) return -1;
    if (!r->plan.scan && plan_keys(r->a, &r->plan, r->keys, e)) return -1;
    const char *what = param(r->p, "QueryFilter") ? "QueryFilter" : "Filter Expression";
    if (!r->plan.scan && r->filter && check_filter(&r->plan, what, r->filter, e)) return -1;
    return start && plan_start(r->a, &r->plan, &key, e) ? -1 : 0;
}

static int run(struct local_tx *tx, struct aws_call *c, struct reading *r) {
    r->foreign = BUF_MAX(HASH_MAX);
    if (prepare(tx, r, &c->err) || open_rows(tx, &r->plan, &r->rows, &c->err)) return -1;
    int rc = read_rows(tx, r, &c->err);
    db_done(r->rows);
    buf_free(&r->foreign);
    if (rc) return -1;
    c->result = json_make_obj();
    if (r->select != SELECT_COUNT) json_set(&c->arena, &c->result, "Items", r->items);
    json_set(&c->arena, &c->result, "Count", json_make_i64(&c->arena, r->count));
    json_set(&c->arena, &c->result, "ScannedCount", json_make_i64(&c->arena, r->scanned));
    if (r->last.type == JSON_OBJ) json_set(&c->arena, &c->result, "LastEvaluatedKey", r->last);
    usage_read(&r->used, r->plan.table, r->plan.index, r->bytes, param_flag(r->p, "ConsistentRead"));
    usage_report(&r->used, false, &c->result);
    return 0;
}

int ddb_query(struct local_tx *tx, struct aws_call *c) {
    struct reading r = {.a = &c->arena, .p = &c->params, .items = json_make_arr()};
    if (ddb_params(tx, c)) return -1;
    r.plan.backward = json_is(param(&c->params, "ScanIndexForward"), JSON_FALSE);
    return run(tx, c, &r);
}

int ddb_scan(struct local_tx *tx, struct aws_call *c) {
    struct reading r = {.a = &c->arena, .p = &c->params, .items = json_make_arr(), .plan.scan = true};
    if (ddb_params(tx, c)) return -1;
    return run(tx, c, &r);
}
