/* conv (private to script/): Lua values <-> JSON documents. */
#ifndef PERIGEE_SCRIPT_CONV_H
#define PERIGEE_SCRIPT_CONV_H
#include "script/wait.h"

#define CONV_ERROR "perigee.error" /* metatable of error tables */
enum { CONV_DEPTH = 100 };         /* of Lua values that are encoded */

/* As script_to_json; strings are borrowed from Lua: the document lives as long as the value at idx, unchanged. */
int conv_to_json(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e);
/* The message of an error table or string at idx without calling metamethods; may raise (memory). Leaves the text's
 * value pushed. */
struct str conv_push_message(lua_State *L, int idx);
/* Makes the metatables. */
void conv_open(lua_State *L);

#endif
