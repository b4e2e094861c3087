/* The loops of a Cortex-M with a single-precision floating-point unit (armv7emsp), all of them.
 *
 * M4, M7 and M33 run the same code: a Pico 2, most STM32, a Teensy.
 *
 * In assembly, since one instruction loads or stores four neighbours (vldmia, vstmia), and clang
 * loads each by itself. A sum starts at 0, and its products are added in order by vfma, a
 * multiply-add. Division and square root are instructions, too. Four elements of each of up to six
 * arrays are in s0 to s23. An element takes 2 to 4 instructions, a parameter of Adam 11.
 */

/* -------------------------------------------------------------------------- arithmetic */

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

/* All five coefficients are loaded at once. */
INLINE float exp_polynomial(float x, const float *c) {
    float p;
    __asm__("vldmia %[coefficients], {s0-s4}\n"
            "vfma.f32 s3, s4, %[x]\n"
            "vfma.f32 s2, s3, %[x]\n"
            "vfma.f32 s1, s2, %[x]\n"
            "vfma.f32 s0, s1, %[x]\n"
            "vmul.f32 %[p], s0, %[x]\n"
            : [p] "=t"(p)
            : [coefficients] "r"(c + EXP2), [x] "t"(x)
            : "s0", "s1", "s2", "s3", "s4");
    return p;
}

/* -------------------------------------------------------------------------- elements */

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

INLINE void add_all(float *out, const float *a, const float *b, int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X_Y, ADD, STORE)
                     : [out] "+r"(out), [x] "+r"(a), [y] "+r"(b), [n] "+r"(count)
                     :
                     : TWO_ARRAYS);
}

#define SCALE(x, ...) "vmul.f32 " x ", " x ", %[factor]\n"

INLINE void scale_to(float *out, const float *x, float factor, int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X, SCALE, STORE)
                     : [out] "+r"(out), [x] "+r"(x), [n] "+r"(count)
                     : [factor] "t"(factor)
                     : TWO_ARRAYS);
}

#define LESS_MEAN(x, y, ...)                                                                  \
    "vfms.f32 " x ", " y ", %[mean]\n"                                                        \
    "vmul.f32 " x ", " x ", %[factor]\n"

INLINE void less_mean(float *out, const float *x, const float *y, float mean, float factor,
                      int count) {
    __asm__ volatile(LOOP_OVER(LOAD_X_Y, LESS_MEAN, STORE)
                     : [out] "+r"(out), [x] "+r"(x), [y] "+r"(y), [n] "+r"(count)
                     : [mean] "t"(mean), [factor] "t"(factor)
                     : TWO_ARRAYS);
}

INLINE void clear_all(float *x, int count) {
    __asm__ volatile("vmov d0, %[zero], %[zero]\n"
                     "vmov d1, %[zero], %[zero]\n"
                     LOOP("vstmia %[x]!, {s0-s3}\n", "vstmia %[x]!, {s0}\n")
                     : [x] "+r"(x), [n] "+r"(count)
                     : [zero] "r"(0)
                     : TWO_ARRAYS);
}

INLINE void relu_all(int32_t *x, int count) {
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
}

#define CLEAR_IF_NOT_ABOVE_0(y, offset)                                                       \
    "cmp " y ", #0\n"                                                                         \
    "it le\n"                                                                                 \
    "strle %[zero], [%[dx], " offset "]\n"

INLINE void clear_where_not_above_0(float *dx, const int32_t *y, int count) {
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
}

#include "cortex_m_tiles.h"

/* -------------------------------------------------------------------------- attention */

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

INLINE float exp_of_scores(float *weights, const float *q, const float *k, float scale, int row,
                           int count, int head_dim, const float *c) {
    float largest = scores(weights, q, k, row, count, head_dim);
    return exp_all(weights, weights, largest, scale, count, c);
}

INLINE void weighted_sum(float *out, const float *weights, const float *v, int row, int count,
                         int head_dim) {
    int j = 0;
    for (; j <= head_dim - 4; j += 4) {
        weighted_sum_of_4(out + j, weights, v + j, row, count);
    }
    for (; j < head_dim; j++) {
        out[j] = dot_of_steps(weights, 1, v + j, row, count);
    }
}

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

/* %[x] is d_o, %[y] is v, %[sum] becomes dscore. */
INLINE void add_gradients(float *dq, float *dk, float *dv, const float *q, const float *k,
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

/* -------------------------------------------------------------------------- Adam */

INLINE float root_of_update(float x, const float *c) {
    return root(x);
}

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

#define STORE_UPDATE(x, y, z, u, ...)                                                         \
    "vstmia %[m]!, {s4" y "}\n"                                                               \
    "vstmia %[v]!, {s8" z "}\n"                                                               \
    "vstmia %[params]!, {s12" u "}\n"

INLINE void update_all(float *params, const float *grads, float *m, float *v, int count,
                       const struct update *u, const float *c) {
    __asm__ volatile(LOOP_OVER(LOAD_4, UPDATE, STORE_UPDATE)
                     : [params] "+r"(params), [grads] "+r"(grads), [m] "+r"(m), [v] "+r"(v),
                       [n] "+r"(count)
                     : [beta1] "t"(u->beta1), [gain1] "t"(u->gain1), [beta2] "t"(u->beta2),
                       [gain2] "t"(u->gain2), [rate] "t"(u->rate), [eps] "t"(u->eps)
                     : FOUR_ARRAYS);
}
