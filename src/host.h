/* host (private to perigee.c and host_*.c): what a host is made of, and the parts that share it.
 *
 *   perigee.c        open, close, run: shared parts (template, cloud, pool), provisioning, the coordinator's loop
 *   host_cloud.c     the embedded engine or AWS: nobody else knows which it is
 *   host_aws.c       account and names of what is deployed on AWS
 *   host_engine.c    `perigee cloud`: the engine's port alone
 *   host_worker.c    one worker: loop, store connection, Lua state, route, servers, feeds; start, stop
 *   host_reload.c    file watching and the two-phase change of versions over all workers
 *   host_provision.c template -> CreateTable, CreateQueue, CreateBucket
 *   host_fetch.c     the HTTP client, opened at first need; the directory of temporary files
 *   host_inspect.c   what the doctor looks at
 *   host_embed.c     embedded use: requests, drain, schedules on the caller's thread
 *   host_cache.c     what simulated hosts share
 *   host_simulate.c  embedded use in simulated time: drain, crash, snapshots
 *   host_lambda.c    the host as a Lambda runtime, without template and engine
 *   host_invoke.c    one event through one function
 *   host_functions.c Lambda's Invoke on the cloud port, for tests
 *   host_event.c     sample events
 *   host_connect.c   the Lua module perigee.connection: AWS calls of commands
 *   host_runtime_api.c `perigee runtime-api`: a local Lambda around any bootstrap
 *   host_record.c    which jobs are recorded, and as what
 *   host_replay.c    what perigee.host offers to `perigee log` and `perigee replay`
 *   host_probe.c     the probe of an embedded host, and what perigee.host offers of it: faults, calls, costs, order
 *   host_calls.c     what is kept of calls and runs
 *   host_cost.c      what an invocation used, as a table
 *   host_documents.c event documents, answers and variables, for tests that run the application elsewhere
 *   host_lua.c       the Lua module perigee.host over the embedded use */
#ifndef PERIGEE_HOST_H
#define PERIGEE_HOST_H
#include "app/app.h"
#include "aws/aws.h"
#include "base/crypto.h"
#include "in/in.h"
#include "local/local.h"
#include "perigee.h"
#include "probe/probe.h"
#include "remote/remote.h"
#include <pthread.h>
#include <stdlib.h>

#define PERIGEE_DATA ".perigee" /* the engine's directory when none is named */

/* -- the cloud: the embedded engine or AWS --------------------------------------------------------------------------
 */

struct cloud { /* shared by all workers; one of the two is set */
    struct local *local;
    struct remote *remote;
};
struct cloud_conn { /* a worker's; does not move */
    struct loop *loop;
    struct local_conn *local;
    struct remote_conn *remote;
    struct list probes; /* waiting for the answer of probe */
    struct aws_call *probe;
    uint64_t probed_ms; /* 0: not yet */
    struct err probe_err;
};
struct cloud_config {
    const struct perigee_config *config;
    struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
    struct pool *pool; /* for files of the embedded engine; NULL: its own */
    bool threadless;   /* local_config's, as is */
    struct str image;
};
/* Options that contradict each other, or would be ignored. */
int cloud_check(const struct perigee_config *c, struct err *e);
/* No network. */
int cloud_open(struct cloud *c, const struct cloud_config *cfg, struct err *e);
void cloud_close(struct cloud *c); /* all connections must be detached */
struct str cloud_queue_base(const struct cloud *c);
int cloud_attach(const struct cloud *c, struct loop *loop, struct cloud_conn *ret, struct err *e);
bool cloud_is_attached(const struct cloud_conn *c);
void cloud_detach(struct cloud_conn *c); /* spins the loop until abandoned calls have come back */
struct aws_backend *cloud_backend(const struct cloud_conn *c);
/* Readiness: fn(ud, NULL or why not), now or later: the engine can commit; AWS knows us (asked every 5 s at most). */
void cloud_probe(struct cloud_conn *c, const struct app *app, void (*fn)(void *ud, const struct err *e), void *ud);
/* A call with one member as its parameters. */
struct aws_call *cloud_look(enum aws_op op, const char *member, struct str name);
bool cloud_is_missing(const struct err *e); /* no such table, queue or bucket */
bool cloud_is_denied(const struct err *e);  /* we are known, but may not */

/* What the template cannot say: where it is deployed, and how its resources are called there. Zeroes: the embedded
 * engine's. */
struct deployment {
    struct arena arena;
    const char *region, *account, *partition, *queue_base, *stack; /* NULL: the engine's */
    struct str caller;                                             /* our ARN; empty: unknown */
    struct app_name *names;
    size_t n_names;
};
/* Asks STS and CloudFormation; credentials must be there (remote_prepare). */
int deployment_find(struct cloud *cloud, const struct perigee_config *c, struct loop *loop, const struct log *log,
                    struct deployment *ret, struct err *e);
void deployment_free(struct deployment *d);

/* The host's HTTP client: opened with the first request, for nobody pays for it who fetches nothing. */
struct host_fetch {
    struct fetch_client client;
    struct loop *loop;
    struct remote_http *http;
};
void host_fetch_init(struct host_fetch *f, struct loop *loop);
void host_fetch_close(struct host_fetch *f);

/* A private directory below `parent` (NULL: $TMPDIR or /tmp), for objects on their way to and from files. */
struct scratch {
    char path[4096]; /* empty: none */
};
int scratch_open(struct scratch *s, const char *parent, struct err *e);
void scratch_close(struct scratch *s); /* removes it with all that is in it */

struct worker {
    struct perigee *host;
    size_t index;
    struct loop *loop;
    struct cloud_conn conn;
    struct probe *probe;          /* around conn's backend; NULL: nobody looks */
    struct calls *calls;          /* what perigee.host keeps of them; NULL: nothing */
    bool died;                    /* by a fault of the probe: what is going on ends, worker_crash is next */
    struct worker_record *record; /* NULL: nobody keeps what jobs do */
    struct host_fetch fetch;
    struct script *script;
    struct route *route;
    struct server *http, *cloud;
    struct feed **feeds;
    size_t n_feeds;
    struct clock_feed *clock;
    struct metrics *metrics;
    pthread_t thread;
    bool started;
    /* start-up hand-shake */
    enum { WORKER_IDLE, WORKER_READY, WORKER_FAILED, WORKER_ENDED } state; /* under host->lock */
    struct err err;
    /* stopping */
    struct loop_task stop_task;
    struct loop_timer grace, late;
    size_t stopping; /* parts that have not called done yet */
    bool stop_seen;
    /* reload */
    struct loop_task load_task, commit_task;
    uint64_t prepared; /* epoch of the version waiting, 0: none */
    struct buf traceback;
    struct err load_err;
};

struct reload {
    struct loop_watch **watches;
    size_t n_watches;
    struct buf watched; /* their directories, a line each */
    bool stale;         /* a watched directory itself was moved or removed */
    bool lost;          /* some could not be watched */
    bool unreadable;    /* the sources could not be read the last time */
    struct loop_timer debounce, retry;
    struct script_sources *sources; /* in use */
    struct script_sources *next;    /* being loaded */
    uint64_t epoch;                 /* of next */
    _Atomic uint64_t active;        /* epoch that workers are to use */
    _Atomic size_t waiting;         /* workers still loading */
    struct loop_task loaded;        /* on the coordinator's loop */
    bool busy, again;
    char failed[17]; /* version that was refused last: reported once */
    struct loop_watch *template_watch;
    struct loop_timer template_debounce;
    uint8_t template_in_use[32], template_seen[32]; /* SHA-256 */
};

/* Of a simulated host; else zeroes. */
struct simulation {
    bool on;
    struct crypto_source source; /* with a seed */
    struct perigee_cache *cache, *own_cache;
    const struct provisioned *provisioned; /* what the store begins with; NULL: with nothing */
    struct simulation_kept *kept;          /* the sources as they were when snapshots were taken */
};

/* -- host_cache.c ---------------------------------------------------------------------------------------------------
 */
/* The same app, or a new one that the cache then keeps; host_load_app otherwise. It is given back, not freed. */
int cache_app(struct perigee_cache *c, const struct perigee_config *config, struct arena *a, struct buf *problems,
              struct app **ret, struct err *e);
void cache_give_app(struct perigee_cache *c, struct app *app);
/* The store as provisioning left it, and the random numbers that come next. NULL: not known yet. */
struct provisioned {
    int64_t unix_ms, seed;
    struct buf image;
    struct crypto_source source;
};
const struct provisioned *cache_provisioned(struct perigee_cache *c, const struct app *app, int64_t unix_ms,
                                            int64_t seed);
void cache_keep_provisioned(struct perigee_cache *c, const struct app *app, struct provisioned *p); /* takes it over */
/* Whether these sources are known to load with this app, which the cache has; says so from now on. */
bool cache_is_loadable(struct perigee_cache *c, const struct app *app, const struct script_sources *s);
void cache_loadable(struct perigee_cache *c, const struct app *app, struct script_sources *s);
/* Takes `s` over; a reference to it, or to what is the same and is kept. */
struct script_sources *cache_sources(struct perigee_cache *c, struct script_sources *s);

struct perigee {
    struct perigee_config config;
    struct arena arena;
    struct log own_log;
    const struct log *log;
    struct clock own_clock;
    struct clock *clock;
    struct app *app;
    const char *root; /* the project's directory: parent of the template's */
    struct pool *pool;
    struct cloud cloud;
    struct deployment deployment;
    struct clock_lease lease; /* backend: each worker's own */
    struct scratch scratch;
    struct loop *loop; /* the coordinator's */
    struct worker *workers;
    size_t n_workers;
    struct metrics **metrics; /* one a worker */
    int listen_fd, cloud_fd;
    struct server_share share, cloud_share;
    int port, cloud_port;
    struct reload reload;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct loop_task stop;
    struct loop_timer tick;
    struct simulation simulation;
    struct record_file *recordings; /* of all workers; NULL: nothing is recorded */
    const struct str *record_secrets;
    struct loop_signal *sigterm, *sigint;
    int stop_fd[2]; /* self-pipe: perigee_stop is async-signal-safe */
    struct loop_fd *stop_watch;
    bool embedded;
};

/* A variable of the process; empty counts as not set. */
static inline const char *host_env(const char *name, const char *otherwise) {
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}
enum local_control host_control(const struct perigee_config *c);
/* no_verify is refused off loopback, and said in the log. */
int host_check_verify(const struct perigee_config *c, const struct log *log, struct err *e);
/* What requests may need is looked for before the first of them, not by it. */
int host_load_libraries(struct err *e);
int host_check_account(const struct perigee_config *c, struct err *e); /* 12 digits */
size_t host_worker_count(const struct perigee_config *c);

/* d may be NULL. */
int host_load_app(const struct perigee_config *c, const struct deployment *d, struct arena *a, struct buf *problems,
                  struct app **ret, struct err *e);
/* One of its queues asks for ReportBatchItemFailures. */
bool host_reports_failures(const struct app *app, const struct function *f);
struct str host_function_arn(struct arena *a, const struct aws_identity *own, const struct function *f);
/* Lambda's API on the cloud port: false: the request is not for it. Else reply is called once, now or later. */
bool host_functions(struct worker *w, struct http_request *r, http_reply_fn *reply, void *ud);
/* By its name, or that of its function. */
int host_find_schedule(const struct app *app, const char *name, const struct app_schedule **ret, struct err *e);
/* What it gives to its function now, with the id of that run. */
int host_schedule_event(struct perigee *p, const struct app_schedule *s, struct arena *a, char id[37], struct json *ret,
                        struct err *e);
/* By name, or by the handler that only it has. NULL: e says what there is. */
const struct function *host_find_function(const struct app *app, const char *name, struct err *e);
/* Changes the values of declared variables, as the JSON file says (perigee_config.env_file). */
int host_apply_env(const char *path, struct app *app, struct err *e);
/* Reads the file of --env and hands it to `use`. */
int host_env_file(const char *path, int (*use)(void *ud, const struct json *doc, struct err *e), void *ud,
                  struct err *e);
/* The value of a variable in such a file: numbers and booleans as text, as the template has them. */
int host_env_value(struct arena *a, const struct json_member *m, struct str where, struct str *ret, struct err *e);
int host_read_sources(const struct perigee_config *c, const struct app *app, const char *root,
                      struct script_sources **ret, struct err *e);
int host_provision(struct perigee *p, struct cloud_conn *conn, struct err *e);
/* The table of --lease-table or the template -> p->lease; table empty: none. */
int host_find_lease(struct perigee *p, struct cloud_conn *conn, struct err *e);

/* What script, feeds and leases call: the probe, or the cloud itself. */
struct aws_backend *worker_backend(const struct worker *w);
/* Opens a worker's parts on the calling thread; on failure everything is closed again. */
int worker_open(struct worker *w, struct err *e);
void worker_close(struct worker *w);
/* Starts the thread and waits until it is ready or has failed. */
int worker_start(struct worker *w, struct err *e);
void worker_stop(struct worker *w); /* any thread: asks */
void worker_join(struct worker *w);
int worker_open_feeds(struct worker *w, struct err *e);
/* Switches to the prepared version when it has become the active one; called before each request. */
void worker_refresh(struct worker *w);

/* -- host_simulate.c: hosts whose clock, threads and random numbers are their own ------------------------------------
 */
int simulation_open(struct perigee *p, struct err *e); /* first of all: the clock stands from here on */
void simulation_close(struct perigee *p);
/* What is called between the two draws from the host's own random numbers. */
struct crypto_source *host_enter(struct perigee *p);
void host_leave(struct crypto_source *former);
/* What is ready runs; the time stays. */
void host_settle(struct worker *w);
/* Until *done. -1: the process died (ERR_DIED), or nothing will happen any more. */
int host_spin(struct worker *w, const bool *done, struct err *e);
/* After the app: whether the store can begin where provisioning it would end. Its end, and what is kept of it. */
void simulation_begin_store(struct perigee *p);
void simulation_provisioned(struct perigee *p);
int host_drain_simulated(struct perigee *p, int64_t max_ms, struct err *e);
/* perigee_snapshot; keep_state: what the Lua state remembers stays when the engine is restored. */
int host_snapshot(struct perigee *p, enum local_snapshot what, const char *name, bool keep_state, struct err *e);
/* host_embed.c. 1: the fed queues are empty and no job runs; 0: not yet, and e says what is left; -1 */
int host_is_idle(struct perigee *p, struct err *e);
void host_close_feeds(struct worker *w);
/* host_worker.c: what a dying process leaves behind, nothing; and its start. */
void worker_kill(struct worker *w);
int worker_revive(struct worker *w, struct err *e);

int reload_open(struct perigee *p, struct err *e); /* watching; sources are there already */
void reload_close(struct perigee *p);

/* The state machines (perigee.states) that the template's handlers declare when they are loaded, as the text of
 * {machines:[{name, initial, states, terminal, transitions:{action:{from, to, guarded, requires, effects}}}]}: one and
 * the same as often as functions load its module. Nothing else runs. */
int host_machines(const struct perigee_config *c, struct buf *ret, struct err *e);

/* The template as a document, with the names of its deployment: {template, functions:[{name, line, statements}],
 * tables:
 * [{name, logical_id, line, create}], queues, buckets, feeds, schedules, identities, lease_table}, or {problems}. What
 * keeps the deployment from being found is in deployment_error. In a. */
void host_inspect(const struct perigee_config *c, struct arena *a, struct json *ret);
/* The same of what a host has open, but for the deployment. */
void host_inspect_app(const struct app *app, struct arena *a, struct json *ret);
int host_try_port(const char *host, int port, struct err *e);
int host_try_data(const char *dir, struct err *e);

/* The probe of an embedded host's worker, around its cloud; it outlives crashes. */
int host_probe_open(struct worker *w, struct err *e);
void host_probe_close(struct worker *w);
void host_calls_revived(struct worker *w); /* its script is another */
/* From now on calls and runs are counted; what they used, as a table for people. */
int host_cost_begin(struct worker *w, struct err *e);
void host_cost_write(struct worker *w, struct buf *ret);

/* Recordings of all workers, when they are asked for; before the workers are opened and after they are closed. */
int host_recordings_open(struct perigee *p, struct err *e);
void host_recordings_close(struct perigee *p);
/* Of one worker, whose probe and script are open; in_memory: for host_record_next, with its fields as they are. */
int host_record_open(struct worker *w, bool in_memory, struct err *e);
void host_record_close(struct worker *w);
void host_record_revived(struct worker *w); /* its script is another */
bool host_record_in_memory(const struct worker *w);
bool host_record_next(struct worker *w, struct buf *ret); /* the oldest that is kept; its text is the caller's then */
/* One event through one function: 0 and the answer document; 1: it failed, *ret is the error document; -1: not run.
 * request_id NULL: a new one. */
int host_invoke(struct perigee *p, const struct function *f, const char *request_id, struct str event, struct buf *ret,
                struct err *e);

int host_lua_open(struct lua_State *L);     /* luaopen of perigee.host */
int host_connect_open(struct lua_State *L); /* luaopen of perigee.connection */
extern const struct script_module host_lua_modules[];

#endif
