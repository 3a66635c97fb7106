/* What ut_probe has built in beside busted: one row a test module. */
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_probe(lua_State *L);
int luaopen_t_record(lua_State *L);

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {
    {"t.probe", luaopen_t_probe},
    {"t.record", luaopen_t_record},
    {NULL, NULL},
};
