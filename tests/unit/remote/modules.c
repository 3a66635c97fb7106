/* The C modules of ut_remote, one a line. */
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_retry(lua_State *L);

const luaL_Reg test_modules[] = {
    {"t.retry", luaopen_t_retry}, /* retry.c */
    {NULL, NULL},
};
