/* The kernels of ugpt/ops.py as machine code: the same names, arguments and meaning.
 *
 * `microgpt-board kernels` (tools/microgpt_board/image/native.py) compiles this file and packs
 * each KERNEL as a function into one .mpy. There is no linker, and MicroPython loads a function
 * at any address, so the code must not contain calls, static variables, or constants that the
 * compiler puts into memory:
 *
 *   - helpers are INLINE;
 *   - float constants come from `c`, the array in ugpt/coefficients.py, indexed by the enum below;
 *   - exp and log are computed here, and also division and square root, unless they are
 *     instructions: on the ESP32 a division is a call.
 *
 * Where the compiler's code takes more than 1.5 times the instructions of good code, there is a
 * loop in assembly beside the one in C: for Xtensa (__XTENSA__), and for a Cortex-M with a
 * floating-point unit (__ARM_FP).
 *
 * `microgpt-board kernels` refuses machine code with relocations.
 */

#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* Indices into `c`. */
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

/* Indices into `k`, the coefficients of Adam. */
enum { BETA1, GAIN1, BETA2, GAIN2, LR, POWER1, POWER2, ADAM_EPS };

/* MicroPython calls a kernel like a viper function. The arguments are small ints, that is, shifted
 * left by one: numbers, and addresses from `view` in ugpt/native.py. The result is the small int
 * 0. */
typedef intptr_t object;

#define KERNEL(name) object name(object self, size_t n_args, size_t n_kw, const object *args)
#define INT(i) ((int)(args[i] >> 1))
#define FLOATS(i) ((float *)(args[i] >> 1))
#define BYTES(i) ((const uint8_t *)(args[i] >> 1))
#define DONE ((object)1)

/* -------------------------------------------------------------------------- arithmetic */

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

#ifdef __ARM_FP

/* A Cortex-M with a floating-point unit divides, and takes square roots, in one instruction. */

INLINE float reciprocal(float x, const float *c) {
    return c[ONE] / x;
}

INLINE float root(float x) {
    __asm__("vsqrt.f32 %0, %0" : "+t"(x));
    return x;
}

INLINE float rsqrt(float x, const float *c) {
    return c[ONE] / root(x);
}

#else

/* 1 / x for 1e-37 < x < 1e37, with a relative error of at most 2e-7. Subtracting the bits of x
 * from twice those of 1 negates the exponent: the first approximation, with an error of 5 %. A
 * step of Newton's method squares the error, and the next step, of third order, cubes it. The
 * constants of the first approximation and the first step minimise the largest error. */
INLINE float reciprocal(float x, const float *c) {
    float r = of_bits(bits_of(c[RECIPROCAL_SEED]) - bits_of(x));
    r *= c[RECIPROCAL_STEP] - x * r;
    float error = c[ONE] - x * r;
    return r + r * (error + error * error);
}

/* 16 / sqrt(x) for x > 1e-37, with a relative error of at most 8e-7, in the same way: the "fast
 * inverse square root" (Lomont, 2003; constants after Moroz et al., 2018). A step of Newton's
 * method for y = 1 / sqrt(x) is y * (3 - x * y * y) / 2. Two steps without the division by 2
 * give 16 times the result. For x = 0 the result is a large finite number. */
INLINE float rsqrt16(float x, const float *c) {
    float y = of_bits(bits_of(c[RSQRT_SEED]) - (bits_of(x) >> 1));
    y *= c[RSQRT_STEP1] - x * y * y;
    y *= c[RSQRT_STEP2] - x * y * y;
    return y;
}

INLINE float rsqrt(float x, const float *c) {
    return rsqrt16(x, c) * c[SIXTEENTH];
}

#endif

/* exp(x) for x <= 0: 2**k * exp(r) with |r| <= ln(2) / 2, and a polynomial for exp(r). */
INLINE float exp_negative(float x, const float *c) {
    uint32_t lowest = bits_of(c[EXP_LOWEST]);
    uint32_t b = bits_of(x); /* of two negative floats the lower one has the larger bits */
    x = of_bits(b < lowest ? b : lowest);
    int k = (int)(x * c[LOG2_E] - c[HALF]);
    float n = (float)k;
    float r = (x - n * c[LN2_HIGH]) - n * c[LN2_LOW];
#ifdef __ARM_FP
    float p; /* as in the #else branch; all five coefficients are loaded at once */
    __asm__("vldmia %[coefficients], {s0-s4}\n"
            "vfma.f32 s3, s4, %[r]\n"
            "vfma.f32 s2, s3, %[r]\n"
            "vfma.f32 s1, s2, %[r]\n"
            "vfma.f32 s0, s1, %[r]\n"
            "vmul.f32 %[p], s0, %[r]\n"
            : [p] "=t"(p)
            : [coefficients] "r"(c + EXP2), [r] "t"(r)
            : "s0", "s1", "s2", "s3", "s4");
    p = p * r + r + c[ONE];
#else
    float p = c[EXP6];
    p = p * r + c[EXP5];
    p = p * r + c[EXP4];
    p = p * r + c[EXP3];
    p = p * r + c[EXP2];
    p = p * r * r + r + c[ONE];
#endif
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

#ifdef __ARM_FP

/* Loops over elements for a Cortex-M, in assembly: one of its instructions loads or stores four
 * neighbours, and clang generates none of these. */

/* `four` for each four of %[n] elements, then `one` for each of the rest. */
#define LOOP(four, one)                                                                       \
    "subs %[n], #4\n"                                                                         \
    "blt 2f\n"                                                                                \
    "1:\n"                                                                                    \
    four                                                                                      \
    "subs %[n], #4\n"                                                                         \
    "bge 1b\n"                                                                                \
    "2:\n"                                                                                    \
    "adds %[n], #4\n"                                                                         \
    "beq 4f\n"                                                                                \
    "3:\n"                                                                                    \
    one                                                                                       \
    "subs %[n], #1\n"                                                                         \
    "bne 3b\n"                                                                                \
    "4:\n"

/* The same for up to six arrays: elements of the first are in s0 to s3, of the second in s4 to s7,
 * and so on. `load` and `store` are given how each list of registers ends, `op` the registers of
 * one element. */
#define LOOP_OVER(load, op, store)                                                            \
    LOOP(load("-s3", "-s7", "-s11", "-s15", "-s19", "-s23")                                   \
         op("s0", "s4", "s8", "s12", "s16", "s20")                                            \
         op("s1", "s5", "s9", "s13", "s17", "s21")                                            \
         op("s2", "s6", "s10", "s14", "s18", "s22")                                           \
         op("s3", "s7", "s11", "s15", "s19", "s23")                                           \
         store("-s3", "-s7", "-s11", "-s15", "-s19", "-s23"),                                 \
         load("", "", "", "", "", "")                                                         \
         op("s0", "s4", "s8", "s12", "s16", "s20")                                            \
         store("", "", "", "", "", ""))

#define TWO_ARRAYS "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "cc", "memory"
#define FOUR_ARRAYS "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", TWO_ARRAYS
#define SIX_ARRAYS "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", FOUR_ARRAYS

#define LOAD_X(x, ...) "vldmia %[x]!, {s0" x "}\n"
#define LOAD_X_Y(x, y, ...) LOAD_X(x) "vldmia %[y]!, {s4" y "}\n"
#define STORE(x, ...) "vstmia %[out]!, {s0" x "}\n"
#define NO_STORE(...)

#define DOT(x, y, ...) "vfma.f32 %[sum], " x ", " y "\n"

INLINE float dot(const float *a, const float *b, int count) {
    float sum;
    __asm__ volatile("vmov %[sum], %[zero]\n"
                     LOOP_OVER(LOAD_X_Y, DOT, NO_STORE)
                     : [sum] "=&t"(sum), [x] "+r"(a), [y] "+r"(b), [n] "+r"(count)
                     : [zero] "r"(0)
                     : TWO_ARRAYS);
    return sum;
}

#define LARGER(x, ...)                                                                        \
    "vcmp.f32 " x ", %[largest]\n"                                                            \
    "vmrs APSR_nzcv, fpscr\n"                                                                 \
    "it gt\n"                                                                                 \
    "vmovgt.f32 %[largest], " x "\n"

INLINE float largest_of(const float *x, int count) {
    float largest = x[0];
    __asm__ volatile(LOOP_OVER(LOAD_X, LARGER, NO_STORE)
                     : [largest] "+t"(largest), [x] "+r"(x), [n] "+r"(count)
                     :
                     : TWO_ARRAYS);
    return largest;
}

#define ADD(x, y, ...) "vadd.f32 " x ", " x ", " y "\n"

/* out[i] = a[i] + b[i] */
INLINE void add_all(float *out, const float *a, const float *b, int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X_Y, ADD, STORE)
                     : [out] "+r"(out), [x] "+r"(a), [y] "+r"(b), [n] "+r"(count)
                     :
                     : TWO_ARRAYS);
}

#define SCALE(x, ...) "vmul.f32 " x ", " x ", %[factor]\n"

/* out[i] = x[i] * factor */
INLINE void scale_to(float *out, const float *x, float factor, int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X, SCALE, STORE)
                     : [out] "+r"(out), [x] "+r"(x), [n] "+r"(count)
                     : [factor] "t"(factor)
                     : TWO_ARRAYS);
}

INLINE void scale_all(float *x, float factor, int count) {
    scale_to(x, x, factor, count);
}

#else

INLINE float dot(const float *a, const float *b, int count) {
    float sum = a[0] * b[0];
    for (int i = 1; i < count; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

INLINE float largest_of(const float *x, int count) {
    float largest = x[0];
    for (int i = 1; i < count; i++) {
        if (x[i] > largest) {
            largest = x[i];
        }
    }
    return largest;
}

INLINE void scale_all(float *x, float factor, int count) {
    for (int i = 0; i < count; i++) {
        x[i] *= factor;
    }
}

#endif

/* p[i] = exp((x[i] - largest) * factor); return the sum of p. */
INLINE float exp_all(float *p, const float *x, float largest, float factor, int count,
                     const float *c) {
#ifdef __ARM_FP
    float total = of_bits(opaque(0)); /* without a copy of the loop for the first element */
    for (int i = 0; i < count; i++) {
#else
    float total = p[0] = exp_negative((x[0] - largest) * factor, c);
    for (int i = 1; i < count; i++) {
#endif
        float v = exp_negative((x[i] - largest) * factor, c);
        p[i] = v;
        total += v;
    }
    return total;
}

/* -------------------------------------------------------------------------- embedding */

KERNEL(embed) {
    float *x = FLOATS(0);
    const float *wte = FLOATS(1), *wpe = FLOATS(2);
    const uint8_t *tokens = BYTES(3);
    int n = INT(4), width = INT(5);
    for (int t = 0; t < n; t++) {
        const float *row = wte + tokens[t] * width;
#ifdef __ARM_FP
        add_all(x, row, wpe, width);
        x += width;
        wpe += width;
#else
        for (int i = 0; i < width; i++) {
            *x++ = *row++ + *wpe++;
        }
#endif
    }
    return DONE;
}

KERNEL(embed_backward) {
    float *dwte = FLOATS(0);
    const float *dx = FLOATS(1);
    const uint8_t *tokens = BYTES(2);
    int n = INT(3), width = INT(4), first = INT(5), rows = INT(6);
    for (int t = 0; t < n; t++) {
        int row = tokens[t] - first;
        if (row >= 0 && row < rows) {
            float *sum = dwte + row * width;
#ifdef __ARM_FP
            add_all(sum, sum, dx, width);
#else
            for (int i = 0; i < width; i++) {
                sum[i] += dx[i];
            }
#endif
        }
        dx += width;
    }
    return DONE;
}

/* -------------------------------------------------------------------------- RMSNorm */

KERNEL(rmsnorm) {
    float *y = FLOATS(0), *scale = FLOATS(1);
    const float *x = FLOATS(2);
    int n = INT(3), width = INT(4);
    const float *c = FLOATS(5);
    float per_width = reciprocal((float)width, c);
    for (int t = 0; t < n; t++) {
        float factor = rsqrt(dot(x, x, width) * per_width + c[EPS], c);
        scale[t] = factor;
#ifdef __ARM_FP
        scale_to(y, x, factor, width);
        x += width;
        y += width;
#else
        for (int i = 0; i < width; i++) {
            *y++ = *x++ * factor;
        }
#endif
    }
    return DONE;
}

#ifdef __ARM_FP

#define LESS_MEAN(x, y, ...)                                                                  \
    "vfms.f32 " x ", " y ", %[mean]\n"                                                        \
    "vmul.f32 " x ", " x ", %[factor]\n"

/* out[i] = factor * (x[i] - y[i] * mean) */
INLINE void less_mean(float *out, const float *x, const float *y, float mean, float factor,
                      int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X_Y, LESS_MEAN, STORE)
                     : [out] "+r"(out), [x] "+r"(x), [y] "+r"(y), [n] "+r"(count)
                     : [mean] "t"(mean), [factor] "t"(factor)
                     : TWO_ARRAYS);
}

#endif

KERNEL(rmsnorm_backward) {
    float *dx = FLOATS(0);
    const float *dy = FLOATS(1), *y = FLOATS(2), *scale = FLOATS(3);
    int n = INT(4), width = INT(5);
    const float *c = FLOATS(6);
    float per_width = reciprocal((float)width, c);
    for (int t = 0; t < n; t++) {
        float mean = dot(dy, y, width) * per_width;
        float factor = scale[t];
#ifdef __ARM_FP
        less_mean(dx, dy, y, mean, factor, width);
        dx += width;
        dy += width;
        y += width;
#else
        for (int i = 0; i < width; i++) {
            *dx++ = factor * (*dy++ - *y++ * mean);
        }
#endif
    }
    return DONE;
}

/* -------------------------------------------------------------------------- matrix products
 *
 * They take nearly half of a step's time. A tile of 4 rows and 3 columns has its 12 sums in
 * registers and needs 7 loads for 12 products; sums and operands fill the 16 registers of the
 * ESP32's floating-point unit. Columns beyond a multiple of 3 are computed in tiles of 4 rows and
 * 1 column.
 */

#ifndef __ARM_FP
enum { ROWS = 4, COLUMNS = 3 };
#define FEWER_THAN_A_TILE(rows, columns) (rows < ROWS) /* for there are tiles of one column */
#endif

/* For each operand, whether neighbours in memory are ALONG `depth`, or ACROSS rows or columns. */
enum order { ALONG_ALONG, ALONG_ACROSS, ACROSS_ACROSS };

#ifdef __XTENSA__

/* In assembly, for instructions that clang does not generate yet: multiply-add, loads that advance
 * their pointer, and loops without a branch. The compiler holds no floats in registers here, so
 * f0 to f15 are free. */

/* One step along `depth`: f12 to f14 are elements of b, f15 is one of a. 19 instructions for 12
 * products. */
#define STEP_3(product)                                                                       \
    "lsxp f12, %[b0], %[b_step]\n"                                                            \
    "lsxp f13, %[b1], %[b_step]\n"                                                            \
    "lsxp f14, %[b2], %[b_step]\n"                                                            \
    ROW_3(product, "%[a0]", "f0", "f4", "f8")                                                 \
    ROW_3(product, "%[a1]", "f1", "f5", "f9")                                                 \
    ROW_3(product, "%[a2]", "f2", "f6", "f10")                                                \
    ROW_3(product, "%[a3]", "f3", "f7", "f11")

#define ROW_3(product, pointer, sum0, sum1, sum2)                                             \
    ROW_1(product, pointer, sum0)                                                             \
    product " " sum1 ", f15, f13\n"                                                           \
    product " " sum2 ", f15, f14\n"

/* The same for one column: 9 instructions for 4 products. */
#define STEP_1(product)                                                                       \
    "lsxp f12, %[b0], %[b_step]\n"                                                            \
    ROW_1(product, "%[a0]", "f0")                                                             \
    ROW_1(product, "%[a1]", "f1")                                                             \
    ROW_1(product, "%[a2]", "f2")                                                             \
    ROW_1(product, "%[a3]", "f3")

#define ROW_1(product, pointer, sum)                                                          \
    "lsxp f15, " pointer ", %[a_step]\n"                                                      \
    product " " sum ", f15, f12\n"

#define NEXT_ROW "add %[out], %[out], %[out_row]\n"

#define STORE_3(sum0, sum1, sum2)                                                             \
    STORE_1(sum0)                                                                             \
    "ssi " sum1 ", %[out], 4\n"                                                               \
    "ssi " sum2 ", %[out], 8\n"

#define STORE_1(sum) "ssi " sum ", %[out], 0\n"

INLINE void tile_3(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int b_column, int depth) {
    const float *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const float *b1 = b + b_column, *b2 = b1 + b_column;
    __asm__ volatile(
        STEP_3("mul.s")
        "loopnez %[depth], 1f\n"
        STEP_3("madd.s")
        "1:\n"
        STORE_3("f0", "f4", "f8") NEXT_ROW
        STORE_3("f1", "f5", "f9") NEXT_ROW
        STORE_3("f2", "f6", "f10") NEXT_ROW
        STORE_3("f3", "f7", "f11")
        : [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3),
          [b0] "+r"(b), [b1] "+r"(b1), [b2] "+r"(b2)
        : [out_row] "r"(out_row * 4), [a_step] "r"(a_step * 4), [b_step] "r"(b_step * 4),
          [depth] "r"(depth - 1)
        : "memory");
}

INLINE void tile_1(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int depth) {
    const float *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    __asm__ volatile(
        STEP_1("mul.s")
        "loopnez %[depth], 1f\n"
        STEP_1("madd.s")
        "1:\n"
        STORE_1("f0") NEXT_ROW
        STORE_1("f1") NEXT_ROW
        STORE_1("f2") NEXT_ROW
        STORE_1("f3")
        : [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3),
          [b0] "+r"(b)
        : [out_row] "r"(out_row * 4), [a_step] "r"(a_step * 4), [b_step] "r"(b_step * 4),
          [depth] "r"(depth - 1)
        : "memory");
}

#elif defined(__ARM_FP)

/* In assembly, too, since clang loads each element of an operand by itself. The 32 registers of a
 * Cortex-M's floating-point unit hold a tile of 4 rows and 4 columns in s0 to s15, and two steps
 * along `depth` of both operands in s16 to s31. One instruction loads the two steps of a row or
 * column if they are neighbours in memory (ALONG), or else one step of all four (ACROSS). */

enum { ROWS = 4, COLUMNS = 4 };
#define FEWER_THAN_A_TILE(rows, columns) (rows < ROWS || columns < COLUMNS)

#define ROW(sum0, sum1, sum2, sum3, a, b0, b1, b2, b3)                                        \
    "vfma.f32 " sum0 ", " a ", " b0 "\n"                                                      \
    "vfma.f32 " sum1 ", " a ", " b1 "\n"                                                      \
    "vfma.f32 " sum2 ", " a ", " b2 "\n"                                                      \
    "vfma.f32 " sum3 ", " a ", " b3 "\n"

#define STEP(a, b) STEP_OF(a, b) /* with the four registers of each */
#define STEP_OF(a0, a1, a2, a3, ...)                                                          \
    ROW("s0", "s1", "s2", "s3", a0, __VA_ARGS__)                                              \
    ROW("s4", "s5", "s6", "s7", a1, __VA_ARGS__)                                              \
    ROW("s8", "s9", "s10", "s11", a2, __VA_ARGS__)                                            \
    ROW("s12", "s13", "s14", "s15", a3, __VA_ARGS__)

#define LOAD_A_ALONG                                                                          \
    "vldmia %[a0]!, {s16, s17}\n"                                                             \
    "vldmia %[a1]!, {s18, s19}\n"                                                             \
    "vldmia %[a2]!, {s20, s21}\n"                                                             \
    "vldmia %[a3]!, {s22, s23}\n"
#define A0_ALONG "s16", "s18", "s20", "s22"
#define A1_ALONG "s17", "s19", "s21", "s23"
#define LAST_A_ALONG                                                                          \
    "vldr s16, [%[a0]]\n"                                                                     \
    "vldr s18, [%[a1]]\n"                                                                     \
    "vldr s20, [%[a2]]\n"                                                                     \
    "vldr s22, [%[a3]]\n"

#define LOAD_A_ACROSS                                                                         \
    "vldmia %[a0], {s16-s19}\n"                                                               \
    "add %[a0], %[a_step]\n"                                                                  \
    "vldmia %[a0], {s20-s23}\n"                                                               \
    "add %[a0], %[a_step]\n"
#define A0_ACROSS "s16", "s17", "s18", "s19"
#define A1_ACROSS "s20", "s21", "s22", "s23"
#define LAST_A_ACROSS "vldmia %[a0], {s16-s19}\n"

#define LOAD_B_ALONG                                                                          \
    "vldmia %[b0]!, {s24, s25}\n"                                                             \
    "vldmia %[b1]!, {s26, s27}\n"                                                             \
    "vldmia %[b2]!, {s28, s29}\n"                                                             \
    "vldmia %[b3]!, {s30, s31}\n"
#define B0_ALONG "s24", "s26", "s28", "s30"
#define B1_ALONG "s25", "s27", "s29", "s31"
#define LAST_B_ALONG                                                                          \
    "vldr s24, [%[b0]]\n"                                                                     \
    "vldr s26, [%[b1]]\n"                                                                     \
    "vldr s28, [%[b2]]\n"                                                                     \
    "vldr s30, [%[b3]]\n"

#define LOAD_B_ACROSS                                                                         \
    "vldmia %[b0], {s24-s27}\n"                                                               \
    "add %[b0], %[b_step]\n"                                                                  \
    "vldmia %[b0], {s28-s31}\n"                                                               \
    "add %[b0], %[b_step]\n"
#define B0_ACROSS "s24", "s25", "s26", "s27"
#define B1_ACROSS "s28", "s29", "s30", "s31"
#define LAST_B_ACROSS "vldmia %[b0], {s24-s27}\n"

#define TILE(a, b)                                                                            \
    "vmov d0, %[n], %[n]\n"                                                                   \
    "vmov d1, %[n], %[n]\n"                                                                   \
    "vmov d2, %[n], %[n]\n"                                                                   \
    "vmov d3, %[n], %[n]\n"                                                                   \
    "vmov d4, %[n], %[n]\n"                                                                   \
    "vmov d5, %[n], %[n]\n"                                                                   \
    "vmov d6, %[n], %[n]\n"                                                                   \
    "vmov d7, %[n], %[n]\n"                                                                   \
    "lsrs %[n], %[depth], #1\n"                                                               \
    "beq 2f\n"                                                                                \
    "1:\n"                                                                                    \
    LOAD_A_##a LOAD_B_##b STEP(A0_##a, B0_##b) STEP(A1_##a, B1_##b)                           \
    "subs %[n], #1\n"                                                                         \
    "bne 1b\n"                                                                                \
    "2:\n"                                                                                    \
    "lsrs %[n], %[depth], #1\n"                                                               \
    "bcc 3f\n"                                                                                \
    LAST_A_##a LAST_B_##b STEP(A0_##a, B0_##b)                                                \
    "3:\n"                                                                                    \
    "vstmia %[out], {s0-s3}\n"                                                                \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s4-s7}\n"                                                                \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s8-s11}\n"                                                               \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s12-s15}\n"

#define ALL_REGISTERS                                                                         \
    "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31", SIX_ARRAYS

/* Which of the strides is 1 is known where this is inlined, so that one of the three remains. */
INLINE void tile_4(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int b_column, int depth, enum order order) {
    const float *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const float *b1 = b + b_column, *b2 = b1 + b_column, *b3 = b2 + b_column;
    int n = 0;
    if (order == ALONG_ALONG) {
        __asm__ volatile(TILE(ALONG, ALONG)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1),
                           [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b), [b1] "+r"(b1),
                           [b2] "+r"(b2), [b3] "+r"(b3)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4)
                         : ALL_REGISTERS);
    } else if (order == ALONG_ACROSS) {
        __asm__ volatile(TILE(ALONG, ACROSS)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1),
                           [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4),
                           [b_step] "r"(b_step * 4)
                         : ALL_REGISTERS);
    } else {
        __asm__ volatile(TILE(ACROSS, ACROSS)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [b0] "+r"(b)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4),
                           [a_step] "r"(a_step * 4), [b_step] "r"(b_step * 4)
                         : ALL_REGISTERS);
    }
}

#else

INLINE void tile(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                 int b_step, int b_column, int depth, int columns) {
    float sum[ROWS][COLUMNS];
    for (int d = 0; d < depth; d++) {
        for (int r = 0; r < ROWS; r++) {
            for (int k = 0; k < columns; k++) {
                float product = a[r * a_row] * b[k * b_column];
                sum[r][k] = d ? sum[r][k] + product : product;
            }
        }
        a += a_step;
        b += b_step;
    }
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < columns; k++) {
            out[r * out_row + k] = sum[r][k];
        }
    }
}

INLINE void tile_3(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int b_column, int depth) {
    tile(out, out_row, a, a_row, a_step, b, b_step, b_column, depth, COLUMNS);
}

INLINE void tile_1(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int depth) {
    tile(out, out_row, a, a_row, a_step, b, b_step, 0, depth, 1);
}

#endif

/* As in ops.py: out[r][k] = sum over d of a[r * a_row + d * a_step] * b[d * b_step + k * b_column].
 *
 * If rows is not a multiple of 4, the last tile computes some rows of the one before it again.
 * Fewer than 4 rows are computed element by element. */
INLINE void matmul(float *out, const float *a, int a_row, int a_step, const float *b, int b_step,
                   int b_column, int rows, int columns, int depth, enum order order) {
    if (FEWER_THAN_A_TILE(rows, columns)) {
        for (int r = 0; r < rows; r++) {
            for (int k = 0; k < columns; k++) {
                const float *x = a + r * a_row, *y = b + k * b_column;
#ifdef __ARM_FP
                if (order == ALONG_ALONG) { /* as when a document is generated */
                    *out++ = dot(x, y, depth);
                    continue;
                }
#endif
                float sum = *x * *y;
                for (int d = 1; d < depth; d++) {
                    x += a_step;
                    y += b_step;
                    sum += *x * *y;
                }
                *out++ = sum;
            }
        }
        return;
    }
    for (int r = 0; r < rows; r += ROWS) {
        if (r > rows - ROWS) {
            r = rows - ROWS;
        }
        const float *tile_a = a + r * a_row, *tile_b = b;
        float *tile_out = out + r * columns;
#ifdef __ARM_FP
        for (int k = 0; k < columns; k += COLUMNS) {
            if (k > columns - COLUMNS) {
                k = columns - COLUMNS;
            }
            tile_4(tile_out + k, columns, tile_a, a_row, a_step, tile_b + k * b_column, b_step,
                   b_column, depth, order);
        }
#else
        float *end = tile_out + columns;
        for (; end - tile_out >= COLUMNS; tile_out += COLUMNS, tile_b += COLUMNS * b_column) {
            tile_3(tile_out, columns, tile_a, a_row, a_step, tile_b, b_step, b_column, depth);
        }
        for (; tile_out < end; tile_out++, tile_b += b_column) {
            tile_1(tile_out, columns, tile_a, a_row, a_step, tile_b, b_step, depth);
        }
#endif
    }
}

KERNEL(linear) {
    float *y = FLOATS(0);
    const float *w = FLOATS(1), *x = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5);
    matmul(y, x, n_in, 1, w, 1, n_in, n, n_out, n_in, ALONG_ALONG);
    return DONE;
}

KERNEL(linear_backward_x) {
    float *dx = FLOATS(0);
    const float *w = FLOATS(1), *dy = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5);
    matmul(dx, dy, n_out, 1, w, n_in, 1, n, n_in, n_out, ALONG_ACROSS);
    return DONE;
}

KERNEL(linear_backward_w) {
    float *dw = FLOATS(0);
    const float *dy = FLOATS(1), *x = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5), first = INT(6), rows = INT(7);
    matmul(dw, dy + first, 1, n_out, x, n_in, 1, rows, n_in, n, ACROSS_ACROSS);
    return DONE;
}

/* -------------------------------------------------------------------------- element by element */

KERNEL(clear) {
    float *x = FLOATS(0);
    int end = INT(2);
#ifdef __ARM_FP
    int begin = INT(1), n = end - begin;
    x += begin;
    __asm__ volatile("vmov d0, %[zero], %[zero]\n"
                     "vmov d1, %[zero], %[zero]\n"
                     LOOP("vstmia %[x]!, {s0-s3}\n", "vstmia %[x]!, {s0}\n")
                     : [x] "+r"(x), [n] "+r"(n)
                     : [zero] "r"(0)
                     : TWO_ARRAYS);
#else
    for (int i = INT(1); i < end; i++) {
        store_zero(x + i);
    }
#endif
    return DONE;
}

KERNEL(add) {
    float *y = FLOATS(0);
    const float *a = FLOATS(1), *b = FLOATS(2);
    int count = INT(3);
#ifdef __ARM_FP
    add_all(y, a, b, count);
#else
    for (int i = 0; i < count; i++) {
        y[i] = a[i] + b[i];
    }
#endif
    return DONE;
}

/* The bits of a negative float are a negative int, so relu needs no float instructions. */
KERNEL(relu) {
    int32_t *x = (int32_t *)FLOATS(0);
    int count = INT(1);
#ifdef __ARM_FP
    __asm__ volatile(LOOP("ldmia %[x], {r0-r3}\n"
                          "bic r0, r0, r0, asr #31\n"
                          "bic r1, r1, r1, asr #31\n"
                          "bic r2, r2, r2, asr #31\n"
                          "bic r3, r3, r3, asr #31\n"
                          "stmia %[x]!, {r0-r3}\n",
                          "ldr r0, [%[x]]\n"
                          "bic r0, r0, r0, asr #31\n"
                          "str r0, [%[x]], #4\n")
                     : [x] "+r"(x), [n] "+r"(count)
                     :
                     : "r0", "r1", "r2", "r3", "cc", "memory");
#else
    for (int i = 0; i < count; i++) {
        x[i] = x[i] > 0 ? x[i] : 0;
    }
#endif
    return DONE;
}

#define CLEAR_IF_NOT_ABOVE_0(y, offset)                                                       \
    "cmp " y ", #0\n"                                                                         \
    "it le\n"                                                                                 \
    "strle %[zero], [%[dx], " offset "]\n"

KERNEL(relu_backward) {
    float *dx = FLOATS(0);
    const int32_t *y = (const int32_t *)FLOATS(1);
    int count = INT(2);
#ifdef __ARM_FP
    __asm__ volatile(LOOP("ldmia %[y]!, {r0-r3}\n"
                          CLEAR_IF_NOT_ABOVE_0("r0", "#0")
                          CLEAR_IF_NOT_ABOVE_0("r1", "#4")
                          CLEAR_IF_NOT_ABOVE_0("r2", "#8")
                          CLEAR_IF_NOT_ABOVE_0("r3", "#12")
                          "adds %[dx], #16\n",
                          "ldr r0, [%[y]], #4\n"
                          CLEAR_IF_NOT_ABOVE_0("r0", "#0")
                          "adds %[dx], #4\n")
                     : [dx] "+r"(dx), [y] "+r"(y), [n] "+r"(count)
                     : [zero] "r"(0)
                     : "r0", "r1", "r2", "r3", "cc", "memory");
#else
    for (int i = 0; i < count; i++) {
        if (y[i] <= 0) {
            store_zero(dx + i);
        }
    }
#endif
    return DONE;
}

/* -------------------------------------------------------------------------- attention */

#ifdef __ARM_FP

/* out[s] = the sum over j of q[j] * k[s * row + j]; return the largest. */
INLINE float scores(float *out, const float *q, const float *k, int row, int count,
                    int head_dim) {
    float largest, sum;
    int n = 0; /* as it is after a loop */
    __asm__ volatile("vmov %[largest], %[infinity]\n"
                     "5:\n"
                     "vmov %[sum], %[n]\n"
                     "mov %[n], %[head_dim]\n"
                     LOOP_OVER(LOAD_X_Y, DOT, NO_STORE)
                     "sub %[x], %[x], %[head_dim], lsl #2\n"
                     "add %[y], %[rest]\n"
                     "vstmia %[out]!, {%[sum]}\n"
                     LARGER("%[sum]")
                     "subs %[count], #1\n"
                     "bne 5b\n"
                     : [largest] "=&t"(largest), [sum] "=&t"(sum), [out] "+r"(out),
                       [x] "+r"(q), [y] "+r"(k), [n] "+r"(n), [count] "+r"(count)
                     : [infinity] "r"(0xff800000), [head_dim] "r"(head_dim),
                       [rest] "r"((row - head_dim) * 4)
                     : TWO_ARRAYS);
    return largest;
}

/* out[j] = the sum over s of weights[s] * v[s * row + j], for four j. */
INLINE void weighted_sum_of_4(float *out, const float *weights, const float *v, int row,
                              int count) {
    __asm__ volatile("vmov d0, %[zero], %[zero]\n"
                     "vmov d1, %[zero], %[zero]\n"
                     "1:\n"
                     "vldmia %[weights]!, {s8}\n"
                     "vldmia %[v], {s4-s7}\n"
                     "add %[v], %[row]\n"
                     "vfma.f32 s0, s8, s4\n"
                     "vfma.f32 s1, s8, s5\n"
                     "vfma.f32 s2, s8, s6\n"
                     "vfma.f32 s3, s8, s7\n"
                     "subs %[n], #1\n"
                     "bne 1b\n"
                     "vstmia %[out], {s0-s3}\n"
                     : [weights] "+r"(weights), [v] "+r"(v), [n] "+r"(count)
                     : [out] "r"(out), [row] "r"(row * 4), [zero] "r"(0)
                     : FOUR_ARRAYS);
}

#endif

KERNEL(attention) {
    float *out = FLOATS(0), *p = FLOATS(1);
    const float *qkv = FLOATS(2);
    int first = INT(3), n = INT(4), n_head = INT(5), head_dim = INT(6);
    const float *c = FLOATS(7);
    int width = n_head * head_dim, row = 3 * width;
    float scale = rsqrt((float)head_dim, c);
    for (int head = 0; head < n_head; head++) {
        for (int t = first; t < n; t++) {
            const float *q = qkv + t * row + head * head_dim;
            const float *k = qkv + head * head_dim + width;
            const float *v = k + width;
            float *weights = p + (head * n + t) * n;
            float *o = out + (t - first) * width + head * head_dim;
            int count = t + 1;
#ifdef __ARM_FP
            float largest = scores(weights, q, k, row, count, head_dim);
            float total = exp_all(weights, weights, largest, scale, count, c);
#else
            for (int s = 0; s < count; s++) {
                weights[s] = dot(q, k + s * row, head_dim) * scale;
            }
            float total = exp_all(weights, weights, largest_of(weights, count), c[ONE], count, c);
#endif
            scale_all(weights, reciprocal(total, c), count);
            int j = 0;
#ifdef __ARM_FP
            for (; j <= head_dim - 4; j += 4) {
                weighted_sum_of_4(o + j, weights, v + j, row, count);
            }
#endif
            for (; j < head_dim; j++) {
                const float *value = v + j;
                float sum = weights[0] * *value;
                for (int s = 1; s < count; s++) {
                    value += row;
                    sum += weights[s] * *value;
                }
                o[j] = sum;
            }
        }
    }
    return DONE;
}

#ifdef __ARM_FP

#define LOAD_6(dq, dk, dv, k, q, d_o)                                                         \
    "vldmia %[dq], {s0" dq "}\n"                                                              \
    "vldmia %[dk], {s4" dk "}\n"                                                              \
    "vldmia %[dv], {s8" dv "}\n"                                                              \
    "vldmia %[k]!, {s12" k "}\n"                                                              \
    "vldmia %[q]!, {s16" q "}\n"                                                              \
    "vldmia %[x]!, {s20" d_o "}\n"

#define SUMS(dq, dk, dv, k, q, d_o)                                                           \
    "vfma.f32 " dq ", " k ", %[sum]\n"                                                        \
    "vfma.f32 " dk ", " q ", %[sum]\n"                                                        \
    "vfma.f32 " dv ", " d_o ", %[weight]\n"

#define STORE_SUMS(dq, dk, dv, ...)                                                           \
    "vstmia %[dq]!, {s0" dq "}\n"                                                             \
    "vstmia %[dk]!, {s4" dk "}\n"                                                             \
    "vstmia %[dv]!, {s8" dv "}\n"

/* The loop over s in attention_backward: %[x] is d_o, %[y] is v, %[sum] becomes dscore. */
INLINE void backward_row(float *dq, float *dk, float *dv, const float *q, const float *k,
                         const float *v, const float *d_o, const float *weights, float inner,
                         float scale, int row, int count, int head_dim) {
    float sum, weight;
    int n = 0; /* as it is after a loop */
    __asm__ volatile("5:\n"
                     "vldmia %[weights]!, {%[weight]}\n"
                     "vmov %[sum], %[n]\n"
                     "mov %[n], %[head_dim]\n"
                     LOOP_OVER(LOAD_X_Y, DOT, NO_STORE)
                     "sub %[x], %[x], %[head_dim], lsl #2\n"
                     "vsub.f32 %[sum], %[sum], %[inner]\n"
                     "vmul.f32 %[sum], %[sum], %[weight]\n"
                     "vmul.f32 %[sum], %[sum], %[scale]\n"
                     "mov %[n], %[head_dim]\n"
                     LOOP_OVER(LOAD_6, SUMS, STORE_SUMS)
                     "sub %[x], %[x], %[head_dim], lsl #2\n"
                     "sub %[q], %[q], %[head_dim], lsl #2\n"
                     "sub %[dq], %[dq], %[head_dim], lsl #2\n"
                     "add %[y], %[rest]\n"
                     "add %[k], %[rest]\n"
                     "add %[dk], %[rest]\n"
                     "add %[dv], %[rest]\n"
                     "subs %[count], #1\n"
                     "bne 5b\n"
                     : [sum] "=&t"(sum), [weight] "=&t"(weight), [dq] "+r"(dq), [dk] "+r"(dk),
                       [dv] "+r"(dv), [q] "+r"(q), [k] "+r"(k), [y] "+r"(v), [x] "+r"(d_o),
                       [weights] "+r"(weights), [n] "+r"(n), [count] "+r"(count)
                     : [inner] "t"(inner), [scale] "t"(scale), [head_dim] "r"(head_dim),
                       [rest] "r"((row - head_dim) * 4)
                     : SIX_ARRAYS);
}

#endif

KERNEL(attention_backward) {
    float *dqkv = FLOATS(0);
    const float *dout = FLOATS(1), *out = FLOATS(2), *p = FLOATS(3), *qkv = FLOATS(4);
    int n = INT(5), n_head = INT(6), head_dim = INT(7);
    const float *c = FLOATS(8);
    int width = n_head * head_dim, row = 3 * width;
    float scale = rsqrt((float)head_dim, c);
    for (int head = 0; head < n_head; head++) {
        for (int t = 0; t < n; t++) {
            int at = head * head_dim;
            const float *o = out + t * width + at, *d_o = dout + t * width + at;
            const float *q = qkv + t * row + at, *k = qkv + width + at;
            float *dq = dqkv + t * row + at, *dk = dqkv + width + at;
            const float *weights = p + (head * n + t) * n;
            float inner = dot(d_o, o, head_dim);
            for (int j = 0; j < head_dim; j++) { /* earlier positions add nothing to these */
                store_zero(dq + j);
                store_zero(dq + width + j);
                store_zero(dq + 2 * width + j);
            }
#ifdef __ARM_FP
            backward_row(dq, dk, dk + width, q, k, k + width, d_o, weights, inner, scale, row,
                         t + 1, head_dim);
#else
            for (int s = 0; s <= t; s++) {
                const float *v = k + width;
                float *dv = dk + width;
                float weight = weights[s];
                float dscore = weight * (dot(d_o, v, head_dim) - inner) * scale;
                for (int j = 0; j < head_dim; j++) {
                    dq[j] += dscore * k[j];
                    dk[j] += dscore * q[j];
                    dv[j] += weight * d_o[j];
                }
                k += row;
                dk += row;
            }
#endif
        }
    }
    return DONE;
}

/* -------------------------------------------------------------------------- softmax */

KERNEL(cross_entropy) {
    float *logits = FLOATS(0), *loss = FLOATS(1);
    const uint8_t *targets = BYTES(2);
    int n = INT(3), vocab_size = INT(4);
    const float *c = FLOATS(5);
    float per_n = reciprocal((float)n, c);
    for (int t = 0; t < n; t++) {
        float *target = logits + targets[t];
        float largest = largest_of(logits, vocab_size);
        float shifted = *target - largest;
        float total = exp_all(logits, logits, largest, c[ONE], vocab_size, c);
        float part = (log_of(total, c) - shifted) * per_n;
        *loss = t == 0 ? part : *loss + part;
        scale_all(logits, reciprocal(total, c) * per_n, vocab_size);
        *target -= per_n;
        logits += vocab_size;
    }
    return DONE;
}

KERNEL(softmax) {
    float *p = FLOATS(0);
    const float *x = FLOATS(1), *factor = FLOATS(2);
    int count = INT(3);
    const float *c = FLOATS(4);
    float total = exp_all(p, x, largest_of(x, count), *factor, count, c);
    scale_all(p, reciprocal(total, c), count);
    return DONE;
}

/* -------------------------------------------------------------------------- Adam */

/* What is the same for all parameters. */
struct update {
    float beta1, gain1, beta2, gain2;
    float rate, eps; /* 16 times what they are, because of rsqrt16; not so on a Cortex-M */
};

#ifdef __XTENSA__

/* The loop of the #else branch below, in 37 instructions for each parameter. */
INLINE void update_all(float *params, const float *grads, float *m, float *v, int count,
                       const struct update *u, const float *c) {
    uint32_t bits;
    __asm__ volatile(
        "lsi f0, %[u], 0\n"  /* beta1 */
        "lsi f1, %[u], 4\n"  /* gain1 */
        "lsi f2, %[u], 8\n"  /* beta2 */
        "lsi f3, %[u], 12\n" /* gain2 */
        "lsi f4, %[u], 16\n" /* rate */
        "lsi f5, %[u], 20\n" /* eps */
        "lsi f6, %[c], %[one]\n"
        "lsi f7, %[c], %[reciprocal_step]\n"
        "lsi f8, %[c], %[rsqrt_step1]\n"
        "lsi f9, %[c], %[rsqrt_step2]\n"
        "loopgtz %[count], 1f\n"

        "lsip f15, %[grads], 4\n"
        "lsi f10, %[m], 0\n"
        "lsi f11, %[v], 0\n"
        "mul.s f10, f10, f0\n"
        "mul.s f11, f11, f2\n"
        "madd.s f10, f15, f1\n" /* f10 = m */
        "mul.s f15, f15, f15\n"
        "madd.s f11, f15, f3\n" /* f11 = v */
        "ssip f10, %[m], 4\n"
        "ssip f11, %[v], 4\n"

        "rfr %[bits], f11\n" /* f12, f14 = both factors of rsqrt16(v) */
        "srli %[bits], %[bits], 1\n"
        "sub %[bits], %[rsqrt_seed], %[bits]\n"
        "wfr f12, %[bits]\n"
        "mul.s f13, f11, f12\n"
        "mov.s f14, f8\n"
        "msub.s f14, f13, f12\n"
        "mul.s f12, f12, f14\n"
        "mul.s f15, f11, f12\n"
        "mov.s f14, f9\n"
        "msub.s f14, f15, f12\n"
        "mov.s f13, f5\n" /* f13 = v * rsqrt16(v) + eps */
        "madd.s f13, f15, f14\n"

        "rfr %[bits], f13\n" /* f12 = reciprocal(f13) */
        "sub %[bits], %[reciprocal_seed], %[bits]\n"
        "wfr f12, %[bits]\n"
        "mov.s f14, f7\n"
        "msub.s f14, f13, f12\n"
        "mul.s f12, f12, f14\n"
        "mov.s f14, f6\n"
        "msub.s f14, f13, f12\n"
        "madd.s f14, f14, f14\n"
        "madd.s f12, f12, f14\n"

        "lsi f15, %[params], 0\n"
        "mul.s f10, f10, f4\n"
        "msub.s f15, f10, f12\n"
        "ssip f15, %[params], 4\n"
        "1:\n"
        : [params] "+r"(params), [grads] "+r"(grads), [m] "+r"(m), [v] "+r"(v),
          [bits] "=&r"(bits)
        : [count] "r"(count), [u] "r"(u), [c] "r"(c),
          [rsqrt_seed] "r"(bits_of(c[RSQRT_SEED])),
          [reciprocal_seed] "r"(bits_of(c[RECIPROCAL_SEED])), [one] "i"(4 * ONE),
          [reciprocal_step] "i"(4 * RECIPROCAL_STEP), [rsqrt_step1] "i"(4 * RSQRT_STEP1),
          [rsqrt_step2] "i"(4 * RSQRT_STEP2)
        : "memory");
}

#elif defined(__ARM_FP)

#define LOAD_4(x, y, z, u, ...)                                                               \
    "vldmia %[grads]!, {s0" x "}\n"                                                           \
    "vldmia %[m], {s4" y "}\n"                                                                \
    "vldmia %[v], {s8" z "}\n"                                                                \
    "vldmia %[params], {s12" u "}\n"

#define UPDATE(g, m, v, param, ...)                                                           \
    "vmul.f32 " m ", " m ", %[beta1]\n"                                                       \
    "vmul.f32 " v ", " v ", %[beta2]\n"                                                       \
    "vfma.f32 " m ", " g ", %[gain1]\n"                                                       \
    "vmul.f32 " g ", " g ", " g "\n"                                                          \
    "vfma.f32 " v ", " g ", %[gain2]\n"                                                       \
    "vsqrt.f32 " g ", " v "\n"                                                                \
    "vadd.f32 " g ", " g ", %[eps]\n"                                                         \
    "vdiv.f32 " g ", " m ", " g "\n"                                                          \
    "vfms.f32 " param ", " g ", %[rate]\n"

#define STORE_UPDATE(x, y, z, u, ...)                                                            \
    "vstmia %[m]!, {s4" y "}\n"                                                               \
    "vstmia %[v]!, {s8" z "}\n"                                                               \
    "vstmia %[params]!, {s12" u "}\n"

/* The loop of the #else branch below, in 45 instructions for four parameters. */
INLINE void update_all(float *params, const float *grads, float *m, float *v, int count,
                       const struct update *u, const float *c) {
    __asm__ volatile(LOOP_OVER(LOAD_4, UPDATE, STORE_UPDATE)
                     : [params] "+r"(params), [grads] "+r"(grads), [m] "+r"(m), [v] "+r"(v),
                       [n] "+r"(count)
                     : [beta1] "t"(u->beta1), [gain1] "t"(u->gain1), [beta2] "t"(u->beta2),
                       [gain2] "t"(u->gain2), [rate] "t"(u->rate), [eps] "t"(u->eps)
                     : FOUR_ARRAYS);
}

#else

INLINE void update_all(float *params, const float *grads, float *m, float *v, int count,
                       const struct update *u, const float *c) {
    for (int i = 0; i < count; i++) {
        float g = grads[i];
        float m_i = u->beta1 * m[i] + u->gain1 * g;
        float v_i = u->beta2 * v[i] + u->gain2 * (g * g);
        m[i] = m_i;
        v[i] = v_i;
        params[i] -= u->rate * m_i * reciprocal(v_i * rsqrt16(v_i, c) + u->eps, c);
    }
}

#endif

KERNEL(adam) {
    float *params = FLOATS(0);
    const float *grads = FLOATS(1);
    float *m = FLOATS(2), *v = FLOATS(3);
    int count = INT(4);
    const float *k = FLOATS(5), *c = FLOATS(6);
    /* Both bias corrections are moved out of the loop: with v_hat = v / unbias2,
     * m_hat / (sqrt(v_hat) + eps) is m_hat * sqrt(unbias2) / (sqrt(v) + eps * sqrt(unbias2)). */
    float unbias2 = c[ONE] - k[POWER2];
#ifdef __ARM_FP
    float root16 = root(unbias2);
#else
    float root16 = unbias2 * rsqrt16(unbias2, c);
#endif
    struct update u = {
        .beta1 = k[BETA1],
        .gain1 = k[GAIN1],
        .beta2 = k[BETA2],
        .gain2 = k[GAIN2],
        .rate = k[LR] * root16 * reciprocal(c[ONE] - k[POWER1], c),
        .eps = k[ADAM_EPS] * root16,
    };
    update_all(params, grads, m, v, count, &u, c);
    return DONE;
}
