/* Decoding: the next token of LANES documents at once, each of them in a lane of the vectors.

   With documents in lanes nothing is summed across a vector, and the weights are read where they
   are, one after another, each of them broadcast to all documents: no copy of them is made. A lane
   whose document has ended begins the next one with the next step. What a lane computes depends on
   no other lane, so that a document is the same in any company.

   A document alone (chat) is computed by the same code. Its lanes hold the same numbers, but in
   attention, where they are positions: `alone`. Little is lost by that: a product of weights and
   one vector takes about as long as reading the weights. */

/* y (out) = or += w (out, in) * x (in), where x and y are vectors of lanes. */
INLINE void product(vec *y, const float *w, const vec *x, int64_t out, int64_t in, int add) {
    multiply(out, in, LANES, w, in, 1, (const float *)x, LANES, (float *)y, LANES, add);
}

INLINE void norm_lanes(const Model *m, const vec *x, vec *y) {
    vec squares = {0};
    for (int64_t i = 0; i < m->s.width; i++) squares += x[i] * x[i];
    const vec scale = rsqrt(squares / (float)m->s.n_embd + (float)m->norm_eps);
    for (int64_t i = 0; i < m->s.width; i++) y[i] = x[i] * scale;
}

INLINE vec pick(ivec condition, vec a, vec b) {
    return (vec)((condition & (ivec)a) | (~condition & (ivec)b));
}

/* Attention of one head: out, q (head_dim). A lane sees keys 0 to `last` of `count`, for which `p`
   has room. Feature f of key or value s is the vector PLACE(s, f). In documents at once key s is
   that of s positions ago, so that all lanes write to the same place at the same time: going round
   in a ring, whose size is a power of 2, from `newest` on. In a document alone key s is a vector of
   LANES positions. */
#define PLACE(s, f) (((newest + (s)) & mask) * step + (f) * stride)
INLINE void attend_head(vec *out, const vec *q, const vec *keys, const vec *values, vec *p,
                        ivec last, int64_t count, int64_t newest, int64_t mask, int64_t step,
                        int64_t stride, int64_t head_dim, const int alone) {
    vec most = all(-FLT_MAX), total = {0};
    for (int64_t s = 0; s < count; s++) {
        vec score = {0};
        for (int64_t f = 0; f < head_dim; f++) score += q[f] * keys[PLACE(s, f)];
        p[s] = pick(last < (int32_t)s, all(-FLT_MAX), score * (LOG2E / sqrtf((float)head_dim)));
        most = larger(most, p[s]);
    }
    if (alone) most = all(largest_of(most));
    for (int64_t s = 0; s < count; s++)
        total += p[s] = pick(last < (int32_t)s, (vec){0}, exp2_of(p[s] - most));
    const vec share = 1 / (alone ? all(sum_of(total)) : total);
    for (int64_t f = 0; f < head_dim; f++) {
        vec sum = {0};
        for (int64_t s = 0; s < count; s++) sum += p[s] * values[PLACE(s, f)];
        out[f] = (alone ? all(sum_of(sum)) : sum) * share;
    }
}

INLINE int64_t ring_size(const Model *m) {
    int64_t size = PAD;
    while (size < m->s.block_size) size *= 2;
    return size;
}

/* Return the logits, (vocab_size,) vectors, after a token at a position in each lane. Those before
   it are in the KV cache, which is in `work` too. */
INLINE vec *next_logits(const Model *m, float *work, const int32_t *token, const int32_t *position,
                        int64_t newest, const int alone) {
    const int64_t n = m->s.width, d = m->head_dim, rows = ring_size(m);
    const int64_t slots = alone ? rows / LANES : rows, mask = slots - 1;
    const int64_t step = alone ? 1 : d, stride = alone ? slots : 1;
    vec *x = (vec *)work, *y = x + n, *qkv = y + n, *hidden = qkv + 3 * n, *logits = hidden + 4 * n;
    vec *p = logits + m->s.vocab_size, *keys = p + rows;
    ivec last;
    int64_t longest = 0;
    for (int64_t l = 0; l < LANES; l++) {
        const float *wte = m->params + m->s.wte + token[l] * n;
        const float *wpe = m->params + m->s.wpe + position[l] * n;
        for (int64_t i = 0; i < n; i++) ((float *)x)[i * LANES + l] = wte[i] + wpe[i];
        last[l] = alone ? (position[l] - l + LANES) / LANES - 1 : position[l];
        longest = position[l] > longest ? position[l] : longest;
    }
    const int64_t count = alone ? longest / LANES + 1 : longest + 1;
    if (m->s.input_norm) norm_lanes(m, x, x);
    for (int64_t layer = 0; layer < m->s.n_layer; layer++) {
        const float *w = m->params + layer * m->s.layer;
        norm_lanes(m, x, y);
        product(qkv, w + m->s.qkv, y, 3 * n, n, 0);
        for (int64_t first = 0; first < m->s.n_embd; first += d, keys += 2 * d * slots) {
            vec *values = keys + d * slots;
            const vec *q = qkv + first, *k = q + n, *v = k + n;
            for (int64_t f = 0; f < d; f++) {
                vec *key = keys + PLACE(0, f), *value = values + PLACE(0, f);
                if (alone) ((float *)key)[longest] = k[f][0], ((float *)value)[longest] = v[f][0];
                else *key = k[f], *value = v[f];
            }
            attend_head(y + first, q, keys, values, p, last, count, newest, mask, step, stride, d,
                        alone);
        }
        product(x, w + m->s.wo, y, n, n, 1);
        norm_lanes(m, x, y);
        product(hidden, w + m->s.fc1, y, 4 * n, n, 0);
        for (int64_t i = 0; i < 4 * n; i++) hidden[i] = larger((vec){0}, hidden[i]);
        product(x, w + m->s.fc2, hidden, n, 4 * n, 1);
    }
    product(logits, m->params + m->s.head, x, m->s.vocab_size, n, 0);
    return logits;
}

/* Write the logits of a document alone after a token, at positions 0, 1, 2 and so on. */
static void decode(const Model *m, float *work, int32_t token, int32_t position, float *logits) {
    int32_t tokens[LANES], positions[LANES];
    for (int l = 0; l < LANES; l++) tokens[l] = token, positions[l] = position;
    const vec *in_all_lanes = next_logits(m, work, tokens, positions, 0, 1);
    for (int64_t o = 0; o < m->s.vocab_size; o++) logits[o] = in_all_lanes[o][0];
}

/* SplitMix64, as in sampling.py. */
#define GAMMA 0x9E3779B97F4A7C15u
INLINE uint64_t mix64(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Draw a token in each lane: the first at which the sum of the weights 2 ** (logit * scale) reaches
   `number` of their total. Return whether all logits are finite. */
INLINE int draw(vec *logits, int64_t vocab_size, float scale, const float *number, int32_t *drawn) {
    vec most = logits[0], zero = {0}, sum = {0};
    ivec token = {0};
    for (int64_t o = 0; o < vocab_size; o++) {
        most = larger(most, logits[o]);
        zero += logits[o] * 0; /* unlike a number, infinity and NaN give NaN */
    }
    for (int64_t o = 0; o < vocab_size; o++)
        logits[o] = sum += exp2_of((logits[o] - most) * scale);
    sum *= load(number);
    for (int64_t o = 0; o < vocab_size; o++) token -= logits[o] < sum;
    memcpy(drawn, &token, sizeof token);
    return sum_of(zero) == 0;
}

/* Generate all documents; return 0 if a logit is not finite. */
static int generate(const Model *m, float *work, const Request *r) {
    const int64_t last = r->prompt_size - 1, room = m->s.block_size - last + 1;
    const double each = m->s.parameters + 2.0 * m->s.n_layer * m->s.width * m->s.block_size;
    const int64_t slice = 1 + (int64_t)(SLICE / LANES / each);
    int64_t begun = 0, ended = 0, document[LANES];
    int32_t token[LANES], position[LANES];
    uint64_t state[LANES] = {0};
    float number[LANES];
    for (int l = 0; l < LANES; l++) document[l] = -1, position[l] = m->s.block_size;
    for (int64_t step = 0; ended < r->count; step++) {
        if (step % slice == 0 && !r->go_on(r->context)) return 1;
        for (int l = 0; l < LANES; l++) {
            if (position[l] == m->s.block_size) { /* the next document, or none: -1 */
                document[l] = begun < r->count ? begun++ : -1;
                state[l] = mix64(r->seed + (uint64_t)(r->first + begun) * GAMMA);
                position[l] = 0;
            }
            if (position[l] <= last) token[l] = r->prompt[position[l]];
            if (position[l] >= last) state[l] += GAMMA;
            number[l] = (int32_t)(mix64(state[l]) >> 41 << 1 | 1) * 0x1p-24f;
            /* At the largest scale the weights of all but the likeliest are 0: the smallest number
               draws the first of these. */
            if (r->greedy) number[l] = 0x1p-25f;
        }
        vec *logits = next_logits(m, work, token, position, -step & (ring_size(m) - 1), 0);
        if (!draw(logits, m->s.vocab_size, r->scale, number, token)) return 0;
        for (int l = 0; l < LANES; l++) {
            const int64_t place = position[l]++ - last;
            const int end = token[l] == r->prompt[0];
            if (document[l] < 0) position[l] = m->s.block_size;
            if (document[l] < 0 || place < 0) continue;
            int32_t *text = r->tokens + document[l] * room + place;
            text[0] = token[l];
            if (!end && position[l] < m->s.block_size) continue;
            if (!end) text[1] = r->prompt[0];
            r->lengths[document[l]] = (int32_t)place + (end ? 1 : 2);
            position[l] = m->s.block_size;
            ended++;
        }
    }
    return 1;
}
