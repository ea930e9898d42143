/*
 * Bits are written from the low end of each byte. A block is
 *
 *   u8 version | u8 palette size - 1 | palette | label bits | percent bits | 0..7 zero bits
 *
 * Labels: every pixel is guessed from its neighbours - along an edge that runs down the
 * image (left == upper left) the guess is the label above, otherwise the one to the left.
 * gamma(1 + how many guesses in a row are right), then the palette index of the pixel that
 * was not, until the last pixel. A palette of one needs no bits.
 *
 * Confidences, of classified pixels only: per row 4 bits of k, then the difference to the
 * confidence before it, zigzag, as a Rice code with k low bits. k = 15: no difference in the
 * whole row. Where a layer keeps more bands the version is 2, the number of bands follows it,
 * and they follow the confidences, one after the other and in the same way.
 */
#include "classify/class_codec.h"

#include "base/buf.h"
#include "classify/class_block.h"
#include "classify/prediction_band.h"

#include <stdbool.h>
#include <string.h>

enum {
    VERSION_PLAIN = 1,
    VERSION_BANDS = 2,
    MAX_RICE = 7,
    ROW_UNCHANGED = 15,
    MAX_GAMMA_BITS = 19
};

struct bit_writer {
    struct buf *out;
    uint64_t bits;
    unsigned fill;
};

static void put_bits(struct bit_writer *w, uint64_t value, unsigned count)
{
    w->bits |= value << w->fill;
    w->fill += count;
    while (w->fill >= 32) {
        uint8_t *to = buf_extend(w->out, 4);
        for (int i = 0; to && i < 4; i++)
            to[i] = (uint8_t)(w->bits >> (8 * i));
        w->bits >>= 32;
        w->fill -= 32;
    }
}

static void put_end(struct bit_writer *w)
{
    for (; w->fill; w->fill -= TL_MIN(w->fill, 8u), w->bits >>= 8) {
        uint8_t byte = (uint8_t)w->bits;
        buf_append(w->out, &byte, 1);
    }
}

/* `count` zeros and a one. */
static void put_unary(struct bit_writer *w, unsigned count)
{
    for (; count >= 24; count -= 24)
        put_bits(w, 0, 24);
    put_bits(w, UINT64_C(1) << count, count + 1);
}

/* Elias gamma: the length of the number in unary, then its bits below the top one. */
static void put_gamma(struct bit_writer *w, uint32_t value)
{
    unsigned low = 31u - (unsigned)__builtin_clz(value);

    put_unary(w, low);
    put_bits(w, value & ((1u << low) - 1), low);
}

struct bit_reader {
    const uint8_t *bytes;
    size_t size, at; /* `at` may run past `size`: zeros are read there, reader_done() sees it */
    uint64_t bits;
    unsigned fill;
};

/* At least 56 bits are there afterwards. */
static inline void refill(struct bit_reader *r)
{
    while (r->fill <= 56) {
        uint64_t byte = r->at < r->size ? r->bytes[r->at] : 0;
        r->bits |= byte << r->fill;
        r->at++;
        r->fill += 8;
    }
}

static inline uint32_t get_bits(struct bit_reader *r, unsigned count)
{
    refill(r);
    uint32_t value = (uint32_t)(r->bits & ((UINT64_C(1) << count) - 1));
    r->bits >>= count;
    r->fill -= count;
    return value;
}

/* How many zeros come before the next one; false when more than `limit`. */
static inline bool get_unary(struct bit_reader *r, unsigned limit, unsigned *ret_count)
{
    unsigned count = 0;

    refill(r);
    while (!r->bits) {
        count += r->fill;
        r->fill = 0;
        if (count > limit)
            return false;
        refill(r);
    }
    unsigned zeros = (unsigned)__builtin_ctzll(r->bits);
    r->bits >>= zeros;
    r->bits >>= 1;
    r->fill -= zeros + 1;
    *ret_count = count + zeros;
    return *ret_count <= limit;
}

static bool get_gamma(struct bit_reader *r, uint32_t *ret_value)
{
    unsigned low;

    if (!get_unary(r, MAX_GAMMA_BITS, &low))
        return false;
    *ret_value = (1u << low) | get_bits(r, low);
    return true;
}

/* All bytes were used, none past the end, and the bits left over are zero. */
static bool reader_done(const struct bit_reader *r)
{
    size_t unread_bits = r->fill;
    size_t used_bits = r->at * 8 - unread_bits;

    return used_bits <= r->size * 8 && r->size * 8 - used_bits < 8 &&
           !(r->bits & ((UINT64_C(1) << (r->size * 8 - used_bits)) - 1));
}

static inline uint8_t guess(const uint8_t *label, uint32_t i, uint8_t first)
{
    uint32_t x = i % CLASS_BLOCK;

    if (i < CLASS_BLOCK)
        return x ? label[i - 1] : first;
    if (!x)
        return label[i - CLASS_BLOCK];
    return label[i - 1] == label[i - CLASS_BLOCK - 1] ? label[i - CLASS_BLOCK] : label[i - 1];
}

struct palette {
    unsigned count, bits; /* of an index */
    uint8_t values[256];
    uint8_t index[256];
};

static void palette_index(struct palette *palette)
{
    palette->bits = palette->count > 1 ? 32u - (unsigned)__builtin_clz(palette->count - 1) : 0;
    for (unsigned i = 0; i < palette->count; i++)
        palette->index[palette->values[i]] = (uint8_t)i;
}

static void palette_of(const uint8_t *label, struct palette *palette)
{
    bool seen[256] = {false};

    for (size_t i = 0; i < CLASS_PIXELS; i++)
        seen[label[i]] = true;
    palette->count = 0;
    for (unsigned value = 0; value < 256; value++)
        if (seen[value])
            palette->values[palette->count++] = (uint8_t)value;
    palette_index(palette);
}

static void put_labels(struct bit_writer *w, const uint8_t *label, const struct palette *palette)
{
    uint32_t right = 0;

    for (uint32_t i = 0; i < CLASS_PIXELS; i++) {
        if (label[i] == guess(label, i, palette->values[0])) {
            right++;
            continue;
        }
        put_gamma(w, right + 1);
        put_bits(w, palette->index[label[i]], palette->bits);
        right = 0;
    }
    if (right)
        put_gamma(w, right + 1);
}

static bool get_labels(struct bit_reader *r, const struct palette *palette, uint8_t *label)
{
    for (uint32_t i = 0; i < CLASS_PIXELS; i++) {
        uint32_t run;

        if (!get_gamma(r, &run) || run - 1 > CLASS_PIXELS - i)
            return false;
        for (uint32_t end = i + run - 1; i < end; i++)
            label[i] = guess(label, i, palette->values[0]);
        if (i == CLASS_PIXELS)
            break;
        uint32_t index = get_bits(r, palette->bits);
        if (index >= palette->count)
            return false;
        label[i] = palette->values[index];
    }
    return true;
}

static inline bool classified(uint8_t label)
{
    return label != CLASS_NODATA && label != CLASS_MASKED;
}

/* -1, 1, -2, 2 ... as 1, 2, 3, 4 ...; differences are modulo 256. */
static inline unsigned zigzag(uint8_t value, uint8_t before)
{
    int difference = ((value - before + 128) & 255) - 128;

    return difference < 0 ? (unsigned)(-2 * difference - 1) : (unsigned)(2 * difference);
}

static inline uint8_t unzigzag(unsigned code, uint8_t before)
{
    unsigned half = (code + 1) / 2;

    return (uint8_t)(code & 1 ? before - half : before + half);
}

/* The k that makes the row shortest: about log2 of the mean, found by trying all. */
static unsigned best_rice(const uint8_t *codes, unsigned count)
{
    unsigned best = ROW_UNCHANGED, best_bits = UINT32_MAX, sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += codes[i];
    if (!sum)
        return ROW_UNCHANGED;
    for (unsigned k = 0; k <= MAX_RICE; k++) {
        unsigned bits = count * (k + 1);
        for (unsigned i = 0; i < count; i++)
            bits += (unsigned)codes[i] >> k;
        if (bits < best_bits) {
            best_bits = bits;
            best = k;
        }
    }
    return best;
}

static void put_percents(struct bit_writer *w, const uint8_t *label, const uint8_t *percent)
{
    uint8_t before = 0, codes[CLASS_BLOCK];

    for (size_t row = 0; row < CLASS_PIXELS; row += CLASS_BLOCK) {
        unsigned count = 0;

        for (size_t i = row; i < row + CLASS_BLOCK; i++) {
            if (!classified(label[i]))
                continue;
            codes[count++] = (uint8_t)zigzag(percent[i], before);
            before = percent[i];
        }
        unsigned k = best_rice(codes, count);
        put_bits(w, k, 4);
        for (unsigned i = 0; k != ROW_UNCHANGED && i < count; i++) {
            put_unary(w, (unsigned)codes[i] >> k);
            put_bits(w, codes[i] & ((1u << k) - 1), k);
        }
    }
}

/* Of pixels that are not classified nothing is said: they stay as they are. */
static bool get_percents(struct bit_reader *r, const uint8_t *label, uint8_t *percent)
{
    uint8_t before = 0;

    for (size_t row = 0; row < CLASS_PIXELS; row += CLASS_BLOCK) {
        unsigned k = get_bits(r, 4);

        if (k > MAX_RICE && k != ROW_UNCHANGED)
            return false;
        for (size_t i = row; i < row + CLASS_BLOCK; i++) {
            unsigned high;

            if (!classified(label[i]))
                continue;
            if (k != ROW_UNCHANGED) {
                if (!get_unary(r, 255u >> k, &high))
                    return false;
                before = unzigzag(high << k | get_bits(r, k), before);
            }
            percent[i] = before;
        }
    }
    return true;
}

enum { MAX_HEAD = 3 };

/* What a block begins with: how many bands it has. */
static size_t head_of(const struct class_map *map, uint8_t head[MAX_HEAD])
{
    head[0] = map->bands == CLASS_BANDS ? VERSION_PLAIN : VERSION_BANDS;
    head[1] = (uint8_t)map->bands;
    head[2] = (uint8_t)(map->bands >> 8);
    return head[0] == VERSION_PLAIN ? 1 : MAX_HEAD;
}

static bool get_percent_bands(struct bit_reader *r, struct class_map *map)
{
    for (uint16_t b = 1; b < map->bands; b++) {
        uint8_t *percent = map->samples + b * CLASS_PIXELS;

        memset(percent, b < CLASS_BANDS ? 0 : CLASS_UNSAID, CLASS_PIXELS);
        if (!get_percents(r, map->label, percent))
            return false;
    }
    return true;
}

void class_codec_encode(const struct class_map *map, struct buf *out)
{
    struct bit_writer w = {.out = out};
    struct palette palette = {0};

    palette_of(map->label, &palette);
    uint8_t head[MAX_HEAD];
    buf_append(out, head, head_of(map, head));
    uint8_t last = (uint8_t)(palette.count - 1);
    buf_append(out, &last, 1);
    buf_append(out, palette.values, palette.count);
    if (palette.count > 1)
        put_labels(&w, map->label, &palette);
    for (uint16_t b = 1; b < map->bands; b++)
        put_percents(&w, map->label, map->samples + b * CLASS_PIXELS);
    put_end(&w);
}

enum tl_code class_codec_decode(const uint8_t *bytes, size_t size, struct class_map *map,
                                struct tl_err *err)
{
    struct palette palette = {0};

    uint8_t expected[MAX_HEAD];
    size_t head = head_of(map, expected);

    if (size <= head || memcmp(bytes, expected, head) != 0 || size < head + 2u + bytes[head])
        return tl_fail(err, TL_CORRUPT, "a stored class block of %zu bytes has no valid head",
                       size);
    palette.count = bytes[head] + 1u;
    memcpy(palette.values, bytes + head + 1, palette.count);
    palette_index(&palette);

    size_t start = head + 1 + palette.count;
    struct bit_reader r = {.bytes = bytes + start, .size = size - start};
    if (palette.count == 1)
        memset(map->label, palette.values[0], CLASS_PIXELS);
    else if (!get_labels(&r, &palette, map->label))
        return tl_fail(err, TL_CORRUPT, "the labels of a stored class block are damaged");
    if (!get_percent_bands(&r, map) || !reader_done(&r))
        return tl_fail(err, TL_CORRUPT, "the percents of a stored class block are damaged");
    return TL_OK;
}
