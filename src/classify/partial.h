/*
 * partial: class blocks that are being classified piece by piece. Each keeps, per pixel,
 * whether it is done, claimed by somebody who is classifying it right now, or open. A pixel
 * is claimed by one thread at a time, so it is classified once; a claim covers one unit of
 * work (PARTIAL_UNIT pixels) and its holder never waits for anybody, so waiting for claimed
 * pixels always ends, and whoever gives up (cancelled, failed) opens its claims again.
 *
 *   open --claim--> claimed --publish--> done
 *     ^----abandon----/
 *
 * Threads  any; one lock, held for bit operations only (no pixel is copied under it)
 * Memory   partials_new() / partials_free(); unused blocks over the budget are forgotten,
 *          the least recently used first
 * Units    pixels of level 0
 */
#ifndef TILTH_CLASSIFY_PARTIAL_H
#define TILTH_CLASSIFY_PARTIAL_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/class_block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errand;
struct partial;
struct partials;

/* Pixels of one claim: what forest_run() does in a few tens of milliseconds. */
#define PARTIAL_UNIT 65536
/* Pixels on a side of a region: well within what one warp may fill. */
#define PARTIAL_REGION_SIDE 2048
/* Unused blocks that are kept, about 580 kB each; where blocks have more bands than two, as many
 * fewer. */
#define PARTIAL_KEEP 48

/* A window of a block that somebody wants. */
struct partial_want {
    struct partial *partial; /* NULL: nothing to do here */
    uint32_t col, row;
    struct class_window window;
};

/* Of blocks with so many bands. NULL when memory is out. */
struct partials *partials_new(unsigned keep, uint16_t bands);
/* Nobody uses it any more. */
void partials_free(struct partials *partials);

/*
 * A number that changes whenever a block leaves the table because it is complete. Read it
 * before looking for the finished block elsewhere; partials_join() then knows whether that
 * answer may be stale.
 */
uint64_t partials_generation(struct partials *partials);
/* The block with one reference more; NULL when it is not in the table. */
struct partial *partials_find(struct partials *partials, uint32_t col, uint32_t row);
/*
 * Finds or makes the block of a want, one reference in want->partial; of a new one the pixels
 * that are not `inside` are done, as nodata. want->partial is NULL when the generation has
 * changed: look for the finished block again.
 */
TL_MUST_CHECK enum tl_code partials_join(struct partials *partials, struct partial_want *want,
                                         struct class_window inside, uint64_t generation,
                                         struct tl_err *err);
void partials_leave(struct partials *partials, struct partial *partial);

/* A rectangle of the grid, in pixels of level 0; empty when x1 == x0. */
struct partial_region {
    uint32_t x0, y0, x1, y1;
};

enum partial_state {
    PARTIAL_DONE,   /* every wanted pixel */
    PARTIAL_OPEN,   /* some are open: *ret_region holds some or all of them */
    PARTIAL_OTHERS, /* none is open, some are claimed: partials_wait() */
};

/*
 * Where the wants stand. The region is not much larger than the open pixels in it, and at
 * most `max_pixels` and PARTIAL_REGION_SIDE on a side.
 */
enum partial_state partials_look(struct partials *partials, const struct partial_want *wants,
                                 size_t count, size_t max_pixels,
                                 struct partial_region *ret_region);

/* Pixels [x0, x1) of row y of wants[want].partial. */
struct partial_run {
    uint32_t want;
    uint16_t y, x0, x1;
};

/*
 * Claims open wanted pixels in the region, at most PARTIAL_UNIT; `runs` has room for as many
 * runs. Returns the number of runs, 0: none was open.
 */
size_t partials_claim(struct partials *partials, const struct partial_want *wants, size_t count,
                      const struct partial_region *region, struct partial_run *runs);
/* The class map to write claimed pixels into, and to read done ones from. */
struct class_map *partial_map(struct partial *partial);
void partials_publish(struct partials *partials, const struct partial_want *wants,
                      const struct partial_run *runs, size_t count);
void partials_abandon(struct partials *partials, const struct partial_want *wants,
                      const struct partial_run *runs, size_t count);

/* True for one caller, once every pixel is done: it stores the block, then retires it. */
bool partial_take_complete(struct partials *partials, struct partial *partial);
void partials_retire(struct partials *partials, struct partial *partial);
/* The taker could not store it: somebody else may try. */
void partial_untake(struct partials *partials, struct partial *partial);

/* Whether a block is complete but still on its way to the pool. */
bool partials_complete(struct partials *partials, uint32_t col, uint32_t row);

/* Sleeps until some want is no longer PARTIAL_OTHERS. */
TL_MUST_CHECK enum tl_code partials_wait(struct partials *partials,
                                         const struct partial_want *wants, size_t count,
                                         const struct errand *errand, struct tl_err *err);

AUTO_DEFINE(partials, partials_free)

#endif
