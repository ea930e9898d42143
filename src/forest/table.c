#include "forest/table.h"

#include "base/attr.h"
#include "base/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A plane of a flat form that the feature fills. */
struct table_plane {
    const struct flat *flat;
    uint32_t plane;
};

struct forest_table {
    size_t count;
    float *values;
    uint32_t plane_count;
    struct table_plane *planes;
    uint16_t *ranks; /* [plane_count][count] */
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

const uint16_t *table_ranks(const struct forest_table *table, const struct flat *flat,
                            uint32_t plane)
{
    uint32_t p = 0;

    while (p < table->plane_count &&
           (table->planes[p].flat != flat || table->planes[p].plane != plane))
        p++;
    TL_CHECK(p < table->plane_count);
    return table->ranks + p * table->count;
}

static uint32_t planes_of(const struct table_readers *readers)
{
    uint32_t count = 0;

    for (size_t r = 0; r < readers->count; r++) {
        const struct table_reader *reader = &readers->list[r];

        for (uint32_t p = 0; p < reader->flat->plane_count; p++)
            count += reader->flat->planes[p].feature == reader->feature;
    }
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

/* Through the rule and the ranks of each of the reader's planes; values is for that alone. */
static uint32_t rank_planes(const struct table_reader *reader, uint32_t at,
                            struct forest_table *table, float *values)
{
    const struct flat *flat = reader->flat;

    for (uint32_t p = 0; p < flat->plane_count; p++) {
        if (flat->planes[p].feature != reader->feature)
            continue;
        memcpy(values, table->values, table->count * sizeof(*values));
        flat_apply_rule(&flat->planes[p], values, table->count);
        flat_rank(&flat->rankers[p], values, table->count, table->ranks + at * table->count);
        table->planes[at++] = (struct table_plane){flat, p};
    }
    return at;
}

bool table_fits(const struct table_readers *readers, size_t count)
{
    return planes_of(readers) * count * sizeof(uint16_t) <= TABLE_MAX_BYTES;
}

struct forest_table *table_new(const struct table_readers *readers, const float *values,
                               size_t count)
{
    AUTO(forest_table) table = TL_OWNED(calloc(1, sizeof(*table)));
    float *scratch = malloc(TL_MAX(count, (size_t)1) * sizeof(*scratch));
    bool made = false;

    if (table && scratch) {
        table->count = count;
        table->plane_count = planes_of(readers);
        made = alloc_table(table);
    }
    if (made) {
        uint32_t at = 0;

        memcpy(table->values, values, count * sizeof(*values));
        for (size_t r = 0; r < readers->count; r++)
            at = rank_planes(&readers->list[r], at, table, scratch);
    }
    free(scratch);
    return made ? TL_TAKE(table) : NULL;
}
