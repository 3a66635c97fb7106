/* Answers as AWS does, as fast as one thread can, so that clients are what is measured: DynamoDB's PutItem ("{}") and
 * GetItem (one order) with the right x-amz-crc32; S3: PUT takes any number of bytes, GET and HEAD /bucket/N give N
 * zeros with their checksum. HTTP/1.1 with keep-alive on 127.0.0.1; nothing is kept, no signature is checked.
 *
 *   perigee_aws_stub [--seconds N]
 *
 * Prints "port N", ends with SIGTERM or after so many seconds (600). */
#include "base/crypto.h"
#include "base/now.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 64 << 10, OUT_MAX = 32 << 10, ZEROS = 1 << 20 };

struct conn {
    int fd;
    bool writing;    /* waits for room in the socket */
    uint64_t skip;   /* bytes of the request's body that are still to come */
    uint64_t zeros;  /* bytes of the answer's body that are still to go, behind out */
    struct str done; /* the answer to be given when the body was read */
    size_t in_n, out_n, out_sent;
    char in[IN_MAX], out[OUT_MAX], answer[1024];
};

static char zeros[ZEROS];
static char date[30];

static const char item[] =
    "{\"Item\":{\"order_id\":{\"S\":\"0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11\"},\"user_id\":{\"S\":\"u-42\"},\"status\":"
    "{\"S\":\"PENDING\"},\"total\":{\"N\":\"1250\"},\"created_at\":{\"S\":\"2026-11-22T05:30:00.000Z\"},\"items\":{"
    "\"L\":[{\"M\":"
    "{\"sku\":{\"S\":\"tea\"},\"quantity\":{\"N\":\"2\"}}}]}}}";

/* ==== answers ==== */

static struct str header(struct str head, const char *name) {
    while (head.n) {
        struct str value = str_cut(&head, '\n'), key = str_cut(&value, ':');
        if (str_ieq(key, str_c(name))) return str_trim(value);
    }
    return STR_NONE;
}

static void answer_json(struct conn *c, struct str body) {
    int n = snprintf(
        c->answer, sizeof c->answer,
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: %s\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "Content-Length: %zu\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: QJ5RLMMDQ8K2BVVD3V0C1F0V5RVV4KQNSO5AEMVJF66Q9ASUAAJG\r\nx-amz-crc32: %u\r\n\r\n%.*s",
        date, body.n, crypto_crc32(body), STR_ARG(body));
    c->done = str_n(c->answer, (size_t)n);
}

/* The CRC-32 of n zeros; that of the last n is kept. */
static uint32_t crc_of_zeros(uint64_t n) {
    static uint64_t last;
    static uint32_t crc;
    if (n == last) return crc;
    crc = 0;
    for (uint64_t left = n, piece; left; left -= piece) {
        piece = left < ZEROS ? left : ZEROS;
        crc = crypto_crc32_add(crc, str_n(zeros, piece));
    }
    last = n;
    return crc;
}

static void answer_object(struct conn *c, struct str path, bool head_only) {
    int64_t size = 0;
    struct buf sum = BUF_MAX(64);
    while (path.n && str_chr(path, '/', 0) >= 0) str_cut(&path, '/');
    if (!str_i64(str_cut(&path, '?'), &size) || size < 0) size = 0;
    uint32_t crc = __builtin_bswap32(crc_of_zeros((uint64_t)size));
    crypto_base64(&sum, str_n((const char *)&crc, 4));
    int n = snprintf(
        c->answer, sizeof c->answer,
        "HTTP/1.1 200 OK\r\nServer: AmazonS3\r\nDate: %s\r\nContent-Type: application/octet-stream\r\n"
        "Content-Length: %lld\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\nx-amz-request-id: 0A49CE4060975EAC\r\n"
        "x-amz-checksum-crc32: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n\r\n",
        date, (long long)size, buf_cstr(&sum));
    c->done = str_n(c->answer, (size_t)n);
    if (!head_only) c->zeros = (uint64_t)size;
    buf_free(&sum);
}

static void answer_put(struct conn *c, struct str head) {
    struct str sum = header(head, "x-amz-checksum-crc32");
    int n = snprintf(c->answer, sizeof c->answer,
                     "HTTP/1.1 200 OK\r\nServer: AmazonS3\r\nDate: %s\r\nContent-Length: 0\r\n"
                     "ETag: \"0123456789abcdef0123456789abcdef\"\r\nx-amz-request-id: 0A49CE4060975EAC\r\n%s%.*s%s\r\n",
                     date, sum.n ? "x-amz-checksum-crc32: " : "", (int)(sum.n < 64 ? sum.n : 64), sum.n ? sum.p : "",
                     sum.n ? "\r\n" : "");
    c->done = str_n(c->answer, (size_t)n);
}

static void out_add(struct conn *c, struct str s) {
    if (s.n > sizeof c->out - c->out_n) return; /* a client that never reads */
    memcpy(c->out + c->out_n, s.p, s.n);
    c->out_n += s.n;
}

/* One request's head has come: what will be answered, and how much of it is to be skipped. */
static void begin(struct conn *c, struct str head) {
    struct str rest = head, line = str_cut(&rest, '\n'), method = str_cut(&line, ' '), path = str_cut(&line, ' ');
    int64_t length = 0;
    if (!str_i64(header(rest, "content-length"), &length) || length < 0) length = 0;
    c->skip = (uint64_t)length;
    if (str_is(header(rest, "expect"), "100-continue")) out_add(c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    if (str_is(method, "PUT"))
        answer_put(c, rest);
    else if (str_is(method, "POST"))
        answer_json(c, str_ends(header(rest, "x-amz-target"), STR(".GetItem")) ? STR(item) : STR("{}"));
    else
        answer_object(c, path, str_is(method, "HEAD"));
}

/* ==== connections ==== */

/* Handles what lies in `in`; at most one answer with zeros is under way at a time. */
static void handle(struct conn *c) {
    size_t at = 0;
    while (!c->zeros || c->done.n) {
        if (c->done.n) {
            size_t n = c->in_n - at < c->skip ? c->in_n - at : c->skip;
            at += n;
            c->skip -= n;
            if (c->skip) break;
            out_add(c, c->done);
            c->done = STR_NONE;
            continue;
        }
        ptrdiff_t end = str_find(str_n(c->in + at, c->in_n - at), STR("\r\n\r\n"), 0);
        if (end < 0) break;
        begin(c, str_n(c->in + at, (size_t)end + 2));
        at += (size_t)end + 4;
    }
    memmove(c->in, c->in + at, c->in_n - at);
    c->in_n -= at;
}

/* false: the connection is over. */
static bool flush(struct conn *c) {
    while (c->out_sent < c->out_n || c->zeros) {
        bool own = c->out_sent < c->out_n;
        size_t n = own ? c->out_n - c->out_sent : c->zeros < ZEROS ? c->zeros : ZEROS;
        ssize_t sent = send(c->fd, own ? c->out + c->out_sent : zeros, n, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        if (own)
            c->out_sent += (size_t)sent;
        else
            c->zeros -= (uint64_t)sent;
    }
    c->out_n = c->out_sent = 0;
    return true;
}

static bool on_ready(struct conn *c) {
    if (!flush(c)) return false;
    for (int rounds = 0; rounds < 16 && !c->zeros; rounds++) {
        if (c->in_n == sizeof c->in) return false;
        size_t room = sizeof c->in - c->in_n;
        ssize_t n = recv(c->fd, c->in + c->in_n, room, 0);
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        c->in_n += (size_t)n;
        handle(c);
        if (!flush(c)) return false;
        if ((size_t)n < room) return true;
    }
    return true;
}

static void watch(int epoll, struct conn *c) {
    bool writing = c->out_sent < c->out_n || c->zeros;
    if (writing == c->writing) return;
    struct epoll_event ev = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &ev);
    c->writing = writing;
}

static void accept_all(int epoll, int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = malloc(sizeof *c);
        if (!c) fatal("out of memory for a connection");
        memset(c, 0, offsetof(struct conn, in));
        c->fd = fd;
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
    }
}

static int listen_here(int *ret_port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        fatal("cannot listen on 127.0.0.1: %s", strerror(errno));
    *ret_port = ntohs(a.sin_port);
    return fd;
}

int main(int argc, char **argv) {
    int64_t seconds = 600;
    int port;
    if (argc > 1 && (argc != 3 || strcmp(argv[1], "--seconds") || !str_i64(str_c(argv[2]), &seconds)))
        return fprintf(stderr, "usage: perigee_aws_stub [--seconds N]\n"), 2;
    alarm((unsigned)seconds);
    int listener = listen_here(&port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
    printf("port %d\n", port);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, sizeof events / sizeof *events, 1000);
        now_http(clock_ms(NULL), date);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                accept_all(epoll, listener);
            } else if (on_ready(c)) {
                watch(epoll, c);
            } else {
                close(c->fd);
                free(c);
            }
        }
    }
}
