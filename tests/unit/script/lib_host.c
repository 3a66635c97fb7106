/* For lib_*_spec.lua: chunks run in a script of their own, with an AWS backend that answers as it is told.
 * Reached by package.loadlib("", "luaopen_t_lib"): test_modules is somebody else's. */
#include "base/fs.h"
#include "script/wait.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

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
    int cancelled, started;
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

/* ==== the backend: FakeResult (JSON text), FakeError (code name), FakePending (ms), FakeBody ==== */

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

static int fake_presign(struct aws_backend *b, struct arena *a, struct str method, struct str bucket, struct str key,
                        int64_t expires_s, struct str hint, struct str *ret, int64_t *ret_ms, struct err *e) {
    (void)b, (void)e;
    *ret = arena_printf(a, "%.*s http://%.*s/%.*s/%.*s?%lld", STR_ARG(method),
                        STR_ARG(hint.n ? hint : STR("localhost")), STR_ARG(bucket), STR_ARG(key), (long long)expires_s);
    *ret_ms = expires_s * 1000;
    return 0;
}

static int64_t fake_now(struct aws_backend *b) {
    return clock_ms(&CONTAINER(b, struct host, backend)->clock);
}

static const struct aws_backend_ops fake_ops = {fake_start, fake_cancel, fake_presign, fake_now};

/* ==== run ==== */

static int host_open(struct host *h, const char *root, struct err *e) {
    static const struct script_module modules[] = {
        {"t.report", open_report}, {"t.stock", open_stock}, {"t.pattern", open_pattern}, {NULL, NULL}};
    h->lines = h->reports = BUF_MAX(64 << 20);
    h->log = (struct log){.fd = -1, .level = LOG_DEBUG, .sink = sink, .ud = h};
    h->backend = (struct aws_backend){&fake_ops, {STR("us-east-1"), STR("000000000000"), STR("aws")}};
    atomic_store(&h->clock.frozen_ms, INT64_C(1795323346123)); /* 2026-11-22T04:55:46.123Z */
    if (loop_open(&h->loop, e) || pool_open(1, 0, &h->pool, e)) return -1;
    struct script_config c = {.loop = h->loop,
                              .backend = &h->backend,
                              .pool = h->pool,
                              .clock = &h->clock,
                              .log = &h->log,
                              .metrics = &h->metrics,
                              .root_dir = root,
                              .development = true,
                              .trusted = true,
                              .modules = modules};
    return script_open(&c, &h->script, e);
}

static void host_close(struct host *h) {
    if (h->script) script_close(h->script);
    if (h->pool) pool_close(h->pool);
    if (h->loop) {
        loop_once(h->loop, 0);
        loop_close(h->loop);
    }
}

/* run(chunk[, root_dir]) -> {reports}, log lines, error or nil */
static int run(lua_State *L) {
    size_t n;
    const char *chunk = luaL_checklstring(L, 1, &n);
    struct host *h = calloc(1, sizeof *h), *outer = current;
    struct err e = {0};
    current = h;
    int rc = host_open(h, luaL_optstring(L, 2, "."), &e);
    if (!rc) rc = script_run_text(h->script, "@chunk", str_n(chunk, n), 0, NULL, &e);
    host_close(h);
    current = outer;
    lua_newtable(L);
    struct str rest = buf_view(&h->reports);
    for (lua_Integer i = 1; rest.n; i++) {
        struct str one = str_cut(&rest, '\x1e');
        lua_pushlstring(L, one.n ? one.p : "", one.n);
        lua_rawseti(L, -2, i);
    }
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

int luaopen_t_lib(lua_State *L) {
    static const luaL_Reg functions[] = {{"run", run}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
