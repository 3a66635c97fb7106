/* http: a request and its answer as plain data. The server makes requests, route and the cloud port answer them. */
#ifndef PERIGEE_BASE_HTTP_H
#define PERIGEE_BASE_HTTP_H
#include "base/arena.h"
#include "base/buf.h"

struct http_header {
    struct str name, value;
};

struct http_request {
    struct str method;
    struct str target;    /* as sent: raw path and query */
    struct str path;      /* raw, percent-encoded, up to '?' */
    struct str raw_query; /* raw, without '?' */
    struct str version;   /* "HTTP/1.1" */
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    struct str remote_ip;
    bool loopback;              /* the peer is 127.0.0.0/8 or ::1 */
    struct str request_id;      /* the caller's X-Request-Id when it is [A-Za-z0-9_.:-]{1,128}, else a UUIDv7 */
    struct str trace_id;        /* W3C trace-id, 32 hex, from traceparent or made */
    uint64_t start_ns;          /* monotonic, when the head was complete */
    struct arena *arena;        /* lives until the answer was sent; for path parameters, decoded queries, ... */
    struct http_stream *stream; /* where the answer can be sent in parts; NULL: nowhere, it is given whole */
};

/* First header of that name (ASCII case-insensitive), or STR_NONE. */
struct str http_header(const struct http_request *r, const char *name);

struct http_response {
    int status;
    struct buf head; /* header lines "Name: value\n", each ended by one LF, checked by http_set */
    struct buf body; /* ownership goes to whoever sends it */
    int file; /* when >= 0: the body is this file's [file_off, file_off + file_len); owned, closed by the sender */
    uint64_t file_off, file_len;
    bool close; /* close the connection afterwards */
    bool cut;   /* as the end of a stream: the rest is missing, the peer is to notice */
};

void http_response_init(struct http_response *r, int status);
void http_response_free(struct http_response *r);
/* Adds a header line. Refuses names that are no RFC 9110 token and values with CR, LF or NUL. */
int http_set(struct http_response *r, struct str name, struct str value, struct err *e);
/* {"error":{"code":code,"message":msg}} with its content type. */
void http_error(struct http_response *r, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *http_reason(int status);

/* Called once a request, on the loop's thread, never before the starting call has returned unless that call's
 * contract says so. Takes res->body, res->head and res->file over. */
typedef void http_reply_fn(void *ud, struct http_response *res);

/* An answer that is sent while its handler still runs: given with a request by a transport that can do it and be told
 * to cancel. All calls on the loop's thread. The reply ends the stream (its response has no head and no body; `cut`
 * tells whether the rest is missing); a reply without begin is an ordinary answer. No call after the reply or after the
 * request was cancelled, in either direction. Whoever writes stops at HTTP_STREAM_HIGH bytes and goes on when drained
 * is called; drained may come from inside the transport: it notes that and calls nothing of the stream. */
enum { HTTP_STREAM_HIGH = 256 * 1024 };
struct http_stream_ops {
    /* Status and head; once, before the first write, possibly inside the starting call. Takes head->head over;
     * head->body is empty. The transport drops the bytes of an answer that has no body (to HEAD). */
    void (*begin)(void *stream, struct http_response *head);
    /* Copies the bytes; returns how many wait for the peer. */
    size_t (*write)(void *stream, struct str bytes);
};
struct http_stream {
    const struct http_stream_ops *ops;
    void *stream;
    /* Set by who writes, NULL before; called when no byte waits any more. */
    void (*drained)(void *ud);
    void *ud;
};

#endif
