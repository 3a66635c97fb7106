/* Shared by the C side of the base specs. */
#ifndef PERIGEE_T_BASE_H
#define PERIGEE_T_BASE_H
#include "base/arena.h"
#include "base/buf.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

struct str t_str(lua_State *L, int arg);
int t_push(lua_State *L, struct str s);        /* 1 */
int t_push_buf(lua_State *L, struct buf *b);   /* pushes the content, frees b; 1 */
int t_fail(lua_State *L, const struct err *e); /* nil, message, AWS name; 3 */
void t_field(lua_State *L, const char *name, struct str s);
struct arena *t_arena(lua_State *L); /* collected with its userdata, which is on the stack */

extern const luaL_Reg t_text[], t_sys[], t_xml[], t_package[];
#endif
