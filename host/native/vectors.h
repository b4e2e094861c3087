/* Vectors of LANES floats, by the extensions that gcc and clang share, and the few functions on
   them. LANES is that of the machine's registers: gcc keeps wider vectors in memory. */
#include <float.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* in memory */

/* EACH(F): F(0), F(1) ... for all lanes, the indices of a shuffle. */
#define EACH4(F, i) F(i), F((i + 1)), F((i + 2)), F((i + 3))
#if LANES == 16
#define EACH(F) EACH4(F, 0), EACH4(F, 4), EACH4(F, 8), EACH4(F, 12)
#elif LANES == 8
#define EACH(F) EACH4(F, 0), EACH4(F, 4)
#else
#define EACH(F) EACH4(F, 0)
#endif
#define SAME(i) (i)
#define LOW(i) ((i) / 2 + (i) % 2 * LANES)
#define HIGH(i) (LOW(i) + LANES / 2)
#define XOR1(i) ((i) ^ 1)
#define XOR2(i) ((i) ^ 2)
#define XOR4(i) (((i) ^ 4) % LANES)
#define XOR8(i) (((i) ^ 8) % LANES)
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, F) __builtin_shufflevector(a, b, EACH(F))
#else
#define SHUFFLE(a, b, F) __builtin_shuffle(a, b, (ivec){EACH(F)})
#endif

static const ivec LANE = {EACH(SAME)};

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }
INLINE vec all(float x) { return x - (vec){0}; }

/* larger(a, b): the larger of both, b where that is not a number. rsqrt_estimate(x): about
   1 / sqrt(x), to 11 bits or more. The extensions have neither. */
#if LANES == 16
#include <immintrin.h>
INLINE vec larger(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec rsqrt_estimate(vec x) { return _mm512_rsqrt14_ps(x); }
#elif LANES == 8
#include <immintrin.h>
INLINE vec larger(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec rsqrt_estimate(vec x) { return _mm256_rsqrt_ps(x); }
#elif defined(__SSE2__)
#include <immintrin.h>
INLINE vec larger(vec a, vec b) { return _mm_max_ps(a, b); }
INLINE vec rsqrt_estimate(vec x) { return _mm_rsqrt_ps(x); }
#else
INLINE vec larger(vec a, vec b) {
    ivec first = a > b;
    return (vec)(((ivec)a & first) | ((ivec)b & ~first));
}
INLINE vec rsqrt_estimate(vec x) {
    for (int i = 0; i < LANES; i++) x[i] = 1 / sqrtf(x[i]);
    return x;
}
#endif

/* 1 / sqrt(x) by a Newton step from the estimate; x must be a normal number above 0. */
INLINE vec rsqrt(vec x) {
    vec y = rsqrt_estimate(x);
    return y * (1.5f - 0.5f * x * y * y);
}

/* 1 / x the same way, the square of 1 / sqrt(x): a division takes longer than all of this. */
INLINE vec reciprocal(vec x) {
    vec root = rsqrt_estimate(x), y = root * root;
    return y * (2 - x * y);
}

/* Sums over groups of `size` neighbouring lanes, a power of 2, in each lane of the group. */
INLINE vec group_sum(vec v, int64_t size) {
    if (size > 1) v += SHUFFLE(v, v, XOR1);
    if (size > 2) v += SHUFFLE(v, v, XOR2);
    if (size > 4) v += SHUFFLE(v, v, XOR4);
    if (size > 8) v += SHUFFLE(v, v, XOR8);
    return v;
}
INLINE float sum_of(vec v) { return group_sum(v, LANES)[0]; }
INLINE float largest_of(vec v) {
    v = larger(v, SHUFFLE(v, v, XOR1));
    v = larger(v, SHUFFLE(v, v, XOR2));
    if (LANES > 4) v = larger(v, SHUFFLE(v, v, XOR4));
    if (LANES > 8) v = larger(v, SHUFFLE(v, v, XOR8));
    return v[0];
}

/* 2 ** x to a relative error of 2e-7, for x up to 126; below -100 as at -100, which is nothing
   beside 1, and whose products do not become denormal numbers, which are slow; NaN stays NaN.
   Adding 1.5 * 2 ** 23 rounds x to a whole number, which is then in the lowest bits, and from
   there goes into the exponent. The polynomial is 2 ** f for the rest f, -0.5 to 0.5. */
INLINE vec exp2_of(vec x) {
    x = larger(all(-100), x);
    vec shifted = x + 12582912.0f;
    vec f = x - (shifted - 12582912.0f);
    vec y = 1.5353362e-4f * f + 1.3398874e-3f;
    y = y * f + 9.6184373e-3f;
    y = y * f + 5.5503325e-2f;
    y = y * f + 2.4022648e-1f;
    y = y * f + 6.9314720e-1f;
    y = y * f + 1.0f;
    return (vec)((ivec)y + ((ivec)shifted << 23));
}

/* Transpose LANES vectors: each stage interleaves the first half of them with the second. */
INLINE void transpose(vec v[LANES]) {
    for (int stage = 1; stage < LANES; stage *= 2) {
        vec w[LANES];
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            w[2 * i] = SHUFFLE(v[i], v[i + LANES / 2], LOW);
            w[2 * i + 1] = SHUFFLE(v[i], v[i + LANES / 2], HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) v[i] = w[i];
    }
}
