/* metric: all counters of a host in one small table; each worker has its own copy (relaxed atomics), readers add up. */
#ifndef PERIGEE_BASE_METRIC_H
#define PERIGEE_BASE_METRIC_H
#include "base/buf.h"
#include <stdatomic.h>

enum metric {
#define METRIC(id, name, help) METRIC_##id,
#include "base/metric.def"
#undef METRIC
    METRICS
};
#define METRIC_BUCKETS 16 /* request durations: upper bounds 0.25 ms * 2^i, the last one +Inf */
struct metrics {
    _Atomic uint64_t counter[METRICS];
    _Atomic uint64_t duration[METRIC_BUCKETS];
    _Atomic uint64_t duration_ns_sum;
};
static inline void metric_add(struct metrics *m, enum metric id, uint64_t by) {
    if (m) atomic_fetch_add_explicit(&m->counter[id], by, memory_order_relaxed);
}
void metric_duration(struct metrics *m, uint64_t ns);
/* Prometheus text format 0.0.4 of the sum of n tables. */
void metric_write(struct buf *b, struct metrics *const *tables, size_t n);

#endif
