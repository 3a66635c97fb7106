/* Attribute values from and to the wire's JSON. */
#include "base/crypto.h"
#include "base/map.h"
#include "local/dynamo/dynamo.h"
#include <string.h>

/* ==== reading ==== */

static int wrong_json(const struct json *j, const char *wanted, struct err *e) {
    return err_set(e, ERR_SERIALIZATION, "an AttributeValue holds a JSON %s where a %s is expected",
                   json_type_name(j->type), wanted);
}

/* "0", or up to 18 digits without leading zero: already canonical. */
static bool plain_integer(struct str s) {
    if (!s.n || s.n > 18 || (s.p[0] == '0' && s.n > 1)) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return true;
}

static int read_number(struct arena *a, const struct json *j, struct av *ret, struct err *e) {
    if (j->type != JSON_STR) return wrong_json(j, "string", e);
    if (plain_integer(j->s)) {
        *ret = (struct av){.type = AV_N, .s = j->s};
        return 0;
    }
    struct num v;
    if (num_parse(j->s, &v, e)) return -1;
    av_number(a, &v, ret);
    return 0;
}

static int read_binary(struct arena *a, const struct json *j, struct av *ret, struct err *e) {
    if (j->type != JSON_STR) return wrong_json(j, "string of base64", e);
    int rc = -1;
    struct buf b = BUF_MAX(j->s.n + 4);
    if (!crypto_unbase64(&b, j->s)) {
        err_set(e, ERR_SERIALIZATION, "Invalid last non-pad Base64 character dectected");
        goto out;
    }
    *ret = (struct av){.type = AV_B, .s = arena_str(a, buf_view(&b))};
    rc = 0;
out:
    buf_free(&b);
    return rc;
}

static int read_string(const struct json *j, struct av *ret, struct err *e) {
    if (j->type != JSON_STR) return wrong_json(j, "string", e);
    *ret = (struct av){.type = AV_S, .s = j->s};
    return 0;
}

/* As they were written: binaries in base64. */
static int duplicates(enum av_type t, const struct json *set, struct err *e) {
    if (t == AV_NS) return err_set(e, ERR_VALIDATION, "Input collection contains duplicates");
    struct buf b = BUF_MAX(600);
    for (uint32_t i = 0; i < set->n && i < 20; i++) {
        struct str s = clip(set->items[i].s);
        buf_printf(&b, "%s%.*s", i ? ", " : "", STR_ARG(s));
    }
    err_set(e, ERR_VALIDATION,
            "One or more parameter values were invalid: Input collection [%s]%s contains duplicates.", buf_cstr(&b),
            t == AV_BS ? "of type BS" : "");
    buf_free(&b);
    return -1;
}

static int empty_set(enum av_type t, struct err *e) {
    static const char *const why[] = {[AV_SS] = "An string set  may not be empty",
                                      [AV_NS] = "An number set  may not be empty",
                                      [AV_BS] = "Binary sets should not be empty"};
    return err_set(e, ERR_VALIDATION, "One or more parameter values were invalid: %s", why[t]);
}

static bool distinct(const struct av *set) {
    struct map seen = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < set->n; i++) ok = !map_put(&seen, set->items[i].s, &set->items[i]);
    map_free(&seen);
    return ok;
}

static int read_set(struct arena *a, const struct json *j, enum av_type t, struct av *ret, struct err *e) {
    if (j->type != JSON_ARR) return wrong_json(j, "list", e);
    if (!j->n) return empty_set(t, e);
    *ret = (struct av){.type = t, .n = j->n, .items = ARENA_ARRAY(a, struct av, j->n)};
    for (uint32_t i = 0; i < j->n; i++) {
        const struct json *m = &j->items[i];
        struct av *to = &ret->items[i];
        int rc = t == AV_SS ? read_string(m, to, e) : t == AV_NS ? read_number(a, m, to, e) : read_binary(a, m, to, e);
        if (rc) return -1;
    }
    return distinct(ret) ? 0 : duplicates(t, j, e);
}

static int read_bool(const struct json *j, struct av *ret, struct err *e) {
    bool b;
    if (!json_bool(j, &b)) return wrong_json(j, "boolean", e);
    *ret = (struct av){.type = AV_BOOL, .boolean = b};
    return 0;
}

static int read_null(const struct json *j, struct av *ret, struct err *e) {
    bool b;
    if (!json_bool(j, &b)) return wrong_json(j, "boolean", e);
    if (!b)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values were invalid: Null attribute value types must have the value of true");
    *ret = (struct av){.type = AV_NULL};
    return 0;
}

static int read_list(struct arena *a, const struct json *j, int depth, struct av *ret, struct err *e) {
    if (j->type != JSON_ARR) return wrong_json(j, "list", e);
    *ret = (struct av){.type = AV_L, .n = j->n, .cap = j->n, .items = ARENA_ARRAY(a, struct av, j->n)};
    for (uint32_t i = 0; i < j->n; i++)
        if (av_from_json(a, &j->items[i], depth, &ret->items[i], e)) return -1;
    return 0;
}

static int read_map(struct arena *a, const struct json *j, int depth, struct av *ret, struct err *e) {
    if (j->type != JSON_OBJ) return wrong_json(j, "map", e);
    *ret = (struct av){.type = AV_M, .n = j->n, .cap = j->n, .members = ARENA_ARRAY(a, struct av_member, j->n)};
    for (uint32_t i = 0; i < j->n; i++) {
        ret->members[i].name = j->members[i].key;
        if (av_from_json(a, &j->members[i].value, depth, &ret->members[i].value, e)) return -1;
    }
    return 0;
}

static int read_type(struct arena *a, enum av_type t, const struct json *v, int depth, struct av *ret, struct err *e) {
    if ((t == AV_M || t == AV_L) && depth >= NESTING_MAX)
        return err_set(
            e, ERR_VALIDATION,
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond "
            "supported limit");
    switch (t) {
    case AV_S:
        return read_string(v, ret, e);
    case AV_N:
        return read_number(a, v, ret, e);
    case AV_B:
        return read_binary(a, v, ret, e);
    case AV_BOOL:
        return read_bool(v, ret, e);
    case AV_NULL:
        return read_null(v, ret, e);
    case AV_M:
        return read_map(a, v, depth + 1, ret, e);
    case AV_L:
        return read_list(a, v, depth + 1, ret, e);
    default:
        return read_set(a, v, t, ret, e);
    }
}

int av_from_json(struct arena *a, const struct json *j, int depth, struct av *ret, struct err *e) {
    if (j->type != JSON_OBJ) return wrong_json(j, "map with one datatype (\"S\", \"N\", ...)", e);
    if (!j->n)
        return err_set(e, ERR_VALIDATION,
                       "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes");
    for (uint32_t i = 0; i < j->n; i++) {
        enum av_type t;
        struct str key = clip(j->members[i].key);
        if (!av_type_find(key, &t))
            return err_set(e, ERR_VALIDATION,
                           "Supplied AttributeValue has the unknown datatype '%.*s', must contain exactly one of the "
                           "supported datatypes: S, N, B, BOOL, NULL, M, L, SS, NS, BS",
                           STR_ARG(key));
        if (read_type(a, t, &j->members[i].value, depth, ret, e)) return -1;
    }
    if (j->n > 1)
        return err_set(e, ERR_VALIDATION,
                       "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the "
                       "supported datatypes");
    return 0;
}

static int check_names(const struct json *j, struct err *e) {
    for (uint32_t i = 0; i < j->n; i++) {
        struct str name = j->members[i].key;
        if (!name.n || name.n > 65535)
            return err_set(e, ERR_VALIDATION,
                           name.n ? "Attribute name is too large, must be less than 65536 bytes"
                                  : "One or more parameter values were invalid: Attribute name must not be empty");
    }
    return 0;
}

int av_item_from_json(struct arena *a, const struct json *j, const char *what, struct av *ret, struct err *e) {
    if (!json_is(j, JSON_OBJ)) return err_set(e, ERR_SERIALIZATION, "%s must be a map of attributes", what);
    return check_names(j, e) ? -1 : read_map(a, j, 0, ret, e);
}

/* ==== writing ==== */

static struct json base64(struct arena *a, struct str s) {
    struct buf b = BUF_MAX(s.n / 3 * 4 + 8);
    crypto_base64(&b, s);
    struct json j = json_make_str(arena_str(a, buf_view(&b)));
    buf_free(&b);
    return j;
}

static struct json array(struct arena *a, const struct av *v) {
    struct json j = {.type = JSON_ARR, .n = v->n};
    j.items = arena_alloc(a, v->n * sizeof *j.items);
    j.cap = v->n;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct av *m = &v->items[i];
        j.items[i] = v->type == AV_L ? av_to_json(a, m) : v->type == AV_BS ? base64(a, m->s) : json_make_str(m->s);
    }
    return j;
}

struct json av_item_to_json(struct arena *a, const struct av *m) {
    struct json j = {.type = JSON_OBJ, .n = m->n};
    j.members = arena_alloc(a, m->n * sizeof *j.members);
    j.cap = m->n;
    for (uint32_t i = 0; i < m->n; i++)
        j.members[i] = (struct json_member){m->members[i].name, av_to_json(a, &m->members[i].value)};
    return j;
}

static struct json content(struct arena *a, const struct av *v) {
    switch (v->type) {
    case AV_S:
    case AV_N:
        return json_make_str(v->s);
    case AV_B:
        return base64(a, v->s);
    case AV_BOOL:
        return json_make_bool(v->boolean);
    case AV_NULL:
        return json_make_bool(true);
    case AV_M:
        return av_item_to_json(a, v);
    default:
        return array(a, v);
    }
}

struct json av_to_json(struct arena *a, const struct av *v) {
    struct json j = {.type = JSON_OBJ, .n = 1};
    j.members = arena_alloc(a, sizeof *j.members);
    j.cap = 1;
    j.members[0] = (struct json_member){str_c(av_type_name(v->type)), content(a, v)};
    return j;
}
