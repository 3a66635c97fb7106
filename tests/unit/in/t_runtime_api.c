/* t.runtime_api: the local Runtime API on a loop of its own, and raw connections to it. Whatever waits spins that loop.
 *
 *   local r = api.open { timeout_ms=, init_ms=, concurrency=, argv = { "/bin/true" }, env = { "A=b" } }
 *   r:port(), r:invoke(payload, { stream=, waiting=, trace=, context= }) -> id, r:resume(id), r:output(), r:stop(),
 * r:close() r:result(id) -> { parts = {...}, type=, error=, body=, done = bool, ended = bool } r:until_done(id) /
 * r:until_ended(id) -> the same, waits; r:settle() turns until nothing more happens at once local c = r:connect();
 * c:send(bytes); c:answer() -> { status=, headers = {lower = value}, chunked=, body= } or nil when the connection was
 * closed; c:is_silent() -> nothing has come; c:close() */
#include "base/now.h"
#include "in/http1.h"
#include "in/in.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int luaopen_t_runtime_api(lua_State *L);

enum { PATIENCE_MS = 20000, ARGS = 16 };

struct rig {
    lua_State *L;
    struct loop *loop;
    struct runtime_api *api;
    int listen_fd, port, output, results; /* results: a table in the registry, by id */
    const char *argv[ARGS], *env[ARGS];
    struct log log;
    bool stopped;
};
struct sent { /* one invocation */
    struct rig *rig;
    char id[37], *payload, *trace, *context;
    size_t waiting; /* what part answers */
};
struct raw {
    struct rig *rig;
    int fd;
    struct http1 parser;
    struct buf in, body;
    bool head, eof;
};

static void drop_line(void *ud, enum log_level level, struct str line) {
    (void)ud, (void)level, (void)line;
}

static struct rig *rig_of(lua_State *L) {
    struct rig *rig = luaL_checkudata(L, 1, "t.runtime_api");
    if (!rig->api) luaL_error(L, "it is closed");
    return rig;
}

static void check(lua_State *L, int rc, const struct err *e) {
    if (rc) luaL_error(L, "%s", e->msg);
}

/* == what invocations became ======================================================================================= */

static void push_result(struct rig *rig, const char *id) {
    lua_rawgeti(rig->L, LUA_REGISTRYINDEX, rig->results);
    lua_getfield(rig->L, -1, id);
    lua_remove(rig->L, -2);
}

static void set(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static size_t on_part(void *ud, struct str content_type, struct str bytes) {
    struct sent *s = ud;
    lua_State *L = s->rig->L;
    push_result(s->rig, s->id);
    set(L, "type", content_type);
    lua_getfield(L, -1, "parts");
    lua_pushlstring(L, bytes.p, bytes.n);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
    return s->waiting;
}

static void flag(struct sent *s, const char *name) {
    lua_State *L = s->rig->L;
    if (lua_getfield(L, -1, name) == LUA_TBOOLEAN) fatal("an invocation was told %s twice", name);
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

static void on_done(void *ud, const char *error, struct str content_type, struct str body) {
    struct sent *s = ud;
    push_result(s->rig, s->id);
    flag(s, "done");
    if (error) set(s->rig->L, "error", str_c(error));
    set(s->rig->L, "type", content_type);
    set(s->rig->L, "body", body);
    lua_pop(s->rig->L, 1);
}

static void on_ended(void *ud, struct str tail) {
    struct sent *s = ud;
    push_result(s->rig, s->id);
    flag(s, "ended");
    set(s->rig->L, "tail", tail);
    lua_pop(s->rig->L, 1);
    free(s->payload);
    free(s->trace);
    free(s->context);
    free(s);
}

static char *optional(lua_State *L, const char *name) {
    char *copy = NULL;
    if (lua_istable(L, 3) && lua_getfield(L, 3, name) == LUA_TSTRING) copy = strdup(lua_tostring(L, -1));
    return copy;
}

static int l_invoke(lua_State *L) {
    struct rig *rig = rig_of(L);
    size_t n;
    const char *payload = luaL_checklstring(L, 2, &n);
    struct sent *s = calloc(1, sizeof *s);
    s->rig = rig;
    s->payload = memcpy(malloc(n + 1), payload, n + 1);
    s->trace = optional(L, "trace");
    s->context = optional(L, "context");
    if (lua_istable(L, 3) && lua_getfield(L, 3, "waiting")) s->waiting = (size_t)lua_tointeger(L, -1);
    struct runtime_event e = {.payload = {s->payload, n},
                              .trace = str_c(s->trace),
                              .client_context = str_c(s->context),
                              .done = on_done,
                              .ended = on_ended,
                              .ud = s};
    if (lua_istable(L, 3) && lua_getfield(L, 3, "stream") == LUA_TBOOLEAN) e.part = on_part;
    runtime_api_invoke(rig->api, &e, s->id);
    lua_rawgeti(L, LUA_REGISTRYINDEX, rig->results);
    lua_newtable(L);
    lua_newtable(L);
    lua_setfield(L, -2, "parts");
    lua_setfield(L, -2, s->id);
    lua_pushstring(L, s->id);
    return 1;
}

static int l_result(lua_State *L) {
    push_result(rig_of(L), luaL_checkstring(L, 2));
    return 1;
}

static int wait_for(lua_State *L, const char *what) {
    struct rig *rig = rig_of(L);
    uint64_t until = now_mono_ms() + PATIENCE_MS;
    for (;;) {
        push_result(rig, luaL_checkstring(L, 2));
        lua_getfield(L, -1, what);
        bool there = lua_toboolean(L, -1);
        lua_pop(L, 1);
        if (there) return 1;
        if (now_mono_ms() > until) return luaL_error(L, "the invocation was not %s", what);
        lua_pop(L, 1);
        loop_once(rig->loop, 20);
    }
}

static int l_until_done(lua_State *L) {
    return wait_for(L, "done");
}

static int l_until_ended(lua_State *L) {
    return wait_for(L, "ended");
}

/* == the server ==================================================================================================== */

static uint32_t number(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    uint32_t v = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return v;
}

static bool words(lua_State *L, const char *name, const char **out) {
    bool there = lua_getfield(L, 1, name) == LUA_TTABLE;
    for (lua_Integer i = 1; there && i < ARGS && lua_rawgeti(L, -1, i) == LUA_TSTRING; i++, lua_pop(L, 1))
        out[i - 1] = strdup(lua_tostring(L, -1));
    return there;
}

static int l_open(lua_State *L) {
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct rig *rig = lua_newuserdatauv(L, sizeof *rig, 0);
    memset(rig, 0, sizeof *rig);
    luaL_setmetatable(L, "t.runtime_api");
    rig->L = L;
    rig->log = (struct log){.level = LOG_OFF, .sink = drop_line};
    rig->output = memfd_create("output", MFD_CLOEXEC);
    lua_newtable(L);
    rig->results = luaL_ref(L, LUA_REGISTRYINDEX);
    check(L, in_listen("127.0.0.1", 0, &rig->listen_fd, &rig->port, &e) || loop_open(&rig->loop, &e), &e);
    bool program = words(L, "argv", rig->argv);
    words(L, "env", rig->env);
    struct runtime_api_config c = {
        .loop = rig->loop,
        .log = &rig->log,
        .listen_fd = rig->listen_fd,
        .argv = program ? rig->argv : NULL,
        .env = rig->env,
        .function_name = "fn",
        .arn = "arn:aws:lambda:us-east-1:123456789012:function:fn",
        .handler = "orders.create",
        .account = "123456789012",
        .timeout_ms = number(L, "timeout_ms"),
        .init_ms = number(L, "init_ms"),
        .concurrency = number(L, "concurrency"),
        .output_fd = rig->output,
    };
    check(L, runtime_api_open(&c, &rig->api, &e), &e);
    lua_settop(L, 2);
    return 1;
}

static int l_port(lua_State *L) {
    lua_pushinteger(L, rig_of(L)->port);
    return 1;
}

static int l_resume(lua_State *L) {
    runtime_api_resume(rig_of(L)->api, luaL_checkstring(L, 2));
    return 0;
}

static int l_settle(lua_State *L) {
    for (int i = 0; i < 20; i++) loop_once(rig_of(L)->loop, 1);
    return 0;
}

static int l_output(lua_State *L) {
    luaL_Buffer b;
    char chunk[4096];
    ssize_t n;
    off_t at = 0;
    int fd = rig_of(L)->output;
    luaL_buffinit(L, &b);
    for (; (n = pread(fd, chunk, sizeof chunk, at)) > 0; at += n) luaL_addlstring(&b, chunk, (size_t)n);
    luaL_pushresult(&b);
    return 1;
}

static void on_stopped(void *ud) {
    ((struct rig *)ud)->stopped = true;
}

static int l_stop(lua_State *L) {
    struct rig *rig = rig_of(L);
    uint64_t until = now_mono_ms() + PATIENCE_MS;
    runtime_api_stop(rig->api, on_stopped, rig);
    while (!rig->stopped && now_mono_ms() < until) loop_once(rig->loop, 20);
    if (!rig->stopped) return luaL_error(L, "it did not stop");
    return 0;
}

static int l_close(lua_State *L) {
    struct rig *rig = luaL_checkudata(L, 1, "t.runtime_api");
    if (!rig->api) return 0;
    runtime_api_close(rig->api);
    rig->api = NULL;
    loop_close(rig->loop);
    close(rig->listen_fd);
    close(rig->output);
    for (int i = 0; i < ARGS; i++) free((char *)rig->argv[i]), free((char *)rig->env[i]);
    luaL_unref(L, LUA_REGISTRYINDEX, rig->results);
    return 0;
}

/* == connections =================================================================================================== */

static struct raw *raw_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.runtime_api.raw");
}

static int l_connect(lua_State *L) {
    struct rig *rig = rig_of(L);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)rig->port);
    struct raw *c = lua_newuserdatauv(L, sizeof *c, 1);
    *c = (struct raw){.rig = rig, .in = BUF_MAX(64u << 20), .body = BUF_MAX(64u << 20)};
    http1_init(&c->parser, HTTP1_RESPONSE);
    luaL_setmetatable(L, "t.runtime_api.raw");
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a)) return luaL_error(L, "connect: %s", strerror(errno));
    return 1;
}

/* The server runs while its peer sends. */
static int l_send(lua_State *L) {
    struct raw *c = raw_of(L);
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    uint64_t until = now_mono_ms() + PATIENCE_MS;
    while (n) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return luaL_error(L, "send: %s", strerror(errno));
        if (sent > 0) p += sent, n -= (size_t)sent;
        if (now_mono_ms() > until) return luaL_error(L, "the server does not read");
        loop_once(c->rig->loop, sent > 0 ? 0 : 5);
    }
    return 0;
}

static void receive(struct raw *c) {
    char chunk[65536];
    ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0) buf_add(&c->in, chunk, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN)) c->eof = true;
}

static int push_answer(lua_State *L, struct raw *c) {
    const struct http1 *p = &c->parser;
    lua_newtable(L);
    lua_pushinteger(L, p->status);
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, p->chunked);
    lua_setfield(L, -2, "chunked");
    set(L, "body", buf_view(&c->body));
    lua_newtable(L);
    for (size_t i = 0; i < p->n_headers; i++) {
        char name[128] = "";
        for (size_t k = 0; k < p->headers[i].name.n && k < sizeof name - 1; k++)
            name[k] = (char)tolower((unsigned char)p->headers[i].name.p[k]);
        set(L, name, p->headers[i].value);
    }
    lua_setfield(L, -2, "headers");
    buf_clear(&c->body);
    return 1;
}

/* 1: an answer is complete */
static int parse(lua_State *L, struct raw *c) {
    struct err e = {0};
    struct str in = buf_view(&c->in);
    enum http1_event event;
    while ((event = http1_feed(&c->parser, &in, &e)) == HTTP1_HEAD || event == HTTP1_BODY)
        if (event == HTTP1_BODY) buf_str(&c->body, c->parser.part);
    struct buf rest = BUF_MAX(64u << 20);
    buf_str(&rest, in);
    buf_free(&c->in);
    c->in = rest;
    if (event == HTTP1_BAD) return luaL_error(L, "%s", e.msg);
    return event == HTTP1_END;
}

static int l_answer(lua_State *L) {
    struct raw *c = raw_of(L);
    uint64_t until = now_mono_ms() + PATIENCE_MS;
    for (;;) {
        if (parse(L, c)) return push_answer(L, c);
        if (c->eof) return 0;
        if (now_mono_ms() > until) return luaL_error(L, "no answer came");
        receive(c);
        if (!c->in.n) loop_once(c->rig->loop, 5);
    }
}

static int l_is_silent(lua_State *L) {
    struct raw *c = raw_of(L);
    for (int i = 0; i < 20; i++) loop_once(c->rig->loop, 1);
    receive(c);
    lua_pushboolean(L, !c->in.n && !c->eof);
    return 1;
}

static int l_raw_close(lua_State *L) {
    struct raw *c = raw_of(L);
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    buf_free(&c->in);
    buf_free(&c->body);
    http1_free(&c->parser);
    return 0;
}

static void make_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int luaopen_t_runtime_api(lua_State *L) {
    static const luaL_Reg rig_methods[] = {{"port", l_port},
                                           {"invoke", l_invoke},
                                           {"result", l_result},
                                           {"until_done", l_until_done},
                                           {"until_ended", l_until_ended},
                                           {"resume", l_resume},
                                           {"settle", l_settle},
                                           {"output", l_output},
                                           {"stop", l_stop},
                                           {"close", l_close},
                                           {"connect", l_connect},
                                           {NULL, NULL}};
    static const luaL_Reg raw_methods[] = {
        {"send", l_send}, {"answer", l_answer}, {"is_silent", l_is_silent}, {"close", l_raw_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};
    make_class(L, "t.runtime_api", rig_methods, l_close);
    make_class(L, "t.runtime_api.raw", raw_methods, l_raw_close);
    luaL_newlib(L, functions);
    return 1;
}
