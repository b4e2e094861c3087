/* The loops that the kernels are made of: what each does, and the choice of the file that has it.
 *
 * loops/plain.h has all of them in C, for any machine. Where the compiler's code takes more than
 * 1.5 times the instructions of good code, a file of the processor has the loop in assembly:
 * loops/xtensa.h replaces some, and loops/cortex_m.h all.
 */

#ifndef LOOPS_H
#define LOOPS_H

#include "arithmetic.h"

/* -------------------------------------------------------------------------- elements, 1 or more */

/* the sum of a[i] * b[i] */
INLINE float dot(const float *a, const float *b, int count);

/* the largest x[i] */
INLINE float largest_of(const float *x, int count);

/* out[i] = a[i] + b[i] */
INLINE void add_all(float *out, const float *a, const float *b, int count);

/* out[i] = x[i] * factor */
INLINE void scale_to(float *out, const float *x, float factor, int count);

/* out[i] = factor * (x[i] - y[i] * mean) */
INLINE void less_mean(float *out, const float *x, const float *y, float mean, float factor,
                      int count);

/* x[i] = 0 */
INLINE void clear_all(float *x, int count);

/* x[i] = max(x[i], 0), of the bits of floats: those of a negative one are a negative int */
INLINE void relu_all(int32_t *x, int count);

/* dx[i] = 0 where y[i] <= 0, in the same way */
INLINE void clear_where_not_above_0(float *dx, const int32_t *y, int count);

/* -------------------------------------------------------------------------- matrix products */

/* the sum of a[i * a_step] * b[i * b_step]; the same in C for all */
INLINE float dot_of_steps(const float *a, int a_step, const float *b, int b_step, int count) {
    float sum = *a * *b;
    for (int i = 1; i < count; i++) {
        a += a_step;
        b += b_step;
        sum += *a * *b;
    }
    return sum;
}

enum { ROWS = 4 }; /* of a tile, whose sums are in registers; the processor has the columns */

/* For each operand, whether neighbours in memory are ALONG `depth`, or ACROSS rows or columns. */
enum order { ALONG_ALONG, ALONG_ACROSS, ACROSS_ACROSS };

/* whether a product of so many columns is too narrow for a tile */
INLINE int too_narrow(int columns);

/* as matmul in kernels.c, for ROWS rows */
INLINE void row_of_tiles(float *out, const float *a, int a_row, int a_step, const float *b,
                         int b_step, int b_column, int columns, int depth, enum order order);

/* -------------------------------------------------------------------------- attention
 *
 * One head at one position looks at `count` positions, whose keys and values k and v are `row`
 * elements apart. */

/* weights[s] = exp(score s - the largest), with score s = scale * (q . k[s]); return their sum */
INLINE float exp_of_scores(float *weights, const float *q, const float *k, float scale, int row,
                           int count, int head_dim, const float *c);

/* out[j] = the sum over s of weights[s] * v[s][j] */
INLINE void weighted_sum(float *out, const float *weights, const float *v, int row, int count,
                         int head_dim);

/* for each s, with dscore = weights[s] * (d_o . v[s] - inner) * scale:
 * dq += dscore * k[s], dk[s] += dscore * q and dv[s] += weights[s] * d_o */
INLINE void add_gradients(float *dq, float *dk, float *dv, const float *q, const float *k,
                          const float *v, const float *d_o, const float *weights, float inner,
                          float scale, int row, int count, int head_dim);

/* -------------------------------------------------------------------------- Adam */

/* What is the same for all parameters; see root_of_update for rate and eps. */
struct update {
    float beta1, gain1, beta2, gain2;
    float rate, eps;
};

/* sqrt(x) times the factor by which update_all takes `rate` and `eps` */
INLINE float root_of_update(float x, const float *c);

/* m = beta1 * m + gain1 * g, v = beta2 * v + gain2 * g**2,
 * params -= rate * m / (sqrt(v) + eps) */
INLINE void update_all(float *params, const float *grads, float *m, float *v, int count,
                       const struct update *u, const float *c);

/* -------------------------------------------------------------------------- of this processor */

#if defined(__XTENSA__)
#include "loops/xtensa.h"
#elif defined(__ARM_FP)
#include "loops/cortex_m.h"
#else
#include "loops/plain.h"
#endif

#endif
