/* server_sweep: deadlines. libmicrohttpd's own time-outs start anew with every byte and cost with every connection;
 * here each phase has a list in order of the next look, and one timer looks at the heads of the lists. */
#include "base/crypto.h"
#include "in/server.h"
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request that runs longer than this is asked about once in this time whether its client is still there: suspended
 * connections are in no epoll set, and two system calls a request to have them in one would cost more. */
enum { GONE_MS = 1000, LINGER_MS = 1000, LINGER_MAX = 1024 * 1024 };

static const struct refusal head_late = {408, "timeout", "the request head took too long to arrive"};
static const struct refusal body_late = {408, "timeout", "the request body took too long to arrive"};

static uint32_t look_ms(const struct server *s, enum conn_phase phase) {
    const struct server_limits *l = &s->cfg.limits;
    switch (phase) {
    case CONN_HEAD:
        return l->head_ms;
    case CONN_IDLE:
        return l->head_ms < l->idle_ms ? l->head_ms : l->idle_ms;
    case CONN_RUN:
        return GONE_MS;
    case CONN_BODY:
    case CONN_STREAM:
        return l->body_ms < GONE_MS ? l->body_ms : GONE_MS;
    case CONN_SEND:
        return l->body_ms;
    default:
        return UINT32_MAX;
    }
}

static void look_again(struct conn *c) {
    struct server *s = c->server;
    c->check_ms = loop_now_ms(s->cfg.loop) + look_ms(s, c->phase);
    list_del(&c->node);
    list_add(&s->lists[c->phase], &c->node);
}

void server_enter(struct conn *c, enum conn_phase phase) {
    if (c->phase == CONN_ENDING) return;
    c->phase = phase;
    c->since_ms = loop_now_ms(c->server->cfg.loop);
    look_again(c);
}

// ---- ends ----

void server_end(struct conn *c) {
    server_enter(c, CONN_ENDING);
    shutdown(c->fd, SHUT_RDWR);
}

void server_send_raw(struct conn *c, const struct refusal *why) {
    struct server *s = c->server;
    struct buf b = BUF_MAX(4096);
    int64_t now = clock_ms(s->cfg.clock);
    if (c->phase != CONN_BODY) {
        crypto_uuid7(now, c->request_id);
        c->req.request_id = str_c(c->request_id);
    }
    server_write_raw(&b, why, c->req.request_id, now);
    ssize_t sent = send(c->fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    server_note_refusal(c, why);
    server_count(s, why->status);
    if (sent != (ssize_t)b.n)
        log_event(s->cfg.log, LOG_DEBUG, "refusal not delivered", "S", "request_id", c->req.request_id);
    buf_free(&b);
}

static uint64_t received_or_acked(const struct conn *c, bool received) {
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n)) return 0;
    return received ? info.tcpi_bytes_received : info.tcpi_bytes_acked;
}

/* Bytes of a next request have come: more than all requests so far had. */
static bool head_begun(const struct conn *c) {
    return !c->inexact && received_or_acked(c, true) > c->consumed;
}

void server_end_idle(struct server *s) {
    enum conn_phase waiting[] = {CONN_HEAD, CONN_IDLE};
    for (int i = 0; i < 2; i++)
        for (struct list *n = s->lists[waiting[i]].next, *next; n != &s->lists[waiting[i]]; n = next) {
            next = n->next;
            struct conn *c = CONTAINER(n, struct conn, node);
            if (!head_begun(c)) server_end(c);
        }
}

// ---- looks ----

/* The peer has ended its side and all it sent was read. libmicrohttpd misses an end of file that came together with the
 * bytes before it (its reads are edge-triggered). */
static bool peer_left(const struct conn *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    int unread = 0;
    if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR))) return false;
    return p.revents & (POLLHUP | POLLERR) || ioctl(c->fd, FIONREAD, &unread) || !unread;
}

static void look_head(struct conn *c) {
    if (head_begun(c)) server_send_raw(c, &head_late);
    server_end(c);
}

/* The first byte came within the last interval; a head that is still not complete at this look is late. */
static void look_idle(struct conn *c) {
    uint64_t idle = loop_now_ms(c->server->cfg.loop) - c->since_ms;
    if (head_begun(c))
        look_head(c);
    else if (idle >= c->server->cfg.limits.idle_ms || peer_left(c))
        server_end(c);
    else
        look_again(c);
}

static void look_body(struct conn *c) {
    bool left = peer_left(c), late = loop_now_ms(c->server->cfg.loop) - c->since_ms >= c->server->cfg.limits.body_ms;
    if (late && !left) server_send_raw(c, &body_late);
    if (late || left)
        server_end(c);
    else
        look_again(c);
}

/* The whole request was read, so an end of file means that the client left (or will not read on). */
static void look_run(struct conn *c) {
    if (peer_left(c))
        server_gone(c);
    else
        look_again(c);
}

/* Slow is a client that takes nothing of what waits for it. */
static void look_stream(struct conn *c) {
    uint64_t acked = received_or_acked(c, false), now = loop_now_ms(c->server->cfg.loop);
    if (acked != c->acked || !server_stream_waits(c)) c->since_ms = now;
    c->acked = acked;
    if (peer_left(c) || now - c->since_ms >= c->server->cfg.limits.body_ms)
        server_gone(c);
    else
        look_again(c);
}

static void look_send(struct conn *c) {
    uint64_t acked = received_or_acked(c, false);
    if (acked == c->acked)
        server_end(c);
    else
        look_again(c);
    c->acked = acked;
}

static void look(struct conn *c) {
    switch (c->phase) {
    case CONN_HEAD:
        look_head(c);
        break;
    case CONN_IDLE:
        look_idle(c);
        break;
    case CONN_BODY:
        look_body(c);
        break;
    case CONN_RUN:
        look_run(c);
        break;
    case CONN_STREAM:
        look_stream(c);
        break;
    case CONN_SEND:
        look_send(c);
        break;
    default:
        break;
    }
}

static void sweep(void *ud) {
    struct server *s = ud;
    uint64_t now = loop_now_ms(s->cfg.loop);
    for (int p = 0; p < CONN_ENDING; p++)
        for (struct list *l = &s->lists[p]; !list_empty(l);) {
            struct conn *c = CONTAINER(l->next, struct conn, node);
            if (c->check_ms > now) break;
            look(c);
        }
    if (!s->n_conns) return;
    /* MHD_get_timeout forgets connections that close: they would wait for the next event. */
    loop_defer(s->cfg.loop, &s->pump);
    server_sweep_start(s);
}

void server_sweep_start(struct server *s) {
    const struct server_limits *l = &s->cfg.limits;
    uint32_t least = l->head_ms < l->body_ms ? l->head_ms : l->body_ms;
    if (l->idle_ms < least) least = l->idle_ms;
    uint32_t period = least / 4 > 1000 ? 1000 : least / 4 < 5 ? 5 : least / 4;
    loop_timer_start(s->cfg.loop, &s->sweep, period, sweep, s);
}

// ---- lingering ----

struct lingerer {
    struct list node;
    struct server *server;
    int fd;
    size_t dropped;
    struct loop_fd *events;
    struct loop_timer timer;
};

static void linger_free(void *ud) {
    struct lingerer *l = ud;
    loop_timer_stop(l->server->cfg.loop, &l->timer);
    loop_fd_remove(l->events);
    list_del(&l->node);
    close(l->fd);
    free(l);
}

static void on_linger(void *ud, int events) {
    struct lingerer *l = ud;
    char drop[16384];
    (void)events;
    ssize_t n = recv(l->fd, drop, sizeof drop, MSG_DONTWAIT);
    if (n > 0) l->dropped += (size_t)n;
    bool again = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    if (!again || l->dropped > LINGER_MAX) linger_free(l);
}

void server_linger(struct conn *c) {
    struct server *s = c->server;
    int fd = dup(c->fd);
    if (fd < 0) return;
    struct lingerer *l = calloc(1, sizeof *l);
    if (!l) fatal("out of memory for a closing connection");
    *l = (struct lingerer){.server = s, .fd = fd};
    list_add(&s->lingers, &l->node);
    if (loop_fd_add(s->cfg.loop, fd, LOOP_READ, on_linger, l, &l->events, NULL))
        linger_free(l);
    else
        loop_timer_start(s->cfg.loop, &l->timer, LINGER_MS, linger_free, l);
}

void server_lingers_close(struct server *s) {
    while (!list_empty(&s->lingers)) linger_free(CONTAINER(s->lingers.next, struct lingerer, node));
}
