/*
 * CPU and bytes per class tile of the indexed PNG writer, and of the usual ways beside it,
 * on the same 256 x 256 tiles.
 *
 * usage: bench_png RASTER WIDTH     RASTER: raw bytes of class values, WIDTH to a row
 *        gdal_translate -of ENVI -srcwin X Y 2048 2048 map.tif raster
 *
 * Prints a JSON line per encoder: median and fastest microseconds over all tiles and rounds.
 */
#include "../bench.h"

#include "base/arena.h"
#include "base/blob.h"
#include "image/encode.h"
#include "image/indexed_png.h"
#include "image/palette.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum { SIDE = 256, PIXELS = SIDE * SIDE, TILES_MAX = 256, SLOW_ROUNDS = 3, ROUNDS = 31 };

struct tile {
    uint8_t indices[PIXELS];
    uint8_t rgba[PIXELS * 4];
    struct blob *png;
};

struct bench {
    struct tile *tiles;
    size_t count;
    struct palette palette;
    struct arena *arena;
};

typedef size_t encode_fn(struct bench *bench, struct tile *tile);

/* ---- what is compared ---- */

static size_t taken(struct blob *blob, enum tl_code code)
{
    if (code != TL_OK)
        die("an encoder failed");
    size_t size = blob_size(blob);
    blob_unref(blob);
    return size;
}

static size_t own(struct bench *bench, struct tile *tile)
{
    struct tl_err err;
    struct blob *blob;
    enum tl_code code = indexed_png_encode(&(struct index_image){tile->indices, SIDE, SIDE},
                                           &bench->palette, bench->arena, &blob, &err);

    arena_reset(bench->arena);
    return taken(blob, code);
}

static size_t own_uniform(struct bench *bench, struct tile *tile)
{
    struct tl_err err;
    struct blob *blob;
    enum tl_code code =
        indexed_png_uniform(tile->indices[0], SIDE, SIDE, &bench->palette, &blob, &err);

    return taken(blob, code);
}

static size_t own_restyle(struct bench *bench, struct tile *tile)
{
    struct tl_err err;
    struct blob *blob;
    enum tl_code code = indexed_png_restyle(tile->png, &bench->palette, &blob, &err);

    return taken(blob, code);
}

static size_t own_decode(struct bench *bench, struct tile *tile)
{
    struct tl_err err;
    uint32_t width, height;
    uint8_t *indices;

    if (indexed_png_decode(tile->png, bench->arena, &width, &height, &indices, &err) != TL_OK)
        die(err.msg);
    arena_reset(bench->arena);
    return blob_size(tile->png);
}

struct sink {
    size_t size;
};

static void count_bytes(png_structp png, png_bytep bytes, size_t size)
{
    struct sink *sink = png_get_io_ptr(png);

    (void)bytes;
    sink->size += size;
}

static void no_flush(png_structp png)
{
    (void)png;
}

/* libpng with its default filters (filter < 0) or one, its default strategy or another. */
struct libpng_way {
    int colour, depth, level, filter, strategy;
};

static size_t by_libpng(struct bench *bench, const uint8_t *pixels, size_t row,
                        struct libpng_way way)
{
    struct sink sink = {0};
    png_color colours[256] = {{0}};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);

    if (setjmp(png_jmpbuf(png)))
        die("libpng failed");
    png_set_write_fn(png, &sink, count_bytes, no_flush);
    png_set_IHDR(png, info, SIDE, SIDE, way.depth, way.colour, 0, 0, 0);
    if (way.colour == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, colours, bench->palette.count);
    png_set_compression_level(png, way.level);
    if (way.filter >= 0)
        png_set_filter(png, 0, way.filter);
    if (way.strategy >= 0)
        png_set_compression_strategy(png, way.strategy);
    png_write_info(png, info);
    png_set_packing(png);
    for (unsigned y = 0; y < SIDE; y++)
        png_write_row(png, pixels + y * row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return sink.size;
}

static size_t libpng_rgba6(struct bench *bench, struct tile *tile)
{
    return by_libpng(bench, tile->rgba, 4 * (size_t)SIDE,
                     (struct libpng_way){PNG_COLOR_TYPE_RGBA, 8, 6, -1, -1});
}

static size_t libpng_rgba1(struct bench *bench, struct tile *tile)
{
    return by_libpng(bench, tile->rgba, 4 * (size_t)SIDE,
                     (struct libpng_way){PNG_COLOR_TYPE_RGBA, 8, 1, PNG_FILTER_NONE, -1});
}

static size_t libpng_indexed6(struct bench *bench, struct tile *tile)
{
    return by_libpng(bench, tile->indices, SIDE,
                     (struct libpng_way){PNG_COLOR_TYPE_PALETTE, 8, 6, PNG_FILTER_NONE, -1});
}

static size_t libpng_indexed_rle(struct bench *bench, struct tile *tile)
{
    int depth = bench->palette.count <= 16 ? 4 : 8;

    return by_libpng(bench, tile->indices, SIDE,
                     (struct libpng_way){PNG_COLOR_TYPE_PALETTE, depth, 6, PNG_FILTER_NONE, Z_RLE});
}

static size_t by_image(struct tile *tile, enum image_format format, bool lossless)
{
    struct tl_err err;
    struct blob *blob;
    const struct image image = {.width = SIDE, .height = SIDE, .rgba = tile->rgba};
    const struct encode_options options = {.format = format, .quality = 75, .lossless = lossless};
    enum tl_code code = image_encode(&image, &options, &blob, &err);

    return taken(blob, code);
}

static size_t image_png(struct bench *bench, struct tile *tile)
{
    (void)bench;
    return by_image(tile, IMAGE_PNG, false);
}

static size_t image_jpeg(struct bench *bench, struct tile *tile)
{
    (void)bench;
    return by_image(tile, IMAGE_JPEG, false);
}

static size_t image_webp_lossy(struct bench *bench, struct tile *tile)
{
    (void)bench;
    return by_image(tile, IMAGE_WEBP, false);
}

static size_t image_webp_lossless(struct bench *bench, struct tile *tile)
{
    (void)bench;
    return by_image(tile, IMAGE_WEBP, true);
}

/* ---- measuring ---- */

static void measure(struct bench *bench, const char *name, encode_fn *encode, unsigned rounds)
{
    double *us = malloc(bench->count * rounds * sizeof(*us));
    size_t bytes = 0, n = 0;

    for (unsigned round = 0; us && round < rounds; round++) {
        for (size_t i = 0; i < bench->count; i++) {
            double start = thread_us();
            size_t size = encode(bench, &bench->tiles[i]);

            us[n++] = thread_us() - start;
            bytes += round == 0 ? size : 0;
        }
    }
    if (!us)
        die("out of memory");
    qsort(us, n, sizeof(*us), by_value);
    printf("{\"encoder\":\"%s\",\"tiles\":%zu,\"median_us\":%.1f,\"p95_us\":%.1f,\"bytes\":%.0f}\n",
           name, bench->count, us[n / 2], us[n * 95 / 100], (double)bytes / (double)bench->count);
    free(us);
}

/* Class values in order of their first appearance become indices, so any map fits. */
static void cut_tiles(struct bench *bench, const uint8_t *raster, size_t width, size_t height)
{
    int index_of[256];

    memset(index_of, -1, sizeof(index_of));
    for (size_t y = 0; y + SIDE <= height; y += SIDE) {
        for (size_t x = 0; x + SIDE <= width && bench->count < TILES_MAX; x += SIDE) {
            struct tile *tile = &bench->tiles[bench->count++];

            for (size_t i = 0; i < PIXELS; i++) {
                uint8_t value = raster[(y + i / SIDE) * width + x + i % SIDE];

                if (index_of[value] < 0)
                    index_of[value] = bench->palette.count++;
                tile->indices[i] = (uint8_t)index_of[value];
            }
        }
    }
}

static void colour_tiles(struct bench *bench)
{
    struct tl_err err;

    for (unsigned i = 0; i < bench->palette.count; i++) {
        uint32_t colour = i * 2654435761U;

        memcpy(bench->palette.rgba[i], &colour, 3);
        bench->palette.rgba[i][3] = 255;
    }
    for (size_t t = 0; t < bench->count; t++) {
        struct tile *tile = &bench->tiles[t];

        for (size_t i = 0; i < PIXELS; i++)
            memcpy(tile->rgba + 4 * i, bench->palette.rgba[tile->indices[i]], 4);
        if (indexed_png_encode(&(struct index_image){tile->indices, SIDE, SIDE}, &bench->palette,
                               bench->arena, &tile->png, &err) != TL_OK)
            die(err.msg);
        arena_reset(bench->arena);
    }
}

static void read_tiles(struct bench *bench, const char *path, size_t width)
{
    FILE *file = fopen(path, "rb");
    size_t room = (size_t)TILES_MAX * PIXELS * 4;
    uint8_t *raster = malloc(room);

    if (!file || !raster || width < SIDE)
        die("the raster cannot be read");
    size_t size = fread(raster, 1, room, file);
    fclose(file);
    cut_tiles(bench, raster, width, size / width);
    free(raster);
    if (bench->count == 0)
        die("the raster is smaller than a tile");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        encode_fn *encode;
        unsigned rounds;
    } ways[] = {
        {"indexed_png_encode", own, ROUNDS},
        {"indexed_png_uniform", own_uniform, ROUNDS},
        {"indexed_png_restyle", own_restyle, ROUNDS},
        {"indexed_png_decode", own_decode, ROUNDS},
        {"libpng RGBA, level 6", libpng_rgba6, SLOW_ROUNDS},
        {"libpng RGBA, level 1, no filter", libpng_rgba1, SLOW_ROUNDS},
        {"libpng indexed 8 bits, level 6, no filter", libpng_indexed6, SLOW_ROUNDS},
        {"libpng indexed 4 bits, Z_RLE, no filter", libpng_indexed_rle, SLOW_ROUNDS},
        {"image_encode png", image_png, SLOW_ROUNDS},
        {"image_encode jpeg 75", image_jpeg, SLOW_ROUNDS},
        {"image_encode webp 75", image_webp_lossy, SLOW_ROUNDS},
        {"image_encode webp lossless", image_webp_lossless, SLOW_ROUNDS},
    };
    static struct bench bench;

    if (argc != 3)
        die("usage: bench_png RASTER WIDTH");
    bench.arena = arena_new();
    bench.tiles = calloc(TILES_MAX, sizeof(*bench.tiles));
    if (!bench.arena || !bench.tiles)
        die("out of memory");
    read_tiles(&bench, argv[1], (size_t)strtoul(argv[2], NULL, 10));
    colour_tiles(&bench);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        measure(&bench, ways[i].name, ways[i].encode, ways[i].rounds);
    for (size_t i = 0; i < bench.count; i++)
        blob_unref(bench.tiles[i].png);
    free(bench.tiles);
    arena_free(bench.arena);
    return EXIT_SUCCESS;
}
