/* sandbox: what handlers find as globals. Every function of the template has globals of its own, with its own copies of
 * the libraries' tables, so that nothing it writes there is seen by another. */
#include "script/state.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 1 << 26 /* entries that a C loop of the table library may walk */, POLL_STEPS = 4096 };

/* ==== functions that replace Lua's ==== */

/* A finaliser runs where no hook can end it. */
static int set_metatable(lua_State *L) {
    int t = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, t == LUA_TNIL || t == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    if (t == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "__gc is not possible in handlers; use <close> variables");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* upvalue 1: collectgarbage */
static int collect(lua_State *L) {
    static const char *const options[] = {"collect", "count", "step", NULL};
    luaL_checkoption(L, 1, "collect", options);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static void read_pieces(lua_State *L) {
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) == 0)) break;
        if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "reader function must return a string");
        luaL_addvalue(&b);
    }
    lua_pop(L, 1);
    luaL_pushresult(&b);
}

/* load, text only, with the function's globals. upvalue 1: the environment */
static int load_text(lua_State *L) {
    size_t n;
    bool has_env = !lua_isnone(L, 4), from_reader = lua_type(L, 1) != LUA_TSTRING;
    if (from_reader) luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *name = luaL_optstring(L, 2, from_reader ? "=(load)" : lua_tostring(L, 1));
    lua_settop(L, 4);
    if (from_reader) {
        read_pieces(L);
        lua_replace(L, 1);
    }
    const char *text = lua_tolstring(L, 1, &n);
    if (luaL_loadbufferx(L, text, n, name, "t")) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushvalue(L, has_env ? 4 : lua_upvalueindex(1));
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    return 1;
}

static int print(lua_State *L) {
    struct script *s = script_of(L);
    luaL_Buffer text;
    int n = lua_gettop(L);
    luaL_buffinit(L, &text);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&text, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    if (!s->c.log || s->c.log->level > LOG_INFO) return 0;
    size_t len;
    const char *p = lua_tolstring(L, -1, &len);
    struct buf line = BUF_MAX(256 << 10);
    log_begin(s->c.log, &line, LOG_INFO, str_n(p, len));
    script_log_fields(L, &line);
    log_end(s->c.log, LOG_INFO, &line);
    buf_free(&line);
    return 0;
}

/* ==== os ==== */

static int os_getenv(lua_State *L) {
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    struct script *s = script_of(L);
    const struct unit *u = s->running ? s->running->unit : s->loading_unit;
    for (size_t i = 0; u && i < u->fn.n_env; i++)
        if (str_eq(u->fn.env[i].name, str_n(name, n))) {
            lua_pushlstring(L, u->fn.env[i].value.n ? u->fn.env[i].value.p : "", u->fn.env[i].value.n);
            return 1;
        }
    lua_pushstring(L, getenv(name));
    return 1;
}

static void push_now(lua_State *L) {
    lua_pushinteger(L, clock_ms(script_of(L)->c.clock) / 1000);
}

/* os.time of the host's clock. upvalue 1: os.time */
static int os_time(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        push_now(L);
        return 1;
    }
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* upvalue 1: os.date */
static int os_date(lua_State *L) {
    luaL_optstring(L, 1, "%c");
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) lua_pushliteral(L, "%c"), lua_replace(L, 1);
    if (lua_isnil(L, 2)) push_now(L), lua_replace(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* ==== table: C loops whose length a __len or an argument decides ==== */

/* upvalue 1: table.insert or table.remove */
static int bounded(lua_State *L) {
    int n = lua_gettop(L);
    if (n && luaL_len(L, 1) > TABLE_MAX) return luaL_error(L, "the table is too long");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

static void step(lua_State *L, lua_Integer i, lua_Integer from, lua_Integer to, int dest) {
    if ((i & (POLL_STEPS - 1)) == 0) script_poll(L);
    lua_geti(L, 1, from + i);
    lua_seti(L, dest, to + i);
}

static int move(lua_State *L) {
    lua_Integer from = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
    int dest = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checkany(L, 1);
    lua_settop(L, 5);
    if (last >= from) {
        luaL_argcheck(L, from > 0 || last < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer n = last - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        if (to > last || to <= from || (dest != 1 && !lua_compare(L, 1, dest, LUA_OPEQ)))
            for (lua_Integer i = 0; i < n; i++) step(L, i, from, to, dest);
        else
            for (lua_Integer i = n - 1; i >= 0; i--) step(L, i, from, to, dest);
    }
    lua_pushvalue(L, dest);
    return 1;
}

/* ==== the base: what every environment is copied from ==== */

/* Pushes a table with the entries of the one at index `from`, made for as many: growing it would be half the work. */
static void push_copy(lua_State *L, int from) {
    int n = 0;
    for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1)) n++;
    lua_createtable(L, 0, n);
    for (lua_pushnil(L); lua_next(L, from);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
}

/* base[name] = a copy of the table _G[name] with only the names given (all when NULL). Leaves it pushed. */
static void copy_library(lua_State *L, int base, const char *name, const char *const *names) {
    lua_getglobal(L, name);
    if (names)
        lua_createtable(L, 0, 8);
    else
        push_copy(L, lua_gettop(L));
    for (; names && *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, base, name);
}

/* t[name] = fn with t[name] as upvalue; t at the top. */
static void wrap(lua_State *L, const char *name, lua_CFunction fn) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

static void open_libraries(lua_State *L, int base) {
    static const char *const of_os[] = {"clock", "date", "difftime", "time", NULL};
    copy_library(L, base, "math", NULL);
    copy_library(L, base, "utf8", NULL);
    lua_pop(L, 2);
    copy_library(L, base, "table", NULL);
    wrap(L, "insert", bounded);
    wrap(L, "remove", bounded);
    lua_pushcfunction(L, move);
    lua_setfield(L, -2, "move");
    lua_pop(L, 1);
    copy_library(L, base, "os", of_os);
    wrap(L, "time", os_time);
    wrap(L, "date", os_date);
    lua_pushcfunction(L, os_getenv);
    lua_setfield(L, -2, "getenv");
    lua_pop(L, 1);
    coro_open(L);
    lua_setfield(L, base, "coroutine");
}

/* Methods of strings are the guarded functions too; nobody else may get at their metatable. */
static void open_strings(lua_State *L, int base) {
    copy_library(L, base, "string", NULL);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    script_open_pattern(L);
    push_copy(L, lua_gettop(L)); /* a copy of its own: the base's may be seen by handlers */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "string");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 4);
}

static void open_base(lua_State *L, struct script *s) {
    static const char *const names[] = {"assert",   "error",  "getmetatable", "ipairs",         "next",
                                        "pairs",    "pcall",  "rawequal",     "rawget",         "rawlen",
                                        "rawset",   "select", "tonumber",     "tostring",       "type",
                                        "_VERSION", "xpcall", "warn",         "collectgarbage", NULL};
    lua_createtable(L, 0, 32);
    int base = lua_gettop(L);
    for (int i = 0; names[i]; i++) {
        lua_getglobal(L, names[i]);
        lua_setfield(L, base, names[i]);
    }
    wrap(L, "collectgarbage", collect);
    lua_pushcfunction(L, set_metatable);
    lua_setfield(L, base, "setmetatable");
    lua_pushcfunction(L, print);
    lua_setfield(L, base, "print");
    open_libraries(L, base);
    open_strings(L, base);
    lua_settop(L, base);
    s->base_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* "a;./b;c" without what is relative: the working directory is nobody's library. */
static void strip_relative(lua_State *L, const char *field) {
    luaL_Buffer b;
    lua_getglobal(L, "package");
    lua_getfield(L, -1, field);
    struct str rest = str_c(lua_tostring(L, -1));
    luaL_buffinit(L, &b);
    while (rest.p) {
        struct str part = str_cut(&rest, ';');
        if (!part.n || part.p[0] != '/') continue;
        luaL_addlstring(&b, part.p, part.n);
        luaL_addchar(&b, ';');
    }
    luaL_pushresult(&b);
    lua_setfield(L, -3, field);
    lua_pop(L, 2);
}

/* os.exit without closing the state, whose C functions are running. upvalue 1: os.exit */
static int exit_process(lua_State *L) {
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

static void prepend_cpath(lua_State *L, const char *cpath) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "cpath");
    lua_pushfstring(L, "%s;%s", cpath, lua_tostring(L, -1));
    lua_setfield(L, -3, "cpath");
    lua_pop(L, 2);
}

void sandbox_open(lua_State *L, struct script *s) {
    if (s->c.trusted) {
        lua_newtable(L);
        s->base_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        coro_open(L);
        lua_setglobal(L, "coroutine");
        lua_getglobal(L, "os");
        wrap(L, "exit", exit_process);
        return;
    }
    strip_relative(L, "path");
    strip_relative(L, "cpath");
    if (s->c.cpath) prepend_cpath(L, s->c.cpath);
    open_base(L, s);
}

/* ==== environments ==== */

/* upvalues: the unit's or version's flag `sealed`, a light userdata; the version's box, which keeps it alive */
static int new_global(lua_State *L) {
    const bool *sealed = lua_touserdata(L, lua_upvalueindex(1));
    if (*sealed && lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "assignment to the undeclared global '%s' (use local; globals are shared by all requests)",
                          lua_tostring(L, 2));
    if (*sealed) return luaL_error(L, "assignment to an undeclared global (use local)");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 0;
}

static void copy_value(lua_State *L) {
    if (lua_type(L, -1) != LUA_TTABLE) return;
    push_copy(L, lua_gettop(L));
    lua_remove(L, -2);
}

static void copy_base(lua_State *L, struct script *s, int env) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->base_ref);
    for (lua_pushnil(L); lua_next(L, env + 1);) {
        copy_value(L);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, env);
    }
    lua_settop(L, env);
}

/* package: what programs look at. */
static void set_package(lua_State *L, int env, int loaded) {
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, loaded);
    lua_setfield(L, -2, "loaded");
    lua_pushliteral(L, "/\n;\n?\n!\n-\n");
    lua_setfield(L, -2, "config");
    lua_setfield(L, env, "package");
}

void sandbox_push_env(lua_State *L, struct version *v, struct unit *u) {
    struct script *s = v->s;
    int loaded = lua_gettop(L); /* the table of loaded modules is at the top */
    lua_createtable(L, 0, 40);
    int env = lua_gettop(L);
    copy_base(L, s, env);
    if (s->c.trusted) { /* falls back to the real globals */
        lua_createtable(L, 0, 1);
        lua_pushglobaltable(L);
        lua_setfield(L, -2, "__index");
        lua_setmetatable(L, env);
    }
    lua_pushvalue(L, env);
    lua_setfield(L, env, "_G");
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->box_ref);
    lua_pushlightuserdata(L, u);
    lua_pushvalue(L, env);
    lua_pushvalue(L, loaded);
    lua_newtable(L); /* names of modules whose body runs */
    lua_pushcclosure(L, require_function, 5);
    lua_setfield(L, env, "require");
    lua_pushvalue(L, env);
    lua_pushcclosure(L, load_text, 1);
    lua_setfield(L, env, "load");
    set_package(L, env, loaded);
    if (s->c.trusted) return;
    lua_createtable(L, 0, 2);
    lua_pushlightuserdata(L, u ? &u->sealed : &v->sealed);
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->box_ref);
    lua_pushcclosure(L, new_global, 2);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, env);
}
