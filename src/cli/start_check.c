#include "cli/start_check.h"

#include "base/errand.h"
#include "base/pool.h"
#include "cli/cli.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/layer_check.h"

static void run(void *arg, struct arena *arena)
{
    struct start_check *check = arg;
    struct errand errand = errand_unbounded();
    struct tl_err told; /* by the layer, to the listener */

    (void)arena;
    errand.cancelled = &check->stop;
    for (size_t i = 0; i < catalog_layer_count(check->catalog); i++) {
        struct layer *layer = catalog_layer_at(check->catalog, i);
        uint32_t seasons = TL_MAX(layer_info(layer)->season_count, 1u);

        for (uint32_t s = 0; s < seasons; s++) {
            if (errand_check(&errand, &told) != TL_OK)
                return;
            (void)!layer_try(layer, s, false, &errand, &told);
        }
    }
}

enum tl_code start_check_begin(const struct app *app, struct start_check *check, struct tl_err *err)
{
    check->catalog = app->catalog;
    TL_TRY(pool_lane_new(app->workers, 1, 1, &check->lane, err));
    return pool_submit(check->lane, run, check, err);
}

void start_check_end(struct start_check *check)
{
    atomic_store(&check->stop, true);
    pool_lane_free(check->lane);
    check->lane = NULL;
}
