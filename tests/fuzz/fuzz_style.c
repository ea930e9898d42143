/* Style and layer documents and areas from anywhere: refused with a message or read, nothing else.
 */
#include "base/arena.h"
#include "base/check.h"
#include "tiler/aoi_doc.h"
#include "tiler/layer_doc.h"
#include "tiler/style.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct style style;
    const struct area_outline *outline;
    struct layer_doc doc;
    struct tl_err err = {""};
    AUTO(arena) arena = arena_new();

    if (style_parse("fuzz", data, size, &style, &err) == TL_OK) {
        uint8_t rgba[4];

        TL_CHECK(style.class_count <= 256 && style.stop_count <= 256);
        if (style.kind == STYLE_RAMP)
            style_ramp_color(&style, 0.5, rgba);
    } else {
        TL_CHECK(err.msg[0] != '\0');
    }
    if (layer_doc_parse("fuzz/x.json", data, size, arena, &doc, &err) == TL_OK)
        TL_CHECK(layer_doc_season(&doc, "2025-01-01") < (int)DOC_MAX_SEASONS);
    err.msg[0] = '\0';
    if (aoi_doc_parse("fuzz.geojson", data, size, arena, &outline, &err) != TL_OK)
        TL_CHECK(err.msg[0] != '\0');
    return 0;
}
