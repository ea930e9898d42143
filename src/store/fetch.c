#include "store/fetch.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "store/engine.h"
#include "store/target.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
    struct engine *engine; /* the thread's */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards: all below */
    struct request_queue arrivals, leavers;
    bool is_signalled; /* a wakeup is on its way: one is enough for a full inbox */
    bool is_stopping;
};

/* Moves the inbox over; false when it is time to stop. */
static bool take_inbox(struct fetch *fetch, struct request_queue *arrivals,
                       struct request_queue *leavers)
{
    STAILQ_INIT(arrivals);
    STAILQ_INIT(leavers);
    pthread_mutex_lock(&fetch->mutex);
    STAILQ_CONCAT(arrivals, &fetch->arrivals);
    STAILQ_CONCAT(leavers, &fetch->leavers);
    fetch->is_signalled = false;
    bool go_on = !fetch->is_stopping;
    pthread_mutex_unlock(&fetch->mutex);
    return go_on;
}

/* Arrivals first: who leaves has arrived. */
static bool open_inbox(struct fetch *fetch)
{
    struct request_queue arrivals, leavers;
    struct request *request;
    bool go_on = take_inbox(fetch, &arrivals, &leavers);

    while ((request = STAILQ_FIRST(&arrivals))) {
        STAILQ_REMOVE_HEAD(&arrivals, inbox_link);
        engine_admit(fetch->engine, request);
    }
    while ((request = STAILQ_FIRST(&leavers))) {
        STAILQ_REMOVE_HEAD(&leavers, leave_link);
        engine_leave(fetch->engine, request);
    }
    return go_on;
}

static void *fetch_main(void *udata)
{
    struct fetch *fetch = udata;

    while (open_inbox(fetch)) {
        int wait_ms = engine_turn(fetch->engine);
        curl_multi_poll(engine_multi(fetch->engine), NULL, 0, wait_ms, NULL);
    }
    return NULL;
}

/* OpenSSL may raise SIGPIPE, and process signals belong to main. */
static int start_thread(struct fetch *fetch)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&fetch->thread, NULL, fetch_main, fetch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum tl_code fetch_new(const struct store_options *options, struct fetch **ret_fetch,
                       struct tl_err *err)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    enum tl_code code;

    if (!fetch)
        return tl_fail(err, TL_NOMEM, "no memory for the fetch thread");
    STAILQ_INIT(&fetch->arrivals);
    STAILQ_INIT(&fetch->leavers);
    code = engine_new(options, &fetch->engine, err);
    if (code != TL_OK) {
        free(fetch);
        return code;
    }
    TL_CHECK(pthread_mutex_init(&fetch->mutex, NULL) == 0);
    if (start_thread(fetch) != 0) {
        pthread_mutex_destroy(&fetch->mutex);
        engine_free(fetch->engine);
        free(fetch);
        return tl_fail(err, TL_NOMEM, "the fetch thread cannot be started");
    }
    *ret_fetch = fetch;
    return TL_OK;
}

/* Puts `request` and one more reference of it into `queue`. */
static void tell(struct fetch *fetch, struct request *request, bool leaves)
{
    request_ref(request);
    pthread_mutex_lock(&fetch->mutex);
    if (leaves)
        STAILQ_INSERT_TAIL(&fetch->leavers, request, leave_link);
    else
        STAILQ_INSERT_TAIL(&fetch->arrivals, request, inbox_link);
    bool wake = !fetch->is_signalled;
    fetch->is_signalled = true;
    pthread_mutex_unlock(&fetch->mutex);
    if (wake)
        curl_multi_wakeup(engine_multi(fetch->engine));
}

void fetch_free(struct fetch *fetch)
{
    if (!fetch)
        return;
    pthread_mutex_lock(&fetch->mutex);
    fetch->is_stopping = true;
    pthread_mutex_unlock(&fetch->mutex);
    curl_multi_wakeup(engine_multi(fetch->engine));
    pthread_join(fetch->thread, NULL);
    engine_free(fetch->engine);
    pthread_mutex_destroy(&fetch->mutex);
    free(fetch);
}

/* Sends, waits and settles the bill. */
static enum tl_code run(struct fetch *fetch, struct request *request, struct errand *errand,
                        struct tl_err *err)
{
    int64_t start_ns = clock_now_ns();
    enum tl_code code;

    TL_TRY(errand_check(errand, err));
    tell(fetch, request, false);
    bool is_done = request_wait(request, errand, &code, err);
    if (is_done) {
        errand->fetched_bytes += request->bytes;
        errand->fetches += request->fetches;
    } else {
        tell(fetch, request, true);
    }
    errand_lap(errand, STAGE_FETCH, start_ns);
    return code;
}

static struct slice take_slice(struct want *want)
{
    struct slice slice = want->slice;

    want->slice = (struct slice){0};
    return slice;
}

enum tl_code fetch_read(struct target *target, const struct range *ranges, size_t count,
                        struct errand *errand, struct slice *ret_slices, struct tl_err *err)
{
    AUTO(request) request = request_new(target, REQUEST_READ, ranges, count);

    if (!request)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu ranges", count);
    TL_TRY(run(target->fetch, request, errand, err));
    for (size_t i = 0; i < count; i++)
        ret_slices[i] = take_slice(&request->wants[i]);
    return TL_OK;
}

/* A request that nobody waits for: its bytes stay with it until its owner leaves. */
struct ahead {
    struct request *request;
};

struct ahead *fetch_ahead(struct target *target, const struct range *ranges, size_t count)
{
    struct ahead *ahead = calloc(1, sizeof(*ahead));

    if (!ahead)
        return NULL;
    ahead->request = request_new(target, REQUEST_READ, ranges, count);
    if (!ahead->request) {
        free(ahead);
        return NULL;
    }
    ahead->request->is_ahead = true;
    tell(target->fetch, ahead->request, false);
    return ahead;
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead)
        return;
    tell(ahead->request->target->fetch, ahead->request, true);
    request_unref(ahead->request);
    free(ahead);
}

enum tl_code fetch_first(struct target *target, enum request_kind kind, struct errand *errand,
                         struct fetch_head *ret_head, struct tl_err *err)
{
    struct range range = {.size = kind == REQUEST_OPEN ? OBJECT_HEAD_BYTES : 1};
    AUTO(request) request = request_new(target, kind, &range, 1);

    if (!request)
        return tl_fail(err, TL_NOMEM, "no memory to open %.200s", target->href.label);
    TL_TRY(run(target->fetch, request, errand, err));
    ret_head->opened = request->opened;
    ret_head->bytes = take_slice(&request->wants[0]);
    return TL_OK;
}
