/* What all expressions consist of: paths, values, function calls; and their faults that no item is needed for. */
#include "local/dynamo/expr.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ==== errors ==== */

int parse_syntax(struct parser *p) {
    struct str tok = p->s;
    size_t from = p->prev_at, at = (size_t)(tok.p - p->text.p);
    bool end = p->tok == T_END;
    lex_next(p);
    size_t to = p->pos;
    if (!to || to < at) to = at;
    struct str near = clip(str_trim(str_n(p->text.p + from, to - from)));
    tok = clip(tok);
    return err_set(p->e, ERR_VALIDATION, "Invalid %s: Syntax error; token: \"%.*s\", near: \"%.*s\"", p->what,
                   end ? 5 : (int)tok.n, end ? "<EOF>" : tok.p, STR_ARG(near));
}

void parse_soft(struct parser *p, int rank, const char *fmt, ...) {
    if (p->soft && p->soft <= rank) return;
    p->soft = rank;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->soft_msg, sizeof p->soft_msg, fmt, ap);
    va_end(ap);
}

int parse_start(struct parser *p, struct arena *a, struct expr_names *x, const char *what, struct str text,
                struct err *e) {
    *p = (struct parser){.a = a, .x = x, .what = what, .text = text, .e = e};
    if (!str_trim(text).n) return err_set(e, ERR_VALIDATION, "Invalid %s: The expression can not be empty;", what);
    if (text.n > EXPRESSION_MAX)
        return err_set(e, ERR_VALIDATION,
                       "Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %zu", what,
                       text.n);
    lex_next(p);
    return 0;
}

int parse_end(struct parser *p) {
    if (p->tok != T_END) return parse_syntax(p);
    if (p->soft) return err_set(p->e, ERR_VALIDATION, "Invalid %s: %s", p->what, p->soft_msg);
    return 0;
}

int parse_expect(struct parser *p, enum tok t) {
    if (p->tok != t) return parse_syntax(p);
    lex_next(p);
    return 0;
}

int parse_enter(struct parser *p) {
    if (++p->depth > EXPRESSION_DEPTH)
        return err_set(p->e, ERR_VALIDATION, "Invalid %s: The expression is nested more than %d levels deep", p->what,
                       EXPRESSION_DEPTH);
    return 0;
}

struct expr *parse_node(struct parser *p, enum expr_op op, uint32_t n) {
    struct expr *x = ARENA_NEW(p->a, struct expr);
    x->op = op;
    x->n = n;
    if (n) x->args = ARENA_ARRAY(p->a, struct expr *, n);
    if (op > EX_VALUE && ++p->nodes > EXPRESSION_NODES)
        parse_soft(p, SOFT_PARENS, "The expression contains more than %d operators and functions", EXPRESSION_NODES);
    return x;
}

/* ==== paths ==== */

static bool keyword(const struct parser *p) {
    static const char *const words[] = {"AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE", NULL};
    for (const char *const *k = words; *k; k++)
        if (lex_is(p, *k)) return true;
    return false;
}

static struct str resolve(struct parser *p) {
    for (uint32_t i = 0; i < p->x->n_names; i++) {
        struct expr_name *n = &p->x->names[i];
        if (!str_eq(n->key, p->s)) continue;
        n->used = true;
        return n->name;
    }
    struct str s = clip(p->s);
    parse_soft(p, SOFT_NAME,
               "An expression attribute name used in the document path is not defined; attribute name: %.*s",
               STR_ARG(s));
    return STR("");
}

/* The name at the current token, which it does not consume. */
static int path_name(struct parser *p, struct str *ret) {
    if (p->tok == T_HASH) {
        *ret = resolve(p);
        return 0;
    }
    if (p->tok != T_NAME || keyword(p)) return parse_syntax(p);
    if (lex_reserved(p->s))
        parse_soft(p, SOFT_RESERVED, "Attribute name is a reserved keyword; reserved keyword: %.*s", STR_ARG(p->s));
    *ret = p->s;
    return 0;
}

static int path_index(struct parser *p, uint32_t *ret) {
    int64_t v;
    if (p->tok != T_INT) return parse_syntax(p);
    if (p->s.n > INDEX_DIGITS || !str_i64(p->s, &v)) {
        struct str s = clip(p->s);
        return err_set(p->e, ERR_VALIDATION, "Invalid %s: List index is not within the allowable range; index: [%.*s]",
                       p->what, STR_ARG(s));
    }
    *ret = (uint32_t)v;
    lex_next(p);
    return parse_expect(p, T_RB);
}

/* The steps behind the first name. */
static int path_rest(struct parser *p, struct str first, struct path *ret) {
    struct path_step steps[NESTING_MAX + 1];
    uint32_t n = 0;
    steps[n++] = (struct path_step){.name = first};
    while (p->tok == T_DOT || p->tok == T_LB) {
        bool index = p->tok == T_LB;
        if (n > NESTING_MAX)
            return err_set(p->e, ERR_VALIDATION,
                           "Invalid %s: The document path has too many nesting elements; nesting levels: %u", p->what,
                           n + 1);
        lex_next(p);
        steps[n] = (struct path_step){.is_index = index};
        if (index ? path_index(p, &steps[n].index) : path_name(p, &steps[n].name)) return -1;
        if (!index) lex_next(p);
        n++;
    }
    *ret = (struct path){n, arena_alloc(p->a, n * sizeof *steps)};
    memcpy(ret->steps, steps, n * sizeof *steps);
    return 0;
}

int parse_path(struct parser *p, struct path *ret) {
    struct str first;
    if (path_name(p, &first)) return -1;
    lex_next(p);
    return path_rest(p, first, ret);
}

/* ==== values and functions ==== */

int parse_value(struct parser *p, struct expr **ret) {
    if (p->tok != T_COLON) return parse_syntax(p);
    struct expr *x = parse_node(p, EX_VALUE, 0);
    for (uint32_t i = 0; i < p->x->n_values; i++) {
        struct expr_value *v = &p->x->values[i];
        if (!str_eq(v->key, p->s)) continue;
        v->used = true;
        x->value = &v->value;
    }
    struct str s = clip(p->s);
    if (!x->value)
        parse_soft(p, SOFT_NAME,
                   "An expression attribute value used in expression is not defined; attribute value: %.*s",
                   STR_ARG(s));
    lex_next(p);
    *ret = x;
    return 0;
}

static const struct function {
    const char *name;
    enum expr_op op;
    uint32_t n;
    bool update;
} functions[] = {
    {"attribute_exists", EX_EXISTS, 1, false},
    {"attribute_not_exists", EX_NOT_EXISTS, 1, false},
    {"attribute_type", EX_TYPE, 2, false},
    {"begins_with", EX_BEGINS, 2, false},
    {"contains", EX_CONTAINS, 2, false},
    {"size", EX_SIZE, 1, false},
    {"if_not_exists", EX_IF_NOT_EXISTS, 2, true},
    {"list_append", EX_LIST_APPEND, 2, true},
    {0},
};

const char *expr_op_name(enum expr_op op) {
    static const char *const names[] = {
        [EX_PLUS] = "+", [EX_MINUS] = "-",         [EX_AND] = "AND", [EX_OR] = "OR",      [EX_NOT] = "NOT",
        [EX_EQ] = "=",   [EX_NE] = "<>",           [EX_LT] = "<",    [EX_LE] = "<=",      [EX_GT] = ">",
        [EX_GE] = ">=",  [EX_BETWEEN] = "BETWEEN", [EX_IN] = "IN",   [EX_CONTAINS] = NULL};
    for (const struct function *f = functions; f->name; f++)
        if (f->op == op) return f->name;
    return names[op] ? names[op] : "?";
}

const char *parse_type(const struct expr *x) {
    switch (x->op) {
    case EX_VALUE:
        return x->value ? av_type_name(x->value->type) : NULL;
    case EX_SIZE:
    case EX_PLUS:
    case EX_MINUS:
        return "N";
    case EX_LIST_APPEND:
        return "L";
    default:
        return x->op > EX_CONDITIONS ? "BOOL" : NULL;
    }
}

static void wrong_type(struct parser *p, const struct expr *call, const char *type) {
    parse_soft(p, SOFT_TYPE,
               "Incorrect operand type for operator or function; operator or function: %s, operand type: %s",
               expr_op_name(call->op), type);
}

static void check_attribute_type(struct parser *p, const struct expr *call) {
    const char *type = parse_type(call->args[1]);
    enum av_type named;
    if (!type || strcmp(type, "S") != 0) {
        if (call->args[1]->op != EX_VALUE || type) wrong_type(p, call, type ? type : "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}");
        return;
    }
    struct str s = clip(call->args[1]->value->s);
    if (!av_type_find(s, &named))
        parse_soft(p, SOFT_TYPE,
                   "Invalid attribute type name found; type: %.*s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
                   STR_ARG(s));
}

static void check_call(struct parser *p, const struct expr *call) {
    bool path_first =
        call->op == EX_EXISTS || call->op == EX_NOT_EXISTS || call->op == EX_IF_NOT_EXISTS || call->op == EX_TYPE;
    if (path_first && call->args[0]->op != EX_PATH)
        parse_soft(p, SOFT_TYPE, "Operator or function requires a document path; operator or function: %s",
                   expr_op_name(call->op));
    if (call->op == EX_TYPE) check_attribute_type(p, call);
    for (uint32_t i = 0; i < call->n; i++) {
        const char *t = parse_type(call->args[i]);
        if (!t) continue;
        bool text = !strcmp(t, "S") || !strcmp(t, "B");
        if (call->op == EX_BEGINS && !text) wrong_type(p, call, t);
        if (call->op == EX_LIST_APPEND && strcmp(t, "L") != 0) wrong_type(p, call, t);
        if (call->op == EX_SIZE && (!strcmp(t, "N") || !strcmp(t, "BOOL") || !strcmp(t, "NULL")))
            wrong_type(p, call, t);
    }
    if (call->n == 2 && call->args[0]->op == EX_PATH && call->args[1]->op == EX_PATH && !p->update &&
        path_equal(&call->args[0]->path, &call->args[1]->path)) {
        struct str s = clip(path_str(p->a, &call->args[0]->path));
        parse_soft(
            p, SOFT_DISTINCT,
            "The first operand must be distinct from the remaining operands for this operator or function; operator: "
            "%s, first operand: %.*s",
            expr_op_name(call->op), STR_ARG(s));
    }
}

/* The operands between the parentheses; at most 8 are kept, all are counted. */
static int call_args(struct parser *p, struct expr *args[8], uint32_t *ret_n) {
    uint32_t n = 0;
    do {
        lex_next(p);
        struct expr *x;
        if (parse_operand(p, &x)) return -1;
        if (x->op > EX_CONDITIONS)
            parse_soft(p, SOFT_MISUSED,
                       "The function is not allowed to be used this way in an expression; function: %s",
                       expr_op_name(x->op));
        if (n < 8) args[n] = x;
        n++;
    } while (p->tok == T_COMMA);
    *ret_n = n;
    return parse_expect(p, T_RP);
}

/* At the '(' behind `name`. */
static int parse_call(struct parser *p, struct str name, struct expr **ret) {
    struct expr *args[8];
    uint32_t n;
    if (call_args(p, args, &n)) return -1;
    const struct function *f = functions;
    while (f->name && !str_is(name, f->name)) f++;
    struct str shown = clip(name);
    if (!f->name)
        parse_soft(p, SOFT_FUNCTION, "Invalid function name; function: %.*s", STR_ARG(shown));
    else if (f->update != p->update)
        parse_soft(p, SOFT_FUNCTION, "The function is not allowed in %s expression; function: %s",
                   p->update ? "an update" : "a condition", f->name);
    else if (n != f->n)
        parse_soft(
            p, SOFT_COUNT,
            "Incorrect number of operands for operator or function; operator or function: %s, number of operands: %u",
            f->name, n);
    bool good = f->name && f->update == p->update && n == f->n;
    /* A bad call only has to pass for something of its kind: it is never evaluated. */
    enum expr_op op = good || f->op == EX_SIZE ? f->op : p->update ? EX_SIZE : EX_EXISTS;
    struct expr *x = parse_node(p, op, good ? n : 0);
    if (good) memcpy(x->args, args, n * sizeof *args);
    if (good) check_call(p, x);
    *ret = x;
    return 0;
}

static int parenthesised(struct parser *p, struct expr **ret) {
    if (parse_enter(p)) return -1;
    lex_next(p);
    if (parse_operand(p, ret) || parse_expect(p, T_RP)) return -1;
    if ((*ret)->paren) parse_soft(p, SOFT_PARENS, "The expression has redundant parentheses;");
    (*ret)->paren = true;
    p->depth--;
    return 0;
}

int parse_operand(struct parser *p, struct expr **ret) {
    if (p->tok == T_LP) return parenthesised(p, ret);
    if (p->tok == T_COLON) return parse_value(p, ret);
    if (p->tok == T_NAME && !keyword(p)) {
        if (lex_call_follows(p)) {
            struct str name = p->s;
            lex_next(p);
            if (parse_enter(p) || parse_call(p, name, ret)) return -1;
            p->depth--;
            return 0;
        }
    }
    struct path path;
    if (parse_path(p, &path)) return -1;
    *ret = parse_node(p, EX_PATH, 0);
    (*ret)->path = path;
    return 0;
}
