/* lambda (private to in/): the parts of the Runtime API client. lambda.c has the life of a slot, lambda_conn.c one
 * connection, lambda_event.c what an event's head says, lambda_error.c error documents, lambda_stream.c answers in
 * parts, lambda_extension.c what brings SIGTERM. */
#ifndef PERIGEE_IN_LAMBDA_H
#define PERIGEE_IN_LAMBDA_H
#include "in/http1.h"
#include "in/in.h"
#include <sys/socket.h>

/* == one connection: one request at a time, kept alive ==============================================================
 */

enum { LAMBDA_EVENT_MAX = 32 << 20, LAMBDA_KEEP_BYTES = 64 << 10 };

struct lambda_address {
    struct sockaddr_storage at;
    socklen_t n;
    const char *text; /* "host:port", for Host: and messages; borrowed */
};
/* host:port; a name is looked up, which blocks. */
int lambda_resolve(const char *api, struct lambda_address *ret, struct err *e);

/*  CLOSED -> CONNECTING -> SENDING -> WAITING -> IDLE -> SENDING ...
 *     ^            |          |          |         |
 *     +------------+----------+----------+---------+   broken, or closed by the peer */
enum lambda_conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_SENDING, CONN_WAITING, CONN_IDLE };
struct lambda_conn {
    enum lambda_conn_state state;
    struct loop *loop;
    const struct lambda_address *to;
    int fd;
    struct loop_fd *watch;
    struct http1 answer;       /* status and headers of the last answer, until the next call */
    struct buf body;           /* of it */
    struct buf out;            /* to be sent: the head of the request; of a stream, what waits */
    struct str rest;           /* to be sent behind it; borrowed until done */
    size_t sent;               /* of out and rest together */
    bool open_end;             /* a stream: more is to come, lambda_conn_end follows */
    void (*drained)(void *ud); /* of a stream: all that waited was sent; may be NULL */
    struct loop_task told;     /* done is always told by the loop */
    struct err err;
    void (*done)(void *ud, const struct err *e);
    void *ud;
};
void lambda_conn_init(struct lambda_conn *c, struct loop *loop, const struct lambda_address *to);
/* No done any more; usable again. */
void lambda_conn_close(struct lambda_conn *c);
void lambda_conn_free(struct lambda_conn *c);
/* Sends c->out and then `rest`, on the connection that is open or a fresh one; done(ud, NULL) when the answer is there
 * (c->answer, c->body), or why not: then the connection is closed. done never runs before this has returned. */
void lambda_conn_call(struct lambda_conn *c, struct str rest, void (*done)(void *ud, const struct err *e), void *ud);
/* The same for a request of which only the head is known (in c->out). done may come before the end. */
void lambda_conn_begin(struct lambda_conn *c, void (*done)(void *ud, const struct err *e), void *ud);
size_t lambda_conn_chunk(struct lambda_conn *c, struct str bytes); /* returns how many wait */
void lambda_conn_end(struct lambda_conn *c, struct str trailers);  /* lines, each with CR LF */

/* == one event ======================================================================================================
 */

struct lambda_event {
    struct arena arena; /* also lives as the invocation's */
    struct buf payload;
    struct str id, nonce; /* nonce: Lambda-Runtime-Invocation-Id */
    struct script_invocation invocation;
    char trace_id[33];
    uint32_t timeout_ms; /* 0: none is known */
};
/* What every invocation of this process has in common. */
struct lambda_constants {
    struct str function_version, log_group, log_stream;
};
/* From the head of the answer to /next, received at now_ms. */
int lambda_event_read(struct lambda_event *ev, const struct http1 *head, const struct lambda_constants *all,
                      int64_t now_ms, struct err *e);
void lambda_event_clear(struct lambda_event *ev);
void lambda_event_free(struct lambda_event *ev);
/* Time that the handler has, so that its error still reaches Lambda before the deadline. */
uint32_t lambda_event_timeout(int64_t deadline_ms, int64_t now_ms);
/* W3C trace id of "Root=1-5759e988-bd862e3fe1be46a994272793;...", else of the request's id. */
void lambda_trace_id(struct str xray, struct str id, char ret[33]);

/* == errors =========================================================================================================
 */

struct lambda_failure {
    const struct err *err;
    struct str type;      /* what is none of Lambda's is replaced by one of the error's code; may be empty */
    struct str traceback; /* as the script writes it, may be empty */
    struct str id;        /* of the invocation, may be empty */
};
/* "Function.HandlerError": matches (Runtime|Function)\.[A-Z][a-zA-Z]+ whatever is given. */
void lambda_error_type(struct buf *b, const struct lambda_failure *f);
/* {"errorMessage","errorType","stackTrace"} */
void lambda_error_body(struct buf *b, const struct lambda_failure *f);
/* The same in max bytes: without its outer frames, and of a long message its beginning. */
void lambda_error_short(struct buf *b, const struct lambda_failure *f, size_t max);
/* The value of Lambda-Runtime-Function-XRay-Error-Cause: one line of ASCII JSON, at most 8 KiB. */
void lambda_error_cause(struct buf *b, const struct lambda_failure *f);
/* The answer of a call that was not taken, for logs: "InvalidRequestID: ..." or the body's beginning. */
struct str lambda_refusal(const struct lambda_conn *c);

/* == requests =======================================================================================================
 */

/* Begins c->out: request line, Host, User-Agent. path: below /2018-06-01/runtime unless it begins with '/'. */
void lambda_request(struct lambda_conn *c, const char *method, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void lambda_header(struct lambda_conn *c, const char *name, struct str value); /* nothing for an empty value */
void lambda_length(struct lambda_conn *c, size_t n);                           /* and the end of the head */

/* == a slot: one connection, one invocation at a time ===============================================================
 */

/*                                              +--+ broken or 5xx, once: on a fresh connection
 *                                              v  |
 *  POLLING --event--> RUNNING --outcome--> ANSWERING --202, 4xx--> RESTING --> POLLING     any -> STOPPED
 *   ^  |  \                                    ^
 *   |  |   +--an event that was answered-------+
 *   |  broken
 *   |  v
 *  PAUSED            (an answer in parts begins while RUNNING) */
enum slot_state { SLOT_STOPPED, SLOT_POLLING, SLOT_PAUSED, SLOT_RUNNING, SLOT_ANSWERING, SLOT_RESTING };
struct lambda_slot {
    enum slot_state state;
    struct lambda *l;
    struct lambda_conn conn;
    struct lambda_event event;
    struct loop_timer pause;
    struct loop_hook after; /* while RESTING waits for a job's end */
    unsigned broken;        /* polls in a row that failed */
    struct route_run *run;
    /* the answer, kept until it is known to have arrived */
    struct buf body, type, cause; /* type empty: a response; else an error */
    bool retried;
    struct buf key; /* of the event that `body` answers: id, nonce, deadline; empty: it has arrived */
    unsigned repeats;
    struct http_stream stream;
    bool streamed; /* the answer has begun to leave in parts */
};
struct lambda {
    struct lambda_config c;
    struct lambda_address to;
    struct lambda_constants constants;
    struct lambda_slot *slots;
    uint32_t n_slots;
    struct buf poll; /* the request for /next */
    bool stopping, failed;
    struct err err;
    struct lambda_conn extension;
    void (*ready)(struct lambda *l); /* the extension is there, or is not */
    struct loop_signal *signal;
    char *trace_variable; /* in the environment; its value is changed in place */
};
/* -- lambda.c -- */
void lambda_fail(struct lambda *l, const struct err *e); /* the run ends with this */
void lambda_stop(struct lambda *l);                      /* running invocations end, then the run */
/* The head of POST /response or /error of the slot's event, without what says how long it is. */
void lambda_slot_request(struct lambda_slot *s, const char *what);
/* The answer to it is there, or the connection is broken. */
void lambda_slot_answered(void *ud, const struct err *e);
/* Sends s->body, as an error when s->type says one. */
void lambda_slot_post(struct lambda_slot *s);
void lambda_slot_set_error(struct lambda_slot *s, const struct lambda_failure *f);
/* -- lambda_stream.c -- */
void lambda_stream_init(struct lambda_slot *s);
/* The handler has ended; f: by an error. */
void lambda_stream_end(struct lambda_slot *s, const struct lambda_failure *f);
/* The answer came, or the connection broke, before the end: nobody reads what the handler writes. It is cancelled. */
void lambda_stream_answered(struct lambda_slot *s, const struct err *e);
/* -- lambda_extension.c -- */
/* Registers, then ready(l): also when Lambda does not want it. */
void lambda_extension_open(struct lambda *l, void (*ready)(struct lambda *l));

#endif
