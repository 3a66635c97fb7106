#include "script/lib/lib.h"
#include <string.h>

#define SCRATCH "perigee.scratch"

static int scratch_gc(lua_State *L) {
    struct lib_scratch *s = lua_touserdata(L, 1);
    arena_free(&s->arena);
    buf_free(&s->buf);
    return 0;
}

void lib_scratch_new(lua_State *L, size_t max) {
    struct lib_scratch *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct lib_scratch){.buf = BUF_MAX(max)};
    if (luaL_newmetatable(L, SCRATCH)) {
        lua_pushcfunction(L, scratch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
}

void lib_scratch_clear(struct lib_scratch *s) {
    enum { KEEP = 1 << 16 };
    arena_reset(&s->arena);
    if (s->buf.cap > KEEP)
        buf_free(&s->buf);
    else
        buf_clear(&s->buf);
}

struct lib_scratch *lib_scratch(lua_State *L) {
    struct lib_scratch *s = lua_touserdata(L, lua_upvalueindex(1));
    lib_scratch_clear(s);
    return s;
}

struct str lib_check_str(lua_State *L, int arg) {
    size_t n;
    const char *p = luaL_checklstring(L, arg, &n);
    return str_n(p, n);
}

void lib_push_str(lua_State *L, struct str s) {
    lua_pushlstring(L, s.n ? s.p : "", s.n);
}

int lib_raise(lua_State *L, const struct err *e) {
    return luaL_error(L, "%s", e->msg);
}

static void raise_option(lua_State *L, const char *const *names) {
    luaL_Buffer b;
    lua_pushvalue(L, -2);
    const char *key = luaL_tolstring(L, -1, NULL);
    luaL_buffinit(L, &b);
    for (; *names; names++) {
        luaL_addstring(&b, *names);
        if (names[1]) luaL_addstring(&b, ", ");
    }
    luaL_pushresult(&b);
    luaL_error(L, "unknown option '%s' (there are: %s)", key, lua_tostring(L, -1));
}

void lib_check_options(lua_State *L, int idx, const char *const *names) {
    idx = lua_absindex(L, idx);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        bool known = false;
        for (const char *const *n = names; *n && !known; n++)
            known = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), *n) == 0;
        if (!known) raise_option(L, names);
    }
}
