/* Parameters: known members, JSON types, names, enumerations. Messages follow AWS's where it has one. */
#include "local/dynamo/dynamo.h"
#include <ctype.h>

struct str clip(struct str s) {
    if (s.n <= 200) return s;
    size_t n = 200;
    while (n > 190 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    return str_take(s, n);
}

const struct json *param(const struct json *obj, const char *name) {
    const struct json *v = json_get(obj, name);
    return json_is(v, JSON_NULL) ? NULL : v;
}

static bool has_kind(const struct json *v, enum param_kind kind) {
    switch (kind) {
    case P_STR:
        return v->type == JSON_STR;
    case P_NUM:
        return v->type == JSON_NUM;
    case P_BOOL:
        return v->type == JSON_TRUE || v->type == JSON_FALSE;
    case P_OBJ:
        return v->type == JSON_OBJ;
    case P_ARR:
        return v->type == JSON_ARR;
    default:
        return true;
    }
}

static int check_param(const struct ddb_param *p, const char *what, const struct json *v, struct err *e) {
    static const char *const wanted[] = {
        [P_STR] = "string", [P_NUM] = "number", [P_BOOL] = "boolean", [P_OBJ] = "map", [P_ARR] = "list"};
    if (p->kind == P_ABSENT) return err_set(e, ERR_VALIDATION, "%s: the parameter %s is not supported", what, p->name);
    if (!has_kind(v, p->kind))
        return err_set(e, ERR_SERIALIZATION, "%s: %s must be a %s, not a JSON %s", what, p->name, wanted[p->kind],
                       json_type_name(v->type));
    return 0;
}

int check_params(const struct json *obj, const char *what, const struct ddb_param *params, struct err *e) {
    if (!json_is(obj, JSON_OBJ)) return err_set(e, ERR_SERIALIZATION, "%s must be a JSON object", what);
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json_member *m = &obj->members[i];
        const struct ddb_param *p = params;
        while (p->name && !str_is(m->key, p->name)) p++;
        if (!p->name) {
            struct str key = clip(m->key);
            return err_set(e, ERR_VALIDATION, "%s has no parameter named '%.*s'", what, STR_ARG(key));
        }
        if (m->value.type != JSON_NULL && check_param(p, what, &m->value, e)) return -1;
    }
    return 0;
}

int check_required(const struct json *p, const char *name, const struct json **ret, struct err *e) {
    const struct json *v = param(p, name);
    if (!v)
        return err_set(
            e, ERR_VALIDATION,
            "1 validation error detected: Value null at '%c%s' failed to satisfy constraint: Member must not be "
            "null",
            tolower((unsigned char)name[0]), name + 1);
    *ret = v;
    return 0;
}

static bool name_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

int check_name(struct str name, const char *member, struct err *e) {
    struct str shown = clip(name);
    if (name.n < 3 || name.n > 255)
        return err_set(e, ERR_VALIDATION,
                       "%s must be at least 3 characters long and at most 255 characters long: '%.*s'", member,
                       STR_ARG(shown));
    for (size_t i = 0; i < name.n; i++)
        if (!name_char(name.p[i]))
            return err_set(
                e, ERR_VALIDATION,
                "1 validation error detected: Value '%.*s' at '%c%s' failed to satisfy constraint: Member must "
                "satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
                STR_ARG(shown), tolower((unsigned char)member[0]), member + 1);
    return 0;
}

int check_table_name(const struct json *p, const char *member, struct str *ret, struct err *e) {
    const struct json *v;
    if (check_required(p, member, &v, e)) return -1;
    struct str name = json_str(v);
    name = ddb_arn_name(name);
    if (check_name(name, member, e)) return -1;
    *ret = name;
    return 0;
}

int check_enum(const struct json *p, const char *name, const char *const *set, int dflt, int *ret, struct err *e) {
    const struct json *v = param(p, name);
    if (!v) {
        *ret = dflt;
        return 0;
    }
    struct buf all = BUF_MAX(400);
    for (int i = 0; set[i]; i++) {
        if (str_is(v->s, set[i])) {
            buf_free(&all);
            *ret = i;
            return 0;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", set[i]);
    }
    struct str s = clip(v->s);
    err_set(e, ERR_VALIDATION,
            "1 validation error detected: Value '%.*s' at '%c%s' failed to satisfy constraint: Member must satisfy "
            "enum value "
            "set: [%s]",
            STR_ARG(s), tolower((unsigned char)name[0]), name + 1, buf_cstr(&all));
    buf_free(&all);
    return -1;
}

bool check_flag(const struct json *p, const char *name) {
    return json_is(json_get(p, name), JSON_TRUE);
}
