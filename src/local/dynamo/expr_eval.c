/* Testing conditions on an item. An operand that is missing or of the wrong type makes its comparison false (`<>`:
 * true). */
#include "local/dynamo/dynamo.h"
#include <string.h>

/* size(): bytes of S and B, elements of the others; NULL when the value has none. */
static const struct av *size_of(struct arena *a, const struct av *v) {
    if (!v || v->type == AV_N || v->type == AV_BOOL || v->type == AV_NULL) return NULL;
    struct av *n = ARENA_NEW(a, struct av);
    n->type = AV_N;
    n->s = arena_printf(a, "%zu", v->type == AV_S || v->type == AV_B ? v->s.n : (size_t)v->n);
    return n;
}

static const struct av *operand(struct arena *a, const struct expr *x, const struct av *item) {
    if (x->op == EX_PATH) return path_get(&x->path, item);
    if (x->op == EX_VALUE) return x->value;
    if (x->op == EX_SIZE) return size_of(a, operand(a, x->args[0], item));
    return NULL;
}

static bool compare(enum expr_op op, const struct av *x, const struct av *y) {
    int c;
    if (op == EX_EQ) return av_equal(x, y);
    if (op == EX_NE) return !av_equal(x, y);
    if (!av_order(x, y, &c)) return false;
    return op == EX_LT ? c < 0 : op == EX_LE ? c <= 0 : op == EX_GT ? c > 0 : c >= 0;
}

static bool contains(const struct av *v, const struct av *part) {
    if (!v || !part) return false;
    if (v->type == AV_S || v->type == AV_B) return v->type == part->type && str_find(v->s, part->s, 0) >= 0;
    if (v->type == AV_L)
        for (uint32_t i = 0; i < v->n; i++)
            if (av_equal(&v->items[i], part)) return true;
    if (v->type == AV_SS) return part->type == AV_S && av_set_has(v, part->s);
    if (v->type == AV_NS) return part->type == AV_N && av_set_has(v, part->s);
    if (v->type == AV_BS) return part->type == AV_B && av_set_has(v, part->s);
    return false;
}

static bool begins(const struct av *v, const struct av *prefix) {
    if (!v || !prefix || v->type != prefix->type || (v->type != AV_S && v->type != AV_B)) return false;
    return str_starts(v->s, prefix->s);
}

static bool test_call(struct arena *a, const struct expr *x, const struct av *item) {
    const struct av *v = operand(a, x->args[0], item), *w = x->n > 1 ? operand(a, x->args[1], item) : NULL;
    switch (x->op) {
    case EX_EXISTS:
        return v != NULL;
    case EX_NOT_EXISTS:
        return v == NULL;
    case EX_TYPE:
        return v && w && w->type == AV_S && str_is(w->s, av_type_name(v->type));
    case EX_BEGINS:
        return begins(v, w);
    case EX_CONTAINS:
        return contains(v, w);
    case EX_BETWEEN:
        return compare(EX_GE, v, w) && compare(EX_LE, v, operand(a, x->args[2], item));
    case EX_IN:
        for (uint32_t i = 1; i < x->n; i++)
            if (av_equal(v, operand(a, x->args[i], item))) return true;
        return false;
    default:
        return compare(x->op, v, w);
    }
}

bool expr_test(struct arena *a, const struct expr *x, const struct av *item) {
    static const struct av nothing = {.type = AV_M};
    if (!item) item = &nothing;
    if (x->op == EX_NOT) return !expr_test(a, x->args[0], item);
    if (x->op != EX_AND && x->op != EX_OR) return test_call(a, x, item);
    for (uint32_t i = 0; i < x->n; i++)
        if (expr_test(a, x->args[i], item) == (x->op == EX_OR)) return x->op == EX_OR;
    return x->op == EX_AND;
}
