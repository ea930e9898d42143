#include "base/config.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KIB(n)     ((int64_t)(n) << 10)
#define MIB(n)     ((int64_t)(n) << 20)
#define GIB(n)     ((int64_t)(n) << 30)
#define TIB(n)     ((int64_t)(n) << 40)
#define MS(n)      ((int64_t)(n)*1000000)
#define SECONDS(n) ((int64_t)(n)*1000000000)

/* A file of settings has some 30 short lines. */
enum { FILE_MAX_BYTES = 1 << 20 };

enum kind { KIND_STRING, KIND_SECRET, KIND_INT, KIND_BYTES, KIND_TIME, KIND_BOOL };

struct setting {
    const char *key;
    enum kind kind;
    size_t offset;        /* of the field in struct config */
    const char *fallback; /* strings */
    int64_t number;       /* everything else */
    int64_t min, max;
    const char *help;
};

#define AT(name, kind_, ...)                                                                \
    {                                                                                       \
        .key = #name, .kind = (kind_), .offset = offsetof(struct config, name), __VA_ARGS__ \
    }

static const struct setting settings[] = {
#define CONFIG_STRING(key_, fallback_, help_) \
    AT(key_, KIND_STRING, .fallback = (fallback_), .help = (help_)),
#define CONFIG_SECRET(key_, help_) AT(key_, KIND_SECRET, .fallback = "", .help = (help_)),
#define CONFIG_INT(key_, number_, min_, max_, unit_, help_) \
    AT(key_, KIND_INT, .number = (number_), .min = (min_), .max = (max_), .help = (help_)),
#define CONFIG_BYTES(key_, number_, min_, max_, help_) \
    AT(key_, KIND_BYTES, .number = (number_), .min = (min_), .max = (max_), .help = (help_)),
#define CONFIG_TIME(key_, number_, min_, max_, help_) \
    AT(key_, KIND_TIME, .number = (number_), .min = (min_), .max = (max_), .help = (help_)),
#define CONFIG_BOOL(key_, number_, help_) \
    AT(key_, KIND_BOOL, .number = (number_), .min = 0, .max = 1, .help = (help_)),
#include "base/config.def"
};

enum { SETTINGS = TL_COUNT(settings) };

/* Largest first: the first that divides a value is the one it is printed in. */
static const struct unit {
    const char *name;
    int64_t factor;
} byte_units[] = {{"TiB", TIB(1)}, {"GiB", GIB(1)}, {"MiB", MIB(1)},
                  {"KiB", KIB(1)}, {"B", 1},        {NULL, 0}},
  time_units[] = {{"h", SECONDS(3600)},
                  {"min", SECONDS(60)},
                  {"s", SECONDS(1)},
                  {"ms", MS(1)},
                  {"us", 1000},
                  {"ns", 1},
                  {NULL, 0}};

/* Where a setting lives in a config; the table holds the type. */
static void *field_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static bool is_text(const struct setting *setting)
{
    return setting->kind == KIND_STRING || setting->kind == KIND_SECRET;
}

static void set_number(struct config *config, const struct setting *setting, int64_t value)
{
    if (setting->kind == KIND_BOOL)
        *(bool *)field_of(config, setting) = value != 0;
    else
        memcpy(field_of(config, setting), &value, sizeof(value));
}

static void set_text(struct config *config, const struct setting *setting, const char *value)
{
    char *field = field_of(config, setting);

    memset(field, 0, CONFIG_STRING_MAX);
    memcpy(field, value, strlen(value) + 1);
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    for (unsigned i = 0; i < SETTINGS; i++) {
        if (is_text(&settings[i]))
            set_text(config, &settings[i], settings[i].fallback);
        else
            set_number(config, &settings[i], settings[i].number);
    }
}

/* "cache-size" and "cache_size" are the same key. */
static bool same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(*a == '-' && *b == '_'))
            return false;
    return *a == *b;
}

static const struct setting *setting_of(const char *key)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        if (same_key(key, settings[i].key))
            return &settings[i];
    return NULL;
}

static const char *nearest_key(const char *key)
{
    const char *known[SETTINGS + 1] = {0};

    for (unsigned i = 0; i < SETTINGS; i++)
        known[i] = settings[i].key;
    return nearest_word(key, known);
}

bool config_knows(const char *key)
{
    return setting_of(key) != NULL;
}

void config_nearest(const char *key, char ret_option[64])
{
    char written[64];

    snprintf(written, sizeof(written), "%s", key);
    for (char *c = written; *c; c++)
        if (*c == '-')
            *c = '_';
    const char *guess = nearest_key(written);
    snprintf(ret_option, 64, "%s", guess ? guess : "");
    for (char *c = ret_option; *c; c++)
        if (*c == '_')
            *c = '-';
}

static enum tl_code refuse_key(const char *where, const char *key, struct tl_err *err)
{
    const char *guess = nearest_key(key);

    if (guess)
        return tl_fail(err, TL_INVALID, "%s: unknown key \"%.64s\"; did you mean \"%s\"?", where,
                       key, guess);
    return tl_fail(err, TL_INVALID, "%s: unknown key \"%.64s\"; docs/config.md lists them all",
                   where, key);
}

/* A plain decimal number, then the rest; no sign, exponent, hex, inf or nan. */
static bool parse_decimal(const char *text, double *ret_number, const char **ret_rest)
{
    size_t digits = strspn(text, "0123456789");
    size_t size = digits;

    if (text[size] == '.')
        size += 1 + strspn(text + size + 1, "0123456789");
    if (digits == 0 || size > 40 || text[size - 1] == '.')
        return false;
    *ret_number = strtod(text, NULL);
    *ret_rest = text + size;
    return true;
}

/* "512 MiB", "1.5GiB", "5 s"; a bare number only where `bare` gives it a meaning. */
static bool parse_measure(const char *text, const struct unit *units, bool bare, int64_t *ret)
{
    const char *rest;
    double number;
    int64_t factor = bare ? 1 : 0;

    if (!parse_decimal(text, &number, &rest))
        return false;
    rest += strspn(rest, " \t");
    if (*rest) {
        while (units->name && strcasecmp(rest, units->name) != 0)
            units++;
        factor = units->factor;
    }
    if ((factor == 0 && number > 0) || (*rest && !units->name))
        return false;
    double value = number * (double)factor;
    if (!(value < 9.2e18))
        return false;
    *ret = (int64_t)value;
    return true;
}

static bool parse_int(const char *text, int64_t *ret)
{
    char *rest;

    errno = 0;
    long long value = strtoll(text, &rest, 10);
    if (errno || rest == text || *rest || isspace((unsigned char)*text))
        return false;
    *ret = value;
    return true;
}

static bool parse_bool(const char *text, int64_t *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (unsigned i = 0; i < TL_COUNT(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i & 1;
            return true;
        }
    }
    return false;
}

static bool parse_number(const struct setting *setting, const char *text, int64_t *ret)
{
    switch (setting->kind) {
    case KIND_INT:
        return parse_int(text, ret);
    case KIND_BYTES:
        return parse_measure(text, byte_units, true, ret);
    case KIND_TIME:
        return parse_measure(text, time_units, false, ret);
    case KIND_BOOL:
        return parse_bool(text, ret);
    case KIND_STRING:
    case KIND_SECRET:
    default:
        return false;
    }
}

static void print_measure(const struct unit *unit, int64_t value, char *text, size_t room)
{
    while (unit[1].name && (value == 0 || value % unit->factor != 0))
        unit++;
    snprintf(text, room, "%" PRId64 " %s", value / unit->factor, unit->name);
}

/* The text that would be parsed back to `value`. */
static void print_number(const struct setting *setting, int64_t value, char *text, size_t room)
{
    if (setting->kind == KIND_BYTES)
        print_measure(byte_units, value, text, room);
    else if (setting->kind == KIND_TIME)
        print_measure(time_units, value, text, room);
    else if (setting->kind == KIND_BOOL)
        snprintf(text, room, "%s", value ? "true" : "false");
    else
        snprintf(text, room, "%" PRId64, value);
}

static enum tl_code refuse_value(const struct setting *setting, const char *where,
                                 const char *value, struct tl_err *err)
{
    static const char *const forms[] = {
        [KIND_INT] = "a whole number",
        [KIND_BYTES] = "a size such as \"512 MiB\"",
        [KIND_TIME] = "a time with its unit such as \"5 s\"",
        [KIND_BOOL] = "true or false",
    };
    char min[40], max[40];

    print_number(setting, setting->min, min, sizeof(min));
    print_number(setting, setting->max, max, sizeof(max));
    return tl_fail(err, TL_INVALID, "%s: %s = \"%.64s\": %s from %s to %s is needed", where,
                   setting->key, value, forms[setting->kind], min, max);
}

static enum tl_code config_set_text(struct config *config, const struct setting *setting,
                                    const char *where, const char *value, struct tl_err *err)
{
    if (strlen(value) >= CONFIG_STRING_MAX)
        return tl_fail(err, TL_INVALID, "%s: %s has %zu bytes, at most %d are allowed", where,
                       setting->key, strlen(value), CONFIG_STRING_MAX - 1);
    for (const char *at = value; *at; at++)
        if (iscntrl((unsigned char)*at))
            return tl_fail(err, TL_INVALID, "%s: %s holds a control character (0x%02x)", where,
                           setting->key, (unsigned)(unsigned char)*at);
    set_text(config, setting, value);
    return TL_OK;
}

enum tl_code config_set(struct config *config, const char *where, const char *key,
                        const char *value, struct tl_err *err)
{
    const struct setting *setting = setting_of(key);
    int64_t number;

    if (!setting)
        return refuse_key(where, key, err);
    if (is_text(setting))
        return config_set_text(config, setting, where, value, err);
    if (!parse_number(setting, value, &number) || number < setting->min || number > setting->max)
        return refuse_value(setting, where, value, err);
    set_number(config, setting, number);
    return TL_OK;
}

static enum tl_code read_variable(struct config *config, const struct setting *setting,
                                  struct tl_err *err)
{
    char name[64];
    int n = snprintf(name, sizeof(name), "TILTH_%s", setting->key);

    for (int at = 0; at < n; at++)
        name[at] = (char)toupper((unsigned char)name[at]);
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread */
    return value ? config_set(config, name, setting->key, value, err) : TL_OK;
}

enum tl_code config_read_environment(struct config *config, struct tl_err *err)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        TL_TRY(read_variable(config, &settings[i], err));
    return TL_OK;
}

/* One line of a file, cut from its comment and outer blanks. */
struct line {
    const char *text;
    size_t size;
};

static struct line trimmed(const char *text, size_t size)
{
    while (size > 0 && isspace((unsigned char)text[0])) {
        text++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    return (struct line){text, size};
}

static struct line without_comment(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '#' && (i == 0 || isspace((unsigned char)text[i - 1])))
            size = i;
    return trimmed(text, size);
}

/* Copies a slice as a string; false when it is too long or holds a NUL. */
static bool copy_slice(struct line slice, char *text, size_t room)
{
    if (slice.size >= room || memchr(slice.text, '\0', slice.size))
        return false;
    memcpy(text, slice.text, slice.size);
    text[slice.size] = '\0';
    return true;
}

/* `set_at` remembers the line that set each key, so that a second one is refused. */
static enum tl_code read_line(struct config *config, struct line line, const char *where,
                              unsigned number, unsigned set_at[SETTINGS], struct tl_err *err)
{
    char key[64], value[CONFIG_STRING_MAX];
    const char *equals = memchr(line.text, '=', line.size);
    size_t before = equals ? (size_t)(equals - line.text) : 0;

    if (!equals)
        return tl_fail(err, TL_INVALID, "%s: \"key = value\" is needed", where);
    if (!copy_slice(trimmed(line.text, before), key, sizeof(key)))
        return tl_fail(err, TL_INVALID, "%s: this is no key of a setting", where);
    if (!copy_slice(trimmed(equals + 1, line.size - before - 1), value, sizeof(value)))
        return tl_fail(err, TL_INVALID, "%s: %s: a value has at most %d bytes and no NUL", where,
                       key, CONFIG_STRING_MAX - 1);
    TL_TRY(config_set(config, where, key, value, err));
    unsigned *first = &set_at[setting_of(key) - settings];
    if (*first)
        return tl_fail(err, TL_INVALID, "%s: %s is set twice, first on line %u", where, key,
                       *first);
    *first = number;
    return TL_OK;
}

enum tl_code config_read_text(struct config *config, const char *name, const void *bytes,
                              size_t size, struct tl_err *err)
{
    const char *at = bytes, *end = at + size;
    unsigned set_at[SETTINGS] = {0};
    struct config changed = *config;

    for (unsigned number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at);
        struct line line = without_comment(at, length);
        char where[256];

        snprintf(where, sizeof(where), "%.200s:%u", name, number);
        if (line.size > 0)
            TL_TRY(read_line(&changed, line, where, number, set_at, err));
        at += length + 1;
    }
    *config = changed;
    return TL_OK;
}

enum tl_code config_read_file(struct config *config, const char *path, struct tl_err *err)
{
    AUTO(blob) text = NULL;

    TL_TRY(file_read(path, FILE_MAX_BYTES, &text, err));
    return config_read_text(config, path, blob_bytes(text), blob_size(text), err);
}

static int64_t number_of(const struct config *config, const struct setting *setting)
{
    const char *field = (const char *)config + setting->offset;
    int64_t value;

    if (setting->kind == KIND_BOOL)
        return *(const bool *)field;
    memcpy(&value, field, sizeof(value));
    return value;
}

static void print_default(const struct setting *setting, char *text, size_t room)
{
    if (is_text(setting))
        snprintf(text, room, "%s", setting->fallback);
    else
        print_number(setting, setting->number, text, room);
}

static bool has_range(const struct setting *setting)
{
    return !is_text(setting) && setting->kind != KIND_BOOL;
}

static void print_range(struct buf *out, const struct setting *setting)
{
    char min[40], max[40];

    print_number(setting, setting->min, min, sizeof(min));
    print_number(setting, setting->max, max, sizeof(max));
    buf_printf(out, "%s to %s", min, max);
}

static void print_setting(const struct config *config, const struct setting *setting,
                          struct buf *out)
{
    char fallback[CONFIG_STRING_MAX], value[CONFIG_STRING_MAX];

    print_default(setting, fallback, sizeof(fallback));
    if (is_text(setting))
        snprintf(value, sizeof(value), "%s", (const char *)config + setting->offset);
    else
        print_number(setting, number_of(config, setting), value, sizeof(value));

    buf_printf(out, "\n# %s", setting->help);
    if (has_range(setting)) {
        buf_puts(out, " From ");
        print_range(out, setting);
        buf_puts(out, ".");
    }
    bool same = strcmp(value, fallback) == 0;
    if (setting->kind == KIND_SECRET && !same)
        buf_printf(out, "\n# %s is set and not shown\n", setting->key);
    else
        buf_printf(out, "\n%s%s =%s%s\n", same ? "#" : "", setting->key, *value ? " " : "", value);
}

void config_print(const struct config *config, struct buf *out)
{
    buf_puts(out, "# Settings of tilth. A line that is commented out shows the default.\n"
                  "# The environment (TILTH_<KEY>) goes before this file, flags (--<key>) before "
                  "both.\n");
    for (unsigned i = 0; i < SETTINGS; i++)
        print_setting(config, &settings[i], out);
}

static void print_row(struct buf *out, const struct setting *setting)
{
    char fallback[CONFIG_STRING_MAX];

    print_default(setting, fallback, sizeof(fallback));
    buf_printf(out, "| `%s` | ", setting->key);
    if (*fallback)
        buf_printf(out, "`%s`", fallback);
    buf_puts(out, " | ");
    if (has_range(setting))
        print_range(out, setting);
    buf_printf(out, " | %s |\n", setting->help);
}

void config_print_markdown(struct buf *out)
{
    buf_puts(out,
             "# Settings\n\n"
             "Printed from src/base/config.def; do not edit.\n\n"
             "Every key can be set in a file (`key = value`, `#` begins a comment), in the\n"
             "environment (`cache_size` is `TILTH_CACHE_SIZE`) and by a flag\n"
             "(`--cache-size \"8 GiB\"`). A flag goes before the environment, the environment\n"
             "before the file. Sizes: `B`, `KiB`, `MiB`, `GiB`, `TiB`; times: `ms`, `s`, `min`,\n"
             "`h`. An unknown key is refused.\n\n"
             "| key | default | range | what it is for |\n"
             "|---|---|---|---|\n");
    for (unsigned i = 0; i < SETTINGS; i++)
        print_row(out, &settings[i]);
}
