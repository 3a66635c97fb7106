/* host (private to perigee.c and host_*.c): what a host is made of, and the parts that share it.
 *
 *   perigee.c        open, close, run: shared parts (template, store, pool), provisioning, the coordinator's loop
 *   host_worker.c    one worker: loop, store connection, Lua state, route, servers, feeds; start, stop
 *   host_reload.c    file watching and the two-phase change of versions over all workers
 *   host_provision.c template -> CreateTable, CreateQueue, CreateBucket
 *   host_embed.c     embedded use: requests, drain, schedules on the caller's thread
 *   host_lua.c       the Lua module perigee.host over the embedded use */
#ifndef PERIGEE_HOST_H
#define PERIGEE_HOST_H
#include "app/app.h"
#include "aws/aws.h"
#include "in/in.h"
#include "local/local.h"
#include "perigee.h"
#include <pthread.h>

struct worker {
    struct perigee *host;
    size_t index;
    struct loop *loop;
    struct local_conn *conn;
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
    struct local *local;
    struct loop *loop; /* the coordinator's */
    struct worker *workers;
    size_t n_workers;
    struct metrics **metrics; /* one a worker */
    int listen_fd, cloud_fd;
    int port, cloud_port;
    struct reload reload;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct loop_task stop;
    struct loop_timer tick;
    struct loop_signal *sigterm, *sigint;
    int stop_fd[2]; /* self-pipe: perigee_stop is async-signal-safe */
    struct loop_fd *stop_watch;
    bool embedded;
};

int host_load_app(const struct perigee_config *c, struct arena *a, struct buf *problems, struct app **ret,
                  struct err *e);
int host_read_sources(const struct perigee_config *c, const struct app *app, const char *root,
                      struct script_sources **ret, struct err *e);
int host_provision(struct perigee *p, struct local_conn *conn, struct loop *loop, struct err *e);

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

int reload_open(struct perigee *p, struct err *e); /* watching; sources are there already */
void reload_close(struct perigee *p);

int host_lua_open(struct lua_State *L); /* luaopen of perigee.host */
extern const struct script_module host_lua_modules[];

#endif
