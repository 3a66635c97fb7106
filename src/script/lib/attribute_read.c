/* DynamoDB attribute values -> Lua values, and the aws.set and aws.binary objects. */
#include "script/lib/lib.h"
#include <string.h>

static void push_value(lua_State *L, const struct json *av);

/* ==== objects ==== */

static void push_binary(lua_State *L, struct str bytes) {
    lua_newuserdatauv(L, 0, 1);
    lib_push_str(L, bytes);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, LIB_BINARY);
}

static int binary_new(lua_State *L) {
    push_binary(L, lib_check_str(L, 1));
    return 1;
}

static int binary_bytes(lua_State *L) {
    luaL_checkudata(L, 1, LIB_BINARY);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

static int binary_len(lua_State *L) {
    binary_bytes(L);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int binary_eq(lua_State *L) {
    if (!luaL_testudata(L, 1, LIB_BINARY) || !luaL_testudata(L, 2, LIB_BINARY)) return 0;
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, 2, 1);
    lua_pushboolean(L, lua_rawequal(L, -1, -2));
    return 1;
}

/* A set is the sequence of its elements with a metatable. */
static int set_new(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, n > 0, 1, "a set has at least one element");
    lua_createtable(L, (int)(n < 1000 ? n : 1000), 0);
    for (lua_Integer i = 1; i <= n; i++) {
        int t = lua_rawgeti(L, 1, i);
        if (t != LUA_TSTRING && t != LUA_TNUMBER && t != LUA_TUSERDATA)
            return luaL_argerror(L, 1, "the elements of a set are strings, numbers or aws.binary");
        lua_rawseti(L, 2, i);
    }
    luaL_setmetatable(L, LIB_SET);
    return 1;
}

static void check_set(lua_State *L) {
    luaL_getmetatable(L, LIB_SET);
    if (!lua_istable(L, 1) || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, -2))
        luaL_argerror(L, 1, "aws.set expected");
    lua_pop(L, 2);
}

/* Pushes the element at idx; number objects as what they would come back as, so that they equal plain numbers. */
static void push_plain(lua_State *L, int idx) {
    struct str text = lib_to_decimal(L, idx);
    if (text.p)
        lib_push_number(L, text);
    else
        lua_pushvalue(L, idx);
}

static bool contains(lua_State *L, int set, int v) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, set);
    bool found = false;
    push_plain(L, v);
    for (lua_Integer i = 1; i <= n && !found; i++) {
        lua_rawgeti(L, set, i);
        push_plain(L, lua_gettop(L));
        found = lua_compare(L, -1, -3, LUA_OPEQ);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    return found;
}

static int set_contains(lua_State *L) {
    check_set(L);
    luaL_checkany(L, 2);
    lua_pushboolean(L, contains(L, 1, 2));
    return 1;
}

static int set_values(lua_State *L) {
    check_set(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    lua_newtable(L);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, -2, i);
    }
    luaL_setmetatable(L, SCRIPT_MARK_ARRAY);
    return 1;
}

static int set_eq(lua_State *L) { /* equal as sets */
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    bool equal = n == (lua_Integer)lua_rawlen(L, 2);
    check_set(L);
    for (lua_Integer i = 1; i <= n && equal; i++) {
        lua_rawgeti(L, 1, i);
        equal = contains(L, 2, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_pushboolean(L, equal);
    return 1;
}

/* ==== values ==== */

/* What scripts and services give may be anything. An unmarked empty table of Lua's is a list, too. */
static void expect(lua_State *L, const struct json *v, enum json_type type, const char *what) {
    bool empty = (v->type == JSON_OBJ && type == JSON_ARR) || (v->type == JSON_ARR && type == JSON_OBJ);
    if (v->type != type && !(empty && !v->n))
        luaL_error(L, "%s is %s, not %s", what, json_type_name(v->type), json_type_name(type));
}

static void push_map(lua_State *L, const struct json *v) {
    expect(L, v, JSON_OBJ, "an item or a map");
    luaL_checkstack(L, 6, "nested attributes");
    lua_createtable(L, 0, (int)v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        lib_push_str(L, v->members[i].key);
        push_value(L, &v->members[i].value);
        lua_rawset(L, -3);
    }
    luaL_setmetatable(L, SCRIPT_MARK_OBJECT);
}

static void push_each(lua_State *L, const struct json *v, void (*push)(lua_State *, const struct json *)) {
    expect(L, v, JSON_ARR, "a list or a set");
    luaL_checkstack(L, 6, "nested attributes");
    lua_createtable(L, (int)v->n, 0);
    for (uint32_t i = 0; i < v->n; i++) {
        push(L, &v->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_list(lua_State *L, const struct json *v, void (*push)(lua_State *, const struct json *)) {
    push_each(L, v, push);
    luaL_setmetatable(L, SCRIPT_MARK_ARRAY);
}

static void push_string(lua_State *L, const struct json *v) {
    expect(L, v, JSON_STR, "a string attribute");
    lib_push_str(L, json_str(v));
}

static void push_n(lua_State *L, const struct json *v) {
    expect(L, v, JSON_STR, "a number attribute");
    struct lib_decimal d;
    int64_t i;
    if (!str_i64(json_str(v), &i) && !lib_decimal_parse(json_str(v), &d))
        luaL_error(L, "a number attribute is no number of at most 64 digits");
    lib_push_number(L, json_str(v));
}

/* Decoded into a Lua buffer, which an error leaves to the collector. */
static void push_b(lua_State *L, const struct json *v) {
    expect(L, v, JSON_STR, "a binary attribute");
    struct str text = json_str(v);
    struct buf b = BUF_MAX(text.n + 4);
    luaL_Buffer out;
    char *p = luaL_buffinitsize(L, &out, text.n + 4);
    bool ok = crypto_unbase64(&b, text);
    if (ok) memcpy(p, b.p ? b.p : "", b.n);
    size_t n = b.n;
    buf_free(&b);
    if (!ok) luaL_error(L, "a binary attribute is not base64");
    luaL_pushresultsize(&out, n);
    lua_newuserdatauv(L, 0, 1);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, LIB_BINARY);
}

static void push_set(lua_State *L, const struct json *v, char kind) {
    if (!json_is(v, JSON_ARR) || !v->n) luaL_error(L, "a set attribute is no list with elements");
    push_each(L, v, kind == 'S' ? push_string : kind == 'N' ? push_n : push_b);
    luaL_setmetatable(L, LIB_SET);
}

static const char *pushed(lua_State *L, struct str name) {
    lib_push_str(L, str_take(name, 40));
    return lua_tostring(L, -1);
}

static void push_value(lua_State *L, const struct json *av) {
    if (!json_is(av, JSON_OBJ) || av->n != 1) {
        luaL_error(L, "an attribute value has no single type");
        return;
    }
    struct str type = av->members[0].key;
    const struct json *v = &av->members[0].value;
    char t = type.n ? type.p[0] : 0;
    if (type.n == 1 && t == 'S')
        push_string(L, v);
    else if (type.n == 1 && t == 'N')
        push_n(L, v);
    else if (type.n == 1 && t == 'M')
        push_map(L, v);
    else if (type.n == 1 && t == 'L')
        push_list(L, v, push_value);
    else if (type.n == 1 && t == 'B')
        push_b(L, v);
    else if (str_is(type, "BOOL") && (v->type == JSON_TRUE || v->type == JSON_FALSE))
        lua_pushboolean(L, v->type == JSON_TRUE);
    else if (str_is(type, "NULL"))
        lua_pushlightuserdata(L, NULL);
    else if (str_is(type, "SS") || str_is(type, "NS") || str_is(type, "BS"))
        push_set(L, v, t);
    else
        luaL_error(L, "there is no attribute type '%s' (S, N, B, BOOL, NULL, M, L, SS, NS, BS)", pushed(L, type));
}

/* ==== results ==== */

static void push_member(lua_State *L, struct str name, const struct json *v);
static void push_result(lua_State *L, const struct json *v);

static bool holds_map(struct str n) {
    return str_is(n, "Item") || str_is(n, "Key") || str_is(n, "Attributes") || str_is(n, "LastEvaluatedKey") ||
           str_is(n, "ItemCollectionKey");
}

/* {table: [items]} of BatchGetItem. */
static void push_tables_of_items(lua_State *L, const struct json *v) {
    lua_createtable(L, 0, (int)v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        lib_push_str(L, v->members[i].key);
        push_list(L, &v->members[i].value, push_map);
        lua_rawset(L, -3);
    }
}

/* {table: ...}: the member names are not parameters. */
static void push_tables(lua_State *L, const struct json *v) {
    lua_createtable(L, 0, (int)v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        lib_push_str(L, v->members[i].key);
        push_result(L, &v->members[i].value);
        lua_rawset(L, -3);
    }
}

static void push_result(lua_State *L, const struct json *v) {
    luaL_checkstack(L, 6, "nested results");
    if (v->type == JSON_ARR) {
        push_list(L, v, push_result);
    } else if (v->type != JSON_OBJ) {
        script_push_json(L, v);
    } else {
        lua_createtable(L, 0, (int)v->n);
        for (uint32_t i = 0; i < v->n; i++) push_member(L, v->members[i].key, &v->members[i].value);
    }
}

static void push_member(lua_State *L, struct str name, const struct json *v) {
    lib_push_str(L, name);
    if (v->type == JSON_OBJ && holds_map(name))
        push_map(L, v);
    else if (v->type == JSON_ARR && (str_is(name, "Items") || str_is(name, "Keys")))
        push_list(L, v, push_map);
    else if (v->type == JSON_OBJ && str_is(name, "Responses"))
        push_tables_of_items(L, v);
    else if (v->type == JSON_OBJ && (str_is(name, "UnprocessedItems") || str_is(name, "UnprocessedKeys")))
        push_tables(L, v);
    else
        push_result(L, v);
    lua_rawset(L, -3);
}

void attribute_push_result(lua_State *L, const struct json *result) {
    push_result(L, result);
}

/* ==== the part of perigee.aws.core ==== */

static int push_made(lua_State *L,
                     int (*make)(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e)) {
    struct json v;
    struct err e = {0};
    lua_settop(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    if (make(L, 1, &s->arena, &v, &e)) return lib_raise(L, &e);
    script_push_json(L, &v);
    return 1;
}

static int push_read(lua_State *L, void (*push)(lua_State *L, const struct json *v)) {
    struct json v;
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    if (script_to_json(L, 1, &s->arena, &v, &e)) return lib_raise(L, &e);
    push(L, &v);
    return 1;
}

/* marshal(value) -> {S=..}: what would be sent. */
static int marshal(lua_State *L) {
    luaL_checkany(L, 1);
    return push_made(L, attribute_value);
}

static int unmarshal(lua_State *L) {
    return push_read(L, push_value);
}

/* marshal_item({name = value}) -> {name = {S=..}} */
static int marshal_item(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    return push_made(L, attribute_item);
}

static int unmarshal_item(lua_State *L) {
    return push_read(L, push_map);
}

static void metatable(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void attribute_open(lua_State *L) {
    static const luaL_Reg functions[] = {{"set", set_new},
                                         {"binary", binary_new},
                                         {"number", lib_number_new},
                                         {"marshal", marshal},
                                         {"unmarshal", unmarshal},
                                         {"marshal_item", marshal_item},
                                         {"unmarshal_item", unmarshal_item},
                                         {NULL, NULL}};
    static const luaL_Reg binary_meta[] = {
        {"__tostring", binary_bytes}, {"__len", binary_len}, {"__eq", binary_eq}, {NULL, NULL}};
    static const luaL_Reg binary_methods[] = {{"bytes", binary_bytes}, {NULL, NULL}};
    static const luaL_Reg set_meta[] = {{"__eq", set_eq}, {NULL, NULL}};
    static const luaL_Reg set_methods[] = {{"contains", set_contains}, {"values", set_values}, {NULL, NULL}};
    luaL_newmetatable(L, SCRIPT_MARK_ARRAY);
    luaL_newmetatable(L, SCRIPT_MARK_OBJECT);
    lua_pop(L, 2);
    lib_number_open(L);
    metatable(L, LIB_BINARY, binary_meta, binary_methods);
    metatable(L, LIB_SET, set_meta, set_methods);
    luaL_newlibtable(L, functions);
    lib_scratch_new(L, 64 << 10);
    luaL_setfuncs(L, functions, 1);
}
