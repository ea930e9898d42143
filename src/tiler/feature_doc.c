#include "tiler/feature_doc.h"

#include "feature/fill.h"

#include <math.h>
#include <string.h>

static enum tl_code read_fill(struct json_at at, struct feature_fill *ret, struct tl_err *err)
{
    const char *word;
    double value;

    if (!at.value)
        return TL_OK;
    if (json_is_string(at.value)) {
        TL_TRY(json_read_string(at, &word, err));
        if (strcmp(word, "nan") != 0)
            return json_refuse(&at, err, "\"%.32s\" is neither a number nor \"nan\"", word);
        *ret = (struct feature_fill){true, NAN};
        return TL_OK;
    }
    TL_TRY(json_read_number(at, &value, err));
    if (!isfinite((float)value))
        return json_refuse(&at, err, "%g is too large for float32", value);
    *ret = (struct feature_fill){true, (float)value};
    return TL_OK;
}

enum tl_code feature_doc_read(struct json_at at, const char **ret_text,
                              struct feature_fill *ret_fill, struct tl_err *err)
{
    static const char *const known[] = {"expr", "fill", NULL};
    struct feature_fill fill = {false, 0};
    struct json_at text = at;

    if (json_is_object(at.value)) {
        TL_TRY(json_known_keys(at, known, err));
        text = json_key(&at, "expr");
        TL_TRY(read_fill(json_key(&at, "fill"), &fill, err));
    }
    TL_TRY(json_read_string(text, ret_text, err));
    *ret_fill = fill;
    return TL_OK;
}
