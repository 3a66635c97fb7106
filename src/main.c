/* main.c: argv -> sub-command. The flow of a request through the folders that this program links:
 *
 *             in/                        route/             script/              aws/
 *   HTTP · Lambda · queue · clock ──► who handles it ──► coroutine runs ──► operation as data ──► local/ or remote/
 *          ▲                                              handlers (Lua)                             │
 *          └─────────────────────────────────── reply callback, the same way back ◄──────────────────┘
 *   beside it: app/ (template)  sign/  pdf/  loop/  base/
 *
 * perigee.c builds these parts in dependency order and tears them down in reverse. Exit codes: 0, 1 (failure), 2
 * (usage). */
#include "main.h"
#include "base/fs.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_option serve_options[] = {
    TEMPLATE_OPTIONS,
    OPT("host", CONF_STRING, host, 0, 0, "ADDRESS", "address to listen on"),
    OPT("port", CONF_INT, port, 0, 65535, "PORT", "HTTP port, 0 picks one"),
    OPT("cloud-port", CONF_INT, cloud_port, 0, 65535, "PORT",
        "port of the embedded cloud, 0 picks one; none with --aws"),
    OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory of the engine (" PERIGEE_DATA ")"),
    OPT("memory", CONF_BOOL, memory, 0, 0, NULL, "keep the data in memory, gone at the end"),
    OPT("workers", CONF_INT, workers, 0, 256, "N", "worker threads, 0: one a core"),
    OPT("reload", CONF_BOOL, reload, 0, 0, NULL, "keep the handlers as they are when they are edited"),
    OPT("development", CONF_BOOL, development, 0, 0, NULL, "show tracebacks to loopback clients"),
    RECORD_OPTIONS,
    OPT("no-record", CONF_BOOL | CONF_FLAG_ONLY, no_record, 0, 0, NULL,
        "keep nothing of requests, in development either"),
    OPT("feeds", CONF_BOOL, feeds, 0, 0, NULL, "neither poll queues nor run schedules"),
    LOG_OPTION,
    AWS_OPTIONS,
    DEPLOYMENT_OPTIONS,
    OPT("create", CONF_BOOL, create, 0, 0, NULL, "make the declared resources that AWS has not"),
    KEY_OPTIONS,
    DOOR_OPTIONS,
    SCRATCH_OPTION,
    OPT("public-cloud-url", CONF_STRING, public_cloud_url, 0, 0, "URL", "what presigned links begin with"),
    OPT("max-body-bytes", CONF_INT, max_body_bytes, 0, 1 << 30, "N", "largest request body, 0: 1 MiB"),
    OPT("max-instructions", CONF_INT, max_instructions, 0, INT64_MAX, "N",
        "VM instructions of one run, 0: not counted"),
    OPT("cpu-ms", CONF_INT, cpu_ms, 0, 900000, "MS", "CPU time of one run, 0: its Timeout"),
    OPT("stop-ms", CONF_INT, stop_ms, 0, 900000, "MS", "time for running work at the end"),
    {0},
};
static const struct conf_option cloud_options[] = {
    OPT("host", CONF_STRING, host, 0, 0, "ADDRESS", "address to listen on"),
    OPT("port", CONF_INT, cloud_port, 0, 65535, "PORT", "port, 0 picks one"),
    OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory (" PERIGEE_DATA ")"),
    OPT("memory", CONF_BOOL, memory, 0, 0, NULL, "keep the data in memory, gone at the end"),
    OPT("workers", CONF_INT, workers, 0, 256, "N", "worker threads, 0: one a core"),
    OPT("access-key-id", CONF_STRING, access_key, 0, 0, "ID", "the access key (perigee)"),
    OPT("secret-access-key", CONF_STRING, secret_key, 0, 0, "KEY", "the secret key (perigee)"),
    DOOR_OPTIONS,
    OPT("region", CONF_STRING, region, 0, 0, "REGION", "in ARNs (us-east-1)"),
    OPT("account", CONF_STRING, account, 0, 0, "N", "in ARNs and queue URLs (000000000000)"),
    OPT("public-cloud-url", CONF_STRING, public_cloud_url, 0, 0, "URL", "what presigned links begin with"),
    OPT("stop-ms", CONF_INT, stop_ms, 0, 900000, "MS", "time for running requests at the end"),
    LOG_OPTION,
    {0},
};
static const struct conf_option check_options[] = {TEMPLATE_OPTIONS, {0}};
static const struct conf_option package_options[] = {
    TEMPLATE_OPTIONS,
    OWN_OPT("out", CONF_STRING, package.out, "FILE", "the ZIP archive (lambda.zip, unless --dir is given)"),
    OWN_OPT("dir", CONF_STRING, package.dir, "DIR", "write the package unpacked; empty or not there yet"),
    OWN_OPT("runtime", CONF_STRING, package.runtime, "DIR", "bootstrap and libraries; those beside this program"),
    OWN_OPT("add", CONF_STRING, package.add, "DIR", "add its files: lib/lua/*.so, assets"),
    {0},
};
static const struct conf_option invoke_options[] = {
    OWN_OPT("event", CONF_STRING, event_file, "FILE", "the event, - for standard input; without it: {}"),
    OWN_OPT("env", CONF_STRING, config.env_file, "FILE",
            "variables: {\"Function\":{\"NAME\":\"value\"},\"Parameters\":{}}"),
    OWN_OPT("drain", CONF_BOOL, config.drain, NULL, "then run the queues until they are empty"),
    OWN_OPT("cost", CONF_BOOL, cost, NULL, "then print the calls and what they used on stderr"),
    RECORD_OPTIONS,
    TEMPLATE_OPTIONS,
    OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory of the engine (" PERIGEE_DATA ")"),
    OPT("memory", CONF_BOOL, memory, 0, 0, NULL, "an engine in memory, gone at the end"),
    LOG_OPTION,
    AWS_OPTIONS,
    DEPLOYMENT_OPTIONS,
    OPT("create", CONF_BOOL, create, 0, 0, NULL, "make the declared resources that AWS has not"),
    KEY_OPTIONS,
    SCRATCH_OPTION,
    OPT("public-cloud-url", CONF_STRING, public_cloud_url, 0, 0, "URL", "what presigned links begin with"),
    OPT("max-instructions", CONF_INT, max_instructions, 0, INT64_MAX, "N",
        "VM instructions of one run, 0: not limited"),
    OPT("cpu-ms", CONF_INT, cpu_ms, 0, 900000, "MS", "CPU time of one run, 0: its Timeout"),
    {0},
};
static const struct conf_option event_options[] = {
    OWN_OPT("function", CONF_STRING, event.function, "NAME", "of the template: its route, queue or schedule"),
    OWN_OPT("method", CONF_STRING, event.method, "METHOD", "HTTP: the function's, else GET, POST with a body"),
    OWN_OPT("path", CONF_STRING, event.path, "PATH", "HTTP: as in a URL, without query"),
    OWN_OPT("query", CONF_STRING, event.query, "QUERY", "HTTP: as in a URL: a=1&b=2"),
    OWN_OPT("header", CONF_LIST, event.headers, "NAME:VALUE", "HTTP: may be given again"),
    OWN_OPT("body", CONF_STRING, event.body, "TEXT", "HTTP"),
    OWN_OPT("body-file", CONF_STRING, event.body_file, "FILE", "HTTP: any bytes"),
    OWN_OPT("base64", CONF_BOOL, event.base64, NULL, "HTTP: the body as base64 although it is text"),
    OWN_OPT("source-ip", CONF_STRING, event.source_ip, "ADDRESS", "HTTP: the client's (127.0.0.1)"),
    OWN_OPT("multi-value", CONF_BOOL, event.multi_value, NULL, "alb: multi-value headers and query parameters"),
    OWN_OPT("queue", CONF_STRING, event.queue, "NAME", "sqs: the function's, else sample"),
    OWN_OPT("message", CONF_LIST, event.messages, "TEXT", "sqs: a message's body; may be given again"),
    OWN_OPT("fifo", CONF_BOOL, event.fifo, NULL, "sqs: of a FIFO queue"),
    OWN_OPT("group", CONF_STRING, event.group, "ID", "sqs: message group of a FIFO queue"),
    OWN_OPT("schedule", CONF_STRING, event.schedule, "NAME", "schedule: the function's, else sample"),
    OWN_OPT("source", CONF_STRING, event.source, "NAME", "eventbridge"),
    OWN_OPT("detail-type", CONF_STRING, event.detail_type, "TEXT", "eventbridge"),
    OWN_OPT("detail", CONF_STRING, event.detail, "JSON", "eventbridge: an object"),
    OWN_OPT("now", CONF_BOOL, event.now, NULL, "the present time and new ids, not always the same"),
    OWN_OPT("region", CONF_STRING, config.region, "REGION", "in ARNs (us-east-1)"),
    OWN_OPT("account", CONF_STRING, config.account, "N", "in ARNs (000000000000)"),
    TEMPLATE_OPTIONS,
    {0},
};
static const struct conf_option runtime_api_options[] = {
    OWN_OPT("exec", CONF_STRING, runtime_api.exec, "PROGRAM", "the bootstrap; or behind --, with its arguments"),
    OWN_OPT("handler", CONF_STRING, runtime_api.handler, "NAME", "_HANDLER: orders.create"),
    OWN_OPT("task-root", CONF_STRING, runtime_api.task_root, "DIR", "LAMBDA_TASK_ROOT (the present directory)"),
    OWN_OPT("event", CONF_STRING, runtime_api.event, "FILE", "answer this event (- for standard input) and end"),
    OWN_RANGE("repeat", CONF_INT, runtime_api.repeat, 1, INT64_MAX, "N", "the event so many times"),
    OWN_OPT("env", CONF_STRING, runtime_api.env, "FILE", "variables: {\"NAME\":\"value\"}, or as sam local has them"),
    OWN_RANGE("timeout", CONF_INT, runtime_api.timeout_s, 1, 900, "S", "seconds for an invocation"),
    OWN_RANGE("memory", CONF_INT, runtime_api.memory_mb, 128, 32768, "MB", "told to the program; not enforced"),
    OWN_OPT("function-name", CONF_STRING, runtime_api.function_name, "NAME", "of the only function here"),
    OWN_RANGE("concurrency", CONF_INT, runtime_api.concurrency, 1, 1000, "N", "events at a time (Managed Instances)"),
    OWN_RANGE("port", CONF_INT, runtime_api.port, 0, 65535, "PORT", "of Invoke on 127.0.0.1 (9001), 0 picks one"),
    OWN_RANGE("runtime-port", CONF_INT, runtime_api.runtime_port, 0, 65535, "PORT",
              "of the Runtime API, 0 picks one; without a program: wait for one"),
    OWN_OPT("region", CONF_STRING, runtime_api.region, "REGION", "AWS_REGION (us-east-1)"),
    {0},
};
static const struct conf_option run_options[] = {
    OPT("lua-dir", CONF_STRING, lua_dir, 0, 0, "DIR", "a directory whose modules override the built-in ones"),
    LOG_OPTION,
    AWS_OPTIONS,
    KEY_OPTIONS,
    SCRATCH_OPTION,
    {0},
};
int command_failed(const struct err *e) {
    fprintf(stderr, "perigee: %s\n", e->msg);
    return 1;
}

/* -- sub-commands ------------------------------------------------------------------------------------------------- */

static void print_ready(void *ud, int port, int cloud_port) {
    const struct perigee_config *c = ud;
    bool v6 = strchr(c->host, ':') != NULL;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
    printf("perigee: ready http=http://%s%s%s:%d", open, c->host, close, port);
    if (cloud_port) printf(" cloud=http://%s%s%s:%d", open, c->host, close, cloud_port);
    printf("\n");
    fflush(stdout);
}

static int serve(struct perigee_config *c, int argc, char **argv) {
    if (argc > 1) {
        fprintf(stderr, "perigee serve: unexpected argument '%s'\n", argv[1]);
        return 2;
    }
    struct perigee *p = NULL;
    struct err e = {0};
    int rc = perigee_open(c, &p, &e);
    if (!rc) rc = perigee_run(p, print_ready, c, &e);
    perigee_close(p);
    return rc ? command_failed(&e) : 0;
}

static void print_cloud_ready(void *ud, int port, int cloud_port) {
    const struct perigee_config *c = ud;
    bool v6 = strchr(c->host, ':') != NULL;
    (void)port;
    printf("perigee: ready cloud=http://%s%s%s:%d\n", v6 ? "[" : "", c->host, v6 ? "]" : "", cloud_port);
    fflush(stdout);
}

static int cloud(struct perigee_config *c, int argc, char **argv) {
    if (argc > 1) {
        fprintf(stderr, "perigee cloud: unexpected argument '%s'\n", argv[1]);
        return 2;
    }
    struct err e = {0};
    return perigee_cloud(c, print_cloud_ready, c, &e) ? command_failed(&e) : 0;
}

static int check(struct perigee_config *c, int argc, char **argv) {
    (void)argv;
    if (argc > 1) c->template_path = argv[1];
    struct buf out = BUF_MAX(1 << 20);
    struct err e = {0};
    int rc = perigee_check(c, &out, &e);
    bool told = out.n > 0;
    fputs(buf_cstr(&out), stderr);
    buf_free(&out);
    if (rc) return told ? 1 : command_failed(&e);
    printf("%s: template, schemas and handlers are fine\n", c->template_path);
    return 0;
}

static int package(struct perigee_config *c, int argc, char **argv) {
    struct perigee_package *o = &((struct settings *)c)->package;
    struct buf report = BUF_MAX(1 << 20);
    struct err e = {0};
    if (argc > 1) {
        fprintf(stderr, "perigee package: unexpected argument '%s'\n", argv[1]);
        return 2;
    }
    if (!o->out && !o->dir) o->out = "lambda.zip";
    int rc = perigee_package(c, o, &report, &e);
    fputs(buf_cstr(&report), rc ? stderr : stdout);
    buf_free(&report);
    return rc ? command_failed(&e) : 0;
}

enum { EVENT_MAX = 64 << 20, ANSWER_MAX = 64 << 20 };

static int usage_error(const char *command, const struct err *e) {
    fprintf(stderr, "perigee %s: %s\n", command, e->msg);
    return 2;
}

/* Exit codes: 0 answered, 1 the function failed (its error document is printed), 2 it was not run. */
static int invoke(struct perigee_config *c, int argc, char **argv) {
    const char *file = ((struct settings *)c)->event_file;
    struct buf event = BUF_MAX(EVENT_MAX), answer = BUF_MAX(ANSWER_MAX), cost = BUF_MAX(ANSWER_MAX);
    struct err e = {0};
    int rc = -1;
    if (argc != 2) {
        fprintf(stderr, "usage: perigee invoke function [options]\n");
        return 2;
    }
    if (((struct settings *)c)->cost) c->cost = &cost;
    if (!file) buf_c(&event, "{}");
    if (file && fs_read(strcmp(file, "-") ? file : "/dev/stdin", &event, &e)) goto out;
    rc = perigee_invoke(c, argv[1], buf_view(&event), &answer, &e);
    if (answer.n) printf("%.*s\n", (int)answer.n, answer.p);
    if (rc == 1 && !file)
        fprintf(stderr, "perigee invoke: the event was {}; --event gives another, and perigee event writes samples\n");
    if (fflush(stdout)) rc = err_sys(&e, ERR_IO, errno, "cannot print the answer");
    if (cost.n) fprintf(stderr, "%.*s", (int)cost.n, cost.p);
out:
    buf_free(&event);
    buf_free(&answer);
    buf_free(&cost);
    return rc < 0 ? usage_error("invoke", &e) : rc;
}

static int event(struct perigee_config *c, int argc, char **argv) {
    struct buf document = BUF_MAX(EVENT_MAX);
    struct err e = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: perigee event source [options]\n");
        return 2;
    }
    int rc = perigee_event(c, argv[1], &((struct settings *)c)->event, &document, &e);
    if (!rc) printf("%s\n", buf_cstr(&document));
    buf_free(&document);
    return rc ? usage_error("event", &e) : 0;
}

/* Exit codes: 0 answered, 1 the function failed, 2 it was not run. */
static int runtime_api(struct perigee_config *c, int argc, char **argv) {
    struct err e = {0};
    bool function_failed = false;
    if (perigee_runtime_api(&((struct settings *)c)->runtime_api, argc, argv, &function_failed, &e))
        return usage_error("runtime-api", &e);
    return function_failed;
}

static int run(struct perigee_config *c, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: perigee run [options] script.lua [arguments]\n");
        return 2;
    }
    int code = 1;
    struct err e = {0};
    c->modules = host_lua_modules;
    if (perigee_script(c, argv[1], NULL, STR_NONE, argc - 2, argv + 2, &code, &e)) return command_failed(&e);
    return code;
}

static int version(struct perigee_config *c, int argc, char **argv) {
    (void)c, (void)argc, (void)argv;
    printf("perigee %s (%s)\n", PERIGEE_VERSION, "Lua 5.4");
    return 0;
}

/* -- the table ---------------------------------------------------------------------------------------------------- */

static const struct conf_option no_options[] = {{0}};
static const struct command commands[] = {
    {"serve", "[options]", "serve the template's functions over HTTP, on the embedded engine or on AWS", serve_options,
     serve},
    {"cloud", "[options]", "serve the embedded engine alone to any AWS client", cloud_options, cloud},
    {"check", "[options] [template]", "validate template, schemas and handlers", check_options, check},
    {"package", "[options]", "write what AWS Lambda runs: the handlers and the runtime they need", package_options,
     package},
    {"invoke", "function [options]", "run one event through a function: its answer on stdout, logs on stderr",
     invoke_options, invoke, true},
    {"event", "source [options]",
     "write a sample event: apigw-rest, apigw-http, apigw-http-1, url, alb, sqs, schedule or eventbridge",
     event_options, event, true},
    {"runtime-api", "[options] [-- program arguments]",
     "run any Lambda bootstrap on this machine: one event, or an endpoint for AWS's clients", runtime_api_options,
     runtime_api},
    {"run", "[options] script.lua [arguments]", "run a Lua script with every binding", run_options, run},
    {"test", "[options] [busted arguments]", "run busted inside the host", NULL, command_test},
    {"version", "", "print the version", no_options, version},
    {0},
};

static void usage(FILE *to) {
    fprintf(to, "usage: perigee <command> [options]\n\n");
    for (const struct command *c = commands; c->name; c++) fprintf(to, "  %-11s %s\n", c->name, c->help);
    for (const struct command *c = lua_commands; c->name; c++) fprintf(to, "  %-11s %s\n", c->name, c->help);
    fprintf(to, "\n`perigee <command> --help` lists the options of a command.\n");
}

/* Who stops `perigee cloud` does not wait for clients that poll a queue: they come again. */
static struct perigee_config defaults_of(const struct command *c) {
    struct perigee_config d = perigee_defaults();
    if (c->options == cloud_options) d.stop_ms = 1000;
    return d;
}

static struct settings settings_of(const struct command *c) {
    struct settings s = {.config = defaults_of(c), .runtime_api = perigee_runtime_api_defaults()};
    for (size_t i = 0; i < sizeof s.lua.number / sizeof *s.lua.number; i++) s.lua.number[i] = INT64_MIN;
    return s;
}

static void command_help(const struct command *c) {
    struct settings defaults = settings_of(c);
    struct buf b = BUF_MAX(1 << 16);
    printf("usage: perigee %s%s%s\n%s\n", c->name, *c->usage ? " " : "", c->usage, c->help);
    if (c->options && c->options->name) {
        conf_help(&b, c->options, &defaults);
        printf("\n%s", buf_cstr(&b));
    }
    buf_free(&b);
}

static int dispatch(const struct command *c, int argc, char **argv) {
    struct settings settings = settings_of(c);
    struct err e = {0};
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    int (*parse)(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc, bool *ret_help,
                 struct err *e) = c->mixed ? conf_parse_mixed : conf_parse;
    if (!help && c->options && parse(c->options, &settings, argc, argv, &argc, &help, &e))
        return usage_error(c->name, &e);
    if (!help || c->fn == command_test) return c->fn(&settings.config, argc, argv);
    command_help(c);
    return 0;
}

static const struct command *find_in(const struct command *c, const char *name) {
    while (c->name && strcmp(name, c->name) != 0) c++;
    return c->name ? c : NULL;
}

static const struct command *find_command(const char *name) {
    const struct command *c = find_in(commands, name);
    return c ? c : find_in(lua_commands, name);
}

/* Lambda starts /var/task/bootstrap, or an image's entry point, which has the handler for its argument. */
static bool is_bootstrap(int argc, char **argv) {
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    if (argc && !strcmp(slash ? slash + 1 : argv[0], "bootstrap")) return true;
    return getenv("AWS_LAMBDA_RUNTIME_API") && (argc < 2 || !find_command(argv[1]));
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (is_bootstrap(argc, argv)) {
        if (argc > 1) setenv("_HANDLER", argv[1], 1);
        return perigee_lambda();
    }
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const struct command *c = find_command(argv[1]);
    if (c) return dispatch(c, argc - 1, argv + 1);
    fprintf(stderr, "perigee: '%s' is no command\n", argv[1]);
    usage(stderr);
    return 2;
}
