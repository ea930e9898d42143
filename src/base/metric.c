/*
 * Every thread adds to one of SHARDS copies of all cells, each copy on cache lines of its
 * own, so that two loops never fight for a line; a scrape sums the copies. With more
 * threads than shards some share one, which is why the adds are atomic at all.
 */
#include "base/metric.h"

#include "base/attr.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { SHARDS = 16, CACHE_LINE = 64, LABELS = 32 };

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_COUNTER_BY };

static const struct metric {
    enum metric_kind kind;
    const char *name, *label, *help;
} metrics[METRIC_COUNT] = {
#define COUNTER(id, name, help)           [id] = {KIND_COUNTER, name, NULL, help},
#define GAUGE(id, name, help)             [id] = {KIND_GAUGE, name, NULL, help},
#define HISTOGRAM(id, name, help)         [id] = {KIND_HISTOGRAM, name, NULL, help},
#define COUNTER_BY(id, name, label, help) [id] = {KIND_COUNTER_BY, name, label, help},
#include "base/metric.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef COUNTER_BY
};

/* Upper bounds of the histogram buckets: a cached tile takes 0.05 ms, a deadline is 30 s. */
static const struct {
    int64_t ns;
    const char *seconds;
} bounds[] = {
    {100000, "0.0001"},  {250000, "0.00025"}, {500000, "0.0005"},  {1000000, "0.001"},
    {2500000, "0.0025"}, {5000000, "0.005"},  {10000000, "0.01"},  {25000000, "0.025"},
    {50000000, "0.05"},  {100000000, "0.1"},  {250000000, "0.25"}, {500000000, "0.5"},
    {1000000000, "1"},   {2500000000, "2.5"}, {5000000000, "5"},   {10000000000, "10"},
    {30000000000, "30"},
};

enum { BUCKETS = TL_COUNT(bounds) + 1, CELLS = TL_MAX((int)BUCKETS + 1, (int)LABELS + 1) };
enum { CELL_SUM = BUCKETS, CELL_OTHER = LABELS };

/* Cells of one metric: a counter's [0]; a histogram's buckets and their sum in ns; one per
 * label value, and one for all beyond LABELS. */
static struct shard {
    alignas(CACHE_LINE) _Atomic int64_t cells[METRIC_COUNT][CELLS];
} shards[SHARDS];

/* Label values in order of first use; a slot is written once. */
static _Atomic(const char *) labels[METRIC_COUNT][LABELS];

static _Atomic int64_t gauges[METRIC_COUNT];

/* Relaxed everywhere: a scrape needs no order between metrics. */
static void cell_add(_Atomic int64_t *cell, int64_t n)
{
    atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

static struct shard *own_shard(void)
{
    static atomic_uint threads;
    static _Thread_local struct shard *own;

    if (!own)
        own = &shards[atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS];
    return own;
}

void metric_add(enum metric_id id, int64_t n)
{
    TL_DEBUG_CHECK(metrics[id].kind == KIND_COUNTER || metrics[id].kind == KIND_GAUGE);
    cell_add(metrics[id].kind == KIND_GAUGE ? &gauges[id] : &own_shard()->cells[id][0], n);
}

void metric_set(enum metric_id id, int64_t value)
{
    TL_DEBUG_CHECK(metrics[id].kind == KIND_GAUGE);
    atomic_store_explicit(&gauges[id], value, memory_order_relaxed);
}

void metric_observe_ns(enum metric_id id, int64_t elapsed_ns)
{
    struct shard *shard = own_shard();
    unsigned bucket = 0;

    TL_DEBUG_CHECK(metrics[id].kind == KIND_HISTOGRAM);
    while (bucket < TL_COUNT(bounds) && elapsed_ns > bounds[bucket].ns)
        bucket++;
    cell_add(&shard->cells[id][bucket], 1);
    cell_add(&shard->cells[id][CELL_SUM], elapsed_ns);
}

/* The slot of a label value, taking a free one at its first use. */
static unsigned label_slot(enum metric_id id, const char *value)
{
    for (unsigned slot = 0; slot < LABELS; slot++) {
        const char *there = atomic_load_explicit(&labels[id][slot], memory_order_acquire);

        if (!there &&
            atomic_compare_exchange_strong_explicit(&labels[id][slot], &there, value,
                                                    memory_order_acq_rel, memory_order_acquire))
            return slot;
        /* One word usually is one address; `there` is the winner's when the race was lost. */
        if (there == value || strcmp(there, value) == 0)
            return slot;
    }
    return CELL_OTHER;
}

void metric_add_by(enum metric_id id, const char *value, int64_t n)
{
    TL_DEBUG_CHECK(metrics[id].kind == KIND_COUNTER_BY);
    cell_add(&own_shard()->cells[id][label_slot(id, value)], n);
}

static int64_t cell_sum(enum metric_id id, unsigned cell)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < SHARDS; i++)
        sum += atomic_load_explicit(&shards[i].cells[id][cell], memory_order_relaxed);
    return sum;
}

static int64_t cells_sum(enum metric_id id, unsigned count)
{
    int64_t sum = 0;

    for (unsigned cell = 0; cell < count; cell++)
        sum += cell_sum(id, cell);
    return sum;
}

int64_t metric_value(enum metric_id id)
{
    switch (metrics[id].kind) {
    case KIND_GAUGE:
        return atomic_load_explicit(&gauges[id], memory_order_relaxed);
    case KIND_HISTOGRAM:
        return cells_sum(id, BUCKETS);
    case KIND_COUNTER_BY:
        return cells_sum(id, LABELS + 1);
    case KIND_COUNTER:
    default:
        return cell_sum(id, 0);
    }
}

static void print_histogram(struct buf *out, enum metric_id id)
{
    const char *name = metrics[id].name;
    int64_t count = 0;

    for (unsigned i = 0; i < TL_COUNT(bounds); i++) {
        count += cell_sum(id, i);
        buf_printf(out, "%s_bucket{le=\"%s\"} %" PRId64 "\n", name, bounds[i].seconds, count);
    }
    count += cell_sum(id, TL_COUNT(bounds));
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n", name, count);
    buf_printf(out, "%s_sum %.9f\n", name, (double)cell_sum(id, CELL_SUM) / (double)NS_PER_S);
    buf_printf(out, "%s_count %" PRId64 "\n", name, count);
}

static void print_by(struct buf *out, enum metric_id id)
{
    for (unsigned slot = 0; slot <= LABELS; slot++) {
        const char *value = slot == CELL_OTHER
                                ? "other"
                                : atomic_load_explicit(&labels[id][slot], memory_order_acquire);
        int64_t count = cell_sum(id, slot);

        if (value && (slot != CELL_OTHER || count > 0))
            buf_printf(out, "%s{%s=\"%s\"} %" PRId64 "\n", metrics[id].name, metrics[id].label,
                       value, count);
    }
}

void metric_print(struct buf *out)
{
    static const char *const types[] = {
        [KIND_COUNTER] = "counter",
        [KIND_GAUGE] = "gauge",
        [KIND_HISTOGRAM] = "histogram",
        [KIND_COUNTER_BY] = "counter",
    };

    for (unsigned id = 0; id < METRIC_COUNT; id++) {
        const struct metric *metric = &metrics[id];

        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                   types[metric->kind]);
        if (metric->kind == KIND_HISTOGRAM)
            print_histogram(out, (enum metric_id)id);
        else if (metric->kind == KIND_COUNTER_BY)
            print_by(out, (enum metric_id)id);
        else
            buf_printf(out, "%s %" PRId64 "\n", metric->name, metric_value((enum metric_id)id));
    }
}
