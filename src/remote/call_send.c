/* One attempt: headers, signature, exchange. */
#include "base/crypto.h"
#include "remote/internal.h"
#include <string.h>

enum {
    OWN_HEADERS = 16,
    IDLE_MS = 60 * 1000,
    IDLE_LEAST_MS = 1000,
    WHOLE_MS = 5 * 60 * 1000, /* of an attempt without a deadline */
    FILE_MS = 60 * 60 * 1000, /* of one that carries a file */
    LONG_POLL_MORE_MS = 5000,
    URL_MAX = 64 * 1024,
    AUTHORIZATION_MAX = 64 * 1024
};

static void answered(struct exchange *x, void *ud) {
    (void)x;
    call_answered(ud);
}

static struct str join(struct arena *a, struct str x, struct str y, struct str z) {
    char *p = arena_alloc(a, x.n + y.n + z.n + 1);
    size_t n = 0;
    struct str parts[] = {x, y, z};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n) memcpy(p + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    p[n] = 0;
    return str_n(p, n);
}

static struct str path_of(struct call *k) {
    if (!k->endpoint.path.n) return k->wire.path;
    return join(&k->scratch, k->endpoint.path, k->wire.path, STR_NONE);
}

static struct str url_of(struct call *k, struct str path) {
    struct str base = join(&k->scratch, k->endpoint.base, path, STR_NONE);
    return k->wire.raw_query.n ? join(&k->scratch, base, STR("?"), k->wire.raw_query) : base;
}

static void add(struct http_header *h, size_t *n, struct str name, struct str value) {
    h[(*n)++] = (struct http_header){name, value};
}

/* "attempt=1; max=3", for the service's statistics. */
static struct str attempt_text(struct call *k) {
    unsigned max = k->max_attempts > k->attempt ? k->max_attempts : k->attempt;
    return arena_printf(&k->scratch, "attempt=%u; max=%u", k->attempt, max);
}

static int64_t signing_time(struct call *k) {
    k->signed_correction_ms = atomic_load(&k->conn->remote->correction_ms[k->aws->row->service]);
    return clock_ms(NULL) + k->signed_correction_ms;
}

static struct str authorization(struct call *k, struct str path, const struct http_header *h, size_t n,
                                struct str payload_hash, const struct sign_scope *scope) {
    struct sign_credentials cred = credentials_sign(k->credentials);
    struct sign_request r = {
        k->wire.method, path, k->wire.raw_query, h, n, payload_hash, k->aws->row->service != AWS_S3};
    struct buf b = BUF_MAX(AUTHORIZATION_MAX);
    char seed[65];
    sign_authorization(&cred, scope, &r, &k->conn->keys, &b, seed);
    struct str ret = arena_str(&k->scratch, buf_view(&b));
    buf_free(&b);
    if (k->upload) call_upload_seed(k, &cred, scope, seed);
    return ret;
}

/* All headers of the attempt: those that are signed, then the others. */
static int headers_of(struct call *k, struct str path, struct err *e) {
    struct http_header *h = ARENA_ARRAY(&k->scratch, struct http_header, k->wire.n_headers + OWN_HEADERS);
    struct sign_scope scope = {k->endpoint.region, str_c(k->endpoint.signing), signing_time(k)};
    struct str payload_hash = k->wire.body_sha256;
    char *date = arena_alloc(&k->scratch, 17);
    size_t n = 0;
    now_amz(scope.unix_ms, date);
    add(h, &n, STR("Host"), k->endpoint.host);
    if (k->wire.n_headers) memcpy(h + n, k->wire.headers, k->wire.n_headers * sizeof *h);
    n += k->wire.n_headers;
    if (k->wire.has_body_file && call_upload_begin(k, h, &n, &payload_hash, e)) return -1;
    if (k->aws->row->service == AWS_S3) add(h, &n, STR("x-amz-content-sha256"), payload_hash);
    add(h, &n, STR("x-amz-date"), str_n(date, 16));
    if (k->credentials->session_token.n) add(h, &n, STR("x-amz-security-token"), k->credentials->session_token);
    add(h, &n, STR("Authorization"), authorization(k, path, h, n, payload_hash, &scope));
    add(h, &n, STR("User-Agent"), k->conn->remote->user_agent);
    add(h, &n, STR("amz-sdk-invocation-id"), str_n(k->invocation_id, 36));
    add(h, &n, STR("amz-sdk-request"), attempt_text(k));
    k->x.headers = h;
    k->x.n_headers = n;
    return 0;
}

static bool is_mail(const struct aws_call *c) {
    return c->row->service == AWS_SES && !(c->row->flags & (AWS_READ | AWS_IDEMPOTENT));
}

/* With a deadline, an attempt in which nothing moves gives up half of what is left to the next one, but for mails: one
 * that is merely slow would go out twice. A long poll answers after its waiting time; nothing may cut it before. */
static uint64_t idle_ms(const struct call *k) {
    int64_t wait_s = 0;
    uint64_t left = call_remaining_ms(k);
    if (k->aws->row->flags & AWS_LONG) json_i64(json_get(&k->aws->params, "WaitTimeSeconds"), &wait_s);
    if (wait_s > 0 && wait_s < 3600) {
        uint64_t wait = (uint64_t)wait_s * 1000 + LONG_POLL_MORE_MS;
        return wait > IDLE_MS ? wait : IDLE_MS;
    }
    if (is_mail(k->aws) || k->attempt >= k->max_attempts || left / 2 >= IDLE_MS) return IDLE_MS;
    return left / 2 > IDLE_LEAST_MS ? left / 2 : IDLE_LEAST_MS;
}

/* An answer that comes byte by byte must end some time. */
static uint64_t whole_ms(const struct call *k) {
    uint64_t left = call_remaining_ms(k), idle = idle_ms(k);
    if (left != UINT64_MAX) return left ? left : 1;
    if (k->upload || k->download) return FILE_MS;
    return WHOLE_MS > idle ? WHOLE_MS : idle;
}

int call_send(struct call *k, struct err *e) {
    struct exchange *x = &k->x;
    arena_reset(&k->scratch);
    k->attempt++;
    x->method = k->wire.method;
    x->body = k->wire.body;
    x->done = answered;
    x->ud = k;
    struct str path = path_of(k);
    if (headers_of(k, path, e)) return -1;
    if (k->aws->result_fd >= 0 && call_download_begin(k, e)) return -1;
    x->url = url_of(k, path);
    x->total_ms = whole_ms(k);
    x->idle_ms = idle_ms(k);
    remote_count(k->conn->remote, METRIC_AWS_ATTEMPTS);
    transport_start(k->conn->transport, x);
    return 0;
}
