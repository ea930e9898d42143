#include "raster/tiff.h"

#include "base/blob.h"
#include "raster_fixture.h"

/* A file in memory; the parser sees the first `size` bytes of it. */
struct memory {
    const uint8_t *bytes;
    size_t size;
    unsigned calls;
};

static enum tl_code read_memory(void *arg, const struct range *ranges, size_t count,
                                struct slice *ret_slices, struct tl_err *err)
{
    struct memory *memory = arg;

    memory->calls++;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].offset > memory->size || ranges[i].size > memory->size - ranges[i].offset)
            fail_msg("the parser reads %zu bytes at %llu of %zu", ranges[i].size,
                     (unsigned long long)ranges[i].offset, memory->size);
        /* A copy of exactly this range, so that a byte too far is found. */
        struct blob *blob = blob_copy(memory->bytes + ranges[i].offset, ranges[i].size);
        assert_non_null(blob);
        ret_slices[i] = (struct slice){blob, blob_bytes(blob), blob_size(blob)};
    }
    (void)err;
    return TL_OK;
}

static enum tl_code open_memory(struct memory *memory, struct tiff **ret_tiff, struct tl_err *err)
{
    struct tiff_input input = {.read = read_memory, .arg = memory, .size = memory->size};

    return tiff_open(&input, ret_tiff, err);
}

static uint8_t *read_whole(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    struct stat about;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &about), 0);
    uint8_t *bytes = malloc((size_t)about.st_size);
    assert_int_equal(fread(bytes, 1, (size_t)about.st_size, file), about.st_size);
    fclose(file);
    *ret_size = (size_t)about.st_size;
    return bytes;
}

static uint8_t *write_cog(const char *options, int side, size_t *ret_size)
{
    char from[128], cog[128];

    picture_write(&fixture,
                  &(struct picture){.width = side,
                                    .height = side,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES SPARSE_OK=TRUE COMPRESS=DEFLATE",
                                    .palette = true,
                                    .mask = side < 1000},
                  from);
    picture_to_cog(&fixture, from, options, cog);
    uint8_t *bytes = read_whole(cog, ret_size);
    unlink(from);
    unlink(cog);
    return bytes;
}

TEST(a_cog_within_the_first_bytes_needs_no_further_request)
{
    size_t size;
    uint8_t *bytes = write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", 700, &size);
    struct memory memory = {bytes, size, 0};
    struct tiff *tiff = NULL;
    struct tl_err err;
    uint64_t n;

    assert_ok(open_memory(&memory, &tiff, &err));
    assert_int_equal(memory.calls, 1);
    assert_int_equal(tiff->further_gets, 0);
    assert_true(tiff->ghost_area);
    assert_true(tiff->block_leader);
    assert_true(tiff->mask_interleaved);
    assert_false(tiff->big);
    assert_int_equal(tiff->ifd_count, 8);
    assert_int_equal(tiff_uint_or(&tiff->ifds[0], TAG_WIDTH, 0), 700);
    assert_int_equal(tiff->ifds[0].values[TAG_BLOCK_OFFSETS].count, 36);
    assert_true(tiff_uint(&tiff->ifds[0].values[TAG_BLOCK_OFFSETS], 35, &n));
    assert_true(n > 0 && n < size);
    assert_false(tiff_uint(&tiff->ifds[0].values[TAG_BLOCK_OFFSETS], 36, &n));
    assert_int_equal(tiff_uint_or(&tiff->ifds[0], TAG_RPC, 17), 17);
    tiff_close(tiff);
    free(bytes);
}

TEST(an_index_beyond_the_first_bytes_comes_in_exactly_one_further_request)
{
    size_t size;
    uint8_t *bytes =
        write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE BIGTIFF=YES SPARSE_OK=TRUE", 7000, &size);
    struct memory memory = {bytes, size, 0};
    struct tiff *tiff = NULL;
    struct tl_err err;

    assert_ok(open_memory(&memory, &tiff, &err));
    assert_int_equal(memory.calls, 2);
    assert_int_equal(tiff->further_gets, 1);
    assert_true(tiff->big);
    assert_true(tiff->header_bytes > OBJECT_HEAD_BYTES);
    assert_int_equal(tiff->ifds[0].values[TAG_BLOCK_OFFSETS].count, 55 * 55);
    tiff_close(tiff);
    free(bytes);
}

TEST(every_truncation_of_the_header_is_refused)
{
    static const char *const kinds[] = {"BLOCKSIZE=128 COMPRESS=DEFLATE",
                                        "BLOCKSIZE=128 COMPRESS=LZW BIGTIFF=YES"};

    for (size_t kind = 0; kind < TL_COUNT(kinds); kind++) {
        size_t size, header = 0;
        uint8_t *bytes = write_cog(kinds[kind], 300, &size);
        struct tiff *tiff = NULL;
        struct tl_err err;
        struct memory whole = {bytes, size, 0};

        assert_ok(open_memory(&whole, &tiff, &err));
        for (unsigned i = 0; i < tiff->ifd_count; i++) {
            const struct tiff_value *counts = &tiff->ifds[i].values[TAG_BLOCK_BYTE_COUNTS];
            const struct tiff_value *offsets = &tiff->ifds[i].values[TAG_BLOCK_OFFSETS];

            header = TL_MAX(header, (size_t)counts->offset + (size_t)counts->count * 2);
            header = TL_MAX(header, (size_t)offsets->offset + (size_t)offsets->count * 4);
        }
        tiff_close(tiff);
        for (size_t n = 0; n < header; n++) {
            uint8_t *copy = malloc(n ? n : 1);
            struct memory memory = {copy, n, 0};

            memcpy(copy, bytes, n);
            enum tl_code code = open_memory(&memory, &tiff, &err);
            if (code != TL_CORRUPT && code != TL_UNSUPPORTED)
                fail_msg("%zu of %zu bytes: %s", n, header, tl_code_key(code));
            free(copy);
        }
        free(bytes);
    }
}

TEST(changed_bytes_are_read_or_refused_and_never_cost_more_than_the_file)
{
    size_t size;
    uint8_t *bytes = write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", 300, &size);
    size_t header = TL_MIN(size, (size_t)3000);
    unsigned refused = 0;

    for (size_t at = 0; at < header; at++) {
        static const uint8_t flips[] = {0xff, 0x01, 0x80};

        for (size_t i = 0; i < TL_COUNT(flips); i++) {
            struct memory memory = {bytes, size, 0};
            struct tiff *tiff = NULL;
            struct tl_err err;

            bytes[at] ^= flips[i];
            enum tl_code code = open_memory(&memory, &tiff, &err);
            bytes[at] ^= flips[i];
            if (code == TL_OK)
                assert_true(tiff->header_bytes <= 4 * size);
            refused += code != TL_OK;
            assert_true(memory.calls < 8);
            tiff_close(code == TL_OK ? tiff : NULL);
        }
    }
    assert_true(refused > 100);
    free(bytes);
}

/* A classic TIFF under construction. */
struct maker {
    uint8_t bytes[4096];
    size_t size;
};

static void put(struct maker *maker, uint64_t n, unsigned size)
{
    memcpy(maker->bytes + maker->size, &n, size);
    maker->size += size;
}

static void put_header(struct maker *maker, uint32_t first)
{
    put(maker, 0x002a4949, 4);
    put(maker, first, 4);
}

static void put_entry(struct maker *maker, unsigned tag, unsigned type, uint32_t count,
                      uint32_t value)
{
    put(maker, tag, 2);
    put(maker, type, 2);
    put(maker, count, 4);
    put(maker, value, 4);
}

static void refused(const struct maker *maker, enum tl_code code, const char *words)
{
    struct memory memory = {maker->bytes, maker->size, 0};
    struct tiff *tiff = NULL;
    struct tl_err err;

    assert_refused(open_memory(&memory, &tiff, &err), code, words);
}

TEST(a_chain_that_loops_is_refused)
{
    struct maker maker = {.size = 0};

    put_header(&maker, 8);
    put(&maker, 0, 2);
    put(&maker, 14, 4); /* of the directory at 8 */
    put(&maker, 0, 2);
    put(&maker, 8, 4); /* of the directory at 14 */
    refused(&maker, TL_CORRUPT, "loops");
}

TEST(more_than_64_directories_are_refused)
{
    struct maker maker = {.size = 0};

    put_header(&maker, 8);
    for (uint32_t i = 0; i < 65; i++) {
        put(&maker, 0, 2);
        put(&maker, i < 64 ? 8 + 6 * (i + 1) : 0, 4);
    }
    refused(&maker, TL_LIMIT, "more than 64 directories");
}

TEST(values_that_do_not_fit_into_the_file_are_refused)
{
    static const struct {
        unsigned type;
        uint32_t count, value;
    } values[] = {
        {4, UINT32_MAX, 8},  /* 16 GB of LONG */
        {16, UINT32_MAX, 8}, /* 32 GB of LONG8 */
        {4, 100, 4000000},   /* behind the end */
        {4, 2, UINT32_MAX},  /* at the very end of the address space */
        {99, 1, 0},          /* of a type that does not exist */
        {12, 512, 10},       /* starts inside, ends outside */
    };

    for (size_t i = 0; i < TL_COUNT(values); i++) {
        struct maker maker = {.size = 0};

        put_header(&maker, 8);
        put(&maker, 1, 2);
        put_entry(&maker, 324, values[i].type, values[i].count, values[i].value);
        put(&maker, 0, 4);
        refused(&maker, TL_CORRUPT, "do not fit");
    }
}

TEST(a_directory_behind_the_end_or_of_too_many_entries_is_refused)
{
    struct maker behind = {.size = 0}, many = {.size = 0}, none = {.size = 0};

    put_header(&behind, 5000);
    refused(&behind, TL_CORRUPT, "does not fit");
    put_header(&many, 8);
    put(&many, 65535, 2);
    refused(&many, TL_LIMIT, "entries");
    put_header(&none, 0);
    refused(&none, TL_CORRUPT, "without a directory");
}

TEST(what_is_not_a_little_endian_tiff_is_unsupported)
{
    struct maker png = {.size = 0}, big_endian = {.size = 0}, odd = {.size = 0};

    put(&png, 0x0a1a0a0d474e5089, 8);
    refused(&png, TL_UNSUPPORTED, "not those of a TIFF");
    put(&big_endian, 0x080000002a004d4d, 8);
    refused(&big_endian, TL_UNSUPPORTED, "big-endian");
    put(&odd, 0x0010002b4949, 8);
    put(&odd, 16, 8);
    refused(&odd, TL_CORRUPT, "8-byte offsets");
}

RUN_IN_FIXTURE(1 << 20, T(a_cog_within_the_first_bytes_needs_no_further_request),
               T(an_index_beyond_the_first_bytes_comes_in_exactly_one_further_request),
               T(every_truncation_of_the_header_is_refused),
               T(changed_bytes_are_read_or_refused_and_never_cost_more_than_the_file),
               T(a_chain_that_loops_is_refused), T(more_than_64_directories_are_refused),
               T(values_that_do_not_fit_into_the_file_are_refused),
               T(a_directory_behind_the_end_or_of_too_many_entries_is_refused),
               T(what_is_not_a_little_endian_tiff_is_unsupported))
