/*
 * onnx_wire: protobuf, as far as an ONNX file needs it. A message is a run of bytes that is read
 * where it lies; a field that does not fit into its message ends it.
 *
 * Threads  any
 * Memory   messages are borrowed; lists are appended to a buf, as doubles
 */
#ifndef TILTH_MODEL_ONNX_WIRE_H
#define TILTH_MODEL_ONNX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum wire { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_BYTES = 2, WIRE_FOUR = 5 };

/* TensorProto.DataType, those that are read. */
enum wire_type {
    TYPE_FLOAT = 1,
    TYPE_UINT8 = 2,
    TYPE_INT32 = 6,
    TYPE_INT64 = 7,
    TYPE_STRING = 8,
    TYPE_DOUBLE = 11
};

/* A message, or a part of one. */
struct wire_bytes {
    const uint8_t *at;
    size_t size;
};

struct wire_field {
    uint32_t number;
    enum wire wire;
    uint64_t value;          /* VARINT */
    struct wire_bytes bytes; /* the others */
};

bool wire_varint(struct wire_bytes *rest, uint64_t *ret_value);
/* The next field of a message. False at its end, and when it is damaged: then rest->at is NULL. */
bool wire_next(struct wire_bytes *rest, struct wire_field *ret_field);
/* Whether all of a message can be read. */
bool wire_is_whole(struct wire_bytes message);

/* The last field of that number, of bytes or a varint. */
struct wire_bytes wire_bytes(struct wire_bytes message, uint32_t number);
uint64_t wire_number(struct wire_bytes message, uint32_t number, uint64_t fallback);

bool wire_equals(struct wire_bytes text, const char *word);
bool wire_same(struct wire_bytes a, struct wire_bytes b); /* and not empty */
/* For "%.*s" in messages. */
int wire_shown(struct wire_bytes text);
const char *wire_text(struct wire_bytes text);

/* All numbers of a repeated field, packed or not; false when they are damaged. */
bool wire_ints(struct wire_bytes message, uint32_t number, struct buf *to);
bool wire_reals(struct wire_bytes message, uint32_t number, enum wire_type type, struct buf *to);
/* All numbers of a TensorProto, in either of the two ways they may lie in it. */
bool wire_tensor(struct wire_bytes tensor, enum wire_type *ret_type, struct buf *to);
/* How many numbers a list has, and one of them. */
size_t wire_count(const struct buf *numbers);
double wire_real(const struct buf *numbers, size_t i);

#endif
