#include "model/onnx_wire.h"

#include "base/attr.h"
#include "base/buf.h"

#include <string.h>

bool wire_varint(struct wire_bytes *rest, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && rest->size; shift += 7) {
        uint8_t byte = *rest->at;

        rest->at++;
        rest->size--;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct wire_bytes *rest, size_t size, struct wire_bytes *ret_bytes)
{
    if (size > rest->size)
        return false;
    *ret_bytes = (struct wire_bytes){rest->at, size};
    rest->at += size;
    rest->size -= size;
    return true;
}

bool wire_next(struct wire_bytes *rest, struct wire_field *ret_field)
{
    struct wire_field field = {0};
    uint64_t key = 0, size;

    if (rest->size == 0)
        return false;
    bool good = wire_varint(rest, &key) && key >> 3 != 0 && key >> 3 <= UINT32_MAX;
    field.number = (uint32_t)(key >> 3);
    field.wire = (enum wire)(key & 7);
    if (good && field.wire == WIRE_VARINT)
        good = wire_varint(rest, &field.value);
    else if (good && field.wire == WIRE_BYTES)
        good = wire_varint(rest, &size) && size <= rest->size &&
               take_bytes(rest, (size_t)size, &field.bytes);
    else if (good && field.wire == WIRE_EIGHT)
        good = take_bytes(rest, 8, &field.bytes);
    else
        good = good && field.wire == WIRE_FOUR && take_bytes(rest, 4, &field.bytes);
    if (!good) {
        *rest = (struct wire_bytes){NULL, 0};
        return false;
    }
    *ret_field = field;
    return true;
}

bool wire_is_whole(struct wire_bytes message)
{
    struct wire_field field;

    while (wire_next(&message, &field))
        ;
    return message.at != NULL;
}

struct wire_bytes wire_bytes(struct wire_bytes message, uint32_t number)
{
    struct wire_bytes found = {NULL, 0};
    struct wire_field field;

    while (wire_next(&message, &field))
        if (field.number == number && field.wire == WIRE_BYTES)
            found = field.bytes;
    return found;
}

uint64_t wire_number(struct wire_bytes message, uint32_t number, uint64_t fallback)
{
    struct wire_field field;

    while (wire_next(&message, &field))
        if (field.number == number && field.wire == WIRE_VARINT)
            fallback = field.value;
    return fallback;
}

bool wire_equals(struct wire_bytes text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

bool wire_same(struct wire_bytes a, struct wire_bytes b)
{
    return a.size == b.size && a.size && memcmp(a.at, b.at, a.size) == 0;
}

int wire_shown(struct wire_bytes text)
{
    return (int)TL_MIN(text.size, (size_t)64);
}

const char *wire_text(struct wire_bytes text)
{
    return text.at ? (const char *)text.at : "";
}

/* ---- lists and tensors, as doubles ---- */

static void put(struct buf *to, double value)
{
    buf_append(to, &value, sizeof(value));
}

/* Bits of a number of `size` bytes, little-endian as the file is. */
static bool put_raw(struct wire_bytes bytes, enum wire_type type, struct buf *to)
{
    static const size_t sizes[] = {
        [TYPE_FLOAT] = 4, [TYPE_UINT8] = 1, [TYPE_INT32] = 4, [TYPE_INT64] = 8, [TYPE_DOUBLE] = 8};
    size_t size = sizes[type];

    if (bytes.size % size != 0)
        return false;
    for (size_t at = 0; at < bytes.size; at += size) {
        double number;
        float real;
        int32_t narrow;
        int64_t whole;

        if (type == TYPE_DOUBLE) {
            memcpy(&number, bytes.at + at, size);
        } else if (type == TYPE_FLOAT) {
            memcpy(&real, bytes.at + at, size);
            number = (double)real;
        } else if (type == TYPE_INT32) {
            memcpy(&narrow, bytes.at + at, size);
            number = narrow;
        } else if (type == TYPE_INT64) {
            memcpy(&whole, bytes.at + at, size);
            number = (double)whole;
        } else {
            number = bytes.at[at];
        }
        put(to, number);
    }
    return true;
}

bool wire_ints(struct wire_bytes message, uint32_t number, struct buf *to)
{
    struct wire_field field;
    uint64_t value;

    while (wire_next(&message, &field)) {
        if (field.number != number)
            continue;
        if (field.wire == WIRE_VARINT)
            put(to, (double)(int64_t)field.value);
        while (field.wire == WIRE_BYTES && field.bytes.size) {
            if (!wire_varint(&field.bytes, &value))
                return false;
            put(to, (double)(int64_t)value);
        }
    }
    return message.at != NULL;
}

bool wire_reals(struct wire_bytes message, uint32_t number, enum wire_type type, struct buf *to)
{
    struct wire_field field;

    while (wire_next(&message, &field))
        if (field.number == number && field.wire != WIRE_VARINT && !put_raw(field.bytes, type, to))
            return false;
    return message.at != NULL;
}

bool wire_tensor(struct wire_bytes tensor, enum wire_type *ret_type, struct buf *to)
{
    enum { TYPE = 2, FLOATS = 4, INT32S = 5, INT64S = 7, RAW = 9, DOUBLES = 10 };
    struct wire_bytes raw = wire_bytes(tensor, RAW);
    uint64_t type = wire_number(tensor, TYPE, 0);

    if (type != TYPE_FLOAT && type != TYPE_DOUBLE && type != TYPE_UINT8 && type != TYPE_INT32 &&
        type != TYPE_INT64)
        return false;
    *ret_type = (enum wire_type)type;
    if (raw.size)
        return put_raw(raw, *ret_type, to);
    if (*ret_type == TYPE_FLOAT)
        return wire_reals(tensor, FLOATS, TYPE_FLOAT, to);
    if (*ret_type == TYPE_DOUBLE)
        return wire_reals(tensor, DOUBLES, TYPE_DOUBLE, to);
    return wire_ints(tensor, *ret_type == TYPE_INT64 ? INT64S : INT32S, to);
}

size_t wire_count(const struct buf *numbers)
{
    return numbers->size / sizeof(double);
}

double wire_real(const struct buf *numbers, size_t i)
{
    double value;

    memcpy(&value, numbers->bytes + i * sizeof(value), sizeof(value));
    return value;
}
