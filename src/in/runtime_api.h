/* runtime_api (private to in/): what the two servers of a local Lambda are made of.
 *
 *   runtime_api_http.c      connections: requests in parts, answers in parts, for both servers
 *   runtime_api.c           invocations: queue, delivery, time-outs, ends; open, stop, close
 *   runtime_api_calls.c     the endpoints of 2018-06-01 (runtimes) and 2020-01-01 (extensions)
 *   runtime_api_process.c   the program: spawn, output, memory, exit, kill
 *   runtime_api_report.c    lines of the log, documents of errors
 *   runtime_api_invoke.c    Invoke and InvokeWithResponseStream in front of it */
#ifndef PERIGEE_IN_RUNTIME_API_H
#define PERIGEE_IN_RUNTIME_API_H
#include "in/http1.h"
#include "in/in.h"
#include <sys/types.h>

/* -- connections --------------------------------------------------------------------------------------------------- */

struct api_server;
struct api_conn {
    struct list node;
    struct api_server *server;
    int fd;
    struct loop_fd *watch;
    struct http1 http;
    struct buf in;  /* came before the request at hand was answered */
    struct buf out; /* [sent, n) waits for the peer */
    size_t sent;
    bool active;   /* a head has come that was not answered yet */
    bool complete; /* the request at hand was read whole */
    bool closing;  /* after what waits in `out` */
    bool paused;   /* not read */
    bool dead;
    struct loop_task again; /* reads what waits in `in` */
    void *request;          /* the handler's, of the request at hand; may live in http.arena until the answer */
};
/* All calls come on the loop's thread and may answer. A request is answered once, at or after `end`. */
struct api_handler {
    void (*head)(void *ud, struct api_conn *c);
    void (*body)(void *ud, struct api_conn *c, struct str part);
    void (*end)(void *ud, struct api_conn *c);
    /* The peer went away before the request at hand was answered; nothing may be written any more. */
    void (*gone)(void *ud, struct api_conn *c);
    void (*drained)(void *ud, struct api_conn *c); /* nothing waits for the peer any more; may be NULL */
    void *ud;
};
struct api_server {
    struct loop *loop;
    const struct log *log;
    int listen_fd;
    struct loop_fd *listener;
    struct list conns, dead;
    struct loop_task reap;
    struct api_handler handler;
};
int api_server_open(struct api_server *s, struct err *e); /* loop, log, listen_fd and handler are set */
void api_server_close(struct api_server *s);
void api_server_poll(struct api_server *s); /* reads what has come by now, without waiting */
void api_server_drop(struct api_server *s); /* closes all connections */

/* A header line; what could end it becomes a space. Nothing when the value is empty. */
void api_header(struct buf *b, const char *name, struct str value);
/* The whole answer. `headers` are lines that end in CR LF. Bodies above 2048 bytes go chunked, as Go's servers send
 * what is written without a length, when `as_go`. */
void api_answer(struct api_conn *c, int status, struct str headers, struct str content_type, struct str body,
                bool as_go);
/* {"errorMessage":...,"errorType":...} */
void api_refuse(struct api_conn *c, int status, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* An answer in parts. api_part returns how many bytes wait for the peer. */
void api_begin(struct api_conn *c, int status, struct str headers, struct str content_type);
size_t api_part(struct api_conn *c, struct str bytes);
void api_end(struct api_conn *c);
void api_pause(struct api_conn *c, bool pause);

/* -- the runtime ----------------------------------------------------------------------------------------------------
 */

enum env_state {
    ENV_NONE,    /* no program */
    ENV_STARTED, /* it has not asked for an event yet */
    ENV_READY,   /* it has */
    ENV_FAILED,  /* it said that it cannot be initialised: it is about to end */
    ENV_ENDING,  /* it was killed and has not ended yet */
};
enum invocation_state {
    INVOCATION_QUEUED,
    INVOCATION_RUNNING,    /* delivered */
    INVOCATION_RESPONDING, /* its answer is coming in */
    INVOCATION_SENT,       /* it was answered */
    INVOCATION_EXPIRED,    /* timed out beside others: kept to know its late answer */
};

struct api_call;
struct invocation {
    struct list node;
    struct runtime_api *api;
    char id[37], nonce[37], trace[80]; /* trace: when the event has none */
    struct runtime_event event;
    enum invocation_state state;
    bool begun;    /* START was written, the clock runs */
    bool answered; /* event.done was called */
    bool streaming;
    const char *status;  /* of REPORT; NULL: fine */
    char error_type[80]; /* of REPORT */
    uint64_t start_ns, init_ns;
    int64_t deadline_ms; /* Unix time */
    struct loop_timer deadline;
    struct buf answer;
    struct api_call *answering; /* the request that brings the answer */
};

struct extension {
    struct list node;
    char id[37];
    struct str name;
    bool wants_invoke;
    struct api_call *poll; /* waits in event/next */
};

struct program {
    pid_t pid; /* 0: none */
    int pidfd, out;
    struct loop_fd *watch, *out_watch;
    size_t peak_kb;
};

struct runtime_api {
    struct runtime_api_config cfg;
    struct api_server server;
    struct program program;
    enum env_state state;
    struct list queue, running, polls;
    struct list extensions;
    struct arena env_arena; /* what lives as long as the program */
    struct loop_task dispatch;
    struct loop_timer init, grace;
    uint64_t spawned_ns, init_ns; /* init_ns: not told in a REPORT yet */
    bool init_late;               /* the next program has the invocation's time for its initialisation */
    bool stopping;
    void (*stopped)(void *ud);
    void *stopped_ud;
    struct loop_task tell_stopped;
    struct buf tail;
};

/* runtime_api.c */
void runtime_dispatch(struct runtime_api *r); /* soon */
size_t runtime_running(const struct runtime_api *r);
struct invocation *runtime_find(struct runtime_api *r, struct str id);
/* Calls event.done. error_type NULL: success. */
void invocation_answer(struct invocation *v, const char *error_type, struct str content_type, struct str body);
void invocation_fail(struct invocation *v, const char *error_type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void invocation_end(struct invocation *v); /* END, REPORT; frees it */
void invocation_free(struct invocation *v);
void runtime_initialized(struct runtime_api *r);
void runtime_init_failed(struct runtime_api *r, const char *error_type, struct str content_type, struct str body);
void runtime_exited(struct runtime_api *r, int status);
void runtime_kill(struct runtime_api *r); /* it has ended when runtime_exited is called */

/* runtime_api_calls.c */
extern const struct api_handler runtime_calls;
void runtime_deliver(struct runtime_api *r, struct invocation *v);
bool runtime_has_poll(const struct runtime_api *r);
void runtime_forget_call(struct api_call *c); /* its invocation is gone */
void runtime_resume_call(struct api_call *c);

/* runtime_api_process.c */
int program_start(struct runtime_api *r, struct err *e);
void program_signal(struct runtime_api *r, int signum);
void program_drain(struct runtime_api *r); /* what it has written by now */
size_t program_peak_kb(struct runtime_api *r);
void program_close(struct runtime_api *r); /* kills and waits */

/* runtime_api_report.c */
void report_bytes(struct runtime_api *r, struct str bytes);
void report_line(struct runtime_api *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void report_start(const struct invocation *v);
void report_end(struct invocation *v);
void report_init(struct runtime_api *r, const char *status, const char *error_type);
void report_error(struct buf *b, const char *type, struct str message);
/* "Runtime exited with error: exit status 1" */
void report_exit_reason(int status, char *out, size_t n);
/* The type as Lambda's logs have it: (Runtime|Function).Name, else Function.Unknown or Runtime.Unknown. */
void report_error_type(struct str given, char out[80]);

#endif
