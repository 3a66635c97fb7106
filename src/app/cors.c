/* CORS of the APIs. A REST API writes its values in quotes of their own ("'*'"), an HTTP API as lists. */
#include "app/template.h"
#include <string.h>

static struct str unquoted(struct str s) {
    s = str_trim(s);
    return s.n >= 2 && s.p[0] == '\'' && s.p[s.n - 1] == '\'' ? str_n(s.p + 1, s.n - 2) : s;
}

static struct str joined(struct template *t, const struct str *list, size_t n) {
    struct buf b = BUF_MAX(16 * 1024);
    for (size_t i = 0; i < n; i++) {
        if (i) buf_c(&b, ", ");
        buf_str(&b, list[i]);
    }
    struct str s = arena_str(t->a, buf_view(&b));
    buf_free(&b);
    return s;
}

/* A list, or "'GET,POST'": both as a list. */
static bool items(struct template *t, const struct yaml *map, const char *key, struct str where, struct str **ret,
                  size_t *ret_n) {
    const struct yaml *v = yaml_get(map, key);
    if (!v || template_broken(v)) return false;
    if (v->type == YAML_SCALAR) v = template_list(t, v->line, unquoted(v->text), STR(","));
    if (template_texts(t, v, template_path(t, where, key), ret, ret_n)) return false;
    for (size_t i = 0; i < *ret_n; i++) (*ret)[i] = str_trim((*ret)[i]);
    return true;
}

static void joined_items(struct template *t, const struct yaml *map, const char *key, struct str where,
                         struct str *ret) {
    struct str *list;
    size_t n;
    if (items(t, map, key, where, &list, &n)) *ret = joined(t, list, n);
}

static void check_lines(struct template *t, const struct app_cors *c, int line, struct str where) {
    const struct str all[] = {c->allow_methods, c->allow_headers, c->expose_headers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_chr(all[i], '\n', 0) >= 0 || str_chr(all[i], '\r', 0) >= 0)
            template_problem(t, line, where, "a value holds a line break");
}

static void read_cors_map(struct template *t, const struct yaml *v, struct str where, bool rest, struct app_cors *c) {
    struct str age = STR("");
    struct str *origins;
    size_t n;
    template_check_keys(t, v, where,
                        rest ? "AllowOrigin AllowMethods AllowHeaders MaxAge AllowCredentials"
                             : "AllowOrigins AllowMethods AllowHeaders ExposeHeaders MaxAge AllowCredentials",
                        NULL);
    if (items(t, v, rest ? "AllowOrigin" : "AllowOrigins", where, &origins, &n)) {
        c->allow_origins = origins;
        c->n_origins = n;
    }
    joined_items(t, v, "AllowMethods", where, &c->allow_methods);
    joined_items(t, v, "AllowHeaders", where, &c->allow_headers);
    joined_items(t, v, "ExposeHeaders", where, &c->expose_headers);
    template_bool(t, v, "AllowCredentials", where, &c->allow_credentials);
    if (template_text(t, v, "MaxAge", where, &age) && (!str_i64(unquoted(age), &c->max_age_s) || c->max_age_s < 0))
        template_problem(t, v->line, where, "MaxAge must be a number of seconds");
    if (!c->n_origins) template_problem(t, v->line, where, "needs %s", rest ? "AllowOrigin" : "AllowOrigins");
    for (size_t i = 0; i < c->n_origins; i++)
        if (c->allow_credentials && str_is(c->allow_origins[i], "*"))
            template_problem(t, v->line, where, "AllowCredentials cannot go with the origin '*'");
    check_lines(t, c, v->line, where);
}

static void any_origin(struct template *t, struct str origin, struct app_cors *c) {
    struct str *one = ARENA_NEW(t->a, struct str);
    *one = origin;
    c->allow_origins = one;
    c->n_origins = 1;
}

static void read_cors(struct template *t, const struct yaml *v, struct str where, bool rest) {
    struct app_cors c = {
        .rest = rest, .max_age_s = -1, .allow_methods = STR(""), .allow_headers = STR(""), .expose_headers = STR("")};
    if (template_broken(v)) return;
    if (v->type == YAML_MAP)
        read_cors_map(t, v, where, rest, &c);
    else if (v->type == YAML_SCALAR && rest)
        any_origin(t, unquoted(v->text), &c);
    else if (v->type == YAML_SCALAR && str_is(v->text, "true"))
        any_origin(t, STR("*"), &c);
    else if (v->type != YAML_SCALAR || !str_is(v->text, "false"))
        template_problem(t, v->line, where, "must be a map%s", rest ? " or an origin" : " or true");
    if (!c.n_origins) return;
    if (t->app->cors.n_origins) template_problem(t, v->line, where, "CORS is set for another API already");
    t->app->cors = c;
}

/* Globals are merged into API resources; they count by themselves only when SAM makes the API. */
void template_read_cors(struct template *t) {
    bool seen[2] = {false, false};
    for (size_t i = 0; t->resources && i < t->resources->n; i++) {
        const struct template_type *type = template_type(t->resources->items[i]);
        struct str where, id = t->resources->keys[i]->text;
        if (!type || (type->kind != KIND_API && type->kind != KIND_HTTP_API)) continue;
        if (!template_included(t, t->resources->items[i], id)) continue;
        bool rest = type->kind == KIND_API;
        const struct yaml *v = yaml_get(template_properties(t, id, &where), type->used);
        if (v) read_cors(t, v, template_path(t, where, type->used), rest);
        seen[rest] = true;
    }
    static const char *const sections[] = {"HttpApi", "Api"}, *const keys[] = {"CorsConfiguration", "Cors"};
    for (int rest = 0; rest < 2; rest++) {
        const struct yaml *v = yaml_get(yaml_get(t->globals, sections[rest]), keys[rest]);
        struct str where = template_path(t, template_path(t, STR("Globals"), sections[rest]), keys[rest]);
        struct yaml *resolved = v && !seen[rest] ? template_resolve(t, v, where) : NULL;
        if (resolved) read_cors(t, resolved, where, rest);
    }
}
