#include "classify/prediction_band.h"
#include "forest/forest.h"
#include "tiler/layer.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_open.h"

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
