/*
 * clock: monotonic time. Deadlines are absolute monotonic nanoseconds.
 *
 * Threads  any
 */
#ifndef TILTH_BASE_CLOCK_H
#define TILTH_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

#define CLOCK_NEVER INT64_MAX /* no deadline: later than any time the process can reach */

int64_t clock_now_ns(void);
int64_t clock_thread_ns(void); /* processor time of the calling thread */
int64_t clock_unix_us(void);   /* wall clock, for logs and HTTP dates only */

#endif
