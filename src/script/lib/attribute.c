/* Lua values -> DynamoDB attribute values ({"S":..}, {"N":..}, ...) inside requests, and back inside results.
 * Which members hold items is a matter of their names (Amazon DynamoDB API Reference); all others stay as they are. */
#include "script/lib/lib.h"
#include <math.h>
#include <string.h>

enum { DEPTH_MAX = 40 /* DynamoDB nests 32 levels */, REQUEST_MAX = 32 << 20 };

/* Where a value is, for messages: a chain on the C stack. */
struct place {
    const struct place *up;
    struct str name; /* p == NULL: index */
    lua_Integer index;
    int depth;
};
struct marshal {
    lua_State *L;
    struct arena *a;
    struct err *e;
};

static int value(struct marshal *m, int idx, const struct place *at, struct json *ret);

/* ==== errors ==== */

static void write_place(struct buf *b, const struct place *at) {
    if (!at) return;
    write_place(b, at->up);
    if (!at->name.p)
        buf_printf(b, "[%lld]", (long long)at->index);
    else
        buf_printf(b, "%s%.*s", at->up ? "." : "", (int)(at->name.n < 80 ? at->name.n : 80), at->name.p);
}

static int fail(struct marshal *m, const struct place *at, const char *what) {
    struct buf b = BUF_MAX(512);
    write_place(&b, at);
    err_set(m->e, ERR_VALIDATION, "%s: %s", buf_cstr(&b), what);
    buf_free(&b);
    return -1;
}

static struct place below(const struct place *up, struct str name, lua_Integer index) {
    return (struct place){.up = up, .name = name, .index = index, .depth = up ? up->depth + 1 : 0};
}

/* ==== building ==== */

static struct str copy(struct marshal *m, struct str s) {
    return s.n ? arena_str(m->a, s) : STR("");
}

/* {type: v}, without a search or growth. */
static struct json tagged(struct marshal *m, const char *type, size_t n, struct json v) {
    struct json_member *member = arena_alloc(m->a, sizeof *member);
    *member = (struct json_member){{type, n}, v};
    struct json obj = json_make_obj();
    obj.members = member;
    obj.n = obj.cap = 1;
    return obj;
}
#define TAGGED(m, type, v) tagged((m), type, sizeof(type) - 1, (v))

static struct str view(lua_State *L, int idx) {
    size_t n;
    const char *p = lua_tolstring(L, idx, &n);
    return str_n(p, n);
}

/* Checked before bytes are copied: a value may be named many times. */
static int check_size(struct marshal *m, const struct place *at, size_t more) {
    return m->a->used + more <= REQUEST_MAX ? 0 : fail(m, at, "the request is larger than 32 MiB");
}

static struct json base64_of(struct marshal *m, struct str bytes) {
    struct buf b = BUF_MAX(bytes.n / 3 * 4 + 8);
    crypto_base64(&b, bytes);
    struct json v = json_make_str(copy(m, buf_view(&b)));
    buf_free(&b);
    return v;
}

static bool is_binary(lua_State *L, int idx, struct str *ret) {
    if (!luaL_testudata(L, idx, LIB_BINARY)) return false;
    lua_getiuservalue(L, idx, 1);
    *ret = view(L, -1);
    lua_pop(L, 1);
    return true;
}

/* The text of a number (integer, finite float, aws.number), in a. */
static int number_text(struct marshal *m, int idx, const struct place *at, struct str *ret) {
    char text[32];
    if (lua_isinteger(m->L, idx)) {
        *ret = copy(m, str_n(text, lib_int_text(lua_tointeger(m->L, idx), text)));
    } else if (lua_type(m->L, idx) == LUA_TNUMBER) {
        lua_Number v = lua_tonumber(m->L, idx);
        if (!isfinite(v)) return fail(m, at, "NaN and infinity are no DynamoDB numbers");
        *ret = copy(m, str_n(text, lib_float_text(v, text)));
    } else {
        *ret = copy(m, lib_to_decimal(m->L, idx));
    }
    return 0;
}

static int string_text(struct marshal *m, int idx, const struct place *at, struct str *ret) {
    struct str s = view(m->L, idx);
    if (check_size(m, at, s.n)) return -1;
    if (str_bad_utf8(s) >= 0) return fail(m, at, "the string is not UTF-8; use aws.binary for bytes");
    *ret = copy(m, s);
    return 0;
}

/* ==== sets ==== */

static char set_kind(lua_State *L, int idx) {
    struct str bytes;
    if (lua_type(L, idx) == LUA_TSTRING) return 'S';
    if (lua_type(L, idx) == LUA_TNUMBER || lib_to_decimal(L, idx).p) return 'N';
    return is_binary(L, idx, &bytes) ? 'B' : 0;
}

static int set_element(struct marshal *m, int idx, char kind, const struct place *at, struct json *ret) {
    struct str s = STR_NONE;
    int rc = 0;
    if (kind == 'B') {
        is_binary(m->L, idx, &s);
        if (check_size(m, at, s.n / 3 * 4)) return -1;
        *ret = base64_of(m, s);
        return 0;
    }
    rc = kind == 'S' ? string_text(m, idx, at, &s) : number_text(m, idx, at, &s);
    *ret = json_make_str(s);
    return rc;
}

static int set(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    static const char *const types[] = {"SS", "NS", "BS"};
    lua_Integer n = (lua_Integer)lua_rawlen(m->L, idx);
    struct json arr = json_make_arr();
    char kind = 0;
    if (n == 0) return fail(m, at, "a set must not be empty");
    for (lua_Integer i = 1; i <= n; i++) {
        struct place here = below(at, STR_NONE, i);
        struct json v;
        lua_rawgeti(m->L, idx, i);
        char k = set_kind(m->L, -1);
        if (!k || (kind && k != kind))
            return fail(m, &here, "the elements of a set are all strings, all numbers or all aws.binary");
        kind = k;
        if (set_element(m, lua_gettop(m->L), kind, &here, &v)) return -1;
        json_push(m->a, &arr, v);
        lua_pop(m->L, 1);
    }
    *ret = tagged(m, types[kind == 'S' ? 0 : kind == 'N' ? 1 : 2], 2, arr);
    return 0;
}

/* ==== containers ==== */

enum shape { SHAPE_MAP, SHAPE_LIST, SHAPE_SET };

static bool has_meta(lua_State *L, const char *name) { /* of the metatable at the top */
    luaL_getmetatable(L, name);
    bool yes = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    return yes;
}

static enum shape shape_of(lua_State *L, int idx) {
    enum shape shape = SHAPE_MAP;
    if (lua_getmetatable(L, idx)) {
        bool object = has_meta(L, SCRIPT_MARK_OBJECT);
        bool array = !object && has_meta(L, SCRIPT_MARK_ARRAY);
        bool is_set = !object && !array && has_meta(L, LIB_SET);
        lua_pop(L, 1);
        if (object) return SHAPE_MAP;
        if (array) return SHAPE_LIST;
        if (is_set) return SHAPE_SET;
    }
    if (lua_rawgeti(L, idx, 1) != LUA_TNIL) shape = SHAPE_LIST;
    lua_pop(L, 1);
    return shape;
}

/* A list has the keys 1..n and no others. */
static int check_list(struct marshal *m, int idx, const struct place *at) {
    lua_Integer n = (lua_Integer)lua_rawlen(m->L, idx), seen = 0;
    for (lua_pushnil(m->L); lua_next(m->L, idx); lua_pop(m->L, 1)) {
        lua_Integer k = lua_isinteger(m->L, -2) ? lua_tointeger(m->L, -2) : 0;
        if (k < 1 || k > n) return fail(m, at, "a list must have the keys 1 to n without holes and no other keys");
        seen++;
    }
    return seen == n ? 0 : fail(m, at, "the list has holes; use json.null");
}

static int list(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    lua_Integer n = (lua_Integer)lua_rawlen(m->L, idx);
    struct json arr = json_make_arr();
    if (check_list(m, idx, at)) return -1;
    for (lua_Integer i = 1; i <= n; i++) {
        struct place here = below(at, STR_NONE, i);
        struct json v;
        lua_rawgeti(m->L, idx, i);
        if (value(m, lua_gettop(m->L), &here, &v)) return -1;
        json_push(m->a, &arr, v);
        lua_pop(m->L, 1);
    }
    *ret = arr;
    return 0;
}

static int check_key(struct marshal *m, const struct place *at, struct str *ret) {
    if (lua_type(m->L, -2) != LUA_TSTRING)
        return fail(m, at, "the keys of a map must be strings (use json.array for lists)");
    *ret = view(m->L, -2);
    if (str_bad_utf8(*ret) >= 0) return fail(m, at, "a key is not UTF-8");
    *ret = copy(m, *ret);
    return 0;
}

/* An item, a key, expression values: {name: attribute value}. */
static int map(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    struct json obj = json_make_obj();
    for (lua_pushnil(m->L); lua_next(m->L, idx); lua_pop(m->L, 1)) {
        struct json v;
        struct str key;
        if (check_key(m, at, &key)) return -1;
        struct place here = below(at, key, 0);
        if (value(m, lua_gettop(m->L), &here, &v)) return -1;
        json_set_str(m->a, &obj, key, v);
    }
    *ret = obj;
    return 0;
}

static int container(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    struct json inner;
    enum shape shape = shape_of(m->L, idx);
    if (at->depth > DEPTH_MAX) return fail(m, at, "nested too deeply (DynamoDB allows 32 levels)");
    if (check_size(m, at, 0)) return -1;
    luaL_checkstack(m->L, 6, "nested values");
    if (shape == SHAPE_SET) return set(m, idx, at, ret);
    if (shape == SHAPE_LIST) {
        if (list(m, idx, at, &inner)) return -1;
        *ret = TAGGED(m, "L", inner);
    } else {
        if (map(m, idx, at, &inner)) return -1;
        *ret = TAGGED(m, "M", inner);
    }
    return 0;
}

static int userdata(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    struct str s = lib_to_decimal(m->L, idx);
    if (s.p) {
        *ret = TAGGED(m, "N", json_make_str(copy(m, s)));
        return 0;
    }
    if (is_binary(m->L, idx, &s)) {
        if (check_size(m, at, s.n / 3 * 4)) return -1;
        *ret = TAGGED(m, "B", base64_of(m, s));
        return 0;
    }
    return fail(m, at, "this userdata cannot be stored");
}

static int scalar_text(struct marshal *m, int idx, const struct place *at, const char *type, struct json *ret) {
    struct str s;
    if (*type == 'S' ? string_text(m, idx, at, &s) : number_text(m, idx, at, &s)) return -1;
    *ret = tagged(m, type, 1, json_make_str(s));
    return 0;
}

static int value(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    char msg[64];
    int type = lua_type(m->L, idx);
    switch (type) {
    case LUA_TSTRING:
        return scalar_text(m, idx, at, "S", ret);
    case LUA_TNUMBER:
        return scalar_text(m, idx, at, "N", ret);
    case LUA_TBOOLEAN:
        *ret = TAGGED(m, "BOOL", json_make_bool(lua_toboolean(m->L, idx)));
        return 0;
    case LUA_TTABLE:
        return container(m, idx, at, ret);
    case LUA_TUSERDATA:
        return userdata(m, idx, at, ret);
    default:
        break;
    }
    if (type == LUA_TLIGHTUSERDATA && !lua_touserdata(m->L, idx)) {
        *ret = TAGGED(m, "NULL", json_make_bool(true));
        return 0;
    }
    snprintf(msg, sizeof msg, "a %s cannot be stored", lua_typename(m->L, type));
    return fail(m, at, msg);
}

/* ==== requests ==== */

static int request(struct marshal *m, int idx, const struct place *at, bool names, struct json *ret);

static bool holds_map(struct str name) {
    return str_is(name, "Item") || str_is(name, "Key") || str_is(name, "ExpressionAttributeValues") ||
           str_is(name, "ExclusiveStartKey");
}

static int map_list(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    lua_Integer n = (lua_Integer)lua_rawlen(m->L, idx);
    struct json arr = json_make_arr();
    if (check_list(m, idx, at)) return -1;
    for (lua_Integer i = 1; i <= n; i++) {
        struct place here = below(at, STR_NONE, i);
        struct json v;
        if (lua_rawgeti(m->L, idx, i) != LUA_TTABLE) return fail(m, &here, "a table of key attributes expected");
        if (map(m, lua_gettop(m->L), &here, &v)) return -1;
        json_push(m->a, &arr, v);
        lua_pop(m->L, 1);
    }
    *ret = arr;
    return 0;
}

/* The value at idx of the member `at->name`. names: the members of the enclosing table are table names, not parameters.
 */
static int member(struct marshal *m, int idx, const struct place *at, bool names, struct json *ret) {
    struct err e = {0};
    if (lua_type(m->L, idx) == LUA_TTABLE) {
        if (!names && holds_map(at->name)) return map(m, idx, at, ret);
        if (!names && str_is(at->name, "Keys")) return map_list(m, idx, at, ret);
        return request(m, idx, at, !names && str_is(at->name, "RequestItems"), ret);
    }
    if (script_to_json(m->L, idx, m->a, ret, &e)) return fail(m, at, e.msg);
    return 0;
}

static int request_list(struct marshal *m, int idx, const struct place *at, struct json *ret) {
    lua_Integer n = (lua_Integer)lua_rawlen(m->L, idx);
    struct json arr = json_make_arr();
    if (check_list(m, idx, at)) return -1;
    for (lua_Integer i = 1; i <= n; i++) {
        struct place here = below(at, STR_NONE, i);
        struct json v;
        lua_rawgeti(m->L, idx, i);
        if (member(m, lua_gettop(m->L), &here, false, &v)) return -1;
        json_push(m->a, &arr, v);
        lua_pop(m->L, 1);
    }
    *ret = arr;
    return 0;
}

static int request(struct marshal *m, int idx, const struct place *at, bool names, struct json *ret) {
    struct json obj = json_make_obj();
    if (at && at->depth > DEPTH_MAX) return fail(m, at, "nested too deeply");
    luaL_checkstack(m->L, 6, "nested parameters");
    if (shape_of(m->L, idx) == SHAPE_LIST) return request_list(m, idx, at, ret);
    for (lua_pushnil(m->L); lua_next(m->L, idx); lua_pop(m->L, 1)) {
        struct json v;
        struct str key;
        if (check_key(m, at, &key)) return -1;
        struct place here = below(at, key, 0);
        if (member(m, lua_gettop(m->L), &here, names, &v)) return -1;
        json_set_str(m->a, &obj, key, v);
    }
    *ret = obj;
    return 0;
}

int attribute_request(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e) {
    struct marshal m = {L, a, e};
    int top = lua_gettop(L);
    int rc = request(&m, lua_absindex(L, idx), NULL, false, ret);
    lua_settop(L, top);
    return rc;
}

int attribute_value(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e) {
    static const struct place top_place = {.name = {"value", 5}};
    struct marshal m = {L, a, e};
    int top = lua_gettop(L);
    int rc = value(&m, lua_absindex(L, idx), &top_place, ret);
    lua_settop(L, top);
    return rc;
}

int attribute_item(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e) {
    static const struct place top_place = {.name = {"item", 4}};
    struct marshal m = {L, a, e};
    int top = lua_gettop(L);
    int rc = map(&m, lua_absindex(L, idx), &top_place, ret);
    lua_settop(L, top);
    return rc;
}
