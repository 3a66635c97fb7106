/* t.server: HTTP servers on a loop, answered by a Lua function, and raw client sockets on the same loop. */
#include "in/in.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int luaopen_t_server(lua_State *L);

struct waiting {
    struct list node;
    int id;
    http_reply_fn *reply;
    void *ud;
    struct http_stream *stream;
    int drained;
};

struct rig {
    lua_State *L;
    int handler;
    struct loop *loop;
    struct server *server;
    struct metrics metrics;
    struct clock clock;
    struct log log;
    struct list waiting;
    int last_id, cancelled, listen_fd, port;
    bool done, own_socket;
    struct server_share own, *share; /* the rig's whose socket it is */
    struct loop_timer timer;
};

static struct rig *rig_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.server");
}

// ---- the handler ----

static void set_str(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static void push_request(lua_State *L, struct http_request *r) {
    lua_newtable(L);
    set_str(L, "method", r->method);
    set_str(L, "target", r->target);
    set_str(L, "path", r->path);
    set_str(L, "query", r->raw_query);
    set_str(L, "version", r->version);
    set_str(L, "body", r->body);
    set_str(L, "remote_ip", r->remote_ip);
    set_str(L, "request_id", r->request_id);
    set_str(L, "trace_id", r->trace_id);
    lua_pushboolean(L, r->loopback);
    lua_setfield(L, -2, "loopback");
    lua_newtable(L);
    for (size_t i = 0; i < r->n_headers; i++) {
        lua_pushlstring(L, r->headers[i].name.p, r->headers[i].name.n);
        lua_pushlstring(L, r->headers[i].value.p, r->headers[i].value.n);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
}

static struct str field(lua_State *L, const char *name) {
    size_t n = 0;
    lua_getfield(L, -1, name);
    const char *p = lua_tolstring(L, -1, &n);
    lua_pop(L, 1);
    return str_n(p, n);
}

/* The table on top becomes *res. */
static void to_response(lua_State *L, struct http_response *res) {
    lua_getfield(L, -1, "status");
    http_response_init(res, (int)luaL_optinteger(L, -1, 200));
    lua_pop(L, 1);
    buf_str(&res->body, field(L, "body"));
    struct str head = field(L, "head"), name = field(L, "name");
    if (name.n) http_set(res, name, field(L, "value"), NULL);
    buf_str(&res->head, head);
    lua_getfield(L, -1, "close");
    res->close = lua_toboolean(L, -1);
    lua_getfield(L, -2, "file");
    if (lua_isstring(L, -1)) res->file = open(lua_tostring(L, -1), O_RDONLY | O_CLOEXEC);
    lua_getfield(L, -3, "offset");
    lua_getfield(L, -4, "length");
    res->file_off = (uint64_t)lua_tointeger(L, -2);
    res->file_len = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 4);
}

static struct waiting *find(struct rig *rig, int id) {
    for (struct list *n = rig->waiting.next; n != &rig->waiting; n = n->next)
        if (CONTAINER(n, struct waiting, node)->id == id) return CONTAINER(n, struct waiting, node);
    return NULL;
}

static void reply_to(struct waiting *w, struct http_response *res) {
    list_del(&w->node);
    w->reply(w->ud, res);
    free(w);
}

/* A Lua handler returns an answer, or nothing: then it is answered by rig:answer(id) or rig:begin(id), now or later. */
static void *handle(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud) {
    struct rig *rig = ud;
    lua_State *L = rig->L;
    int id = ++rig->last_id;
    struct waiting *w = calloc(1, sizeof *w);
    if (!w) fatal("out of memory");
    *w = (struct waiting){.id = id, .reply = reply, .ud = reply_ud, .stream = r->stream};
    list_add(&rig->waiting, &w->node);
    lua_rawgeti(L, LUA_REGISTRYINDEX, rig->handler);
    push_request(L, r);
    lua_pushinteger(L, id);
    if (lua_pcall(L, 2, 1, 0)) fatal("handler: %s", lua_tostring(L, -1));
    if (lua_istable(L, -1)) {
        struct http_response res;
        to_response(L, &res);
        lua_pop(L, 1);
        reply_to(w, &res);
        return NULL;
    }
    lua_pop(L, 1);
    return find(rig, id);
}

static void cancel(void *ud, void *ticket) {
    struct rig *rig = ud;
    struct waiting *w = ticket;
    rig->cancelled++;
    list_del(&w->node);
    free(w);
}

static struct waiting *check_waiting(lua_State *L, struct rig *rig) {
    int id = (int)luaL_checkinteger(L, 2);
    struct waiting *w = find(rig, id);
    if (!w) luaL_error(L, "no request %d waits", id);
    return w;
}

static int l_answer(lua_State *L) {
    struct rig *rig = rig_of(L);
    struct waiting *w = check_waiting(L, rig);
    struct http_response res;
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    to_response(L, &res);
    reply_to(w, &res);
    return 0;
}

static void drained(void *ud) {
    ((struct waiting *)ud)->drained++;
}

/* begin(id, answer): its status and head; the rest by write and finish */
static int l_begin(lua_State *L) {
    struct waiting *w = check_waiting(L, rig_of(L));
    struct http_response res;
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    to_response(L, &res);
    w->stream->drained = drained;
    w->stream->ud = w;
    w->stream->ops->begin(w->stream->stream, &res);
    return 0;
}

/* write(id, bytes) -> how many wait */
static int l_write(lua_State *L) {
    struct waiting *w = check_waiting(L, rig_of(L));
    size_t n;
    const char *p = luaL_checklstring(L, 3, &n);
    lua_pushinteger(L, (lua_Integer)w->stream->ops->write(w->stream->stream, str_n(p, n)));
    return 1;
}

static int l_streams(lua_State *L) {
    lua_pushboolean(L, check_waiting(L, rig_of(L))->stream != NULL);
    return 1;
}

/* drained(id) -> how often */
static int l_drained(lua_State *L) {
    lua_pushinteger(L, check_waiting(L, rig_of(L))->drained);
    return 1;
}

/* finish(id, cut): the end of a stream */
static int l_end_stream(lua_State *L) {
    struct waiting *w = check_waiting(L, rig_of(L));
    struct http_response res;
    http_response_init(&res, 200);
    res.cut = lua_toboolean(L, 3);
    reply_to(w, &res);
    return 0;
}

static void answer_first(void *ud) {
    struct rig *rig = ud;
    struct http_response res;
    http_response_init(&res, 200);
    reply_to(CONTAINER(rig->waiting.next, struct waiting, node), &res);
}

/* The request that waits is answered some turns later. */
static int l_answer_soon(lua_State *L) {
    struct rig *rig = rig_of(L);
    loop_timer_start(rig->loop, &rig->timer, 5, answer_first, rig);
    return 0;
}

// ---- the server ----

static uint32_t opt(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    uint32_t v = (uint32_t)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return v;
}

static void drop_line(void *ud, enum log_level level, struct str line) {
    (void)ud;
    (void)level;
    (void)line;
}

static void start(lua_State *L, struct rig *rig) {
    struct err e;
    struct server_config c = {.loop = rig->loop,
                              .listen_fd = rig->listen_fd,
                              .share = rig->share,
                              .limits = {.body_bytes = opt(L, "body_bytes"),
                                         .head_bytes = opt(L, "head_bytes"),
                                         .head_ms = opt(L, "head_ms"),
                                         .body_ms = opt(L, "body_ms"),
                                         .idle_ms = opt(L, "idle_ms"),
                                         .connections = opt(L, "connections")},
                              .handler = {handle, cancel, rig},
                              .log = &rig->log,
                              .metrics = &rig->metrics,
                              .clock = &rig->clock};
    lua_getfield(L, 2, "no_cancel");
    if (lua_toboolean(L, -1)) c.handler.cancel = NULL;
    lua_pop(L, 1);
    if (server_open(&c, &rig->server, &e)) luaL_error(L, "%s", e.msg);
}

/* open(handler, limits, other): `other` is a rig whose port is shared. */
static int l_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 3);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    struct rig *other = lua_isnil(L, 3) ? NULL : luaL_checkudata(L, 3, "t.server");
    struct rig *rig = lua_newuserdatauv(L, sizeof *rig, 0);
    *rig = (struct rig){.L = L, .own_socket = !other, .log = {.level = LOG_DEBUG, .sink = drop_line}};
    list_init(&rig->waiting);
    struct err e;
    if (loop_open(&rig->loop, &e)) return luaL_error(L, "%s", e.msg);
    if (other) {
        rig->port = other->port;
        rig->listen_fd = other->listen_fd;
    } else if (in_listen("127.0.0.1", 0, &rig->listen_fd, &rig->port, &e))
        return luaL_error(L, "%s", e.msg);
    rig->share = other ? other->share : &rig->own;
    rig->share->servers++;
    start(L, rig);
    luaL_setmetatable(L, "t.server");
    lua_pushvalue(L, 1);
    rig->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    return 1;
}

static void on_done(void *ud) {
    struct rig *rig = ud;
    rig->done = true;
}

static int l_stop(lua_State *L) {
    struct rig *rig = rig_of(L);
    server_stop(rig->server, on_done, rig);
    return 0;
}

/* Twice is once. */
static int l_close(lua_State *L) {
    struct rig *rig = rig_of(L);
    if (!rig->server) return 0;
    server_close(rig->server);
    rig->server = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, rig->handler);
    loop_close(rig->loop);
    if (rig->own_socket) close(rig->listen_fd);
    return 0;
}

static int l_turn(lua_State *L) {
    loop_once(rig_of(L)->loop, (int)luaL_optinteger(L, 2, 5));
    return 0;
}

static int l_index(lua_State *L) {
    struct rig *rig = rig_of(L);
    const char *k = luaL_checkstring(L, 2);
    if (!strcmp(k, "port"))
        lua_pushinteger(L, rig->port);
    else if (!strcmp(k, "done"))
        lua_pushboolean(L, rig->done);
    else if (!strcmp(k, "cancelled"))
        lua_pushinteger(L, rig->cancelled);
    else if (!strcmp(k, "requests"))
        lua_pushinteger(L, (lua_Integer)rig->metrics.counter[METRIC_HTTP_REQUESTS]);
    else if (!strcmp(k, "errors_4xx"))
        lua_pushinteger(L, (lua_Integer)rig->metrics.counter[METRIC_HTTP_4XX]);
    else {
        luaL_getmetatable(L, "t.server");
        lua_getfield(L, -1, k);
    }
    return 1;
}

// ---- clients ----

static int l_connect(lua_State *L) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)luaL_checkinteger(L, 1))};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) return luaL_error(L, "connect: %s", strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    lua_pushinteger(L, fd);
    return 1;
}

/* Bytes taken, or nil and the error. */
static int l_send(lua_State *L) {
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    ssize_t sent = send((int)luaL_checkinteger(L, 1), p, n, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) sent = 0;
    if (sent < 0) {
        lua_pushnil(L);
        lua_pushstring(L, strerror(errno));
        return 2;
    }
    lua_pushinteger(L, sent);
    return 1;
}

/* Bytes; "" when none are there; nil and "closed" or the error at the end. */
static int l_recv(lua_State *L) {
    char b[65536];
    ssize_t n = recv((int)luaL_checkinteger(L, 1), b, sizeof b, 0);
    if (n > 0 || (n < 0 && errno == EAGAIN)) {
        lua_pushlstring(L, b, n > 0 ? (size_t)n : 0);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, n ? strerror(errno) : "closed");
    return 2;
}

static int l_shut(lua_State *L) {
    close((int)luaL_checkinteger(L, 1));
    return 0;
}

/* Half-closes, or closes with a reset. */
static int l_finish(lua_State *L) {
    shutdown((int)luaL_checkinteger(L, 1), SHUT_WR);
    return 0;
}

static int l_listen(lua_State *L) {
    struct err e;
    int fd, port;
    if (in_listen(luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), &fd, &port, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    lua_pushinteger(L, fd);
    lua_pushinteger(L, port);
    return 2;
}

static const luaL_Reg methods[] = {{"answer", l_answer},
                                   {"answer_soon", l_answer_soon},
                                   {"stop", l_stop},
                                   {"close", l_close},
                                   {"turn", l_turn},
                                   {"begin", l_begin},
                                   {"write", l_write},
                                   {"drained", l_drained},
                                   {"streams", l_streams},
                                   {"finish", l_end_stream},
                                   {"__gc", l_close},
                                   {"__index", l_index},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", l_open}, {"connect", l_connect}, {"send", l_send},     {"recv", l_recv},
                                     {"shut", l_shut}, {"finish", l_finish},   {"listen", l_listen}, {NULL, NULL}};

int luaopen_t_server(lua_State *L) {
    signal(SIGPIPE, SIG_IGN);
    luaL_newmetatable(L, "t.server");
    luaL_setfuncs(L, methods, 0);
    luaL_newlib(L, functions);
    return 1;
}
