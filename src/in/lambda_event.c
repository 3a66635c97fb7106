/* lambda_event: the head of an answer to /next as an invocation. */
#include "base/trace.h"
#include "in/lambda.h"
#include <string.h>

enum { ID_MAX = 256, MARGIN_PART = 20, MARGIN_MIN_MS = 30, MARGIN_MAX_MS = 250 };

/* == trace ids ===================================================================================================== */

/* The digits of a UUID. */
static bool is_trace_id(char ret[33], struct str id) {
    size_t n = 0;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        if (c == '-') continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || n == 32) return false;
        ret[n++] = c;
    }
    ret[n] = 0;
    return n == 32 && strspn(ret, "0") != 32;
}

/* Two numbers of the id, which itself is no UUID. */
static void hashed(char ret[33], struct str id) {
    static const char digits[] = "0123456789abcdef";
    uint64_t v[2] = {str_hash(id), str_hash(str_from(id, 1)) | 1};
    for (int i = 0; i < 32; i++) ret[i] = digits[v[i / 16] >> (i % 16 * 4) & 15];
    ret[32] = 0;
}

void lambda_trace_id(struct str xray, struct str id, char ret[33]) {
    if (!trace_of_xray(xray, ret) && !is_trace_id(ret, id)) hashed(ret, id);
}

/* == time ========================================================================================================== */

/* A twentieth of the time that is left, within 30 to 250 ms; of very little, half. On the smallest functions the
 * processor is there for a fourteenth of the time only. */
uint32_t lambda_event_timeout(int64_t deadline_ms, int64_t now_ms) {
    int64_t left = deadline_ms - now_ms, margin = left / MARGIN_PART;
    if (left <= 1) return 1;
    if (margin < MARGIN_MIN_MS) margin = MARGIN_MIN_MS;
    if (margin > MARGIN_MAX_MS) margin = MARGIN_MAX_MS;
    if (margin > left / 2) margin = left / 2;
    left -= margin;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

/* == the head ====================================================================================================== */

/* It becomes part of a path. */
static bool is_id(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("-_.:", c))))
            return false;
    }
    return s.n > 0 && s.n <= ID_MAX;
}

static void keep(struct lambda_event *ev, struct str *to, struct str value) {
    *to = value.p ? arena_str(&ev->arena, value) : STR("");
}

static void keep_header(struct lambda_event *ev, const struct http_header *h) {
    static const struct str prefix = {"lambda-runtime-", 15};
    if (h->name.n <= prefix.n || !str_ieq(str_take(h->name, prefix.n), prefix)) return;
    struct str name = str_from(h->name, prefix.n);
    struct script_invocation *in = &ev->invocation;
    const struct {
        struct str name, *to;
    } known[] = {
        {STR("aws-request-id"), &ev->id},
        {STR("invocation-id"), &ev->nonce},
        {STR("invoked-function-arn"), &in->arn},
        {STR("trace-id"), &in->xray},
        {STR("client-context"), &in->client_context},
        {STR("cognito-identity"), &in->identity},
        {STR("aws-tenant-id"), &in->tenant_id},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_ieq(name, known[i].name)) keep(ev, known[i].to, h->value);
    if (str_ieq(name, STR("deadline-ms")) && !str_i64(h->value, &in->deadline_unix_ms)) in->deadline_unix_ms = -1;
}

int lambda_event_read(struct lambda_event *ev, const struct http1 *head, const struct lambda_constants *all,
                      int64_t now_ms, struct err *e) {
    struct script_invocation *in = &ev->invocation;
    for (size_t i = 0; i < head->n_headers; i++) keep_header(ev, &head->headers[i]);
    if (!ev->id.n) return err_set(e, ERR_BAD_ANSWER, "/next: no Lambda-Runtime-Aws-Request-Id");
    if (!is_id(ev->id))
        return err_set(e, ERR_BAD_ANSWER, "/next: Lambda-Runtime-Aws-Request-Id is no id: %.100s", ev->id.p);
    if (in->deadline_unix_ms < 0) return err_set(e, ERR_BAD_ANSWER, "/next: Lambda-Runtime-Deadline-Ms is no time");
    if (in->deadline_unix_ms) ev->timeout_ms = lambda_event_timeout(in->deadline_unix_ms, now_ms);
    in->function_version = all->function_version;
    in->log_group = all->log_group;
    in->log_stream = all->log_stream;
    lambda_trace_id(in->xray, ev->id, ev->trace_id);
    return 0;
}

void lambda_event_clear(struct lambda_event *ev) {
    arena_reset(&ev->arena);
    if (ev->payload.cap > LAMBDA_KEEP_BYTES) buf_free(&ev->payload);
    buf_clear(&ev->payload);
    ev->id = ev->nonce = STR_NONE;
    ev->invocation = (struct script_invocation){0};
    ev->timeout_ms = 0;
}

void lambda_event_free(struct lambda_event *ev) {
    arena_free(&ev->arena);
    buf_free(&ev->payload);
}
