/*
 * metric: counters and histograms from one X-macro table (base/metric.def),
 * printed as Prometheus text 0.0.4. Base units: seconds, bytes.
 *
 * Threads  any; every update is one relaxed atomic add on the thread's own shard
 */
#ifndef TILTH_BASE_METRIC_H
#define TILTH_BASE_METRIC_H

#include <stdint.h>

struct buf;

enum metric_id {
#define COUNTER(id, name, help)           id,
#define GAUGE(id, name, help)             id,
#define HISTOGRAM(id, name, help)         id,
#define COUNTER_BY(id, name, label, help) id,
#include "base/metric.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef COUNTER_BY
    METRIC_COUNT
};

void metric_add(enum metric_id id, int64_t n);                 /* counters and gauges */
void metric_set(enum metric_id id, int64_t value);             /* gauges */
void metric_observe_ns(enum metric_id id, int64_t elapsed_ns); /* histograms */
/* A counter with one label; `value` must be one of few, fixed words that live as long as the
 * process (string constants): the table keeps the pointer. Beyond 32 they count as "other". */
void metric_add_by(enum metric_id id, const char *value, int64_t n);
/* The sum over threads; of a histogram the number of observations, over all labels. */
int64_t metric_value(enum metric_id id);
void metric_print(struct buf *out);

#endif
