/*
 * Forests made for tests: random trees, the bytes of their model file, and a walk over them
 * that knows nothing of tilth's own.
 */
#ifndef TILTH_TESTS_FOREST_FIXTURE_H
#define TILTH_TESTS_FOREST_FIXTURE_H

#include "base/attr.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/hash.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIXTURE_MAX_CLASSES = 32, FIXTURE_GOLDEN = 24 };

/* What kind of forest is wanted. */
struct fixture_wish {
    uint64_t seed;
    uint32_t features, classes, trees;
    uint32_t splits;                      /* per tree; 0: every tree is one leaf */
    bool chain;                           /* each split has a leaf: as deep as it has splits */
    uint32_t thresholds;                  /* distinct values to draw from; 0: every split its own */
    unsigned pure_percent, exact_percent; /* of leaves; the rest has thirds and sevenths */
    bool checksum;                        /* the manifest has crc32 */
};

struct fixture {
    struct fixture_wish wish;
    uint64_t random;
    uint32_t node_count, row_count;
    uint32_t *offsets;
    int32_t *feature, *left, *right;
    uint32_t *leaf;
    float *threshold, *pool;
    double *rows; /* one per leaf */
    float *golden_x;
    double *golden_p;
    uint8_t *golden_label;
};

static inline uint64_t fixture_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint32_t fixture_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)((fixture_random(state) >> 32) * limit >> 32);
}

static inline float fixture_uniform(uint64_t *state)
{
    return (float)(fixture_random(state) >> 40) * 0x1p-23F - 1;
}

/* Thresholds: most are ordinary, some sit where floats are odd. */
static inline float fixture_threshold(struct fixture *f)
{
    static const float odd[] = {0.0F,  -0.0F,    0x1p-149F, -0x1p-149F, 0x1p-126F, 1.0F,
                                -1.0F, 0x1p127F, -0x1p127F, INFINITY,   -INFINITY};
    uint32_t pool = f->wish.thresholds;

    if (pool)
        return f->pool[fixture_below(&f->random, pool)];
    if (fixture_below(&f->random, 50) == 0)
        return odd[fixture_below(&f->random, TL_COUNT(odd))];
    return fixture_uniform(&f->random);
}

static inline void fixture_row(struct fixture *f, double *row)
{
    uint32_t classes = f->wish.classes, dice = fixture_below(&f->random, 100);
    uint32_t one = fixture_below(&f->random, classes), other = fixture_below(&f->random, classes);

    memset(row, 0, classes * sizeof(*row));
    if (dice < f->wish.pure_percent || one == other) {
        row[one] = 1;
    } else if (dice < f->wish.pure_percent + f->wish.exact_percent) {
        row[one] = 0.25;
        row[other] = 0.75;
    } else {
        double parts = fixture_below(&f->random, 2) ? 3 : 7;

        row[one] = 1 / parts;
        row[other] = (parts - 1) / parts;
    }
}

static inline void fixture_leaf(struct fixture *f, uint32_t node)
{
    f->feature[node] = f->left[node] = f->right[node] = -1;
    f->threshold[node] = 0;
    f->leaf[node] = f->row_count;
    fixture_row(f, f->rows + (size_t)f->row_count++ * f->wish.classes);
}

/* Opens leaves into splits, one after the other: the newest in a chain, any else. */
static inline void fixture_tree(struct fixture *f, uint32_t tree)
{
    uint32_t first = f->offsets[tree], count = 1;

    fixture_leaf(f, first);
    for (uint32_t s = 0; s < f->wish.splits; s++) {
        uint32_t at = f->wish.chain ? count - 1 : fixture_below(&f->random, count);

        while (f->feature[first + at] >= 0)
            at = (at + 1) % count;
        f->feature[first + at] = (int32_t)fixture_below(&f->random, f->wish.features);
        f->threshold[first + at] = fixture_threshold(f);
        f->leaf[first + at] = 0;
        f->left[first + at] = (int32_t)count;
        f->right[first + at] = (int32_t)count + 1;
        fixture_leaf(f, first + count);
        fixture_leaf(f, first + count + 1);
        count += 2;
    }
    f->offsets[tree + 1] = f->node_count = first + count;
}

/* Adds up in the order of the trees, in double: what scikit-learn does. */
static inline void fixture_predict(const struct fixture *f, const float *x, double *p)
{
    uint32_t classes = f->wish.classes;

    memset(p, 0, classes * sizeof(*p));
    for (uint32_t t = 0; t < f->wish.trees; t++) {
        uint32_t at = f->offsets[t];

        while (f->feature[at] >= 0)
            at = f->offsets[t] +
                 (uint32_t)(x[f->feature[at]] <= f->threshold[at] ? f->left[at] : f->right[at]);
        for (uint32_t c = 0; c < classes; c++)
            p[c] += f->rows[(size_t)f->leaf[at] * classes + c];
    }
    for (uint32_t c = 0; c < classes; c++)
        p[c] /= f->wish.trees;
}

/* A feature value: on a threshold of the forest, a step beside one, odd, or ordinary. */
static inline float fixture_value(const struct fixture *f, uint64_t *random, bool nan_too)
{
    static const float odd[] = {0.0F,      -0.0F,           0x1p-149F, -0x1p-149F,
                                0x1p-130F, 0x1.fffffep127F, INFINITY,  -INFINITY};
    float near = f->threshold[fixture_below(random, f->node_count)];

    switch (fixture_below(random, nan_too ? 8 : 7)) {
    case 0:
        return near;
    case 1:
        return nextafterf(near, -INFINITY);
    case 2:
        return nextafterf(near, INFINITY);
    case 3:
        return odd[fixture_below(random, TL_COUNT(odd))];
    case 7:
        return NAN;
    default:
        return fixture_uniform(random);
    }
}

static inline void fixture_golden(struct fixture *f)
{
    for (uint32_t g = 0; g < FIXTURE_GOLDEN; g++) {
        float *x = f->golden_x + (size_t)g * f->wish.features;
        double *p = f->golden_p + (size_t)g * f->wish.classes;
        uint32_t best = 0;

        for (uint32_t i = 0; i < f->wish.features; i++)
            x[i] = fixture_value(f, &f->random, false);
        fixture_predict(f, x, p);
        for (uint32_t c = 1; c < f->wish.classes; c++)
            best = p[c] > p[best] ? c : best;
        f->golden_label[g] = (uint8_t)(best + 1); /* fixture classes have the values 1, 2, .. */
    }
}

static inline void *fixture_room(size_t count, size_t size)
{
    void *room = calloc(count ? count : 1, size);

    if (!room)
        abort();
    return room;
}

static inline void fixture_free(struct fixture *f)
{
    if (!f)
        return;
    void *all[] = {f->offsets, f->feature, f->left,     f->right,    f->leaf,         f->threshold,
                   f->pool,    f->rows,    f->golden_x, f->golden_p, f->golden_label, f};

    for (size_t i = 0; i < TL_COUNT(all); i++)
        free(all[i]);
}

static inline struct fixture *fixture_new(const struct fixture_wish *wish)
{
    struct fixture *f = fixture_room(1, sizeof(*f));
    size_t nodes = (size_t)wish->trees * (2 * (size_t)wish->splits + 1);

    *f = (struct fixture){.wish = *wish, .random = wish->seed * 2654435769U + 88172645463325252U};
    f->offsets = fixture_room(wish->trees + 1, sizeof(*f->offsets));
    f->feature = fixture_room(nodes, sizeof(*f->feature));
    f->left = fixture_room(nodes, sizeof(*f->left));
    f->right = fixture_room(nodes, sizeof(*f->right));
    f->leaf = fixture_room(nodes, sizeof(*f->leaf));
    f->threshold = fixture_room(nodes, sizeof(*f->threshold));
    f->rows = fixture_room(nodes * wish->classes, sizeof(*f->rows));
    f->pool = fixture_room(wish->thresholds, sizeof(*f->pool));
    f->golden_x = fixture_room((size_t)FIXTURE_GOLDEN * wish->features, sizeof(*f->golden_x));
    f->golden_p = fixture_room((size_t)FIXTURE_GOLDEN * wish->classes, sizeof(*f->golden_p));
    f->golden_label = fixture_room(FIXTURE_GOLDEN, sizeof(*f->golden_label));
    for (uint32_t i = 0; i < wish->thresholds; i++)
        f->pool[i] = fixture_uniform(&f->random);
    for (uint32_t t = 0; t < wish->trees; t++)
        fixture_tree(f, t);
    fixture_golden(f);
    return f;
}

/* ---- the model file ---- */

struct fixture_writer {
    struct buf header, data;
};

static inline void fixture_tensor(struct fixture_writer *w, const char *key, const char *dtype,
                                  const void *bytes, size_t item, const uint64_t shape[2])
{
    size_t size = item * shape[0] * (shape[1] ? shape[1] : 1);
    static const uint8_t zeros[8];

    buf_printf(&w->header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%ju", key, dtype,
               (uintmax_t)shape[0]);
    if (shape[1])
        buf_printf(&w->header, ",%ju", (uintmax_t)shape[1]);
    buf_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", w->data.size, w->data.size + size);
    buf_append(&w->data, bytes, size);
    buf_append(&w->data, zeros, (8 - size % 8) % 8);
}

/* Stands in the manifest until the tensors are there. */
#define FIXTURE_NO_CRC "checksum"

static inline void fixture_checksum(struct buf *header, const struct buf *data)
{
    char crc[9], *at = memmem(header->bytes, header->size, FIXTURE_NO_CRC, 8);

    snprintf(crc, sizeof(crc), "%08x", hash_crc32(data->bytes, data->size));
    if (at)
        memcpy(at, crc, 8);
}

static inline void fixture_manifest(const struct fixture *f, struct buf *out)
{
    buf_puts(out, "{\"__metadata__\":{\"tilth\":\"{\\\"format\\\":1,\\\"name\\\":\\\"made up\\\","
                  "\\\"kind\\\":\\\"random-forest\\\",\\\"features\\\":[");
    for (uint32_t i = 0; i < f->wish.features; i++)
        buf_printf(out, "%s\\\"f%u\\\"", i ? "," : "", i);
    buf_puts(out, "],\\\"classes\\\":[");
    for (uint32_t c = 0; c < f->wish.classes; c++)
        buf_printf(out,
                   "%s{\\\"value\\\":%u,\\\"name\\\":\\\"c%u\\\",\\\"color\\\":\\\"00%02xFF\\\"}",
                   c ? "," : "", c + 1, c, c);
    buf_puts(out, "],\\\"library\\\":{\\\"name\\\":\\\"none\\\",\\\"version\\\":\\\"0\\\"},"
                  "\\\"provenance\\\":{\\\"rows\\\":1}");
    if (f->wish.checksum)
        buf_puts(out, ",\\\"crc32\\\":\\\"" FIXTURE_NO_CRC "\\\"");
    buf_puts(out, "}\"}");
}

static inline struct blob *fixture_blob(const struct fixture *f)
{
    struct fixture_writer w = {0};
    uint64_t nodes[2] = {f->node_count, 0}, trees[2] = {f->wish.trees + 1, 0};
    uint64_t rows[2] = {f->row_count, f->wish.classes}, label[2] = {FIXTURE_GOLDEN, 0};
    uint64_t x[2] = {FIXTURE_GOLDEN, f->wish.features}, p[2] = {FIXTURE_GOLDEN, f->wish.classes};

    fixture_manifest(f, &w.header);
    fixture_tensor(&w, "tree_offsets", "U32", f->offsets, 4, trees);
    fixture_tensor(&w, "feature", "I32", f->feature, 4, nodes);
    fixture_tensor(&w, "threshold", "F32", f->threshold, 4, nodes);
    fixture_tensor(&w, "left", "I32", f->left, 4, nodes);
    fixture_tensor(&w, "right", "I32", f->right, 4, nodes);
    fixture_tensor(&w, "leaf", "U32", f->leaf, 4, nodes);
    fixture_tensor(&w, "leaf_values", "F64", f->rows, 8, rows);
    fixture_tensor(&w, "golden_x", "F32", f->golden_x, 4, x);
    fixture_tensor(&w, "golden_p", "F64", f->golden_p, 8, p);
    fixture_tensor(&w, "golden_label", "U8", f->golden_label, 1, label);
    buf_puts(&w.header, "}");
    fixture_checksum(&w.header, &w.data);
    while (w.header.size % 8 != 0)
        buf_puts(&w.header, " ");
    struct buf file = {0};
    uint64_t size = w.header.size;
    buf_append(&file, &size, sizeof(size));
    buf_append(&file, w.header.bytes, w.header.size);
    buf_append(&file, w.data.bytes, w.data.size);
    struct blob *blob = buf_blob(&file);
    buf_release(&w.header);
    buf_release(&w.data);
    buf_release(&file);
    if (!blob)
        abort();
    return blob;
}

AUTO_DEFINE(fixture, fixture_free)

#endif
