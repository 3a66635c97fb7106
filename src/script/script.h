/* script: all of Lua. One struct script a worker thread: a lua_State, the handlers loaded into it, and the jobs running
 * in it.
 *
 * Who calls it: route (starts jobs), perigee.c (opens, loads versions, runs scripts and busted).
 * A job is one request, message or event; it runs as a coroutine; every host call that can wait yields. It ends by
 * exactly one reply. NEW -> RUNNING <-> WAITING -> DONE | CANCELLED Limits a job: Timeout (wall time, from the
 * template), CPU time (of the job itself; it is preempted every few ms so that others run), memory (MemorySize), AWS
 * calls, optionally VM instructions. Passing one ends the job with ERR_LIMIT or ERR_TIMEOUT; nothing else is harmed.
 * Ownership: inputs are borrowed until the reply; replies are handed over. Threads: all calls on the worker's thread
 * but script_watch_tick. Failure: a handler's error is a reply, never a failure of the host. */
#ifndef PERIGEE_SCRIPT_H
#define PERIGEE_SCRIPT_H
#include "aws/aws.h"
#include "base/function.h"
#include "base/http.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/now.h"

struct script;
struct lua_State;
struct fetch_client;

struct script_limits {
    uint64_t cpu_ms;       /* of one job in all; 0: its Timeout */
    uint64_t slice_ms;     /* preempt after so long; 0: 10 */
    uint64_t instructions; /* 0: not counted */
    uint64_t load_ms;      /* of one function's module; 0: 10000 */
    uint64_t state_bytes;  /* of the whole lua_State; 0: 512 MiB */
    uint32_t aws_calls;    /* a job; 0: 1000 */
    uint32_t jobs;         /* running at once; more get ERR_UNAVAILABLE; 0: 10000 */
};

struct script_config {
    struct loop *loop;
    struct aws_backend *backend;
    struct fetch_client *fetch; /* of base/fetch.h, on this loop; NULL: there is no HTTP client here */
    struct pool *pool;
    struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
    struct script_limits limits;
    const char *cpath;    /* where C modules are looked for first, as in package.cpath; NULL: nowhere else */
    const char *lua_dir;  /* a directory whose perigee modules override the embedded modules; NULL: none */
    const char *root_dir; /* what handlers may read through perigee.file / schemas: the project's directory (parent of
                             the template's) */
    const char *scratch_dir; /* below it handlers may keep files (BodyFile, ToFile of S3 calls); NULL: nowhere */
    bool development;        /* error replies carry tracebacks (route decides who sees them) */
    bool trusted; /* `perigee run` / `perigee test`: whole standard library, no sandbox, no limits; waits outside a job
                     spin the loop */
    bool keeps_compiled; /* what was compiled is kept with the sources, which no other thread uses */
    uint64_t seed;       /* of the order in which pairs goes; 0: it is another one in each state */
    /* Further modules: luaopen functions as void * (perigee.h's perigee_module), ended by name == NULL. */
    const struct script_module *modules;
    struct script_coverage
        *coverage; /* where lines that run are counted; a trusted state only keeps it. NULL: nowhere */
};
struct script_module {
    const char *name;
    int (*open)(struct lua_State *L);
};

int script_open(const struct script_config *c, struct script **ret, struct err *e);
/* Cancels what runs (each job still gets its reply, ERR_CANCELLED), then closes the state. */
void script_close(struct script *s);
size_t script_jobs(const struct script *s); /* running now */
/* Bytes in use by the Lua state. */
uint64_t script_memory(const struct script *s);

/* -- coverage ---- */
/* Which lines of handlers run, in all states that were given it. Of one thread; outlives them. Nothing is counted
 * before script_coverage_start, nor in states that were opened before. */
struct script_coverage;
struct script_covered {
    struct str path, text; /* absolute; one path has a file for each content that was loaded */
    bool of_handlers;      /* below a function's code directory; else of lua_dir */
    size_t n_lines;
    bool *active;   /* [1..n_lines]: has code that can run */
    uint64_t *hits; /* [1..n_lines]: how often it was begun */
};
struct script_coverage *script_coverage_new(void);
void script_coverage_free(struct script_coverage *c); /* NULL is fine */
void script_coverage_start(struct script_coverage *c);
size_t script_coverage_files(const struct script_coverage *c, const struct script_covered *const **ret);

/* -- versions ---- */
/* A source set is an immutable snapshot of every .lua file below the functions' code directories (and lua_dir), and
 * the .json files below root_dir/config/schemas, with a version (16 hex digits, a hash of names and contents). All
 * workers load the same snapshot; loading happens beside the present version; which one new jobs use is decided by
 * script_use. Running jobs finish on theirs. */
struct script_sources;
int script_sources_read(const struct function *functions, size_t n, const char *lua_dir, const char *root_dir,
                        struct script_sources **ret, struct err *e);
/* The same for files that nobody changes, as in a package: they are found now and read when they are first asked for.
 * For the states of one thread. No directories to watch; the version is what the caller says, cut to 16 bytes. */
int script_sources_list(const struct function *functions, size_t n, const char *lua_dir, const char *root_dir,
                        const char *version, struct script_sources **ret, struct err *e);
struct script_sources *script_sources_ref(struct script_sources *s); /* thread-safe counts */
void script_sources_unref(struct script_sources *s);
bool script_sources_same(const struct script_sources *x, const struct script_sources *y); /* the same files */
const char *script_sources_version(const struct script_sources *s);
/* The directories to be watched for changes. */
size_t script_sources_dirs(const struct script_sources *s, const char *const **ret);
/* Compiles and runs the modules of every function (each function has its own module instances, globals and environment
 * variables; perigee.* is shared) and resolves its Handler. e: "handlers/orders.lua:12: ..." with the traceback in
 * *traceback (may be NULL). The loaded version waits as `prepared`; the present one stays in use. */
int script_load(struct script *s, struct script_sources *sources, const struct function *functions, size_t n,
                struct buf *traceback, struct err *e);
/* The same of what is known to load: the modules of each function are loaded when it first runs, as in Lambda. */
int script_load_later(struct script *s, struct script_sources *sources, const struct function *functions, size_t n,
                      struct err *e);
/* What states of the same sources share, one after the other on one thread: with script_config.keeps_compiled. */
void *script_shared(struct script *s, struct str name); /* NULL: nothing of that name */
/* Until the sources go; without keeps_compiled it is released at once. */
void script_share(struct script *s, struct str name, void *object, void (*release)(void *object));
/* Makes the prepared version the present one; drops the prepared one instead when `use` is false. */
void script_commit(struct script *s, bool use);
const char *script_version(const struct script *s); /* of the present version, "" before the first */

/* -- jobs ---- */
enum script_kind { SCRIPT_HTTP, SCRIPT_MESSAGE, SCRIPT_EVENT };

struct script_param { /* of a route: {id} */
    struct str name, value;
};

struct script_message {         /* one queue message */
    struct str id, body, queue; /* queue: physical name */
    int64_t receive_count, sent_ms;
    struct json attributes;    /* {name: {DataType, StringValue|BinaryValue}} as SQS JSON has them */
    struct str correlation_id; /* from the body's correlation_id or an attribute; may be empty */
};

/* What only AWS Lambda says of an invocation; context.* in Lua. Members may be empty. */
struct script_invocation {
    struct str arn, client_context, identity, tenant_id;      /* the two in the middle: JSON texts */
    struct str function_version, log_group, log_stream, xray; /* xray: the trace header as received */
    int64_t deadline_unix_ms;
};

struct script_job {
    enum script_kind kind;
    const struct function *function;
    struct str request_id, trace_id;
    struct str aws_request_id;                  /* of the invocation that this is part of; empty: request_id */
    uint32_t timeout_ms;                        /* 0: the function's Timeout */
    const struct script_invocation *invocation; /* NULL: not on Lambda */
    /* The AWS document that this came as: request.event. NULL: make_document makes it of the job when a handler asks
     * (HTTP only; possibly after the reply: make_ud outlives the script). */
    const struct json *document;
    int (*make_document)(void *ud, const struct script_job *job, struct arena *a, struct json *ret, struct err *e);
    void *make_ud;
    /* SCRIPT_HTTP: where a handler's stream goes; NULL: it is gathered and is the answer's body. */
    struct http_stream *stream;
    /* SCRIPT_HTTP */
    struct http_request *http;
    struct str path; /* decoded */
    const struct script_param *params;
    size_t n_params;
    /* SCRIPT_MESSAGE */
    const struct script_message *message;
    /* SCRIPT_EVENT */
    struct json event; /* e.g. a schedule's {source, time, resources, detail} or its Input */
};

struct script_reply {
    struct err
        err; /* ERR_NONE: the handler returned. Else what stopped it (SCRIPT, LIMIT, TIMEOUT, CANCELLED, UNAVAILABLE) */
    struct str traceback;       /* with source lines, when err.code is SCRIPT or LIMIT; valid during the call */
    struct http_response *http; /* SCRIPT_HTTP without err: take its body, head, file over; NULL when it was streamed */
    bool streamed;              /* the stream has begun: the reply is its end; with err the rest is missing */
    struct json value; /* SCRIPT_EVENT without err: what the handler returned (null: nothing); valid during the call */
    struct str error_type; /* of an error table that was raised: its code; else empty */
    const char *version;   /* of the code that ran */
};
typedef void script_reply_fn(void *ud, struct script_reply *r);

/* Starts a job and runs it until it waits or ends. reply is called exactly once on this thread, possibly before
 * script_start returns: then 1 is returned and *ret_handle is not set; else 0 and *ret_handle, valid until the reply.
 * What the handler registered with context:after(fn) runs after the reply in the same job (borrowed input is copied
 * before). */
struct script_handle;
int script_start(struct script *s, const struct script_job *job, script_reply_fn *reply, void *ud,
                 struct script_handle **ret_handle);
/* The client is gone or the host stops: the job is cancelled, reply is NOT called. AWS calls in flight are abandoned
 * (writes still happen). */
void script_cancel(struct script *s, struct script_handle *h);

/* Who looks on: of each job its start, its answer (before the caller has it, who may be gone) and its end, which is
 * later when it has left something to run after the reply. `serial`: aws_context.job of the calls that it makes. All is
 * borrowed for the time of the call. replied may be NULL. */
struct script_observer {
    void (*began)(void *ud, uint64_t serial, const struct script_job *job);
    void (*replied)(void *ud, uint64_t serial, const struct script_job *job, const struct script_reply *reply);
    void (*ended)(void *ud, uint64_t serial);
    void *ud;
    struct script_observer *next; /* private */
};
/* Several may look on. It stays with its caller, until script_unobserve or script_close. */
void script_observe(struct script *s, struct script_observer *o);
void script_unobserve(struct script *s, struct script_observer *o);
/* The sources of the version in use, and each of their files: its path as tracebacks have it, and its text. */
const struct script_sources *script_sources_in_use(const struct script *s);
void script_sources_each(const struct script_sources *s, void (*fn)(void *ud, struct str path, struct str text),
                         void *ud);

/* Between invocations, when nobody waits for the answer: collects garbage when enough has come together that Lua would
 * soon begin by itself, while somebody waits. Nothing while jobs run. */
void script_rest(struct script *s);

/* Called by a host thread every few ms: interrupts a job that has run a whole slice. Any thread. */
void script_watch_tick(struct script *s);
/* For a host without such a thread, on the thread that runs the jobs: a timer of its CPU time ticks instead (4 ms, no
 * call an event, none while nothing runs), until script_close. */
int script_watch_self(struct script *s, struct err *e);

/* `perigee run` and `perigee test`: runs a chunk with `arg` set; waits spin the loop. Returns the exit code. */
int script_run_file(struct script *s, const char *path, int argc, char **argv, struct err *e);
int script_run_text(struct script *s, const char *chunk_name, struct str text, int argc, char **argv, struct err *e);

/* -- for Lua modules written in C (script_module) ---------------------------------------------------------------------
 */
const struct script_config *script_config_of(struct lua_State *L); /* of the state that L belongs to */
/* conv: exact conversion between Lua values and json documents. Both may raise (stack, memory): the arena must be owned
 * by a userdata. */
void script_push_json(struct lua_State *L, const struct json *v);
/* -1 and e naming the path when a number of the document has no Lua value (an integer out of int64, 1e999):
 * script_push_json would raise. */
int script_check_json(const struct json *v, struct err *e);
/* Value at idx -> json in a; -1 and e naming the path ("$.lines[2].price: functions cannot be encoded") instead of
 * raising. */
int script_to_json(struct lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e);
/* Pushes nil and the error table {code,message,status,retryable,service,action,request_id,...} with __tostring;
 * returns 2. */
int script_push_err(struct lua_State *L, const struct err *e, const char *service, const char *action,
                    const char *request_id, const struct json *more);

#endif
