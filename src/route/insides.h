/* insides (private to route/): the router's state, one ticket a request, message or event, and the answers made here.
 */
#ifndef PERIGEE_ROUTE_INSIDES_H
#define PERIGEE_ROUTE_INSIDES_H
#include "route/route.h"
#include "route/table.h"

/* What a handler's request.event is made of under `perigee serve`. */
struct route_document {
    const struct route *route;
    const struct app_route *of; /* NULL: a function's URL */
};

struct route {
    struct route_config cfg;
    struct route_table table;
    struct route_document *documents; /* by index of the app's routes; then the one of function URLs */
    struct route_table **own;         /* by index of the function; NULL: not built yet */
    struct list live, spare;          /* of struct route_ticket */
};

/* Life: NEW -> (replied inside the starting call) or HELD -> replied | cancelled. */
struct route_ticket {
    struct list node;
    struct route *route;
    const struct function *function;
    struct script_handle *handle;
    uint64_t start_ns;
    bool starting, replied, cancelled;
    /* HTTP */
    struct http_request *req;
    http_reply_fn *reply;
    struct http_stream stream, *to; /* what the script writes to, and where it goes on */
    int streamed;                   /* status of the head that has left; 0: none has */
    bool cors;
    bool url; /* it came to the function's URL: API Gateway's CORS is not its own */
    const char *version;
    /* messages and events */
    struct script_message message;
    struct str request_id;
    struct str aws_request_id; /* of the invocation that it is part of: what log lines are found by */
    char trace_id[33];
    void (*done)(void *ud, const struct err *e);
    void (*done_reply)(void *ud, struct script_reply *reply); /* instead of done */
    void *ud;
};
struct route_ticket *ticket_new(struct route *r);
void ticket_free(struct route_ticket *t);

// ---- own.c ----

void own_open(struct route *r);
void own_close(struct route *r);
/* As table_match, with f's routes alone. No function: to be answered 404, 405, OPTIONS, or /healthz and /readyz (not
 * /metrics). */
int own_match(struct route *r, const struct function *f, struct http_request *q, struct route_match *ret,
              struct err *e);

// ---- work.c ----

typedef void work_done_fn(void *ud, struct script_reply *reply);
/* Runs a job that is a message or an event: counted and logged. A trace id is made unless job->trace_id is one. NULL:
 * done was called already. */
struct route_ticket *work_start(struct route *r, struct script_job *job, work_done_fn *done, void *ud);
void work_cancel(struct route_ticket *t); /* done will not be called */
void work_trace_id(char ret[33]);         /* a random one */

// ---- answer.c ----

/* {"error":{"code","message","request_id"}} */
void answer_error(struct http_response *res, const struct http_request *req, int status, const char *code,
                  const char *message);
/* What the caller sees of a handler that did not return; the traceback only when `show`. */
void answer_failure(struct http_response *res, const struct http_request *req, const struct script_reply *why,
                    bool show);
/* X-Request-Id and the log line. */
void answer_complete(const struct route_ticket *t, struct http_response *res);
/* CORS, answer_complete; then the reply. */
void answer_send(struct route_ticket *t, struct http_response *res);
/* {"status":"ok"} */
void answer_status(struct http_response *res, const char *status);
/* No function answers this: OPTIONS (also a preflight), 404, 405. */
void answer_unrouted(const struct app_cors *cors, const struct http_request *req, const struct route_match *m,
                     struct http_response *res);
/* The id that log lines have: the invocation's, else `own`. */
struct str answer_log_id(const struct route_ticket *t, struct str own);
/* The traceback at error level. */
void answer_log_failure(const struct route_ticket *t, struct str request_id, struct str trace_id,
                        const struct script_reply *why);

/* The line "request done", or "request cut". */
void answer_log_request(const struct route_ticket *t, const struct http_response *res);

// ---- stream.c ----

/* What the job of t, whose req is set, is given as its stream: NULL when `to` is. cors: the head gets the app's. */
struct http_stream *stream_open(struct route_ticket *t, struct http_stream *to, bool cors);
/* The reply to a job that has streamed: logs, and makes what ends the transport's stream. */
void stream_end(struct route_ticket *t, const struct script_reply *reply, struct http_response *ret);

// ---- cors.c ----

bool cors_enabled(const struct app_cors *c);
/* A CORS-preflight request (Fetch 3.2.2). */
bool cors_is_preflight(const struct http_request *req);
void cors_preflight(const struct app_cors *c, const struct http_request *req, struct http_response *res);
/* To any other answer; what the handler set itself stays. */
void cors_add(const struct app_cors *c, const struct http_request *req, struct http_response *res);
bool head_has(const struct http_response *res, struct str name);

#endif
