/* The committed golden model over every row of the table it was trained on. */
#include "tl_test.h"

#include "fake_s3.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/file.h"
#include "forest/forest.h"
#include "forest/output.h"

#define MODEL TILTH_ROOT "/models/crop-mask-south-eastern.tilth"
#define TABLE TILTH_ROOT "/../shared/data/crop-mask/training_south_eastern.txt"

/* What tools/golden_rows.py writes: the rows and what the trainer's arithmetic makes of them. */
struct table {
    struct blob *file;
    uint32_t rows, features, classes;
    const float *x;       /* row by row */
    const uint8_t *p;     /* float64, row by row, not aligned */
    const uint8_t *label; /* of each row */
};

static void read_table(const char *path, struct table *ret)
{
    uint32_t head[4];
    struct tl_err err;

    assert_ok(file_read(path, 16 << 20, &ret->file, &err));
    const uint8_t *bytes = blob_bytes(ret->file);
    memcpy(head, bytes, sizeof(head));
    ret->rows = head[0];
    ret->features = head[1];
    ret->classes = head[2];
    size_t x = sizeof(float) * head[0] * head[1], p = sizeof(double) * head[0] * head[2];
    assert_int_equal(blob_size(ret->file), sizeof(head) + x + p + head[0]);
    ret->x = (const float *)(const void *)(bytes + sizeof(head));
    ret->p = bytes + sizeof(head) + x;
    ret->label = ret->p + p;
}

static void make_table(struct table *ret)
{
    static char python[] = TILTH_PYTHON, tool[] = TILTH_ROOT "/tools/golden_rows.py";
    char path[64];

    snprintf(path, sizeof(path), "/tmp/tilth-golden-%d.bin", (int)getpid());
    struct helper helper = helper_start((char *[]){python, tool, path, NULL});
    helper_stop(&helper);
    if (!strstr(helper.line, "4177 rows, 33 features, 2 classes"))
        fail_msg("golden_rows.py says \"%s\"", helper.line);
    read_table(path, ret);
    unlink(path);
}

static void compare(const struct table *table, const struct forest_output *got, const char *how)
{
    for (uint32_t row = 0; row < table->rows; row++) {
        if (got->label[row] != table->label[row])
            fail_msg("%s, row %u: label %u, the library's is %u", how, row, got->label[row],
                     table->label[row]);
        for (uint32_t c = 0; c < table->classes; c++) {
            double want;
            memcpy(&want, table->p + sizeof(want) * ((size_t)row * table->classes + c),
                   sizeof(want));
            assert_near((double)got->probability[(size_t)c * table->rows + row], want, 1e-6);
        }
    }
}

TEST(every_row_of_the_training_table_has_the_librarys_label_and_probabilities)
{
    struct table table;
    struct tl_err err;

    if (access(TABLE, R_OK) != 0)
        skip();
    make_table(&table);
    AUTO(blob) file = NULL;
    AUTO(forest) forest = NULL;
    assert_ok(file_read(MODEL, 64 << 20, &file, &err));
    assert_ok(forest_load(MODEL, file, &forest, &err));
    AUTO(arena) arena = arena_new();
    float *values = arena_alloc(arena, (size_t)table.rows * table.features, sizeof(*values));
    const float **planes = arena_alloc(arena, table.features, sizeof(*planes));
    for (uint32_t f = 0; f < table.features; f++) {
        planes[f] = values + (size_t)f * table.rows;
        for (uint32_t row = 0; row < table.rows; row++)
            values[(size_t)f * table.rows + row] = table.x[(size_t)row * table.features + f];
    }
    const struct forest_pixels pixels = {.planes = planes, .count = table.rows};
    const struct forest_output out = {
        .label = arena_alloc(arena, table.rows, 1),
        .probability = arena_alloc(arena, (size_t)table.rows * table.classes, sizeof(float))};
    assert_ok(forest_run(forest, &pixels, NULL, arena, &out, &err));
    compare(&table, &out, "kernel");
    forest_run_scalar(forest, &pixels, &out);
    compare(&table, &out, "oracle");
    blob_unref(table.file);
}

RUN(T(every_row_of_the_training_table_has_the_librarys_label_and_probabilities))
