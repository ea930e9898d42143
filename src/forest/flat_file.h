/*
 * flat_file: flat forms as bytes, and as they lie in a file: the compiled section of a model file
 * (docs/model-file.md). Arrays are at offsets that are multiples of 64, little-endian, and in
 * memory they are the same. A section is of one version of this; any other is for another tilth.
 *
 * Threads  any
 * Memory   a flat form that was opened points into the section
 */
#ifndef TILTH_FOREST_FLAT_FILE_H
#define TILTH_FOREST_FLAT_FILE_H

#include "base/attr.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;
struct flat;
struct model;
struct model_section;

/* To be raised with whatever changes in the flat form or in what it means. */
enum { FLAT_FILE_VERSION = 1, FLAT_FILE_MAKER_BYTES = 24 };

/* What a section begins with. */
struct flat_file_head {
    char magic[8];
    uint32_t byte_order, version;
    char maker[FLAT_FILE_MAKER_BYTES]; /* the tilth that made it: "0.3.0" */
    uint32_t part_count, reserved;
    struct hash128 tensors; /* model_section.tensors of the file it was made of */
    struct hash128 body;    /* of what is before this, and of all behind the head */
};

/* Any version's head; NULL: it is no section. */
const struct flat_file_head *flat_file_head(const struct model_section *section);

/* Why a section is of no use here, NULL: it is undamaged, of this version and of this model. Reads
 * all of it once. */
const char *flat_file_refusal(const struct model_section *section);

/*
 * The flat form of part `part` of a section that nothing speaks against. Nothing of it is
 * believed: what it says of itself must be what `model` asks for, and every number that is an
 * index is in range, so that a run stays inside whatever it says; false, too, without
 * memory. O(nodes). The model has everything but its nodes; it is borrowed.
 */
bool flat_file_open(const struct model_section *section, uint32_t part, const struct model *model,
                    struct arena *arena, struct flat *ret_flat) TL_MUST_CHECK;

/* Puts into a section's head what its bytes are; `size` is at least the head's. */
void flat_file_seal(uint8_t *section, size_t size);

/* Appends a section of `count` parts, NULL where a part has no trees; buf_failed() says whether it
 * went well. `tensors` as in the head. */
void flat_file_write(const struct flat *const *parts, uint32_t count, struct hash128 tensors,
                     struct buf *ret_section);

#endif
