/* Bytes of one connection, as they come: socket -> in/server -> local_face -> engine, the parts of `perigee cloud` on
 * one thread. What the server writes is parsed: each request that it took gets exactly one well-formed answer, in
 * order, and at most one refusal follows, with the end of the connection. What a strict reader of HTTP finds to be
 * requests is all answered. A connection on which nothing moves any more, or that stays, is a finding.
 *
 * HTTP_SIGNED: the engine verifies, and the strict requests at the beginning are signed on their way: none of them may
 * fail for its signature. */
#include "base/url.h"
#include "in/server.h"
#include "rig.h"
#include "sign/sign.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HTTP_SIGNED
static const bool is_signed = true;
#else
static const bool is_signed = false;
#endif

enum { REQUESTS_MAX = 4096, HEADERS_MAX = 64, PARKED_MS = 30, WEDGED_MS = 10000, QUIET_TURNS = 3 };

/* == the server ==================================================================================================== */

struct taken {
    http_reply_fn *reply;
    void *ud, *ticket;
    struct str method;
};

static struct {
    struct server *server;
    int fd, port;
    struct clock clock;
    struct taken now; /* the request that the engine has; reply NULL: none */
    uint64_t since_ms;
    size_t n;                /* requests taken on this connection */
    bool head[REQUESTS_MAX]; /* their method is HEAD */
} wire;

static void replied(void *ud, struct http_response *res) {
    struct taken t = wire.now;
    (void)ud;
    if (res->file < 0) check_answer(t.method, res->status, buf_view(&res->head), buf_view(&res->body));
    wire.now.reply = NULL;
    t.reply(t.ud, res);
}

/* One connection has one request at a time. */
static void *handle(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud) {
    struct rig *g = ud;
    must(!wire.now.reply && wire.n < REQUESTS_MAX);
    wire.now = (struct taken){reply, reply_ud, NULL, r->method};
    wire.since_ms = now_mono_ms();
    wire.head[wire.n++] = str_is(r->method, "HEAD");
    wire.now.ticket = local_face(g->conn, r, replied, NULL);
    return wire.now.ticket;
}

/* The connection is not closed while a request runs. */
static void cancel(void *ud, void *ticket) {
    (void)ud, (void)ticket;
    abort();
}

static void close_server(void) {
    server_close(wire.server);
    close(wire.fd);
    wire.server = NULL;
}

static void open_server(struct rig *g) {
    struct err e = {0};
    struct server_config c = {.loop = g->loop,
                              .limits = {.body_bytes = 64u << 20},
                              .handler = {handle, cancel, g},
                              .log = &g->log,
                              .clock = &wire.clock};
    if (in_listen("127.0.0.1", 0, &wire.fd, &wire.port, &e)) fatal("%s", e.msg);
    c.listen_fd = wire.fd;
    if (server_open(&c, &wire.server, &e)) fatal("%s", e.msg);
    rig_on_close(close_server);
}

/* == the client ==================================================================================================== */

struct client {
    int fd;
    struct str rest; /* to be sent */
    struct buf got;
    bool ended, reset; /* by the server */
};

static void open_client(struct client *c, struct str bytes) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wire.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c =
        (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .rest = bytes, .got = BUF_MAX(256 << 20)};
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) fatal("no connection: %s", strerror(errno));
}

/* No TIME_WAIT: a port is free again at once. */
static void close_client(struct client *c) {
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(c->fd);
    buf_free(&c->got);
}

static bool send_some(struct client *c) {
    if (!c->rest.n) return false;
    ssize_t n = send(c->fd, c->rest.p, c->rest.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) c->rest = STR_NONE; /* the server has closed */
    if (n > 0) c->rest = str_from(c->rest, (size_t)n);
    return n > 0;
}

static bool read_some(struct client *c) {
    char piece[65536];
    ssize_t n = recv(c->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n > 0) buf_add(&c->got, piece, (size_t)n);
    c->ended = !n || (n < 0 && errno != EAGAIN);
    c->reset = n < 0 && errno != EAGAIN;
    return n > 0;
}

/* What waits by contract is answered as a gateway would. */
static void end_wait(void) {
    uint64_t ms = now_mono_ms() - wire.since_ms;
    must(ms < WEDGED_MS);
    if (ms < PARKED_MS || !wire.now.ticket) return;
    struct taken t = wire.now;
    struct http_response res;
    local_face_cancel(t.ticket);
    wire.now.reply = NULL;
    http_response_init(&res, 503);
    http_error(&res, 503, "waited", "long enough");
    t.reply(t.ud, &res);
}

/* Until all is sent and answered as far as it will be. */
static void converse(struct rig *g, struct client *c) {
    for (int quiet = 0; quiet < QUIET_TURNS && !c->ended;) {
        bool moved = send_some(c);
        moved |= read_some(c);
        size_t before = wire.n;
        loop_once(g->loop, wire.now.reply ? 5 : 0);
        if (wire.now.reply) end_wait();
        quiet = moved || wire.now.reply || wire.n != before ? 0 : quiet + 1;
    }
    must(!c->got.over);
}

static void await_close(struct rig *g) {
    uint64_t from = now_mono_ms();
    while (wire.server->n_conns) {
        loop_once(g->loop, 5);
        must(now_mono_ms() - from < WEDGED_MS);
    }
}

/* == answers on the wire =========================================================================================== */

struct answer {
    int status;
    struct buf head; /* "Name: value\n" lines */
    struct str body;
    bool close;
};

/* Cuts a line that ends in CR LF; false: there is none. */
static bool cut_line(struct str *rest, struct str *ret) {
    ptrdiff_t at = str_find(*rest, STR("\r\n"), 0);
    if (at < 0) return false;
    *ret = str_take(*rest, (size_t)at);
    *rest = str_from(*rest, (size_t)at + 2);
    return true;
}

static bool is_token_byte(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           (ch && strchr("!#$%&'*+-.^_`|~", ch));
}

static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_byte(s.p[i])) return false;
    return s.n > 0;
}

static bool is_text(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f) return false;
    return true;
}

static bool read_head(struct str *rest, struct answer *a) {
    struct str line;
    int64_t status;
    if (!cut_line(rest, &line)) return false;
    must(str_starts(line, STR("HTTP/1.1 ")) || str_starts(line, STR("HTTP/1.0 ")));
    must(str_i64(str_take(str_from(line, 9), 3), &status) && status >= 100 && status <= 599);
    a->status = (int)status;
    for (;;) {
        if (!cut_line(rest, &line)) return false;
        if (!line.n) return true;
        struct str value = line, name = str_cut(&value, ':');
        must(value.p && is_token(name) && is_text(value));
        buf_str(&a->head, line);
        buf_byte(&a->head, '\n');
    }
}

/* false: the bytes end within it. */
static bool read_answer(struct str *rest, bool head, bool last, struct answer *a) {
    struct str whole = *rest;
    int64_t n = 0;
    do {
        buf_clear(&a->head);
        if (!read_head(rest, a)) return false;
    } while (a->status < 200);
    struct str own = str_n(whole.p, whole.n - rest->n);
    if (last && str_starts(*rest, own)) *rest = str_from(*rest, own.n); /* see README.md: libmicrohttpd's pages */
    struct str length = head_value(buf_view(&a->head), "content-length");
    bool bare = a->status == 204 || a->status == 304;
    a->close = str_ieq(head_value(buf_view(&a->head), "connection"), STR("close"));
    must(!head_value(buf_view(&a->head), "transfer-encoding").p);
    must(bare || (str_i64(length, &n) && n >= 0));
    if (bare || head || (last && !rest->n)) n = 0;
    if (rest->n < (size_t)n) return false;
    a->body = str_take(*rest, (size_t)n);
    *rest = str_from(*rest, (size_t)n);
    return true;
}

static bool blames_signature(const struct answer *a) {
    return a->status == 403 && str_find(a->body, STR("The request signature we calculated"), 0) >= 0;
}

/* n_strict: so many requests at the beginning are beyond doubt. */
static void check_answers(const struct client *c, size_t n_strict) {
    struct str rest = buf_view(&c->got);
    struct answer a = {.head = BUF_MAX(1 << 20)};
    size_t n = 0;
    bool cut = false;
    while (rest.n && !cut) {
        must(!a.close && n <= wire.n); /* nothing follows a refusal, nor the last answer */
        bool taken = n < wire.n;
        cut = !read_answer(&rest, taken && wire.head[n], !taken, &a);
        if (cut) break;
        if (!taken) must(a.close && a.status >= 400);
        if (is_signed && n < n_strict) must(!blames_signature(&a));
        n++;
    }
    must(!cut || c->reset || a.status < 200); /* told to continue, the client never sent the rest */
    must(n >= wire.n || c->reset);
    must(c->ended || !a.close || n == wire.n + 1 || n == wire.n);
    if (!a.close && !c->reset) must(wire.n >= n_strict);
    buf_free(&a.head);
}

/* == requests beyond doubt ========================================================================================= */

struct strict {
    struct str method, target, body, whole;
    struct http_header headers[HEADERS_MAX];
    size_t n_headers;
};

static bool strict_header(struct strict *s, struct str line, int *hosts, int64_t *length) {
    struct str value = line, name = str_cut(&value, ':');
    if (!value.p || !is_token(name) || !is_text(value) || s->n_headers == HEADERS_MAX) return false;
    static const char *const doubtful[] = {"transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"};
    for (size_t i = 0; i < sizeof doubtful / sizeof *doubtful; i++)
        if (str_ieq(name, str_c(doubtful[i]))) return false;
    value = str_trim(value);
    if (str_ieq(name, STR("host"))) ++*hosts;
    if (str_ieq(name, STR("content-length"))) {
        if (*length >= 0 || !value.n || value.n > 6 || !str_i64(value, length) || *length < 0) return false;
    }
    s->headers[s->n_headers++] = (struct http_header){name, value};
    return true;
}

static bool is_target(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '#') return false;
    return s.n > 0 && s.p[0] == '/';
}

/* Takes a request off `rest` when there is one as RFC 9112 writes it, of ordinary size. */
static bool cut_strict(struct str *rest, struct strict *s) {
    struct str at = *rest, line, version;
    int hosts = 0;
    int64_t length = -1;
    if (!cut_line(&at, &line)) return false;
    *s = (struct strict){.method = str_cut(&line, ' ')};
    version = line;
    s->target = str_cut(&version, ' ');
    if (!is_token(s->method) || !is_target(s->target) || !str_is(version, "HTTP/1.1")) return false;
    if (str_is(s->method, "CONNECT")) return false;
    for (;;) {
        if (!cut_line(&at, &line)) return false;
        if (!line.n) break;
        if (!strict_header(s, line, &hosts, &length)) return false;
    }
    if (hosts != 1 || rest->n - at.n > 8000 || (int64_t)at.n < length) return false;
    s->body = str_take(at, length < 0 ? 0 : (size_t)length);
    s->whole = str_take(*rest, rest->n - at.n + s->body.n);
    *rest = str_from(at, s->body.n);
    return true;
}

/* == signing ======================================================================================================= */

static struct str service_of(const struct strict *s) {
    for (size_t i = 0; i < s->n_headers; i++) {
        struct str v = s->headers[i].value;
        if (str_ieq(s->headers[i].name, STR("x-amz-target")))
            return str_starts(v, STR("AmazonSQS")) ? STR("sqs") : STR("dynamodb");
        ptrdiff_t at = str_find(v, STR("/aws4_request"), 0);
        if (!str_ieq(s->headers[i].name, STR("authorization")) || at < 0) continue;
        static const char *const names[] = {"sqs", "ses", "sts", "dynamodb"};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (str_ends(str_take(v, (size_t)at), str_c(names[k]))) return str_c(names[k]);
    }
    return STR("s3");
}

static bool is_ours(struct str name) {
    return str_ieq(name, STR("authorization")) || str_ieq(name, STR("x-amz-date")) ||
           str_ieq(name, STR("x-amz-content-sha256"));
}

/* A signature in the query, and one of the wrong kind, are their own. */
static bool is_signable(const struct strict *s) {
    return str_find(s->target, STR("X-Amz-"), 0) < 0 && str_find(s->target, STR("AWSAccessKeyId"), 0) < 0 &&
           str_find(s->target, STR("%"), 0) < 0;
}

static void put_header(struct buf *b, const struct http_header *h) {
    buf_printf(b, "%.*s: ", STR_ARG(h->name));
    buf_str(b, h->value);
    buf_c(b, "\r\n");
}

static void sign_one(const struct strict *s, struct buf *out) {
    struct http_header h[HEADERS_MAX + 2];
    size_t n = 0;
    char date[17];
    struct str hash = STR("UNSIGNED-PAYLOAD"), query = s->target, path = str_cut(&query, '?');
    int64_t now = clock_ms(NULL);
    now_amz(now, date);
    for (size_t i = 0; i < s->n_headers; i++) {
        bool stream = str_is(s->headers[i].value, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        if (stream && str_ieq(s->headers[i].name, STR("x-amz-content-sha256"))) hash = s->headers[i].value;
        if (!is_ours(s->headers[i].name)) h[n++] = s->headers[i];
    }
    h[n++] = (struct http_header){STR("x-amz-date"), str_n(date, 16)};
    h[n++] = (struct http_header){STR("x-amz-content-sha256"), hash};
    struct sign_credentials c = {STR("perigee"), STR("perigee"), STR_NONE};
    struct sign_scope scope = {STR("us-east-1"), service_of(s), now};
    struct sign_request r = {s->method, path, query.p ? query : STR(""), h, n, hash, !sign_is_s3(scope.service)};
    struct buf authorization = BUF_MAX(1 << 20);
    struct sign_key_cache cache = {0};
    sign_authorization(&c, &scope, &r, &cache, &authorization, NULL);
    struct http_header last = {STR("Authorization"), buf_view(&authorization)};
    buf_printf(out, "%.*s ", STR_ARG(s->method));
    buf_str(out, s->target);
    buf_c(out, " HTTP/1.1\r\n");
    for (size_t i = 0; i < n; i++) put_header(out, &h[i]);
    put_header(out, &last);
    buf_c(out, "\r\n");
    buf_str(out, s->body);
    buf_free(&authorization);
}

/* Counts the requests beyond doubt at the beginning, and signs them. */
static size_t prepare(struct str input, struct buf *out, bool *ret_spoils) {
    struct str rest = input;
    struct strict s;
    size_t n = 0;
    while (n < REQUESTS_MAX / 2 && cut_strict(&rest, &s)) {
        if (is_signed && !is_signable(&s)) {
            buf_str(out, s.whole);
            buf_str(out, rest);
            return n;
        }
        if (is_signed)
            sign_one(&s, out);
        else
            buf_str(out, s.whole);
        n++;
    }
    buf_str(out, rest);
    *ret_spoils = str_find(input, STR("_perigee"), 0) >= 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static bool spoiled;
    struct rig *g = rig_get(!is_signed, spoiled);
    struct buf bytes = BUF_MAX(8 << 20);
    struct client c;
    if (!wire.server) open_server(g);
    size_t n_strict = prepare(str_n((const char *)data, n), &bytes, &spoiled);
    wire.n = 0;
    open_client(&c, buf_view(&bytes));
    converse(g, &c);
    check_answers(&c, n_strict);
    close_client(&c);
    await_close(g);
    buf_free(&bytes);
    return 0;
}
