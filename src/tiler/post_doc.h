/*
 * post_doc: the "post" list of a layer document (docs/layers.md, "Post-processing").
 *
 * Threads  any
 * Memory   plain values
 */
#ifndef TILTH_TILER_POST_DOC_H
#define TILTH_TILER_POST_DOC_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/post.h"

struct json_at;

/* Absent: no step. Refusals name the place in the document. */
TL_MUST_CHECK enum tl_code post_doc_read(struct json_at at, struct post *ret_post,
                                         struct tl_err *err);

#endif
