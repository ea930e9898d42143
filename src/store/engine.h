/*
 * engine: the fetch thread's own half of the store. Requests come in, are joined to GETs
 * that already run, planned into new ones, tried, retried, hedged and answered.
 *
 *   request (caller) 1--n want n--1 part (one GET) 1--2 transfer (a try on the wire)
 *
 *   part:  QUEUED --slot--> RUNNING --bytes--> delivered
 *             ^                |--passing failure, budget left--> BACKOFF --due--> QUEUED
 *             |                '--final failure--> its requests fail
 *
 * Threads  the fetch thread; engine_multi() may be woken from any
 * Memory   engine_new() / engine_free(); a request given to engine_admit() or
 *          engine_leave() brings one reference along
 */
#ifndef TILTH_STORE_ENGINE_H
#define TILTH_STORE_ENGINE_H

#include "base/attr.h"
#include "base/err.h"

#include <curl/curl.h>

struct engine;
struct request;
struct store_options;

TL_MUST_CHECK enum tl_code engine_new(const struct store_options *options,
                                      struct engine **ret_engine, struct tl_err *err);
/* Every request still there fails with TL_CANCELLED. */
void engine_free(struct engine *engine);

CURLM *engine_multi(const struct engine *engine);

void engine_admit(struct engine *engine, struct request *request);
/* The caller has gone: GETs that nobody else waits for end at once. */
void engine_leave(struct engine *engine, struct request *request);

/* Does what can be done now; returns after how many ms there is more, at most. */
int engine_turn(struct engine *engine);

AUTO_DEFINE(engine, engine_free)

#endif
