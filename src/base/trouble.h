/*
 * trouble: what an operator must see, from folders that never log. Whoever runs the program
 * lends them a listener; a trouble is told when it begins, once a minute while it lasts, with
 * how often it was met, and when it is over. One that comes and goes every second is two
 * lines a minute.
 *
 *   static: {0}     trouble_met   --told-->      trouble_over
 *                   met, met, ..: counted            told, when its beginning was
 *
 * Threads  any
 * Memory   a trouble is a plain value of whoever may have it; a listener outlives its users
 */
#ifndef TILTH_BASE_TROUBLE_H
#define TILTH_BASE_TROUBLE_H

#include "base/attr.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* `hear` never blocks. `level` is "info" or "warn"; `at` names the place, "cache". */
struct listener {
    void (*hear)(void *udata, const char *level, const char *at, const char *message);
    void *udata;
};

struct trouble {
    _Atomic int64_t told_ns; /* 0: never */
    atomic_uint met;         /* since it was told */
    atomic_bool on;          /* its beginning was told, its end was not */
};

/* `to` may be NULL, here and below: nobody listens. */
void listener_tell(const struct listener *to, const char *level, const char *at, const char *fmt,
                   ...) TL_PRINTF(4, 5);
void trouble_met(struct trouble *trouble, const struct listener *to, const char *at,
                 const char *fmt, ...) TL_PRINTF(4, 5);
void trouble_over(struct trouble *trouble, const struct listener *to, const char *at,
                  const char *fmt, ...) TL_PRINTF(4, 5);

#endif
