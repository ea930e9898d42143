#include "tiler/post_doc.h"

#include "base/json.h"
#include "classify/majority.h"
#include "classify/prediction.h"
#include "classify/sieve.h"
#include "classify/smooth.h"

#include <string.h>

static enum tl_code read_majority(struct json_at at, struct post_step *ret, struct tl_err *err)
{
    static const char *const known[] = {"op", "size", NULL};
    struct json_at size_at = json_key(&at, "size");
    int64_t size;

    TL_TRY(json_known_keys(at, known, err));
    TL_TRY(json_read_int(size_at, MAJORITY_MIN, MAJORITY_MAX, &size, err));
    if (size % 2 == 0)
        return json_refuse(&size_at, err, "an odd number is needed");
    ret->size = (uint8_t)size;
    return TL_OK;
}

static enum tl_code read_sieve(struct json_at at, struct post_step *ret, struct tl_err *err)
{
    static const char *const known[] = {"op", "min_pixels", "connect", NULL};
    struct json_at connect_at = json_key(&at, "connect");
    int64_t size, connect;

    TL_TRY(json_known_keys(at, known, err));
    TL_TRY(json_read_int(json_key(&at, "min_pixels"), SIEVE_MIN, SIEVE_MAX, &size, err));
    TL_TRY(json_read_int_or(connect_at, 4, 8, 4, &connect, err));
    if (connect != 4 && connect != 8)
        return json_refuse(&connect_at, err, "4 or 8 is needed");
    ret->size = (uint8_t)size;
    ret->connect = (uint8_t)connect;
    return TL_OK;
}

static enum tl_code read_unsure(struct json_at at, struct post_step *ret, struct tl_err *err)
{
    static const char *const known[] = {"op", "below", "value", NULL};
    int64_t below, value;

    TL_TRY(json_known_keys(at, known, err));
    TL_TRY(json_read_int(json_key(&at, "below"), 1, 100, &below, err));
    TL_TRY(json_read_int_or(json_key(&at, "value"), 0, CLASS_MASKED - 1, CLASS_MASKED - 1, &value,
                            err));
    ret->below = (uint8_t)below;
    ret->value = (uint8_t)value;
    return TL_OK;
}

static enum tl_code read_smooth(struct json_at at, struct post_step *ret, struct tl_err *err)
{
    static const char *const known[] = {"op", "times", NULL};
    int64_t times;

    TL_TRY(json_known_keys(at, known, err));
    TL_TRY(json_read_int_or(json_key(&at, "times"), 1, SMOOTH_MAX, 1, &times, err));
    ret->size = (uint8_t)times;
    return TL_OK;
}

static enum tl_code read_step(struct json_at at, struct post_step *ret, struct tl_err *err)
{
    static const struct {
        const char *name;
        enum post_op op;
        enum tl_code (*read)(struct json_at, struct post_step *, struct tl_err *);
    } ops[] = {{"majority", POST_MAJORITY, read_majority},
               {"sieve", POST_SIEVE, read_sieve},
               {"unsure", POST_UNSURE, read_unsure},
               {"smooth", POST_SMOOTH, read_smooth}};
    struct json_at name_at = json_key(&at, "op");
    const char *name;

    TL_TRY(json_read_object(at, err));
    TL_TRY(json_read_string(name_at, &name, err));
    for (size_t i = 0; i < TL_COUNT(ops); i++) {
        if (strcmp(name, ops[i].name) != 0)
            continue;
        *ret = (struct post_step){.op = ops[i].op};
        return ops[i].read(at, ret, err);
    }
    return json_refuse(&name_at, err, "\"%s\" is not one of majority, sieve, smooth, unsure", name);
}

enum tl_code post_doc_read(struct json_at at, struct post *ret_post, struct tl_err *err)
{
    struct post post = {0};
    struct tl_err why;
    size_t count;

    TL_TRY(json_read_array(at, true, &count, err));
    if (count > POST_MAX_STEPS)
        return json_refuse(&at, err, "%zu steps, at most %d are served", count, POST_MAX_STEPS);
    for (; post.count < count; post.count++)
        TL_TRY(read_step(json_item(&at, post.count), &post.steps[post.count], err));
    if (post_check(&post, &why) != TL_OK)
        return json_refuse(&at, err, "%s", why.msg);
    *ret_post = post;
    return TL_OK;
}
