/* server (private to in/): the insides of the HTTP server. server.c speaks with libmicrohttpd and owns the life of a
 * request, server_load.c loads it; server_check.c judges heads (pure); server_stream.c keeps answers that leave in
 * parts; server_sweep.c keeps the deadlines; server_accept.c takes connections in.
 *
 * A connection is always in one of these lists of the server, in order of check_ms, so a deadline costs O(1):
 *   HEAD (accepted, no request yet) -> BODY -> RUN (suspended until the reply) -> SEND -> IDLE (keep-alive) -> BODY ...
 *   BODY | RUN -> STREAM (the answer leaves, its handler runs) -> SEND
 *   any -> ENDING (shut down, waiting for libmicrohttpd to close it). */
#ifndef PERIGEE_IN_SERVER_H
#define PERIGEE_IN_SERVER_H
#include "in/in.h"
#include <netinet/in.h>
#include <sys/socket.h>

struct MHD_Connection;
struct MHD_Daemon;

int server_load(struct err *e); /* server_load.c: the library; UNAVAILABLE */

enum conn_phase { CONN_HEAD, CONN_BODY, CONN_RUN, CONN_STREAM, CONN_SEND, CONN_IDLE, CONN_ENDING, CONN_PHASES };

struct conn {
    struct list node;  /* in lists[phase], or in the free list */
    struct list ready; /* in server.ready: answered while suspended */
    struct server *server;
    struct MHD_Connection *mhd;
    int fd;
    char ip[INET6_ADDRSTRLEN];
    bool loopback;
    enum conn_phase phase;
    uint64_t check_ms, since_ms; /* monotonic: next look, and when the phase began */
    uint64_t consumed;           /* bytes of all requests so far, to tell a partial head from silence */
    uint64_t acked;              /* SEND: what the client had taken at the last look */
    bool inexact;                /* consumed is not exact: a chunked body was read */

    /* the present request */
    struct http_request req;
    struct arena arena;
    struct http_header *headers; /* kept from request to request */
    size_t cap_headers, head_bytes;
    struct buf body;
    bool chunked, in_handle, replied, suspended, gone, last;
    char request_id[37], trace_id[33];
    struct http_response res; /* when replied, or sending */
    void *ticket;
    struct http_stream stream;   /* offered with each request */
    struct conn_stream *sending; /* the answer is a stream; NULL: it is not */
};

/* server_stream.c */
struct conn_stream {
    struct buf out; /* from off on: to be sent */
    size_t off;
    bool held;       /* nothing leaves before the reply */
    bool plain;      /* what leaves then is conn.res as it is */
    bool parked;     /* suspended, for there was nothing to send */
    bool ended, cut; /* cut: the client must see that something is missing */
};

struct server {
    struct server_config cfg;
    struct MHD_Daemon *daemon;
    struct loop_fd *events, *listener;
    struct loop_task pump, ended;
    struct loop_timer sweep, retry_accept;
    struct list lists[CONN_PHASES], spare, ready, lingers;
    struct conn *accepting;   /* handed over through libmicrohttpd's connection callback */
    uint32_t n_conns, n_gone; /* n_gone: clients left, but their replies are still awaited */
    bool running, stopping;
    uint64_t random[2];
    void (*done)(void *ud);
    void *done_ud;
};

// ---- server_check.c ----

/* Why a request is not given to the handler. */
struct refusal {
    int status;
    const char *code, *message;
};
enum { LENGTH_CHUNKED = -1 };
/* Judges a head (RFC 9110, RFC 9112 3.2, 6.3) and splits the target into path and query; *ret_length is the body's. */
bool server_check_head(struct http_request *r, size_t body_max, int64_t *ret_length, struct refusal *ret);
/* A whole answer for the wire, for connections on which libmicrohttpd cannot answer any more. */
void server_write_raw(struct buf *b, const struct refusal *why, struct str request_id, int64_t now_ms);

// ---- server_sweep.c ----

void server_enter(struct conn *c, enum conn_phase phase);
void server_sweep_start(struct server *s);
/* Sends the answer past libmicrohttpd, as far as the socket takes it. */
void server_send_raw(struct conn *c, const struct refusal *why);
/* Ends the connection: libmicrohttpd sees its end of file and closes it. */
void server_end(struct conn *c);
/* Closes what waits for a request; a request that has begun to arrive is still read. */
void server_end_idle(struct server *s);
/* The client may still be sending what nobody will read: closing now would reset the connection, and the answer would
 * be lost. Keeps the socket open for a moment on a descriptor of its own, dropping what comes. */
void server_linger(struct conn *c);
void server_lingers_close(struct server *s);

// ---- server_stream.c ----

void server_stream_offer(struct conn *c);
bool server_stream_begun(const struct conn *c);                 /* the head may leave */
bool server_stream_waits(const struct conn *c);                 /* for the client */
size_t server_stream_take(struct conn *c, char *p, size_t max); /* what is to be sent next; 0: nothing now */
void server_stream_end(struct conn *c, bool cut);               /* the reply has come */
void server_stream_cut(struct conn *c);                         /* at once */
void server_stream_free(struct conn *c);

// ---- server_accept.c ----

int server_accept_start(struct server *s, struct err *e);
void server_accept_pause(struct server *s);
void server_conn_free(struct conn *c);

// ---- server.c ----

bool server_add(struct server *s, struct conn *c, const struct sockaddr *addr, socklen_t n);
void server_count(struct server *s, int status);
void server_note_refusal(struct conn *c, const struct refusal *why); /* logs it */
/* The client is gone: the handler is told, and the connection closes without an answer, or in the middle of it. */
void server_gone(struct conn *c);
void server_wake(struct conn *c); /* resumes a suspended connection soon */
/* false: libmicrohttpd could not send this answer; it was replaced by one that says why. */
bool server_check_answer(struct conn *c);

#endif
