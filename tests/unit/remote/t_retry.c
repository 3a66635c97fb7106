/* t.retry: retry.c as it is.
 *   classify{failure = n, code = "..", name = "..", status = n, skew = ms} -> "no" | "transient" | ...
 *   delay(service, class, attempt, after_ms, random) -> ms · after(amz, http, status, now_ms) -> ms
 *   max_attempts(service, configured) · quota(mode, now_ms) -> q
 *   q:take(class) -> cost | nil; q:succeeded(cost); q:tokens(); q:wait(now_ms); q:sent(throttled, now_ms); q:rate() */
#include "remote/retry.h"
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#define QUOTA "t.retry.quota"

int luaopen_t_retry(lua_State *L);

static const char *const classes[] = {"no", "transient", "throttling", "clock", "credentials", NULL};
static const char *const failures[] = {"ok",      "bad_url",   "dns",    "connect", "tls", "reset",
                                       "timeout", "too_large", "source", "sink",    NULL};

static enum aws_service check_service(lua_State *L, int i) {
    enum aws_service s;
    struct err e = {0};
    if (aws_service_find(str_c(luaL_checkstring(L, i)), &s, &e)) luaL_error(L, "%s", e.msg);
    return s;
}

static enum retry_class check_class(lua_State *L, int i) {
    return (enum retry_class)luaL_checkoption(L, i, NULL, classes);
}

static int classify(lua_State *L) {
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "failure");
    lua_getfield(L, 1, "name");
    lua_getfield(L, 1, "status");
    lua_getfield(L, 1, "skew");
    lua_getfield(L, 1, "code");
    if (!lua_isnil(L, 3))
        err_service(&e, luaL_checkstring(L, 3), (int)luaL_optinteger(L, 4, 400), false, "said so");
    else if (!lua_isnil(L, 6))
        err_set(&e, strcmp(luaL_checkstring(L, 6), "bad_answer") ? ERR_VALIDATION : ERR_BAD_ANSWER, "said so");
    enum exchange_failure f = (enum exchange_failure)luaL_checkoption(L, 2, "ok", failures);
    lua_pushstring(L, classes[retry_classify(f, &e, luaL_optinteger(L, 5, INT64_MIN))]);
    return 1;
}

static int delay(lua_State *L) {
    uint64_t ms = retry_delay_ms(check_service(L, 1), check_class(L, 2), (unsigned)luaL_checkinteger(L, 3),
                                 luaL_checkinteger(L, 4), luaL_checknumber(L, 5));
    lua_pushinteger(L, (lua_Integer)ms);
    return 1;
}

static int after(lua_State *L) {
    lua_pushinteger(L, retry_after_ms(str_c(luaL_optstring(L, 1, NULL)), str_c(luaL_optstring(L, 2, NULL)),
                                      (int)luaL_checkinteger(L, 3), luaL_checkinteger(L, 4)));
    return 1;
}

static int max_attempts(lua_State *L) {
    struct settings s = {.max_attempts = (unsigned)luaL_checkinteger(L, 2)};
    lua_pushinteger(L, retry_max_attempts(&s, check_service(L, 1)));
    return 1;
}

static struct retry_quota *check(lua_State *L) {
    return *(struct retry_quota **)luaL_checkudata(L, 1, QUOTA);
}

static int quota(lua_State *L) {
    static const char *const modes[] = {"standard", "adaptive", NULL};
    int mode = luaL_checkoption(L, 1, NULL, modes);
    uint64_t now = (uint64_t)luaL_checkinteger(L, 2);
    struct retry_quota **q = lua_newuserdatauv(L, sizeof *q, 0);
    *q = NULL;
    luaL_setmetatable(L, QUOTA);
    *q = retry_quota_new(mode ? RETRY_ADAPTIVE : RETRY_STANDARD, now);
    return 1;
}

static int quota_gc(lua_State *L) {
    retry_quota_free(check(L));
    return 0;
}

static int quota_take(lua_State *L) {
    unsigned cost;
    if (retry_take(check(L), check_class(L, 2), &cost))
        lua_pushinteger(L, cost);
    else
        lua_pushnil(L);
    return 1;
}

static int quota_succeeded(lua_State *L) {
    retry_succeeded(check(L), (unsigned)luaL_checkinteger(L, 2));
    return 0;
}

static int quota_tokens(lua_State *L) {
    lua_pushinteger(L, retry_tokens(check(L)));
    return 1;
}

static int quota_wait(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)retry_send_wait_ms(check(L), (uint64_t)luaL_checkinteger(L, 2)));
    return 1;
}

static int quota_sent(lua_State *L) {
    retry_sent(check(L), lua_toboolean(L, 2), (uint64_t)luaL_checkinteger(L, 3));
    return 0;
}

static int quota_rate(lua_State *L) {
    lua_pushnumber(L, retry_send_rate(check(L)));
    return 1;
}

int luaopen_t_retry(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"take", quota_take}, {"succeeded", quota_succeeded}, {"tokens", quota_tokens}, {"wait", quota_wait},
        {"sent", quota_sent}, {"rate", quota_rate},           {"__gc", quota_gc},       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"classify", classify},         {"delay", delay}, {"after", after},
                                         {"max_attempts", max_attempts}, {"quota", quota}, {NULL, NULL}};
    luaL_newmetatable(L, QUOTA);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
