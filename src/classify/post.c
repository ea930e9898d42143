#include "classify/post.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "classify/majority.h"
#include "classify/sieve.h"
#include "classify/smooth.h"
#include "model/info.h"

#include <string.h>

static uint32_t step_halo(const struct post_step *step)
{
    switch (step->op) {
    case POST_MAJORITY:
        return step->size / 2u;
    case POST_SIEVE:
        return step->size - 1u;
    case POST_UNSURE:
    case POST_SMOOTH:
        break;
    }
    return 0;
}

unsigned post_take_smoothing(struct post *post)
{
    if (!post->count || post->steps[0].op != POST_SMOOTH)
        return 0;
    unsigned times = post->steps[0].size;
    post->count--;
    memmove(post->steps, post->steps + 1, post->count * sizeof(*post->steps));
    return times;
}

uint32_t post_halo(const struct post *post)
{
    uint32_t halo = 0;

    for (unsigned i = 0; i < post->count; i++)
        halo += step_halo(&post->steps[i]);
    return halo;
}

static enum tl_code check_step(const struct post_step *step, struct tl_err *err)
{
    switch (step->op) {
    case POST_MAJORITY:
        if (step->size % 2 == 1 && step->size >= MAJORITY_MIN && step->size <= MAJORITY_MAX)
            return TL_OK;
        return tl_fail(err, TL_INVALID, "a majority filter of %u pixels; it is odd, %d to %d",
                       step->size, MAJORITY_MIN, MAJORITY_MAX);
    case POST_SIEVE:
        if (step->size < SIEVE_MIN || step->size > SIEVE_MAX)
            return tl_fail(err, TL_INVALID, "a sieve of %u pixels; it is %d to %d", step->size,
                           SIEVE_MIN, SIEVE_MAX);
        if (step->connect == 4 || step->connect == 8)
            return TL_OK;
        return tl_fail(err, TL_INVALID, "a sieve that connects %u neighbours; 4 or 8 are",
                       step->connect);
    case POST_UNSURE:
        if (step->below < 1 || step->below > 100)
            return tl_fail(err, TL_INVALID, "unsure below %u percent; it is 1 to 100", step->below);
        if (label_votes(step->value))
            return TL_OK;
        return tl_fail(err, TL_INVALID, "unsure becomes %u; %d means masked and %d nodata",
                       step->value, CLASS_MASKED, CLASS_NODATA);
    case POST_SMOOTH:
        if (step->size >= 1 && step->size <= SMOOTH_MAX)
            return TL_OK;
        return tl_fail(err, TL_INVALID, "probabilities smoothed %u times; it is 1 to %d",
                       step->size, SMOOTH_MAX);
    }
    return tl_fail(err, TL_INTERNAL, "post-processing of kind %d", (int)step->op);
}

enum tl_code post_check(const struct post *post, struct tl_err *err)
{
    for (unsigned i = 0; i < post->count; i++) {
        TL_TRY(check_step(&post->steps[i], err));
        if (i && post->steps[i].op == POST_SMOOTH)
            return tl_fail(
                err, TL_INVALID,
                "step %u smooths probabilities, and the labels are made before it: it is "
                "the first step or none",
                i + 1);
    }
    if (post_halo(post) > POST_MAX_HALO)
        return tl_fail(err, TL_LIMIT,
                       "the post-processing looks %u pixels far, at most %d are served: smaller "
                       "filters or fewer of them",
                       post_halo(post), POST_MAX_HALO);
    return TL_OK;
}

/* What is unsure must not look like one of the model's classes. */
enum tl_code post_check_model(const struct post *post, const struct model_info *model,
                              struct tl_err *err)
{
    for (unsigned i = 0; i < post->count; i++)
        for (uint32_t c = 0; c < model->class_count && post->steps[i].op == POST_UNSURE; c++)
            if (model->classes[c].value == post->steps[i].value)
                return tl_fail(err, TL_INVALID,
                               "what is unsure becomes %u, which is the model's class \"%s\"; "
                               "give it a value of its own",
                               post->steps[i].value, model->classes[c].name);
    return TL_OK;
}

void post_describe(const struct post *post, struct buf *buf)
{
    for (unsigned i = 0; i < post->count; i++) {
        const struct post_step *step = &post->steps[i];

        buf_printf(buf, "%d,%u,%u,%u,%u;", (int)step->op, step->size, step->connect, step->below,
                   step->value);
    }
}

static void mark_unsure(const struct post_step *step, const struct label_window *input,
                        const uint8_t *confidence, uint8_t *to)
{
    for (size_t y = 0; y < input->height; y++) {
        for (size_t x = 0; x < input->width; x++) {
            size_t at = y * input->stride + x;
            bool unsure = label_votes(input->label[at]) && confidence[at] < step->below;

            to[at] = unsure ? step->value : input->label[at];
        }
    }
}

enum tl_code post_run(const struct post *post, const struct post_frame *frame,
                      struct arena *scratch, uint8_t *ret_label, size_t ret_stride,
                      struct tl_err *err)
{
    struct label_window window = {frame->label, frame->width, frame->width, frame->height};
    uint8_t *from = frame->label, *to = arena_alloc(scratch, frame->height, frame->width);
    size_t corner = 0;

    if (!to)
        return tl_fail(err, TL_NOMEM, "no memory to filter %u x %u pixels", frame->width,
                       frame->height);
    for (unsigned i = 0; i < post->count; i++) {
        const struct post_step *step = &post->steps[i];
        const struct sieve_rule sieve = {step->size, step->connect};
        uint32_t halo = step_halo(step);

        TL_CHECK(step->op != POST_SMOOTH);
        corner += halo * window.stride + halo;
        window.label = from + corner;
        window.width -= 2 * halo;
        window.height -= 2 * halo;
        if (step->op == POST_MAJORITY)
            majority_filter(&window, step->size, to + corner, window.stride);
        else if (step->op == POST_SIEVE)
            TL_TRY(sieve_filter(&window, &sieve, scratch, to + corner, window.stride, err));
        else
            mark_unsure(step, &window, frame->confidence + corner, to + corner);
        uint8_t *used = from;
        from = to;
        to = used;
    }
    for (size_t y = 0; y < window.height; y++)
        memcpy(ret_label + y * ret_stride, from + corner + y * window.stride, window.width);
    return TL_OK;
}
