/* Applying an update expression. Every operand reads the item as it was; list indexes mean the list as it was, so
 * removed elements are marked (AV_GONE) and closed up at the end. */
#include "local/dynamo/dynamo.h"
#include <stdlib.h>
#include <string.h>

struct applying {
    struct arena *a;
    bool legacy;
    const struct av *old;
    struct av *next;
    struct err *e;
};

static int wrong_operand(struct applying *u) {
    return err_set(u->e, ERR_VALIDATION,
                   u->legacy ? "Type mismatch for attribute to update"
                             : "An operand in the update expression has an incorrect data type");
}

static int wrong_path(struct applying *u) {
    return err_set(u->e, ERR_VALIDATION, "The document path provided in the update expression is invalid for update");
}

/* ==== operands ==== */

static int evaluate(struct applying *u, const struct expr *x, struct av *ret);

static int arithmetic(struct applying *u, const struct expr *x, struct av *ret) {
    struct av l, r;
    struct num a, b, sum;
    if (evaluate(u, x->args[0], &l) || evaluate(u, x->args[1], &r)) return -1;
    if (l.type != AV_N || r.type != AV_N) return wrong_operand(u);
    if (num_parse(l.s, &a, u->e) || num_parse(r.s, &b, u->e) || num_add(&a, &b, x->op == EX_MINUS, &sum, u->e))
        return -1;
    av_number(u->a, &sum, ret);
    return 0;
}

static int append(struct applying *u, const struct expr *x, struct av *ret) {
    struct av l, r;
    if (evaluate(u, x->args[0], &l) || evaluate(u, x->args[1], &r)) return -1;
    if (l.type != AV_L || r.type != AV_L) return wrong_operand(u);
    uint32_t n = l.n + r.n;
    *ret = (struct av){.type = AV_L, .n = n, .cap = n, .items = arena_alloc(u->a, n * sizeof *ret->items)};
    if (l.n) memcpy(ret->items, l.items, l.n * sizeof *l.items);
    if (r.n) memcpy(ret->items + l.n, r.items, r.n * sizeof *r.items);
    return 0;
}

static int evaluate(struct applying *u, const struct expr *x, struct av *ret) {
    const struct av *v = x->op == EX_VALUE ? x->value : NULL;
    if (x->op == EX_PLUS || x->op == EX_MINUS) return arithmetic(u, x, ret);
    if (x->op == EX_LIST_APPEND) return append(u, x, ret);
    if (x->op == EX_IF_NOT_EXISTS) {
        v = path_get(&x->args[0]->path, u->old);
        if (!v) return evaluate(u, x->args[1], ret);
    }
    if (x->op == EX_PATH) v = path_get(&x->path, u->old);
    if (!v)
        return err_set(u->e, ERR_VALIDATION,
                       "The provided expression refers to an attribute that does not exist in the item");
    *ret = *v;
    return 0;
}

/* ==== places ==== */

/* The container that the last step points into. */
static int parent_of(struct applying *u, const struct path *p, struct av **ret) {
    struct path up = {p->n - 1, p->steps};
    struct av *v = p->n == 1 ? u->next : (struct av *)path_get(&up, u->next);
    if (!v || v->type != (p->steps[p->n - 1].is_index ? AV_L : AV_M)) return wrong_path(u);
    *ret = v;
    return 0;
}

/* An index past the end appends; the path is corrected, so that it can be read back. */
static int store(struct applying *u, struct path *p, struct av v) {
    struct av *parent = NULL;
    struct path_step *last = &p->steps[p->n - 1];
    if (parent_of(u, p, &parent)) return -1;
    if (!last->is_index) {
        av_put(u->a, parent, last->name, v);
    } else if (last->index < parent->n) {
        parent->items[last->index] = v;
    } else {
        last->index = parent->n;
        av_push(u->a, parent, v);
    }
    return 0;
}

static int erase(struct applying *u, const struct path *p) {
    struct av *parent = NULL;
    const struct path_step *last = &p->steps[p->n - 1];
    if (parent_of(u, p, &parent)) return -1;
    if (!last->is_index)
        av_del(parent, last->name);
    else if (last->index < parent->n)
        parent->items[last->index] = (struct av){.type = AV_GONE};
    return 0;
}

/* ==== ADD and DELETE ==== */

static int add_number(struct applying *u, const struct av *there, const struct av *v, struct av *ret) {
    struct num a, b, sum;
    if (num_parse(there->s, &a, u->e) || num_parse(v->s, &b, u->e) || num_add(&a, &b, false, &sum, u->e)) return -1;
    av_number(u->a, &sum, ret);
    return 0;
}

/* Of members in `from`, those that are (keep) or are not in `other`. */
static struct av sift(struct arena *a, const struct av *from, const struct av *other) {
    struct map seen = {0};
    struct av out = {.type = from->type, .items = arena_alloc(a, from->n * sizeof *out.items), .cap = from->n};
    for (uint32_t i = 0; i < other->n; i++) map_put(&seen, other->items[i].s, &other->items[i]);
    for (uint32_t i = 0; i < from->n; i++)
        if (!map_get(&seen, from->items[i].s)) out.items[out.n++] = from->items[i];
    map_free(&seen);
    return out;
}

static int do_add(struct applying *u, struct update_action *act) {
    const struct av *there = path_get(&act->path, u->old), *v = act->value->value;
    struct av out = *v;
    if (there && (there->type != v->type || (v->type != AV_N && !av_is_set(v->type)))) return wrong_operand(u);
    if (there && v->type == AV_N && add_number(u, there, v, &out)) return -1;
    if (there && av_is_set(v->type)) {
        struct av fresh = sift(u->a, v, there);
        uint32_t n = there->n + fresh.n;
        out = (struct av){.type = v->type, .n = n, .cap = n, .items = arena_alloc(u->a, n * sizeof *out.items)};
        memcpy(out.items, there->items, there->n * sizeof *out.items);
        if (fresh.n) memcpy(out.items + there->n, fresh.items, fresh.n * sizeof *out.items);
    }
    return store(u, &act->path, out);
}

static int do_delete(struct applying *u, struct update_action *act) {
    const struct av *there = path_get(&act->path, u->old), *v = act->value->value;
    struct av *parent = NULL;
    if (!there) return parent_of(u, &act->path, &parent);
    if (there->type != v->type) return wrong_operand(u);
    struct av left = sift(u->a, there, v);
    return left.n ? store(u, &act->path, left) : erase(u, &act->path);
}

static int do_set(struct applying *u, struct update_action *act) {
    struct av v;
    return evaluate(u, act->value, &v) ? -1 : store(u, &act->path, v);
}

static int apply(struct applying *u, struct update_action *act) {
    switch (act->kind) {
    case UP_SET:
        return do_set(u, act);
    case UP_REMOVE:
        return erase(u, &act->path);
    case UP_ADD:
        return do_add(u, act);
    default:
        return do_delete(u, act);
    }
}

/* ==== the whole ==== */

/* Elements past the end are appended in the order of their indexes. */
static int by_last_index(const void *l, const void *r) {
    const struct path *a = &((const struct update_action *)l)->path, *b = &((const struct update_action *)r)->path;
    uint32_t i = a->steps[a->n - 1].index, k = b->steps[b->n - 1].index;
    return (i > k) - (i < k);
}

static struct update own_copy(struct arena *a, const struct update *u) {
    struct update c = {arena_alloc(a, u->n * sizeof *c.actions), u->n, u->legacy};
    for (uint32_t i = 0; i < u->n; i++) {
        struct path p = u->actions[i].path;
        c.actions[i] = u->actions[i];
        c.actions[i].path.steps = arena_alloc(a, p.n * sizeof *p.steps);
        memcpy(c.actions[i].path.steps, p.steps, p.n * sizeof *p.steps);
    }
    if (c.n > 1) qsort(c.actions, c.n, sizeof *c.actions, by_last_index);
    return c;
}

static void close_gaps(struct av *v) {
    uint32_t n = 0;
    if (v->type == AV_M)
        for (uint32_t i = 0; i < v->n; i++) close_gaps(&v->members[i].value);
    if (v->type != AV_L) return;
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->items[i].type == AV_GONE) continue;
        if (n != i) v->items[n] = v->items[i];
        close_gaps(&v->items[n++]);
    }
    v->n = n;
}

/* Gaps can only be where an index was removed; values set may be shared, and have none. */
static void close_removed(struct applying *u, const struct update *all) {
    for (uint32_t i = 0; i < all->n; i++) {
        const struct path *p = &all->actions[i].path;
        bool removes = all->actions[i].kind == UP_REMOVE || all->actions[i].kind == UP_DELETE;
        struct av *root = removes && p->steps[p->n - 1].is_index ? av_get(u->next, p->steps[0].name) : NULL;
        if (root) close_gaps(root);
    }
}

/* The paths that are there afterwards, or were before. */
static struct av touched(struct arena *a, const struct update *u, bool removed_too, const struct av *item) {
    struct projection p = {arena_alloc(a, u->n * sizeof *p.paths), 0};
    for (uint32_t i = 0; i < u->n; i++)
        if (removed_too || u->actions[i].kind != UP_REMOVE) p.paths[p.n++] = u->actions[i].path;
    return item ? project(a, &p, item) : (struct av){.type = AV_M};
}

int update_apply(struct arena *a, const struct update *u, const struct av *old, struct av *next, struct av *ret_new,
                 struct av *ret_old, struct err *e) {
    struct applying ap = {a, u->legacy, old, next, e};
    struct update all = own_copy(a, u);
    if (ret_old) *ret_old = touched(a, &all, true, old);
    for (uint32_t i = 0; i < all.n; i++)
        if (apply(&ap, &all.actions[i])) return -1;
    if (ret_new) *ret_new = touched(a, &all, false, next);
    close_removed(&ap, &all);
    return 0;
}

bool update_only_removes(const struct update *u) {
    for (uint32_t i = 0; i < u->n; i++)
        if (u->actions[i].kind == UP_SET || u->actions[i].kind == UP_ADD) return false;
    return u->n > 0;
}
