/* coro: the coroutine library, with resumers that pass on the yields of the host: a host call may wait, and a job may
 * be preempted or ended, at any depth of nested coroutines; their resumers never see it. And perigee.parallel, which is
 * a resumer of several. */
#include "script/state.h"
#include <lualib.h>

enum { RESET_DEPTH = 20 };

/* ==== coroutines that are in the middle of a host wait ==== */

/* The lowest bits of the host pointer in a thread's extra space: 1 busy, 2 a job's main coroutine. */
static void set_busy(lua_State *co, bool busy) {
    uintptr_t *p = lua_getextraspace(co);
    *p = busy ? *p | 1 : *p & ~(uintptr_t)1;
}

static bool is_busy(lua_State *co) {
    return *(uintptr_t *)lua_getextraspace(co) & 1;
}

static lua_State *check_co(lua_State *L, int idx) {
    lua_State *co = lua_tothread(L, idx);
    luaL_argexpected(L, co, idx, "coroutine");
    return co;
}

void coro_mark_main(lua_State *co) {
    *(uintptr_t *)lua_getextraspace(co) |= 2;
}

/* The main coroutine of some job: nobody's to resume or close. */
static bool is_main(lua_State *co) {
    return *(uintptr_t *)lua_getextraspace(co) & 2;
}

/* As in lcorolib.c, but for the busy. */
static const char *status_of(lua_State *L, lua_State *co) {
    lua_Debug ar;
    if (L == co) return "running";
    if (is_busy(co)) return "normal";
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar)) return "normal";
        return lua_gettop(co) ? "suspended" : "dead";
    default:
        return "dead";
    }
}

/* ==== resuming ==== */

enum mode { RESUME, WRAP };

static int drive(lua_State *L, lua_State *co, int nargs, enum mode mode);

static int driven(lua_State *L, int status, lua_KContext ctx) {
    enum mode mode = (enum mode)ctx;
    lua_State *co = mode == RESUME ? lua_tothread(L, 1) : lua_tothread(L, lua_upvalueindex(1));
    (void)status;
    set_busy(co, false);
    return drive(L, co, 0, mode);
}

/* co has yielded for the host: so does L. */
static int pass_on(lua_State *L, lua_State *co, enum mode mode) {
    struct script *s = script_of(L);
    set_busy(co, true);
    if (s->yield == YIELD_STOP) limits_leave(L);
    return lua_yieldk(L, 0, mode, driven);
}

static int resumed_error(lua_State *L, const char *msg, enum mode mode) {
    if (mode == WRAP) return luaL_error(L, "%s", msg);
    lua_pushboolean(L, false);
    lua_pushstring(L, msg);
    return 2;
}

/* Closes its variables (whose code may run for long); an error value stays on its stack. Lua 5.4.4 does not count the C
 * stack across lua_resetthread: <close> variables that close coroutines with <close> variables would overflow it. */
static int reset(lua_State *L, lua_State *co) {
    struct script *s = script_of(L);
    lua_State *current = s->current;
    if (s->reset_depth >= RESET_DEPTH) luaL_error(L, "C stack overflow (coroutine.close inside of coroutine.close)");
    s->reset_depth++;
    s->current = co;
    int rc = lua_resetthread(co);
    s->reset_depth--;
    s->current = current;
    if (s->running && s->running->stop.code) limits_leave(L);
    return rc;
}

static int failed(lua_State *L, lua_State *co, enum mode mode) {
    struct job *j = script_of(L)->running;
    if (j && j->stop.code) limits_leave(L);
    if (mode == RESUME) {
        lua_pushboolean(L, false);
        lua_xmove(co, L, 1);
        return 2;
    }
    reset(L, co);
    lua_xmove(co, L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int drive(lua_State *L, lua_State *co, int nargs, enum mode mode) {
    struct script *s = script_of(L);
    int n;
    int rc = job_resume_lua(s, co, L, nargs, &n);
    if (rc == LUA_YIELD && s->yield != YIELD_NONE) {
        lua_pop(co, n);
        return pass_on(L, co, mode);
    }
    if (rc != LUA_OK && rc != LUA_YIELD) return failed(L, co, mode);
    int more = mode == RESUME;
    if (!lua_checkstack(L, n + more)) {
        lua_pop(co, n);
        return resumed_error(L, "too many results to resume", mode);
    }
    if (more) lua_pushboolean(L, true);
    lua_xmove(co, L, n);
    return n + more;
}

static int start(lua_State *L, lua_State *co, int nargs, enum mode mode) {
    const char *status = status_of(L, co);
    if (is_main(co)) return resumed_error(L, "cannot resume the coroutine of a handler", mode);
    if (*status != 's')
        return resumed_error(
            L, *status == 'd' ? "cannot resume dead coroutine" : "cannot resume non-suspended coroutine", mode);
    if (!lua_checkstack(co, nargs + 1)) return resumed_error(L, "too many arguments to resume", mode);
    lua_xmove(L, co, nargs);
    return drive(L, co, nargs, mode);
}

static int co_resume(lua_State *L) {
    lua_State *co = check_co(L, 1);
    return start(L, co, lua_gettop(L) - 1, RESUME);
}

static int wrapped(lua_State *L) {
    return start(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), WRAP);
}

static int co_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    limits_reset_hook(script_of(L), co);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L) {
    co_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* ==== the rest of the library ==== */

static int co_yield (lua_State *L) {
    if (is_main(L)) return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L) {
    lua_pushstring(L, status_of(L, check_co(L, 1)));
    return 1;
}

static int co_running(lua_State *L) {
    bool main = lua_pushthread(L) || is_main(L);
    lua_pushboolean(L, main);
    return 2;
}

static int co_isyieldable(lua_State *L) {
    lua_State *co = lua_isnone(L, 1) ? L : check_co(L, 1);
    lua_pushboolean(L, lua_isyieldable(co) && !is_main(co));
    return 1;
}

static int co_close(lua_State *L) {
    lua_State *co = check_co(L, 1);
    const char *status = status_of(L, co);
    if (*status != 's' && *status != 'd') return luaL_error(L, "cannot close a %s coroutine", status);
    if (is_main(co)) return luaL_error(L, "cannot close the coroutine of a handler");
    int rc = reset(L, co);
    lua_pushboolean(L, rc == LUA_OK);
    if (rc == LUA_OK) return 1;
    lua_xmove(co, L, 1);
    return 2;
}

void coro_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"create", co_create}, {"wrap", co_wrap},       {"resume", co_resume}, {"yield", co_yield },
        {"status", co_status}, {"running", co_running}, {"close", co_close},   {"isyieldable", co_isyieldable},
        {NULL, NULL}};
    luaL_newlib(L, functions);
}

/* ==== perigee.parallel ==== */

/* Stack: 1 functions, 2 threads (false: ended), 3 results, 4 waits (light userdata, or false: resume it anyway), 5
 * scope. */
enum { FUNCTIONS = 1, THREADS, RESULTS, WAITS, SCOPE, PARALLEL_MAX = 10000 };
#define SCOPE_NAME "perigee.parallel"

struct scope {
    bool running;
};

/* An error left parallel while some still wait: nobody could resume them any more. */
static int scope_close(lua_State *L) {
    struct scope *scope = luaL_checkudata(L, 1, SCOPE_NAME);
    struct script *s = script_of(L);
    struct job *j = s->running;
    if (s->spin_root == L) s->spin_root = NULL;
    if (scope->running && j) {
        limits_stop(j, ERR_LIMIT, "not enough memory inside perigee.parallel");
        limits_leave(L);
    }
    return 0;
}

static void store_result(lua_State *L, lua_State *co, int i, bool ok, int n) {
    luaL_checkstack(L, n + 4, "too many results");
    lua_createtable(L, n + 1, 0);
    lua_pushboolean(L, ok);
    lua_rawseti(L, -2, 1);
    lua_xmove(co, L, n);
    for (int k = n; k >= 1; k--) lua_rawseti(L, -1 - k, k + 1);
    lua_rawseti(L, RESULTS, i);
    lua_pushboolean(L, false);
    lua_rawseti(L, THREADS, i);
}

/* Resumes the i-th; what it now waits for is stored in WAITS. */
static enum yield resume_one(lua_State *L, lua_State *co, int i) {
    struct script *s = script_of(L);
    int n;
    set_busy(co, false);
    int rc = job_resume_lua(s, co, L, 0, &n);
    if (rc == LUA_YIELD && s->yield != YIELD_NONE) {
        enum yield y = s->yield;
        lua_pop(co, n);
        set_busy(co, true);
        if (y == YIELD_STOP) limits_leave(L);
        if (y == YIELD_WAIT && s->yield_wait)
            lua_pushlightuserdata(L, s->yield_wait);
        else
            lua_pushboolean(L, false);
        lua_rawseti(L, WAITS, i);
        return y;
    }
    if (rc != LUA_OK && s->running && s->running->stop.code) limits_leave(L);
    if (rc == LUA_YIELD) {
        lua_settop(co, 0);
        lua_pushliteral(L, "coroutine.yield inside perigee.parallel, outside of a coroutine");
        lua_xmove(L, co, 1);
        n = 1;
    }
    store_result(L, co, i, rc == LUA_OK, rc == LUA_OK ? n : 1);
    return YIELD_NONE;
}

static bool may_go_on(lua_State *L, int i) {
    lua_rawgeti(L, WAITS, i);
    struct script_wait *w = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return !w || w->woken;
}

/* Resumes all that can go on; how many are left. */
static int round_of(lua_State *L, int n, bool *ret_preempted) {
    int left = 0;
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, THREADS, i);
        lua_State *co = lua_tothread(L, -1);
        lua_pop(L, 1);
        if (!co) continue;
        enum yield y = may_go_on(L, i) ? resume_one(L, co, i) : YIELD_WAIT;
        if (y == YIELD_PREEMPT) *ret_preempted = true;
        if (y != YIELD_NONE) left++;
    }
    return left;
}

static int parallel_next(lua_State *L, int status, lua_KContext ctx) {
    struct script *s = script_of(L);
    struct scope *scope = lua_touserdata(L, SCOPE);
    int n = (int)ctx;
    (void)status;
    for (;;) {
        bool preempted = false;
        int left = round_of(L, n, &preempted);
        if (!left) break;
        if (s->spin_root == L) { /* a trusted script: the loop is spun here */
            if (!preempted) loop_once(s->c.loop, -1);
            continue;
        }
        s->yield = preempted ? YIELD_PREEMPT : YIELD_WAIT;
        s->yield_wait = NULL;
        return lua_yieldk(L, 0, n, parallel_next);
    }
    scope->running = false;
    if (s->spin_root == L) s->spin_root = NULL;
    lua_pushvalue(L, RESULTS);
    return 1;
}

static int parallel_run(lua_State *L, int n) {
    struct script *s = script_of(L);
    if (!s->running && !(s->chain_ok && lua_isyieldable(L))) s->spin_root = L;
    return parallel_next(L, LUA_OK, n);
}

static int parallel(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    script_check_wait(L, "perigee.parallel");
    lua_Unsigned count = lua_rawlen(L, 1);
    luaL_argcheck(L, count <= PARALLEL_MAX, 1, "too many functions (limit: 10000)");
    int n = (int)count;
    for (int i = 0; i < 3; i++) lua_createtable(L, n, 0);
    for (int i = 1; i <= n; i++) {
        if (lua_rawgeti(L, FUNCTIONS, i) != LUA_TFUNCTION)
            return luaL_error(L, "item %d of the list is no function", i);
        lua_State *co = lua_newthread(L);
        set_busy(co, true);
        limits_reset_hook(script_of(L), co);
        lua_rawseti(L, THREADS, i);
        lua_xmove(L, co, 1);
        lua_pushboolean(L, false);
        lua_rawseti(L, WAITS, i);
        lua_pushboolean(L, false);
        lua_rawseti(L, RESULTS, i);
    }
    struct scope *scope = lua_newuserdatauv(L, sizeof *scope, 0);
    scope->running = false;
    luaL_setmetatable(L, SCOPE_NAME);
    lua_toclose(L, SCOPE);
    scope->running = true;
    return parallel_run(L, n);
}

int coro_open_parallel(lua_State *L) {
    luaL_newmetatable(L, SCOPE_NAME);
    lua_pushcfunction(L, scope_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    lua_pushcfunction(L, parallel);
    return 1;
}
