#include "cache/writer.h"

#include "base/blob.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/trouble.h"
#include "cache/disk.h"
#include "cache/ram.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_VALUES = 512 };

#define IDLE_NS      (250 * NS_PER_MS)
#define AGE_MAX_NS   NS_PER_S
#define HOUSEKEEP_NS (10 * NS_PER_S)
#define PAUSE_MIN_NS NS_PER_S
#define PAUSE_MAX_NS (30 * NS_PER_S)

struct pending {
    struct pending *next;
    struct disk_op op; /* holds a reference of its blob */
    int64_t at_ns;
};

struct writer {
    struct disk *disk;
    struct ram *ram;
    const struct listener *listener;
    size_t queue_max, batch_max; /* bytes */
    pthread_t thread;

    pthread_mutex_t mu; /* guards: from here to `stop` */
    pthread_cond_t wake, done;
    struct pending *first, **last;
    size_t values, bytes;
    int64_t last_ns;          /* when something was queued last */
    uint64_t taken, finished; /* ops ever queued; ops ever written or dropped */
    uint64_t flush_to;        /* write at once until so many are finished */
    uint64_t lost, lost_told; /* values dropped; of those, reported by a flush */
    int64_t pause_until_ns;
    bool stop;

    /* The writer's thread alone. */
    struct trouble unwritten;
    int64_t pause_ns;
    struct disk_op batch[BATCH_VALUES];
};

/* ---- queue, under mu ---- */

static bool push(struct writer *writer, const struct disk_op *op, size_t size)
{
    struct pending *pending = malloc(sizeof(*pending));

    if (!pending)
        return false;
    *pending = (struct pending){.op = *op, .at_ns = clock_now_ns()};
    if (op->blob)
        blob_ref(op->blob);
    *writer->last = pending;
    writer->last = &pending->next;
    writer->values++;
    writer->bytes += size;
    writer->taken++;
    writer->last_ns = pending->at_ns;
    /* The thread looks at the clock by itself; it must hear of the first and of a full batch. */
    if (writer->values == 1 || writer->values == BATCH_VALUES ||
        (writer->bytes >= writer->batch_max && writer->bytes - size < writer->batch_max))
        pthread_cond_signal(&writer->wake);
    return true;
}

static size_t op_bytes(const struct disk_op *op)
{
    return op->blob ? blob_size(op->blob) : 0;
}

/* Moves a batch from the queue to writer->batch. */
static size_t pop_batch(struct writer *writer)
{
    size_t count = 0, bytes = 0;

    while (writer->first && count < BATCH_VALUES) {
        struct pending *pending = writer->first;
        size_t size = op_bytes(&pending->op);

        if (count > 0 && bytes + size > writer->batch_max)
            break;
        writer->batch[count++] = pending->op;
        bytes += size;
        writer->first = pending->next;
        free(pending);
    }
    if (!writer->first)
        writer->last = &writer->first;
    writer->values -= count;
    writer->bytes -= bytes;
    return count;
}

/* When the queue is due, in monotonic time: now or earlier means now. */
static int64_t due_ns(const struct writer *writer)
{
    if (writer->values == 0)
        return CLOCK_NEVER;
    if (writer->stop || writer->flush_to > writer->finished || writer->values >= BATCH_VALUES ||
        writer->bytes >= writer->batch_max)
        return 0;
    return TL_MIN(writer->last_ns + IDLE_NS, writer->first->at_ns + AGE_MAX_NS);
}

static void wait_until(struct writer *writer, int64_t until_ns)
{
    const struct timespec at = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};

    pthread_cond_timedwait(&writer->wake, &writer->mu, &at);
}

/* ---- the thread ---- */

/* Writes writer->batch; returns whether it is on disk. Without mu. */
static bool write_batch(struct writer *writer, size_t count)
{
    struct tl_err err;
    enum tl_code code = disk_write(writer->disk, writer->batch, count, &err);

    if (code == TL_OK) {
        writer->pause_ns = 0;
        trouble_over(&writer->unwritten, writer->listener, "cache",
                     "values are kept on disk again");
        return true;
    }
    trouble_met(&writer->unwritten, writer->listener, "cache",
                "values are not kept on disk until this is mended: %s", err.msg);
    writer->pause_ns = TL_MIN(TL_MAX(2 * writer->pause_ns, PAUSE_MIN_NS), PAUSE_MAX_NS);
    return false;
}

/* Whatever became of them, the values of a batch need no longer be held in memory. */
static size_t settle_batch(struct writer *writer, size_t count)
{
    size_t values = 0;

    for (size_t i = 0; i < count; i++) {
        struct disk_op *op = &writer->batch[i];

        if (!op->blob)
            continue;
        ram_settle(writer->ram, &op->key, op->blob);
        blob_unref(op->blob);
        values++;
    }
    return values;
}

/* Takes a batch and is rid of it. Enters and leaves with mu held. */
static void run_batch(struct writer *writer)
{
    size_t count = pop_batch(writer);
    bool paused = clock_now_ns() < writer->pause_until_ns;

    pthread_mutex_unlock(&writer->mu);
    bool written = !paused && write_batch(writer, count);
    size_t values = settle_batch(writer, count);
    if (!written)
        metric_add(METRIC_CACHE_DROPPED, (int64_t)values);
    pthread_mutex_lock(&writer->mu);
    if (!written && !paused)
        writer->pause_until_ns = clock_now_ns() + writer->pause_ns;
    if (!written)
        writer->lost += values;
    writer->finished += count;
    pthread_cond_broadcast(&writer->done);
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    int64_t housekeep_ns = clock_now_ns() + HOUSEKEEP_NS;

    pthread_mutex_lock(&writer->mu);
    while (!writer->stop || writer->values > 0) {
        int64_t now = clock_now_ns(), due = due_ns(writer);

        if (now >= housekeep_ns) {
            pthread_mutex_unlock(&writer->mu);
            disk_housekeep(writer->disk);
            housekeep_ns = clock_now_ns() + HOUSEKEEP_NS;
            pthread_mutex_lock(&writer->mu);
        } else if (due <= now) {
            run_batch(writer);
        } else {
            wait_until(writer, TL_MIN(due, housekeep_ns));
        }
    }
    pthread_mutex_unlock(&writer->mu);
    return NULL;
}

/* ---- the public part ---- */

static bool init_sync(struct writer *writer)
{
    pthread_condattr_t monotonic;

    if (pthread_mutex_init(&writer->mu, NULL) != 0 || pthread_condattr_init(&monotonic) != 0)
        return false;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    bool ready = pthread_cond_init(&writer->wake, &monotonic) == 0 &&
                 pthread_cond_init(&writer->done, NULL) == 0;
    pthread_condattr_destroy(&monotonic);
    return ready;
}

enum tl_code writer_new(struct disk *disk, struct ram *ram, size_t queue_bytes,
                        const struct listener *listener, struct writer **ret_writer,
                        struct tl_err *err)
{
    struct writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return tl_fail(err, TL_NOMEM, "no memory for the cache writer");
    writer->disk = disk;
    writer->ram = ram;
    writer->listener = listener;
    writer->queue_max = queue_bytes;
    writer->batch_max = disk_batch_bytes(disk);
    writer->last = &writer->first;
    if (!init_sync(writer) || pthread_create(&writer->thread, NULL, writer_main, writer) != 0) {
        free(writer);
        return tl_fail(err, TL_NOMEM, "the cache writer's thread does not start");
    }
    *ret_writer = writer;
    return TL_OK;
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mu);
    writer->stop = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->mu);
    pthread_join(writer->thread, NULL);
    pthread_cond_destroy(&writer->wake);
    pthread_cond_destroy(&writer->done);
    pthread_mutex_destroy(&writer->mu);
    free(writer);
}

bool writer_offer(struct writer *writer, const struct cache_key *key,
                  const struct cache_value *value)
{
    const struct disk_op op = {
        .key = *key, .blob = value->blob, .hash = value->hash, .tag = value->tag};
    size_t size = blob_size(value->blob);

    pthread_mutex_lock(&writer->mu);
    bool queued = writer->bytes + size <= writer->queue_max && push(writer, &op, size);
    writer->lost += !queued;
    pthread_mutex_unlock(&writer->mu);
    if (!queued)
        metric_add(METRIC_CACHE_DROPPED, 1);
    return queued;
}

void writer_delete(struct writer *writer, const struct cache_key *key, uint64_t seq)
{
    const struct disk_op op = {.key = *key, .seq = seq};

    pthread_mutex_lock(&writer->mu);
    if (writer->values < (size_t)16 * BATCH_VALUES) /* else the next reader finds it broken again */
        push(writer, &op, 0);
    pthread_mutex_unlock(&writer->mu);
}

enum tl_code writer_flush(struct writer *writer, struct tl_err *err)
{
    pthread_mutex_lock(&writer->mu);
    uint64_t to = writer->taken;

    writer->flush_to = TL_MAX(writer->flush_to, to);
    pthread_cond_signal(&writer->wake);
    while (writer->finished < to)
        pthread_cond_wait(&writer->done, &writer->mu);
    uint64_t lost = writer->lost - writer->lost_told;
    writer->lost_told = writer->lost;
    pthread_mutex_unlock(&writer->mu);
    if (lost == 0)
        return TL_OK;
    return tl_fail(err, TL_NOSPACE,
                   "%llu values are not in the cache on disk: it or its queue is full",
                   (unsigned long long)lost);
}

struct writer_stats writer_stats(struct writer *writer)
{
    pthread_mutex_lock(&writer->mu);
    struct writer_stats stats = {
        .queued_values = writer->values,
        .queued_bytes = writer->bytes,
        .dropped_values = writer->lost,
        .paused = clock_now_ns() < writer->pause_until_ns,
    };
    pthread_mutex_unlock(&writer->mu);
    return stats;
}
