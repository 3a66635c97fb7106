/* main_lua.c: sub-commands that a module of lua/perigee carries out: `perigee x` calls main(options, operands) of
 * perigee.x in a trusted state with every binding, and ends with the number it returns. options: by name; texts as
 * strings, numbers as integers, switches as true, lists as sequences; what was not given is not there. */
#include "main.h"
#include <stdio.h>
#include <string.h>

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

#define RECORDINGS_OPTION OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory (" PERIGEE_DATA ")")
static const struct conf_option log_options[] = {
    RECORDINGS_OPTION,
    LUA_TEXT(0, "function", "NAME", "ls: of this function"),
    LUA_TEXT(1, "status", "STATUS", "ls: ok, failed, cancelled, 404, 5xx"),
    LUA_TEXT(2, "since", "TIME", "ls: 30s, 10m, 2h, 1d ago, or 2026-01-31T12:00:00Z"),
    LUA_TEXT(3, "order", "ID", "ls: which name this id anywhere"),
    LUA_TEXT(4, "correlation", "ID", "ls: likewise"),
    LUA_NUMBER(0, "limit", 1, INT64_MAX, "N", "ls: the newest so many (20)"),
    LUA_FLAG(0, "json", "as it was recorded, a line each"),
    {0},
};
static const struct conf_option replay_options[] = {
    RECORDINGS_OPTION,
    LUA_TEXT(3, "template", "FILE", "the SAM template, if not the one that was recorded"),
    LUA_TEXT(4, "parameters", "A=1,B=2", "values of the template's Parameters, over those that were recorded"),
    LUA_TEXT(5, "lua-dir", "DIR", "a directory whose modules override the built-in ones"),
    LUA_FLAG(0, "diff", "what is otherwise than it was recorded"),
    LUA_TEXT(0, "json", "FILE", "instead: an event, a message or a dead letter from elsewhere, - for standard input"),
    LUA_TEXT(1, "function", "NAME", "with --json: which function, when the document does not tell"),
    LUA_TEXT(2, "at", "TIME", "with --json: what time it is, 2026-01-31T12:00:00Z; else now"),
    LUA_LIST(0, "header", "NAME:VALUE", "a header of the request that was not kept, as Authorization"),
    {0},
};

static const struct conf_option chaos_options[] = {
    TEMPLATE_OPTIONS,
    LUA_TEXT(0, "invariants", "FILE", "flows and what must hold (invariants.lua beside the template)"),
    LUA_NUMBER(0, "seed", 1, INT32_MAX, "N", "of ids, samples and orders: the same seed, the same runs (1)"),
    LUA_NUMBER(1, "depth", 1, 2, "N", "1: one fault a run; 2: each pair (1)"),
    LUA_NUMBER(2, "limit", 1, INT32_MAX, "N", "so many runs, chosen by the seed (all)"),
    LUA_NUMBER(3, "jobs", 1, 256, "N", "processes (as many as there are cores)"),
    LUA_TEXT(1, "spec", "DIR", "where specs that replay violations are written (build/chaos)"),
    LUA_TEXT(2, "share", "I/N", "run the I-th of N shares and tell it as JSON lines"),
    LUA_FLAG(0, "list", "flows, their calls and points, invariants, functions"),
    LUA_FLAG(1, "json", "the report as one JSON document"),
    {0},
};

static const struct conf_option idempotency_options[] = {
    OPERATOR_OPTIONS,
    LUA_TEXT(0, "table", "TABLE", "the table with the records, instead of the template's"),
    LUA_NUMBER(0, "limit", 1, 100000, "N", "show at most N records (50)"),
    LUA_FLAG(1, "yes", "evict without asking"),
    LUA_FLAG(2, "force", "evict also what may be running"),
    {0},
};

static const struct conf_option dlq_options[] = {
    OPERATOR_OPTIONS,
    LUA_TEXT(0, "queue-url", "URL", "a dead-letter queue that the template does not have"),
    LUA_TEXT(1, "to", "QUEUE", "redrive: another queue (name or URL) than the one messages came from"),
    LUA_LIST(0, "filter", "A=B", "redrive: messages with this member only: a.b=c, a~pattern, id=...; may be repeated"),
    LUA_NUMBER(0, "limit", 1, 1000000, "N", "show (10) or move (all) at most N messages"),
    LUA_NUMBER(1, "rate", 1, 10000, "N", "redrive: at most N messages a second"),
    LUA_FLAG(1, "dry-run", "redrive: say what would move"),
    LUA_FLAG(2, "force", "look into a queue though looking may move its messages on"),
    {0},
};

static const struct conf_option graph_options[] = {
    TEMPLATE_OPTIONS,
    LUA_TEXT(0, "machine", "NAME", "only this one"),
    LUA_TEXT(1, "format", "FORMAT", "text, svg or dot (by the name of --out, else text)"),
    LUA_TEXT(2, "out", "FILE", "where it goes, instead of the standard output"),
    LUA_FLAG(0, "ascii", "text without box-drawing characters"),
    {0},
};

/* -- options -> arguments ------------------------------------------------------------------------------------------ */

static const char chunk[] =
    "local module, options, operands = require(arg[1]), {}, {}\n"
    "local read = { s = function(v) return v end, i = math.tointeger, b = function() return true end }\n"
    "for i = 2, #arg do\n"
    "  local kind, name, value = arg[i]:match '^(%l):([^=]+)=(.*)$'\n"
    "  if kind == 'o' then operands[#operands + 1] = value\n"
    "  elseif kind == 'l' then options[name] = options[name] or {}; table.insert(options[name], value)\n"
    "  else options[name] = read[kind](value) end\n"
    "end\n"
    "return module.main(options, operands)\n";

struct arguments {
    struct arena arena;
    char **list;
    int n, room;
};

static void add(struct arguments *a, char kind, const char *name, const char *value) {
    if (a->n == a->room) {
        char **more = ARENA_ARRAY(&a->arena, char *, (size_t)a->room * 2 + 16);
        if (a->n) memcpy(more, a->list, (size_t)a->n * sizeof *more);
        a->list = more;
        a->room = a->room * 2 + 16;
    }
    a->list[a->n++] = (char *)arena_printf(&a->arena, "%c:%s=%s", kind, name, value).p;
}

static void add_option(struct arguments *a, const struct conf_option *o, const void *settings) {
    const void *v = (const char *)settings + o->offset;
    switch (o->type & ~(unsigned)CONF_FLAG_ONLY) {
    case CONF_STRING:
        if (*(const char *const *)v) add(a, 's', o->name, *(const char *const *)v);
        break;
    case CONF_BOOL:
        if (*(const bool *)v) add(a, 'b', o->name, "true");
        break;
    case CONF_INT:
        if (*(const int64_t *)v != INT64_MIN)
            add(a, 'i', o->name, arena_printf(&a->arena, "%lld", (long long)*(const int64_t *)v).p);
        break;
    default:
        for (size_t i = 0; i < ((const struct conf_list *)v)->n; i++)
            add(a, 'l', o->name, ((const struct conf_list *)v)->items[i]);
    }
}

/* -- the commands ---------------------------------------------------------------------------------------------------
 */

/* argv[0] is the command. With --aws its state calls AWS; else an engine in memory that is empty: other stores the
 * module opens itself, by perigee.host. */
static int run_module(struct perigee_config *c, int argc, char **argv) {
    const struct command *command = lua_commands;
    struct perigee_config own = *c;
    struct arguments a = {0};
    struct err e = {0};
    int code = 1;
    while (strcmp(command->name, argv[0]) != 0) command++;
    if (argc > 1 && !command->operands) {
        fprintf(stderr, "perigee %s: unexpected argument '%s'\n", argv[0], argv[1]);
        return 2;
    }
    if (command->apart) {
        own = perigee_defaults();
        own.lua_dir = c->lua_dir;
    }
    char *module = (char *)arena_printf(&a.arena, "perigee.%s", command->module ? command->module : argv[0]).p;
    add(&a, 'o', "", "");
    for (const struct conf_option *o = command->options; o->name; o++) add_option(&a, o, c);
    for (int i = 1; i < argc; i++) add(&a, 'o', "operand", argv[i]);
    a.list[0] = module;
    own.modules = host_lua_modules;
    own.log_level = "off"; /* what the module prints says it all */
    int rc = perigee_script(&own, NULL, argv[0], str_c(chunk), a.n, a.list, &code, &e);
    arena_free(&a.arena);
    return rc ? command_failed(&e) : code;
}

const struct command lua_commands[] = {
    {.name = "doctor",
     .usage = "[options]",
     .help = "say what of serve would work with these options, and what to do",
     .options = doctor_options,
     .fn = run_module},
    {.name = "log",
     .usage = "ls | show ID [options]",
     .help = "what serve --development has recorded",
     .options = log_options,
     .fn = run_module,
     .mixed = true,
     .module = "log_command",
     .operands = true},
    {.name = "replay",
     .usage = "ID [--diff] | --json FILE",
     .help = "run a recorded request again on the state it saw, with the handlers as they are now",
     .options = replay_options,
     .fn = run_module,
     .mixed = true,
     .operands = true},
    {.name = "chaos",
     .usage = "[options] [flow|Function ...]",
     .help = "cut flows off and disturb them at every point, and check what must hold",
     .options = chaos_options,
     .fn = run_module,
     .mixed = true,
     .operands = true},
    {.name = "dlq",
     .usage = "ls | show QUEUE | redrive QUEUE [options]",
     .help = "look at dead letters, and send them back to where they came from",
     .options = dlq_options,
     .fn = run_module,
     .mixed = true,
     .operands = true,
     .apart = true},
    {.name = "idempotency",
     .usage = "find KEY | evict KEY [options]",
     .help = "look at the records of requests and effects that happen once, and remove them",
     .options = idempotency_options,
     .fn = run_module,
     .mixed = true,
     .module = "idempotency_command",
     .operands = true,
     .apart = true},
    {.name = "graph",
     .usage = "[options]",
     .help = "draw the state machines that the handlers declare",
     .options = graph_options,
     .fn = run_module,
     .module = "graph_command"},
    {0},
};
