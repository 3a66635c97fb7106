/* The C modules of ut_remote, one a line. */
#include <lauxlib.h>
#include <lua.h>

const luaL_Reg test_modules[] = {{NULL, NULL}};
