/* The arithmetic of the kernels: constants, the bits of floats, exp and log.
 *
 * A kernel has no constants in memory and calls nothing, so a constant comes from `c`, and exp and
 * log are computed here, in the same way on every processor.
 */

#ifndef ARITHMETIC_H
#define ARITHMETIC_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* Indices into `c`, the constants in ugpt/coefficients.py. */
enum {
    EPS, /* of RMSNorm; the only one that ops.py has too */
    HALF,
    ONE,
    TWO,
    SIXTEENTH,
    RECIPROCAL_SEED, /* bits, not a value */
    RECIPROCAL_STEP,
    RSQRT_SEED, /* bits, not a value */
    RSQRT_STEP1,
    RSQRT_STEP2,
    EXP_LOWEST, /* exp of this or less is 0 */
    LOG2_E,
    LN2_HIGH,
    LN2_LOW,
    EXP2, /* the coefficients of x**2 to x**6 in the polynomial for exp */
    EXP3,
    EXP4,
    EXP5,
    EXP6,
    SQRT_HALF,
    LN2,
    LOG3, /* the series for log: 1/3, 1/5, 1/7, 1/9 */
    LOG5,
    LOG7,
    LOG9,
};

INLINE uint32_t bits_of(float x) {
    union {
        float value;
        uint32_t bits;
    } u = {x};
    return u.bits;
}

INLINE float of_bits(uint32_t bits) {
    union {
        uint32_t bits;
        float value;
    } u = {bits};
    return u.value;
}

INLINE void store_zero(float *x) {
    *(uint32_t *)x = 0;
}

/* Return x, hiding its origin from the compiler, which would otherwise turn shifts of it into masks
 * and constants that do not fit into an instruction and go into memory. */
INLINE int opaque(int x) {
    __asm__("" : "+r"(x));
    return x;
}

/* -------------------------------------------------------------------------- in loops/
 *
 * A file for each processor: only some have instructions for these. */

/* 1 / x for 1e-37 < x < 1e37 */
INLINE float reciprocal(float x, const float *c);

/* 1 / sqrt(x) for x > 1e-37; for x = 0 a large number */
INLINE float rsqrt(float x, const float *c);

/* x * (c2 + c3 * x + c4 * x**2 + c5 * x**3 + c6 * x**4), with EXP2 to EXP6 */
INLINE float exp_polynomial(float x, const float *c);

/* -------------------------------------------------------------------------- exp and log */

/* exp(x) for x <= 0: 2**k * exp(r) with |r| <= ln(2) / 2, and a polynomial for exp(r). */
INLINE float exp_negative(float x, const float *c) {
    uint32_t lowest = bits_of(c[EXP_LOWEST]);
    uint32_t b = bits_of(x); /* of two negative floats the lower one has the larger bits */
    x = of_bits(b < lowest ? b : lowest);
    int k = (int)(x * c[LOG2_E] - c[HALF]);
    float n = (float)k;
    float r = (x - n * c[LN2_HIGH]) - n * c[LN2_LOW];
    float p = exp_polynomial(r, c) * r + r + c[ONE];
    k = opaque(k + 127); /* with an exponent of 0 or less, a denormal, the result is 0 */
    return p * of_bits((uint32_t)(k > 0 ? k : 0) << 23);
}

/* log(x) for a normal x = 2**k * m with 1/sqrt(2) <= m < sqrt(2): k * ln(2) + log(m), with
 * log(m) = 2 * artanh(s), s = (m - 1) / (m + 1). */
INLINE float log_of(float x, const float *c) {
    uint32_t sqrt_half = bits_of(c[SQRT_HALF]);
    int k = opaque((int)(bits_of(x) - sqrt_half) >> 23);
    float m = of_bits(bits_of(x) - ((uint32_t)k << 23));
    float s = (m - c[ONE]) * reciprocal(m + c[ONE], c);
    float z = s * s;
    float p = c[LOG9];
    p = p * z + c[LOG7];
    p = p * z + c[LOG5];
    p = p * z + c[LOG3];
    s *= c[TWO];
    return (float)k * c[LN2] + (s + s * z * p);
}

/* p[i] = exp((x[i] - largest) * factor); return their sum. It starts at a 0 that the compiler does
 * not know, or it would copy the loop for the first element. */
INLINE float exp_all(float *p, const float *x, float largest, float factor, int count,
                     const float *c) {
    float total = of_bits(opaque(0));
    for (int i = 0; i < count; i++) {
        float v = exp_negative((x[i] - largest) * factor, c);
        p[i] = v;
        total += v;
    }
    return total;
}

#endif
