/* server: HTTP/1.1 on libmicrohttpd 0.9.75, in external epoll mode: its epoll descriptor is one descriptor of our loop.
 * The only file that includes microhttpd.h.
 *
 * A request: on_uri (target copied) -> on_request (head: checks, ids) -> on_request (body pieces) -> on_request (end):
 * handle(). Answered at once: queued there and then, no suspension. Else suspended; the reply is kept, and one deferred
 * pump resumes all that were answered meanwhile and runs the daemon once.
 *
 * What libmicrohttpd's own parser refuses (an unreadable request line or chunk, a head beyond its memory) is answered
 * by it with a plain 4xx page and closed; the application is not asked. */
#include "in/server.h"
#include "base/crypto.h"
#include "base/trace.h"
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room in a connection's memory for the answer's head and libmicrohttpd's own structures, beside the request's head. */
enum { ANSWER_ROOM = 6144, HEADER_COST = 64, RUNS_A_PUMP = 4, KEEP_BODY = 64 * 1024, STREAM_BLOCK = 16 * 1024 };

static const struct refusal head_large = {431, "head_too_large", "the request head is larger than this server accepts"};
static const struct refusal body_large = {413, "body_too_large", "the body is larger than this server accepts"};

static struct conn *conn_of(struct MHD_Connection *m) {
    return MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

// ---- running the daemon ----

static bool pending(struct server *s) {
    MHD_UNSIGNED_LONG_LONG ms;
    return MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms == 0;
}

static void resume_ready(struct server *s) {
    for (struct list *n; (n = list_pop(&s->ready));) MHD_resume_connection(CONTAINER(n, struct conn, ready)->mhd);
}

/* "If this function is called after MHD_resume_connection, MHD_run must be called": resumed connections are not in the
 * epoll set, and MHD_get_timeout does not know of them. */
static void pump(void *ud) {
    struct server *s = ud;
    if (s->running) {
        loop_defer(s->cfg.loop, &s->pump);
        return;
    }
    s->running = true;
    resume_ready(s);
    int n = 0;
    do MHD_run(s->daemon);
    while (pending(s) && ++n < RUNS_A_PUMP);
    s->running = false;
    if (pending(s)) loop_defer(s->cfg.loop, &s->pump);
}

static void on_events(void *ud, int events) {
    (void)events;
    pump(ud);
}

void server_wake(struct conn *c) {
    struct server *s = c->server;
    list_add(&s->ready, &c->ready);
    loop_defer(s->cfg.loop, &s->pump);
}

// ---- answers ----

void server_count(struct server *s, int status) {
    metric_add(s->cfg.metrics, METRIC_HTTP_REQUESTS, 1);
    if (status >= 500)
        metric_add(s->cfg.metrics, METRIC_HTTP_5XX, 1);
    else if (status >= 400)
        metric_add(s->cfg.metrics, METRIC_HTTP_4XX, 1);
}

void server_note_refusal(struct conn *c, const struct refusal *why) {
    struct server *s = c->server;
    log_event(s->cfg.log, LOG_INFO, "request refused", "issSs", "status", (int64_t)why->status, "code", why->code,
              "error", why->message, "request_id", c->req.request_id, "remote_ip", c->ip);
}

static void add_header(struct MHD_Response *m, char *line, char *end) {
    char *colon = memchr(line, ':', (size_t)(end - line));
    *colon = *end = '\0';
    MHD_add_response_header(m, line, colon + 2);
}

/* head holds "Name: value\n" lines; they are cut up in place. */
static void add_headers(struct MHD_Response *m, struct buf *head) {
    char *p = head->p, *last = head->p + head->n;
    while (p < last) {
        char *end = memchr(p, '\n', (size_t)(last - p));
        add_header(m, p, end);
        p = end + 1;
    }
}

/* Without chunks the end of the connection is the end of the answer: only a reset tells that it is not. */
static void reset_unchunked(struct conn *c) {
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    if (!str_is(c->req.version, "HTTP/1.1")) connect(c->fd, &none, sizeof none);
}

static ssize_t read_stream(void *ud, uint64_t pos, char *p, size_t max) {
    struct conn *c = ud;
    (void)pos;
    size_t n = server_stream_take(c, p, max);
    if (n) return (ssize_t)n;
    if (c->sending->cut) {
        reset_unchunked(c);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (c->sending->ended) return MHD_CONTENT_READER_END_OF_STREAM;
    c->sending->parked = true;
    MHD_suspend_connection(c->mhd);
    return 0;
}

/* Takes body or file over. */
static struct MHD_Response *make_response(struct conn *c) {
    struct http_response *r = &c->res;
    if (c->sending && !c->sending->plain)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, c, NULL);
    if (r->file >= 0 && r->file_len) {
        struct MHD_Response *m = MHD_create_response_from_fd_at_offset64(r->file_len, r->file, r->file_off);
        if (m) r->file = -1;
        return m;
    }
    size_t n;
    char *p = buf_release(&r->body, &n);
    return MHD_create_response_from_buffer(n, p, p ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
}

/* libmicrohttpd would end the connection without a word: such an answer is replaced. */
static const char *misfit(struct conn *c) {
    size_t used = c->head_bytes + c->req.n_headers * HEADER_COST + c->res.head.n + 512;
    if (used > c->server->cfg.limits.head_bytes + ANSWER_ROOM) return "the head of the answer is too large";
    if (c->res.status < 200 || c->res.status > 599) return "the status of the answer is not between 200 and 599";
    return NULL;
}

bool server_check_answer(struct conn *c) {
    const char *why = misfit(c);
    if (!why) return true;
    log_event(c->server->cfg.log, LOG_ERROR, why, "Siu", "request_id", c->req.request_id, "status",
              (int64_t)c->res.status, "head_bytes", (uint64_t)c->res.head.n);
    http_response_free(&c->res);
    http_response_init(&c->res, 500);
    http_error(&c->res, 500, "internal", "%s", why);
    http_set(&c->res, STR("X-Request-Id"), c->req.request_id, NULL);
    return false;
}

/* MHD_NO closes the connection. */
static enum MHD_Result send_answer(struct conn *c) {
    server_check_answer(c);
    server_count(c->server, c->res.status);
    c->last = c->res.close || c->last || c->server->stopping;
    struct MHD_Response *m = make_response(c);
    if (!m) return MHD_NO;
    add_headers(m, &c->res.head);
    if (c->last) MHD_add_response_header(m, "Connection", "close");
    server_enter(c, c->replied ? CONN_SEND : CONN_STREAM);
    enum MHD_Result rc = MHD_queue_response(c->mhd, (unsigned)c->res.status, m);
    MHD_destroy_response(m);
    return rc;
}

static void answer_refusal(struct conn *c, const struct refusal *why) {
    server_note_refusal(c, why);
    http_response_init(&c->res, why->status);
    http_error(&c->res, why->status, why->code, "%s", why->message);
    http_set(&c->res, STR("X-Request-Id"), c->req.request_id, NULL);
    c->res.close = c->replied = true;
}

/* Answers before the body was read: closes afterwards. */
static enum MHD_Result refuse(struct conn *c, const struct refusal *why) {
    answer_refusal(c, why);
    server_linger(c);
    return send_answer(c);
}

static void on_reply(void *ud, struct http_response *res) {
    struct conn *c = ud;
    c->replied = true;
    c->ticket = NULL;
    if (c->sending) {
        server_stream_end(c, res->cut);
        http_response_free(res);
        return;
    }
    c->res = *res;
    http_response_init(res, 0);
    if (c->gone) c->server->n_gone--;
    if (!c->in_handle) server_wake(c);
}

void server_gone(struct conn *c) {
    struct server *s = c->server;
    bool cancel = s->cfg.handler.cancel && c->ticket;
    c->gone = true;
    server_enter(c, CONN_ENDING);
    log_event(s->cfg.log, LOG_DEBUG, "client gone", "SS", "request_id", c->req.request_id, "path", c->req.path);
    if (!cancel) {
        s->n_gone++;
        return;
    }
    void *ticket = c->ticket;
    c->ticket = NULL;
    s->cfg.handler.cancel(s->cfg.handler.ud, ticket);
    if (server_stream_begun(c))
        server_stream_cut(c);
    else
        server_wake(c);
}

// ---- a request ----

static enum MHD_Result gather(void *ud, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
                              size_t value_n) {
    struct conn *c = ud;
    (void)kind;
    if (c->req.n_headers == c->cap_headers) {
        c->cap_headers = c->cap_headers ? c->cap_headers * 2 : 32;
        c->headers = realloc(c->headers, c->cap_headers * sizeof *c->headers);
        if (!c->headers) fatal("out of memory for %zu headers", c->cap_headers);
    }
    c->headers[c->req.n_headers++] = (struct http_header){str_n(name, name_n), str_n(value, value_n)};
    return MHD_YES;
}

static uint64_t next_random(struct server *s) { /* xoroshiro128+: ids of traces are no secrets */
    uint64_t a = s->random[0], b = s->random[1], sum = a + b;
    b ^= a;
    s->random[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    s->random[1] = b << 37 | b >> 27;
    return sum;
}

/* A UUIDv7 (RFC 9562 5.7) from the server's own generator: no system call, no lock between workers. */
static struct str make_request_id(struct conn *c) {
    struct server *s = c->server;
    uint64_t ms = (uint64_t)clock_ms(s->cfg.clock), a = next_random(s), b = next_random(s);
    uint64_t high = ms << 16 | 0x7000 | a >> 52, low = (uint64_t)1 << 63 | b >> 2;
    crypto_uuid_text(high, low, c->request_id);
    return str_n(c->request_id, 36);
}

static void set_ids(struct conn *c) {
    struct http_request *r = &c->req;
    struct str id = http_header(r, "X-Request-Id"), parent = http_header(r, "traceparent");
    r->request_id = trace_request_id_ok(id) ? id : make_request_id(c);
    r->trace_id = parent.p ? trace_of_parent(parent) : STR_NONE;
    if (r->trace_id.n) return;
    uint64_t random[2] = {next_random(c->server), next_random(c->server) | 1};
    crypto_hex_to(c->trace_id, (const uint8_t *)random, sizeof random);
    r->trace_id = str_n(c->trace_id, 32);
}

/* "Called by MHD with the full URI": before it is taken apart in place. The result is on_request's *context. */
static void *on_uri(void *ud, const char *uri, struct MHD_Connection *m) {
    struct conn *c = conn_of(m);
    (void)ud;
    c->req = (struct http_request){.target = arena_str(&c->arena, str_c(uri)), .arena = &c->arena};
    if (c->server->cfg.handler.cancel) c->req.stream = &c->stream;
    return c;
}

static size_t keep_escaped(void *ud, struct MHD_Connection *m, char *s) {
    (void)ud;
    (void)m;
    return strlen(s);
}

static enum MHD_Result run(struct conn *c) {
    struct server *s = c->server;
    c->consumed += c->body.n;
    c->inexact = c->inexact || c->chunked;
    c->req.body = buf_view(&c->body);
    c->in_handle = true;
    void *ticket = s->cfg.handler.handle(s->cfg.handler.ud, &c->req, on_reply, c);
    c->in_handle = false;
    if (c->replied) return send_answer(c);
    c->ticket = ticket;
    if (server_stream_begun(c)) return send_answer(c);
    c->suspended = true;
    server_enter(c, CONN_RUN);
    MHD_suspend_connection(c->mhd);
    return MHD_YES;
}

/* libmicrohttpd 0.9.75 takes what follows "Expect: 100-continue" for a body even when there is none, and closes the
 * connection: such a request is answered before that, and is the last one. */
static enum MHD_Result run_early(struct conn *c) {
    c->last = true;
    server_linger(c);
    return run(c);
}

static enum MHD_Result begin(struct conn *c, const char *method, const char *version) {
    struct http_request *r = &c->req;
    r->start_ns = now_mono_ns();
    r->method = str_c(method);
    r->version = str_c(version);
    r->remote_ip = str_c(c->ip);
    r->loopback = c->loopback;
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, gather, c);
    r->headers = c->headers;
    c->head_bytes = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    c->consumed += c->head_bytes;
    set_ids(c);
    server_enter(c, CONN_BODY);
    struct refusal why;
    int64_t length;
    if (c->head_bytes > c->server->cfg.limits.head_bytes) return refuse(c, &head_large);
    if (!server_check_head(r, c->server->cfg.limits.body_bytes, &length, &why)) return refuse(c, &why);
    c->chunked = length == LENGTH_CHUNKED;
    if (!length && http_header(r, "Expect").p) return run_early(c);
    if (length > 0) buf_reserve(&c->body, (size_t)length < KEEP_BODY ? (size_t)length : KEEP_BODY);
    return MHD_YES;
}

/* Only a chunked body can be found too large here. libmicrohttpd takes no answer in the middle of a body. */
static enum MHD_Result more_body(struct conn *c, const char *p, size_t *n) {
    buf_add(&c->body, p, *n);
    *n = 0;
    if (!c->body.over) return MHD_YES;
    server_send_raw(c, &body_large);
    server_linger(c);
    return MHD_NO;
}

static enum MHD_Result resumed(struct conn *c) {
    c->suspended = false;
    if (c->gone || !(c->replied || c->sending)) return MHD_NO;
    return send_answer(c);
}

static enum MHD_Result on_request(void *ud, struct MHD_Connection *m, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_n, void **context) {
    struct conn *c = *context;
    (void)ud;
    (void)url;
    (void)m;
    if (c->suspended) return resumed(c);
    if (c->phase != CONN_BODY) return begin(c, method, version);
    if (*upload_n) return more_body(c, upload, upload_n);
    return run(c);
}

/* The request is over, answered or not. */
static void reset(struct conn *c) {
    if (c->replied) {
        struct server *s = c->server;
        if (s->cfg.metrics && c->req.start_ns) metric_duration(s->cfg.metrics, now_mono_ns() - c->req.start_ns);
    }
    if (c->replied || c->sending) http_response_free(&c->res);
    server_stream_free(c);
    list_del(&c->ready);
    c->replied = c->suspended = c->chunked = c->last = false;
    c->ticket = NULL;
    c->req = (struct http_request){0};
    arena_reset(&c->arena);
    if (c->body.cap > KEEP_BODY) buf_free(&c->body);
    buf_clear(&c->body);
}

static void on_completed(void *ud, struct MHD_Connection *m, void **context, enum MHD_RequestTerminationCode why) {
    struct conn *c = conn_of(m);
    (void)ud;
    (void)context;
    (void)why;
    if (c->ticket) server_gone(c); /* the connection broke under a stream */
    bool idle = !c->last;
    reset(c);
    server_enter(c, CONN_IDLE);
    if (idle && c->server->stopping) server_end(c);
}

// ---- connections ----

static void on_ended(void *ud) {
    struct server *s = ud;
    void (*done)(void *) = s->done;
    s->done = NULL;
    if (done) done(s->done_ud);
}

static void closed(struct server *s, struct conn *c) {
    reset(c);
    list_del(&c->node);
    list_add(&s->spare, &c->node);
    s->n_conns--;
    if (s->cfg.share) atomic_fetch_sub(&s->cfg.share->conns, 1);
    if (s->stopping && !s->n_conns) loop_defer(s->cfg.loop, &s->ended);
    struct err e;
    if (!s->stopping && !s->retry_accept.pos && server_accept_start(s, &e))
        log_event(s->cfg.log, LOG_ERROR, "cannot accept connections", "s", "error", e.msg);
}

static void on_connection(void *ud, struct MHD_Connection *m, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    struct server *s = ud;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        closed(s, *context);
        return;
    }
    struct conn *c = *context = s->accepting;
    c->mhd = m;
    if (!s->n_conns++) server_sweep_start(s);
    if (s->cfg.share) atomic_fetch_add(&s->cfg.share->conns, 1);
    server_enter(c, CONN_HEAD);
}

bool server_add(struct server *s, struct conn *c, const struct sockaddr *addr, socklen_t n) {
    s->accepting = c;
    return MHD_add_connection(s->daemon, c->fd, addr, n) == MHD_YES;
}

// ---- the server ----

static void on_message(void *ud, const char *fmt, va_list ap) {
    struct server *s = ud;
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_event(s->cfg.log, LOG_DEBUG, "http", "s", "detail", text);
}

static void set_limits(struct server_limits *l) {
    if (!l->body_bytes) l->body_bytes = 1024 * 1024;
    if (!l->head_bytes) l->head_bytes = 12 * 1024;
    if (!l->head_ms) l->head_ms = 10000;
    if (!l->body_ms) l->body_ms = 30000;
    if (!l->idle_ms) l->idle_ms = 75000;
    if (!l->connections) l->connections = 1000;
}

static int start_daemon(struct server *s, struct err *e) {
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_message, s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->cfg.limits.head_bytes + ANSWER_ROOM, MHD_OPTION_CONNECTION_LIMIT,
        s->cfg.limits.connections + 1, MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    if (!s->daemon) return err_set(e, ERR_INTERNAL, "cannot start the HTTP daemon");
    int fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return loop_fd_add(s->cfg.loop, fd, LOOP_READ, on_events, s, &s->events, e);
}

int server_open(const struct server_config *cfg, struct server **ret, struct err *e) {
    if (server_load(e)) return -1;
    struct server *s = calloc(1, sizeof *s);
    if (!s) fatal("out of memory for an HTTP server");
    s->cfg = *cfg;
    set_limits(&s->cfg.limits);
    for (int i = 0; i < CONN_PHASES; i++) list_init(&s->lists[i]);
    list_init(&s->spare);
    list_init(&s->ready);
    list_init(&s->lingers);
    loop_task_init(&s->pump, pump, s);
    loop_task_init(&s->ended, on_ended, s);
    crypto_random(s->random, sizeof s->random);
    if (start_daemon(s, e) || server_accept_start(s, e)) {
        server_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void server_stop(struct server *s, void (*done)(void *ud), void *ud) {
    s->stopping = true;
    s->done = done;
    s->done_ud = ud;
    server_accept_pause(s);
    loop_timer_stop(s->cfg.loop, &s->retry_accept);
    pump(s);
    server_end_idle(s);
    if (!s->n_conns) loop_defer(s->cfg.loop, &s->ended);
}

static void cut_short(struct conn *c) {
    static const struct refusal stopping = {503, "unavailable", "the server is stopping; try again"};
    struct server *s = c->server;
    void *ticket = c->ticket;
    c->ticket = NULL;
    s->cfg.handler.cancel(s->cfg.handler.ud, ticket);
    answer_refusal(c, &stopping);
    http_set(&c->res, STR("Retry-After"), STR("1"), NULL);
    server_wake(c);
}

static void end_one(struct conn *c) {
    if (c->replied) return;
    if (c->server->cfg.handler.cancel && c->ticket && !c->sending)
        cut_short(c);
    else
        server_gone(c);
}

/* What still runs is cancelled, or waited for: requests are borrowed until their reply. "Aborts the process if any
 * connection is suspended": all are resumed. */
static void end_running(struct server *s) {
    for (enum conn_phase p = CONN_RUN; p <= CONN_STREAM; p++)
        for (struct list *n = s->lists[p].next, *next; n != &s->lists[p]; n = next) {
            next = n->next;
            end_one(CONTAINER(n, struct conn, node));
        }
    while (s->n_gone) loop_once(s->cfg.loop, 100);
    pump(s);
}

void server_close(struct server *s) {
    if (!s) return;
    s->stopping = true;
    s->done = NULL;
    server_accept_pause(s);
    if (s->daemon) end_running(s);
    loop_fd_remove(s->events);
    if (s->daemon) MHD_stop_daemon(s->daemon);
    server_lingers_close(s);
    loop_timer_stop(s->cfg.loop, &s->sweep);
    loop_timer_stop(s->cfg.loop, &s->retry_accept);
    loop_defer_cancel(s->cfg.loop, &s->pump);
    loop_defer_cancel(s->cfg.loop, &s->ended);
    for (struct list *n; (n = list_pop(&s->spare));) server_conn_free(CONTAINER(n, struct conn, node));
    free(s);
}
