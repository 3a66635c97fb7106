/* t.local: an engine with one loop and one connection, driven from specs.
 *
 * e = t.open{ dir = path | memory = true, now = unix_ms (frozen clock), keys = path, no_verify, control = 0..2,
 *             simulated = unix_ms: in simulated time, without threads }
 *   -> engine | nil, error name, message
 * e:call(service, action, params_json [, body [, file]]) -> result_json, result_body | nil, error_json
 *   file: a path whose bytes are the body of PutObject, or that GetObject writes to
 * h = e:start(service, action, params_json [, body]); h:done(); h:wait() -> as e:call; h:cancel()
 * e:turn(ms) · e:now() · e:clock_set(ms) · e:advance(ms) · e:fault(name, n)
 * e:allow({{action, resource}, ...} | nil)
 * e:face{ method, target, headers = {name = value}, body } -> status, headers (lower-case names), body
 *   signed with sign = "s3", ...: access_key, secret_key, at = unix_ms, payload_hash, plain = without that header,
 *   age = ms since its head came, chunks = {data, ...}, trailer = "name:value", spoil = which signature
 *   give_up = the client goes: -> nothing
 * e:presign{ method, bucket, key, expires, host, query = {name = value}, headers } -> url, expires_ms | nil, message
 * e:post_form(params_json, host) -> json, expires_ms | nil, message
 * e:endpoint(port [, public_url]) · e:mailbox() -> json · e:probe() -> true | nil, message
 * e:sql(text) -> {{column, ...}, ...} through a connection of its own · e:metric(id) · e:close() */
#include "base/crypto.h"
#include "base/url.h"
#include "hammer.h"
#include "local/db.h"
#include "local/local.h"
#include "local/s3/form.h"
#include "local/writer.h"
#include "sign/sign.h"
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENGINE "t.local.engine"
#define CALL "t.local.call"

struct engine {
    struct clock clock;
    struct log log;
    struct metrics metrics;
    struct pool *pool;
    struct loop *loop;
    struct local *local;
    struct local_conn *conn;
    struct policy policy;
    struct arena arena; /* of the policy */
};

struct pending {
    struct aws_call *call;
    struct engine *engine;
    bool done;
};

static struct engine *check(lua_State *L) {
    struct engine *e = luaL_checkudata(L, 1, ENGINE);
    if (!e->local) luaL_error(L, "the engine is closed");
    return e;
}

static struct str to_str(lua_State *L, int i) {
    struct str s = STR_NONE;
    if (!lua_isnoneornil(L, i)) s.p = luaL_checklstring(L, i, &s.n);
    return s;
}

static struct str field(lua_State *L, int t, const char *name) {
    struct str s = STR_NONE;
    lua_getfield(L, t, name);
    if (!lua_isnil(L, -1)) s.p = luaL_checklstring(L, -1, &s.n);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

static int push_err(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, err_name(e->code));
    lua_pushstring(L, e->msg);
    return 3;
}

/* == engine =========================================================================================================
 */

static void shut(struct engine *e) {
    local_detach(e->conn);
    local_close(e->local);
    if (e->pool) pool_close(e->pool);
    if (e->loop) {
        loop_once(e->loop, 0);
        loop_close(e->loop);
    }
    arena_free(&e->arena);
    e->conn = NULL;
    e->local = NULL;
    e->pool = NULL;
    e->loop = NULL;
}

static int open_engine(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    struct str dir = field(L, 1, "dir");
    struct engine *e = lua_newuserdatauv(L, sizeof *e, 0);
    memset(e, 0, sizeof *e);
    luaL_setmetatable(L, ENGINE);
    struct err err = {0};
    e->log = (struct log){.fd = 2, .level = getenv("PERIGEE_TEST_LOG") ? LOG_DEBUG : LOG_OFF};
    lua_getfield(L, 1, "now");
    if (!lua_isnil(L, -1)) atomic_store(&e->clock.frozen_ms, luaL_checkinteger(L, -1));
    struct local_config c = {.dir = dir.p, .clock = &e->clock, .log = &e->log, .metrics = &e->metrics};
    lua_getfield(L, 1, "strict_ses");
    c.strict_ses = lua_toboolean(L, -1);
    lua_pop(L, 1);
    c.keys = field(L, 1, "keys").p;
    lua_getfield(L, 1, "no_verify");
    c.no_verify = lua_toboolean(L, -1);
    lua_getfield(L, 1, "control");
    c.control = luaL_optinteger(L, -1, 0);
    lua_pop(L, 2);
    lua_getfield(L, 1, "simulated");
    c.threadless = !lua_isnil(L, -1);
    if (c.threadless) clock_simulate(&e->clock, luaL_checkinteger(L, -1));
    int rc = pool_open(c.threadless ? 0 : 2, 0, &e->pool, &err);
    c.pool = e->pool;
    if (!rc) rc = loop_open(&e->loop, &err);
    if (!rc && c.threadless) loop_simulate(e->loop, &e->clock);
    if (!rc) rc = local_open(&c, &e->local, &err);
    if (!rc) rc = local_attach(e->local, e->loop, &e->conn, &err);
    if (rc) {
        shut(e);
        return push_err(L, &err);
    }
    local_set_endpoint(e->local, 4566, "");
    lua_pushvalue(L, 2);
    return 1;
}

static int engine_close(lua_State *L) {
    struct engine *e = luaL_checkudata(L, 1, ENGINE);
    if (e->local) shut(e);
    return 0;
}

/* == calls ==========================================================================================================
 */

static int push_result(lua_State *L, struct aws_call *c) {
    struct buf b = BUF_MAX(64 << 20);
    if (c->err.code) {
        aws_error_json(c, &b);
        lua_pushnil(L);
    } else {
        json_write(&b, &c->result);
    }
    lua_pushlstring(L, buf_cstr(&b), b.n);
    buf_free(&b);
    if (c->err.code) return 2;
    if (!c->result_body.p) return 1;
    lua_pushlstring(L, c->result_body.p, c->result_body.n);
    return 2;
}

static struct aws_call *make_call(lua_State *L, struct engine *e) {
    struct str service = to_str(L, 2), action = to_str(L, 3), params = to_str(L, 4), body = to_str(L, 5);
    struct err err = {0};
    enum aws_service s;
    enum aws_op op;
    if (aws_service_find(service, &s, &err) || aws_op_find(s, action, &op, &err)) {
        luaL_error(L, "%s", err.msg);
        return NULL;
    }
    struct aws_call *c = aws_call_new(op);
    c->body = arena_str(&c->arena, body);
    if (e->policy.n || e->policy.allow_all) {
        c->context.policy = &e->policy;
        c->context.function = STR("TestFunction");
    }
    const char *file = luaL_optstring(L, 6, NULL);
    if (file && op == AWS_S3_GetObject) c->result_fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file && op == AWS_S3_PutObject) {
        struct stat st;
        c->body_fd = open(file, O_RDONLY | O_CLOEXEC);
        c->body_len = c->body_fd >= 0 && !fstat(c->body_fd, &st) ? (uint64_t)st.st_size : 0;
    }
    struct json_limits limits = {.depth = 200, .duplicate_keys = true};
    struct str text = arena_str(&c->arena, params.p ? params : STR("{}"));
    if (json_parse(&c->arena, text, &limits, &c->params, &err)) {
        aws_call_free(c);
        luaL_error(L, "parameters: %s", err.msg);
    }
    return c;
}

static void call_done(struct aws_call *c, void *ud) {
    (void)c;
    ((struct pending *)ud)->done = true;
}

static struct pending *start(lua_State *L, struct engine *e) {
    struct aws_call *c = make_call(L, e);
    struct pending *p = lua_newuserdatauv(L, sizeof *p, 1);
    *p = (struct pending){.call = c, .engine = e};
    luaL_setmetatable(L, CALL);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    c->done = call_done;
    c->ud = p;
    if (aws_start(local_backend(e->conn), e->loop, c) == AWS_DONE) p->done = true;
    return p;
}

static int engine_start(lua_State *L) {
    start(L, check(L));
    return 1;
}

static int finish(lua_State *L, struct pending *p) {
    if (!p->call) return luaL_error(L, "the call was cancelled or read already");
    while (!p->done) loop_once(p->engine->loop, -1);
    int n = push_result(L, p->call);
    struct aws_call *c = p->call;
    p->call = NULL;
    aws_call_free(c);
    return n;
}

static int engine_call(lua_State *L) {
    struct pending *p = start(L, check(L));
    return finish(L, p);
}

static int call_wait(lua_State *L) {
    return finish(L, luaL_checkudata(L, 1, CALL));
}

static int call_is_done(lua_State *L) {
    lua_pushboolean(L, ((struct pending *)luaL_checkudata(L, 1, CALL))->done);
    return 1;
}

static int call_cancel(lua_State *L) {
    struct pending *p = luaL_checkudata(L, 1, CALL);
    if (p->call) aws_cancel(p->call);
    p->call = NULL;
    return 0;
}

/* == clock, loop, faults, policy ====================================================================================
 */

static int engine_turn(lua_State *L) {
    loop_once(check(L)->loop, (int)luaL_optinteger(L, 2, 0));
    return 0;
}

static int engine_now(lua_State *L) {
    lua_pushinteger(L, clock_ms(&check(L)->clock));
    return 1;
}

static int engine_clock_set(lua_State *L) {
    struct engine *e = check(L);
    atomic_store(&e->clock.offset_ms, 0);
    atomic_store(&e->clock.frozen_ms, luaL_checkinteger(L, 2));
    writer_poke(e->local->writer);
    return 0;
}

static int engine_advance(lua_State *L) {
    struct engine *e = check(L);
    atomic_fetch_add(&e->clock.offset_ms, luaL_checkinteger(L, 2));
    writer_poke(e->local->writer);
    return 0;
}

static int engine_fault(lua_State *L) {
    static const char *const names[] = {"step", "commit", "file", NULL};
    struct engine *e = check(L);
    local_fault(e->local, (enum local_fault)luaL_checkoption(L, 2, NULL, names), luaL_checkinteger(L, 3));
    return 0;
}

static int engine_allow(lua_State *L) {
    struct engine *e = check(L);
    arena_reset(&e->arena);
    e->policy = (struct policy){0};
    if (lua_isnoneornil(L, 2)) return 0;
    size_t n = (size_t)luaL_len(L, 2);
    struct policy_statement *st = ARENA_ARRAY(&e->arena, struct policy_statement, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct str *pair = ARENA_ARRAY(&e->arena, struct str, 2);
        lua_geti(L, 2, (lua_Integer)i + 1);
        for (int k = 0; k < 2; k++) {
            lua_geti(L, -1, k + 1);
            pair[k] = arena_str(&e->arena, to_str(L, -1));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        st[i] = (struct policy_statement){.actions = &pair[0], .n_actions = 1, .resources = &pair[1], .n_resources = 1};
    }
    e->policy = (struct policy){.statements = st, .n = n};
    return 0;
}

/* == the face, presigning, mail, readiness ==========================================================================
 */

struct answer {
    bool done;
    struct http_response res;
};

static void answered(void *ud, struct http_response *res) {
    struct answer *a = ud;
    a->res = *res;
    memset(res, 0, sizeof *res);
    res->file = -1;
    a->done = true;
}

static size_t read_pairs(lua_State *L, const char *name, struct arena *a, struct http_header **ret) {
    size_t n = 0;
    *ret = ARENA_ARRAY(a, struct http_header, 64);
    if (lua_getfield(L, 2, name) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, -2) && n < 64; lua_pop(L, 1))
            (*ret)[n++] = (struct http_header){arena_str(a, to_str(L, -2)), arena_str(a, to_str(L, -1))};
    lua_pop(L, 1);
    return n;
}

/* Adds x-amz-date, x-amz-content-sha256 (payload_hash, else the body's; left out when `plain`) and Authorization for
 * the service named by the field `sign`, with `access_key` and `secret_key`, at `at` (ms) or now. */
static size_t sign_headers(lua_State *L, struct arena *a, const struct http_request *r, struct http_header *h, size_t n,
                           struct sign_stream *stream, char seed[65]) {
    struct str service = field(L, 2, "sign"), hash = field(L, 2, "payload_hash");
    struct str id = field(L, 2, "access_key"), secret = field(L, 2, "secret_key");
    struct sign_credentials cred = {id.p ? id : STR("perigee"), secret.p ? secret : STR("perigee"), STR_NONE};
    lua_getfield(L, 2, "at");
    lua_getfield(L, 2, "plain");
    struct sign_scope scope = {STR("us-east-1"), service, luaL_optinteger(L, -2, clock_ms(NULL))};
    bool plain = lua_toboolean(L, -1);
    lua_pop(L, 2);
    struct buf value = BUF_MAX(8192);
    struct sign_key_cache cache = {0};
    uint8_t sha[32];
    if (!service.p) return n;
    char *date = arena_alloc(a, 17), *hex = arena_alloc(a, 64);
    now_amz(scope.unix_ms, date);
    crypto_sha256(r->body, sha);
    crypto_hex_to(hex, sha, 32);
    if (!hash.p) hash = str_n(hex, 64);
    h[n++] = (struct http_header){STR("x-amz-date"), str_n(date, 16)};
    if (!plain) h[n++] = (struct http_header){STR("x-amz-content-sha256"), hash};
    struct sign_request s = {r->method, r->path, r->raw_query, h, n, hash, !str_is(service, "s3")};
    sign_authorization(&cred, &scope, &s, &cache, &value, seed);
    sign_stream_begin(stream, &cred, &scope, &cache, seed);
    h[n++] = (struct http_header){STR("Authorization"), arena_str(a, buf_view(&value))};
    buf_free(&value);
    return n;
}

/* The body of a signed stream: `chunks` = {data, ...}, `trailer` = "name:value"; `spoil`: which signature is wrong (the
 * trailer's comes last). */
static struct str signed_stream(lua_State *L, struct arena *a, struct sign_stream *s) {
    struct buf b = BUF_MAX(1 << 24);
    char hex[65];
    lua_getfield(L, 2, "spoil");
    lua_Integer spoil = luaL_optinteger(L, -1, 0), i = 0;
    lua_getfield(L, 2, "chunks");
    for (bool last = false; !last; lua_pop(L, 1)) {
        lua_rawgeti(L, -1, ++i);
        struct str data = to_str(L, -1);
        last = !data.n;
        sign_stream_chunk(s, data, hex);
        if (i == spoil) hex[5] = hex[5] == '0' ? '1' : '0';
        buf_printf(&b, "%zx;chunk-signature=%s\r\n%.*s%s", data.n, hex, STR_ARG(data), last ? "" : "\r\n");
    }
    struct str trailer = field(L, 2, "trailer");
    if (trailer.p) {
        sign_stream_trailer(s, arena_printf(a, "%.*s\n", STR_ARG(trailer)), hex);
        if (i + 1 == spoil) hex[5] = hex[5] == '0' ? '1' : '0';
        buf_printf(&b, "%.*s\r\nx-amz-trailer-signature:%s\r\n", STR_ARG(trailer), hex);
    }
    buf_c(&b, "\r\n");
    lua_pop(L, 2);
    struct str body = arena_str(a, buf_view(&b));
    buf_free(&b);
    return body;
}

static void push_headers(lua_State *L, struct str head) {
    lua_newtable(L);
    while (head.n) {
        struct str line = str_cut(&head, '\n'), name = str_cut(&line, ':');
        char low[128] = "";
        for (size_t i = 0; i < name.n && i < sizeof low - 1; i++)
            low[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
        line = str_trim(line);
        lua_pushlstring(L, line.p, line.n);
        lua_setfield(L, -2, low);
    }
}

static void push_body(lua_State *L, struct http_response *r) {
    if (r->file < 0) {
        lua_pushlstring(L, buf_cstr(&r->body), r->body.n);
        return;
    }
    char *p = malloc(r->file_len + 1);
    ssize_t n = pread(r->file, p, r->file_len, (off_t)r->file_off);
    lua_pushlstring(L, p, n > 0 ? (size_t)n : 0);
    free(p);
}

static int engine_face(lua_State *L) {
    struct engine *e = check(L);
    struct arena a = {0};
    struct answer ans = {0};
    struct http_request r = {
        .method = field(L, 2, "method"), .target = field(L, 2, "target"), .arena = &a, .loopback = true};
    struct str rest = r.target;
    r.body = field(L, 2, "body");
    r.path = str_cut(&rest, '?');
    r.raw_query = rest.p ? rest : STR("");
    r.version = STR("HTTP/1.1");
    r.request_id = STR("req-1");
    lua_getfield(L, 2, "age");
    r.start_ns = lua_isnil(L, -1) ? 0 : now_mono_ns() - (uint64_t)luaL_checkinteger(L, -1) * 1000000;
    lua_pop(L, 1);
    struct http_header *headers = NULL;
    r.n_headers = read_pairs(L, "headers", &a, &headers);
    struct sign_stream stream = {0};
    char seed[65] = "";
    r.n_headers = sign_headers(L, &a, &r, headers, r.n_headers, &stream, seed);
    r.headers = headers;
    lua_getfield(L, 2, "chunks");
    if (!lua_isnil(L, -1)) r.body = signed_stream(L, &a, &stream);
    lua_pop(L, 1);
    sign_stream_end(&stream);
    void *ticket = local_face(e->conn, &r, answered, &ans);
    lua_getfield(L, 2, "give_up");
    if (lua_toboolean(L, -1)) {
        if (!ticket) luaL_error(L, "nothing to give up");
        local_face_cancel(ticket);
        arena_free(&a);
        return 0;
    }
    while (!ans.done) loop_once(e->loop, -1);
    lua_pushinteger(L, ans.res.status);
    push_headers(L, buf_view(&ans.res.head));
    push_body(L, &ans.res);
    http_response_free(&ans.res);
    arena_free(&a);
    return 3;
}

static int engine_presign(lua_State *L) {
    struct engine *e = check(L);
    struct arena a = {0};
    struct str url = STR_NONE;
    struct err err = {0};
    int64_t until = 0;
    lua_getfield(L, 2, "expires");
    struct aws_backend *b = local_backend(e->conn);
    struct aws_presign p = {field(L, 2, "method"), field(L, 2, "bucket"), field(L, 2, "key"),
                            luaL_optinteger(L, -1, 300), field(L, 2, "host")};
    struct http_header *query = NULL, *headers = NULL;
    p.n_query = read_pairs(L, "query", &a, &query);
    p.n_headers = read_pairs(L, "headers", &a, &headers);
    p.query = query;
    p.headers = headers;
    int rc = b->ops->presign(b, &p, &a, &url, &until, &err);
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
    } else {
        lua_pushlstring(L, url.p, url.n);
        lua_pushinteger(L, until);
    }
    arena_free(&a);
    return 2;
}

static int engine_post_form(lua_State *L) {
    struct engine *e = check(L);
    struct arena a = {0};
    struct json params, form;
    struct err err = {0};
    struct buf b = BUF_MAX(1 << 20);
    int64_t until = 0;
    struct aws_backend *backend = local_backend(e->conn);
    if (json_parse(&a, arena_str(&a, to_str(L, 2)), NULL, &params, &err) ||
        backend->ops->presign_post(backend, &params, to_str(L, 3), &a, &form, &until, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
    } else {
        json_write(&b, &form);
        lua_pushlstring(L, buf_cstr(&b), b.n);
        lua_pushinteger(L, until);
    }
    buf_free(&b);
    arena_free(&a);
    return 2;
}

static int engine_endpoint(lua_State *L) {
    local_set_endpoint(check(L)->local, (int)luaL_checkinteger(L, 2), luaL_optstring(L, 3, ""));
    return 0;
}

static int engine_mailbox(lua_State *L) {
    struct engine *e = check(L);
    struct arena a = {0};
    struct buf b = BUF_MAX(64 << 20);
    struct json j;
    struct err err = {0};
    if (local_mailbox(e->conn, &a, &j, &err)) return push_err(L, &err);
    json_write(&b, &j);
    lua_pushlstring(L, buf_cstr(&b), b.n);
    buf_free(&b);
    arena_free(&a);
    return 1;
}

struct probed {
    bool done;
    struct err err;
};

static void on_probe(void *ud, const struct err *e) {
    struct probed *p = ud;
    p->done = true;
    if (e) p->err = *e;
}

static int await_probe(lua_State *L, struct engine *e, struct probed *p) {
    while (!p->done) loop_once(e->loop, -1);
    if (p->err.code) return push_err(L, &p->err);
    lua_pushboolean(L, 1);
    return 1;
}

static int engine_probe(lua_State *L) {
    struct engine *e = check(L);
    struct probed p = {0};
    local_probe(e->conn, on_probe, &p);
    return await_probe(L, e, &p);
}

static int engine_snapshot(lua_State *L) {
    static const char *const what[] = {"take", "restore", "delete", NULL};
    struct engine *e = check(L);
    struct probed p = {0};
    local_snapshot(e->conn, (enum local_snapshot)luaL_checkoption(L, 2, NULL, what), to_str(L, 3), on_probe, &p);
    return await_probe(L, e, &p);
}

/* == looking inside =================================================================================================
 */

static int engine_sql(lua_State *L) {
    struct engine *e = check(L);
    struct err err = {0};
    struct db *db = NULL;
    struct db_stmt *s = NULL;
    const char *text = luaL_checkstring(L, 2);
    int columns = (int)luaL_optinteger(L, 3, 1), rc;
    void **service;
    struct db *shared = writer_shared(e->local->writer, &service), *own = NULL;
    lua_pushfstring(L, "%s/store.db", e->local->dir);
    if (!shared && db_open(lua_tostring(L, -1), DB_READER, false, &own, &err)) return push_err(L, &err);
    db = shared ? shared : own;
    if (db_stmt(db, text, &s, &err)) {
        db_close(own);
        return push_err(L, &err);
    }
    lua_newtable(L);
    for (int n = 1; (rc = db_step(s, &err)) == 1; n++) {
        lua_createtable(L, columns, 0);
        for (int i = 0; i < columns; i++) {
            struct str v = db_bytes(s, i);
            lua_pushlstring(L, v.p ? v.p : "", v.n);
            lua_seti(L, -2, i + 1);
        }
        lua_seti(L, -2, n);
    }
    db_done(s);
    db_close(own);
    return rc ? push_err(L, &err) : 1;
}

static int engine_hammer(lua_State *L) {
    struct engine *e = check(L);
    struct err err = {0};
    long sent = 0, received = 0;
    if (hammer(e->local, (int)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3), &sent, &received, &err))
        return push_err(L, &err);
    lua_pushinteger(L, sent);
    lua_pushinteger(L, received);
    return 2;
}

static int engine_dir(lua_State *L) {
    lua_pushstring(L, check(L)->local->dir);
    return 1;
}

/* e:work() -> steps that the writer's statements took */
static int engine_work(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)writer_work(check(L)->local->writer));
    return 1;
}

/* e:fill(queue id, waiting, in flight[, groups]): messages as if they had been sent, and received; of a FIFO queue when
 * groups is given. Between operations, by a connection of its own. */
static int engine_fill(lua_State *L) {
    static const char insert[] =
        "INSERT INTO messages(queue,visible_at,sent_at,receives,first_at,message_id,body,body_md5,grp,seq) "
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i+1<?2+?3) SELECT ?1, "
        "CASE WHEN i<?3 THEN ?5+3600000 ELSE ?5-1 END, ?5-1, i<?3, CASE WHEN i<?3 THEN ?5 END, "
        "printf('%08d-0000-4000-8000-000000000000', i), 'x', '', "
        "CASE WHEN ?4 THEN 'g'||(i%?4) END, CASE WHEN ?4 THEN i+1 END FROM n";
    static const char groups[] = "INSERT OR REPLACE INTO sqs_groups(queue,grp,ready_at) SELECT queue, grp, "
                                 "max(visible_at) FROM messages WHERE queue=?1 AND seq IS NOT NULL GROUP BY grp";
    struct engine *e = check(L);
    struct err err = {0};
    struct db *db = NULL;
    struct db_stmt *s = NULL;
    int64_t args[4];
    int rc = -1;
    for (int i = 0; i < 4; i++) args[i] = luaL_optinteger(L, i + 2, 0);
    lua_pushfstring(L, "%s/store.db", e->local->dir);
    if (db_open(lua_tostring(L, -1), DB_WRITER, false, &db, &err) || db_stmt(db, insert, &s, &err)) goto out;
    for (int i = 0; i < 4; i++) db_bind_i64(s, i + 1, args[i]);
    db_bind_i64(s, 5, clock_ms(&e->clock));
    if (db_run(s, &err) || db_stmt(db, groups, &s, &err)) goto out;
    db_bind_i64(s, 1, args[0]);
    rc = db_run(s, &err);
out:
    db_done(s);
    db_close(db);
    return rc ? luaL_error(L, "%s", err.msg) : 0;
}

static int engine_commits(lua_State *L) {
    struct engine *e = check(L);
    lua_pushinteger(L, (lua_Integer)atomic_load(&e->metrics.counter[METRIC_COMMITS]));
    lua_pushinteger(L, (lua_Integer)atomic_load(&e->metrics.counter[METRIC_COMMITTED_OPS]));
    return 2;
}

static int md5(lua_State *L) {
    uint8_t d[16];
    char hex[32];
    crypto_md5(to_str(L, 1), d);
    crypto_hex_to(hex, d, sizeof d);
    lua_pushlstring(L, hex, sizeof hex);
    return 1;
}

static int base64(lua_State *L) {
    struct buf b = BUF_MAX(64 << 20);
    crypto_base64(&b, to_str(L, 1));
    lua_pushlstring(L, buf_cstr(&b), b.n);
    buf_free(&b);
    return 1;
}

/* Its four bytes, most significant first. */
static int crc32(lua_State *L) {
    uint32_t sum = crypto_crc32(to_str(L, 1));
    char bytes[] = {(char)(sum >> 24), (char)(sum >> 16), (char)(sum >> 8), (char)sum};
    lua_pushlstring(L, bytes, sizeof bytes);
    return 1;
}

/* form(content_type, body[, max]) -> {{name, value, filename | false}, ...} | nil, error name, message */
static int form(lua_State *L) {
    struct arena a = {0};
    struct form_field *fields = NULL;
    size_t n = 0;
    struct err e = {0};
    if (form_parse(&a, to_str(L, 1), to_str(L, 2), (size_t)luaL_optinteger(L, 3, 20), &fields, &n, &e)) {
        arena_free(&a);
        return push_err(L, &e);
    }
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        struct str parts[] = {fields[i].name, fields[i].value, fields[i].filename};
        lua_newtable(L);
        for (int k = 0; k < 3; k++) {
            lua_pushboolean(L, 0);
            if (parts[k].p) lua_pushlstring(L, parts[k].p, parts[k].n);
            lua_rawseti(L, parts[k].p ? -3 : -2, k + 1);
            if (parts[k].p) lua_pop(L, 1);
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    arena_free(&a);
    return 1;
}

static int pid(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

static const luaL_Reg engine_methods[] = {{"call", engine_call},
                                          {"start", engine_start},
                                          {"turn", engine_turn},
                                          {"now", engine_now},
                                          {"clock_set", engine_clock_set},
                                          {"advance", engine_advance},
                                          {"fault", engine_fault},
                                          {"allow", engine_allow},
                                          {"face", engine_face},
                                          {"presign", engine_presign},
                                          {"post_form", engine_post_form},
                                          {"endpoint", engine_endpoint},
                                          {"mailbox", engine_mailbox},
                                          {"probe", engine_probe},
                                          {"snapshot", engine_snapshot},
                                          {"sql", engine_sql},
                                          {"dir", engine_dir},
                                          {"hammer", engine_hammer},
                                          {"work", engine_work},
                                          {"fill", engine_fill},
                                          {"commits", engine_commits},
                                          {"close", engine_close},
                                          {"__gc", engine_close},
                                          {NULL, NULL}};
static const luaL_Reg call_methods[] = {
    {"wait", call_wait}, {"done", call_is_done}, {"cancel", call_cancel}, {"__gc", call_cancel}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", open_engine}, {"md5", md5}, {"base64", base64}, {"crc32", crc32},
                                     {"form", form},        {"pid", pid}, {NULL, NULL}};

static void class(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

static int luaopen_t_local(lua_State *L) {
    class(L, ENGINE, engine_methods);
    class(L, CALL, call_methods);
    luaL_newlib(L, functions);
    return 1;
}

int luaopen_t_dynamo(lua_State *L); /* dynamo_module.c */

const luaL_Reg test_modules[] = {{"t.local", luaopen_t_local}, {"t.dynamo", luaopen_t_dynamo}, {NULL, NULL}};
