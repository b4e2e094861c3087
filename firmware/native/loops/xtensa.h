/* The loops in assembly of an ESP32 or ESP32-S3 (xtensawin); the others are those of plain.h.
 *
 * For instructions that clang does not generate yet: multiply-add (madd.s, msub.s), loads and
 * stores that advance their pointer (lsxp, lsip, ssip), and loops without a branch (loopnez).
 * A step of a tile takes 19 instructions for 12 products, a parameter of Adam 37.
 *
 * For Xtensa, clang takes no floats as operands of assembly, and cannot be told which of f0 to f15
 * it changes. So a loop is here only where the compiler holds no floats in registers around it.
 */

#include "plain.h"

/* -------------------------------------------------------------------------- matrix products */

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

/* -------------------------------------------------------------------------- Adam */

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

