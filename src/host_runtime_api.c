/* host_runtime_api.c: `perigee runtime-api`: any Lambda bootstrap on this machine.
 *
 *   options -> program, environment -> Runtime API (in/runtime_api) -> one event, several, or Lambda's own API
 *
 * Answers go to stdout; what the program writes, and Lambda's lines, to stderr. */
#include "base/crypto.h"
#include "base/elf.h"
#include "base/fs.h"
#include "host.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_MAX = 6 * 1024 * 1024, PROGRAM_MAX = 256 << 20 };

struct runtime_host {
    const struct perigee_runtime_api *o;
    struct arena arena;
    struct log log;
    struct loop *loop;
    struct loop_signal *sigterm, *sigint;
    struct runtime_api *api;
    struct invoke_api *invoke;
    int runtime_fd, runtime_port, invoke_fd, invoke_port;
    const char **argv, **env;
    size_t n_env;
    const char *root, *region, *arn;
    bool failed; /* one invocation did */
    struct buf event;
    int64_t to_start, unfinished;
    struct loop_task stop;
    bool stopping;
};

struct perigee_runtime_api perigee_runtime_api_defaults(void) {
    return (struct perigee_runtime_api){.handler = "bootstrap",
                                        .function_name = "function",
                                        .repeat = 1,
                                        .timeout_s = 3,
                                        .memory_mb = 128,
                                        .concurrency = 1,
                                        .port = -1,
                                        .runtime_port = -1};
}

/* == the program =================================================================================================== */

/* As execvp would find it: names without '/' on PATH. */
static const char *find_program(struct arena *a, const char *name) {
    struct str path = str_c(getenv("PATH"));
    if (strchr(name, '/')) return name;
    while (path.p) {
        struct str dir = str_cut(&path, ':'), full = arena_printf(a, "%.*s/%s", STR_ARG(dir), name);
        if (dir.n && fs_is_file(full.p) && !access(full.p, X_OK)) return full.p;
    }
    return NULL;
}

static const char *this_machine(void) {
#ifdef __aarch64__
    return "arm64";
#else
    return "x86_64";
#endif
}

static int check_script(const char *path, struct str head, struct err *e) {
    struct str line = str_trim(str_from(str_cut(&head, '\n'), 2));
    struct str words = line, program = str_cut(&words, ' ');
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%.*s", STR_ARG(program));
    if (access(name, X_OK)) return err_sys(e, ERR_CONFIG, errno, "%s: its interpreter %s", path, name);
    return 0;
}

/* What the kernel would only call "Exec format error" or "No such file". */
static int check_program(const char *path, struct err *e) {
    struct buf head = BUF_MAX(PROGRAM_MAX);
    struct arena a = {0};
    struct elf elf;
    int rc = -1;
    if (access(path, F_OK)) return err_sys(e, ERR_CONFIG, errno, "the program %s", path);
    if (!fs_is_file(path)) return err_set(e, ERR_CONFIG, "the program %s is no file", path);
    if (access(path, X_OK)) return err_sys(e, ERR_CONFIG, errno, "the program %s cannot be run (chmod +x?)", path);
    if (fs_read(path, &head, e)) {
        rc = head.over ? 0 : -1; /* too large to look at: the kernel will tell */
        goto out;
    }
    if (str_starts(buf_view(&head), STR("#!"))) {
        rc = check_script(path, buf_view(&head), e);
    } else if (!elf_is(buf_view(&head))) {
        err_set(e, ERR_CONFIG, "the program %s is neither for Linux (ELF) nor a script that begins with #!", path);
    } else if (elf_read(&a, buf_view(&head), &elf, e)) {
        err_wrap(e, "the program %s", path);
    } else if (strcmp(elf.machine, this_machine()) != 0) {
        err_set(e, ERR_CONFIG, "the program %s is for %s, this machine is %s", path, elf.machine, this_machine());
    } else {
        rc = 0;
        char name[PATH_MAX];
        snprintf(name, sizeof name, "%.*s", STR_ARG(elf.interpreter));
        if (*name && access(name, X_OK)) rc = err_sys(e, ERR_CONFIG, errno, "%s: its loader %s", path, name);
    }
out:
    arena_free(&a);
    buf_free(&head);
    return rc;
}

static const char *absolute(struct runtime_host *h, const char *path) {
    char here[PATH_MAX];
    if (path[0] == '/' || !getcwd(here, sizeof here)) return path;
    return arena_printf(&h->arena, "%s/%s", here, path[0] == '.' && path[1] == '/' ? path + 2 : path).p;
}

static int read_program(struct runtime_host *h, int argc, char **argv, struct err *e) {
    const struct perigee_runtime_api *o = h->o;
    size_t n = 0;
    char root[PATH_MAX];
    const char *dir = o->task_root ? o->task_root : ".";
    if (!realpath(dir, root)) return err_sys(e, ERR_CONFIG, errno, "--task-root: %s", dir);
    h->root = arena_cstr(&h->arena, str_c(root));
    if (!fs_is_dir(root)) return err_set(e, ERR_CONFIG, "--task-root: %s is no directory", root);
    h->argv = ARENA_ARRAY(&h->arena, const char *, (size_t)argc + 2);
    if (o->exec) h->argv[n++] = o->exec;
    for (int i = 1; i < argc; i++) h->argv[n++] = argv[i];
    if (!n && o->runtime_port < 0)
        return err_set(e, ERR_CONFIG,
                       "no program: --exec ./bootstrap, or -- program arguments, or --runtime-port to "
                       "wait for one that is started elsewhere");
    if (!n) {
        h->argv = NULL;
        return 0;
    }
    const char *found = find_program(&h->arena, h->argv[0]);
    if (!found)
        return err_set(e, ERR_CONFIG, "no program %s is on PATH (./%s for one in this directory)", h->argv[0],
                       h->argv[0]);
    h->argv[0] = absolute(h, found);
    return check_program(h->argv[0], e);
}

/* == its environment =============================================================================================== */

/* The last one counts. */
static void put_env(struct runtime_host *h, const char *name, struct str value) {
    size_t n = strlen(name), i = 0;
    while (i < h->n_env && (strncmp(h->env[i], name, n) != 0 || h->env[i][n] != '=')) i++;
    if (i == h->n_env) {
        const char **more = ARENA_ARRAY(&h->arena, const char *, h->n_env + 2);
        if (h->n_env) memcpy(more, h->env, h->n_env * sizeof *more);
        h->env = more;
        h->n_env++;
    }
    h->env[i] = arena_printf(&h->arena, "%s=%.*s", name, STR_ARG(value)).p;
}

static void put_env_c(struct runtime_host *h, const char *name, const char *value) {
    put_env(h, name, str_c(value));
}

static const char *stream_name(struct runtime_host *h) {
    uint8_t noise[16];
    char hex[33] = "", day[16];
    time_t now = (time_t)(clock_ms(NULL) / 1000);
    struct tm t;
    gmtime_r(&now, &t);
    strftime(day, sizeof day, "%Y/%m/%d", &t);
    crypto_random(noise, sizeof noise);
    crypto_hex_to(hex, noise, sizeof noise);
    return arena_printf(&h->arena, "%s/[$LATEST]%.32s", day, hex).p;
}

/* What Lambda gives a program of an OS-only runtime (Developer Guide, "Defined runtime environment variables"), with
 * the task root for /var/task. */
static void lambda_env(struct runtime_host *h) {
    const struct perigee_runtime_api *o = h->o;
    struct arena *a = &h->arena;
    const char *token = host_env("AWS_SESSION_TOKEN", NULL);
    const char *libraries =
        arena_printf(a, "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:%s:%s/lib:/opt/lib", h->root, h->root).p;
    put_env_c(h, "PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin");
    put_env_c(h, "LD_LIBRARY_PATH", libraries);
    put_env_c(h, "LANG", "en_US.UTF-8");
    put_env_c(h, "TZ", ":UTC");
    put_env_c(h, "LAMBDA_TASK_ROOT", h->root);
    put_env_c(h, "LAMBDA_RUNTIME_DIR", "/var/runtime");
    put_env_c(h, "_HANDLER", o->handler);
    put_env_c(h, "AWS_REGION", h->region);
    put_env_c(h, "AWS_DEFAULT_REGION", h->region);
    put_env_c(h, "AWS_ACCESS_KEY_ID", host_env("AWS_ACCESS_KEY_ID", "perigee"));
    put_env_c(h, "AWS_SECRET_ACCESS_KEY", host_env("AWS_SECRET_ACCESS_KEY", "perigee"));
    if (token) put_env_c(h, "AWS_SESSION_TOKEN", token);
    put_env_c(h, "AWS_LAMBDA_FUNCTION_NAME", o->function_name);
    put_env_c(h, "AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    put_env(h, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", arena_printf(a, "%lld", (long long)o->memory_mb));
    put_env_c(h, "AWS_LAMBDA_LOG_GROUP_NAME", arena_printf(a, "/aws/lambda/%s", o->function_name).p);
    put_env_c(h, "AWS_LAMBDA_LOG_STREAM_NAME", stream_name(h));
    put_env_c(h, "AWS_LAMBDA_INITIALIZATION_TYPE", o->concurrency > 1 ? "lambda-managed-instances" : "on-demand");
    if (o->concurrency > 1)
        put_env(h, "AWS_LAMBDA_MAX_CONCURRENCY", arena_printf(a, "%lld", (long long)o->concurrency));
    put_env_c(h, "AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    put_env_c(h, "AWS_XRAY_DAEMON_ADDRESS", "169.254.79.129:2000");
}

static int put_own(struct runtime_host *h, struct str where, const struct json_member *m, struct err *e) {
    struct str value;
    if (!m->key.n || str_chr(m->key, '=', 0) >= 0 || str_chr(m->key, '\0', 0) >= 0)
        return err_set(e, ERR_CONFIG, "%.*s: '%.*s' is no name of a variable", STR_ARG(where), STR_ARG(m->key));
    if (str_is(m->key, "AWS_LAMBDA_RUNTIME_API"))
        return err_set(e, ERR_CONFIG, "AWS_LAMBDA_RUNTIME_API is where the program finds this server");
    if (host_env_value(&h->arena, m, where, &value, e)) return -1;
    put_env(h, arena_cstr(&h->arena, m->key), value);
    return 0;
}

static int put_all(struct runtime_host *h, struct str where, const struct json *vars, struct err *e) {
    for (uint32_t i = 0; json_is(vars, JSON_OBJ) && i < vars->n; i++)
        if (put_own(h, where, &vars->members[i], e)) return -1;
    return 0;
}

/* {"Parameters":{...},"FunctionName":{...}} as sam local has it, or {"NAME":"value"}. */
static int put_document(void *ud, const struct json *doc, struct err *e) {
    struct runtime_host *h = ud;
    const char *name = h->o->function_name;
    if (doc->type != JSON_OBJ) return err_set(e, ERR_CONFIG, "must be an object, not %s", json_type_name(doc->type));
    if (!doc->n || doc->members[0].value.type != JSON_OBJ) return put_all(h, STR("variables"), doc, e);
    const struct json *mine = json_get(doc, name), *all = json_get(doc, "Parameters");
    if (!mine && !all) return err_set(e, ERR_CONFIG, "has neither '%s' (--function-name) nor 'Parameters'", name);
    return put_all(h, STR("Parameters"), all, e) || put_all(h, str_c(name), mine, e) ? -1 : 0;
}

static int make_env(struct runtime_host *h, struct err *e) {
    lambda_env(h);
    if (h->o->env && host_env_file(h->o->env, put_document, h, e)) return -1;
    put_env(h, "AWS_LAMBDA_RUNTIME_API", arena_printf(&h->arena, "127.0.0.1:%d", h->runtime_port));
    return 0;
}

/* == stopping ====================================================================================================== */

static void on_stopped(void *ud) {
    struct runtime_host *h = ud;
    loop_stop(h->loop);
}

static void stop(void *ud) {
    struct runtime_host *h = ud;
    if (h->stopping) return;
    h->stopping = true;
    runtime_api_stop(h->api, on_stopped, h);
}

static void on_signal(void *ud, int signum) {
    struct runtime_host *h = ud;
    (void)signum;
    h->failed = h->failed || h->unfinished > 0;
    loop_defer(h->loop, &h->stop);
}

/* == one event ===================================================================================================== */

static void start_next(struct runtime_host *h);

static void on_done(void *ud, const char *error, struct str content_type, struct str body) {
    struct runtime_host *h = ud;
    (void)content_type;
    if (error) h->failed = true;
    if (h->stopping) return;
    fwrite(body.p, 1, body.n, stdout);
    if (!body.n || body.p[body.n - 1] != '\n') fputc('\n', stdout);
    if (fflush(stdout)) h->failed = true;
}

static void on_ended(void *ud, struct str tail) {
    struct runtime_host *h = ud;
    (void)tail;
    h->unfinished--;
    if (h->to_start > 0)
        start_next(h);
    else if (!h->unfinished)
        loop_defer(h->loop, &h->stop);
}

static void start_next(struct runtime_host *h) {
    char id[37];
    const struct runtime_event e = {.payload = buf_view(&h->event), .done = on_done, .ended = on_ended, .ud = h};
    h->to_start--;
    h->unfinished++;
    runtime_api_invoke(h->api, &e, id);
}

static int read_event(struct runtime_host *h, struct err *e) {
    struct arena a = {0};
    struct json doc;
    const char *file = h->o->event;
    const struct json_limits limits = {.depth = 1000, .duplicate_keys = true};
    if (!file) return 0;
    if (fs_read(strcmp(file, "-") ? file : "/dev/stdin", &h->event, e)) return err_wrap(e, "--event");
    if (!str_trim(buf_view(&h->event)).n) return err_set(e, ERR_CONFIG, "--event %s is empty", file);
    int rc = json_parse(&a, buf_view(&h->event), &limits, &doc, e);
    arena_free(&a);
    return rc ? err_wrap(e, "--event %s", file) : 0;
}

/* == the whole ===================================================================================================== */

static int check_options(struct runtime_host *h, struct err *e) {
    const struct perigee_runtime_api *o = h->o;
    if (o->repeat != 1 && !o->event) return err_set(e, ERR_CONFIG, "--repeat goes with --event");
    if (o->event && o->port >= 0) return err_set(e, ERR_CONFIG, "--port and --event: one event needs no port");
    if (!*o->function_name ||
        strspn(o->function_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
            strlen(o->function_name))
        return err_set(e, ERR_CONFIG, "--function-name: '%s' has other characters than letters, digits, - and _",
                       o->function_name);
    if (!*o->handler) return err_set(e, ERR_CONFIG, "--handler is empty");
    return 0;
}

static int open_runtime(struct runtime_host *h, struct err *e) {
    const struct perigee_runtime_api *o = h->o;
    int port = o->runtime_port < 0 ? 0 : (int)o->runtime_port;
    if (in_listen("127.0.0.1", port, &h->runtime_fd, &h->runtime_port, e) || make_env(h, e)) return -1;
    if (loop_open(&h->loop, e)) return -1;
    if (loop_signal_add(h->loop, SIGTERM, on_signal, h, &h->sigterm, e)) return -1;
    if (loop_signal_add(h->loop, SIGINT, on_signal, h, &h->sigint, e)) return -1;
    struct runtime_api_config c = {
        .loop = h->loop,
        .log = &h->log,
        .listen_fd = h->runtime_fd,
        .argv = h->argv,
        .env = h->env,
        .directory = h->root,
        .function_name = o->function_name,
        .arn = h->arn,
        .handler = o->handler,
        .timeout_ms = (uint32_t)o->timeout_s * 1000,
        .concurrency = (uint32_t)o->concurrency,
        .memory_mb = (uint32_t)o->memory_mb,
        .output_fd = STDERR_FILENO,
    };
    return runtime_api_open(&c, &h->api, e);
}

static int open_invoke(struct runtime_host *h, struct err *e) {
    int port = h->o->port < 0 ? 9001 : (int)h->o->port;
    if (in_listen("127.0.0.1", port, &h->invoke_fd, &h->invoke_port, e)) return err_wrap(e, "--port");
    struct invoke_api_config c = {.loop = h->loop,
                                  .log = &h->log,
                                  .listen_fd = h->invoke_fd,
                                  .runtime = h->api,
                                  .function_name = h->o->function_name,
                                  .arn = h->arn};
    if (invoke_api_open(&c, &h->invoke, e)) return -1;
    printf("runtime-api: ready http://127.0.0.1:%d runtime=127.0.0.1:%d\n", h->invoke_port, h->runtime_port);
    fflush(stdout);
    return 0;
}

static int open_all(struct runtime_host *h, int argc, char **argv, struct err *e) {
    const struct perigee_runtime_api *o = h->o;
    h->region = o->region ? o->region : host_env("AWS_REGION", host_env("AWS_DEFAULT_REGION", "us-east-1"));
    h->arn = arena_printf(&h->arena, "arn:aws:lambda:%s:000000000000:function:%s", h->region, o->function_name).p;
    if (check_options(h, e) || read_program(h, argc, argv, e) || read_event(h, e)) return -1;
    if (open_runtime(h, e)) return -1;
    if (!o->event) return open_invoke(h, e);
    if (!h->argv) {
        printf("runtime-api: ready runtime=127.0.0.1:%d\n", h->runtime_port);
        fflush(stdout);
    }
    h->to_start = o->repeat;
    int64_t at_once = o->concurrency > 1 ? o->concurrency : 1;
    while (h->to_start > 0 && at_once-- > 0) start_next(h);
    return 0;
}

static void close_all(struct runtime_host *h) {
    runtime_api_close(h->api);
    invoke_api_close(h->invoke);
    if (h->sigterm) loop_signal_remove(h->sigterm);
    if (h->sigint) loop_signal_remove(h->sigint);
    if (h->loop) loop_defer_cancel(h->loop, &h->stop);
    if (h->loop) loop_close(h->loop);
    if (h->runtime_fd >= 0) close(h->runtime_fd);
    if (h->invoke_fd >= 0) close(h->invoke_fd);
    buf_free(&h->event);
    arena_free(&h->arena);
}

int perigee_runtime_api(const struct perigee_runtime_api *o, int argc, char **argv, bool *ret_failed, struct err *e) {
    struct runtime_host h = {.o = o, .runtime_fd = -1, .invoke_fd = -1, .event = BUF_MAX(EVENT_MAX)};
    h.log = (struct log){.fd = STDERR_FILENO, .level = LOG_WARN};
    loop_task_init(&h.stop, stop, &h);
    int rc = open_all(&h, argc, argv, e);
    if (!rc) loop_run(h.loop);
    if (!rc) *ret_failed = h.failed;
    close_all(&h);
    return rc;
}
