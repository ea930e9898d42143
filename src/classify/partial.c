#include "classify/partial.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A row of a block is eight words of 64 pixels, the first in the lowest bit. */
enum { ROW_WORDS = CLASS_BLOCK / 64, NOTICE_MS = 20 };

struct partial {
    uint32_t col, row;
    unsigned users;
    uint32_t left; /* pixels not done */
    bool taken;    /* somebody is storing it */
    bool retired;  /* out of the table; lives as long as its users */
    uint64_t used; /* a clock, for the least recently used */
    struct partial *next;
    uint64_t done[CLASS_BLOCK][ROW_WORDS];
    uint64_t claimed[CLASS_BLOCK][ROW_WORDS];
    struct class_map *map;
};

struct partials {
    pthread_mutex_t mu; /* guards: all of this, and all of a partial but its map */
    pthread_cond_t moved;
    struct partial *list;
    unsigned count, keep;
    uint16_t bands;
    uint64_t clock, generation;
};

static void partial_free(struct partial *partial)
{
    if (partial)
        class_map_free(partial->map);
    free(partial);
}

struct partials *partials_new(unsigned keep, uint16_t bands)
{
    struct partials *partials = calloc(1, sizeof(*partials));
    pthread_condattr_t attr;

    if (!partials)
        return NULL;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&partials->mu, NULL);
    pthread_cond_init(&partials->moved, &attr);
    pthread_condattr_destroy(&attr);
    partials->keep = TL_MAX(1, keep * CLASS_BANDS / bands);
    partials->bands = bands;
    return partials;
}

void partials_free(struct partials *partials)
{
    if (!partials)
        return;
    for (struct partial *partial = partials->list, *next; partial; partial = next) {
        TL_CHECK(!partial->users);
        next = partial->next;
        partial_free(partial);
    }
    pthread_cond_destroy(&partials->moved);
    pthread_mutex_destroy(&partials->mu);
    free(partials);
}

/* ---- the table ---- */

static struct partial *find(struct partials *partials, uint32_t col, uint32_t row)
{
    struct partial *partial = partials->list;

    while (partial && (partial->col != col || partial->row != row))
        partial = partial->next;
    return partial;
}

static void unlist(struct partials *partials, struct partial *partial)
{
    struct partial **slot = &partials->list;

    while (*slot != partial)
        slot = &(*slot)->next;
    *slot = partial->next;
    partials->count--;
}

static struct partial *enter(struct partials *partials, struct partial *partial)
{
    partial->users++;
    partial->used = ++partials->clock;
    return partial;
}

/* Forgets unused blocks until the budget holds; what is in use stays, whatever it costs. */
static void shrink(struct partials *partials)
{
    while (partials->count > partials->keep) {
        struct partial *oldest = NULL;

        for (struct partial *partial = partials->list; partial; partial = partial->next)
            if (!partial->users && (!oldest || partial->used < oldest->used))
                oldest = partial;
        if (!oldest)
            return;
        unlist(partials, oldest);
        partial_free(oldest);
    }
}

/* Bits [x0, x1) of word `w` of a row. */
static uint64_t span_bits(unsigned w, unsigned x0, unsigned x1)
{
    unsigned from = TL_MAX(x0, w * 64), to = TL_MIN(x1, w * 64 + 64);

    if (from >= to)
        return 0;
    return (~UINT64_C(0) >> (64 - (to - from))) << (from - w * 64);
}

static struct partial *partial_new(uint32_t col, uint32_t row, struct class_window inside,
                                   uint16_t bands)
{
    struct partial *partial = calloc(1, sizeof(*partial));

    if (!partial)
        return NULL;
    partial->map = class_map_new(bands);
    if (!partial->map) {
        free(partial);
        return NULL;
    }
    partial->col = col;
    partial->row = row;
    partial->left = (uint32_t)(inside.x1 - inside.x0) * (uint32_t)(inside.y1 - inside.y0);
    for (unsigned y = 0; y < CLASS_BLOCK; y++) {
        bool outside = y < inside.y0 || y >= inside.y1;
        for (unsigned w = 0; w < ROW_WORDS; w++)
            partial->done[y][w] = outside ? ~UINT64_C(0) : ~span_bits(w, inside.x0, inside.x1);
    }
    return partial;
}

uint64_t partials_generation(struct partials *partials)
{
    pthread_mutex_lock(&partials->mu);
    uint64_t generation = partials->generation;
    pthread_mutex_unlock(&partials->mu);
    return generation;
}

struct partial *partials_find(struct partials *partials, uint32_t col, uint32_t row)
{
    pthread_mutex_lock(&partials->mu);
    struct partial *partial = find(partials, col, row);
    if (partial)
        enter(partials, partial);
    pthread_mutex_unlock(&partials->mu);
    return partial;
}

enum tl_code partials_join(struct partials *partials, struct partial_want *want,
                           struct class_window inside, uint64_t generation, struct tl_err *err)
{
    /* Made before the lock: nobody waits for its pages to be faulted in. */
    struct partial *fresh = partial_new(want->col, want->row, inside, partials->bands);
    struct partial *partial = NULL;

    if (!fresh)
        return tl_fail(err, TL_NOMEM, "no memory to classify block %u,%u", want->col, want->row);
    pthread_mutex_lock(&partials->mu);
    if (partials->generation == generation) {
        partial = find(partials, want->col, want->row);
        if (!partial) {
            partial = TL_TAKE(fresh);
            partial->next = partials->list;
            partials->list = partial;
            partials->count++;
        }
        enter(partials, partial);
        shrink(partials);
    }
    pthread_mutex_unlock(&partials->mu);
    partial_free(fresh);
    want->partial = partial;
    return TL_OK;
}

void partials_leave(struct partials *partials, struct partial *partial)
{
    pthread_mutex_lock(&partials->mu);
    TL_CHECK(partial->users);
    bool last = --partial->users == 0 && partial->retired;
    if (!last)
        shrink(partials);
    pthread_mutex_unlock(&partials->mu);
    if (last)
        partial_free(partial);
}

struct class_map *partial_map(struct partial *partial)
{
    return partial->map;
}

/* ---- where wants stand ---- */

static bool region_is_empty(const struct partial_region *region)
{
    return region->x0 == region->x1;
}

static size_t region_pixels(const struct partial_region *region)
{
    return (size_t)(region->x1 - region->x0) * (region->y1 - region->y0);
}

static struct partial_region region_join(const struct partial_region *a,
                                         const struct partial_region *b)
{
    if (region_is_empty(a))
        return *b;
    return (struct partial_region){TL_MIN(a->x0, b->x0), TL_MIN(a->y0, b->y0), TL_MAX(a->x1, b->x1),
                                   TL_MAX(a->y1, b->y1)};
}

/* The smallest rectangle around what is open in one want; tells whether anything is not done. */
static struct partial_region open_region(const struct partial_want *want, bool *ret_unfinished)
{
    const struct partial *partial = want->partial;
    struct class_window w = want->window;
    unsigned x0 = CLASS_BLOCK, x1 = 0, y0 = CLASS_BLOCK, y1 = 0;

    for (unsigned y = w.y0; y < w.y1; y++) {
        for (unsigned i = w.x0 / 64u; i * 64 < w.x1; i++) {
            uint64_t missing = span_bits(i, w.x0, w.x1) & ~partial->done[y][i];
            uint64_t open = missing & ~partial->claimed[y][i];

            *ret_unfinished |= missing != 0;
            if (!open)
                continue;
            x0 = TL_MIN(x0, i * 64 + (unsigned)__builtin_ctzll(open));
            x1 = TL_MAX(x1, i * 64 + 64 - (unsigned)__builtin_clzll(open));
            y0 = TL_MIN(y0, y);
            y1 = y + 1;
        }
    }
    if (x0 >= x1)
        return (struct partial_region){0};
    uint32_t left = want->col * CLASS_BLOCK, top = want->row * CLASS_BLOCK;
    return (struct partial_region){left + x0, top + y0, left + x1, top + y1};
}

/* Cuts columns off the right and rows off the bottom. */
static void region_limit(struct partial_region *region, size_t max_pixels)
{
    size_t side = TL_MIN((size_t)PARTIAL_REGION_SIDE, TL_MAX(max_pixels, (size_t)1));

    region->x1 = (uint32_t)TL_MIN((size_t)region->x1, region->x0 + side);
    size_t rows = TL_MAX(max_pixels / (region->x1 - region->x0), (size_t)1);
    rows = TL_MIN(rows, (size_t)PARTIAL_REGION_SIDE);
    region->y1 = (uint32_t)TL_MIN((size_t)region->y1, region->y0 + rows);
}

/* Grows the region by whatever is near: more than a quarter of waste is another region. */
static enum partial_state look(const struct partial_want *wants, size_t count, size_t max_pixels,
                               struct partial_region *ret_region)
{
    struct partial_region region = {0};
    size_t useful = 0;
    bool unfinished = false;

    for (size_t i = 0; i < count; i++) {
        if (!wants[i].partial)
            continue;
        struct partial_region open = open_region(&wants[i], &unfinished);
        if (region_is_empty(&open))
            continue;
        struct partial_region both = region_join(&region, &open);
        size_t sum = useful + region_pixels(&open);
        if (!region_is_empty(&region) && region_pixels(&both) > sum + sum / 4)
            continue;
        region = both;
        useful = sum;
    }
    if (region_is_empty(&region))
        return unfinished ? PARTIAL_OTHERS : PARTIAL_DONE;
    region_limit(&region, max_pixels);
    *ret_region = region;
    return PARTIAL_OPEN;
}

enum partial_state partials_look(struct partials *partials, const struct partial_want *wants,
                                 size_t count, size_t max_pixels, struct partial_region *ret_region)
{
    pthread_mutex_lock(&partials->mu);
    enum partial_state state = look(wants, count, max_pixels, ret_region);
    pthread_mutex_unlock(&partials->mu);
    return state;
}

enum tl_code partials_wait(struct partials *partials, const struct partial_want *wants,
                           size_t count, const struct errand *errand, struct tl_err *err)
{
    struct partial_region unused;
    enum tl_code code = TL_OK;

    pthread_mutex_lock(&partials->mu);
    while (look(wants, count, 1, &unused) == PARTIAL_OTHERS) {
        code = errand_check(errand, err);
        if (code != TL_OK)
            break;
        /* Nothing rings when an errand is cancelled: look up now and then. */
        int64_t until = TL_MIN(clock_now_ns() + NOTICE_MS * NS_PER_MS, errand->deadline_ns);
        struct timespec when = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
        pthread_cond_timedwait(&partials->moved, &partials->mu, &when);
    }
    pthread_mutex_unlock(&partials->mu);
    return code;
}

/* ---- claims ---- */

/* The part of a want inside the region, in the block's own pixels; false when there is none. */
static bool clip(const struct partial_want *want, const struct partial_region *region,
                 struct class_window *ret)
{
    uint32_t left = want->col * CLASS_BLOCK, top = want->row * CLASS_BLOCK;
    uint32_t x0 = TL_MAX(left + want->window.x0, region->x0);
    uint32_t x1 = TL_MIN(left + want->window.x1, region->x1);
    uint32_t y0 = TL_MAX(top + want->window.y0, region->y0);
    uint32_t y1 = TL_MIN(top + want->window.y1, region->y1);

    if (!want->partial || x0 >= x1 || y0 >= y1)
        return false;
    *ret = (struct class_window){(uint16_t)(x0 - left), (uint16_t)(y0 - top), (uint16_t)(x1 - left),
                                 (uint16_t)(y1 - top)};
    return true;
}

struct claim {
    struct partial_run *runs;
    size_t count;
    uint32_t pixels;
};

/* Claims the runs of set bits of one word. */
static void claim_word(struct claim *claim, struct partial *partial, struct partial_run at,
                       uint64_t open)
{
    unsigned word = at.x0 / 64u;

    while (open && claim->pixels < PARTIAL_UNIT) {
        unsigned from = (unsigned)__builtin_ctzll(open);
        uint64_t gaps = ~(open >> from);
        unsigned size = gaps ? (unsigned)__builtin_ctzll(gaps) : 64;
        size = TL_MIN(size, PARTIAL_UNIT - claim->pixels);
        TL_CHECK(size > 0 && size <= 64);
        uint64_t bits = (~UINT64_C(0) >> (64 - size)) << from;

        partial->claimed[at.y][word] |= bits;
        open &= ~bits;
        at.x0 = (uint16_t)(word * 64 + from);
        at.x1 = (uint16_t)(at.x0 + size);
        claim->runs[claim->count++] = at;
        claim->pixels += size;
    }
}

static void claim_want(struct claim *claim, const struct partial_want *want, uint32_t index,
                       struct class_window w)
{
    struct partial *partial = want->partial;

    for (unsigned y = w.y0; y < w.y1; y++) {
        for (unsigned i = w.x0 / 64u; i * 64 < w.x1 && claim->pixels < PARTIAL_UNIT; i++) {
            uint64_t open =
                span_bits(i, w.x0, w.x1) & ~partial->done[y][i] & ~partial->claimed[y][i];
            struct partial_run at = {.want = index, .y = (uint16_t)y, .x0 = (uint16_t)(i * 64)};
            claim_word(claim, partial, at, open);
        }
    }
}

size_t partials_claim(struct partials *partials, const struct partial_want *wants, size_t count,
                      const struct partial_region *region, struct partial_run *runs)
{
    struct claim claim = {.runs = runs};
    struct class_window window;

    pthread_mutex_lock(&partials->mu);
    for (size_t i = 0; i < count && claim.pixels < PARTIAL_UNIT; i++)
        if (clip(&wants[i], region, &window))
            claim_want(&claim, &wants[i], (uint32_t)i, window);
    pthread_mutex_unlock(&partials->mu);
    return claim.count;
}

/* Runs never cross a word. */
static void settle(const struct partial_want *wants, const struct partial_run *run, bool done)
{
    struct partial *partial = wants[run->want].partial;
    unsigned word = run->x0 / 64u;
    uint64_t bits = span_bits(word, run->x0, run->x1);

    TL_CHECK((partial->claimed[run->y][word] & bits) == bits);
    partial->claimed[run->y][word] &= ~bits;
    if (!done)
        return;
    partial->done[run->y][word] |= bits;
    partial->left -= (uint32_t)(run->x1 - run->x0);
}

static void settle_all(struct partials *partials, const struct partial_want *wants,
                       const struct partial_run *runs, size_t count, bool done)
{
    pthread_mutex_lock(&partials->mu);
    for (size_t i = 0; i < count; i++)
        settle(wants, &runs[i], done);
    pthread_cond_broadcast(&partials->moved);
    pthread_mutex_unlock(&partials->mu);
}

void partials_publish(struct partials *partials, const struct partial_want *wants,
                      const struct partial_run *runs, size_t count)
{
    settle_all(partials, wants, runs, count, true);
}

void partials_abandon(struct partials *partials, const struct partial_want *wants,
                      const struct partial_run *runs, size_t count)
{
    settle_all(partials, wants, runs, count, false);
}

/* ---- the end ---- */

bool partial_take_complete(struct partials *partials, struct partial *partial)
{
    pthread_mutex_lock(&partials->mu);
    bool mine = !partial->left && !partial->taken && !partial->retired;
    partial->taken |= mine;
    pthread_mutex_unlock(&partials->mu);
    return mine;
}

void partial_untake(struct partials *partials, struct partial *partial)
{
    pthread_mutex_lock(&partials->mu);
    partial->taken = false;
    pthread_mutex_unlock(&partials->mu);
}

void partials_retire(struct partials *partials, struct partial *partial)
{
    pthread_mutex_lock(&partials->mu);
    TL_CHECK(partial->taken && partial->users);
    unlist(partials, partial);
    partial->retired = true;
    partials->generation++;
    pthread_mutex_unlock(&partials->mu);
}

bool partials_complete(struct partials *partials, uint32_t col, uint32_t row)
{
    pthread_mutex_lock(&partials->mu);
    const struct partial *partial = find(partials, col, row);
    bool complete = partial && !partial->left;
    pthread_mutex_unlock(&partials->mu);
    return complete;
}
