/* runtime_api_http: connections of the Runtime API and of the invoke API. Requests are told in parts as they come;
 * what a peer sends ahead of its answer waits. A connection that ends is freed a turn later. */
#include "base/now.h"
#include "in/runtime_api.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    READS_A_TURN = 16,
    READS_AT_END = 1024,
    AHEAD_MAX = 64 * 1024,
    OUT_MAX = 256 * 1024 * 1024,
    KEEP_OUT = 64 * 1024,
    ACCEPTS_A_TURN = 64,
    GO_LENGTH_MAX = 2048 /* net/http: bufferBeforeChunkingSize */
};

/* == connections =================================================================================================== */

static void conn_free(struct api_conn *c) {
    http1_free(&c->http);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

static void reap(void *ud) {
    struct api_server *s = ud;
    for (struct list *n; (n = list_pop(&s->dead));) conn_free(CONTAINER(n, struct api_conn, node));
}

static void conn_close(struct api_conn *c) {
    struct api_server *s = c->server;
    if (c->dead) return;
    c->dead = true;
    loop_fd_remove(c->watch);
    close(c->fd);
    loop_defer_cancel(s->loop, &c->again);
    list_del(&c->node);
    list_add(&s->dead, &c->node);
    loop_defer(s->loop, &s->reap);
    if (c->active) s->handler.gone(s->handler.ud, c);
    c->active = false;
}

static void watch(struct api_conn *c) {
    if (c->dead) return;
    loop_fd_set(c->watch, (c->paused ? 0 : LOOP_READ) | (c->out.n > c->sent ? LOOP_WRITE : 0));
}

/* -- writing -- */

static size_t waiting(const struct api_conn *c) {
    return c->out.n - c->sent;
}

static void all_sent(struct api_conn *c) {
    c->sent = 0;
    buf_clear(&c->out);
    if (c->out.cap > KEEP_OUT) buf_free(&c->out);
    if (c->closing && !c->active)
        conn_close(c);
    else if (c->active && c->complete && c->server->handler.drained)
        c->server->handler.drained(c->server->handler.ud, c);
}

static void flush(struct api_conn *c) {
    bool waited = false;
    while (!c->dead && waiting(c)) {
        ssize_t n = send(c->fd, c->out.p + c->sent, waiting(c), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n < 0) {
            conn_close(c);
            return;
        }
        c->sent += (size_t)n;
        waited = true;
    }
    if (waited && !waiting(c)) all_sent(c);
    watch(c);
}

/* The request at hand is answered: the next may be read. */
static void answered(struct api_conn *c) {
    c->active = false;
    if (c->http.close) c->closing = true;
    if (buf_check(&c->out, "an answer", NULL)) {
        conn_close(c);
        return;
    }
    flush(c);
    if (!c->dead && c->in.n) loop_defer(c->server->loop, &c->again);
}

/* -- reading -- */

static void keep(struct api_conn *c, struct str in) {
    buf_str(&c->in, in);
    if (buf_check(&c->in, "what was sent ahead", NULL)) conn_close(c);
}

static void on_head(struct api_conn *c) {
    struct api_server *s = c->server;
    c->active = true;
    c->complete = false;
    c->request = NULL;
    if (str_ieq(http1_header(&c->http, "expect"), STR("100-continue"))) {
        buf_c(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        flush(c);
    }
    if (!c->dead) s->handler.head(s->handler.ud, c);
}

static void on_bad(struct api_conn *c, const struct err *why) {
    log_event(c->server->log, LOG_WARN, "a request cannot be read", "s", "error", why->msg);
    if (c->active) { /* its handler must not answer a message that is broken */
        conn_close(c);
        return;
    }
    c->closing = true;
    api_refuse(c, 400, "InvalidRequest", "%s", why->msg);
}

static void feed(struct api_conn *c, struct str in) {
    const struct api_handler *h = &c->server->handler;
    struct err e = {0};
    while (!c->dead) {
        if (c->active && c->complete) {
            if (in.n) keep(c, in);
            return;
        }
        switch (http1_feed(&c->http, &in, &e)) {
        case HTTP1_MORE:
            return;
        case HTTP1_HEAD:
            on_head(c);
            break;
        case HTTP1_BODY:
            h->body(h->ud, c, c->http.part);
            break;
        case HTTP1_END:
            c->complete = true;
            h->end(h->ud, c);
            break;
        case HTTP1_BAD:
            on_bad(c, &e);
            return;
        }
    }
}

static void feed_again(void *ud) {
    struct api_conn *c = ud;
    struct buf ahead = c->in;
    c->in = BUF_MAX(AHEAD_MAX);
    feed(c, buf_view(&ahead));
    buf_free(&ahead);
}

/* false: nothing more is there. */
static bool read_some(struct api_conn *c) {
    char chunk[READ_BYTES];
    ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return errno == EINTR;
    if (n <= 0) {
        conn_close(c);
        return false;
    }
    if (!c->closing || c->active) feed(c, str_n(chunk, (size_t)n));
    return !c->dead && !c->paused;
}

static void read_all(struct api_conn *c, int reads) {
    for (int i = 0; i < reads && !c->dead && !c->paused && read_some(c); i++)
        ;
}

static void on_conn(void *ud, int events) {
    struct api_conn *c = ud;
    if (events & LOOP_WRITE) flush(c);
    if (events & LOOP_READ) read_all(c, READS_A_TURN);
    watch(c);
}

/* == the server ==================================================================================================== */

static bool accept_one(struct api_server *s) {
    int one = 1, fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct err e = {0};
    if (fd < 0) return errno == EINTR || errno == ECONNABORTED;
    struct api_conn *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory for a connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->server = s;
    c->fd = fd;
    c->in = BUF_MAX(AHEAD_MAX);
    c->out = BUF_MAX(OUT_MAX);
    http1_init(&c->http, HTTP1_REQUEST);
    loop_task_init(&c->again, feed_again, c);
    list_init(&c->node);
    if (loop_fd_add(s->loop, fd, LOOP_READ, on_conn, c, &c->watch, &e)) {
        log_event(s->log, LOG_ERROR, "cannot take a connection in", "s", "error", e.msg);
        close(fd);
        conn_free(c);
        return true;
    }
    list_add(&s->conns, &c->node);
    return true;
}

static void on_listener(void *ud, int events) {
    struct api_server *s = ud;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && accept_one(s); i++)
        ;
}

int api_server_open(struct api_server *s, struct err *e) {
    list_init(&s->conns);
    list_init(&s->dead);
    loop_task_init(&s->reap, reap, s);
    return loop_fd_add(s->loop, s->listen_fd, LOOP_READ, on_listener, s, &s->listener, e);
}

void api_server_poll(struct api_server *s) {
    struct list todo;
    list_init(&todo);
    while (accept_one(s))
        ;
    for (struct list *n; (n = list_pop(&s->conns));) list_add(&todo, n);
    for (struct list *n; (n = list_pop(&todo));) {
        list_add(&s->conns, n);
        read_all(CONTAINER(n, struct api_conn, node), READS_AT_END);
    }
}

void api_server_drop(struct api_server *s) {
    while (!list_empty(&s->conns)) conn_close(CONTAINER(s->conns.next, struct api_conn, node));
}

void api_server_close(struct api_server *s) {
    if (!s->listener) return;
    api_server_drop(s);
    loop_defer_cancel(s->loop, &s->reap);
    reap(s);
    loop_fd_remove(s->listener);
    s->listener = NULL;
}

/* == answers ======================================================================================================= */

void api_header(struct buf *b, const char *name, struct str value) {
    if (!value.n) return;
    buf_printf(b, "%s: ", name);
    for (size_t i = 0; i < value.n; i++)
        buf_byte(b, (unsigned char)value.p[i] < ' ' || value.p[i] == 127 ? ' ' : value.p[i]);
    buf_c(b, "\r\n");
}

static void put_head(struct api_conn *c, int status, struct str headers, struct str content_type) {
    char date[30];
    now_http(clock_ms(NULL), date);
    buf_printf(&c->out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    buf_str(&c->out, headers);
    api_header(&c->out, "Content-Type", content_type);
    api_header(&c->out, "Date", str_c(date));
    if (c->http.close || c->closing) buf_c(&c->out, "Connection: close\r\n");
}

static void put_chunk(struct api_conn *c, struct str bytes) {
    if (!bytes.n) return;
    buf_printf(&c->out, "%zx\r\n", bytes.n);
    buf_str(&c->out, bytes);
    buf_c(&c->out, "\r\n");
}

void api_answer(struct api_conn *c, int status, struct str headers, struct str content_type, struct str body,
                bool as_go) {
    if (c->dead) return;
    put_head(c, status, headers, content_type);
    if (as_go && body.n > GO_LENGTH_MAX) {
        buf_c(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
        put_chunk(c, body);
        buf_c(&c->out, "0\r\n\r\n");
    } else {
        if (status != 204) buf_printf(&c->out, "Content-Length: %zu\r\n", body.n);
        buf_c(&c->out, "\r\n");
        buf_str(&c->out, body);
    }
    answered(c);
}

void api_refuse(struct api_conn *c, int status, const char *type, const char *fmt, ...) {
    struct buf body = BUF_MAX(16384);
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    report_error(&body, type, str_c(text));
    buf_byte(&body, '\n');
    api_answer(c, status, STR_NONE, STR("application/json"), buf_view(&body), false);
    buf_free(&body);
}

void api_begin(struct api_conn *c, int status, struct str headers, struct str content_type) {
    if (c->dead) return;
    put_head(c, status, headers, content_type);
    buf_c(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
    flush(c);
}

size_t api_part(struct api_conn *c, struct str bytes) {
    if (c->dead) return 0;
    put_chunk(c, bytes);
    flush(c);
    return c->dead ? 0 : waiting(c);
}

void api_end(struct api_conn *c) {
    if (c->dead) return;
    buf_c(&c->out, "0\r\n\r\n");
    answered(c);
}

void api_pause(struct api_conn *c, bool pause) {
    c->paused = pause;
    watch(c);
}
