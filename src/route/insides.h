/* insides (private to route/): the router's state, one ticket a request, message or event, and the answers made here.
 */
#ifndef PERIGEE_ROUTE_INSIDES_H
#define PERIGEE_ROUTE_INSIDES_H
#include "route/route.h"
#include "route/table.h"

struct route {
    struct route_config cfg;
    struct route_table table;
    struct list live, spare; /* of struct route_ticket */
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
    /* messages and events */
    struct script_message message;
    struct str request_id;
    char trace_id[33];
    void (*done)(void *ud, const struct err *e);
    void *ud;
};
struct route_ticket *ticket_new(struct route *r);
void ticket_free(struct route_ticket *t);

// ---- answer.c ----

/* {"error":{"code","message","request_id"}} */
void answer_error(struct http_response *res, const struct http_request *req, int status, const char *code,
                  const char *message);
/* What the caller sees of a handler that did not return; the traceback only when `show`. */
void answer_failure(struct http_response *res, const struct http_request *req, const struct script_reply *why,
                    bool show);
/* Ids, CORS, the log line; then the reply. */
void answer_send(struct route_ticket *t, struct http_response *res);
/* The traceback at error level. */
void answer_log_failure(const struct route_ticket *t, struct str request_id, struct str trace_id,
                        const struct script_reply *why);

// ---- cors.c ----

bool cors_enabled(const struct app_cors *c);
/* A CORS-preflight request (Fetch 3.2.2). */
bool cors_is_preflight(const struct http_request *req);
void cors_preflight(const struct app_cors *c, const struct http_request *req, struct http_response *res);
/* To any other answer; what the handler set itself stays. */
void cors_add(const struct app_cors *c, const struct http_request *req, struct http_response *res);
bool head_has(const struct http_response *res, struct str name);

#endif
