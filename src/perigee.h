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
#include "base/err.h"
#include "base/http.h"
#include "base/log.h"
#include "base/now.h"
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
    /* not flags */
    struct clock *clock;                 /* NULL: one of the host's own */
    const struct log *log;               /* NULL: JSON lines on stderr at log_level */
    const struct script_module *modules; /* your Lua modules, ended by name == NULL */
};
struct perigee_config perigee_defaults(void);

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
/* Runs the queue feeds until every fed queue is empty and no job runs; -1 and why after max_ms. */
int perigee_drain(struct perigee *p, int64_t max_ms, struct err *e);
int perigee_run_schedule(struct perigee *p, const char *name, struct err *e);
/* Loads changed sources now. *ret_version: of the code in use. */
int perigee_reload(struct perigee *p, const char **ret_version, struct err *e);

/* AWS Lambda: serves the Runtime API at AWS_LAMBDA_RUNTIME_API with the handler that _HANDLER names, from
 * LAMBDA_TASK_ROOT; everything is read from the environment (docs/lambda.md). Returns the exit code, never 0 unless a
 * SIGTERM ended it. */
int perigee_lambda(void);

/* Runs `function` once with an event document, as `perigee serve` would on the same template and engine. 0 and the
 * answer in *ret; 1: the function failed, *ret is the error document; -1: it could not be run. */
int perigee_invoke(const struct perigee_config *c, const char *function, struct str event, struct buf *ret,
                   struct err *e);
/* Validates template, schemas and handlers without opening a store: 0, or -1 with every problem as a line in `out`. */
int perigee_check(const struct perigee_config *c, struct buf *out, struct err *e);
/* Runs one Lua file (or, path NULL, the chunk `text`) with every binding, on an engine of its own. Returns its exit
 * code. */
int perigee_script(const struct perigee_config *c, const char *path, const char *chunk, struct str text, int argc,
                   char **argv, int *ret_code, struct err *e);

#endif
