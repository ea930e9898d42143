#include "store/fetch_plan.h"

#include <stdbool.h>
#include <stdlib.h>

static uint64_t end_of(const struct range *range)
{
    return range->offset + range->size;
}

/* By offset, the longest first: a contained range then always follows its container. */
static int by_place(const void *a, const void *b)
{
    const struct plan_item *x = a, *y = b;

    if (x->range.offset != y->range.offset)
        return x->range.offset < y->range.offset ? -1 : 1;
    return (x->range.size < y->range.size) - (x->range.size > y->range.size);
}

static bool try_merge(struct range *span, const struct range *range,
                      const struct plan_limits *limits)
{
    uint64_t end = end_of(range);

    if (end <= end_of(span))
        return true;
    if (range->offset > end_of(span) && range->offset - end_of(span) > limits->gap)
        return false;
    if (end - span->offset > limits->span_size)
        return false;
    span->size = end - span->offset;
    return true;
}

size_t fetch_plan(struct plan_item *items, size_t count, const struct plan_limits *limits,
                  struct range *ret_spans)
{
    size_t spans = 0;

    if (count > 1)
        qsort(items, count, sizeof(*items), by_place);
    for (size_t i = 0; i < count; i++) {
        if (spans == 0 || !try_merge(&ret_spans[spans - 1], &items[i].range, limits))
            ret_spans[spans++] = items[i].range;
        items[i].span = spans - 1;
    }
    return spans;
}
