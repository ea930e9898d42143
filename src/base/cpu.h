/*
 * cpu: what this processor can do, asked once. TILTH_ISA=scalar|sse2|avx2|avx512|neon
 * lowers it (never raises it): kernels are chosen by cpu_isa() through a pointer.
 *
 * Threads  any
 */
#ifndef TILTH_BASE_CPU_H
#define TILTH_BASE_CPU_H

enum cpu_isa { ISA_SCALAR, ISA_NEON, ISA_SSE2, ISA_AVX2, ISA_AVX512 };

enum cpu_isa cpu_isa(void);
const char *cpu_isa_name(enum cpu_isa isa);
unsigned cpu_cores(void); /* the process may run on */

#endif
