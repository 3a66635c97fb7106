/* main.c: argv -> sub-command. The flow of a request through the folders that this program links:
 *
 *             in/               route/             script/              aws/
 *   HTTP · queue · clock ──► who handles it ──► coroutine runs ──► operation as data ──► local/ or remote/
 *          ▲                                     handlers (Lua)                             │
 *          └────────────────────────── reply callback, the same way back ◄──────────────────┘
 *   beside it: app/ (template)  sign/  pdf/  loop/  base/
 *
 * perigee.c builds these parts in dependency order and tears them down in reverse. Exit codes: 0, 1 (failure), 2
 * (usage). */
#include "base/conf.h"
#include "host.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPT(name, type, field, lo, hi, value, help)                                                                    \
    { name, type, offsetof(struct perigee_config, field), lo, hi, value, help }
#define TEMPLATE_OPTIONS                                                                                               \
    OPT("template", CONF_STRING, template_path, 0, 0, "FILE", "the SAM template"),                                     \
        OPT("parameters", CONF_STRING, parameters, 0, 0, "A=1,B=2", "values of the template's Parameters"),            \
        OPT("lua-dir", CONF_STRING, lua_dir, 0, 0, "DIR", "a directory whose modules override the built-in ones")
#define LOG_OPTION OPT("log-level", CONF_STRING, log_level, 0, 0, "LEVEL", "debug, info, warn, error or off")
#define KEY_OPTIONS                                                                                                    \
    OPT("access-key-id", CONF_STRING, access_key, 0, 0, "ID", "the engine's access key (perigee), or AWS's"),          \
        OPT("secret-access-key", CONF_STRING, secret_key, 0, 0, "KEY", "the engine's secret key (perigee), or AWS's"), \
        OPT("session-token", CONF_STRING, session_token, 0, 0, "TOKEN", "that goes with AWS's keys")
#define AWS_OPTIONS                                                                                                    \
    OPT("aws", CONF_BOOL, aws, 0, 0, NULL, "use AWS instead of the embedded engine"),                                  \
        OPT("profile", CONF_STRING, profile, 0, 0, "NAME", "profile of ~/.aws/config"),                                \
        OPT("region", CONF_STRING, region, 0, 0, "REGION", "AWS region"),                                              \
        OPT("endpoint-url", CONF_STRING, endpoint_url, 0, 0, "URL", "where all services are instead of AWS"),          \
        OPT("account", CONF_STRING, account, 0, 0, "N", "AWS account, instead of asking STS")
#define DEPLOYMENT_OPTIONS                                                                                             \
    OPT("stack", CONF_STRING, stack, 0, 0, "NAME", "CloudFormation stack that knows the resources' names"),            \
        OPT("resources", CONF_STRING, resources, 0, 0, "A=x,B=y", "names of deployed resources"),                      \
        OPT("lease-table", CONF_STRING, lease_table, 0, 0, "TABLE", "where replicas agree on schedules")
#define SCRATCH_OPTION                                                                                                 \
    OPT("scratch", CONF_STRING, scratch, 0, 0, "DIR", "where temporary files go ($TMPDIR, else /tmp)")

#define DOOR_OPTIONS                                                                                                   \
    OPT("control", CONF_BOOL, control, 0, 0, NULL, "let tests move clock and faults: /_perigee/cloud/ (cloud port)"),  \
        OPT("keys", CONF_STRING, keys, 0, 0, "FILE", "more keys that the cloud port takes: ID SECRET a line"),         \
        OPT("strict-ses", CONF_BOOL, strict_ses, 0, 0, NULL, "mail from verified identities only"),                    \
        OPT("no-verify", CONF_BOOL, no_verify, 0, 0, NULL, "take any signature and none on the cloud port (loopback)")

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
static const struct conf_option run_options[] = {
    OPT("lua-dir", CONF_STRING, lua_dir, 0, 0, "DIR", "a directory whose modules override the built-in ones"),
    LOG_OPTION,
    AWS_OPTIONS,
    KEY_OPTIONS,
    SCRATCH_OPTION,
    {0},
};
/* `perigee test` leaves its arguments to busted: these are read from the environment only. */
static const struct conf_option test_options[] = {AWS_OPTIONS, {0}};
static const struct conf_option doctor_options[] = {
    TEMPLATE_OPTIONS,
    OPT("host", CONF_STRING, host, 0, 0, "ADDRESS", "address that serve would listen on"),
    OPT("port", CONF_INT, port, 0, 65535, "PORT", "HTTP port of serve"),
    OPT("cloud-port", CONF_INT, cloud_port, 0, 65535, "PORT", "port of the embedded cloud"),
    OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory of the engine (" PERIGEE_DATA ")"),
    OPT("memory", CONF_BOOL, memory, 0, 0, NULL, "serve would keep the data in memory"),
    OPT("create", CONF_BOOL, create, 0, 0, NULL, "serve would make what is missing"),
    AWS_OPTIONS,
    DEPLOYMENT_OPTIONS,
    KEY_OPTIONS,
    SCRATCH_OPTION,
    {0},
};

static int failed(const struct err *e) {
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
    return rc ? failed(&e) : 0;
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
    return perigee_cloud(c, print_cloud_ready, c, &e) ? failed(&e) : 0;
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
    if (rc) return told ? 1 : failed(&e);
    printf("%s: template, schemas and handlers are fine\n", c->template_path);
    return 0;
}

static int run(struct perigee_config *c, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: perigee run [options] script.lua [arguments]\n");
        return 2;
    }
    int code = 1;
    struct err e = {0};
    c->modules = host_lua_modules;
    if (perigee_script(c, argv[1], NULL, STR_NONE, argc - 2, argv + 2, &code, &e)) return failed(&e);
    return code;
}

static int test(struct perigee_config *c, int argc, char **argv) {
    static const char chunk[] = "package.path = 'tests/?.lua;' .. package.path\n"
                                "require 'busted.runner'({ standalone = false })\n";
    int code = 1, none = 0;
    bool help = false;
    struct err e = {0};
    c->modules = host_lua_modules;
    if (conf_parse(test_options, c, 1, argv, &none, &help, &e)) return failed(&e);
    if (perigee_script(c, NULL, "perigee test", str_c(chunk), argc - 1, argv + 1, &code, &e)) return failed(&e);
    return code;
}

/* lua/perigee/doctor.lua gets the options as "name=value" arguments. */
static int doctor(struct perigee_config *c, int argc, char **argv) {
    static const char chunk[] = "return require('perigee.doctor').main(arg)";
    struct arena a = {0};
    char **options = ARENA_ARRAY(&a, char *, sizeof doctor_options / sizeof *doctor_options);
    int n = 0, code = 1, rc;
    struct err e = {0};
    if (argc > 1) {
        fprintf(stderr, "perigee doctor: unexpected argument '%s'\n", argv[1]);
        return 2;
    }
    for (const struct conf_option *o = doctor_options; o->name; o++) {
        const void *v = (const char *)c + o->offset;
        const char *text = o->type == CONF_STRING ? *(const char *const *)v : NULL;
        if (o->type == CONF_BOOL && *(const bool *)v) text = "true";
        if (o->type == CONF_INT) text = arena_printf(&a, "%lld", (long long)*(const int64_t *)v).p;
        if (text) options[n++] = (char *)arena_printf(&a, "%s=%s", o->name, text).p;
    }
    c->modules = host_lua_modules;
    c->log_level = "off"; /* the lines of the report say it all */
    rc = perigee_script(c, NULL, "perigee doctor", str_c(chunk), n, options, &code, &e);
    arena_free(&a);
    return rc ? failed(&e) : code;
}

static int version(struct perigee_config *c, int argc, char **argv) {
    (void)c, (void)argc, (void)argv;
    printf("perigee %s (%s)\n", PERIGEE_VERSION, "Lua 5.4");
    return 0;
}

/* -- the table ---------------------------------------------------------------------------------------------------- */

struct command {
    const char *name, *usage, *help;
    const struct conf_option *options; /* NULL: arguments go through untouched */
    int (*fn)(struct perigee_config *c, int argc, char **argv);
};
static const struct conf_option no_options[] = {{0}};
static const struct command commands[] = {
    {"serve", "[options]", "serve the template's functions over HTTP, on the embedded engine or on AWS", serve_options,
     serve},
    {"cloud", "[options]", "serve the embedded engine alone to any AWS client", cloud_options, cloud},
    {"doctor", "[options]", "say what of serve would work with these options, and what to do", doctor_options, doctor},
    {"check", "[options] [template]", "validate template, schemas and handlers", check_options, check},
    {"run", "[options] script.lua [arguments]", "run a Lua script with every binding", run_options, run},
    {"test", "[busted arguments]", "run busted inside the host", NULL, test},
    {"version", "", "print the version", no_options, version},
    {0},
};

static void usage(FILE *to) {
    fprintf(to, "usage: perigee <command> [options]\n\n");
    for (const struct command *c = commands; c->name; c++) fprintf(to, "  %-8s %s\n", c->name, c->help);
    fprintf(to, "\n`perigee <command> --help` lists the options of a command.\n");
}

/* Who stops `perigee cloud` does not wait for clients that poll a queue: they come again. */
static struct perigee_config defaults_of(const struct command *c) {
    struct perigee_config d = perigee_defaults();
    if (c->options == cloud_options) d.stop_ms = 1000;
    return d;
}

static void command_help(const struct command *c) {
    struct perigee_config defaults = defaults_of(c);
    struct buf b = BUF_MAX(1 << 16);
    printf("usage: perigee %s%s%s\n%s\n", c->name, *c->usage ? " " : "", c->usage, c->help);
    if (c->options && c->options->name) {
        conf_help(&b, c->options, &defaults);
        printf("\n%s", buf_cstr(&b));
    }
    buf_free(&b);
}

static int dispatch(const struct command *c, int argc, char **argv) {
    struct perigee_config config = defaults_of(c);
    struct err e = {0};
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (!help && c->options && conf_parse(c->options, &config, argc, argv, &argc, &help, &e)) {
        fprintf(stderr, "perigee %s: %s\n", c->name, e.msg);
        return 2;
    }
    if (!help) return c->fn(&config, argc, argv);
    command_help(c);
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (const struct command *c = commands; c->name; c++)
        if (!strcmp(argv[1], c->name)) return dispatch(c, argc - 1, argv + 1);
    fprintf(stderr, "perigee: '%s' is no command\n", argv[1]);
    usage(stderr);
    return 2;
}
