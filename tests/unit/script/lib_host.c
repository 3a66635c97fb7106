/* For lib_*_spec.lua: chunks run in a script of their own, with an AWS backend that answers as it is told.
 * Reached by package.loadlib("", "luaopen_t_lib"): test_modules is somebody else's. */
#include "base/fs.h"
#include "remote/remote.h"
#include "script/wait.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int luaopen_t_lib(lua_State *L);

/* ==== what the chunk reports ==== */

struct host {
    struct loop *loop;
    struct pool *pool;
    struct clock clock;
    struct log log;
    struct metrics metrics;
    struct buf lines;   /* log lines */
    struct buf reports; /* each ended by \x1e */
    struct script *script;
    struct aws_backend backend;
    struct remote_http *http;
    int cancelled, started;
    bool sandboxed, no_client;
    const char *scratch; /* of sandboxed handlers */
    bool replied;
    struct err reply;
};

static struct host *current; /* the host whose chunk runs */

static int report(lua_State *L) {
    size_t n;
    const char *p = luaL_tolstring(L, 1, &n);
    buf_add(&current->reports, p, n);
    buf_byte(&current->reports, '\x1e');
    return 0;
}

static int open_report(lua_State *L) {
    lua_pushcfunction(L, report);
    return 1;
}

/* The stock string library, beside the one that strings have. */
static int open_stock(lua_State *L) {
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    luaopen_string(L);
    lua_pushliteral(L, "");
    lua_pushvalue(L, -3);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    return 1;
}

/* Our pattern functions, which a trusted script's strings do not have. */
static int open_pattern(lua_State *L) {
    lua_newtable(L);
    script_open_pattern(L);
    return 1;
}

static void sink(void *ud, enum log_level level, struct str line) {
    struct host *h = ud;
    (void)level;
    buf_str(&h->lines, line);
    buf_byte(&h->lines, '\n');
}

/* ==== the backend: FakeResult (JSON text), FakeError (code name), FakePending (ms), FakeBody, FakeAttempts (remote),
 * FakeWrite (text for result_fd) ==== */

static void complete(void *ud) {
    aws_complete(ud);
}

static enum err_code code_named(struct str name) {
    for (int c = 1; c < ERR_CODES; c++)
        if (str_is(name, err_name((enum err_code)c))) return (enum err_code)c;
    return ERR_INTERNAL;
}

static void answer(struct aws_call *c) {
    struct str result = json_get_s(&c->params, "FakeResult"), error = json_get_s(&c->params, "FakeError");
    strcpy(c->request_id, "fake-1");
    if (result.p) {
        if (json_parse(&c->arena, result, NULL, &c->result, &c->err)) return;
    } else {
        struct buf b = BUF_MAX(1 << 20);
        json_write(&b, &c->params);
        c->result = json_make_obj();
        json_set(&c->arena, &c->result, "Params", json_make_str(arena_str(&c->arena, buf_view(&b))));
        buf_free(&b);
    }
    if (error.p) err_set(&c->err, code_named(error), "as you wished");
    if (json_get(&c->params, "FakeBody")) c->result_body = json_get_s(&c->params, "FakeBody");
    int64_t attempts;
    if (json_i64(json_get(&c->params, "FakeAttempts"), &attempts)) {
        c->attempts = (unsigned)attempts;
        c->waited_ms = 70;
        c->extended_id = STR("ext-1");
    }
    struct str text = json_get_s(&c->params, "FakeWrite");
    if (text.n && write(c->result_fd, text.p, text.n) != (ssize_t)text.n) err_set(&c->err, ERR_IO, "write");
    if (c->body_fd >= 0) json_set(&c->arena, &c->result, "SentFile", json_make_i64(&c->arena, (int64_t)c->body_len));
    if (c->op == AWS_OTHER) json_set(&c->arena, &c->result, "Other", json_make_c(c->row->action));
    if (c->body.p) json_set(&c->arena, &c->result, "Sent", json_make_i64(&c->arena, (int64_t)c->body.n));
}

static enum aws_started fake_start(struct aws_backend *b, struct aws_call *c) {
    struct host *h = CONTAINER(b, struct host, backend);
    h->started++;
    answer(c);
    if (!json_get(&c->params, "FakePending")) return AWS_DONE;
    loop_task_init(&c->task, complete, c);
    loop_post(c->home, &c->task);
    return AWS_PENDING;
}

static void fake_cancel(struct aws_backend *b, struct aws_call *c) {
    (void)c;
    CONTAINER(b, struct host, backend)->cancelled++;
}

static int fake_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret,
                        int64_t *ret_ms, struct err *e) {
    (void)b, (void)e;
    struct buf more = BUF_MAX(4096);
    for (size_t i = 0; i < p->n_query; i++)
        buf_printf(&more, "&%.*s=%.*s", STR_ARG(p->query[i].name), STR_ARG(p->query[i].value));
    for (size_t i = 0; i < p->n_headers; i++)
        buf_printf(&more, " %.*s:%.*s", STR_ARG(p->headers[i].name), STR_ARG(p->headers[i].value));
    *ret = arena_printf(a, "%.*s http://%.*s/%.*s/%.*s?%lld%s", STR_ARG(p->method),
                        STR_ARG(p->host_hint.n ? p->host_hint : STR("localhost")), STR_ARG(p->bucket), STR_ARG(p->key),
                        (long long)p->expires_s, buf_cstr(&more));
    buf_free(&more);
    *ret_ms = p->expires_s * 1000;
    return 0;
}

/* {url, fields: the parameters} */
static int fake_form(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                     struct json *ret, int64_t *ret_ms, struct err *e) {
    (void)b, (void)host_hint, (void)e;
    *ret = json_make_obj();
    json_set(a, ret, "url", json_make_c("http://localhost/b"));
    json_set(a, ret, "fields", json_copy(a, params));
    *ret_ms = 5000;
    return 0;
}

static void fake_describe(struct aws_backend *b, struct arena *a, struct json *ret) {
    (void)b;
    *ret = json_make_obj();
    json_set(a, ret, "backend", json_make_c("fake"));
}

static int64_t fake_now(struct aws_backend *b) {
    return clock_ms(&CONTAINER(b, struct host, backend)->clock);
}

static const struct aws_backend_ops fake_ops = {.start = fake_start,
                                                .cancel = fake_cancel,
                                                .presign = fake_presign,
                                                .presign_post = fake_form,
                                                .now_ms = fake_now,
                                                .describe = fake_describe};

/* ==== run ==== */

static int host_open(struct host *h, const char *root, struct err *e) {
    static const struct script_module modules[] = {
        {"t.report", open_report}, {"t.stock", open_stock}, {"t.pattern", open_pattern}, {NULL, NULL}};
    h->lines = h->reports = BUF_MAX(64 << 20);
    h->log = (struct log){.fd = -1, .level = LOG_DEBUG, .sink = sink, .ud = h};
    h->backend = (struct aws_backend){&fake_ops, {STR("us-east-1"), STR("000000000000"), STR("aws")}};
    atomic_store(&h->clock.frozen_ms, INT64_C(1795323346123)); /* 2026-11-22T04:55:46.123Z */
    if (loop_open(&h->loop, e) || pool_open(1, 0, &h->pool, e)) return -1;
    if (!h->no_client && remote_http_open(h->loop, NULL, &h->http, e)) return -1;
    struct script_config c = {.loop = h->loop,
                              .backend = &h->backend,
                              .fetch = h->http ? remote_http_client(h->http) : NULL,
                              .pool = h->pool,
                              .clock = &h->clock,
                              .log = &h->log,
                              .metrics = &h->metrics,
                              .root_dir = root,
                              .development = true,
                              .trusted = !h->sandboxed,
                              .scratch_dir = h->scratch,
                              .modules = modules};
    return script_open(&c, &h->script, e);
}

static void host_close(struct host *h) {
    if (h->script) script_close(h->script);
    remote_http_close(h->http);
    if (h->pool) pool_close(h->pool);
    if (h->loop) {
        loop_once(h->loop, 0);
        loop_close(h->loop);
    }
}

static void push_reports(lua_State *L, const struct host *h) {
    struct str rest = buf_view(&h->reports);
    lua_newtable(L);
    for (lua_Integer i = 1; rest.n; i++) {
        struct str one = str_cut(&rest, '\x1e');
        lua_pushlstring(L, one.n ? one.p : "", one.n);
        lua_rawseti(L, -2, i);
    }
}

/* run(chunk[, root_dir[, no_client]]) -> {reports}, log lines, error or nil */
static int run(lua_State *L) {
    size_t n;
    const char *chunk = luaL_checklstring(L, 1, &n);
    struct host *h = calloc(1, sizeof *h), *outer = current;
    struct err e = {0};
    current = h;
    h->no_client = lua_toboolean(L, 3);
    int rc = host_open(h, luaL_optstring(L, 2, "."), &e);
    if (!rc) rc = script_run_text(h->script, "@chunk", str_n(chunk, n), 0, NULL, &e);
    host_close(h);
    current = outer;
    push_reports(L, h);
    lua_pushlstring(L, h->lines.n ? h->lines.p : "", h->lines.n);
    if (rc)
        lua_pushstring(L, e.msg);
    else
        lua_pushnil(L);
    buf_free(&h->lines);
    buf_free(&h->reports);
    free(h);
    return 3;
}

/* ==== jobs ==== */

static void reply(void *ud, struct script_reply *r) {
    struct host *h = ud;
    h->replied = true;
    h->reply = r->err;
}

static int load(struct host *h, const struct function *f, struct err *e) {
    struct script_sources *sources = NULL;
    struct buf trace = BUF_MAX(1 << 20);
    int rc = script_sources_read(f, 1, NULL, ".", &sources, e);
    if (!rc) rc = script_load(h->script, sources, f, 1, &trace, e);
    if (!rc) script_commit(h->script, true);
    script_sources_unref(sources);
    buf_free(&trace);
    return rc;
}

/* Runs until the reply, or cancels after so many turns of the loop. */
static void run_job(struct host *h, const struct function *f, lua_Integer cancel_after) {
    struct json event = json_make_obj();
    struct script_job job = {
        .kind = SCRIPT_EVENT, .function = f, .request_id = STR("req-1"), .trace_id = STR("t"), .event = event};
    struct script_handle *handle = NULL;
    if (script_start(h->script, &job, reply, h, &handle)) return;
    for (lua_Integer turn = 0; !h->replied; turn++) {
        if (turn == cancel_after) {
            script_cancel(h->script, handle);
            break;
        }
        loop_once(h->loop, 20);
        script_watch_tick(h->script);
    }
    for (int i = 0; i < 20 && script_jobs(h->script); i++) loop_once(h->loop, 20);
}

/* job(directory, module, timeout_ms, cancel_after or -1, no_permissions[, scratch directory]) -> {reports}, code,
 * message, log: the handler `run` of a sandboxed module. */
static int job(lua_State *L) {
    const char *dir = luaL_checkstring(L, 1), *module = luaL_checkstring(L, 2);
    struct function f = {.name = STR("F"),
                         .code_dir = str_c(dir),
                         .module = str_c(module),
                         .field = STR("run"),
                         .line = 1,
                         .timeout_ms = (uint32_t)luaL_checkinteger(L, 3),
                         .memory_bytes = 128 << 20,
                         .policy = {.allow_all = !lua_toboolean(L, 5)}};
    lua_Integer cancel_after = luaL_checkinteger(L, 4);
    struct host *h = calloc(1, sizeof *h), *outer = current;
    struct err e = {0};
    h->sandboxed = true;
    h->scratch = luaL_optstring(L, 6, NULL);
    current = h;
    if (!host_open(h, ".", &e) && !load(h, &f, &e))
        run_job(h, &f, cancel_after);
    else
        h->reply = e;
    host_close(h);
    current = outer;
    push_reports(L, h);
    lua_pushstring(L, h->reply.code ? err_name(h->reply.code) : h->replied ? "ok" : "no reply");
    lua_pushstring(L, h->reply.msg);
    lua_pushlstring(L, h->lines.n ? h->lines.p : "", h->lines.n);
    buf_free(&h->lines);
    buf_free(&h->reports);
    free(h);
    return 4;
}

int luaopen_t_lib(lua_State *L) {
    static const luaL_Reg functions[] = {{"run", run}, {"job", job}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
