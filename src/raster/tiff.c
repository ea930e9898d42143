#include "raster/tiff.h"

#include "base/blob.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie");

enum {
    READ_AHEAD = 32 * 1024, /* a directory that lies elsewhere, with its small values */
    MERGE_GAP = 16 * 1024,  /* values nearer than this are one range */
    READ_AHEAD_MAX = 64 * 1024 * 1024,
};

/* While a file is being parsed. */
struct parse {
    const struct tiff_input *input;
    struct tiff *tiff;
};

static uint64_t get(const uint8_t *p, unsigned size)
{
    uint64_t n = 0;

    memcpy(&n, p, size);
    return n;
}

static size_t type_size(uint16_t type)
{
    /* BYTE ASCII SHORT LONG RATIONAL SBYTE UNDEFINED SSHORT SLONG SRATIONAL FLOAT DOUBLE IFD */
    static const uint8_t sizes[19] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};

    return type < TL_COUNT(sizes) ? sizes[type] : 0;
}

static enum tiff_tag tag_of(uint16_t number)
{
    switch (number) {
#define X(tag, tag_number) \
    case tag_number:       \
        return tag;
        TIFF_TAGS(X)
#undef X
    default:
        return TAG_COUNT;
    }
}

/* The bytes of [offset, offset + size), when they have been read. */
static const uint8_t *loaded(const struct tiff *tiff, uint64_t offset, uint64_t size)
{
    for (size_t i = 0; i < tiff->slice_count; i++) {
        const struct slice *slice = &tiff->slices[i];
        uint64_t start = tiff->slice_offsets[i];

        if (offset >= start && offset - start <= slice->size &&
            size <= slice->size - (offset - start))
            return slice->bytes + (offset - start);
    }
    return NULL;
}

static bool slices_room(struct tiff *tiff, size_t more)
{
    if (tiff->slice_count + more <= tiff->slice_room)
        return true;
    size_t room = (tiff->slice_count + more) * 2;
    struct slice *slices = realloc(tiff->slices, room * sizeof(*slices));

    if (slices)
        tiff->slices = slices;
    uint64_t *offsets = realloc(tiff->slice_offsets, room * sizeof(*offsets));
    if (offsets)
        tiff->slice_offsets = offsets;
    if (!slices || !offsets)
        return false;
    tiff->slice_room = room;
    return true;
}

static enum tl_code load(struct parse *parse, const struct range *ranges, size_t count,
                         struct tl_err *err)
{
    struct tiff *tiff = parse->tiff;

    for (size_t i = 0; i < count; i++)
        tiff->header_bytes += ranges[i].size;
    if (tiff->header_bytes > TIFF_MAX_INDEX_BYTES)
        return tl_fail(err, TL_LIMIT, "directories and block index of more than %llu bytes",
                       TIFF_MAX_INDEX_BYTES);
    if (!slices_room(tiff, count))
        return tl_fail(err, TL_NOMEM, "no memory for the directories of a TIFF");
    TL_TRY(parse->input->read(parse->input->arg, ranges, count, tiff->slices + tiff->slice_count,
                              err));
    for (size_t i = 0; i < count; i++)
        tiff->slice_offsets[tiff->slice_count + i] = ranges[i].offset;
    tiff->slice_count += count;
    tiff->further_gets += ranges[0].offset != 0;
    return TL_OK;
}

static bool value_inside(const struct parse *parse, const struct tiff_value *value,
                         uint64_t *ret_size)
{
    size_t each = type_size(value->type);

    return each && !__builtin_mul_overflow(value->count, (uint64_t)each, ret_size) &&
           value->offset <= parse->input->size && *ret_size <= parse->input->size - value->offset;
}

/*
 * A directory at `offset` is not there yet. In a COG the index arrays follow the last
 * directory, so where the arrays of the first one end tells how far to read, plus a
 * third for the overviews: the rest of the header comes in this one request.
 */
static uint64_t read_ahead_end(const struct parse *parse, uint64_t offset, uint64_t end)
{
    for (unsigned i = 0; i < parse->tiff->ifd_count; i++) {
        for (int tag = 0; tag < TAG_COUNT; tag++) {
            const struct tiff_value *value = &parse->tiff->ifds[i].values[tag];
            uint64_t size;

            if (value->count && value->offset >= offset && value_inside(parse, value, &size) &&
                value->offset + size - offset <= READ_AHEAD_MAX)
                end = TL_MAX(end, value->offset + size + (value->offset + size - offset) / 3);
        }
    }
    return TL_MIN(end, parse->input->size);
}

/* Like loaded(), but reads what is missing. */
static enum tl_code need(struct parse *parse, uint64_t offset, uint64_t size,
                         const uint8_t **ret_bytes, struct tl_err *err)
{
    uint64_t file_size = parse->input->size;

    *ret_bytes = loaded(parse->tiff, offset, size);
    if (*ret_bytes)
        return TL_OK;
    if (offset > file_size || size > file_size - offset)
        return tl_fail(err, TL_CORRUPT,
                       "a directory at byte %llu does not fit in a file of %llu bytes",
                       (unsigned long long)offset, (unsigned long long)file_size);
    uint64_t end = TL_MIN(offset + TL_MAX(size, (uint64_t)READ_AHEAD), file_size);
    if (!parse->tiff->further_gets) /* once: a hostile chain must not have it 64 times */
        end = read_ahead_end(parse, offset, end);
    TL_TRY(load(parse, &(struct range){offset, (size_t)(end - offset)}, 1, err));
    *ret_bytes = loaded(parse->tiff, offset, size);
    TL_CHECK(*ret_bytes);
    return TL_OK;
}

static enum tl_code parse_entry(struct parse *parse, struct tiff_ifd *ifd, const uint8_t *entry,
                                uint64_t entry_offset, struct tl_err *err)
{
    bool big = parse->tiff->big;
    unsigned inline_room = big ? 8 : 4;
    uint16_t number = (uint16_t)get(entry, 2);
    enum tiff_tag tag = tag_of(number);
    struct tiff_value value = {.type = (uint16_t)get(entry + 2, 2),
                               .count = get(entry + 4, big ? 8 : 4)};
    uint64_t size;

    if (tag == TAG_COUNT || !value.count || ifd->values[tag].count)
        return TL_OK; /* not ours, or said before: the first one counts, as in libtiff */
    uint64_t field = entry_offset + (big ? 12 : 8);
    value.offset = field;
    if (!value_inside(parse, &value, &size) || size > inline_room)
        value.offset = get(entry + (big ? 12 : 8), inline_room);
    if (!value_inside(parse, &value, &size))
        return tl_fail(err, TL_CORRUPT,
                       "tag %u of the directory at byte %llu: %llu values of type %u at byte %llu "
                       "do not fit in a file of %llu bytes",
                       number, (unsigned long long)ifd->offset, (unsigned long long)value.count,
                       value.type, (unsigned long long)value.offset,
                       (unsigned long long)parse->input->size);
    ifd->values[tag] = value;
    return TL_OK;
}

static enum tl_code parse_ifd(struct parse *parse, struct tiff_ifd *ifd, uint64_t *ret_next,
                              struct tl_err *err)
{
    bool big = parse->tiff->big;
    unsigned count_size = big ? 8 : 2, entry_size = big ? 20 : 12, link_size = big ? 8 : 4;
    const uint8_t *bytes;

    TL_TRY(need(parse, ifd->offset, count_size, &bytes, err));
    uint64_t count = get(bytes, count_size);
    if (count > TIFF_MAX_ENTRIES)
        return tl_fail(err, TL_LIMIT, "the directory at byte %llu has %llu entries, at most %d",
                       (unsigned long long)ifd->offset, (unsigned long long)count,
                       TIFF_MAX_ENTRIES);
    TL_TRY(need(parse, ifd->offset, count_size + count * entry_size + link_size, &bytes, err));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = count_size + i * entry_size;

        TL_TRY(parse_entry(parse, ifd, bytes + at, ifd->offset + at, err));
    }
    *ret_next = get(bytes + count_size + count * entry_size, link_size);
    return TL_OK;
}

static enum tl_code parse_chain(struct parse *parse, uint64_t offset, struct tl_err *err)
{
    struct tiff *tiff = parse->tiff;

    while (offset) {
        for (unsigned i = 0; i < tiff->ifd_count; i++) {
            if (tiff->ifds[i].offset == offset)
                return tl_fail(err, TL_CORRUPT, "the chain of directories loops at byte %llu",
                               (unsigned long long)offset);
        }
        if (tiff->ifd_count == TIFF_MAX_IFDS)
            return tl_fail(err, TL_LIMIT, "more than %d directories in one TIFF", TIFF_MAX_IFDS);
        struct tiff_ifd *ifd = &tiff->ifds[tiff->ifd_count];
        ifd->offset = offset;
        TL_TRY(parse_ifd(parse, ifd, &offset, err));
        tiff->ifd_count++;
    }
    if (!tiff->ifd_count)
        return tl_fail(err, TL_CORRUPT, "a TIFF without a directory");
    return TL_OK;
}

static int by_offset(const void *a, const void *b)
{
    uint64_t x = ((const struct range *)a)->offset, y = ((const struct range *)b)->offset;

    return x < y ? -1 : x > y;
}

/* Joins sorted ranges that overlap or nearly touch; returns how many are left. */
static size_t merge(struct range *ranges, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct range *last = kept ? &ranges[kept - 1] : NULL;
        uint64_t end = ranges[i].offset + ranges[i].size;

        if (last && ranges[i].offset <= last->offset + last->size + MERGE_GAP)
            last->size = TL_MAX(last->size, (size_t)(end - last->offset));
        else
            ranges[kept++] = ranges[i];
    }
    return kept;
}

/* Calls for all values that are still in the file, in as few ranges as they make. */
static enum tl_code load_values(struct parse *parse, struct tl_err *err)
{
    struct tiff *tiff = parse->tiff;
    size_t count = 0;
    struct range *ranges = calloc((size_t)tiff->ifd_count * TAG_COUNT, sizeof(*ranges));

    if (!ranges)
        return tl_fail(err, TL_NOMEM, "no memory for the directories of a TIFF");
    for (size_t i = 0; i < (size_t)tiff->ifd_count * TAG_COUNT; i++) {
        const struct tiff_value *value = &tiff->ifds[i / TAG_COUNT].values[i % TAG_COUNT];
        uint64_t size = value->count * type_size(value->type);

        if (value->count && !loaded(tiff, value->offset, size))
            ranges[count++] = (struct range){value->offset, (size_t)size};
    }
    qsort(ranges, count, sizeof(*ranges), by_offset);
    count = merge(ranges, count);
    enum tl_code code = count ? load(parse, ranges, count, err) : TL_OK;
    free(ranges);
    return code;
}

static void point_values(struct tiff *tiff)
{
    for (size_t i = 0; i < (size_t)tiff->ifd_count * TAG_COUNT; i++) {
        struct tiff_value *value = &tiff->ifds[i / TAG_COUNT].values[i % TAG_COUNT];

        if (!value->count)
            continue;
        value->bytes = loaded(tiff, value->offset, value->count * type_size(value->type));
        TL_CHECK(value->bytes);
    }
}

static bool ghost_says(const char *ghost, size_t size, const char *line)
{
    return memmem(ghost, size, line, strlen(line)) != NULL;
}

/*
 * "GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\n" and that many bytes of KEY=VALUE lines.
 * KNOWN_INCOMPATIBLE_EDITION=YES: somebody changed the file; nothing here holds any more.
 */
static void parse_ghost(struct tiff *tiff, const uint8_t *head, size_t head_size)
{
    static const char opening[] = "GDAL_STRUCTURAL_METADATA_SIZE=";
    enum { OPENING_LINE = 43 };
    size_t at = tiff->big ? 16 : 8, size = 0;

    if (head_size < at + OPENING_LINE || memcmp(head + at, opening, sizeof(opening) - 1) != 0)
        return;
    for (int i = 0; i < 6; i++) {
        uint8_t digit = head[at + sizeof(opening) - 1 + i];

        if (digit < '0' || digit > '9')
            return;
        size = size * 10 + (size_t)(digit - '0');
    }
    const char *ghost = (const char *)head + at + OPENING_LINE;
    size = TL_MIN(size, head_size - at - OPENING_LINE);
    if (!ghost_says(ghost, size, "KNOWN_INCOMPATIBLE_EDITION=NO"))
        return;
    tiff->ghost_area = ghost_says(ghost, size, "LAYOUT=IFDS_BEFORE_DATA");
    tiff->block_leader = ghost_says(ghost, size, "BLOCK_LEADER=SIZE_AS_UINT4");
    tiff->mask_interleaved = ghost_says(ghost, size, "MASK_INTERLEAVED_WITH_IMAGERY=YES");
}

bool tiff_looks_like(const uint8_t *bytes, size_t size)
{
    return size >= 8 && (memcmp(bytes, "II*\0", 4) == 0 || memcmp(bytes, "II+\0", 4) == 0 ||
                         memcmp(bytes, "MM\0*", 4) == 0 || memcmp(bytes, "MM\0+", 4) == 0);
}

static enum tl_code parse_header(struct parse *parse, uint64_t *ret_first, struct tl_err *err)
{
    struct tiff *tiff = parse->tiff;
    size_t size = (size_t)TL_MIN(parse->input->size, (uint64_t)OBJECT_HEAD_BYTES);

    if (size < 8)
        return tl_fail(err, TL_UNSUPPORTED, "%zu bytes are not a TIFF", size);
    TL_TRY(load(parse, &(struct range){0, size}, 1, err));
    const uint8_t *head = tiff->slices[0].bytes;
    if (!tiff_looks_like(head, size))
        return tl_fail(err, TL_UNSUPPORTED, "the first bytes are not those of a TIFF");
    if (head[0] == 'M')
        return tl_fail(err, TL_UNSUPPORTED, "a big-endian TIFF");
    tiff->big = head[2] == 43;
    if (tiff->big && (size < 16 || get(head + 4, 2) != 8 || get(head + 6, 2) != 0))
        return tl_fail(err, TL_CORRUPT, "a BigTIFF header that does not say 8-byte offsets");
    *ret_first = tiff->big ? get(head + 8, 8) : get(head + 4, 4);
    parse_ghost(tiff, head, size);
    return TL_OK;
}

enum tl_code tiff_open(const struct tiff_input *input, struct tiff **ret_tiff, struct tl_err *err)
{
    AUTO(tiff) tiff = TL_OWNED(calloc(1, sizeof(*tiff)));
    struct parse parse = {.input = input, .tiff = tiff};
    uint64_t first = 0;

    if (tiff)
        tiff->ifds = calloc(TIFF_MAX_IFDS, sizeof(*tiff->ifds));
    if (!tiff || !tiff->ifds)
        return tl_fail(err, TL_NOMEM, "no memory for the directories of a TIFF");
    TL_TRY(parse_header(&parse, &first, err));
    TL_TRY(parse_chain(&parse, first, err));
    TL_TRY(load_values(&parse, err));
    point_values(tiff);
    *ret_tiff = TL_TAKE(tiff);
    return TL_OK;
}

void tiff_close(struct tiff *tiff)
{
    if (!tiff)
        return;
    for (size_t i = 0; i < tiff->slice_count; i++)
        blob_unref(tiff->slices[i].owner);
    free(tiff->slices);
    free(tiff->slice_offsets);
    free(tiff->ifds);
    free(tiff);
}

bool tiff_uint(const struct tiff_value *value, uint64_t i, uint64_t *ret)
{
    /* BYTE, SHORT, LONG, IFD, LONG8, IFD8 */
    static const uint32_t whole = 1u << 1 | 1u << 3 | 1u << 4 | 1u << 13 | 1u << 16 | 1u << 18;
    size_t size = type_size(value->type);

    if (i >= value->count || value->type > 18 || !(whole >> value->type & 1))
        return false;
    *ret = get(value->bytes + i * size, (unsigned)size);
    return true;
}

uint64_t tiff_uint_or(const struct tiff_ifd *ifd, enum tiff_tag tag, uint64_t fallback)
{
    uint64_t n;

    return tiff_uint(&ifd->values[tag], 0, &n) ? n : fallback;
}

bool tiff_double(const struct tiff_value *value, uint64_t i, double *ret)
{
    enum { TYPE_DOUBLE = 12 };

    if (i >= value->count || value->type != TYPE_DOUBLE)
        return false;
    memcpy(ret, value->bytes + i * sizeof(*ret), sizeof(*ret));
    return true;
}

const char *tiff_text(const struct tiff_value *value, size_t *ret_size)
{
    enum { TYPE_BYTE = 1, TYPE_ASCII = 2 };

    if (!value->count || (value->type != TYPE_ASCII && value->type != TYPE_BYTE))
        return NULL;
    *ret_size = strnlen((const char *)value->bytes, (size_t)value->count);
    return (const char *)value->bytes;
}
