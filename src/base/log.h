/*
 * log: one JSON line per event, written by its own thread, so that a stuck pipe
 * never stops a tile. When the ring is full lines are dropped and counted
 * (METRIC_LOG_DROPPED).
 *
 * Threads  log_line() from any thread: no lock, no system call, no allocation
 * Memory   log_open() / log_close(); close writes what is queued, for at most a second
 *          where the reader is stuck
 */
#ifndef TILTH_BASE_LOG_H
#define TILTH_BASE_LOG_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct log;

#define LOG_LINE_MAX 2000
#define LOG_STDERR   "&2"

/* "-" is standard output, LOG_STDERR the other, "" swallows everything. A file is appended to. */
TL_MUST_CHECK enum tl_code log_open(const char *path, struct log **ret_log, struct tl_err *err);
void log_close(struct log *log);

/* `line` is one finished JSON object without newline, at most LOG_LINE_MAX bytes of ASCII (see
 * log_escape()); a longer one is dropped and counted. It is on its way within 0.1 s. */
void log_line(struct log *log, const char *line, size_t size);
/* {"ts":..,"level":"warn","at":"http/on_tile","msg":".."}: events that are not requests. */
void log_event(struct log *log, const char *level, const char *at, const char *fmt, ...)
    TL_PRINTF(4, 5);

/* RFC 3339 in microseconds, "2026-11-23T14:44:43.123456Z" and a NUL. */
#define LOG_TIME_SIZE 28
void log_time(int64_t unix_us, char ret_text[LOG_TIME_SIZE]);
/*
 * Writes `text` as the inside of a JSON string: at most `room` bytes, cut between characters,
 * no NUL. Control characters, quotes, backslashes and bytes above 0x7e are escaped (the last
 * as Latin-1, so that a line is ASCII whatever a client sends). Returns the bytes written.
 */
size_t log_escape(char *to, size_t room, const char *text, size_t size);

AUTO_DEFINE(log, log_close)

#endif
