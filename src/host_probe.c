/* host_probe.c: what perigee.host offers of the probe: the calls that were made, faults, costs, order.
 *
 * - h:mark(), h:count() -> n, h:writes() -> n
 * - h:calls([from]) -> {{n=, service=, action=, function_name=, resource=, effect=, ...}}; h:keep_calls(what)
 * - h:fail{ at=, n=, match=, function_name=, resource=, nth=, times=, code=, message=, status=, retryable= } -> id;
 *   h:struck(id), h:forgive([id])
 * - h:price(on), h:cost() -> {rcu=, wcu=, sqs=, ...}; h:shuffle(seed), h:is_dead() */
#include "host_calls.h"
#include "host_lua.h"
#include "script/script.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

/* == opening ========================================================================================================
 */

static void died(void *ud) {
    ((struct worker *)ud)->died = true;
}

static void fail_commit(void *ud, bool fail) {
    local_fault(((struct worker *)ud)->host->cloud.local, LOCAL_FAULT_COMMIT, fail);
}

int host_probe_open(struct worker *w, struct err *e) {
    struct probe_config c = {
        .inner = cloud_backend(&w->conn),
        .loop = w->loop,
        .clock = w->host->clock,
        .died = died,
        .fail_commit = w->host->cloud.local ? fail_commit : NULL,
        .ud = w,
    };
    return probe_open(&c, &w->probe, e);
}

void host_probe_close(struct worker *w) {
    host_calls_close(w);
    probe_close(w->probe);
    w->probe = NULL;
}

/* == Lua ============================================================================================================
 */

/* Calls are seen from the first of these methods on. */
static struct worker *worker_of(lua_State *L) {
    struct worker *w = &host_lua_host(L)->workers[0];
    struct err e = {0};
    if (!w->calls && host_calls_open(w, &e)) luaL_error(L, "%s", e.msg);
    return w;
}

static struct probe *probe_of(lua_State *L) {
    return worker_of(L)->probe;
}

static int mark(lua_State *L) {
    struct worker *w = worker_of(L);
    host_calls_forget(w->calls);
    probe_mark(w->probe);
    return 0;
}

static int count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)probe_count(probe_of(L)));
    return 1;
}

static int writes(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)worker_of(L)->calls->writes);
    return 1;
}

static int keep_calls(lua_State *L) {
    struct worker *w = worker_of(L);
    bool names = lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "names") == 0;
    luaL_argcheck(L, names || lua_isboolean(L, 2), 2, "true, false or \"names\" expected");
    w->calls->keep = names ? KEEP_NAMES : lua_toboolean(L, 2) ? KEEP_ALL : KEEP_NOTHING;
    return 0;
}

static void set_str(lua_State *L, const char *name, struct str s) {
    if (!s.p) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t v) {
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double v) {
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

static void set_bool(lua_State *L, const char *name, bool v) {
    lua_pushboolean(L, v);
    lua_setfield(L, -2, name);
}

static void push_cost(lua_State *L, const struct probe_cost *c) {
    lua_createtable(L, 0, 8);
    set_number(L, "rcu", c->rcu);
    set_number(L, "wcu", c->wcu);
    set_integer(L, "sqs", (int64_t)c->sqs);
    set_integer(L, "s3_puts", (int64_t)c->s3_puts);
    set_integer(L, "s3_gets", (int64_t)c->s3_gets);
    set_integer(L, "ses", (int64_t)c->ses);
    set_integer(L, "other", (int64_t)c->other);
}

static void set_document(lua_State *L, const char *name, const struct json *v, struct str body) {
    if (v->type != JSON_OBJ) return;
    script_push_json(L, v);
    set_str(L, "Body", body);
    lua_setfield(L, -2, name);
}

static void set_error(lua_State *L, const struct kept *k) {
    if (!k->code.n) return;
    lua_createtable(L, 0, 3);
    set_str(L, "code", k->code);
    set_str(L, "message", k->message);
    set_integer(L, "status", k->status);
    lua_setfield(L, -2, "error");
}

static void push_call(lua_State *L, const struct kept *k) {
    lua_createtable(L, 0, 18);
    set_integer(L, "n", (int64_t)k->n);
    set_integer(L, "begun", (int64_t)k->begun);
    set_str(L, "service", str_c(k->service));
    set_str(L, "action", str_c(k->action));
    set_str(L, "function_name", k->function);
    set_str(L, "request_id", k->request_id);
    set_str(L, "correlation_id", k->correlation_id);
    set_str(L, "resource", k->resource);
    set_str(L, "fault", str_c(k->fault));
    set_bool(L, "effect", k->effect);
    set_bool(L, "empty", k->empty);
    set_bool(L, "write", k->write);
    set_integer(L, "began_ms", k->began_ms);
    set_integer(L, "ended_ms", k->ended_ms);
    push_cost(L, &k->cost);
    lua_setfield(L, -2, "cost");
    set_error(L, k);
    set_document(L, "params", &k->params, k->body);
    set_document(L, "result", &k->result, k->result_body);
}

static int calls(lua_State *L) {
    struct calls *l = worker_of(L)->calls;
    uint64_t from = (uint64_t)luaL_optinteger(L, 2, 1);
    if (l->over) return luaL_error(L, "more calls since mark() than are kept: call mark() in between");
    lua_newtable(L);
    for (size_t i = 0, at = 0; i < l->n; i++) {
        if (l->list[i]->n < from) continue;
        push_call(L, l->list[i]);
        lua_rawseti(L, -2, (lua_Integer)++at);
    }
    return 1;
}

/* -- faults ------------------------------------------------------------------------------------------------------ */

static struct str text(lua_State *L, const char *name) {
    size_t n = 0;
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "fail: %s must be a string", name);
    const char *p = lua_tolstring(L, -1, &n);
    return str_n(p, n);
}

static lua_Integer integer(lua_State *L, const char *name, lua_Integer least) {
    int is = 0;
    lua_Integer v = lua_tointegerx(L, -1, &is);
    if (!is || lua_type(L, -1) != LUA_TNUMBER) luaL_error(L, "fail: %s must be an integer", name);
    if (v < least) luaL_error(L, "fail: %s must be at least %d", name, (int)least);
    return v;
}

static bool boolean(lua_State *L, const char *name) {
    if (!lua_isboolean(L, -1)) luaL_error(L, "fail: %s must be true or false", name);
    return lua_toboolean(L, -1);
}

static void set_kind(lua_State *L, struct probe_fault *f) {
    struct err e = {0};
    if (probe_kind_find(text(L, "at"), &f->kind, &e)) luaL_error(L, "fail: at: %s", e.msg);
}

/* The option on top of the stack. */
static void set_option(lua_State *L, const char *name, struct probe_fault *f) {
    struct {
        const char *name;
        struct str *to;
    } const texts[] = {{"match", &f->match},
                       {"function_name", &f->function},
                       {"resource", &f->resource},
                       {"code", &f->error},
                       {"message", &f->message}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name) != 0) continue;
        *texts[i].to = text(L, name);
        return;
    }
    if (strcmp(name, "at") == 0)
        set_kind(L, f);
    else if (strcmp(name, "n") == 0)
        f->n = (uint64_t)integer(L, name, 1);
    else if (strcmp(name, "nth") == 0)
        f->nth = (uint64_t)integer(L, name, 1);
    else if (strcmp(name, "times") == 0)
        f->times = integer(L, name, -1);
    else if (strcmp(name, "status") == 0)
        f->status = (int)integer(L, name, 1);
    else if (strcmp(name, "retryable") == 0)
        f->retryable = boolean(L, name);
    else
        luaL_error(L,
                   "fail: there is no option \"%s\"; there are at, n, match, function_name, resource, nth, times, "
                   "code, message, status, retryable",
                   name);
}

static int fail(lua_State *L) {
    struct probe *p = probe_of(L);
    struct probe_fault f = {.kind = PROBE_KINDS};
    struct err e = {0};
    uint64_t id = 0;
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) return luaL_error(L, "fail: its options are named: at = \"lost\"");
        set_option(L, lua_tostring(L, -2), &f);
    }
    if (f.kind == PROBE_KINDS) return luaL_error(L, "fail: at is missing: what happens, as in at = \"lost\"");
    if (probe_fail(p, &f, &id, &e)) return luaL_error(L, "fail: %s", e.msg);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

static int struck(lua_State *L) {
    struct probe *p = probe_of(L);
    lua_pushinteger(L, (lua_Integer)probe_struck(p, (uint64_t)luaL_checkinteger(L, 2)));
    return 1;
}

static int forgive(lua_State *L) {
    struct probe *p = probe_of(L);
    probe_forgive(p, (uint64_t)luaL_optinteger(L, 2, 0));
    return 0;
}

static int is_dead(lua_State *L) {
    lua_pushboolean(L, probe_is_dead(probe_of(L)));
    return 1;
}

/* -- cost and order ---------------------------------------------------------------------------------------------- */

static int price(lua_State *L) {
    struct probe *p = probe_of(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    probe_price(p, lua_toboolean(L, 2));
    return 0;
}

static int cost(lua_State *L) {
    struct worker *w = worker_of(L);
    struct probe_cost total = probe_total(w->probe);
    struct bill all = host_calls_bill(w->calls);
    push_cost(L, &total);
    set_integer(L, "calls", (int64_t)total.calls);
    set_integer(L, "runs", (int64_t)all.runs);
    set_integer(L, "billed_ms", (int64_t)all.billed_ms);
    set_number(L, "ms", all.ms);
    set_number(L, "gb_ms", all.gb_ms);
    return 1;
}

static int shuffle(lua_State *L) {
    struct probe *p = probe_of(L);
    probe_shuffle(p, (uint64_t)luaL_checkinteger(L, 2));
    return 0;
}

static const luaL_Reg methods[] = {
    {"mark", mark}, {"count", count},     {"calls", calls},     {"keep_calls", keep_calls}, {"writes", writes},
    {"fail", fail}, {"struck", struck},   {"forgive", forgive}, {"is_dead", is_dead},       {"price", price},
    {"cost", cost}, {"shuffle", shuffle}, {NULL, NULL},
};

void host_probe_methods(lua_State *L) {
    luaL_setfuncs(L, methods, 0);
}
