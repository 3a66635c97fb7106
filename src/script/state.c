#include "script/state.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

/* What is made at the start stays: collections would find nothing until that much has been allocated. */
enum { START_KIB = 1024 };
enum { STATE_BYTES = 512 << 20, AWS_CALLS = 1000, JOBS = 10000, SLICE_MS = 10, LOAD_MS = 10000 };

/* ==== memory ==== */

static bool refused(struct script *s, size_t more) {
    struct job *j = s->running;
    if (s->fail_in && --s->fail_in == 0) s->deny = 2; /* Lua collects garbage and tries once more */
    if (s->deny) {
        s->deny--;
        return true;
    }
    if (s->bytes + more > s->c.limits.state_bytes) {
        if (j) j->denied_state = true;
        return true;
    }
    if (j && j->bytes_max && j->bytes + (int64_t)more > j->bytes_max) return j->denied_job = true;
    return false;
}

static void account(struct script *s, int64_t delta) {
    s->bytes += (uint64_t)delta;
    if (!s->running) return;
    int64_t bytes = s->running->bytes + delta; /* freeing what others left is no credit */
    s->running->bytes = bytes > 0 ? bytes : 0;
}

static void *allocate(void *ud, void *p, size_t old, size_t size) {
    struct script *s = ud;
    if (!p) old = 0; /* it is a type's tag then */
    if (!s->L && s->born) seed_hashes(s, allocate);
    if (size > old && refused(s, size - old)) return NULL;
    void *q = heap_resize(&s->heap, p, old, size);
    if (q || !size) account(s, (int64_t)size - (int64_t)old);
    if (s->c.seed && !s->L && !s->born_bytes) {
        s->born = q;
        s->born_bytes = size;
    }
    return q;
}

/* ==== doors ==== */

void state_error(lua_State *L, int idx, struct err *e) {
    size_t n;
    if (lua_type(L, idx) != LUA_TSTRING) {
        err_set(e, ERR_SCRIPT, "a %s was raised as an error", luaL_typename(L, idx));
        return;
    }
    const char *p = lua_tolstring(L, idx, &n);
    err_set(e, ERR_SCRIPT, "%.*s", (int)(n < 1000 ? n : 1000), p);
}

int state_door(struct script *s, lua_CFunction fn, void *ud, struct err *e) {
    lua_State *L = s->L;
    lua_State *current = s->current;
    bool chain_ok = s->chain_ok;
    s->chain_ok = false;
    s->current = L;
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, ud);
    int rc = lua_pcall(L, 1, 0, 0);
    s->current = current;
    s->chain_ok = chain_ok;
    if (!rc) return 0;
    state_error(L, -1, e);
    if (e && rc == LUA_ERRMEM) e->code = ERR_LIMIT;
    lua_pop(L, 1);
    return -1;
}

/* ==== opening and closing ==== */

static void warn(void *ud, const char *msg, int more) {
    struct script *s = ud;
    (void)more;
    if (msg[0] != '@') log_event(s->c.log, LOG_WARN, "Lua warning", "s", "detail", msg);
}

static int panic(lua_State *L) {
    fatal("a Lua error outside of protected code: %s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
}

static int new_table(lua_State *L) {
    lua_newtable(L);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Handlers get no io and no debug: only trusted scripts, and what they require, can reach them. */
static void open_libraries(lua_State *L, const struct script *s) {
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},       {LUA_LOADLIBNAME, luaopen_package}, {LUA_COLIBNAME, luaopen_coroutine},
        {LUA_TABLIBNAME, luaopen_table}, {LUA_OSLIBNAME, luaopen_os},        {LUA_STRLIBNAME, luaopen_string},
        {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8},    {NULL, NULL},
    };
    if (s->c.trusted) {
        luaL_openlibs(L);
        return;
    }
    for (const luaL_Reg *l = libraries; l->name; l++) {
        luaL_requiref(L, l->name, l->func, 1);
        lua_pop(L, 1);
    }
}

static int open_state(lua_State *L) {
    struct script *s = lua_touserdata(L, 1);
    lua_pushboolean(L, !s->c.trusted);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    s->threads_ref = new_table(L);
    s->after_ref = new_table(L);
    s->clibs_ref = new_table(L);
    lua_gc(L, LUA_GCSTEP, -START_KIB); /* a debt below nothing is credit */
    conv_open(L);
    open_libraries(L, s);
    if (!s->c.trusted) seed_random(L);
    request_open(L, s);
    sandbox_open(L, s);
    require_clibs(L, s);
    if (s->c.trusted) require_open(L);
    return 0;
}

static void defaults(struct script_limits *l) {
    if (!l->slice_ms) l->slice_ms = SLICE_MS;
    if (!l->state_bytes) l->state_bytes = STATE_BYTES;
    if (!l->aws_calls) l->aws_calls = AWS_CALLS;
    if (!l->jobs) l->jobs = JOBS;
}

int state_open(const struct script_config *c, uint64_t fail_at, struct script **ret, struct err *e) {
    struct script *s = calloc(1, sizeof *s);
    if (!s) fatal("out of memory for a Lua state");
    s->c = *c;
    s->fail_in = fail_at;
    s->load_ms = c->limits.load_ms ? c->limits.load_ms : LOAD_MS;
    defaults(&s->c.limits);
    if (c->trusted) s->c.limits.state_bytes = UINT64_MAX / 2;
    list_init(&s->jobs);
    list_init(&s->ready);
    list_init(&s->idle);
    job_open(s);
    heap_open(&s->heap);
    s->L = lua_newstate(allocate, s);
    if (!s->L) {
        heap_close(&s->heap);
        free(s);
        return err_set(e, ERR_LIMIT, "not enough memory for a Lua state");
    }
    lua_atpanic(s->L, panic);
    lua_setwarnf(s->L, warn, s);
    *(struct script **)lua_getextraspace(s->L) = s;
    atomic_store(&s->thread, pthread_self());
    if (limits_install(s, e) || state_door(s, open_state, s, e)) {
        script_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

int script_open(const struct script_config *c, struct script **ret, struct err *e) {
    return state_open(c, 0, ret, e);
}

static void free_idle(struct script *s) {
    for (struct list *n; (n = list_pop(&s->idle));) {
        struct job *j = CONTAINER(n, struct job, node);
        arena_free(&j->arena);
        buf_free(&j->trace);
        free(j);
    }
}

static void abort_all(struct list *jobs) {
    while (!list_empty(jobs)) {
        struct job *j = CONTAINER(jobs->next, struct job, node);
        limits_stop(j, ERR_CANCELLED, "the host is stopping");
        job_abort(j);
    }
}

void script_close(struct script *s) {
    if (!s) return;
    limits_close(s);
    s->closing = true;
    abort_all(&s->jobs);
    abort_all(&s->ready);
    while (s->ready_posted) loop_once(s->c.loop, 0);
    script_commit(s, false);
    if (s->present) version_unref(s->present);
    lua_close(s->L);
    heap_close(&s->heap);
    free_idle(s);
    arena_free(&s->kept);
    free(s);
}

/* ==== between invocations ==== */

static int collect(lua_State *L) {
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

/* Lua itself begins at twice what was left by the last time. A collection takes as long as much is alive, so that it
 * should not come more often than that either. */
void script_rest(struct script *s) {
    enum { STEP = 512 << 10 };
    if (s->n_jobs || s->bytes < s->rest_bytes) return;
    state_door(s, collect, NULL, NULL);
    s->rest_bytes = s->bytes + (s->bytes / 4 * 3 > STEP ? s->bytes / 4 * 3 : STEP);
}

/* ==== what others ask ==== */

struct script *script_of(lua_State *L) {
    uintptr_t p = (uintptr_t) * (void **)lua_getextraspace(L);
    return (struct script *)(p & ~(uintptr_t)3);
}

const struct script_config *script_config(struct script *s) {
    return &s->c;
}

const struct script_config *script_config_of(lua_State *L) {
    return script_config(script_of(L));
}

struct job *script_running(struct script *s) {
    return s->running;
}

size_t script_jobs(const struct script *s) {
    return s->n_jobs;
}

uint64_t script_memory(const struct script *s) {
    return s->bytes;
}

const char *script_version(const struct script *s) {
    return s->present ? s->present->id : "";
}

const struct script_sources *script_sources_in_use(const struct script *s) {
    return s->present ? s->present->sources : NULL;
}
