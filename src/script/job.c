/* job: the state machine of one request, message or event, and the only lua_resume. */
#include "script/state.h"
#include <stdlib.h>
#include <string.h>

enum { IDLE_MAX = 256, TRACE_MAX = 64 << 10, HEAD_MAX = 64 << 10, BODY_MAX = 64 << 20 };

static void job_run(struct job *j);
static void run_again(void *ud);

/* ==== states ==== */

static void move(struct job *j, enum job_state to) {
    static const uint8_t allowed[] = {
        [JOB_IDLE] = 1 << JOB_NEW,
        [JOB_NEW] = 1 << JOB_RUNNING | 1 << JOB_CANCELLED,
        [JOB_RUNNING] = 1 << JOB_WAITING | 1 << JOB_READY | 1 << JOB_DONE | 1 << JOB_CANCELLED,
        [JOB_WAITING] = 1 << JOB_READY | 1 << JOB_CANCELLED,
        [JOB_READY] = 1 << JOB_RUNNING | 1 << JOB_CANCELLED,
        [JOB_DONE] = 1 << JOB_IDLE,
        [JOB_CANCELLED] = 1 << JOB_IDLE,
    };
    if (!(allowed[j->state] & 1u << to)) fatal("a job went from state %d to %d", j->state, to);
    j->state = to;
}

/* ==== the pool ==== */

static void cancel_waits(struct job *j) {
    for (struct list *n; (n = list_pop(&j->waits));) {
        struct script_wait *w = CONTAINER(n, struct script_wait, node);
        w->waiting = false;
        if (w->cancel) w->cancel(w->ud);
    }
}

struct new_thread {
    struct script *s;
    lua_State *co;
    int slot;
};

static int new_thread(lua_State *L) {
    struct new_thread *n = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->s->threads_ref);
    n->co = lua_newthread(L);
    lua_rawseti(L, -2, n->slot);
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->s->after_ref);
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, n->slot); /* so that ending a job never allocates */
    return 0;
}

static int anchor(struct job *j, struct err *e) {
    struct new_thread n = {.s = j->s, .slot = j->slot};
    if (state_door(j->s, new_thread, &n, e)) return -1;
    j->co = n.co;
    j->fresh = false;
    coro_mark_main(j->co);
    limits_reset_hook(j->s, j->co);
    return 0;
}

static struct job *take(struct script *s, struct err *e) {
    struct list *n = list_pop(&s->idle);
    struct job *j = n ? CONTAINER(n, struct job, node) : calloc(1, sizeof *j);
    if (!j) fatal("out of memory for a job");
    if (n) {
        s->n_idle--;
    } else {
        j->s = s;
        j->slot = ++s->n_slots;
        j->trace = BUF_MAX(TRACE_MAX);
        list_init(&j->node);
        list_init(&j->waits);
        list_init(&j->stream.writers);
        loop_task_init(&j->task, run_again, j);
    }
    if (!j->co && anchor(j, e)) {
        list_add(&s->idle, &j->node);
        s->n_idle++;
        return NULL;
    }
    return j;
}

/* What is anchored for the job; its coroutine too when that is not to be used again. */
static int release(lua_State *L) {
    struct job *j = lua_touserdata(L, 1);
    lua_pushboolean(L, false);
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->s->after_ref);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, j->slot);
    if (!j->fresh) return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->s->threads_ref);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, j->slot);
    return 0;
}

/* The slot stays with the struct: there are as many as jobs ever ran at once; coroutines beyond IDLE_MAX are dropped.
 */
static void give_back(struct job *j) {
    struct script *s = j->s;
    move(j, JOB_IDLE);
    list_del(&j->node);
    s->n_jobs--;
    metric_add(s->c.metrics, METRIC_JOBS_ENDED, 1);
    cancel_waits(j);
    for (struct script_observer *o = s->observers; o; o = o->next) o->ended(o->ud, (uint64_t)j->serial);
    loop_timer_stop(s->c.loop, &j->deadline);
    loop_defer_cancel(s->c.loop, &j->task);
    arena_reset(&j->arena);
    buf_clear(&j->trace);
    j->fresh = j->fresh || s->n_idle >= IDLE_MAX || lua_status(j->co) != LUA_OK;
    if (!j->fresh) {
        lua_settop(j->co, 0);
        limits_reset_hook(s, j->co);
    }
    if (j->fresh || j->has_after) state_door(s, release, j, NULL);
    if (j->fresh) j->co = NULL;
    list_add(&s->idle, &j->node);
    s->n_idle++;
    version_unref(j->unit->version);
}

/* ==== resuming ==== */

int job_resume_lua(struct script *s, lua_State *co, lua_State *from, int nargs, int *ret_n) {
    lua_State *current = s->current;
    bool chain_ok = s->chain_ok;
    if (from) s->chain_ok = (chain_ok && lua_isyieldable(from)) || from == s->spin_root;
    s->yield = YIELD_NONE;
    s->current = co;
    int rc = lua_resume(co, from ? from : s->L, nargs, ret_n);
    s->current = current;
    s->chain_ok = chain_ok;
    return rc;
}

/* ==== ending ==== */

static void send_reply(struct job *j) {
    struct script *s = j->s;
    if (j->replied) return;
    j->replied = true;
    if (j->ret_replied) *j->ret_replied = true;
    if (j->err.code) metric_add(s->c.metrics, METRIC_JOB_ERRORS, 1);
    if (j->err.code == ERR_TIMEOUT) metric_add(s->c.metrics, METRIC_JOB_TIMEOUTS, 1);
    bool with_http = j->in.kind == SCRIPT_HTTP && !j->err.code && !j->stream.begun;
    struct script_reply r; /* its message is large: not cleared */
    r.err.code = ERR_NONE;
    r.err.msg[0] = 0;
    if (j->err.code) r.err = j->err;
    r.version = j->unit->version->id;
    r.traceback = STR_NONE;
    if (j->err.code == ERR_SCRIPT || j->err.code == ERR_LIMIT || j->err.code == ERR_TIMEOUT)
        r.traceback = buf_view(&j->trace);
    r.http = with_http ? &j->response : NULL;
    r.streamed = j->stream.begun;
    r.value = j->err.code ? json_make_null() : j->value;
    r.error_type = j->err.code == ERR_SCRIPT ? j->error_type : STR_NONE;
    for (struct script_observer *o = s->observers; o; o = o->next)
        if (o->replied) o->replied(o->ud, (uint64_t)j->serial, &j->in, &r);
    if (!j->silent) j->reply(j->ud, &r);
    if (!with_http || j->silent) http_response_free(&j->response);
    memset(&j->response, 0, sizeof j->response);
    j->response.file = -1;
}

static int reset_thread(lua_State *L) {
    struct job *j = lua_touserdata(L, 1);
    j->s->current = j->co;
    lua_resetthread(j->co);
    j->s->current = NULL;
    lua_settop(j->co, 0);
    return 0;
}

/* The coroutine is suspended, or dead by an error. Its <close> variables run with the hook set to every instruction:
 * code in Lua there ends at once, scopes in C are closed. */
static void kill_thread(struct job *j) {
    struct script *s = j->s;
    struct job *running = s->running;
    lua_State *current = s->current;
    bool dead = lua_status(j->co) != LUA_YIELD;
    s->running = j;
    lua_sethook(j->co, limits_hook, LUA_MASKCOUNT, 1);
    if (dead || state_door(s, reset_thread, j, NULL)) j->fresh = true;
    s->running = running;
    s->current = current;
}

static void end(struct job *j, enum job_state state) {
    move(j, state);
    loop_timer_stop(j->s->c.loop, &j->deadline);
    send_reply(j);
    give_back(j);
}

void job_abort(struct job *j) {
    struct script *s = j->s;
    if (s->running == j) return; /* j->stop is noticed when it waits or ends */
    if (j->state == JOB_READY) list_del(&j->node), list_add(&s->jobs, &j->node);
    loop_defer_cancel(s->c.loop, &j->task);
    cancel_waits(j);
    j->err = j->stop;
    if (!j->in_after && !j->trace.n) trace_write(&j->trace, s, j->unit->version->sources, j->co, str_c(j->stop.msg), 0);
    if (j->in_after && !j->silent)
        log_event(s->c.log, LOG_ERROR, "what ran after the reply was stopped", "SSs", "request_id", j->in.request_id,
                  "function", j->unit->fn.name, "error", j->stop.msg);
    kill_thread(j);
    end(j, JOB_CANCELLED);
}

/* ==== what runs in the coroutine ==== */

static int on_error(lua_State *L) {
    struct job *j = script_of(L)->running;
    struct str msg = STR_NONE;
    size_t n;
    if (lua_type(L, 1) == LUA_TSTRING) {
        const char *p = lua_tolstring(L, 1, &n);
        msg = str_n(p, n);
    }
    buf_clear(&j->trace);
    trace_write(&j->trace, j->s, j->unit->version->sources, L, msg, 1);
    return 1;
}

/* The message of the error value at the top. */
static struct str error_text(lua_State *L) {
    if (luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL) {
        size_t n;
        lua_pop(L, 1);
        const char *p = luaL_tolstring(L, -1, &n);
        return str_n(p, n);
    }
    return conv_push_message(L, -1);
}

static bool is_no_memory(struct str msg) {
    return str_find(msg, STR("not enough memory"), 0) >= 0;
}

static void memory_error(struct job *j, struct err *e) {
    if (j->denied_job)
        err_set(e, ERR_LIMIT, "%.*s used more memory than its MemorySize of %lld MB", STR_ARG(j->unit->fn.name),
                (long long)(j->bytes_max >> 20));
    else
        err_set(e, ERR_LIMIT, "the memory of the worker's Lua state is used up (limit: %llu MB)",
                (unsigned long long)(j->s->c.limits.state_bytes >> 20));
}

static void failed(lua_State *L, struct job *j, int status) {
    if (status == LUA_ERRMEM) {
        memory_error(j, &j->err);
        return;
    }
    reply_note_code(L, j, -1);
    struct str msg = error_text(L);
    if ((j->denied_job || j->denied_state) && is_no_memory(msg))
        memory_error(j, &j->err);
    else
        err_set(&j->err, ERR_SCRIPT, "%.*s", (int)(msg.n < 1000 ? msg.n : 1000), msg.p);
}

static int handler_done(lua_State *L, int status, lua_KContext ctx) {
    (void)ctx;
    struct job *j = script_of(L)->running;
    if (status == LUA_OK || status == LUA_YIELD)
        reply_convert(L, j, 2);
    else
        failed(L, j, status);
    return 0;
}

static int job_main(lua_State *L) {
    struct job *j = script_of(L)->running;
    lua_pushcfunction(L, on_error);
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->unit->handler_ref);
    int n = request_push(L, j);
    return handler_done(L, lua_pcallk(L, n, LUA_MULTRET, 1, 0, handler_done), 0);
}

/* Stack: on_error, the list; ctx: how many of it have been called. */
static int after_next(lua_State *L, int status, lua_KContext ctx) {
    struct job *j = script_of(L)->running;
    for (;;) {
        if (status != LUA_OK && status != LUA_YIELD) {
            failed(L, j, status);
            log_event(j->s->c.log, LOG_ERROR, "context:after failed", "SSsS", "request_id", j->in.request_id,
                      "function", j->unit->fn.name, "error", j->err.msg, "traceback", buf_view(&j->trace));
        }
        lua_settop(L, 2);
        if (lua_rawgeti(L, 2, ++ctx) == LUA_TNIL) return 0;
        status = lua_pcallk(L, 0, 0, 1, ctx, after_next);
    }
}

static int after_main(lua_State *L) {
    struct job *j = script_of(L)->running;
    lua_pushcfunction(L, on_error);
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->s->after_ref);
    lua_rawgeti(L, -1, j->slot);
    lua_replace(L, 2);
    return after_next(L, LUA_OK, 0);
}

/* ==== running ==== */

static void queue(struct job *j) {
    struct script *s = j->s;
    move(j, JOB_READY);
    list_del(&j->node);
    list_add(&s->ready, &j->node);
    if (s->ready_posted) return;
    s->ready_posted = true;
    loop_post(s->c.loop, &s->ready_task);
}

static void run_ready(void *ud) {
    struct script *s = ud;
    struct list now;
    list_init(&now);
    s->ready_posted = false;
    for (struct list *n; (n = list_pop(&s->ready));) list_add(&now, n);
    while (!list_empty(&now)) { /* a job that is ended meanwhile takes itself out */
        struct job *j = CONTAINER(now.next, struct job, node);
        list_del(&j->node);
        list_add(&s->jobs, &j->node);
        job_run(j);
    }
}

static void run_again(void *ud) {
    job_run(ud);
}

void job_open(struct script *s) {
    loop_task_init(&s->ready_task, run_ready, s);
}

void job_wake(struct job *j) {
    j->wake_again = j->state == JOB_RUNNING;
    if (j->state != JOB_WAITING) return;
    move(j, JOB_READY);
    loop_defer(j->s->c.loop, &j->task);
}

static void escaped(struct job *j) {
    limits_stop(j, ERR_SCRIPT, "coroutine.yield was called outside of a coroutine");
}

/* lua_resume returned an error: it happened outside of the handler's protected call. */
static void broken(struct job *j, int rc) {
    if (rc == LUA_ERRMEM)
        memory_error(j, &j->err);
    else
        state_error(j->co, -1, &j->err);
    if (j->stop.code) j->err = j->stop;
    cancel_waits(j);
    kill_thread(j);
    end(j, JOB_CANCELLED);
}

static bool start_after(struct job *j) {
    if (!j->has_after || j->in_after || j->err.code) return false;
    request_keep(j);
    return true;
}

/* Main function or after-functions have returned. */
static void finished(struct job *j) {
    if (j->stop.code) j->err = j->stop;
    bool more = start_after(j);
    send_reply(j);
    if (!more) {
        move(j, JOB_DONE);
        loop_timer_stop(j->s->c.loop, &j->deadline);
        give_back(j);
        return;
    }
    j->in_after = true;
    lua_settop(j->co, 0);
    queue(j);
}

static void job_run(struct job *j) {
    struct script *s = j->s;
    struct job *running = s->running;
    bool chain_ok = s->chain_ok;
    int n = 0;
    if (lua_status(j->co) == LUA_OK) lua_pushcfunction(j->co, j->in_after ? after_main : job_main);
    move(j, JOB_RUNNING);
    j->wake_again = false;
    s->running = j;
    s->chain_ok = true;
    limits_resumed(j);
    int rc = job_resume_lua(s, j->co, NULL, 0, &n);
    limits_suspended(j);
    s->running = running;
    s->chain_ok = chain_ok;
    if (rc == LUA_OK) {
        finished(j);
    } else if (rc != LUA_YIELD) {
        broken(j, rc);
    } else {
        lua_pop(j->co, n);
        if (s->yield == YIELD_NONE) escaped(j);
        if (j->stop.code)
            job_abort(j);
        else if (s->yield == YIELD_PREEMPT)
            queue(j);
        else
            move(j, JOB_WAITING);
        if (j->state == JOB_WAITING && j->wake_again) job_wake(j);
    }
}

static void deadline_passed(void *ud) {
    struct job *j = ud;
    limits_stop(j, ERR_TIMEOUT, "%.*s did not end within its Timeout of %llu ms", STR_ARG(j->unit->fn.name),
                (unsigned long long)j->timeout_ms);
    job_abort(j);
}

/* ==== entries ==== */

static void prepare(struct job *j, const struct script_job *in, struct unit *u) {
    struct script *s = j->s;
    uint64_t timeout = in->timeout_ms ? in->timeout_ms : u->fn.timeout_ms ? u->fn.timeout_ms : 3000;
    uint64_t cpu = s->c.limits.cpu_ms;
    j->in = *in;
    j->unit = u;
    u->version->refs++;
    j->serial = ++s->serial;
    j->replied = j->silent = j->has_after = j->in_after = j->warned = j->denied_job = j->denied_state = false;
    j->cpu_ns = j->instructions = 0;
    j->cpu_max_ns = (cpu ? cpu : timeout) * 1000000u;
    j->bytes = 0;
    j->bytes_max = s->c.trusted ? 0 : (int64_t)u->fn.memory_bytes;
    j->aws_calls = 0;
    j->stream.open = j->stream.begun = j->stream.closed = false;
    j->stream.waiting = 0;
    j->loading = 0;
    j->stop.code = j->err.code = ERR_NONE;
    j->value = json_make_null();
    j->error_type = STR_NONE;
    j->timeout_ms = timeout;
    j->deadline_ms = clock_mono_ms(s->c.clock) + timeout;
    http_response_init(&j->response, 200);
    j->response.head.max = HEAD_MAX;
    j->response.body.max = BODY_MAX;
    list_add(&s->jobs, &j->node);
    s->n_jobs++;
    loop_timer_start(s->c.loop, &j->deadline, timeout, deadline_passed, j);
    move(j, JOB_NEW);
}

static int refuse(struct script *s, script_reply_fn *reply, void *ud, const struct err *e) {
    struct script_reply r = {.err = *e, .version = script_version(s)};
    metric_add(s->c.metrics, METRIC_JOB_ERRORS, 1);
    metric_add(s->c.metrics, METRIC_JOBS_ENDED, 1);
    reply(ud, &r);
    return 1;
}

static struct unit *unit_of(struct script *s, const struct function *f, struct err *e) {
    struct version *v = s->present;
    if (s->closing) {
        err_set(e, ERR_UNAVAILABLE, "the host is stopping");
        return NULL;
    }
    if (!v || f->index >= v->n || !str_eq(v->units[f->index].fn.name, f->name)) {
        err_set(e, ERR_UNAVAILABLE, "the function %.*s is not loaded", STR_ARG(f->name));
        return NULL;
    }
    struct unit *u = &v->units[f->index];
    return u->handler_ref == LUA_NOREF && version_load_unit(u, e) ? NULL : u;
}

int script_start(struct script *s, const struct script_job *in, script_reply_fn *reply, void *ud,
                 struct script_handle **ret_handle) {
    struct err e;
    bool replied = false;
    metric_add(s->c.metrics, METRIC_JOBS, 1);
    struct unit *u = unit_of(s, in->function, &e);
    if (!u) return refuse(s, reply, ud, &e);
    if (s->n_jobs >= s->c.limits.jobs) {
        err_set(&e, ERR_UNAVAILABLE, "%u handlers are running already (limit: jobs)", s->c.limits.jobs);
        return refuse(s, reply, ud, &e);
    }
    struct job *j = take(s, &e);
    if (!j) return refuse(s, reply, ud, &e);
    prepare(j, in, u);
    j->reply = reply;
    j->ud = ud;
    j->ret_replied = &replied;
    for (struct script_observer *o = s->observers; o; o = o->next) o->began(o->ud, (uint64_t)j->serial, &j->in);
    job_run(j);
    if (replied) return 1;
    j->ret_replied = NULL;
    *ret_handle = (struct script_handle *)j;
    return 0;
}

void script_observe(struct script *s, struct script_observer *o) {
    o->next = s->observers;
    s->observers = o;
}

void script_unobserve(struct script *s, struct script_observer *o) {
    struct script_observer **at = &s->observers;
    while (*at && *at != o) at = &(*at)->next;
    if (*at) *at = o->next;
}

void script_cancel(struct script *s, struct script_handle *h) {
    struct job *j = (struct job *)h;
    (void)s;
    j->silent = true;
    limits_stop(j, ERR_CANCELLED, "the caller is gone");
    job_abort(j);
}
