/* Health and metrics: what an orchestrator and a scraper ask. */
#include "base/buf.h"
#include "base/metric.h"
#include "http/app.h"
#include "http/reply.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void reply_status(struct http *http, struct request *request, int status, struct text text)
{
    struct reply reply = {.status = status, .text = text};

    reply_add_string(&reply, "content-type", "application/json");
    reply_add_string(&reply, "cache-control", "no-store");
    if (status == 503)
        reply_add_string(&reply, "retry-after", "2");
    reply_send(http, request, &reply);
}

/* Alive: this loop answers. */
void on_health(struct http *http, struct request *request, const struct route_args *args)
{
    (void)args;
    reply_status(http, request, 200, text_of("{\"status\":\"ok\"}\n"));
}

/* Worth sending users to. */
void on_ready(struct http *http, struct request *request, const struct route_args *args)
{
    (void)args;
    if (server_draining(http->server))
        reply_status(http, request, 503, text_of("{\"status\":\"draining\"}\n"));
    else
        reply_status(http, request, 200, text_of("{\"status\":\"ready\"}\n"));
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

    (void)args;
    metric_print(&out);
    print_process(&out);
    reply_buf(http, request, &out, "text/plain; version=0.0.4; charset=utf-8", "no-store");
}
