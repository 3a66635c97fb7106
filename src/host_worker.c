/* host_worker.c: one worker: opening its parts in the order of the data flow, its thread, its graceful end. */
#include "host.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* -- wiring ----------------------------------------------------------------------------------------------------- */

void worker_refresh(struct worker *w) {
    uint64_t active = atomic_load_explicit(&w->host->reload.active, memory_order_acquire);
    if (w->prepared && w->prepared == active) {
        script_commit(w->script, true);
        w->prepared = 0;
    }
}

struct aws_backend *worker_backend(const struct worker *w) {
    return w->probe ? probe_backend(w->probe) : cloud_backend(&w->conn);
}

static void *handle_http(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud) {
    struct worker *w = ud;
    worker_refresh(w);
    return route_http(w->route, r, reply, reply_ud);
}

static void cancel_http(void *ud, void *ticket) {
    (void)ud;
    route_cancel(ticket);
}

static void *handle_cloud(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud) {
    struct worker *w = ud;
    if (host_functions(w, r, reply, reply_ud)) return NULL;
    return local_face(w->conn.local, r, reply, reply_ud);
}

static void cancel_cloud(void *ud, void *ticket) {
    (void)ud;
    local_face_cancel(ticket);
}

/* Ready: the cloud is there and every feed's last receive went well. */
struct readiness {
    struct worker *w;
    void (*done)(void *ud, const struct err *e);
    void *ud;
};

static void ready_probed(void *ud, const struct err *cloud) {
    struct readiness *r = ud;
    struct err e = {0};
    if (!r->w->route) { /* the worker closed meanwhile: nobody is there to be answered */
        free(r);
        return;
    }
    if (cloud) e = *cloud;
    for (size_t i = 0; !cloud && i < r->w->n_feeds; i++)
        if (!feed_polling(r->w->feeds[i])) err_set(&e, ERR_UNAVAILABLE, "a queue is not being polled");
    r->done(r->ud, e.code ? &e : NULL);
    free(r);
}

static void worker_ready(void *ud, void (*done)(void *ud, const struct err *e), void *done_ud) {
    struct readiness *r = calloc(1, sizeof *r);
    if (!r) fatal("out of memory");
    *r = (struct readiness){ud, done, done_ud};
    cloud_probe(&r->w->conn, r->w->host->app, ready_probed, r);
}

/* -- parts ------------------------------------------------------------------------------------------------------ */

static struct script_config script_options(struct worker *w) {
    struct perigee *p = w->host;
    return (struct script_config){
        .loop = w->loop,
        .backend = worker_backend(w),
        .pool = p->pool,
        .clock = p->clock,
        .log = p->log,
        .metrics = w->metrics,
        .limits = {.instructions = (uint64_t)p->config.max_instructions, .cpu_ms = (uint64_t)p->config.cpu_ms},
        .lua_dir = p->config.lua_dir,
        .root_dir = p->root,
        .fetch = p->config.offline ? NULL : &w->fetch.client,
        .scratch_dir = p->scratch.path,
        .development = p->config.development,
        .seed = (uint64_t)p->config.seed,
        .keeps_compiled = p->simulation.on,
        .modules = p->config.modules,
        .coverage = p->config.coverage,
    };
}

/* A look into a state of its own, which nobody sees or hears. */
static bool loads(struct worker *w) {
    struct perigee *p = w->host;
    const struct log silent = {.fd = -1, .level = LOG_OFF};
    struct crypto_source source = p->simulation.source;
    struct script_config c = script_options(w);
    struct script *s = NULL;
    c.log = &silent;
    bool ok = !script_open(&c, &s, NULL) &&
              !script_load(s, p->reload.sources, p->app->functions, p->app->n_functions, NULL, NULL);
    script_close(s);
    p->simulation.source = source;
    return ok;
}

/* Simulated processes start and die by the thousand: what is known to load is loaded when it is needed. */
static bool known_to_load(struct worker *w) {
    struct perigee *p = w->host;
    if (!p->simulation.on || p->config.env_file) return false;
    if (cache_is_loadable(p->simulation.cache, p->app, p->reload.sources)) return true;
    if (!loads(w)) return false;
    cache_loadable(p->simulation.cache, p->app, p->reload.sources);
    return true;
}

static int load_script(struct worker *w, struct buf *traceback, struct err *e) {
    struct perigee *p = w->host;
    const struct app *app = p->app;
    if (known_to_load(w)) return script_load_later(w->script, p->reload.sources, app->functions, app->n_functions, e);
    return script_load(w->script, p->reload.sources, app->functions, app->n_functions, traceback, e);
}

static int open_script(struct worker *w, struct err *e) {
    struct perigee *p = w->host;
    struct script_config c = script_options(w);
    if (script_open(&c, &w->script, e)) return -1;
    if (p->embedded && script_watch_self(w->script, e)) return -1;
    struct buf traceback = BUF_MAX(1 << 16);
    int rc = load_script(w, &traceback, e);
    if (!rc) script_commit(w->script, true);
    if (rc && traceback.n && w->index == 0)
        log_event(p->log, LOG_ERROR, "handlers do not load", "ss", "error", e->msg, "traceback", buf_cstr(&traceback));
    buf_free(&traceback);
    return rc;
}

static int open_route(struct worker *w, struct err *e) {
    struct perigee *p = w->host;
    const struct aws_identity *id = &cloud_backend(&w->conn)->id;
    struct route_config c = {
        .app = p->app,
        .script = w->script,
        .loop = w->loop,
        .log = p->log,
        .metrics = w->metrics,
        .all_metrics = p->metrics,
        .n_metrics = p->n_workers,
        .development = p->config.development,
        .ready = worker_ready,
        .ready_ud = w,
        .region = id->region,
        .account = id->account,
        .partition = id->partition,
        .clock = p->clock,
    };
    return route_open(&c, &w->route, e);
}

static int open_server(struct worker *w, int fd, bool cloud, struct server **ret, struct err *e) {
    struct perigee *p = w->host;
    struct server_config c = {
        .loop = w->loop,
        .listen_fd = fd,
        .share = cloud ? &p->cloud_share : &p->share,
        .limits = {.body_bytes = (size_t)p->config.max_body_bytes},
        .handler = {handle_http, cancel_http, w},
        .log = p->log,
        .metrics = cloud ? NULL : w->metrics,
        .clock = p->clock,
    };
    if (cloud) {
        c.handler = (struct server_handler){handle_cloud, cancel_cloud, w};
        c.limits.body_bytes = 64u << 20;
    }
    return server_open(&c, ret, e);
}

/* Batches in flight of a feed on this worker: MaximumConcurrency shared out over the workers, 5 a host otherwise. */
static uint32_t feed_share(const struct worker *w, const struct app_feed *f) {
    uint32_t all = f->max_concurrency ? f->max_concurrency : 5;
    uint32_t n = (uint32_t)w->host->n_workers;
    return all / n + (w->index < all % n ? 1 : 0);
}

int worker_open_feeds(struct worker *w, struct err *e) {
    struct perigee *p = w->host;
    if (!w->feeds) w->feeds = calloc(p->app->n_feeds + 1, sizeof *w->feeds);
    if (!w->feeds) fatal("out of memory for %zu feeds", p->app->n_feeds);
    for (size_t i = 0; i < p->app->n_feeds; i++) {
        const struct app_feed *f = &p->app->feeds[i];
        uint32_t share = feed_share(w, f);
        if (!f->enabled || !share) continue;
        struct feed_config c = {w->loop, worker_backend(w), w->route, f, share, p->log, w->metrics};
        if (feed_open(&c, &w->feeds[w->n_feeds], e)) return -1;
        w->n_feeds++;
    }
    return 0;
}

static int open_clock(struct worker *w, struct err *e) {
    struct perigee *p = w->host;
    struct clock_feed_config c = {
        .loop = w->loop,
        .route = w->route,
        .app = p->app,
        .clock = p->clock,
        .log = p->log,
        .metrics = w->metrics,
        .id = cloud_backend(&w->conn)->id,
        .lease = p->lease,
    };
    if (p->lease.table.n) c.lease.backend = worker_backend(w);
    return clock_feed_open(&c, &w->clock, e);
}

static int open_sources_of_work(struct worker *w, struct err *e) {
    struct perigee *p = w->host;
    if (p->embedded) return 0;
    if (p->listen_fd >= 0 && open_server(w, p->listen_fd, false, &w->http, e)) return -1;
    if (p->cloud_fd >= 0 && open_server(w, p->cloud_fd, true, &w->cloud, e)) return -1;
    if (!p->config.feeds) return 0;
    if (worker_open_feeds(w, e)) return -1;
    return w->index == 0 ? open_clock(w, e) : 0;
}

int worker_open(struct worker *w, struct err *e) {
    if (loop_open(&w->loop, e)) goto failed;
    if (w->host->simulation.on) loop_simulate(w->loop, w->host->clock);
    if (cloud_attach(&w->host->cloud, w->loop, &w->conn, e)) goto failed;
    if ((w->host->embedded || w->host->recordings) && host_probe_open(w, e)) goto failed;
    host_fetch_init(&w->fetch, w->loop);
    if (open_script(w, e) || open_route(w, e)) goto failed;
    if (w->host->recordings && host_record_open(w, false, e)) goto failed;
    if (open_sources_of_work(w, e)) goto failed;
    return 0;
failed:
    worker_close(w);
    return -1;
}

static void close_feeds_now(struct worker *w) {
    for (size_t i = 0; i < w->n_feeds; i++) feed_close(w->feeds[i]);
    w->n_feeds = 0;
}

void worker_close(struct worker *w) {
    if (w->loop) {
        loop_timer_stop(w->loop, &w->grace);
        loop_timer_stop(w->loop, &w->late);
    }
    if (w->clock) clock_feed_close(w->clock);
    close_feeds_now(w);
    free(w->feeds);
    w->clock = NULL;
    w->feeds = NULL;
    if (w->http) server_close(w->http);
    if (w->cloud) server_close(w->cloud);
    if (w->script) script_close(w->script);
    w->script = NULL;
    host_record_close(w);
    if (w->route) route_close(w->route);
    w->http = w->cloud = NULL;
    w->route = NULL;
    host_fetch_close(&w->fetch);
    if (cloud_is_attached(&w->conn)) cloud_detach(&w->conn);
    host_probe_close(w);
    if (w->loop) loop_close(w->loop);
    w->loop = NULL;
    buf_free(&w->traceback);
}

/* -- the death of a simulated process --------------------------------------------------------------------------- */

void worker_kill(struct worker *w) {
    close_feeds_now(w);
    if (w->script) script_close(w->script);
    if (w->route) route_close(w->route);
    w->script = NULL;
    w->route = NULL;
    w->prepared = 0;
    host_fetch_close(&w->fetch);
    host_settle(w);
}

int worker_revive(struct worker *w, struct err *e) {
    struct err ignored = {0};
    w->died = false;
    if (w->probe) probe_revive(w->probe);
    host_fetch_init(&w->fetch, w->loop);
    int rc = open_script(w, e);
    if (w->script && open_route(w, rc ? &ignored : e)) rc = -1;
    if (w->script) host_record_revived(w);
    host_calls_revived(w);
    return rc;
}

/* -- thread ----------------------------------------------------------------------------------------------------- */

static void set_state(struct worker *w, int state) {
    pthread_mutex_lock(&w->host->lock);
    w->state = state;
    pthread_cond_broadcast(&w->host->changed);
    pthread_mutex_unlock(&w->host->lock);
}

/* Signals are the coordinator's; SIGURG (interruption of handlers) stays open. */
static void block_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *worker_main(void *ud) {
    struct worker *w = ud;
    block_signals();
    if (worker_open(w, &w->err)) {
        set_state(w, WORKER_FAILED);
        return NULL;
    }
    set_state(w, WORKER_READY);
    loop_run(w->loop);
    set_state(w, WORKER_ENDED);
    worker_close(w);
    return NULL;
}

static void stop_begin(void *ud);

int worker_start(struct worker *w, struct err *e) {
    loop_task_init(&w->stop_task, stop_begin, w);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc) return err_sys(e, ERR_INTERNAL, rc, "cannot start worker %zu", w->index);
    pthread_mutex_lock(&w->host->lock);
    while (w->state == WORKER_IDLE) pthread_cond_wait(&w->host->changed, &w->host->lock);
    bool ok = w->state == WORKER_READY;
    pthread_mutex_unlock(&w->host->lock);
    w->started = true;
    if (!ok) *e = w->err;
    return ok ? 0 : -1;
}

/* -- graceful stop: sources of work first, then what still runs, at most stop_ms
 * ---------------------------------------- */

static void stop_wait_jobs(void *ud) {
    struct worker *w = ud;
    if (script_jobs(w->script) == 0) {
        loop_stop(w->loop);
        return;
    }
    loop_timer_start(w->loop, &w->grace, 5, stop_wait_jobs, w);
}

static void stop_late(void *ud) {
    struct worker *w = ud;
    log_event(w->host->log, LOG_WARN, "work still running at the end of the stop time is cancelled", "u", "jobs",
              (uint64_t)script_jobs(w->script));
    loop_stop(w->loop);
}

static void part_stopped(void *ud) {
    struct worker *w = ud;
    if (--w->stopping) return;
    stop_wait_jobs(w);
}

static void stop_begin(void *ud) {
    struct worker *w = ud;
    if (w->stop_seen) return;
    w->stop_seen = true;
    loop_timer_start(w->loop, &w->late, (uint64_t)w->host->config.stop_ms, stop_late, w);
    w->stopping = 1 + (w->http != NULL) + (w->cloud != NULL) + (w->clock != NULL) + w->n_feeds;
    if (w->clock) clock_feed_stop(w->clock, part_stopped, w);
    for (size_t i = 0; i < w->n_feeds; i++) feed_stop(w->feeds[i], part_stopped, w);
    if (w->http) server_stop(w->http, part_stopped, w);
    if (w->cloud) server_stop(w->cloud, part_stopped, w);
    part_stopped(w);
}

void worker_stop(struct worker *w) {
    pthread_mutex_lock(&w->host->lock);
    if (w->state == WORKER_READY) loop_post(w->loop, &w->stop_task);
    pthread_mutex_unlock(&w->host->lock);
}

void worker_join(struct worker *w) {
    if (!w->started) return;
    pthread_join(w->thread, NULL);
    w->started = false;
}
