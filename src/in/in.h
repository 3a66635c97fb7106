/* in: where work comes from: HTTP sockets, queues, the clock.
 *
 * Who calls it: perigee.c opens them a worker. Each stops in two steps: *_stop (no new work; done() when what runs has
 * ended), *_close.
 *
 * server: HTTP/1.1 on libmicrohttpd, driven by the worker's loop (server.c is the only file with microhttpd.h). Every
 * worker has its own daemon on the same listening socket. Requests are read whole (head and body within limits),
 * checked (request smuggling: duplicate Content-Length, Content-Length with Transfer-Encoding, bad names -> 400 and
 * close), then given to `handle`. */
#ifndef PERIGEE_IN_H
#define PERIGEE_IN_H
#include "route/route.h"

/* Binds host:port (0: any) for all workers. e names host, port and reason ("port 8080 is in use on 127.0.0.1"). */
int in_listen(const char *host, int port, int *ret_fd, int *ret_port, struct err *e);

struct server_limits {
    size_t body_bytes;    /* 0: 1 MiB. More is 413 and close, without reading the rest */
    size_t head_bytes;    /* 0: 12 KiB (18 KiB of memory a connection). More is 431 */
    uint32_t head_ms;     /* 0: 10 s from the first byte (or accept) to the end of the head: 408 and close */
    uint32_t body_ms;     /* 0: 30 s for the body */
    uint32_t idle_ms;     /* 0: 75 s keep-alive */
    uint32_t connections; /* 0: 1000 a worker */
};
/* Answers a request: calls reply once, now (return NULL) or later (return a ticket for `cancel`). */
struct server_handler {
    void *(*handle)(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud);
    /* The client went away (noticed within about a second once a request runs longer than that); may be NULL: then
     * reply is awaited and dropped. */
    void (*cancel)(void *ud, void *ticket);
    void *ud;
};
/* What the servers on one listening socket know of each other, so that none takes more than its part of a burst. */
struct server_share {
    uint32_t servers;
    _Atomic uint32_t conns;
};
struct server_config {
    struct loop *loop;
    int listen_fd;              /* shared; not closed by the server */
    struct server_share *share; /* NULL: it is alone */
    struct server_limits limits;
    struct server_handler handler;
    const struct log *log;
    struct metrics *metrics;
    struct clock *clock;
};
struct server;
int server_open(const struct server_config *c, struct server **ret, struct err *e);
/* Stops accepting, closes idle connections, lets running requests end (their answers say Connection: close); then
 * done(ud). */
void server_stop(struct server *s, void (*done)(void *ud), void *ud);
/* After done(), or before it: what runs is cancelled and answered with 503; without `cancel` the loop is spun until the
 * replies have come. */
void server_close(struct server *s);

/* -- feed_sqs: polls one queue for one function on this worker ---- */
/* Receives batches (BatchSize, window), runs each message as a job of its own (route_message), then deletes what
 * succeeded in one DeleteMessageBatch. Without report_failures one failed message makes the whole batch come back, as
 * on AWS. A failed message becomes visible again after a back-off that grows with its receive count (2^n seconds +
 * jitter, at most 15 minutes), until the queue's redrive policy moves it to the DLQ. A receive that fails is retried
 * with back-off. */
struct feed_config {
    struct loop *loop;
    struct aws_backend *backend;
    struct route *route;
    const struct app_feed *feed;
    uint32_t concurrency; /* batches in flight on this worker at most; >= 1 */
    const struct log *log;
    struct metrics *metrics;
};
struct feed;
int feed_open(const struct feed_config *c, struct feed **ret, struct err *e);
/* Stops polling; running messages get until their deadline; unfinished ones are made visible again at once. */
void feed_stop(struct feed *f, void (*done)(void *ud), void *ud);
/* After done(), or before it: messages that ended are settled, those that still run are made visible again at once; the
 * script must then be closed before the backend, and what its jobs still report is ignored. */
void feed_close(struct feed *f);
bool feed_polling(const struct feed *f); /* the queue was found and no receive has failed since: readiness */

/* -- feed_clock: runs the template's schedules (one worker has it) ---- */
/* A run that is still going when the next is due is not started twice: the tick is skipped and logged. With a lease,
 * many hosts ("replicas") may run the same schedules and each occurrence runs on one of them: whoever moves the
 * lease's item to it first. rate() then counts from the epoch, so that all agree when it is due. Another replica does
 * not run the next occurrence while the item says that this one runs: until its function's Timeout and a little more
 * have passed, or its end was written. A lease that cannot be asked for is asked for again until the next occurrence
 * is due; nothing runs without it. */
struct clock_lease {
    struct aws_backend *backend; /* NULL: no lease, this host is the only one */
    struct str table, key, ttl;  /* physical name, its only key (HASH, type S), its TTL attribute or empty */
    struct str scope;            /* what tells apart schedules of several applications in one table */
    struct str owner;            /* unique to this host */
};
struct clock_feed_config {
    struct loop *loop;
    struct route *route;
    const struct app *app;
    struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
    struct aws_identity id; /* of the events' ARNs */
    struct clock_lease lease;
};
struct clock_feed;
int clock_feed_open(const struct clock_feed_config *c, struct clock_feed **ret, struct err *e);
void clock_feed_stop(struct clock_feed *f, void (*done)(void *ud), void *ud);
void clock_feed_close(struct clock_feed *f); /* after done(), or before it: as above */

/* -- lambda: the Runtime API client (AWS Lambda custom runtimes, 2018-06-01)
 * Keeps `concurrency` polls of /next in flight, each on a connection of its own; every event is one route_invoke. The
 * rules of retry and exit: docs/lambda.md. Starts nothing but sockets: no thread, no library. */
struct lambda_config {
    struct loop *loop;
    const char *api; /* "host:port" of AWS_LAMBDA_RUNTIME_API; host numeric or a name */
    struct route *route;
    struct script *script;
    const struct function *function;
    const struct log *log;
    uint32_t concurrency; /* AWS_LAMBDA_MAX_CONCURRENCY; 0: 1 */
    bool report_failures, stream;
    bool sigterm; /* registers an internal extension, so that Lambda sends SIGTERM */
    /* Told of the function's ARN before each event; may be NULL. */
    void (*arn)(void *ud, struct str arn);
    void *ud;
    bool own_trace_variable; /* sets _X_AMZN_TRACE_ID for each event (concurrency 1) */
};
struct lambda;
int lambda_open(const struct lambda_config *c, struct lambda **ret, struct err *e);
/* Runs until told to stop (SIGTERM: running invocations end first) or until the Runtime API cannot be used any more:
 * then -1 and e says why; the process must exit with 1. */
int lambda_run(struct lambda *l, struct err *e);
void lambda_close(struct lambda *l);
/* Before lambda_open: reports that the function cannot be initialised (POST /runtime/init/error); waits for the answer.
 * error_type: "Runtime.NoSuchHandler", "Runtime.ImportModuleError", ... */
void lambda_init_error(const char *api, const char *error_type, const struct err *why, struct str traceback,
                       const struct log *log);

/* {"errorMessage","errorType","stackTrace","requestId"}: what the caller of a function that failed is given. type: of
 * who raised it, may be empty. */
void lambda_error_document(struct buf *b, const struct err *e, struct str type, struct str traceback,
                           struct str request_id);

/* -- runtime_api: the other side: a Runtime API server that runs a bootstrap ---- */
/* What `perigee runtime-api` and the tests use: spawns the program with Lambda's environment at the first invocation,
 * hands invocations to it, restarts it when it died, kills its process group at the time-out. Loop thread only. It
 * writes Lambda's START, END and REPORT lines, and what the program writes, to output_fd. */
struct runtime_api_config {
    struct loop *loop;
    const struct log *log;
    int listen_fd;           /* of the Runtime API, not blocking; not closed */
    const char *const *argv; /* the program; NULL: none is spawned, somebody else connects */
    const char *const *env;  /* "NAME=value", NULL-ended: the whole environment */
    const char *directory;   /* LAMBDA_TASK_ROOT; NULL: the present one */
    const char *function_name, *arn, *handler;
    const char *account;          /* told to extensions that ask; NULL: 000000000000 */
    uint32_t timeout_ms, init_ms; /* 0: 3 s, 10 s */
    uint32_t concurrency;         /* 0: 1. More: that many /next may wait, and a time-out does not kill the program */
    uint32_t memory_mb;           /* of REPORT lines; 0: 128 */
    int output_fd;
};
struct runtime_api;
enum { RUNTIME_PAYLOAD_MAX = 6 * 1024 * 1024 + 100 }; /* of an answer that is not streamed */
struct runtime_event {
    struct str payload, content_type, client_context, identity, tenant_id, trace; /* alive until done; empty: none */
    /* Streamed answers: parts as they come, the first may be empty; NULL: the whole in done. Returns how many bytes
     * wait for the reader: beyond HTTP_STREAM_HIGH the program is not read until runtime_api_resume. */
    size_t (*part)(void *ud, struct str content_type, struct str bytes);
    /* Once. error NULL: success, and body is what was not given to part. `error`: "Unhandled"; body is then the error
     * document, of an answer that may have begun. */
    void (*done)(void *ud, const char *error, struct str content_type, struct str body);
    /* Once, after done, the last call: the program asks for its next event, or is gone: the lines END and REPORT are
     * written. tail: the last 4 KiB of the output. May be NULL. */
    void (*ended)(void *ud, struct str tail);
    void *ud;
};
int runtime_api_open(const struct runtime_api_config *c, struct runtime_api **ret, struct err *e);
/* Queues one invocation; *ret_id is its request id. Calls nothing back before it has returned. */
void runtime_api_invoke(struct runtime_api *r, const struct runtime_event *event, char ret_id[37]);
void runtime_api_resume(struct runtime_api *r, const char id[37]);
/* SIGTERM (when an extension is registered), then SIGKILL; what runs or waits ends with an error; then done. */
void runtime_api_stop(struct runtime_api *r, void (*done)(void *ud), void *ud);
void runtime_api_close(struct runtime_api *r); /* after done(), or before it: kills at once */

/* -- invoke_api: Lambda's own API in front of a runtime_api, for AWS's SDKs and command line: Invoke and
 * InvokeWithResponseStream of one function. Signatures are not looked at: loopback only. */
struct invoke_api_config {
    struct loop *loop;
    const struct log *log;
    int listen_fd; /* not blocking; not closed */
    struct runtime_api *runtime;
    const char *function_name, *arn;
};
struct invoke_api;
int invoke_api_open(const struct invoke_api_config *c, struct invoke_api **ret, struct err *e);
void invoke_api_close(struct invoke_api *a); /* after the runtime_api's stop: nothing may be running */

#endif
