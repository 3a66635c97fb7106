/* t.probe: a probe around a backend whose answers tests decide, or around the engine, on a loop in simulated time.
 *
 * open{ engine=true } -> rig. rig:answer(operation, how, text): how: "done", "later" (when the loop turns), "held" (by
 * rig:release(id), or when it is given up); text: the result, or the name of an error.
 * rig:call(operation, params[, {function_name=, request_id=, deadline=, home=}]) -> id. rig:outcome(id) -> nil | code
 * or "", result. */
#include "local/local.h"
#include "probe/probe.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_probe(lua_State *L);

enum how { DONE, LATER, HELD };
enum { ANSWERS = 16, CALLS = 512 };

struct answer {
    char operation[64], *text;
    enum how how;
    bool error;
};
struct out { /* a call */
    struct rig *rig;
    struct aws_call *call; /* NULL: over, or given up */
    char *result;
    struct err err;
    bool over;
};
struct rig {
    lua_State *L;
    struct aws_backend inner;
    struct loop *loop;
    struct clock clock;
    struct log log;
    struct local *local;
    struct local_conn *conn;
    struct probe *probe;
    struct answer answers[ANSWERS];
    size_t n_answers, n_calls, n_deaths, n_commits;
    struct out *calls;
    struct list held;
    int said, seen, before; /* tables of the registry */
    bool open, commit_fails;
};

static struct rig *rig_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.probe");
}

static void append(struct rig *r, int list) { /* what is at the top */
    lua_State *L = r->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, list);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

static void say(struct rig *r, const char *what, const struct aws_call *c) {
    lua_pushfstring(r->L, "%s %s:%s", what, aws_service_name(c->row->service), c->row->action);
    append(r, r->said);
}

/* == the inner backend ==============================================================================================
 */

static const struct answer *answer_to(const struct rig *r, const struct aws_call *c) {
    char operation[64];
    snprintf(operation, sizeof operation, "%s:%s", aws_service_name(c->row->service), c->row->action);
    for (size_t i = r->n_answers; i-- > 0;)
        if (!strcmp(r->answers[i].operation, operation)) return &r->answers[i];
    return NULL;
}

static void fill(const struct answer *a, struct aws_call *c) {
    if (!a || !a->text) return;
    if (a->error)
        err_service(&c->err, a->text, 400, false, "as the test says");
    else if (json_parse(&c->arena, arena_str(&c->arena, str_c(a->text)), NULL, &c->result, NULL))
        fatal("bad JSON in a test: %s", a->text);
}

static void complete(void *ud) {
    struct aws_call *c = ud;
    struct rig *r = c->state;
    if (!c->cancelled) fill(answer_to(r, c), c);
    aws_complete(c);
}

static enum aws_started inner_start(struct aws_backend *b, struct aws_call *c) {
    struct rig *r = CONTAINER(b, struct rig, inner);
    const struct answer *a = answer_to(r, c);
    say(r, "start", c);
    if (!a || a->how == DONE) {
        fill(a, c);
        return AWS_DONE;
    }
    c->state = r;
    loop_task_init(&c->task, complete, c);
    if (a->how == LATER)
        loop_defer(r->loop, &c->task);
    else
        list_add(&r->held, &c->node);
    return AWS_PENDING;
}

static void inner_cancel(struct aws_backend *b, struct aws_call *c) {
    struct rig *r = CONTAINER(b, struct rig, inner);
    say(r, "cancel", c);
    if (list_empty(&c->node)) return; /* on its way already */
    list_del(&c->node);
    err_set(&c->err, ERR_CANCELLED, "given up");
    loop_defer(r->loop, &c->task);
}

static const struct aws_backend_ops inner_ops = {.start = inner_start, .cancel = inner_cancel};

/* == open and close =================================================================================================
 */

static void died(void *ud) {
    ((struct rig *)ud)->n_deaths++;
}

static void fail_commit(void *ud, bool fail) {
    struct rig *r = ud;
    r->n_commits += fail;
    r->commit_fails = fail;
    if (r->local) local_fault(r->local, LOCAL_FAULT_COMMIT, fail);
}

static void raise(lua_State *L, int rc, const struct err *e) {
    if (rc) luaL_error(L, "%s", e->msg);
}

static void open_engine(lua_State *L, struct rig *r) {
    struct err e = {0};
    r->log = (struct log){.level = LOG_OFF};
    const struct local_config c = {.clock = &r->clock, .log = &r->log, .threadless = true};
    raise(L, local_open(&c, &r->local, &e), &e);
    raise(L, local_attach(r->local, r->loop, &r->conn, &e), &e);
}

static int new_table(lua_State *L) {
    lua_newtable(L);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static int rig_open(lua_State *L) {
    bool engine = lua_istable(L, 1) && lua_getfield(L, 1, "engine") != LUA_TNIL;
    struct rig *r = lua_newuserdatauv(L, sizeof *r, 0);
    struct err e = {0};
    memset(r, 0, sizeof *r);
    r->L = L;
    list_init(&r->held);
    r->calls = calloc(CALLS, sizeof *r->calls);
    r->inner = (struct aws_backend){&inner_ops, {STR("us-east-1"), STR("000000000000"), STR("aws")}};
    r->said = new_table(L);
    r->seen = new_table(L);
    r->before = new_table(L);
    clock_simulate(&r->clock, 1700000000000);
    luaL_setmetatable(L, "t.probe");
    raise(L, loop_open(&r->loop, &e), &e);
    loop_simulate(r->loop, &r->clock);
    if (engine) open_engine(L, r);
    const struct probe_config c = {.inner = engine ? local_backend(r->conn) : &r->inner,
                                   .loop = r->loop,
                                   .clock = &r->clock,
                                   .died = died,
                                   .fail_commit = fail_commit,
                                   .ud = r};
    raise(L, probe_open(&c, &r->probe, &e), &e);
    r->open = true;
    return 1;
}

static void turn(struct rig *r) {
    for (int i = 0; i < 10000 && !loop_is_quiet(r->loop); i++) loop_once(r->loop, 0);
}

static int rig_close(lua_State *L) {
    struct rig *r = rig_of(L);
    if (!r->open) return 0;
    r->open = false;
    for (size_t i = 0; i < r->n_calls; i++)
        if (r->calls[i].call) aws_cancel(r->calls[i].call);
    turn(r);
    if (r->conn) local_detach(r->conn);
    probe_close(r->probe);
    if (r->local) local_close(r->local);
    loop_close(r->loop);
    for (size_t i = 0; i < r->n_calls; i++) free(r->calls[i].result);
    for (size_t i = 0; i < r->n_answers; i++) free(r->answers[i].text);
    free(r->calls);
    luaL_unref(L, LUA_REGISTRYINDEX, r->said);
    luaL_unref(L, LUA_REGISTRYINDEX, r->seen);
    luaL_unref(L, LUA_REGISTRYINDEX, r->before);
    return 0;
}

/* == calls ==========================================================================================================
 */

static int rig_answer(lua_State *L) {
    static const char *const names[] = {"done", "later", "held", NULL};
    struct rig *r = rig_of(L);
    luaL_argcheck(L, r->n_answers < ANSWERS, 2, "too many answers");
    struct answer *a = &r->answers[r->n_answers++];
    snprintf(a->operation, sizeof a->operation, "%s", luaL_checkstring(L, 2));
    a->how = (enum how)luaL_checkoption(L, 3, "done", names);
    const char *text = luaL_optstring(L, 4, NULL);
    a->text = text ? strdup(text) : NULL;
    a->error = text && text[0] != '{';
    return 0;
}

static char *json_text(const struct json *v) {
    struct buf b = BUF_MAX(1 << 20);
    json_write(&b, v);
    char *text = strdup(buf_cstr(&b));
    buf_free(&b);
    return text;
}

static void on_done(struct aws_call *c, void *ud) {
    struct out *o = ud;
    say(o->rig, "told", c);
    o->err = c->err;
    o->result = json_text(&c->result);
    o->over = true;
    o->call = NULL;
    aws_call_free(c);
}

static struct str option(lua_State *L, struct arena *a, const char *name) {
    struct str s = STR_NONE;
    if (lua_istable(L, 4) && lua_getfield(L, 4, name) != LUA_TNIL) s = arena_str(a, str_c(luaL_checkstring(L, -1)));
    lua_settop(L, 4);
    return s;
}

static int rig_call(lua_State *L) {
    struct rig *r = rig_of(L);
    struct err e = {0};
    enum aws_service service;
    struct str action = str_c(luaL_checkstring(L, 2)), params = str_c(luaL_optstring(L, 3, "{}"));
    raise(L, aws_service_find(str_cut(&action, ':'), &service, &e), &e);
    struct aws_call *c = aws_call_named(service, action);
    lua_settop(L, 4);
    if (json_parse(&c->arena, arena_str(&c->arena, params), NULL, &c->params, &e)) raise(L, -1, &e);
    c->context.function = option(L, &c->arena, "function_name");
    c->context.request_id = option(L, &c->arena, "request_id");
    c->context.deadline_ms = option(L, &c->arena, "deadline").n ? 1 : 0;
    struct str body = option(L, &c->arena, "body");
    c->body = body;
    struct out *o = &r->calls[r->n_calls++];
    if (r->n_calls == CALLS) fatal("too many calls in a test");
    *o = (struct out){.rig = r, .call = c};
    c->done = on_done;
    c->ud = o;
    if (aws_start(probe_backend(r->probe), r->loop, c) == AWS_DONE) on_done(c, o);
    lua_pushinteger(L, (lua_Integer)r->n_calls);
    return 1;
}

static struct out *out_of(lua_State *L) {
    struct rig *r = rig_of(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    luaL_argcheck(L, id >= 1 && (size_t)id <= r->n_calls, 2, "no such call");
    return &r->calls[id - 1];
}

static int rig_outcome(lua_State *L) {
    struct out *o = out_of(L);
    if (!o->over) return 0;
    lua_pushstring(L, o->err.code ? err_name_of(&o->err) : "");
    lua_pushstring(L, o->result);
    lua_pushinteger(L, err_status_of(&o->err));
    lua_pushstring(L, o->err.msg);
    lua_pushboolean(L, err_retryable_of(&o->err));
    return 5;
}

static int rig_cancel(lua_State *L) {
    struct out *o = out_of(L);
    struct aws_call *c = o->call;
    o->call = NULL;
    if (c) aws_cancel(c);
    return 0;
}

/* The oldest that is held is answered. */
static int rig_release(lua_State *L) {
    struct rig *r = rig_of(L);
    struct list *n = list_pop(&r->held);
    if (!n) return luaL_error(L, "nothing is held");
    complete(CONTAINER(n, struct aws_call, node));
    return 0;
}

static int rig_turn(lua_State *L) {
    turn(rig_of(L));
    return 0;
}

static int rig_pass(lua_State *L) {
    struct rig *r = rig_of(L);
    clock_pass(&r->clock, (uint64_t)luaL_checkinteger(L, 2));
    loop_once(r->loop, 0);
    turn(r);
    return 0;
}

/* == the probe ======================================================================================================
 */

static void set_str(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
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
    lua_newtable(L);
    set_number(L, "rcu", c->rcu);
    set_number(L, "wcu", c->wcu);
    set_number(L, "sqs", (double)c->sqs);
    set_number(L, "s3_puts", (double)c->s3_puts);
    set_number(L, "s3_gets", (double)c->s3_gets);
    set_number(L, "ses", (double)c->ses);
    set_number(L, "other", (double)c->other);
}

static void on_seen(void *ud, const struct probe_call *s) {
    struct rig *r = ud;
    lua_State *L = r->L;
    char *params = json_text(&s->call->params);
    struct buf resource = BUF_MAX(1024);
    probe_resource(s->call, &resource);
    lua_newtable(L);
    set_number(L, "n", (double)s->n);
    set_str(L, "action", str_c(s->call->row->action));
    set_str(L, "told", str_c(s->told.code ? err_name_of(&s->told) : ""));
    set_str(L, "fault", str_c(s->fault));
    set_str(L, "params", str_c(params));
    set_str(L, "resource", buf_view(&resource));
    set_bool(L, "effect", s->effect);
    set_bool(L, "empty", s->empty);
    set_number(L, "ms", (double)(s->ended_ms - s->began_ms));
    push_cost(L, &s->cost);
    lua_setfield(L, -2, "cost");
    append(r, r->seen);
    buf_free(&resource);
    free(params);
}

static void on_before(void *ud, const struct aws_call *c) {
    struct rig *r = ud;
    lua_pushstring(r->L, c->row->action);
    append(r, r->before);
}

static int rig_listen(lua_State *L) {
    struct rig *r = rig_of(L);
    struct err e = {0};
    if (!lua_isnoneornil(L, 2) && !lua_toboolean(L, 2)) {
        probe_unlisten(r->probe, on_seen, r);
        probe_before(r->probe, NULL, NULL);
        return 0;
    }
    raise(L, probe_listen(r->probe, on_seen, r, &e), &e);
    probe_before(r->probe, on_before, r);
    return 0;
}

static int push_list(lua_State *L, int ref) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    return 1;
}

static int rig_said(lua_State *L) {
    return push_list(L, rig_of(L)->said);
}

static int rig_seen(lua_State *L) {
    return push_list(L, rig_of(L)->seen);
}

static int rig_befores(lua_State *L) {
    return push_list(L, rig_of(L)->before);
}

static struct str field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name); /* stays on the stack */
    return str_c(luaL_optstring(L, -1, NULL));
}

static lua_Integer field_number(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    return luaL_optinteger(L, -1, 0);
}

static int rig_fail(lua_State *L) {
    struct rig *r = rig_of(L);
    struct err e = {0};
    uint64_t id = 0;
    struct probe_fault f = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    raise(L, probe_kind_find(field(L, "at"), &f.kind, &e), &e);
    f.n = (uint64_t)field_number(L, "n");
    f.nth = (uint64_t)field_number(L, "nth");
    f.times = field_number(L, "times");
    f.status = (int)field_number(L, "status");
    f.match = field(L, "match");
    f.function = field(L, "function_name");
    f.resource = field(L, "resource");
    f.error = field(L, "code");
    f.message = field(L, "message");
    if (probe_fail(r->probe, &f, &id, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

static int rig_struck(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)probe_struck(rig_of(L)->probe, (uint64_t)luaL_checkinteger(L, 2)));
    return 1;
}

static int rig_forgive(lua_State *L) {
    probe_forgive(rig_of(L)->probe, (uint64_t)luaL_optinteger(L, 2, 0));
    return 0;
}

static int rig_mark(lua_State *L) {
    probe_mark(rig_of(L)->probe);
    return 0;
}

static int rig_count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)probe_count(rig_of(L)->probe));
    return 1;
}

static int rig_price(lua_State *L) {
    probe_price(rig_of(L)->probe, lua_toboolean(L, 2));
    return 0;
}

static int rig_total(lua_State *L) {
    struct probe_cost c = probe_total(rig_of(L)->probe);
    push_cost(L, &c);
    set_number(L, "calls", (double)c.calls);
    return 1;
}

static int rig_shuffle(lua_State *L) {
    probe_shuffle(rig_of(L)->probe, (uint64_t)luaL_checkinteger(L, 2));
    return 0;
}

static int rig_deaths(lua_State *L) {
    struct rig *r = rig_of(L);
    lua_pushinteger(L, (lua_Integer)r->n_deaths);
    lua_pushboolean(L, probe_is_dead(r->probe));
    return 2;
}

static int rig_commits(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)rig_of(L)->n_commits);
    lua_pushboolean(L, rig_of(L)->commit_fails);
    return 2;
}

static int rig_revive(lua_State *L) {
    probe_revive(rig_of(L)->probe);
    return 0;
}

int luaopen_t_probe(lua_State *L) {
    static const luaL_Reg methods[] = {{"answer", rig_answer},
                                       {"call", rig_call},
                                       {"outcome", rig_outcome},
                                       {"cancel", rig_cancel},
                                       {"release", rig_release},
                                       {"turn", rig_turn},
                                       {"pass", rig_pass},
                                       {"listen", rig_listen},
                                       {"said", rig_said},
                                       {"seen", rig_seen},
                                       {"befores", rig_befores},
                                       {"fail", rig_fail},
                                       {"struck", rig_struck},
                                       {"forgive", rig_forgive},
                                       {"mark", rig_mark},
                                       {"count", rig_count},
                                       {"price", rig_price},
                                       {"total", rig_total},
                                       {"shuffle", rig_shuffle},
                                       {"deaths", rig_deaths},
                                       {"commits", rig_commits},
                                       {"revive", rig_revive},
                                       {"close", rig_close},
                                       {"__gc", rig_close},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", rig_open}, {NULL, NULL}};
    luaL_newmetatable(L, "t.probe");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
