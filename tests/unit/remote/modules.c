/* The C modules of ut_remote, one a line. */
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_credentials(lua_State *L);
int luaopen_t_protocol(lua_State *L);
int luaopen_t_remote(lua_State *L);
int luaopen_t_retry(lua_State *L);
int luaopen_t_server(lua_State *L);
int luaopen_t_transport(lua_State *L);

const luaL_Reg test_modules[] = {
    {"t.credentials", luaopen_t_credentials}, /* profile.c, settings.c, credentials*.c */
    {"t.protocol", luaopen_t_protocol},
    {"t.remote", luaopen_t_remote}, /* remote.c, call*.c, presign.c, describe.c */
    {"t.retry", luaopen_t_retry},   /* retry.c */
    {"t.server", luaopen_t_server},
    {"t.transport", luaopen_t_transport}, /* transport*.c, blocking.c */
    {NULL, NULL},
};
