/* host_replay.c: what perigee.host offers to `perigee log` and `perigee replay`:
 *
 * - h:record(): from now on jobs of this host are kept, in memory
 * - h:recorded() -> { document, ... } (JSON texts) of the jobs that have ended since, oldest first; what runs is waited
 *   for
 * - h:invoke(function, document[, request_id]) -> answer document (JSON text), whether it failed; nil, err: it was not
 * run
 * - h:sources() -> { [path] = text }, version: of the handlers in use
 * - h:function_of(queue) -> name of the function that the queue feeds, or nil
 * - segments(dir) -> { path, ... } of recordings, oldest first; nil, err */
#include "base/fs.h"
#include "host.h"
#include "host_lua.h"
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

static int fail(lua_State *L, const struct err *e) {
    return script_push_err(L, e, NULL, NULL, NULL, NULL);
}

static struct worker *worker_of(lua_State *L) {
    return &host_lua_host(L)->workers[0];
}

static int start_recording(lua_State *L) {
    struct worker *w = worker_of(L);
    struct err e = {0};
    if (!w->record && host_record_open(w, true, &e)) return fail(L, &e);
    if (!host_record_in_memory(w)) return luaL_error(L, "record: this host writes its recordings to a directory");
    return 0;
}

static int recorded(lua_State *L) {
    struct worker *w = worker_of(L);
    struct buf text = {0};
    while (script_jobs(w->script)) loop_once(w->loop, -1);
    lua_newtable(L);
    for (lua_Integer i = 1; host_record_next(w, &text); i++) {
        struct buf *kept = ARENA_NEW(host_lua_arena(L), struct buf);
        *kept = text;
        arena_defer(host_lua_arena(L), (void (*)(void *))buf_free, kept);
        lua_pushlstring(L, text.p ? text.p : "", text.n);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static int invoke(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    struct buf *answer = ARENA_NEW(host_lua_arena(L), struct buf);
    struct err e = {0};
    size_t n;
    const char *name = luaL_checkstring(L, 2), *event = luaL_checklstring(L, 3, &n);
    const struct function *f = host_find_function(p->app, name, &e);
    if (!f) return fail(L, &e);
    *answer = BUF_MAX(16u << 20);
    arena_defer(host_lua_arena(L), (void (*)(void *))buf_free, answer);
    struct crypto_source *former = host_enter(p);
    int rc = host_invoke(p, f, luaL_optstring(L, 4, NULL), str_n(event, n), answer, &e);
    host_leave(former);
    if (rc < 0) return fail(L, &e);
    lua_pushlstring(L, answer->p ? answer->p : "", answer->n);
    lua_pushboolean(L, rc == 1);
    return 2;
}

static void push_file(void *ud, struct str path, struct str text) {
    lua_State *L = ud;
    lua_pushlstring(L, path.p, path.n);
    lua_pushlstring(L, text.p ? text.p : "", text.n);
    lua_rawset(L, -3);
}

static int sources(lua_State *L) {
    struct worker *w = worker_of(L);
    const struct script_sources *s = script_sources_in_use(w->script);
    luaL_checkstack(L, 10, "sources");
    lua_newtable(L);
    if (s) script_sources_each(s, push_file, L);
    lua_pushstring(L, script_version(w->script));
    return 2;
}

static int function_of(lua_State *L) {
    const struct app *app = host_lua_host(L)->app;
    struct str queue = str_c(luaL_checkstring(L, 2));
    for (size_t i = 0; i < app->n_feeds; i++) {
        if (!str_eq(app->feeds[i].queue, queue)) continue;
        lua_pushlstring(L, app->feeds[i].function->name.p, app->feeds[i].function->name.n);
        return 1;
    }
    return 0;
}

struct listing { /* owned by a userdata, for pushing may raise */
    struct arena arena;
};

static int listing_gc(lua_State *L) {
    arena_free(&((struct listing *)lua_touserdata(L, 1))->arena);
    return 0;
}

static struct arena *listing_new(lua_State *L) {
    struct listing *l = lua_newuserdatauv(L, sizeof *l, 0);
    *l = (struct listing){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, listing_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return &l->arena;
}

int host_lua_segments(lua_State *L) {
    const char *dir = luaL_checkstring(L, 1);
    struct arena *a = listing_new(L);
    struct str *names = NULL;
    size_t n = 0;
    struct err e = {0};
    if (fs_list(a, dir, ".jsonl", &names, &n, &e)) return fail(L, &e);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        struct str path = fs_join(a, str_c(dir), names[i]);
        lua_pushlstring(L, path.p, path.n);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static const luaL_Reg methods[] = {
    {"record", start_recording}, {"recorded", recorded},       {"invoke", invoke},
    {"sources", sources},        {"function_of", function_of}, {NULL, NULL},
};

void host_replay_methods(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
