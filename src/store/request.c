#include "store/request.h"

#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "store/target.h"

#include <errno.h>
#include <stdlib.h>

/* A canceller is a flag that nobody signals; it is looked at this often. */
#define CANCEL_POLL_NS (20 * NS_PER_MS)

static bool init_wait(struct request *request)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return false;
    /* Deadlines are monotonic. */
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&request->done, &attr) == 0;
    pthread_condattr_destroy(&attr);
    if (ok && pthread_mutex_init(&request->mutex, NULL) != 0) {
        pthread_cond_destroy(&request->done);
        return false;
    }
    return ok;
}

struct request *request_new(struct target *target, enum request_kind kind,
                            const struct range *ranges, size_t count)
{
    if (count > (SIZE_MAX / 2 - sizeof(struct request)) / sizeof(struct want))
        return NULL;
    struct request *request = calloc(1, sizeof(*request) + count * sizeof(struct want));

    if (!request)
        return NULL;
    if (!init_wait(request)) {
        free(request);
        return NULL;
    }
    atomic_init(&request->refs, 1);
    request->kind = kind;
    request->target = target_ref(target);
    request->count = count;
    request->missing = count;
    for (size_t i = 0; i < count; i++) {
        request->wants[i].request = request;
        request->wants[i].range = ranges[i];
    }
    return request;
}

struct request *request_ref(struct request *request)
{
    /* Relaxed: the pointer came with its own ordering. */
    atomic_fetch_add_explicit(&request->refs, 1, memory_order_relaxed);
    return request;
}

void request_unref(struct request *request)
{
    if (!request || atomic_fetch_sub_explicit(&request->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < request->count; i++)
        blob_unref(request->wants[i].slice.owner);
    target_unref(request->target);
    pthread_cond_destroy(&request->done);
    pthread_mutex_destroy(&request->mutex);
    free(request);
}

void request_finish(struct request *request, enum tl_code code, const struct tl_err *err)
{
    pthread_mutex_lock(&request->mutex);
    request->is_done = true;
    request->code = code;
    if (code != TL_OK)
        request->err = *err;
    pthread_cond_signal(&request->done);
    pthread_mutex_unlock(&request->mutex);
}

void request_note(struct request *request, const struct tl_err *err)
{
    pthread_mutex_lock(&request->mutex);
    request->err = *err;
    pthread_mutex_unlock(&request->mutex);
}

static void wait_until(struct request *request, int64_t until_ns)
{
    if (until_ns == CLOCK_NEVER) {
        pthread_cond_wait(&request->done, &request->mutex);
        return;
    }
    struct timespec until = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
    pthread_cond_timedwait(&request->done, &request->mutex, &until);
}

bool request_wait(struct request *request, const struct errand *errand, enum tl_code *ret_code,
                  struct tl_err *err)
{
    enum tl_code gone = TL_OK;

    pthread_mutex_lock(&request->mutex);
    while (!request->is_done && (gone = errand_check(errand, err)) == TL_OK) {
        int64_t until_ns = errand->deadline_ns;
        if (errand->cancelled)
            until_ns = TL_MIN(until_ns, clock_now_ns() + CANCEL_POLL_NS);
        wait_until(request, until_ns);
    }
    bool is_done = request->is_done;
    *ret_code = is_done ? request->code : gone;
    if (is_done && request->code != TL_OK)
        *err = request->err;
    else if (gone == TL_TIMEOUT)
        tl_fail(err, TL_TIMEOUT, "the deadline passed while %.200s was read%s%.200s",
                request->target->href.label, request->err.msg[0] ? "; the last try: " : "",
                request->err.msg);
    pthread_mutex_unlock(&request->mutex);
    return is_done;
}
