/* The kernels of ugpt/ops.py as machine code: the same names, arguments and meaning.
 *
 * `microgpt-board kernels` (tools/microgpt_board/image/native.py) compiles this file and packs
 * each KERNEL as a function into one .mpy. There is no linker, and MicroPython loads a function
 * at any address, so the code must not contain calls, static variables, or constants that the
 * compiler puts into memory: helpers are INLINE, and float constants come from `c`.
 * `microgpt-board kernels` refuses machine code with relocations.
 *
 * A kernel is written once, of the loops in loops.h, which each processor has in its own way.
 */

#include <stddef.h>
#include <stdint.h>

#include "loops.h"

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

/* -------------------------------------------------------------------------- embedding */

KERNEL(embed) {
    float *x = FLOATS(0);
    const float *wte = FLOATS(1), *wpe = FLOATS(2);
    const uint8_t *tokens = BYTES(3);
    int n = INT(4), width = INT(5);
    for (int t = 0; t < n; t++) {
        const float *row = wte + tokens[t] * width;
        add_all(x, row, wpe, width);
        x += width;
        wpe += width;
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
            add_all(sum, sum, dx, width);
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
        scale_to(y, x, factor, width);
        x += width;
        y += width;
    }
    return DONE;
}

KERNEL(rmsnorm_backward) {
    float *dx = FLOATS(0);
    const float *dy = FLOATS(1), *y = FLOATS(2), *scale = FLOATS(3);
    int n = INT(4), width = INT(5);
    const float *c = FLOATS(6);
    float per_width = reciprocal((float)width, c);
    for (int t = 0; t < n; t++) {
        float mean = dot(dy, y, width) * per_width;
        less_mean(dx, dy, y, mean, scale[t], width);
        dx += width;
        dy += width;
        y += width;
    }
    return DONE;
}

/* -------------------------------------------------------------------------- matrix products
 *
 * They take nearly half of a step's time. */

/* As in ops.py: out[r][k] = sum over d of a[r * a_row + d * a_step] * b[d * b_step + k * b_column].
 *
 * If rows is not a multiple of 4, the last tiles compute some rows of those before them again.
 * What is smaller than a tile is computed element by element. */
INLINE void matmul(float *out, const float *a, int a_row, int a_step, const float *b, int b_step,
                   int b_column, int rows, int columns, int depth, enum order order) {
    if (rows < ROWS || too_narrow(columns)) {
        for (int r = 0; r < rows; r++) {
            for (int k = 0; k < columns; k++) {
                const float *x = a + r * a_row, *y = b + k * b_column;
                *out++ = order == ALONG_ALONG ? dot(x, y, depth)
                                              : dot_of_steps(x, a_step, y, b_step, depth);
            }
        }
        return;
    }
    for (int r = 0; r < rows; r += ROWS) {
        if (r > rows - ROWS) {
            r = rows - ROWS;
        }
        row_of_tiles(out + r * columns, a + r * a_row, a_row, a_step, b, b_step, b_column, columns,
                     depth, order);
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
    int begin = INT(1), end = INT(2);
    clear_all(x + begin, end - begin);
    return DONE;
}

KERNEL(add) {
    float *y = FLOATS(0);
    const float *a = FLOATS(1), *b = FLOATS(2);
    int count = INT(3);
    add_all(y, a, b, count);
    return DONE;
}

KERNEL(relu) {
    int32_t *x = (int32_t *)FLOATS(0);
    int count = INT(1);
    relu_all(x, count);
    return DONE;
}

KERNEL(relu_backward) {
    float *dx = FLOATS(0);
    const int32_t *y = (const int32_t *)FLOATS(1);
    int count = INT(2);
    clear_where_not_above_0(dx, y, count);
    return DONE;
}

/* -------------------------------------------------------------------------- attention */

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
            float total = exp_of_scores(weights, q, k, scale, row, count, head_dim, c);
            scale_to(weights, weights, reciprocal(total, c), count);
            weighted_sum(o, weights, v, row, count, head_dim);
        }
    }
    return DONE;
}

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
            add_gradients(dq, dk, dk + width, q, k, k + width, d_o, weights, inner, scale, row,
                          t + 1, head_dim);
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
        scale_to(logits, logits, reciprocal(total, c) * per_n, vocab_size);
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
    scale_to(p, p, reciprocal(total, c), count);
    return DONE;
}

/* -------------------------------------------------------------------------- Adam */

KERNEL(adam) {
    float *params = FLOATS(0);
    const float *grads = FLOATS(1);
    float *m = FLOATS(2), *v = FLOATS(3);
    int count = INT(4);
    const float *k = FLOATS(5), *c = FLOATS(6);
    /* Both bias corrections are moved out of the loop: with v_hat = v / unbias2,
     * m_hat / (sqrt(v_hat) + eps) is m_hat * sqrt(unbias2) / (sqrt(v) + eps * sqrt(unbias2)). */
    float unbias2 = c[ONE] - k[POWER2];
    float root = root_of_update(unbias2, c);
    struct update u = {
        .beta1 = k[BETA1],
        .gain1 = k[GAIN1],
        .beta2 = k[BETA2],
        .gain2 = k[GAIN2],
        .rate = k[LR] * root * reciprocal(c[ONE] - k[POWER1], c),
        .eps = k[ADAM_EPS] * root,
    };
    update_all(params, grads, m, v, count, &u, c);
    return DONE;
}
