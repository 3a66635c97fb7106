/* server_accept: binding, and taking connections in. All workers watch the same listening socket; each takes a few
 * connections a turn, and none when it is full: the others, or the backlog, have them then. */
#include "in/server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_A_TURN = 16, RETRY_MS = 100 };

// ---- binding ----

static int bound_port(int fd) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n)) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static int open_listener(const struct addrinfo *a) {
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG)) return fd;
    int errnum = errno;
    close(fd);
    errno = errnum;
    return -1;
}

int in_listen(const char *host, int port, int *ret_fd, int *ret_port, struct err *e) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    if (port < 0 || port > 65535) return err_set(e, ERR_CONFIG, "port %d is not between 0 and 65535", port);
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc) return err_set(e, ERR_CONFIG, "cannot listen on host %s: %s", host, gai_strerror(rc));
    int fd = open_listener(found), errnum = errno;
    freeaddrinfo(found);
    if (fd < 0 && errnum == EADDRINUSE) return err_set(e, ERR_CONFIG, "port %d is in use on %s", port, host);
    if (fd < 0) return err_sys(e, ERR_CONFIG, errnum, "cannot listen on port %d of %s", port, host);
    *ret_fd = fd;
    *ret_port = bound_port(fd);
    return 0;
}

// ---- connections ----

static void name_peer(struct conn *c, const struct sockaddr_storage *a) {
    const void *ip = &((const struct sockaddr_in *)a)->sin_addr;
    const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
    bool v4 = a->ss_family == AF_INET;
    if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip6)) {
        ip = &ip6->s6_addr[12];
        v4 = true;
    } else if (!v4)
        ip = ip6;
    inet_ntop(v4 ? AF_INET : AF_INET6, ip, c->ip, sizeof c->ip);
    c->loopback = v4 ? *(const uint8_t *)ip == 127 : IN6_IS_ADDR_LOOPBACK(ip6);
}

static struct conn *conn_new(struct server *s, int fd, const struct sockaddr_storage *a) {
    struct list *spare = list_pop(&s->spare);
    struct conn *c = spare ? CONTAINER(spare, struct conn, node) : calloc(1, sizeof *c);
    if (!c) fatal("out of memory for a connection");
    if (!spare) {
        list_init(&c->node);
        list_init(&c->ready);
        c->body.max = s->cfg.limits.body_bytes;
        c->server = s;
        server_stream_offer(c);
    }
    c->fd = fd;
    c->phase = CONN_HEAD;
    c->consumed = c->acked = 0;
    c->inexact = c->gone = false;
    name_peer(c, a);
    return c;
}

void server_conn_free(struct conn *c) {
    arena_free(&c->arena);
    buf_free(&c->body);
    free(c->headers);
    free(c);
}

void server_accept_pause(struct server *s) {
    loop_fd_remove(s->listener);
    s->listener = NULL;
}

static void on_retry(void *ud) {
    struct server *s = ud;
    struct err e;
    if (server_accept_start(s, &e)) loop_timer_start(s->cfg.loop, &s->retry_accept, RETRY_MS, on_retry, s);
}

/* Out of descriptors or memory: connections wait in the backlog for a moment. */
static void accept_failed(struct server *s, int errnum) {
    if (errnum == EAGAIN || errnum == EINTR || errnum == ECONNABORTED) return;
    log_event(s->cfg.log, LOG_ERROR, "cannot accept connections", "s", "error", strerror(errnum));
    server_accept_pause(s);
    loop_timer_start(s->cfg.loop, &s->retry_accept, RETRY_MS, on_retry, s);
}

static bool accept_one(struct server *s) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    int fd = accept4(s->cfg.listen_fd, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        accept_failed(s, errno);
        return false;
    }
    struct conn *c = conn_new(s, fd, &a);
    if (server_add(s, c, (struct sockaddr *)&a, n)) return true;
    log_event(s->cfg.log, LOG_ERROR, "cannot take a connection in", "s", "remote_ip", c->ip);
    list_add(&s->spare, &c->node);
    return false;
}

static bool has_its_part(const struct server *s) {
    const struct server_share *all = s->cfg.share;
    return all && (uint64_t)s->n_conns * all->servers > atomic_load(&all->conns);
}

/* One connection whatever the others do, more up to this server's part: the others see the socket ready as well. */
static void on_listener(void *ud, int events) {
    struct server *s = ud;
    (void)events;
    int n = 0;
    while (n++ < ACCEPTS_A_TURN && s->n_conns < s->cfg.limits.connections && accept_one(s) && !has_its_part(s))
        ;
    if (s->n_conns >= s->cfg.limits.connections) server_accept_pause(s);
}

int server_accept_start(struct server *s, struct err *e) {
    if (s->listener || s->stopping) return 0;
    return loop_fd_add(s->cfg.loop, s->cfg.listen_fd, LOOP_READ, on_listener, s, &s->listener, e);
}
