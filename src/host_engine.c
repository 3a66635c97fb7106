/* host_engine.c: `perigee cloud`: the embedded engine and its port, without template, handlers or Lua.
 *
 *   engine -> port -> workers (loop, connection to the store, server; a thread each) -> ready -> signals -> stop */
#include "base/crypto.h"
#include "base/xml.h"
#include "host.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct engine_host;

struct engine_worker {
    struct engine_host *host;
    struct loop *loop;
    struct local_conn *conn;
    struct server *server;
    struct loop_task stop;
    struct loop_timer late;
    pthread_t thread;
    bool started;
    enum { ENGINE_IDLE, ENGINE_READY, ENGINE_FAILED } state; /* under host->lock */
    struct err err;
};

struct engine_host {
    const struct perigee_config *config;
    struct log log;
    struct pool *pool;
    struct local *local;
    struct loop *loop; /* the coordinator's: signals */
    struct loop_signal *sigterm, *sigint;
    int fd, port;
    struct server_share share;
    struct engine_worker *workers;
    size_t n_workers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* == workers ========================================================================================================
 */

static void *handle(void *ud, struct http_request *r, http_reply_fn *reply, void *reply_ud) {
    struct engine_worker *w = ud;
    return local_face(w->conn, r, reply, reply_ud);
}

static void cancel(void *ud, void *ticket) {
    (void)ud;
    local_face_cancel(ticket);
}

static int open_worker(struct engine_worker *w, struct err *e) {
    struct engine_host *h = w->host;
    if (loop_open(&w->loop, e) || local_attach(h->local, w->loop, &w->conn, e)) return -1;
    struct server_config c = {
        .loop = w->loop,
        .listen_fd = h->fd,
        .share = &h->share,
        .limits = {.body_bytes = 64u << 20},
        .handler = {handle, cancel, w},
        .log = &h->log,
        .clock = h->config->clock,
    };
    return server_open(&c, &w->server, e);
}

static void close_worker(struct engine_worker *w) {
    if (w->loop) loop_timer_stop(w->loop, &w->late);
    server_close(w->server);
    local_detach(w->conn);
    if (w->loop) loop_close(w->loop);
}

static void stopped(void *ud) {
    struct engine_worker *w = ud;
    loop_stop(w->loop);
}

static void stop_worker(void *ud) {
    struct engine_worker *w = ud;
    loop_timer_start(w->loop, &w->late, (uint64_t)w->host->config->stop_ms, stopped, w);
    server_stop(w->server, stopped, w);
}

static void tell(struct engine_worker *w, int state) {
    pthread_mutex_lock(&w->host->lock);
    w->state = state;
    pthread_cond_broadcast(&w->host->changed);
    pthread_mutex_unlock(&w->host->lock);
}

static void *worker_main(void *ud) {
    struct engine_worker *w = ud;
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int rc = open_worker(w, &w->err);
    tell(w, rc ? ENGINE_FAILED : ENGINE_READY);
    if (!rc) loop_run(w->loop);
    close_worker(w);
    return NULL;
}

/* All start side by side; the first that fails is told. */
static int start_workers(struct engine_host *h, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < h->n_workers && !rc; i++) {
        struct engine_worker *w = &h->workers[i];
        w->host = h;
        loop_task_init(&w->stop, stop_worker, w);
        rc = pthread_create(&w->thread, NULL, worker_main, w);
        w->started = !rc;
    }
    if (rc) return err_sys(e, ERR_INTERNAL, rc, "cannot start the workers");
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_workers; i++) {
        while (h->workers[i].state == ENGINE_IDLE) pthread_cond_wait(&h->changed, &h->lock);
        if (h->workers[i].state == ENGINE_FAILED && !rc) *e = h->workers[i].err, rc = -1;
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static void stop_workers(struct engine_host *h) {
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_workers; i++) {
        struct engine_worker *w = &h->workers[i];
        while (w->started && w->state == ENGINE_IDLE) pthread_cond_wait(&h->changed, &h->lock);
        if (w->state == ENGINE_READY) loop_post(w->loop, &w->stop);
    }
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < h->n_workers; i++)
        if (h->workers[i].started) pthread_join(h->workers[i].thread, NULL);
}

/* == the whole ======================================================================================================
 */

static int open_engine(struct engine_host *h, struct err *e) {
    const struct perigee_config *c = h->config;
    struct local_config lc = {
        .dir = c->memory ? NULL
               : c->data ? c->data
                         : PERIGEE_DATA,
        .region = c->region,
        .account = c->account,
        .access_key = c->access_key,
        .secret_key = c->secret_key,
        .keys = c->keys,
        .no_verify = c->no_verify,
        .control = host_control(c),
        .strict_ses = c->strict_ses,
        .clock = c->clock,
        .log = &h->log,
        .pool = h->pool,
    };
    h->log.fd = STDERR_FILENO;
    if (!log_level_parse(str_c(c->log_level), &h->log.level))
        return err_set(e, ERR_CONFIG, "--log-level: '%s' is not debug, info, warn, error or off", c->log_level);
    if (host_check_verify(c, &h->log, e) || host_check_account(c, e)) return -1;
    if (pool_open(2, 10, &h->pool, e)) return -1;
    lc.pool = h->pool;
    if (host_load_libraries(e) || local_open(&lc, &h->local, e) ||
        in_listen(c->host, (int)c->cloud_port, &h->fd, &h->port, e))
        return -1;
    local_set_endpoint(h->local, h->port, c->public_cloud_url ? c->public_cloud_url : "");
    local_announce(h->local, c->host, h->port);
    return 0;
}

static void on_signal(void *ud, int signum) {
    struct engine_host *h = ud;
    log_event(&h->log, LOG_INFO, "stopping", "s", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT");
    loop_stop(h->loop);
}

static int open_loop(struct engine_host *h, struct err *e) {
    if (loop_open(&h->loop, e)) return -1;
    if (loop_signal_add(h->loop, SIGTERM, on_signal, h, &h->sigterm, e)) return -1;
    return loop_signal_add(h->loop, SIGINT, on_signal, h, &h->sigint, e);
}

static void close_engine(struct engine_host *h) {
    if (h->fd >= 0) close(h->fd);
    if (h->local) local_close(h->local);
    if (h->pool) pool_close(h->pool);
    if (h->sigterm) loop_signal_remove(h->sigterm);
    if (h->sigint) loop_signal_remove(h->sigint);
    if (h->loop) loop_close(h->loop);
    free(h->workers);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
}

int host_load_libraries(struct err *e) {
    return crypto_load(e) || xml_load(e) ? -1 : 0;
}

int perigee_cloud(const struct perigee_config *c, void (*ready)(void *ud, int port, int cloud_port), void *ud,
                  struct err *e) {
    struct engine_host h = {.config = c, .fd = -1};
    pthread_mutex_init(&h.lock, NULL);
    pthread_cond_init(&h.changed, NULL);
    h.n_workers = host_worker_count(c);
    h.workers = calloc(h.n_workers, sizeof *h.workers);
    if (!h.workers) fatal("out of memory for %zu workers", h.n_workers);
    h.share.servers = (uint32_t)h.n_workers;
    int rc = open_loop(&h, e);
    if (!rc) rc = open_engine(&h, e);
    if (!rc) rc = start_workers(&h, e);
    if (!rc) {
        log_event(&h.log, LOG_INFO, "serving", "iu", "cloud_port", (int64_t)h.port, "workers", (uint64_t)h.n_workers);
        if (ready) ready(ud, 0, h.port);
        loop_run(h.loop);
    }
    stop_workers(&h);
    log_event(&h.log, LOG_INFO, "stopped", "");
    close_engine(&h);
    return rc;
}
