/* The kernels of ugpt/ops.py as machine code: the same names, arguments and meaning.
 *
 * `microgpt-board kernels` (tools/microgpt_board/image/native.py) compiles this file and packs
 * each KERNEL as a function into one .mpy. There is no linker, and MicroPython loads a function
 * at any address, so the code must not contain calls, static variables, or constants that the
 * compiler puts into memory:
 *
 *   - helpers are INLINE;
 *   - float constants come from `c`, the array in ugpt/coefficients.py, indexed by the enum below;
 *   - division, square root, exp and log are computed here: on the ESP32 a division is a call.
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

/* exp(x) for x <= 0: 2**k * exp(r) with |r| <= ln(2) / 2, and a polynomial for exp(r). */
INLINE float exp_negative(float x, const float *c) {
    uint32_t lowest = bits_of(c[EXP_LOWEST]);
    uint32_t b = bits_of(x); /* of two negative floats the lower one has the larger bits */
    x = of_bits(b < lowest ? b : lowest);
    int k = (int)(x * c[LOG2_E] - c[HALF]);
    float n = (float)k;
    float r = (x - n * c[LN2_HIGH]) - n * c[LN2_LOW];
    float p = c[EXP6];
    p = p * r + c[EXP5];
    p = p * r + c[EXP4];
    p = p * r + c[EXP3];
    p = p * r + c[EXP2];
    p = p * r * r + r + c[ONE];
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

/* p[i] = exp((x[i] - largest) * factor); return the sum of p. */
INLINE float exp_all(float *p, const float *x, float largest, float factor, int count,
                     const float *c) {
    float total = p[0] = exp_negative((x[0] - largest) * factor, c);
    for (int i = 1; i < count; i++) {
        float v = exp_negative((x[i] - largest) * factor, c);
        p[i] = v;
        total += v;
    }
    return total;
}

INLINE void scale_all(float *x, float factor, int count) {
    for (int i = 0; i < count; i++) {
        x[i] *= factor;
    }
}

/* -------------------------------------------------------------------------- embedding */

KERNEL(embed) {
    float *x = FLOATS(0);
    const float *wte = FLOATS(1), *wpe = FLOATS(2);
    const uint8_t *tokens = BYTES(3);
    int n = INT(4), width = INT(5);
    for (int t = 0; t < n; t++) {
        const float *row = wte + tokens[t] * width;
        for (int i = 0; i < width; i++) {
            *x++ = *row++ + *wpe++;
        }
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
            for (int i = 0; i < width; i++) {
                sum[i] += dx[i];
            }
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
        for (int i = 0; i < width; i++) {
            *y++ = *x++ * factor;
        }
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
        float factor = scale[t];
        for (int i = 0; i < width; i++) {
            *dx++ = factor * (*dy++ - *y++ * mean);
        }
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

enum { ROWS = 4, COLUMNS = 3 };

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
                   int b_column, int rows, int columns, int depth) {
    if (rows < ROWS) {
        for (int r = 0; r < rows; r++) {
            for (int k = 0; k < columns; k++) {
                const float *x = a + r * a_row, *y = b + k * b_column;
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
        float *tile_out = out + r * columns, *end = tile_out + columns;
        for (; end - tile_out >= COLUMNS; tile_out += COLUMNS, tile_b += COLUMNS * b_column) {
            tile_3(tile_out, columns, tile_a, a_row, a_step, tile_b, b_step, b_column, depth);
        }
        for (; tile_out < end; tile_out++, tile_b += b_column) {
            tile_1(tile_out, columns, tile_a, a_row, a_step, tile_b, b_step, depth);
        }
    }
}

KERNEL(linear) {
    float *y = FLOATS(0);
    const float *w = FLOATS(1), *x = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5);
    matmul(y, x, n_in, 1, w, 1, n_in, n, n_out, n_in);
    return DONE;
}

KERNEL(linear_backward_x) {
    float *dx = FLOATS(0);
    const float *w = FLOATS(1), *dy = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5);
    matmul(dx, dy, n_out, 1, w, n_in, 1, n, n_in, n_out);
    return DONE;
}

KERNEL(linear_backward_w) {
    float *dw = FLOATS(0);
    const float *dy = FLOATS(1), *x = FLOATS(2);
    int n = INT(3), n_out = INT(4), n_in = INT(5), first = INT(6), rows = INT(7);
    matmul(dw, dy + first, 1, n_out, x, n_in, 1, rows, n_in, n);
    return DONE;
}

/* -------------------------------------------------------------------------- element by element */

KERNEL(clear) {
    float *x = FLOATS(0);
    int end = INT(2);
    for (int i = INT(1); i < end; i++) {
        store_zero(x + i);
    }
    return DONE;
}

KERNEL(add) {
    float *y = FLOATS(0);
    const float *a = FLOATS(1), *b = FLOATS(2);
    int count = INT(3);
    for (int i = 0; i < count; i++) {
        y[i] = a[i] + b[i];
    }
    return DONE;
}

/* The bits of a negative float are a negative int, so relu needs no float instructions. */
KERNEL(relu) {
    int32_t *x = (int32_t *)FLOATS(0);
    int count = INT(1);
    for (int i = 0; i < count; i++) {
        x[i] = x[i] > 0 ? x[i] : 0;
    }
    return DONE;
}

KERNEL(relu_backward) {
    float *dx = FLOATS(0);
    const int32_t *y = (const int32_t *)FLOATS(1);
    int count = INT(2);
    for (int i = 0; i < count; i++) {
        if (y[i] <= 0) {
            store_zero(dx + i);
        }
    }
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
            for (int s = 0; s < count; s++) {
                weights[s] = dot(q, k + s * row, head_dim) * scale;
            }
            float total = exp_all(weights, weights, largest_of(weights, count), c[ONE], count, c);
            scale_all(weights, reciprocal(total, c), count);
            for (int j = 0; j < head_dim; j++) {
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
    float rate; /* 16 times the rate, because of rsqrt16 */
    float eps;  /* 16 times eps */
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
    float root16 = unbias2 * rsqrt16(unbias2, c);
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
