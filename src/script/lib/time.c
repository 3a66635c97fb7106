/* perigee.time: the host's clock (which tests can move), ISO 8601, and sleeping. */
#include "script/lib/lib.h"

#define SLEEP "perigee.sleep"
enum { SLEEP_MAX_MS = 15 * 60 * 1000 /* the longest Timeout of a function */ };

static int64_t wall_ms(lua_State *L) {
    return clock_ms(script_config(script_of(L))->clock);
}

static uint64_t mono_ms(lua_State *L) {
    return clock_mono_ms(script_config(script_of(L))->clock);
}

static int time_now(lua_State *L) {
    lua_pushinteger(L, wall_ms(L));
    return 1;
}

static int time_monotonic(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)mono_ms(L));
    return 1;
}

static int time_iso(lua_State *L) {
    static const int64_t last = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */
    int64_t ms = lua_isnoneornil(L, 1) ? wall_ms(L) : luaL_checkinteger(L, 1);
    char text[25];
    luaL_argcheck(L, ms >= 0 && ms <= last, 1, "Unix milliseconds from 0 to the end of the year 9999 expected");
    now_iso(ms, text);
    lua_pushstring(L, text);
    return 1;
}

static int time_parse(lua_State *L) {
    struct str text = lib_check_str(L, 1);
    int64_t ms;
    if (!now_parse_iso(text, &ms)) {
        struct err e;
        err_set(&e, ERR_SYNTAX, "'%.*s' is no ISO 8601 time such as 2026-11-22T04:55:46.123Z",
                (int)(text.n < 64 ? text.n : 64), text.p);
        return script_push_err(L, &e, "time", "parse", NULL, NULL);
    }
    lua_pushinteger(L, ms);
    return 1;
}

/* ==== sleep ==== */

struct sleep_op {
    struct script_wait wait;
    struct loop *loop;
    struct loop_timer timer;
};

static void sleep_due(void *ud) {
    struct sleep_op *op = ud;
    script_wake(&op->wait);
}

static void sleep_cancel(void *ud) {
    struct sleep_op *op = ud;
    loop_timer_stop(op->loop, &op->timer);
}

static int sleep_gc(lua_State *L) {
    struct sleep_op *op = lua_touserdata(L, 1);
    script_wait_forget(&op->wait);
    sleep_cancel(op);
    return 0;
}

static int sleep_finish(lua_State *L, int status, lua_KContext ctx) {
    (void)L, (void)status, (void)ctx;
    return 0;
}

static int time_sleep(lua_State *L) {
    lua_Integer ms = luaL_checkinteger(L, 1);
    luaL_argcheck(L, ms >= 0 && ms <= SLEEP_MAX_MS, 1, "milliseconds from 0 to 900000 expected");
    script_check_wait(L, "time.sleep");
    struct sleep_op *op = lua_newuserdatauv(L, sizeof *op, 0);
    *op = (struct sleep_op){.loop = script_config(script_of(L))->loop};
    luaL_setmetatable(L, SLEEP);
    uint64_t now = mono_ms(L), turn = loop_now_ms(op->loop); /* timers count from the beginning of the turn */
    loop_timer_start(op->loop, &op->timer, (uint64_t)ms + (now > turn ? now - turn : 0), sleep_due, op);
    return script_wait(L, &op->wait, sleep_cancel, op, sleep_finish);
}

int script_open_time(lua_State *L) {
    static const luaL_Reg functions[] = {{"now", time_now},     {"monotonic", time_monotonic}, {"iso", time_iso},
                                         {"parse", time_parse}, {"sleep", time_sleep},         {NULL, NULL}};
    if (luaL_newmetatable(L, SLEEP)) {
        lua_pushcfunction(L, sleep_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
