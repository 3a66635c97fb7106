/* perigee.file: the files that were loaded with the present version (the schemas of config/schemas, Lua sources), by
 * their path below the project's directory. Nothing else of the disk can be read. */
#include "script/lib/lib.h"

/* read(path) -> text | nil, err */
static int file_read(lua_State *L) {
    struct str path = lib_check_str(L, 1), text;
    struct err e = {0};
    luaL_argcheck(L, path.n && str_chr(path, '\0', 0) < 0, 1, "a path expected");
    if (script_source(L, path, &text, &e)) return script_push_err(L, &e, "file", "read", NULL, NULL);
    lib_push_str(L, text);
    return 1;
}

int script_open_file(lua_State *L) {
    static const luaL_Reg functions[] = {{"read", file_read}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
