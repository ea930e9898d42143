/*
 * log: one JSON line per event, written by its own thread, so that a stuck pipe
 * never stops a tile. When the ring is full lines are dropped and counted.
 *
 * Threads  log_line() from any thread, never blocks
 * Memory   log_open() / log_close(); close writes what is queued
 */
#ifndef TILTH_BASE_LOG_H
#define TILTH_BASE_LOG_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>

struct log;

/* "-" is standard output, "" swallows everything. */
TL_MUST_CHECK enum tl_code log_open(const char *path, struct log **ret_log, struct tl_err *err);
void log_close(struct log *log);

/* `line` is one finished JSON object without newline, at most 2,000 bytes. */
void log_line(struct log *log, const char *line, size_t size);
/* {"ts":..,"level":"warn","at":"http/on_tile","msg":".."}: events that are not requests. */
void log_event(struct log *log, const char *level, const char *at, const char *fmt, ...)
    TL_PRINTF(4, 5);

AUTO_DEFINE(log, log_close)

#endif
