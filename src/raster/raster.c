#include "raster/raster.h"

#include "raster/cog.h"
#include "raster/gdal_source.h"
#include "raster/raster_notes.h"
#include "raster/raster_source.h"
#include "raster/taint.h"
#include "store/store.h"

static enum tl_code open_either(const struct raster_env *env, struct object *object,
                                const struct raster_options *options, struct errand *errand,
                                struct block_source **ret_source, struct tl_err *err)
{
    struct tl_err reason;

    if (options && options->force_gdal)
        return gdal_source_open(env, object, "asked for", errand, ret_source, err);
    enum tl_code code = cog_open(env, object, errand, ret_source, &reason);
    if (code == TL_UNSUPPORTED)
        return gdal_source_open(env, object, reason.msg, errand, ret_source, err);
    if (code != TL_OK)
        *err = reason;
    return code;
}

/* A tainted level is shown by `tilth check` and never read. */
static enum tl_code look_for_taint(struct block_source *opened, const struct raster_notes *notes,
                                   struct errand *errand, struct tl_err *err)
{
    static const char way[] = "tainted levels " TAINT_REVISION;
    struct raster_source *source = raster_source_of(opened);
    struct hash128 key = hash128_join(opened->fingerprint, hash128(way, sizeof(way)));
    uint32_t *levels = &source->info.tainted_levels;

    /* Nothing is noted of an object without a version: another may take its place unseen. */
    if (!object_version(source->object)[0])
        notes = NULL;
    if (!notes || !notes->recall(notes->arg, key, levels)) {
        TL_TRY(taint_find(opened, errand, levels, err));
        if (notes)
            notes->keep(notes->arg, key, *levels);
    }
    for (int i = 0; i < source->pyramid.level_count; i++) {
        if (source->info.tainted_levels >> i & 1)
            source->pyramid.levels[i].usable = false;
    }
    return TL_OK;
}

static enum tl_code open_object(const struct raster_env *env, struct object *object,
                                const struct raster_options *options, struct errand *errand,
                                struct block_source **ret_source, struct tl_err *err)
{
    AUTO(block_source) source = NULL;

    TL_TRY(open_either(env, object, options, errand, &source, err));
    if (options && options->classes)
        TL_TRY(look_for_taint(source, options->notes, errand, err));
    *ret_source = TL_TAKE(source);
    return TL_OK;
}

enum tl_code raster_open(const struct raster_env *env, const char *href,
                         const struct raster_options *options, struct errand *errand,
                         struct block_source **ret_source, struct tl_err *err)
{
    AUTO(object) object = NULL;

    TL_TRY(object_open(env->store, href, options ? options->s3 : NULL, errand, &object, err));
    enum tl_code code = open_object(env, object, options, errand, ret_source, err);
    return code == TL_OK ? TL_OK : tl_context(err, code, "%s: ", href);
}

const struct raster_info *raster_info(const struct block_source *source)
{
    return &((const struct raster_source *)source)->info;
}

enum tl_code raster_revalidate(struct block_source *source, struct errand *errand,
                               struct tl_err *err)
{
    return object_revalidate(raster_source_of(source)->object, errand, err);
}
