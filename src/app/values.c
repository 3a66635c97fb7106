/* Reading of resolved values. */
#include "app/template.h"
#include <stdarg.h>
#include <string.h>

struct str template_path(struct template *t, struct str where, const char *key) {
    return where.n ? arena_printf(t->a, "%.*s.%s", STR_ARG(where), key) : arena_str(t->a, str_c(key));
}

bool template_word(const char *list, struct str word) {
    for (struct str rest = str_c(list); rest.p;)
        if (str_eq(str_cut(&rest, ' '), word)) return word.n > 0;
    return false;
}

void *template_grow(struct arena *a, void *p, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return p;
    *cap = *cap ? *cap * 2 : 8;
    void *grown = arena_zalloc(a, *cap * size);
    if (n) memcpy(grown, p, n * size);
    return grown;
}

void template_check_keys(struct template *t, const struct yaml *map, struct str where, const char *used,
                         const char *cloud) {
    if (!map || template_broken(map)) return;
    if (map->type != YAML_MAP) {
        template_problem(t, map->line, where, "must be a map");
        return;
    }
    for (size_t i = 0; i < map->n; i++) {
        struct str key = map->keys[i]->text;
        if (template_word(used, key) || template_word(cloud, key)) continue;
        template_problem(t, map->keys[i]->line, template_path(t, where, key.p), "is not supported");
    }
}

static const struct yaml *typed(struct template *t, const struct yaml *map, const char *key, struct str where,
                                enum yaml_type type, const char *what) {
    const struct yaml *v = yaml_get(map, key);
    if (!v || template_broken(v)) return NULL;
    if (v->type == type) return v;
    template_problem(t, v->line, template_path(t, where, key), "must be %s", what);
    return NULL;
}

const struct yaml *template_map(struct template *t, const struct yaml *map, const char *key, struct str where) {
    return typed(t, map, key, where, YAML_MAP, "a map");
}

const struct yaml *template_seq(struct template *t, const struct yaml *map, const char *key, struct str where) {
    return typed(t, map, key, where, YAML_SEQ, "a list");
}

bool template_text(struct template *t, const struct yaml *map, const char *key, struct str where, struct str *ret) {
    const struct yaml *v = typed(t, map, key, where, YAML_SCALAR, "a string");
    if (!v) return false;
    *ret = v->text;
    return true;
}

bool template_int(struct template *t, const struct yaml *map, const char *key, struct str where, int64_t min,
                  int64_t max, int64_t *ret) {
    const struct yaml *v = typed(t, map, key, where, YAML_SCALAR, "a whole number");
    int64_t n;
    if (!v) return false;
    if (!str_i64(v->text, &n) || n < min || n > max) {
        template_problem(t, v->line, template_path(t, where, key),
                         "must be a whole number from %lld to %lld, not '%.*s'", (long long)min, (long long)max,
                         STR_ARG(str_take(v->text, 40)));
        return false;
    }
    *ret = n;
    return true;
}

static bool truth(struct str s, bool *ret) {
    *ret = str_is(s, "true") || str_is(s, "True") || str_is(s, "TRUE");
    return *ret || str_is(s, "false") || str_is(s, "False") || str_is(s, "FALSE");
}

bool template_bool(struct template *t, const struct yaml *map, const char *key, struct str where, bool *ret) {
    const struct yaml *v = typed(t, map, key, where, YAML_SCALAR, "true or false");
    bool b;
    if (!v) return false;
    if (!truth(v->text, &b)) {
        template_problem(t, v->line, template_path(t, where, key), "must be true or false, not '%.*s'",
                         STR_ARG(str_take(v->text, 40)));
        return false;
    }
    *ret = b;
    return true;
}

int template_texts(struct template *t, const struct yaml *v, struct str where, struct str **ret, size_t *ret_n) {
    size_t n = v->type == YAML_SEQ ? v->n : 1;
    struct str *list = ARENA_ARRAY(t->a, struct str, n);
    if (template_broken(v)) return -1;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = v->type == YAML_SEQ ? v->items[i] : v;
        if (template_broken(item)) return -1;
        if (item->type != YAML_SCALAR) {
            template_problem(t, item->line, where, "must be a string or a list of strings");
            return -1;
        }
        list[i] = item->text;
    }
    *ret = list;
    *ret_n = n;
    return 0;
}
