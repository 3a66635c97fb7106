/* server_stream: answers that leave while their handlers run. What was written waits here until libmicrohttpd asks for
 * it (server.c); when there is nothing to send the connection is suspended. */
#include "in/server.h"
#include <stdlib.h>
#include <string.h>

enum { STREAM_MAX = 64 * 1024 * 1024, COMPACT = 64 * 1024 };

/* An answer to HEAD has no body, and a head that cannot be sent has become another answer: both wait for the reply. */
static bool waits_for_reply(struct conn *c) {
    if (!server_check_answer(c)) {
        c->sending->plain = true;
        return true;
    }
    return str_is(c->req.method, "HEAD");
}

static void begin(void *ud, struct http_response *head) {
    struct conn *c = ud;
    c->sending = calloc(1, sizeof *c->sending);
    if (!c->sending) fatal("out of memory for a stream");
    c->sending->out = BUF_MAX(STREAM_MAX);
    c->res = *head;
    http_response_init(head, 0);
    c->sending->held = waits_for_reply(c);
    if (!c->sending->held && !c->in_handle) server_wake(c);
}

static void unpark(struct conn *c) {
    if (!c->sending->parked) return;
    c->sending->parked = false;
    server_wake(c);
}

static size_t unsent(const struct conn_stream *s) {
    return s->out.n - s->off;
}

static size_t write(void *ud, struct str bytes) {
    struct conn *c = ud;
    struct conn_stream *s = c->sending;
    if (s->held) return 0;
    if (s->off >= COMPACT && s->off >= s->out.n / 2) {
        memmove(s->out.p, s->out.p + s->off, unsent(s));
        s->out.n -= s->off;
        s->off = 0;
    }
    buf_str(&s->out, bytes);
    s->cut = s->cut || s->out.over; /* by someone who does not wait */
    unpark(c);
    return unsent(s);
}

void server_stream_offer(struct conn *c) {
    static const struct http_stream_ops ops = {begin, write};
    c->stream = (struct http_stream){.ops = &ops, .stream = c};
}

bool server_stream_begun(const struct conn *c) {
    return c->sending && !c->sending->held;
}

bool server_stream_waits(const struct conn *c) {
    return !c->sending->parked;
}

size_t server_stream_take(struct conn *c, char *p, size_t max) {
    struct conn_stream *s = c->sending;
    size_t n = unsent(s) < max ? unsent(s) : max;
    if (!n) return 0;
    memcpy(p, s->out.p + s->off, n);
    s->off += n;
    if (unsent(s)) return n;
    buf_clear(&s->out);
    s->off = 0;
    if (c->stream.drained && c->ticket) c->stream.drained(c->stream.ud);
    return n;
}

void server_stream_end(struct conn *c, bool cut) {
    struct conn_stream *s = c->sending;
    s->ended = true;
    s->cut = s->cut || cut;
    if (s->held) {
        if (!c->in_handle) server_wake(c);
        return;
    }
    if (c->phase == CONN_STREAM) server_enter(c, CONN_SEND);
    unpark(c);
}

void server_stream_cut(struct conn *c) {
    struct conn_stream *s = c->sending;
    buf_clear(&s->out);
    s->off = 0;
    s->cut = true;
    if (s->parked)
        unpark(c);
    else
        server_end(c);
}

void server_stream_free(struct conn *c) {
    if (!c->sending) return;
    buf_free(&c->sending->out);
    free(c->sending);
    c->sending = NULL;
    c->stream.drained = NULL;
}
