/* perigee.json: JSON text <-> Lua values, exactly. Integers stay integers; arrays and objects that were read keep a
 * mark, so that empty ones are written back as what they were. */
#include "script/conv.h"
#include "script/lib/lib.h"
#include <stdlib.h>
#include <string.h>

enum { ENCODE_MAX = 64 << 20 };

/* "... at line L column C" -> {line, column}, for callers that want to point at it. */
static void place_of(struct arena *a, const char *msg, struct json *more) {
    const char *at = NULL;
    for (const char *p = msg; (p = strstr(p, " at line ")) != NULL; p++) at = p;
    if (!at) return;
    char *end;
    long line = strtol(at + strlen(" at line "), &end, 10);
    if (strncmp(end, " column ", 8) != 0) return;
    json_set(a, more, "line", json_make_i64(a, line));
    json_set(a, more, "column", json_make_i64(a, strtol(end + 8, NULL, 10)));
}

static void decode_limits(lua_State *L, struct json_limits *limits) {
    static const char *const names[] = {"max_depth", "duplicate_keys", NULL};
    if (lua_isnoneornil(L, 2)) return;
    luaL_checktype(L, 2, LUA_TTABLE);
    lib_check_options(L, 2, names);
    if (lua_getfield(L, 2, "max_depth") != LUA_TNIL) {
        int is_int;
        lua_Integer depth = lua_tointegerx(L, -1, &is_int);
        luaL_argcheck(L, is_int && depth >= 1 && depth <= 1000, 2, "max_depth must be an integer from 1 to 1000");
        limits->depth = (uint32_t)depth;
    }
    lua_getfield(L, 2, "duplicate_keys");
    limits->duplicate_keys = lua_toboolean(L, -1);
    lua_pop(L, 2);
}

static int decode(lua_State *L) {
    struct str text = lib_check_str(L, 1);
    struct json_limits limits = {0};
    struct err e = {0};
    struct json v;
    decode_limits(L, &limits);
    struct lib_scratch *s = lib_scratch(L);
    if (json_parse(&s->arena, text, &limits, &v, &e) || script_check_json(&v, &e)) {
        struct json more = json_make_obj();
        place_of(&s->arena, e.msg, &more);
        return script_push_err(L, &e, "json", "decode", NULL, &more);
    }
    script_push_json(L, &v);
    arena_reset(&s->arena);
    return 1;
}

static int encode(lua_State *L) {
    struct err e = {0};
    struct json v;
    luaL_checkany(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    if (conv_to_json(L, 1, &s->arena, &v, &e)) return lib_raise(L, &e);
    json_write(&s->buf, &v);
    if (buf_check(&s->buf, "the JSON text", &e)) return lib_raise(L, &e);
    lib_push_str(L, buf_view(&s->buf));
    lib_scratch_clear(s);
    return 1;
}

static int mark(lua_State *L, const char *name, const char *other) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        luaL_getmetatable(L, name);
        luaL_getmetatable(L, other);
        if (!lua_rawequal(L, 2, 3) && !lua_rawequal(L, 2, 4))
            return luaL_argerror(L, 1, "this table has a metatable of its own");
        lua_settop(L, 1);
    }
    luaL_setmetatable(L, name);
    return 1;
}

static int array(lua_State *L) {
    return mark(L, SCRIPT_MARK_ARRAY, SCRIPT_MARK_OBJECT);
}

static int object(lua_State *L) {
    return mark(L, SCRIPT_MARK_OBJECT, SCRIPT_MARK_ARRAY);
}

static bool has_mark(lua_State *L, const char *name) {
    if (!lua_getmetatable(L, 1)) return false;
    luaL_getmetatable(L, name);
    bool yes = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return yes;
}

static int is_array(lua_State *L) {
    luaL_checkany(L, 1);
    bool yes = lua_istable(L, 1) && !has_mark(L, SCRIPT_MARK_OBJECT) &&
               (has_mark(L, SCRIPT_MARK_ARRAY) || lua_rawlen(L, 1) > 0);
    lua_pushboolean(L, yes);
    return 1;
}

int script_open_json(lua_State *L) {
    static const luaL_Reg functions[] = {{"decode", decode}, {"encode", encode},     {"array", array},
                                         {"object", object}, {"is_array", is_array}, {NULL, NULL}};
    luaL_newmetatable(L, SCRIPT_MARK_ARRAY);
    luaL_newmetatable(L, SCRIPT_MARK_OBJECT);
    lua_pop(L, 2);
    luaL_newlibtable(L, functions);
    lib_scratch_new(L, ENCODE_MAX);
    luaL_setfuncs(L, functions, 1);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
