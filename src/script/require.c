/* require: modules of a function come from its snapshot, perigee.* from the host, others from Lua's own paths. */
#include "base/fs.h"
#include "script/embedded.h"
#include "script/state.h"
#include <string.h>

enum { VERSION = 1, UNIT, ENV, LOADED, LOADING }; /* upvalues of require_function */
#define SCOPE_NAME "perigee.loading"

/* ==== the time while a module's body runs ==== */

struct scope {
    struct script *s;
    struct job *job;
    lua_Integer serial;
    bool open;
};

static int scope_close(lua_State *L) {
    struct scope *c = luaL_checkudata(L, 1, SCOPE_NAME);
    if (!c->open) return 0;
    c->open = false;
    if (!c->job)
        c->s->loading--;
    else if (c->job->serial == c->serial)
        c->job->loading--;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, 1, 2);
    lua_pushnil(L);
    lua_rawset(L, 2);
    return 0;
}

/* Stack: 1 name, 2 chunk; afterwards 2 scope, 3 chunk. */
static void insert_scope(lua_State *L) {
    struct script *s = script_of(L);
    lua_Integer serial = s->running ? s->running->serial : 0;
    lua_pushvalue(L, 1);
    lua_pushinteger(L, serial);
    lua_rawset(L, lua_upvalueindex(LOADING));
    struct scope *c = lua_newuserdatauv(L, sizeof *c, 2);
    *c = (struct scope){.s = s, .job = s->running, .serial = serial};
    lua_pushvalue(L, lua_upvalueindex(LOADING));
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    if (luaL_newmetatable(L, SCOPE_NAME)) {
        lua_pushcfunction(L, scope_close);
        lua_setfield(L, -2, "__close");
    }
    lua_setmetatable(L, -2);
    lua_insert(L, 2);
    lua_toclose(L, 2);
    c->open = true;
    if (c->job)
        c->job->loading++;
    else
        s->loading++;
}

/* ==== finding a module's text ==== */

struct found {
    struct str text, chunk;
    const char *mode;               /* NULL: text only */
    struct script_sources *sources; /* where it is from, or NULL */
    const struct source *source;
};

/* "a.b" -> "a/b.lua" or "a/b/init.lua" */
static const struct source *in_snapshot(lua_State *L, const struct script_sources *src, struct str root,
                                        const char *name, const char *suffix) {
    size_t n;
    const char *path = luaL_gsub(L, name, ".", "/");
    lua_pushfstring(L, "%s%s", path, suffix);
    const char *p = lua_tolstring(L, -1, &n);
    const struct source *f = sources_find(src, root, str_n(p, n));
    lua_pop(L, 2);
    return f;
}

/* A file that cannot be read: pushes why. */
static bool push_problem(lua_State *L, struct script_sources *src, const struct source *f, struct str *ret) {
    struct err e;
    if (!sources_text(src, f, ret, &e)) return false;
    lua_pushstring(L, e.msg);
    return true;
}

static bool find_source(lua_State *L, struct script_sources *src, struct str root, const char *name,
                        struct found *ret) {
    const struct source *f = NULL;
    if (!src || !root.n) return false;
    f = in_snapshot(L, src, root, name, ".lua");
    if (!f) f = in_snapshot(L, src, root, name, "/init.lua");
    if (!f) return false;
    *ret = (struct found){.chunk = f->chunk, .sources = src, .source = f};
    bool unreadable = push_problem(L, src, f, &ret->text);
    return unreadable ? lua_error(L) : true;
}

static bool find_embedded(const char *name, struct found *ret) {
    for (const struct embedded_module *m = embedded_modules; m->name; m++)
        if (strcmp(m->name, name) == 0) {
            *ret = (struct found){.text = str_n(m->chunk, m->n), .chunk = str_c(name), .mode = "bt"};
            return true;
        }
    return false;
}

static int add_code(lua_State *L, const void *p, size_t n, void *ud) {
    (void)L;
    buf_add(ud, p, n);
    return 0;
}

/* The chunk is at the top. */
static void keep_compiled(lua_State *L, const struct found *f) {
    struct buf code = BUF_MAX(64 << 20);
    if (!lua_dump(L, add_code, &code, 0) && !code.over) sources_keep_compiled(f->sources, f->source, buf_view(&code));
    buf_free(&code);
}

/* As it was compiled before, of the same text. */
static bool load_compiled(lua_State *L, const struct found *f) {
    if (!f->source || !f->source->compiled.p) return false;
    struct str code = f->source->compiled;
    if (luaL_loadbufferx(L, code.p, code.n, f->chunk.p, "b")) lua_error(L);
    return true;
}

static void load_chunk(lua_State *L, const struct found *f, const char *prefix) {
    if (load_compiled(L, f)) return;
    lua_pushstring(L, prefix);
    lua_pushlstring(L, f->chunk.p, f->chunk.n);
    lua_concat(L, 2);
    struct str text = source_body(f->text);
    int rc = luaL_loadbufferx(L, text.p ? text.p : "", text.n, lua_tostring(L, -1), f->mode ? f->mode : "t");
    lua_remove(L, -2);
    if (rc) lua_error(L);
    if (f->source && script_of(L)->c.keeps_compiled) keep_compiled(L, f);
}

/* ==== C modules ==== */

static int open_module(lua_State *L, struct script *s, const char *name, lua_CFunction open) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->clibs_ref);
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
    return 0;
}

/* What the host itself asks for. */
void require_clibs(lua_State *L, struct script *s) {
    open_module(L, s, "perigee.json", script_open_json);
    open_module(L, s, "perigee.log", script_open_log);
}

/* Opened when they are required: most functions need few of them. */
static lua_CFunction find_module(const struct script *s, const char *name) {
    static const luaL_Reg modules[] = {
        {"perigee.time", script_open_time},
        {"perigee.pdf", script_open_pdf},
        {"perigee.crypto", script_open_crypto},
        {"perigee.sigv4.core", script_open_sigv4},
        {"perigee.aws.core", script_open_aws},
        {"perigee.http.core", script_open_http},
        {"perigee.http.stream", stream_open_module},
        {"perigee.file", script_open_file},
        {"perigee.parallel", coro_open_parallel},
        {"perigee.coverage.core", script_open_coverage},
        {NULL, NULL},
    };
    for (const struct script_module *m = s->c.modules; m && m->name; m++)
        if (!strcmp(m->name, name)) return m->open;
    for (const luaL_Reg *m = modules; m->name; m++)
        if (!strcmp(m->name, name)) return m->func;
    return NULL;
}

/* Pushes the C module, or nothing. */
static bool push_clib(lua_State *L, struct script *s, const char *name) {
    lua_CFunction open;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->clibs_ref);
    if (lua_getfield(L, -1, name) == LUA_TNIL && (open = find_module(s, name))) {
        open_module(L, s, name, open);
        lua_pop(L, 1);
        lua_getfield(L, -1, name);
    }
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

/* By Lua's own searchers of C modules (package.cpath); the value is shared by all functions. Pushes it, or where it was
 * looked for. */
static bool push_external(lua_State *L, struct script *s, const char *name) {
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushliteral(L, "");
    for (int i = 3; i <= 4; i++) {
        lua_rawgeti(L, top + 3, i);
        lua_pushstring(L, name);
        lua_call(L, 1, 2);
        if (lua_type(L, -2) == LUA_TFUNCTION) {
            lua_pushstring(L, name);
            lua_insert(L, -2);
            lua_call(L, 2, 1);
            if (lua_isnil(L, -1)) lua_pop(L, 1), lua_pushboolean(L, true);
            lua_rawgeti(L, LUA_REGISTRYINDEX, s->clibs_ref);
            lua_pushvalue(L, -2);
            lua_setfield(L, -2, name);
            lua_pop(L, 1);
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return true;
        }
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            lua_concat(L, 2);
        else
            lua_pop(L, 1);
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return false;
}

/* A Lua file on package.path: pushes the chunk, or where it was looked for. */
static bool push_system_chunk(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "package");
    lua_getfield(L, -1, "searchpath");
    lua_pushstring(L, name);
    lua_getfield(L, -3, "path");
    lua_call(L, 2, 2);
    lua_remove(L, -3);
    lua_remove(L, -3);
    if (lua_isnil(L, -2)) {
        lua_remove(L, -2);
        return false;
    }
    lua_pop(L, 1);
    if (luaL_loadfilex(L, lua_tostring(L, -1), "t")) lua_error(L);
    lua_remove(L, -2);
    return true;
}

/* ==== require ==== */

/* Stack: 1 name, 2 scope, 3 the body's result. */
static int body_done(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    const char *name = lua_tostring(L, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        if (lua_getfield(L, lua_upvalueindex(LOADED), name) == LUA_TNIL) lua_pop(L, 1), lua_pushboolean(L, true);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(LOADED), name);
    return 1;
}

/* Stack: 1 name, 2 chunk. */
static int run_body(lua_State *L) {
    struct script *s = script_of(L);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(LOADING)) == LUA_TNUMBER &&
        lua_tointeger(L, -1) == (s->running ? s->running->serial : 0))
        return luaL_error(L, "the module '%s' requires itself (directly or through others)", lua_tostring(L, 1));
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(ENV));
    if (!lua_setupvalue(L, 2, 1)) lua_pop(L, 1);
    insert_scope(L);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 1, 0, body_done);
    return body_done(L, LUA_OK, 0);
}

static int missing(lua_State *L, const struct unit *u) {
    if (u) {
        lua_pushlstring(L, u->fn.code_dir.p, u->fn.code_dir.n);
        return luaL_error(L, "module '%s' not found: no such file below '%s', nor on package.path or package.cpath",
                          lua_tostring(L, 1), lua_tostring(L, -1));
    }
    return luaL_error(L, "module '%s' not found", lua_tostring(L, 1));
}

static bool is_ours(const char *name) {
    return strncmp(name, "perigee.", 8) == 0;
}

/* The module's value is at the top. */
static int remember(lua_State *L) {
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(LOADED));
    return 1;
}

/* perigee.x for a function: by the version's own require. */
static int by_version(lua_State *L, struct version *v) {
    if (push_clib(L, v->s, lua_tostring(L, 1))) return remember(L);
    version_push_env(L, v);
    lua_getfield(L, -1, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return remember(L);
}

static int require_shared(lua_State *L, struct version *v, const char *name) {
    struct found f;
    if (push_clib(L, v->s, name)) return remember(L);
    if (v->s->c.lua_dir && find_source(L, v->sources, str_c(v->s->c.lua_dir), name, &f)) {
        load_chunk(L, &f, "@");
        return run_body(L);
    }
    if (!is_ours(name)) return -1;
    if (!find_embedded(name, &f)) return luaL_error(L, "there is no module '%s'", name);
    load_chunk(L, &f, "=");
    return run_body(L);
}

int require_function(lua_State *L) {
    struct version *v = *(struct version **)lua_touserdata(L, lua_upvalueindex(VERSION));
    struct unit *u = lua_touserdata(L, lua_upvalueindex(UNIT));
    const char *name = luaL_checkstring(L, 1);
    struct found f;
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(LOADED), name) != LUA_TNIL) return 1;
    lua_settop(L, 1);
    if (u && find_source(L, v->sources, u->fn.code_dir, name, &f)) {
        load_chunk(L, &f, "@");
        return run_body(L);
    }
    if (u && is_ours(name)) return by_version(L, v);
    int rc = require_shared(L, v, name);
    if (rc >= 0) return rc;
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(ENV), name) == LUA_TTABLE && strchr("cmostu", *name))
        return 1; /* string, table, ... */
    lua_settop(L, 1);
    if (push_system_chunk(L, name)) return run_body(L);
    if (push_external(L, v->s, name)) return remember(L);
    return missing(L, u);
}

/* ==== trusted states: one more of package.searchers, before those of files ==== */

/* A loader that returns its data. */
static int preloaded(lua_State *L) {
    lua_settop(L, 2);
    return 1;
}

static int searcher(lua_State *L) {
    struct script *s = script_of(L);
    const char *name = luaL_checkstring(L, 1);
    struct found f;
    if (push_clib(L, s, name)) {
        lua_pushcfunction(L, preloaded);
        lua_insert(L, -2);
        return 2;
    }
    if (!is_ours(name)) return 0;
    const char *dir = s->c.lua_dir;
    if (dir) {
        lua_pushfstring(L, "%s/%s.lua", dir, luaL_gsub(L, name, ".", "/"));
        if (fs_is_file(lua_tostring(L, -1))) {
            if (luaL_loadfilex(L, lua_tostring(L, -1), "t")) return lua_error(L);
            lua_pushvalue(L, -2);
            return 2;
        }
    }
    if (!find_embedded(name, &f)) return 0;
    load_chunk(L, &f, "=");
    lua_pushliteral(L, ":embedded:");
    return 2;
}

void require_open(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = n; i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, searcher);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}
