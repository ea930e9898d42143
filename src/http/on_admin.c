/* Health and metrics: what an orchestrator and a scraper ask. */
#include "base/buf.h"
#include "base/metric.h"
#include "http/app.h"
#include "http/reply.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/layer_check.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* `body` is taken over; without one there was no memory for it. */
static void reply_status(struct http *http, struct request *request, int status, struct blob *body)
{
    struct reply reply = {
        .status = status, .text = text_of("{\"status\":\"no memory\"}\n"), .body = body};

    reply_add_string(&reply, "content-type", "application/json");
    reply_add_string(&reply, "cache-control", "no-store");
    if (status == 503)
        reply_add_string(&reply, "retry-after", "2");
    reply_send(http, request, &reply);
}

/* Alive: this loop answers. */
void on_health(struct http *http, struct request *request, const struct route_args *args)
{
    AUTO_BUF out = {0};

    (void)args;
    buf_puts(&out, "{\"status\":\"ok\"}\n");
    reply_status(http, request, 200, buf_blob(&out));
}

/* Of the layers those whose last opening failed, as their ids in JSON; returns how many. */
static size_t list_closed(const struct catalog *catalog, struct buf *out)
{
    size_t closed = 0;

    for (size_t i = 0; i < catalog_layer_count(catalog); i++) {
        struct layer *layer = catalog_layer_at(catalog, i);

        if (!layer_is_closed(layer))
            continue;
        buf_puts(out, closed++ ? "," : "");
        buf_json(out, layer_info(layer)->id);
    }
    return closed;
}

/*
 * Worth sending users to: a server that has layers, even where some of them cannot be opened.
 * Their stores are the same for every replica, so leaving one out would help nobody and
 * take the other layers along. One that refused every document is of no use, and a rollout stops.
 */
void on_ready(struct http *http, struct request *request, const struct route_args *args)
{
    const struct catalog *catalog = http->options.catalog;
    size_t layers = catalog_layer_count(catalog), refused = catalog_refused(catalog);
    AUTO_BUF closed = {0};
    AUTO_BUF out = {0};

    (void)args;
    bool ready = !server_draining(http->server) && (layers || !refused);
    list_closed(catalog, &closed);
    buf_printf(&out, "{\"status\":\"%s\",\"layers\":%zu,\"refused\":%zu,\"closed\":[%.*s]}\n",
               ready                           ? "ready"
               : server_draining(http->server) ? "draining"
                                               : "no layer",
               layers, refused, (int)closed.size, closed.size ? (const char *)closed.bytes : "");
    reply_status(http, request, ready ? 200 : 503, buf_blob(&out));
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Resident pages, from a file that the kernel makes up without touching a disk. */
static long resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128];
    char *rest;

    if (!file)
        return 0;
    const char *got = fgets(line, sizeof(line), file);
    fclose(file);
    if (!got)
        return 0;
    (void)strtol(line, &rest, 10);
    return strtol(rest, NULL, 10);
}

static void print_process(struct buf *out)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        buf_printf(out,
                   "# HELP process_cpu_seconds_total User and system time.\n"
                   "# TYPE process_cpu_seconds_total counter\n"
                   "process_cpu_seconds_total %.6f\n",
                   seconds(usage.ru_utime) + seconds(usage.ru_stime));
    buf_printf(out,
               "# HELP process_resident_memory_bytes Resident memory.\n"
               "# TYPE process_resident_memory_bytes gauge\n"
               "process_resident_memory_bytes %ld\n",
               resident_pages() * sysconf(_SC_PAGESIZE));
    buf_puts(out, "# HELP tilth_build_info Version of this program.\n"
                  "# TYPE tilth_build_info gauge\n"
                  "tilth_build_info{version=\"" TILTH_VERSION "\"} 1\n");
}

void on_metrics(struct http *http, struct request *request, const struct route_args *args)
{
    AUTO_BUF out = {0};

    AUTO_BUF closed = {0};

    (void)args;
    metric_set(METRIC_LAYERS, (int64_t)catalog_layer_count(http->options.catalog));
    metric_set(METRIC_LAYERS_REFUSED, (int64_t)catalog_refused(http->options.catalog));
    metric_set(METRIC_LAYERS_CLOSED, (int64_t)list_closed(http->options.catalog, &closed));
    metric_print(&out);
    print_process(&out);
    reply_buf(http, request, &out, "text/plain; version=0.0.4; charset=utf-8", "no-store");
}
