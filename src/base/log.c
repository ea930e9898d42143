/*
 * The ring is one block of bytes with records in it, each an 8-byte header and a line:
 *
 *      tail (the log thread)             head (everybody, by compare-and-swap)
 *        v                                 v
 *   ----[head|line ][head|line ][ ? |......]--------
 *                                ^ reserved, not yet written
 *
 * A writer reserves its record by moving `head`, copies the line in, and publishes it by
 * storing the header with release. A header holds the record's position, counted since the
 * log was opened, so what an earlier lap left at its place is never taken for it; and its top
 * bit is set, which no word of a line has: lines are ASCII. So nothing has to be zeroed, and
 * taking a record costs one read of it. A record never wraps: the gap at the end of the ring
 * is a record of its own.
 */
#include "base/log.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_BYTES = 1 << 20, /* 70 ms of 50,000 requests per second at 300 bytes a line */
    BATCH_BYTES = 64 << 10,
    WORD = sizeof(uint64_t),
    GAP = 0x7fff,  /* size of a record that only fills the end of the ring */
    SWEEP_MS = 40, /* while lines come */
    IDLE_MS = 100,
    CLOSE_MS = 1000,
};

struct log {
    int fd;         /* -1: swallow */
    bool own_fd;    /* opened here */
    bool may_stick; /* a pipe or socket: a write may wait for its reader */
    uint8_t *ring;  /* RING_BYTES */
    char *batch;    /* BATCH_BYTES, the thread's own */
    size_t batch_used;
    alignas(64) _Atomic uint64_t head; /* bytes ever reserved */
    alignas(64) _Atomic uint64_t tail; /* bytes ever taken */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards `closing` */
    pthread_cond_t wake;
    bool closing;
    _Atomic int64_t give_up_ns; /* closing: how long to wait for a stuck reader */
};

static _Atomic uint64_t *header_at(struct log *log, uint64_t position)
{
    return (_Atomic uint64_t *)(void *)(log->ring + position % RING_BYTES);
}

/* Top bit, 15 bits of size, 48 bits of position: 256 TiB of log. */
static uint64_t header_of(uint64_t position, size_t size)
{
    return UINT64_C(1) << 63 | (uint64_t)size << 48 | (position & (UINT64_MAX >> 16));
}

/* Bytes that a record of `size` takes at `position`, the gap before it included. */
static uint64_t record_span(uint64_t position, size_t size, uint64_t *ret_gap)
{
    uint64_t need = WORD + ((size + WORD - 1) & ~(uint64_t)(WORD - 1));
    uint64_t left = RING_BYTES - position % RING_BYTES;

    *ret_gap = left < need ? left : 0;
    return need + *ret_gap;
}

static bool reserve(struct log *log, size_t size, uint64_t *ret_position, uint64_t *ret_gap)
{
    uint64_t head = atomic_load_explicit(&log->head, memory_order_relaxed);

    for (;;) {
        uint64_t span = record_span(head, size, ret_gap);
        /* Acquire: the thread has read what is about to be written over. */
        uint64_t tail = atomic_load_explicit(&log->tail, memory_order_acquire);

        if (head + span - tail > RING_BYTES)
            return false;
        if (atomic_compare_exchange_weak_explicit(&log->head, &head, head + span,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            *ret_position = head;
            return true;
        }
    }
}

void log_line(struct log *log, const char *line, size_t size)
{
    uint64_t position, gap;

    if (log->fd < 0)
        return;
    if (size == 0 || size > LOG_LINE_MAX || !reserve(log, size, &position, &gap)) {
        metric_add(METRIC_LOG_DROPPED, 1);
        return;
    }
    if (gap > 0)
        atomic_store_explicit(header_at(log, position), header_of(position, GAP),
                              memory_order_release);
    position += gap;
    _Atomic uint64_t *header = header_at(log, position);
    uint8_t *text = log->ring + position % RING_BYTES + WORD;
    memcpy(text, line, size);
    memset(text + size, 0, -size % WORD); /* the last word: no top bit of an earlier lap */
    atomic_store_explicit(header, header_of(position, size), memory_order_release);
}

/* False when the reader is stuck and the log is closing, or when writing failed. */
static bool wait_for_reader(struct log *log)
{
    struct pollfd pollfd = {.fd = log->fd, .events = POLLOUT};

    while (log->may_stick) {
        int n = poll(&pollfd, 1, IDLE_MS);

        if (n > 0)
            return (pollfd.revents & POLLOUT) != 0;
        if (clock_now_ns() > atomic_load_explicit(&log->give_up_ns, memory_order_relaxed))
            return false;
    }
    return true;
}

/* Linux takes PIPE_BUF bytes without waiting when poll() said writable; more might wait. */
static bool write_batch(struct log *log, const char *bytes, size_t size)
{
    while (size > 0) {
        if (!wait_for_reader(log))
            return false;
        ssize_t n = write(log->fd, bytes, log->may_stick ? TL_MIN(size, PIPE_BUF) : size);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return true;
}

static void flush_batch(struct log *log)
{
    if (log->batch_used > 0 && !write_batch(log, log->batch, log->batch_used)) {
        int64_t lines = 0;

        for (size_t i = 0; i < log->batch_used; i++)
            lines += log->batch[i] == '\n';
        metric_add(METRIC_LOG_DROPPED, lines);
    }
    log->batch_used = 0;
}

/* Moves the record at `tail` into the batch; false when there is none yet. */
static bool take_record(struct log *log)
{
    uint64_t tail = atomic_load_explicit(&log->tail, memory_order_relaxed);
    const _Atomic uint64_t *header = header_at(log, tail);
    uint64_t found = atomic_load_explicit(header, memory_order_acquire);
    size_t size = found >> 48 & 0x7fff;
    uint64_t gap, span = RING_BYTES - tail % RING_BYTES;

    if (found != header_of(tail, size) || size == 0)
        return false;
    if (size != GAP) {
        span = record_span(tail, size, &gap);
        memcpy(log->batch + log->batch_used, log->ring + tail % RING_BYTES + WORD, size);
        log->batch_used += size;
        log->batch[log->batch_used++] = '\n';
    }
    atomic_store_explicit(&log->tail, tail + span, memory_order_release);
    return true;
}

/* True when there was anything. */
static bool sweep(struct log *log)
{
    bool any = false;

    while (take_record(log)) {
        any = true;
        if (log->batch_used + LOG_LINE_MAX + 1 > BATCH_BYTES)
            flush_batch(log);
    }
    flush_batch(log);
    return any;
}

/* True when the log is closing. */
static bool pause_for(struct log *log, int ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&log->mutex);
    while (!log->closing && pthread_cond_timedwait(&log->wake, &log->mutex, &until) == 0) {
    }
    bool closing = log->closing;
    pthread_mutex_unlock(&log->mutex);
    return closing;
}

static void *run(void *arg)
{
    struct log *log = arg;

    /* Looking 25 times a second is cheaper than one futex call per line. */
    while (!pause_for(log, sweep(log) ? SWEEP_MS : IDLE_MS)) {
    }
    sweep(log);
    return NULL;
}

static enum tl_code open_fd(struct log *log, const char *path, struct tl_err *err)
{
    struct stat st;
    char text[128];

    log->fd = strcmp(path, LOG_STDERR) == 0 ? STDERR_FILENO : STDOUT_FILENO;
    if (strcmp(path, "-") != 0 && log->fd == STDOUT_FILENO) {
        log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        log->own_fd = log->fd >= 0;
    }
    if (log->fd < 0)
        return tl_fail(err, TL_INVALID, "%s: cannot be opened as access log: %s", path,
                       strerror_r(errno, text, sizeof(text)));
    log->may_stick = fstat(log->fd, &st) == 0 && !S_ISREG(st.st_mode);
    return TL_OK;
}

static enum tl_code start(struct log *log, struct tl_err *err)
{
    sigset_t all, before;

    log->ring = calloc(1, RING_BYTES);
    log->batch = malloc(BATCH_BYTES);
    if (!log->ring || !log->batch)
        return tl_fail(err, TL_NOMEM, "no memory for the log");
    /* SIGPIPE among them: a reader that left is EPIPE here and no more. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&log->thread, NULL, run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why != 0)
        return tl_fail(err, TL_NOMEM, "cannot start the log thread");
    pthread_setname_np(log->thread, "tilth-log");
    return TL_OK;
}

static void release(struct log *log)
{
    if (log->own_fd)
        close(log->fd);
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->mutex);
    free(log->batch);
    free(log->ring);
    free(log);
}

static struct log *log_new(void)
{
    struct log *log = aligned_alloc(alignof(struct log), sizeof(struct log));
    pthread_condattr_t monotonic;

    if (!log)
        return NULL;
    memset(log, 0, sizeof(*log));
    log->fd = -1;
    atomic_init(&log->give_up_ns, CLOCK_NEVER);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&log->mutex, NULL);
    return log;
}

enum tl_code log_open(const char *path, struct log **ret_log, struct tl_err *err)
{
    struct log *log = log_new();
    enum tl_code code = TL_OK;

    if (!log)
        return tl_fail(err, TL_NOMEM, "no memory for the log");
    if (*path != '\0')
        code = open_fd(log, path, err);
    if (code == TL_OK && log->fd >= 0)
        code = start(log, err);
    if (code != TL_OK) {
        release(log);
        return code;
    }
    *ret_log = log;
    return TL_OK;
}

void log_close(struct log *log)
{
    if (!log)
        return;
    if (log->fd >= 0) {
        pthread_mutex_lock(&log->mutex);
        log->closing = true;
        atomic_store_explicit(&log->give_up_ns, clock_now_ns() + CLOSE_MS * NS_PER_MS,
                              memory_order_relaxed);
        pthread_cond_signal(&log->wake);
        pthread_mutex_unlock(&log->mutex);
        pthread_join(log->thread, NULL);
    }
    release(log);
}

void log_time(int64_t unix_us, char ret_text[LOG_TIME_SIZE])
{
    time_t seconds = (time_t)(unix_us / 1000000);
    struct tm tm;

    TL_CHECK(gmtime_r(&seconds, &tm) != NULL);
    strftime(ret_text, LOG_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text + 19, LOG_TIME_SIZE - 19, ".%06uZ", (unsigned)(unix_us % 1000000) % 1000000U);
}

/* Bytes that stand for themselves inside a JSON string. */
static const bool plain[256] = {
    [0x20 ... 0x21] = true,
    [0x23 ... 0x5b] = true,
    [0x5d ... 0x7e] = true,
};

static size_t escape_one(char *to, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        to[0] = '\\';
        to[1] = (char)c;
        return 2;
    }
    to[0] = '\\';
    to[1] = 'u';
    to[2] = '0';
    to[3] = '0';
    to[4] = hex[c >> 4];
    to[5] = hex[c & 15];
    return 6;
}

size_t log_escape(char *to, size_t room, const char *text, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        char one[6];

        if (plain[(unsigned char)text[i]]) {
            if (used == room)
                break;
            to[used++] = text[i];
            continue;
        }
        size_t n = escape_one(one, (unsigned char)text[i]);
        if (used + n > room)
            break;
        memcpy(to + used, one, n);
        used += n;
    }
    return used;
}

void log_event(struct log *log, const char *level, const char *at, const char *fmt, ...)
{
    char message[1024], line[LOG_LINE_MAX], time[LOG_TIME_SIZE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    log_time(clock_unix_us(), time);
    int n =
        snprintf(line, sizeof(line),
                 "{\"ts\":\"%s\",\"level\":\"%.16s\",\"at\":\"%.64s\",\"msg\":\"", time, level, at);
    size_t used = (size_t)TL_MAX(n, 0);
    used += log_escape(line + used, sizeof(line) - used - 2, message, strlen(message));
    line[used++] = '"';
    line[used++] = '}';
    log_line(log, line, used);
}
