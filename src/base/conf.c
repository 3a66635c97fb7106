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

static bool parse_bool(const char *text, bool *ret) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!str_ieq(str_c(text), str_c(words[i]))) continue;
        *ret = i % 2;
        return true;
    }
    return false;
}

/* `source` is how the user gave it: "--port" or "PERIGEE_PORT". */
static int set_value(const struct conf_option *o, void *into, const char *source, const char *text, struct err *e) {
    int64_t v = 0;
    switch (o->type) {
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
        const char *text = getenv(variable);
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
        if (o && o->type != CONF_BOOL) o = NULL;
        if (o && value) return err_set(e, ERR_CONFIG, "%s takes no value", source);
        if (o) value = "false";
    }
    if (!o) return err_set(e, ERR_CONFIG, "unknown option %s", source);
    if (!value && o->type == CONF_BOOL) value = "true";
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

/* The options at the head of argv. Returns the index of the first argument that is none, or -1. */
static int parse_flags(const struct conf_option *options, void *into, int argc, char **argv, bool *ret_help,
                       struct err *e) {
    bool used;
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (strcmp(argv[i], "--") == 0) return i + 1;
        if ((*ret_help = is_help(argv[i]))) return i;
        if (argv[i][1] != '-') return err_set(e, ERR_CONFIG, "unknown option %s", argv[i]);
        if (flag(options, into, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &used, e)) return -1;
        i += used;
    }
    return i;
}

int conf_parse(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc, bool *ret_help,
               struct err *e) {
    struct err variables = {0};
    bool help = false;
    int n = argc ? 1 : 0;
    int refused = from_environment(options, into, &variables);
    int first = parse_flags(options, into, argc, argv, &help, e);
    if (refused && first >= 0 && !help) {
        if (e) *e = variables;
        return -1;
    }
    for (int i = 1; i < argc && first < 0; i++) help |= is_help(argv[i]); /* who is wrong and asks gets the help */
    if (first < 0 && !help) return -1;
    for (int i = first; i < argc && !help; i++) argv[n++] = argv[i];
    *ret_argc = n;
    *ret_help = help;
    return 0;
}

static void write_default(struct buf *b, const struct conf_option *o, const void *defaults) {
    const void *v = (const char *)defaults + o->offset;
    if (o->type == CONF_INT) {
        buf_c(b, ", default ");
        buf_i64(b, *(const int64_t *)v);
    } else if (o->type == CONF_STRING && *(const char *const *)v && **(const char *const *)v) {
        buf_printf(b, ", default %s", *(const char *const *)v);
    }
}

void conf_help(struct buf *b, const struct conf_option *options, const void *defaults) {
    for (const struct conf_option *o = options; o->name; o++) {
        char variable[VARIABLE_MAX], left[2 * VARIABLE_MAX];
        bool on = o->type == CONF_BOOL && *(const bool *)((const char *)defaults + o->offset);
        variable_of(o, variable);
        snprintf(left, sizeof left, "--%s%s%s%s", on ? "no-" : "", o->name, o->type == CONF_BOOL ? "" : " ",
                 o->type == CONF_BOOL ? "" : o->value_name);
        buf_printf(b, "  %-*s %s (%s", HELP_COLUMN, left, o->help, variable);
        write_default(b, o, defaults);
        buf_c(b, ")\n");
    }
}
