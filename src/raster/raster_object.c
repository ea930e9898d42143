#include "raster/raster.h"
#include "store/store.h"

enum tl_code raster_read_object(const struct raster_env *env, const char *href, size_t max_bytes,
                                struct errand *errand, struct blob **ret_blob, struct tl_err *err)
{
    return store_read_all(env->store, href, max_bytes, errand, ret_blob, err);
}
