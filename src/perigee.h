/* perigee.h: the public C API of libperigee. Open a host from a SAM template, register Lua modules of your own, serve
 * or handle single requests, close. Nothing here uses globals: several hosts may live in one process.
 *
 *   struct perigee_config c = perigee_defaults();
 *   c.template_path = "config/template.yaml";
 *   struct perigee *p = NULL;
 *   struct err e = {0};
 *   if (perigee_open(&c, &p, &e) || perigee_run(p, &e)) fprintf(stderr, "%s\n", e.msg);
 *   perigee_close(p);
 *
 * Threads: perigee_stop may be called from any thread and from a signal handler; everything else from the thread that
 * opened. */
#ifndef PERIGEE_H
#define PERIGEE_H
#include "base/conf.h"
#include "base/err.h"
#include "base/http.h"
#include "base/log.h"
#include "base/now.h"
#include "local/local.h"
#include "script/script.h"

struct perigee;

struct perigee_config {
    const char *template_path; /* "config/template.yaml" */
    const char *parameters;    /* "Name=Value,Name=Value" for the template; PERIGEE_<NAME_IN_SNAKE_CASE> is read too */
    const char *host;          /* "127.0.0.1" */
    int64_t port, cloud_port;  /* 8080, 4566; 0 picks one; -1: no such port */
    const char *data;          /* NULL: ".perigee"; ignored with memory */
    bool memory;
    int64_t
        workers; /* 0: one a core (at most 16); -1: embedded: no threads of its own, perigee_request spins the loop */
    bool reload, development, feeds;
    const char *lua_dir;
    const char *log_level;               /* "info" */
    const char *access_key, *secret_key; /* the engine's; with aws: credentials that go before all others */
    const char *public_cloud_url;
    const char *keys; /* a file with further pairs of keys that the cloud port takes; NULL: none */
    bool strict_ses;  /* the engine sends mail from verified identities only */
    bool control;     /* /_perigee/cloud/ for whoever reaches the cloud port; with development: for loopback clients */
    bool no_verify;   /* the cloud port takes any signature and none; on loopback only */
    /* AWS, or what speaks its protocols, instead of the embedded engine: no data directory, no cloud port. */
    bool aws;
    const char *session_token;                   /* beside access_key */
    const char *profile, *region, *endpoint_url; /* NULL: environment, then profile */
    const char *account;                         /* NULL: STS is asked */
    const char *stack;                           /* CloudFormation stack that knows the resources' names; NULL: none */
    const char *resources;                       /* "LogicalId=name,LogicalId=name" */
    const char *lease_table;                     /* of schedules; NULL: Metadata.Perigee.LeaseTable */
    bool create;                                 /* declared resources that are missing */
    const char *scratch;                         /* where temporary files go; NULL: $TMPDIR, else /tmp */
    int64_t max_body_bytes, max_instructions, cpu_ms, stop_ms;
    const char *env_file; /* values of declared variables: {"Function":{"NAME":"value"},"Parameters":{...}}; or NULL */
    bool drain;           /* perigee_invoke: then runs the queues until they are empty */
    /* Embedded, on the embedded engine: simulated time from `simulated_ms` on (Unix ms; 0: real time), one thread for
     * all, and with a seed that is not 0 the same "random" numbers, ids and order of events each time. */
    int64_t simulated_ms, seed;
    /* Requests, messages and events are kept, with what they did, in <data>/recordings (docs/replay.md): with `record`,
     * and by a server in development unless no_record. */
    bool record, no_record;
    int64_t record_max_bytes; /* of all; the oldest go first */
    struct conf_list redact;  /* members that are not kept, beside those of the template: "email,customer.name" */
    bool offline;             /* handlers reach nothing outside: http.fetch raises */
    /* not flags */
    struct clock *clock;                 /* NULL: one of the host's own */
    const struct log *log;               /* NULL: JSON lines on stderr at log_level */
    struct buf *cost;                    /* of perigee_invoke: the calls and what they used, as text; NULL: not asked */
    const struct script_module *modules; /* your Lua modules, ended by name == NULL */
    struct perigee_cache *cache;         /* shared by simulated hosts of one thread; NULL: one of the host's own */
    struct script_coverage *coverage;    /* where lines of handlers that run are counted; NULL: nowhere */
};
struct perigee_config perigee_defaults(void);

/* What simulated hosts that are opened one after the other need not do anew: parsed templates, compiled sources, the
 * store as provisioning left it. Kept by content: nobody can tell. Must outlive its hosts. */
struct perigee_cache *perigee_cache_new(void);
void perigee_cache_free(struct perigee_cache *c);

/* Serves the embedded engine on cloud_port alone: no template, no handlers; until SIGTERM or SIGINT. ready(ud, 0,
 * cloud_port) once it answers. */
int perigee_cloud(const struct perigee_config *c, void (*ready)(void *ud, int port, int cloud_port), void *ud,
                  struct err *e);

/* Reads the template, opens the store, creates what the template declares, loads the handlers. */
int perigee_open(const struct perigee_config *c, struct perigee **ret, struct err *e);
/* Serves until perigee_stop, SIGTERM or SIGINT, then stops gracefully. ready (may be NULL) is called once all ports
 * answer. */
int perigee_run(struct perigee *p, void (*ready)(void *ud, int port, int cloud_port), void *ud, struct err *e);
void perigee_stop(struct perigee *p);
void perigee_close(struct perigee *p); /* NULL is fine */

/* Embedded use (workers == -1). The request is answered as over HTTP; blocks by spinning the host's loop. */
int perigee_request(struct perigee *p, bool cloud_port, struct http_request *r, struct http_response *ret,
                    struct err *e);
/* Several at once, each as by perigee_request; -1 when the process died: ret_answered tells which were answered before.
 */
int perigee_requests(struct perigee *p, struct http_request *const *list, size_t n, struct http_response *ret,
                     bool *ret_answered, struct err *e);
/* Runs the queue feeds until every fed queue is empty and no job runs; -1 and why after max_ms. */
int perigee_drain(struct perigee *p, int64_t max_ms, struct err *e);
int perigee_run_schedule(struct perigee *p, const char *name, struct err *e);
/* Simulated hosts. As kill -9 of the process, and its start afterwards: running jobs, polls, Lua states and what they
 * remember are gone, nothing is settled or given back; the cloud keeps what it has, and the clock goes on. -1: the
 * handlers do not load any more. */
int perigee_crash(struct perigee *p, struct err *e);
/* The engine and the simulated clock under a name (local/local.h). What the Lua state remembers is not in it: after a
 * restore the host is as after a start. */
int perigee_snapshot(struct perigee *p, enum local_snapshot what, const char *name, struct err *e);
/* Loads changed sources now. *ret_version: of the code in use. */
int perigee_reload(struct perigee *p, const char **ret_version, struct err *e);

/* AWS Lambda: serves the Runtime API at AWS_LAMBDA_RUNTIME_API with the handler that _HANDLER names, from
 * LAMBDA_TASK_ROOT; everything is read from the environment (docs/lambda.md). Returns the exit code, never 0 unless a
 * SIGTERM ended it. */
int perigee_lambda(void);

/* Runs `function` (its name, or its handler as "orders.create") once with an event document, as `perigee serve` would
 * on the same template and engine. 0 and the answer in *ret; 1: the function failed, *ret is the error document; -1: it
 * was not run, or (with drain) what it queued was not worked off. */
int perigee_invoke(const struct perigee_config *c, const char *function, struct str event, struct buf *ret,
                   struct err *e);
/* A sample event. Members that are NULL, 0 or false are left to what the template's function says, or to a default;
 * those that do not belong to the source are refused. */
struct perigee_event {
    const char *function; /* of the template: its route, queue or schedule */
    /* HTTP */
    const char *method, *path, *query, *body, *body_file, *source_ip;
    struct conf_list headers; /* "Name: value" */
    bool base64, multi_value;
    /* sqs */
    const char *queue, *group;
    struct conf_list messages; /* bodies */
    bool fifo;
    /* schedule, eventbridge */
    const char *schedule, *source, *detail_type, *detail;
    bool now; /* the present time and ids that were never used; else always the same */
};
/* source: "apigw-rest", "apigw-http", "apigw-http-1", "url", "alb", "sqs", "schedule", "eventbridge". The document in
 * *ret. */
int perigee_event(const struct perigee_config *c, const char *source, const struct perigee_event *o, struct buf *ret,
                  struct err *e);
/* The application and the runtime for AWS Lambda in one package (docs/lambda.md, "Packaging"): the same files give the
 * same bytes. What is wrong with the template or handlers, and what was written, is in `report`. */
struct perigee_package {
    const char *out;     /* the ZIP archive; NULL: none */
    const char *dir;     /* a directory that is empty or not there; NULL: none */
    const char *runtime; /* what the target lambda-runtime made; NULL: the one beside this program */
    const char *add;     /* a directory whose files are added; NULL: none */
};
int perigee_package(const struct perigee_config *c, const struct perigee_package *o, struct buf *report, struct err *e);
/* A local Lambda around any bootstrap: what argv[1..argc) names, or `exec` (docs/lambda.md, "A local Runtime API"). */
struct perigee_runtime_api {
    const char *exec, *handler, *task_root; /* the program; _HANDLER; LAMBDA_TASK_ROOT, NULL: the present directory */
    const char *event;                      /* a file, "-": stdin: answered on stdout, then it ends; NULL: serves */
    const char *env;                        /* JSON: {"NAME":"value"}, or {"Function":{...},"Parameters":{...}} */
    const char *function_name, *region;
    int64_t repeat, timeout_s, memory_mb, concurrency;
    int64_t port;         /* of Invoke on 127.0.0.1; 0 picks one; -1: 9001 */
    int64_t runtime_port; /* of the Runtime API; 0 picks one; -1 too, and a program is needed */
};
struct perigee_runtime_api perigee_runtime_api_defaults(void);
/* Until the events are answered, SIGINT or SIGTERM. *ret_failed: the function did, once at least. */
int perigee_runtime_api(const struct perigee_runtime_api *o, int argc, char **argv, bool *ret_failed, struct err *e);
/* Validates template, schemas and handlers without opening a store: 0, or -1 with every problem as a line in `out`. */
int perigee_check(const struct perigee_config *c, struct buf *out, struct err *e);
/* Runs one Lua file (or, path NULL, the chunk `text`) with every binding, on an engine of its own. Returns its exit
 * code. */
int perigee_script(const struct perigee_config *c, const char *path, const char *chunk, struct str text, int argc,
                   char **argv, int *ret_code, struct err *e);

#endif
