/* Any bytes as a settings file: refused or read, and what was read is within its ranges. */
#include "base/buf.h"
#include "base/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config, again;
    struct tl_err err;
    AUTO_BUF text = {0};

    config_defaults(&config);
    if (config_read_text(&config, "fuzz", data, size, &err) != TL_OK)
        return 0;
    /* What it prints, it reads back. */
    config_print(&config, &text);
    config_defaults(&again);
    if (!buf_failed(&text) && config_read_text(&again, "printed", text.bytes, text.size, &err))
        abort();
    return 0;
}
