/* The arithmetic for x86 processors with AVX-512. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif
#define LANES 16
#define TILE_ROWS 8 /* times two vectors: half of the 32 registers */
#define ISA isa_avx512
#define ISA_NAME "avx512"
#include "model.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
