/*
 * The viewer page and its files. They are read once at the start; from then on the list of
 * names is fixed, so no request ever reaches the file system.
 */
#include "base/blob.h"
#include "base/file.h"
#include "http/app.h"
#include "http/reply.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { ASSETS = 64, ASSET_MAX_BYTES = 4 << 20 };

struct asset {
    char name[64]; /* "leaflet.js", "images/layers.png" */
    const char *type;
    struct blob *body;
};

static const char *type_of(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
    };
    size_t size = strlen(name);

    for (unsigned i = 0; i < TL_COUNT(types); i++) {
        size_t end = strlen(types[i].end);

        if (size > end && strcmp(name + size - end, types[i].end) == 0)
            return types[i].type;
    }
    return NULL;
}

static enum tl_code load_one(struct http *http, const char *dir, const char *name,
                             struct tl_err *err)
{
    char path[PATH_MAX];
    struct asset *asset = &http->assets[http->asset_count];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (http->asset_count == ASSETS)
        return tl_fail(err, TL_LIMIT, "%s: more than %d files for the viewer", dir, ASSETS);
    TL_TRY(file_read(path, ASSET_MAX_BYTES, &asset->body, err));
    snprintf(asset->name, sizeof(asset->name), "%s", name);
    asset->type = type_of(name);
    http->asset_count++;
    return TL_OK;
}

static struct dirent *next_entry(DIR *folder)
{
    return readdir(folder); /* NOLINT(concurrency-mt-unsafe): nobody else has this DIR */
}

/* Files of dir/sub whose ending is known; others are not served. */
static enum tl_code load_folder(struct http *http, const char *dir, const char *sub,
                                struct tl_err *err)
{
    char path[PATH_MAX], name[sizeof(((struct asset *)0)->name)], text[128];
    enum tl_code code = TL_OK;

    snprintf(path, sizeof(path), "%s/%s", dir, sub);
    DIR *folder = opendir(path);
    if (!folder && *sub)
        return TL_OK; /* a viewer without images */
    if (!folder)
        return tl_fail(err, TL_INVALID, "viewer_dir %s: %s", dir,
                       strerror_r(errno, text, sizeof(text)));
    for (struct dirent *entry; code == TL_OK && (entry = next_entry(folder));) {
        int size = snprintf(name, sizeof(name), "%s%s", sub, entry->d_name);

        if (entry->d_name[0] != '.' && type_of(entry->d_name) && size > 0 &&
            (size_t)size < sizeof(name))
            code = load_one(http, dir, name, err);
    }
    closedir(folder);
    return code;
}

enum tl_code assets_load(struct http *http, const char *dir, struct tl_err *err)
{
    http->assets = calloc(ASSETS, sizeof(*http->assets));
    if (!http->assets)
        return tl_fail(err, TL_NOMEM, "no memory for the files of the viewer");
    TL_TRY(load_folder(http, dir, "", err));
    return load_folder(http, dir, "images/", err);
}

void assets_free(struct http *http)
{
    for (unsigned i = 0; i < http->asset_count; i++)
        blob_unref(http->assets[i].body);
    free(http->assets);
}

static const struct asset *asset_of(const struct http *http, const char *name)
{
    for (unsigned i = 0; i < http->asset_count; i++)
        if (strcmp(http->assets[i].name, name) == 0)
            return &http->assets[i];
    return NULL;
}

/* /viewer: with the slash, names in the page are relative to it, behind any prefix. */
void on_viewer_moved(struct http *http, struct request *request, const struct route_args *args)
{
    struct reply reply = {.status = 301};
    struct text query = request->target;

    (void)args;
    /* The query goes along; url_parse() let nothing through that could end a header. */
    text_cut(&query, '?');
    size_t size = query.size <= 512 ? query.size : 0;
    char *location = reply_scratch(request, size + 8), *to = put_text(location, "viewer/");
    if (size > 0) {
        *to++ = '?';
        memcpy(to, query.at, size);
        to += size;
    }
    reply_add(&reply, "location", (struct text){location, (size_t)(to - location)});
    reply_add_string(&reply, "cache-control", "no-cache");
    reply_send(http, request, &reply);
}

void on_viewer(struct http *http, struct request *request, const struct route_args *args)
{
    const struct url *url = args->url;
    char name[64] = "index.html";

    if (url->segment_count == 3)
        snprintf(name, sizeof(name), "images/%.*s", (int)TL_MIN(args->args[0].size, 50),
                 args->args[0].at);
    else if (args->count == 1 && !text_copy(args->args[0], name, sizeof(name)))
        name[0] = '\0';
    const struct asset *asset = asset_of(http, name);
    if (!asset) {
        reply_problem(http, request, 404, "absent",
                      http->asset_count ? "the viewer has no such file"
                                        : "no viewer is installed (viewer_dir)");
        return;
    }
    reply_document(http, request, blob_ref(asset->body), asset->type, "no-cache");
}
