/* A call as a state machine (drawn in internal.h): what happens next. How an attempt is sent: call_send.c. */
#include "base/crypto.h"
#include "remote/internal.h"
#include <stdio.h>
#include <string.h>

/* An attempt that would have less time than this before the deadline is not begun. */
enum { ATTEMPT_MIN_MS = 10, BACKGROUND_MS = 60 * 1000 };

static const char *const state_names[] = {"new", "credentials", "pacing", "sending", "backoff", "last wait", "done"};

#define TO(s) (1u << CALL_##s)
static const unsigned moves[] = {
    [CALL_NEW] = TO(CREDENTIALS),
    [CALL_CREDENTIALS] = TO(PACING) | TO(DONE),
    [CALL_PACING] = TO(SENDING) | TO(DONE),
    [CALL_SENDING] = TO(CREDENTIALS) | TO(BACKOFF) | TO(LAST_WAIT) | TO(DONE),
    [CALL_BACKOFF] = TO(CREDENTIALS) | TO(DONE),
    [CALL_LAST_WAIT] = TO(DONE),
    [CALL_DONE] = 0,
};

static void move(struct call *k, enum call_state to) {
    if (!(moves[k->state] & (1u << to)))
        fatal("remote: a call goes from %s to %s", state_names[k->state], state_names[to]);
    k->state = to;
}

static enum aws_service service_of(const struct call *k) {
    return k->aws->row->service;
}

static struct remote *remote_of(const struct call *k) {
    return k->conn->remote;
}

/* == the end ========================================================================================================
 */

/* " (3 attempts, 151 ms waited between them; the retry quota is empty)" behind the message. */
static void tell_attempts(struct call *k) {
    struct aws_call *c = k->aws;
    char tail[160];
    if (k->attempt < 2 && !k->quota_empty) return;
    int n = snprintf(tail, sizeof tail, " (%u attempt%s, %llu ms waited between them%s)", k->attempt,
                     k->attempt == 1 ? "" : "s", (unsigned long long)c->waited_ms,
                     k->quota_empty ? "; the retry quota is empty" : "");
    size_t at = strlen(c->err.msg), room = sizeof c->err.msg - (size_t)n - 1;
    memcpy(c->err.msg + (at < room ? at : room), tail, (size_t)n + 1);
}

static void release(struct call *k) {
    call_stream_free(k);
    exchange_free(&k->x);
    credentials_unref(k->credentials);
    arena_free(&k->scratch);
    list_del(&k->node);
    list_del(&k->pacing);
    loop_timer_stop(k->conn->loop, &k->timer);
}

static void finish(struct call *k) {
    struct aws_call *c = k->aws;
    bool starting = k->starting;
    move(k, CALL_DONE);
    c->attempts = k->attempt;
    if (c->err.code && !c->cancelled) {
        call_download_discard(k);
        tell_attempts(k);
        remote_failed(remote_of(k), c);
    }
    release(k);
    c->state = NULL;
    if (!starting) aws_complete(c);
}

/* The deadline allows nothing more; what failed before is told. */
static void fail_deadline(struct call *k) {
    struct aws_call *c = k->aws;
    char last[sizeof c->err.msg];
    snprintf(last, sizeof last, "%s%.64s%s%.800s", c->err.code ? "; last error: " : "",
             c->err.code ? err_name_of(&c->err) : "", c->err.code ? ": " : "", c->err.code ? c->err.msg : "");
    err_set(&c->err, ERR_TIMEOUT, "%s %s: the deadline of the caller leaves no time for %s attempt%s",
            aws_service_name(service_of(k)), c->row->action, k->attempt ? "another" : "an", last);
    finish(k);
}

uint64_t call_remaining_ms(const struct call *k) {
    uint64_t deadline = k->aws->context.deadline_ms, now;
    if (!deadline) return UINT64_MAX;
    now = now_mono_ms();
    return deadline > now ? deadline - now : 0;
}

static void wait_until_deadline(struct call *k, void (*fn)(void *ud)) {
    uint64_t left = call_remaining_ms(k);
    if (left != UINT64_MAX) loop_timer_start(k->conn->loop, &k->timer, left, fn, k);
}

/* == before sending =================================================================================================
 */

static void send_now(struct call *k) {
    loop_timer_stop(k->conn->loop, &k->timer);
    move(k, CALL_SENDING);
    if (call_send(k, &k->aws->err)) finish(k);
}

static void paced_too_long(void *ud) {
    fail_deadline(ud);
}

static void pace_turn(void *ud) {
    struct remote_pace *p = ud;
    struct loop *loop = p->conn->loop;
    while (!list_empty(&p->waiting)) {
        uint64_t wait = retry_send_wait_ms(p->conn->remote->quota[p->service], now_mono_ms());
        if (wait) {
            loop_timer_start(loop, &p->timer, wait, pace_turn, p);
            return;
        }
        send_now(CONTAINER(list_pop(&p->waiting), struct call, pacing));
    }
}

static void pace(struct call *k) {
    struct remote_pace *p = &k->conn->pace[service_of(k)];
    move(k, CALL_PACING);
    bool first = list_empty(&p->waiting);
    uint64_t wait = first ? retry_send_wait_ms(remote_of(k)->quota[p->service], now_mono_ms()) : 0;
    if (first && !wait) {
        send_now(k);
        return;
    }
    list_add(&p->waiting, &k->pacing);
    if (first) loop_timer_start(k->conn->loop, &p->timer, wait, pace_turn, p);
    wait_until_deadline(k, paced_too_long);
}

static void no_credentials_in_time(void *ud) {
    struct call *k = ud;
    if (credentials_forget(remote_of(k)->credentials, &k->waiter)) fail_deadline(k);
}

static void ask_credentials(struct call *k) {
    struct aws_call *c = k->aws;
    if (call_remaining_ms(k) < ATTEMPT_MIN_MS) {
        fail_deadline(k);
        return;
    }
    c->err.code = ERR_NONE;
    k->credentials = credentials_get(remote_of(k)->credentials, &k->waiter, &c->err);
    if (k->credentials)
        pace(k);
    else if (c->err.code)
        finish(k);
    else
        wait_until_deadline(k, no_credentials_in_time);
}

static void credentials_came(void *ud) {
    struct call *k = ud;
    loop_timer_stop(k->conn->loop, &k->timer);
    if (k->aws->cancelled)
        finish(k);
    else
        ask_credentials(k);
}

static void begin_attempt(struct call *k) {
    move(k, CALL_CREDENTIALS);
    credentials_unref(k->credentials);
    k->credentials = NULL;
    ask_credentials(k);
}

/* == after the answer ===============================================================================================
 */

static enum err_code failure_code(enum exchange_failure f) {
    switch (f) {
    case EXCHANGE_OK:
        return ERR_NONE;
    case EXCHANGE_BAD_URL:
        return ERR_CONFIG;
    case EXCHANGE_DNS:
    case EXCHANGE_CONNECT:
    case EXCHANGE_TLS:
    case EXCHANGE_RESET:
        return ERR_ENDPOINT;
    case EXCHANGE_TIMEOUT:
        return ERR_TIMEOUT;
    case EXCHANGE_TOO_LARGE:
        return ERR_TOO_LARGE;
    case EXCHANGE_SOURCE:
    case EXCHANGE_SINK:
        return ERR_IO;
    }
    return ERR_INTERNAL;
}

static void explain_failure(struct call *k) {
    struct aws_call *c = k->aws;
    const struct exchange *x = &k->x;
    const char *why = x->failure == EXCHANGE_SOURCE ? call_upload_why(k)
                      : x->failure == EXCHANGE_SINK ? call_download_why(k)
                                                    : NULL;
    if (x->failure == EXCHANGE_TIMEOUT) remote_count(remote_of(k), METRIC_AWS_TIMEOUTS);
    bool unknown = x->sent && !(c->row->flags & AWS_READ) && x->failure != EXCHANGE_SOURCE;
    err_set(&c->err, failure_code(x->failure), "%s %s: %s%s", aws_service_name(service_of(k)), c->row->action,
            why ? why : x->why, unknown ? "; it may have been carried out" : "");
}

static void wire_response(const struct call *k, struct wire_response *r) {
    const struct exchange *x = &k->x;
    *r = (struct wire_response){.status = x->status,
                                .headers = x->response_headers,
                                .n_headers = x->n_response_headers,
                                .body = buf_view(&x->body_in)};
    call_download_result(k, r);
}

/* The service's clock minus the one that the attempt was signed with. */
static int64_t skew_of(const struct call *k) {
    const struct exchange *x = &k->x;
    return x->date_ms < 0 ? INT64_MIN : x->date_ms - x->received_ms - k->signed_correction_ms;
}

/* Reads the answer into err and result. */
static enum retry_class judge(struct call *k) {
    struct aws_call *c = k->aws;
    if (k->x.failure) {
        c->result = json_make_obj();
        explain_failure(k);
    } else {
        struct wire_response r;
        wire_response(k, &r);
        protocol_decode(&remote_of(k)->settings, c, &r);
    }
    if (c->err.code) conceal(c->err.msg, k->credentials);
    return retry_classify(k->x.failure, &c->err, skew_of(k));
}

/* S3's buckets live in one region each, which only answers tell: once a call. */
static bool redirect(struct call *k) {
    struct wire_response r;
    struct aws_call *c = k->aws;
    if (service_of(k) != AWS_S3 || k->x.failure || k->redirected || !k->wire.bucket.n) return false;
    bool moved = k->x.status == 301 || k->x.status == 307 || k->x.status == 308;
    if (!moved && strcmp(c->err.name, "AuthorizationHeaderMalformed") && k->x.status != 400) return false;
    wire_response(k, &r);
    struct str region = protocol_redirect_region(&r, k->arena);
    if (!region.n || str_eq(region, k->endpoint.region) || !endpoint_region_ok(region)) return false;
    struct endpoint there;
    if (conn_endpoint(k->conn, AWS_S3, k->wire.bucket, region, k->arena, &there, NULL)) return false;
    k->endpoint = there;
    k->redirected = true;
    remote_learn_bucket(remote_of(k), k->wire.bucket, region);
    return true;
}

/* What must hold, once a call, before these are worth another attempt. */
static bool repair(struct call *k, enum retry_class class) {
    struct remote *r = remote_of(k);
    if (class == RETRY_CREDENTIALS) {
        remote_count(r, METRIC_AWS_CREDENTIALS_REFUSED);
        if (k->refreshed || !credentials_refused(r->credentials, k->credentials)) return false;
        k->refreshed = true;
    }
    if (class == RETRY_CLOCK) {
        if (k->clock_corrected) return false;
        k->clock_corrected = true;
        atomic_store(&r->correction_ms[service_of(k)], k->x.date_ms - k->x.received_ms);
        remote_count(r, METRIC_AWS_CLOCK_CORRECTIONS);
    }
    return true;
}

static void backoff_over(void *ud) {
    begin_attempt(ud);
}

static void last_wait_over(void *ud) {
    finish(ud);
}

static double random_unit(void) {
    uint64_t v;
    crypto_random(&v, sizeof v);
    return (double)(v >> 11) * 0x1p-53;
}

static uint64_t delay_of(const struct call *k, enum retry_class class) {
    int64_t after = retry_after_ms(exchange_header(&k->x, "x-amz-retry-after"), exchange_header(&k->x, "retry-after"),
                                   k->x.status, clock_ms(NULL));
    return retry_delay_ms(service_of(k), class, k->attempt + 1, after, random_unit());
}

/* A long poll answers an empty quota by waiting, lest its caller spin. */
static void give_up_quota(struct call *k, uint64_t delay) {
    k->quota_empty = true;
    remote_count(remote_of(k), METRIC_AWS_QUOTA_EMPTY);
    uint64_t left = call_remaining_ms(k);
    if (!(k->aws->row->flags & AWS_LONG) || !delay || !left) {
        finish(k);
        return;
    }
    move(k, CALL_LAST_WAIT);
    delay = delay < left ? delay : left;
    k->aws->waited_ms += delay;
    loop_timer_start(k->conn->loop, &k->timer, delay, last_wait_over, k);
}

static void try_again(struct call *k, enum retry_class class) {
    struct remote *r = remote_of(k);
    struct aws_call *c = k->aws;
    uint64_t left = call_remaining_ms(k);
    if (k->x.failure == EXCHANGE_TIMEOUT && left < ATTEMPT_MIN_MS) {
        fail_deadline(k); /* which has cut the attempt */
        return;
    }
    if (class == RETRY_NO || !repair(k, class) || k->attempt >= k->max_attempts) {
        finish(k);
        return;
    }
    uint64_t delay = delay_of(k, class);
    if (!retry_take(r->quota[service_of(k)], class, &k->cost)) {
        give_up_quota(k, delay);
        return;
    }
    if (left < ATTEMPT_MIN_MS || delay > left - ATTEMPT_MIN_MS) {
        fail_deadline(k);
        return;
    }
    remote_count(r, METRIC_AWS_RETRIES);
    log_event(r->log, LOG_DEBUG, "aws retry", "sssui", "service", aws_service_name(service_of(k)), "action",
              c->row->action, "error", err_name_of(&c->err), "attempt", (uint64_t)k->attempt, "delay_ms",
              (int64_t)delay);
    c->waited_ms += delay;
    if (!delay) {
        begin_attempt(k);
        return;
    }
    move(k, CALL_BACKOFF);
    loop_timer_start(k->conn->loop, &k->timer, delay, backoff_over, k);
}

void call_answered(struct call *k) {
    struct remote *r = remote_of(k);
    struct retry_quota *q = r->quota[service_of(k)];
    if (k->aws->cancelled) {
        finish(k);
        return;
    }
    enum retry_class class = judge(k);
    retry_sent(q, class == RETRY_THROTTLING, now_mono_ms());
    if (!k->aws->err.code) {
        retry_succeeded(q, k->cost);
        finish(k);
        return;
    }
    if (class == RETRY_THROTTLING) remote_count(r, METRIC_AWS_THROTTLES);
    if (redirect(k))
        begin_attempt(k);
    else
        try_again(k, class);
}

/* == start and cancel ===============================================================================================
 */

static int prepare(struct call *k, struct err *e) {
    struct remote *r = remote_of(k);
    struct aws_call *c = k->aws;
    if (protocol_encode(&r->settings, c, k->arena, &k->wire, e)) return -1;
    struct str region = remote_bucket_region(r, k->wire.bucket, k->arena);
    if (conn_endpoint(k->conn, service_of(k), k->wire.bucket, region, k->arena, &k->endpoint, e)) return -1;
    crypto_uuid4(k->invocation_id);
    k->max_attempts = retry_max_attempts(&r->settings, service_of(k));
    k->waiter = (struct credential_waiter){.home = k->conn->loop, .fn = credentials_came, .ud = k};
    return 0;
}

enum aws_started call_start(struct aws_backend *b, struct aws_call *c) {
    struct remote_conn *conn = (struct remote_conn *)b;
    struct call *k = ARENA_NEW(&c->arena, struct call);
    k->aws = c;
    k->conn = conn;
    k->arena = &c->arena;
    c->attempts = 0;
    c->waited_ms = 0;
    list_init(&k->pacing);
    if (prepare(k, &c->err)) return AWS_DONE;
    c->state = k;
    list_add(&conn->calls, &k->node);
    k->starting = true;
    begin_attempt(k);
    k->starting = false;
    return k->state == CALL_DONE ? AWS_DONE : AWS_PENDING;
}

static void background_over(void *ud) {
    struct call *k = ud;
    transport_cancel(k->conn->transport, &k->x);
    finish(k);
}

/* Breaking off does no harm: the call changes nothing, or half of it (an upload) changes nothing. */
static bool may_break_off(const struct call *k) {
    return k->aws->row->flags & (AWS_READ | AWS_LONG) || k->upload;
}

void call_cancel(struct aws_backend *b, struct aws_call *c) {
    struct call *k = c->state;
    (void)b;
    switch (k->state) {
    case CALL_CREDENTIALS:
        if (credentials_forget(remote_of(k)->credentials, &k->waiter)) finish(k);
        return;
    case CALL_SENDING:
        if (may_break_off(k))
            background_over(k);
        else
            loop_timer_start(k->conn->loop, &k->timer, BACKGROUND_MS, background_over, k);
        return;
    case CALL_NEW:
    case CALL_PACING:
    case CALL_BACKOFF:
    case CALL_LAST_WAIT:
    case CALL_DONE:
        finish(k);
    }
}
