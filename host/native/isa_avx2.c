/* The arithmetic for x86 processors with AVX2. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#define TILE_ROWS 4 /* times two vectors: half of the 16 registers */
#define ISA isa_avx2
#define ISA_NAME "avx2"
#include "model.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
