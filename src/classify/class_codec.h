/*
 * class_codec: a class block as bytes in the cache, exactly. Labels are runs of a right
 * guess from the neighbours, percents Rice-coded differences; docs/class-blocks.md has
 * the format.
 *
 * Threads  any
 * Memory   a buf out, the caller's class_map in
 */
#ifndef TILTH_CLASSIFY_CLASS_CODEC_H
#define TILTH_CLASSIFY_CLASS_CODEC_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct class_map;

/* Appends; a buf that ran out of memory says so itself. */
void class_codec_encode(const struct class_map *map, struct buf *out);
/* TL_CORRUPT for anything that class_codec_encode() does not write of a map with `map`'s bands;
 * what `map` holds is undefined then. */
TL_MUST_CHECK enum tl_code class_codec_decode(const uint8_t *bytes, size_t size,
                                              struct class_map *map, struct tl_err *err);

#endif
