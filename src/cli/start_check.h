/*
 * start_check: when serving starts, one worker opens what every layer reads on this machine and
 * closes it again, so that a file that is not there is told now and not at the first tile. Stores
 * are not asked. Nothing waits for it.
 *
 * Threads  begin and end on the main thread
 * Memory   a plain value; it stays where it is from begin to end
 */
#ifndef TILTH_CLI_START_CHECK_H
#define TILTH_CLI_START_CHECK_H

#include "base/attr.h"
#include "base/err.h"

#include <stdatomic.h>

struct app;
struct catalog;
struct pool_lane;

struct start_check {
    const struct catalog *catalog;
    struct pool_lane *lane;
    atomic_bool stop;
};

TL_MUST_CHECK enum tl_code start_check_begin(const struct app *app, struct start_check *check,
                                             struct tl_err *err);
/* Before app_close(). Waits for the file that is being opened. */
void start_check_end(struct start_check *check);

#endif
