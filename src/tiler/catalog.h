/*
 * catalog: all layers and styles, read from their folders at start. A bad document is
 * refused with its path and place; the others are served.
 *
 * Threads  read-only after catalog_open()
 * Memory   catalog_open() / catalog_close()
 */
#ifndef TILTH_TILER_CATALOG_H
#define TILTH_TILER_CATALOG_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct block_pool;
struct cache;
struct catalog;
struct layer;
struct listener;
struct store;
struct style;

struct catalog_options {
    const char *layers_dir, *styles_dir; /* NULL: none are read */
    const char *model;                   /* in place of those that documents name; NULL */
    struct store *store;                 /* borrowed, like the rest */
    struct block_pool *pool;
    struct cache *cache;
    int64_t start_wait_ns;           /* for the stores of models, all of them together */
    int64_t revalidate_ns;           /* how often opened objects are checked for a new version */
    const struct listener *listener; /* hears of layers that do not open or change; may be NULL */
};

/* Refused documents are reported through `complain` (may be NULL), one call each. */
TL_MUST_CHECK enum tl_code catalog_open(const struct catalog_options *options,
                                        void (*complain)(void *udata, const char *message),
                                        void *udata, struct catalog **ret_catalog,
                                        struct tl_err *err);
void catalog_close(struct catalog *catalog);
/* One more document, a file or href, as those of the folder are read. */
TL_MUST_CHECK enum tl_code catalog_add_layer(struct catalog *catalog, const char *href,
                                             struct layer **ret_layer, struct tl_err *err);
/* How many documents of the layers folder were refused. */
size_t catalog_refused(const struct catalog *catalog);

size_t catalog_layer_count(const struct catalog *catalog);
struct layer *catalog_layer_at(const struct catalog *catalog, size_t index);
/* TL_ABSENT, naming the known ids. */
TL_MUST_CHECK enum tl_code catalog_layer(const struct catalog *catalog, const char *id,
                                         struct layer **ret_layer, struct tl_err *err);
size_t catalog_style_count(const struct catalog *catalog);
const struct style *catalog_style_at(const struct catalog *catalog, size_t index);
TL_MUST_CHECK enum tl_code catalog_style(const struct catalog *catalog, const char *id,
                                         const struct style **ret_style, struct tl_err *err);

AUTO_DEFINE(catalog, catalog_close)

#endif
