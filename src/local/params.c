#include "local/params.h"
#include <string.h>

static bool listed(const char *known, struct str name) {
    for (struct str rest = str_c(known), word; rest.p;) {
        word = str_cut(&rest, ' ');
        if (str_eq(word, name)) return true;
    }
    return false;
}

int params_only(const struct json *obj, const char *known, const char *what, enum err_code code, struct err *e) {
    for (uint32_t i = 0; json_is(obj, JSON_OBJ) && !obj->open && i < obj->n; i++)
        if (!listed(known, obj->members[i].key))
            return err_set(e, code, "%s: %.*s is unknown or not supported yet; known are: %s", what,
                           STR_ARG(str_take(obj->members[i].key, 80)), known);
    return 0;
}

int params_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t otherwise,
               enum err_code code, int64_t *ret, struct err *e) {
    const struct json *v = json_get(obj, name);
    int64_t n = otherwise;
    if (v && !json_is(v, JSON_NULL)) {
        bool ok = json_is(v, JSON_STR) ? str_i64(v->s, &n) : json_i64(v, &n);
        struct str shown = json_is(v, JSON_STR) || json_is(v, JSON_NUM) ? v->s : str_c(json_type_name(v->type));
        if (!ok || n < min || n > max)
            return err_set(e, code,
                           "Value %.*s for parameter %s is invalid. Reason: Must be an integer between %lld and %lld.",
                           STR_ARG(str_take(shown, 60)), name, (long long)min, (long long)max);
    }
    *ret = n;
    return 0;
}

int params_str(const struct json *obj, const char *name, enum err_code code, struct str *ret, struct err *e) {
    const struct json *v = json_get(obj, name);
    *ret = STR_NONE;
    if (!v || json_is(v, JSON_NULL)) return 0;
    if (!json_is(v, JSON_STR))
        return err_set(e, code, "parameter %s is %s, not a string", name, json_type_name(v->type));
    *ret = v->s;
    return 0;
}
