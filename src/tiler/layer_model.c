#include "tiler/layer_model.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/trouble.h"
#include "forest/forest.h"
#include "raster/raster.h"
#include "tiler/aoi_doc.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_prediction.h"
#include "tiler/layer_private.h"

#include <time.h>

/* A file that a layer cannot do without. */
struct wanted {
    const char *what, *href;
    size_t max_bytes;
};

/* A store that starts a little later than tilth is no reason to do without its layers. */
static enum tl_code read_patiently(const struct layer_env *env, const struct layer_doc *doc,
                                   const struct wanted *file, struct blob **ret_file,
                                   struct tl_err *err)
{
    struct errand errand = errand_unbounded();

    for (bool told = false;; told = true) {
        enum tl_code code =
            raster_read_object(&env->raster, file->href, file->max_bytes, &errand, ret_file, err);

        if ((code != TL_UPSTREAM && code != TL_TIMEOUT) || clock_now_ns() >= env->patience_ends_ns)
            return code;
        if (!told)
            listener_tell(env->listener, "warn", "layer", "layer %s waits for its %s: %s", doc->id,
                          file->what, err->msg);
        nanosleep(&(struct timespec){.tv_nsec = NS_PER_S / 2}, NULL);
    }
}

static enum tl_code load_aoi(const struct layer_env *env, const struct layer_doc *doc,
                             struct arena *arena, const struct area_outline **ret_aoi,
                             struct tl_err *err)
{
    const struct wanted wanted = {"aoi", doc->aoi_href, AOI_MAX_BYTES};
    AUTO(blob) file = NULL;

    if (!doc->aoi_href) {
        *ret_aoi = doc->aoi;
        return TL_OK;
    }
    enum tl_code code = read_patiently(env, doc, &wanted, &file, err);
    if (code != TL_OK)
        return tl_context(err, code, "aoi: ");
    return aoi_doc_parse(doc->aoi_href, blob_bytes(file), blob_size(file), arena, ret_aoi, err);
}

enum tl_code layer_model_load(const struct layer_env *env, const struct layer_doc *doc,
                              struct arena *arena, struct layer_model *ret_model,
                              struct tl_err *err)
{
    AUTO(blob) file = NULL;
    AUTO(forest) forest = NULL;
    struct layer_model model;

    const char *href = env->model ? env->model : doc->model;
    const struct wanted wanted = {"model", href, MODEL_MAX_FILE_BYTES};

    TL_TRY(read_patiently(env, doc, &wanted, &file, err));
    TL_TRY(forest_load(href, file, &forest, err));
    const struct model_info *info = forest_info(forest);
    struct layer_features *features = arena_alloc(arena, 1, sizeof(*features));
    if (!features)
        return tl_fail(err, TL_NOMEM, "no memory for a model");
    TL_TRY(layer_prediction_prepare(doc, info, arena, features, err));
    TL_TRY(layer_bands_make(doc, info, arena, &model.bands, err));
    TL_TRY(load_aoi(env, doc, arena, &model.aoi, err));
    model.features = features;
    model.forest = TL_TAKE(forest);
    *ret_model = model;
    return TL_OK;
}
