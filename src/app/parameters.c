/* The Parameters section: values, and the constraints that a template puts on them. */
#include "app/template.h"
#include <regex.h>

static const struct app_parameter *given(const struct template *t, struct str name) {
    for (size_t i = 0; i < t->o->n_parameters; i++)
        if (str_eq(t->o->parameters[i].name, name)) return &t->o->parameters[i];
    return NULL;
}

static bool value_of(const struct template *t, struct str name, const struct yaml *p, struct str *ret) {
    const struct app_parameter *g = given(t, name);
    const struct yaml *d = yaml_get(p, "Default");
    if (!g && (!d || d->type != YAML_SCALAR)) return false;
    *ret = g ? g->value : d->text;
    return true;
}

static bool is_list(const struct yaml *p) {
    const struct yaml *type = yaml_get(p, "Type");
    return type && (str_is(type->text, "CommaDelimitedList") || str_is(type->text, "List<Number>"));
}

struct yaml *template_parameter(struct template *t, struct str name, int line) {
    const struct yaml *p = yaml_get(t->parameters, arena_cstr(t->a, name));
    struct str value = STR("");
    if (!p) return NULL;
    value_of(t, name, p, &value); /* a missing value is noted by template_check_parameters */
    value = arena_str(t->a, value);
    return is_list(p) ? template_list(t, line, value, STR(",")) : template_scalar(t, line, value);
}

/* The whole value must match. */
static void check_pattern(struct template *t, const struct yaml *p, struct str where, struct str value) {
    struct str pattern = STR("");
    regex_t re;
    if (!template_text(t, p, "AllowedPattern", where, &pattern)) return;
    if (regcomp(&re, arena_printf(t->a, "^(%s)$", pattern.p).p, REG_EXTENDED | REG_NOSUB)) {
        template_problem(t, p->line, where, "AllowedPattern is not a POSIX extended regular expression");
        return;
    }
    if (regexec(&re, arena_cstr(t->a, value), 0, NULL, 0))
        template_problem(t, p->line, where, "value does not match AllowedPattern %s", pattern.p);
    regfree(&re);
}

static void check_allowed(struct template *t, const struct yaml *p, struct str where, struct str value) {
    const struct yaml *list = template_seq(t, p, "AllowedValues", where);
    for (size_t i = 0; list && i < list->n; i++)
        if (list->items[i]->type == YAML_SCALAR && str_eq(list->items[i]->text, value)) return;
    if (list) template_problem(t, p->line, where, "value is none of AllowedValues");
}

static void check_number(struct template *t, const struct yaml *p, struct str where, struct str value) {
    int64_t v, min = INT64_MIN, max = INT64_MAX;
    template_int(t, p, "MinValue", where, INT64_MIN, INT64_MAX, &min);
    template_int(t, p, "MaxValue", where, INT64_MIN, INT64_MAX, &max);
    if (!str_i64(value, &v))
        template_problem(t, p->line, where, "value is not a whole number");
    else if (v < min || v > max)
        template_problem(t, p->line, where, "value is not within MinValue and MaxValue");
}

static void check_length(struct template *t, const struct yaml *p, struct str where, struct str value) {
    int64_t min = 0, max = INT64_MAX;
    template_int(t, p, "MinLength", where, 0, INT64_MAX, &min);
    template_int(t, p, "MaxLength", where, 0, INT64_MAX, &max);
    if ((int64_t)value.n < min || (int64_t)value.n > max)
        template_problem(t, p->line, where, "value is not within MinLength and MaxLength");
}

static void check_parameter(struct template *t, struct str name, const struct yaml *p) {
    struct str where = template_path(t, STR("Parameters"), name.p), type = STR(""), value;
    template_check_keys(t, p, where, "Type Default AllowedValues AllowedPattern MinLength MaxLength MinValue MaxValue",
                        "Description NoEcho ConstraintDescription");
    if (!template_text(t, p, "Type", where, &type)) {
        template_problem(t, p->line, where, "needs a Type");
        return;
    }
    if (!template_word("String Number List<Number> CommaDelimitedList", type)) {
        template_problem(t, p->line, where, "Type %s is not supported", type.p);
        return;
    }
    if (!value_of(t, name, p, &value)) {
        template_problem(t, p->line, where, "has no Default and no value was given");
        return;
    }
    check_allowed(t, p, where, value);
    check_pattern(t, p, where, value);
    if (str_is(type, "Number")) check_number(t, p, where, value);
    if (str_is(type, "String")) check_length(t, p, where, value);
}

static void note_given(struct template *t, struct app_given *list, struct str name, const struct yaml *p) {
    const struct app_parameter *g = given(t, name);
    const struct yaml *hidden = yaml_get(p, "NoEcho");
    if (!g) return;
    list[t->app->n_given++] =
        (struct app_given){name, arena_str(t->a, g->value), hidden && str_ieq(hidden->text, STR("true"))};
}

void template_check_parameters(struct template *t) {
    const struct yaml *list = t->parameters;
    struct app_given *noted = ARENA_ARRAY(t->a, struct app_given, (list ? list->n : 0) + 1);
    t->app->given = noted;
    for (size_t i = 0; list && i < list->n; i++) {
        check_parameter(t, list->keys[i]->text, list->items[i]);
        note_given(t, noted, list->keys[i]->text, list->items[i]);
    }
    for (size_t i = 0; i < t->o->n_parameters; i++) {
        const char *name = arena_cstr(t->a, t->o->parameters[i].name);
        if (!yaml_get(list, name)) template_problem(t, 1, STR("Parameters"), "there is no parameter %s", name);
    }
}
