#include "base/conf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARIABLE_MAX = 64, HELP_COLUMN = 26 };

static void *field(const struct conf_option *o, void *into) {
    return (char *)into + o->offset;
}

/* "cloud-port" -> "PERIGEE_CLOUD_PORT" */
static void variable_of(const struct conf_option *o, char out[VARIABLE_MAX]) {
    snprintf(out, VARIABLE_MAX, "PERIGEE_%s", o->name);
    for (char *p = out; *p; p++) {
        if (*p == '-') *p = '_';
        if (*p >= 'a' && *p <= 'z') *p -= 32;
    }
}

static unsigned type_of(const struct conf_option *o) {
    return o->type & ~(unsigned)CONF_FLAG_ONLY;
}

static bool has_variable(const struct conf_option *o) {
    return o->type < CONF_LIST;
}

static bool parse_bool(const char *text, bool *ret) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!str_ieq(str_c(text), str_c(words[i]))) continue;
        *ret = i % 2;
        return true;
    }
    return false;
}

static int add_value(struct conf_list *list, const char *source, const char *text, struct err *e) {
    if (list->n == CONF_LIST_MAX)
        return err_set(e, ERR_CONFIG, "%s is given more than %d times", source, CONF_LIST_MAX);
    list->items[list->n++] = text;
    return 0;
}

/* `source` is how the user gave it: "--port" or "PERIGEE_PORT". */
static int set_value(const struct conf_option *o, void *into, const char *source, const char *text, struct err *e) {
    int64_t v = 0;
    switch (type_of(o)) {
    case CONF_LIST:
        return add_value(field(o, into), source, text, e);
    case CONF_STRING:
        *(const char **)field(o, into) = text;
        return 0;
    case CONF_BOOL:
        if (parse_bool(text, field(o, into))) return 0;
        return err_set(e, ERR_CONFIG, "%s: '%s' is neither true nor false", source, text);
    case CONF_INT:
        if (!str_i64(str_c(text), &v)) return err_set(e, ERR_CONFIG, "%s: '%s' is not a whole number", source, text);
        if (v < o->min || v > o->max)
            return err_set(e, ERR_CONFIG, "%s: %lld is not between %lld and %lld", source, (long long)v,
                           (long long)o->min, (long long)o->max);
        *(int64_t *)field(o, into) = v;
        return 0;
    }
    fatal("option %s has an unknown type", o->name);
}

/* An empty variable counts as not set. */
static int from_environment(const struct conf_option *options, void *into, struct err *e) {
    for (const struct conf_option *o = options; o->name; o++) {
        char variable[VARIABLE_MAX];
        variable_of(o, variable);
        const char *text = has_variable(o) ? getenv(variable) : NULL;
        if (text && *text && set_value(o, into, variable, text, e)) return -1;
    }
    return 0;
}

static const struct conf_option *find(const struct conf_option *options, struct str name) {
    for (const struct conf_option *o = options; o->name; o++)
        if (str_is(name, o->name)) return o;
    return NULL;
}

/* `arg` behind "--"; `next` is the argument that follows it, or NULL. *ret_used: next was taken as the value. */
static int flag(const struct conf_option *options, void *into, const char *arg, const char *next, bool *ret_used,
                struct err *e) {
    struct str rest = str_c(arg), name = str_cut(&rest, '=');
    const char *value = rest.p;
    char source[VARIABLE_MAX];
    snprintf(source, sizeof source, "--%.*s", STR_ARG(name));
    const struct conf_option *o = find(options, name);
    *ret_used = false;
    if (!o && str_starts(name, STR("no-"))) {
        o = find(options, str_from(name, 3));
        if (o && type_of(o) != CONF_BOOL) o = NULL;
        if (o && value) return err_set(e, ERR_CONFIG, "%s takes no value", source);
        if (o) value = "false";
    }
    if (!o) return err_set(e, ERR_CONFIG, "unknown option %s", source);
    if (!value && type_of(o) == CONF_BOOL) value = "true";
    if (!value) {
        if (!next) return err_set(e, ERR_CONFIG, "%s needs a value (%s)", source, o->value_name);
        value = next;
        *ret_used = true;
    }
    return set_value(o, into, source, value, e);
}

static bool is_help(const char *arg) {
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static bool is_option(const char *arg) {
    return arg[0] == '-' && arg[1];
}

/* Leaves the operands at argv[1..*ret_argc): all that follows the first one or "--", and with `mixed` those between
 * options. Stops at --help. */
static int parse_flags(const struct conf_option *options, void *into, bool mixed, int argc, char **argv, int *ret_argc,
                       bool *ret_help, struct err *e) {
    bool used, end = false;
    int n = argc ? 1 : 0;
    for (int i = 1; i < argc; i++) {
        if (end || !is_option(argv[i])) {
            argv[n++] = argv[i];
            end |= !mixed;
        } else if (strcmp(argv[i], "--") == 0) {
            end = true;
        } else if ((*ret_help = is_help(argv[i]))) {
            return 0;
        } else if (argv[i][1] != '-') {
            return err_set(e, ERR_CONFIG, "unknown option %s", argv[i]);
        } else {
            if (flag(options, into, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &used, e)) return -1;
            i += used;
        }
    }
    *ret_argc = n;
    return 0;
}

static int parse(const struct conf_option *options, void *into, bool mixed, int argc, char **argv, int *ret_argc,
                 bool *ret_help, struct err *e) {
    struct err variables = {0};
    bool help = false;
    int n = 1, refused = from_environment(options, into, &variables);
    int wrong = parse_flags(options, into, mixed, argc, argv, &n, &help, e);
    if (refused && !wrong && !help) {
        if (e) *e = variables;
        return -1;
    }
    for (int i = 1; i < argc && wrong; i++) help |= is_help(argv[i]); /* who is wrong and asks gets the help */
    if (wrong && !help) return -1;
    *ret_argc = n;
    *ret_help = help;
    return 0;
}

int conf_parse(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc, bool *ret_help,
               struct err *e) {
    return parse(options, into, false, argc, argv, ret_argc, ret_help, e);
}

int conf_parse_mixed(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc,
                     bool *ret_help, struct err *e) {
    return parse(options, into, true, argc, argv, ret_argc, ret_help, e);
}

static void write_default(struct buf *b, const struct conf_option *o, const void *defaults) {
    const void *v = (const char *)defaults + o->offset;
    if (type_of(o) == CONF_INT) {
        buf_c(b, ", default ");
        buf_i64(b, *(const int64_t *)v);
    } else if (type_of(o) == CONF_STRING && *(const char *const *)v && **(const char *const *)v) {
        buf_printf(b, ", default %s", *(const char *const *)v);
    }
}

void conf_help(struct buf *b, const struct conf_option *options, const void *defaults) {
    for (const struct conf_option *o = options; o->name; o++) {
        char variable[VARIABLE_MAX], left[2 * VARIABLE_MAX];
        bool is_bool = type_of(o) == CONF_BOOL;
        bool on = is_bool && *(const bool *)((const char *)defaults + o->offset);
        variable_of(o, variable);
        snprintf(left, sizeof left, "--%s%s%s%s", on ? "no-" : "", o->name, is_bool ? "" : " ",
                 is_bool ? "" : o->value_name);
        buf_printf(b, "  %-*s %s", HELP_COLUMN, left, o->help);
        if (has_variable(o)) {
            buf_printf(b, " (%s", variable);
            write_default(b, o, defaults);
            buf_c(b, ")");
        }
        buf_c(b, "\n");
    }
}
