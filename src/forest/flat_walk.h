/*
 * flat_walk: one pixel through the flat form, tree after tree: for pixels that are too few for
 * the sweep, that it leaves in doubt, or that stand on linear leaves. It gives what walk.h gives
 * from the model's own nodes, bit for bit.
 *
 * Threads  any; `room` is the caller's
 */
#ifndef TILTH_FOREST_FLAT_WALK_H
#define TILTH_FOREST_FLAT_WALK_H

struct flat;
struct forest_output;
struct walk_place;
union flat_cut;

/* walk_sums(). room: flat->plane_count entries. */
void flat_walk_sums(const struct flat *flat, const struct walk_place *pixel, union flat_cut *room,
                    double *ret_sums);
/* walk_write_pixel(). */
void flat_walk_write(const struct flat *flat, const struct walk_place *pixel, union flat_cut *room,
                     const struct forest_output *output);

#endif
