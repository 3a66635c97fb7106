/* lambda: slots that poll, run and answer. Retry and exit: docs/lambda.md "Faults". */
#include "in/lambda.h"
#include "base/now.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MAX = 6 * 1024 * 1024 + 100, /* what Lambda takes of an answer that is not streamed */
    POLLS_MAX = 6,                      /* that fail in a row */
    PAUSE_MS = 20,                      /* before the second of them; doubles */
    REPEATS_MAX = 3,                    /* of one event that was answered */
    REQUEST_MAX = 128 << 10,
    TRACE_MAX = 1024,
    INIT_ERROR_MS = 3000,
};

static void poll(struct lambda_slot *s);

/* == requests ====================================================================================================== */

void lambda_request(struct lambda_conn *c, const char *method, const char *fmt, ...) {
    char path[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    buf_clear(&c->out);
    buf_c(&c->out, method);
    buf_c(&c->out, *path == '/' ? " " : " /2018-06-01/runtime/");
    buf_c(&c->out, path);
    buf_c(&c->out, " HTTP/1.1\r\nHost: ");
    buf_c(&c->out, c->to->text);
    buf_c(&c->out, "\r\nUser-Agent: perigee/" PERIGEE_VERSION "\r\n");
}

void lambda_header(struct lambda_conn *c, const char *name, struct str value) {
    if (!value.n) return;
    buf_c(&c->out, name);
    buf_c(&c->out, ": ");
    buf_str(&c->out, value);
    buf_c(&c->out, "\r\n");
}

void lambda_length(struct lambda_conn *c, size_t n) {
    buf_c(&c->out, "Content-Length: ");
    buf_u64(&c->out, n);
    buf_c(&c->out, "\r\n\r\n");
}

/* == ending ======================================================================================================== */

void lambda_fail(struct lambda *l, const struct err *e) {
    if (l->failed) return;
    l->failed = true;
    l->err = *e;
    loop_stop(l->c.loop);
}

static void stop_slot(struct lambda_slot *s) {
    loop_turn_end_remove(s->l->c.loop, &s->after);
    loop_timer_stop(s->l->c.loop, &s->pause);
    lambda_conn_close(&s->conn);
    s->state = SLOT_STOPPED;
}

static void stop_when_idle(struct lambda *l) {
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (l->slots[i].state != SLOT_STOPPED) return;
    loop_stop(l->c.loop);
}

void lambda_stop(struct lambda *l) {
    l->stopping = true;
    for (uint32_t i = 0; i < l->n_slots; i++) {
        enum slot_state state = l->slots[i].state;
        if (state == SLOT_POLLING || state == SLOT_PAUSED) stop_slot(&l->slots[i]);
    }
    stop_when_idle(l);
}

/* == answering ===================================================================================================== */

void lambda_slot_request(struct lambda_slot *s, const char *what) {
    lambda_request(&s->conn, "POST", "invocation/%.*s/%s", STR_ARG(s->event.id), what);
    lambda_header(&s->conn, "Lambda-Runtime-Invocation-Id", s->event.nonce);
}

/* The rest of a head: of a JSON document; type and cause of an error, else empty. */
static void end_head(struct lambda_conn *c, const struct buf *type, const struct buf *cause, const struct buf *body) {
    lambda_header(c, "Content-Type", STR("application/json"));
    lambda_header(c, "Lambda-Runtime-Function-Error-Type", buf_view(type));
    lambda_header(c, "Lambda-Runtime-Function-XRay-Error-Cause", buf_view(cause));
    lambda_length(c, body->n);
}

void lambda_slot_post(struct lambda_slot *s) {
    s->state = SLOT_ANSWERING;
    lambda_slot_request(s, s->type.n ? "error" : "response");
    end_head(&s->conn, &s->type, &s->cause, &s->body);
    lambda_conn_call(&s->conn, buf_view(&s->body), lambda_slot_answered, s);
}

static void forget_answer(struct lambda_slot *s) {
    if (s->body.cap > LAMBDA_KEEP_BYTES) buf_free(&s->body);
    buf_clear(&s->body);
    buf_clear(&s->type);
    buf_clear(&s->cause);
    buf_clear(&s->key);
    s->repeats = 0;
}

void lambda_slot_set_error(struct lambda_slot *s, const struct lambda_failure *f) {
    struct lambda_failure with_id = *f;
    with_id.id = s->event.id;
    buf_clear(&s->body);
    buf_clear(&s->type);
    buf_clear(&s->cause);
    lambda_error_type(&s->type, &with_id);
    lambda_error_body(&s->body, &with_id);
    lambda_error_cause(&s->cause, &with_id);
}

/* What tells an event from one that Lambda tries again, which has the same id: RAPID's nonce where it has one, and the
 * deadline. */
static void write_key(struct buf *b, const struct lambda_event *ev) {
    buf_clear(b);
    buf_str(b, ev->id);
    buf_byte(b, ' ');
    buf_str(b, ev->nonce);
    buf_byte(b, ' ');
    buf_i64(b, ev->invocation.deadline_unix_ms);
}

static void rested(struct lambda_slot *s) {
    struct lambda *l = s->l;
    if (l->stopping) {
        stop_slot(s);
        stop_when_idle(l);
        return;
    }
    if (l->c.script) script_rest(l->c.script);
    poll(s);
}

/* Of what handlers have registered with context:after some is still to run: polling would let Lambda freeze the process
 * in the middle. */
static bool has_more_to_do(const struct lambda *l) {
    return l->n_slots == 1 && l->c.script && script_jobs(l->c.script);
}

static void on_turn_end(void *ud) {
    struct lambda_slot *s = ud;
    if (has_more_to_do(s->l)) return;
    loop_turn_end_remove(s->l->c.loop, &s->after);
    rested(s);
}

static void next(struct lambda_slot *s) {
    lambda_event_clear(&s->event);
    s->streamed = false;
    s->state = SLOT_RESTING;
    if (has_more_to_do(s->l))
        loop_turn_end(s->l->c.loop, &s->after, on_turn_end, s);
    else
        rested(s);
}

static void log_refused(const struct lambda_slot *s, int status) {
    const char *msg = s->retried && status == 403 ? "the answer had arrived before the connection broke"
                                                  : "Lambda did not take the answer of an invocation";
    log_event(s->l->c.log, LOG_WARN, msg, "SiS", "request_id", s->event.id, "status", (int64_t)status, "answer",
              lambda_refusal(&s->conn));
}

static void settled(struct lambda_slot *s, int status) {
    bool taken = (status >= 200 && status < 300) || (s->retried && status == 403);
    if (status < 200 || status > 299) log_refused(s, status);
    if (taken) forget_answer(s);
    next(s);
}

/* Once, on a fresh connection. A stream cannot be repeated: that it is incomplete is said instead, and refused (403)
 * when it had arrived whole. */
static void answer_again(struct lambda_slot *s, const struct err *why) {
    struct err e;
    log_event(s->l->c.log, LOG_WARN, "an answer is sent again: the connection broke or the Runtime API failed", "Ss",
              "request_id", s->event.id, "error", why->msg);
    lambda_conn_close(&s->conn);
    s->retried = true;
    if (s->streamed) {
        err_set(&e, ERR_ENDPOINT, "the stream of the answer broke: %s", why->msg);
        lambda_slot_set_error(s, &(struct lambda_failure){.err = &e, .type = STR("Function.StreamBroken")});
        write_key(&s->key, &s->event);
        s->streamed = false;
    }
    lambda_slot_post(s);
}

void lambda_slot_answered(void *ud, const struct err *e) {
    struct lambda_slot *s = ud;
    struct err own;
    int status = s->conn.answer.status;
    if (s->state == SLOT_RUNNING) {
        lambda_stream_answered(s, e);
        return;
    }
    if (!e && status >= 500) {
        err_set(&own, ERR_SERVICE, "the Runtime API answered %d: %.*s", status, STR_ARG(lambda_refusal(&s->conn)));
        e = &own;
    }
    if (!e) {
        settled(s, status);
    } else if (!s->retried) {
        answer_again(s, e);
    } else {
        struct err end = *e;
        err_wrap(&end, "the answer of invocation %.*s could not be given", STR_ARG(s->event.id));
        lambda_fail(s->l, &end);
    }
}

/* == running ======================================================================================================= */

static void answer(struct lambda_slot *s, struct route_outcome *o) {
    struct err e;
    struct lambda_failure f = {&o->err, o->error_type, o->traceback, s->event.id};
    if (!o->err.code && o->body.n > ANSWER_MAX) {
        err_set(&e, ERR_TOO_LARGE, "the answer has %zu bytes, more than the %d that Lambda takes", o->body.n,
                (int)ANSWER_MAX);
        f = (struct lambda_failure){.err = &e, .type = STR("Function.ResponseSizeTooLarge")};
    }
    if (o->streamed || s->streamed) {
        buf_free(&o->body);
        s->state = SLOT_ANSWERING;
        lambda_stream_end(s, f.err->code ? &f : NULL);
        return;
    }
    if (f.err->code) {
        lambda_slot_set_error(s, &f);
        buf_free(&o->body);
    } else {
        buf_free(&s->body);
        s->body = o->body;
    }
    write_key(&s->key, &s->event);
    lambda_slot_post(s);
}

static void invoked(void *ud, struct route_outcome *o) {
    struct lambda_slot *s = ud;
    s->run = NULL;
    answer(s, o);
}

/* X-Ray's for this event, where other code of the process looks. */
static void set_trace_variable(struct lambda *l, struct str xray) {
    char *value = l->trace_variable ? strchr(l->trace_variable, '=') + 1 : NULL;
    if (!value) return;
    if (xray.n >= TRACE_MAX - 32) xray.n = 0;
    memcpy(value, xray.n ? xray.p : "", xray.n);
    value[xray.n] = 0;
}

static void run(struct lambda_slot *s) {
    struct lambda *l = s->l;
    struct lambda_event *ev = &s->event;
    struct route_invocation in = {
        .function = l->c.function,
        .request_id = ev->id,
        .trace_id = str_n(ev->trace_id, 32),
        .payload = buf_view(&ev->payload),
        .arena = &ev->arena,
        .timeout_ms = ev->timeout_ms,
        .answer_max = ANSWER_MAX,
        .report_failures = l->c.report_failures,
        .invocation = &ev->invocation,
        .stream = l->c.stream ? &s->stream : NULL,
    };
    forget_answer(s);
    s->retried = false;
    s->state = SLOT_RUNNING;
    set_trace_variable(l, ev->invocation.xray);
    if (l->c.arn) l->c.arn(l->c.ud, ev->invocation.arn);
    lambda_stream_init(s);
    s->run = route_invoke(l->c.route, &in, invoked, s);
}

/* == polling ======================================================================================================= */

static void poll_again(void *ud) {
    poll(ud);
}

static void poll_broken(struct lambda_slot *s, const struct err *why) {
    struct lambda *l = s->l;
    unsigned n = s->broken++;
    struct err e = *why;
    lambda_conn_close(&s->conn);
    lambda_event_clear(&s->event);
    if (n >= POLLS_MAX) {
        err_wrap(&e, "no event can be had after %u attempts", n + 1);
        lambda_fail(l, &e);
        return;
    }
    log_event(l->c.log, n ? LOG_WARN : LOG_DEBUG, "asking for an event failed", "s", "error", e.msg);
    s->state = SLOT_PAUSED;
    loop_timer_start(l->c.loop, &s->pause, n ? (uint64_t)PAUSE_MS << n : 0, poll_again, s);
}

static void poll_refused(struct lambda_slot *s) {
    struct err e;
    err_set(&e, ERR_SERVICE, "the Runtime API answered %d to /next: %.*s", s->conn.answer.status,
            STR_ARG(lambda_refusal(&s->conn)));
    lambda_fail(s->l, &e);
}

/* The event that was answered last comes again: its answer did not count. The handler has run. */
static void repeat(struct lambda_slot *s) {
    struct err e;
    if (++s->repeats > REPEATS_MAX) {
        err_set(&e, ERR_SERVICE, "invocation %.*s comes again and again, and its answer is not taken",
                STR_ARG(s->event.id));
        lambda_fail(s->l, &e);
        return;
    }
    log_event(s->l->c.log, LOG_WARN, "an invocation that was answered comes again: the same answer is sent", "S",
              "request_id", s->event.id);
    s->retried = false;
    lambda_slot_post(s);
}

static bool is_repeated(struct lambda_slot *s) {
    struct buf key = BUF_MAX(REQUEST_MAX);
    if (!s->key.n) return false;
    write_key(&key, &s->event);
    bool same = str_eq(buf_view(&key), buf_view(&s->key));
    buf_free(&key);
    return same;
}

static void refuse_event(struct lambda_slot *s) {
    struct err e;
    forget_answer(s);
    s->retried = false;
    err_set(&e, ERR_VALIDATION, "the event is larger than %d bytes", (int)LAMBDA_EVENT_MAX);
    lambda_slot_set_error(s, &(struct lambda_failure){.err = &e, .type = STR("Runtime.EventTooLarge")});
    write_key(&s->key, &s->event);
    lambda_slot_post(s);
}

static void take_payload(struct lambda_slot *s) {
    struct buf payload = s->event.payload;
    s->event.payload = s->conn.body;
    s->conn.body = payload;
}

static void polled(void *ud, const struct err *e) {
    struct lambda_slot *s = ud;
    struct err own;
    if (e) {
        poll_broken(s, e);
        return;
    }
    if (s->conn.answer.status != 200) {
        poll_refused(s);
        return;
    }
    if (lambda_event_read(&s->event, &s->conn.answer, &s->l->constants, clock_ms(NULL), &own)) {
        poll_broken(s, &own);
        return;
    }
    s->broken = 0;
    take_payload(s);
    if (is_repeated(s))
        repeat(s);
    else if (s->event.payload.over)
        refuse_event(s);
    else
        run(s);
}

static void poll(struct lambda_slot *s) {
    s->state = SLOT_POLLING;
    buf_clear(&s->conn.out);
    buf_str(&s->conn.out, buf_view(&s->l->poll));
    lambda_conn_call(&s->conn, STR_NONE, polled, s);
}

/* == life ========================================================================================================== */

static void open_slot(struct lambda *l, struct lambda_slot *s) {
    s->l = l;
    list_init(&s->after.node);
    lambda_conn_init(&s->conn, l->c.loop, &l->to);
    s->event.payload = BUF_MAX(LAMBDA_EVENT_MAX);
    s->body = BUF_MAX(ANSWER_MAX + REQUEST_MAX);
    s->type = s->cause = s->key = BUF_MAX(REQUEST_MAX);
}

static void open_trace_variable(struct lambda *l) {
    if (!l->c.own_trace_variable) return;
    l->trace_variable = calloc(1, TRACE_MAX);
    if (!l->trace_variable) fatal("out of memory for a variable");
    strcpy(l->trace_variable, "_X_AMZN_TRACE_ID=");
    putenv(l->trace_variable);
}

static void close_trace_variable(struct lambda *l) {
    if (!l->trace_variable) return;
    unsetenv("_X_AMZN_TRACE_ID");
    free(l->trace_variable);
}

static struct str variable(const char *name) {
    const char *v = getenv(name);
    return str_c(v ? v : "");
}

int lambda_open(const struct lambda_config *c, struct lambda **ret, struct err *e) {
    struct lambda_address to;
    if (lambda_resolve(c->api, &to, e)) return -1;
    if (c->script && script_watch_self(c->script, e)) return -1;
    struct lambda *l = calloc(1, sizeof *l);
    if (!l) fatal("out of memory for the Runtime API client");
    l->c = *c;
    l->to = to;
    l->constants =
        (struct lambda_constants){variable("AWS_LAMBDA_FUNCTION_VERSION"), variable("AWS_LAMBDA_LOG_GROUP_NAME"),
                                  variable("AWS_LAMBDA_LOG_STREAM_NAME")};
    l->n_slots = c->concurrency ? c->concurrency : 1;
    l->slots = calloc(l->n_slots, sizeof *l->slots);
    if (!l->slots) fatal("out of memory for %u connections", l->n_slots);
    for (uint32_t i = 0; i < l->n_slots; i++) open_slot(l, &l->slots[i]);
    lambda_conn_init(&l->extension, c->loop, &l->to);
    l->poll = BUF_MAX(REQUEST_MAX);
    lambda_request(&l->extension, "GET", "invocation/next");
    buf_str(&l->poll, buf_view(&l->extension.out));
    buf_c(&l->poll, "\r\n");
    open_trace_variable(l);
    *ret = l;
    return 0;
}

static void start(struct lambda *l) {
    for (uint32_t i = 0; i < l->n_slots && !l->stopping; i++) poll(&l->slots[i]);
}

int lambda_run(struct lambda *l, struct err *e) {
    if (l->c.sigterm)
        lambda_extension_open(l, start);
    else
        start(l);
    loop_run(l->c.loop);
    if (!l->failed) return 0;
    if (e) *e = l->err;
    return -1;
}

static void close_slot(struct lambda_slot *s) {
    if (s->run) route_invoke_cancel(s->run);
    stop_slot(s);
    lambda_conn_free(&s->conn);
    lambda_event_free(&s->event);
    buf_free(&s->body);
    buf_free(&s->type);
    buf_free(&s->cause);
    buf_free(&s->key);
}

void lambda_close(struct lambda *l) {
    if (!l) return;
    for (uint32_t i = 0; i < l->n_slots; i++) close_slot(&l->slots[i]);
    lambda_conn_free(&l->extension);
    if (l->signal) loop_signal_remove(l->signal);
    buf_free(&l->poll);
    close_trace_variable(l);
    free(l->slots);
    free(l);
}

/* == a start that failed =========================================================================================== */

struct init_report {
    bool done;
    struct err err;
};

static void reported(void *ud, const struct err *e) {
    struct init_report *r = ud;
    r->done = true;
    if (e) r->err = *e;
}

static int report(struct lambda_conn *c, struct loop *loop, const struct lambda_failure *f, struct err *e) {
    struct init_report r = {0};
    struct buf body = BUF_MAX(ANSWER_MAX), type = BUF_MAX(REQUEST_MAX), cause = BUF_MAX(REQUEST_MAX);
    lambda_error_body(&body, f);
    lambda_error_type(&type, f);
    lambda_error_cause(&cause, f);
    lambda_request(c, "POST", "init/error");
    end_head(c, &type, &cause, &body);
    lambda_conn_call(c, buf_view(&body), reported, &r);
    for (uint64_t until = now_mono_ms() + INIT_ERROR_MS; !r.done && now_mono_ms() < until;) loop_once(loop, 100);
    if (!r.done) err_set(&r.err, ERR_TIMEOUT, "the Runtime API at %s did not answer", c->to->text);
    buf_free(&body);
    buf_free(&type);
    buf_free(&cause);
    if (r.err.code) *e = r.err;
    return r.err.code ? -1 : 0;
}

/* Twice at most: 403 is fine, another has reported. */
static int report_init(const char *api, const struct lambda_failure *f, int *ret_status, struct err *e) {
    struct lambda_address to;
    struct lambda_conn c;
    struct loop *loop = NULL;
    if (lambda_resolve(api, &to, e) || loop_open(&loop, e)) return -1;
    lambda_conn_init(&c, loop, &to);
    int rc = report(&c, loop, f, e);
    if (rc && e->code != ERR_TIMEOUT) {
        lambda_conn_close(&c);
        rc = report(&c, loop, f, e);
    }
    *ret_status = rc ? 0 : c.answer.status;
    lambda_conn_free(&c);
    loop_close(loop);
    return rc;
}

void lambda_init_error(const char *api, const char *error_type, const struct err *why, struct str traceback,
                       const struct log *log) {
    struct lambda_failure f = {.err = why, .type = str_c(error_type), .traceback = traceback};
    struct err e = {0};
    int status = 0;
    log_event(log, LOG_ERROR, "the function cannot be started", "ssS", "code", error_type, "error", why->msg,
              "traceback", traceback.n ? traceback : STR_NONE);
    if (report_init(api, &f, &status, &e))
        log_event(log, LOG_ERROR, "Lambda was not told", "s", "error", e.msg);
    else if (status != 202)
        log_event(log, LOG_WARN, "Lambda did not take the error of the start", "i", "status", (int64_t)status);
}
