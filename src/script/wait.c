#include "script/state.h"

/* ==== may it wait? ==== */

static bool can_yield(struct script *s, lua_State *L) {
    return s->chain_ok && lua_isyieldable(L);
}

static int loading(struct script *s) {
    return s->running ? s->running->loading : s->loading;
}

void script_check_wait(lua_State *L, const char *what) {
    struct script *s = script_of(L);
    if (!s->running && s->c.trusted) return;
    if (loading(s)) luaL_error(L, "%s is not possible while a module is being loaded: call it from the handler", what);
    if (!s->running) luaL_error(L, "%s is only possible while a handler runs", what);
    if (!can_yield(s, L))
        luaL_error(L,
                   "%s is not possible inside table.sort, string.gsub, load, a __tostring, __index of a C function or "
                   "another C function that calls back into Lua",
                   what);
}

/* ==== waiting ==== */

static int wait_more(lua_State *L, int status, lua_KContext ctx) {
    struct script_wait *w = (struct script_wait *)ctx;
    (void)status;
    if (!w->woken) { /* something else of this job has woken it */
        w->script->yield = YIELD_WAIT;
        w->script->yield_wait = w;
        return lua_yieldk(L, 0, ctx, wait_more);
    }
    w->waiting = false;
    list_del(&w->node);
    return w->finish(L, LUA_YIELD, (lua_KContext)w->ud);
}

static int spin(lua_State *L, struct script_wait *w) {
    struct script *s = w->script;
    lua_State *current = s->current;
    bool chain_ok = s->chain_ok;
    s->current = NULL;
    while (!w->woken) loop_once(s->c.loop, -1);
    s->current = current;
    s->chain_ok = chain_ok;
    w->waiting = false;
    return w->finish(L, LUA_YIELD, (lua_KContext)w->ud);
}

int script_wait(lua_State *L, struct script_wait *w, void (*cancel)(void *ud), void *ud, lua_KFunction finish) {
    struct script *s = script_of(L);
    *w = (struct script_wait){
        .script = s, .job = s->running, .waiting = true, .cancel = cancel, .ud = ud, .finish = finish};
    list_init(&w->node);
    if (!can_yield(s, L)) {
        if (!s->running && s->c.trusted) return spin(L, w);
        w->waiting = false;
        cancel(ud);
        return luaL_error(L, "a host call waits where it cannot");
    }
    if (w->job) list_add(&w->job->waits, &w->node);
    return wait_more(L, LUA_YIELD, (lua_KContext)w);
}

void script_wake(struct script_wait *w) {
    if (w->woken) return;
    w->woken = true;
    if (w->job && w->waiting) job_wake(w->job);
}

void script_wait_forget(struct script_wait *w) {
    if (!w->script || !w->waiting) return;
    w->waiting = false;
    list_del(&w->node);
}

/* ==== what the running job is ==== */

static const struct unit *unit_of(struct script *s) {
    return s->running ? s->running->unit : s->loading_unit;
}

static struct str correlation(const struct job *j) {
    return j->in.kind == SCRIPT_MESSAGE ? j->in.message->correlation_id : STR_NONE;
}

struct aws_context script_aws_context(lua_State *L) {
    struct script *s = script_of(L);
    struct job *j = s->running;
    if (!j) return (struct aws_context){.function = STR("script")};
    if (++j->aws_calls > s->c.limits.aws_calls && !s->c.trusted) {
        limits_stop(j, ERR_LIMIT, "%.*s made more than %u AWS calls", STR_ARG(j->unit->fn.name), s->c.limits.aws_calls);
        limits_leave(L);
    }
    return (struct aws_context){
        .request_id = j->in.request_id,
        .correlation_id = correlation(j),
        .trace_id = j->in.trace_id,
        .function = j->unit->fn.name,
        .policy = &j->unit->fn.policy,
        .deadline_ms = j->deadline_ms,
        .job = (uint64_t)j->serial,
    };
}

static void add_field(struct buf *b, const char *name, struct str value) {
    if (!value.n) return;
    buf_printf(b, ",\"%s\":", name);
    json_write_str(b, value);
}

/* On Lambda the request's id is Lambda's; a caller's own goes beside it. */
static void add_ids(const struct log *log, struct buf *line, const struct script_job *j) {
    bool differs = j->aws_request_id.n && !str_eq(j->aws_request_id, j->request_id);
    bool lambda = log && log->style != LOG_PLAIN;
    add_field(line, log_name(log, "request_id"), differs && lambda ? j->aws_request_id : j->request_id);
    if (differs) add_field(line, lambda ? "request_id" : "aws_request_id", lambda ? j->request_id : j->aws_request_id);
    if (j->invocation) add_field(line, log_name(log, "tenant_id"), j->invocation->tenant_id);
}

void script_log_fields(lua_State *L, struct buf *line) {
    struct script *s = script_of(L);
    const struct unit *u = unit_of(s);
    if (s->running) add_ids(s->c.log, line, &s->running->in);
    if (u) add_field(line, "function", u->fn.name);
    if (!s->running) return;
    add_field(line, "trace_id", s->running->in.trace_id);
    add_field(line, "correlation_id", correlation(s->running));
}

struct str script_host_hint(lua_State *L) {
    struct job *j = script_of(L)->running;
    return j && j->in.kind == SCRIPT_HTTP && j->in.http ? http_header(j->in.http, "Host") : STR_NONE;
}
