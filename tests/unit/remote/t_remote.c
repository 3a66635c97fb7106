/* t.remote: the whole client against a scripted server on 127.0.0.1, all on one loop.
 *
 *   r = open{ env = {NAME = value}, handler = function(request) -> answer, region =, access_key =, secret_key =, ... }
 *     AWS_ENDPOINT_URL is the server's unless env gives it ("" : none); r:port()
 *     request: method target path query headers (lower-case names) body; verified = payload hash (signature checked
 *       against `secret` at the system's time + clock_ms) or nil with `refused`
 *     answer: {status=, headers={..}, body=, date = unix_ms | false, act = "reset" | "close" | "stall" | "truncate" |
 *       "twice"}
 *   c = r:start(service, action, params_json, {body=, body_file=, result_file=, deadline_ms=})
 *   c:limit_ms() -> of the attempt that is under way, as a whole; without a byte
 *   c:wait() -> {ok, result, body, code, message, status, attempts, waited_ms, request_id}; c:done(); c:cancel()
 *   r:turn(ms) · r:presign{..} · r:presign_post(json, host) · r:describe() · r:identity() · r:queue_base()
 *   r:prepare() · r:detach() · r:close() · r:metrics() · r:server_clock(ms ahead) · r:server_secret(secret)
 *   r:hammer(threads, calls) -> succeeded, failed: workers of the same remote, all at once
 *   r:verify(method, target, headers, now_ms) -> payload hash | nil, message: as a server would check it */
#include "t_remote.h"
#include "remote/internal.h"
#include "sign/sign.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMOTE "t.remote.remote"
#define CALL "t.remote.call"

int luaopen_t_remote(lua_State *L);

struct pending {
    struct rig *rig;
    struct aws_call *call;
    bool done;
};

/* == the rig ========================================================================================================
 */

static struct rig *check(lua_State *L) {
    struct rig *g = luaL_checkudata(L, 1, REMOTE);
    if (!g->loop) luaL_error(L, "it is closed");
    g->L = L;
    return g;
}

static void turn(struct rig *g, int ms) {
    loop_once(g->loop, ms);
    if (!g->failure[0]) return;
    lua_pushstring(g->L, g->failure);
    g->failure[0] = 0;
    lua_error(g->L);
}

static const char *env_get(void *ud, const char *name) {
    struct rig *g = ud;
    lua_State *L = g->L;
    if (!strcmp(name, "AWS_ENDPOINT_URL")) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, g->env);
        lua_getfield(L, -1, name);
        bool given = !lua_isnil(L, -1);
        lua_pop(L, 2);
        if (!given) return g->endpoint;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->env);
    lua_getfield(L, -1, name);
    const char *v = lua_isstring(L, -1) ? arena_cstr(&g->arena, str_c(lua_tostring(L, -1))) : NULL;
    lua_pop(L, 2);
    return v;
}

static const char *option(lua_State *L, struct rig *g, const char *name) {
    lua_getfield(L, 1, name);
    const char *v = !lua_toboolean(L, -1) ? NULL : arena_cstr(&g->arena, str_c(luaL_checkstring(L, -1)));
    lua_pop(L, 1);
    return v;
}

static void detach(struct rig *g) {
    remote_detach(g->conn);
    g->conn = NULL;
}

static int rig_gc(lua_State *L) {
    struct rig *g = luaL_checkudata(L, 1, REMOTE);
    g->L = L;
    if (!g->loop) return 0;
    detach(g);
    remote_close(g->remote);
    rig_server_close(g);
    loop_once(g->loop, 0);
    loop_close(g->loop);
    luaL_unref(L, LUA_REGISTRYINDEX, g->env);
    luaL_unref(L, LUA_REGISTRYINDEX, g->handler);
    arena_free(&g->arena);
    g->loop = NULL;
    return 0;
}

static int open_rig(lua_State *L) {
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct rig *g = lua_newuserdatauv(L, sizeof *g, 0);
    memset(g, 0, sizeof *g);
    luaL_setmetatable(L, REMOTE);
    g->L = L;
    g->fd = -1;
    list_init(&g->peers);
    lua_getfield(L, 1, "env");
    if (lua_isnil(L, -1))
        lua_newtable(L);
    else
        lua_pushvalue(L, -1);
    g->env = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "handler");
    g->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    g->log = (struct log){.fd = 2, .level = getenv("PERIGEE_TEST_LOG") ? LOG_DEBUG : LOG_OFF};
    lua_getfield(L, 1, "now");
    if (lua_isinteger(L, -1)) atomic_store(&g->clock.frozen_ms, lua_tointeger(L, -1));
    const char *secret = option(L, g, "secret_key");
    snprintf(g->secret, sizeof g->secret, "%s", secret ? secret : "SECRET");
    struct remote_config c = {.region = option(L, g, "region"),
                              .profile = option(L, g, "profile"),
                              .access_key = option(L, g, "access_key"),
                              .secret_key = secret,
                              .session_token = option(L, g, "session_token"),
                              .env = {env_get, g},
                              .clock = &g->clock,
                              .log = &g->log,
                              .metrics = &g->metrics};
    int rc = loop_open(&g->loop, &e);
    if (!rc) rc = rig_server_open(g, &e);
    snprintf(g->endpoint, sizeof g->endpoint, "http://127.0.0.1:%d", g->port);
    if (!rc) rc = remote_open(&c, &g->remote, &e);
    if (!rc) rc = remote_attach(g->remote, g->loop, &g->conn, &e);
    lua_settop(L, 2);
    if (!rc) return 1;
    lua_pushnil(L);
    lua_pushstring(L, err_name(e.code));
    lua_pushstring(L, e.msg);
    return 3;
}

static int rig_port(lua_State *L) {
    lua_pushinteger(L, check(L)->port);
    return 1;
}

static int rig_turn(lua_State *L) {
    turn(check(L), (int)luaL_optinteger(L, 2, 0));
    return 0;
}

static int rig_detach(lua_State *L) {
    detach(check(L));
    return 0;
}

static int rig_clock(lua_State *L) { /* the server's clock minus ours */
    check(L)->clock_ms = luaL_checkinteger(L, 2);
    return 0;
}

static int rig_secret(lua_State *L) {
    struct rig *g = check(L);
    snprintf(g->secret, sizeof g->secret, "%s", luaL_checkstring(L, 2));
    return 0;
}

static int rig_metrics(lua_State *L) {
    struct rig *g = check(L);
    struct metrics *m = &g->metrics;
    struct buf b = BUF_MAX(1 << 20);
    metric_write(&b, &m, 1);
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

/* == calls ==========================================================================================================
 */

static struct str opt(lua_State *L, int t, const char *name) {
    struct str s = STR_NONE;
    if (!lua_istable(L, t)) return s;
    lua_getfield(L, t, name);
    if (!lua_isnil(L, -1)) s.p = luaL_checklstring(L, -1, &s.n);
    lua_pop(L, 1);
    return s;
}

static void open_files(lua_State *L, struct aws_call *c) {
    struct str in = opt(L, 5, "body_file"), out = opt(L, 5, "result_file");
    if (in.p) {
        c->body_fd = open(in.p, O_RDONLY | O_CLOEXEC);
        c->body_len = (uint64_t)lseek(c->body_fd, 0, SEEK_END);
    }
    if (out.p) c->result_fd = open(out.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void call_done(struct aws_call *c, void *ud) {
    (void)c;
    ((struct pending *)ud)->done = true;
}

static int rig_start(lua_State *L) {
    struct rig *g = check(L);
    struct err e = {0};
    enum aws_service s;
    lua_settop(L, 5);
    if (aws_service_find(str_c(luaL_checkstring(L, 2)), &s, &e)) return luaL_error(L, "%s", e.msg);
    struct pending *p = lua_newuserdatauv(L, sizeof *p, 1);
    *p = (struct pending){.rig = g};
    luaL_setmetatable(L, CALL);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    struct aws_call *c = aws_call_named(s, str_c(luaL_checkstring(L, 3)));
    p->call = c;
    struct str params = arena_str(&c->arena, str_c(luaL_optstring(L, 4, "{}")));
    if (json_parse(&c->arena, params, NULL, &c->params, &e)) return luaL_error(L, "%s", e.msg);
    struct str deadline = opt(L, 5, "deadline_ms"), body = opt(L, 5, "body");
    if (deadline.p) c->context.deadline_ms = now_mono_ms() + strtoull(deadline.p, NULL, 10);
    c->body = arena_str(&c->arena, body);
    open_files(L, c);
    c->done = call_done;
    c->ud = p;
    if (aws_start(remote_backend(g->conn), g->loop, c) == AWS_DONE) p->done = true;
    return 1;
}

static int push_outcome(lua_State *L, struct aws_call *c) {
    struct buf b = BUF_MAX(64 << 20);
    lua_newtable(L);
    json_write(&b, &c->result);
    rig_set_str(L, "result", buf_view(&b));
    buf_free(&b);
    lua_pushboolean(L, !c->err.code);
    lua_setfield(L, -2, "ok");
    if (c->result_body.p) rig_set_str(L, "body", c->result_body);
    rig_set_str(L, "request_id", str_c(c->request_id));
    lua_pushinteger(L, c->attempts);
    lua_setfield(L, -2, "attempts");
    lua_pushinteger(L, (lua_Integer)c->waited_ms);
    lua_setfield(L, -2, "waited_ms");
    if (!c->err.code) return 1;
    rig_set_str(L, "code", str_c(err_name_of(&c->err)));
    rig_set_str(L, "message", str_c(c->err.msg));
    lua_pushinteger(L, err_status_of(&c->err));
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, err_retryable_of(&c->err));
    lua_setfield(L, -2, "retryable");
    return 1;
}

static struct pending *check_call(lua_State *L) {
    struct pending *p = luaL_checkudata(L, 1, CALL);
    if (!p->call) luaL_error(L, "the call was cancelled or read already");
    p->rig->L = L;
    return p;
}

static int call_wait(lua_State *L) {
    struct pending *p = check_call(L);
    while (!p->done) turn(p->rig, 1000);
    int n = push_outcome(L, p->call);
    struct aws_call *c = p->call;
    p->call = NULL;
    aws_call_free(c);
    return n;
}

static int call_is_done(lua_State *L) {
    lua_pushboolean(L, check_call(L)->done);
    return 1;
}

static int call_limit_ms(lua_State *L) {
    const struct call *k = check_call(L)->call->state;
    lua_pushinteger(L, k ? (lua_Integer)k->x.total_ms : 0);
    lua_pushinteger(L, k ? (lua_Integer)k->x.idle_ms : 0);
    return 2;
}

static int cancel_call(lua_State *L) {
    struct pending *p = check_call(L);
    struct aws_call *c = p->call;
    p->call = NULL;
    aws_cancel(c);
    return 0;
}

static int call_gc(lua_State *L) {
    struct pending *p = luaL_checkudata(L, 1, CALL);
    if (p->call) aws_cancel(p->call);
    p->call = NULL;
    return 0;
}

static int rig_threads(lua_State *L) {
    return rig_hammer(L, check(L));
}

static int rig_verify(lua_State *L) {
    struct rig *g = check(L);
    struct arena a = {0};
    struct sign_verified v;
    struct err e = {0};
    struct str rest = arena_str(&a, str_c(luaL_checkstring(L, 3)));
    struct http_header *headers = ARENA_ARRAY(&a, struct http_header, 32);
    struct http_request r = {.method = str_c(luaL_checkstring(L, 2)), .target = rest, .headers = headers, .arena = &a};
    r.path = str_cut(&rest, '?');
    r.raw_query = rest;
    for (lua_pushnil(L); lua_next(L, 4) && r.n_headers < 32; lua_pop(L, 1))
        headers[r.n_headers++] = (struct http_header){str_c(lua_tostring(L, -2)), str_c(lua_tostring(L, -1))};
    int rc = sign_verify(&r, luaL_checkinteger(L, 5), rig_secret_of, g, &v, &e);
    if (rc)
        lua_pushnil(L);
    else
        lua_pushlstring(L, v.payload_hash.p ? v.payload_hash.p : "", v.payload_hash.n);
    lua_pushstring(L, rc ? e.msg : NULL);
    arena_free(&a);
    return 2;
}

/* == presigning, describing =========================================================================================
 */

static size_t pairs_of(lua_State *L, const char *name, struct arena *a, const struct http_header **ret) {
    struct http_header *h = ARENA_ARRAY(a, struct http_header, 16);
    size_t n = 0;
    lua_getfield(L, 2, name);
    for (lua_Integer i = 1; lua_istable(L, -1) && i <= luaL_len(L, -1) && n < 16; i++) {
        lua_geti(L, -1, i);
        lua_geti(L, -1, 1);
        lua_geti(L, -2, 2);
        h[n++] =
            (struct http_header){arena_str(a, str_c(lua_tostring(L, -2))), arena_str(a, str_c(lua_tostring(L, -1)))};
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
    *ret = h;
    return n;
}

static int failed(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, err_name_of(e));
    lua_pushstring(L, e->msg);
    lua_pushboolean(L, err_retryable_of(e));
    return 4;
}

static int rig_presign(lua_State *L) {
    struct rig *g = check(L);
    struct arena a = {0};
    struct str url = STR_NONE;
    struct err e = {0};
    int64_t until = 0;
    luaL_checktype(L, 2, LUA_TTABLE);
    struct aws_presign p = {.method = opt(L, 2, "method"),
                            .bucket = opt(L, 2, "bucket"),
                            .key = opt(L, 2, "key"),
                            .host_hint = opt(L, 2, "host")};
    lua_getfield(L, 2, "expires");
    p.expires_s = lua_tointeger(L, -1);
    p.n_query = pairs_of(L, "query", &a, &p.query);
    p.n_headers = pairs_of(L, "headers", &a, &p.headers);
    struct aws_backend *b = remote_backend(g->conn);
    int rc = b->ops->presign(b, &p, &a, &url, &until, &e);
    if (!rc) lua_pushlstring(L, url.p, url.n);
    lua_pushinteger(L, until);
    arena_free(&a);
    return rc ? failed(L, &e) : 2;
}

static int push_json(lua_State *L, const struct json *v) {
    struct buf b = BUF_MAX(16 << 20);
    json_write(&b, v);
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

static int rig_presign_post(lua_State *L) {
    struct rig *g = check(L);
    struct arena a = {0};
    struct json params, form;
    struct err e = {0};
    int64_t until = 0;
    struct str text = str_c(luaL_checkstring(L, 2)), host = str_c(luaL_optstring(L, 3, NULL));
    struct aws_backend *b = remote_backend(g->conn);
    int rc = json_parse(&a, text, NULL, &params, &e);
    if (!rc) rc = b->ops->presign_post(b, &params, host, &a, &form, &until, &e);
    if (!rc) push_json(L, &form);
    lua_pushinteger(L, until);
    arena_free(&a);
    return rc ? failed(L, &e) : 2;
}

static int rig_describe(lua_State *L) {
    struct rig *g = check(L);
    struct arena a = {0};
    struct json d;
    struct aws_backend *b = remote_backend(g->conn);
    b->ops->describe(b, &a, &d);
    push_json(L, &d);
    arena_free(&a);
    return 1;
}

static int rig_identity(lua_State *L) {
    struct aws_identity id = remote_identity(check(L)->remote);
    lua_pushlstring(L, id.region.p, id.region.n);
    lua_pushlstring(L, id.account.p, id.account.n);
    lua_pushlstring(L, id.partition.p, id.partition.n);
    return 3;
}

static int rig_queue_base(lua_State *L) {
    struct str s = remote_queue_base(check(L)->remote);
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    return 1;
}

static int rig_account(lua_State *L) {
    remote_set_account(check(L)->remote, str_c(luaL_checkstring(L, 2)));
    return 0;
}

static int rig_prepare(lua_State *L) {
    struct err e = {0};
    if (remote_prepare(check(L)->remote, &e)) return failed(L, &e);
    lua_pushboolean(L, true);
    return 1;
}

static void metatable(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

int luaopen_t_remote(lua_State *L) {
    static const luaL_Reg rig[] = {{"port", rig_port},
                                   {"turn", rig_turn},
                                   {"start", rig_start},
                                   {"detach", rig_detach},
                                   {"server_clock", rig_clock},
                                   {"server_secret", rig_secret},
                                   {"metrics", rig_metrics},
                                   {"verify", rig_verify},
                                   {"hammer", rig_threads},
                                   {"presign", rig_presign},
                                   {"presign_post", rig_presign_post},
                                   {"describe", rig_describe},
                                   {"identity", rig_identity},
                                   {"queue_base", rig_queue_base},
                                   {"set_account", rig_account},
                                   {"prepare", rig_prepare},
                                   {"close", rig_gc},
                                   {"__gc", rig_gc},
                                   {NULL, NULL}};
    static const luaL_Reg call[] = {{"wait", call_wait},     {"done", call_is_done}, {"limit_ms", call_limit_ms},
                                    {"cancel", cancel_call}, {"__gc", call_gc},      {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", open_rig}, {NULL, NULL}};
    metatable(L, REMOTE, rig);
    metatable(L, CALL, call);
    luaL_newlib(L, functions);
    return 1;
}
