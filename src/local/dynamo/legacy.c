/* The parameters from before expressions: AttributesToGet, AttributeUpdates, Expected, KeyConditions, QueryFilter,
 * ScanFilter, ConditionalOperator. They become the same trees as expressions. */
#include "local/dynamo/dynamo.h"
#include <string.h>

static const char *const bad = "One or more parameter values were invalid";

/* ==== what goes together ==== */

/* KeyConditions may stand beside a FilterExpression. */
static bool goes_with_expressions(const struct json *p, const char *name) {
    bool expressions = param(p, "FilterExpression") || param(p, "ProjectionExpression");
    return !strcmp(name, "KeyConditions") && expressions && !param(p, "KeyConditionExpression");
}

static struct str present(struct arena *a, const struct json *p, const char *const *names, uint32_t *ret_n) {
    struct buf b = BUF_MAX(300);
    *ret_n = 0;
    for (; *names; names++)
        if (param(p, *names) && !goes_with_expressions(p, *names))
            buf_printf(&b, "%s%s", (*ret_n)++ ? ", " : "", *names);
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

int legacy_check(struct arena *a, const struct json *p, const char *filter, struct err *e) {
    static const char *const old[] = {"AttributeUpdates", "AttributesToGet",     "QueryFilter",   "ScanFilter",
                                      "Expected",         "ConditionalOperator", "KeyConditions", NULL};
    static const char *const expressions[] = {"UpdateExpression",    "ProjectionExpression",   "FilterExpression",
                                              "ConditionExpression", "KeyConditionExpression", NULL};
    uint32_t n, m;
    struct str one = present(a, p, old, &n);
    if (!n) return 0;
    struct str two = present(a, p, expressions, &m);
    if (m)
        return err_set(e, ERR_VALIDATION,
                       "Can not use both expression and non-expression parameters in the same request: Non-expression "
                       "parameters: {%.*s} Expression parameters: {%.*s}",
                       STR_ARG(one), STR_ARG(two));
    if (!param(p, "ConditionalOperator")) return 0;
    const struct json *conditions = filter ? param(p, filter) : NULL;
    if (!conditions) return err_set(e, ERR_VALIDATION, "ConditionalOperator cannot be used without Filter or Expected");
    return 0;
}

/* ==== trees ==== */

static struct path path_of(struct arena *a, struct str name) {
    struct path p = {1, ARENA_NEW(a, struct path_step)};
    p.steps->name = name;
    return p;
}

static struct expr *node(struct arena *a, enum expr_op op, uint32_t n) {
    struct expr *x = ARENA_NEW(a, struct expr);
    x->op = op;
    x->n = n;
    x->args = ARENA_ARRAY(a, struct expr *, n + 1);
    return x;
}

static struct expr *attribute(struct arena *a, struct str name) {
    struct expr *x = node(a, EX_PATH, 0);
    x->path = path_of(a, name);
    return x;
}

static struct expr *constant(struct arena *a, const struct av *v) {
    struct expr *x = node(a, EX_VALUE, 0);
    x->value = v;
    return x;
}

/* ==== conditions ==== */

enum operand_types { ANY_TYPE, SCALARS, TEXTS };
static const struct comparison {
    const char *name;
    enum expr_op op;
    uint32_t min, max;
    enum operand_types types;
    bool negated;
} comparisons[] = {
    {"EQ", EX_EQ, 1, 1, ANY_TYPE, false},
    {"NE", EX_NE, 1, 1, ANY_TYPE, false},
    {"IN", EX_IN, 1, 100, SCALARS, false},
    {"LE", EX_LE, 1, 1, SCALARS, false},
    {"LT", EX_LT, 1, 1, SCALARS, false},
    {"GE", EX_GE, 1, 1, SCALARS, false},
    {"GT", EX_GT, 1, 1, SCALARS, false},
    {"BETWEEN", EX_BETWEEN, 2, 2, SCALARS, false},
    {"NOT_NULL", EX_EXISTS, 0, 0, ANY_TYPE, false},
    {"NULL", EX_NOT_EXISTS, 0, 0, ANY_TYPE, false},
    {"CONTAINS", EX_CONTAINS, 1, 1, SCALARS, false},
    {"NOT_CONTAINS", EX_CONTAINS, 1, 1, SCALARS, true},
    {"BEGINS_WITH", EX_BEGINS, 1, 1, TEXTS, false},
};

static const struct comparison *find_comparison(const struct json *j) {
    struct str name = json_get_s(j, "ComparisonOperator");
    const struct comparison *c = comparisons;
    while (!str_is(name, c->name)) c++;
    return c;
}

static int check_operand(const struct comparison *c, const struct av *v, const struct av *first, struct err *e) {
    bool good = c->types == ANY_TYPE || v->type == AV_S || v->type == AV_B || (c->types == SCALARS && v->type == AV_N);
    if (c->op == EX_CONTAINS && (v->type == AV_BOOL || v->type == AV_NULL)) good = true;
    if (!good)
        return err_set(e, ERR_VALIDATION, "%s: ComparisonOperator %s is not valid for %s AttributeValue type", bad,
                       c->name, av_type_name(v->type));
    if (v->type != first->type)
        return err_set(e, ERR_VALIDATION, "%s: AttributeValues inside AttributeValueList must be of same type", bad);
    return 0;
}

static int read_operands(struct arena *a, const struct comparison *c, const struct json *values, struct av *ret,
                         struct err *e) {
    uint32_t n = values ? values->n : 0;
    for (uint32_t i = 0; i < n && i < c->max; i++)
        if (av_from_json(a, &values->items[i], 0, &ret[i], e)) return -1;
    if (n < c->min || n > c->max)
        return err_set(e, ERR_VALIDATION, "%s: Invalid number of argument(s) for the %s ComparisonOperator", bad,
                       c->name);
    for (uint32_t i = 0; i < n; i++)
        if (check_operand(c, &ret[i], &ret[0], e)) return -1;
    int order;
    if (c->op == EX_BETWEEN && av_order(&ret[0], &ret[1], &order) && order > 0)
        return err_set(e, ERR_VALIDATION,
                       "The BETWEEN condition was provided a range where the lower bound is greater than the upper "
                       "bound");
    return 0;
}

static int comparison(struct arena *a, struct str name, const struct json *j, const struct json *values,
                      struct expr **ret, struct err *e) {
    const struct comparison *c = find_comparison(j);
    uint32_t n = values ? values->n : 0;
    struct av *v = ARENA_ARRAY(a, struct av, n + 1);
    if (read_operands(a, c, values, v, e)) return -1;
    struct expr *x = node(a, c->op, n + 1);
    x->args[0] = attribute(a, name);
    for (uint32_t i = 0; i < n; i++) x->args[i + 1] = constant(a, &v[i]);
    *ret = x;
    if (!c->negated) return 0;
    /* An attribute that is not there contains nothing, and does not satisfy this either. */
    struct expr *not = node(a, EX_NOT, 1), *both = node(a, EX_AND, 2), *there = node(a, EX_EXISTS, 1);
    not ->args[0] = x;
    there->args[0] = attribute(a, name);
    both->args[0] = there;
    both->args[1] = not ;
    *ret = both;
    return 0;
}

static int filter_condition(struct arena *a, struct str name, const struct json *j, struct expr **ret, struct err *e) {
    return comparison(a, name, j, param(j, "AttributeValueList"), ret, e);
}

static int check_expected(struct str name, const struct json *j, struct err *e) {
    const struct json *op = param(j, "ComparisonOperator"), *list = param(j, "AttributeValueList"),
                      *value = param(j, "Value"), *exists = param(j, "Exists");
    bool is_false = json_is(exists, JSON_FALSE);
    const char *fault = NULL;
    name = clip(name);
    if (list && value) fault = "Value and AttributeValueList cannot be used together";
    if (!fault && exists && op) fault = "Exists and ComparisonOperator cannot be used together";
    if (!fault && exists && list) fault = "Exists and AttributeValueList cannot be used together";
    if (!fault && list && !op) fault = "AttributeValueList can only be used with a ComparisonOperator";
    if (!fault && value && is_false) fault = "Value cannot be used when Exists is false";
    if (fault) return err_set(e, ERR_VALIDATION, "%s: %s for Attribute: %.*s", bad, fault, STR_ARG(name));
    if (!op && !value && !is_false)
        return err_set(e, ERR_VALIDATION, "%s: Value must be provided when Exists is %s for Attribute: %.*s", bad,
                       exists ? "true" : "null", STR_ARG(name));
    bool no_operand = op && (str_is(op->s, "NULL") || str_is(op->s, "NOT_NULL"));
    if (op && !no_operand && !value && !list)
        return err_set(e, ERR_VALIDATION,
                       "%s: Value or AttributeValueList must be used with ComparisonOperator: %.*s for Attribute: %.*s",
                       bad, STR_ARG(clip(op->s)), STR_ARG(name));
    return 0;
}

static int expected_condition(struct arena *a, struct str name, const struct json *j, struct expr **ret,
                              struct err *e) {
    const struct json *value = param(j, "Value"), *list = param(j, "AttributeValueList");
    if (check_expected(name, j, e)) return -1;
    struct json one = json_make_arr();
    if (value) json_push(a, &one, *value);
    if (param(j, "ComparisonOperator")) return comparison(a, name, j, value ? &one : list, ret, e);
    struct expr *x = node(a, value ? EX_EQ : EX_NOT_EXISTS, value ? 2 : 1);
    x->args[0] = attribute(a, name);
    *ret = x;
    if (!value) return 0;
    struct av *v = ARENA_NEW(a, struct av);
    x->args[1] = constant(a, v);
    return av_from_json(a, value, 0, v, e);
}

static int one_element(struct err *e) {
    return err_set(e, ERR_VALIDATION,
                   "ConditionalOperator can only be used when Filter or Expected has two or more elements");
}

int legacy_conditions(struct arena *a, const struct json *p, const char *member, struct expr **ret, struct err *e) {
    const struct json *all = param(p, member);
    bool expected = str_is(str_c(member), "Expected"), any = str_is(json_get_s(p, "ConditionalOperator"), "OR");
    *ret = NULL;
    if (!all || !all->n) return all && param(p, "ConditionalOperator") ? one_element(e) : 0;
    struct expr *x = node(a, any ? EX_OR : EX_AND, all->n);
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json_member *m = &all->members[i];
        if ((expected ? expected_condition : filter_condition)(a, m->key, &m->value, &x->args[i], e)) return -1;
    }
    if (x->n == 1 && param(p, "ConditionalOperator")) return one_element(e);
    *ret = x->n == 1 ? x->args[0] : x;
    return 0;
}

int legacy_keys(struct arena *a, const struct json *p, struct expr **ret, struct err *e) {
    const struct json *all = param(p, "KeyConditions");
    if (all->n < 1 || all->n > 2) return err_set(e, ERR_VALIDATION, "Conditions can be of length 1 or 2 only");
    struct expr *x = node(a, EX_AND, all->n);
    for (uint32_t i = 0; i < all->n; i++) {
        const struct comparison *c = find_comparison(&all->members[i].value);
        if (filter_condition(a, all->members[i].key, &all->members[i].value, &x->args[i], e)) return -1;
        bool indexable = c->op == EX_EQ || (c->op >= EX_LT && c->op <= EX_BETWEEN) || c->op == EX_BEGINS;
        if (!indexable)
            return err_set(e, ERR_VALIDATION, "Attempted conditional constraint is not an indexable operation");
    }
    *ret = x;
    return 0;
}

/* ==== updates ==== */

static const char *long_name(enum av_type t) {
    static const char *const names[] = {
        [AV_S] = "STRING", [AV_N] = "NUMBER", [AV_B] = "BINARY",      [AV_BOOL] = "BOOLEAN",  [AV_NULL] = "NULL",
        [AV_M] = "MAP",    [AV_L] = "LIST",   [AV_SS] = "STRING_SET", [AV_NS] = "NUMBER_SET", [AV_BS] = "BINARY_SET"};
    return names[t];
}

/* ADD of a list appends to the list that is there, or makes one. */
static struct expr *appended(struct arena *a, struct str name, const struct av *v) {
    static const struct av empty = {.type = AV_L};
    struct expr *there = node(a, EX_IF_NOT_EXISTS, 2), *x = node(a, EX_LIST_APPEND, 2);
    there->args[0] = attribute(a, name);
    there->args[1] = constant(a, &empty);
    x->args[0] = there;
    x->args[1] = constant(a, v);
    return x;
}

enum { ACT_ADD, ACT_DELETE, ACT_PUT };

static int with_value(struct arena *a, struct str name, int action, const struct av *v, struct update_action *ret,
                      struct err *e) {
    static const enum update_kind kinds[] = {UP_ADD, UP_DELETE, UP_SET};
    *ret = (struct update_action){kinds[action], path_of(a, name), constant(a, v)};
    if (action == ACT_DELETE && !av_is_set(v->type))
        return err_set(e, ERR_VALIDATION, "%s: DELETE action with value is not supported for the type %s", bad,
                       long_name(v->type));
    if (action != ACT_ADD || v->type == AV_N || av_is_set(v->type)) return 0;
    if (v->type != AV_L)
        return err_set(e, ERR_VALIDATION, "%s: ADD action is not supported for the type %s", bad, long_name(v->type));
    *ret = (struct update_action){UP_SET, path_of(a, name), appended(a, name, v)};
    return 0;
}

static int read_update(struct arena *a, struct str name, const struct json *j, struct update_action *ret,
                       struct err *e) {
    static const char *const actions[] = {"ADD", "DELETE", "PUT", NULL};
    int action = param_enum(j, "Action", actions, ACT_PUT);
    const struct json *value = param(j, "Value");
    if (!value && action != ACT_DELETE)
        return err_set(e, ERR_VALIDATION, "%s: Only DELETE action is allowed when no attribute value is specified",
                       bad);
    if (!value) {
        *ret = (struct update_action){UP_REMOVE, path_of(a, name), NULL};
        return 0;
    }
    struct av *v = ARENA_NEW(a, struct av);
    return av_from_json(a, value, 0, v, e) || with_value(a, name, action, v, ret, e) ? -1 : 0;
}

int legacy_updates(struct arena *a, const struct json *p, struct update *ret, struct err *e) {
    const struct json *all = param(p, "AttributeUpdates");
    if (!all || !all->n) return 0;
    *ret = (struct update){ARENA_ARRAY(a, struct update_action, all->n), all->n, true};
    for (uint32_t i = 0; i < all->n; i++)
        if (read_update(a, all->members[i].key, &all->members[i].value, &ret->actions[i], e)) return -1;
    return 0;
}

/* ==== projections ==== */

int legacy_projection(struct arena *a, const struct json *p, struct projection *ret, struct err *e) {
    const struct json *names = param(p, "AttributesToGet");
    if (!names) return 0;
    *ret = (struct projection){ARENA_ARRAY(a, struct path, names->n), names->n};
    for (uint32_t i = 0; i < names->n; i++) {
        ret->paths[i] = path_of(a, names->items[i].s);
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(names->items[k].s, names->items[i].s)) {
                struct str s = clip(names->items[i].s);
                return err_set(e, ERR_VALIDATION, "%s: Duplicate value in attribute name: %.*s", bad, STR_ARG(s));
            }
    }
    return 0;
}
