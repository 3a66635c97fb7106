/* t.feed: queue feeds and schedules over the real engine, router and script, on one loop and a clock that tests move.
 */
#include "in/in.h"
#include "load.h"
#include "local/local.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_feed(lua_State *L);

enum { FUNCTIONS = 8 };

struct rig {
    lua_State *L;
    struct loop *loop;
    struct pool *pool;
    struct local *local;
    struct local_conn *conn;
    struct script *script;
    struct route *route;
    struct feed *feed;
    struct clock_feed *clock_feed, *replica; /* replica: what another host would have */
    struct app app;
    struct function functions[FUNCTIONS];
    struct app_feed app_feed;
    struct app_schedule schedule;
    struct arena arena;
    struct clock clock;
    struct metrics metrics;
    struct metrics *all[1];
    struct log log;
    int lines;
    bool done;
};

static struct rig *rig_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.feed");
}

static void keep_line(void *ud, enum log_level level, struct str line) {
    struct rig *rig = ud;
    (void)level;
    lua_rawgeti(rig->L, LUA_REGISTRYINDEX, rig->lines);
    lua_pushlstring(rig->L, line.p, line.n);
    lua_rawseti(rig->L, -2, (lua_Integer)lua_rawlen(rig->L, -2) + 1);
    lua_pop(rig->L, 1);
}

static void drop_line(void *ud, enum log_level level, struct str line) {
    (void)ud, (void)level, (void)line;
}

// ---- opening and closing ----

static int load(struct rig *rig, const char *root, struct err *e) {
    struct script_config c = {.loop = rig->loop,
                              .backend = local_backend(rig->conn),
                              .pool = rig->pool,
                              .clock = &rig->clock,
                              .log = &rig->log,
                              .metrics = &rig->metrics,
                              .root_dir = root};
    return load_script(&c, rig->app.functions, rig->app.n_functions, &rig->script, e);
}

static int open_all(struct rig *rig, const char *root, struct err *e) {
    static struct log quiet = {.level = LOG_OFF, .sink = drop_line};
    struct local_config lc = {.clock = &rig->clock, .log = &quiet, .metrics = &rig->metrics};
    if (loop_open(&rig->loop, e) || pool_open(1, 0, &rig->pool, e)) return -1;
    lc.pool = rig->pool;
    if (local_open(&lc, &rig->local, e) || local_attach(rig->local, rig->loop, &rig->conn, e)) return -1;
    if (load(rig, root, e)) return -1;
    rig->all[0] = &rig->metrics;
    struct route_config rc = {.app = &rig->app,
                              .script = rig->script,
                              .loop = rig->loop,
                              .log = &rig->log,
                              .metrics = &rig->metrics,
                              .all_metrics = rig->all,
                              .n_metrics = 1};
    return route_open(&rc, &rig->route, e);
}

/* open(dir, {function names}): functions of dir/h.lua */
static int l_open(lua_State *L) {
    const char *dir = luaL_checkstring(L, 1);
    struct rig *rig = lua_newuserdatauv(L, sizeof *rig, 0);
    *rig = (struct rig){.L = L, .log = {.level = LOG_INFO, .sink = keep_line}};
    rig->log.ud = rig;
    lua_newtable(L);
    rig->lines = luaL_ref(L, LUA_REGISTRYINDEX);
    for (size_t i = 0; i < lua_rawlen(L, 2) && i < FUNCTIONS; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        struct str name = arena_str(&rig->arena, str_c(lua_tostring(L, -1)));
        lua_pop(L, 1);
        rig->functions[i] = (struct function){.name = name,
                                              .code_dir = arena_str(&rig->arena, str_c(dir)),
                                              .module = STR("h"),
                                              .field = name,
                                              .timeout_ms = 5000,
                                              .memory_bytes = 64 << 20,
                                              .policy = {.allow_all = true},
                                              .index = i};
        rig->app.n_functions++;
    }
    rig->app.functions = rig->functions;
    rig->app.cors.max_age_s = -1;
    struct err e;
    if (open_all(rig, dir, &e)) return luaL_error(L, "%s", e.msg);
    luaL_setmetatable(L, "t.feed");
    return 1;
}

static int l_close(lua_State *L) {
    struct rig *rig = rig_of(L);
    if (!rig->loop) return 0;
    feed_close(rig->feed);
    clock_feed_close(rig->clock_feed);
    clock_feed_close(rig->replica);
    script_close(rig->script);
    route_close(rig->route);
    local_detach(rig->conn);
    local_close(rig->local);
    pool_close(rig->pool);
    loop_close(rig->loop);
    rig->loop = NULL;
    arena_free(&rig->arena);
    return 0;
}

// ---- the engine ----

static int call(lua_State *L, enum aws_service service) {
    struct rig *rig = rig_of(L);
    enum aws_op op;
    struct err e;
    if (aws_op_find(service, str_c(luaL_checkstring(L, 2)), &op, &e)) return luaL_error(L, "%s", e.msg);
    struct aws_call *c = aws_call_new(op);
    struct str text = arena_str(&c->arena, str_c(luaL_checkstring(L, 3)));
    if (json_parse(&c->arena, text, NULL, &c->params, &e)) return luaL_error(L, "%s", e.msg);
    aws_call_wait(local_backend(rig->conn), rig->loop, c);
    if (c->err.code) {
        lua_pushnil(L);
        lua_pushstring(L, c->err.msg);
    } else {
        struct buf b = BUF_MAX(1 << 20);
        json_write(&b, &c->result);
        lua_pushlstring(L, b.p, b.n);
        lua_pushnil(L);
        buf_free(&b);
    }
    aws_call_free(c);
    return 2;
}

/* rig:sqs("SendMessage", json) -> result as JSON, or nil and the error's message */
static int l_sqs(lua_State *L) {
    return call(L, AWS_SQS);
}

static int l_dynamodb(lua_State *L) {
    return call(L, AWS_DYNAMODB);
}

static int l_fail_steps(lua_State *L) {
    local_fault(rig_of(L)->local, LOCAL_FAULT_COMMIT, luaL_checkinteger(L, 2));
    return 0;
}

// ---- feeds ----

static const struct function *function_at(struct rig *rig, const char *name) {
    for (size_t i = 0; i < rig->app.n_functions; i++)
        if (str_is(rig->functions[i].name, name)) return &rig->functions[i];
    return NULL;
}

static lua_Integer opt(lua_State *L, const char *name, lua_Integer otherwise) {
    lua_getfield(L, 4, name);
    lua_Integer v = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

/* rig:feed(queue, function, {batch_size, window_ms, concurrency, report, enabled}) */
static int l_feed(lua_State *L) {
    struct rig *rig = rig_of(L);
    luaL_checktype(L, 4, LUA_TTABLE);
    rig->app_feed = (struct app_feed){.queue = arena_str(&rig->arena, str_c(luaL_checkstring(L, 2))),
                                      .function = function_at(rig, luaL_checkstring(L, 3)),
                                      .batch_size = (uint32_t)opt(L, "batch_size", 10),
                                      .window_ms = (uint32_t)opt(L, "window_ms", 0),
                                      .report_failures = opt(L, "report", 1),
                                      .enabled = opt(L, "enabled", 1)};
    struct feed_config c = {.loop = rig->loop,
                            .backend = local_backend(rig->conn),
                            .route = rig->route,
                            .feed = &rig->app_feed,
                            .concurrency = (uint32_t)opt(L, "concurrency", 2),
                            .log = &rig->log,
                            .metrics = &rig->metrics};
    struct err e;
    if (!feed_open(&c, &rig->feed, &e)) return 0;
    lua_pushstring(L, e.msg);
    return 1;
}

static void on_done(void *ud) {
    struct rig *rig = ud;
    rig->done = true;
}

static int l_stop(lua_State *L) {
    struct rig *rig = rig_of(L);
    rig->done = false;
    if (rig->feed)
        feed_stop(rig->feed, on_done, rig);
    else if (!rig->clock_feed)
        rig->done = true; /* closed by the test */
    else
        clock_feed_stop(rig->clock_feed, on_done, rig);
    return 0;
}

static int l_close_feed(lua_State *L) {
    struct rig *rig = rig_of(L);
    feed_close(rig->feed);
    clock_feed_close(rig->clock_feed);
    rig->feed = NULL;
    rig->clock_feed = NULL;
    return 0;
}

static int l_polling(lua_State *L) {
    lua_pushboolean(L, feed_polling(rig_of(L)->feed));
    return 1;
}

/* rig:schedule(expression, function, {input, enabled, lease, timeout_ms}); lease: the table, key "id", TTL "ttl" */
static int open_clock(lua_State *L, const char *owner, struct clock_feed **ret) {
    struct rig *rig = rig_of(L);
    struct clock_feed_config c = {.loop = rig->loop,
                                  .route = rig->route,
                                  .app = &rig->app,
                                  .clock = &rig->clock,
                                  .log = &rig->log,
                                  .metrics = &rig->metrics,
                                  .id = local_backend(rig->conn)->id};
    lua_getfield(L, 4, "lease");
    if (!lua_isnil(L, -1))
        c.lease = (struct clock_lease){.backend = local_backend(rig->conn),
                                       .table = arena_str(&rig->arena, str_c(lua_tostring(L, -1))),
                                       .key = STR("id"),
                                       .ttl = STR("ttl"),
                                       .scope = STR("shop"),
                                       .owner = str_c(owner)};
    struct err e;
    if (!clock_feed_open(&c, ret, &e)) return 0;
    lua_pushstring(L, e.msg);
    return 1;
}

static int l_schedule(lua_State *L) {
    struct rig *rig = rig_of(L);
    luaL_checktype(L, 4, LUA_TTABLE);
    struct function *f = (struct function *)function_at(rig, luaL_checkstring(L, 3));
    f->timeout_ms = (uint32_t)opt(L, "timeout_ms", f->timeout_ms);
    lua_getfield(L, 4, "input");
    rig->schedule = (struct app_schedule){.name = STR("Nightly"),
                                          .expression = arena_str(&rig->arena, str_c(luaL_checkstring(L, 2))),
                                          .input = arena_str(&rig->arena, str_c(luaL_optstring(L, -1, ""))),
                                          .function = f,
                                          .enabled = opt(L, "enabled", 1)};
    rig->app.schedules = &rig->schedule;
    rig->app.n_schedules = 1;
    return open_clock(L, "host a", &rig->clock_feed);
}

/* The same schedule on another host; the arguments of rig:schedule. */
static int l_replica(lua_State *L) {
    return open_clock(L, "host b", &rig_of(L)->replica);
}

/* The first host dies; what runs there goes on unseen. */
static int l_die(lua_State *L) {
    struct rig *rig = rig_of(L);
    clock_feed_close(rig->clock_feed);
    rig->clock_feed = NULL;
    return 0;
}

static int l_debug(lua_State *L) {
    rig_of(L)->log.level = LOG_DEBUG;
    return 0;
}

static int l_freeze(lua_State *L) {
    rig_of(L)->clock.frozen_ms = luaL_checkinteger(L, 2);
    return 0;
}

static int l_advance(lua_State *L) {
    rig_of(L)->clock.offset_ms += luaL_checkinteger(L, 2);
    return 0;
}

static int l_turn(lua_State *L) {
    loop_once(rig_of(L)->loop, 10);
    return 0;
}

static int l_lines(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rig_of(L)->lines);
    return 1;
}

static int l_done(lua_State *L) {
    lua_pushboolean(L, rig_of(L)->done);
    return 1;
}

static const luaL_Reg methods[] = {{"close", l_close},
                                   {"__gc", l_close},
                                   {"sqs", l_sqs},
                                   {"dynamodb", l_dynamodb},
                                   {"replica", l_replica},
                                   {"die", l_die},
                                   {"debug", l_debug},
                                   {"feed", l_feed},
                                   {"stop", l_stop},
                                   {"polling", l_polling},
                                   {"freeze", l_freeze},
                                   {"schedule", l_schedule},
                                   {"advance", l_advance},
                                   {"turn", l_turn},
                                   {"lines", l_lines},
                                   {"done", l_done},
                                   {"fail_commit", l_fail_steps},
                                   {"close_feed", l_close_feed},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};

int luaopen_t_feed(lua_State *L) {
    luaL_newmetatable(L, "t.feed");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
