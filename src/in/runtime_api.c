/* runtime_api: invocations and the life of the program that answers them.
 *
 *   invoke -> queue -> dispatch: start the program if there is none; deliver to a waiting /next (calls.c)
 *          -> answer (event.done) at /response, /error, time-out, exit
 *          -> end (END, REPORT, event.ended) at the next /next, time-out, exit; with more than one at a time: at once
 */
#include "in/runtime_api.h"
#include "base/crypto.h"
#include "base/now.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 3000, INIT_MS = 10000, TERM_MS = 500, FAILED_MS = 500, TAIL_MAX = 64 * 1024 };

/* == invocations =================================================================================================== */

static struct invocation *invocation_of(struct list *n) {
    return CONTAINER(n, struct invocation, node);
}

static bool alone(const struct runtime_api *r) {
    return r->cfg.concurrency == 1;
}

void runtime_dispatch(struct runtime_api *r) {
    loop_defer(r->cfg.loop, &r->dispatch);
}

size_t runtime_running(const struct runtime_api *r) {
    size_t n = 0;
    for (struct list *i = r->running.next; i != &r->running; i = i->next)
        n += invocation_of(i)->state != INVOCATION_EXPIRED;
    return n;
}

struct invocation *runtime_find(struct runtime_api *r, struct str id) {
    for (struct list *i = r->running.next; i != &r->running; i = i->next)
        if (str_is(id, invocation_of(i)->id)) return invocation_of(i);
    return NULL;
}

void invocation_answer(struct invocation *v, const char *error_type, struct str content_type, struct str body) {
    if (v->answered) return;
    v->answered = true;
    if (error_type) {
        if (!v->status) v->status = "error";
        snprintf(v->error_type, sizeof v->error_type, "%s", error_type);
    }
    v->event.done(v->event.ud, error_type ? "Unhandled" : NULL, content_type, body);
}

void invocation_fail(struct invocation *v, const char *error_type, const char *fmt, ...) {
    char text[512];
    struct buf body = BUF_MAX(8192);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    report_error(&body, error_type, str_c(text));
    invocation_answer(v, error_type, STR("application/json"), buf_view(&body));
    buf_free(&body);
}

void invocation_free(struct invocation *v) {
    if (v->answering) runtime_forget_call(v->answering);
    loop_timer_stop(v->api->cfg.loop, &v->deadline);
    list_del(&v->node);
    buf_free(&v->answer);
    free(v);
}

/* Its lines are written and its owner is told; it stays in its list. */
static void invocation_tell_end(struct invocation *v) {
    loop_timer_stop(v->api->cfg.loop, &v->deadline);
    if (v->begun) report_end(v);
    if (v->event.ended) v->event.ended(v->event.ud, buf_view(&v->api->tail));
}

void invocation_end(struct invocation *v) {
    struct runtime_api *r = v->api;
    invocation_tell_end(v);
    invocation_free(v);
    runtime_dispatch(r);
}

/* Lambda's time-out: the whole environment goes, unless others run in it. */
static void on_deadline(void *ud) {
    struct invocation *v = ud;
    struct runtime_api *r = v->api;
    char now[25];
    now_iso(clock_ms(NULL), now);
    double seconds = (double)r->cfg.timeout_ms / 1000;
    bool never_began = v->state == INVOCATION_QUEUED; /* the program did not, on this invocation's time */
    if (alone(r) || never_began) runtime_kill(r);
    report_line(r, "%s %s Task timed out after %.2f seconds\n", now, v->id, seconds);
    v->status = "timeout";
    invocation_fail(v, "Sandbox.Timedout", "%s %s Task timed out after %.2f seconds", now, v->id, seconds);
    v->error_type[0] = 0;
    if (never_began) r->init_late = false;
    if (alone(r) || never_began) {
        invocation_end(v);
        return;
    }
    invocation_tell_end(v);
    v->state = INVOCATION_EXPIRED;
    if (v->answering) invocation_free(v); /* the late answer is already coming in */
    runtime_dispatch(r);
}

/* START; its time runs from now. */
static void begin(struct invocation *v) {
    struct runtime_api *r = v->api;
    if (v->begun) return;
    v->begun = true;
    v->start_ns = now_mono_ns();
    v->deadline_ms = clock_ms(NULL) + r->cfg.timeout_ms;
    loop_timer_start(r->cfg.loop, &v->deadline, r->cfg.timeout_ms, on_deadline, v);
    if (alone(r)) buf_clear(&r->tail);
    report_start(v);
}

/* "Root=1-<seconds>-<96 bits>;Parent=<64 bits>;Sampled=0": what Lambda gives when its caller gave none. */
static void make_trace(struct invocation *v) {
    uint8_t noise[20];
    char hex[41] = "";
    crypto_random(noise, sizeof noise);
    crypto_hex_to(hex, noise, sizeof noise);
    snprintf(v->trace, sizeof v->trace, "Root=1-%08llx-%.24s;Parent=%s;Sampled=0",
             (unsigned long long)(clock_ms(NULL) / 1000), hex, hex + 24);
}

void runtime_api_invoke(struct runtime_api *r, const struct runtime_event *event, char ret_id[37]) {
    struct invocation *v = calloc(1, sizeof *v);
    if (!v) fatal("out of memory for an invocation");
    v->api = r;
    v->event = *event;
    v->answer = BUF_MAX(RUNTIME_PAYLOAD_MAX);
    crypto_uuid4(v->id);
    crypto_uuid4(v->nonce);
    make_trace(v);
    memcpy(ret_id, v->id, sizeof v->id);
    list_add(&r->queue, &v->node);
    runtime_dispatch(r);
}

void runtime_api_resume(struct runtime_api *r, const char id[37]) {
    struct invocation *v = runtime_find(r, str_c(id));
    if (v && v->answering) runtime_resume_call(v->answering);
}

/* == dispatch ====================================================================================================== */

/* The invocation that the program was started for cannot have it. */
static void fail_first(struct runtime_api *r, const char *error_type, struct str content_type, struct str body) {
    if (list_empty(&r->queue)) return;
    struct invocation *v = invocation_of(r->queue.next);
    begin(v);
    invocation_answer(v, error_type, content_type, body);
    invocation_end(v);
}

static void on_init_time(void *ud) {
    struct runtime_api *r = ud;
    report_init(r, "timeout", NULL);
    r->init_late = true; /* tried once more, on the invocation's time */
    runtime_kill(r);
}

/* false: it could not be started, and the first invocation was told so. */
static bool start(struct runtime_api *r) {
    struct err e = {0};
    struct buf body = BUF_MAX(8192);
    if (r->init_late) begin(invocation_of(r->queue.next));
    if (!program_start(r, &e)) {
        r->state = ENV_STARTED;
        if (!r->init_late) loop_timer_start(r->cfg.loop, &r->init, r->cfg.init_ms, on_init_time, r);
        return true;
    }
    log_event(r->cfg.log, LOG_ERROR, "the program does not start", "s", "error", e.msg);
    report_error(&body, "Runtime.InvalidEntrypoint", str_c(e.msg));
    fail_first(r, "Runtime.InvalidEntrypoint", STR("application/json"), buf_view(&body));
    buf_free(&body);
    return false;
}

static void dispatch(void *ud) {
    struct runtime_api *r = ud;
    while (!list_empty(&r->queue) && !r->stopping) {
        if (r->state == ENV_NONE && r->cfg.argv) {
            if (start(r)) return;
            continue;
        }
        if (r->state != ENV_READY || runtime_running(r) >= r->cfg.concurrency || !runtime_has_poll(r)) return;
        struct invocation *v = invocation_of(list_pop(&r->queue));
        list_add(&r->running, &v->node);
        begin(v);
        v->state = INVOCATION_RUNNING;
        v->init_ns = r->init_ns;
        r->init_ns = 0;
        runtime_deliver(r, v);
    }
}

/* == the program's life ============================================================================================ */

void runtime_initialized(struct runtime_api *r) {
    if (r->state != ENV_STARTED) return;
    r->state = ENV_READY;
    loop_timer_stop(r->cfg.loop, &r->init);
    if (r->program.pid && !r->init_late) r->init_ns = now_mono_ns() - r->spawned_ns;
    r->init_late = false;
    program_peak_kb(r);
}

static void on_overstay(void *ud) {
    runtime_kill(ud);
}

void runtime_init_failed(struct runtime_api *r, const char *error_type, struct str content_type, struct str body) {
    loop_timer_stop(r->cfg.loop, &r->init);
    program_drain(r);
    report_init(r, "error", error_type);
    if (r->program.pid) { /* else somebody else's program may try again */
        r->state = ENV_FAILED;
        loop_timer_start(r->cfg.loop, &r->grace, FAILED_MS, on_overstay, r);
    }
    r->init_late = false;
    fail_first(r, error_type, content_type, body);
}

void runtime_kill(struct runtime_api *r) {
    loop_timer_stop(r->cfg.loop, &r->init);
    loop_timer_stop(r->cfg.loop, &r->grace);
    if (!r->program.pid) return;
    program_drain(r);
    r->state = ENV_ENDING;
    program_signal(r, SIGKILL);
}

static void end_running(struct runtime_api *r, const char *reason) {
    while (!list_empty(&r->running)) {
        struct invocation *v = invocation_of(r->running.next);
        if (v->state == INVOCATION_EXPIRED) {
            invocation_free(v);
            continue;
        }
        if (!v->answered) report_line(r, "RequestId: %s Error: %s\nRuntime.ExitError", v->id, reason);
        invocation_fail(v, "Runtime.ExitError", "RequestId: %s Error: %s", v->id, reason);
        if (!v->status) v->status = "error";
        invocation_end(v);
    }
}

static void fail_init_exit(struct runtime_api *r, const char *reason) {
    struct buf body = BUF_MAX(8192), text = BUF_MAX(4096);
    report_init(r, "error", "Runtime.ExitError");
    r->init_late = false;
    if (!list_empty(&r->queue)) buf_printf(&text, "RequestId: %s Error: ", invocation_of(r->queue.next)->id);
    buf_c(&text, reason);
    report_error(&body, "Runtime.ExitError", buf_view(&text));
    fail_first(r, "Runtime.ExitError", STR("application/json"), buf_view(&body));
    buf_free(&body);
    buf_free(&text);
}

static void tell_stopped(void *ud) {
    struct runtime_api *r = ud;
    r->stopped(r->stopped_ud);
}

static void forget_environment(struct runtime_api *r) {
    api_server_drop(&r->server);
    list_init(&r->extensions);
    arena_reset(&r->env_arena);
    r->state = ENV_NONE;
}

void runtime_exited(struct runtime_api *r, int status) {
    char reason[128];
    enum env_state was = r->state;
    loop_timer_stop(r->cfg.loop, &r->init);
    loop_timer_stop(r->cfg.loop, &r->grace);
    report_exit_reason(status, reason, sizeof reason);
    forget_environment(r);
    if (was == ENV_STARTED && !r->stopping) fail_init_exit(r, reason);
    if (was == ENV_READY && list_empty(&r->running) && !r->stopping)
        log_event(r->cfg.log, LOG_WARN, "the runtime ended between invocations", "s", "reason", reason);
    end_running(r, reason);
    if (r->stopping)
        tell_stopped(r);
    else
        runtime_dispatch(r);
}

/* == open, stop, close ============================================================================================= */

int runtime_api_open(const struct runtime_api_config *c, struct runtime_api **ret, struct err *e) {
    struct runtime_api *r = calloc(1, sizeof *r);
    if (!r) fatal("out of memory for a Runtime API");
    r->cfg = *c;
    if (!r->cfg.timeout_ms) r->cfg.timeout_ms = TIMEOUT_MS;
    if (!r->cfg.init_ms) r->cfg.init_ms = INIT_MS;
    if (!r->cfg.concurrency) r->cfg.concurrency = 1;
    r->server =
        (struct api_server){.loop = c->loop, .log = c->log, .listen_fd = c->listen_fd, .handler = runtime_calls};
    r->server.handler.ud = r;
    r->program = (struct program){.out = -1, .pidfd = -1};
    r->state = c->argv ? ENV_NONE : ENV_STARTED;
    r->tail = BUF_MAX(TAIL_MAX);
    list_init(&r->queue);
    list_init(&r->running);
    list_init(&r->polls);
    list_init(&r->extensions);
    loop_task_init(&r->dispatch, dispatch, r);
    loop_task_init(&r->tell_stopped, tell_stopped, r);
    if (api_server_open(&r->server, e)) {
        free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

static void fail_all(struct runtime_api *r) {
    struct list *lists[] = {&r->running, &r->queue};
    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i])) {
            struct invocation *v = invocation_of(lists[i]->next);
            if (v->state != INVOCATION_EXPIRED) {
                invocation_fail(v, "Sandbox.Stopped", "the Runtime API stops");
                invocation_tell_end(v);
            }
            invocation_free(v);
        }
}

void runtime_api_stop(struct runtime_api *r, void (*done)(void *ud), void *ud) {
    r->stopping = true;
    r->stopped = done;
    r->stopped_ud = ud;
    fail_all(r);
    if (!r->program.pid) {
        loop_defer(r->cfg.loop, &r->tell_stopped);
    } else if (list_empty(&r->extensions)) {
        runtime_kill(r);
    } else {
        program_signal(r, SIGTERM);
        loop_timer_start(r->cfg.loop, &r->grace, TERM_MS, on_overstay, r);
    }
}

void runtime_api_close(struct runtime_api *r) {
    if (!r) return;
    r->stopping = true;
    fail_all(r);
    program_close(r);
    api_server_close(&r->server);
    loop_timer_stop(r->cfg.loop, &r->init);
    loop_timer_stop(r->cfg.loop, &r->grace);
    loop_defer_cancel(r->cfg.loop, &r->dispatch);
    loop_defer_cancel(r->cfg.loop, &r->tell_stopped);
    arena_free(&r->env_arena);
    buf_free(&r->tail);
    free(r);
}
