#include "model/model.h"

#include <string.h>

static bool is_lightgbm(const uint8_t *bytes, size_t size)
{
    static const char first_line[] = "tree";

    return size > sizeof(first_line) - 1 &&
           memcmp(bytes, first_line, sizeof(first_line) - 1) == 0 &&
           (bytes[sizeof(first_line) - 1] == '\n' || bytes[sizeof(first_line) - 1] == '\r');
}

/* Of a tilth model file the first byte is a multiple of 8; a brace is none. */
static bool is_document(const uint8_t *bytes, size_t size)
{
    return size > 0 && bytes[0] == '{';
}

/* No key of CatBoost's holds the word, and XGBoost has it first. */
static bool is_xgboost(const uint8_t *bytes, size_t size)
{
    static const char word[] = "gradient_booster";

    return is_document(bytes, size) && memmem(bytes, size, word, sizeof(word) - 1);
}

/* ONNX opens with its ir_version, field 1. A tilth file that opened like that would have a
 * header beyond its limit: bytes 4 to 7 of the length are zero there. */
static bool is_onnx(const uint8_t *bytes, size_t size)
{
    static const uint8_t none[4] = {0};

    return size > 8 && bytes[0] == 0x08 && memcmp(bytes + 4, none, sizeof(none)) != 0;
}

static bool is_anything(const uint8_t *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return true;
}

/* The first that fits. */
static const struct {
    const char *format;
    bool (*fits)(const uint8_t *bytes, size_t size);
    enum tl_code (*read)(const char *name, const uint8_t *bytes, size_t size, struct arena *arena,
                         struct model *ret_model, struct tl_err *err);
} readers[] = {{"LightGBM text", is_lightgbm, model_read_lightgbm},
               {"XGBoost", is_xgboost, model_read_xgboost},
               {"CatBoost JSON", is_document, model_read_catboost},
               {"ONNX", is_onnx, model_read_onnx},
               {"tilth model file", is_anything, model_read_file}};

static size_t reader_of(const uint8_t *bytes, size_t size)
{
    size_t i = 0;

    while (!readers[i].fits(bytes, size))
        i++;
    return i;
}

const char *model_format(const uint8_t *bytes, size_t size)
{
    return readers[reader_of(bytes, size)].format;
}

bool model_is_file(const uint8_t *bytes, size_t size)
{
    return readers[reader_of(bytes, size)].read == model_read_file;
}

enum tl_code model_read(const char *name, const uint8_t *bytes, size_t size, struct arena *arena,
                        struct model *ret_model, struct tl_err *err)
{
    if (size > MODEL_MAX_FILE_BYTES)
        return tl_fail(err, TL_LIMIT, "%s: %zu bytes, a model has at most %zu", name, size,
                       MODEL_MAX_FILE_BYTES);
    return readers[reader_of(bytes, size)].read(name, bytes, size, arena, ret_model, err);
}
