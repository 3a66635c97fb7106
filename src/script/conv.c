#include "script/conv.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a value is, innermost first: what a message names. */
struct place {
    const struct place *up;
    struct str key; /* p == NULL: index */
    lua_Integer index;
};

static void place_write(struct buf *b, const struct place *p) {
    if (!p) {
        buf_byte(b, '$');
        return;
    }
    place_write(b, p->up);
    if (p->key.p)
        buf_printf(b, ".%.*s", (int)(p->key.n < 64 ? p->key.n : 64), p->key.p);
    else
        buf_printf(b, "[%lld]", (long long)p->index);
}

static int fail(struct err *e, const struct place *at, const char *what) {
    struct buf b = BUF_MAX(512);
    place_write(&b, at);
    err_set(e, ERR_SERIALIZATION, "%s: %s", buf_cstr(&b), what);
    buf_free(&b);
    return -1;
}

/* ==== Lua -> JSON ==== */

struct encoder {
    lua_State *L;
    struct arena *a;
    struct err *e;
    int array, object; /* stack indices of the marks */
    bool borrow;
};

static int encode(struct encoder *x, int idx, const struct place *at, int depth, struct json *ret);

static struct str own(struct encoder *x, struct str s) {
    if (!s.n) return STR("");
    return x->borrow ? s : arena_str(x->a, s);
}

static int encode_float(struct encoder *x, double v, const struct place *at, struct json *ret) {
    char text[40];
    if (isnan(v) || isinf(v)) return fail(x->e, at, isnan(v) ? "NaN is no JSON number" : "infinity is no JSON number");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    *ret = json_make_num(arena_str(x->a, str_c(text)));
    return 0;
}

static struct json encode_integer(struct arena *a, lua_Integer v) {
    enum { DIGITS = 20 };
    char *end = (char *)arena_alloc(a, DIGITS) + DIGITS, *p = end;
    lua_Unsigned u = v < 0 ? 0 - (lua_Unsigned)v : (lua_Unsigned)v;
    do *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) *--p = '-';
    return json_make_num(str_n(p, (size_t)(end - p)));
}

static int encode_number(struct encoder *x, int idx, const struct place *at, struct json *ret) {
    if (lua_isinteger(x->L, idx)) {
        *ret = encode_integer(x->a, lua_tointeger(x->L, idx));
        return 0;
    }
    return encode_float(x, lua_tonumber(x->L, idx), at, ret);
}

static int encode_string(struct encoder *x, int idx, const struct place *at, struct json *ret) {
    size_t n;
    const char *p = lua_tolstring(x->L, idx, &n);
    struct str s = str_n(p, n);
    if (str_bad_utf8(s) >= 0) return fail(x->e, at, "the string is not UTF-8");
    *ret = json_make_str(own(x, s));
    return 0;
}

static int encode_userdata(struct encoder *x, int idx, const struct place *at, struct json *ret) {
    const char *decimal = luaL_testudata(x->L, idx, SCRIPT_DECIMAL);
    if (!decimal) return fail(x->e, at, "userdata cannot be encoded");
    *ret = json_make_num(arena_str(x->a, str_c(decimal)));
    return 0;
}

static int encode_array(struct encoder *x, int idx, const struct place *at, int depth, struct json *ret) {
    lua_Unsigned n = lua_rawlen(x->L, idx), seen = 0;
    for (lua_pushnil(x->L); lua_next(x->L, idx); lua_pop(x->L, 1)) {
        if (!lua_isinteger(x->L, -2)) return fail(x->e, at, "a table with both list items and other keys");
        lua_Integer k = lua_tointeger(x->L, -2);
        if (k < 1 || (lua_Unsigned)k > n) return fail(x->e, at, "a list with holes");
        seen++;
    }
    if (seen != n) return fail(x->e, at, "a list with holes");
    if (n > UINT32_MAX / 8) return fail(x->e, at, "a list of too many items");
    *ret = json_make_arr();
    ret->cap = ret->n = (uint32_t)n;
    ret->items = n ? arena_alloc(x->a, n * sizeof *ret->items) : NULL;
    for (lua_Unsigned i = 1; i <= n; i++) {
        lua_rawgeti(x->L, idx, (lua_Integer)i);
        struct place here = {at, STR_NONE, (lua_Integer)i};
        if (encode(x, lua_gettop(x->L), &here, depth, &ret->items[i - 1])) return -1;
        lua_pop(x->L, 1);
    }
    return 0;
}

static int by_key(const void *a, const void *b) {
    return str_cmp(((const struct json_member *)a)->key, ((const struct json_member *)b)->key);
}

/* Objects are written in the order of their keys, so that equal values have equal texts. */
static void sort_members(struct json *obj) {
    if (obj->n > 16) {
        qsort(obj->members, obj->n, sizeof *obj->members, by_key);
        return;
    }
    for (uint32_t i = 1; i < obj->n; i++) {
        struct json_member m = obj->members[i];
        uint32_t j = i;
        for (; j && str_cmp(obj->members[j - 1].key, m.key) > 0; j--) obj->members[j] = obj->members[j - 1];
        obj->members[j] = m;
    }
}

static int encode_object(struct encoder *x, int idx, const struct place *at, int depth, struct json *ret) {
    *ret = json_make_obj();
    for (lua_pushnil(x->L); lua_next(x->L, idx); lua_pop(x->L, 1)) {
        if (lua_type(x->L, -2) != LUA_TSTRING)
            return fail(x->e, at,
                        lua_type(x->L, -2) == LUA_TNUMBER ? "a table with number keys that is no list from 1"
                                                          : "an object's keys must be strings");
        size_t n;
        const char *p = lua_tolstring(x->L, -2, &n);
        struct place here = {at, str_n(p, n), 0};
        struct json v;
        if (str_bad_utf8(here.key) >= 0) return fail(x->e, at, "a key is not UTF-8");
        if (encode(x, lua_gettop(x->L), &here, depth, &v)) return -1;
        json_set_str(x->a, ret, own(x, here.key), v);
    }
    sort_members(ret);
    return 0;
}

/* JSON_ARR or JSON_OBJ of the table's mark, JSON_NULL without one. */
static enum json_type mark_of(struct encoder *x, int idx) {
    if (!lua_getmetatable(x->L, idx)) return JSON_NULL;
    enum json_type t = lua_rawequal(x->L, -1, x->array)    ? JSON_ARR
                       : lua_rawequal(x->L, -1, x->object) ? JSON_OBJ
                                                           : JSON_NULL;
    lua_pop(x->L, 1);
    return t;
}

static int encode_table(struct encoder *x, int idx, const struct place *at, int depth, struct json *ret) {
    if (depth >= CONV_DEPTH) return fail(x->e, at, "nested deeper than 100 levels, or containing itself");
    luaL_checkstack(x->L, 8, "value is nested too deeply");
    enum json_type t = mark_of(x, idx);
    if (t == JSON_ARR || (t == JSON_NULL && lua_rawlen(x->L, idx) > 0)) return encode_array(x, idx, at, depth + 1, ret);
    return encode_object(x, idx, at, depth + 1, ret);
}

/* On failure the stack is left as it is; the entry point cuts it. */
static int encode(struct encoder *x, int idx, const struct place *at, int depth, struct json *ret) {
    char text[64];
    switch (lua_type(x->L, idx)) {
    case LUA_TNIL:
        *ret = json_make_null();
        return 0;
    case LUA_TBOOLEAN:
        *ret = json_make_bool(lua_toboolean(x->L, idx));
        return 0;
    case LUA_TNUMBER:
        return encode_number(x, idx, at, ret);
    case LUA_TSTRING:
        return encode_string(x, idx, at, ret);
    case LUA_TTABLE:
        return encode_table(x, idx, at, depth, ret);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(x->L, idx)) return fail(x->e, at, "light userdata cannot be encoded");
        *ret = json_make_null();
        return 0;
    case LUA_TUSERDATA:
        return encode_userdata(x, idx, at, ret);
    default:
        snprintf(text, sizeof text, "%ss cannot be encoded", luaL_typename(x->L, idx));
        return fail(x->e, at, text);
    }
}

static int to_json(lua_State *L, int idx, bool borrow, struct arena *a, struct json *ret, struct err *e) {
    struct json v;
    idx = lua_absindex(L, idx);
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    luaL_newmetatable(L, SCRIPT_MARK_ARRAY);
    luaL_newmetatable(L, SCRIPT_MARK_OBJECT);
    struct encoder x = {L, a, e, top + 1, top + 2, borrow};
    int rc = encode(&x, idx, NULL, 0, &v);
    lua_settop(L, top);
    if (rc == 0) *ret = v;
    return rc;
}

int script_to_json(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e) {
    return to_json(L, idx, false, a, ret, e);
}

int conv_to_json(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e) {
    return to_json(L, idx, true, a, ret, e);
}

/* ==== JSON -> Lua ==== */

static bool number(struct str s, lua_Integer *ret_i, lua_Number *ret_f, bool *ret_integer) {
    char text[64], *end;
    bool integer = true;
    for (size_t i = 0; i < s.n && integer; i++) integer = s.p[i] == '-' || (s.p[i] >= '0' && s.p[i] <= '9');
    *ret_integer = integer;
    if (integer) {
        int64_t v;
        if (!str_i64(s, &v)) return false;
        *ret_i = v;
        return true;
    }
    char *p = s.n < sizeof text ? text : malloc(s.n + 1);
    if (!p) fatal("out of memory for a number of %zu digits", s.n);
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *ret_f = strtod(p, &end);
    if (p != text) free(p);
    return !isinf(*ret_f);
}

static int check(const struct json *v, const struct place *at, struct err *e) {
    lua_Integer i;
    lua_Number f;
    bool integer;
    if (v->type == JSON_NUM && !number(v->s, &i, &f, &integer))
        return fail(e, at, integer ? "the integer is out of the range of 64 bits" : "the number is out of range");
    for (uint32_t k = 0; v->type == JSON_ARR && k < v->n; k++) {
        struct place here = {at, STR_NONE, k + 1};
        if (check(&v->items[k], &here, e)) return -1;
    }
    for (uint32_t k = 0; v->type == JSON_OBJ && k < v->n; k++) {
        struct place here = {at, v->members[k].key, 0};
        if (check(&v->members[k].value, &here, e)) return -1;
    }
    return 0;
}

int script_check_json(const struct json *v, struct err *e) {
    return check(v, NULL, e);
}

static void push_number(lua_State *L, struct str s) {
    lua_Integer i = 0;
    lua_Number f = 0;
    bool integer;
    if (!number(s, &i, &f, &integer)) luaL_error(L, "the number %s is out of range", lua_pushlstring(L, s.p, s.n));
    if (integer)
        lua_pushinteger(L, i);
    else
        lua_pushnumber(L, f);
}

/* marks, marks + 1: the marks of arrays and objects. */
static void push(lua_State *L, const struct json *v, int marks) {
    switch (v->type) {
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        return;
    case JSON_FALSE:
    case JSON_TRUE:
        lua_pushboolean(L, v->type == JSON_TRUE);
        return;
    case JSON_NUM:
        push_number(L, v->s);
        return;
    case JSON_STR:
        lua_pushlstring(L, v->s.n ? v->s.p : "", v->s.n);
        return;
    case JSON_ARR:
        luaL_checkstack(L, 6, "JSON is nested too deeply");
        lua_createtable(L, v->n < INT32_MAX ? (int)v->n : 0, 0);
        for (uint32_t i = 0; i < v->n; i++) {
            push(L, &v->items[i], marks);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_OBJ:
        luaL_checkstack(L, 6, "JSON is nested too deeply");
        lua_createtable(L, 0, v->n < INT32_MAX ? (int)v->n : 0);
        for (uint32_t i = 0; i < v->n; i++) {
            struct str key = v->members[i].key;
            lua_pushlstring(L, key.n ? key.p : "", key.n);
            push(L, &v->members[i].value, marks);
            lua_rawset(L, -3);
        }
        break;
    }
    lua_pushvalue(L, v->type == JSON_ARR ? marks : marks + 1);
    lua_setmetatable(L, -2);
}

void script_push_json(lua_State *L, const struct json *v) {
    luaL_checkstack(L, 6, NULL);
    int marks = lua_gettop(L) + 1;
    if (v->type != JSON_ARR && v->type != JSON_OBJ) {
        push(L, v, 0);
        return;
    }
    luaL_newmetatable(L, SCRIPT_MARK_ARRAY);
    luaL_newmetatable(L, SCRIPT_MARK_OBJECT);
    push(L, v, marks);
    lua_replace(L, marks);
    lua_settop(L, marks);
}

/* ==== error tables ==== */

static int error_tostring(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushliteral(L, "code");
    lua_rawget(L, 1);
    lua_pushliteral(L, "message");
    lua_rawget(L, 1);
    if (!lua_isstring(L, 2)) lua_pushliteral(L, "error"), lua_replace(L, 2);
    if (!lua_isstring(L, 3)) lua_pushliteral(L, "no message"), lua_replace(L, 3);
    lua_pushfstring(L, "%s: %s", lua_tostring(L, 2), lua_tostring(L, 3));
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *value) {
    if (!value || !*value) return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

int script_push_err(lua_State *L, const struct err *e, const char *service, const char *action, const char *request_id,
                    const struct json *more) {
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);
    lua_createtable(L, 0, 8);
    for (uint32_t i = 0; more && more->type == JSON_OBJ && i < more->n; i++) {
        lua_pushlstring(L, more->members[i].key.p, more->members[i].key.n);
        script_push_json(L, &more->members[i].value);
        lua_rawset(L, -3);
    }
    set_text(L, "code", err_name_of(e));
    lua_pushstring(L, e->msg);
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, err_status_of(e));
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, err_retryable_of(e));
    lua_setfield(L, -2, "retryable");
    set_text(L, "service", service);
    set_text(L, "action", action);
    set_text(L, "request_id", request_id);
    luaL_newmetatable(L, CONV_ERROR);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, -2);
    return 2;
}

void conv_open(lua_State *L) {
    luaL_newmetatable(L, SCRIPT_MARK_ARRAY);
    luaL_newmetatable(L, SCRIPT_MARK_OBJECT);
    luaL_newmetatable(L, CONV_ERROR);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 3);
}

struct str conv_push_message(lua_State *L, int idx) {
    size_t n;
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) == LUA_TSTRING || lua_type(L, idx) == LUA_TNUMBER) {
        lua_pushvalue(L, idx);
    } else if (lua_type(L, idx) == LUA_TTABLE) {
        lua_pushliteral(L, "message");
        lua_rawget(L, idx);
        if (lua_type(L, -1) == LUA_TSTRING && lua_getmetatable(L, idx)) {
            lua_pop(L, 2);
            lua_pushcfunction(L, error_tostring);
            lua_pushvalue(L, idx);
            lua_call(L, 1, 1);
        } else if (lua_type(L, -1) != LUA_TSTRING) {
            lua_pop(L, 1);
            lua_pushliteral(L, "a table was raised as an error, without a message");
        }
    } else {
        lua_pushfstring(L, "a %s was raised as an error", luaL_typename(L, idx));
    }
    const char *p = lua_tolstring(L, -1, &n);
    return str_n(p, n);
}
