/*
 * work: what workers do for those who wait: render a tile, open a season, look whether its
 * objects changed. Private to tiler/.
 *
 * Threads  workers; one job of a flight at a time
 * Memory   a job is freed by its own run
 */
#ifndef TILTH_TILER_WORK_H
#define TILTH_TILER_WORK_H

struct arena;

/* Of a `struct job`. Renders and keeps its tile; lands a struct plain_tile. */
void run_render(void *arg, struct arena *arena);
/* Opens the job's season; lands the address of its struct layer_view *. */
void run_open(void *arg, struct arena *arena);
/* Checks the versions of the season's objects, behind the backs of those who ask for tiles. */
void run_check(void *arg, struct arena *arena);

#endif
