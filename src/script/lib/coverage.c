/* perigee.coverage.core, for trusted scripts: measures the handlers of hosts that are opened from now on. */
#include "base/fs.h"
#include "script/lib/lib.h"
#include <stdlib.h>

static struct script_coverage *check(lua_State *L) {
    const struct script_config *c = script_config_of(L);
    if (!c->trusted || !c->coverage) luaL_error(L, "coverage is measured by trusted scripts only");
    return c->coverage;
}

/* start() -> the present directory. Processes that are started from now on are not asked for theirs. */
static int coverage_start(lua_State *L) {
    script_coverage_start(check(L));
    unsetenv("PERIGEE_COVERAGE");
    char *here = realpath(".", NULL);
    lua_pushstring(L, here);
    free(here);
    return 1;
}

void script_push_covered(lua_State *L, const struct script_covered *f) {
    lua_createtable(L, 0, 4);
    lib_push_str(L, f->path);
    lua_setfield(L, -2, "path");
    lib_push_str(L, f->text);
    lua_setfield(L, -2, "text");
    lua_pushboolean(L, f->of_handlers);
    lua_setfield(L, -2, "of_handlers");
    lua_newtable(L);
    for (size_t i = 1; i <= f->n_lines; i++) {
        if (!f->active[i]) continue;
        lua_pushinteger(L, (lua_Integer)f->hits[i]);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    lua_setfield(L, -2, "lines");
}

/* files() -> { {path=, text=, of_handlers=, lines={[line]=times}}, ... } of every content that was loaded */
static int coverage_files(lua_State *L) {
    const struct script_covered *const *files;
    size_t n = script_coverage_files(check(L), &files);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        script_push_covered(L, files[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* mkdirs(directory) -> true | nil, message */
static int coverage_mkdirs(lua_State *L) {
    struct err e = {0};
    if (fs_mkdirs(luaL_checkstring(L, 1), &e)) return lua_pushnil(L), lua_pushstring(L, e.msg), 2;
    lua_pushboolean(L, 1);
    return 1;
}

int script_open_coverage(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"start", coverage_start}, {"files", coverage_files}, {"mkdirs", coverage_mkdirs}, {NULL, NULL}};
    check(L);
    luaL_newlib(L, functions);
    return 1;
}
