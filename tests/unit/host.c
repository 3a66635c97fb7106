/* A unit-test host: busted inside a process that has one folder's C test modules built in.
 * usage: ut_<folder> [busted arguments] tests/unit/<folder>
 * Each test module defines `const luaL_Reg test_modules[]` rows (name, luaopen function), ended by {NULL, NULL}. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

extern const luaL_Reg test_modules[];

static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, test_modules, 0);
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    if (luaL_loadstring(L, "package.path = 'tests/?.lua;lua/?.lua;' .. package.path\n"
                           "require 'busted.runner'({ standalone = false })"))
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    if (!L) return 2;
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int rc = lua_pcall(L, 2, 0, 0);
    if (rc) fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    lua_close(L);
    return rc ? 2 : 0;
}
