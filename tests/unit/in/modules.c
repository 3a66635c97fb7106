/* What ut_in has built in beside busted: one row a test module. */
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_server(lua_State *L);
int luaopen_t_feed(lua_State *L);
int luaopen_t_http1(lua_State *L);
int luaopen_t_lambda(lua_State *L);
int luaopen_t_runtime_api(lua_State *L);

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {
    {"t.server", luaopen_t_server},
    {"t.feed", luaopen_t_feed},
    {"t.http1", luaopen_t_http1},
    {"t.lambda", luaopen_t_lambda},
    {"t.runtime_api", luaopen_t_runtime_api},
    {NULL, NULL},
};
