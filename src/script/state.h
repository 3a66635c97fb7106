/* state (private to script/): a worker's Lua and its parts.
 *
 * Two doors lead from C into Lua: state_door (lua_pcall of a light C function on the main thread) and job_resume_lua
 * (lua_resume). Everything that may raise runs behind one of them. Lua may be left in three ways: return, raise, and
 * yield. A job that must end (deadline, limit, cancel) is left by a yield wherever that is possible, because a yield
 * can neither be caught nor runs message handlers; see limits.c. */
#ifndef PERIGEE_SCRIPT_STATE_H
#define PERIGEE_SCRIPT_STATE_H
#include "base/list.h"
#include "base/map.h"
#include "script/conv.h"
#include "script/heap.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/*                      +-------- preempted or woken -------+
 *                      v                                   |
 *   IDLE -> NEW -> RUNNING -> WAITING -> READY -> RUNNING -+
 *                      |         |         |
 *                      +---------+---------+-> DONE | CANCELLED -> IDLE  */
enum job_state { JOB_IDLE, JOB_NEW, JOB_RUNNING, JOB_WAITING, JOB_READY, JOB_DONE, JOB_CANCELLED };

/* Why a coroutine of ours has yielded; set by who yields, taken by who resumed it. YIELD_NONE: the handler's own
 * coroutine.yield. */
enum yield { YIELD_NONE, YIELD_WAIT, YIELD_PREEMPT, YIELD_STOP };

struct version {
    struct script *s;
    size_t refs; /* jobs, and one for being present or prepared */
    struct script_sources *sources;
    struct arena arena;
    struct unit *units;
    size_t n;
    bool sealed;        /* shared modules may not make globals any more */
    int box_ref;        /* userdata that frees this struct; functions of the version hold it */
    int shared_ref;     /* table: loaded perigee.* Lua modules by name */
    int env_ref;        /* their globals; both LUA_NOREF until a function requires one */
    struct map covered; /* by chunk: struct script_covered; empty where lines are not counted */
    char id[17];
};
struct unit { /* one function of a version */
    struct version *version;
    struct function fn; /* copied, but for the policy's statements */
    int handler_ref;
    int loaded_ref; /* its modules by name */
    int env_ref;    /* its globals */
    bool sealed;    /* loaded: undeclared globals are errors from now on */
};

struct job {
    struct list node;
    struct script *s;
    enum job_state state;
    lua_State *co;
    int slot;   /* 1-based: where the coroutine and what belongs to the job are anchored */
    bool fresh; /* the coroutine may not be used again */
    lua_Integer serial;
    struct unit *unit;
    struct script_job in;
    struct arena arena;
    script_reply_fn *reply;
    void *ud;
    bool *ret_replied; /* script_start's */
    bool replied, silent, has_after, in_after, warned;
    bool wake_again;   /* a wait of the running job was woken: by itself */
    struct list waits; /* script_wait.node */
    struct loop_task task;
    struct loop_timer deadline;
    uint64_t timeout_ms, deadline_ms;
    uint64_t cpu_ns, cpu_max_ns, resumed_ns,
        thread_ns; /* thread_ns: thread CPU clock at the last interruption of this resume; 0: none yet */
    uint64_t instructions;
    int64_t bytes, bytes_max; /* bytes_max 0: no limit */
    bool denied_job, denied_state;
    uint32_t aws_calls;
    int loading;     /* depth of module bodies */
    struct err stop; /* the job must end with this */
    struct err err;  /* how it ended */
    struct buf trace;
    struct http_response response;
    struct job_stream { /* stream.c; the head is in response until the first write */
        bool open, begun, closed;
        int no_body;    /* the status that allows none, or 0 */
        size_t waiting; /* bytes for the peer */
        struct list writers;
    } stream;
    struct json value;     /* of an event: what the handler returned */
    struct str error_type; /* the code of the error table that it raised or returned */
};

struct script {
    struct script_config c;
    lua_State *L;
    struct heap heap;
    uint64_t bytes;
    unsigned deny; /* growing allocations still to be refused */
    void *born;    /* the first block of a state that is being made, for seed_hashes */
    size_t born_bytes;
    uint64_t fail_in; /* tests: the n-th allocation from now fails; 0: none */
    struct job *running;
    lua_State *volatile current; /* whose code runs; read by the signal handler */
    bool chain_ok;               /* all resumers of `current` can yield */
    lua_State *spin_root;        /* trusted, outside of jobs: runs perigee.parallel by spinning the loop */
    int reset_depth;             /* of coroutines being closed inside of each other */
    enum yield yield;
    struct script_wait *yield_wait; /* with YIELD_WAIT: the one wait; NULL: several */
    /* the watch: seq is odd while Lua runs */
    _Atomic uint64_t seq;
    _Atomic bool interrupt;
    _Atomic pthread_t thread;
    _Atomic uint64_t seen_seq, seen_ms;
    timer_t watch; /* script_watch_self's */
    bool watches_self;
    uint64_t rest_bytes;    /* script_rest collects from here on */
    bool covered;           /* lines are counted */
    int hook_mask;          /* of the permanent hook; 0: there is none */
    int hook_count;         /* of the permanent hook; 0: it does not count instructions */
    uint64_t load_ms;       /* that the module of one function may take to load */
    uint64_t load_until_ms; /* while versions are loaded outside of jobs; 0: no limit */
    int loading;
    const struct unit *loading_unit;
    struct version *loading_version;

    struct list jobs, ready, idle; /* job.node */
    size_t n_jobs, n_idle;
    int n_slots;
    lua_Integer serial;
    struct loop_task ready_task;
    bool ready_posted, closing;
    struct version *present, *prepared;
    struct script_observer *observers; /* NULL: nobody looks on */
    struct arena kept;                 /* files that trusted scripts have read */
    int threads_ref, after_ref;        /* tables by slot */
    int clibs_ref, base_ref;           /* C modules by name; pristine globals */
    int objects_ref;                   /* metatables of request, headers, message, context: 1.. */
};

/* -- state.c -- */
/* script_open, with the n-th allocation of Lua failing (0: none). */
int state_open(const struct script_config *c, uint64_t fail_at, struct script **ret, struct err *e);
/* Calls fn(L) with ud as a light userdata argument, protected. -1 and e (its message) when it raised. */
int state_door(struct script *s, lua_CFunction fn, void *ud, struct err *e);
void state_error(lua_State *L, int idx, struct err *e); /* the error value at idx -> e; raises nothing */

/* -- sandbox.c -- */
void sandbox_open(lua_State *L,
                  struct script *s); /* the base table of a sandboxed state, or patches for a trusted one */
/* Pushes a new table of globals; the table of loaded modules is at the top and stays. unit NULL: for shared modules.
 * require and load are bound to it. */
void sandbox_push_env(lua_State *L, struct version *v, struct unit *u);

/* -- seed.c -- */
void seed_hashes(struct script *s, lua_Alloc allocate);
void seed_random(lua_State *L);

/* -- require.c -- */
int require_function(
    lua_State *L); /* upvalues: the version's box, unit or NULL, environment, loaded table, loading table */
void require_open(lua_State *L); /* package.searchers of a trusted state */
void require_clibs(lua_State *L, struct script *s);

/* -- version.c -- */
void version_unref(struct version *v);
int version_load_unit(struct unit *u, struct err *e);   /* of script_load_later; outside of jobs */
void version_push_env(lua_State *L, struct version *v); /* the globals of perigee.* */

/* -- sources.c -- */
struct source {
    struct str root, name, chunk; /* directory; path below it; path for people */
    struct str text;              /* by sources_text; p NULL: not read yet */
    struct str compiled;          /* with script_config.keeps_compiled; p NULL: not yet */
};
const struct source *sources_find(const struct script_sources *s, struct str root, struct str name);
int sources_text(struct script_sources *s, const struct source *f, struct str *ret, struct err *e);
void *sources_shared(const struct script_sources *s, struct str name);
void sources_share(struct script_sources *s, struct str name, void *object, void (*release)(void *object));
void sources_keep_compiled(struct script_sources *s, const struct source *f, struct str code); /* copied */
size_t sources_all(const struct script_sources *s, const struct source **ret);
struct str source_body(struct str text); /* without the "#!..." of a program */
const struct source *sources_chunk(const struct script_sources *s, struct str chunk); /* by path for people */

/* -- job.c -- */
/* The only lua_resume. from NULL: by the host. */
int job_resume_lua(struct script *s, lua_State *co, lua_State *from, int nargs, int *ret_n);
void job_open(struct script *s);
/* Cancels what it waits for and ends a job that is not running. */
void job_abort(struct job *j);
void job_wake(struct job *j);

/* -- coro.c -- */
void coro_open(lua_State *L); /* pushes the coroutine library */
int coro_open_parallel(lua_State *L);
void coro_mark_main(lua_State *co); /* the coroutine of a job */

/* -- limits.c -- */
void limits_hook(lua_State *L, lua_Debug *ar);
void limits_reset_hook(struct script *s, lua_State *L);
/* Records why the job must end (the first reason stays). */
void limits_stop(struct job *j, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Ends the running job from a C function: does not return. */
_Noreturn void limits_leave(lua_State *L);
/* Sets j->stop when a limit is passed. */
void limits_check(struct job *j);
void limits_resumed(struct job *j);
void limits_suspended(struct job *j);
int limits_install(struct script *s, struct err *e);
void limits_close(struct script *s);

/* -- coverage.c -- */
bool coverage_wanted(const struct script_config *c);
void coverage_add(struct version *v); /* its files, where lines are counted */
void coverage_line(lua_State *L, lua_Debug *ar);

/* -- trace.c -- */
/* Message and frames of L with their source lines. Uses no Lua memory. */
void trace_write(struct buf *b, struct script *s, const struct script_sources *sources, lua_State *L, struct str msg,
                 int level);

/* -- request.c -- */
void request_open(lua_State *L, struct script *s);
/* Pushes what the handler is called with; returns how many. */
int request_push(lua_State *L, struct job *j);
/* Copies what is borrowed. */
void request_keep(struct job *j);
/* The job of the request, message or context at idx, which must be the one that runs: raises. */
struct job *request_job(lua_State *L, int idx, const char *what);

/* -- reply.c -- */
/* The handler's results from index `first` on -> j->response, j->value or j->err. */
void reply_convert(lua_State *L, struct job *j, int first);
/* The code of the error table at idx -> j->error_type. Calls no metamethods; may raise (memory). */
void reply_note_code(lua_State *L, struct job *j, int idx);
/* Status and headers at these indices -> j->response. */
int reply_head(lua_State *L, struct job *j, int status, int headers, struct err *e);

/* -- stream.c -- */
int stream_open_module(lua_State *L);  /* perigee.http.stream */
bool stream_is(lua_State *L, int idx); /* an answer that http.stream gave */

#endif
