/* perigee.file: the files that were loaded with the present version (the schemas of config/schemas, Lua sources), by
 * their path below the project's directory. Nothing else of the disk can be read. */
#include "script/lib/lib.h"

/* Relative, and without "." and ".." segments. */
static bool stays_below(struct str path) {
    if (!path.n || path.p[0] == '/') return false;
    while (path.n) {
        struct str segment = str_cut(&path, '/');
        if (!segment.n || str_is(segment, ".") || str_is(segment, "..")) return false;
    }
    return true;
}

/* read(path) -> text | nil, err */
static int file_read(lua_State *L) {
    struct str path = lib_check_str(L, 1), text;
    struct err e = {0};
    luaL_argcheck(L, path.n && str_chr(path, '\0', 0) < 0, 1, "a path expected");
    if (!stays_below(path)) {
        err_set(&e, ERR_IO, "'%.*s' is no path below the project's directory", STR_ARG(str_take(path, 200)));
        return script_push_err(L, &e, "file", "read", NULL, NULL);
    }
    if (script_source(L, path, &text, &e)) return script_push_err(L, &e, "file", "read", NULL, NULL);
    lib_push_str(L, text);
    return 1;
}

int script_open_file(lua_State *L) {
    static const luaL_Reg functions[] = {{"read", file_read}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
