/* UpdateExpression and ProjectionExpression. */
#include "local/dynamo/expr.h"
#include <string.h>

struct update_parser {
    struct parser p;
    struct update_action *actions;
    uint32_t n, cap;
    bool seen[4];
};

static void check_clash(struct parser *p, const struct path *a, const struct path *b) {
    const char *msg = path_clash(a, b);
    if (!msg) return;
    struct str one = clip(path_str(p->a, a)), two = clip(path_str(p->a, b));
    parse_soft(
        p, SOFT_OVERLAP,
        "Two document paths %s with each other; must remove or rewrite one of these paths; path one: %.*s, path two: "
        "%.*s",
        msg, STR_ARG(one), STR_ARG(two));
}

static void add_action(struct update_parser *u, enum update_kind kind, struct path path, struct expr *value) {
    for (uint32_t i = 0; i < u->n; i++) check_clash(&u->p, &u->actions[i].path, &path);
    if (u->n == u->cap) {
        struct update_action *more = arena_alloc(u->p.a, (u->cap = u->cap ? u->cap * 2 : 8) * sizeof *more);
        if (u->n) memcpy(more, u->actions, u->n * sizeof *more);
        u->actions = more;
    }
    u->actions[u->n++] = (struct update_action){kind, path, value};
}

static void check_number(struct parser *p, const struct expr *x) {
    for (uint32_t i = 0; i < x->n; i++) {
        const char *t = parse_type(x->args[i]);
        if (t && strcmp(t, "N") != 0)
            parse_soft(p, SOFT_TYPE,
                       "Incorrect operand type for operator or function; operator or function: %s, operand type: %s",
                       expr_op_name(x->op), t);
    }
}

/* operand | operand '+' operand | operand '-' operand; the whole may stand in parentheses. */
static int set_value(struct parser *p, struct expr **ret) {
    struct expr *left;
    bool paren = p->tok == T_LP;
    if (paren) {
        if (parse_enter(p)) return -1;
        lex_next(p);
        if (set_value(p, &left) || parse_expect(p, T_RP)) return -1;
        p->depth--;
        if (left->paren) parse_soft(p, SOFT_PARENS, "The expression has redundant parentheses;");
        left->paren = true;
    } else if (parse_operand(p, &left)) {
        return -1;
    }
    *ret = left;
    if (p->tok != T_PLUS && p->tok != T_MINUS) return 0;
    if (left->op == EX_PLUS || left->op == EX_MINUS) return parse_syntax(p);
    struct expr *x = parse_node(p, p->tok == T_PLUS ? EX_PLUS : EX_MINUS, 2);
    lex_next(p);
    x->args[0] = left;
    if (parse_operand(p, &x->args[1])) return -1;
    check_number(p, x);
    *ret = x;
    return 0;
}

static int parse_set(struct update_parser *u) {
    struct path path;
    struct expr *value;
    if (parse_path(&u->p, &path) || parse_expect(&u->p, T_EQ) || set_value(&u->p, &value)) return -1;
    add_action(u, UP_SET, path, value);
    return 0;
}

static int parse_remove(struct update_parser *u) {
    struct path path;
    if (parse_path(&u->p, &path)) return -1;
    add_action(u, UP_REMOVE, path, NULL);
    return 0;
}

static int parse_add_delete(struct update_parser *u, enum update_kind kind) {
    static const char *const words[] = {[AV_S] = "STRING",  [AV_N] = "NUMBER", [AV_B] = "BINARY", [AV_BOOL] = "BOOLEAN",
                                        [AV_NULL] = "NULL", [AV_M] = "MAP",    [AV_L] = "LIST",   [AV_BS] = NULL};
    static const char *const words_of[] = {[UP_ADD] = "ADD", [UP_DELETE] = "DELETE"};
    struct path path;
    struct expr *x;
    if (parse_path(&u->p, &path) || parse_value(&u->p, &x)) return -1;
    const char *word = x->value ? words[x->value->type] : NULL;
    if (word && !(kind == UP_ADD && x->value->type == AV_N))
        parse_soft(&u->p, SOFT_TYPE,
                   "Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: "
                   "ALLOWED_FOR_%s_OPERAND",
                   words_of[kind], word, words_of[kind]);
    add_action(u, kind, path, x);
    return 0;
}

static int parse_section(struct update_parser *u) {
    static const char *const words[] = {
        [UP_SET] = "SET", [UP_REMOVE] = "REMOVE", [UP_ADD] = "ADD", [UP_DELETE] = "DELETE"};
    struct parser *p = &u->p;
    int kind = UP_SET;
    while (kind <= UP_DELETE && !lex_is(p, words[kind])) kind++;
    if (kind > UP_DELETE) return parse_syntax(p);
    if (u->seen[kind])
        parse_soft(p, SOFT_SECTION, "The \"%s\" section can only be used once in an update expression;", words[kind]);
    u->seen[kind] = true;
    do {
        lex_next(p);
        int rc = kind == UP_SET      ? parse_set(u)
                 : kind == UP_REMOVE ? parse_remove(u)
                                     : parse_add_delete(u, (enum update_kind)kind);
        if (rc) return -1;
    } while (p->tok == T_COMMA);
    return 0;
}

int expr_update(struct arena *a, struct expr_names *x, struct str text, struct update *ret, struct err *e) {
    struct update_parser parser = {0}, *u = &parser;
    if (parse_start(&u->p, a, x, "UpdateExpression", text, e)) return -1;
    u->p.update = true;
    do {
        if (parse_section(u)) return -1;
    } while (u->p.tok != T_END);
    if (parse_end(&u->p)) return -1;
    *ret = (struct update){u->actions, u->n, false};
    return 0;
}

int expr_projection(struct arena *a, struct expr_names *x, struct str text, struct projection *ret, struct err *e) {
    struct parser p;
    struct path *paths = NULL;
    uint32_t n = 0, cap = 0;
    if (parse_start(&p, a, x, "ProjectionExpression", text, e)) return -1;
    for (;;) {
        if (n == cap) {
            struct path *more = arena_alloc(a, (cap = cap ? cap * 2 : 8) * sizeof *more);
            if (n) memcpy(more, paths, n * sizeof *more);
            paths = more;
        }
        if (parse_path(&p, &paths[n])) return -1;
        for (uint32_t i = 0; i < n; i++) check_clash(&p, &paths[i], &paths[n]);
        n++;
        if (p.tok != T_COMMA) break;
        lex_next(&p);
    }
    if (parse_end(&p)) return -1;
    *ret = (struct projection){paths, n};
    return 0;
}
