/* invoke (private to route/): one invocation, and the batch in it. */
#ifndef PERIGEE_ROUTE_INVOKE_H
#define PERIGEE_ROUTE_INVOKE_H
#include "route/insides.h"

struct invoke_batch;
struct route_run {
    struct route *route;
    struct route_invocation in;
    struct json document;
    struct route_outcome outcome;
    void (*done)(void *ud, struct route_outcome *o);
    void *ud;
    uint64_t end_ms; /* monotonic: when the answer must be there */
    char trace_id[33];
    bool starting, ended;
    /* one of these is running */
    struct route_ticket *ticket;
    struct invoke_batch *batch;
    struct script_handle *handle; /* of an HTTP request */
    struct route_ticket request;  /* what the log says of it */
    struct event_http http;
};
/* What is given to every job of the invocation. */
struct script_job invoke_job(const struct route_run *run, enum script_kind kind);
/* Calls done with run->outcome. */
void invoke_end(struct route_run *run);
void invoke_fail(struct route_run *run, enum err_code code, const char *error_type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Of a job that failed: error and "Function.Kind". */
void invoke_failed_job(struct route_run *run, const struct script_reply *reply);

// ---- invoke_http.c ----
void invoke_http(struct route_run *run);

// ---- invoke_batch.c ----
void invoke_batch(struct route_run *run);
void invoke_batch_cancel(struct invoke_batch *b);

#endif
