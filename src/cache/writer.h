/*
 * writer: the queue in front of the disk and the thread behind it. Values are collected
 * and committed together: one commit costs as much as hundreds of tiles.
 *
 *   writer_offer --> [queue, bounded] --512 values, 8 MiB, 250 ms idle or 1 s--> disk_write
 *                                                                                 |
 *   ram: unwritten ------------------------------------------------> ram_settle <-+
 *
 * A full disk or file never fails anybody: the batch is dropped, counted and told to the
 * listener, and writing is tried again after a pause of 1 s, doubling to 30 s.
 *
 * Threads  writer_offer(), writer_delete(), writer_flush() any
 * Memory   writer_new() / writer_free(), which writes what is queued; borrows disk and ram
 */
#ifndef TILTH_CACHE_WRITER_H
#define TILTH_CACHE_WRITER_H

#include "base/attr.h"
#include "base/err.h"
#include "cache/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;
struct listener;
struct ram;
struct writer;

struct writer_stats {
    uint64_t queued_values, queued_bytes, dropped_values;
    bool paused;
};

TL_MUST_CHECK enum tl_code writer_new(struct disk *disk, struct ram *ram, size_t queue_bytes,
                                      const struct listener *listener, struct writer **ret_writer,
                                      struct tl_err *err);
void writer_free(struct writer *writer);

/* Takes a reference of the blob. False: the queue is full, and the drop is counted. */
bool writer_offer(struct writer *writer, const struct cache_key *key,
                  const struct cache_value *value);
/* Deletes a broken value, unless it is replaced by then. */
void writer_delete(struct writer *writer, const struct cache_key *key, uint64_t seq);
/* TL_NOSPACE: values offered since the last flush did not reach the disk. */
TL_MUST_CHECK enum tl_code writer_flush(struct writer *writer, struct tl_err *err);
struct writer_stats writer_stats(struct writer *writer);

#endif
