/* main_test.c: `perigee test`: busted inside the host. The options here are taken out of its arguments and handed over
 * in the environment (perigee.target reads them); all others are busted's. */
#include "main.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET "PERIGEE_TARGET"
#define COVERAGE "PERIGEE_COVERAGE"

/* AWS, for specs that call it: from the environment only. */
static const struct conf_option environment_options[] = {
    AWS_OPTIONS, OPT("lua-dir", CONF_STRING, lua_dir, 0, 0, "DIR", "modules that override the built-in ones"), {0}};

static const struct own_option {
    const char *name, *variable, *value; /* value NULL: a switch */
    const char *target;                  /* it goes with this one only; NULL: with any */
    const char *help;
} own_options[] = {
    {"target", TARGET, "WHERE", NULL,
     "where the application runs: process (here), http://HOST:PORT (a server that is there), serve (one\n"
     "                           that is started), lambda (the bootstrap, under a local Runtime API), aws (a stack)"},
    {"target-cloud", TARGET "_CLOUD", "URL", "http", "the cloud port of that server (its host, port 4566)"},
    {"bootstrap", TARGET "_BOOTSTRAP", "FILE", "lambda", "the bootstrap that is tested (the one beside this program)"},
    {"stack", TARGET "_STACK", "NAME", "aws", "the CloudFormation stack that knows the names of what is deployed"},
    {"target-url", TARGET "_URL", "URL", "aws", "the API (the stack's output ApiUrl)"},
    {"wipe", TARGET "_WIPE", NULL, "aws", "empty the stack's tables, queues and buckets before each test"},
    {"coverage", COVERAGE, NULL, "process", "measure which lines of handlers run"},
    {"coverage-out", COVERAGE "_OUT", "DIR", "process", "where lcov.info goes (build/coverage)"},
    {"coverage-min", COVERAGE "_MIN", "N", "process", "fail when less than N per cent of the lines ran"},
    {"coverage-exclude", COVERAGE "_EXCLUDE", "DIRS", "process", "whose files do not count: DIR,DIR (tests)"},
    {"lua-dir", "PERIGEE_LUA_DIR", "DIR", NULL, "a directory whose modules override the built-in ones"},
};
enum { OWN_OPTIONS = sizeof own_options / sizeof *own_options };

static bool is_target(const char *where) {
    static const char *const all[] = {"process", "serve", "lambda", "aws"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(where, all[i])) return true;
    return !strncmp(where, "http://", 7) || !strncmp(where, "https://", 8);
}

/* "--name" or "--name=value"; NULL: busted's. */
static const struct own_option *find_own(const char *word, const char **ret_value) {
    for (size_t i = 0; i < OWN_OPTIONS; i++) {
        size_t n = strlen(own_options[i].name);
        if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, own_options[i].name, n) != 0) continue;
        *ret_value = word[n + 2] == '=' ? word + n + 3 : NULL;
        if (*ret_value || !word[n + 2]) return &own_options[i];
    }
    return NULL;
}

static int take(const struct own_option *o, const char *value) {
    if (!o->value && value) return fprintf(stderr, "perigee test: --%s takes no value\n", o->name), -1;
    if (o->value && (!value || !*value)) return fprintf(stderr, "perigee test: --%s needs a value\n", o->name), -1;
    setenv(o->variable, o->value ? value : "1", 1);
    return 0;
}

/* Leaves busted's arguments in argv[1..*ret_argc). */
static int take_own(int argc, char **argv, int *ret_argc) {
    int n = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct own_option *o = find_own(argv[i], &value);
        if (!o)
            argv[n++] = argv[i];
        else if (take(o, value || !o->value ? value : i + 1 < argc ? argv[++i] : NULL))
            return -1;
    }
    *ret_argc = n;
    return 0;
}

static bool goes_with(const struct own_option *o, const char *target) {
    return !o->target || !strncmp(target, o->target, strlen(o->target));
}

static int check_own(void) {
    const char *target = getenv(TARGET);
    if (!target || !*target) target = "process";
    if (!is_target(target)) {
        fprintf(stderr,
                "perigee test: --target: '%s' is none (there are process, http://HOST:PORT, serve, lambda, aws)\n",
                target);
        return -1;
    }
    if (!getenv(COVERAGE) && (getenv(COVERAGE "_OUT") || getenv(COVERAGE "_MIN") || getenv(COVERAGE "_EXCLUDE"))) {
        const char *which = getenv(COVERAGE "_OUT") ? "out" : getenv(COVERAGE "_MIN") ? "min" : "exclude";
        fprintf(stderr, "perigee test: --coverage-%s goes with --coverage\n", which);
        return -1;
    }
    for (size_t i = 0; i < OWN_OPTIONS; i++) {
        const struct own_option *o = &own_options[i];
        const char *given = getenv(o->variable);
        if (!given || !*given || goes_with(o, target)) continue;
        fprintf(stderr, "perigee test: --%s goes with --target %s\n", o->name, o->target);
        return -1;
    }
    return 0;
}

static void help(void) {
    printf("usage: perigee test [options] [busted's arguments]\nrun busted inside the host\n\n");
    for (size_t i = 0; i < OWN_OPTIONS; i++) {
        const struct own_option *o = &own_options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s what busted itself takes: files, --filter, --tags, -o, ...\n", "--busted-help");
}

int command_test(struct perigee_config *c, int argc, char **argv) {
    static const char chunk[] = "package.path = 'tests/?.lua;' .. package.path\n"
                                "local finish = require 'perigee.coverage'.start()\n"
                                "require 'busted.runner'({ standalone = false })\n"
                                "return finish(0)\n";
    static char busted_help[] = "--help";
    int code = 1, none = 0;
    bool no_help = false;
    struct err e = {0};
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) return help(), 0;
    if (take_own(argc, argv, &argc) || check_own()) return 2;
    if (argc > 1 && !strcmp(argv[1], "--busted-help")) argv[1] = busted_help;
    c->modules = host_lua_modules;
    if (conf_parse(environment_options, c, 1, argv, &none, &no_help, &e)) return command_failed(&e);
    if (perigee_script(c, NULL, "perigee test", str_c(chunk), argc - 1, argv + 1, &code, &e)) return command_failed(&e);
    return code;
}
