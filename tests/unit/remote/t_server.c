/* t.server: an HTTP server for tests that does exactly what its script says, on a thread per connection.
 *
 *   local s = server.start { {steps of the first connection}, {of the second}, ... }   -- the last serves all further
 * ones s.port, s:received() -> {{connection, bytes}, ...}, s:accepted(), s:closed(), s:go() (opens one gate), s:stop()
 * Steps:
 * {"read"} one request, recorded byte for byte; {"send", bytes}; {"bytes", bytes} one by one; {"gate"} waits for go;
 * {"stall"} waits for the peer to leave; {"reset"}; {"close"}; {"serve", bytes} answers every request so until the peer
 * leaves; {"big", n} sends n bytes; {"drain"} reads one request, records its head and the count of its body. */
#include "base/err.h"
#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int luaopen_t_server(lua_State *L);

enum { THREADS = 1024, RECORDS = 16384, INPUT = 4 << 20 };

struct step {
    char what[8], *bytes;
    size_t n;
};
struct script {
    struct step *steps;
    size_t n;
};
struct record {
    int connection;
    char *bytes;
    size_t n;
};
struct server {
    int fd, halt; /* halt: readable once the server stops */
    pthread_t acceptor, threads[THREADS];
    int n_threads;
    _Atomic int accepted, closed;
    struct script *scripts;
    size_t n_scripts;
    pthread_mutex_t lock;
    struct record records[RECORDS];
    size_t n_records;
    sem_t gate;
    bool stopped;
};
struct peer {
    struct server *s;
    int fd, number;
    char *in; /* read and not yet taken */
    size_t n;
};

// ---- one connection ----

/* false: the server stops. */
static bool wait_for(struct server *s, int fd, short events) {
    struct pollfd p[2] = {{fd, events, 0}, {s->halt, POLLIN, 0}};
    while (poll(p, 2, -1) < 0 && errno == EINTR) {
    }
    return !p[1].revents;
}

static bool send_all(struct peer *p, const char *b, size_t n) {
    while (n) {
        if (!wait_for(p->s, p->fd, POLLOUT)) return false;
        ssize_t sent = send(p->fd, b, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent > 0) b += sent, n -= (size_t)sent;
    }
    return true;
}

static bool more(struct peer *p) {
    if (p->n == INPUT || !wait_for(p->s, p->fd, POLLIN)) return false;
    ssize_t got = recv(p->fd, p->in + p->n, INPUT - p->n, 0);
    if (got <= 0) return false;
    p->n += (size_t)got;
    return true;
}

static void record(struct peer *p, const char *b, size_t n) {
    pthread_mutex_lock(&p->s->lock);
    struct record *r = &p->s->records[p->s->n_records];
    if (++p->s->n_records > RECORDS) fatal("too many requests were recorded");
    *r = (struct record){p->number, malloc(n + 1), n};
    memcpy(r->bytes, b, n);
    pthread_mutex_unlock(&p->s->lock);
}

static void taken(struct peer *p, size_t n) {
    memmove(p->in, p->in + n, p->n - n);
    p->n -= n;
}

static size_t head_length(struct peer *p) { /* 0: the peer left */
    for (;;) {
        char *end = p->n ? memmem(p->in, p->n, "\r\n\r\n", 4) : NULL;
        if (end) return (size_t)(end - p->in) + 4;
        if (!more(p)) return 0;
    }
}

static const char *find_header(struct peer *p, size_t head, const char *name) {
    for (char *line = p->in; line < p->in + head; line = (char *)memchr(line, '\n', INPUT) + 1)
        if (!strncasecmp(line, name, strlen(name))) return line + strlen(name);
    return NULL;
}

static bool read_request(struct peer *p, bool keep) {
    size_t head = head_length(p), end;
    if (!head) return false;
    const char *length = find_header(p, head, "Content-Length:");
    if (find_header(p, head, "Transfer-Encoding: chunked")) {
        char *stop;
        while (!(stop = memmem(p->in + head, p->n - head, "0\r\n\r\n", 5)) || (stop > p->in + head && stop[-1] != '\n'))
            if (!more(p)) return false;
        end = (size_t)(stop - p->in) + 5;
    } else {
        end = head + (length ? (size_t)atoll(length) : 0);
        while (p->n < end)
            if (!more(p)) return false;
    }
    if (keep) record(p, p->in, end);
    taken(p, end);
    return true;
}

static bool drain_request(struct peer *p) {
    char note[2048];
    size_t head = head_length(p);
    if (!head || head > 1024) return false;
    long long left = atoll(find_header(p, head, "Content-Length:")), total = left;
    unsigned sum = 0;
    int n = snprintf(note, sizeof note, "%.*s", (int)head, p->in);
    taken(p, head);
    while (left) {
        for (size_t i = 0; i < p->n; i++) sum = sum * 31 + (unsigned char)p->in[i];
        left -= (long long)p->n;
        p->n = 0;
        if (left && !more(p)) return false;
    }
    n += snprintf(note + n, sizeof note - (size_t)n, "%lld bytes, sum %u", total, sum);
    record(p, note, (size_t)n);
    return true;
}

static bool send_slowly(struct peer *p, const struct step *st) {
    int on = 1;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < st->n; i++)
        if (!send_all(p, st->bytes + i, 1)) return false;
    return true;
}

static bool send_big(struct peer *p, size_t n) {
    char block[65536];
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)('a' + i % 26);
    for (; n; n -= n < sizeof block ? n : sizeof block)
        if (!send_all(p, block, n < sizeof block ? n : sizeof block)) return false;
    return true;
}

static bool pass_gate(struct peer *p) {
    while (sem_trywait(&p->s->gate)) {
        struct pollfd h = {p->s->halt, POLLIN, 0};
        if (poll(&h, 1, 1) > 0) return false;
    }
    return true;
}

static void stall(struct peer *p) {
    while (more(p)) {
    }
}

static bool step(struct peer *p, const struct step *st) {
    const struct linger now = {1, 0};
    if (!strcmp(st->what, "read")) return read_request(p, true);
    if (!strcmp(st->what, "send")) return send_all(p, st->bytes, st->n);
    if (!strcmp(st->what, "bytes")) return send_slowly(p, st);
    if (!strcmp(st->what, "big")) return send_big(p, (size_t)atoll(st->bytes));
    if (!strcmp(st->what, "drain")) return drain_request(p);
    if (!strcmp(st->what, "gate")) return pass_gate(p);
    if (!strcmp(st->what, "stall")) stall(p);
    if (!strcmp(st->what, "serve"))
        while (read_request(p, false) && send_all(p, st->bytes, st->n)) {
        }
    if (!strcmp(st->what, "reset")) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return false; /* close too */
}

static void *talk(void *ud) {
    struct peer *p = ud;
    size_t i = (size_t)p->number <= p->s->n_scripts ? (size_t)p->number - 1 : p->s->n_scripts - 1;
    const struct script *script = &p->s->scripts[i];
    for (size_t k = 0; k < script->n && step(p, &script->steps[k]); k++) {
    }
    close(p->fd);
    p->s->closed++;
    free(p->in);
    free(p);
    return NULL;
}

static void *accept_all(void *ud) {
    struct server *s = ud;
    while (wait_for(s, s->fd, POLLIN)) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) continue;
        struct peer *p = calloc(1, sizeof *p);
        *p = (struct peer){.s = s, .fd = fd, .number = ++s->accepted, .in = malloc(INPUT)};
        if (s->n_threads == THREADS) fatal("too many connections to a test server");
        if (pthread_create(&s->threads[s->n_threads++], NULL, talk, p)) fatal("pthread_create");
    }
    return NULL;
}

// ---- Lua ----

static struct server *server_of(lua_State *L) {
    return *(struct server **)luaL_checkudata(L, 1, "t.server");
}

static void read_step(lua_State *L, struct step *st) {
    size_t n = 0;
    lua_rawgeti(L, -1, 1);
    strncpy(st->what, luaL_checkstring(L, -1), sizeof st->what - 1);
    lua_rawgeti(L, -2, 2);
    const char *bytes = luaL_optlstring(L, -1, "", &n);
    st->bytes = memcpy(malloc(n + 1), bytes, n + 1);
    st->n = n;
    lua_pop(L, 2);
}

static void read_scripts(lua_State *L, struct server *s) {
    s->n_scripts = lua_rawlen(L, 1);
    s->scripts = calloc(s->n_scripts, sizeof *s->scripts);
    for (size_t i = 0; i < s->n_scripts; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        s->scripts[i].n = lua_rawlen(L, -1);
        s->scripts[i].steps = calloc(s->scripts[i].n + 1, sizeof(struct step));
        for (size_t k = 0; k < s->scripts[i].n; k++) {
            lua_rawgeti(L, -1, (lua_Integer)k + 1);
            read_step(L, &s->scripts[i].steps[k]);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
}

static int l_start(lua_State *L) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct server *s = calloc(1, sizeof *s);
    read_scripts(L, s);
    pthread_mutex_init(&s->lock, NULL);
    sem_init(&s->gate, 0, 0);
    s->halt = eventfd(0, EFD_CLOEXEC);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(s->fd, (struct sockaddr *)&a, n) || listen(s->fd, 512) || getsockname(s->fd, (struct sockaddr *)&a, &n))
        fatal("a test server cannot listen");
    *(struct server **)lua_newuserdatauv(L, sizeof s, 1) = s;
    luaL_setmetatable(L, "t.server");
    lua_pushinteger(L, ntohs(a.sin_port));
    lua_setiuservalue(L, -2, 1);
    if (pthread_create(&s->acceptor, NULL, accept_all, s)) fatal("pthread_create");
    return 1;
}

static void halt(struct server *s) {
    if (s->stopped) return;
    s->stopped = true;
    if (eventfd_write(s->halt, 1)) fatal("eventfd");
    pthread_join(s->acceptor, NULL);
    for (int i = 0; i < s->n_threads; i++) pthread_join(s->threads[i], NULL);
    close(s->fd);
    close(s->halt);
}

static int l_stop(lua_State *L) {
    halt(server_of(L));
    return 0;
}

static int l_gc(lua_State *L) {
    struct server *s = server_of(L);
    halt(s);
    for (size_t i = 0; i < s->n_scripts; i++) {
        for (size_t k = 0; k < s->scripts[i].n; k++) free(s->scripts[i].steps[k].bytes);
        free(s->scripts[i].steps);
    }
    free(s->scripts);
    for (size_t i = 0; i < s->n_records; i++) free(s->records[i].bytes);
    free(s);
    return 0;
}

static int l_received(lua_State *L) {
    struct server *s = server_of(L);
    lua_newtable(L);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_records; i++) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, s->records[i].connection);
        lua_rawseti(L, -2, 1);
        lua_pushlstring(L, s->records[i].bytes, s->records[i].n);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pthread_mutex_unlock(&s->lock);
    return 1;
}

static int l_accepted(lua_State *L) {
    lua_pushinteger(L, server_of(L)->accepted);
    return 1;
}

static int l_closed(lua_State *L) {
    lua_pushinteger(L, server_of(L)->closed);
    return 1;
}

static int l_go(lua_State *L) {
    sem_post(&server_of(L)->gate);
    return 0;
}

static int l_port(lua_State *L) {
    lua_getiuservalue(L, 1, 1);
    return 1;
}

/* A port where nobody listens. */
static int l_closed_port(lua_State *L) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&a, n) || getsockname(fd, (struct sockaddr *)&a, &n)) fatal("bind");
    close(fd);
    lua_pushinteger(L, ntohs(a.sin_port));
    return 1;
}

int luaopen_t_server(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"received", l_received}, {"accepted", l_accepted}, {"closed", l_closed}, {"go", l_go},
        {"stop", l_stop},         {"port", l_port},         {NULL, NULL}};
    static const luaL_Reg functions[] = {{"start", l_start}, {"closed_port", l_closed_port}, {NULL, NULL}};
    luaL_newmetatable(L, "t.server");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
