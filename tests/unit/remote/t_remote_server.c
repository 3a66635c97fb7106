/* The server of t.remote: HTTP/1.1 on the rig's own loop, answers and accidents by a function in Lua. */
#include "sign/sign.h"
#include "t_remote.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct list node;
    struct rig *rig;
    int fd;
    struct loop_fd *watch;
    struct buf in, out;
    size_t out_at;
    bool closing, stalled;
};

static void peer_close(struct peer *p) {
    loop_fd_remove(p->watch);
    close(p->fd);
    list_del(&p->node);
    buf_free(&p->in);
    buf_free(&p->out);
    free(p);
}

static void peer_reset(struct peer *p) {
    struct linger l = {1, 0};
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    peer_close(p);
}

static void peer_flush(struct peer *p) {
    while (p->out_at < p->out.n) {
        ssize_t n = send(p->fd, p->out.p + p->out_at, p->out.n - p->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            loop_fd_set(p->watch, LOOP_READ | LOOP_WRITE);
            return;
        }
        if (n < 0) {
            peer_close(p);
            return;
        }
        p->out_at += (size_t)n;
    }
    buf_clear(&p->out);
    p->out_at = 0;
    loop_fd_set(p->watch, LOOP_READ);
    if (p->closing) peer_close(p);
}

/* The head's fields; -1 when it is not whole yet. */
static ptrdiff_t read_head(struct str in, struct arena *a, struct http_request *r, size_t *ret_body) {
    ptrdiff_t end = str_find(in, STR("\r\n\r\n"), 0);
    if (end < 0) return -1;
    struct http_header *headers = ARENA_ARRAY(a, struct http_header, 64);
    struct str head = arena_str(a, str_take(in, (size_t)end)), line = str_trim(str_cut(&head, '\n'));
    r->method = str_cut(&line, ' ');
    r->target = str_cut(&line, ' ');
    struct str rest = r->target;
    r->path = str_cut(&rest, '?');
    r->raw_query = rest;
    while (head.n && r->n_headers < 64) {
        struct str value = str_cut(&head, '\n'), name = str_cut(&value, ':');
        headers[r->n_headers++] = (struct http_header){str_trim(name), str_trim(value)};
    }
    r->headers = headers;
    r->arena = a;
    int64_t n = 0;
    str_i64(http_header(r, "content-length"), &n);
    *ret_body = (size_t)n;
    return end + 4;
}

struct str rig_secret_of(void *ud, struct str access_key) {
    (void)access_key;
    return str_c(((struct rig *)ud)->secret);
}

void rig_set_str(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static void push_request(lua_State *L, struct rig *g, const struct http_request *r) {
    struct sign_verified v;
    struct err e = {0};
    lua_newtable(L);
    rig_set_str(L, "method", r->method);
    rig_set_str(L, "target", r->target);
    rig_set_str(L, "path", r->path);
    rig_set_str(L, "query", r->raw_query);
    rig_set_str(L, "body", r->body);
    lua_newtable(L);
    for (size_t i = 0; i < r->n_headers; i++) {
        char name[128] = {0};
        for (size_t k = 0; k < r->headers[i].name.n && k < sizeof name - 1; k++) {
            char c = r->headers[i].name.p[k];
            name[k] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        rig_set_str(L, name, r->headers[i].value);
    }
    lua_setfield(L, -2, "headers");
    if (!sign_verify(r, clock_ms(NULL) + g->clock_ms, rig_secret_of, g, &v, &e))
        rig_set_str(L, "verified", v.payload_hash.n ? v.payload_hash : STR("yes"));
    else
        rig_set_str(L, "refused", str_c(e.msg));
}

static void answer(struct peer *p, lua_State *L) { /* the table on top */
    char date[30];
    lua_getfield(L, -1, "act");
    const char *act = luaL_optstring(L, -1, "");
    if (!strcmp(act, "reset") || !strcmp(act, "close")) {
        if (*act == 'r')
            peer_reset(p);
        else
            peer_close(p);
        lua_pop(L, 1);
        return;
    }
    p->stalled = !strcmp(act, "stall");
    lua_getfield(L, -2, "status");
    int status = (int)luaL_optinteger(L, -1, 200);
    lua_getfield(L, -3, "body");
    size_t n = 0;
    const char *body = luaL_optlstring(L, -1, "", &n);
    buf_printf(&p->out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    lua_getfield(L, -4, "date");
    now_http(lua_isinteger(L, -1) ? lua_tointeger(L, -1) : clock_ms(NULL) + p->rig->clock_ms, date);
    if (!lua_isboolean(L, -1)) buf_printf(&p->out, "Date: %s\r\n", date);
    lua_getfield(L, -5, "headers");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            buf_printf(&p->out, "%s: %s\r\n", lua_tostring(L, -2), lua_tostring(L, -1));
    p->closing = !strcmp(act, "truncate");
    buf_printf(&p->out, "Content-Length: %zu\r\n\r\n", n + (p->closing ? 10 : 0));
    buf_add(&p->out, body, n);
    if (!strcmp(act, "twice")) buf_str(&p->out, arena_str(&p->rig->arena, buf_view(&p->out)));
    lua_pop(L, 6);
    if (p->stalled)
        buf_clear(&p->out);
    else
        peer_flush(p);
}

static int call_handler(lua_State *L) { /* peer, request as light userdata */
    struct peer *p = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->rig->handler);
    push_request(L, p->rig, lua_touserdata(L, 2));
    lua_call(L, 1, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    answer(p, L);
    return 0;
}

static void serve(struct peer *p, struct http_request *r) {
    struct rig *g = p->rig;
    lua_State *L = g->L;
    lua_pushcfunction(L, call_handler);
    lua_pushlightuserdata(L, p);
    lua_pushlightuserdata(L, r);
    if (!lua_pcall(L, 2, 0, 0)) return;
    snprintf(g->failure, sizeof g->failure, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    peer_reset(p);
}

static void peer_ready(void *ud, int events) {
    struct peer *p = ud;
    if (events & LOOP_WRITE) {
        peer_flush(p);
        return;
    }
    char chunk[65536];
    ssize_t n = recv(p->fd, chunk, sizeof chunk, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        peer_close(p);
        return;
    }
    buf_add(&p->in, chunk, (size_t)n);
    struct arena a = {0};
    struct http_request r = {0};
    size_t body;
    ptrdiff_t head = read_head(buf_view(&p->in), &a, &r, &body);
    if (head >= 0 && p->in.n >= (size_t)head + body) {
        r.body = arena_str(&a, str_take(str_from(buf_view(&p->in), (size_t)head), body));
        buf_clear(&p->in);
        serve(p, &r);
    }
    arena_free(&a);
}

static void accept_peer(void *ud, int events) {
    struct rig *g = ud;
    struct err e;
    (void)events;
    int fd = accept4(g->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct peer *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory");
    p->rig = g;
    p->fd = fd;
    p->in = BUF_MAX(256 << 20);
    p->out = BUF_MAX(256 << 20);
    list_add(&g->peers, &p->node);
    if (loop_fd_add(g->loop, fd, LOOP_READ, peer_ready, p, &p->watch, &e)) fatal("%s", e.msg);
}

int rig_server_open(struct rig *g, struct err *e) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    g->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (g->fd < 0 || bind(g->fd, (struct sockaddr *)&a, sizeof a) || listen(g->fd, 256) ||
        getsockname(g->fd, (struct sockaddr *)&a, &n))
        return err_sys(e, ERR_IO, errno, "the test server");
    g->port = ntohs(a.sin_port);
    return loop_fd_add(g->loop, g->fd, LOOP_READ, accept_peer, g, &g->accepting, e);
}

void rig_server_close(struct rig *g) {
    struct list *node;
    while ((node = g->peers.next) != &g->peers) peer_close(CONTAINER(node, struct peer, node));
    loop_fd_remove(g->accepting);
    if (g->fd >= 0) close(g->fd);
}
