/*
 * attr: compiler attributes, named for what they promise the reader.
 */
#ifndef TILTH_BASE_ATTR_H
#define TILTH_BASE_ATTR_H

#define TL_MUST_CHECK      __attribute__((warn_unused_result))
#define TL_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define TL_COLD            __attribute__((cold))
#define TL_NORETURN        __attribute__((noreturn))

/*
 * AUTO(blob) tile = NULL;   releases `tile` on every way out of the scope.
 * A type opts in once, in its own header, with AUTO_DEFINE(blob, blob_unref).
 */
#define AUTO(type) __attribute__((cleanup(type##_auto_))) struct type *
#define AUTO_DEFINE(type, release)                                           \
    __attribute__((unused)) static inline void type##_auto_(struct type **p) \
    {                                                                        \
        release(*p);                                                         \
    }

/* Hands an AUTO pointer to its new owner: *ret_tile = TL_TAKE(tile); */
#define TL_TAKE(p)                     \
    __extension__({                    \
        __typeof__(p) tl_taken_ = (p); \
        (p) = NULL;                    \
        tl_taken_;                     \
    })

/*
 * Memory that a cleanup frees: AUTO(tiff) tiff = TL_OWNED(calloc(1, sizeof(*tiff))). Clang 14's
 * analyser does not follow the attribute and takes an early return for a leak; it is told that
 * somebody else holds the pointer. Nothing in a build.
 */
#ifdef __clang_analyzer__
void *tl_owned(void *p);
#define TL_OWNED(p) tl_owned(p)
#else
#define TL_OWNED(p) (p)
#endif

#define TL_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TL_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define TL_MAX(a, b)    ((a) > (b) ? (a) : (b))

#endif
