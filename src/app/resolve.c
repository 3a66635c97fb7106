/* Intrinsic functions. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
 */
#include "app/template.h"
#include <string.h>

enum { DEPTH_MAX = 48 };

static struct yaml *broken(struct template *t, int line) {
    struct yaml *v = template_scalar(t, line, STR(""));
    v->tag = STR("!broken");
    return v;
}

bool template_broken(const struct yaml *v) {
    return v && str_is(v->tag, "!broken");
}

struct yaml *template_scalar(struct template *t, int line, struct str text) {
    struct yaml *v = ARENA_NEW(t->a, struct yaml);
    *v = (struct yaml){.type = YAML_SCALAR, .line = line, .tag = STR(""), .text = text};
    return v;
}

struct yaml *template_list(struct template *t, int line, struct str text, struct str separator) {
    struct yaml *v = ARENA_NEW(t->a, struct yaml);
    size_t cap = 0;
    *v = (struct yaml){.type = YAML_SEQ, .line = line, .tag = STR("")};
    for (;;) {
        ptrdiff_t at = separator.n ? str_find(text, separator, 0) : -1;
        struct str item = at < 0 ? text : str_take(text, (size_t)at);
        v->items = template_grow(t->a, v->items, v->n, &cap, sizeof *v->items);
        v->items[v->n++] = template_scalar(t, line, arena_str(t->a, item));
        if (at < 0) return v;
        text = str_from(text, (size_t)at + separator.n);
    }
}

struct str template_intrinsic(struct template *t, const struct yaml *v, const struct yaml **ret_arg) {
    if (v->tag.n && v->tag.p[0] == '!' && !str_starts(v->tag, STR("!!")) && !template_broken(v)) {
        struct yaml *arg = ARENA_NEW(t->a, struct yaml);
        *arg = *v;
        arg->tag = STR("");
        *ret_arg = arg;
        if (str_is(v->tag, "!Ref") || str_is(v->tag, "!Condition")) return str_from(v->tag, 1);
        return arena_printf(t->a, "Fn::%s", v->tag.p + 1);
    }
    if (v->type != YAML_MAP || v->n != 1) return STR_NONE;
    *ret_arg = v->items[0];
    if (str_is(v->keys[0]->text, "Ref") || str_starts(v->keys[0]->text, STR("Fn::"))) return v->keys[0]->text;
    return STR_NONE;
}

/* ==== helpers ==== */

/* The argument, resolved, must be a list of `min` to `max` elements. NULL when it is not. */
static struct yaml *list_arg(struct template *t, const struct yaml *arg, size_t min, size_t max, struct str where,
                             const char *shape) {
    struct yaml *v = template_resolve(t, arg, where);
    if (!template_broken(v) && v && v->type == YAML_SEQ && v->n >= min && v->n <= max) {
        for (size_t i = 0; i < v->n; i++)
            if (template_broken(v->items[i])) return NULL;
        return v;
    }
    if (!template_broken(v)) template_problem(t, arg->line, where, "needs %s", shape);
    return NULL;
}

static bool is_text(struct template *t, const struct yaml *v, struct str where, const char *what) {
    if (v && v->type == YAML_SCALAR) return true;
    template_problem(t, v ? v->line : 0, where, "%s must be a string", what);
    return false;
}

/* ==== functions ==== */

static struct yaml *fn_ref(struct template *t, const struct yaml *arg, struct str where) {
    if (!is_text(t, arg, where, "Ref")) return broken(t, arg->line);
    if (str_is(arg->text, "AWS::NoValue")) return NULL;
    return template_ref(t, arg->text, arg->line, where);
}

/* "Table.Arn" or [Table, Arn]. */
static struct yaml *fn_get_att(struct template *t, const struct yaml *arg, struct str where) {
    struct str name, attribute;
    if (arg->type == YAML_SEQ && arg->n == 2) {
        struct yaml *list = list_arg(t, arg, 2, 2, where, "[resource, attribute]");
        if (!list || !is_text(t, list->items[0], where, "resource") || !is_text(t, list->items[1], where, "attribute"))
            return broken(t, arg->line);
        return template_attribute(t, list->items[0]->text, list->items[1]->text, arg->line, where);
    }
    if (!is_text(t, arg, where, "Fn::GetAtt")) return broken(t, arg->line);
    attribute = arg->text;
    name = str_cut(&attribute, '.');
    return template_attribute(t, arena_str(t->a, name), arena_str(t->a, attribute), arg->line, where);
}

/* One ${...}: a variable of the call, then what Ref or GetAtt would give. */
static struct yaml *sub_variable(struct template *t, struct str name, const struct yaml *variables, int line,
                                 struct str where) {
    const char *key = arena_cstr(t->a, name);
    const struct yaml *own = yaml_get(variables, key);
    if (own) return (struct yaml *)own;
    struct str attribute = str_c(key), head = str_cut(&attribute, '.');
    if (!attribute.p) return template_ref(t, str_c(key), line, where);
    return template_attribute(t, arena_str(t->a, head), arena_str(t->a, attribute), line, where);
}

static struct yaml *sub(struct template *t, const struct yaml *text, const struct yaml *variables, struct str where) {
    struct buf out = BUF_MAX(64 * 1024);
    struct str rest = text->text;
    struct yaml *ret = NULL;
    for (ptrdiff_t at; (at = str_find(rest, STR("${"), 0)) >= 0;) {
        ptrdiff_t end = str_chr(rest, '}', (size_t)at);
        if (end < 0) {
            template_problem(t, text->line, where, "'${' without '}'");
            goto out;
        }
        struct str name = str_trim(str_n(rest.p + at + 2, (size_t)(end - at) - 2));
        buf_add(&out, rest.p, (size_t)at);
        rest = str_from(rest, (size_t)end + 1);
        if (str_starts(name, STR("!"))) {
            buf_printf(&out, "${%.*s}", STR_ARG(str_from(name, 1)));
            continue;
        }
        struct yaml *v = sub_variable(t, name, variables, text->line, where);
        if (template_broken(v) || !is_text(t, v, where, "a value in Fn::Sub")) goto out;
        buf_str(&out, v->text);
    }
    buf_str(&out, rest);
    ret = template_scalar(t, text->line, arena_str(t->a, buf_view(&out)));
    if (out.over) template_problem(t, text->line, where, "Fn::Sub gives more than %zu bytes", out.max);
out:
    buf_free(&out);
    return ret ? ret : broken(t, text->line);
}

static struct yaml *fn_sub(struct template *t, const struct yaml *arg, struct str where) {
    if (arg->type == YAML_SCALAR) return sub(t, arg, NULL, where);
    if (arg->type != YAML_SEQ || arg->n != 2 || arg->items[0]->type != YAML_SCALAR || arg->items[1]->type != YAML_MAP) {
        template_problem(t, arg->line, where, "Fn::Sub needs a string or [string, map]");
        return broken(t, arg->line);
    }
    struct yaml *variables = template_resolve(t, arg->items[1], where);
    return sub(t, arg->items[0], variables, where);
}

static struct yaml *fn_join(struct template *t, const struct yaml *arg, struct str where) {
    struct yaml *list = list_arg(t, arg, 2, 2, where, "[delimiter, list] for Fn::Join");
    struct buf out = BUF_MAX(64 * 1024);
    struct str *parts;
    size_t n;
    if (!list || !is_text(t, list->items[0], where, "the delimiter of Fn::Join") ||
        template_texts(t, list->items[1], where, &parts, &n))
        return broken(t, arg->line);
    for (size_t i = 0; i < n; i++) {
        if (i) buf_str(&out, list->items[0]->text);
        buf_str(&out, parts[i]);
    }
    struct yaml *ret = template_scalar(t, arg->line, arena_str(t->a, buf_view(&out)));
    if (out.over) template_problem(t, arg->line, where, "Fn::Join gives more than %zu bytes", out.max);
    buf_free(&out);
    return ret;
}

/* Only the branch that is chosen is looked at. */
static struct yaml *fn_if(struct template *t, const struct yaml *arg, struct str where) {
    if (arg->type != YAML_SEQ || arg->n != 3 || arg->items[0]->type != YAML_SCALAR) {
        template_problem(t, arg->line, where, "Fn::If needs [condition, then, else]");
        return broken(t, arg->line);
    }
    bool yes = template_condition(t, arg->items[0]->text, arg->line, where);
    return template_resolve(t, arg->items[yes ? 1 : 2], where);
}

static struct yaml *fn_find_in_map(struct template *t, const struct yaml *arg, struct str where) {
    struct yaml *list = list_arg(t, arg, 3, 3, where, "[map, key, key] for Fn::FindInMap");
    const struct yaml *v = t->mappings;
    if (!list) return broken(t, arg->line);
    for (size_t i = 0; i < 3; i++) {
        if (!is_text(t, list->items[i], where, "a key of Fn::FindInMap")) return broken(t, arg->line);
        v = yaml_get(v, list->items[i]->text.p);
        if (v) continue;
        template_problem(t, arg->line, where, "Fn::FindInMap: there is no '%s' in Mappings", list->items[i]->text.p);
        return broken(t, arg->line);
    }
    return template_resolve(t, v, where);
}

static struct yaml *fn_select(struct template *t, const struct yaml *arg, struct str where) {
    struct yaml *list = list_arg(t, arg, 2, 2, where, "[index, list] for Fn::Select");
    int64_t i;
    if (!list) return broken(t, arg->line);
    const struct yaml *from = list->items[1];
    if (list->items[0]->type == YAML_SCALAR && str_i64(list->items[0]->text, &i) && from->type == YAML_SEQ && i >= 0 &&
        (size_t)i < from->n)
        return from->items[i];
    template_problem(t, arg->line, where, "Fn::Select: the index is not within the list");
    return broken(t, arg->line);
}

static struct yaml *fn_split(struct template *t, const struct yaml *arg, struct str where) {
    struct yaml *list = list_arg(t, arg, 2, 2, where, "[delimiter, string] for Fn::Split");
    if (!list || !is_text(t, list->items[0], where, "the delimiter of Fn::Split") ||
        !is_text(t, list->items[1], where, "what Fn::Split splits"))
        return broken(t, arg->line);
    return template_list(t, arg->line, list->items[1]->text, list->items[0]->text);
}

static struct yaml *call(struct template *t, struct str name, const struct yaml *arg, struct str where) {
    static const struct {
        const char *name;
        struct yaml *(*fn)(struct template *, const struct yaml *, struct str);
    } functions[] = {{"Ref", fn_ref},           {"Fn::GetAtt", fn_get_att}, {"Fn::Sub", fn_sub},
                     {"Fn::Join", fn_join},     {"Fn::If", fn_if},          {"Fn::FindInMap", fn_find_in_map},
                     {"Fn::Select", fn_select}, {"Fn::Split", fn_split}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (str_is(name, functions[i].name)) return functions[i].fn(t, arg, where);
    template_problem(t, arg->line, where, "%s is not supported here", arena_cstr(t->a, name));
    return broken(t, arg->line);
}

/* ==== values ==== */

static struct yaml *collection(struct template *t, const struct yaml *v, struct str where) {
    struct yaml *copy = ARENA_NEW(t->a, struct yaml);
    *copy = *v;
    copy->n = 0;
    copy->items = ARENA_ARRAY(t->a, struct yaml *, v->n);
    copy->keys = ARENA_ARRAY(t->a, struct yaml *, v->n);
    for (size_t i = 0; i < v->n; i++) {
        struct str at = v->type == YAML_MAP ? template_path(t, where, v->keys[i]->text.p) : where;
        struct yaml *item = template_resolve(t, v->items[i], at);
        if (!item) continue;
        if (v->type == YAML_MAP) copy->keys[copy->n] = v->keys[i];
        copy->items[copy->n++] = item;
    }
    return copy;
}

struct yaml *template_resolve(struct template *t, const struct yaml *v, struct str where) {
    const struct yaml *arg = NULL;
    struct yaml *ret = NULL;
    struct str name = template_intrinsic(t, v, &arg);
    if (t->depth > DEPTH_MAX) {
        template_problem(t, v->line, where, "refers to itself in a circle");
        return broken(t, v->line);
    }
    t->depth++;
    if (name.p)
        ret = call(t, name, arg, where);
    else
        ret = v->type == YAML_SCALAR ? (struct yaml *)v : collection(t, v, where);
    t->depth--;
    return ret;
}

/* ==== conditions ==== */

static bool evaluate(struct template *t, const struct yaml *v, struct str where);

static bool equals(struct template *t, const struct yaml *arg, struct str where) {
    struct yaml *list = list_arg(t, arg, 2, 2, where, "[value, value] for Fn::Equals");
    if (!list || !is_text(t, list->items[0], where, "a value of Fn::Equals") ||
        !is_text(t, list->items[1], where, "a value of Fn::Equals"))
        return false;
    return str_eq(list->items[0]->text, list->items[1]->text);
}

/* Fn::And and Fn::Or: all members are evaluated, so that all their problems are found. */
static bool combine(struct template *t, const struct yaml *arg, bool all, struct str where) {
    size_t yes = 0;
    if (arg->type != YAML_SEQ || arg->n < 2 || arg->n > 10) {
        template_problem(t, arg->line, where, "%s needs a list of 2 to 10 conditions", all ? "Fn::And" : "Fn::Or");
        return false;
    }
    for (size_t i = 0; i < arg->n; i++) yes += evaluate(t, arg->items[i], where);
    return all ? yes == arg->n : yes > 0;
}

static bool negate(struct template *t, const struct yaml *arg, struct str where) {
    if (arg->type == YAML_SEQ && arg->n == 1) return !evaluate(t, arg->items[0], where);
    template_problem(t, arg->line, where, "Fn::Not needs a list of one condition");
    return false;
}

static bool evaluate(struct template *t, const struct yaml *v, struct str where) {
    const struct yaml *arg = v;
    struct str name = template_intrinsic(t, v, &arg);
    if (v->type == YAML_MAP && v->n == 1 && str_is(v->keys[0]->text, "Condition")) {
        name = STR("Condition");
        arg = v->items[0];
    }
    if (str_is(name, "Fn::Equals")) return equals(t, arg, where);
    if (str_is(name, "Fn::And")) return combine(t, arg, true, where);
    if (str_is(name, "Fn::Or")) return combine(t, arg, false, where);
    if (str_is(name, "Fn::Not")) return negate(t, arg, where);
    if (str_is(name, "Condition") && arg->type == YAML_SCALAR)
        return template_condition(t, arg->text, arg->line, where);
    template_problem(t, v->line, where, "is no condition (Fn::Equals, Not, And, Or, Condition)");
    return false;
}

bool template_condition(struct template *t, struct str name, int line, struct str where) {
    const struct yaml *c = yaml_get(t->conditions, arena_cstr(t->a, name));
    bool ret = false;
    if (!c) {
        template_problem(t, line, where, "there is no condition %.*s", STR_ARG(name));
    } else if (t->depth > DEPTH_MAX) {
        template_problem(t, line, where, "condition %.*s refers to itself in a circle", STR_ARG(name));
    } else {
        t->depth++;
        ret = evaluate(t, c, template_path(t, STR("Conditions"), arena_cstr(t->a, name)));
        t->depth--;
    }
    return ret;
}
