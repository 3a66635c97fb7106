/* host_connect.c: the Lua module perigee.connection: AWS calls of commands, without a template or handlers.
 *
 * - open{ data=directory } or open{ aws=true, profile=, region=, endpoint_url=, access_key=, secret_key=,
 *   session_token=, account= } -> c | nil, err (err.code "DataDirectoryInUse": another process has it). A directory
 *   that is not there is made.
 * - c:call(service, action, params[, body]) -> result | nil, err: in AWS's own shapes; blocks
 * - c:catch() from now on SIGINT and SIGTERM do not end the process; c:interrupted() -> whether one came since
 * - c:close() */
#include "base/log.h"
#include "host_lua.h"
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <string.h>

#define CONNECTION "perigee.connection"

struct connection {
    struct clock clock;
    struct log log;
    struct loop *loop;
    struct pool *pool;
    struct cloud cloud;
    struct cloud_conn conn;
    struct aws_call *call; /* the one being made */
    struct loop_signal *sigint, *sigterm;
    bool interrupted;
};

static int fail(lua_State *L, const struct err *e) {
    return script_push_err(L, e, NULL, NULL, NULL, NULL);
}

static void drop_call(struct connection *c) {
    if (c->call) aws_call_free(c->call);
    c->call = NULL;
}

static struct connection *check(lua_State *L) {
    struct connection *c = luaL_checkudata(L, 1, CONNECTION);
    luaL_argcheck(L, c->loop, 1, "this connection is closed");
    drop_call(c);
    return c;
}

static int connection_close(lua_State *L) {
    struct connection *c = luaL_checkudata(L, 1, CONNECTION);
    drop_call(c);
    if (c->sigint) loop_signal_remove(c->sigint);
    if (c->sigterm) loop_signal_remove(c->sigterm);
    if (cloud_is_attached(&c->conn)) cloud_detach(&c->conn);
    cloud_close(&c->cloud);
    if (c->pool) pool_close(c->pool);
    if (c->loop) loop_close(c->loop);
    *c = (struct connection){0};
    return 0;
}

static const char *text(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    return luaL_optstring(L, -1, NULL); /* stays on the stack */
}

static void read_config(lua_State *L, struct perigee_config *c) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 20, "connection.open");
    lua_getfield(L, 1, "aws");
    c->aws = lua_toboolean(L, -1);
    c->data = text(L, "data");
    c->profile = text(L, "profile");
    c->region = text(L, "region");
    c->endpoint_url = text(L, "endpoint_url");
    c->access_key = text(L, "access_key");
    c->secret_key = text(L, "secret_key");
    c->session_token = text(L, "session_token");
    c->account = text(L, "account");
    luaL_argcheck(L, c->aws || c->data, 1, "data or aws is missing");
}

static int open_cloud(struct connection *c, const struct perigee_config *config, struct err *e) {
    struct cloud_config cc = {config, &c->clock, &c->log, NULL, NULL};
    if (cloud_check(config, e) || loop_open(&c->loop, e) || pool_open(1, 0, &c->pool, e)) return -1;
    cc.pool = c->pool;
    if (cloud_open(&c->cloud, &cc, e)) return -1;
    if (c->cloud.remote && config->account) remote_set_account(c->cloud.remote, str_c(config->account));
    if (c->cloud.remote && remote_prepare(c->cloud.remote, e)) return -1;
    if (c->cloud.local) local_set_endpoint(c->cloud.local, 4566, "");
    return cloud_attach(&c->cloud, c->loop, &c->conn, e);
}

static int connection_open(lua_State *L) {
    struct perigee_config config = perigee_defaults();
    struct err e = {0};
    read_config(L, &config);
    struct connection *c = lua_newuserdatauv(L, sizeof *c, 1);
    lua_pushvalue(L, 1); /* its strings stay in use */
    lua_setiuservalue(L, -2, 1);
    *c = (struct connection){.log = {.level = LOG_OFF}};
    luaL_setmetatable(L, CONNECTION);
    if (open_cloud(c, &config, &e)) return fail(L, &e);
    return 1;
}

static int connection_call(lua_State *L) {
    struct connection *c = check(L);
    host_lua_read_call(L, &c->call);
    aws_call_wait(cloud_backend(&c->conn), c->loop, c->call);
    return host_lua_push_call(L, c->call);
}

static void on_signal(void *ud, int signum) {
    (void)signum;
    *(bool *)ud = true;
}

static int connection_catch(lua_State *L) {
    struct connection *c = check(L);
    struct err e = {0};
    if (!c->sigint && loop_signal_add(c->loop, SIGINT, on_signal, &c->interrupted, &c->sigint, &e)) return fail(L, &e);
    if (!c->sigterm && loop_signal_add(c->loop, SIGTERM, on_signal, &c->interrupted, &c->sigterm, &e))
        return fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int connection_interrupted(lua_State *L) {
    struct connection *c = check(L);
    if (c->sigint) loop_once(c->loop, 0);
    lua_pushboolean(L, c->interrupted);
    return 1;
}

int host_connect_open(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"call", connection_call},
        {"catch", connection_catch},
        {"interrupted", connection_interrupted},
        {"close", connection_close},
        {"__gc", connection_close},
        {"__close", connection_close},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {{"open", connection_open}, {NULL, NULL}};
    luaL_newmetatable(L, CONNECTION);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
