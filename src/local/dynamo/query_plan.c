/* Which rows a Query or Scan visits: target, key conditions, start. */
#include "local/dynamo/dynamo.h"

int plan_target(struct ddb_plan *q, const struct ddb_table *t, const struct json *p, struct err *e) {
    const struct json *index = param(p, "IndexName");
    q->table = t;
    q->hash = &t->hash;
    q->range = &t->range;
    if (!index) return 0;
    struct str name = clip(index->s);
    q->index = ddb_index(t, index->s);
    if (!q->index)
        return err_set(e, ERR_VALIDATION, "The table does not have the specified index: %.*s", STR_ARG(name));
    if (q->index->creating)
        return err_set(e, ERR_VALIDATION, "Cannot read from backfilling global secondary index: %.*s", STR_ARG(name));
    q->hash = &q->index->hash;
    q->range = &q->index->range;
    if (q->index->global && param_flag(p, "ConsistentRead"))
        return err_set(e, ERR_VALIDATION, "Consistent reads are not supported on global secondary indexes");
    return 0;
}

/* ==== key conditions ==== */

struct key_condition {
    enum expr_op op;
    struct str name;
    const struct av *v, *w; /* w: upper bound of BETWEEN */
};
struct conditions {
    struct key_condition c[2];
    int n;
};

static enum expr_op mirrored(enum expr_op op) {
    return op == EX_LT ? EX_GT : op == EX_LE ? EX_GE : op == EX_GT ? EX_LT : op == EX_GE ? EX_LE : op;
}

static int check_shape(const struct expr *x, struct err *e) {
    int paths = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->args[i]->op != EX_PATH && x->args[i]->op != EX_VALUE)
            return err_set(e, ERR_VALIDATION, "KeyConditionExpressions cannot contain nested operations");
        paths += x->args[i]->op == EX_PATH;
        if (x->args[i]->op == EX_PATH && x->args[i]->path.n > 1)
            return err_set(e, ERR_VALIDATION, "KeyConditionExpressions cannot have conditions on nested attributes");
    }
    if (paths > 1)
        return err_set(e, ERR_VALIDATION,
                       "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition");
    if (!paths)
        return err_set(e, ERR_VALIDATION, "Invalid condition in KeyConditionExpression: No key attribute specified");
    return 0;
}

static int read_condition(const struct expr *x, struct key_condition *ret, struct err *e) {
    bool good = (x->op >= EX_EQ && x->op <= EX_BETWEEN && x->op != EX_NE) || x->op == EX_BEGINS;
    if (!good)
        return err_set(e, ERR_VALIDATION, "Invalid operator used in KeyConditionExpression: %s", expr_op_name(x->op));
    if (check_shape(x, e)) return -1;
    const struct expr *l = x->args[0], *r = x->args[1];
    *ret = (struct key_condition){.op = x->op, .name = l->path.n ? l->path.steps[0].name : STR(""), .v = r->value};
    if (l->op == EX_PATH) {
        if (x->op == EX_BETWEEN) ret->w = x->args[2]->value;
        return 0;
    }
    if (x->op == EX_BEGINS || x->op == EX_BETWEEN)
        return err_set(e, ERR_VALIDATION,
                       "Invalid condition in KeyConditionExpression: %s operator must have the key attribute "
                       "as its first operand",
                       expr_op_name(x->op));
    *ret = (struct key_condition){.op = mirrored(x->op), .name = r->path.steps[0].name, .v = l->value};
    return 0;
}

static int collect(const struct expr *x, struct conditions *all, struct err *e) {
    if (x->op == EX_AND) {
        for (uint32_t i = 0; i < x->n; i++)
            if (collect(x->args[i], all, e)) return -1;
        return 0;
    }
    struct key_condition k;
    if (read_condition(x, &k, e)) return -1;
    for (int i = 0; i < all->n; i++)
        if (str_eq(all->c[i].name, k.name))
            return err_set(e, ERR_VALIDATION, "KeyConditionExpressions must only contain one condition per key");
    if (all->n == 2) return err_set(e, ERR_VALIDATION, "Conditions can be of length 1 or 2 only");
    all->c[all->n++] = k;
    return 0;
}

static int key_value(struct arena *a, const struct ddb_attr *k, const struct av *v, bool prefix, bool hash,
                     struct str *ret, struct err *e) {
    struct str name = clip(k->name);
    if (v->type != k->type)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values were invalid: Condition parameter type does not match schema type");
    if (v->type != AV_N && !v->s.n && !prefix)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            "empty %s value. Key: %.*s",
            v->type == AV_S ? "string" : "binary", STR_ARG(name));
    *ret = key_bytes(a, v);
    return key_limits(*ret, hash, e);
}

/* The first byte string behind all that begin with `prefix`; STR_NONE: there is none. */
static struct str behind(struct arena *a, struct str prefix) {
    size_t n = prefix.n;
    while (n && (unsigned char)prefix.p[n - 1] == 0xff) n--;
    if (!n) return STR_NONE;
    char *p = arena_cstr(a, str_take(prefix, n));
    p[n - 1] = (char)((unsigned char)p[n - 1] + 1);
    return str_n(p, n);
}

static int set_bounds(struct arena *a, struct ddb_plan *q, const struct key_condition *k, struct err *e) {
    struct key_range *b = &q->bounds;
    struct str v, w;
    if (key_value(a, q->range, k->v, k->op == EX_BEGINS, false, &v, e)) return -1;
    if (k->op == EX_BETWEEN && key_value(a, q->range, k->w, false, false, &w, e)) return -1;
    if (k->op == EX_BEGINS)
        *b = (struct key_range){.lo = v, .hi = behind(a, v), .hi_open = true};
    else if (k->op == EX_BETWEEN)
        *b = (struct key_range){.lo = v, .hi = w};
    else if (k->op == EX_EQ)
        *b = (struct key_range){.lo = v, .hi = v};
    else if (k->op == EX_LT || k->op == EX_LE)
        *b = (struct key_range){.hi = v, .hi_open = k->op == EX_LT};
    else
        *b = (struct key_range){.lo = v, .lo_open = k->op == EX_GT};
    return 0;
}

static int missed(struct str name, struct err *e) {
    name = clip(name);
    return err_set(e, ERR_VALIDATION, "Query condition missed key schema element: %.*s", STR_ARG(name));
}

int plan_keys(struct arena *a, struct ddb_plan *q, const struct expr *x, struct err *e) {
    struct conditions all = {0};
    const struct key_condition *h = NULL, *r = NULL;
    if (collect(x, &all, e)) return -1;
    for (int i = 0; i < all.n; i++) {
        if (str_eq(all.c[i].name, q->hash->name))
            h = &all.c[i];
        else if (q->range->type && str_eq(all.c[i].name, q->range->name))
            r = &all.c[i];
    }
    if (!h) return missed(q->hash->name, e);
    if (all.n == 2 && !r)
        return q->range->type ? missed(q->range->name, e)
                              : err_set(e, ERR_VALIDATION, "Query key condition not supported");
    if (h->op != EX_EQ) return err_set(e, ERR_VALIDATION, "Query key condition not supported");
    if (key_value(a, q->hash, h->v, false, true, &q->pk, e)) return -1;
    return r ? set_bounds(a, q, r, e) : 0;
}

/* ==== start ==== */

static bool within(const struct key_range *b, struct str v) {
    int lo = b->lo.p ? str_cmp(v, b->lo) : 1, hi = b->hi.p ? str_cmp(v, b->hi) : -1;
    return (b->lo_open ? lo > 0 : lo >= 0) && (b->hi_open ? hi < 0 : hi <= 0);
}

static int start_attribute(struct arena *a, const struct ddb_attr *k, const struct av *key, uint32_t *n,
                           struct str *ret, struct err *e) {
    const struct av *v = av_get(key, k->name);
    if (!v || v->type != k->type || (v->type != AV_N && !v->s.n))
        return err_set(e, ERR_VALIDATION, "The provided starting key is invalid%s",
                       v ? ": The provided key element does not match the schema" : "");
    *ret = key_bytes(a, v);
    ++*n;
    return 0;
}

static bool in_table_key(const struct ddb_table *t, struct str name) {
    return str_eq(name, t->hash.name) || (t->range.type && str_eq(name, t->range.name));
}

static int start_positions(struct arena *a, struct ddb_plan *q, const struct av *key, struct err *e) {
    const struct ddb_table *t = q->table;
    uint32_t n = 0, shared = 0;
    q->start = (struct ddb_start){.r = STR(""), .key.sk = STR("")};
    if (start_attribute(a, &t->hash, key, &n, &q->start.key.pk, e)) return -1;
    if (t->range.type && start_attribute(a, &t->range, key, &n, &q->start.key.sk, e)) return -1;
    q->start.h = q->start.key.pk;
    if (!q->index) q->start.r = q->start.key.sk;
    if (q->index && start_attribute(a, q->hash, key, in_table_key(t, q->hash->name) ? &shared : &n, &q->start.h, e))
        return -1;
    if (q->index && q->range->type &&
        start_attribute(a, q->range, key, in_table_key(t, q->range->name) ? &shared : &n, &q->start.r, e))
        return -1;
    if (n != key->n) return err_set(e, ERR_VALIDATION, "The provided starting key is invalid");
    return 0;
}

int plan_start(struct arena *a, struct ddb_plan *q, const struct av *key, struct err *e) {
    if (start_positions(a, q, key, e)) return -1;
    q->has_start = true;
    if (!q->scan && !str_eq(q->start.h, q->pk))
        return err_set(e, ERR_VALIDATION,
                       "The provided starting key is outside query boundaries based on provided conditions");
    if (!q->scan && !within(&q->bounds, q->start.r))
        return err_set(e, ERR_VALIDATION, "The provided starting key does not match the range key predicate");
    if (q->segments && !plan_in_segment(q, q->start.h))
        return err_set(
            e, ERR_VALIDATION,
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "
            "correct Segment. TotalSegments: %lld Segment: %lld",
            (long long)q->segments, (long long)q->segment);
    return 0;
}

/* FNV-1a: stays the same from one process to the next, as pages of a scan may span them. */
bool plan_in_segment(const struct ddb_plan *q, struct str h) {
    uint64_t v = 0xcbf29ce484222325u;
    for (size_t i = 0; i < h.n; i++) v = (v ^ (unsigned char)h.p[i]) * 0x100000001b3u;
    v ^= v >> 32;
    return !q->segments || (int64_t)(v % (uint64_t)q->segments) == q->segment;
}
