/* ExpressionAttributeNames and ExpressionAttributeValues. */
#include "local/dynamo/expr.h"

static bool good_key(struct str key, char mark) {
    if (key.n < 2 || key.p[0] != mark) return false;
    for (size_t i = 1; i < key.n; i++) {
        char c = key.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    return true;
}

static int check_map(const struct json *j, const char *what, char mark, struct err *e) {
    if (j->type != JSON_OBJ) return err_set(e, ERR_SERIALIZATION, "%s must be a map", what);
    if (!j->n) return err_set(e, ERR_VALIDATION, "%s must not be empty", what);
    for (uint32_t i = 0; i < j->n; i++) {
        struct str key = clip(j->members[i].key);
        if (!good_key(j->members[i].key, mark))
            return err_set(e, ERR_VALIDATION, "%s contains invalid key: Syntax error; key: \"%.*s\"", what,
                           STR_ARG(key));
    }
    return 0;
}

static int read_names(struct arena *a, const struct json *j, struct expr_names *ret, struct err *e) {
    ret->names = ARENA_ARRAY(a, struct expr_name, j->n);
    ret->n_names = j->n;
    for (uint32_t i = 0; i < j->n; i++) {
        const struct json_member *m = &j->members[i];
        struct str key = clip(m->key);
        if (m->value.type != JSON_STR)
            return err_set(e, ERR_SERIALIZATION, "ExpressionAttributeNames: the name of %.*s must be a string",
                           STR_ARG(key));
        if (!m->value.s.n || m->value.s.n > 65535)
            return err_set(
                e, ERR_VALIDATION,
                "ExpressionAttributeNames contains invalid value: Attribute name must be 1 to 65535 bytes long for "
                "key %.*s",
                STR_ARG(key));
        ret->names[i] = (struct expr_name){m->key, m->value.s, false};
    }
    return 0;
}

static int read_values(struct arena *a, const struct json *j, struct expr_names *ret, struct err *e) {
    ret->values = ARENA_ARRAY(a, struct expr_value, j->n);
    ret->n_values = j->n;
    for (uint32_t i = 0; i < j->n; i++) {
        const struct json_member *m = &j->members[i];
        struct str key = clip(m->key);
        ret->values[i].key = m->key;
        if (!av_from_json(a, &m->value, 0, &ret->values[i].value, e)) continue;
        if (!e || e->code != ERR_VALIDATION) return -1;
        return err_set(e, ERR_VALIDATION, "ExpressionAttributeValues contains invalid value: %s for key %.*s", e->msg,
                       STR_ARG(key));
    }
    return 0;
}

int expr_wanted(const struct json *params, bool any, const char *no_values, struct err *e) {
    if (param(params, "ExpressionAttributeNames") && !any)
        return err_set(e, ERR_VALIDATION, "ExpressionAttributeNames can only be specified when using expressions");
    if (param(params, "ExpressionAttributeValues") && no_values)
        return err_set(e, ERR_VALIDATION, "ExpressionAttributeValues can only be specified when using expressions: %s",
                       no_values);
    return 0;
}

int expr_names(struct arena *a, const struct json *params, struct expr_names *ret, struct err *e) {
    const struct json *names = param(params, "ExpressionAttributeNames");
    const struct json *values = param(params, "ExpressionAttributeValues");
    *ret = (struct expr_names){0};
    if (names && (check_map(names, "ExpressionAttributeNames", '#', e) || read_names(a, names, ret, e))) return -1;
    if (values && (check_map(values, "ExpressionAttributeValues", ':', e) || read_values(a, values, ret, e))) return -1;
    return 0;
}

int expr_unused(const struct expr_names *x, struct err *e) {
    struct buf b = BUF_MAX(600);
    const char *what = "Names";
    for (uint32_t i = 0; i < x->n_names; i++) {
        struct str key = clip(x->names[i].key);
        if (!x->names[i].used) buf_printf(&b, "%s%.*s", b.n ? ", " : "", STR_ARG(key));
    }
    bool names = b.n > 0;
    for (uint32_t i = 0; i < x->n_values && !names; i++) {
        struct str key = clip(x->values[i].key);
        what = "Values";
        if (!x->values[i].used) buf_printf(&b, "%s%.*s", b.n ? ", " : "", STR_ARG(key));
    }
    int rc = 0;
    if (b.n)
        rc = err_set(e, ERR_VALIDATION, "Value provided in ExpressionAttribute%s unused in expressions: keys: {%s}",
                     what, buf_cstr(&b));
    buf_free(&b);
    return rc;
}
