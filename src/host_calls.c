/* host_calls.c: keeps what the probe tells of calls, and counts what runs of functions take. */
#include "host_calls.h"
#include "script/script.h"
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES (256u << 20) /* of all calls since the last mark */
#define BODY_BYTES (1u << 20)   /* a larger object is not kept */

struct running {
    uint64_t serial, start_ns, start_ms;
    size_t function;
};

/* == keeping ========================================================================================================
 */

static bool is_settling(enum aws_op op) {
    return op == AWS_SQS_ReceiveMessage || op == AWS_SQS_DeleteMessage || op == AWS_SQS_DeleteMessageBatch ||
           op == AWS_SQS_ChangeMessageVisibility || op == AWS_SQS_ChangeMessageVisibilityBatch;
}

static struct str copy(struct arena *a, struct str s) {
    return s.n ? arena_str(a, s) : STR_NONE;
}

static struct str resource_of(struct arena *a, const struct aws_call *c) {
    struct buf b = BUF_MAX(4096);
    probe_resource(c, &b);
    struct str s = copy(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static void keep_documents(struct arena *a, const struct aws_call *c, struct kept *k) {
    k->params = json_copy(a, &c->params);
    if (c->body.p && c->body.n <= BODY_BYTES) k->body = arena_str(a, c->body);
    if (k->code.n) return;
    k->result = json_copy(a, &c->result);
    if (c->result_body.p && c->result_body.n <= BODY_BYTES) k->result_body = arena_str(a, c->result_body);
}

static struct kept *make_kept(struct arena *a, const struct probe_call *s) {
    const struct aws_call *c = s->call;
    struct kept *k = ARENA_NEW(a, struct kept);
    k->n = s->n;
    k->begun = s->begun;
    k->service = aws_service_name(c->row->service);
    k->action = c->op == AWS_OTHER ? arena_cstr(a, str_c(c->row->action)) : c->row->action;
    k->fault = s->fault;
    k->function = copy(a, c->context.function);
    k->resource = resource_of(a, c);
    k->request_id = copy(a, c->context.request_id);
    k->correlation_id = copy(a, c->context.correlation_id);
    if (s->told.code) {
        k->code = arena_str(a, str_c(err_name_of(&s->told)));
        k->message = arena_str(a, str_c(s->told.msg));
        k->status = err_status_of(&s->told);
    }
    k->effect = s->effect;
    k->empty = s->empty;
    k->write = c->row->flags & AWS_WRITE;
    k->began_ms = s->began_ms;
    k->ended_ms = s->ended_ms;
    k->cost = s->cost;
    return k;
}

/* Most calls end in the order they began. */
static void insert(struct calls *l, struct kept *k) {
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->list = realloc(l->list, l->cap * sizeof *l->list);
        if (!l->list) fatal("out of memory for %zu calls", l->cap);
    }
    size_t i = l->n++;
    for (; i && l->list[i - 1]->n > k->n; i--) l->list[i] = l->list[i - 1];
    l->list[i] = k;
}

static void seen(void *ud, const struct probe_call *s) {
    struct calls *l = ud;
    const struct aws_call *c = s->call;
    if (!s->n) return;
    if (s->effect && c->row->flags & AWS_WRITE && !is_settling(c->op)) l->writes++;
    if (l->keep == KEEP_NOTHING) return;
    l->over |= l->arena.used > KEPT_BYTES;
    if (l->over) return;
    struct kept *k = make_kept(&l->arena, s);
    if (l->keep == KEEP_ALL) keep_documents(&l->arena, c, k);
    insert(l, k);
}

/* == runs ===========================================================================================================
 */

static uint64_t simulated_ms(const struct calls *l) {
    const struct perigee *p = l->worker->host;
    return p->simulation.on ? clock_mono_ms(p->clock) : 0;
}

static void on_began(void *ud, uint64_t serial, const struct script_job *job) {
    struct calls *l = ud;
    if (l->n_running == l->running_cap) {
        l->running_cap = l->running_cap ? l->running_cap * 2 : 16;
        l->running = realloc(l->running, l->running_cap * sizeof *l->running);
        if (!l->running) fatal("out of memory for %zu runs", l->running_cap);
    }
    l->running[l->n_running++] = (struct running){serial, now_mono_ns(), simulated_ms(l), job->function->index};
}

static void add_run(struct calls *l, const struct running *r) {
    struct bill *b = &l->bills[r->function];
    uint64_t ns = now_mono_ns() - r->start_ns + (simulated_ms(l) - r->start_ms) * 1000000u;
    uint64_t billed = (ns + 999999u) / 1000000u;
    b->runs++;
    b->ms += (double)ns / 1e6;
    b->billed_ms += billed;
    b->gb_ms += (double)billed * (double)b->function->memory_bytes / (double)(1u << 30);
}

static void on_ended(void *ud, uint64_t serial) {
    struct calls *l = ud;
    for (size_t i = 0; i < l->n_running; i++) {
        if (l->running[i].serial != serial) continue;
        add_run(l, &l->running[i]);
        l->running[i] = l->running[--l->n_running];
        return;
    }
}

/* == opening ========================================================================================================
 */

static void start_bills(struct calls *l) {
    const struct app *app = l->worker->host->app;
    for (size_t i = 0; i < app->n_functions; i++) l->bills[i] = (struct bill){.function = &app->functions[i]};
}

void host_calls_forget(struct calls *l) {
    arena_reset(&l->arena);
    l->n = 0;
    l->writes = 0;
    l->over = false;
    start_bills(l);
}

struct bill host_calls_bill(const struct calls *l) {
    struct bill all = {0};
    for (size_t i = 0; i < l->worker->host->app->n_functions; i++) {
        all.runs += l->bills[i].runs;
        all.billed_ms += l->bills[i].billed_ms;
        all.ms += l->bills[i].ms;
        all.gb_ms += l->bills[i].gb_ms;
    }
    return all;
}

int host_calls_open(struct worker *w, struct err *e) {
    struct calls *l = calloc(1, sizeof *l);
    if (!l) fatal("out of memory for calls");
    l->worker = w;
    l->bills = calloc(w->host->app->n_functions + 1, sizeof *l->bills);
    if (!l->bills) fatal("out of memory for calls");
    start_bills(l);
    if (probe_listen(w->probe, seen, l, e)) {
        free(l->bills);
        free(l);
        return -1;
    }
    w->calls = l;
    l->observer = (struct script_observer){on_began, NULL, on_ended, l, NULL};
    if (w->script) script_observe(w->script, &l->observer);
    return 0;
}

void host_calls_revived(struct worker *w) {
    if (!w->calls || !w->script) return;
    w->calls->n_running = 0;
    script_observe(w->script, &w->calls->observer);
}

void host_calls_close(struct worker *w) {
    struct calls *l = w->calls;
    if (!l) return;
    w->calls = NULL;
    probe_unlisten(w->probe, seen, l);
    arena_free(&l->arena);
    free(l->list);
    free(l->bills);
    free(l->running);
    free(l);
}
