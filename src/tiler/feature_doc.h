/*
 * feature_doc: a feature as documents write it: an expression, or {"expr", "fill"}.
 */
#ifndef TILTH_TILER_FEATURE_DOC_H
#define TILTH_TILER_FEATURE_DOC_H

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"

struct feature_fill;

/* The text is the document's. "fill" is a number or "nan"; without it nothing is filled. */
TL_MUST_CHECK enum tl_code feature_doc_read(struct json_at at, const char **ret_text,
                                            struct feature_fill *ret_fill, struct tl_err *err);

#endif
