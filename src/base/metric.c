#include "base/metric.h"

static const uint64_t FIRST_BOUND_NS = 250000;

void metric_duration(struct metrics *m, uint64_t ns) {
    if (!m) return;
    int i = 0;
    while (i < METRIC_BUCKETS - 1 && ns > FIRST_BOUND_NS << i) i++;
    atomic_fetch_add_explicit(&m->duration[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->duration_ns_sum, ns, memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *v) {
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void write_durations(struct buf *b, struct metrics *const *tables, size_t n) {
    uint64_t count = 0, ns = 0;
    buf_c(b, "# HELP perigee_http_request_duration_seconds Time from a complete request head to its answer\n"
             "# TYPE perigee_http_request_duration_seconds histogram\n");
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        for (size_t t = 0; t < n; t++) count += load(&tables[t]->duration[i]);
        buf_c(b, "perigee_http_request_duration_seconds_bucket{le=\"");
        if (i < METRIC_BUCKETS - 1)
            buf_printf(b, "%.9g", (double)(FIRST_BOUND_NS << i) / 1e9);
        else
            buf_c(b, "+Inf");
        buf_c(b, "\"} ");
        buf_u64(b, count);
        buf_byte(b, '\n');
    }
    for (size_t t = 0; t < n; t++) ns += load(&tables[t]->duration_ns_sum);
    buf_printf(b, "perigee_http_request_duration_seconds_sum %.9f\n", (double)ns / 1e9);
    buf_c(b, "perigee_http_request_duration_seconds_count ");
    buf_u64(b, count);
    buf_byte(b, '\n');
}

void metric_write(struct buf *b, struct metrics *const *tables, size_t n) {
    static const struct {
        const char *name, *help;
    } rows[METRICS] = {
#define METRIC(id, name, help) [METRIC_##id] = {name, help},
#include "base/metric.def"
#undef METRIC
    };
    for (int i = 0; i < METRICS; i++) {
        uint64_t sum = 0;
        for (size_t t = 0; t < n; t++) sum += load(&tables[t]->counter[i]);
        buf_printf(b, "# HELP %s %s\n# TYPE %s counter\n%s ", rows[i].name, rows[i].help, rows[i].name, rows[i].name);
        buf_u64(b, sum);
        buf_byte(b, '\n');
    }
    write_durations(b, tables, n);
}
