/* fetch: an outgoing HTTP request as data, and the vtable of whoever can send it (remote/ has the only HTTP client).
 *
 * Who calls it: script/lib/fetch.c (perigee.http's fetch). The fetch owns its answer; everything borrowed must live
 * until done(). done() is called exactly once on the loop it was started on, never before start has returned, unless
 * cancel came first. */
#ifndef PERIGEE_BASE_FETCH_H
#define PERIGEE_BASE_FETCH_H
#include "base/http.h"

struct fetch {
    struct str method, url, body;
    const struct http_header *headers;
    size_t n_headers;
    uint64_t timeout_ms; /* of the whole exchange */
    size_t max_body;     /* more is ERR_TOO_LARGE */
    void (*done)(struct fetch *f, void *ud);
    void *ud;
    /* the answer; in `arena`, which the caller frees */
    struct arena arena;
    struct err err; /* ENDPOINT (names what failed: DNS, connection, TLS), TIMEOUT, TOO_LARGE, VALIDATION (bad URL) */
    int status;
    struct http_header *response_headers;
    size_t n_response_headers;
    struct str response_body;
    void *state; /* private to the client */
};
struct fetch_client {
    int (*start)(struct fetch_client *c, struct fetch *f, struct err *e);
    void (*cancel)(struct fetch_client *c, struct fetch *f); /* done() will not be called */
};

#endif
