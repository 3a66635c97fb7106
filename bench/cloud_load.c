/* perigee_cloud_load: signed calls to one server that speaks AWS's protocols, so many waiting at a time, each signed
 * when it is made. One thread, epoll.
 *
 *   perigee_cloud_load PORT WORK CONNECTIONS MS [FILL [KEY SECRET]]
 *
 * WORK: put, update, get, query, send, round (receive + delete), s3put, s3get. It makes the table, queue or bucket
 * itself and puts FILL messages into the queue. The works of volume_calls.c take a store of perigee_volume_fill with
 * FILL items as it is. It warms up for a fifth of MS. Prints {"calls":N,"per_second":N,"p50_ms":N,"p99_ms":N,
 * "failed":N,"answers":N}; answers: to all requests, the warming up included. Exit status 1 when a call failed, 2 for
 * wrong arguments. */
#include "base/now.h"
#include "bench/cloud.h"
#include "sign/sign.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, SAMPLES_MAX = 10000000, OUT_MAX = 1 << 20, IN_MAX = 4 << 20, WAIT_MS = 30000 };

struct client {
    int fd; /* -1: not connected */
    bool writing;
    struct buf out, in;
    size_t out_at;
    uint64_t since_ns;
    struct cloud_turn turn;
};

struct cloud {
    const struct cloud_work *work;
    struct sign_credentials credentials;
    struct sign_key_cache keys;
    struct sockaddr_in address;
    char host[32];
    struct cloud_names names;
    struct client clients[CONNECTIONS_MAX], asker;
    int epoll, n, waiting;
    uint64_t count_ns, end_ns;
    uint64_t calls, failed, answers;
    uint32_t *samples; /* microseconds */
    size_t n_samples;
};

struct cloud_names *cloud_names(struct cloud *c) {
    return &c->names;
}

/* == requests =======================================================================================================
 */

static void write_request(struct cloud *c, const struct cloud_request *r, struct buf *out) {
    bool s3 = !r->target.n;
    char hash[64], date[17];
    struct sign_scope scope = {STR("us-east-1"), str_c(r->service), clock_ms(NULL)};
    now_amz(scope.unix_ms, date);
    sign_payload_hash(r->body, hash);
    struct http_header headers[] = {{STR("host"), str_c(c->host)},
                                    {STR("x-amz-date"), str_c(date)},
                                    {STR("content-type"), STR("application/x-amz-json-1.0")},
                                    {STR("x-amz-target"), r->target}};
    if (s3) {
        headers[2] = (struct http_header){STR("x-amz-content-sha256"), str_n(hash, sizeof hash)};
    }
    struct sign_request signed_request = {.method = str_c(r->method),
                                          .path = str_c(r->path),
                                          .headers = headers,
                                          .n_headers = s3 ? 3 : 4,
                                          .payload_hash = str_n(hash, sizeof hash),
                                          .double_encode = !s3};
    buf_clear(out);
    buf_printf(out, "%s %s HTTP/1.1\r\nAuthorization: ", r->method, r->path);
    sign_authorization(&c->credentials, &scope, &signed_request, &c->keys, out, NULL);
    for (size_t i = 0; i < signed_request.n_headers; i++)
        buf_printf(out, "\r\n%.*s: %.*s", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    if (r->body.n || !strcmp(r->method, "POST") || !strcmp(r->method, "PUT"))
        buf_printf(out, "\r\nContent-Length: %zu", r->body.n);
    buf_c(out, "\r\n\r\n");
    buf_str(out, r->body);
}

/* == answers ========================================================================================================
 */

static struct str header_of(struct str head, const char *name) {
    while (head.n) {
        struct str line = str_cut(&head, '\n'), key = str_cut(&line, ':');
        if (str_ieq(str_trim(key), str_c(name))) return str_trim(line);
    }
    return STR_NONE;
}

/* Joins chunks where they lie. 1: whole; 0: more to come. */
static int join_chunks(struct str raw, struct str *ret) {
    char *to = (char *)raw.p;
    size_t n = 0;
    for (struct str rest = raw;;) {
        ptrdiff_t line = str_find(rest, STR("\r\n"), 0);
        char *end;
        if (line < 0) return 0;
        size_t size = strtoul(rest.p, &end, 16);
        rest = str_from(rest, (size_t)line + 2);
        if (rest.n < size + 2) return 0;
        if (!size) break;
        memmove(to + n, rest.p, size);
        n += size;
        rest = str_from(rest, size + 2);
    }
    *ret = str_n(to, n);
    return 1;
}

/* 1: whole; 0: more to come. ended: the server closed the connection. */
static int parse(struct buf *in, bool ended, struct cloud_answer *a) {
    struct str all = buf_view(in), body;
    int64_t status, length;
    ptrdiff_t end = str_find(all, STR("\r\n\r\n"), 0);
    if (end < 0) return 0;
    struct str head = str_take(all, (size_t)end + 2);
    if (!str_starts(head, STR("HTTP/1.")) || head.n < 12 || !str_i64(str_take(str_from(head, 9), 3), &status))
        fatal("an answer that is not understood: %.*s", STR_ARG(str_take(all, 300)));
    body = str_from(all, (size_t)end + 4);
    struct str connection = header_of(head, "Connection");
    *a = (struct cloud_answer){.status = (int)status, .body = body};
    a->close = str_ieq(connection, STR("close")) ||
               (str_starts(head, STR("HTTP/1.0")) && !str_ieq(connection, STR("keep-alive")));
    if (status == 204 || status == 304) return 1;
    if (str_ieq(header_of(head, "Transfer-Encoding"), STR("chunked"))) {
        /* looked at only when the last chunk is there: joining changes the bytes */
        if (body.n < 5 || memcmp(body.p + body.n - 5, "0\r\n\r\n", 5)) return 0;
        return join_chunks(body, &a->body);
    }
    if (!str_i64(header_of(head, "Content-Length"), &length)) {
        a->close = true;
        return ended;
    }
    if ((int64_t)body.n < length) return 0;
    a->body = str_take(body, (size_t)length);
    return 1;
}

/* == one call that is waited for ====================================================================================
 */

static void connect_to(struct cloud *c, struct client *k, int flags) {
    int one = 1;
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (k->fd < 0 || connect(k->fd, (struct sockaddr *)&c->address, sizeof c->address)) fatal("connect: %m");
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!flags) return;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = k};
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, k->fd, &e)) fatal("epoll_ctl: %m");
}

static void hang_up(struct client *k) {
    if (k->fd >= 0) close(k->fd);
    k->fd = -1;
}

/* One read into k->in: whether the connection ended; *ret_n: bytes. */
static bool receive(struct client *k, int flags, ssize_t *ret_n) {
    buf_reserve(&k->in, 65536);
    *ret_n = recv(k->fd, k->in.p + k->in.n, 65536, flags);
    if (*ret_n > 0) k->in.n += (size_t)*ret_n;
    return *ret_n == 0 || (*ret_n < 0 && errno != EAGAIN && errno != EINTR);
}

void cloud_ask(struct cloud *c, const struct cloud_request *r, struct cloud_answer *ret) {
    struct client *k = &c->asker;
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    ssize_t n;
    if (k->fd < 0) connect_to(c, k, 0);
    setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    write_request(c, r, &k->out);
    for (size_t at = 0; at < k->out.n; at += (size_t)n)
        if ((n = send(k->fd, k->out.p + at, k->out.n - at, MSG_NOSIGNAL)) <= 0) fatal("send: %m");
    buf_clear(&k->in);
    for (bool ended = false; !parse(&k->in, ended, ret); ended = receive(k, 0, &n))
        if (ended || (k->in.n && n < 0)) fatal("%s %s: no answer: %m", r->method, r->path);
    if (ret->close) hang_up(k);
}

/* == many calls =====================================================================================================
 */

static void send_more(struct cloud *c, struct client *k) {
    while (k->out_at < k->out.n) {
        ssize_t n = send(k->fd, k->out.p + k->out_at, k->out.n - k->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) fatal("send: %m");
        if (n < 0) break;
        k->out_at += (size_t)n;
    }
    bool writing = k->out_at < k->out.n;
    if (writing == k->writing) return;
    k->writing = writing;
    struct epoll_event e = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = k};
    epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &e);
}

static void begin(struct cloud *c, struct client *k) {
    struct cloud_request r;
    if (now_mono_ns() >= c->end_ns) {
        c->waiting--;
        return;
    }
    if (k->fd < 0) connect_to(c, k, 1);
    buf_clear(&k->turn.text);
    c->work->next(c, &k->turn, &r);
    write_request(c, &r, &k->out);
    buf_clear(&k->in);
    k->out_at = 0;
    k->writing = false;
    if (!k->since_ns) k->since_ns = now_mono_ns();
    send_more(c, k);
}

static void count(struct cloud *c, struct client *k, const struct cloud_answer *a) {
    uint64_t now = now_mono_ns(), since = k->since_ns;
    bool good = a->status >= 200 && a->status < 300;
    c->answers++;
    if (!good && !c->failed++) fprintf(stderr, "%d %.*s\n", a->status, STR_ARG(str_take(a->body, 300)));
    if (good && c->work->done && !c->work->done(c, &k->turn, a)) return;
    k->since_ns = 0;
    if (since < c->count_ns || !good) return;
    c->calls++;
    if (c->n_samples < SAMPLES_MAX) c->samples[c->n_samples++] = (uint32_t)((now - since) / 1000);
}

static void on_event(struct cloud *c, struct client *k) {
    struct cloud_answer a;
    ssize_t n;
    if (k->writing) {
        send_more(c, k);
        return;
    }
    bool ended = receive(k, MSG_DONTWAIT, &n);
    if (!parse(&k->in, ended, &a)) {
        if (ended) fatal("a connection was closed in the middle of an answer");
        return;
    }
    count(c, k, &a);
    if (a.close || ended) hang_up(k);
    begin(c, k);
}

static void run(struct cloud *c, uint64_t ms) {
    struct epoll_event events[256];
    uint64_t start = now_mono_ns();
    c->count_ns = start + ms * 200000;
    c->end_ns = c->count_ns + ms * 1000000;
    c->waiting = c->n;
    for (int i = 0; i < c->n; i++) begin(c, &c->clients[i]);
    while (c->waiting) {
        int n = epoll_wait(c->epoll, events, 256, WAIT_MS);
        if (n == 0) fatal("no answer within %d s", WAIT_MS / 1000);
        for (int i = 0; i < n; i++) on_event(c, events[i].data.ptr);
    }
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double quantile(struct cloud *c, double q) {
    return c->n_samples ? c->samples[(size_t)(q * (double)(c->n_samples - 1) + 0.5)] / 1000.0 : 0;
}

static int64_t number(const char *text, int64_t min, int64_t max) {
    int64_t v;
    if (str_i64(str_c(text), &v) && v >= min && v <= max) return v;
    fprintf(stderr, "perigee_cloud_load: '%s' is no number from %lld to %lld\n", text, (long long)min, (long long)max);
    exit(2);
}

static void client_init(struct client *k) {
    *k = (struct client){.fd = -1, .out = BUF_MAX(OUT_MAX), .in = BUF_MAX(IN_MAX)};
    k->turn = (struct cloud_turn){.text = BUF_MAX(OUT_MAX), .handle = BUF_MAX(65536)};
}

static void client_free(struct client *k) {
    hang_up(k);
    buf_free(&k->out);
    buf_free(&k->in);
    buf_free(&k->turn.text);
    buf_free(&k->turn.handle);
}

int main(int argc, char **argv) {
    static struct cloud c;
    c.work = argc >= 5 && argc <= 8 ? cloud_find(argv[2]) : NULL;
    if (!c.work || argc == 7)
        return fprintf(stderr, "usage: perigee_cloud_load PORT put|update|get|query|send|round|s3put|s3get CONNECTIONS "
                               "MS [FILL [KEY SECRET]]\n"),
               2;
    int port = (int)number(argv[1], 1, 65535);
    uint64_t ms = (uint64_t)number(argv[4], 1, 600000);
    c.n = (int)number(argv[3], 1, CONNECTIONS_MAX);
    c.credentials = (struct sign_credentials){str_c(argc == 8 ? argv[6] : "perigee"),
                                              str_c(argc == 8 ? argv[7] : "perigee"), STR_NONE};
    c.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    c.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(c.host, sizeof c.host, "127.0.0.1:%d", port);
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    c.samples = malloc(SAMPLES_MAX * sizeof *c.samples);
    if (c.epoll < 0 || !c.samples) fatal("out of memory or descriptors");
    client_init(&c.asker);
    for (int i = 0; i < c.n; i++) client_init(&c.clients[i]);
    c.names.count = now_mono_ns() / 1000; /* names that earlier runs did not use */
    c.work->prepare(&c, argc > 5 ? number(argv[5], 0, 10000000) : 0);
    run(&c, ms);
    qsort(c.samples, c.n_samples, sizeof *c.samples, by_value);
    printf("{\"calls\":%llu,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failed\":%llu,\"answers\":%llu}\n",
           (unsigned long long)c.calls, (double)c.calls * 1000 / (double)ms, quantile(&c, 0.5), quantile(&c, 0.99),
           (unsigned long long)c.failed, (unsigned long long)c.answers);
    client_free(&c.asker);
    for (int i = 0; i < c.n; i++) client_free(&c.clients[i]);
    free(c.samples);
    sign_key_cache_wipe(&c.keys);
    return c.failed || !c.calls ? 1 : 0;
}
