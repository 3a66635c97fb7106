/* t.script: opens hosts of their own (a loop, a script, a watch thread) and runs handlers in them. Handlers have the
 * module "t.host": block(name) waits until the spec releases that name; cancelled() counts waits that were cancelled.
 */
#include "base/fs.h"
#include "script/state.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int luaopen_t_script(lua_State *L);
int luaopen_t_coverage(lua_State *L);
struct script_coverage *t_coverage(lua_State *L, int idx);

struct outcome {
    bool done, replied_inside;
    struct err err;
    struct buf trace, head, body;
    int status, replies;
    bool streamed;
    char version[17];
};
struct started {
    struct app *app;
    struct arena arena;
    struct http_request http;
    struct script_message message;
    struct script_job job;
    struct script_handle *handle;
    struct outcome out;
    struct http_stream stream; /* a client that takes bytes when the spec lets it: app:drain */
    struct buf sent;
    size_t waiting;
    int stream_status;
};
struct app {
    struct loop *loop;
    struct script *script;
    struct metrics metrics;
    struct clock clock;
    struct log log;
    struct buf lines;
    struct arena arena;
    struct function *functions;
    size_t n_functions;
    const char *root, *lua_dir;
    struct script_module modules[2];
    struct list blocked;
    int cancelled;
    struct started *started[4096];
    int n_started;
    pthread_t watch;
    bool watching;
    _Atomic bool stop;
};

/* ==== t.host, inside of the script ==== */

struct block {
    struct script_wait wait;
    struct app *app;
    struct list node;
    char name[32];
    bool waiting;
};

static struct app *app_of(lua_State *L) {
    const struct script_config *c = script_config(script_of(L));
    return CONTAINER(c->clock, struct app, clock);
}

static void block_cancel(void *ud) {
    struct block *b = ud;
    b->waiting = false;
    list_del(&b->node);
    b->app->cancelled++;
}

static int block_gc(lua_State *L) {
    struct block *b = lua_touserdata(L, 1);
    if (b->waiting) list_del(&b->node);
    b->waiting = false;
    script_wait_forget(&b->wait);
    return 0;
}

static int block_done(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    lua_pushstring(L, ((struct block *)ctx)->name);
    return 1;
}

static int host_block(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    script_check_wait(L, "block");
    struct block *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct block){.app = app_of(L), .waiting = true};
    snprintf(b->name, sizeof b->name, "%s", name);
    list_init(&b->node);
    if (luaL_newmetatable(L, "t.block")) {
        lua_pushcfunction(L, block_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    list_add(&b->app->blocked, &b->node);
    return script_wait(L, &b->wait, block_cancel, b, block_done);
}

static int host_aws(lua_State *L) {
    struct aws_context c = script_aws_context(L);
    lua_pushlstring(L, c.request_id.n ? c.request_id.p : "", c.request_id.n);
    lua_pushlstring(L, c.function.n ? c.function.p : "", c.function.n);
    return 2;
}

static int host_source(lua_State *L) {
    struct str text, path = str_c(luaL_checkstring(L, 1));
    struct err e;
    if (script_source(L, path, &text, &e)) return luaL_error(L, "%s", e.msg);
    lua_pushlstring(L, text.n ? text.p : "", text.n);
    return 1;
}

/* hook() -> mask, count of the hook of the coroutine that calls */
static int host_hook(lua_State *L) {
    lua_pushinteger(L, lua_gethookmask(L));
    lua_pushinteger(L, lua_gethookcount(L));
    return 2;
}

static int open_host(lua_State *L) {
    static const luaL_Reg f[] = {
        {"block", host_block}, {"aws", host_aws}, {"source", host_source}, {"hook", host_hook}, {NULL, NULL}};
    luaL_newlib(L, f);
    return 1;
}

/* ==== the host ==== */

static void sink(void *ud, enum log_level level, struct str line) {
    struct app *a = ud;
    (void)level;
    buf_str(&a->lines, line);
    buf_byte(&a->lines, '\n');
}

static void *watch(void *ud) {
    struct app *a = ud;
    struct timespec t = {0, 2000000};
    while (!atomic_load(&a->stop)) {
        script_watch_tick(a->script);
        nanosleep(&t, NULL);
    }
    return NULL;
}

static struct app *check(lua_State *L) {
    struct app **a = luaL_checkudata(L, 1, "t.app");
    if (!*a) luaL_error(L, "closed");
    return *a;
}

static void free_started(struct started *x) {
    buf_free(&x->out.trace);
    buf_free(&x->out.head);
    buf_free(&x->out.body);
    buf_free(&x->sent);
    arena_free(&x->arena);
    free(x);
}

static int app_close(lua_State *L) {
    struct app **box = luaL_checkudata(L, 1, "t.app"), *a = *box;
    if (!a) return 0;
    *box = NULL;
    atomic_store(&a->stop, true);
    if (a->watching) pthread_join(a->watch, NULL);
    if (a->script) script_close(a->script);
    int replies = 0;
    for (int i = 0; i < a->n_started; i++) {
        replies += a->started[i]->out.replies;
        free_started(a->started[i]);
    }
    loop_close(a->loop);
    buf_free(&a->lines);
    arena_free(&a->arena);
    free(a);
    lua_pushinteger(L, replies);
    return 1;
}

static lua_Integer int_field(lua_State *L, int t, const char *name, lua_Integer otherwise) {
    lua_getfield(L, t, name);
    lua_Integer v = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

static struct str str_field(lua_State *L, int t, const char *name, struct arena *a) {
    size_t n;
    lua_getfield(L, t, name);
    const char *p = lua_tolstring(L, -1, &n);
    struct str s = p ? arena_str(a, str_n(p, n)) : STR_NONE;
    lua_pop(L, 1);
    return s;
}

static void read_env(lua_State *L, struct app *a, struct function *f) {
    struct function_env *env = ARENA_ARRAY(&a->arena, struct function_env, 16);
    lua_getfield(L, -1, "env");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            env[f->n_env++] = (struct function_env){arena_str(&a->arena, str_c(lua_tostring(L, -2))),
                                                    arena_str(&a->arena, str_c(lua_tostring(L, -1)))};
    lua_pop(L, 1);
    f->env = env;
}

/* functions = { {name=, module=, field=, timeout=, memory=, env=}, ... } in the table at t */
static void read_functions(lua_State *L, struct app *a, int t) {
    lua_getfield(L, t, "functions");
    a->n_functions = (size_t)luaL_len(L, -1);
    a->functions = ARENA_ARRAY(&a->arena, struct function, a->n_functions);
    for (size_t i = 0; i < a->n_functions; i++) {
        struct function *f = &a->functions[i];
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        int u = lua_gettop(L);
        f->name = str_field(L, u, "name", &a->arena);
        f->module = str_field(L, u, "module", &a->arena);
        f->field = str_field(L, u, "field", &a->arena);
        f->code_dir = arena_printf(&a->arena, "%s/handlers", a->root);
        f->timeout_ms = (uint32_t)int_field(L, u, "timeout", 20000);
        f->memory_bytes = (uint64_t)int_field(L, u, "memory", 64) << 20;
        f->index = i;
        f->policy.allow_all = true;
        read_env(L, a, f);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static int load(struct app *a, struct buf *trace, struct err *e) {
    struct script_sources *src;
    if (script_sources_read(a->functions, a->n_functions, a->lua_dir, a->root, &src, e)) return -1;
    int rc = script_load(a->script, src, a->functions, a->n_functions, trace, e);
    script_sources_unref(src);
    return rc;
}

static struct app *app_new(lua_State *L) {
    struct app *a = calloc(1, sizeof *a), **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = a;
    luaL_setmetatable(L, "t.app");
    a->lines = BUF_MAX(1 << 24);
    a->log = (struct log){.level = LOG_DEBUG, .sink = sink, .ud = a};
    list_init(&a->blocked);
    a->modules[0] = (struct script_module){"t.host", open_host};
    return a;
}

/* open{root=, functions=, limits..., watch=, trusted=, fail_at=, lua_dir=, coverage=} -> app | nil, message */
static int t_open(lua_State *L) {
    struct err e;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct app *a = app_new(L);
    if (loop_open(&a->loop, &e)) return luaL_error(L, "%s", e.msg);
    a->root = str_field(L, 1, "root", &a->arena).p;
    read_functions(L, a, 1);
    struct script_config c = {
        .loop = a->loop, .clock = &a->clock, .log = &a->log, .metrics = &a->metrics, .modules = a->modules};
    c.root_dir = a->root;
    c.limits.cpu_ms = (uint64_t)int_field(L, 1, "cpu_ms", 0);
    c.limits.slice_ms = (uint64_t)int_field(L, 1, "slice_ms", 0);
    c.limits.instructions = (uint64_t)int_field(L, 1, "instructions", 0);
    c.limits.aws_calls = (uint32_t)int_field(L, 1, "aws_calls", 0);
    c.limits.jobs = (uint32_t)int_field(L, 1, "jobs", 0);
    c.limits.state_bytes = (uint64_t)int_field(L, 1, "state_bytes", 0);
    lua_getfield(L, 1, "trusted");
    c.trusted = lua_toboolean(L, -1);
    c.lua_dir = a->lua_dir = str_field(L, 1, "lua_dir", &a->arena).p;
    lua_getfield(L, 1, "coverage");
    c.coverage = t_coverage(L, -1);
    lua_getfield(L, 1, "watch");
    bool watched = lua_toboolean(L, -1);
    lua_settop(L, 2);
    if (state_open(&c, (uint64_t)int_field(L, 1, "fail_at", 0), &a->script, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    a->script->load_ms = (uint64_t)int_field(L, 1, "load_ms", (lua_Integer)a->script->load_ms);
    if (watched) a->watching = pthread_create(&a->watch, NULL, watch, a) == 0;
    return 1;
}

static int app_load(lua_State *L) {
    struct app *a = check(L);
    struct err e;
    struct buf trace = BUF_MAX(1 << 20);
    if (lua_istable(L, 2)) read_functions(L, a, 2);
    int rc = load(a, &trace, &e);
    if (rc)
        lua_pushnil(L);
    else
        lua_pushboolean(L, true);
    lua_pushstring(L, rc ? e.msg : NULL);
    lua_pushlstring(L, trace.n ? trace.p : "", trace.n);
    buf_free(&trace);
    return 3;
}

static int app_commit(lua_State *L) {
    struct app *a = check(L);
    script_commit(a->script, lua_toboolean(L, 2));
    lua_pushstring(L, script_version(a->script));
    return 1;
}

/* ==== jobs ==== */

static struct started *check_job(lua_State *L, struct app *a) {
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && i <= a->n_started, 2, "no such job");
    return a->started[i - 1];
}

static void stream_begin(void *ud, struct http_response *head) {
    struct started *x = ud;
    if (x->stream_status || x->out.done) fatal("a stream began twice, or after its end");
    x->stream_status = head->status;
    buf_str(&x->out.head, buf_view(&head->head));
    buf_free(&head->head);
}

static size_t stream_write(void *ud, struct str bytes) {
    struct started *x = ud;
    if (!x->stream_status || x->out.done) fatal("written outside of a stream");
    buf_str(&x->sent, bytes);
    return x->waiting += bytes.n;
}

/* stream(job) -> status or nil, bytes so far, bytes that wait */
static int app_stream(lua_State *L) {
    struct app *a = check(L);
    struct started *x = check_job(L, a);
    if (x->stream_status)
        lua_pushinteger(L, x->stream_status);
    else
        lua_pushnil(L);
    lua_pushlstring(L, x->sent.n ? x->sent.p : "", x->sent.n);
    lua_pushinteger(L, (lua_Integer)x->waiting);
    return 3;
}

static int app_drain(lua_State *L) {
    struct app *a = check(L);
    struct started *x = check_job(L, a);
    x->waiting = 0;
    if (x->stream.drained && !x->out.done) x->stream.drained(x->stream.ud);
    return 0;
}

static void replied(void *ud, struct script_reply *r) {
    struct started *x = ud;
    struct outcome *o = &x->out;
    o->replies++;
    o->streamed = r->streamed;
    o->done = true;
    o->err = r->err;
    buf_str(&o->trace, r->traceback);
    snprintf(o->version, sizeof o->version, "%s", r->version);
    if (!r->http) return;
    o->status = r->http->status;
    buf_str(&o->head, buf_view(&r->http->head));
    buf_str(&o->body, buf_view(&r->http->body));
    http_response_free(r->http);
}

static void read_headers(lua_State *L, struct started *x) {
    struct http_header *h = ARENA_ARRAY(&x->arena, struct http_header, 32);
    lua_getfield(L, 2, "headers");
    if (lua_istable(L, -1))
        for (int i = 1; lua_rawgeti(L, -1, i) == LUA_TTABLE; lua_pop(L, 1), i++) {
            lua_rawgeti(L, -1, 1);
            lua_rawgeti(L, -2, 2);
            h[x->http.n_headers++] = (struct http_header){arena_str(&x->arena, str_c(lua_tostring(L, -2))),
                                                          arena_str(&x->arena, str_c(lua_tostring(L, -1)))};
            lua_pop(L, 2);
        }
    lua_settop(L, 2);
    x->http.headers = h;
}

static void read_params(lua_State *L, struct started *x) {
    struct script_param *p = ARENA_ARRAY(&x->arena, struct script_param, 8);
    lua_getfield(L, 2, "params");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            p[x->job.n_params++] = (struct script_param){arena_str(&x->arena, str_c(lua_tostring(L, -2))),
                                                         arena_str(&x->arena, str_c(lua_tostring(L, -1)))};
    lua_settop(L, 2);
    x->job.params = p;
}

static void read_message(lua_State *L, struct started *x) {
    lua_getfield(L, 2, "message");
    if (lua_istable(L, -1)) {
        int t = lua_gettop(L);
        x->job.kind = SCRIPT_MESSAGE;
        x->job.message = &x->message;
        x->message.id = str_field(L, t, "id", &x->arena);
        x->message.body = str_field(L, t, "body", &x->arena);
        x->message.queue = str_field(L, t, "queue", &x->arena);
        x->message.correlation_id = str_field(L, t, "correlation_id", &x->arena);
        x->message.receive_count = int_field(L, t, "receive_count", 1);
        x->message.attributes = json_make_obj();
    }
    lua_getfield(L, 2, "event");
    if (lua_isstring(L, -1)) {
        struct str text = arena_str(&x->arena, str_c(lua_tostring(L, -1)));
        x->job.kind = SCRIPT_EVENT;
        if (json_parse(&x->arena, text, NULL, &x->job.event, &x->out.err)) luaL_error(L, "event: %s", x->out.err.msg);
    }
    lua_settop(L, 2);
}

/* start{fn=1, method=, path=, query=, headers={{n,v}}, params={}, body=, message={}, event="json"} -> number of the job
 */
static int app_start(lua_State *L) {
    struct app *a = check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (a->n_started == 4096) return luaL_error(L, "too many jobs in one spec");
    struct started *x = calloc(1, sizeof *x);
    a->started[a->n_started++] = x;
    x->app = a;
    x->out.trace = x->out.head = x->out.body = x->sent = BUF_MAX(1 << 26);
    x->http.method = str_field(L, 2, "method", &x->arena);
    x->http.path = str_field(L, 2, "path", &x->arena);
    x->http.raw_query = str_field(L, 2, "query", &x->arena);
    x->http.body = str_field(L, 2, "body", &x->arena);
    x->http.arena = &x->arena;
    x->job.http = &x->http;
    x->job.path = x->http.path;
    x->job.request_id = str_field(L, 2, "request_id", &x->arena);
    x->job.function = &a->functions[int_field(L, 2, "fn", 1) - 1];
    static const struct http_stream_ops ops = {stream_begin, stream_write};
    lua_getfield(L, 2, "stream");
    if (lua_toboolean(L, -1)) x->job.stream = &x->stream;
    lua_settop(L, 2);
    x->stream = (struct http_stream){.ops = &ops, .stream = x};
    read_headers(L, x);
    read_params(L, x);
    read_message(L, x);
    x->out.replied_inside = script_start(a->script, &x->job, replied, x, &x->handle);
    lua_pushinteger(L, a->n_started);
    return 1;
}

static void set(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.n ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static int push_outcome(lua_State *L, struct started *x) {
    struct outcome *o = &x->out;
    if (!o->done) return 0;
    lua_newtable(L);
    lua_pushinteger(L, o->status);
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, o->replies);
    lua_setfield(L, -2, "replies");
    lua_pushboolean(L, o->replied_inside);
    lua_setfield(L, -2, "inside");
    lua_pushboolean(L, o->streamed);
    lua_setfield(L, -2, "streamed");
    set(L, "head", buf_view(&o->head));
    set(L, "body", buf_view(&o->body));
    set(L, "trace", buf_view(&o->trace));
    set(L, "version", str_c(o->version));
    if (!o->err.code) return 1;
    set(L, "code", str_c(err_name(o->err.code)));
    set(L, "message", str_c(o->err.msg));
    return 1;
}

static int app_result(lua_State *L) {
    struct app *a = check(L);
    return push_outcome(L, check_job(L, a));
}

/* finish(job): turns the loop until it was replied to */
static int app_finish(lua_State *L) {
    struct app *a = check(L);
    struct started *x = check_job(L, a);
    uint64_t until = now_mono_ms() + 60000;
    while (!x->out.done && now_mono_ms() < until) loop_once(a->loop, 1000);
    return push_outcome(L, x);
}

static int app_cancel(lua_State *L) {
    struct app *a = check(L);
    script_cancel(a->script, check_job(L, a)->handle);
    return 0;
}

static int app_turn(lua_State *L) {
    struct app *a = check(L);
    loop_once(a->loop, (int)luaL_optinteger(L, 2, 0));
    return 0;
}

/* release(name) -> how many waited for it */
static int app_release(lua_State *L) {
    struct app *a = check(L);
    const char *name = luaL_checkstring(L, 2);
    int n = 0;
    for (struct list *p = a->blocked.next, *next; p != &a->blocked; p = next) {
        struct block *b = CONTAINER(p, struct block, node);
        next = p->next;
        if (strcmp(b->name, name) != 0) continue;
        list_del(&b->node);
        b->waiting = false;
        script_wake(&b->wait);
        n++;
    }
    lua_pushinteger(L, n);
    return 1;
}

/* stats() -> jobs, bytes, cancelled waits */
static int app_stats(lua_State *L) {
    struct app *a = check(L);
    lua_pushinteger(L, (lua_Integer)script_jobs(a->script));
    lua_pushinteger(L, (lua_Integer)script_memory(a->script));
    lua_pushinteger(L, a->cancelled);
    return 3;
}

static int app_log(lua_State *L) {
    struct app *a = check(L);
    lua_pushlstring(L, a->lines.n ? a->lines.p : "", a->lines.n);
    return 1;
}

static int app_clock(lua_State *L) {
    struct app *a = check(L);
    atomic_store(&a->clock.frozen_ms, luaL_checkinteger(L, 2));
    return 0;
}

static int app_run(lua_State *L) {
    struct app *a = check(L);
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    struct err e;
    char *argv[] = {"one", "two"};
    int code = script_run_text(a->script, "chunk.lua", str_n(p, n), 2, argv, &e);
    lua_pushinteger(L, code);
    lua_pushstring(L, e.code ? e.msg : "");
    return 2;
}

/* fail_after(n): the n-th allocation from now fails */
static int app_fail_after(lua_State *L) {
    struct app *a = check(L);
    a->script->fail_in = (uint64_t)luaL_checkinteger(L, 2);
    return 0;
}

static int app_dirs(lua_State *L) {
    struct app *a = check(L);
    struct script_sources *src;
    struct err e;
    const char *const *dirs;
    if (script_sources_read(a->functions, a->n_functions, NULL, a->root, &src, &e)) return luaL_error(L, "%s", e.msg);
    size_t n = script_sources_dirs(src, &dirs);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, dirs[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushstring(L, script_sources_version(src));
    script_sources_unref(src);
    return 2;
}

/* mean ns of n runs of function 1 */
static int app_time(lua_State *L) {
    struct app *a = check(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    struct started x = {.app = a};
    struct http_header h[] = {{STR("Host"), STR("localhost")}, {STR("Accept"), STR("*/*")}};
    x.http = (struct http_request){
        .method = STR("GET"),
        .path = STR("/x"),
        .headers = h,
        .n_headers = 2,
        .arena = &x.arena,
        .body = STR("{\"user_id\":\"u1\",\"item\":\"book\",\"quantity\":2,\"total_price\":1999}")};
    x.job =
        (struct script_job){.http = &x.http, .path = STR("/x"), .function = &a->functions[0], .request_id = STR("r")};
    uint64_t t0 = now_mono_ns();
    for (lua_Integer i = 0; i < n; i++) {
        x.out.head.n = x.out.body.n = 0;
        x.out.head.max = x.out.body.max = 1 << 20;
        script_start(a->script, &x.job, replied, &x, &x.handle);
    }
    lua_pushinteger(L, (lua_Integer)(now_mono_ns() - t0) / n);
    buf_free(&x.out.head);
    buf_free(&x.out.body);
    return 1;
}

/* write(path, text): with its directories */
static int t_write(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    struct arena a = {0};
    struct err e = {0};
    FILE *f = NULL;
    if (!fs_mkdirs(arena_cstr(&a, fs_dirname(str_c(path))), &e)) f = fopen(path, "w");
    if (f) {
        fwrite(text, 1, n, f);
        fclose(f);
    }
    arena_free(&a);
    if (!f) return luaL_error(L, "cannot write %s: %s", path, e.msg);
    return 0;
}

static int t_remove(lua_State *L) {
    struct err e;
    if (fs_remove_tree(luaL_checkstring(L, 1), &e)) return luaL_error(L, "%s", e.msg);
    return 0;
}

static int t_mkdtemp(lua_State *L) {
    char path[] = "/tmp/t_script.XXXXXX";
    if (!mkdtemp(path)) return luaL_error(L, "mkdtemp failed");
    lua_pushstring(L, path);
    return 1;
}

int luaopen_t_script(lua_State *L) {
    static const luaL_Reg methods[] = {{"load", app_load},
                                       {"commit", app_commit},
                                       {"start", app_start},
                                       {"result", app_result},
                                       {"finish", app_finish},
                                       {"cancel", app_cancel},
                                       {"turn", app_turn},
                                       {"release", app_release},
                                       {"stats", app_stats},
                                       {"log", app_log},
                                       {"clock", app_clock},
                                       {"run", app_run},
                                       {"close", app_close},
                                       {"dirs", app_dirs},
                                       {"fail_after", app_fail_after},
                                       {"time", app_time},
                                       {"stream", app_stream},
                                       {"drain", app_drain},
                                       {"__gc", app_close},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"open", t_open}, {"write", t_write}, {"remove", t_remove}, {"mkdtemp", t_mkdtemp}, {NULL, NULL}};
    luaL_newmetatable(L, "t.app");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.script", luaopen_t_script}, {"t.coverage", luaopen_t_coverage}, {NULL, NULL}};
