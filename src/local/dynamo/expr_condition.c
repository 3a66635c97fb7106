/* Conditions: ConditionExpression, FilterExpression, KeyConditionExpression.
 *   or := and {OR and}   and := not {AND not}   not := NOT not | test
 *   test := '(' or ')' | function | operand comparator operand | operand BETWEEN operand AND operand | operand IN '('
 * operands ')' Parentheses may hold a condition or an operand; which one is known at what follows. */
#include "local/dynamo/expr.h"
#include <string.h>

static int parse_or(struct parser *p, struct expr **ret);

static enum expr_op comparator(enum tok t) {
    static const enum expr_op ops[] = {
        [T_EQ] = EX_EQ, [T_NE] = EX_NE, [T_LT] = EX_LT, [T_LE] = EX_LE, [T_GT] = EX_GT, [T_GE] = EX_GE, [T_BAD] = 0};
    return t >= T_EQ && t <= T_GE ? ops[t] : 0;
}

static void check_operand(struct parser *p, const struct expr *x) {
    if (x->op > EX_CONDITIONS && !x->paren)
        parse_soft(p, SOFT_MISUSED, "The function is not allowed to be used this way in an expression; function: %s",
                   expr_op_name(x->op));
}

static void check_distinct(struct parser *p, const struct expr *x) {
    for (uint32_t i = 1; i < x->n; i++) {
        if (x->args[0]->op != EX_PATH || x->args[i]->op != EX_PATH) continue;
        if (!path_equal(&x->args[0]->path, &x->args[i]->path)) continue;
        struct str s = clip(path_str(p->a, &x->args[0]->path));
        parse_soft(
            p, SOFT_DISTINCT,
            "The first operand must be distinct from the remaining operands for this operator or function; operator: "
            "%s, first operand: %.*s",
            expr_op_name(x->op), STR_ARG(s));
    }
}

/* Only S, N and B have an order. */
static void check_ordered(struct parser *p, const struct expr *x) {
    if (x->op == EX_EQ || x->op == EX_NE || x->op == EX_IN) return;
    for (uint32_t i = 0; i < x->n; i++) {
        const char *t = parse_type(x->args[i]);
        if (!t || !strcmp(t, "S") || !strcmp(t, "N") || !strcmp(t, "B")) continue;
        parse_soft(p, SOFT_TYPE,
                   "Incorrect operand type for operator or function; operator or function: %s, operand type: %s",
                   expr_op_name(x->op), t);
    }
}

static void bound_text(const struct av *v, char out[120]) {
    struct str s = v->type == AV_B ? STR("...") : str_take(clip(v->s), 80);
    struct buf b = BUF_MAX(118);
    buf_printf(&b, "AttributeValue: {%s:%.*s}", av_type_name(v->type), STR_ARG(s));
    memcpy(out, buf_cstr(&b), b.n + 1);
    buf_free(&b);
}

static void check_bounds(struct parser *p, const struct expr *lo, const struct expr *hi) {
    int c;
    if (lo->op != EX_VALUE || hi->op != EX_VALUE || !lo->value || !hi->value) return;
    bool same = lo->value->type == hi->value->type;
    if (same && (!av_order(lo->value, hi->value, &c) || c <= 0)) return;
    if (!same && (lo->value->type > AV_B || hi->value->type > AV_B)) return;
    char a[120], b[120];
    bound_text(lo->value, a);
    bound_text(hi->value, b);
    parse_soft(p, SOFT_TYPE, "The BETWEEN operator requires %s; lower bound operand: %s, upper bound operand: %s",
               same ? "upper bound to be greater than or equal to lower bound"
                    : "same data type for lower and upper bounds",
               a, b);
}

static int parse_comparison(struct parser *p, enum expr_op op, struct expr *left, struct expr **ret) {
    struct expr *x = parse_node(p, op, 2);
    lex_next(p);
    x->args[0] = left;
    if (parse_operand(p, &x->args[1])) return -1;
    check_operand(p, x->args[1]);
    *ret = x;
    return 0;
}

static int parse_between(struct parser *p, struct expr *left, struct expr **ret) {
    struct expr *x = parse_node(p, EX_BETWEEN, 3);
    lex_next(p);
    x->args[0] = left;
    if (parse_operand(p, &x->args[1])) return -1;
    if (!lex_is(p, "AND")) return parse_syntax(p);
    lex_next(p);
    if (parse_operand(p, &x->args[2])) return -1;
    check_operand(p, x->args[1]);
    check_operand(p, x->args[2]);
    check_bounds(p, x->args[1], x->args[2]);
    *ret = x;
    return 0;
}

static int parse_in(struct parser *p, struct expr *left, struct expr **ret) {
    struct expr *args[IN_MAX + 1] = {left};
    uint32_t n = 1;
    lex_next(p);
    if (p->tok != T_LP) return parse_syntax(p);
    do {
        struct expr *x;
        lex_next(p);
        if (parse_operand(p, &x)) return -1;
        check_operand(p, x);
        if (n <= IN_MAX) args[n] = x;
        n++;
    } while (p->tok == T_COMMA);
    if (n > IN_MAX + 1) {
        parse_soft(
            p, SOFT_COUNT,
            "Incorrect number of operands for operator or function; operator or function: IN, number of operands: %u",
            n);
        n = IN_MAX + 1;
    }
    *ret = parse_node(p, EX_IN, n);
    memcpy((*ret)->args, args, n * sizeof *args);
    return parse_expect(p, T_RP);
}

/* What follows an operand, if it is one. */
static int parse_tail(struct parser *p, struct expr *left, struct expr **ret) {
    enum expr_op op = comparator(p->tok);
    bool between = lex_is(p, "BETWEEN"), in = lex_is(p, "IN");
    if (!op && !between && !in) {
        *ret = left;
        if (left->op > EX_CONDITIONS) return 0;
        if (p->tok == T_RP && p->depth) return 0; /* an operand in parentheses: decided further up */
        if (left->op != EX_SIZE) return parse_syntax(p);
        parse_soft(p, SOFT_MISUSED, "The function is not allowed to be used this way in an expression; function: size");
        return 0;
    }
    if (left->op > EX_CONDITIONS && left->paren) return parse_syntax(p);
    check_operand(p, left);
    int rc = op ? parse_comparison(p, op, left, ret) : between ? parse_between(p, left, ret) : parse_in(p, left, ret);
    if (rc) return -1;
    check_distinct(p, *ret);
    check_ordered(p, *ret);
    return 0;
}

static int parse_test(struct parser *p, struct expr **ret) {
    struct expr *left;
    if (p->tok != T_LP) {
        if (parse_operand(p, &left)) return -1;
        return parse_tail(p, left, ret);
    }
    if (parse_enter(p)) return -1;
    lex_next(p);
    if (parse_or(p, &left) || parse_expect(p, T_RP)) return -1;
    p->depth--;
    if (left->paren) parse_soft(p, SOFT_PARENS, "The expression has redundant parentheses;");
    left->paren = true;
    return parse_tail(p, left, ret);
}

/* A part of AND, OR, NOT must be a condition. */
static int need_condition(struct parser *p, const struct expr *x) {
    if (x->op > EX_CONDITIONS || x->op == EX_SIZE) return 0; /* size: already noted */
    return parse_syntax(p);
}

static int parse_not(struct parser *p, struct expr **ret) {
    if (!lex_is(p, "NOT")) return parse_test(p, ret);
    if (parse_enter(p)) return -1;
    lex_next(p);
    struct expr *x = parse_node(p, EX_NOT, 1);
    if (parse_not(p, &x->args[0]) || need_condition(p, x->args[0])) return -1;
    p->depth--;
    *ret = x;
    return 0;
}

/* left-associative chains of one operator become one node with many arguments. */
static int parse_chain(struct parser *p, const char *word, enum expr_op op,
                       int (*part)(struct parser *, struct expr **), struct expr **ret) {
    struct expr *first, **args = NULL;
    uint32_t n = 1, cap = 0;
    if (part(p, &first)) return -1;
    while (lex_is(p, word)) {
        if (n == 1 && need_condition(p, first)) return -1;
        lex_next(p);
        struct expr *x;
        if (part(p, &x) || need_condition(p, x)) return -1;
        p->nodes++;
        if (n >= cap) {
            struct expr **more = arena_alloc(p->a, (cap = cap ? cap * 2 : 4) * sizeof *more);
            memcpy(more, args ? args : &first, n * sizeof *more);
            args = more;
        }
        args[n++] = x;
    }
    *ret = first;
    if (n == 1) return 0;
    *ret = parse_node(p, op, n);
    p->nodes--; /* counted one by one above */
    memcpy((*ret)->args, args, n * sizeof *args);
    return 0;
}

static int parse_and(struct parser *p, struct expr **ret) {
    return parse_chain(p, "AND", EX_AND, parse_not, ret);
}

static int parse_or(struct parser *p, struct expr **ret) {
    return parse_chain(p, "OR", EX_OR, parse_and, ret);
}

int expr_condition(struct arena *a, struct expr_names *x, const char *what, struct str text, struct expr **ret,
                   struct err *e) {
    struct parser p;
    if (parse_start(&p, a, x, what, text, e)) return -1;
    struct expr *root;
    if (parse_or(&p, &root)) return -1;
    if (root->op <= EX_CONDITIONS && root->op != EX_SIZE) return parse_syntax(&p);
    if (parse_end(&p)) return -1;
    *ret = root;
    return 0;
}
