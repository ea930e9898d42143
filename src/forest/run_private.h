/*
 * run_private: what the files behind run.h share.
 *
 *   run.c         plan, scratch, units and blocks, the trees of a block
 *   run_planes.c  features become planes of ranks, in the guide's order
 *   run_write.c   sums become outputs; what is in doubt is walked
 *   run_lead.c    labels and confidences of 64 pixels at once
 */
#ifndef TILTH_FOREST_RUN_PRIVATE_H
#define TILTH_FOREST_RUN_PRIVATE_H

#include "base/attr.h"
#include "forest/order.h"
#include "forest/run.h"
#include "forest/walk.h"

struct dense_kernel;

/* One run: the task and its scratch. */
struct run {
    const struct flat *flat;
    const struct run_plan *plan;
    const struct run_task *task;
    struct order order; /* of the unit at hand */
    struct sweep sweep; /* of the block at hand */
    uint32_t *totals;   /* [class][room]: votes emptied from sweep.counts; NULL when never */
    size_t unit_at;     /* the unit's first pixel */
    uint32_t unit_count;
    struct raster raster; /* the planes of the unit as they lie in the task */
    /* [block][plane][room] of the flat type, and [block][plane] the least and the greatest. */
    void *values, *low, *high;
    union flat_cut *cuts; /* of a pixel that is walked, [plane] */
    /* Where the task has codes: that pixel's features. */
    float *row;
    const float **row_planes;
    /* Scores of a packet, class by class, where dense->lead() tells labels and confidences of them;
     * else NULL. */
    double *strip;
    const struct dense_kernel *dense;
};

static inline const struct model *run_model(const struct run *run)
{
    return run->flat->model;
}

static inline size_t value_bytes(enum flat_type type)
{
    static const size_t bytes[] = {sizeof(uint8_t), sizeof(uint16_t), sizeof(float)};

    return bytes[type];
}

/* Of a plane before it is put in order. */
static inline size_t raster_bytes(enum flat_type type)
{
    return type == FLAT_F32 ? sizeof(float) : sizeof(uint16_t);
}

static inline uint32_t round_to_packets(size_t pixels)
{
    return (uint32_t)((pixels + PACKET_PX - 1) / PACKET_PX * PACKET_PX);
}

/* Pixels of a block of the unit; all but the last block are full. */
static inline uint32_t block_count(const struct run *run, uint32_t block)
{
    return TL_MIN(run->sweep.room, run->unit_count - block * run->sweep.room);
}

/* A pixel that is to be walked: its floats are where it lies, or in the one row for it. */
struct walk_place run_pixel(const struct run *run, size_t pixel);

/* The planes of the unit, as they lie in the task. */
void run_fill_raster(const struct run *run);
/* And in the guide's order, cut into blocks. */
void run_fill_planes(struct run *run);

/* The pixels of a block whose trees have been swept. */
void run_write_block(const struct run *run, uint32_t block);
/* Whether the label and its percent are all that is asked for. */
bool run_only_label(const struct run_task *task);
/* Room for the scores of a packet, where they tell what is asked for; false without memory. */
bool run_alloc_strip(struct run *run);
/* `count` pixels of a packet, where there is run->strip. */
void run_write_packet(const struct run *run, uint32_t packet, const size_t *pixels, uint32_t count);
/* Pixel i of the block, of flat->by_leaf: its sums, and what is made of them. */
void run_sums(const struct run *run, uint32_t i, double *ret_sums);
void run_write_scores(const struct run *run, uint32_t i, size_t pixel);
/* A pixel that is walked. */
void run_write_walked(const struct run *run, size_t pixel);

#endif
