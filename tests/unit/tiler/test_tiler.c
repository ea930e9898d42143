#include "tiler_fixture.h"

/* ---- a worker that is busy until it is let go ---- */

struct gate {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    bool reached, open;
};

static void stand_at_gate(void *udata, struct arena *arena)
{
    struct gate *gate = udata;

    (void)arena;
    pthread_mutex_lock(&gate->mu);
    gate->reached = true;
    pthread_cond_signal(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->mu);
    pthread_mutex_unlock(&gate->mu);
}

/* The only worker stands still from here.. */
static void hold_worker(struct world *w, struct layer *layer, struct gate *gate)
{
    struct tl_err err;

    *gate = (struct gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    assert_ok(tiler_task(w->tiler, layer, stand_at_gate, gate, &err));
    pthread_mutex_lock(&gate->mu);
    while (!gate->reached)
        pthread_cond_wait(&gate->changed, &gate->mu);
    pthread_mutex_unlock(&gate->mu);
}

/* ..to here. */
static void release_worker(struct gate *gate)
{
    pthread_mutex_lock(&gate->mu);
    gate->open = true;
    pthread_cond_signal(&gate->changed);
    pthread_mutex_unlock(&gate->mu);
}

/* ---- what needs no render ---- */

TEST(tiles_outside_the_layer_are_one_empty_tile_at_once)
{
    AUTO_WORLD w;
    struct told first, second;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    fake_s3_reset(&w.store_helper);
    struct tile_query query = query_of(land, far_tile);
    assert_int_equal(get(&w, &query, &first), TL_OK);
    query.id.x++;
    assert_int_equal(get(&w, &query, &second), TL_OK);
    assert_true(first.at_once && second.at_once);
    assert_null(second.wait);
    assert_true(first.tile.empty && second.tile.empty);
    assert_ptr_equal(first.tile.blob, second.tile.blob);
    assert_int_equal(second.tile.from, TILE_HIT_RAM);
    assert_int_equal(world_fetches(&w), 0);
    forget(&first);
    forget(&second);
}

TEST(what_a_layer_does_not_have_is_refused_at_once)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    struct tile_query query = query_of(land, (struct tile_id){.z = 1});
    assert_int_equal(get(&w, &query, &told), TL_ABSENT);
    assert_true(told.at_once);
    assert_non_null(strstr(told.err.msg, "zooms 2 to 18"));
    query = query_of(land, (struct tile_id){.z = 3, .x = 8});
    assert_int_equal(get(&w, &query, &told), TL_ABSENT);
    query = query_of(land, noise_tile);
    query.filter_classes = true;
    query.format = IMAGE_WEBP;
    assert_int_equal(get(&w, &query, &told), TL_INVALID);
    assert_non_null(strstr(told.err.msg, ".png"));
    assert_int_equal(world_fetches(&w), 0); /* nothing was opened for it */
}

TEST(a_tile_is_rendered_once_and_then_a_hit)
{
    AUTO_WORLD w;
    struct told miss, hit;

    world_begin(&w);
    world_open(&w, 8);
    const struct tile_query query = query_of(world_layer(&w, "land"), noise_tile);
    assert_int_equal(get(&w, &query, &miss), TL_OK);
    assert_int_equal(miss.tile.from, TILE_RENDERED);
    int fetches = world_fetches(&w);
    assert_int_equal(get(&w, &query, &hit), TL_OK);
    assert_true(hit.at_once);
    assert_int_equal(hit.tile.from, TILE_HIT_RAM);
    assert_memory_equal(hit.tile.etag, miss.tile.etag, sizeof(hit.tile.etag));
    assert_int_equal(world_fetches(&w), fetches);
    forget(&miss);
    forget(&hit);
}

/* Where the chunks that hold colours are in an indexed PNG: behind signature and IHDR. */
enum { AT_PLTE = 33, COLOURS = 12 + 3 * (CLASSES + 1) + 12 + CLASSES + 1 };

static void assert_only_colours_differ(const struct blob *a, const struct blob *b)
{
    size_t size = blob_size(a), behind = AT_PLTE + COLOURS;

    assert_int_equal(blob_size(b), size);
    assert_memory_equal(blob_bytes(a) + AT_PLTE + 4, "PLTE", 4);
    assert_memory_equal(blob_bytes(a) + behind + 4, "IDAT", 4);
    assert_memory_equal(blob_bytes(a), blob_bytes(b), AT_PLTE);
    assert_memory_not_equal(blob_bytes(a) + AT_PLTE, blob_bytes(b) + AT_PLTE, COLOURS);
    assert_memory_equal(blob_bytes(a) + behind, blob_bytes(b) + behind, size - behind);
}

TEST(another_style_or_filter_rewrites_the_colours_of_the_kept_tile_and_nothing_else)
{
    AUTO_WORLD w;
    struct told plain, other, few;
    struct tl_err err;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    struct tile_query query = query_of(land, noise_tile);
    assert_int_equal(get(&w, &query, &plain), TL_OK);
    fake_s3_reset(&w.store_helper);
    assert_ok(layer_style(land, "other", &query.style, &err));
    assert_int_equal(get(&w, &query, &other), TL_OK);
    query.style = NULL;
    query.filter_classes = true;
    query.show[4] = 1;
    assert_int_equal(get(&w, &query, &few), TL_OK);
    assert_true(other.at_once && few.at_once);
    assert_int_equal(world_fetches(&w), 0);
    assert_only_colours_differ(plain.tile.blob, other.tile.blob);
    assert_only_colours_differ(plain.tile.blob, few.tile.blob);
    /* The bytes that are kept are the same; what they look like is not. */
    assert_int_equal(plain.tile.etag[1], other.tile.etag[1]);
    assert_int_not_equal(plain.tile.etag[0], other.tile.etag[0]);
    assert_int_not_equal(plain.tile.etag[0], few.tile.etag[0]);
    forget(&plain);
    forget(&other);
    forget(&few);
}

TEST(formats_whose_bytes_hold_colours_are_kept_for_each_style)
{
    AUTO_WORLD w;
    struct told plain, other;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    struct tile_query query = query_of(land, noise_tile);
    struct tl_err err;
    query.format = IMAGE_WEBP;
    assert_int_equal(get(&w, &query, &plain), TL_OK);
    assert_ok(layer_style(land, "other", &query.style, &err));
    assert_int_equal(get(&w, &query, &other), TL_OK);
    assert_int_equal(other.tile.from, TILE_RENDERED);
    assert_int_not_equal(plain.tile.etag[1], other.tile.etag[1]);
    forget(&other);
    assert_int_equal(get(&w, &query, &other), TL_OK);
    assert_int_equal(other.tile.from, TILE_HIT_RAM);
    forget(&plain);
    forget(&other);
}

/* ---- failures ---- */

TEST(a_failure_of_the_store_is_never_kept)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    fake_s3_fault(&w.store_helper, LAND_KEY, "[{\"kind\": \"status\", \"status\": 500}]");
    const struct tile_query query = query_of(land, noise_tile);
    assert_int_equal(get(&w, &query, &told), TL_UPSTREAM);
    assert_int_equal(get(&w, &query, &told), TL_OK);
    assert_int_equal(told.tile.from, TILE_RENDERED);
    forget(&told);
}

TEST(a_layer_that_does_not_open_is_tried_again_a_second_later)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    world_open(&w, 8);
    fake_s3_fault(&w.store_helper, LAND_KEY, "[{\"kind\": \"status\", \"status\": 500}]");
    const struct tile_query query = query_of(world_layer(&w, "land"), uniform_tile);
    int64_t start = clock_now_ns();
    assert_int_equal(get(&w, &query, &told), TL_UPSTREAM);
    assert_non_null(strstr(told.err.msg, "layer land: "));
    int tries = 1;
    while (get(&w, &query, &told) != TL_OK) {
        assert_int_equal(told.code, TL_UPSTREAM);
        assert_true(clock_now_ns() - start < 60 * NS_PER_S);
        /* Those who ask meanwhile are told from memory: the fault was for one GET. */
        assert_int_equal(world_opens(&w), 1);
        usleep(50000);
        tries++;
    }
    assert_true(tries > 1);
    forget(&told);
}

TEST(a_deadline_that_passed_while_a_layer_opened_is_not_remembered)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    world_open(&w, 8);
    fake_s3_fault(&w.store_helper, LAND_KEY, "[{\"kind\": \"stall\", \"seconds\": 30}]");
    struct tile_query query = query_of(world_layer(&w, "land"), uniform_tile);
    query.deadline_ns = clock_now_ns() + 200 * NS_PER_MS;
    assert_int_equal(get(&w, &query, &told), TL_TIMEOUT);
    query.deadline_ns = clock_now_ns() + 60 * NS_PER_S;
    assert_int_equal(get(&w, &query, &told), TL_OK);
    forget(&told);
}

TEST(a_deadline_that_passed_in_line_costs_no_render)
{
    AUTO_WORLD w;
    struct gate gate;
    struct told told;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    fake_s3_reset(&w.store_helper);
    hold_worker(&w, land, &gate);
    struct tile_query query = query_of(land, noise_tile);
    query.deadline_ns = clock_now_ns();
    ask(&w, &query, &told);
    release_worker(&gate);
    assert_int_equal(hear(&w, &told), TL_TIMEOUT);
    assert_int_equal(world_fetches(&w), 0);
}

/* ---- the line ---- */

TEST(a_full_line_is_busy_at_once_and_open_again_when_it_moves)
{
    AUTO_WORLD w;
    struct gate gate;
    struct told first, second;

    world_begin(&w);
    world_open(&w, 1);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    hold_worker(&w, land, &gate);
    const struct tile_query one = query_of(land, noise_tile), two = query_of(land, other_tile);
    ask(&w, &one, &first);
    assert_int_equal(get(&w, &two, &second), TL_BUSY);
    assert_true(second.at_once);
    release_worker(&gate);
    assert_int_equal(hear(&w, &first), TL_OK);
    assert_int_equal(get(&w, &two, &second), TL_OK);
    forget(&first);
    forget(&second);
}

TEST(who_asks_for_a_tile_on_its_way_waits_for_it)
{
    AUTO_WORLD w;
    struct gate gate;
    struct told first, second;

    world_begin(&w);
    world_open(&w, 1); /* no room for a second job */
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    hold_worker(&w, land, &gate);
    const struct tile_query query = query_of(land, noise_tile);
    ask(&w, &query, &first);
    ask(&w, &query, &second);
    release_worker(&gate);
    assert_int_equal(hear(&w, &first), TL_OK);
    assert_int_equal(hear(&w, &second), TL_OK);
    assert_int_equal(first.tile.from, TILE_RENDERED);
    assert_int_equal(second.tile.from, TILE_JOINED);
    assert_ptr_equal(first.tile.blob, second.tile.blob);
    forget(&first);
    forget(&second);
}

TEST(a_tile_that_everyone_left_is_not_rendered_and_nobody_is_told)
{
    AUTO_WORLD w;
    struct gate gate;
    struct told gone, next;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    fake_s3_reset(&w.store_helper);
    hold_worker(&w, land, &gate);
    const struct tile_query left = query_of(land, noise_tile), wanted = query_of(land, other_tile);
    ask(&w, &left, &gone);
    assert_true(tiler_cancel(w.tiler, gone.wait));
    ask(&w, &wanted, &next);
    release_worker(&gate);
    assert_int_equal(hear(&w, &next), TL_OK);
    assert_int_equal(gone.times, 0);
    assert_int_equal(world_fetches(&w), 1); /* the block of the tile that was waited for */
    forget(&next);
    /* Whoever asks later starts anew. */
    assert_int_equal(get(&w, &left, &next), TL_OK);
    assert_int_equal(next.tile.from, TILE_RENDERED);
    forget(&next);
}

TEST(one_of_two_who_leaves_takes_nothing_from_the_other)
{
    AUTO_WORLD w;
    struct gate gate;
    struct told gone, stays;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    warm_up(&w, land);
    hold_worker(&w, land, &gate);
    const struct tile_query query = query_of(land, noise_tile);
    ask(&w, &query, &gone);
    ask(&w, &query, &stays);
    assert_true(tiler_cancel(w.tiler, gone.wait));
    release_worker(&gate);
    assert_int_equal(hear(&w, &stays), TL_OK);
    assert_int_equal(gone.times, 0);
    forget(&stays);
}

/* ---- a layer that nobody has opened yet ---- */

enum { CROWD = 24 };

struct visitor {
    struct world *world;
    pthread_barrier_t *start;
    struct tile_query query;
    struct told told;
};

static void *visit(void *arg)
{
    struct visitor *visitor = arg;

    pthread_barrier_wait(visitor->start);
    ask(visitor->world, &visitor->query, &visitor->told);
    return NULL;
}

TEST(a_crowd_at_a_cold_layer_opens_it_once_and_fills_no_line)
{
    static struct visitor visitors[CROWD];
    pthread_t threads[CROWD];
    pthread_barrier_t start;
    AUTO_WORLD w;

    world_begin(&w);
    world_open(&w, 1); /* one opening fits in line; a second would be refused */
    fake_s3_fault(&w.store_helper, LAND_KEY, "[{\"kind\": \"stall\", \"seconds\": 0.3}]");
    pthread_barrier_init(&start, NULL, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        struct tile_id outside = {.z = LAND_Z, .x = i, .y = i};

        visitors[i] = (struct visitor){
            .world = &w, .start = &start, .query = query_of(world_layer(&w, "land"), outside)};
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(hear(&w, &visitors[i].told), TL_OK);
        assert_true(visitors[i].told.tile.empty);
        forget(&visitors[i].told);
    }
    assert_int_equal(world_opens(&w), 1);
    pthread_barrier_destroy(&start);
}

TEST(who_leaves_while_a_layer_opens_is_not_told_and_the_next_one_is)
{
    AUTO_WORLD w;
    struct told gone, next;

    world_begin(&w);
    world_open(&w, 8);
    fake_s3_fault(&w.store_helper, LAND_KEY, "[{\"kind\": \"stall\", \"seconds\": 0.3}]");
    const struct tile_query query = query_of(world_layer(&w, "land"), noise_tile);
    ask(&w, &query, &gone);
    assert_true(tiler_cancel(w.tiler, gone.wait));
    assert_int_equal(get(&w, &query, &next), TL_OK);
    assert_int_equal(gone.times, 0);
    forget(&next);
}

RUN(T(tiles_outside_the_layer_are_one_empty_tile_at_once),
    T(what_a_layer_does_not_have_is_refused_at_once), T(a_tile_is_rendered_once_and_then_a_hit),
    T(another_style_or_filter_rewrites_the_colours_of_the_kept_tile_and_nothing_else),
    T(formats_whose_bytes_hold_colours_are_kept_for_each_style),
    T(a_failure_of_the_store_is_never_kept),
    T(a_layer_that_does_not_open_is_tried_again_a_second_later),
    T(a_deadline_that_passed_while_a_layer_opened_is_not_remembered),
    T(a_deadline_that_passed_in_line_costs_no_render),
    T(a_full_line_is_busy_at_once_and_open_again_when_it_moves),
    T(who_asks_for_a_tile_on_its_way_waits_for_it),
    T(a_tile_that_everyone_left_is_not_rendered_and_nobody_is_told),
    T(one_of_two_who_leaves_takes_nothing_from_the_other),
    T(a_crowd_at_a_cold_layer_opens_it_once_and_fills_no_line),
    T(who_leaves_while_a_layer_opens_is_not_told_and_the_next_one_is))
