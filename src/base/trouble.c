#include "base/trouble.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUIET_NS (60 * NS_PER_S)

enum { MESSAGE_MAX = 800 };

void listener_tell(const struct listener *to, const char *level, const char *at, const char *fmt,
                   ...)
{
    char message[MESSAGE_MAX];
    va_list ap;

    if (!to || !to->hear)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    to->hear(to->udata, level, at, message);
}

/* True for one caller a minute. */
static bool is_due(struct trouble *trouble)
{
    int64_t told_ns = atomic_load(&trouble->told_ns), now = clock_now_ns();

    return (told_ns == 0 || now - told_ns >= QUIET_NS) &&
           atomic_compare_exchange_strong(&trouble->told_ns, &told_ns, now);
}

void trouble_met(struct trouble *trouble, const struct listener *to, const char *at,
                 const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;

    atomic_fetch_add(&trouble->met, 1);
    if (!to || !to->hear || !is_due(trouble))
        return;
    unsigned met = atomic_exchange(&trouble->met, 0);
    atomic_store(&trouble->on, true);
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    size_t used = strlen(message);
    if (met > 1)
        snprintf(message + used, sizeof(message) - used, " (%u times since it was last said)", met);
    to->hear(to->udata, "warn", at, message);
}

void trouble_over(struct trouble *trouble, const struct listener *to, const char *at,
                  const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;

    /* Looked at first: this is called for everything that goes well. */
    if (!atomic_load_explicit(&trouble->on, memory_order_relaxed) ||
        !atomic_exchange(&trouble->on, false))
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    to->hear(to->udata, "info", at, message);
}
