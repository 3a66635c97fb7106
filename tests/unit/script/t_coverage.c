/* t.coverage: new() -> what apps of t.script count their lines in (open{coverage=}); it outlives them.
 * c:files() -> { {path=, text=, of_handlers=, lines={[line]=times}}, ... } */
#include "script/state.h"
#include <lauxlib.h>

int luaopen_t_coverage(lua_State *L);
struct script_coverage *t_coverage(lua_State *L, int idx);

/* NULL: no coverage is at idx. */
struct script_coverage *t_coverage(lua_State *L, int idx) {
    struct script_coverage **box = luaL_testudata(L, idx, "t.coverage");
    return box ? *box : NULL;
}

static int coverage_new(lua_State *L) {
    struct script_coverage **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = script_coverage_new();
    luaL_setmetatable(L, "t.coverage");
    return 1;
}

static int coverage_gc(lua_State *L) {
    script_coverage_free(t_coverage(L, 1));
    return 0;
}

static int coverage_start(lua_State *L) {
    script_coverage_start(t_coverage(L, 1));
    return 0;
}

static int coverage_files(lua_State *L) {
    const struct script_covered *const *files;
    size_t n = script_coverage_files(t_coverage(L, 1), &files);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        script_push_covered(L, files[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int luaopen_t_coverage(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"start", coverage_start}, {"files", coverage_files}, {"__gc", coverage_gc}, {NULL, NULL}};
    luaL_newmetatable(L, "t.coverage");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, coverage_new);
    return 1;
}
