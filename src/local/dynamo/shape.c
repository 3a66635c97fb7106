/* Basic validation of requests: types, then constraints. */
#include "local/dynamo/shape.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS_MAX = 10, SHOWN_MAX = 300, TOLD_MAX = 16000, TABLE_NAME_MIN = 3, TABLE_NAME_MAX = 255 };

/* Where a value stands: "requestItems.orders.member.keys.1.member". */
struct place {
    const struct place *up;
    struct str name;
    uint32_t index; /* of a list's element, from 1; 0: it has a name */
    bool element;   /* of a list or map: "member" follows */
};

static void write_place(struct buf *b, const struct place *p) {
    if (p->up && p->up->up) {
        write_place(b, p->up);
        buf_byte(b, '.');
    }
    if (p->index)
        buf_printf(b, "%u", p->index);
    else if (p->element || !p->name.n)
        buf_str(b, clip(p->name));
    else
        buf_printf(b, "%c%.*s", tolower((unsigned char)p->name.p[0]), (int)(p->name.n - 1), p->name.p + 1);
    if (p->element) buf_c(b, ".member");
}

static struct str operation(const struct place *p) {
    while (p->up) p = p->up;
    return p->name;
}

/* ==== types ==== */

struct fitting {
    struct arena *a;
    bool open;
    struct err *e;
};

static int fit(struct fitting *f, struct json *v, const struct shape *s, const struct place *at);

/* AWS does not tell where; who writes a handler is told. */
static int __attribute__((format(printf, 3, 4)))
wrong(struct fitting *f, const struct place *at, const char *fmt, ...) {
    char why[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (f->open) return err_set(f->e, ERR_SERIALIZATION, "%s", why);
    struct buf b = BUF_MAX(SHOWN_MAX);
    struct str what = operation(at);
    if (at->up) write_place(&b, at);
    err_set(f->e, ERR_SERIALIZATION, "%.*s: %s%s%s", STR_ARG(what), buf_cstr(&b), at->up ? ": " : "", why);
    buf_free(&b);
    return -1;
}

static bool is_whole(struct str s) {
    for (size_t i = s.n && s.p[0] == '-'; i < s.n; i++)
        if (!isdigit((unsigned char)s.p[i])) return false;
    return true;
}

static const char *token_of(const struct json *v) {
    if (v->type == JSON_NUM) return is_whole(v->s) ? "NUMBER_VALUE" : "DECIMAL_VALUE";
    if (v->type == JSON_NULL) return "NULL_VALUE";
    return v->type == JSON_STR ? "STRING_VALUE" : v->type == JSON_TRUE ? "TRUE_VALUE" : "FALSE_VALUE";
}

static int wrong_scalar(struct fitting *f, const struct json *v, const char *type, const struct place *at) {
    if (v->type == JSON_ARR) return wrong(f, at, "Unrecognized collection type class java.lang.%s", type);
    if (v->type == JSON_OBJ) return wrong(f, at, "Start of structure or map found where not expected");
    return wrong(f, at, "%s cannot be converted to %s", token_of(v), type);
}

static int fit_string(struct fitting *f, const struct json *v, const struct place *at) {
    return v->type == JSON_STR ? 0 : wrong_scalar(f, v, "String", at);
}

/* Decimals lose their fraction. */
static int fit_number(struct fitting *f, struct json *v, const char *type, const struct place *at) {
    if (v->type != JSON_NUM) return wrong_scalar(f, v, type, at);
    if (is_whole(v->s)) return 0;
    double d = floor(strtod(arena_cstr(f->a, v->s), NULL));
    int64_t n = d <= -9e18 ? INT64_MIN : d >= 9e18 ? INT64_MAX : (int64_t)d;
    *v = json_make_i64(f->a, n);
    return 0;
}

static int fit_boolean(struct fitting *f, struct json *v, const struct place *at) {
    static const char *const words[] = {"false", "0", "no", "true", "1", "yes"};
    if (v->type == JSON_TRUE || v->type == JSON_FALSE) return 0;
    if (v->type != JSON_STR) return wrong_scalar(f, v, "Boolean", at);
    for (int i = 0; i < 6; i++)
        if (str_ieq(v->s, str_c(words[i]))) {
            *v = json_make_bool(i > 2);
            return 0;
        }
    return wrong(f, at, "Unexpected token received from parser");
}

static int fit_blob(struct fitting *f, const struct json *v, const struct place *at) {
    if (v->type == JSON_ARR) return wrong(f, at, "Unrecognized collection type class java.nio.ByteBuffer");
    if (v->type == JSON_OBJ) return wrong(f, at, "Start of structure or map found where not expected");
    if (v->type != JSON_STR) return wrong(f, at, "only base-64-encoded strings are convertible to bytes");
    if (v->s.n % 4)
        return wrong(f, at, "Base64 encoded length is expected a multiple of 4 bytes but found: %zu", v->s.n);
    return 0;
}

/* What AWS's own machinery says of a scalar in the place of some collections. */
static const char cast[] =
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')";

static int fit_list(struct fitting *f, struct json *v, const struct shape *s, const struct place *at) {
    if (v->type == JSON_OBJ) return wrong(f, at, "Start of structure or map found where not expected");
    if (v->type != JSON_ARR) return wrong(f, at, "%s", s->parameterized ? cast : "Unexpected field type");
    for (uint32_t i = 0; i < v->n; i++) {
        struct place here = {at, STR(""), i + 1, true};
        if (fit(f, &v->items[i], s->of, &here)) return -1;
    }
    return 0;
}

static int fit_map(struct fitting *f, struct json *v, const struct shape *s, const struct place *at) {
    if (v->type == JSON_ARR)
        return wrong(f, at, "Unrecognized collection type java.util.Map<java.lang.String, %s>", s->name);
    if (v->type != JSON_OBJ) return wrong(f, at, "%s", s->parameterized ? cast : "Unexpected field type");
    for (uint32_t i = 0; i < v->n; i++) {
        struct place here = {at, v->members[i].key, 0, true};
        if (fit(f, &v->members[i].value, s->of, &here)) return -1;
    }
    return 0;
}

static const struct shape_member *member_of(const struct shape *s, struct str name) {
    for (const struct shape_member *m = s->members; m->name; m++)
        if (str_is(name, m->name)) return m;
    return NULL;
}

static int unknown(struct fitting *f, struct str name, const struct place *at) {
    struct buf b = BUF_MAX(SHOWN_MAX);
    struct str what = operation(at), shown = clip(name);
    if (at->up) write_place(&b, at);
    err_set(f->e, ERR_VALIDATION, "%.*s%s%s has no parameter named '%.*s'", STR_ARG(what), at->up ? ": " : "",
            buf_cstr(&b), STR_ARG(shown));
    buf_free(&b);
    return -1;
}

static int absent(struct fitting *f, const struct place *at) {
    struct str what = operation(at);
    return err_set(f->e, ERR_VALIDATION, "%.*s: the parameter %.*s is not supported", STR_ARG(what), STR_ARG(at->name));
}

static int fit_members(struct fitting *f, struct json *v, const struct shape *s, const struct place *at) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        struct json_member *m = &v->members[i];
        const struct shape_member *known = member_of(s, m->key);
        struct place here = {at, m->key, 0, false};
        if (!known && !f->open) return unknown(f, m->key, at);
        if (!known || m->value.type == JSON_NULL) continue;
        if (fit(f, &m->value, known->shape, &here)) return -1;
        v->members[n++] = *m;
    }
    v->n = n;
    return 0;
}

/* A structure as an element, or as another's member. */
static int fit_struct(struct fitting *f, struct json *v, const struct shape *s, const struct place *at) {
    if (v->type == JSON_ARR)
        return wrong(f, at, "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.%s", s->name);
    if (v->type != JSON_OBJ)
        return wrong(f, at, at->element ? "Unexpected value type in payload" : "Unexpected field type");
    return fit_members(f, v, s, at);
}

static int fit(struct fitting *f, struct json *v, const struct shape *s, const struct place *at) {
    if (v->type == JSON_NULL && (s->kind == SHAPE_STRUCT || s->kind == SHAPE_MAP)) *v = json_make_obj();
    switch (s->kind) {
    case SHAPE_INTEGER:
        return fit_number(f, v, "Integer", at);
    case SHAPE_LONG:
        return fit_number(f, v, "Long", at);
    case SHAPE_BOOLEAN:
        return fit_boolean(f, v, at);
    case SHAPE_BLOB:
        return fit_blob(f, v, at);
    case SHAPE_LIST:
        return fit_list(f, v, s, at);
    case SHAPE_MAP:
    case SHAPE_TABLE_MAP:
        return fit_map(f, v, s, at);
    case SHAPE_STRUCT:
        return fit_struct(f, v, s, at);
    case SHAPE_ABSENT:
        return absent(f, at);
    default:
        return fit_string(f, v, at);
    }
}

/* ==== constraints ==== */

struct judging {
    struct buf told;
    int n;
};

static void judge(struct judging *j, const struct json *v, const struct shape *s, enum shape_need need,
                  const struct place *at);

static void write_value(struct buf *b, const struct json *v) {
    if (v->type == JSON_STR) {
        buf_str(b, v->s.n <= SHOWN_MAX ? v->s : clip(v->s));
    } else if (v->type == JSON_ARR) {
        buf_byte(b, '[');
        for (uint32_t i = 0; i < v->n && !b->over; i++) {
            if (i) buf_c(b, ", ");
            write_value(b, &v->items[i]);
        }
        buf_byte(b, ']');
    } else {
        json_write(b, v);
    }
}

/* "Value 'x' at 'place' failed to satisfy constraint: "; which, is the caller's to add. */
static struct buf *fault(struct judging *j, const struct json *v, const struct place *at) {
    struct buf shown = BUF_MAX(SHOWN_MAX), *b = &j->told;
    if (v) write_value(&shown, v);
    buf_c(b, j->n++ ? "; Value " : "Value ");
    if (v) buf_printf(b, "'%s%s'", buf_cstr(&shown), shown.over ? "..." : "");
    buf_c(b, v ? " at '" : "null at '");
    write_place(b, at);
    buf_c(b, "' failed to satisfy constraint: ");
    buf_free(&shown);
    return b;
}

static bool is_name(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-') return false;
    return s.n > 0;
}

static void judge_set(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    const char *const *set = s->set;
    while (*set && !str_is(v->s, *set)) set++;
    if (*set) return;
    struct buf *b = fault(j, v, at);
    buf_c(b, "Member must satisfy enum value set: [");
    for (set = s->set; *set; set++) buf_printf(b, "%s%s", set == s->set ? "" : ", ", *set);
    buf_byte(b, ']');
}

static void judge_length(struct judging *j, const struct json *v, int64_t n, const struct shape *s,
                         const struct place *at) {
    if (n < s->min)
        buf_printf(fault(j, v, at), "Member must have length greater than or equal to %lld", (long long)s->min);
    if (s->max && n > s->max)
        buf_printf(fault(j, v, at), "Member must have length less than or equal to %lld", (long long)s->max);
}

static void judge_string(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    struct str name = s->kind == SHAPE_TABLE ? ddb_arn_name(v->s) : v->s;
    if (s->set) judge_set(j, v, s, at);
    if (s->kind != SHAPE_STRING && !is_name(name))
        buf_c(fault(j, v, at), "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    judge_length(j, v, (int64_t)name.n, s, at);
}

static void judge_number(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    int64_t n;
    if (!json_i64(v, &n)) n = v->s.p[0] == '-' ? INT64_MIN : INT64_MAX;
    if (n < s->min)
        buf_printf(fault(j, v, at), "Member must have value greater than or equal to %lld", (long long)s->min);
    if (s->max && n > s->max)
        buf_printf(fault(j, v, at), "Member must have value less than or equal to %lld", (long long)s->max);
}

static void judge_keys(struct judging *j, const struct json *v, const struct place *at) {
    for (uint32_t i = 0; i < v->n; i++) {
        struct str name = ddb_arn_name(v->members[i].key);
        if (is_name(name) && name.n >= TABLE_NAME_MIN && name.n <= TABLE_NAME_MAX) continue;
        struct buf *b = fault(j, v, at);
        buf_c(b,
              "Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have "
              "length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]");
    }
}

static void judge_values(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    for (uint32_t i = 0; s->max_value && i < v->n; i++) {
        uint32_t n = v->members[i].value.n;
        if (n >= s->min_value && n <= s->max_value) continue;
        buf_printf(fault(j, v, at),
                   "Map value must satisfy constraint: [Member must have length less than or equal to %u, Member must "
                   "have length greater than or equal to %u]",
                   s->max_value, s->min_value);
    }
}

static void judge_elements(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    bool list = v->type == JSON_ARR;
    for (uint32_t i = 0; i < v->n && j->n < FAULTS_MAX; i++) {
        struct place here = {at, list ? STR("") : v->members[i].key, list ? i + 1 : 0, true};
        judge(j, list ? &v->items[i] : &v->members[i].value, s->of, SHAPE_OPTIONAL, &here);
    }
}

static void judge_members(struct judging *j, const struct json *v, const struct shape *s, const struct place *at) {
    for (const struct shape_member *m = s->members; m->name && j->n < FAULTS_MAX; m++) {
        struct place here = {at, str_c(m->name), 0, false};
        judge(j, param(v, m->name), m->shape, m->need, &here);
    }
}

static void judge(struct judging *j, const struct json *v, const struct shape *s, enum shape_need need,
                  const struct place *at) {
    if (!v && need) buf_c(fault(j, NULL, at), "Member must not be null");
    if (!v || s->unconstrained) return;
    switch (s->kind) {
    case SHAPE_STRING:
    case SHAPE_NAME:
    case SHAPE_TABLE:
        judge_string(j, v, s, at);
        break;
    case SHAPE_INTEGER:
    case SHAPE_LONG:
        judge_number(j, v, s, at);
        break;
    case SHAPE_STRUCT:
        judge_members(j, v, s, at);
        break;
    case SHAPE_LIST:
    case SHAPE_MAP:
    case SHAPE_TABLE_MAP:
        judge_length(j, v, v->n, s, at);
        if (s->kind == SHAPE_TABLE_MAP) judge_keys(j, v, at);
        judge_values(j, v, s, at);
        judge_elements(j, v, s, at);
        break;
    default:
        break;
    }
}

/* ==== both ==== */

/* Before everything else. */
static int check_required(const struct json *params, const struct shape *s, struct err *e) {
    for (const struct shape_member *m = s->members; m->name; m++) {
        const struct json *v = param(params, m->name);
        if (m->need != SHAPE_REQUIRED) continue;
        if (!v)
            return err_set(e, ERR_VALIDATION, "The parameter '%s' is required but was not present in the request",
                           m->name);
        struct str name = ddb_arn_name(v->s);
        if (name.n < TABLE_NAME_MIN || name.n > TABLE_NAME_MAX)
            return err_set(e, ERR_VALIDATION, "%s must be at least %d characters long and at most %d characters long",
                           m->name, TABLE_NAME_MIN, TABLE_NAME_MAX);
    }
    return 0;
}

static int check_constraints(struct arena *a, const struct json *params, const struct shape *s, const struct place *top,
                             struct str *ret_long, struct err *e) {
    struct judging j = {.told = BUF_MAX(TOLD_MAX)};
    judge_members(&j, params, s, top);
    if (j.n) {
        struct str told = buf_view(&j.told);
        told = arena_printf(a, "%d validation error%s detected: %.*s", j.n, j.n > 1 ? "s" : "", STR_ARG(told));
        size_t n = told.n < sizeof e->msg ? told.n : sizeof e->msg - 1;
        if (n < told.n) *ret_long = told;
        while (n < told.n && ((unsigned char)told.p[n] & 0xc0) == 0x80) n--;
        err_set(e, ERR_VALIDATION, "%.*s", (int)n, told.p);
    }
    buf_free(&j.told);
    return j.n ? -1 : 0;
}

int shape_check(struct arena *a, struct json *params, const struct shape *s, const char *what, struct str *ret_long,
                struct err *e) {
    struct place top = {NULL, str_c(what), 0, false};
    struct fitting f = {a, params->open, e};
    if (!json_is(params, JSON_OBJ)) return err_set(e, ERR_SERIALIZATION, "%s: the parameters must be an object", what);
    if (fit_members(&f, params, s, &top) || check_required(params, s, e)) return -1;
    return check_constraints(a, params, s, &top, ret_long, e);
}
