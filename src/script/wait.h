/* wait (private to script/): how a host function of Lua waits for something, and what the lib/ modules see of their
 * job.
 *
 * Order for anything that waits: check arguments -> make the operation a userdata on the stack (its __gc/__close frees
 * it) -> acquire -> `return script_wait(L, &op->wait, cancel, op, finish)` as the last statement, after having started
 * the operation. When the operation ends, its callback (on the loop's thread, never inside the starting call) stores
 * the outcome in the op and calls script_wake(&op->wait). `finish` then runs in the job, under protection, and pushes
 * the results (it may raise). The stack below (the op among it) is kept while waiting. On cancellation `cancel(op)` is
 * called first and must guarantee that script_wake is not called any more. */
#ifndef PERIGEE_SCRIPT_WAIT_H
#define PERIGEE_SCRIPT_WAIT_H
#include "script/script.h"
#include <lauxlib.h>
#include <lua.h>

struct job;

struct script_wait {
    struct script *script;
    struct job *job; /* NULL: outside of any job (trusted scripts) */
    bool woken, waiting;
    void (*cancel)(void *ud);
    void *ud;
    lua_KFunction finish; /* private from here on */
    struct list node;     /* among the job's waits */
};

struct script *script_of(lua_State *L);
const struct script_config *script_config(struct script *s);
struct job *script_running(struct script *s); /* the job whose code runs now, or NULL */

/* May this code wait? Raises "<what> is not possible inside table.sort, string.gsub, ..." when a C boundary is in the
 * way, and an error in module bodies ("while a module is being loaded"). Call it before acquiring anything. */
void script_check_wait(lua_State *L, const char *what);
/* Waits; returns what finish returns. finish(L, LUA_YIELD, (lua_KContext)ud). */
int script_wait(lua_State *L, struct script_wait *w, void (*cancel)(void *ud), void *ud, lua_KFunction finish);
void script_wake(struct script_wait *w);
/* The op is being collected (__gc) though it may still be waited for: forgets it. Harmless on a zeroed or finished one.
 */
void script_wait_forget(struct script_wait *w);
/* A file of the loaded sources of the running code (its version's snapshot): .lua below the code directories,
 * config/schemas/<x>.json by its path relative to root_dir. In trusted states without a version: read from root_dir. -1
 * and e when there is none. Valid while the version is in use. */
int script_source(lua_State *L, struct str path, struct str *ret, struct err *e);

/* Context of an AWS call made by the running code: request id, function, policy, deadline. Counts it against the job's
 * limit (raises). */
struct aws_context script_aws_context(lua_State *L);
/* Adds the job's fields ("request_id", "function", "trace_id", "correlation_id") to a log line begun with log_begin. */
void script_log_fields(lua_State *L, struct buf *line);
/* The Host header of the running request, or empty: for presigned links. */
struct str script_host_hint(lua_State *L);
/* Remaining wall time of the running job in ms; INT64_MAX outside of jobs. Pattern matching and other long C loops call
 * script_poll every few thousand steps: it raises when the job's time is up. */
int64_t script_remaining_ms(lua_State *L);
void script_poll(lua_State *L);

/* Names of metatables in the registry (luaL_newmetatable; made by whoever needs one first). The marks carry no methods:
 * a table with SCRIPT_MARK_ARRAY is a JSON array also when empty, with SCRIPT_MARK_OBJECT an object also when empty.
 * json.null is the light userdata NULL (as in lua-cjson). SCRIPT_DECIMAL is a full userdata holding a NUL-terminated
 * JSON number literal (aws.number): encoded as that number. */
#define SCRIPT_MARK_ARRAY "perigee.json.array"
#define SCRIPT_MARK_OBJECT "perigee.json.object"
#define SCRIPT_DECIMAL "perigee.decimal"

/* lib modules: luaopen functions, one a file in script/lib. */
int script_open_json(lua_State *L);                                     /* perigee.json */
int script_open_log(lua_State *L);                                      /* perigee.log */
int script_open_time(lua_State *L);                                     /* perigee.time */
int script_open_crypto(lua_State *L);                                   /* perigee.crypto */
int script_open_sigv4(lua_State *L);                                    /* perigee.sigv4.core */
int script_open_pdf(lua_State *L);                                      /* perigee.pdf */
int script_open_aws(lua_State *L);                                      /* perigee.aws.core */
int script_open_http(lua_State *L);                                     /* perigee.http.core */
int script_open_coverage(lua_State *L);                                 /* perigee.coverage.core, of trusted states */
void script_push_covered(lua_State *L, const struct script_covered *f); /* {path, text, of_handlers, lines} */
int script_open_file(lua_State *L); /* perigee.file: read(path) of files in the loaded sources (schemas) */
/* Replaces string.find/match/gmatch/gsub/rep in the table at the top by versions that count steps and call script_poll.
 */
void script_open_pattern(lua_State *L);

#endif
