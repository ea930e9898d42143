#include "tiler/catalog.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/file.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_private.h"
#include "tiler/notes.h"
#include "tiler/style.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DOCUMENT_BYTES = 4 << 20, MAX_DOCUMENTS = 10000 };

struct catalog {
    struct layer_env env;
    struct notes notes;
    const char *styles_dir; /* for messages; NULL: none */
    size_t style_count, layer_count, refused;
    struct style **styles;
    struct layer **layers;
};

struct complaints {
    void (*complain)(void *udata, const char *message);
    void *udata;
};

static void complain(const struct complaints *to, const struct tl_err *err)
{
    if (to->complain)
        to->complain(to->udata, err->msg);
}

/* One more place in an array of pointers; NULL when memory is out. */
static void *grow(void *list, size_t count)
{
    return realloc(list, (count + 1) * sizeof(void *));
}

static int is_document(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return entry->d_name[0] != '.' && size > 5 && strcmp(entry->d_name + size - 5, ".json") == 0;
}

typedef enum tl_code read_document_fn(struct catalog *catalog, const char *path,
                                      struct blob *document, struct tl_err *err);

/* Reads every *.json of a folder in order of names; a refused one is reported and left out. */
static enum tl_code read_folder(struct catalog *catalog, const char *dir, read_document_fn *read,
                                const struct complaints *complaints, struct tl_err *err)
{
    struct dirent **entries;
    char text[128];

    catalog->refused = 0;
    if (!dir)
        return TL_OK;
    int count = scandir(dir, &entries, is_document, alphasort);

    if (count < 0)
        return tl_fail(err, TL_ABSENT, "%s: %s", dir, strerror_r(errno, text, sizeof(text)));
    for (int i = 0; i < count; i++) {
        char path[4096];
        AUTO(blob) document = NULL;
        struct tl_err refused;

        snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
        free(entries[i]);
        if (i >= MAX_DOCUMENTS)
            continue;
        enum tl_code code = file_read(path, MAX_DOCUMENT_BYTES, &document, &refused);
        if (code == TL_OK)
            code = read(catalog, path, document, &refused);
        if (code != TL_OK)
            complain(complaints, &refused);
        catalog->refused += code != TL_OK;
    }
    free(entries);
    return TL_OK;
}

static const struct style *find_style(const struct catalog *catalog, const char *id)
{
    for (size_t i = 0; i < catalog->style_count; i++)
        if (strcmp(catalog->styles[i]->id, id) == 0)
            return catalog->styles[i];
    return NULL;
}

static struct layer *find_layer(const struct catalog *catalog, const char *id)
{
    for (size_t i = 0; i < catalog->layer_count; i++)
        if (strcmp(layer_info(catalog->layers[i])->id, id) == 0)
            return catalog->layers[i];
    return NULL;
}

static enum tl_code read_style_document(struct catalog *catalog, const char *path,
                                        struct blob *document, struct tl_err *err)
{
    struct style **styles = grow(catalog->styles, catalog->style_count);

    if (!styles)
        return tl_fail(err, TL_NOMEM, "no memory for style %s", path);
    catalog->styles = styles;
    struct style *style = malloc(sizeof(*style));
    if (!style)
        return tl_fail(err, TL_NOMEM, "no memory for style %s", path);
    enum tl_code code = style_parse(path, blob_bytes(document), blob_size(document), style, err);
    if (code == TL_OK && find_style(catalog, style->id))
        code =
            tl_fail(err, TL_INVALID, "%s: id: the style \"%s\" is there already", path, style->id);
    if (code != TL_OK) {
        free(style);
        return code;
    }
    styles[catalog->style_count++] = style;
    return TL_OK;
}

static enum tl_code find_styles(const struct catalog *catalog, const char *path,
                                const struct layer_doc *doc, const struct style **ret_styles,
                                struct tl_err *err)
{
    for (uint32_t i = 0; i < doc->style_count; i++) {
        ret_styles[i] = find_style(catalog, doc->styles[i]);
        if (!ret_styles[i])
            return tl_fail(err, TL_INVALID,
                           "%s: styles[%u]: there is no style \"%s\" in the styles folder, %s "
                           "(--styles-dir)",
                           path, i, doc->styles[i],
                           catalog->styles_dir ? catalog->styles_dir : "which is not there");
    }
    return TL_OK;
}

static enum tl_code add_layer(struct catalog *catalog, const char *path, struct blob *document,
                              struct layer **ret_layer, struct tl_err *err)
{
    const struct style *styles[DOC_MAX_STYLES];
    struct layer **layers = grow(catalog->layers, catalog->layer_count);
    AUTO(arena) arena = arena_new();
    AUTO(layer) layer = NULL;
    struct layer_doc doc;

    if (layers)
        catalog->layers = layers;
    if (!layers || !arena)
        return tl_fail(err, TL_NOMEM, "no memory for layer %s", path);
    TL_TRY(layer_doc_parse(path, blob_bytes(document), blob_size(document), arena, &doc, err));
    if (find_layer(catalog, doc.id))
        return tl_fail(err, TL_INVALID, "%s: id: the layer \"%s\" is there already", path, doc.id);
    TL_TRY(find_styles(catalog, path, &doc, styles, err));
    enum tl_code code = layer_new(&catalog->env, arena, &doc, styles, &layer, err);
    if (code != TL_OK)
        return tl_context(err, code, "%s: ", path);
    arena = NULL; /* the layer's now */
    *ret_layer = layers[catalog->layer_count++] = TL_TAKE(layer);
    return TL_OK;
}

static enum tl_code read_layer_document(struct catalog *catalog, const char *path,
                                        struct blob *document, struct tl_err *err)
{
    struct layer *layer;

    return add_layer(catalog, path, document, &layer, err);
}

enum tl_code catalog_add_layer(struct catalog *catalog, const char *href, struct layer **ret_layer,
                               struct tl_err *err)
{
    struct errand errand = errand_unbounded();
    AUTO(blob) document = NULL;

    TL_TRY(raster_read_object(&catalog->env.raster, href, MAX_DOCUMENT_BYTES, &errand, &document,
                              err));
    return add_layer(catalog, href, document, ret_layer, err);
}

static enum tl_code open_notes(struct catalog *catalog, struct tl_err *err)
{
    if (!catalog->env.cache)
        return TL_OK;
    enum tl_code code = notes_open(catalog->env.cache, &catalog->notes, err);
    if (code == TL_OK)
        catalog->env.notes = &catalog->notes.face;
    return code == TL_ABSENT ? TL_OK : code;
}

enum tl_code catalog_open(const struct catalog_options *options,
                          void (*complain_fn)(void *udata, const char *message), void *udata,
                          struct catalog **ret_catalog, struct tl_err *err)
{
    const struct complaints complaints = {complain_fn, udata};
    AUTO(catalog) catalog = TL_OWNED(calloc(1, sizeof(*catalog)));

    if (!catalog)
        return tl_fail(err, TL_NOMEM, "no memory for the catalog");
    catalog->env = (struct layer_env){.raster = {.store = options->store, .pool = options->pool},
                                      .cache = options->cache,
                                      .model = options->model,
                                      .patience_ends_ns = clock_now_ns() + options->start_wait_ns,
                                      .revalidate_ns = options->revalidate_ns,
                                      .listener = options->listener};
    catalog->styles_dir = options->styles_dir;
    TL_TRY(open_notes(catalog, err));
    enum tl_code code =
        read_folder(catalog, options->styles_dir, read_style_document, &complaints, err);
    if (code != TL_OK)
        return tl_context(err, code, "styles_dir ");
    code = read_folder(catalog, options->layers_dir, read_layer_document, &complaints, err);
    if (code != TL_OK)
        return tl_context(err, code, "layers_dir ");
    *ret_catalog = TL_TAKE(catalog);
    return TL_OK;
}

void catalog_close(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->layer_count; i++)
        layer_free(catalog->layers[i]);
    for (size_t i = 0; i < catalog->style_count; i++)
        free(catalog->styles[i]);
    free(catalog->layers);
    free(catalog->styles);
    free(catalog);
}

size_t catalog_refused(const struct catalog *catalog)
{
    return catalog->refused;
}

size_t catalog_layer_count(const struct catalog *catalog)
{
    return catalog->layer_count;
}

struct layer *catalog_layer_at(const struct catalog *catalog, size_t index)
{
    return catalog->layers[index];
}

enum tl_code catalog_layer(const struct catalog *catalog, const char *id, struct layer **ret_layer,
                           struct tl_err *err)
{
    struct layer *layer = find_layer(catalog, id);

    if (!layer)
        return tl_fail(err, TL_ABSENT,
                       "there is no layer \"%.64s\"; GET /layers lists the %zu known", id,
                       catalog->layer_count);
    *ret_layer = layer;
    return TL_OK;
}

size_t catalog_style_count(const struct catalog *catalog)
{
    return catalog->style_count;
}

const struct style *catalog_style_at(const struct catalog *catalog, size_t index)
{
    return catalog->styles[index];
}

enum tl_code catalog_style(const struct catalog *catalog, const char *id,
                           const struct style **ret_style, struct tl_err *err)
{
    const struct style *style = find_style(catalog, id);

    if (!style)
        return tl_fail(err, TL_ABSENT, "there is no style \"%.64s\"; GET /styles lists them", id);
    *ret_style = style;
    return TL_OK;
}
