#include "classify/smooth.h"

#include "base/arena.h"
#include "base/check.h"
#include "model/info.h"

#include <string.h>

static const uint8_t kernel[3][3] = {{1, 2, 1}, {2, 3, 2}, {1, 2, 1}};

/* The cells [x0, x1) x [y0, y1) of the box that touch one of its cells, and that cell itself. */
struct around {
    uint32_t x, y, x0, y0, x1, y1;
};

static struct around around_cell(const struct smooth_field *field, size_t cell)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is a cell, so there is a width */
    uint32_t x = (uint32_t)(cell % field->width), y = (uint32_t)(cell / field->width);

    return (struct around){
        x, y, x - (x > 0), y - (y > 0), TL_MIN(x + 2, field->width), TL_MIN(y + 2, field->height)};
}

/* The smallest box around the pixels, grown by the reach inside the window. */
static void box_of(const struct smooth_want *want, struct smooth_field *field)
{
    uint32_t x0 = UINT32_MAX, y0 = UINT32_MAX, x1 = 0, y1 = 0;

    for (size_t i = 0; i < want->count; i++) {
        uint32_t x = want->pixels[i] % want->width, y = want->pixels[i] / want->width;

        x0 = TL_MIN(x0, x);
        y0 = TL_MIN(y0, y);
        x1 = TL_MAX(x1, x);
        y1 = TL_MAX(y1, y);
    }
    field->left = x0 - TL_MIN(x0, want->reach);
    field->top = y0 - TL_MIN(y0, want->reach);
    field->width = TL_MIN(x1 + 1 + want->reach, want->width) - field->left;
    field->height = TL_MIN(y1 + 1 + want->reach, want->height) - field->top;
}

/* Cells next to those that are `from` away, where nothing nearer is known. */
static void spread(struct smooth_field *field, uint8_t from)
{
    size_t cells = (size_t)field->width * field->height;

    for (size_t cell = 0; cell < cells; cell++) {
        if (field->away[cell] != from)
            continue;
        struct around a = around_cell(field, cell);
        for (size_t y = a.y0; y < a.y1; y++)
            for (size_t at = y * field->width + a.x0; at < y * field->width + a.x1; at++)
                if (field->away[at] > from + 1)
                    field->away[at] = (uint8_t)(from + 1);
    }
}

static void list_pixels(struct smooth_field *field)
{
    size_t cells = (size_t)field->width * field->height;

    for (size_t cell = 0; cell < cells; cell++) {
        size_t x = field->left + cell % field->width, y = field->top + cell / field->width;

        if (field->away[cell] <= field->reach)
            field->pixels[field->pixel_count++] = (uint32_t)(y * field->stride + x);
    }
}

size_t smooth_cell(const struct smooth_field *field, uint32_t pixel)
{
    size_t x = pixel % field->stride - field->left, y = pixel / field->stride - field->top;

    return y * field->width + x;
}

enum tl_code smooth_field_new(const struct smooth_want *want, struct arena *arena,
                              struct smooth_field *ret_field, struct tl_err *err)
{
    struct smooth_field field = {.stride = want->width, .reach = want->reach};

    TL_CHECK(want->count > 0 && want->reach > 0 && want->reach <= SMOOTH_MAX);
    box_of(want, &field);
    size_t cells = (size_t)field.width * field.height;
    field.away = arena_alloc(arena, cells, sizeof(*field.away));
    field.column = arena_alloc(arena, cells, sizeof(*field.column));
    if (!field.away || !field.column)
        return tl_fail(err, TL_NOMEM, "no memory to smooth %zu pixels", cells);
    memset(field.away, UINT8_MAX, cells);
    memset(field.column, UINT8_MAX, cells * sizeof(*field.column)); /* SMOOTH_NOTHING */
    for (size_t i = 0; i < want->count; i++)
        field.away[smooth_cell(&field, want->pixels[i])] = 0;
    for (unsigned i = 0; i < want->reach; i++)
        spread(&field, (uint8_t)i);
    for (size_t cell = 0; cell < cells; cell++)
        field.pixel_count += field.away[cell] <= field.reach;
    field.pixels = arena_alloc(arena, field.pixel_count, sizeof(*field.pixels));
    if (!field.pixels)
        return tl_fail(err, TL_NOMEM, "no memory to smooth %zu pixels", cells);
    field.pixel_count = 0;
    list_pixels(&field);
    *ret_field = field;
    return TL_OK;
}

void smooth_mean(const struct smooth_field *field, const struct smooth_planes *planes, size_t cell,
                 double *ret_p)
{
    const struct around a = around_cell(field, cell);
    uint32_t column[9];
    double weight[9], total = 0;
    unsigned count = 0;

    for (uint32_t y = a.y0; y < a.y1; y++) {
        for (uint32_t x = a.x0; x < a.x1; x++) {
            column[count] = field->column[(size_t)y * field->width + x];
            if (column[count] == SMOOTH_NOTHING)
                continue;
            weight[count] = kernel[y + 1 - a.y][x + 1 - a.x];
            total += weight[count++];
        }
    }
    for (uint32_t c = 0; c < planes->class_count; c++) {
        const float *p = planes->p + c * planes->columns;
        double sum = 0;

        for (unsigned i = 0; i < count; i++)
            sum += weight[i] * (double)p[column[i]];
        ret_p[c] = sum / total;
    }
}

/* Every cell that is at most `away` from what is wanted. */
static void smooth_once(const struct smooth_field *field, const struct smooth_planes *from,
                        unsigned away, float *to)
{
    size_t cells = (size_t)field->width * field->height;
    double p[MODEL_MAX_CLASSES];

    for (size_t cell = 0; cell < cells; cell++) {
        uint32_t column = field->column[cell];

        if (field->away[cell] > away || column == SMOOTH_NOTHING)
            continue;
        smooth_mean(field, from, cell, p);
        for (size_t c = 0; c < from->class_count; c++)
            to[c * from->columns + column] = (float)p[c];
    }
}

enum tl_code smooth_but_once(const struct smooth_field *field, struct smooth_planes *planes,
                             struct arena *arena, struct tl_err *err)
{
    if (field->reach < 2 || !planes->columns)
        return TL_OK;
    float *other = arena_alloc(arena, planes->columns * planes->class_count, sizeof(*other));
    if (!other)
        return tl_fail(err, TL_NOMEM, "no memory to smooth %zu pixels", planes->columns);
    /* What the last will not look at stays unwritten. */
    for (unsigned away = field->reach - 1; away > 0; away--) {
        smooth_once(field, planes, away, other);
        float *used = planes->p;
        planes->p = other;
        other = used;
    }
    return TL_OK;
}
