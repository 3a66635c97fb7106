/* Reading of the template as a whole. Every station notes its problems and goes on, so that one run finds all. */
#include "app/app.h"
#include "app/template.h"
#include "base/fs.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPLATE_MAX = 1024 * 1024 }; /* CloudFormation's limit for templates in S3 */

/* ==== problems ==== */

void template_problem(struct template *t, int line, struct str where, const char *fmt, ...) {
    char sentence[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    struct str text = arena_printf(t->problems_arena, "%s:%d: %.*s%s%s", t->o->template_path, line, STR_ARG(where),
                                   where.n ? ": " : "", sentence);
    for (size_t i = 0; i < t->n_problems; i++)
        if (str_eq(t->problems[i].text, text)) return;
    t->problems = template_grow(t->problems_arena, t->problems, t->n_problems, &t->cap_problems, sizeof *t->problems);
    t->problems[t->n_problems++] = (struct template_problem){text, line};
}

static int by_line(const void *x, const void *y) {
    const struct template_problem *a = x, *b = y;
    if (a->line != b->line) return a->line < b->line ? -1 : 1;
    return str_cmp(a->text, b->text);
}

static int report(struct template *t, struct app_problem **ret, size_t *ret_n, struct err *e) {
    if (t->n_problems) qsort(t->problems, t->n_problems, sizeof *t->problems, by_line);
    struct app_problem *list = ARENA_ARRAY(t->problems_arena, struct app_problem, t->n_problems);
    for (size_t i = 0; i < t->n_problems; i++) list[i].text = t->problems[i].text;
    if (ret) *ret = list;
    if (ret_n) *ret_n = t->n_problems;
    return t->n_problems ? err_set(e, ERR_CONFIG, "%.*s", STR_ARG(list[0].text)) : 0;
}

/* ==== sections ==== */

static const struct yaml *section(struct template *t, const char *key) {
    return template_map(t, t->root, key, STR(""));
}

static void check_header(struct template *t) {
    struct str transform = STR("");
    const struct yaml *v = yaml_get(t->root, "Transform");
    template_check_keys(t, t->root, STR(""),
                        "AWSTemplateFormatVersion Transform Parameters Globals Conditions Mappings Resources Outputs "
                        "Metadata",
                        "Description");
    if (!v)
        template_problem(t, 1, STR("Transform"), "is missing (AWS::Serverless-2016-10-31)");
    else if (template_text(t, t->root, "Transform", STR(""), &transform) &&
             !str_is(transform, "AWS::Serverless-2016-10-31"))
        template_problem(t, v->line, STR("Transform"), "%s is not supported", transform.p);
    if (!t->resources) template_problem(t, 1, STR("Resources"), "is missing");
}

static void check_conditions(struct template *t) {
    for (size_t i = 0; t->conditions && i < t->conditions->n; i++)
        template_condition(t, t->conditions->keys[i]->text, t->conditions->keys[i]->line, STR("Conditions"));
}

static void check_mappings(struct template *t) {
    for (size_t i = 0; t->mappings && i < t->mappings->n; i++) {
        const struct yaml *m = t->mappings->items[i];
        struct str where = template_path(t, STR("Mappings"), t->mappings->keys[i]->text.p);
        if (m->type != YAML_MAP) template_problem(t, m->line, where, "must be a map");
        for (size_t k = 0; m->type == YAML_MAP && k < m->n; k++)
            if (m->items[k]->type != YAML_MAP) template_problem(t, m->items[k]->line, where, "must be a map of maps");
    }
}

/* Outputs are not used, but what they name must exist. */
static void check_outputs(struct template *t) {
    const struct yaml *list = section(t, "Outputs");
    for (size_t i = 0; list && i < list->n; i++) {
        const struct yaml *o = list->items[i], *condition = yaml_get(o, "Condition");
        struct str where = template_path(t, STR("Outputs"), list->keys[i]->text.p);
        template_check_keys(t, o, where, "Value Condition", "Description Export");
        if (condition && condition->type == YAML_SCALAR &&
            !template_condition(t, condition->text, condition->line, where))
            continue;
        if (!yaml_get(o, "Value"))
            template_problem(t, o->line, where, "needs a Value");
        else
            template_resolve(t, o, where);
    }
}

/* RequireOffLoopback: parameters that must not be empty off loopback. */
static void read_required(struct template *t, const struct yaml *own, struct str where) {
    const struct yaml *list = template_seq(t, own, "RequireOffLoopback", where);
    struct str *names, *unset;
    size_t n;
    where = template_path(t, where, "RequireOffLoopback");
    if (!list || template_texts(t, list, where, &names, &n)) return;
    unset = ARENA_ARRAY(t->a, struct str, n);
    for (size_t i = 0; i < n; i++) {
        const struct yaml *value = template_parameter(t, names[i], list->line);
        if (!value)
            template_problem(t, list->items[i]->line, where, "there is no parameter %.*s", STR_ARG(names[i]));
        else if (value->type == YAML_SCALAR && !value->text.n)
            unset[t->app->n_unset_secrets++] = names[i];
    }
    t->app->unset_secrets = unset;
}

static bool one_string_key(const struct app_table *table) {
    const struct json *keys = json_get(&table->create, "KeySchema");
    const struct json *types = json_get(&table->create, "AttributeDefinitions");
    if (!json_is(keys, JSON_ARR) || keys->n != 1) return false;
    struct str key = json_get_s(&keys->items[0], "AttributeName");
    for (uint32_t i = 0; json_is(types, JSON_ARR) && i < types->n; i++)
        if (str_eq(json_get_s(&types->items[i], "AttributeName"), key))
            return str_is(json_get_s(&types->items[i], "AttributeType"), "S");
    return false;
}

/* LeaseTable: the logical id of a table, also as !Ref. */
static void read_lease_table(struct template *t, const struct yaml *own, struct str where) {
    const struct yaml *v = yaml_get(own, "LeaseTable");
    if (!v || template_broken(v)) return;
    const struct app_table *table = v->type == YAML_SCALAR ? app_table(t->app, v->text) : NULL;
    where = template_path(t, where, "LeaseTable");
    if (!table)
        template_problem(t, v->line, where, "must be the logical id of a table of this template");
    else if (!one_string_key(table))
        template_problem(t, v->line, where, "table %.*s (line %d) must have one key, a HASH key of type S",
                         STR_ARG(table->logical_id), table->line);
    t->app->lease_table = table;
}

static void read_redact(struct template *t, const struct yaml *own, struct str where) {
    const struct yaml *list = template_seq(t, own, "Redact", where);
    struct str *names;
    size_t n;
    if (!list || template_texts(t, list, template_path(t, where, "Redact"), &names, &n)) return;
    t->app->redact = names;
    t->app->n_redact = n;
}

/* Metadata.Perigee; other metadata is free. */
static const struct yaml *own_metadata(struct template *t, struct str where) {
    const struct yaml *metadata = section(t, "Metadata"), *own = NULL;
    if (metadata) own = template_map(t, metadata, "Perigee", STR("Metadata"));
    return own ? template_resolve(t, own, where) : NULL;
}

/* Handlers: the directory that packages are made of. */
static void read_handlers(struct template *t) {
    struct str where = STR("Metadata.Perigee"), uri = STR("");
    const struct yaml *own = own_metadata(t, where);
    if (own && template_text(t, own, "Handlers", where, &uri))
        t->handlers = template_dir(t, uri, yaml_get(own, "Handlers")->line, template_path(t, where, "Handlers"));
}

static void read_metadata(struct template *t) {
    struct str where = STR("Metadata.Perigee");
    const struct yaml *own = own_metadata(t, where);
    if (!own) return;
    template_check_keys(t, own, where, "Handlers RequireOffLoopback LeaseTable Redact", NULL);
    read_redact(t, own, where);
    read_required(t, own, where);
    read_lease_table(t, own, where);
}

static void read_sections(struct template *t) {
    t->parameters = section(t, "Parameters");
    t->conditions = section(t, "Conditions");
    t->mappings = section(t, "Mappings");
    t->globals = section(t, "Globals");
    t->resources = section(t, "Resources");
    check_header(t);
    template_check_parameters(t);
    check_mappings(t);
    check_conditions(t);
    template_check_resources(t);
    template_check_names(t);
    template_read_stores(t);
    read_handlers(t);
    template_read_functions(t);
    template_read_cors(t);
    check_outputs(t);
    read_metadata(t);
}

/* ==== the app ==== */

static int parse(struct template *t, struct err *e) {
    struct buf text = BUF_MAX(TEMPLATE_MAX);
    struct yaml *root = NULL;
    int rc = -1;
    if (fs_read(t->o->template_path, &text, e)) goto out;
    if (yaml_parse(t->a, arena_str(t->a, buf_view(&text)), t->o->template_path, &root, e)) goto out;
    if (root->type != YAML_MAP) {
        err_set(e, ERR_CONFIG, "%s:%d: the template must be a map", t->o->template_path, root->line);
        goto out;
    }
    t->root = root;
    rc = 0;
out:
    buf_free(&text);
    return rc;
}

int app_load(const struct app_options *o, struct arena *problems_arena, struct app_problem **ret_problems,
             size_t *ret_n_problems, struct app **ret, struct err *e) {
    struct err local = {0};
    struct app *a = calloc(1, sizeof *a);
    if (!a) fatal("out of memory reading %s", o->template_path);
    struct template t = {.app = a, .a = &a->arena, .problems_arena = problems_arena, .o = o};
    int rc = -1;
    if (!e) e = &local;
    a->cors.max_age_s = -1;
    a->template_path = arena_str(&a->arena, str_c(o->template_path));
    a->dir = arena_str(&a->arena, fs_dirname(a->template_path));
    if (parse(&t, e)) { /* the only problem there is then; its text names the place */
        struct app_problem *only = ARENA_NEW(problems_arena, struct app_problem);
        only->text = arena_str(problems_arena, str_c(e->msg));
        if (ret_problems) *ret_problems = only;
        if (ret_n_problems) *ret_n_problems = 1;
        goto out;
    }
    read_sections(&t);
    rc = report(&t, ret_problems, ret_n_problems, e);
out:
    if (rc)
        app_free(a);
    else
        *ret = a;
    return rc;
}

void app_free(struct app *a) {
    if (!a) return;
    arena_free(&a->arena);
    free(a);
}

const struct app_table *app_table(const struct app *a, struct str name) {
    for (size_t i = 0; i < a->n_tables; i++)
        if (str_eq(a->tables[i].logical_id, name)) return &a->tables[i];
    for (size_t i = 0; i < a->n_tables; i++)
        if (str_eq(a->tables[i].name, name)) return &a->tables[i];
    return NULL;
}

const char *app_url_suffix(const char *partition) {
    return partition && !strcmp(partition, "aws-cn") ? "amazonaws.com.cn" : "amazonaws.com";
}

const struct function *app_function(const struct app *a, struct str name) {
    for (size_t i = 0; i < a->n_functions; i++)
        if (str_eq(a->functions[i].name, name)) return &a->functions[i];
    return NULL;
}
