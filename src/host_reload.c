/* host_reload.c: one version of the handlers on all workers. The coordinator sees a change, reads all sources into one
 * snapshot, has every worker load it beside the version in use, and when all could, makes it the active one with one
 * atomic store: each worker switches before its next request. When one could not, all drop it and the version in use
 * stays. */
#include "base/crypto.h"
#include "base/fs.h"
#include "host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Editors write in several steps; changes are gathered for so long. */
#define DEBOUNCE_MS 8
/* A directory that cannot be watched (it is being replaced, say) is tried again after so long. */
#define RETRY_MS 500
#define TEMPLATE_MAX (8u << 20)

static void reload_begin(struct perigee *p);

/* -- watching --------------------------------------------------------------------------------------------------- */

static struct str base_name(struct str path) {
    size_t i = path.n;
    while (i && path.p[i - 1] != '/') i--;
    return str_from(path, i);
}

static void on_debounce(void *ud) {
    struct perigee *p = ud;
    if (p->reload.busy)
        p->reload.again = true;
    else
        reload_begin(p);
}

static bool is_watched_dir(const struct perigee *p, const char *name) {
    struct str rest = buf_view(&p->reload.watched);
    while (rest.n)
        if (str_eq(base_name(str_cut(&rest, '\n')), str_c(name))) return true;
    return false;
}

static void on_change(void *ud, const char *name) {
    struct perigee *p = ud;
    if (!name || !*name || is_watched_dir(p, name)) p->reload.stale = true;
    loop_timer_start(p->loop, &p->reload.debounce, DEBOUNCE_MS, on_debounce, p);
}

static void unwatch(struct perigee *p) {
    for (size_t i = 0; i < p->reload.n_watches; i++) loop_watch_remove(p->reload.watches[i]);
    free(p->reload.watches);
    p->reload.watches = NULL;
    p->reload.n_watches = 0;
    buf_clear(&p->reload.watched);
}

static bool is_watched(const struct perigee *p, const char *const *dirs, size_t n) {
    struct buf want = BUF_MAX(1 << 20);
    for (size_t i = 0; i < n; i++) buf_printf(&want, "%s\n", dirs[i]);
    bool same = str_eq(buf_view(&want), buf_view(&p->reload.watched));
    buf_free(&want);
    return same && !p->reload.stale && !p->reload.lost;
}

/* Watches the directories of these sources; those that cannot be are skipped and the first is told. What changed
 * between the reading of the sources and the new watches is found by looking once more. */
static int watch(struct perigee *p, const struct script_sources *s, struct err *e) {
    const char *const *dirs = NULL;
    size_t n = script_sources_dirs(s, &dirs);
    int rc = 0;
    if (is_watched(p, dirs, n)) return 0;
    unwatch(p);
    p->reload.watches = calloc(n + 1, sizeof *p->reload.watches);
    if (!p->reload.watches) fatal("out of memory for %zu watches", n);
    p->reload.watched.max = 1 << 20;
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        buf_printf(&p->reload.watched, "%s\n", dirs[i]);
        if (!loop_watch_add(p->loop, dirs[i], on_change, p, &p->reload.watches[p->reload.n_watches], &why))
            p->reload.n_watches++;
        else if (!rc)
            *e = why, rc = -1;
    }
    p->reload.stale = false;
    p->reload.lost = rc != 0;
    loop_timer_start(p->loop, rc ? &p->reload.retry : &p->reload.debounce, rc ? RETRY_MS : DEBOUNCE_MS, on_debounce, p);
    return rc;
}

static void watch_again(struct perigee *p, const struct script_sources *s) {
    struct err e = {0};
    bool told = p->reload.lost;
    if (watch(p, s, &e) && !told) log_event(p->log, LOG_WARN, "cannot watch for changes", "s", "error", e.msg);
}

/* -- the template: read once, at the start ------------------------------------------------------------------------ */

/* Zeroes when it cannot be read. */
static void template_hash(const struct perigee *p, uint8_t out[32]) {
    struct buf text = BUF_MAX(TEMPLATE_MAX);
    struct err e = {0};
    memset(out, 0, 32);
    if (!fs_read(p->config.template_path, &text, &e)) crypto_sha256(buf_view(&text), out);
    buf_free(&text);
}

static void on_template_settled(void *ud) {
    struct perigee *p = ud;
    uint8_t now[32];
    template_hash(p, now);
    if (!memcmp(now, p->reload.template_seen, sizeof now)) return;
    memcpy(p->reload.template_seen, now, sizeof now);
    if (!memcmp(now, p->reload.template_in_use, sizeof now))
        log_event(p->log, LOG_INFO, "the template is again as it was at the start", "s", "template",
                  p->config.template_path);
    else
        log_event(p->log, LOG_WARN, "the template was edited: restart to use it, the one of the start is still in use",
                  "s", "template", p->config.template_path);
}

static void on_template_change(void *ud, const char *name) {
    struct perigee *p = ud;
    if (name && *name && !str_eq(str_c(name), base_name(str_c(p->config.template_path)))) return;
    loop_timer_start(p->loop, &p->reload.template_debounce, DEBOUNCE_MS, on_template_settled, p);
}

static int template_watch(struct perigee *p, struct err *e) {
    template_hash(p, p->reload.template_in_use);
    memcpy(p->reload.template_seen, p->reload.template_in_use, sizeof p->reload.template_seen);
    return loop_watch_add(p->loop, p->app->dir.n ? p->app->dir.p : ".", on_template_change, p,
                          &p->reload.template_watch, e);
}

/* -- phase 2: all at once, or not at all --------------------------------------------------------------------------- */

static void worker_commit(void *ud) {
    struct worker *w = ud;
    worker_refresh(w);
    if (!w->prepared) return;
    script_commit(w->script, false);
    w->prepared = 0;
}

static const struct worker *failed_worker(const struct perigee *p) {
    for (size_t i = 0; i < p->n_workers; i++)
        if (p->workers[i].load_err.code) return &p->workers[i];
    return NULL;
}

static void report_refused(struct perigee *p, const struct worker *w, struct buf *traceback) {
    metric_add(p->metrics[0], METRIC_RELOAD_ERRORS, 1);
    log_event(p->log, LOG_ERROR, "edit refused, the last good version keeps serving", "ssss", "error", w->load_err.msg,
              "refused_version", script_sources_version(p->reload.next), "version",
              script_sources_version(p->reload.sources), "traceback", traceback->n ? buf_cstr(traceback) : NULL);
}

static void take_over(struct perigee *p) {
    struct script_sources *old = p->reload.sources;
    p->reload.sources = p->reload.next;
    p->reload.next = NULL;
    atomic_store_explicit(&p->reload.active, p->reload.epoch, memory_order_release);
    metric_add(p->metrics[0], METRIC_RELOADS, 1);
    log_event(p->log, LOG_INFO, "handlers reloaded", "ss", "version", script_sources_version(p->reload.sources),
              "previous", script_sources_version(old));
    script_sources_unref(old);
}

static void on_loaded(void *ud) {
    struct perigee *p = ud;
    const struct worker *bad = failed_worker(p);
    watch_again(p, p->reload.next);
    if (bad) {
        report_refused(p, bad, &((struct worker *)bad)->traceback);
        snprintf(p->reload.failed, sizeof p->reload.failed, "%s", script_sources_version(p->reload.next));
        script_sources_unref(p->reload.next);
        p->reload.next = NULL;
    } else {
        p->reload.failed[0] = 0;
        take_over(p);
    }
    for (size_t i = 0; i < p->n_workers; i++) loop_post(p->workers[i].loop, &p->workers[i].commit_task);
    p->reload.busy = false;
    if (p->reload.again) {
        p->reload.again = false;
        reload_begin(p);
    }
}

/* -- phase 1: every worker loads the snapshot ------------------------------------------------------------------------
 */

static void worker_load(void *ud) {
    struct worker *w = ud;
    struct perigee *p = w->host;
    w->load_err = (struct err){0};
    w->traceback.max = 1 << 16;
    buf_clear(&w->traceback);
    if (!script_load(w->script, p->reload.next, p->app->functions, p->app->n_functions, &w->traceback, &w->load_err))
        w->prepared = p->reload.epoch;
    if (atomic_fetch_sub(&p->reload.waiting, 1) == 1) loop_post(p->loop, &p->reload.loaded);
}

static bool nothing_new(const struct perigee *p, const struct script_sources *s) {
    const char *v = script_sources_version(s);
    return !strcmp(v, script_sources_version(p->reload.sources)) || !strcmp(v, p->reload.failed);
}

static void reload_begin(struct perigee *p) {
    struct script_sources *next = NULL;
    struct err e = {0};
    if (host_read_sources(&p->config, p->app, p->root, &next, &e)) {
        if (!p->reload.unreadable)
            log_event(p->log, LOG_ERROR, "cannot read the handlers, the last good version keeps serving", "s", "error",
                      e.msg);
        p->reload.unreadable = true;
        loop_timer_start(p->loop, &p->reload.retry, RETRY_MS, on_debounce, p);
        return;
    }
    p->reload.unreadable = false;
    if (nothing_new(p, next)) {
        watch_again(p, next);
        if (!strcmp(script_sources_version(next), script_sources_version(p->reload.sources))) p->reload.failed[0] = 0;
        script_sources_unref(next);
        return;
    }
    p->reload.busy = true;
    p->reload.next = next;
    p->reload.epoch++;
    atomic_store(&p->reload.waiting, p->n_workers);
    for (size_t i = 0; i < p->n_workers; i++) loop_post(p->workers[i].loop, &p->workers[i].load_task);
}

/* -- open, close, embedded --------------------------------------------------------------------------------------- */

int reload_open(struct perigee *p, struct err *e) {
    loop_task_init(&p->reload.loaded, on_loaded, p);
    for (size_t i = 0; i < p->n_workers; i++) {
        loop_task_init(&p->workers[i].load_task, worker_load, &p->workers[i]);
        loop_task_init(&p->workers[i].commit_task, worker_commit, &p->workers[i]);
    }
    return watch(p, p->reload.sources, e) || template_watch(p, e) ? -1 : 0;
}

void reload_close(struct perigee *p) {
    while (p->reload.busy) loop_once(p->loop, -1);
    unwatch(p);
    buf_free(&p->reload.watched);
    if (p->reload.template_watch) loop_watch_remove(p->reload.template_watch);
    p->reload.template_watch = NULL;
    loop_timer_stop(p->loop, &p->reload.debounce);
    loop_timer_stop(p->loop, &p->reload.retry);
    loop_timer_stop(p->loop, &p->reload.template_debounce);
}

int perigee_reload(struct perigee *p, const char **ret_version, struct err *e) {
    struct script_sources *next = NULL;
    struct worker *w = &p->workers[0];
    struct buf traceback = BUF_MAX(1 << 16);
    int rc = -1;
    if (!p->embedded) return err_set(e, ERR_INTERNAL, "perigee_reload is for embedded hosts");
    if (host_read_sources(&p->config, p->app, p->root, &next, e)) goto out;
    if (script_load(w->script, next, p->app->functions, p->app->n_functions, &traceback, e)) goto out;
    script_commit(w->script, true);
    script_sources_unref(p->reload.sources);
    p->reload.sources = next;
    next = NULL;
    *ret_version = script_version(w->script);
    rc = 0;
out:
    if (next) script_sources_unref(next);
    buf_free(&traceback);
    return rc;
}
