/* host_cost.c: `perigee invoke --cost`: the calls that an invocation made, and what it used, as text for people. */
#include "host_calls.h"
#include "script/script.h"
#include <stdio.h>
#include <string.h>

/* One function's, or all. */
struct row {
    struct str name;
    struct bill bill;
    struct probe_cost cost;
};

int host_cost_begin(struct worker *w, struct err *e) {
    if (!w->calls && host_calls_open(w, e)) return -1;
    host_calls_forget(w->calls);
    probe_price(w->probe, true);
    probe_mark(w->probe);
    return 0;
}

/* == the calls ======================================================================================================
 */

static void add_amount(struct buf *b, const char *unit, double n) {
    if (n) buf_printf(b, "%s%g %s", b->n ? ", " : "", n, unit);
}

static void amounts(const struct probe_cost *c, struct buf *b) {
    add_amount(b, "RCU", c->rcu);
    add_amount(b, "WCU", c->wcu);
    add_amount(b, "SQS", (double)c->sqs);
    add_amount(b, "S3 PUT", (double)c->s3_puts);
    add_amount(b, "S3 GET", (double)c->s3_gets);
    add_amount(b, "SES", (double)c->ses);
    add_amount(b, "other", (double)c->other);
    if (!b->n) buf_c(b, "nothing");
}

static size_t longer(size_t n, size_t m) {
    return n > m ? n : m;
}

static void write_calls(const struct calls *l, struct buf *ret) {
    size_t function = 0, action = 0, resource = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct kept *k = l->list[i];
        function = longer(function, k->function.n);
        action = longer(action, strlen(k->service) + 1 + strlen(k->action));
        resource = longer(resource, k->resource.n);
    }
    for (size_t i = 0; i < l->n; i++) {
        const struct kept *k = l->list[i];
        struct buf units = BUF_MAX(256), name = BUF_MAX(256);
        amounts(&k->cost, &units);
        buf_printf(&name, "%s:%s", k->service, k->action);
        buf_printf(ret, "%4llu  %-*.*s  %-*s  %-*.*s  %s%s%.*s\n", (unsigned long long)k->n, (int)function,
                   STR_ARG(k->function), (int)action, buf_cstr(&name), (int)resource, STR_ARG(k->resource),
                   buf_cstr(&units), k->code.n ? "  " : "", STR_ARG(k->code));
        buf_free(&units);
        buf_free(&name);
    }
    if (l->n) buf_byte(ret, '\n');
}

/* == the table ======================================================================================================
 */

static struct row row_of(const struct calls *l, const struct bill *b) {
    struct row r = {.name = b->function->name, .bill = *b};
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->list[i]->function, r.name)) probe_cost_add(&r.cost, &l->list[i]->cost);
    return r;
}

static void write_row(const struct row *r, size_t width, struct buf *ret) {
    const struct probe_cost *c = &r->cost;
    buf_printf(ret, "%-*.*s  %4llu  %8.2f  %9llu  %8.3f  %5g  %5g  %4llu  %6llu  %6llu  %4llu\n", (int)width,
               STR_ARG(r->name), (unsigned long long)r->bill.runs, r->bill.ms, (unsigned long long)r->bill.billed_ms,
               r->bill.gb_ms, c->rcu, c->wcu, (unsigned long long)c->sqs, (unsigned long long)c->s3_puts,
               (unsigned long long)c->s3_gets, (unsigned long long)c->ses);
}

static bool took_part(const struct row *r) {
    const struct probe_cost *c = &r->cost;
    return r->bill.runs || c->calls;
}

void host_cost_write(struct worker *w, struct buf *ret) {
    const struct calls *l = w->calls;
    const struct app *app = w->host->app;
    size_t width = strlen("function");
    for (size_t i = 0; i < app->n_functions; i++) width = longer(width, app->functions[i].name.n);
    write_calls(l, ret);
    buf_printf(ret, "%-*s  %4s  %8s  %9s  %8s  %5s  %5s  %4s  %6s  %6s  %4s\n", (int)width, "function", "runs", "ms",
               "billed ms", "GB-ms", "RCU", "WCU", "SQS", "S3 PUT", "S3 GET", "SES");
    for (size_t i = 0; i < app->n_functions; i++) {
        struct row r = row_of(l, &l->bills[i]);
        if (took_part(&r)) write_row(&r, width, ret);
    }
    struct row all = {STR("total"), host_calls_bill(l), probe_total(w->probe)};
    write_row(&all, width, ret);
}
