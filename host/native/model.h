/* The arithmetic: forward and backward pass over the rows of some documents, and Adam.

   Compiled once for each instruction set, by the files that include it after defining LANES, the
   floats of a vector, TILE_ROWS, and ISA, the name of the table that it defines. All widths are
   multiples of PAD with zeros between, so that no loop has a rest. */
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
    const float *a4 = a + 4 * a_row; /* so that a row's distance is in one of two registers */
    for (; k > 0; k--, a += a_k, a4 += a_k, b += b_row)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++)
                sum[r][v] += (r < 4 ? a : a4)[r % 4 * a_row] * load(b + v * LANES);
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

/* to (columns, to_row) = the transpose of from (rows, columns); zeros from `rows` to `end`. */
static void transpose_matrix(int64_t rows, int64_t end, int64_t columns, const float *from,
                             int64_t from_row, float *to, int64_t to_row) {
    for (int64_t i = 0; i < end; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            vec block[LANES];
#pragma GCC unroll 16
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
        scale[t] = 1 / sqrtf(sum_of(squares) / m->s.n_embd + (float)m->norm_eps);
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

/* Any document: LANES queries at once, one in each lane, so that softmax needs no sum across a
   vector; their products with keys and values are matrix products for each head. p is (queries /
   LANES, n_head, padded n, LANES). Rows after the document's own are written too: the next document
   writes them again. */
static void attend_long(const Model *m, Thread *w, int64_t n, const float *qkv, float *p,
                        float *mix) {
    const int64_t width = m->s.width, row = 3 * width, dim = m->head_dim;
    const float scale = LOG2E / sqrtf((float)dim);
    memset(w->out_lanes, 0, sizeof(float) * width * LANES); /* also what belongs to no head */
    for (int64_t first = 0; first < n; first += LANES) {
        const int64_t rows = first + LANES < n ? LANES : n - first, keys = first + rows;
        transpose_matrix(rows, LANES, width, qkv + first * row, row, w->q_lanes, LANES);
        for (int64_t h = 0; h < m->s.n_head; h++, p += padded(n) * LANES) {
            multiply(keys, dim, LANES, qkv + width + h * dim, row, 1,
                     w->q_lanes + h * dim * LANES, LANES, p, LANES, 0);
            vec most = all(-INFINITY), sum = {0};
            for (int64_t s = 0; s < keys; s++) {
                ivec later = LANE < (int32_t)(s - first); /* the lanes of queries before the key */
                vec score = load(p + s * LANES) * scale + (vec)(later & (ivec)all(-1e30f));
                most = larger(most, score);
                store(p + s * LANES, score);
            }
            for (int64_t s = 0; s < keys; s++) {
                vec e = exp2_of(load(p + s * LANES) - most);
                sum += e;
                store(p + s * LANES, e);
            }
            sum = 1 / sum;
            for (int64_t s = 0; s < keys; s++) store(p + s * LANES, load(p + s * LANES) * sum);
            multiply(dim, keys, LANES, qkv + 2 * width + h * dim, 1, row, p, LANES,
                     w->out_lanes + h * dim * LANES, LANES, 0);
        }
        transpose_matrix(width, width, LANES, w->out_lanes, LANES, mix + first * width, width);
    }
}

/* Copy columns `from` to `to` of some rows, with zeros in the rest of their vectors. */
INLINE void copy_head(int64_t rows, const float *x, int64_t row, int64_t from, int64_t to,
                      float *head, int64_t head_row) {
    for (int64_t t = 0; t < rows; t++, x += row, head += head_row)
        for (int64_t i = 0, at = from / LANES * LANES; i < head_row; i++, at++)
            head[i] = at >= from && at < to ? x[at] : 0;
}

static void attend_long_backward(const Model *m, Thread *w, int64_t n, const float *qkv,
                                 const float *p, const float *dmix, float *dqkv) {
    const int64_t width = m->s.width, row = 3 * width, dim = m->head_dim;
    float *dq_lanes = w->q_lanes, *dout_lanes = w->out_lanes, *dp = w->dp;
    const vec scale = all(1 / sqrtf((float)dim));
    memset(dqkv, 0, sizeof(float) * n * row);
    memset(dq_lanes, 0, sizeof(float) * width * LANES);
    for (int64_t first = 0; first < n; first += LANES) {
        const int64_t rows = first + LANES < n ? LANES : n - first, keys = first + rows;
        transpose_matrix(rows, LANES, width, dmix + first * width, width, dout_lanes, LANES);
        for (int64_t h = 0; h < m->s.n_head; h++, p += padded(n) * LANES) {
            const int64_t from = h * dim, to = from + dim, begin = from / LANES * LANES;
            const int64_t columns = (to + LANES - 1) / LANES * LANES - begin;
            multiply(keys, dim, LANES, qkv + 2 * width + from, row, 1, dout_lanes + from * LANES,
                     LANES, dp, LANES, 0);
            vec mean = {0};
            for (int64_t s = 0; s < keys; s++) mean += load(p + s * LANES) * load(dp + s * LANES);
            for (int64_t s = 0; s < keys; s++)
                store(dp + s * LANES,
                      load(p + s * LANES) * (load(dp + s * LANES) - mean) * scale);
            multiply(dim, keys, LANES, qkv + width + from, 1, row, dp, LANES,
                     dq_lanes + from * LANES, LANES, 0);
            copy_head(rows, qkv + first * row, row, from, to, w->q_head, columns);
            copy_head(rows, dmix + first * width, width, from, to, w->dout_head, columns);
            multiply(keys, rows, columns, dp, LANES, 1, w->q_head, columns, dqkv + width + begin,
                     row, 1);
            multiply(keys, rows, columns, p, LANES, 1, w->dout_head, columns,
                     dqkv + 2 * width + begin, row, 1);
        }
        transpose_matrix(width, width, LANES, dq_lanes, LANES, dqkv + first * row, row);
    }
}

/* Whether `attend_short` computes a document of n positions. */
INLINE int is_short(const Model *m, int64_t n) {
    return n <= SHORT && m->head_dim <= 8 && LANES % m->head_dim == 0;
}

/* Compute a layer's `mix` from its `qkv` or, if `backward`, the gradient of qkv from that of mix: a
   document after another. */
INLINE void attend(const Model *m, Thread *w, int64_t layer, const int backward) {
    const int64_t width = m->s.width, row = 3 * width;
    const float *qkv = w->qkv + layer * m->s.room * row, *dmix = w->dmix;
    float *mix = w->mix + layer * m->s.room * width, *p = w->p + layer * m->p_size;
    float *dqkv = w->dqkv;
    for (int64_t t = 0, n; t < w->used; t += n) {
        for (n = 1; t + n < w->used && w->positions[t + n];) n++;
        if (!is_short(m, n)) {
            if (backward) attend_long_backward(m, w, n, qkv, p, dmix, dqkv);
            else attend_long(m, w, n, qkv, p, mix);
            p += m->s.n_head * padded(n) * padded(n);
        } else {
            if (backward) attend_short_backward(m, n, qkv, p, dmix, dqkv);
            else attend_short(m, n, qkv, p, mix);
            p += n * (n + 1) / 2 * width;
        }
        qkv += n * row, mix += n * width, dmix += n * width, dqkv += n * row;
    }
}

/* The model. */

/* Compute the logits after each row from its token and position. */
INLINE void forward(const Model *m, Thread *w) {
    const int64_t rows = w->used, width = m->s.width, hidden = m->s.hidden, room = m->s.room;
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
        const float *t = m->packed + l * m->s.layer;
        float *norm1 = w->norm1 + l * room * width, *mix = w->mix + l * room * width;
        float *norm2 = w->norm2 + l * room * width, *units = w->hidden + l * room * hidden;
        norm(m, rows, w->x, norm1, w->scale1 + l * room);
        linear(rows, width, 3 * width, norm1, t + m->s.qkv, w->qkv + l * room * 3 * width, 0);
        attend(m, w, l, 0);
        linear(rows, width, width, mix, t + m->s.wo, w->x, 1);
        norm(m, rows, w->x, norm2, w->scale2 + l * room);
        linear(rows, width, hidden, norm2, t + m->s.fc1, units, 0);
        for (int64_t i = 0; i < rows * hidden; i += LANES)
            store(units + i, larger((vec){0}, load(units + i)));
        linear(rows, hidden, width, units, t + m->s.fc2, w->x, 1);
    }
    linear(rows, width, m->s.vocab, w->x, m->packed_head, w->logits, 0);
}

/* Add the rows' cross-entropy to the thread's loss; replace the logits by its gradient or, without,
   by numbers in the ratio of the probabilities. */
INLINE void cross_entropy(const Model *m, Thread *w, int with_gradient) {
    const int64_t vocab = m->s.vocab, rows = w->used;
    const float *bias = m->vocab_bias;
    for (int64_t t = 0; t < rows; t++) {
        float *logits = w->logits + t * vocab;
        const int32_t target = w->targets[t];
        const float target_logit = logits[target], weight = w->weights[t];
        vec most = all(-INFINITY), sum = {0};
        for (int64_t i = 0; i < vocab; i += LANES)
            most = larger(most, load(logits + i) + load(bias + i));
        const float largest = largest_of(most);
        for (int64_t i = 0; i < vocab; i += LANES) {
            vec e = exp2_of((load(logits + i) + load(bias + i) - largest) * LOG2E);
            sum += e;
            store(logits + i, e);
        }
        const float total = sum_of(sum);
        for (int64_t i = 0; i < vocab && with_gradient; i += LANES) {
            ivec is_target = LANE == target - (int32_t)i;
            store(logits + i, load(logits + i) * (weight / total) -
                                  (vec)(is_target & (ivec)all(weight)));
        }
        w->losses[t] = largest - target_logit;
        w->totals[t] = total;
    }
    for (int64_t t = 0; t < rows; t++)
        w->loss += w->weights[t] * (logf(w->totals[t]) + w->losses[t]);
}

/* Compute all gradients from that of the logits, or add to them if `add`. */
INLINE void backward(const Model *m, Thread *w, int add) {
    const int64_t rows = w->used, width = m->s.width, hidden = m->s.hidden, room = m->s.room;
    const Sizes *place = &m->s;
    if (!add) memset(w->grads + place->wpe, 0, sizeof(float) * m->s.block_size * width);
    if (!add && !m->s.tied) memset(w->grads + place->wte, 0, sizeof(float) * m->s.vocab_size * width);
    /* A tied head is wte: its gradient is written first, that of the tokens added at the end. */
    weight_gradient(rows, m->s.vocab_size, m->s.vocab, width, w->logits, w->x,
                    w->grads + place->head, add);
    multiply(rows, m->s.vocab_size, width, w->logits, m->s.vocab, 1, m->params + place->head, width,
             w->dx, width, 0);
    for (int64_t l = m->s.n_layer; l-- > 0;) {
        const float *weights = m->params + l * place->layer;
        const float *norm1 = w->norm1 + l * room * width, *mix = w->mix + l * room * width;
        const float *norm2 = w->norm2 + l * room * width, *units = w->hidden + l * room * hidden;
        float *grads = w->grads + l * place->layer;
        weight_gradient(rows, width, width, hidden, w->dx, units, grads + place->fc2, add);
        linear(rows, width, hidden, w->dx, weights + place->fc2, w->dhidden, 0);
        for (int64_t i = 0; i < rows * hidden; i += LANES) {
            ivec positive = load(units + i) > (vec){0};
            store(w->dhidden + i, (vec)((ivec)load(w->dhidden + i) & positive));
        }
        weight_gradient(rows, hidden, hidden, width, w->dhidden, norm2, grads + place->fc1, add);
        linear(rows, hidden, width, w->dhidden, weights + place->fc1, w->branch, 0);
        norm_backward(m, rows, w->branch, norm2, w->scale2 + l * room, w->dx, 1);

        weight_gradient(rows, width, width, width, w->dx, mix, grads + place->wo, add);
        linear(rows, width, width, w->dx, weights + place->wo, w->dmix, 0);
        attend(m, w, l, 1);
        weight_gradient(rows, 3 * width, 3 * width, width, w->dqkv, norm1, grads + place->qkv, add);
        linear(rows, 3 * width, width, w->dqkv, weights + place->qkv, w->branch, 0);
        norm_backward(m, rows, w->branch, norm1, w->scale1 + l * room, w->dx, 1);
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
    w->used = 0;
    for (; first < end; first++) {
        /* Read once: another thread of Python may write to the arrays while this one reads. */
        const int64_t start = d->starts[first], stop = d->starts[first + 1];
        int64_t n = stop - start - 1;
        if (n > m->s.block_size) n = m->s.block_size;
        if (start < 0 || stop > d->total || n < 1 || n > m->s.longest) {
            w->bad |= BAD_LENGTH;
            continue;
        }
        if (w->used + n > m->s.rows) break;
        const float equal = share / n;
        for (int64_t t = 0; t < n; t++) {
            const int64_t row = w->used + t;
            const uint32_t token = d->tokens[start + t], target = d->tokens[start + t + 1];
            const int valid = token < m->s.vocab_size && target < m->s.vocab_size;
            w->tokens[row] = valid ? token : 0;
            w->targets[row] = valid ? target : 0;
            w->bad |= valid ? 0 : BAD_TOKEN;
            w->positions[row] = t;
            w->weights[row] = d->weights ? d->weights[start + t] * share : equal;
        }
        w->used += n;
    }
    return first;
}

/* Compute documents from number `first` to `end` - 1: the thread's loss is `share` times the sum of
   theirs, and with_gradient its gradients are those of that. */
static void pass(const Model *m, Thread *w, const Documents *d, int64_t first, int64_t end,
                 double share, int with_gradient) {
    w->loss = w->bad = 0;
    if (first == end && with_gradient) memset(w->grads, 0, sizeof(float) * m->s.parameters);
    for (int add = 0; first < end; add = 1) {
        first = take_documents(m, w, d, first, end, share);
        forward(m, w);
        cross_entropy(m, w, with_gradient);
        if (with_gradient) backward(m, w, add);
    }
}

/* Copy the weights into the form that the forward pass reads: transposed, at the same places. */
static void pack(const Model *m) {
    const int64_t width = m->s.width, hidden = m->s.hidden;
    for (int64_t i = 0; i < m->s.vocab; i++) m->vocab_bias[i] = i < m->s.vocab_size ? 0 : -1e30f;
    for (int64_t l = 0; l < m->s.n_layer; l++) {
        const float *w = m->params + l * m->s.layer;
        float *t = m->packed + l * m->s.layer;
        transpose_matrix(3 * width, 3 * width, width, w + m->s.qkv, width, t + m->s.qkv, 3 * width);
        transpose_matrix(width, width, width, w + m->s.wo, width, t + m->s.wo, width);
        transpose_matrix(hidden, hidden, width, w + m->s.fc1, width, t + m->s.fc1, hidden);
        transpose_matrix(width, width, hidden, w + m->s.fc2, hidden, t + m->s.fc2, width);
    }
    transpose_matrix(m->s.vocab_size, m->s.vocab, width, m->params + m->s.head, width,
                     m->packed_head, m->s.vocab);
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
    float *const grads = m->thread->grads, *sum_m = m->sum_m, *sum_v = m->sum_v, *params = m->params;
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
   the logits, (n, vocab_size), for the document in the first thread's rows. */
static void maps(const Model *m, float *attention, float *logits) {
    const int64_t n = m->thread->used, heads = m->s.n_head;
    for (int64_t i = 0; i < m->s.n_layer * heads * n * n; i++) {
        const int64_t s = i % n, t = i / n % n, h = i / n / n % heads, layer = i / n / n / heads;
        int64_t place = (t * (t + 1) / 2 + s) * m->s.width + h * m->head_dim;
        if (!is_short(m, n)) place = ((t / LANES * heads + h) * padded(n) + s) * LANES + t % LANES;
        attention[i] = s > t ? 0 : m->thread->p[layer * m->p_size + place];
    }
    for (int64_t i = 0; i < n * m->s.vocab_size; i++)
        logits[i] = m->thread->logits[i / m->s.vocab_size * m->s.vocab + i % m->s.vocab_size];
}

#include "generate.h"

const Isa ISA = {ISA_NAME, pack, pass, gather, adam, maps, decode, generate};
