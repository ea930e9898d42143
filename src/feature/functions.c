#include "feature/functions.h"

#include "base/attr.h"

#include <string.h>
#include <strings.h>

#define NUMBER(n) feature_number(b, n)
#define ADD(x, y) feature_op2(b, FEATURE_ADD, x, y)
#define SUB(x, y) feature_op2(b, FEATURE_SUB, x, y)
#define MUL(x, y) feature_op2(b, FEATURE_MUL, x, y)
#define DIV(x, y) feature_op2(b, FEATURE_DIV, x, y)

/* numpy.clip: minimum(maximum(x, lo), hi). */
static uint32_t clamp(struct feature_builder *b, const uint32_t *in)
{
    return feature_op2(b, FEATURE_MIN, feature_op2(b, FEATURE_MAX, in[0], in[1]), in[2]);
}

/* nir + 6 * red - 7.5 * blue + 1 */
static uint32_t evi_divisor(struct feature_builder *b, const uint32_t *in)
{
    uint32_t nir_red = ADD(in[0], MUL(NUMBER(6), in[1]));

    return ADD(SUB(nir_red, MUL(NUMBER(7.5F), in[2])), NUMBER(1));
}

/* 2.5 * ((nir - red) / (nir + 6 * red - 7.5 * blue + 1)) */
static uint32_t evi(struct feature_builder *b, const uint32_t *in)
{
    return MUL(NUMBER(2.5F), DIV(SUB(in[0], in[1]), evi_divisor(b, in)));
}

/* 3.618 * ((2.5 * (nir - red)) / (nir + 6 * red - 7.5 * blue + 1)) - 0.118: DE Africa's own order,
 * which is not that of its EVI. */
static uint32_t lai(struct feature_builder *b, const uint32_t *in)
{
    uint32_t own_evi = DIV(MUL(NUMBER(2.5F), SUB(in[0], in[1])), evi_divisor(b, in));

    return SUB(MUL(NUMBER(3.618F), own_evi), NUMBER(0.118F));
}

/* 2.5 * ((nir - red) / (nir + 2.4 * red + 1)) */
static uint32_t evi2(struct feature_builder *b, const uint32_t *in)
{
    uint32_t divisor = ADD(ADD(in[0], MUL(NUMBER(2.4F), in[1])), NUMBER(1));

    return MUL(NUMBER(2.5F), DIV(SUB(in[0], in[1]), divisor));
}

/* (1.5 * (nir - red)) / (nir + red + 0.5) */
static uint32_t savi(struct feature_builder *b, const uint32_t *in)
{
    return DIV(MUL(NUMBER(1.5F), SUB(in[0], in[1])), ADD(ADD(in[0], in[1]), NUMBER(0.5F)));
}

/* (2 * nir + 1 - sqrt((2 * nir + 1) * (2 * nir + 1) - 8 * (nir - red))) / 2 */
static uint32_t msavi(struct feature_builder *b, const uint32_t *in)
{
    uint32_t twice = ADD(MUL(NUMBER(2), in[0]), NUMBER(1));
    uint32_t inside = SUB(MUL(twice, twice), MUL(NUMBER(8), SUB(in[0], in[1])));

    return DIV(SUB(twice, feature_op1(b, FEATURE_SQRT, inside)), NUMBER(2));
}

/* ((swir_1 + red) - (nir + blue)) / ((swir_1 + red) + (nir + blue)) */
static uint32_t bsi(struct feature_builder *b, const uint32_t *in)
{
    return feature_op2(b, FEATURE_ND, ADD(in[0], in[1]), ADD(in[2], in[3]));
}

#define ELEMENTARY(word, count, operation)                      \
    {                                                           \
        .name = (word), .arguments = (count), .op = (operation) \
    }
#define RATIO(word, a, c)                                                                 \
    {                                                                                     \
        .name = (word), .arguments = 2, .op = FEATURE_ND, .roles = { ROLE_##a, ROLE_##c } \
    }
#define STATISTIC(word, function, members)                          \
    {                                                               \
        .name = (word), .statistic = (function), .least = (members) \
    }

static const struct feature_function functions[] = {
    ELEMENTARY("abs", 1, FEATURE_ABS),
    ELEMENTARY("sqrt", 1, FEATURE_SQRT),
    ELEMENTARY("ln", 1, FEATURE_LN),
    ELEMENTARY("exp", 1, FEATURE_EXP),
    ELEMENTARY("nd", 2, FEATURE_ND),
    ELEMENTARY("where", 3, FEATURE_WHERE),
    {.name = "clamp", .arguments = 3, .formula = clamp},

    RATIO("ndvi", NIR, RED),
    RATIO("gndvi", NIR, GREEN),
    RATIO("ndre", NIR, RED_EDGE),
    RATIO("ndwi", GREEN, NIR),
    RATIO("mndwi", GREEN, SWIR_1),
    RATIO("lswi", NIR, SWIR_1),
    RATIO("ndmi", NIR, SWIR_1),
    RATIO("nbr", NIR, SWIR_2),
    {.name = "bsi",
     .arguments = 4,
     .formula = bsi,
     .roles = {ROLE_SWIR_1, ROLE_RED, ROLE_NIR, ROLE_BLUE}},
    {.name = "evi",
     .arguments = 3,
     .formula = evi,
     .roles = {ROLE_NIR, ROLE_RED, ROLE_BLUE},
     .reflectance = true},
    {.name = "evi2",
     .arguments = 2,
     .formula = evi2,
     .roles = {ROLE_NIR, ROLE_RED},
     .reflectance = true},
    {.name = "savi",
     .arguments = 2,
     .formula = savi,
     .roles = {ROLE_NIR, ROLE_RED},
     .reflectance = true},
    {.name = "msavi",
     .arguments = 2,
     .formula = msavi,
     .roles = {ROLE_NIR, ROLE_RED},
     .reflectance = true},
    {.name = "lai",
     .arguments = 3,
     .formula = lai,
     .roles = {ROLE_NIR, ROLE_RED, ROLE_BLUE},
     .reflectance = true},

    STATISTIC("min", feature_min, 1),
    STATISTIC("max", feature_max, 1),
    STATISTIC("sum", feature_sum, 1),
    STATISTIC("mean", feature_mean, 1),
    STATISTIC("median", feature_median, 1),
    STATISTIC("iqr", feature_iqr, 1),
    STATISTIC("amplitude", feature_amplitude, 1),
    STATISTIC("std", feature_std, 1),
    STATISTIC("slope", feature_slope, 2),
    STATISTIC("count", feature_count, 1),
    STATISTIC("nanmin", feature_nanmin, 1),
    STATISTIC("nanmax", feature_nanmax, 1),
    STATISTIC("nanmean", feature_nanmean, 1),
    STATISTIC("nanmedian", feature_nanmedian, 1),
    {.name = "percentile", .statistic = feature_percentile, .least = 1, .takes_percent = true},
    {.name = "nanpercentile",
     .statistic = feature_nanpercentile,
     .least = 1,
     .takes_percent = true},
};

const struct feature_function *feature_function_find(const char *name, size_t size)
{
    for (size_t i = 0; i < TL_COUNT(functions); i++)
        if (strlen(functions[i].name) == size && strncasecmp(functions[i].name, name, size) == 0)
            return &functions[i];
    return NULL;
}

const char *feature_function_names(void)
{
    return "abs, sqrt, ln, exp, clamp(x,lo,hi), nd(a,b), where(cond,a,b); ndvi, gndvi, ndre, ndwi, "
           "mndwi, lswi, ndmi, nbr, bsi, evi, evi2, savi, msavi, lai; min, max, sum, mean, median, "
           "p1 to p99, percentile(q,...), iqr, amplitude, std, slope, count, and with nan before "
           "them min, max, mean, median, p1 to p99, percentile";
}

/* ---- bands by what they show ---- */

/*
 * Common names of STAC's eo extension (old and new), of DE Africa's products, and Sentinel-2's
 * own with two digits. Without them, "B8" may be Landsat's panchromatic band.
 */
static const struct role {
    const char *title;
    const char *names[6];
} roles[ROLE_COUNT] = {
    [ROLE_NONE] = {"nothing", {NULL}},
    [ROLE_BLUE] = {"blue", {"blue", "B02", NULL}},
    [ROLE_GREEN] = {"green", {"green", "B03", NULL}},
    [ROLE_RED] = {"red", {"red", "B04", NULL}},
    [ROLE_RED_EDGE] = {"the first red edge",
                       {"red_edge_1", "rededge1", "rededge071", "rededge", "B05", NULL}},
    [ROLE_NIR] = {"near infrared", {"nir", "nir_1", "B08", "nir08", NULL}},
    [ROLE_SWIR_1] = {"the first shortwave infrared", {"swir_1", "swir16", "swir1", "B11", NULL}},
    [ROLE_SWIR_2] = {"the second shortwave infrared", {"swir_2", "swir22", "swir2", "B12", NULL}},
};

const char *const *feature_role_names(enum feature_role role)
{
    return roles[role].names;
}

const char *feature_role_title(enum feature_role role)
{
    return roles[role].title;
}
