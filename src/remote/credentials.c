/* Sets, and the store: one snapshot under a lock, one thread that fetches.
 *
 * state          get()                                   the thread
 * none           waits                                   asks the chain; on failure all waiters are told, and for 1 s
 *                                                        whoever asks
 * fresh          gives the set                           sleeps until refresh_ms
 * due            gives the set, wakes the thread         asks the chain; on failure again after 30 s
 * expired or     as none                                 asks the chain
 *  refused
 */
#include "remote/credentials.h"
#include "base/crypto.h"
#include "remote/credentials_source.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    REFRESH_BEFORE_MS = 5 * 60 * 1000,
    RETRY_MS = 30 * 1000,
    FAILURE_KEPT_MS = 1000,
    REFUSAL_PAUSE_MS = 5000,
    LONGEST_SLEEP_MS = 60 * 1000, /* so that a clock that jumps is noticed */
    EXTEND_MS = 10 * 60 * 1000,
};

struct credential_store {
    struct settings *settings;
    struct arena arena;
    struct credential_env env;
    _Atomic bool stop;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;  /* to the thread: something is asked; monotonic */
    pthread_cond_t ended; /* from the thread: a fetch has ended */
    pthread_t thread;
    bool started, asked, fetching, fixed; /* fixed: current never changes, there is no thread */
    struct credentials *current;
    bool refused;
    int64_t refresh_ms;  /* Unix: when to begin refreshing current; INT64_MAX: never */
    uint64_t refusal_ms; /* monotonic, of the last refusal that made a fetch; 0: none */
    uint64_t ends;       /* fetches that have ended */
    struct err failure;  /* of the last fetch; ERR_NONE: it succeeded */
    uint64_t failure_ms; /* monotonic */
    struct list waiters;
    struct credential_stats stats;
};

/* ==== sets ==== */

static struct credentials *credentials_new(const struct credential_draft *d) {
    struct credentials *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory for credentials");
    atomic_init(&c->refs, 1);
    c->access_key = arena_str(&c->arena, d->access_key);
    c->secret_key = arena_str(&c->arena, d->secret_key);
    c->session_token = arena_str(&c->arena, d->session_token);
    c->account = arena_str(&c->arena, d->account);
    c->source = arena_str(&c->arena, d->source);
    c->expires_ms = d->expires_ms;
    c->imds = d->imds;
    return c;
}

void credentials_ref(struct credentials *c) {
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void credentials_unref(struct credentials *c) {
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    explicit_bzero((char *)c->secret_key.p, c->secret_key.n);
    explicit_bzero((char *)c->session_token.p, c->session_token.n);
    explicit_bzero((char *)c->access_key.p, c->access_key.n);
    arena_free(&c->arena);
    free(c);
}

struct sign_credentials credentials_sign(const struct credentials *c) {
    return (struct sign_credentials){c->access_key, c->secret_key, c->session_token};
}

/* ==== time ==== */

static int64_t now(const struct credential_store *st) {
    return clock_ms(st->settings->clock);
}

static uint32_t random_below(uint32_t n) {
    uint32_t r;
    crypto_random(&r, sizeof r);
    return r % n;
}

/* 5 minutes and up to 30 s of jitter before expiry; sets that live shorter than 10 minutes: at half their life. */
static int64_t refresh_at(const struct credentials *c, int64_t at_ms) {
    int64_t life = c->expires_ms - at_ms;
    if (!c->expires_ms) return INT64_MAX;
    if (life < 2 * REFRESH_BEFORE_MS) return at_ms + life / 2;
    return c->expires_ms - REFRESH_BEFORE_MS - random_below(30000);
}

static bool usable(const struct credential_store *st, int64_t at_ms) {
    const struct credentials *c = st->current;
    return c && !st->refused && (!c->expires_ms || at_ms < c->expires_ms);
}

/* ==== what a fetch brought ==== */

static void log_set(struct credential_store *st, enum log_level level, const char *msg, const struct credentials *c) {
    char when[25] = "never";
    if (c->expires_ms) now_iso(c->expires_ms, when);
    if (st->settings->log)
        log_event(st->settings->log, level, msg, "Sss", "source", c->source, "expires", when, "reason",
                  st->failure.code ? st->failure.msg : NULL);
}

/* "Static stability": an instance whose metadata service gives or keeps only old credentials goes on with them. */
static void extend(struct credential_store *st, struct credentials *c) {
    c->expires_ms = now(st) + EXTEND_MS + random_below(EXTEND_MS / 2);
    log_set(st, LOG_WARN, "expired credentials of the instance stay in use while it has no others", c);
}

static struct credentials *copy_of(const struct credentials *c) {
    return credentials_new(&(struct credential_draft){.access_key = c->access_key,
                                                      .secret_key = c->secret_key,
                                                      .session_token = c->session_token,
                                                      .account = c->account,
                                                      .expires_ms = c->expires_ms,
                                                      .source = c->source,
                                                      .imds = c->imds});
}

static void install(struct credential_store *st, struct credentials *c) {
    int64_t at = now(st);
    st->failure = (struct err){0};
    if (c->imds && c->expires_ms && c->expires_ms <= at) extend(st, c);
    credentials_unref(st->current);
    st->current = c;
    st->refused = false;
    st->refresh_ms = refresh_at(c, at);
    log_set(st, LOG_DEBUG, "credentials fetched", c);
}

static void failed(struct credential_store *st, const struct err *e) {
    int64_t at = now(st);
    st->failure = *e;
    st->failure_ms = now_mono_ms();
    st->stats.failures++;
    st->stats.last_failure_ms = at;
    snprintf(st->stats.last_failure, sizeof st->stats.last_failure, "%s", e->msg);
    st->refresh_ms = at + RETRY_MS;
    if (usable(st, at)) {
        log_set(st, LOG_WARN, "credentials could not be refreshed: the present ones stay in use", st->current);
    } else if (st->current && st->current->imds && !st->refused) {
        struct credentials *c = copy_of(st->current);
        extend(st, c);
        credentials_unref(st->current);
        st->current = c;
    } else if (st->settings->log) {
        log_event(st->settings->log, LOG_ERROR, "no credentials", "s", "reason", e->msg);
    }
}

static void run_waiter(void *ud) {
    struct credential_waiter *w = ud;
    w->posted = false;
    w->fn(w->ud);
}

static void tell_waiters(struct credential_store *st) {
    struct list *node;
    while ((node = list_pop(&st->waiters))) {
        struct credential_waiter *w = CONTAINER(node, struct credential_waiter, node);
        w->waiting = false;
        w->posted = true;
        loop_post(w->home, &w->task);
    }
    pthread_cond_broadcast(&st->ended);
}

/* ==== the thread ==== */

/* The lock is held before and after, not during. */
static void fetch(struct credential_store *st) {
    struct arena a = {0};
    struct chain c = {st->settings, &st->env, &st->stop, &a};
    struct credential_draft d = {0};
    struct credentials *got = NULL;
    struct err e = {0};
    st->asked = false;
    st->fetching = true;
    st->stats.fetches++;
    pthread_mutex_unlock(&st->lock);
    if (!chain_run(&c, &d, &e)) got = credentials_new(&d);
    draft_wipe(&d);
    arena_free(&a);
    pthread_mutex_lock(&st->lock);
    if (got)
        install(st, got);
    else
        failed(st, &e);
    st->fetching = false;
    st->ends++;
    tell_waiters(st);
}

static void sleep_until_due(struct credential_store *st) {
    int64_t left = st->current && st->refresh_ms != INT64_MAX ? st->refresh_ms - now(st) : LONGEST_SLEEP_MS;
    if (left > LONGEST_SLEEP_MS) left = LONGEST_SLEEP_MS;
    if (left < 1) left = 1;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += left % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&st->wake, &st->lock, &until);
}

static void *run(void *ud) {
    struct credential_store *st = ud;
    pthread_mutex_lock(&st->lock);
    while (!atomic_load(&st->stop)) {
        if (st->asked || (st->current && now(st) >= st->refresh_ms))
            fetch(st);
        else
            sleep_until_due(st);
    }
    pthread_mutex_unlock(&st->lock);
    return NULL;
}

/* Signals stay with the threads that handle them. */
static int start(struct credential_store *st, struct err *e) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&st->thread, NULL, run, st);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    st->started = !rc;
    return rc ? err_sys(e, ERR_CREDENTIALS, rc, "cannot start the thread that fetches credentials") : 0;
}

static int ask(struct credential_store *st, struct err *e) {
    if (!st->started && start(st, e)) return -1;
    st->asked = st->asked || !st->fetching;
    pthread_cond_signal(&st->wake);
    return 0;
}

/* ==== opening ==== */

static void cond_init(pthread_cond_t *c) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

static void take_static(struct credential_store *st) {
    struct arena a = {0};
    struct chain c = {st->settings, &st->env, &st->stop, &a};
    struct credential_draft d = {0};
    st->fixed = chain_static(&c, &d);
    if (st->fixed) st->current = credentials_new(&d);
    draft_wipe(&d);
    arena_free(&a);
}

int credential_store_open(struct settings *s, struct credential_store **ret, struct err *e) {
    (void)e; /* sources report when they are asked */
    struct credential_store *st = calloc(1, sizeof *st);
    if (!st) fatal("out of memory for credentials");
    st->settings = s;
    st->refresh_ms = INT64_MAX;
    list_init(&st->waiters);
    pthread_mutex_init(&st->lock, NULL);
    cond_init(&st->wake);
    cond_init(&st->ended);
    credential_env_read(s, &st->arena, &st->env);
    take_static(st);
    *ret = st;
    return 0;
}

void credential_store_close(struct credential_store *st) {
    if (!st) return;
    pthread_mutex_lock(&st->lock);
    atomic_store(&st->stop, true);
    pthread_cond_signal(&st->wake);
    pthread_mutex_unlock(&st->lock);
    if (st->started) pthread_join(st->thread, NULL);
    credentials_unref(st->current);
    credential_env_wipe(&st->env);
    arena_free(&st->arena);
    pthread_cond_destroy(&st->ended);
    pthread_cond_destroy(&st->wake);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

/* ==== asking ==== */

/* A reference to the set in force, or NULL with e->code: ERR_NONE when a fetch must be waited for. */
static struct credentials *take(struct credential_store *st, struct err *e) {
    int64_t at = st->fixed ? 0 : now(st);
    bool ready = st->fixed || usable(st, at);
    e->code = ERR_NONE;
    if (!st->fixed && ready && at >= st->refresh_ms && !st->fetching) ask(st, NULL);
    if (ready) {
        credentials_ref(st->current);
        return st->current;
    }
    bool known = st->failure.code && !st->fetching && !st->asked && now_mono_ms() - st->failure_ms < FAILURE_KEPT_MS;
    if (known) *e = st->failure;
    if (!known && !st->fetching) ask(st, e);
    return NULL;
}

struct credentials *credentials_get(struct credential_store *st, struct credential_waiter *w, struct err *e) {
    pthread_mutex_lock(&st->lock);
    struct credentials *c = take(st, e);
    if (!c && e->code == ERR_NONE && w && !w->waiting && !w->posted) {
        loop_task_init(&w->task, run_waiter, w);
        list_add(&st->waiters, &w->node);
        w->waiting = true;
    }
    pthread_mutex_unlock(&st->lock);
    return c;
}

bool credentials_forget(struct credential_store *st, struct credential_waiter *w) {
    pthread_mutex_lock(&st->lock);
    bool posted = w->posted;
    if (w->waiting) list_del(&w->node);
    w->waiting = false;
    pthread_mutex_unlock(&st->lock);
    return !posted;
}

struct credentials *credentials_wait(struct credential_store *st, struct err *e) {
    pthread_mutex_lock(&st->lock);
    struct credentials *c;
    while (!(c = take(st, e)) && e->code == ERR_NONE) {
        uint64_t ends = st->ends;
        while (st->ends == ends) pthread_cond_wait(&st->ended, &st->lock);
    }
    pthread_mutex_unlock(&st->lock);
    return c;
}

bool credentials_refused(struct credential_store *st, const struct credentials *c) {
    pthread_mutex_lock(&st->lock);
    uint64_t at = now_mono_ms();
    bool newer = !st->fixed && c != st->current, again = newer;
    if (!st->fixed && !newer && (!st->refusal_ms || at - st->refusal_ms >= REFUSAL_PAUSE_MS)) {
        again = !ask(st, NULL);
        st->refused = again;
        st->refusal_ms = at;
    }
    pthread_mutex_unlock(&st->lock);
    return again;
}

void credentials_stats(struct credential_store *st, struct credential_stats *ret) {
    pthread_mutex_lock(&st->lock);
    *ret = st->stats;
    pthread_mutex_unlock(&st->lock);
}
