#include "base/blob.h"
#include "forest/forest.h"
#include "forest_fixture.h"
#include "tl_test.h"

static const struct fixture_wish small = {
    .seed = 1, .features = 2, .classes = 2, .trees = 2, .splits = 3, .pure_percent = 50};

static enum tl_code load_bytes(const void *bytes, size_t size, struct tl_err *err)
{
    /* A copy of exactly that size, so that AddressSanitizer sees one byte past the end. */
    AUTO(blob) file = blob_copy(bytes, size);
    struct forest *forest = NULL;
    enum tl_code code = forest_load("m.tilth", file, &forest, err);

    if ((code == TL_OK) != (forest != NULL))
        fail_msg("code %d with forest %p", (int)code, (void *)forest);
    forest_unref(forest);
    return code;
}

static enum tl_code load_fixture(const struct fixture *f, struct tl_err *err)
{
    AUTO(blob) file = fixture_blob(f);

    return load_bytes(blob_bytes(file), blob_size(file), err);
}

/* The file with the first `from` replaced by `to`, of the same length. */
static enum tl_code load_with(const char *from, const char *to, struct tl_err *err)
{
    AUTO(fixture) f = fixture_new(&small);
    AUTO(blob) file = fixture_blob(f);
    AUTO(blob) changed = blob_copy(blob_bytes(file), blob_size(file));
    uint8_t *at = memmem(blob_writable(changed), blob_size(changed), from, strlen(from));

    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    return load_bytes(blob_bytes(changed), blob_size(changed), err);
}

TEST(the_fixture_itself_is_a_model)
{
    AUTO(fixture) f = fixture_new(&small);
    struct tl_err err;

    assert_ok(load_fixture(f, &err));
}

TEST(a_manifest_that_asks_for_something_else_is_refused)
{
    struct tl_err err;

    assert_refused(load_with("format\\\":1", "format\\\":4", &err), TL_UNSUPPORTED, "format 4");
    assert_refused(load_with("random-forest", "random-thicke", &err), TL_UNSUPPORTED,
                   "random-thicke");
    assert_refused(load_with("\\\"f1\\\"", "\\\"f0\\\"", &err), TL_INVALID, "f0 is there twice");
    assert_refused(load_with("value\\\":2", "value\\\":1", &err), TL_INVALID, "value 1 is there");
    assert_refused(load_with("0001FF", "0001FG", &err), TL_INVALID, "six hex digits");
    assert_refused(load_with("provenance", "provenence", &err), TL_INVALID, "provenence");
}

TEST(tensors_that_do_not_fit_are_refused)
{
    struct tl_err err;

    assert_refused(load_with("\"I32\"", "\"F32\"", &err), TL_CORRUPT, "another dtype");
    assert_refused(load_with("\"I32\"", "\"I64\"", &err), TL_INVALID, "I64");
    assert_refused(load_with("\"golden_x\"", "\"golden_y\"", &err), TL_CORRUPT,
                   "golden_x: it is missing");
    assert_refused(load_with("\"shape\":[14]", "\"shape\":[15]", &err), TL_INVALID,
                   "does not fill the bytes");
    assert_refused(load_with("\"data_offsets\":[0,12]", "\"data_offsets\":[4,16]", &err),
                   TL_INVALID, "multiple of 8");
}

/* One change to the fixture, and what the refusal must say. */
#define REFUSED(change, code, text)                        \
    do {                                                   \
        AUTO(fixture) f = fixture_new(&small);             \
        struct tl_err err;                                 \
        change;                                            \
        assert_refused(load_fixture(f, &err), code, text); \
    } while (0)

TEST(trees_that_are_none_are_refused)
{
    REFUSED(f->left[0] = 0, TL_CORRUPT, "tree 0, node 0: the child is not a later node");
    REFUSED(f->left[7] = 7, TL_CORRUPT, "tree 1, node 0: the child is not a later node");
    REFUSED(f->right[0] = f->left[0], TL_CORRUPT, "two parents");
    REFUSED(f->feature[0] = 2, TL_CORRUPT, "the feature does not exist");
    REFUSED(f->feature[0] = 70000, TL_CORRUPT, "out of range");
    REFUSED(f->feature[0] = -1, TL_CORRUPT, "is a leaf");
    REFUSED(f->threshold[0] = NAN, TL_CORRUPT, "not a number");
    REFUSED(f->leaf[6] = f->row_count, TL_CORRUPT, "no row of values");
    REFUSED(f->leaf[6] = UINT32_MAX, TL_CORRUPT, "out of range");
    REFUSED(f->offsets[1] = 0, TL_CORRUPT, "a tree without nodes");
    REFUSED(f->offsets[0] = 1, TL_CORRUPT, "the first entry is not 0");
    REFUSED(f->offsets[2] = 15, TL_CORRUPT, "its length is not");
}

TEST(leaves_that_are_no_probabilities_are_refused)
{
    REFUSED(f->rows[0] = -0.5, TL_CORRUPT, "is not a probability");
    REFUSED(f->rows[0] = (double)NAN, TL_CORRUPT, "is not a probability");
    REFUSED((f->rows[0] = 0.5, f->rows[1] = 0.25), TL_CORRUPT, "adds up to 0.75");
}

TEST(a_file_cut_short_anywhere_is_refused)
{
    AUTO(fixture) f = fixture_new(&small);
    AUTO(blob) file = fixture_blob(f);
    struct tl_err err;

    for (size_t size = 0; size < blob_size(file); size++) {
        /* The padding behind the last tensor is not needed. */
        if (size + 8 - FIXTURE_GOLDEN % 8 > blob_size(file) && FIXTURE_GOLDEN % 8 != 0)
            break;
        if (load_bytes(blob_bytes(file), size, &err) == TL_OK)
            fail_msg("%zu of %zu bytes were taken for a model", size, blob_size(file));
    }
}

/* A changed byte is refused, or changes nothing that the golden rows can see. */
TEST(a_changed_byte_anywhere_crashes_nothing)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    AUTO(fixture) f = fixture_new(&small);
    AUTO(blob) file = fixture_blob(f);
    AUTO(blob) changed = blob_copy(blob_bytes(file), blob_size(file));
    uint8_t *bytes = blob_writable(changed);
    size_t refused = 0, tried = 0;
    struct tl_err err;

    for (size_t at = 0; at < blob_size(file); at++)
        for (size_t i = 0; i < TL_COUNT(flips); i++) {
            bytes[at] ^= flips[i];
            refused += load_bytes(bytes, blob_size(file), &err) != TL_OK;
            tried++;
            bytes[at] ^= flips[i];
        }
    assert_true(refused > tried / 2);
}

/* The golden rows visit few nodes: a leaf that points elsewhere is only seen by the checksum. */
TEST(a_changed_byte_of_tensors_with_a_checksum_is_refused)
{
    struct fixture_wish wish = small;
    struct tl_err err;
    uint64_t header;

    wish.checksum = true;
    AUTO(fixture) f = fixture_new(&wish);
    AUTO(blob) file = fixture_blob(f);
    AUTO(blob) changed = blob_copy(blob_bytes(file), blob_size(file));
    uint8_t *bytes = blob_writable(changed);
    assert_ok(load_bytes(bytes, blob_size(file), &err));
    memcpy(&header, bytes, sizeof(header));
    for (size_t at = sizeof(header) + (size_t)header; at < blob_size(file); at++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1 << bit);
            assert_refused(load_bytes(bytes, blob_size(file), &err), TL_CORRUPT,
                           "the tensors do not have the checksum");
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    uint8_t *crc = memmem(bytes, (size_t)header, "crc32", 5);
    assert_non_null(crc);
    crc[10] = 'G'; /* crc32\\":\\"........ */
    assert_refused(load_bytes(bytes, blob_size(file), &err), TL_INVALID, "crc32: eight hex digits");
}

TEST(a_pickle_is_named_and_not_opened)
{
    static const struct {
        size_t size;
        const char *bytes;
    } pickles[] = {{16, "\x80\x02}q\0(X\1\0\0\0aq\1K\1"},
                   {16, "\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\1a"},
                   {16, "\x80\x04\x95\0\1\0\0\0\0\0\0}\x94\x8c\1a"},
                   {16, "\x80\x05\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\1a"},
                   {16, "PK\3\4\x14\0\0\0\0\0\0\0!\0ab"},
                   {16, "x\x9c\x6b\x60\x99\xaa\xc2\0\1\x35\x53\x34\0\1\1\2"},
                   {16, "\x1f\x8b\x08\0\0\0\0\0\2\3k`\x99\xaa\xc2"}};
    struct tl_err err;

    for (size_t i = 0; i < TL_COUNT(pickles); i++)
        assert_refused(load_bytes(pickles[i].bytes, pickles[i].size, &err), TL_UNSUPPORTED,
                       "m.tilth: this is a pickle");
    assert_refused(load_bytes("neither of both.", 16, &err), TL_CORRUPT, "neither a tilth model");
}

RUN(T(the_fixture_itself_is_a_model), T(a_manifest_that_asks_for_something_else_is_refused),
    T(tensors_that_do_not_fit_are_refused), T(trees_that_are_none_are_refused),
    T(leaves_that_are_no_probabilities_are_refused), T(a_file_cut_short_anywhere_is_refused),
    T(a_changed_byte_anywhere_crashes_nothing),
    T(a_changed_byte_of_tensors_with_a_checksum_is_refused), T(a_pickle_is_named_and_not_opened))
