#include "cli/output_files.h"

#include "classify/prediction_band.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum tl_code add(struct output_files *files, const char *name, const char *path,
                        struct tl_err *err)
{
    const char *dot = strrchr(path, '.');

    if (!dot || (strcasecmp(dot, ".tif") != 0 && strcasecmp(dot, ".tiff") != 0))
        return tl_fail(err, TL_INVALID,
                       "%s: a COG is written, whose name ends in .tif; gdal_translate makes other "
                       "formats of it",
                       path);
    if (files->count == PREDICTION_MAX_BANDS)
        return tl_fail(err, TL_LIMIT, "--outputs: more than %d files", PREDICTION_MAX_BANDS);
    files->names[files->count] = name;
    files->paths[files->count++] = path;
    return TL_OK;
}

/* "margin=m.tif" */
static enum tl_code add_pair(struct output_files *files, char *pair, struct tl_err *err)
{
    char *equals = strchr(pair, '=');

    if (!equals || equals == pair || equals[1] == '\0')
        return tl_fail(err, TL_INVALID, "--outputs: \"%.64s\" is not BAND=FILE", pair);
    *equals = '\0';
    if (strcmp(pair, "probability") == 0)
        return tl_fail(err, TL_INVALID,
                       "--outputs: a file has one band, and probability is one of each class; name "
                       "them: probability:CLASS=FILE,...");
    return add(files, pair, equals + 1, err);
}

enum tl_code output_files_read(const struct args *args, struct output_files *ret_files,
                               struct tl_err *err)
{
    const char *list = args_value(args, "outputs="), *confidence = args_value(args, "confidence=");
    AUTO_OUTPUT_FILES files = {0};
    char *rest;

    TL_TRY(add(&files, "label", args_value(args, "o="), err));
    if (confidence)
        TL_TRY(add(&files, "confidence", confidence, err));
    files.text = rest = TL_OWNED(strdup(list ? list : ""));
    if (!files.text)
        return tl_fail(err, TL_NOMEM, "no memory for --outputs");
    for (char *pair; list && (pair = strsep(&rest, ",")) != NULL;)
        TL_TRY(add_pair(&files, pair, err));
    *ret_files = files;
    files.text = NULL;
    return TL_OK;
}

void output_files_release(struct output_files *files)
{
    free(files->text);
    files->text = NULL;
}

enum tl_code output_files_sort(const struct output_files *files, const struct model_info *model,
                               const char *const *names, uint32_t count, const char **ret_paths,
                               struct tl_err *err)
{
    memset((void *)ret_paths, 0, count * sizeof(*ret_paths));
    for (uint32_t i = 0; i < files->count; i++) {
        struct prediction_band band;
        char name[BAND_NAME_ROOM];
        uint32_t at = 0;

        TL_TRY(prediction_band_find(files->names[i], model, &band, err));
        prediction_band_name(&band, model, name);
        while (at < count && strcmp(names[at], name) != 0)
            at++;
        if (at == count)
            return tl_fail(err, TL_ABSENT,
                           "the layer does not keep %s; \"outputs\": [\"%s\"] in its document "
                           "adds it",
                           name, name);
        if (ret_paths[at])
            return tl_fail(err, TL_INVALID, "%s is to go to %s and to %s; one file is written",
                           name, ret_paths[at], files->paths[i]);
        ret_paths[at] = files->paths[i];
    }
    return TL_OK;
}
