/*
 * check_document: what `serve` would say of a layer's document, said by the code that serves it.
 *
 * Threads  main thread only
 * Memory   the layer is the app's
 */
#ifndef TILTH_CLI_CHECK_DOCUMENT_H
#define TILTH_CLI_CHECK_DOCUMENT_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>

struct app;

/*
 * Reads a document, its styles and its model, and opens its sources, of every season; those that a
 * store has only with `remote`. What there is is printed, the failures of all seasons but
 * the last one that fails go to standard error. The app has no catalog before.
 */
TL_MUST_CHECK enum tl_code check_document(struct app *app, const char *href, bool remote,
                                          struct tl_err *err);
/* The same with `model` in place of the one that the document names, and no source is opened.
 * TL_INVALID where that is another file with other bytes: it would not be served with this one. */
TL_MUST_CHECK enum tl_code check_document_model(struct app *app, const char *href,
                                                const char *model, struct tl_err *err);

#endif
