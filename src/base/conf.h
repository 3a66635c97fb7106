/* conf: one table of settings per sub-command; each is a flag and a PERIGEE_ variable, flags win.
 * "--cloud-port 4566", "--cloud-port=4566", PERIGEE_CLOUD_PORT=4566. "--no-reload" sets a CONF_BOOL "reload" to false;
 * "--memory" sets true. */
#ifndef PERIGEE_BASE_CONF_H
#define PERIGEE_BASE_CONF_H
#include "base/buf.h"

enum conf_type { CONF_STRING, CONF_INT, CONF_BOOL, CONF_LIST };
enum { CONF_FLAG_ONLY = 16 }; /* beside a type: there is no variable for it, nor ever for a list */
enum { CONF_LIST_MAX = 64 };
struct conf_list { /* of a CONF_LIST: the flag may be given again and again */
    const char *items[CONF_LIST_MAX];
    size_t n;
};

struct conf_option {
    const char *name; /* "cloud-port" */
    unsigned type;    /* of enum conf_type */
    size_t offset; /* in the struct filled: const char * / int64_t / bool / struct conf_list, with its default already
                      there */
    int64_t min, max;
    const char *value_name; /* "PORT" */
    const char *help;
};

/* Fills `into`. Options end at the first positional argument (POSIX 12.2) or at "--"; what follows stays in
 * argv[1..*ret_argc) (argv[0] untouched).
 * Errors name the flag or the variable and what is wrong. *ret_help: --help or -h was given (nothing else checked). */
int conf_parse(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc, bool *ret_help,
               struct err *e);
/* As conf_parse, but options may also stand behind operands, up to "--". */
int conf_parse_mixed(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc,
                     bool *ret_help, struct err *e);
/* Appends one aligned line an option, with its variable and default. */
void conf_help(struct buf *b, const struct conf_option *options, const void *defaults);

#endif
