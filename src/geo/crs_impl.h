/*
 * crs_impl: what crs.c and crs_map.c share and nobody else sees.
 *
 * Threads  a PROJ context belongs to one thread; proj_thread() gives the caller its own
 */
#ifndef TILTH_GEO_CRS_IMPL_H
#define TILTH_GEO_CRS_IMPL_H

#include "base/hash.h"
#include "geo/crs.h"
#include "geo/crs_form.h"

#include <proj.h>
#include <stdatomic.h>
#include <stdbool.h>

struct crs {
    atomic_uint refs;
    char *name;        /* as given */
    char *text;        /* what PROJ gets: "EPSG:n" where that says it all, else WKT 2 */
    struct hash128 id; /* of text: equal systems, equal ids */
    enum crs_form form;
    int epsg;
    bool geographic;
};

/* The calling thread's context; NULL when memory is out. */
PJ_CONTEXT *proj_thread_context(void);

/* Why the last call on `context` failed, for a message; valid until the next call. */
const char *proj_reason(PJ_CONTEXT *context);

#endif
