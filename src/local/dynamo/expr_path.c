/* Document paths: reading them, comparing them, projecting an item onto them. */
#include "local/dynamo/dynamo.h"

static bool same_step(const struct path_step *a, const struct path_step *b) {
    if (a->is_index != b->is_index) return false;
    return a->is_index ? a->index == b->index : str_eq(a->name, b->name);
}

bool path_equal(const struct path *a, const struct path *b) {
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!same_step(&a->steps[i], &b->steps[i])) return false;
    return true;
}

const char *path_clash(const struct path *a, const struct path *b) {
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        if (a->steps[i].is_index != b->steps[i].is_index) return "conflict";
        if (!same_step(&a->steps[i], &b->steps[i])) return NULL;
    }
    return "overlap";
}

struct str path_str(struct arena *a, const struct path *p) {
    struct buf b = BUF_MAX(1024);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct path_step *s = &p->steps[i];
        if (i) buf_c(&b, ", ");
        if (s->is_index)
            buf_printf(&b, "[%u]", s->index);
        else
            buf_str(&b, s->name);
    }
    struct str text = arena_printf(a, "[%s]", buf_cstr(&b));
    buf_free(&b);
    return text;
}

static struct av *step(const struct path_step *s, const struct av *v) {
    if (!s->is_index) return av_get(v, s->name);
    if (v->type != AV_L || s->index >= v->n || v->items[s->index].type == AV_GONE) return NULL;
    return &v->items[s->index];
}

const struct av *path_get(const struct path *p, const struct av *item) {
    const struct av *v = item;
    for (uint32_t i = 0; v && i < p->n; i++) v = step(&p->steps[i], v);
    return v;
}

/* ==== key attributes ==== */

static bool is_key(const struct ddb_attr *hash, const struct ddb_attr *range, struct str name) {
    return str_eq(hash->name, name) || (range->type && str_eq(range->name, name));
}

static int check_scalar(const struct ddb_table *t, const struct path *p, struct err *e) {
    if (p->n < 2) return 0;
    struct str name = p->steps[0].name, shown = clip(name);
    bool key = is_key(&t->hash, &t->range, name), index = false;
    for (size_t i = 0; !key && i < t->n_indexes; i++)
        if (is_key(&t->indexes[i].hash, &t->indexes[i].range, name)) index = true;
    if (!key && !index) return 0;
    return err_set(e, ERR_VALIDATION,
                   "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
                   "%s: %.*s",
                   key ? "Key" : "IndexKey", STR_ARG(shown));
}

int check_scalar_keys(const struct ddb_table *t, const struct expr *x, struct err *e) {
    if (x->op == EX_PATH && check_scalar(t, &x->path, e)) return -1;
    for (uint32_t i = 0; i < x->n; i++)
        if (check_scalar_keys(t, x->args[i], e)) return -1;
    return 0;
}

int check_scalar_paths(const struct ddb_table *t, const struct projection *p, struct err *e) {
    for (uint32_t i = 0; i < p->n; i++)
        if (check_scalar(t, &p->paths[i], e)) return -1;
    return 0;
}

int check_scalar_update(const struct ddb_table *t, const struct update *u, struct err *e) {
    for (uint32_t i = 0; i < u->n; i++) {
        if (check_scalar(t, &u->actions[i].path, e)) return -1;
        if (u->actions[i].value && check_scalar_keys(t, u->actions[i].value, e)) return -1;
    }
    return 0;
}

/* ==== projecting ==== */

/* Those of `paths` whose step at `depth` leads to the same place as `to`. */
static struct projection below(struct arena *a, const struct projection *p, uint32_t depth,
                               const struct path_step *to) {
    struct projection sub = {arena_alloc(a, p->n * sizeof *sub.paths), 0};
    for (uint32_t i = 0; i < p->n; i++)
        if (same_step(&p->paths[i].steps[depth], to)) sub.paths[sub.n++] = p->paths[i];
    return sub;
}

static bool cut(struct arena *a, const struct projection *p, uint32_t depth, const struct av *v, struct av *ret);

/* The next step after `last` in the order of the result: members as first named, elements by index. */
static const struct path_step *next_index(const struct projection *p, uint32_t depth, int64_t last) {
    const struct path_step *best = NULL;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct path_step *s = &p->paths[i].steps[depth];
        if (s->is_index && (int64_t)s->index > last && (!best || s->index < best->index)) best = s;
    }
    return best;
}

static void cut_list(struct arena *a, const struct projection *p, uint32_t depth, const struct av *v, struct av *ret) {
    int64_t last = -1;
    for (const struct path_step *s; (s = next_index(p, depth, last)); last = s->index) {
        const struct av *child = step(s, v);
        struct av part;
        struct projection sub = below(a, p, depth, s);
        if (child && cut(a, &sub, depth + 1, child, &part)) av_push(a, ret, part);
    }
}

static void cut_map(struct arena *a, const struct projection *p, uint32_t depth, const struct av *v, struct av *ret) {
    for (uint32_t i = 0; i < p->n; i++) {
        const struct path_step *s = &p->paths[i].steps[depth];
        const struct av *child = s->is_index ? NULL : av_get(v, s->name);
        struct av part;
        if (!child || av_get(ret, s->name)) continue;
        struct projection sub = below(a, p, depth, s);
        if (cut(a, &sub, depth + 1, child, &part)) av_put(a, ret, s->name, part);
    }
}

/* false: nothing of v is on the paths. All of them have more than `depth` steps, or the only one ends here. */
static bool cut(struct arena *a, const struct projection *p, uint32_t depth, const struct av *v, struct av *ret) {
    if (p->paths[0].n == depth) {
        *ret = *v;
        return true;
    }
    *ret = (struct av){.type = v->type};
    if (v->type == AV_M) cut_map(a, p, depth, v, ret);
    if (v->type == AV_L) cut_list(a, p, depth, v, ret);
    return ret->n > 0;
}

struct av project(struct arena *a, const struct projection *p, const struct av *item) {
    struct av out = {.type = AV_M};
    if (p->n) cut_map(a, p, 0, item, &out);
    return out;
}
