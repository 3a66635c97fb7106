/* invoke: an event document -> jobs -> the answer document. */
#include "route/invoke.h"
#include "base/now.h"
#include "base/trace.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 6 * 1024 * 1024 }; /* Lambda's limit of a synchronous answer */

// ---- ends ----

void invoke_end(struct route_run *run) {
    run->ended = true;
    run->outcome.kind = event_kind_of(&run->document);
    run->done(run->ud, &run->outcome);
    if (!run->starting) free(run);
}

static void set_type(struct route_run *run, const char *type) {
    run->outcome.error_type = arena_str(run->in.arena, str_c(type));
}

void invoke_fail(struct route_run *run, enum err_code code, const char *error_type, const char *fmt, ...) {
    char text[sizeof run->outcome.err.msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(&run->outcome.err, code, "%s", text);
    set_type(run, error_type);
    log_event(run->route->cfg.log, LOG_ERROR, "event not handled", "SSss", "request_id", run->in.request_id, "function",
              run->in.function->name, "error_type", error_type, "error", text);
    invoke_end(run);
}

/* "not_found", "ConditionalCheckFailedException" -> "NotFound", "ConditionalCheckFailedException": the Runtime API
 * knows types of letters only. */
static struct str camel(struct arena *a, struct str code) {
    char *p = arena_alloc(a, code.n + 1);
    size_t n = 0;
    bool upper = true;
    for (size_t i = 0; i < code.n; i++) {
        unsigned char c = (unsigned char)code.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (letter) p[n++] = (char)(upper ? toupper(c) : c);
        upper = !letter;
    }
    p[n] = '\0';
    return str_n(p, n);
}

static const char *kind_of(enum err_code code) {
    switch (code) {
    case ERR_TIMEOUT:
        return "TimedOut";
    case ERR_LIMIT:
        return "LimitExceeded";
    case ERR_CANCELLED:
        return "Cancelled";
    case ERR_UNAVAILABLE:
        return "Unavailable";
    default:
        return "HandlerError";
    }
}

void invoke_failed_job(struct route_run *run, const struct script_reply *reply) {
    struct str kind = camel(run->in.arena, reply->error_type);
    if (kind.n < 2) kind = str_c(kind_of(reply->err.code));
    run->outcome.err = reply->err;
    run->outcome.error_type = arena_printf(run->in.arena, "Function.%.*s", STR_ARG(kind));
    run->outcome.traceback = arena_str(run->in.arena, reply->traceback);
}

// ---- events ----

struct script_job invoke_job(const struct route_run *run, enum script_kind kind) {
    uint64_t now = clock_mono_ms(run->route->cfg.clock);
    return (struct script_job){
        .kind = kind,
        .function = run->in.function,
        .request_id = run->in.request_id,
        .aws_request_id = run->in.request_id,
        .trace_id = str_n(run->trace_id, 32),
        .timeout_ms = run->end_ms > now ? (uint32_t)(run->end_ms - now) : 1,
        .invocation = run->in.invocation,
        .document = &run->document,
    };
}

static void on_event(void *ud, struct script_reply *reply) {
    struct route_run *run = ud;
    struct route_outcome *o = &run->outcome;
    run->ticket = NULL;
    if (reply->err.code) {
        invoke_failed_job(run, reply);
    } else {
        json_write(&o->body, &reply->value);
        if (buf_check(&o->body, "the answer", &o->err)) set_type(run, "Function.ResponseSizeTooLarge");
    }
    invoke_end(run);
}

static void invoke_event(struct route_run *run) {
    struct script_job job = invoke_job(run, SCRIPT_EVENT);
    struct err e;
    if (script_check_json(&run->document, &e)) {
        invoke_fail(run, ERR_SYNTAX, "Runtime.UnmarshalError", "the event: %s", e.msg);
        return;
    }
    job.event = run->document;
    run->ticket = work_start(run->route, &job, on_event, run);
}

// ---- starting ----

static void make_trace_id(struct route_run *run) {
    const struct script_invocation *i = run->in.invocation;
    if (run->in.trace_id.n == 32)
        memcpy(run->trace_id, run->in.trace_id.p, 32);
    else if (!i || !trace_of_xray(i->xray, run->trace_id))
        work_trace_id(run->trace_id);
}

static void dispatch(struct route_run *run) {
    struct err e;
    enum event_kind kind;
    if (json_parse(run->in.arena, run->in.payload, &(struct json_limits){.duplicate_keys = true}, &run->document, &e))
        invoke_fail(run, ERR_SYNTAX, "Runtime.UnmarshalError", "the event is not JSON: %s", e.msg);
    else if (event_is_http(kind = event_kind_of(&run->document)))
        invoke_http(run);
    else if (kind == EVENT_SQS)
        invoke_batch(run);
    else
        invoke_event(run);
}

struct route_run *route_invoke(struct route *r, const struct route_invocation *in,
                               void (*done)(void *ud, struct route_outcome *o), void *ud) {
    struct route_run *run = calloc(1, sizeof *run);
    if (!run) fatal("out of memory for an invocation");
    run->route = r;
    run->in = *in;
    run->done = done;
    run->ud = ud;
    run->starting = true;
    if (!run->in.answer_max) run->in.answer_max = ANSWER_MAX;
    if (!run->in.timeout_ms) run->in.timeout_ms = in->function->timeout_ms;
    run->end_ms = clock_mono_ms(r->cfg.clock) + run->in.timeout_ms;
    run->outcome.body = BUF_MAX(run->in.answer_max);
    make_trace_id(run);
    dispatch(run);
    run->starting = false;
    if (!run->ended) return run;
    free(run);
    return NULL;
}

void route_invoke_cancel(struct route_run *run) {
    if (run->handle) script_cancel(run->route->cfg.script, run->handle);
    if (run->ticket) work_cancel(run->ticket);
    if (run->batch) invoke_batch_cancel(run->batch);
    buf_free(&run->outcome.body);
    free(run);
}
