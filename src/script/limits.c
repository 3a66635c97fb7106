/* limits: what ends a job that takes too much, and what makes it give way.
 *
 * A host thread calls script_watch_tick every few ms. It sees by `seq` whether one and the same resume has run for a
 * slice, and then sends SIGURG to the worker's thread, whose handler sets a count hook on the coroutine that runs, as
 * lua.c does for SIGINT. The hook then, between two instructions: ends the job when a limit is passed, else yields it
 * so that others run, else (inside table.sort and the like) goes on.
 *
 * A job is ended by a yield that its resumers pass on (YIELD_STOP): it cannot be caught and calls no message handler.
 * Where a C function is in the way, an out-of-memory error is provoked instead: pcall can catch that, but message
 * handlers do not run for it (they would with hooks disabled, so that one could loop for ever), and the hook, set to
 * every instruction, fires again. */
#include "script/state.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { POLL_COUNT = 10000 };

#if defined(__SANITIZE_THREAD__)
enum { HOOK_ALWAYS = 1 }; /* signals are held back there until the next libc call, which a Lua loop never makes */
#else
enum { HOOK_ALWAYS = 0 };
#endif

static uint64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ==== the watch ==== */

static bool slice_is_over(struct script *s);

static void on_signal(int signum, siginfo_t *info, void *context) {
    (void)signum, (void)context;
    if ((info->si_code != SI_QUEUE && info->si_code != SI_TIMER) || !info->si_value.sival_ptr) return;
    struct script *s = info->si_value.sival_ptr;
    if (info->si_code == SI_TIMER && !slice_is_over(s)) return;
    if (s->covered) return; /* the line hook sees `interrupt`; every loop and recursion comes to lines */
    lua_State *L = s->current;
    /* Setting a hook walks all frames: with a million of them that takes longer than a slice, and must not be done over
     * and over. */
    if (!L || (lua_gethook(L) == limits_hook && lua_gethookcount(L) == 1)) return;
    lua_sethook(L, limits_hook, LUA_MASKCOUNT, 1);
}

/* Then no job gives way to another: each run is to be the same, however fast it goes. */
static bool is_simulated(const struct script *s) {
    return s->c.clock && atomic_load_explicit(&s->c.clock->simulated, memory_order_relaxed);
}

/* The action is the process's and stays: another worker may have a signal under way. */
int limits_install(struct script *s, struct err *e) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = on_signal;
    sigemptyset(&action.sa_mask);
    s->hook_count = s->c.limits.instructions || HOOK_ALWAYS ? POLL_COUNT : 0;
    if (s->c.trusted) s->hook_count = 0;
    s->covered = coverage_wanted(&s->c);
    s->hook_mask = (s->hook_count ? LUA_MASKCOUNT : 0) | (s->covered ? LUA_MASKLINE : 0);
    if (sigaction(SIGURG, &action, NULL)) return err_sys(e, ERR_INTERNAL, errno, "cannot handle SIGURG");
    return 0;
}

/* One and the same resume has run for a slice. Also from the signal handler. */
static bool slice_is_over(struct script *s) {
    uint64_t seq = atomic_load_explicit(&s->seq, memory_order_acquire), now = now_mono_ms();
    if (!(seq & 1) || s->c.trusted) return false;
    if (atomic_load_explicit(&s->seen_seq, memory_order_relaxed) != seq) {
        atomic_store_explicit(&s->seen_seq, seq, memory_order_relaxed);
        atomic_store_explicit(&s->seen_ms, now, memory_order_relaxed);
        return false;
    }
    if (now - atomic_load_explicit(&s->seen_ms, memory_order_relaxed) < s->c.limits.slice_ms) return false;
    atomic_store_explicit(&s->seen_ms, now, memory_order_relaxed);
    atomic_store_explicit(&s->interrupt, true, memory_order_relaxed);
    return true;
}

void script_watch_tick(struct script *s) {
    if (slice_is_over(s)) pthread_sigqueue(atomic_load(&s->thread), SIGURG, (union sigval){.sival_ptr = s});
}

/* ==== without a thread ==== */

/* The thread's CPU time and not the wall clock: what waits needs no tick, and a process that Lambda has frozen gets
 * none when it is thawed. */
int script_watch_self(struct script *s, struct err *e) {
    enum { TICK_NS = 4000000 };
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG, .sigev_value.sival_ptr = s};
    struct itimerspec every = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
    event._sigev_un._tid = gettid();
    if (s->watches_self) return 0;
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &s->watch))
        return err_sys(e, ERR_INTERNAL, errno, "cannot make a timer of CPU time");
    s->watches_self = true;
    if (timer_settime(s->watch, 0, &every, NULL)) return err_sys(e, ERR_INTERNAL, errno, "cannot start a timer");
    return 0;
}

/* A signal that is pending is delivered before this returns. */
void limits_close(struct script *s) {
    if (s->watches_self) timer_delete(s->watch);
    s->watches_self = false;
}

/* ==== accounts ==== */

void limits_resumed(struct job *j) {
    j->resumed_ns = now_mono_ns();
    j->thread_ns = 0;
    atomic_store_explicit(&j->s->thread, pthread_self(), memory_order_relaxed);
    atomic_fetch_add_explicit(&j->s->seq, 1, memory_order_release);
}

/* Short runs are measured by the monotonic clock, which is cheap; from the first interruption on by the thread's CPU
 * clock. */
static void account_cpu(struct job *j) {
    uint64_t now = j->thread_ns ? thread_ns() : now_mono_ns();
    j->cpu_ns += now - (j->thread_ns ? j->thread_ns : j->resumed_ns);
    if (j->thread_ns) j->thread_ns = now;
}

void limits_suspended(struct job *j) {
    account_cpu(j);
    j->resumed_ns = 0;
    atomic_fetch_add_explicit(&j->s->seq, 1, memory_order_release);
}

static void account_interrupted(struct job *j) {
    if (!j->resumed_ns) return;
    account_cpu(j);
    if (!j->thread_ns) j->thread_ns = thread_ns();
}

/* ==== ending a job ==== */

void limits_stop(struct job *j, enum err_code code, const char *fmt, ...) {
    char text[512];
    va_list ap;
    if (j->stop.code) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(&j->stop, code, "%s", text);
}

void limits_check(struct job *j) {
    const struct script_limits *l = &j->s->c.limits;
    struct str name = j->unit->fn.name;
    if (clock_mono_ms(j->s->c.clock) >= j->deadline_ms)
        limits_stop(j, ERR_TIMEOUT, "%.*s did not end within its Timeout of %llu ms", STR_ARG(name),
                    (unsigned long long)j->timeout_ms);
    else if (j->cpu_ns >= j->cpu_max_ns)
        limits_stop(j, ERR_LIMIT, "%.*s used more than %llu ms of CPU time", STR_ARG(name),
                    (unsigned long long)(j->cpu_max_ns / 1000000u));
    else if (l->instructions && j->instructions > l->instructions)
        limits_stop(j, ERR_LIMIT, "%.*s executed more than %llu instructions", STR_ARG(name),
                    (unsigned long long)l->instructions);
}

void limits_reset_hook(struct script *s, lua_State *L) {
    if (s->c.trusted) return; /* a coverage tool's hook stays */
    if (s->hook_mask && lua_gethook(L) == limits_hook && lua_gethookcount(L) == s->hook_count)
        return; /* it walks all frames */
    lua_sethook(L, s->hook_mask ? limits_hook : NULL, s->hook_mask, s->hook_count);
}

/* LUA_ERRMEM: the allocation and its repetition fail. */
_Noreturn static void raise_memory(lua_State *L) {
    struct script *s = script_of(L);
    s->deny = 2;
    lua_newuserdatauv(L, 64, 0);
    fatal("an allocation that was to fail did not");
}

_Noreturn void limits_leave(lua_State *L) {
    struct script *s = script_of(L);
    lua_sethook(L, limits_hook, LUA_MASKCOUNT, 1);
    if (!lua_isyieldable(L)) raise_memory(L);
    s->yield = YIELD_STOP;
    lua_yield(L, 0);
    fatal("a yield from a C function returned");
}

static void load_hook(struct script *s, lua_State *L) {
    if (s->load_until_ms && now_mono_ms() >= s->load_until_ms) {
        lua_sethook(L, limits_hook, LUA_MASKCOUNT, 1);
        raise_memory(L);
    }
    limits_reset_hook(s, L);
}

static bool counted(lua_State *L, struct job *j, const lua_Debug *ar) {
    bool own = ar->event == LUA_HOOKCOUNT && lua_gethookcount(L) == j->s->hook_count;
    if (own) j->instructions += (uint64_t)j->s->hook_count;
    return own;
}

void limits_hook(lua_State *L, lua_Debug *ar) {
    struct script *s = script_of(L);
    bool line = ar->event == LUA_HOOKLINE;
    if (line) coverage_line(L, ar);
    if (line && !atomic_load_explicit(&s->interrupt, memory_order_relaxed)) return;
    struct job *j = s->running;
    if (!j) {
        load_hook(s, L);
        return;
    }
    bool interrupt = atomic_exchange_explicit(&s->interrupt, false, memory_order_relaxed);
    if (!counted(L, j, ar) || interrupt) account_interrupted(j);
    if (!j->stop.code) limits_check(j);
    if (j->stop.code) {
        lua_sethook(L, limits_hook, LUA_MASKCOUNT, 1);
        if (!lua_isyieldable(L)) raise_memory(L);
        s->yield = YIELD_STOP;
        lua_yield(L, 0);
        return;
    }
    limits_reset_hook(s, L);
    if (!interrupt || is_simulated(s) || !s->chain_ok || !lua_isyieldable(L)) return;
    s->yield = YIELD_PREEMPT;
    lua_yield(L, 0);
}

/* ==== what long C loops ask ==== */

int64_t script_remaining_ms(lua_State *L) {
    struct job *j = script_of(L)->running;
    if (!j) return INT64_MAX;
    uint64_t now = clock_mono_ms(j->s->c.clock);
    return now >= j->deadline_ms ? 0 : (int64_t)(j->deadline_ms - now);
}

void script_poll(lua_State *L) {
    struct script *s = script_of(L);
    struct job *j = s->running;
    if (!j) {
        if (s->load_until_ms && now_mono_ms() >= s->load_until_ms) raise_memory(L);
        return;
    }
    if (!j->stop.code) {
        account_interrupted(j);
        limits_check(j);
    }
    if (j->stop.code) limits_leave(L);
}
