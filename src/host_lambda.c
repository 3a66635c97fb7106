/* host_lambda.c: the host as a Lambda runtime: environment -> manifest -> handler -> Runtime API. What a handler may
 * never need (AWS client, threads) is opened when it asks; nothing here reads the template. */
#include "app/app.h"
#include "base/fs.h"
#include "host.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CLOCK_FILE "PERIGEE_CLOCK_FILE"

enum { MANIFEST_MAX = 1 << 20, TASK_MEMORY_MB = 128, CONCURRENCY_MAX = 1000, LOAD_MS = 8000 };

/* The AWS client, opened by the first call. */
struct late_backend {
    struct aws_backend base; /* what handlers are given */
    struct loop *loop;
    const struct log *log;
    struct metrics *metrics;
    struct clock *clock;
    struct remote *remote;
    struct remote_conn *conn;
    bool account_known;
};

struct lambda_host {
    struct arena arena;
    struct log log;
    struct metrics metrics, *all_metrics[1];
    const char *api, *handler, *root;
    struct clock *clock; /* NULL: the system's */
    struct loop *loop;
    struct pool *pool;
    struct late_backend backend;
    struct host_fetch fetch;
    struct app_manifest manifest;
    struct function function;
    struct script_sources *sources;
    struct script *script;
    struct route *route;
    struct lambda *lambda;
    const char *error_type; /* of a failed start */
    struct buf traceback;
};

/* == the AWS client, at first use =====================================================================================
 */

static struct aws_backend *late_open(struct late_backend *b, struct err *e) {
    if (b->conn) return remote_backend(b->conn);
    struct remote_config c = {.clock = b->clock, .log = b->log, .metrics = b->metrics};
    if (!b->remote && remote_open(&c, &b->remote, e)) return NULL;
    if (b->account_known) remote_set_account(b->remote, b->base.id.account);
    if (remote_attach(b->remote, b->loop, &b->conn, e)) return NULL;
    b->base.id = remote_backend(b->conn)->id;
    return remote_backend(b->conn);
}

static enum aws_started late_start(struct aws_backend *base, struct aws_call *c) {
    struct aws_backend *b = late_open((struct late_backend *)base, &c->err);
    if (!b) return AWS_DONE;
    c->backend = b;
    return b->ops->start(b, c);
}

/* Calls that have started are the client's own: only one that never did comes here. */
static void late_cancel(struct aws_backend *base, struct aws_call *c) {
    (void)base, (void)c;
}

static int late_presign(struct aws_backend *base, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                        int64_t *ret_expires_ms, struct err *e) {
    struct aws_backend *b = late_open((struct late_backend *)base, e);
    return b ? b->ops->presign(b, p, a, ret_url, ret_expires_ms, e) : -1;
}

static int late_presign_post(struct aws_backend *base, const struct json *params, struct str host_hint, struct arena *a,
                             struct json *ret, int64_t *ret_expires_ms, struct err *e) {
    struct aws_backend *b = late_open((struct late_backend *)base, e);
    return b ? b->ops->presign_post(b, params, host_hint, a, ret, ret_expires_ms, e) : -1;
}

static int64_t late_now(struct aws_backend *base) {
    return clock_ms(((struct late_backend *)base)->clock);
}

static void late_describe(struct aws_backend *base, struct arena *a, struct json *ret) {
    struct err e = {0};
    struct aws_backend *b = late_open((struct late_backend *)base, &e);
    *ret = json_make_obj();
    if (b)
        b->ops->describe(b, a, ret);
    else
        json_set(a, ret, "error", json_make_str(arena_str(a, str_c(e.msg))));
}

static const struct aws_backend_ops late_ops = {late_start,        late_cancel, late_presign,
                                                late_presign_post, late_now,    late_describe};

static void late_close(struct late_backend *b) {
    remote_detach(b->conn);
    remote_close(b->remote);
}

/* == the environment ==================================================================================================
 */

static int64_t number(const char *name, int64_t otherwise, int64_t max) {
    int64_t n = 0;
    const char *v = getenv(name);
    return v && str_i64(str_c(v), &n) && n > 0 ? (n < max ? n : max) : otherwise;
}

static bool is_true(const char *name) {
    const char *v = host_env(name, "");
    return !strcmp(v, "1") || !strcmp(v, "true");
}

/* The clock of tests: a file that begins with two numbers of eight bytes, offset_ms and frozen_ms of a struct clock,
 * and has zeroes up to its size. What is written there is the time from then on. */
static int open_clock(struct lambda_host *h, struct err *e) {
    const char *path = host_env(CLOCK_FILE, NULL);
    if (!path) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    void *p = size < (off_t)sizeof *h->clock ? MAP_FAILED : mmap(NULL, sizeof *h->clock, PROT_READ, MAP_SHARED, fd, 0);
    int why = errno;
    if (fd >= 0) close(fd);
    if (fd >= 0 && size < (off_t)sizeof *h->clock)
        return err_set(e, ERR_CONFIG, CLOCK_FILE ": %s has less than %zu bytes", path, sizeof *h->clock);
    if (p == MAP_FAILED) return err_sys(e, ERR_CONFIG, why, CLOCK_FILE ": %s", path);
    h->clock = p;
    h->backend.clock = p;
    return 0;
}

/* All of it: on Lambda a function's variables are the process's. */
static void read_environment(struct lambda_host *h) {
    extern char **environ;
    size_t n = 0;
    while (environ[n]) n++;
    struct function_env *rows = ARENA_ARRAY(&h->arena, struct function_env, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct str value = str_c(environ[i]), name = str_cut(&value, '=');
        if (value.p) rows[h->function.n_env++] = (struct function_env){name, value};
    }
    h->function.env = rows;
}

/* Packages keep handlers in a directory of their own; a function made by hand may have them beside the bootstrap. */
static const char *code_dir(struct lambda_host *h) {
    const char *dir = arena_printf(&h->arena, "%s/handlers", h->root).p;
    return fs_is_dir(dir) ? dir : h->root;
}

/* The public certificates that a package brings along, unless the function's variables say otherwise. */
static void set_certificates(struct lambda_host *h) {
    const char *certs = arena_printf(&h->arena, "%s/certs", h->root).p;
    if (fs_is_dir(certs)) setenv("AWS_CA_BUNDLE", certs, 0);
}

/* Modules that go before the built-in ones; NULL: none. */
static const char *lua_dir(struct lambda_host *h) {
    const char *dir = arena_printf(&h->arena, "%s/lua", h->root).p;
    return fs_is_dir(dir) ? dir : NULL;
}

static int read_manifest(struct lambda_host *h, struct err *e) {
    struct buf text = BUF_MAX(MANIFEST_MAX);
    const char *path = arena_printf(&h->arena, "%s/perigee.json", h->root).p;
    bool there = !access(path, F_OK);
    int rc = there ? fs_read(path, &text, e) : 0;
    if (!rc && there && !text.n) rc = err_set(e, ERR_CONFIG, "perigee.json is empty");
    if (!rc)
        rc = app_manifest_read(arena_str(&h->arena, buf_view(&text)), str_c(h->handler), str_c(code_dir(h)),
                               &h->manifest, e);
    buf_free(&text);
    return rc;
}

static void fill_function(struct lambda_host *h) {
    int64_t mb = number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", TASK_MEMORY_MB, 1 << 20);
    struct function *own = (struct function *)h->manifest.app->functions; /* routes point to it */
    const char *name = host_env("AWS_LAMBDA_FUNCTION_NAME", NULL);
    if (name) own->name = str_c(name);
    h->function = *own;
    h->function.n_env = 0;
    read_environment(h);
    h->function.policy = (struct policy){.allow_all = true}; /* IAM's business */
    h->function.memory_bytes = (uint64_t)mb << 20;
    if (!h->function.timeout_ms) h->function.timeout_ms = 900000; /* Lambda's longest: each event brings its own */
    h->manifest.app->functions = &h->function;
}

/* == parts ============================================================================================================
 */

static int open_script(struct lambda_host *h, struct err *e) {
    struct script_config c = {
        .loop = h->loop,
        .backend = &h->backend.base,
        .fetch = &h->fetch.client,
        .pool = h->pool,
        .clock = h->clock,
        .log = &h->log,
        .metrics = &h->metrics,
        .limits = {.state_bytes = h->function.memory_bytes, .load_ms = LOAD_MS}, /* of the 10 s that Lambda gives */
        .lua_dir = lua_dir(h),
        .cpath = arena_printf(&h->arena, "%s/lib/lua/?.so", h->root).p,
        .root_dir = h->root,
        .scratch_dir = host_env("TMPDIR", "/tmp"),
    };
    h->error_type = "Runtime.InitError";
    if (script_open(&c, &h->script, e) || script_watch_self(h->script, e)) return -1;
    h->error_type = "Runtime.ImportModuleError";
    if (script_sources_list(&h->function, 1, c.lua_dir, h->root, host_env("AWS_LAMBDA_FUNCTION_VERSION", ""),
                            &h->sources, e))
        return -1;
    if (script_load(h->script, h->sources, &h->function, 1, &h->traceback, e)) {
        if (str_starts(str_c(e->msg), STR("Handler:"))) h->error_type = "Runtime.NoSuchHandler";
        return -1;
    }
    script_commit(h->script, true);
    return 0;
}

static int open_route(struct lambda_host *h, struct err *e) {
    struct route_config c = {
        .app = h->manifest.app,
        .script = h->script,
        .loop = h->loop,
        .log = &h->log,
        .metrics = &h->metrics,
        .all_metrics = h->all_metrics,
        .n_metrics = 1,
        .clock = h->clock,
        .quiet = true,
        .fail_http = is_true("PERIGEE_LAMBDA_FAIL_HTTP"),
    };
    h->error_type = "Runtime.InitError";
    return route_open(&c, &h->route, e);
}

static void open_backend(struct lambda_host *h) {
    h->backend.base.ops = &late_ops;
    h->backend.base.id = (struct aws_identity){str_c(host_env("AWS_REGION", host_env("AWS_DEFAULT_REGION", ""))),
                                               STR("000000000000"), STR("aws")};
    h->backend.loop = h->loop;
    h->backend.log = &h->log;
    h->backend.metrics = &h->metrics;
}

static int open_host(struct lambda_host *h, struct err *e) {
    h->error_type = "Runtime.InitError";
    if (open_clock(h, e) || loop_open(&h->loop, e) || pool_open(1, 0, &h->pool, e)) return -1;
    set_certificates(h);
    open_backend(h);
    host_fetch_init(&h->fetch, h->loop);
    h->error_type = "Runtime.InvalidManifest";
    if (!*h->handler) {
        h->error_type = "Runtime.NoSuchHandler";
        return err_set(e, ERR_CONFIG, "_HANDLER is not set: it names the handler as module.function (orders.create)");
    }
    if (read_manifest(h, e)) return -1;
    fill_function(h);
    return open_script(h, e) || open_route(h, e) ? -1 : 0;
}

/* Account and partition, which nothing else tells: arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME. Once: they do not
 * change. */
static void note_arn(void *ud, struct str arn) {
    struct lambda_host *h = ud;
    struct str part[5];
    if (h->backend.account_known || !arn.n) return;
    for (size_t i = 0; i < 5; i++) part[i] = str_cut(&arn, ':');
    if (!part[1].n || !part[4].n) return;
    h->backend.base.id.partition = arena_str(&h->arena, part[1]);
    h->backend.base.id.account = arena_str(&h->arena, part[4]);
    h->backend.account_known = true;
}

static int serve(struct lambda_host *h, struct err *e) {
    uint32_t concurrency = (uint32_t)number("AWS_LAMBDA_MAX_CONCURRENCY", 1, CONCURRENCY_MAX);
    struct lambda_config c = {
        .loop = h->loop,
        .api = h->api,
        .route = h->route,
        .script = h->script,
        .function = &h->function,
        .log = &h->log,
        .concurrency = concurrency,
        .report_failures = h->manifest.report_failures,
        .stream = h->manifest.stream,
        .sigterm = is_true("PERIGEE_LAMBDA_SIGTERM"),
        .arn = note_arn,
        .ud = h,
        .own_trace_variable = concurrency == 1,
    };
    if (lambda_open(&c, &h->lambda, e)) return -1;
    return lambda_run(h->lambda, e);
}

static void close_host(struct lambda_host *h) {
    if (h->lambda) lambda_close(h->lambda);
    if (h->script) script_close(h->script);
    if (h->route) route_close(h->route);
    host_fetch_close(&h->fetch);
    late_close(&h->backend);
    if (h->sources) script_sources_unref(h->sources);
    if (h->pool) pool_close(h->pool);
    if (h->loop) loop_close(h->loop);
    app_free(h->manifest.app);
    if (h->clock) munmap(h->clock, sizeof *h->clock);
    buf_free(&h->traceback);
    arena_free(&h->arena);
}

int perigee_lambda(void) {
    struct lambda_host h = {
        .api = host_env("AWS_LAMBDA_RUNTIME_API", ""),
        .handler = host_env("_HANDLER", ""),
        .root = host_env("LAMBDA_TASK_ROOT", "."),
        .log = {.fd = STDERR_FILENO, .level = LOG_INFO},
        .traceback = BUF_MAX(1 << 16),
    };
    struct err e = {0};
    int rc;
    if (!*h.api) {
        fprintf(stderr, "perigee: AWS_LAMBDA_RUNTIME_API is not set: a bootstrap is started by AWS Lambda, or by "
                        "`perigee runtime-api`\n");
        return 1;
    }
    h.all_metrics[0] = &h.metrics;
    log_lambda(&h.log, host_env("AWS_LAMBDA_LOG_FORMAT", NULL), host_env("AWS_LAMBDA_LOG_LEVEL", NULL));
    rc = open_host(&h, &e);
    if (rc)
        lambda_init_error(h.api, h.error_type, &e, buf_view(&h.traceback), &h.log);
    else if ((rc = serve(&h, &e)))
        log_event(&h.log, LOG_ERROR, "the runtime ends", "s", "error", e.msg);
    close_host(&h);
    return rc ? 1 : 0;
}
