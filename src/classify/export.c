#include "classify/export.h"

#include "base/check.h"
#include "base/errand.h"
#include "base/file.h"
#include "classify/class_block.h"
#include "classify/mode.h"
#include "classify/prediction_band.h"
#include "model/info.h"
#include "raster/block.h"
#include "raster/cog_writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exporting {
    const struct export_request *request;
    struct errand *errand;
    pthread_mutex_t mu;                               /* guards: the rest */
    struct cog_writer *writers[PREDICTION_MAX_BANDS]; /* NULL: that band is not written */
    uint32_t next;                                    /* block of level 0, row after row */
    enum tl_code code;
    struct tl_err err;
    struct export_result result;
};

static const struct pyramid *pyramid_of(const struct exporting *export)
{
    return export->request->prediction->pyramid;
}

static uint32_t blocks_across(uint32_t pixels)
{
    return (pixels + CLASS_BLOCK - 1) / CLASS_BLOCK;
}

/* What of a block is inside its level. */
static struct cog_window window_of(const struct exporting *export, uint8_t level, uint32_t col,
                                   uint32_t row)
{
    const struct pyramid_level *grid = &pyramid_of(export)->levels[level];
    uint32_t x = col * CLASS_BLOCK, y = row * CLASS_BLOCK;

    return (struct cog_window){.level = level,
                               .x = x,
                               .y = y,
                               .width = TL_MIN(grid->width - x, (uint32_t)CLASS_BLOCK),
                               .height = TL_MIN(grid->height - y, (uint32_t)CLASS_BLOCK)};
}

static void count_pixels(const struct cog_window *window, const struct class_map *map,
                         struct export_result *result)
{
    for (size_t y = 0; y < window->height; y++)
        for (size_t x = 0; x < window->width; x++)
            result->pixels[map->label[y * CLASS_BLOCK + x]]++;
}

static uint16_t band_count(const struct exporting *export)
{
    return pyramid_of(export)->bands;
}

/* With the mutex held. All files of percents say the same where nothing was classified. */
static enum tl_code put(struct exporting *export, struct cog_window window, struct class_map *map,
                        struct tl_err *err)
{
    for (size_t i = 0; i < CLASS_PIXELS; i++)
        if (map->label[i] == CLASS_NODATA || map->label[i] == CLASS_MASKED)
            map->confidence[i] = CLASS_UNSAID;
    for (uint16_t b = 0; b < band_count(export); b++)
        if (export->writers[b])
            TL_TRY(cog_writer_put(export->writers[b], window, map->samples + b * CLASS_PIXELS,
                                  CLASS_BLOCK, err));
    return TL_OK;
}

/* ---- level 0 ---- */

static enum tl_code classify_block(struct exporting *export, uint32_t block, struct class_map *map,
                                   struct tl_err *err)
{
    struct block_source *source = export->request->prediction;
    uint32_t across = blocks_across(pyramid_of(export)->levels[0].width);
    struct cog_window window = window_of(export, 0, block % across, block / across);
    const struct class_window all = {0, 0, (uint16_t)window.width, (uint16_t)window.height};
    const struct block_request request = {
        .col = block % across, .row = block / across, .x1 = all.x1, .y1 = all.y1};
    struct errand errand = *export->errand; /* what it cost is counted per thread */
    AUTO(block) classes = NULL;

    TL_TRY(errand_check(&errand, err));
    TL_TRY(source->read(source, &request, 1, &errand, &classes, err));
    class_block_copy(classes, all, (struct class_room){map->samples, CLASS_PIXELS, CLASS_BLOCK});
    pthread_mutex_lock(&export->mu);
    enum tl_code code = put(export, window, map, err);
    count_pixels(&window, map, &export->result);
    pthread_mutex_unlock(&export->mu);
    return code;
}

/* The next block that nobody has; false when there is none or somebody failed. */
static bool take(struct exporting *export, uint32_t *ret_block)
{
    const struct pyramid_level *grid = &pyramid_of(export)->levels[0];
    uint64_t count = (uint64_t)blocks_across(grid->width) * blocks_across(grid->height);

    pthread_mutex_lock(&export->mu);
    bool more = export->code == TL_OK && export->next < count;
    if (more)
        *ret_block = export->next++;
    pthread_mutex_unlock(&export->mu);
    return more;
}

static void *classify_blocks(void *arg)
{
    struct exporting *export = arg;
    AUTO(class_map) map = class_map_new(band_count(export));
    struct tl_err err;
    uint32_t block;

    while (take(export, &block)) {
        enum tl_code code = map ? classify_block(export, block, map, &err)
                                : tl_fail(&err, TL_NOMEM, "no memory for a class block");

        if (code == TL_OK)
            continue;
        pthread_mutex_lock(&export->mu);
        if (export->code == TL_OK) {
            export->code = code;
            export->err = err;
        }
        pthread_mutex_unlock(&export->mu);
    }
    return NULL;
}

static enum tl_code classify_all(struct exporting *export, struct tl_err *err)
{
    unsigned wanted = TL_MAX(export->request->threads, 1u), started = 0;
    pthread_t *threads = calloc(wanted, sizeof(*threads));

    while (threads && started + 1 < wanted &&
           pthread_create(&threads[started], NULL, classify_blocks, export) == 0)
        started++;
    classify_blocks(export);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    free(threads);
    if (export->code != TL_OK)
        *err = export->err;
    return export->code;
}

/* ---- coarser levels ---- */

static enum tl_code halve_child(struct exporting *export, struct cog_window child,
                                struct class_map *scratch, struct class_map *parent,
                                struct tl_err *err)
{
    size_t at = (size_t)(child.y / 2 % CLASS_BLOCK) * CLASS_BLOCK + child.x / 2 % CLASS_BLOCK;

    for (uint16_t b = 0; b < band_count(export); b++)
        if (export->writers[b])
            TL_TRY(cog_writer_get(export->writers[b], child, scratch->samples + b * CLASS_PIXELS,
                                  CLASS_BLOCK, err));
    mode_halve(scratch->samples, child.width, child.height, parent, at);
    return TL_OK;
}

static enum tl_code halve_block(struct exporting *export, struct cog_window window,
                                struct class_map *scratch, struct tl_err *err)
{
    const struct pyramid_level *below = &pyramid_of(export)->levels[window.level - 1];
    AUTO(class_map) map = class_map_new(band_count(export));

    if (!map)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t col = 2 * (window.x / CLASS_BLOCK) + i % 2;
        uint32_t row = 2 * (window.y / CLASS_BLOCK) + i / 2;

        if (col < blocks_across(below->width) && row < blocks_across(below->height))
            TL_TRY(halve_child(export, window_of(export, (uint8_t)(window.level - 1), col, row),
                               scratch, map, err));
    }
    return put(export, window, map, err);
}

static enum tl_code halve_all(struct exporting *export, struct tl_err *err)
{
    const struct pyramid *pyramid = pyramid_of(export);
    AUTO(class_map) scratch = class_map_new(band_count(export));

    if (!scratch)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    for (uint8_t level = 1; level < pyramid->level_count; level++) {
        const struct pyramid_level *grid = &pyramid->levels[level];

        for (uint32_t row = 0; row < blocks_across(grid->height); row++) {
            TL_TRY(errand_check(export->errand, err));
            for (uint32_t col = 0; col < blocks_across(grid->width); col++)
                TL_TRY(halve_block(export, window_of(export, level, col, row), scratch, err));
        }
    }
    return TL_OK;
}

/* ---- the files ---- */

/* "class_11" = "maize" for every class, and which model said so. */
static enum tl_code open_label(struct exporting *export, struct tl_err *err)
{
    const struct model_info *model = export->request->model;
    const char *metadata[2 * (MODEL_MAX_CLASSES + 2) + 1];
    char names[MODEL_MAX_CLASSES][16], fingerprint[33];
    uint32_t colors[256] = {0};
    size_t count = 0;

    TL_CHECK(export->request->class_count <= MODEL_MAX_CLASSES);
    for (uint32_t c = 0; c < export->request->class_count; c++) {
        const struct model_class *class = &export->request->classes[c];

        colors[class->value] = class->color == MODEL_NO_COLOR ? 0 : class->color;
        snprintf(names[c], sizeof(names[c]), "class_%u", class->value);
        metadata[count++] = names[c];
        metadata[count++] = class->name;
    }
    hash128_hex(model->fingerprint, fingerprint);
    metadata[count++] = "model";
    metadata[count++] = model->name;
    metadata[count++] = "model_fingerprint";
    metadata[count++] = fingerprint;
    metadata[count] = NULL;
    const struct cog_spec spec = {.path = export->request->paths[0],
                                  .pyramid = pyramid_of(export),
                                  .band_name = export->request->names[0],
                                  .colors = colors,
                                  .metadata = metadata};
    return cog_writer_new(&spec, &export->writers[0], err);
}

static enum tl_code open_percents(struct exporting *export, struct tl_err *err)
{
    for (uint16_t b = 1; b < band_count(export); b++) {
        const struct cog_spec spec = {.path = export->request->paths[b],
                                      .pyramid = pyramid_of(export),
                                      .band_name = export->request->names[b]};

        if (spec.path)
            TL_TRY(cog_writer_new(&spec, &export->writers[b], err));
    }
    return TL_OK;
}

static bool same_target(const char *a, const char *b)
{
    char *one = NULL, *other = NULL;
    struct tl_err ignored;

    bool same = file_target(a, &one, &ignored) == TL_OK &&
                file_target(b, &other, &ignored) == TL_OK && strcmp(one, other) == 0;
    free(one);
    free(other);
    return same;
}

/* One file cannot be two; what cannot be written at all is the writers' to say. */
static enum tl_code check_paths(const struct exporting *export, struct tl_err *err)
{
    const struct export_request *request = export->request;

    for (uint16_t b = 1; b < band_count(export); b++)
        for (uint16_t a = 0; a < b && request->paths[b]; a++)
            if (request->paths[a] && same_target(request->paths[a], request->paths[b]))
                return tl_fail(err, TL_INVALID, "%s: %s and %s need a file each", request->paths[b],
                               a ? request->names[a] : "classes", request->names[b]);
    return TL_OK;
}

/* What is done to every file. */
static enum tl_code each_writer(const struct exporting *export,
                                enum tl_code (*todo)(struct cog_writer *, struct tl_err *),
                                struct tl_err *err)
{
    for (uint16_t b = 0; b < band_count(export); b++)
        if (export->writers[b])
            TL_TRY(todo(export->writers[b], err));
    return TL_OK;
}

static enum tl_code run(struct exporting *export, struct tl_err *err)
{
    TL_CHECK(band_count(export) <= PREDICTION_MAX_BANDS);
    TL_TRY(check_paths(export, err));
    TL_TRY(open_label(export, err));
    TL_TRY(open_percents(export, err));
    TL_TRY(classify_all(export, err));
    TL_TRY(halve_all(export, err));
    TL_TRY(each_writer(export, cog_writer_order, err));
    TL_TRY(errand_check(export->errand, err));
    return each_writer(export, cog_writer_publish, err);
}

enum tl_code export_prediction(const struct export_request *request, struct errand *errand,
                               struct export_result *ret_result, struct tl_err *err)
{
    struct exporting export = {.request = request, .errand = errand};

    pthread_mutex_init(&export.mu, NULL);
    enum tl_code code = run(&export, err);
    for (size_t b = 0; b < TL_COUNT(export.writers); b++)
        cog_writer_free(export.writers[b]);
    pthread_mutex_destroy(&export.mu);
    if (code == TL_OK)
        *ret_result = export.result;
    return code;
}
