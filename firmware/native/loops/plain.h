/* The loops in C: of x64 and WebAssembly, and of an ESP32 but for those in xtensa.h.
 *
 * On the ESP32 a division is a call, and no kernel makes calls: reciprocals and square roots are
 * approximated. Without multiply-adds, and with each sum taken in order, x64 and WebAssembly give
 * the same bits with every compiler.
 */

/* -------------------------------------------------------------------------- arithmetic */

/* With a relative error of at most 2e-7. Subtracting the bits of x from twice those of 1 negates
 * the exponent: the first approximation, with an error of 5 %. A step of Newton's method squares
 * the error, and the next step, of third order, cubes it. The constants of the first approximation
 * and the first step minimise the largest error. */
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

INLINE float exp_polynomial(float x, const float *c) {
    float p = c[EXP6];
    p = p * x + c[EXP5];
    p = p * x + c[EXP4];
    p = p * x + c[EXP3];
    p = p * x + c[EXP2];
    return p * x;
}

/* -------------------------------------------------------------------------- elements */

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

INLINE void add_all(float *out, const float *a, const float *b, int count) {
    for (int i = 0; i < count; i++) {
        *out++ = *a++ + *b++;
    }
}

INLINE void scale_to(float *out, const float *x, float factor, int count) {
    for (int i = 0; i < count; i++) {
        *out++ = *x++ * factor;
    }
}

INLINE void less_mean(float *out, const float *x, const float *y, float mean, float factor,
                      int count) {
    for (int i = 0; i < count; i++) {
        *out++ = factor * (*x++ - *y++ * mean);
    }
}

INLINE void clear_all(float *x, int count) {
    for (int i = 0; i < count; i++) {
        store_zero(x + i);
    }
}

INLINE void relu_all(int32_t *x, int count) {
    for (int i = 0; i < count; i++) {
        x[i] = x[i] > 0 ? x[i] : 0;
    }
}

INLINE void clear_where_not_above_0(float *dx, const int32_t *y, int count) {
    for (int i = 0; i < count; i++) {
        if (y[i] <= 0) {
            store_zero(dx + i);
        }
    }
}

/* -------------------------------------------------------------------------- attention */

INLINE float exp_of_scores(float *weights, const float *q, const float *k, float scale, int row,
                           int count, int head_dim, const float *c) {
    for (int s = 0; s < count; s++) {
        weights[s] = dot(q, k + s * row, head_dim) * scale;
    }
    return exp_all(weights, weights, largest_of(weights, count), c[ONE], count, c);
}

INLINE void weighted_sum(float *out, const float *weights, const float *v, int row, int count,
                         int head_dim) {
    for (int j = 0; j < head_dim; j++) {
        out[j] = dot_of_steps(weights, 1, v + j, row, count);
    }
}

INLINE void add_gradients(float *dq, float *dk, float *dv, const float *q, const float *k,
                          const float *v, const float *d_o, const float *weights, float inner,
                          float scale, int row, int count, int head_dim) {
    for (int s = 0; s < count; s++) {
        float weight = weights[s];
        float dscore = weight * (dot(d_o, v, head_dim) - inner) * scale;
        for (int j = 0; j < head_dim; j++) {
            dq[j] += dscore * k[j];
            dk[j] += dscore * q[j];
            dv[j] += weight * d_o[j];
        }
        k += row;
        v += row;
        dk += row;
        dv += row;
    }
}

/* -------------------------------------------------------------------------- matrix products
 *
 * A tile of 4 rows and 3 columns has its 12 sums in registers and needs 7 loads for 12 products:
 * sums and operands fill the 16 registers of the ESP32's floating-point unit. Columns beyond a
 * multiple of 3 are computed in tiles of 4 rows and 1 column. */

enum { COLUMNS = 3 };

/* A tile of 3 columns, and of 1; out_row is the distance of out's rows. */
INLINE void tile_3(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int b_column, int depth);
INLINE void tile_1(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int depth);

INLINE int too_narrow(int columns) {
    return 0;
}

INLINE void row_of_tiles(float *out, const float *a, int a_row, int a_step, const float *b,
                         int b_step, int b_column, int columns, int depth, enum order order) {
    float *end = out + columns;
    for (; end - out >= COLUMNS; out += COLUMNS, b += COLUMNS * b_column) {
        tile_3(out, columns, a, a_row, a_step, b, b_step, b_column, depth);
    }
    for (; out < end; out++, b += b_column) {
        tile_1(out, columns, a, a_row, a_step, b, b_step, depth);
    }
}

/* -------------------------------------------------------------------------- Adam */

/* 16 times the root, as rsqrt16 is 16 times the inverse in update_all. */
INLINE float root_of_update(float x, const float *c) {
    return x * rsqrt16(x, c);
}

#ifndef __XTENSA__ /* which has tiles and update_all in xtensa.h */

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
