#include "geo/crs.h"

#include "base/check.h"
#include "geo/crs_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The longest WKT of a real CRS is about 10 kB; PROJ's parser recurses on brackets. */
#define DEFINITION_MAX 65536

/* Spellings that need no database. */
static const struct {
    const char *name;
    int epsg;
    enum crs_form form;
} known_forms[] = {
    {"EPSG:4326", 4326, FORM_LONLAT},
    {"OGC:CRS84", 4326, FORM_LONLAT},
    {"EPSG:3857", 3857, FORM_MERCATOR},
    {"EPSG:6933", 6933, FORM_EQUAL_AREA},
};

static void object_release(PJ **object)
{
    proj_destroy(*object);
}
#define AUTO_PJ __attribute__((cleanup(object_release))) PJ

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for a coordinate reference system");
}

void crs_unref(struct crs *crs)
{
    /* Release, then acquire: the last one sees everything the others did. */
    if (!crs || atomic_fetch_sub_explicit(&crs->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(crs->name);
    free(crs->text);
    free(crs);
}

struct crs *crs_ref(struct crs *crs)
{
    atomic_fetch_add_explicit(&crs->refs, 1, memory_order_relaxed);
    return crs;
}

static struct crs *crs_alloc(const char *name)
{
    struct crs *crs = calloc(1, sizeof(*crs));

    if (!crs)
        return NULL;
    atomic_init(&crs->refs, 1);
    crs->name = strdup(name);
    if (!crs->name) {
        free(crs);
        return NULL;
    }
    return crs;
}

static enum tl_code set_text(struct crs *crs, const char *text, struct tl_err *err)
{
    crs->text = strdup(text);
    if (!crs->text)
        return no_memory(err);
    crs->id = hash128(text, strlen(text));
    return TL_OK;
}

static void set_epsg(struct crs *crs, int epsg)
{
    crs->epsg = epsg;
    for (size_t i = 0; i < TL_COUNT(known_forms); i++) {
        if (known_forms[i].epsg == epsg)
            crs->form = known_forms[i].form;
    }
}

/* 4326, 3857 and 6933 by name, without PROJ. False: ask PROJ. */
static bool is_known_name(const char *definition, int *ret_epsg)
{
    for (size_t i = 0; i < TL_COUNT(known_forms); i++) {
        if (strcasecmp(definition, known_forms[i].name) != 0)
            continue;
        *ret_epsg = known_forms[i].epsg;
        return true;
    }
    return false;
}

/* A PROJ string without this is taken for an operation. */
static PJ *create_object(PJ_CONTEXT *context, const char *definition)
{
    char *typed = NULL;

    if ((strstr(definition, "proj=") || strstr(definition, "init=")) &&
        !strstr(definition, "type=crs") && !strstr(definition, "pipeline") &&
        !strchr(definition, '[') && asprintf(&typed, "%s +type=crs", definition) < 0)
        return NULL;
    PJ *object = proj_create(context, typed ? typed : definition);
    free(typed);
    return object;
}

/* The horizontal CRS inside a compound or bound one. Takes `object`. */
static PJ *horizontal_part(PJ_CONTEXT *context, PJ *object)
{
    for (int depth = 0; object && depth < 8; depth++) {
        PJ_TYPE type = proj_get_type(object);
        PJ *inner;

        if (type == PJ_TYPE_COMPOUND_CRS)
            inner = proj_crs_get_sub_crs(context, object, 0);
        else if (type == PJ_TYPE_BOUND_CRS)
            inner = proj_get_source_crs(context, object);
        else
            return object;
        proj_destroy(object);
        object = inner;
    }
    return object;
}

/* A WKT may carry a code and other parameters than the code's: the parameters count. */
static bool is_equivalent(PJ_CONTEXT *context, const PJ *object, const char *code)
{
    AUTO_PJ *named = proj_create_from_database(context, "EPSG", code, PJ_CATEGORY_CRS, 0, NULL);

    return named && proj_is_equivalent_to_with_ctx(context, object, named,
                                                   PJ_COMP_EQUIVALENT_EXCEPT_AXIS_ORDER_GEOGCRS);
}

static int own_code(PJ_CONTEXT *context, const PJ *object)
{
    const char *authority = proj_get_id_auth_name(object, 0);
    const char *code = proj_get_id_code(object, 0);

    if (!authority || !code)
        return 0;
    if (strcasecmp(authority, "OGC") == 0 && strcasecmp(code, "CRS84") == 0)
        code = "4326";
    else if (strcasecmp(authority, "EPSG") != 0)
        return 0;
    return is_equivalent(context, object, code) ? (int)strtol(code, NULL, 10) : 0;
}

/* The code of the first of PROJ's guesses that is the same system; 0: none. Its confidence
 * is about names, which do not move a pixel. */
static int identified_code(PJ_CONTEXT *context, const PJ *object)
{
    int epsg = 0;
    PJ_OBJ_LIST *guesses = proj_identify(context, object, "EPSG", NULL, NULL);
    int count = guesses ? proj_list_get_count(guesses) : 0;

    for (int i = 0; i < count && epsg == 0; i++) {
        AUTO_PJ *guess = proj_list_get(context, guesses, i);

        if (guess && proj_get_id_code(guess, 0) &&
            is_equivalent(context, object, proj_get_id_code(guess, 0)))
            epsg = (int)strtol(proj_get_id_code(guess, 0), NULL, 10);
    }
    proj_list_destroy(guesses);
    return epsg;
}

static bool is_geographic(PJ_TYPE type)
{
    return type == PJ_TYPE_GEOGRAPHIC_2D_CRS || type == PJ_TYPE_GEOGRAPHIC_3D_CRS;
}

static enum tl_code fill_from_proj(struct crs *crs, PJ_CONTEXT *context, PJ *object,
                                   struct tl_err *err)
{
    PJ_TYPE whole_type = proj_get_type(object), type;
    AUTO_PJ *part = horizontal_part(context, proj_clone(context, object));

    if (!part)
        return no_memory(err);
    type = proj_get_type(part);
    if (!is_geographic(type) && type != PJ_TYPE_PROJECTED_CRS)
        return tl_fail(err, TL_UNSUPPORTED,
                       "\"%.80s\" is neither a geographic nor a projected coordinate system; "
                       "reproject the data, or give its CRS in the layer document",
                       crs->name);
    crs->geographic = is_geographic(type);
    /* A bound CRS carries a datum shift of its own, which the code would lose. */
    if (whole_type != PJ_TYPE_BOUND_CRS) {
        int epsg = own_code(context, part);
        set_epsg(crs, epsg ? epsg : identified_code(context, part));
    }
    if (crs->epsg) {
        char code[32];
        snprintf(code, sizeof(code), "EPSG:%d", crs->epsg);
        return set_text(crs, code, err);
    }
    const char *const options[] = {"MULTILINE=NO", NULL};
    const char *wkt = proj_as_wkt(context, object, PJ_WKT2_2019, options);
    return set_text(crs, wkt ? wkt : crs->name, err);
}

static enum tl_code ask_proj(struct crs *crs, struct tl_err *err)
{
    PJ_CONTEXT *context = proj_thread_context();

    if (!context)
        return no_memory(err);
    AUTO_PJ *object = create_object(context, crs->name);
    if (!object)
        return tl_fail(err, TL_INVALID,
                       "\"%.80s\" is not a coordinate reference system that PROJ knows: %s; give "
                       "a code like EPSG:32736, WKT or a PROJ string",
                       crs->name, proj_reason(context));
    if (!proj_is_crs(object))
        return tl_fail(err, TL_INVALID, "\"%.80s\" is an operation, not a reference system",
                       crs->name);
    return fill_from_proj(crs, context, object, err);
}

enum tl_code crs_new(const char *definition, struct crs **ret_crs, struct tl_err *err)
{
    int epsg;

    if (strnlen(definition, DEFINITION_MAX) == DEFINITION_MAX)
        return tl_fail(err, TL_LIMIT, "a CRS definition may have %d bytes", DEFINITION_MAX - 1);
    AUTO(crs) crs = crs_alloc(definition);
    if (!crs)
        return no_memory(err);
    if (is_known_name(definition, &epsg)) {
        char code[32];
        set_epsg(crs, epsg);
        crs->geographic = crs->form == FORM_LONLAT;
        snprintf(code, sizeof(code), "EPSG:%d", epsg);
        TL_TRY(set_text(crs, code, err));
    } else {
        TL_TRY(ask_proj(crs, err));
    }
    *ret_crs = TL_TAKE(crs);
    return TL_OK;
}

const char *crs_name(const struct crs *crs)
{
    return crs->name;
}

int crs_epsg(const struct crs *crs)
{
    return crs->epsg;
}

bool crs_equal(const struct crs *a, const struct crs *b)
{
    return a == b || hash128_equal(a->id, b->id);
}

double crs_period_x(const struct crs *crs)
{
    double period = 360;

    if (crs->form != FORM_NONE)
        form_lon_to_x(crs->form, &period, 1);
    else if (!crs->geographic)
        period = 0;
    return period;
}
