/* blocking: an exchange on a thread that may block, with a handle and connections of its own. */
#include "base/now.h"
#include "remote/transport_curl.h"
#include <curl/curl.h>
#include <stdatomic.h>

enum { CONNECT_MS = 1000, POLL_MS = 50 };

static bool stopped(const struct blocking_config *c) {
    return c->stop && atomic_load(c->stop);
}

/* Waits for the sockets until the exchange is due, at most POLL_MS so that `stop` is looked at. */
static void wait(CURLM *m, const struct transfer *w, uint64_t due) {
    uint64_t now = w->owner->now_ms, left = due > now ? due - now : 0;
    curl_multi_poll(m, NULL, 0, left < POLL_MS ? (int)left : POLL_MS, NULL);
}

static bool ended(CURLM *m, struct transfer *w) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(m, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        transfer_finish(w, (int)message->data.result);
        return true;
    }
    return false;
}

static bool broken_off(const struct blocking_config *c, struct transfer *w, uint64_t started_ms) {
    char peer[EXCHANGE_PEER];
    struct exchange *x = w->x;
    w->owner->now_ms = now_mono_ms();
    bool stop = stopped(c);
    if (!stop && !transfer_timed_out(w, started_ms)) return false;
    if (stop) exchange_fail(x, EXCHANGE_TIMEOUT, "the exchange with %s was stopped", exchange_peer(x, peer));
    x->sent = w->attempts > 0;
    return true;
}

static void run(const struct blocking_config *c, struct transfer *w, CURLM *m) {
    int running;
    uint64_t started_ms = w->owner->now_ms;
    for (;;) {
        if (broken_off(c, w, started_ms)) return;
        CURLMcode rc = curl_multi_perform(m, &running);
        if (rc) fatal("cannot run an HTTP exchange: %s", curl_multi_strerror(rc));
        if (ended(m, w)) return;
        wait(m, w, transfer_due(w, started_ms));
    }
}

void transport_blocking(const struct blocking_config *c, struct exchange *x) {
    struct transfer_owner owner;
    struct err e;
    struct str origin;
    exchange_empty(x);
    x->state = NULL;
    if (!exchange_check(x, &origin)) return;
    if (transfer_owner_init(&owner, c->ca_bundle, &c->proxies, &e)) {
        exchange_fail(x, EXCHANGE_TLS, "%s", e.msg);
        return;
    }
    owner.connect_ms = c->connect_ms ? c->connect_ms : CONNECT_MS;
    owner.now_ms = now_mono_ms();
    CURLM *m = curl_multi_init();
    struct transfer *w = transfer_open(&owner);
    if (!m) fatal("out of memory for an HTTP exchange");
    transfer_prepare(w, x, false);
    curl_multi_add_handle(m, w->easy);
    run(c, w, m);
    curl_multi_remove_handle(m, w->easy);
    transfer_close(w);
    curl_multi_cleanup(m);
    transfer_owner_free(&owner);
}
