#include "http_script.h"
#include "base/buf.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 64, RULES = 64, REQUESTS = 4096 };

struct rule {
    char *prefix, *answer;
    size_t answer_n;
    int times; /* -1: always */
    bool hold;
};
struct peer {
    int fd; /* -1: free */
    struct buf in;
    struct rule *held;
};
struct script {
    int listener, wake[2], port;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    bool stop, released, open;
    struct rule rules[RULES];
    int n_rules;
    char *requests[REQUESTS];
    int n_requests;
    struct peer peers[PEERS];
};

/* ==== the thread ==== */

static void drop(struct peer *p) {
    close(p->fd);
    buf_free(&p->in);
    *p = (struct peer){.fd = -1};
}

static void answer(struct peer *p, const struct rule *r) {
    size_t sent = 0;
    while (sent < r->answer_n) {
        ssize_t n = send(p->fd, r->answer + sent, r->answer_n - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += (size_t)n;
    }
    shutdown(p->fd, SHUT_WR);
    drop(p);
}

static bool whole(const struct buf *b) {
    struct str s = buf_view(b);
    ptrdiff_t end = str_find(s, STR("\r\n\r\n"), 0);
    if (end < 0) return false;
    const char *length = strcasestr(b->p, "content-length:");
    size_t body = length && length < b->p + end ? strtoul(length + 15, NULL, 10) : 0;
    return s.n >= (size_t)end + 4 + body;
}

static struct rule *rule_of(struct script *s, const char *request) {
    for (int i = 0; i < s->n_rules; i++) {
        struct rule *r = &s->rules[i];
        if (!r->times || strncmp(request, r->prefix, strlen(r->prefix)) != 0) continue;
        if (r->times > 0) r->times--;
        return r;
    }
    return NULL;
}

static void take_request(struct script *s, struct peer *p) {
    struct rule *r = rule_of(s, buf_cstr(&p->in));
    if (s->n_requests < REQUESTS) s->requests[s->n_requests++] = strdup(buf_cstr(&p->in));
    if (!r)
        drop(p);
    else if (r->hold && !s->released)
        p->held = r;
    else
        answer(p, r);
}

static void read_peer(struct script *s, struct peer *p) {
    char chunk[8192];
    ssize_t n = recv(p->fd, chunk, sizeof chunk, 0);
    if (n <= 0) {
        drop(p);
        return;
    }
    buf_add(&p->in, chunk, (size_t)n);
    if (!p->held && whole(&p->in)) take_request(s, p);
}

static void accept_peer(struct script *s) {
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < PEERS; i++) {
        if (s->peers[i].fd >= 0) continue;
        s->peers[i] = (struct peer){.fd = fd, .in = BUF_MAX(1 << 20)};
        return;
    }
    if (fd >= 0) close(fd);
}

static void turn(struct script *s, const struct pollfd *fds) {
    char byte;
    if (fds[PEERS + 1].revents && read(s->wake[0], &byte, 1) < 0) return;
    if (fds[PEERS].revents) accept_peer(s);
    for (int i = 0; i < PEERS; i++)
        if (fds[i].fd >= 0 && fds[i].revents) read_peer(s, &s->peers[i]);
    for (int i = 0; s->released && i < PEERS; i++)
        if (s->peers[i].fd >= 0 && s->peers[i].held) answer(&s->peers[i], s->peers[i].held);
}

static void *serve(void *ud) {
    struct script *s = ud;
    struct pollfd fds[PEERS + 2];
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        for (int i = 0; i < PEERS; i++) fds[i] = (struct pollfd){.fd = s->peers[i].fd, .events = POLLIN};
        fds[PEERS] = (struct pollfd){.fd = s->listener, .events = POLLIN};
        fds[PEERS + 1] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
        pthread_mutex_unlock(&s->lock);
        poll(fds, PEERS + 2, -1);
        pthread_mutex_lock(&s->lock);
        turn(s, fds);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ==== Lua ==== */

static struct script *script_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.http_script");
}

static int l_port(lua_State *L) {
    lua_pushinteger(L, script_of(L)->port);
    return 1;
}

static const char *field(lua_State *L, const char *name, const char *otherwise, size_t *ret_n) {
    lua_getfield(L, 3, name);
    const char *v = luaL_optlstring(L, -1, otherwise, ret_n);
    lua_pop(L, 1);
    return v;
}

static int l_reply(lua_State *L) {
    struct script *s = script_of(L);
    struct buf b = BUF_MAX(4 << 20);
    size_t n, ignored;
    luaL_checktype(L, 3, LUA_TTABLE);
    const char *prefix = luaL_checkstring(L, 2), *body = field(L, "body", "", &n);
    buf_printf(&b, "HTTP/1.1 %s X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
               field(L, "status", "200", &ignored), field(L, "headers", "", &ignored), n);
    buf_add(&b, body, n);
    lua_getfield(L, 3, "times");
    lua_getfield(L, 3, "hold");
    struct rule r = {.prefix = strdup(prefix), .times = (int)luaL_optinteger(L, -2, -1), .hold = lua_toboolean(L, -1)};
    r.answer = buf_release(&b, &r.answer_n);
    pthread_mutex_lock(&s->lock);
    if (s->n_rules == RULES) fatal("too many rules");
    s->rules[s->n_rules++] = r;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void wake(struct script *s) {
    if (write(s->wake[1], "", 1) != 1) fatal("cannot wake the server");
}

static int l_release(lua_State *L) {
    struct script *s = script_of(L);
    pthread_mutex_lock(&s->lock);
    s->released = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    return 0;
}

static int l_requests(lua_State *L) {
    struct script *s = script_of(L);
    lua_newtable(L);
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_requests; i++) {
        lua_pushstring(L, s->requests[i]);
        lua_rawseti(L, -2, i + 1);
    }
    pthread_mutex_unlock(&s->lock);
    return 1;
}

static int l_close(lua_State *L) {
    struct script *s = script_of(L);
    if (!s->open) return 0;
    s->open = false;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < PEERS; i++)
        if (s->peers[i].fd >= 0) drop(&s->peers[i]);
    for (int i = 0; i < s->n_rules; i++) {
        free(s->rules[i].prefix);
        free(s->rules[i].answer);
    }
    for (int i = 0; i < s->n_requests; i++) free(s->requests[i]);
    close(s->listener);
    close(s->wake[0]);
    close(s->wake[1]);
    return 0;
}

static void register_type(lua_State *L) {
    static const luaL_Reg methods[] = {{"port", l_port},         {"reply", l_reply}, {"release", l_release},
                                       {"requests", l_requests}, {"close", l_close}, {NULL, NULL}};
    if (luaL_newmetatable(L, "t.http_script")) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, l_close);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}

int script_open(lua_State *L) {
    register_type(L);
    struct script *s = lua_newuserdatauv(L, sizeof *s, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    *s = (struct script){.open = true};
    for (int i = 0; i < PEERS; i++) s->peers[i].fd = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof at) || listen(s->listener, 64) ||
        getsockname(s->listener, (struct sockaddr *)&at, &n) || pipe2(s->wake, O_CLOEXEC))
        fatal("cannot open a test server: %s", strerror(errno));
    s->port = ntohs(at.sin_port);
    pthread_mutex_init(&s->lock, NULL);
    if (pthread_create(&s->thread, NULL, serve, s)) fatal("pthread_create");
    luaL_setmetatable(L, "t.http_script");
    return 1;
}
