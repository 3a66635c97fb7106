/* host_simulate.c: an embedded host in simulated time: one thread, a clock that goes on only when nothing else can, and
 * random numbers from a seed, so that each run of the same questions is the same run; its death and its snapshots. */
#include "host.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Turns that what is ready may take: then it goes round in circles. */
enum { SETTLE_TURNS = 100000, NAME_BYTES = 64, IMAGE_MAX = 64 << 20 /* larger ones are not kept */ };

struct simulation_kept {
    struct simulation_kept *next;
    struct crypto_source source;
    char name[NAME_BYTES + 1];
};

/* -- open, close, enter, leave ---------------------------------------------------------------------------------- */

int simulation_open(struct perigee *p, struct err *e) {
    const struct perigee_config *c = &p->config;
    if (!c->simulated_ms && !c->seed) return 0;
    if (!c->simulated_ms) return err_set(e, ERR_CONFIG, "a seed is for simulated hosts");
    if (!p->embedded || c->aws)
        return err_set(e, ERR_CONFIG, "only embedded hosts on the embedded engine can be simulated");
    p->simulation.on = true;
    if (!c->cache) p->simulation.own_cache = perigee_cache_new();
    p->simulation.cache = c->cache ? c->cache : p->simulation.own_cache;
    p->simulation.source = crypto_source((uint64_t)c->seed);
    clock_simulate(p->clock, c->simulated_ms);
    return 0;
}

void simulation_close(struct perigee *p) {
    for (struct simulation_kept *k; (k = p->simulation.kept) != NULL;) {
        p->simulation.kept = k->next;
        free(k);
    }
    perigee_cache_free(p->simulation.own_cache);
}

struct crypto_source *host_enter(struct perigee *p) {
    return crypto_use(p->config.seed ? &p->simulation.source : NULL);
}

void host_leave(struct crypto_source *former) {
    crypto_use(former);
}

/* -- the store -------------------------------------------------------------------------------------------------- */

/* Without a seed each has ids and a secret of its own. */
static bool shares_store(const struct perigee *p) {
    const struct perigee_config *c = &p->config;
    return p->simulation.on && c->memory && c->seed && !c->env_file;
}

void simulation_begin_store(struct perigee *p) {
    if (!shares_store(p)) return;
    p->simulation.provisioned = cache_provisioned(p->simulation.cache, p->app, p->config.simulated_ms, p->config.seed);
}

void simulation_provisioned(struct perigee *p) {
    struct err e = {0};
    struct provisioned now = {p->config.simulated_ms, p->config.seed, BUF_MAX(IMAGE_MAX), p->simulation.source};
    if (p->simulation.on) memset(p->metrics[0], 0, sizeof *p->metrics[0]); /* of provisioning or not: the same */
    if (p->simulation.provisioned) p->simulation.source = p->simulation.provisioned->source;
    if (!p->simulation.provisioned && shares_store(p) && !local_image(p->cloud.local, &now.image, &e))
        cache_keep_provisioned(p->simulation.cache, p->app, &now);
    buf_free(&now.image);
}

/* -- spinning --------------------------------------------------------------------------------------------------- */

void host_settle(struct worker *w) {
    if (!w->host->simulation.on) return;
    for (int i = 0; i < SETTLE_TURNS && !loop_is_quiet(w->loop); i++) loop_once(w->loop, 0);
}

static int wait_at_most(int64_t ms) {
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int host_drain_simulated(struct perigee *p, int64_t max_ms, struct err *e) {
    struct worker *w = &p->workers[0];
    uint64_t start = clock_mono_ms(p->clock);
    int rc = 0;
    if (worker_open_feeds(w, e)) return -1;
    for (;;) {
        host_settle(w);
        if (w->died) return err_set(e, ERR_DIED, "the process died");
        rc = host_is_idle(p, e);
        int64_t left = max_ms - (int64_t)(clock_mono_ms(p->clock) - start);
        if (rc || left <= 0) break;
        loop_once(w->loop, wait_at_most(left));
    }
    host_close_feeds(w);
    if (w->died) return err_set(e, ERR_DIED, "the process died");
    return rc == 1 ? 0 : -1;
}

/* -- death and snapshots ---------------------------------------------------------------------------------------- */

static int only_simulated(const struct perigee *p, const char *what, struct err *e) {
    return p->simulation.on ? 0 : err_set(e, ERR_CONFIG, "%s is for simulated hosts", what);
}

int perigee_crash(struct perigee *p, struct err *e) {
    struct worker *w = &p->workers[0];
    if (only_simulated(p, "a crash", e)) return -1;
    struct crypto_source *former = host_enter(p);
    worker_kill(w);
    int rc = worker_revive(w, e);
    host_leave(former);
    return rc;
}

struct snapshot {
    bool done;
    struct err err;
};

static void on_snapshot(void *ud, const struct err *e) {
    struct snapshot *s = ud;
    if (e) s->err = *e;
    s->done = true;
}

static int ask_engine(struct worker *w, enum local_snapshot what, const char *name, struct err *e) {
    struct snapshot s = {0};
    local_snapshot(w->conn.local, what, str_c(name), on_snapshot, &s);
    while (!s.done) loop_once(w->loop, 0);
    if (!s.err.code) return 0;
    *e = s.err;
    return -1;
}

static struct simulation_kept **find_kept(struct perigee *p, const char *name) {
    struct simulation_kept **k = &p->simulation.kept;
    while (*k && strcmp((*k)->name, name) != 0) k = &(*k)->next;
    return k;
}

/* With the engine the random numbers go back too: what follows is what followed then. */
static void keep_source(struct perigee *p, enum local_snapshot what, const char *name) {
    struct simulation_kept **place = find_kept(p, name), *k = *place;
    if (what == LOCAL_SNAPSHOT_RESTORE && k) p->simulation.source = k->source;
    if (what == LOCAL_SNAPSHOT_DELETE && k) {
        *place = k->next;
        free(k);
    }
    if (what != LOCAL_SNAPSHOT_TAKE) return;
    if (!k) k = *place = calloc(1, sizeof *k);
    if (!k) fatal("out of memory");
    k->source = p->simulation.source;
    snprintf(k->name, sizeof k->name, "%s", name);
}

int host_snapshot(struct perigee *p, enum local_snapshot what, const char *name, bool keep_state, struct err *e) {
    struct worker *w = &p->workers[0];
    struct err again = {0};
    if (only_simulated(p, "a snapshot", e)) return -1;
    bool anew = what == LOCAL_SNAPSHOT_RESTORE && !keep_state;
    struct crypto_source *former = host_enter(p);
    if (anew) worker_kill(w);
    int rc = ask_engine(w, what, name, e);
    if (!rc) keep_source(p, what, name);
    if (anew && worker_revive(w, rc ? &again : e)) rc = -1;
    host_leave(former);
    return rc;
}

int perigee_snapshot(struct perigee *p, enum local_snapshot what, const char *name, struct err *e) {
    return host_snapshot(p, what, name, false, e);
}
