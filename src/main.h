/* main (private to main.c and main_lua.c): the table of sub-commands and the options that several of them share. */
#ifndef PERIGEE_MAIN_H
#define PERIGEE_MAIN_H
#include "base/conf.h"
#include "host.h"

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
/* Of commands that work on a store wherever it is, by perigee.operator; with --json as lua.flag[0]. */
#define OPERATOR_OPTIONS                                                                                               \
    TEMPLATE_OPTIONS, OPT("data", CONF_STRING, data, 0, 0, "DIR", "data directory of the engine (" PERIGEE_DATA ")"),  \
        AWS_OPTIONS, DEPLOYMENT_OPTIONS, KEY_OPTIONS, LUA_FLAG(0, "json", "print JSON")
#define RECORD_OPTIONS                                                                                                 \
    OPT("record", CONF_BOOL, record, 0, 0, NULL, "keep requests, messages and events for perigee log and replay"),     \
        OPT("record-max-bytes", CONF_INT, record_max_bytes, 1 << 20, INT64_MAX, "N",                                   \
            "of all that is kept; the oldest go first"),                                                               \
        OPT("redact", CONF_LIST, redact, 0, 0, "NAME,NAME", "members of bodies that are not kept, as email")
#define SCRATCH_OPTION                                                                                                 \
    OPT("scratch", CONF_STRING, scratch, 0, 0, "DIR", "where temporary files go ($TMPDIR, else /tmp)")

#define DOOR_OPTIONS                                                                                                   \
    OPT("control", CONF_BOOL, control, 0, 0, NULL, "let tests move clock and faults: /_perigee/cloud/ (cloud port)"),  \
        OPT("keys", CONF_STRING, keys, 0, 0, "FILE", "more keys that the cloud port takes: ID SECRET a line"),         \
        OPT("strict-ses", CONF_BOOL, strict_ses, 0, 0, NULL, "mail from verified identities only"),                    \
        OPT("no-verify", CONF_BOOL, no_verify, 0, 0, NULL, "take any signature and none on the cloud port (loopback)")

/* Options of commands that Lua carries out, each by a place of its own in these lists. */
struct lua_settings {
    const char *text[16];
    int64_t number[8]; /* INT64_MIN: not given */
    bool flag[16];
    struct conf_list list[2];
};
/* All that options fill. */
struct settings {
    struct perigee_config config; /* first: a command is given this part */
    struct perigee_package package;
    struct perigee_event event;
    struct perigee_runtime_api runtime_api;
    const char *event_file;
    bool cost; /* of invoke */
    struct lua_settings lua;
};
#define OWN_RANGE(name, type, field, lo, hi, value, help)                                                              \
    { name, (type) | CONF_FLAG_ONLY, offsetof(struct settings, field), lo, hi, value, help }
#define OWN_OPT(name, type, field, value, help) OWN_RANGE(name, type, field, 0, 0, value, help)
#define LUA_TEXT(i, name, value, help) OWN_OPT(name, CONF_STRING, lua.text[i], value, help)
#define LUA_NUMBER(i, name, lo, hi, value, help) OWN_RANGE(name, CONF_INT, lua.number[i], lo, hi, value, help)
#define LUA_FLAG(i, name, help) OWN_OPT(name, CONF_BOOL, lua.flag[i], NULL, help)
#define LUA_LIST(i, name, value, help) OWN_OPT(name, CONF_LIST, lua.list[i], value, help)

struct command {
    const char *name, *usage, *help;
    const struct conf_option *options; /* NULL: arguments go through untouched */
    int (*fn)(struct perigee_config *c, int argc, char **argv);
    bool mixed; /* options may stand behind operands */
    /* of those that Lua carries out: */
    const char *module; /* of lua/perigee; NULL: named as the command */
    bool operands;      /* it takes some */
    bool apart;         /* the module opens the store itself: options that say where it is are the module's */
};

extern const struct command lua_commands[];                        /* main_lua.c; ended by a name that is NULL */
int command_failed(const struct err *e);                           /* prints it; the exit code 1 */
int command_test(struct perigee_config *c, int argc, char **argv); /* main_test.c */

#endif
