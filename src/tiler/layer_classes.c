#include "classify/prediction_band.h"
#include "forest/forest.h"
#include "tiler/layer.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_model.h"
#include "tiler/layer_open.h"

#include <stdio.h>

static void add_value(struct layer_view *view, uint8_t value)
{
    if (view->index_of[value] != 0 || view->index_count > 255)
        return;
    view->index_of[value] = (uint8_t)view->index_count;
    view->value_of[view->index_count++] = value;
}

void layer_index_classes(const struct layer_open *open, struct layer_view *view)
{
    view->index_count = 1;
    for (uint32_t s = 0; s < open->info->style_count; s++)
        for (uint16_t c = 0; c < open->info->styles[s]->class_count; c++)
            add_value(view, open->info->styles[s]->classes[c].value);
    if (!open->forest)
        return;
    const struct model_info *model = forest_info(open->forest);
    for (uint32_t c = 0; c < model->class_count; c++)
        add_value(view, model->classes[c].value);
    for (unsigned i = 0; i < open->doc->post.count; i++)
        if (open->doc->post.steps[i].op == POST_UNSURE)
            add_value(view, open->doc->post.steps[i].value);
    if (open->doc->mask_source >= 0)
        add_value(view, CLASS_MASKED);
}

static void add_class(struct style *style, uint8_t value, const char *name, uint32_t rgb)
{
    struct style_class *to = &style->classes[style->class_count++];

    to->value = value;
    to->rgba[0] = (uint8_t)(rgb >> 16);
    to->rgba[1] = (uint8_t)(rgb >> 8);
    to->rgba[2] = (uint8_t)rgb;
    to->rgba[3] = 255;
    snprintf(to->name, sizeof(to->name), "%s", name);
    snprintf(to->title, sizeof(to->title), "%s", name);
}

void layer_model_style(const struct model_info *model, const struct post *post, struct style *ret)
{
    *ret = (struct style){.kind = STYLE_CLASSES, .nodata = CLASS_NODATA};
    snprintf(ret->id, sizeof(ret->id), "model");
    snprintf(ret->title, sizeof(ret->title), "Colours of the model");
    ret->fingerprint = model->fingerprint;
    for (uint32_t i = 0; i < model->class_count; i++) {
        const struct model_class *from = &model->classes[i];
        /* Without a colour: spread over the wheel, so that classes can at least be told apart. */
        uint32_t rgb = from->color == MODEL_NO_COLOR ? 0x3060A0u + i * 0x2F1B57u : from->color;

        add_class(ret, from->value, from->name, rgb);
    }
    for (unsigned i = 0; i < post->count; i++)
        if (post->steps[i].op == POST_UNSURE && !style_class_of(ret, post->steps[i].value))
            add_class(ret, post->steps[i].value, "unsure", UNSURE_RGB);
}
