#include "tiler/layer.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/trouble.h"
#include "forest/forest.h"
#include "tiler/layer_check.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_model.h"
#include "tiler/layer_open.h"
#include "tiler/layer_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A failure to open is answered from memory this long. */
#define FAILURE_MEMORY_NS NS_PER_S

/* One season and whatever is opened of it. */
struct slot {
    pthread_mutex_t mu;   /* guards: all below; never held across I/O */
    pthread_cond_t ready; /* `opening` ended */
    bool opening;
    bool expired; /* the objects changed: open again before the next use */
    struct layer_view *view;
    int64_t checked_ns; /* when the versions were last known to be right */
    int64_t ask_ns;     /* before this nobody else is sent to check them */
    int64_t failed_ns;
    enum tl_code failure;
    struct tl_err failure_text;
    struct trouble closed; /* it does not open */
};

struct layer {
    struct layer_info info;
    struct layer_env env;
    struct layer_doc doc;
    struct arena *arena;
    struct forest *forest;                 /* of a prediction.. */
    const struct layer_features *features; /* ..and an expression for each of its features */
    const struct style *styles[LAYER_MAX_STYLES];
    struct style model_style; /* made from the model's classes when the document names none */
    struct layer_bands bands;
    const char *seasons[DOC_MAX_SEASONS];
    uint32_t slot_count;
    struct slot *slots; /* one per season; one where there are none */
};

const struct layer_info *layer_info(const struct layer *layer)
{
    return &layer->info;
}

const struct forest *layer_forest(const struct layer *layer)
{
    return layer->forest;
}

static bool has_class(const struct model_class *classes, uint32_t count, uint8_t value)
{
    for (uint32_t i = 0; i < count; i++)
        if (classes[i].value == value)
            return true;
    return false;
}

uint32_t layer_classes(const struct layer *layer, struct model_class *ret_classes)
{
    const struct model_info *model = forest_info(layer->forest);
    const struct post *post = &layer->doc.post;
    uint32_t count = 0;

    for (uint32_t i = 0; i < model->class_count; i++)
        ret_classes[count++] = model->classes[i];
    for (unsigned i = 0; i < post->count && count < MODEL_MAX_CLASSES; i++)
        if (post->steps[i].op == POST_UNSURE &&
            !has_class(ret_classes, count, post->steps[i].value))
            ret_classes[count++] = (struct model_class){"unsure", UNSURE_RGB, post->steps[i].value};
    for (uint32_t i = 0; i < count; i++) {
        const struct style_class *shown =
            style_class_of(layer->info.styles[0], ret_classes[i].value);

        if (shown)
            ret_classes[i].color = (uint32_t)shown->rgba[0] << 16 | (uint32_t)shown->rgba[1] << 8 |
                                   (uint32_t)shown->rgba[2];
    }
    return count;
}

enum tl_code layer_style(const struct layer *layer, const char *id, const struct style **ret_style,
                         struct tl_err *err)
{
    const struct layer_info *info = &layer->info;

    if (!id || id[0] == '\0') {
        *ret_style = info->styles[0];
        return TL_OK;
    }
    for (uint32_t i = 0; i < info->style_count; i++)
        if (strcmp(info->styles[i]->id, id) == 0) {
            *ret_style = info->styles[i];
            return TL_OK;
        }
    return tl_fail(err, TL_ABSENT,
                   "layer %s has no style \"%s\"; its default is %s, GET /layers/%s "
                   "lists all",
                   info->id, id, info->styles[0]->id, info->id);
}

static enum tl_code load_model(struct layer *layer, struct arena *arena, struct tl_err *err)
{
    struct layer_model model;

    TL_TRY(layer_model_load(&layer->env, &layer->doc, arena, &model, err));
    layer->forest = model.forest;
    layer->features = model.features;
    layer->bands = model.bands;
    layer->doc.aoi = model.aoi;
    layer->info.band_count = model.bands.count;
    layer->info.bands = model.bands.names;
    return TL_OK;
}

/* A style may leave classes out, which are then not shown; but one of all others shows nothing. */
static bool shows_nothing(const struct style *style, const struct forest *forest)
{
    const struct model_info *model = forest_info(forest);

    for (uint32_t i = 0; i < model->class_count; i++)
        if (style_class_of(style, model->classes[i].value))
            return false;
    return true;
}

/* Of a prediction a ramp may show a band of percents, but the default style shows classes. */
static enum tl_code check_style(const struct layer *layer, uint32_t at, const struct style *style,
                                struct tl_err *err)
{
    const struct layer_doc *doc = &layer->doc;

    if (layer->forest && at > 0 && style->kind == STYLE_RAMP) {
        if (style->bands[0] <= layer->bands.count)
            return TL_OK;
        return tl_fail(err, TL_INVALID, "style %s is of band %u, the layer has %u: \"outputs\"",
                       style->id, style->bands[0], layer->bands.count);
    }
    if ((style->kind == STYLE_CLASSES) != doc->classes)
        return tl_fail(err, TL_INVALID, "style %s is for %s, the layer has %s", style->id,
                       doc->classes ? "numbers" : "classes", doc->classes ? "classes" : "numbers");
    if (layer->forest && shows_nothing(style, layer->forest))
        return tl_fail(err, TL_INVALID,
                       "style %s has none of the model's classes, the first of which is %u "
                       "\"%.64s\"",
                       style->id, forest_info(layer->forest)->classes[0].value,
                       forest_info(layer->forest)->classes[0].name);
    return TL_OK;
}

static void add_style(struct layer *layer, const struct style *style)
{
    layer->styles[layer->info.style_count++] = style;
}

static bool has_style(const struct layer *layer, const char *id)
{
    for (uint32_t i = 0; i < layer->info.style_count; i++)
        if (strcmp(layer->styles[i]->id, id) == 0)
            return true;
    return false;
}

static enum tl_code take_styles(struct layer *layer, const struct style *const *styles,
                                struct tl_err *err)
{
    const struct layer_doc *doc = &layer->doc;

    layer->info.styles = layer->styles;
    for (uint32_t i = 0; i < doc->style_count; i++) {
        TL_TRY(check_style(layer, i, styles[i], err));
        add_style(layer, styles[i]);
    }
    if (!layer->forest && doc->style_count == 0)
        return tl_fail(err, TL_INVALID,
                       "name at least one style in \"styles\"; `tilth check FILE "
                       "--style` prints one from a palette");
    if (!layer->forest)
        return TL_OK;
    if (doc->style_count == 0) {
        layer_model_style(forest_info(layer->forest), &doc->post, &layer->model_style);
        add_style(layer, &layer->model_style);
    }
    for (uint32_t b = 0; b + 1 < layer->bands.count; b++)
        if (!has_style(layer, layer->bands.styles[b].id))
            add_style(layer, &layer->bands.styles[b]);
    return TL_OK;
}

static void fill_info(struct layer *layer)
{
    const struct layer_doc *doc = &layer->doc;

    layer->info.id = doc->id;
    layer->info.title = doc->title;
    layer->info.description = doc->description;
    layer->info.attribution = doc->attribution;
    layer->info.license = doc->license;
    layer->info.role = doc->role;
    layer->info.kind = doc->kind;
    layer->info.synthetic = doc->synthetic;
    layer->info.min_zoom = (uint8_t)doc->min_zoom;
    layer->info.max_zoom = (uint8_t)(doc->max_zoom < 0 ? 18 : doc->max_zoom);
    for (uint32_t i = 0; i < doc->season_count; i++)
        layer->seasons[i] = doc->seasons[i].label;
    layer->info.seasons = layer->seasons;
    layer->info.season_count = doc->season_count;
}

static enum tl_code new_slots(struct layer *layer, struct tl_err *err)
{
    uint32_t count = layer->doc.season_count ? layer->doc.season_count : 1;
    pthread_condattr_t monotonic;

    layer->slots = calloc(count, sizeof(*layer->slots));
    if (!layer->slots)
        return tl_fail(err, TL_NOMEM, "no memory for %u seasons", count);
    layer->slot_count = count;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < count; i++) {
        pthread_mutex_init(&layer->slots[i].mu, NULL);
        pthread_cond_init(&layer->slots[i].ready, &monotonic);
    }
    pthread_condattr_destroy(&monotonic);
    return TL_OK;
}

enum tl_code layer_new(const struct layer_env *env, struct arena *arena,
                       const struct layer_doc *doc, const struct style *const *styles,
                       struct layer **ret_layer, struct tl_err *err)
{
    AUTO(layer) layer = calloc(1, sizeof(*layer));

    if (!layer)
        return tl_fail(err, TL_NOMEM, "no memory for layer %s", doc->id);
    layer->env = *env;
    layer->doc = *doc;
    fill_info(layer);
    TL_TRY(new_slots(layer, err));
    if (doc->kind == LAYER_PREDICTION)
        TL_TRY(load_model(layer, arena, err));
    TL_TRY(take_styles(layer, styles, err));
    layer->arena = arena;
    *ret_layer = TL_TAKE(layer);
    return TL_OK;
}

void layer_free(struct layer *layer)
{
    if (!layer)
        return;
    for (uint32_t i = 0; i < layer->slot_count; i++) {
        layer_view_unref(layer->slots[i].view);
        pthread_cond_destroy(&layer->slots[i].ready);
        pthread_mutex_destroy(&layer->slots[i].mu);
    }
    free(layer->slots);
    forest_unref(layer->forest);
    arena_free(layer->arena);
    free(layer);
}

static struct slot *find_slot(struct layer *layer, const char *season)
{
    int index = layer_doc_season(&layer->doc, season);

    return index < 0 ? NULL : &layer->slots[index];
}

static bool is_fresh(const struct layer *layer, const struct slot *slot, int64_t now)
{
    return slot->view && !slot->expired && now - slot->checked_ns < layer->env.revalidate_ns;
}

struct layer_view *layer_view_peek(struct layer *layer, const char *season, bool *ret_due)
{
    struct slot *slot = find_slot(layer, season);
    struct layer_view *view = NULL;

    *ret_due = false;
    if (!slot)
        return NULL;
    int64_t now = clock_now_ns();
    pthread_mutex_lock(&slot->mu);
    if (slot->view && !slot->expired) {
        view = layer_view_ref(slot->view);
        *ret_due = !slot->opening && !is_fresh(layer, slot, now) && now >= slot->ask_ns;
        if (*ret_due)
            slot->ask_ns = now + NS_PER_S;
    }
    pthread_mutex_unlock(&slot->mu);
    return view;
}

void layer_view_expire(struct layer_view *view)
{
    struct layer *layer = view->layer;

    for (uint32_t i = 0; i < layer->slot_count; i++) {
        struct slot *slot = &layer->slots[i];

        pthread_mutex_lock(&slot->mu);
        if (slot->view == view)
            slot->expired = true;
        pthread_mutex_unlock(&slot->mu);
    }
}

static struct layer_open opening_of(struct layer *layer, uint32_t season)
{
    return (struct layer_open){.env = &layer->env,
                               .doc = &layer->doc,
                               .layer = layer,
                               .info = &layer->info,
                               .forest = layer->forest,
                               .features = layer->features,
                               .bands = &layer->bands,
                               .season = season};
}

/*
 * The view to go on with: the old one when its objects are unchanged (or cannot be asked:
 * what is cached keeps being served while the store is down), a new one otherwise.
 */
static enum tl_code refresh(struct layer *layer, uint32_t season, struct layer_view *old,
                            struct errand *errand, struct layer_view **ret_view, struct tl_err *err)
{
    if (old && layer_view_check(old, errand) != TL_CHANGED) {
        *ret_view = layer_view_ref(old);
        return TL_OK;
    }
    if (old)
        layer_view_expire(old); /* nobody goes on with objects that are gone or replaced */
    const struct layer_open open = opening_of(layer, season);
    return layer_open_view(&open, errand, ret_view, err);
}

static void settle(struct slot *slot, enum tl_code code, struct layer_view *view,
                   const struct tl_err *err)
{
    int64_t now = clock_now_ns();
    struct layer_view *old = slot->view;

    slot->opening = false;
    if (code == TL_OK) {
        slot->view = layer_view_ref(view);
        slot->checked_ns = now;
        slot->expired = false;
        slot->failed_ns = 0;
        layer_view_unref(old);
    } else if (code != TL_CANCELLED && code != TL_TIMEOUT) {
        slot->failed_ns = now;
        slot->failure = code;
        slot->failure_text = *err;
    }
    pthread_cond_broadcast(&slot->ready);
}

/* Tells what became of an opening, with slot->mu held and the view there was still in the slot. */
static void report(struct layer *layer, struct slot *slot, enum tl_code code,
                   const struct layer_view *view, const struct tl_err *err)
{
    const struct listener *listener = layer->env.listener;
    const struct layer_view *before = slot->view;

    if (code == TL_OK) {
        trouble_over(&slot->closed, listener, "layer", "layer %s: opens again", layer->info.id);
        if (before && !hash128_equal(before->fingerprint, view->fingerprint))
            listener_tell(listener, "info", "layer",
                          "layer %s: its objects changed and were opened again", layer->info.id);
    } else if (code != TL_CANCELLED) {
        trouble_met(&slot->closed, listener, "layer", "%s", err->msg);
    }
}

/* Waits, with slot->mu held, for the opener to finish or the deadline to pass. */
static enum tl_code wait_for_opener(struct slot *slot, const struct errand *errand,
                                    struct tl_err *err)
{
    int64_t until = TL_MIN(errand->deadline_ns, clock_now_ns() + 100 * NS_PER_MS);
    struct timespec when = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};

    pthread_cond_timedwait(&slot->ready, &slot->mu, &when);
    return errand_check(errand, err);
}

/* With slot->mu held: TL_OK and a view, a remembered failure, or TL_BUSY: the caller opens. */
static enum tl_code claim(struct layer *layer, struct slot *slot, const struct errand *errand,
                          struct layer_view **ret_view, struct tl_err *err)
{
    for (;;) {
        int64_t now = clock_now_ns();

        /* While one checks the versions the others go on with what is there. */
        if (is_fresh(layer, slot, now) || (slot->view && !slot->expired && slot->opening)) {
            *ret_view = layer_view_ref(slot->view);
            return TL_OK;
        }
        if (slot->failed_ns && now - slot->failed_ns < FAILURE_MEMORY_NS)
            return tl_fail(err, slot->failure, "%s", slot->failure_text.msg);
        if (!slot->opening) {
            slot->opening = true;
            return TL_BUSY;
        }
        TL_TRY(wait_for_opener(slot, errand, err));
    }
}

enum tl_code layer_fault(enum tl_code code)
{
    if (code == TL_INVALID || code == TL_UNSUPPORTED || code == TL_LIMIT)
        return TL_CORRUPT;
    return code == TL_ABSENT ? TL_UPSTREAM : code;
}

enum tl_code layer_view_get(struct layer *layer, const char *season, struct errand *errand,
                            struct layer_view **ret_view, struct tl_err *err)
{
    struct slot *slot = find_slot(layer, season);

    if (!slot)
        return tl_fail(err, TL_ABSENT,
                       "layer %s has no season \"%s\", neither as a label nor as a day in one; "
                       "GET /layers/%s lists them",
                       layer->info.id, season, layer->info.id);
    pthread_mutex_lock(&slot->mu);
    enum tl_code code = claim(layer, slot, errand, ret_view, err);
    struct layer_view *old = slot->view && !slot->expired ? layer_view_ref(slot->view) : NULL;
    pthread_mutex_unlock(&slot->mu);
    if (code != TL_BUSY) {
        layer_view_unref(old);
        return code;
    }

    struct layer_view *view = NULL;
    code = layer_fault(refresh(layer, (uint32_t)(slot - layer->slots), old, errand, &view, err));
    if (code != TL_OK)
        tl_context(err, code, "layer %s: ", layer->info.id);
    pthread_mutex_lock(&slot->mu);
    report(layer, slot, code, view, err);
    settle(slot, code, view, err);
    pthread_mutex_unlock(&slot->mu);
    layer_view_unref(old);
    if (code == TL_OK)
        *ret_view = view;
    return code;
}

/* ---- before somebody asks (layer_check.h) ---- */

/* The path of a file of this machine, else NULL. */
static const char *path_of(const char *href)
{
    if (strncmp(href, "file://", 7) == 0)
        return href + 7;
    return strstr(href, "://") ? NULL : href;
}

static bool is_here(const char *href)
{
    return path_of(href) != NULL;
}

bool layer_file_at(const struct layer *layer, uint32_t i, struct layer_file *ret_file)
{
    const struct layer_doc *doc = &layer->doc;
    struct layer_file file = {0};

    if (doc->model && i-- == 0) {
        file.what = "model";
        file.href = doc->model;
    } else if (doc->aoi_href && i-- == 0) {
        file.what = "aoi";
        file.href = doc->aoi_href;
    } else if (i < layer->slot_count * doc->source_count) {
        uint32_t season = i / doc->source_count, source = i % doc->source_count;

        file.what = doc->sources[source].id;
        file.season = doc->season_count ? layer->seasons[season] : "";
        file.href = layer_open_href(doc, season, source);
    } else {
        return false;
    }
    file.path = path_of(file.href);
    *ret_file = file;
    return true;
}

static bool all_here(const struct layer *layer, uint32_t season)
{
    for (uint32_t i = 0; i < layer->doc.source_count; i++)
        if (!is_here(layer_open_href(&layer->doc, season, i)))
            return false;
    return true;
}

enum tl_code layer_try(struct layer *layer, uint32_t season, bool remote, struct errand *errand,
                       struct tl_err *err)
{
    const struct layer_open open = opening_of(layer, season);
    struct slot *slot = &layer->slots[season];
    AUTO(layer_view) view = NULL;

    enum tl_code code = remote || all_here(layer, season)
                            ? layer_open_view(&open, errand, &view, err)
                            : layer_open_check(&open, is_here, errand, err);
    code = layer_fault(code);
    if (code == TL_OK || code == TL_CANCELLED || code == TL_TIMEOUT)
        return code;
    tl_context(err, code, "layer %s: ", layer->info.id);
    pthread_mutex_lock(&slot->mu);
    if (!slot->view && !slot->opening) {
        report(layer, slot, code, NULL, err);
        settle(slot, code, NULL, err);
    }
    pthread_mutex_unlock(&slot->mu);
    return code;
}

bool layer_is_closed(const struct layer *layer)
{
    bool closed = false;

    for (uint32_t i = 0; i < layer->slot_count; i++) {
        pthread_mutex_lock(&layer->slots[i].mu);
        closed |= layer->slots[i].failed_ns != 0;
        pthread_mutex_unlock(&layer->slots[i].mu);
    }
    return closed;
}
