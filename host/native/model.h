/* The arithmetic: forward and backward pass over the rows of some documents, and Adam.

   Compiled once for each instruction set, by the files that include it after defining LANES, the
   floats of a vector, TILE_ROWS, and ISA, the name of the table that it defines. All widths are
   multiples of PAD with zeros between, so that no loop has a rest. */
#include "generation.h"
#include "native.h"
#include "vectors.h"

/* Matrix product. */

/* c (rows, vecs * LANES) = or += a (rows, k) * b (k, vecs * LANES), in registers: `rows` and `vecs`
   are constants where this is called, and each number of `a` is read once for all vectors. */
INLINE void tile(const int rows, const int vecs, int64_t k, const float *a, int64_t a_row,
                 int64_t a_k, const float *b, int64_t b_row, float *c, int64_t c_row, int add) {
    vec sum[TILE_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            sum[r][v] = add ? load(c + r * c_row + v * LANES) : (vec){0};
    for (; k > 0; k--, a += a_k, b += b_row)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) sum[r][v] += a[r * a_row] * load(b + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) store(c + r * c_row + v * LANES, sum[r][v]);
}

/* The same for any number of rows. */
INLINE void column(const int vecs, int64_t rows, int64_t k, const float *a, int64_t a_row,
                   int64_t a_k, const float *b, int64_t b_row, float *c, int64_t c_row, int add) {
    for (; rows >= TILE_ROWS; rows -= TILE_ROWS, a += TILE_ROWS * a_row, c += TILE_ROWS * c_row)
        tile(TILE_ROWS, vecs, k, a, a_row, a_k, b, b_row, c, c_row, add);
    switch (rows) {
#define REST(n) case n: tile(n, vecs, k, a, a_row, a_k, b, b_row, c, c_row, add); break
#if TILE_ROWS > 4
        REST(7); REST(6); REST(5); REST(4);
#endif
        REST(3); REST(2); REST(1);
    }
}

/* c (rows, columns) = or, if `add`, += a (rows, k) * b (k, columns). Number (i, j) of `a` is
   a[i * a_row + j * a_k], so that the same function takes a transposed matrix: it is the forward
   pass (a: activations, b: transposed weights), the gradient of the activations (b: weights) and
   that of the weights (a: the transposed gradient of the activations, b: activations). */
static void multiply(int64_t rows, int64_t k, int64_t columns, const float *a, int64_t a_row,
                     int64_t a_k, const float *b, int64_t b_row, float *c, int64_t c_row, int add) {
    int64_t j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        column(2, rows, k, a, a_row, a_k, b + j, b_row, c + j, c_row, add);
    if (j < columns) column(1, rows, k, a, a_row, a_k, b + j, b_row, c + j, c_row, add);
}

/* y (rows, out) = or += x (rows, in) * w, where w is (in, out). */
INLINE void linear(int64_t rows, int64_t in, int64_t out, const float *x, const float *w, float *y,
                   int add) {
    multiply(rows, in, out, x, in, 1, w, out, y, out, add);
}

/* dw (out, in) = or += the transpose of dy (rows, dy_width), its first `out` columns, times x. */
INLINE void weight_gradient(int64_t rows, int64_t out, int64_t dy_width, int64_t in,
                            const float *dy, const float *x, float *dw, int add) {
    multiply(out, rows, in, dy, 1, dy_width, x, in, dw, in, add);
}

/* to (columns, to_row) = the transpose of from (rows, columns); zeros up to `padded(rows)`. */
static void transpose_matrix(int64_t rows, int64_t columns, const float *from, int64_t from_row,
                             float *to, int64_t to_row) {
    for (int64_t i = 0; i < padded(rows); i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            vec block[LANES];
            if (i + LANES <= rows) {
#pragma GCC unroll 16
                for (int r = 0; r < LANES; r++) block[r] = load(from + (i + r) * from_row + j);
            } else
                for (int r = 0; r < LANES; r++)
                    block[r] = i + r < rows ? load(from + (i + r) * from_row + j) : (vec){0};
            transpose(block);
#pragma GCC unroll 16
            for (int r = 0; r < LANES; r++) store(to + (j + r) * to_row + i, block[r]);
        }
}

/* RMSNorm (Zhang & Sennrich, 2019), forward and backward, a row at a time. */

/* y = x * scale with scale = 1 / sqrt(mean(x * x) + eps), which is kept; y may be x. */
INLINE void norm(const Model *m, int64_t rows, const float *x, float *y, float *scale) {
    const int64_t width = m->s.width;
    for (int64_t t = 0; t < rows; t++, x += width, y += width) {
        vec squares = {0};
        for (int64_t i = 0; i < width; i += LANES) squares += load(x + i) * load(x + i);
        scale[t] = 1 / sqrtf(sum_of(squares) / m->s.n_embd + m->norm_eps);
        for (int64_t i = 0; i < width; i += LANES) store(y + i, load(x + i) * scale[t]);
    }
}

/* dx = or += (dy - y * mean(dy * y)) * scale. */
INLINE void norm_backward(const Model *m, int64_t rows, const float *dy, const float *y,
                          const float *scale, float *dx, const int add) {
    const int64_t width = m->s.width;
    for (int64_t t = 0; t < rows; t++, dy += width, y += width, dx += width) {
        vec products = {0};
        for (int64_t i = 0; i < width; i += LANES) products += load(dy + i) * load(y + i);
        float mean = sum_of(products) / m->s.n_embd;
        for (int64_t i = 0; i < width; i += LANES) {
            vec d = (load(dy + i) - load(y + i) * mean) * scale[t];
            store(dx + i, add ? load(dx + i) + d : d);
        }
    }
}

/* Attention. A document's rows follow each other, so that a query's keys are the rows above. */

/* A short document: for heads that lie within one vector, the product q * k is summed over each
   group of head_dim lanes, and the score is then in all lanes of the group. exp is so computed
   head_dim times, but nothing is transposed and no pair of a query with a later key is computed.
   p is (pairs, width), the pairs (query, key) in order. */
INLINE void attend_short(const Model *m, int64_t n, const float *qkv, float *p, float *mix) {
    const int64_t width = m->s.width, row = 3 * width;
    const float scale = LOG2E / sqrtf((float)m->head_dim);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t i = 0; i < width; i += LANES) {
            const float *k = qkv + width + i, *v = qkv + 2 * width + i;
            vec q = load(qkv + t * row + i) * scale;
            vec most = all(-INFINITY), sum = {0}, out = {0};
            for (int64_t s = 0; s <= t; s++) {
                vec score = group_sum(q * load(k + s * row), m->head_dim);
                most = larger(most, score);
                store(p + s * width + i, score);
            }
            for (int64_t s = 0; s <= t; s++) {
                vec e = exp2_of(load(p + s * width + i) - most);
                sum += e;
                out += e * load(v + s * row);
                store(p + s * width + i, e);
            }
            sum = 1 / sum;
            for (int64_t s = 0; s <= t; s++)
                store(p + s * width + i, load(p + s * width + i) * sum);
            store(mix + t * width + i, out * sum);
        }
        p += (t + 1) * width;
    }
}

INLINE void attend_short_backward(const Model *m, int64_t n, const float *qkv, const float *p,
                                  const float *dmix, float *dqkv) {
    const int64_t width = m->s.width, row = 3 * width;
    const float scale = 1 / sqrtf((float)m->head_dim);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t i = 0; i < width; i += LANES) {
            const float *k = qkv + width + i, *v = qkv + 2 * width + i;
            float *dk = dqkv + width + i, *dv = dqkv + 2 * width + i;
            vec q = load(qkv + t * row + i) * scale, dout = load(dmix + t * width + i);
            vec dp[SHORT], mean = {0}, dq = {0};
            store(dk + t * row, (vec){0});
            store(dv + t * row, (vec){0});
            for (int64_t s = 0; s <= t; s++) {
                dp[s] = group_sum(dout * load(v + s * row), m->head_dim);
                mean += dp[s] * load(p + s * width + i);
            }
            for (int64_t s = 0; s <= t; s++) {
                vec weight = load(p + s * width + i);
                vec dscore = weight * (dp[s] - mean);
                dq += dscore * load(k + s * row);
                store(dk + s * row, load(dk + s * row) + dscore * q);
                store(dv + s * row, load(dv + s * row) + weight * dout);
            }
            store(dqkv + t * row + i, dq * scale);
        }
        p += (t + 1) * width;
    }
}

/* Copy one head's columns of a matrix (n, row), times `scale`, with zeros up to head_width; or add
   nothing and copy back. */
static void take_head(const Model *m, int64_t n, const float *from, int64_t row, float scale,
                      float *head) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < padded(m->head_dim); i++)
            head[t * padded(m->head_dim) + i] = i < m->head_dim ? from[t * row + i] * scale : 0;
}
static void put_head(const Model *m, int64_t n, const float *head, float scale, float *to,
                     int64_t row) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < m->head_dim; i++)
            to[t * row + i] = head[t * padded(m->head_dim) + i] * scale;
}

/* Any document: matrix products for a head at a time, QUERIES queries at once with the keys up
   to the last of them. p is (n_head, n, padded n). */
static void attend_long(const Model *m, Thread *w, int64_t n, const float *qkv, float *p,
                        float *mix) {
    const int64_t row = 3 * m->s.width, hw = padded(m->head_dim), keys = padded(n);
    float *q = w->head[0], *k = w->head[1], *v = w->head[2], *kt = w->head[3], *out = w->head[4];
    for (int64_t h = 0; h < m->s.n_head; h++, p += n * keys) {
        const float *from = qkv + h * m->head_dim;
        take_head(m, n, from, row, LOG2E / sqrtf((float)m->head_dim), q);
        take_head(m, n, from + m->s.width, row, 1, k);
        take_head(m, n, from + 2 * m->s.width, row, 1, v);
        transpose_matrix(n, hw, k, hw, kt, keys);
        for (int64_t first = 0; first < n; first += QUERIES) {
            int64_t rows = first + QUERIES < n ? QUERIES : n - first, end = first + rows;
            float *some = p + first * keys;
            multiply(rows, hw, padded(end), q + first * hw, hw, 1, kt, keys, some, keys, 0);
            for (int64_t t = first; t < end; t++) {
                float *score = p + t * keys;
                for (int64_t s = t + 1; s < padded(end); s++) score[s] = -INFINITY;
                vec most = load(score), sum = {0};
                for (int64_t s = LANES; s <= t; s += LANES) most = larger(most, load(score + s));
                most = all(largest_of(most));
                for (int64_t s = 0; s <= t; s += LANES) {
                    vec e = exp2_of(load(score + s) - most);
                    sum += e;
                    store(score + s, e);
                }
                sum = all(1 / sum_of(sum));
                for (int64_t s = 0; s <= t; s += LANES) store(score + s, load(score + s) * sum);
                for (int64_t s = t + 1; s < padded(end); s++) score[s] = 0;
            }
            multiply(rows, end, hw, some, keys, 1, v, hw, out + first * hw, hw, 0);
        }
        put_head(m, n, out, 1, mix + h * m->head_dim, m->s.width);
    }
}

static void attend_long_backward(const Model *m, Thread *w, int64_t n, const float *qkv,
                                 const float *p, const float *dmix, float *dqkv) {
    const int64_t row = 3 * m->s.width, hw = padded(m->head_dim), keys = padded(n);
    const float scale = 1 / sqrtf((float)m->head_dim);
    float *q = w->head[0], *k = w->head[1], *v = w->head[2], *vt = w->head[3];
    float *dout = w->head[4], *dq = w->head[5], *dk = w->head[6], *dv = w->head[7], *dp = w->dp;
    for (int64_t h = 0; h < m->s.n_head; h++, p += n * keys) {
        const float *from = qkv + h * m->head_dim;
        float *to = dqkv + h * m->head_dim;
        take_head(m, n, from, row, scale, q);
        take_head(m, n, from + m->s.width, row, scale, k);
        take_head(m, n, from + 2 * m->s.width, row, 1, v);
        take_head(m, n, dmix + h * m->head_dim, m->s.width, 1, dout);
        transpose_matrix(n, hw, v, hw, vt, keys);
        memset(dk, 0, sizeof *dk * n * hw);
        memset(dv, 0, sizeof *dv * n * hw);
        for (int64_t first = 0; first < n; first += QUERIES) {
            int64_t rows = first + QUERIES < n ? QUERIES : n - first, end = first + rows;
            const float *some = p + first * keys, *these = dout + first * hw;
            multiply(rows, hw, padded(end), these, hw, 1, vt, keys, dp, keys, 0);
            for (int64_t t = 0; t < rows; t++) {
                vec products = {0};
                for (int64_t s = 0; s < padded(end); s += LANES)
                    products += load(some + t * keys + s) * load(dp + t * keys + s);
                vec mean = all(sum_of(products));
                for (int64_t s = 0; s < padded(end); s += LANES)
                    store(dp + t * keys + s,
                          load(some + t * keys + s) * (load(dp + t * keys + s) - mean));
            }
            multiply(rows, end, hw, dp, keys, 1, k, hw, dq + first * hw, hw, 0);
            multiply(end, rows, hw, dp, 1, keys, q + first * hw, hw, dk, hw, 1);
            multiply(end, rows, hw, some, 1, keys, these, hw, dv, hw, 1);
        }
        put_head(m, n, dq, 1, to, row);
        put_head(m, n, dk, 1, to + m->s.width, row);
        put_head(m, n, dv, 1, to + 2 * m->s.width, row);
    }
}

/* Whether `attend_short` computes a document of n positions. */
INLINE int is_short(const Model *m, int64_t n) {
    return n <= SHORT && m->head_dim <= 8 && (m->head_dim & (m->head_dim - 1)) == 0 &&
           m->head_dim <= LANES;
}

/* The numbers that the attention weights of n positions take. */
INLINE int64_t attention_size(const Model *m, int64_t n) {
    return is_short(m, n) ? n * (n + 1) / 2 * m->s.width : m->s.n_head * n * padded(n);
}

/* The positions of the document that begins in row `first`. */
INLINE int64_t length_from(const Thread *w, int64_t first) {
    int64_t n = 1;
    while (first + n < w->rows && w->positions[first + n]) n++;
    return n;
}

/* Compute layer->mix from layer->qkv, a document after another. */
INLINE void attend(const Model *m, Thread *w, Layer *layer) {
    float *p = layer->p;
    for (int64_t t = 0, n; t < w->rows; t += n) {
        n = length_from(w, t);
        const float *qkv = layer->qkv + t * 3 * m->s.width;
        float *mix = layer->mix + t * m->s.width;
        if (is_short(m, n)) attend_short(m, n, qkv, p, mix);
        else attend_long(m, w, n, qkv, p, mix);
        p += attention_size(m, n);
    }
}

INLINE void attend_backward(const Model *m, Thread *w, const Layer *layer) {
    const float *p = layer->p;
    for (int64_t t = 0, n; t < w->rows; t += n) {
        n = length_from(w, t);
        const float *qkv = layer->qkv + t * 3 * m->s.width, *dmix = w->dmix + t * m->s.width;
        float *dqkv = w->dqkv + t * 3 * m->s.width;
        if (is_short(m, n)) attend_short_backward(m, n, qkv, p, dmix, dqkv);
        else attend_long_backward(m, w, n, qkv, p, dmix, dqkv);
        p += attention_size(m, n);
    }
}

/* The model. */

/* Compute the logits after each row from its token and position. `mix` is the attention: it
   computes layer->mix from layer->qkv. */
INLINE void forward(const Model *m, Thread *w,
                    void (*mix)(const Model *, Thread *, Layer *)) {
    const int64_t rows = w->rows, width = m->s.width;
    const float *wte = m->params + m->s.wte, *wpe = m->params + m->s.wpe;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < width; i += LANES)
            store(w->x + t * width + i, load(wte + w->tokens[t] * width + i) +
                                            load(wpe + w->positions[t] * width + i));
    if (m->s.input_norm) {
        norm(m, rows, w->x, w->embedded, w->scale);
        memcpy(w->x, w->embedded, sizeof *w->x * rows * width);
    }
    for (int64_t l = 0; l < m->s.n_layer; l++) {
        Layer *layer = w->layers + l;
        const float *t = m->packed + l * m->s.layer;
        norm(m, rows, w->x, layer->norm1, layer->scale1);
        linear(rows, width, 3 * width, layer->norm1, t + m->s.qkv, layer->qkv, 0);
        mix(m, w, layer);
        linear(rows, width, width, layer->mix, t + m->s.wo, w->x, 1);
        norm(m, rows, w->x, layer->norm2, layer->scale2);
        linear(rows, width, m->hidden, layer->norm2, t + m->s.fc1, layer->hidden, 0);
        for (int64_t i = 0; i < rows * m->hidden; i += LANES)
            store(layer->hidden + i, larger((vec){0}, load(layer->hidden + i)));
        linear(rows, m->hidden, width, layer->hidden, t + m->s.fc2, w->x, 1);
    }
    linear(rows, width, m->vocab, w->x, m->packed_head, w->logits, 0);
}

/* Add the rows' cross-entropy to the thread's loss; replace the logits by its gradient or, without,
   by numbers in the ratio of the probabilities. */
INLINE void cross_entropy(const Model *m, Thread *w, int with_gradient) {
    for (int64_t t = 0; t < w->rows; t++) {
        float *logits = w->logits + t * m->vocab;
        vec most = all(-INFINITY), sum = {0};
        for (int64_t i = 0; i < m->vocab; i += LANES) {
            vec logit = load(logits + i) + load(m->vocab_bias + i);
            most = larger(most, logit);
            store(logits + i, logit);
        }
        const float largest = largest_of(most), target = logits[w->targets[t]];
        for (int64_t i = 0; i < m->vocab; i += LANES) {
            vec e = exp2_of((load(logits + i) - largest) * LOG2E);
            sum += e;
            store(logits + i, e);
        }
        const float total = sum_of(sum), weight = w->weights[t];
        if (with_gradient) {
            for (int64_t i = 0; i < m->vocab; i += LANES)
                store(logits + i, load(logits + i) * (weight / total));
            logits[w->targets[t]] -= weight;
        }
        w->losses[t] = largest - target;
        w->totals[t] = total;
    }
    for (int64_t t = 0; t < w->rows; t++)
        w->loss += w->weights[t] * (logf(w->totals[t]) + w->losses[t]);
}

/* Compute all gradients from that of the logits, or add to them if `add`. */
INLINE void backward(const Model *m, Thread *w, int add) {
    const int64_t rows = w->rows, width = m->s.width, hidden = m->hidden;
    const Sizes *place = &m->s;
    if (!add) memset(w->grads + place->wpe, 0, sizeof(float) * m->s.block_size * width);
    if (!add && !m->s.tied) memset(w->grads + place->wte, 0, sizeof(float) * m->s.vocab_size * width);
    /* A tied head is wte: its gradient is written first, that of the tokens added at the end. */
    weight_gradient(rows, m->s.vocab_size, m->vocab, width, w->logits, w->x,
                    w->grads + place->head, add);
    multiply(rows, m->s.vocab_size, width, w->logits, m->vocab, 1, m->params + place->head, width,
             w->dx, width, 0);
    for (int64_t l = m->s.n_layer; l-- > 0;) {
        const Layer *layer = w->layers + l;
        const float *weights = m->params + l * place->layer;
        float *grads = w->grads + l * place->layer;
        weight_gradient(rows, width, width, hidden, w->dx, layer->hidden, grads + place->fc2, add);
        linear(rows, width, hidden, w->dx, weights + place->fc2, w->dhidden, 0);
        for (int64_t i = 0; i < rows * hidden; i += LANES) {
            ivec positive = load(layer->hidden + i) > (vec){0};
            store(w->dhidden + i, (vec)((ivec)load(w->dhidden + i) & positive));
        }
        weight_gradient(rows, hidden, hidden, width, w->dhidden, layer->norm2, grads + place->fc1,
                        add);
        linear(rows, hidden, width, w->dhidden, weights + place->fc1, w->branch, 0);
        norm_backward(m, rows, w->branch, layer->norm2, layer->scale2, w->dx, 1);

        weight_gradient(rows, width, width, width, w->dx, layer->mix, grads + place->wo, add);
        linear(rows, width, width, w->dx, weights + place->wo, w->dmix, 0);
        attend_backward(m, w, layer);
        weight_gradient(rows, 3 * width, 3 * width, width, w->dqkv, layer->norm1,
                        grads + place->qkv, add);
        linear(rows, 3 * width, width, w->dqkv, weights + place->qkv, w->branch, 0);
        norm_backward(m, rows, w->branch, layer->norm1, layer->scale1, w->dx, 1);
    }
    if (m->s.input_norm) norm_backward(m, rows, w->dx, w->embedded, w->scale, w->dx, 0);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < width; i += LANES) {
            float *dwte = w->grads + place->wte + w->tokens[t] * width + i;
            float *dwpe = w->grads + place->wpe + w->positions[t] * width + i;
            vec d = load(w->dx + t * width + i);
            store(dwte, load(dwte) + d);
            store(dwpe, load(dwpe) + d);
        }
}

/* Copy documents from number `first` on into the rows, as many as fit; return the next number. */
static int64_t take_documents(const Model *m, Thread *w, const Documents *d, int64_t first,
                              int64_t end, double share) {
    const int64_t max_rows = m->s.longest > ROWS ? m->s.longest : ROWS;
    w->rows = 0;
    for (; first < end; first++) {
        /* Read once: another thread of Python may write to the arrays while this one reads. */
        const int64_t start = d->starts[first], stop = d->starts[first + 1];
        int64_t n = stop - start - 1;
        if (n > m->s.block_size) n = m->s.block_size;
        if (start < 0 || stop > d->total || n < 1 || n > m->s.longest) {
            w->bad = 1;
            continue;
        }
        if (w->rows + n > max_rows) break;
        const float equal = share / n;
        for (int64_t t = 0; t < n; t++) {
            const int64_t row = w->rows + t;
            const uint32_t token = d->tokens[start + t], target = d->tokens[start + t + 1];
            w->bad |= token >= m->s.vocab_size || target >= m->s.vocab_size;
            w->tokens[row] = token < m->s.vocab_size ? token : 0;
            w->targets[row] = target < m->s.vocab_size ? target : 0;
            w->positions[row] = t;
            w->weights[row] = d->weights ? d->weights[start + t] * share : equal;
        }
        w->rows += n;
    }
    return first;
}

INLINE void pass_of(const Model *m, Thread *w, const Documents *d, int64_t first, int64_t count,
                    double share, int with_gradient) {
    const int64_t end = first + count;
    w->loss = 0;
    w->bad = 0;
    for (int add = 0; first < end; add = 1) {
        first = take_documents(m, w, d, first, end, share);
        forward(m, w, attend);
        cross_entropy(m, w, with_gradient);
        if (with_gradient) backward(m, w, add);
    }
}

static void pass(const Model *m, Thread *w, const Documents *d, int64_t first, int64_t count,
                 double share, int with_gradient) {
    pass_of(m, w, d, first, count, share, with_gradient);
}

static void pack(const Model *m) {
    const int64_t width = m->s.width, hidden = m->hidden;
    for (int64_t i = 0; i < m->vocab; i++) m->vocab_bias[i] = i < m->s.vocab_size ? 0 : -1e30f;
    for (int64_t l = 0; l < m->s.n_layer; l++) {
        const float *w = m->params + l * m->s.layer;
        float *t = m->packed + l * m->s.layer;
        const Sizes *at = &m->s;
        transpose_matrix(3 * width, width, w + at->qkv, width, t + at->qkv, 3 * width);
        transpose_matrix(width, width, w + at->wo, width, t + at->wo, width);
        transpose_matrix(hidden, width, w + at->fc1, width, t + at->fc1, hidden);
        transpose_matrix(width, hidden, w + at->fc2, hidden, t + at->fc2, width);
    }
    transpose_matrix(m->s.vocab_size, width, m->params + m->s.head, width,
                     m->packed_head, m->vocab);
}

/* Sum the gradients of all threads into those of the first; return the sum of their squares. */
static float gather(const Model *m, int threads, int64_t from, int64_t to) {
    float *grads = m->thread[0].grads;
    vec sums[4] = {{0}}; /* independent, so that none waits for the one before */
    for (int64_t i = from; i < to; i += 4 * LANES)
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            const int64_t at = i + k * LANES;
            if (LANES * 4 > PAD && at >= to) break;
            vec g = load(grads + at);
            for (int other = 1; other < threads; other++) g += load(m->thread[other].grads + at);
            if (threads > 1) store(grads + at, g);
            sums[k] += g * g;
        }
    return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/* Adam (Kingma & Ba, 2015), with its constant factors combined into `rate` and `eps` as in
   engines/adam.py. A moment of 0, or one too small for the estimate, has a root of about 0. */
static void adam(const Model *m, int64_t from, int64_t to, float rate, float eps) {
    /* In local variables: the compiler must assume that a store changes what m points to. */
    float *const grads = m->grads, *sum_m = m->sum_m, *sum_v = m->sum_v, *params = m->params;
    const vec beta1 = all(m->beta1), beta2 = all(m->beta2);
    for (int64_t i = from; i < to; i += LANES) {
        const vec g = load(grads + i);
        const vec first = load(sum_m + i) * beta1 + g, second = load(sum_v + i) * beta2 + g * g;
        const vec root = second * rsqrt(larger(all(FLT_MIN), second));
        store(sum_m + i, first);
        store(sum_v + i, second);
        store(params + i, load(params + i) - rate * first * reciprocal(root + eps));
    }
}

/* Copy the attention weights, (n_layer, n_head, n, n), and what a pass without gradient left of
   the logits, (n, vocab_size), for the document in the thread's rows. */
static void maps(const Model *m, const Thread *w, float *attention, float *logits) {
    const int64_t n = w->rows;
    for (int64_t l = 0; l < m->s.n_layer; l++)
        for (int64_t h = 0; h < m->s.n_head; h++)
            for (int64_t t = 0; t < n; t++)
                for (int64_t s = 0; s < n; s++) {
                    int64_t place = is_short(m, n)
                                        ? (t * (t + 1) / 2 + s) * m->s.width + h * m->head_dim
                                        : (h * n + t) * padded(n) + s;
                    *attention++ = s > t ? 0 : w->layers[l].p[place];
                }
    for (int64_t t = 0; t < n; t++)
        memcpy(logits + t * m->s.vocab_size, w->logits + t * m->vocab, sizeof(float) * m->s.vocab_size);
}

#include "generate.h"

const Isa ISA = {ISA_NAME, pack, pass, gather, adam, maps, decode, generate};
