/* perigee.c: open, run, close. The shared parts are built in dependency order and torn down in reverse:
 * [AWS: credentials, names] -> template -> [engine] -> what the template declares -> ports -> workers -> watching. */
#include "base/fs.h"
#include "base/yaml.h"
#include "host.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* Interruption of runaway handlers is checked this often; also the smallest slice. While all workers sleep, a look now
 * and then is enough: the first slice after a silence may be that long. */
#define TICK_MS 5
#define IDLE_TICK_MS 50
#define TEMPLATE_MAX (4u << 20)

struct perigee_config perigee_defaults(void) {
    return (struct perigee_config){
        .template_path = "config/template.yaml",
        .parameters = "",
        .host = "127.0.0.1",
        .port = 8080,
        .cloud_port = 4566,
        .reload = true,
        .feeds = true,
        .log_level = "info",
        .public_cloud_url = "",
        .stop_ms = 10000,
        .record_max_bytes = 64 << 20,
    };
}

/* -- template and parameters ------------------------------------------------------------------------------------ */

/* "PaymentsSecret" -> "PERIGEE_PAYMENTS_SECRET" */
static struct str variable_name(struct arena *a, struct str parameter) {
    char *out = arena_alloc(a, 2 * parameter.n + sizeof "PERIGEE_");
    size_t n = 0;
    memcpy(out, "PERIGEE", 7);
    n = 7;
    for (size_t i = 0; i < parameter.n; i++) {
        unsigned char c = (unsigned char)parameter.p[i];
        bool starts_word = i == 0 || (isupper(c) && !isupper((unsigned char)parameter.p[i - 1]));
        if (starts_word) out[n++] = '_';
        out[n++] = (char)toupper(c);
    }
    out[n] = 0;
    return str_n(out, n);
}

struct parameters {
    struct app_parameter *rows;
    size_t n;
};

/* Parameters of the template that have a variable in the environment. A template that cannot be read is reported by
 * app_load. */
static void parameters_from_environment(struct arena *a, const char *path, struct parameters *ret) {
    struct buf text = BUF_MAX(TEMPLATE_MAX);
    struct yaml *root = NULL;
    if (fs_read(path, &text, NULL)) goto out;
    if (yaml_parse(a, arena_str(a, buf_view(&text)), path, &root, NULL)) goto out;
    const struct yaml *list = yaml_get(root, "Parameters");
    if (!list || list->type != YAML_MAP) goto out;
    ret->rows = ARENA_ARRAY(a, struct app_parameter, list->n + 64);
    for (size_t i = 0; i < list->n; i++) {
        const char *value = getenv(variable_name(a, list->keys[i]->text).p);
        if (value) ret->rows[ret->n++] = (struct app_parameter){list->keys[i]->text, arena_str(a, str_c(value))};
    }
out:
    buf_free(&text);
}

/* "A=1,B=2" after those of the environment: the later one wins. */
static int parameters_from_option(struct arena *a, const char *option, struct parameters *p, struct err *e) {
    struct str rest = str_c(option);
    size_t room = 64;
    if (!p->rows) p->rows = ARENA_ARRAY(a, struct app_parameter, room);
    while (rest.n) {
        struct str value = str_cut(&rest, ',');
        struct str name = str_cut(&value, '=');
        if (!name.n || !value.p || room-- == 0)
            return err_set(e, ERR_CONFIG, "--parameters: '%.*s' is not Name=Value", STR_ARG(name));
        size_t i = 0;
        while (i < p->n && !str_eq(p->rows[i].name, name)) i++;
        p->rows[i] = (struct app_parameter){name, value};
        if (i == p->n) p->n++;
    }
    return 0;
}

int host_load_app(const struct perigee_config *c, const struct deployment *d, struct arena *a, struct buf *problems,
                  struct app **ret, struct err *e) {
    static const struct deployment engine;
    struct parameters p = {0};
    if (!d) d = &engine;
    parameters_from_environment(a, c->template_path, &p);
    if (parameters_from_option(a, c->parameters ? c->parameters : "", &p, e)) return -1;
    struct app_options o = {
        .template_path = c->template_path,
        .parameters = p.rows,
        .n_parameters = p.n,
        .region = d->region ? d->region : "us-east-1",
        .account = d->account ? d->account : "000000000000",
        .partition = d->partition,
        .stack = d->stack,
        .queue_base = d->queue_base,
        .names = d->names,
        .n_names = d->n_names,
    };
    struct app_problem *list = NULL;
    size_t n = 0;
    int rc = app_load(&o, a, &list, &n, ret, e);
    for (size_t i = 0; problems && i < n; i++) buf_printf(problems, "%.*s\n", STR_ARG(list[i].text));
    return rc;
}

/* -- open ------------------------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host) {
    return str_starts(str_c(host), STR("127.")) || !strcmp(host, "localhost") || !strcmp(host, "::1");
}

static int open_log(struct perigee *p, struct err *e) {
    const struct perigee_config *c = &p->config;
    p->log = c->log;
    if (p->log) return 0;
    p->own_log.fd = STDERR_FILENO;
    p->log = &p->own_log;
    if (log_level_parse(str_c(c->log_level), &p->own_log.level)) return 0;
    return err_set(e, ERR_CONFIG, "--log-level: '%s' is not debug, info, warn, error or off", c->log_level);
}

static int check_exposure(const struct perigee *p, struct err *e) {
    if (p->embedded || is_loopback(p->config.host) || !p->app->n_unset_secrets) return 0;
    return err_set(e, ERR_CONFIG,
                   "refusing to listen on %s: the template wants parameter %.*s to be set when serving off loopback "
                   "(Metadata.Perigee.RequireOffLoopback)",
                   p->config.host, STR_ARG(p->app->unset_secrets[0]));
}

int host_check_verify(const struct perigee_config *c, const struct log *log, struct err *e) {
    if (!c->no_verify) return 0;
    if (!is_loopback(c->host))
        return err_set(e, ERR_CONFIG,
                       "--no-verify lets everybody in: it does not go with --host %s, only with loopback", c->host);
    log_event(log, LOG_WARN, "the cloud port takes any signature and none", "s", "host", c->host);
    return 0;
}

/* On AWS, what the template needs to know before it is read. */
static int find_deployment(struct perigee *p, struct err *e) {
    if (remote_prepare(p->cloud.remote, e)) return -1;
    return deployment_find(&p->cloud, &p->config, p->loop, p->log, &p->deployment, e);
}

static int open_cloud(struct perigee *p, struct err *e) {
    /* Callers wait for their objects to be stored: not on p->pool, which gives way to everything else. */
    struct cloud_config c = {.config = &p->config, .clock = p->clock, .log = p->log, .metrics = p->metrics[0]};
    c.threadless = p->simulation.on;
    if (p->simulation.provisioned) c.image = buf_view(&p->simulation.provisioned->image);
    if (!p->embedded && host_load_libraries(e)) return -1;
    return cloud_open(&p->cloud, &c, e);
}

static int provision(struct perigee *p, struct err *e) {
    struct cloud_conn conn = {0};
    if (p->simulation.provisioned) return 0;
    if (cloud_attach(&p->cloud, p->loop, &conn, e)) return -1;
    int rc = host_provision(p, &conn, e);
    if (!rc && p->config.aws) rc = host_find_lease(p, &conn, e);
    cloud_detach(&conn);
    return rc;
}

static int open_ports(struct perigee *p, struct err *e) {
    const struct perigee_config *c = &p->config;
    if (c->port >= 0 && in_listen(c->host, (int)c->port, &p->listen_fd, &p->port, e)) return -1;
    if (c->cloud_port >= 0 && in_listen(c->host, (int)c->cloud_port, &p->cloud_fd, &p->cloud_port, e)) return -1;
    if (p->cloud.local) local_set_endpoint(p->cloud.local, p->cloud_port, c->public_cloud_url);
    if (p->cloud.local && p->cloud_fd >= 0) local_announce(p->cloud.local, c->host, p->cloud_port);
    return 0;
}

size_t host_worker_count(const struct perigee_config *c) {
    if (c->workers < 0) return 1;
    long cores = c->workers ? (long)c->workers : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > 16 && !c->workers ? 16 : (size_t)cores;
}

static void open_tables(struct perigee *p) {
    p->n_workers = host_worker_count(&p->config);
    p->share.servers = p->cloud_share.servers = (uint32_t)p->n_workers;
    p->workers = calloc(p->n_workers, sizeof *p->workers);
    p->metrics = calloc(p->n_workers, sizeof *p->metrics);
    if (!p->workers || !p->metrics) fatal("out of memory for %zu workers", p->n_workers);
    for (size_t i = 0; i < p->n_workers; i++) {
        p->metrics[i] = calloc(1, sizeof **p->metrics);
        if (!p->metrics[i]) fatal("out of memory for %zu workers", p->n_workers);
        p->workers[i].host = p;
        p->workers[i].index = i;
        p->workers[i].metrics = p->metrics[i];
    }
}

int host_read_sources(const struct perigee_config *c, const struct app *app, const char *root,
                      struct script_sources **ret, struct err *e) {
    return script_sources_read(app->functions, app->n_functions, c->lua_dir, root, ret, e);
}

static int open_sources(struct perigee *p, struct err *e) {
    p->root = arena_cstr(&p->arena, fs_dirname(p->app->dir));
    if (host_read_sources(&p->config, p->app, p->root, &p->reload.sources, e)) return -1;
    if (p->simulation.on) p->reload.sources = cache_sources(p->simulation.cache, p->reload.sources);
    return 0;
}

static int open_template(struct perigee *p, struct err *e) {
    struct buf problems = BUF_MAX(1 << 16);
    bool cached = p->simulation.on && !p->config.env_file; /* which changes it */
    int rc = cached ? cache_app(p->simulation.cache, &p->config, &p->arena, &problems, &p->app, e)
                    : host_load_app(&p->config, &p->deployment, &p->arena, &problems, &p->app, e);
    if (rc)
        err_set(e, ERR_CONFIG, "%s cannot be used:\n%.*s", p->config.template_path,
                problems.n ? (int)problems.n - 1 : (int)strlen(e->msg), problems.n ? buf_cstr(&problems) : e->msg);
    buf_free(&problems);
    if (!rc && p->config.env_file) rc = host_apply_env(p->config.env_file, p->app, e);
    return rc;
}

static int open_parts(struct perigee *p, struct err *e) {
    bool aws = p->config.aws;
    if (open_log(p, e) || cloud_check(&p->config, e)) return -1;
    if (simulation_open(p, e) || loop_open(&p->loop, e)) return -1;
    if (p->simulation.on) loop_simulate(p->loop, p->clock);
    if (pool_open(p->simulation.on ? 0 : 2, 10, &p->pool, e)) return -1;
    if (aws && (open_cloud(p, e) || find_deployment(p, e))) return -1;
    if (open_template(p, e) || check_exposure(p, e) || open_sources(p, e)) return -1;
    simulation_begin_store(p);
    if (!aws && (host_check_verify(&p->config, p->log, e) || open_cloud(p, e))) return -1;
    if (provision(p, e)) return -1;
    simulation_provisioned(p);
    if (scratch_open(&p->scratch, p->config.scratch, e) || open_ports(p, e)) return -1;
    if (host_recordings_open(p, e)) return -1;
    if (!p->embedded) return 0;
    if (worker_open(&p->workers[0], e)) return -1;
    p->workers[0].started = true;
    return 0;
}

int perigee_open(const struct perigee_config *c, struct perigee **ret, struct err *e) {
    struct perigee *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory");
    p->config = *c;
    p->embedded = c->workers < 0;
    p->clock = c->clock ? c->clock : &p->own_clock;
    p->listen_fd = p->cloud_fd = p->stop_fd[0] = p->stop_fd[1] = -1;
    if (p->embedded) p->config.port = p->config.cloud_port = -1;
    if (c->aws) p->config.cloud_port = -1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    open_tables(p);
    if (pipe2(p->stop_fd, O_CLOEXEC | O_NONBLOCK)) {
        err_sys(e, ERR_IO, errno, "cannot make a pipe");
        perigee_close(p);
        return -1;
    }
    struct crypto_source *former = host_enter(p);
    int rc = open_parts(p, e);
    host_leave(former);
    if (rc) {
        perigee_close(p);
        return -1;
    }
    *ret = p;
    return 0;
}

/* -- run -------------------------------------------------------------------------------------------------------- */

static void stop_workers(void *ud) {
    struct perigee *p = ud;
    loop_stop(p->loop);
}

static void on_signal(void *ud, int signum) {
    struct perigee *p = ud;
    log_event(p->log, LOG_INFO, "stopping", "s", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT");
    loop_stop(p->loop);
}

static void on_stop_fd(void *ud, int events) {
    (void)events;
    struct perigee *p = ud;
    char sink[16];
    while (read(p->stop_fd[0], sink, sizeof sink) > 0) {
    }
    stop_workers(p);
}

static void on_tick(void *ud) {
    struct perigee *p = ud;
    bool asleep = true;
    pthread_mutex_lock(&p->lock); /* a worker leaves READY under the lock before it closes its script */
    for (size_t i = 0; i < p->n_workers; i++) {
        if (p->workers[i].state != WORKER_READY) continue;
        asleep &= loop_is_asleep(p->workers[i].loop);
        script_watch_tick(p->workers[i].script);
    }
    pthread_mutex_unlock(&p->lock);
    loop_timer_start(p->loop, &p->tick, asleep ? IDLE_TICK_MS : TICK_MS, on_tick, p);
}

static int run_start(struct perigee *p, struct err *e) {
    if (loop_signal_add(p->loop, SIGTERM, on_signal, p, &p->sigterm, e)) return -1;
    if (loop_signal_add(p->loop, SIGINT, on_signal, p, &p->sigint, e)) return -1;
    if (loop_fd_add(p->loop, p->stop_fd[0], LOOP_READ, on_stop_fd, p, &p->stop_watch, e)) return -1;
    for (size_t i = 0; i < p->n_workers; i++)
        if (worker_start(&p->workers[i], e)) return -1;
    if (p->config.reload && reload_open(p, e)) return -1;
    on_tick(p);
    return 0;
}

/* Workers stop side by side; while they do the tick goes on, so that a runaway handler cannot hold up the end. */
static void run_stop(struct perigee *p) {
    for (size_t i = 0; i < p->n_workers; i++)
        if (p->workers[i].started) worker_stop(&p->workers[i]);
    for (;;) {
        bool going = false;
        pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < p->n_workers; i++) going |= p->workers[i].started && p->workers[i].state == WORKER_READY;
        pthread_mutex_unlock(&p->lock);
        if (!going) break;
        loop_once(p->loop, TICK_MS);
    }
    for (size_t i = 0; i < p->n_workers; i++) worker_join(&p->workers[i]);
    loop_timer_stop(p->loop, &p->tick);
    if (p->sigterm) loop_signal_remove(p->sigterm);
    if (p->sigint) loop_signal_remove(p->sigint);
    if (p->stop_watch) loop_fd_remove(p->stop_watch);
    p->sigterm = p->sigint = NULL;
    p->stop_watch = NULL;
}

static void log_serving(const struct perigee *p) {
    const char *version = script_sources_version(p->reload.sources);
    if (p->config.aws)
        log_event(p->log, LOG_INFO, "serving", "isssu", "port", (int64_t)p->port, "region", p->deployment.region,
                  "account", p->deployment.account, "version", version, "workers", (uint64_t)p->n_workers);
    else
        log_event(p->log, LOG_INFO, "serving", "iisu", "port", (int64_t)p->port, "cloud_port", (int64_t)p->cloud_port,
                  "version", version, "workers", (uint64_t)p->n_workers);
}

int perigee_run(struct perigee *p, void (*ready)(void *ud, int port, int cloud_port), void *ud, struct err *e) {
    if (p->embedded) return err_set(e, ERR_INTERNAL, "an embedded host is not run; use perigee_request");
    int rc = run_start(p, e);
    if (!rc) {
        log_serving(p);
        if (ready) ready(ud, p->port, p->cloud_port);
        loop_run(p->loop);
    }
    reload_close(p);
    run_stop(p);
    log_event(p->log, LOG_INFO, "stopped", "");
    return rc;
}

void perigee_stop(struct perigee *p) {
    ssize_t n = write(p->stop_fd[1], "s", 1);
    (void)n; /* a full pipe means that a stop is already asked for */
}

/* -- close ------------------------------------------------------------------------------------------------------ */

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void perigee_close(struct perigee *p) {
    if (!p) return;
    if (p->embedded && p->workers[0].started) worker_close(&p->workers[0]);
    host_recordings_close(p);
    cloud_close(&p->cloud);
    scratch_close(&p->scratch);
    if (p->pool) pool_close(p->pool);
    if (p->loop) loop_close(p->loop);
    if (p->reload.sources) script_sources_unref(p->reload.sources);
    if (p->app && p->simulation.on && !p->config.env_file)
        cache_give_app(p->simulation.cache, p->app);
    else if (p->app)
        app_free(p->app);
    simulation_close(p);
    close_fd(&p->listen_fd);
    close_fd(&p->cloud_fd);
    close_fd(&p->stop_fd[0]);
    close_fd(&p->stop_fd[1]);
    for (size_t i = 0; i < p->n_workers; i++) free(p->metrics[i]);
    free(p->metrics);
    free(p->workers);
    deployment_free(&p->deployment);
    arena_free(&p->arena);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
}
