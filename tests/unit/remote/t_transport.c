/* t.transport: exchanges from Lua.
 *
 *   local c = t.open{ per_host=, connect_ms=, ca_bundle=, proxy=, no_proxy= }
 *   local x = c:start{ method=, url=, headers={{n, v}, ...}, body=, read=fn(n) -> string | nil | false (failure),
 *                      body_len=, write=fn(data) -> boolean, total_ms=, idle_ms=, max_body=, done=fn(answer) }
 *   c:run()  until nothing runs; c:once(); c:cancel(x); c:running(); c:close()
 *   t.blocking(request, { connect_ms=, ca_bundle=, proxy=, stop_when=fn() -> boolean }) -> answer
 * An answer: {failure, why, status, headers={{n, v}}, body, date_ms, received_ms, sent}. */
#include "remote/transport.h"
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_transport(lua_State *L);

struct client {
    struct loop *loop;
    struct transport *t;
};

struct request {
    struct exchange x;
    lua_State *L;
    struct client *client;
    struct http_header headers[512];
    int self, done, read, write; /* registry references */
};

static const char *const failures[] = {"OK",    "BAD_URL", "DNS",       "CONNECT", "TLS",
                                       "RESET", "TIMEOUT", "TOO_LARGE", "SOURCE",  "SINK"};

static struct client *client_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.client");
}

static void push_answer(lua_State *L, const struct exchange *x) {
    lua_newtable(L);
    lua_pushstring(L, failures[x->failure]);
    lua_setfield(L, -2, "failure");
    lua_pushstring(L, x->why);
    lua_setfield(L, -2, "why");
    lua_pushinteger(L, x->status);
    lua_setfield(L, -2, "status");
    lua_newtable(L);
    for (size_t i = 0; i < x->n_response_headers; i++) {
        const struct http_header *h = &x->response_headers[i];
        lua_createtable(L, 2, 0);
        lua_pushlstring(L, h->name.p, h->name.n);
        lua_rawseti(L, -2, 1);
        lua_pushlstring(L, h->value.n ? h->value.p : "", h->value.n);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, x->body_in.n ? x->body_in.p : "", x->body_in.n);
    lua_setfield(L, -2, "body");
    lua_pushinteger(L, x->date_ms);
    lua_setfield(L, -2, "date_ms");
    lua_pushinteger(L, x->received_ms);
    lua_setfield(L, -2, "received_ms");
    lua_pushboolean(L, x->sent);
    lua_setfield(L, -2, "sent");
}

static void call(lua_State *L, int args, int results) {
    if (lua_pcall(L, args, results, 0)) fatal("callback: %s", lua_tostring(L, -1));
}

static ptrdiff_t on_read(void *ud, char *p, size_t n) {
    struct request *r = ud;
    size_t got;
    lua_rawgeti(r->L, LUA_REGISTRYINDEX, r->read);
    lua_pushinteger(r->L, (lua_Integer)n);
    call(r->L, 1, 1);
    ptrdiff_t rc = lua_isnil(r->L, -1) ? 0 : -1;
    if (lua_type(r->L, -1) == LUA_TSTRING) {
        const char *s = lua_tolstring(r->L, -1, &got);
        if (got > n) fatal("too much given");
        memcpy(p, s, got);
        rc = (ptrdiff_t)got;
    }
    lua_pop(r->L, 1);
    return rc;
}

static bool on_write(void *ud, struct str data) {
    struct request *r = ud;
    lua_rawgeti(r->L, LUA_REGISTRYINDEX, r->write);
    lua_pushlstring(r->L, data.p, data.n);
    call(r->L, 1, 1);
    bool ok = lua_toboolean(r->L, -1);
    lua_pop(r->L, 1);
    return ok;
}

static void release(struct request *r) {
    int *refs[] = {&r->self, &r->done, &r->read, &r->write};
    for (size_t i = 0; i < 4; i++) {
        luaL_unref(r->L, LUA_REGISTRYINDEX, *refs[i]);
        *refs[i] = LUA_NOREF;
    }
}

static void on_done(struct exchange *x, void *ud) {
    struct request *r = ud;
    lua_State *L = r->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->done);
    push_answer(L, x);
    release(r);
    if (lua_isfunction(L, -2))
        call(L, 1, 0);
    else
        lua_pop(L, 2);
}

static struct str field(lua_State *L, int idx, const char *name) {
    size_t n;
    lua_getfield(L, idx, name);
    const char *p = lua_tolstring(L, -1, &n); /* the table keeps it */
    lua_pop(L, 1);
    return p ? str_n(p, n) : STR_NONE;
}

static uint64_t number(lua_State *L, int idx, const char *name, lua_Integer dflt) {
    lua_getfield(L, idx, name);
    lua_Integer v = luaL_optinteger(L, -1, dflt);
    lua_pop(L, 1);
    return (uint64_t)v;
}

static void read_headers(lua_State *L, int idx, struct request *r) {
    lua_getfield(L, idx, "headers");
    size_t n = lua_isnil(L, -1) ? 0 : lua_rawlen(L, -1);
    for (size_t i = 0; i < n && i < 512; i++) {
        size_t name, value;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        const char *p = lua_tolstring(L, -1, &name);
        r->headers[i].name = str_n(p, name);
        lua_rawgeti(L, -2, 2);
        p = lua_tolstring(L, -1, &value);
        r->headers[i].value = str_n(p, value);
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
    r->x.headers = r->headers;
    r->x.n_headers = n;
}

/* A request from the table at idx, which its user value keeps. */
static struct request *new_request(lua_State *L, int idx) {
    struct request *r = lua_newuserdatauv(L, sizeof *r, 1);
    *r = (struct request){.L = L, .self = LUA_NOREF, .done = LUA_NOREF, .read = LUA_NOREF, .write = LUA_NOREF};
    luaL_setmetatable(L, "t.request");
    lua_pushvalue(L, idx);
    lua_setiuservalue(L, -2, 1);
    r->x.method = field(L, idx, "method");
    if (!r->x.method.p) r->x.method = STR("GET");
    r->x.url = field(L, idx, "url");
    r->x.body = field(L, idx, "body");
    r->x.total_ms = number(L, idx, "total_ms", 0);
    r->x.idle_ms = number(L, idx, "idle_ms", 0);
    r->x.max_body = number(L, idx, "max_body", 0);
    r->x.body_len = (int64_t)number(L, idx, "body_len", -1);
    read_headers(L, idx, r);
    if (lua_getfield(L, idx, "read") == LUA_TFUNCTION) r->x.read = on_read;
    r->read = luaL_ref(L, LUA_REGISTRYINDEX);
    if (lua_getfield(L, idx, "write") == LUA_TFUNCTION) r->x.write = on_write;
    r->write = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, idx, "done");
    r->done = luaL_ref(L, LUA_REGISTRYINDEX);
    r->x.stream_ud = r->x.ud = r;
    r->x.done = on_done;
    return r;
}

static int l_request_gc(lua_State *L) {
    struct request *r = lua_touserdata(L, 1);
    exchange_free(&r->x);
    return 0;
}

static int l_start(lua_State *L) {
    struct client *c = client_of(L);
    struct request *r = new_request(L, 2);
    lua_pushvalue(L, -1);
    r->self = luaL_ref(L, LUA_REGISTRYINDEX);
    transport_start(c->t, &r->x);
    return 1;
}

/* The same exchange once more. */
static int l_again(lua_State *L) {
    struct client *c = client_of(L);
    struct request *r = luaL_checkudata(L, 2, "t.request");
    lua_getiuservalue(L, 2, 1);
    lua_getfield(L, -1, "done");
    r->done = luaL_ref(L, LUA_REGISTRYINDEX);
    transport_start(c->t, &r->x);
    return 0;
}

static int l_cancel(lua_State *L) {
    struct client *c = client_of(L);
    struct request *r = luaL_checkudata(L, 2, "t.request");
    transport_cancel(c->t, &r->x);
    release(r);
    return 0;
}

static int l_run(lua_State *L) {
    struct client *c = client_of(L);
    while (transport_running(c->t)) loop_once(c->loop, -1);
    return 0;
}

static int l_once(lua_State *L) {
    loop_once(client_of(L)->loop, (int)luaL_optinteger(L, 2, -1));
    return 0;
}

static int l_running(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)transport_running(client_of(L)->t));
    return 1;
}

/* repeat_small(url, n, body, at_once): n small exchanges, at_once of them at any time; the number of those with status
 * 200. */
struct repeat {
    struct exchange x;
    struct client *c;
    lua_Integer *left, *good;
};

static void repeat_done(struct exchange *x, void *ud) {
    struct repeat *r = ud;
    *r->good += x->failure == EXCHANGE_OK && x->status == 200;
    if (--*r->left >= (lua_Integer)transport_running(r->c->t) + 1) transport_start(r->c->t, x);
}

static int l_repeat(lua_State *L) {
    static const struct http_header headers[] = {
        {{"Host", 4}, {"dynamodb.eu-west-1.amazonaws.com", 32}},
        {{"Content-Type", 12}, {"application/x-amz-json-1.0", 26}},
        {{"X-Amz-Target", 12}, {"DynamoDB_20120810.PutItem", 25}},
        {{"X-Amz-Date", 10}, {"20261122T045546Z", 16}},
        {{"Authorization", 13}, {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-west-1/dynamodb", 67}},
    };
    struct client *c = client_of(L);
    lua_Integer left = luaL_checkinteger(L, 3), good = 0, n = luaL_optinteger(L, 5, 1);
    struct repeat *r = calloc((size_t)n, sizeof *r);
    for (lua_Integer i = 0; i < n; i++) {
        r[i] = (struct repeat){.c = c, .left = &left, .good = &good};
        r[i].x = (struct exchange){.method = STR("POST"),
                                   .url = str_c(luaL_checkstring(L, 2)),
                                   .headers = headers,
                                   .n_headers = 5,
                                   .body = str_c(luaL_optstring(L, 4, "{}")),
                                   .total_ms = 30000,
                                   .done = repeat_done,
                                   .ud = &r[i]};
        transport_start(c->t, &r[i].x);
    }
    while (transport_running(c->t)) loop_once(c->loop, -1);
    for (lua_Integer i = 0; i < n; i++) exchange_free(&r[i].x);
    free(r);
    lua_pushinteger(L, good);
    return 1;
}

static int l_close(lua_State *L) {
    struct client *c = client_of(L);
    if (!c->loop) return 0;
    transport_close(c->t);
    loop_close(c->loop);
    *c = (struct client){0};
    return 0;
}

/* Of the options, else of the environment. */
static struct proxies proxies(lua_State *L, int idx) {
    const char *one = field(L, idx, "proxy").p;
    if (!one) return proxies_of_environment(NULL, NULL);
    return (struct proxies){one, one, field(L, idx, "no_proxy").p};
}

static int l_open(lua_State *L) {
    struct err e;
    struct transport_config config = {0};
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    config.per_host = (uint32_t)number(L, 1, "per_host", 0);
    config.connect_ms = (uint32_t)number(L, 1, "connect_ms", 0);
    config.ca_bundle = field(L, 1, "ca_bundle").p;
    config.proxies = proxies(L, 1);
    struct client *c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = (struct client){0};
    luaL_setmetatable(L, "t.client");
    if (loop_open(&c->loop, &e)) return luaL_error(L, "%s", e.msg);
    config.loop = c->loop;
    if (!transport_open(&config, &c->t, &e)) return 1;
    loop_close(c->loop);
    c->loop = NULL;
    lua_pushnil(L);
    lua_pushstring(L, e.msg);
    return 2;
}

// ---- blocking ----

struct blocked {
    struct blocking_config c;
    struct exchange *x;
    _Atomic bool stop, ended;
};

static void *block(void *ud) {
    struct blocked *b = ud;
    transport_blocking(&b->c, b->x);
    atomic_store(&b->ended, true);
    return NULL;
}

/* The exchange runs on another thread; this one asks stop_when meanwhile. */
static int l_blocking(lua_State *L) {
    struct blocked b = {0};
    pthread_t id;
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    struct request *r = new_request(L, 1);
    b.x = &r->x;
    b.c = (struct blocking_config){.ca_bundle = field(L, 2, "ca_bundle").p,
                                   .proxies = proxies(L, 2),
                                   .connect_ms = number(L, 2, "connect_ms", 0),
                                   .stop = &b.stop};
    bool watched = lua_getfield(L, 2, "stop_when") == LUA_TFUNCTION;
    lua_pop(L, 1);
    if (pthread_create(&id, NULL, block, &b)) fatal("pthread_create");
    while (watched && !atomic_load(&b.ended) && !atomic_load(&b.stop)) {
        lua_getfield(L, 2, "stop_when");
        call(L, 0, 1);
        if (lua_toboolean(L, -1)) atomic_store(&b.stop, true);
        lua_pop(L, 1);
        sched_yield();
    }
    pthread_join(id, NULL);
    push_answer(L, &r->x);
    release(r);
    return 1;
}

static int l_setenv(lua_State *L) {
    if (lua_isnil(L, 2))
        unsetenv(luaL_checkstring(L, 1));
    else
        setenv(luaL_checkstring(L, 1), luaL_checkstring(L, 2), 1);
    return 0;
}

int luaopen_t_transport(lua_State *L) {
    static const luaL_Reg methods[] = {{"start", l_start}, {"again", l_again},         {"cancel", l_cancel},
                                       {"run", l_run},     {"once", l_once},           {"running", l_running},
                                       {"close", l_close}, {"repeat_small", l_repeat}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"open", l_open}, {"blocking", l_blocking}, {"setenv", l_setenv}, {NULL, NULL}};
    luaL_newmetatable(L, "t.request");
    lua_pushcfunction(L, l_request_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, "t.client");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
    luaL_newlib(L, functions);
    return 1;
}
