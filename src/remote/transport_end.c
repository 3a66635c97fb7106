/* transfer: how it ends: its time limits, and what curl's code means. */
#include "remote/transport_curl.h"
#include <curl/curl.h>
#include <inttypes.h>
#include <string.h>

static uint64_t later(uint64_t since, uint64_t ms) {
    return since > UINT64_MAX - ms ? UINT64_MAX : since + ms;
}

static uint64_t idle_ms(const struct exchange *x) {
    return x->idle_ms ? x->idle_ms : EXCHANGE_IDLE_MS;
}

uint64_t transfer_due(const struct transfer *w, uint64_t started_ms) {
    const struct exchange *x = w->x;
    uint64_t whole = x->total_ms ? later(started_ms, x->total_ms) : UINT64_MAX;
    uint64_t step = w->connecting_ms ? later(w->connecting_ms, w->owner->connect_ms) : later(w->moved_ms, idle_ms(x));
    return whole < step ? whole : step;
}

bool transfer_timed_out(struct transfer *w, uint64_t started_ms) {
    struct exchange *x = w->x;
    char peer[EXCHANGE_PEER];
    uint64_t now = w->owner->now_ms;
    if (x->total_ms && now >= later(started_ms, x->total_ms))
        exchange_fail(x, EXCHANGE_TIMEOUT, "no whole answer from %s within %" PRIu64 " ms", exchange_peer(x, peer),
                      x->total_ms);
    else if (w->connecting_ms && now >= later(w->connecting_ms, w->owner->connect_ms))
        exchange_fail(x, EXCHANGE_CONNECT, "cannot connect to %s: timed out after %" PRIu64 " ms",
                      exchange_peer(x, peer), w->owner->connect_ms);
    else if (!w->connecting_ms && now >= later(w->moved_ms, idle_ms(x)))
        exchange_fail(x, EXCHANGE_TIMEOUT, "nothing came from %s for %" PRIu64 " ms", exchange_peer(x, peer),
                      idle_ms(x));
    else
        return false;
    return true;
}

static bool request_went_out(const struct transfer *w) {
    long bytes = 0;
    curl_easy_getinfo(w->easy, CURLINFO_REQUEST_SIZE, &bytes);
    return bytes > 0;
}

bool transfer_may_retry(const struct transfer *w, int code) {
    if (!w->x || w->answered || (w->x->read && w->given)) return false;
    if (w->verdict) return w->verdict == TRANSFER_AGAIN;
    if (!w->attempts || w->opened) return false;
    return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING;
}

static bool fail_by_verdict(struct exchange *x, enum transfer_verdict verdict, const char *peer) {
    switch (verdict) {
    case TRANSFER_NONE:
        return false;
    case TRANSFER_AGAIN:
        exchange_fail(x, EXCHANGE_RESET, "%s closed the connection without an answer", peer);
        break;
    case TRANSFER_CUT:
        exchange_fail(x, EXCHANGE_RESET, "%s broke off at the beginning of its answer", peer);
        break;
    case TRANSFER_HEAD_TOO_LARGE:
        exchange_fail(x, EXCHANGE_TOO_LARGE, "%s answered with more than %d headers or %d bytes of them", peer,
                      TRANSFER_HEADERS, TRANSFER_HEAD_BYTES);
        break;
    case TRANSFER_BODY_TOO_LARGE:
        exchange_fail(x, EXCHANGE_TOO_LARGE, "%s answered with more than %zu bytes", peer, x->body_in.max);
        break;
    case TRANSFER_SOURCE:
        exchange_fail(x, EXCHANGE_SOURCE, "the body for %s could not be read", peer);
        break;
    case TRANSFER_SOURCE_SHORT:
        exchange_fail(x, EXCHANGE_SOURCE, "the body for %s ended before its %" PRIi64 " bytes", peer, x->body_len);
        break;
    case TRANSFER_SINK:
        exchange_fail(x, EXCHANGE_SINK, "the answer of %s could not be written", peer);
        break;
    }
    return true;
}

/* curl's own words, but those that quote the address of a proxy, which may hold a password. */
static const char *detail(const struct transfer *w, int code) {
    static const char prefix[] = "SSL certificate problem: ";
    if (!w->error[0] || strstr(w->error, "Unsupported proxy")) return curl_easy_strerror((CURLcode)code);
    return strncmp(w->error, prefix, sizeof prefix - 1) ? w->error : w->error + sizeof prefix - 1;
}

static const char *os_detail(const struct transfer *w, int code) {
    long number = w->os_errno;
    if (!number) curl_easy_getinfo(w->easy, CURLINFO_OS_ERRNO, &number);
    return number ? strerror((int)number) : detail(w, code);
}

static void fail_on_the_way(const struct transfer *w, struct exchange *x, int code, const char *peer) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        exchange_fail(x, EXCHANGE_DNS, "cannot resolve the name of %s", peer);
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        exchange_fail(x, EXCHANGE_DNS, "cannot resolve the name of the proxy to %s: %s", peer, detail(w, code));
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        exchange_fail(x, EXCHANGE_TLS, "the certificate of %s is not trusted: %s", peer, detail(w, code));
        break;
    case CURLE_SSL_CACERT_BADFILE:
        exchange_fail(x, EXCHANGE_TLS, "the trusted certificates for %s cannot be loaded from %s", peer,
                      w->owner->ca_bundle ? w->owner->ca_bundle : w->owner->ca_path);
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ENGINE_INITFAILED:
        exchange_fail(x, EXCHANGE_TLS, "no TLS connection to %s: %s", peer, detail(w, code));
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED:
        exchange_fail(x, EXCHANGE_BAD_URL, "the URL of %s is refused: %s", peer, detail(w, code));
        break;
    case CURLE_OPERATION_TIMEDOUT:
        exchange_fail(x, EXCHANGE_CONNECT, "cannot connect to %s: timed out", peer);
        break;
    default:
        exchange_fail(x, EXCHANGE_CONNECT, "cannot connect to %s: %s", peer, os_detail(w, code));
    }
}

static void fail_in_exchange(const struct transfer *w, struct exchange *x, int code, const char *peer) {
    switch (code) {
    case CURLE_OK:
        exchange_fail(x, EXCHANGE_RESET, "%s gave status %d instead of an answer", peer, x->status);
        break;
    case CURLE_GOT_NOTHING:
        exchange_fail(x, EXCHANGE_RESET, "%s closed the connection without an answer", peer);
        break;
    case CURLE_PARTIAL_FILE:
        exchange_fail(x, EXCHANGE_RESET, "%s broke off its answer: %s", peer, detail(w, code));
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        exchange_fail(x, EXCHANGE_RESET, "%s did not answer in HTTP: %s", peer, detail(w, code));
        break;
    case CURLE_OUT_OF_MEMORY: /* curl's own limit of a header line, 100 kB */
        exchange_fail(x, EXCHANGE_TOO_LARGE, "%s answered with too long a header line", peer);
        break;
    case CURLE_SEND_FAIL_REWIND:
        exchange_fail(x, EXCHANGE_RESET, "%s closed the connection, and the body cannot be read twice", peer);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        exchange_fail(x, EXCHANGE_TIMEOUT, "no whole answer from %s in time", peer);
        break;
    default:
        exchange_fail(x, EXCHANGE_RESET, "the connection to %s broke: %s", peer, detail(w, code));
    }
}

void transfer_finish(struct transfer *w, int code) {
    struct exchange *x = w->x;
    char peer[EXCHANGE_PEER];
    w->x = NULL;
    x->sent = x->sent || (w->attempts && request_went_out(w));
    if (code == CURLE_OK && w->head_done && !w->verdict) return;
    exchange_peer(x, peer);
    if (fail_by_verdict(x, w->verdict, peer)) return;
    if (w->attempts)
        fail_in_exchange(w, x, code, peer);
    else
        fail_on_the_way(w, x, code, peer);
}
