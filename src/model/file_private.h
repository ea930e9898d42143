/*
 * file_private: what the files behind model_read_file() share.
 *
 *   file.c           the container: header, tensors, checksum; the golden rows
 *   file_manifest.c  what the manifest says of the model as a whole
 *   file_trees.c     the tensors of one ensemble
 *   file_parts.c     from format 2 on: parts, and how they are put together
 *   file_write.c     all of it the other way round
 */
#ifndef TILTH_MODEL_FILE_PRIVATE_H
#define TILTH_MODEL_FILE_PRIVATE_H

#include "base/err.h"
#include "base/json.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILE_MAX_TENSORS = 1024, FILE_MAX_NAME_BYTES = 256, FILE_LAST_FORMAT = 3 };

/* How a byte of `missing` is written: the rule's place in file_missing, and the default side. */
enum { FILE_DEFAULT_LEFT = 0x80, FILE_MISSING_COUNT = 6 };

extern const uint8_t file_missing[FILE_MISSING_COUNT]; /* enum model_missing */

/* The words of a part, NULL at the end: of each enum in the order of its values. */
extern const char *const file_kinds[], *const file_outputs[], *const file_arithmetics[],
                                                                  *const file_activations[],
                                                                      *const file_scalings[];

struct file_tensor {
    const char *key, *dtype;
    uint32_t rank;
    uint64_t shape[2];
    uint64_t begin, end; /* from the first byte after the header */
};

struct file_reader {
    const char *name;
    const uint8_t *data; /* the tensors */
    size_t data_size;
    struct arena *arena;
    struct model *model;
    struct tl_err *err;
    json_t *document, *manifest; /* owned; the manifest is a text in the document */
    /* section.h: numbers stay in the file, and nodes, which go without. */
    bool in_place;
    int64_t format;
    bool has_crc;
    uint32_t crc;   /* of `data`, as the manifest has it */
    char prefix[8]; /* of the tensors of the part at hand: "p3.", or "" */
    size_t tensor_count;
    struct file_tensor tensors[FILE_MAX_TENSORS];
};

/* NULL without memory. */
struct file_reader *file_reader_new(const char *name, struct arena *arena, struct model *model,
                                    struct tl_err *err);
/* Reads the header: manifest and tensors. To be closed in any case. */
TL_MUST_CHECK enum tl_code file_open(struct file_reader *reader, const uint8_t *bytes, size_t size);
void file_close(struct file_reader *reader);
/* What is behind the header. */
TL_MUST_CHECK enum tl_code file_read_model(struct file_reader *reader);

/* Bytes of one number of a tensor; 0 for a dtype that no tensor has. */
size_t file_dtype_bytes(const char *dtype);

/* Inline, so that analysers see which code comes out. */
static inline enum tl_code file_corrupt(const struct file_reader *reader, const char *key,
                                        const char *what)
{
    return tl_fail(reader->err, TL_CORRUPT, "%s: tensor %s%s: %s; export the model again",
                   reader->name, reader->prefix, key, what);
}

static inline enum tl_code file_no_memory(const struct file_reader *reader)
{
    return tl_fail(reader->err, TL_NOMEM, "%s: no memory for the model", reader->name);
}

/* The tensor `key` of the part at hand, still in the file; NULL when it is not there. */
const struct file_tensor *file_find(const struct file_reader *reader, const char *key);
/* The same, of this dtype and shape; `columns` 0 means one dimension. */
TL_MUST_CHECK enum tl_code file_take(struct file_reader *reader, const char *key, const char *dtype,
                                     uint64_t columns, const struct file_tensor **ret_tensor);
/* Its numbers, in the arena or where they lie; NULL when memory is out. */
const void *file_numbers(const struct file_reader *reader, const struct file_tensor *tensor);

/* Names that are all different, into the model's info; classes in the order of probabilities. */
TL_MUST_CHECK enum tl_code file_read_features(struct file_reader *reader, struct json_at at);
TL_MUST_CHECK enum tl_code file_read_classes(struct file_reader *reader, struct json_at at);

/* Keeps the document for file_read_parts(). */
TL_MUST_CHECK enum tl_code file_read_manifest(struct file_reader *reader, const char *text);

/* The ensemble of the part at hand; output, score_count, features and classes of `model` say
 * what it must be. */
TL_MUST_CHECK enum tl_code file_read_trees(struct file_reader *reader, struct model *model);
TL_MUST_CHECK enum tl_code file_read_parts(struct file_reader *reader);

#endif
