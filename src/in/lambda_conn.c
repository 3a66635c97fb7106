/* lambda_conn: one connection to the Runtime API. Requests go out in one write where the socket takes it; what is
 * already there is read without asking the loop again. */
#include "in/lambda.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 64 << 10, READ_BYTES = 64 << 10, HOST_MAX = 256, STREAM_MAX = 64 << 20 };

/* == the address =================================================================================================== */

static bool numeric(const char *host, uint16_t port, struct lambda_address *ret) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->at;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->at;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        ret->n = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    ret->n = sizeof *v6;
    return true;
}

static int look_up(const char *host, const char *port, struct lambda_address *ret, struct err *e) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc) return err_set(e, ERR_CONFIG, "AWS_LAMBDA_RUNTIME_API: no address for %s: %s", host, gai_strerror(rc));
    memcpy(&ret->at, list->ai_addr, list->ai_addrlen);
    ret->n = list->ai_addrlen;
    freeaddrinfo(list);
    return 0;
}

int lambda_resolve(const char *api, struct lambda_address *ret, struct err *e) {
    const char *colon = api ? strrchr(api, ':') : NULL;
    char host[HOST_MAX];
    int64_t port = 0;
    memset(ret, 0, sizeof *ret);
    ret->text = api;
    if (!colon || colon == api || !str_i64(str_c(colon + 1), &port) || port < 1 || port > 65535 ||
        colon - api >= HOST_MAX)
        return err_set(e, ERR_CONFIG, "AWS_LAMBDA_RUNTIME_API is not host:port: %.100s", api ? api : "(not set)");
    size_t n = (size_t)(colon - api);
    bool brackets = n > 2 && api[0] == '[' && api[n - 1] == ']';
    memcpy(host, api + brackets, n - 2 * brackets);
    host[n - 2 * brackets] = 0;
    return numeric(host, (uint16_t)port, ret) ? 0 : look_up(host, colon + 1, ret, e);
}

/* == life ========================================================================================================== */

static void tell(void *ud) {
    struct lambda_conn *c = ud;
    struct err e = c->err;
    c->done(c->ud, e.code ? &e : NULL);
}

void lambda_conn_init(struct lambda_conn *c, struct loop *loop, const struct lambda_address *to) {
    *c = (struct lambda_conn){.loop = loop, .to = to, .fd = -1};
    c->body = BUF_MAX(LAMBDA_EVENT_MAX);
    c->out = BUF_MAX(STREAM_MAX);
    http1_init(&c->answer, HTTP1_RESPONSE);
    c->answer.head_max = HEAD_MAX;
    loop_task_init(&c->told, tell, c);
}

static void hang_up(struct lambda_conn *c) {
    loop_fd_remove(c->watch);
    if (c->fd >= 0) close(c->fd);
    c->watch = NULL;
    c->fd = -1;
    c->state = CONN_CLOSED;
}

void lambda_conn_close(struct lambda_conn *c) {
    hang_up(c);
    loop_defer_cancel(c->loop, &c->told);
    c->open_end = false;
    http1_free(&c->answer);
    c->answer.head_max = HEAD_MAX;
}

void lambda_conn_free(struct lambda_conn *c) {
    lambda_conn_close(c);
    buf_free(&c->body);
    buf_free(&c->out);
}

static void broken(struct lambda_conn *c, const struct err *e) {
    hang_up(c);
    c->open_end = false;
    c->err = *e;
    loop_defer(c->loop, &c->told);
}

static void broken_by(struct lambda_conn *c, int errnum, const char *what) {
    struct err e;
    err_sys(&e, ERR_ENDPOINT, errnum, "the Runtime API at %s: %s", c->to->text, what);
    broken(c, &e);
}

/* == receiving ===================================================================================================== */

static void finished(struct lambda_conn *c) {
    if (!c->answer.close && c->state == CONN_WAITING)
        c->state = CONN_IDLE;
    else
        hang_up(c);
    c->err.code = ERR_NONE;
    loop_defer(c->loop, &c->told);
}

/* true: the answer is complete, or the connection is useless: done will be told. */
static bool take(struct lambda_conn *c, struct str in) {
    for (;;) {
        struct err e = {0};
        switch (http1_feed(&c->answer, &in, &e)) {
        case HTTP1_MORE:
            return false;
        case HTTP1_HEAD:
            buf_clear(&c->body);
            if (c->answer.content_length < LAMBDA_EVENT_MAX) buf_reserve(&c->body, (size_t)c->answer.content_length);
            break;
        case HTTP1_BODY:
            buf_str(&c->body, c->answer.part);
            break;
        case HTTP1_END:
            if (in.n) c->answer.close = true; /* what nobody asked for */
            finished(c);
            return true;
        case HTTP1_BAD:
            err_wrap(&e, "the Runtime API at %s", c->to->text);
            broken(c, &e);
            return true;
        }
    }
}

static void peer_closed(struct lambda_conn *c) {
    struct err e = {0};
    enum http1_event told = http1_eof(&c->answer, &e);
    if (told == HTTP1_END) {
        c->answer.close = true;
        finished(c);
        return;
    }
    if (told == HTTP1_MORE) err_set(&e, ERR_ENDPOINT, "the connection was closed without an answer");
    err_wrap(&e, "the Runtime API at %s", c->to->text);
    broken(c, &e);
}

static void receive(struct lambda_conn *c) {
    char bytes[READ_BYTES];
    for (;;) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (c->state == CONN_IDLE) { /* closed meanwhile, or bytes that nobody asked for */
            hang_up(c);
            return;
        }
        if (n < 0) {
            broken_by(c, errno, "cannot receive");
            return;
        }
        if (!n) {
            peer_closed(c);
            return;
        }
        if (take(c, str_n(bytes, (size_t)n)) || (size_t)n < sizeof bytes) return;
    }
}

/* == sending ======================================================================================================= */

static void all_sent(struct lambda_conn *c) {
    buf_clear(&c->out);
    c->rest = STR_NONE;
    c->sent = 0;
    if (!c->open_end) c->state = CONN_WAITING;
    loop_fd_set(c->watch, LOOP_READ);
    if (c->open_end && c->drained) c->drained(c->ud);
}

static size_t unsent(const struct lambda_conn *c) {
    return c->out.n + c->rest.n - c->sent;
}

/* A peer that answers and closes before it has read all is heard: its answer may be on the way. */
static void cannot_send(struct lambda_conn *c, int errnum) {
    char bytes[READ_BYTES];
    ssize_t n;
    while ((n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        if (take(c, str_n(bytes, (size_t)n))) return;
    broken_by(c, errnum, "cannot send");
}

static void transmit(struct lambda_conn *c) {
    while (unsent(c)) {
        size_t in_rest = c->sent > c->out.n ? c->sent - c->out.n : 0;
        size_t from = c->sent < c->out.n ? c->sent : c->out.n;
        struct iovec v[2] = {{c->out.p + from, c->out.n - from}, {(char *)c->rest.p + in_rest, c->rest.n - in_rest}};
        struct msghdr m = {.msg_iov = v[0].iov_len ? v : v + 1, .msg_iovlen = v[0].iov_len && v[1].iov_len ? 2 : 1};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (n >= 0) {
            c->sent += (size_t)n;
        } else if (errno == EAGAIN) {
            loop_fd_set(c->watch, LOOP_READ | LOOP_WRITE);
            return;
        } else if (errno != EINTR) {
            cannot_send(c, errno);
            return;
        }
    }
    all_sent(c);
}

/* == connecting ==================================================================================================== */

static void on_ready(void *ud, int events) {
    struct lambda_conn *c = ud;
    if (c->state == CONN_CONNECTING) {
        int errnum = 0;
        socklen_t n = sizeof errnum;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &n);
        if (errnum) {
            broken_by(c, errnum, "cannot connect");
            return;
        }
        c->state = CONN_SENDING;
    }
    if (c->state == CONN_SENDING && events & LOOP_WRITE && unsent(c)) transmit(c);
    if (c->state != CONN_CLOSED && events & LOOP_READ) receive(c);
}

static int open_socket(struct lambda_conn *c, struct err *e) {
    int on = 1;
    c->fd = socket(c->to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) return err_sys(e, ERR_ENDPOINT, errno, "the Runtime API at %s: no socket", c->to->text);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONN_SENDING;
    if (!connect(c->fd, (const struct sockaddr *)&c->to->at, c->to->n)) return 0;
    c->state = CONN_CONNECTING;
    if (errno == EINPROGRESS) return 0;
    return err_sys(e, ERR_ENDPOINT, errno, "the Runtime API at %s: cannot connect", c->to->text);
}

static int dial(struct lambda_conn *c, struct err *e) {
    http1_free(&c->answer);
    c->answer.head_max = HEAD_MAX;
    if (open_socket(c, e)) return -1;
    int wanted = c->state == CONN_CONNECTING ? LOOP_WRITE : LOOP_READ;
    return loop_fd_add(c->loop, c->fd, wanted, on_ready, c, &c->watch, e);
}

/* == calls ========================================================================================================= */

static void start(struct lambda_conn *c) {
    struct err e = {0};
    c->sent = 0;
    if (c->state == CONN_IDLE)
        c->state = CONN_SENDING;
    else if (dial(c, &e)) {
        broken(c, &e);
        return;
    }
    if (c->state == CONN_SENDING) transmit(c);
}

void lambda_conn_call(struct lambda_conn *c, struct str rest, void (*done)(void *ud, const struct err *e), void *ud) {
    c->done = done;
    c->ud = ud;
    c->rest = rest;
    c->open_end = false;
    start(c);
}

void lambda_conn_begin(struct lambda_conn *c, void (*done)(void *ud, const struct err *e), void *ud) {
    c->done = done;
    c->ud = ud;
    c->rest = STR_NONE;
    c->open_end = true;
    start(c);
}

/* What was sent is cut off the front when that is cheap. */
static void add(struct lambda_conn *c, struct str bytes) {
    if (c->sent && c->sent >= c->out.n / 2) {
        memmove(c->out.p, c->out.p + c->sent, c->out.n - c->sent);
        c->out.n -= c->sent;
        c->sent = 0;
    }
    buf_str(&c->out, bytes);
}

static bool is_streaming(const struct lambda_conn *c) {
    return c->open_end && (c->state == CONN_SENDING || c->state == CONN_CONNECTING);
}

/* What waits goes out when nothing else did; else the loop goes on with it. */
static size_t flush(struct lambda_conn *c, bool was_idle) {
    if (c->out.over)
        broken_by(c, ENOBUFS, "a stream that does not wait for its reader");
    else if (c->state == CONN_SENDING && was_idle)
        transmit(c);
    return c->state == CONN_CLOSED ? 0 : unsent(c);
}

size_t lambda_conn_chunk(struct lambda_conn *c, struct str bytes) {
    char size[20];
    if (!is_streaming(c) || !bytes.n) return is_streaming(c) ? unsent(c) : 0;
    bool was_idle = !unsent(c);
    add(c, str_n(size, (size_t)snprintf(size, sizeof size, "%zx\r\n", bytes.n)));
    add(c, bytes);
    add(c, STR("\r\n"));
    return flush(c, was_idle);
}

void lambda_conn_end(struct lambda_conn *c, struct str trailers) {
    if (!is_streaming(c)) return;
    bool was_idle = !unsent(c);
    c->open_end = false;
    add(c, STR("0\r\n"));
    add(c, trailers);
    add(c, STR("\r\n"));
    flush(c, was_idle);
}
