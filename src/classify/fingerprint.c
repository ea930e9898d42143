/*
 * What is cached under one fingerprint was made of the same things in the same way.
 */
#include "base/buf.h"
#include "classify/prediction_private.h"
#include "feature/fill.h"
#include "forest/forest.h"
#include "geo/area.h"
#include "geo/crs.h"

#include <string.h>

/* Raise it when a change of the code changes pixels: what is cached is then not seen. */
enum { CLASS_EPOCH = 1 };

static void add_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text) + 1);
}

static void add_number(struct buf *buf, double number)
{
    buf_append(buf, &number, sizeof(number));
}

static void add_hash(struct buf *buf, struct hash128 hash)
{
    buf_append(buf, &hash, sizeof(hash));
}

/* Everything that decides raw pixels, one after the other. */
static void describe(const struct prediction_spec *spec, unsigned smooth, struct buf *buf)
{
    const struct model_info *model = forest_info(spec->forest);
    const struct grid *grid = &spec->grid;

    add_number(buf, CLASS_EPOCH);
    add_text(buf, crs_name(grid->crs));
    buf_append(buf, &grid->affine, sizeof(grid->affine));
    add_number(buf, grid->width);
    add_number(buf, grid->height);
    add_hash(buf, model->fingerprint);
    for (uint32_t f = 0; f < model->feature_count; f++) {
        add_text(buf, spec->features[f]);
        add_number(buf, spec->fills && spec->fills[f].fills);
        add_number(buf, spec->fills && spec->fills[f].fills ? (double)spec->fills[f].value : 0);
    }
    for (uint32_t s = 0; s < spec->source_count; s++) {
        const struct prediction_source *source = &spec->sources[s];

        add_text(buf, source->id);
        add_hash(buf, source->source->fingerprint);
        add_number(buf, source->resampling);
        add_number(buf, source->band_count);
        for (uint16_t b = 0; b < source->band_count; b++) {
            add_text(buf, source->band_names[b]);
            add_number(buf, source->band_index[b]);
            add_number(buf, source->band_scale ? (double)source->band_scale[b] : 1);
            add_number(buf, source->band_offset ? (double)source->band_offset[b] : 0);
        }
    }
    for (uint32_t i = 0; i < spec->more_count; i++) {
        add_number(buf, spec->more[i].what);
        add_number(buf, spec->more[i].class);
    }
    if (smooth) {
        add_text(buf, "smooth");
        add_number(buf, smooth);
    }
    add_number(buf, spec->mask.source != NULL);
    if (spec->mask.source) {
        add_hash(buf, spec->mask.source->fingerprint);
        add_number(buf, spec->mask.band);
        for (int i = 0; i < 256; i++)
            buf_append(buf, spec->mask.keep[i] ? "\1" : "\0", 1);
    }
    if (spec->area)
        add_hash(buf, area_fingerprint(spec->area));
}

/* Another filter over the same votes: only the second fingerprint changes. */
enum tl_code prediction_fingerprints(const struct prediction_spec *spec,
                                     struct hash128 ret_fingerprints[CLASS_STAGES],
                                     struct tl_err *err)
{
    AUTO_BUF buf = {0}, post = {0};
    struct post rest = spec->post;

    describe(spec, post_take_smoothing(&rest), &buf);
    post_describe(&rest, &post);
    if (buf_failed(&buf) || buf_failed(&post))
        return tl_fail(err, TL_NOMEM, "no memory for the fingerprint of %s", spec->id);
    ret_fingerprints[CLASS_RAW] = hash128(buf.bytes, buf.size);
    ret_fingerprints[CLASS_FINAL] =
        hash128_join(ret_fingerprints[CLASS_RAW], hash128(post.bytes, post.size));
    return TL_OK;
}
