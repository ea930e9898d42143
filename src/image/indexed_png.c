/*
 *   offset  0   8      33            45+3n         57+4n
 *           |sig| IHDR | PLTE, n * 3 | tRNS, n * 1 | IDAT | IEND |
 *
 * Everything in front of IDAT has a place that depends on n alone, so a restyle writes over
 * it and two CRCs.
 */
#include "image/indexed_png.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "image/pack.h"
#include "image/run_above.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <string.h>

enum {
    SIDE_MAX = 16383, /* a row and its filter byte stay within DEFLATE's reach */
    CHUNK_EXTRA = 12, /* length, type, CRC */
    ZLIB_EXTRA = 6,   /* header, Adler-32 */
    AT_IHDR = 8,
    IHDR_BYTES = 13,
    AT_PLTE = AT_IHDR + CHUNK_EXTRA + IHDR_BYTES,
    COLOUR_INDEXED = 3,
};

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/* ---- chunks ---- */

static uint8_t *put32(uint8_t *p, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(value >> shift);
    return p;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A chunk is opened, its payload written behind it, then closed: length and CRC. */
static uint8_t *open_chunk(uint8_t *chunk, const char *type)
{
    memcpy(chunk + 4, type, 4);
    return chunk + 8;
}

static uint8_t *close_chunk(uint8_t *chunk, uint8_t *end)
{
    put32(chunk, (uint32_t)(end - chunk - 8));
    return put32(end, libdeflate_crc32(0, chunk + 4, (size_t)(end - chunk - 4)));
}

/* PLTE and tRNS, all entries of both: a restyle needs the same room. */
static uint8_t *put_palette(uint8_t *chunk, const struct palette *palette)
{
    uint8_t *p = open_chunk(chunk, "PLTE");

    for (unsigned i = 0; i < palette->count; i++, p += 3)
        memcpy(p, palette->rgba[i], 3);
    chunk = close_chunk(chunk, p);
    p = open_chunk(chunk, "tRNS");
    for (unsigned i = 0; i < palette->count; i++)
        *p++ = palette->rgba[i][3];
    return close_chunk(chunk, p);
}

static unsigned depth_of(unsigned count)
{
    return count <= 2 ? 1 : count <= 4 ? 2 : count <= 16 ? 4 : 8;
}

static size_t before_idat(unsigned count)
{
    return AT_PLTE + 2 * CHUNK_EXTRA + 4 * (size_t)count;
}

static uint8_t *put_head(uint8_t *p, uint32_t width, uint32_t height, const struct palette *palette)
{
    memcpy(p, signature, sizeof(signature));
    uint8_t *chunk = p + sizeof(signature);

    p = put32(put32(open_chunk(chunk, "IHDR"), width), height);
    *p++ = (uint8_t)depth_of(palette->count);
    *p++ = COLOUR_INDEXED;
    memset(p, 0, 3); /* deflate, adaptive filtering, no interlace */
    return put_palette(close_chunk(chunk, p + 3), palette);
}

/* ---- encode ---- */

/* The picture as DEFLATE gets it: rows of a filter byte (0, none) and packed pixels. */
struct raw {
    uint32_t width, height;
    unsigned depth;
    size_t stride, size;
};

struct token_list {
    uint16_t *tokens;
    size_t count;
};

static struct raw raw_of(uint32_t width, uint32_t height, unsigned count)
{
    struct raw raw = {.width = width, .height = height, .depth = depth_of(count)};

    raw.stride = 1 + ((size_t)width * raw.depth + 7) / 8;
    raw.size = raw.stride * height;
    return raw;
}

static enum tl_code check_shape(uint32_t width, uint32_t height, const struct palette *palette,
                                struct tl_err *err)
{
    if (width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX)
        return tl_fail(err, TL_LIMIT, "PNG of %ux%u pixels: each side must be 1 to %d", width,
                       height, SIDE_MAX);
    if (palette->count == 0 || palette->count > 256)
        return tl_fail(err, TL_INVALID, "palette of %u entries: 1 to 256 are possible",
                       palette->count);
    return TL_OK;
}

/* Tokens to a whole file; `adler` is the checksum of the bytes the tokens stand for. */
static enum tl_code write_file(const struct raw *raw, const struct palette *palette,
                               const struct token_list *list, uint32_t adler, struct blob **ret_png,
                               struct tl_err *err)
{
    struct run_above_code code;
    size_t deflated = run_above_code_make(list->tokens, list->count, raw->stride, &code);
    size_t at_idat = before_idat(palette->count);
    size_t size = at_idat + CHUNK_EXTRA + ZLIB_EXTRA + deflated + CHUNK_EXTRA;

    if (deflated > (size_t)INT32_MAX - ZLIB_EXTRA)
        return tl_fail(err, TL_LIMIT, "PNG of %ux%u pixels: its %zu bytes do not fit one chunk",
                       raw->width, raw->height, deflated);
    AUTO(blob) png = blob_new(size);
    if (!png)
        return tl_fail(err, TL_NOMEM, "no memory for a PNG of %zu bytes", size);
    uint8_t *chunk = put_head(blob_writable(png), raw->width, raw->height, palette);
    uint8_t *p = open_chunk(chunk, "IDAT");

    *p++ = 0x78; /* deflate with a window of 32 KiB; no dictionary, fastest; RFC 1950 */
    *p++ = 0x01;
    /* Its stores run at most RUN_ABOVE_SLACK bytes ahead: into what is written next. */
    run_above_write(&code, list->tokens, list->count, p);
    chunk = close_chunk(chunk, put32(p + deflated, adler));
    chunk = close_chunk(chunk, open_chunk(chunk, "IEND"));
    TL_CHECK(chunk == blob_writable(png) + size);
    *ret_png = TL_TAKE(png);
    return TL_OK;
}

static void put_rows(const struct raw *raw, const uint8_t *indices, uint8_t *ret_bytes)
{
    for (uint32_t y = 0; y < raw->height; y++) {
        uint8_t *row = ret_bytes + y * raw->stride;

        *row = 0;
        pack_row(indices + (size_t)y * raw->width, raw->width, raw->depth, row + 1);
    }
    memset(ret_bytes + raw->size, 0, RUN_ABOVE_PAD);
}

enum tl_code indexed_png_encode(const struct index_image *image, const struct palette *palette,
                                struct arena *scratch, struct blob **ret_png, struct tl_err *err)
{
    uint32_t width = image->width, height = image->height;

    TL_TRY(check_shape(width, height, palette, err));
    uint8_t most = pack_max(image->indices, (size_t)width * height);
    if (most >= palette->count)
        return tl_fail(err, TL_INVALID, "class index %u, but the palette has %u entries", most,
                       palette->count);

    struct raw raw = raw_of(width, height, palette->count);
    uint8_t *bytes = arena_alloc(scratch, raw.size + RUN_ABOVE_PAD, 1);
    uint16_t *tokens = arena_alloc(scratch, raw.size, sizeof(*tokens));
    if (!bytes || !tokens)
        return tl_fail(err, TL_NOMEM, "no memory for the %zu bytes of a %ux%u PNG", raw.size, width,
                       height);
    put_rows(&raw, image->indices, bytes);
    struct token_list list = {
        .tokens = tokens,
        .count = run_above_parse(bytes, raw.size, raw.stride, tokens),
    };
    return write_file(&raw, palette, &list, libdeflate_adler32(1, bytes, raw.size), ret_png, err);
}

/* ---- uniform ---- */

/* Matches of one kind over `length` bytes, 3 at least: none may be left shorter than 3. */
static void repeat(struct token_list *list, unsigned kind, size_t length)
{
    while (length > 0) {
        size_t rest = length > MATCH_MAX ? length - MATCH_MAX : 0;
        size_t match = rest == 0 ? length : rest < MATCH_MIN ? length - MATCH_MIN : MATCH_MAX;

        list->tokens[list->count++] = (uint16_t)(kind + match);
        length -= match;
    }
}

/*
 * The tokens that run_above_parse() would find: a row is a filter byte and `value` over and
 * over, every further row is the same. Padding bits repeat too, which PNG leaves open.
 */
static void uniform_tokens(const struct raw *raw, uint8_t value, struct token_list *list)
{
    size_t row = raw->stride - 2, rest = raw->size - raw->stride;

    list->tokens[list->count++] = 0;
    if (value == 0 && raw->size > MATCH_MIN) {
        repeat(list, TOKEN_RUN, raw->size - 1);
        return;
    }
    list->tokens[list->count++] = value;
    if (row >= MATCH_MIN)
        repeat(list, TOKEN_RUN, row);
    for (size_t i = 0; row < MATCH_MIN && i < row; i++)
        list->tokens[list->count++] = value;
    if (rest >= MATCH_MIN)
        repeat(list, TOKEN_ABOVE, rest);
    for (size_t i = 0; rest < MATCH_MIN && i < rest; i++)
        list->tokens[list->count++] = i == 0 ? 0 : value;
}

/* Adler-32 of those bytes in closed form: O(rows). RFC 1950: b is the sum of all a. */
static uint32_t uniform_adler(const struct raw *raw, uint8_t value)
{
    enum { PRIME = 65521 };
    uint64_t a = 1, b = 0, n = raw->stride - 1;

    for (uint32_t y = 0; y < raw->height; y++) {
        b = (b + a + n * a + value * (n * (n + 1) / 2)) % PRIME;
        a = (a + n * value) % PRIME;
    }
    return (uint32_t)(b << 16 | a);
}

enum tl_code indexed_png_uniform(uint8_t index, uint32_t width, uint32_t height,
                                 const struct palette *palette, struct blob **ret_png,
                                 struct tl_err *err)
{
    TL_TRY(check_shape(width, height, palette, err));
    if (index >= palette->count)
        return tl_fail(err, TL_INVALID, "class index %u, but the palette has %u entries", index,
                       palette->count);

    struct raw raw = raw_of(width, height, palette->count);
    /* 255 / (2^depth - 1) copies one pixel into every pixel of a byte. */
    uint8_t value = (uint8_t)(index * (255 / ((1U << raw.depth) - 1)));
    size_t tokens_max = 8 + raw.size / (MATCH_MAX - MATCH_MIN);
    AUTO(blob) scratch = blob_new(tokens_max * sizeof(uint16_t));
    if (!scratch)
        return tl_fail(err, TL_NOMEM, "no memory for a uniform PNG of %ux%u pixels", width, height);
    struct token_list list = {.tokens = (uint16_t *)blob_writable(scratch)};

    uniform_tokens(&raw, value, &list);
    TL_CHECK(list.count <= tokens_max);
    return write_file(&raw, palette, &list, uniform_adler(&raw, value), ret_png, err);
}

/* ---- reading our own files ---- */

/* The parts of a file of ours, borrowed from it. */
struct parts {
    struct raw raw;
    unsigned count;
    const uint8_t *idat; /* its payload */
    size_t idat_bytes;
};

static bool is_chunk(const uint8_t *chunk, const char *type, size_t bytes)
{
    return get32(chunk) == bytes && memcmp(chunk + 4, type, 4) == 0;
}

/* True when every chunk is where indexed_png_encode() puts it. Reads nothing past `size`. */
static bool find_parts(const uint8_t *png, size_t size, struct parts *ret_parts)
{
    if (size < before_idat(1) || memcmp(png, signature, sizeof(signature)) != 0 ||
        !is_chunk(png + AT_IHDR, "IHDR", IHDR_BYTES))
        return false;

    const uint8_t *ihdr = png + AT_IHDR + 8;
    uint32_t width = get32(ihdr), height = get32(ihdr + 4), plte = get32(png + AT_PLTE);
    unsigned count = plte / 3;
    if (width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX || plte % 3 != 0 ||
        count == 0 || count > 256)
        return false;

    size_t idat = before_idat(count), around = idat + (size_t)2 * CHUNK_EXTRA;
    if (ihdr[8] != depth_of(count) || ihdr[9] != COLOUR_INDEXED || size < around + ZLIB_EXTRA ||
        !is_chunk(png + AT_PLTE, "PLTE", plte) ||
        !is_chunk(png + idat - CHUNK_EXTRA - count, "tRNS", count) ||
        !is_chunk(png + idat, "IDAT", size - around) ||
        !is_chunk(png + size - CHUNK_EXTRA, "IEND", 0))
        return false;
    *ret_parts = (struct parts){
        .raw = raw_of(width, height, count),
        .count = count,
        .idat = png + idat + 8,
        .idat_bytes = size - around,
    };
    return true;
}

static enum tl_code not_ours(size_t size, const char *why, struct tl_err *err)
{
    return tl_fail(err, TL_CORRUPT, "indexed PNG of %zu bytes: %s", size, why);
}

enum tl_code indexed_png_restyle(const struct blob *png, const struct palette *palette,
                                 struct blob **ret_png, struct tl_err *err)
{
    struct parts parts;
    size_t size = blob_size(png);

    if (!find_parts(blob_bytes(png), size, &parts))
        return not_ours(size, "its chunks are not the ones this server writes", err);
    if (palette->count != parts.count)
        return tl_fail(err, TL_INVALID, "palette of %u entries for a tile of %u", palette->count,
                       parts.count);
    AUTO(blob) styled = blob_copy(blob_bytes(png), size);
    if (!styled)
        return tl_fail(err, TL_NOMEM, "no memory for a PNG of %zu bytes", size);
    put_palette(blob_writable(styled) + AT_PLTE, palette);
    *ret_png = TL_TAKE(styled);
    return TL_OK;
}

static enum tl_code inflate_idat(const struct parts *parts, uint8_t *ret_bytes, struct tl_err *err)
{
    const uint8_t *type = parts->idat - 4, *crc = parts->idat + parts->idat_bytes;

    if (libdeflate_crc32(0, type, parts->idat_bytes + 4) != get32(crc))
        return not_ours(parts->idat_bytes, "the CRC of its pixels is wrong", err);
    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    if (!inflater)
        return tl_fail(err, TL_NOMEM, "no memory to inflate %zu bytes", parts->idat_bytes);
    /* Without a place for the real size, libdeflate demands exactly raw.size. */
    enum libdeflate_result result = libdeflate_zlib_decompress(
        inflater, parts->idat, parts->idat_bytes, ret_bytes, parts->raw.size, NULL);

    libdeflate_free_decompressor(inflater);
    if (result != LIBDEFLATE_SUCCESS)
        return not_ours(parts->idat_bytes, "its pixels do not inflate to the size it says", err);
    return TL_OK;
}

enum tl_code indexed_png_decode(const struct blob *png, struct arena *arena, uint32_t *ret_width,
                                uint32_t *ret_height, uint8_t **ret_indices, struct tl_err *err)
{
    enum { DEFLATE_RATIO_MAX = 1032 }; /* 258 bytes for two bits */
    struct parts parts;

    if (!find_parts(blob_bytes(png), blob_size(png), &parts))
        return not_ours(blob_size(png), "its chunks are not the ones this server writes", err);
    const struct raw *raw = &parts.raw;
    if (raw->size / DEFLATE_RATIO_MAX > parts.idat_bytes)
        return not_ours(blob_size(png), "too small for the pixels it claims", err);

    uint8_t *bytes = arena_alloc(arena, raw->size, 1);
    uint8_t *indices = arena_alloc(arena, raw->width, raw->height);
    if (!bytes || !indices)
        return tl_fail(err, TL_NOMEM, "no memory for %ux%u pixels", raw->width, raw->height);
    TL_TRY(inflate_idat(&parts, bytes, err));
    for (uint32_t y = 0; y < raw->height; y++) {
        const uint8_t *row = bytes + y * raw->stride;

        if (row[0] != 0)
            return not_ours(blob_size(png), "a row has a filter", err);
        unpack_row(row + 1, raw->width, raw->depth, indices + (size_t)y * raw->width);
    }
    if (pack_max(indices, (size_t)raw->width * raw->height) >= parts.count)
        return not_ours(blob_size(png), "a pixel is outside its palette", err);
    *ret_width = raw->width;
    *ret_height = raw->height;
    *ret_indices = indices;
    return TL_OK;
}
