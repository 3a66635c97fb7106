/* route: who handles this? (method, path) or event source -> function -> job; and the reply back to HTTP or the queue.
 *
 * Who calls it: in/. One struct route a worker. Owns nothing it is given. A request that finds no function is answered
 * here: 404, 405 with Allow, OPTIONS and CORS headers as the template says, HEAD through GET, /healthz, /readyz,
 * /metrics. Handler errors become 500 (ERR_SCRIPT, ERR_LIMIT), 504 (ERR_TIMEOUT), 503 (ERR_UNAVAILABLE) with
 * {"error":{"code","message","request_id"}}; the traceback goes to loopback clients in development only. Every answer
 * carries X-Request-Id; handler answers carry X-Perigee-Version. */
#ifndef PERIGEE_ROUTE_H
#define PERIGEE_ROUTE_H
#include "app/app.h"
#include "base/metric.h"
#include "script/script.h"

struct route;
struct route_config {
    const struct app *app;
    struct script *script;
    struct loop *loop;
    const struct log *log;
    struct metrics *metrics;            /* this worker's */
    struct metrics *const *all_metrics; /* of all workers, for /metrics */
    size_t n_metrics;
    bool development;
    bool quiet; /* what went well is said at debug level only: Lambda has lines and metrics of its own for it */
    struct str region, account, partition; /* of documents that are made for handlers: request.event */
    const struct clock *clock;             /* likewise; NULL: the system's */
    bool
        fail_http; /* of invocations: an HTTP handler that raises fails the invocation, instead of being answered 500 */
    /* Readiness: calls done(ud, NULL or why not), now or later. */
    void (*ready)(void *ready_ud, void (*done)(void *ud, const struct err *e), void *ud);
    void *ready_ud;
};
int route_open(const struct route_config *c, struct route **ret, struct err *e); /* duplicate routes are errors */
void route_close(struct route *r);

/* Answers one request. reply is called exactly once, possibly before this returns (then NULL is returned); else the
 * returned ticket can be cancelled until then. */
struct route_ticket;
struct route_ticket *route_http(struct route *r, struct http_request *req, http_reply_fn *reply, void *ud);
void route_cancel(struct route_ticket *t); /* the client is gone: reply will not be called */

/* What an HTTP client gets for a job that ended so. */
int route_failure_status(enum err_code code);

/* Runs one queue message. done(ud, NULL) when handled, else why not; possibly before this returns. */
void route_message(struct route *r, const struct function *f, const struct script_message *m,
                   void (*done)(void *ud, const struct err *e), void *ud);
/* Runs one event (schedules). */
void route_event(struct route *r, const struct function *f, struct json event, struct str request_id,
                 void (*done)(void *ud, const struct err *e), void *ud);

/* == AWS event documents <-> what handlers see ==== */
/* Pure (event_*.c): documents in an arena, no state. Source of the shapes: Lambda developer guide and API Gateway
 * developer guide, named beside each function. */
enum event_kind {
    EVENT_OTHER,   /* any JSON: given to the handler as it is */
    EVENT_REST_V1, /* API Gateway REST, proxy integration */
    EVENT_HTTP_V1, /* HTTP API, payload format 1.0 */
    EVENT_HTTP_V2, /* HTTP API, payload format 2.0 */
    EVENT_URL,     /* function URL */
    EVENT_ALB,
    EVENT_SQS,
    EVENT_BRIDGE, /* EventBridge: rules and schedules */
    EVENT_KINDS
};
enum event_kind event_kind_of(const struct json *document);
const char *
event_kind_name(enum event_kind k); /* "apigw-rest", "apigw-http-1", "apigw-http", "url", "alb", "sqs", "schedule" */
bool event_is_http(enum event_kind k);
struct event_http {
    enum event_kind kind;
    struct http_request request; /* request.arena is the document's */
    struct str path;             /* decoded, without the stage; p NULL: it cannot be decoded (the answer is 400) */
    const struct script_param *params;
    size_t n_params;
    bool params_known; /* the document has path parameters of its own (API Gateway); else the route table finds them */
    bool multi_value;  /* ALB: the target group sends, and wants, multi-value headers */
};
/* e names the member: "requestContext.http.method: missing". */
int event_read_http(struct arena *a, const struct json *document, struct event_http *ret, struct err *e);
/* The answer document of that kind. Text is sent as it is, other bytes as base64. ERR_TOO_LARGE over `max` bytes. */
int event_write_answer(struct buf *b, const struct event_http *in, const struct http_response *res, size_t max,
                       struct err *e);
/* What API Gateway & co. do with an answer document: the response that the HTTP client gets; 502 (HTTP
 * APIs: 500) for a malformed one. */
void event_read_answer(struct arena *a, enum event_kind kind, const struct json *answer, struct http_response *ret);
/* What the template's API adds to the answers of its functions. */
void route_add_cors(const struct app *a, const struct http_request *req, struct http_response *res);
struct event_route {    /* of a document that is made: what the gateway knows */
    struct str pattern; /* "/orders/{id}" */
    const struct script_param *params;
    size_t n_params;
    struct str region, account, partition, stage, api_id;
    int64_t unix_ms;
    bool multi_value; /* ALB: multi-value headers and query parameters */
};
int event_make_http(struct arena *a, enum event_kind kind, const struct http_request *req, const struct event_route *r,
                    struct json *ret, struct err *e);
struct event_messages {
    const struct script_message *messages;
    const struct str *groups; /* of a FIFO queue: MessageGroupId of each; else NULL */
    size_t n;
};
int event_read_sqs(struct arena *a, const struct json *document, struct event_messages *ret, struct err *e);
/* Made documents of sources without a request (event_sample.c). */
struct event_origin {
    struct str region, account, partition;
    int64_t unix_ms;
};
struct event_body {
    struct str id, body;
};
struct event_batch { /* messages that are received for the first time */
    struct str queue;
    const struct event_body *messages;
    size_t n;
    bool fifo;
    struct str group; /* with fifo */
};
struct json event_make_sqs(struct arena *a, const struct event_origin *o, const struct event_batch *b);
/* resource: an ARN, or empty */
struct json event_make_bridge(struct arena *a, const struct event_origin *o, struct str id, struct str source,
                              struct str detail_type, struct str resource, struct json detail);
struct json event_make_schedule(struct arena *a, const struct event_origin *o, struct str id, struct str rule);
/* The route of the template that answers a request, with its parameters, as an API Gateway finds it. *ret_route NULL:
 * none. -1: the path cannot be decoded. */
int event_find_route(const struct app *app, struct arena *a, struct str method, struct str path,
                     const struct app_route **ret_route, const struct script_param **ret_params, size_t *ret_n,
                     struct err *e);
/* The correlation id of a message: its attribute, else the member of its JSON body; a view, may be empty. */
struct str event_correlation(struct arena *a, const struct script_message *m);

/* == one invocation: any event document -> the function -> the answer document ==== */
/* Who calls it: in/lambda (the runtime), perigee invoke. HTTP documents run as requests (a handler that raises is
 * answered 500 in the document, as over HTTP), SQS batches message by message (all at once; of a FIFO queue one after
 * the other, stopping at the first failure), everything else as an event. */
struct route_invocation {
    const struct function *function;
    struct str request_id, trace_id; /* trace_id empty: X-Ray's of `invocation`, else a new one */
    struct str payload;              /* the event's bytes; alive until done */
    struct arena *arena;             /* lives as long */
    uint32_t timeout_ms;             /* until the answer must be there; 0: the function's */
    size_t answer_max;               /* bytes; 0: 6 MiB */
    bool report_failures;            /* of an SQS batch: batchItemFailures; false: one failure fails the batch */
    const struct script_invocation *invocation;
    /* Takes the answers to documents of function URLs, those too that come whole: such a URL does not read answer
     * documents. All others are gathered. NULL: all are. */
    struct http_stream *stream;
};
struct route_outcome {
    struct err err; /* ERR_NONE: body is the answer. Else the invocation failed */
    struct str error_type, traceback;
    struct buf body; /* JSON; taken over */
    bool streamed;
    enum event_kind kind;
};
struct route_run;
/* done is called exactly once, possibly before this returns (then NULL), unless cancelled. */
struct route_run *route_invoke(struct route *r, const struct route_invocation *in,
                               void (*done)(void *ud, struct route_outcome *o), void *ud);
void route_invoke_cancel(struct route_run *run);

#endif
