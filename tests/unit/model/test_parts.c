#include "library_rows.h"

/* Of python/tilth's exports (make_tilth.py): how near the probabilities come to the library's. */
static const struct parts_case {
    const char *name;
    const char *kind;
    uint32_t trees;
    double p_within; /* 0: the float32 of the library's double, else of its exp() */
} cases[] = {
    {"tilth_vote", "voting", 25, 0x1p-23},
    {"tilth_vote_weighted", "voting", 15, 0x1p-24},
    {"tilth_vote_float32", "voting", 27, 0x1p-22},
    {"tilth_vote_hard", "voting", 32, 0},
    {"tilth_stack", "stacking", 7, 0x1p-24},
    {"tilth_stack_forest", "stacking", 29, 0},
    {"tilth_histogram", "gradient-boosting", 4, 0x1p-24},
    {"tilth_encoded", "random-forest", 4, 0},
    {"tilth_mlp", "mlp", 0, 0x1p-24},
    {"tilth_mlp_binary", "mlp", 0, 0x1p-24},
    {"tilth_mlp_float32", "mlp", 0, 0x1p-22},
    {"tilth_logistic", "logistic-regression", 0, 0x1p-24},
    {"tilth_logistic_ovr", "linear", 0, 0x1p-24},
    {"tilth_vote_nets", "voting", 4, 0x1p-24},
    {"tilth_stack_net", "stacking", 4, 0x1p-24},
    {"tilth_adaptive", "adaptive-boosting", 9, 0x1p-24},
    {"tilth_calibrated", "calibrated", 24, 0x1p-24},
    {"tilth_calibrated_binary", "calibrated", 8, 0x1p-24},
    {"tilth_isotonic", "calibrated", 8, 0},
    {"tilth_isotonic_binary", "calibrated", 8, 0},
    {"tilth_naive_bayes", "naive-bayes", 0, 0x1p-24},
    {"tilth_quadratic", "quadratic-discriminant", 0, 0x1p-24},
};

static struct forest *load(const char *name)
{
    char file[64];
    struct forest *forest = NULL;
    struct tl_err err;

    snprintf(file, sizeof(file), "%s.tilth", name);
    AUTO(blob) blob = library_file(file);
    assert_ok(forest_load(file, blob, &forest, &err));
    return forest;
}

/* The oracle on the rows, against the library. */
static void check_rows(const struct parts_case *c, const struct forest *forest,
                       const struct library_rows *rows)
{
    uint8_t label[LIBRARY_MAX_ROWS];
    float p[LIBRARY_MAX_ROWS * LIBRARY_MAX_CLASSES];
    struct forest_pixels pixels = {.planes = rows->planes, .count = rows->count};
    struct forest_output output = {.label = label, .probability = p};

    forest_run_scalar(forest, &pixels, &output);
    for (size_t r = 0; r < rows->count; r++) {
        if (label[r] != rows->label[r])
            fail_msg("%s: row %zu: label %u, the library says %u", c->name, r, label[r],
                     rows->label[r]);
        for (uint32_t k = 0; k < forest_info(forest)->class_count; k++) {
            double got = (double)p[k * rows->count + r], wanted = (double)(float)rows->p[r][k];

            if (!(fabs(got - wanted) <= c->p_within))
                fail_msg("%s: row %zu, class %u: %.9g, the library says %.9g", c->name, r, k, got,
                         wanted);
        }
    }
}

/* The kernel on the rows again and again, against the oracle. */
static void check_kernel(const struct forest *forest, const struct library_rows *rows)
{
    struct library_pixels *px = calloc(1, sizeof(*px));
    AUTO(arena) scratch = arena_new();
    size_t count = LIBRARY_TIMES * rows->count;
    struct forest_pixels pixels = {.planes = px->planes, .count = count};
    struct forest_output walked = {
        .label = px->label[0], .confidence = px->confidence[0], .probability = px->p[0]};
    struct forest_output swept = {
        .label = px->label[1], .confidence = px->confidence[1], .probability = px->p[1]};
    struct tl_err err;

    for (unsigned f = 0; f < LIBRARY_MAX_FEATURES; f++) {
        px->planes[f] = px->values[f];
        for (size_t i = 0; i < count; i++)
            px->values[f][i] = rows->values[f][i % rows->count];
    }
    forest_run_scalar(forest, &pixels, &walked);
    assert_ok(forest_run(forest, &pixels, NULL, scratch, &swept, &err));
    assert_memory_equal(px->label[0], px->label[1], count);
    assert_memory_equal(px->confidence[0], px->confidence[1], count);
    assert_memory_equal(px->p[0], px->p[1],
                        count * forest_info(forest)->class_count * sizeof(float));
    free(px);
}

TEST(votes_stacks_and_pipelines_answer_as_their_libraries_do)
{
    struct library_rows *rows = calloc(1, sizeof(*rows));

    for (size_t i = 0; i < TL_COUNT(cases); i++) {
        AUTO(forest) forest = load(cases[i].name);

        library_read_rows(cases[i].name, rows);
        assert_true(rows->count >= 70);
        assert_string_equal(forest_info(forest)->kind, cases[i].kind);
        assert_int_equal(forest_info(forest)->tree_count, cases[i].trees);
        assert_true(forest_info(forest)->golden_rows > 0);
        assert_string_equal(forest_info(forest)->classes[1].name, "maize");
        check_rows(&cases[i], forest, rows);
        check_kernel(forest, rows);
    }
    free(rows);
}

TEST(a_file_of_parts_cut_short_anywhere_is_refused)
{
    library_check_cuts("tilth_histogram.tilth");
    library_check_cuts("tilth_mlp_binary.tilth");
}

TEST(a_changed_byte_of_parts_is_refused_or_runs)
{
    library_check_flips("tilth_histogram.tilth");
    library_check_flips("tilth_stack.tilth");
    library_check_flips("tilth_mlp_float32.tilth");
}

/* The file with `from` in its manifest replaced by `to`, of the same length. */
static enum tl_code load_with(const char *name, const char *from, const char *to,
                              struct tl_err *err)
{
    AUTO(blob) whole = library_file(name);
    AUTO(blob) changed = blob_copy(blob_bytes(whole), blob_size(whole));
    uint8_t *at = memmem(blob_writable(changed), blob_size(changed), from, strlen(from));
    struct forest *forest = NULL;

    if (!at)
        fail_msg("%s does not hold %s", name, from);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    enum tl_code code = forest_load(name, changed, &forest, err);
    forest_unref(forest);
    return code;
}

TEST(a_manifest_of_parts_that_makes_no_sense_is_refused_with_its_place)
{
    static const char stack[] = "tilth_stack.tilth", vote[] = "tilth_vote.tilth";
    struct tl_err err;

    assert_refused(load_with(stack, "\\\"linear\\\"", "\\\"lineal\\\"", &err), TL_INVALID,
                   "parts[2].kind: \"lineal\" is not known");
    assert_refused(load_with(stack, "\\\"binary\\\"", "\\\"binarx\\\"", &err), TL_INVALID,
                   "\"binarx\" is not known");
    assert_refused(load_with(stack, "[5, 7]", "[5, 8]", &err), TL_CORRUPT,
                   "part 2: it reads a column of no earlier part");
    assert_refused(load_with(stack, "p2.weights", "p2.heights", &err), TL_CORRUPT,
                   "tensor p2.weights: it is missing");
    assert_refused(load_with(vote, "[4, 7, 10]", "[4, 8, 10]", &err), TL_CORRUPT,
                   "part 3: it is the mean of something that is not a part");
    assert_refused(load_with(vote, "\\\"divisor\\\": 3}", "\\\"divisor\\\": 0}", &err), TL_CORRUPT,
                   "part 3: the weights of the mean do not add up");
    assert_refused(load_with(vote, "\\\"softmax\\\"", "\\\"binary\\\" ", &err), TL_INVALID,
                   "binary output needs two classes");
    assert_refused(
        load_with(vote, "\\\"label\\\": \\\"score\\\"", "\\\"scale\\\":        15", &err),
        TL_CORRUPT, "golden row");
    assert_refused(
        load_with(vote, "\\\"label\\\": \\\"score\\\"", "\\\"lable\\\": \\\"score\\\"", &err),
        TL_INVALID, "lable");
}

TEST(a_part_that_gives_its_label_is_counted_by_others)
{
    static const char vote[] = "tilth_vote_hard.tilth", gives[] = "\\\"gives\\\": \\\"label\\\"";
    struct tl_err err;

    assert_refused(load_with(vote, gives, "\\\"gives\\\": \\\"lapel\\\"", &err), TL_INVALID,
                   "parts[0].gives: \"lapel\" is not known");
    assert_refused(load_with(vote, gives, "\\\"givez\\\": \\\"label\\\"", &err), TL_INVALID,
                   "givez");
    assert_refused(
        load_with(vote, "\\\"label\\\": \\\"score\\\"}]", "\\\"gives\\\": \\\"label\\\"}]", &err),
        TL_CORRUPT, "part 9: it is the last and gives no probabilities");
}

/* The file with bytes of a tensor from `at` on replaced, and without the checksum that would tell.
 */
static enum tl_code load_with_bytes(const char *name, const char *tensor, size_t at,
                                    const void *bytes, size_t size, struct tl_err *err)
{
    AUTO(blob) whole = library_file(name);
    AUTO(blob) changed = blob_copy(blob_bytes(whole), blob_size(whole));
    char *text = (char *)blob_writable(changed);
    static const char crc[] = ", \\\"crc32\\\": \\\"01234567\\\"",
                      offsets[] = "\"data_offsets\": [";
    struct forest *forest = NULL;
    uint64_t header;

    memcpy(&header, text, sizeof(header));
    char *sum = memmem(text, blob_size(changed), crc, 13);
    char *key = memmem(text, blob_size(changed), tensor, strlen(tensor));
    assert_non_null(sum);
    assert_non_null(key);
    memset(sum, ' ', strlen(crc));
    key = strstr(key, offsets) + strlen(offsets);
    memcpy(text + sizeof(header) + header + strtoull(key, NULL, 10) + at, bytes, size);
    enum tl_code code = forest_load(name, changed, &forest, err);
    forest_unref(forest);
    return code;
}

TEST(curves_that_do_not_rise_or_end_are_refused)
{
    static const char name[] = "tilth_isotonic.tilth";
    static const double nan = (double)NAN, low = -7, high = 1e9;
    static const uint32_t far = 4000, none = 0;
    struct tl_err err;

    assert_ok(load_with_bytes(name, "p1.scaling0_x", 0, &low, sizeof(low), &err));
    assert_refused(load_with_bytes(name, "p1.scaling0_x", 8, &low, sizeof(low), &err), TL_CORRUPT,
                   "part 1: the points of a curve do not rise");
    assert_refused(load_with_bytes(name, "p1.scaling0_x", 0, &high, sizeof(high), &err), TL_CORRUPT,
                   "part 1: the points of a curve do not rise");
    assert_refused(load_with_bytes(name, "p1.scaling0_y", 16, &nan, sizeof(nan), &err), TL_CORRUPT,
                   "part 1: a point of a curve is not a finite number");
    assert_refused(load_with_bytes(name, "p1.scaling0_offsets", 4, &far, sizeof(far), &err),
                   TL_CORRUPT, "p1.scaling0_offsets: they do not rise");
    assert_refused(load_with_bytes(name, "p1.scaling0_offsets", 4, &none, sizeof(none), &err),
                   TL_CORRUPT, "p1.scaling0_offsets: they do not rise");
    assert_refused(load_with_bytes(name, "p1.scaling0_offsets", 12, &far, sizeof(far), &err),
                   TL_CORRUPT, "p1.scaling0_x: it has another length");
}

TEST(a_curve_that_makes_no_sense_is_refused_with_its_place)
{
    static const char name[] = "tilth_isotonic_binary.tilth";
    struct tl_err err;

    assert_refused(load_with(name, "p1.scaling0_offsets", "p1.skaling0_offsets", &err), TL_CORRUPT,
                   "tensor p1.scaling0_offsets: it is missing");
    assert_refused(load_with(name, "p1.scaling0_y", "p1.scaling0_z", &err), TL_CORRUPT,
                   "tensor p1.scaling0_y: it is missing");
    assert_refused(load_with(name, "\\\"share\\\"", "\\\"shark\\\"", &err), TL_INVALID,
                   "\"shark\" is not known");
    assert_refused(load_with("tilth_isotonic.tilth", "\\\"shared\\\"", "\\\"scores\\\"", &err),
                   TL_CORRUPT, "golden row");
}

TEST(a_net_that_makes_no_sense_is_refused_with_its_place)
{
    static const char mlp[] = "tilth_mlp.tilth";
    struct tl_err err;

    assert_refused(load_with(mlp, "\\\"relu\\\"", "\\\"relo\\\"", &err), TL_INVALID,
                   "layers[0].activation: \"relo\" is not known");
    assert_refused(load_with(mlp, "\\\"subtract\\\"", "\\\"subtrakt\\\"", &err), TL_INVALID,
                   "scaling[0].op: \"subtrakt\" is not known");
    assert_refused(load_with(mlp, "p0.weights1", "p0.heights1", &err), TL_CORRUPT,
                   "tensor p0.weights1: it is missing");
    assert_refused(load_with(mlp, "p0.bias2", "p0.bios2", &err), TL_CORRUPT,
                   "tensor p0.bias2: it is missing");
    assert_refused(load_with(mlp, "p0.scaling1", "p0.skaling1", &err), TL_CORRUPT,
                   "tensor p0.scaling1: it is missing");
    assert_refused(load_with(mlp, "\\\"softmax\\\"", "\\\"mean\\\"   ", &err), TL_INVALID,
                   "cannot be the mean of trees");
    assert_refused(
        load_with(mlp, "\\\"inputs\\\": [0, 1, 2, 3]", "\\\"inputs\\\": [0, 1, 2  ] ", &err),
        TL_CORRUPT, "tensor p0.scaling0: it has another length");
    assert_refused(
        load_with(mlp, "\\\"inputs\\\": [0, 1, 2, 3]", "\\\"inputs\\\": [0, 1, 2, 4]", &err),
        TL_CORRUPT, "part 0: it reads a column of no earlier part");
    assert_refused(load_with("tilth_mlp_binary.tilth", "\\\"tanh\\\"", "\\\"relu\\\"", &err),
                   TL_CORRUPT, "golden row");
}

RUN(T(votes_stacks_and_pipelines_answer_as_their_libraries_do),
    T(a_file_of_parts_cut_short_anywhere_is_refused), T(a_changed_byte_of_parts_is_refused_or_runs),
    T(a_part_that_gives_its_label_is_counted_by_others),
    T(a_curve_that_makes_no_sense_is_refused_with_its_place),
    T(curves_that_do_not_rise_or_end_are_refused),
    T(a_manifest_of_parts_that_makes_no_sense_is_refused_with_its_place),
    T(a_net_that_makes_no_sense_is_refused_with_its_place))
