#include "cli/cmd_model.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/file.h"
#include "forest/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_ROWS = 256, MAX_GOLDEN_ROWS = 65536 };

static const char *const options[] = {
    "o=", "name=", "features=", "classes=", "class=", "golden-rows=", NULL};

/* A document that goes with the model, as text; NULL where it is not wanted. */
static enum tl_code read_text(const struct app *app, const char *href, char **ret_text,
                              struct tl_err *err)
{
    AUTO(blob) file = NULL;

    *ret_text = NULL;
    if (!href)
        return TL_OK;
    TL_TRY(model_fetch(app, href, &file, err));
    *ret_text = strndup((const char *)blob_bytes(file), blob_size(file));
    return *ret_text ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for %s", href);
}

static enum tl_code read_rows(const struct args *args, uint32_t *ret_rows, struct tl_err *err)
{
    const char *text = args_value(args, "golden-rows=");
    char *end = NULL;
    long rows = text ? strtol(text, &end, 10) : GOLDEN_ROWS;

    if (rows < 1 || rows > MAX_GOLDEN_ROWS || (text && (*end || end == text)))
        return tl_fail(err, TL_INVALID,
                       "--golden-rows: a number from 1 to %d is needed, not \"%s\"",
                       MAX_GOLDEN_ROWS, text);
    *ret_rows = (uint32_t)rows;
    return TL_OK;
}

/* What is made of a model, and whether it is a file that is only ever replaced. */
struct making {
    enum tl_code (*make)(const char *name, const struct blob *file, const struct convert_wish *wish,
                         struct buf *ret_file, struct tl_err *err);
    bool sealed;
};

static enum tl_code write_made(const struct app *app, const struct making *making, const char *href,
                               const char *path, const struct convert_wish *wish,
                               struct tl_err *err)
{
    AUTO(blob) source = NULL;
    AUTO_BUF made = {0};
    char *target = NULL;

    TL_TRY(model_fetch(app, href, &source, err));
    TL_TRY(making->make(href, source, wish, &made, err));
    TL_TRY(file_target(path, &target, err));
    enum tl_code code = file_write(target, made.bytes, made.size, err);
    if (code == TL_OK && making->sealed)
        code = file_seal(target, err);
    free(target);
    if (code == TL_OK)
        printf("%s: %zu bytes, of %zu\n", path, made.size, blob_size(source));
    return code;
}

static enum tl_code run_making(const struct app *app, const struct args *args,
                               const struct making *making, struct tl_err *err)
{
    const char *href = args->positional[1], *path = args_value(args, "o=");
    struct convert_wish wish = {.name = args_value(args, "name="),
                                .class_names = args_value(args, "class=")};
    char *features = NULL, *classes = NULL;

    if (!path || strcmp(path, href) == 0 || file_same(path, href))
        return tl_fail(err, TL_INVALID,
                       "-o OUT.tilth is needed, where the %s model goes: another file than the "
                       "source",
                       making->sealed ? "compiled" : "converted");
    TL_TRY(read_rows(args, &wish.golden_rows, err));
    enum tl_code code = read_text(app, args_value(args, "features="), &features, err);
    if (code == TL_OK)
        code = read_text(app, args_value(args, "classes="), &classes, err);
    wish.features = features;
    wish.classes = classes;
    if (code == TL_OK)
        code = write_made(app, making, href, path, &wish, err);
    free(features);
    free(classes);
    return code;
}

static enum tl_code run_convert(struct app *app, const struct args *args, struct tl_err *err)
{
    static const struct making making = {model_convert, false};

    return run_making(app, args, &making, err);
}

static enum tl_code run_compile(struct app *app, const struct args *args, struct tl_err *err)
{
    static const struct making making = {model_compile, true};

    return run_making(app, args, &making, err);
}

const struct model_verb model_verb_convert = {
    .command =
        {.name = "model convert",
         .help =
             "usage: tilth model convert FILE|URL -o OUT.tilth [--name NAME] [--features FILE]\n"
             "                   [--classes FILE] [--class WHICH=NAME[:#RRGGBB],..]\n"
             "                   [--golden-rows N]\n"
             "\n"
             "Writes any model that tilth reads as a file of its own (docs/model-file.md): equal\n"
             "outputs bit for bit, with names, where it came from, and golden rows. What was "
             "written\n"
             "is loaded again and compared with the source first.\n"
             "\n"
             "  -o OUT.tilth      where it goes; another file than the source\n"
             "  --name NAME       what the model is called (the source's own, else its file's)\n"
             "  --features FILE   names of its features, one per line, in the order the trees use "
             "them\n"
             "  --classes FILE    JSON in the order of the model's classes: [\"maize\", ..], or\n"
             "                    [{\"value\": 1, \"name\": \"maize\", \"color\": \"FFCC00\"}, "
             "..]\n"
             "  --class LIST      names some of them: 0=maize:#FFCC00,1=soya\n"
             "  --golden-rows N   how many rows to make and keep where the model has none (256); "
             "they\n"
             "                    hold a later tilth to what this one gave. Rows of your own, with "
             "what\n"
             "                    the library gave, come of `python3 -m tilth export --golden "
             "FILE`\n"
             "\n"
             "  tilth model convert lgbm.txt -o crops.tilth --features names.txt --class "
             "0=maize\n"},
    .own = options,
    .run = run_convert};

const struct model_verb model_verb_compile = {
    .command =
        {.name = "model compile",
         .help =
             "usage: tilth model compile FILE|URL -o OUT.tilth ...\n"
             "\n"
             "Writes a model as convert does, and with it its compiled form, which is used where "
             "it lies\n"
             "in the file: a large model is served within a twentieth of the time. It is for this "
             "version\n"
             "of tilth; any other reads the model in the same file as ever. A file of tilth's own "
             "stays\n"
             "as it is but for that.\n"
             "\n"
             "  -o OUT.tilth      where it goes; another file than the source. It is written "
             "without\n"
             "                    permission to write, so that servers map it and share its "
             "pages:\n"
             "                    replace it, never write into it\n"
             "\n"
             "Besides: --name, --features, --classes, --class, --golden-rows, as `tilth model "
             "convert\n"
             "--help` has them.\n"
             "\n"
             "  tilth model compile crops.tilth -o crops-compiled.tilth\n"},
    .own = options,
    .run = run_compile};
