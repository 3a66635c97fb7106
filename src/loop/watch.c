/* watch: descriptors, signals and directories. libuv closes handles a turn later; each is freed then. */
#include "loop/internal.h"
#include <stdlib.h>

static struct loop *loop_of(const uv_handle_t *h) {
    return CONTAINER(h->loop, struct loop, uv);
}

static void on_closed(uv_handle_t *h) {
    loop_of(h)->n_handles--;
    free(h->data);
}

static void *zalloc(size_t n) {
    void *p = calloc(1, n);
    if (!p) fatal("out of memory for %zu bytes of an event handle", n);
    return p;
}

// ---- descriptors ----

struct loop_fd {
    uv_poll_t h;
    struct loop *loop;
    void (*fn)(void *ud, int events);
    void *ud;
    int events; /* watched for now */
};

static void watched(struct loop_fd *f, int events) {
    f->loop->n_watched += (size_t)(events != 0) - (size_t)(f->events != 0);
    f->events = events;
}

/* libuv stops watching a descriptor in error (status < 0): it is reported once as ready for all, so that its owner
 * meets the error when reading or writing. */
static void on_fd(uv_poll_t *h, int status, int events) {
    struct loop_fd *f = h->data;
    loop_awake(f->loop);
    int ready = status < 0 ? LOOP_READ | LOOP_WRITE : 0;
    if (events & (UV_READABLE | UV_DISCONNECT)) ready |= LOOP_READ;
    if (events & UV_WRITABLE) ready |= LOOP_WRITE;
    if (status < 0) watched(f, 0);
    f->fn(f->ud, ready);
}

int loop_fd_add(struct loop *l, int fd, int events, void (*fn)(void *ud, int events), void *ud, struct loop_fd **ret,
                struct err *e) {
    struct loop_fd *f = zalloc(sizeof *f);
    int rc = uv_poll_init(&l->uv, &f->h, fd);
    if (rc) {
        free(f);
        return loop_uv_err(e, rc, "cannot watch a descriptor");
    }
    f->h.data = f;
    f->loop = l;
    l->n_handles++;
    f->fn = fn;
    f->ud = ud;
    loop_fd_set(f, events);
    *ret = f;
    return 0;
}

void loop_fd_set(struct loop_fd *f, int events) {
    if (f->events == events) return; /* libuv would take it out of the kernel's set and put it in again */
    watched(f, events);
    if (!events) {
        uv_poll_stop(&f->h);
        return;
    }
    int wanted = (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0);
    uv_poll_start(&f->h, wanted, on_fd);
}

void loop_fd_remove(struct loop_fd *f) {
    if (!f) return;
    watched(f, 0);
    uv_close((uv_handle_t *)&f->h, on_closed);
}

// ---- signals ----

struct loop_signal {
    uv_signal_t h;
    struct loop *loop;
    void (*fn)(void *ud, int signum);
    void *ud;
};

static void on_signal(uv_signal_t *h, int signum) {
    struct loop_signal *s = h->data;
    loop_awake(s->loop);
    s->fn(s->ud, signum);
}

int loop_signal_add(struct loop *l, int signum, void (*fn)(void *ud, int signum), void *ud, struct loop_signal **ret,
                    struct err *e) {
    struct loop_signal *s = zalloc(sizeof *s);
    int rc = uv_signal_init(&l->uv, &s->h);
    if (rc) {
        free(s);
        return loop_uv_err(e, rc, "cannot watch for signals");
    }
    s->h.data = s;
    s->loop = l;
    l->n_handles++;
    s->fn = fn;
    s->ud = ud;
    rc = uv_signal_start(&s->h, on_signal, signum);
    if (rc) {
        loop_signal_remove(s);
        return loop_uv_err(e, rc, "cannot watch for a signal");
    }
    *ret = s;
    return 0;
}

void loop_signal_remove(struct loop_signal *s) {
    if (s) uv_close((uv_handle_t *)&s->h, on_closed);
}

// ---- directories ----

struct loop_watch {
    uv_fs_event_t h;
    struct loop *loop;
    void (*fn)(void *ud, const char *name);
    void *ud;
};

static void on_change(uv_fs_event_t *h, const char *name, int events, int status) {
    (void)events;
    struct loop_watch *w = h->data;
    loop_awake(w->loop);
    w->fn(w->ud, status < 0 ? NULL : name);
}

int loop_watch_add(struct loop *l, const char *dir, void (*fn)(void *ud, const char *name), void *ud,
                   struct loop_watch **ret, struct err *e) {
    struct loop_watch *w = zalloc(sizeof *w);
    uv_fs_event_init(&l->uv, &w->h);
    w->h.data = w;
    w->loop = l;
    l->n_handles++;
    w->fn = fn;
    w->ud = ud;
    int rc = uv_fs_event_start(&w->h, on_change, dir, 0);
    if (rc) {
        loop_watch_remove(w);
        return err_set(e, ERR_IO, "cannot watch the directory %s: %s", dir, uv_strerror(rc));
    }
    *ret = w;
    return 0;
}

void loop_watch_remove(struct loop_watch *w) {
    if (w) uv_close((uv_handle_t *)&w->h, on_closed);
}
