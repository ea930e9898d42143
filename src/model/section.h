/*
 * section: what a model file may hold besides its model: the compiled form of it, as a tensor
 * `compiled` that is the file's last. What is in it is forest/flat_file.h's; here is how it gets
 * in and out. A reader that does not know it passes over it.
 *
 * Threads  any
 * Memory   a section is borrowed from the bytes of its file
 */
#ifndef TILTH_MODEL_SECTION_H
#define TILTH_MODEL_SECTION_H

#include "base/hash.h"
#include "model/model.h"

struct blob;
struct buf;

/* Of the section in memory, so that what is in it can be used where it lies. */
enum { SECTION_ALIGN = 64 };

struct model_section {
    const uint8_t *bytes;
    size_t size;
    struct hash128 header;  /* of the file's bytes before its tensors, */
    struct hash128 tensors; /* and of those of its tensors, which are all before the section */
};

/*
 * The model of a file with a section, but for the nodes of its trees and what goes with them:
 * those are for the section to give. Numbers that lie in the file as they do in memory stay
 * there, so the file must outlive the model, and the checksum of the manifest is not looked at:
 * section.tensors is for that. TL_ABSENT where there is no section, or not at a multiple of
 * SECTION_ALIGN.
 */
TL_MUST_CHECK enum tl_code model_read_section(const char *name, const struct blob *file,
                                              struct arena *arena, struct model *ret_model,
                                              struct model_section *ret_section,
                                              struct tl_err *err);

/* Of a tilth model file, with a section or without: what section.tensors will be. */
TL_MUST_CHECK enum tl_code model_hash_tensors(const char *name, const struct blob *file,
                                              struct hash128 *ret_hash, struct tl_err *err);

/* Appends the same file with this section in place of any other; the tensors stay byte for byte,
 * and the manifest but for its checksum. */
TL_MUST_CHECK enum tl_code model_write_section(const char *name, const struct blob *file,
                                               const struct buf *section, struct buf *ret_file,
                                               struct tl_err *err);

#endif
