#include "t_base.h"

int luaopen_t_base(lua_State *L);

struct str t_str(lua_State *L, int arg) {
    size_t n;
    const char *p = luaL_checklstring(L, arg, &n);
    return str_n(p, n);
}

int t_push(lua_State *L, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    return 1;
}

int t_push_buf(lua_State *L, struct buf *b) {
    t_push(L, buf_view(b));
    buf_free(b);
    return 1;
}

int t_fail(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, e->msg);
    lua_pushstring(L, err_name(e->code));
    return 3;
}

void t_field(lua_State *L, const char *name, struct str s) {
    t_push(L, s);
    lua_setfield(L, -2, name);
}

static int free_arena(lua_State *L) {
    arena_free(lua_touserdata(L, 1));
    return 0;
}

struct arena *t_arena(lua_State *L) {
    lua_settop(L, 8); /* keeps absent arguments absent */
    struct arena *a = lua_newuserdatauv(L, sizeof *a, 0);
    *a = (struct arena){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_arena);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return a;
}

int luaopen_t_base(lua_State *L) {
    lua_newtable(L);
    luaL_setfuncs(L, t_text, 0);
    luaL_setfuncs(L, t_sys, 0);
    luaL_setfuncs(L, t_xml, 0);
    luaL_setfuncs(L, t_package, 0);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.base", luaopen_t_base}, {NULL, NULL}};
