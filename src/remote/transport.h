/* transport (private to remote/): HTTP exchanges on one loop, over one curl multi handle. transport.c and blocking.c
 * are the only files with curl/curl.h.
 *
 * An exchange is embedded in its owner and must stay put until done() or transport_cancel. Nothing is retried,
 * redirected, decompressed or interpreted here; what is sent is exactly what the caller gives (plus Content-Length or
 * chunked framing by curl's rules): no Expect, no Accept, no Content-Type of curl's own, path as it is. HTTP/1.1 on
 * plain connections, HTTP/2 where TLS offers it. Connections are kept alive (not used again after 60 s idle), at most
 * `per_host` exchanges run at an origin (scheme, host, port as written); further ones wait, first come, first served.
 * An exchange whose reused connection dies before the first answer byte is tried once more by itself, over a fresh one,
 * unless it is a stream that was begun. The methods are GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS. */
#ifndef PERIGEE_REMOTE_TRANSPORT_H
#define PERIGEE_REMOTE_TRANSPORT_H
#include "base/http.h"
#include "loop/loop.h"

/* URLs of the proxies for http and https, and the hosts that are spoken to without one ("a.example,.b.example,*").
 * NULL or empty: none. */
struct proxies {
    const char *http, *https, *except;
};
/* http_proxy and https_proxy, else all_proxy; no_proxy; lower-case names before upper-case ones. get NULL: getenv.
 * Views of what get gave. */
struct proxies proxies_of_environment(const char *(*get)(void *ud, const char *name), void *ud);

struct transport_config {
    struct loop *loop;
    const char *ca_bundle; /* PEM file; NULL: the system's */
    struct proxies proxies;
    uint32_t per_host;   /* 0: 256 */
    uint32_t connect_ms; /* 0: 3000 */
};
struct transport;
int transport_open(const struct transport_config *c, struct transport **ret, struct err *e);
void transport_close(struct transport *t); /* running exchanges must have been cancelled */

enum exchange_failure {
    EXCHANGE_OK,
    EXCHANGE_BAD_URL, /* URL, method or headers that cannot be sent */
    EXCHANGE_DNS,     /* the name does not resolve */
    EXCHANGE_CONNECT, /* refused, unreachable, timed out while connecting */
    EXCHANGE_TLS,     /* handshake or certificate */
    EXCHANGE_RESET,   /* broke before the answer was whole (truncated, reset, empty) */
    EXCHANGE_TIMEOUT, /* total_ms or idle_ms passed */
    EXCHANGE_TOO_LARGE,
    EXCHANGE_SOURCE, /* read() failed */
    EXCHANGE_SINK,   /* write() failed */
};

struct exchange {
    /* The request; borrowed until done. Zero the struct before its first use; it may be started again when done. */
    struct str method, url, body;
    const struct http_header *headers; /* "Host" among them when signed; no Expect, no Transfer-Encoding */
    size_t n_headers;
    /* Instead of body: fills up to n bytes, 0 at the end, -1 on failure. body_len: what it will give, -1: unknown
     * (sent chunked). Called on the loop. */
    ptrdiff_t (*read)(void *ud, char *p, size_t n);
    int64_t body_len;
    uint64_t total_ms; /* of the whole exchange, waiting for a connection included; 0: no limit */
    uint64_t idle_ms;  /* nothing moved for so long, 0: 60 s */
    size_t max_body;   /* 0: 64 MiB */
    /* Instead of collecting the body of a 2xx answer: takes it as it comes, false on failure. */
    bool (*write)(void *ud, struct str data);
    void *stream_ud;
    void (*done)(struct exchange *x, void *ud);
    void *ud;
    /* the answer: valid until exchange_free */
    enum exchange_failure failure;
    char why[256]; /* of the failure, with host and port */
    int status;
    struct http_header *response_headers; /* names as received, values trimmed */
    size_t n_response_headers;
    struct buf body_in;
    struct arena arena; /* response headers */
    int64_t date_ms;    /* of the Date header, -1: none; received_ms: the system's clock when it came */
    int64_t received_ms;
    bool sent;   /* some of the request went out: the service may have acted on it */
    void *state; /* private */
};
/* Starts; done() is called later, never before this returns. */
void transport_start(struct transport *t, struct exchange *x);
void transport_cancel(struct transport *t, struct exchange *x); /* done() will not be called; harmless when done */
void exchange_free(struct exchange *x);                         /* what the answer holds; not the struct */
struct str exchange_header(const struct exchange *x, const char *name);
size_t transport_running(const struct transport *t);

/* The same for a thread that may block (credentials): returns when done. stop (may be NULL): polled, ends it with
 * EXCHANGE_TIMEOUT. connect_ms 0: 1000. */
struct blocking_config {
    const char *ca_bundle;
    struct proxies proxies;
    uint64_t connect_ms;
    const _Atomic bool *stop;
};
void transport_blocking(const struct blocking_config *c, struct exchange *x);

#endif
