/* host_lua_simulate.c: what perigee.host offers of time, of a process's death, and of what there is to run:
 *
 * - h:now() -> Unix ms; h:pass(ms): time passes; h:set_clock(ms): the wall clock alone
 * - h:crash(), h:snapshot(name), h:restore(name[, keep_state]), h:drop_snapshot(name) -> true | nil, err
 * - h:schedules() -> { name }; h:queues() -> { { queue=, function_name=, dead_letters= } }
 * - h:functions() -> { { name=, handler=, code_dir=, memory_mb=, timeout_ms=, routes= } };
 *   h:inspect(): as perigee.host.inspect */
#include "host_lua.h"
#include <lauxlib.h>
#include <lua.h>

/* -- time ------------------------------------------------------------------------------------------------------- */

static int now(lua_State *L) {
    lua_pushinteger(L, clock_ms(host_lua_host(L)->clock));
    return 1;
}

/* In real time, only the wall clock can be moved. */
static int pass(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    lua_Integer ms = luaL_checkinteger(L, 2);
    luaL_argcheck(L, ms >= 0, 2, "time does not go back: set_clock does, for the wall clock");
    if (p->simulation.on)
        clock_pass(p->clock, (uint64_t)ms);
    else
        atomic_fetch_add(&p->clock->offset_ms, ms);
    return 0;
}

static int set_clock(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    lua_Integer ms = luaL_checkinteger(L, 2);
    atomic_fetch_add(&p->clock->offset_ms, ms - clock_ms(p->clock));
    return 0;
}

/* -- death and snapshots ---------------------------------------------------------------------------------------- */

static int outcome(lua_State *L, int rc, const struct err *e) {
    if (rc) return script_push_err(L, e, NULL, NULL, NULL, NULL);
    lua_pushboolean(L, 1);
    return 1;
}

static int crash(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    struct err e = {0};
    return outcome(L, perigee_crash(p, &e), &e);
}

static int snapshot_of(lua_State *L, enum local_snapshot what) {
    struct perigee *p = host_lua_host(L);
    struct err e = {0};
    return outcome(L, host_snapshot(p, what, luaL_checkstring(L, 2), lua_toboolean(L, 3), &e), &e);
}

static int snapshot(lua_State *L) {
    return snapshot_of(L, LOCAL_SNAPSHOT_TAKE);
}

static int restore(lua_State *L) {
    return snapshot_of(L, LOCAL_SNAPSHOT_RESTORE);
}

static int drop_snapshot(lua_State *L) {
    return snapshot_of(L, LOCAL_SNAPSHOT_DELETE);
}

/* -- what there is ---------------------------------------------------------------------------------------------- */

static void push_str(lua_State *L, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
}

static void set_str(lua_State *L, const char *name, struct str s) {
    push_str(L, s);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, lua_Integer v) {
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static int schedules(lua_State *L) {
    const struct app *app = host_lua_host(L)->app;
    lua_createtable(L, (int)app->n_schedules, 0);
    for (size_t i = 0; i < app->n_schedules; i++) {
        push_str(L, app->schedules[i].name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static struct str dead_letters(const struct app *app, struct str queue) {
    for (size_t i = 0; i < app->n_queues; i++)
        if (str_eq(app->queues[i].name, queue)) return app->queues[i].dead_letter;
    return STR_NONE;
}

/* Those that feed a function. */
static int queues(lua_State *L) {
    const struct app *app = host_lua_host(L)->app;
    lua_Integer n = 0;
    lua_newtable(L);
    for (size_t i = 0; i < app->n_feeds; i++) {
        const struct app_feed *f = &app->feeds[i];
        struct str dead = dead_letters(app, f->queue);
        if (!f->enabled) continue;
        lua_createtable(L, 0, 3);
        set_str(L, "queue", f->queue);
        set_str(L, "function_name", f->function->name);
        if (dead.n) set_str(L, "dead_letters", dead);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void set_routes(lua_State *L, const struct app *app, const struct function *f) {
    lua_Integer n = 0;
    lua_newtable(L);
    for (size_t i = 0; i < app->n_routes; i++) {
        const struct app_route *r = &app->routes[i];
        if (r->function != f) continue;
        lua_pushfstring(L, "%s %s", arena_cstr(host_lua_arena(L), r->method), arena_cstr(host_lua_arena(L), r->path));
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "routes");
}

static int functions(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    lua_createtable(L, (int)p->app->n_functions, 0);
    for (size_t i = 0; i < p->app->n_functions; i++) {
        const struct function *f = &p->app->functions[i];
        lua_createtable(L, 0, 6);
        set_str(L, "name", f->name);
        set_str(L, "code_dir", f->code_dir);
        set_str(L, "handler", arena_printf(host_lua_arena(L), "%.*s.%.*s", STR_ARG(f->module), STR_ARG(f->field)));
        set_integer(L, "memory_mb", (lua_Integer)(f->memory_bytes >> 20));
        set_integer(L, "timeout_ms", f->timeout_ms);
        set_routes(L, p->app, f);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* As perigee.host.inspect, of the template in use. */
static int inspect(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    struct json found = json_make_obj();
    host_inspect_app(p->app, host_lua_arena(L), &found);
    script_push_json(L, &found);
    return 1;
}

static const luaL_Reg methods[] = {
    {"now", now},
    {"pass", pass},
    {"advance", pass},
    {"set_clock", set_clock},
    {"crash", crash},
    {"snapshot", snapshot},
    {"restore", restore},
    {"drop_snapshot", drop_snapshot},
    {"schedules", schedules},
    {"queues", queues},
    {"functions", functions},
    {"inspect", inspect},
    {NULL, NULL},
};

void host_simulate_methods(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
