/* transport: runs of transfers over one curl multi handle on our loop.
 *
 *   transport_start -> WAITING (its host has per_host of them already) -> STARTING -> RUNNING -> FINISHED -> done()
 *
 * curl is called from three places only: pump (a deferred task: starts what is to start, and whatever curl wants at
 * once), on_ready (a socket) and on_alarm (curl's timer); each ends in leave_curl. done() runs from a task of its own,
 * outside curl and outside the loop's descriptor callbacks, so it may start, cancel and wait. */
#include "base/map.h"
#include "remote/transport_curl.h"
#include <curl/curl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PER_HOST = 256, CONNECT_MS = 3000, POOLED = 1024, HOSTS_KEPT = 256, CONNECTIONS = 1024 };

struct host { /* an origin, "https://x:443" as written in URLs */
    struct list waiting;
    uint32_t running;
    struct str origin;
};

/* States of RFC 9293 in the kernel's numbers (net/tcp_states.h is not for programs; netinet/tcp.h clashes with
 * linux/tcp.h, whose tcp_info is longer). */
enum { CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };

enum run_state { WAITING, STARTING, RUNNING, FINISHED, DOOMED };

struct run {
    struct list node; /* of host->waiting, starting, finished, doomed or pool; none while RUNNING */
    enum run_state state;
    struct transport *t;
    struct exchange *x; /* NULL when DOOMED */
    struct host *host;  /* while it counts there */
    struct transfer *transfer;
    struct loop_timer timer;
    uint64_t started_ms;
    bool retried;
};

struct sock {
    struct transport *t;
    int fd;
    struct loop_fd *watch;
    struct transfer *transfer; /* whose request went over it last; without TLS only */
    uint64_t tag;              /* of its addresses, 0: not known yet */
    uint64_t received;         /* bytes of the answers that were whole */
    int events;                /* the loop watches for */
    bool ours;                 /* it was opened by our callback, so that we hear of its closing */
    bool wanted;               /* curl has an exchange on it */
};

struct transport {
    struct transfer_owner owner; /* first: callbacks cast */
    struct loop *loop;
    CURLM *multi;
    uint32_t per_host;
    size_t running; /* not finished, not cancelled */
    struct map hosts;
    struct list starting, finished, doomed, idle_runs, idle_transfers;
    size_t n_idle_runs, n_idle_transfers;
    struct loop_task pump, deliver;
    struct loop_timer alarm;
    struct sock **socks; /* by descriptor */
    size_t n_socks;
    bool in_curl;
};

static void leave_curl(struct transport *t);
static void note_whole_answer(struct transfer *w);
static void forget_socket(struct transport *t, struct transfer *w);
static void on_due(void *ud);

// ---- pools ----

static struct run *take_run(struct transport *t) {
    struct list *n = list_pop(&t->idle_runs);
    struct run *r = n ? CONTAINER(n, struct run, node) : malloc(sizeof *r);
    if (!r) fatal("out of memory for an HTTP exchange");
    if (n) t->n_idle_runs--;
    *r = (struct run){.t = t};
    list_init(&r->node);
    return r;
}

static void give_run(struct run *r) {
    struct transport *t = r->t;
    if (t->n_idle_runs >= POOLED) {
        free(r);
        return;
    }
    list_add(&t->idle_runs, &r->node);
    t->n_idle_runs++;
}

static struct transfer *take_transfer(struct transport *t) {
    struct list *n = list_pop(&t->idle_transfers);
    if (!n) return transfer_open(&t->owner);
    t->n_idle_transfers--;
    return CONTAINER(n, struct transfer, node);
}

static void give_transfer(struct transport *t, struct transfer *w) {
    forget_socket(t, w);
    transfer_release(w);
    if (t->n_idle_transfers >= POOLED) {
        transfer_close(w);
        return;
    }
    list_add(&t->idle_transfers, &w->node);
    t->n_idle_transfers++;
}

// ---- hosts ----

static void free_host(struct host *h) {
    free((char *)(uintptr_t)h->origin.p);
    free(h);
}

static void drop_idle_hosts(struct transport *t) {
    struct map kept = {0};
    for (size_t i = 0; i < t->hosts.n; i++) {
        struct host *h = t->hosts.slots[i].key.p ? t->hosts.slots[i].value : NULL;
        if (h && (h->running || !list_empty(&h->waiting)))
            map_put(&kept, h->origin, h);
        else if (h)
            free_host(h);
    }
    map_free(&t->hosts);
    t->hosts = kept;
}

static struct host *find_host(struct transport *t, struct str origin) {
    struct host *h = map_get(&t->hosts, origin);
    if (h) return h;
    if (t->hosts.live >= HOSTS_KEPT) drop_idle_hosts(t);
    h = calloc(1, sizeof *h);
    char *p = malloc(origin.n);
    if (!h || !p) fatal("out of memory for a host of the HTTP client");
    memcpy(p, origin.p, origin.n);
    h->origin = str_n(p, origin.n);
    list_init(&h->waiting);
    map_put(&t->hosts, h->origin, h);
    return h;
}

static void enqueue(struct run *r) { /* it counts at its host */
    struct transport *t = r->t;
    r->state = STARTING;
    r->host->running++;
    list_add(&t->starting, &r->node);
    loop_defer(t->loop, &t->pump);
}

static void leave_host(struct run *r) {
    struct host *h = r->host;
    r->host = NULL;
    if (!h) return;
    h->running--;
    struct list *n = list_pop(&h->waiting);
    if (n) enqueue(CONTAINER(n, struct run, node));
}

// ---- the end of a run ----

/* Its transfer goes back; the loop's timer and its place at the host are free. Not inside curl. */
static void detach(struct run *r) {
    struct transport *t = r->t;
    loop_timer_stop(t->loop, &r->timer);
    list_del(&r->node);
    if (r->transfer) {
        if (r->state == RUNNING || r->state == DOOMED) curl_multi_remove_handle(t->multi, r->transfer->easy);
        give_transfer(t, r->transfer);
        r->transfer = NULL;
    }
    if (r->state != WAITING) leave_host(r);
}

static void finish(struct run *r) {
    struct transport *t = r->t;
    detach(r);
    r->state = FINISHED;
    list_add(&t->finished, &r->node);
    loop_defer(t->loop, &t->deliver);
}

static void on_deliver(void *ud) {
    struct transport *t = ud;
    struct list *n = list_pop(&t->finished);
    if (!n) return;
    if (!list_empty(&t->finished)) loop_defer(t->loop, &t->deliver); /* done() may close the transport */
    struct run *r = CONTAINER(n, struct run, node);
    struct exchange *x = r->x;
    t->running--;
    x->state = NULL;
    give_run(r);
    x->done(x, x->ud);
}

static void add(struct transport *t, struct transfer *w) {
    CURLMcode rc = curl_multi_add_handle(t->multi, w->easy);
    if (rc) fatal("cannot start an HTTP exchange: %s", curl_multi_strerror(rc));
}

/* curl's answer to a transfer. */
static void completed(struct transfer *w, CURLcode code) {
    struct run *r = w->ud;
    struct transport *t = r->t;
    if (!r->retried && transfer_may_retry(w, (int)code)) {
        curl_multi_remove_handle(t->multi, w->easy);
        r->retried = r->x->sent = true;
        transfer_prepare(w, r->x, true);
        add(t, w);
        return;
    }
    transfer_finish(w, (int)code);
    if (!r->x->failure) note_whole_answer(w);
    finish(r);
}

/* curl_multi_info_read(3): "The data the returned pointer points to will not survive calling curl_multi_cleanup,
 * curl_multi_remove_handle or curl_easy_cleanup." */
static void leave_curl(struct transport *t) {
    CURLMsg *m;
    int left;
    t->in_curl = false;
    for (struct list *n; (n = list_pop(&t->doomed));) {
        struct run *r = CONTAINER(n, struct run, node);
        detach(r);
        give_run(r);
    }
    while ((m = curl_multi_info_read(t->multi, &left))) {
        struct transfer *w = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&w);
        completed(w, code);
    }
}

static void enter_curl(struct transport *t) {
    t->owner.now_ms = loop_now_ms(t->loop);
    t->in_curl = true;
}

// ---- starting ----

static void arm(struct run *r) {
    struct transport *t = r->t;
    uint64_t now = loop_now_ms(t->loop), due = transfer_due(r->transfer, r->started_ms);
    loop_timer_start(t->loop, &r->timer, due > now ? due - now : 0, on_due, r);
}

static void launch(struct run *r) {
    struct transport *t = r->t;
    r->state = RUNNING;
    r->transfer = take_transfer(t);
    r->transfer->ud = r;
    transfer_prepare(r->transfer, r->x, false);
    arm(r);
    add(t, r->transfer);
}

static void on_pump(void *ud) {
    struct transport *t = ud;
    int running;
    enter_curl(t);
    for (struct list *n; (n = list_pop(&t->starting));) launch(CONTAINER(n, struct run, node));
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    leave_curl(t);
}

/* A waiting run has only the limit of the whole; else see transfer_due. */
static void on_due(void *ud) {
    struct run *r = ud;
    struct transport *t = r->t;
    char peer[EXCHANGE_PEER];
    t->owner.now_ms = loop_now_ms(t->loop);
    if (r->transfer && !transfer_timed_out(r->transfer, r->started_ms)) {
        arm(r);
        return;
    }
    if (r->transfer)
        r->x->sent = r->x->sent || r->transfer->attempts;
    else
        exchange_fail(r->x, EXCHANGE_TIMEOUT, "no connection to %s was free within %llu ms", exchange_peer(r->x, peer),
                      (unsigned long long)r->x->total_ms);
    finish(r);
}

static void on_connecting(struct transfer *w) {
    arm(w->ud);
}

void transport_start(struct transport *t, struct exchange *x) {
    struct run *r = take_run(t);
    struct str origin;
    x->state = r;
    r->x = x;
    r->started_ms = loop_now_ms(t->loop);
    t->running++;
    exchange_empty(x);
    if (!exchange_check(x, &origin)) {
        finish(r);
        return;
    }
    r->host = find_host(t, origin);
    if (r->host->running < t->per_host) {
        enqueue(r);
        return;
    }
    r->state = WAITING;
    list_add(&r->host->waiting, &r->node);
    if (x->total_ms) loop_timer_start(t->loop, &r->timer, x->total_ms, on_due, r);
}

void transport_cancel(struct transport *t, struct exchange *x) {
    struct run *r = x->state;
    if (!r) return;
    x->state = NULL;
    t->running--;
    if (t->in_curl && r->state == RUNNING) { /* inside one of its own callbacks, or another's */
        r->state = DOOMED;
        r->x = r->transfer->x = NULL;
        loop_timer_stop(t->loop, &r->timer);
        list_add(&t->doomed, &r->node);
        return;
    }
    detach(r);
    give_run(r);
}

size_t transport_running(const struct transport *t) {
    return t->running;
}

// ---- sockets ----

static struct sock *sock_of(struct transport *t, int fd) {
    size_t n = t->n_socks ? t->n_socks : 64;
    while (n <= (size_t)fd) n *= 2;
    if (n > t->n_socks) {
        t->socks = realloc(t->socks, n * sizeof *t->socks);
        if (!t->socks) fatal("out of memory for %zu sockets", n);
        memset(t->socks + t->n_socks, 0, (n - t->n_socks) * sizeof *t->socks);
        t->n_socks = n;
    }
    struct sock *s = t->socks[fd];
    if (s) return s;
    s = t->socks[fd] = calloc(1, sizeof *s);
    if (!s) fatal("out of memory for a socket");
    s->t = t;
    s->fd = fd;
    return s;
}

/* curl_multi_socket_action(3): "ev_bitmask should be set to 0 or an OR of CURL_CSELECT_IN, CURL_CSELECT_OUT and
 * CURL_CSELECT_ERR". An idle connection that stirs has ended; curl finds that out when it would use it again. */
static void on_ready(void *ud, int events) {
    struct sock *s = ud;
    struct transport *t = s->t;
    int running, mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    if (!s->wanted) {
        loop_fd_set(s->watch, 0);
        s->events = 0;
        return;
    }
    enter_curl(t);
    curl_multi_socket_action(t->multi, s->fd, mask, &running);
    leave_curl(t);
}

static void unwatch(struct sock *s) {
    loop_fd_remove(s->watch);
    s->watch = NULL;
    s->events = 0;
}

static void watch(struct sock *s, int events) {
    struct err e;
    if (s->watch) loop_fd_set(s->watch, events);
    if (!s->watch && loop_fd_add(s->t->loop, s->fd, events, on_ready, s, &s->watch, &e)) fatal("%s", e.msg);
    s->events = events;
}

/* A socket and a transfer know each other, or neither does: transfer->fd is the socket whose `transfer` it is. */
static void forget_socket(struct transport *t, struct transfer *w) {
    if (w->fd >= 0) t->socks[w->fd]->transfer = NULL;
    w->fd = -1;
}

static void name_transfer(struct sock *s, struct transfer *w) {
    if (s->transfer) s->transfer->fd = -1;
    forget_socket(s->t, w);
    s->transfer = w;
    w->fd = s->fd;
}

static bool has_port(const struct sock *s, int local_port) {
    struct sockaddr_in6 a; /* the port is where sockaddr_in has it */
    socklen_t n = sizeof a;
    return getsockname(s->fd, (struct sockaddr *)&a, &n) == 0 && ntohs(a.sin6_port) == local_port;
}

/* Which of our sockets is it? A new one among those opened for it is told by its port; then `tag` stands for the
 * connection's addresses. Only exchanges without TLS need to know. */
static struct sock *connection(struct transport *t, const struct transfer *w, uint64_t tag, int local_port) {
    for (size_t i = 0; i < t->n_socks; i++) {
        struct sock *s = t->socks[i];
        if (!s || !s->ours || s->tag != (w->opened ? 0 : tag)) continue;
        if (!w->opened || has_port(s, local_port)) return s;
    }
    return NULL;
}

static void on_requesting(struct transfer *w, const char *ip, int port, int local_port) {
    struct transport *t = (struct transport *)w->owner;
    if (w->secure) return;
    uint64_t tag = str_hash(str_c(ip)) ^ ((uint64_t)port << 16 | (uint64_t)local_port) * UINT64_C(0x9e3779b97f4a7c15);
    if (!tag) tag = 1;
    struct sock *s = connection(t, w, tag, local_port);
    if (!s) return;
    s->tag = tag;
    name_transfer(s, w);
}

/* CURLMOPT_SOCKETFUNCTION(3): "informs the application about updates in the socket (file descriptor) status by doing
 * none, one, or multiple calls". A connection of ours that curl has done with for now stays watched for reading, which
 * saves the loop two system calls an exchange. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *unused) {
    struct sock *s = sock_of(ud, fd);
    (void)easy, (void)unused;
    s->wanted = what != CURL_POLL_REMOVE;
    if (s->wanted) {
        watch(s, (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0));
    } else if (!s->ours || !s->transfer || !s->transfer->answered) { /* one that never connected is closed unseen */
        unwatch(s);
    } else if (s->watch && s->events & LOOP_WRITE) {
        watch(s, LOOP_READ);
    }
    return 0;
}

static void on_opened(struct transfer *w, int fd) {
    sock_of((struct transport *)w->owner, fd)->ours = true;
}

/* What the kernel has received, without the end of the stream (which it counts as a byte). */
static uint64_t bytes_received(int fd) {
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n)) return 0;
    bool ended = info.tcpi_state == CLOSE_WAIT || info.tcpi_state == LAST_ACK || info.tcpi_state == CLOSING;
    return info.tcpi_bytes_received - (ended && info.tcpi_bytes_received);
}

static void note_whole_answer(struct transfer *w) {
    struct transport *t = (struct transport *)w->owner;
    struct sock *s = w->fd >= 0 ? sock_of(t, w->fd) : NULL;
    if (s) s->received = w->chunked ? bytes_received(s->fd) : s->received + w->head_bytes + w->body_bytes;
}

/* curl takes a reused connection that ends for one that never answered, unless a line of the answer was whole. Did any
 * byte of it come? (On TLS a farewell cannot be told from an answer here.) */
static void note_cut_answer(struct sock *s) {
    struct transfer *w = s->transfer;
    if (!w || !w->x || w->opened || w->answered) return;
    w->answered = bytes_received(s->fd) > s->received;
}

static void on_closing(struct transfer_owner *o, int fd) {
    struct sock *s = sock_of((struct transport *)o, fd);
    note_cut_answer(s);
    if (s->transfer) s->transfer->fd = -1;
    s->transfer = NULL;
    unwatch(s);
    s->ours = s->wanted = false;
    s->received = s->tag = 0;
}

static void on_alarm(void *ud) {
    on_pump(ud);
}

/* CURLMOPT_TIMERFUNCTION(3): "If timeout_ms is -1, it means you should delete the timer. All other values are valid
 * expire times in number of milliseconds." 0 is the usual one: the same turn of the loop serves it. */
static int on_timer(CURLM *multi, long ms, void *ud) {
    struct transport *t = ud;
    (void)multi;
    if (ms <= 0) loop_timer_stop(t->loop, &t->alarm);
    if (ms == 0) loop_defer(t->loop, &t->pump);
    if (ms > 0) loop_timer_start(t->loop, &t->alarm, (uint64_t)ms, on_alarm, t);
    return 0;
}

// ---- opening and closing ----

static CURLM *open_multi(struct transport *t) {
    CURLM *m = curl_multi_init();
    if (!m) fatal("out of memory for the HTTP client");
    curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(m, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(m, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
    return m;
}

int transport_open(const struct transport_config *c, struct transport **ret, struct err *e) {
    struct transport *t = calloc(1, sizeof *t);
    if (!t) fatal("out of memory for the HTTP client");
    if (transfer_owner_init(&t->owner, c->ca_bundle, &c->proxies, e)) {
        free(t);
        return -1;
    }
    t->owner.connect_ms = c->connect_ms ? c->connect_ms : CONNECT_MS;
    t->owner.connecting = on_connecting;
    t->owner.opened = on_opened;
    t->owner.requesting = on_requesting;
    t->owner.closing = on_closing;
    t->loop = c->loop;
    t->per_host = c->per_host ? c->per_host : PER_HOST;
    struct list *lists[] = {&t->starting, &t->finished, &t->doomed, &t->idle_runs, &t->idle_transfers};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) list_init(lists[i]);
    loop_task_init(&t->pump, on_pump, t);
    loop_task_init(&t->deliver, on_deliver, t);
    t->multi = open_multi(t);
    *ret = t;
    return 0;
}

void transport_close(struct transport *t) {
    if (!t) return;
    if (t->running) fatal("an HTTP client was closed with %zu exchanges running", t->running);
    for (struct list *n; (n = list_pop(&t->idle_transfers));) transfer_close(CONTAINER(n, struct transfer, node));
    for (struct list *n; (n = list_pop(&t->idle_runs));) free(CONTAINER(n, struct run, node));
    curl_multi_cleanup(t->multi); /* closes the connections */
    loop_timer_stop(t->loop, &t->alarm);
    loop_defer_cancel(t->loop, &t->pump);
    loop_defer_cancel(t->loop, &t->deliver);
    for (size_t i = 0; i < t->hosts.n; i++)
        if (t->hosts.slots[i].key.p) free_host(t->hosts.slots[i].value);
    map_free(&t->hosts);
    for (size_t i = 0; i < t->n_socks; i++) free(t->socks[i]);
    free(t->socks);
    transfer_owner_free(&t->owner);
    free(t);
}
