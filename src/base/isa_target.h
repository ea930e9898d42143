/*
 * Compiles the rest of a file for an instruction set that the build does not assume.
 * TARGET_BEGIN(avx2) after the last #include of a system header, TARGET_END at the end.
 */
#ifndef TILTH_BASE_ISA_TARGET_H
#define TILTH_BASE_ISA_TARGET_H

#define TARGET_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(isa) \
    TARGET_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN(isa) _Pragma("GCC push_options") TARGET_PRAGMA(GCC target(isa))
#define TARGET_END        _Pragma("GCC pop_options")
#endif

#endif
