#include "classify/forest_table.h"

#include "base/attr.h"
#include "base/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct forest_table {
    size_t count;
    float *values;
    uint32_t plane_count;
    uint32_t *planes; /* of the feature, in the flat form */
    uint16_t *ranks;  /* [plane_count][count] */
};

void forest_table_free(struct forest_table *table)
{
    if (!table)
        return;
    free(table->values);
    free(table->planes);
    free(table->ranks);
    free(table);
}

const float *forest_table_values(const struct forest_table *table)
{
    return table->values;
}

const uint16_t *table_ranks(const struct forest_table *table, uint32_t plane)
{
    uint32_t p = 0;

    while (p < table->plane_count && table->planes[p] != plane)
        p++;
    TL_CHECK(p < table->plane_count);
    return table->ranks + p * table->count;
}

static uint32_t planes_of(const struct flat *flat, uint32_t feature)
{
    uint32_t count = 0;

    for (uint32_t p = 0; p < flat->plane_count; p++)
        count += flat->planes[p].feature == feature;
    return count;
}

static bool alloc_table(struct forest_table *table)
{
    size_t count = TL_MAX(table->count, (size_t)1), planes = TL_MAX(table->plane_count, 1U);

    table->values = malloc(count * sizeof(*table->values));
    table->planes = malloc(planes * sizeof(*table->planes));
    table->ranks = malloc(planes * count * sizeof(*table->ranks));
    return table->values && table->planes && table->ranks;
}

/* Through the rule and the ranks of each plane; values is for that alone. */
static void rank_planes(const struct flat *flat, uint32_t feature, struct forest_table *table,
                        float *values)
{
    uint32_t at = 0;

    for (uint32_t p = 0; p < flat->plane_count; p++) {
        if (flat->planes[p].feature != feature)
            continue;
        memcpy(values, table->values, table->count * sizeof(*values));
        flat_apply_rule(&flat->planes[p], values, table->count);
        flat_rank(&flat->rankers[p], values, table->count, table->ranks + at * table->count);
        table->planes[at++] = p;
    }
}

bool table_fits(const struct flat *flat, uint32_t feature, size_t count)
{
    return planes_of(flat, feature) * count * sizeof(uint16_t) <= TABLE_MAX_BYTES;
}

struct forest_table *table_new(const struct flat *flat, uint32_t feature, const float *values,
                               size_t count)
{
    AUTO(forest_table) table = TL_OWNED(calloc(1, sizeof(*table)));
    float *scratch = malloc(TL_MAX(count, (size_t)1) * sizeof(*scratch));
    bool made = false;

    if (table && scratch) {
        table->count = count;
        table->plane_count = planes_of(flat, feature);
        made = alloc_table(table);
    }
    if (made) {
        memcpy(table->values, values, count * sizeof(*values));
        rank_planes(flat, feature, table, scratch);
    }
    free(scratch);
    return made ? TL_TAKE(table) : NULL;
}
