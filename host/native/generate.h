/* Decoding: the next token of LANES documents at once, each of them in a lane of the vectors.

   With documents in lanes nothing is summed across a vector, and the weights are read where they
   are, one after another, each of them broadcast to all documents: no copy of them is made. A lane
   whose document has ended begins the next one with the next step. What a lane computes depends on
   no other lane, so that a document is the same in any company.

   A document alone (chat) is computed by the same code. Its lanes hold the same numbers, but in
   attention, where they are positions. Little is lost by that: a product of weights and one vector
   takes about as long as reading the weights. */

/* y (out) = or += w (out, in) * x (in), where x and y are vectors of lanes. */
INLINE void product(vec *y, const float *w, const vec *x, int64_t out, int64_t in, int add) {
    multiply(out, in, LANES, w, in, 1, (const float *)x, LANES, (float *)y, LANES, add);
}

INLINE void norm_lanes(const Model *m, const vec *x, vec *y) {
    vec squares = {0};
    for (int64_t i = 0; i < m->s.width; i++) squares += x[i] * x[i];
    vec scale = rsqrt(squares / (float)m->s.n_embd + (float)m->norm_eps);
    for (int64_t i = 0; i < m->s.width; i++) y[i] = x[i] * scale;
}

INLINE vec pick(ivec condition, vec a, vec b) {
    return (vec)((condition & (ivec)a) | (~condition & (ivec)b));
}

/* The keys and values that attention sees, a head after the other. Feature f of age a, 0 being the
   newest, is the vector slot * step + f * stride of its head, with slot = (newest + a) % slots. All
   lanes write to one slot, whatever their positions are, and a lane sees the ages up to `last`. For
   a document alone a slot holds LANES positions, an age is a slot, and a head's features follow
   each other. */
typedef struct {
    vec *keys, *values;
    int64_t step, stride, newest, slots, ages;
    ivec last;
} Cache;

#define EACH_AGE(c)                                       \
    for (int64_t a = 0, slot = (c)->newest; a < (c)->ages; \
         a++, slot = slot + 1 < (c)->slots ? slot + 1 : 0)

/* out[f] = scale * sum of p[a] * values[f] over all ages, for some features f. */
INLINE void some_values(const Cache *c, const vec *values, const vec *p, vec scale, vec *out,
                        const int features, const int alone) {
    vec sum[4] = {{0}};
    EACH_AGE(c)
#pragma GCC unroll 4
        for (int f = 0; f < features; f++) sum[f] += p[a] * values[slot * c->step + f * c->stride];
#pragma GCC unroll 4
    for (int f = 0; f < features; f++) out[f] = scale * (alone ? all(sum_of(sum[f])) : sum[f]);
}

/* Attention of the head whose features begin at `first`; `p` has room for all ages. */
INLINE void attend_head(const Cache *c, const vec *q, vec *p, vec *out, int64_t first,
                        int64_t head_dim, const int alone) {
    const vec *keys = c->keys + first * c->slots, *values = c->values + first * c->slots;
    const float scale = LOG2E / sqrtf((float)head_dim);
    vec most = all(-FLT_MAX), sum = {0};
    EACH_AGE(c) {
        vec score = {0};
        for (int64_t f = 0; f < head_dim; f++)
            score += q[first + f] * keys[slot * c->step + f * c->stride];
        p[a] = pick(c->last < (int32_t)a, all(-FLT_MAX), score * scale);
        most = larger(most, p[a]);
    }
    if (alone) most = all(largest_of(most));
    for (int64_t a = 0; a < c->ages; a++)
        sum += p[a] = pick(c->last < (int32_t)a, (vec){0}, exp2_of(p[a] - most));
    sum = 1 / (alone ? all(sum_of(sum)) : sum);
    int64_t f = 0;
    for (; f + 4 <= head_dim; f += 4)
        some_values(c, values + f * c->stride, p, sum, out + first + f, 4, alone);
    for (; f < head_dim; f++)
        some_values(c, values + f * c->stride, p, sum, out + first + f, 1, alone);
}

/* Return the logits, (vocab_size,) vectors, after a token at a position in each lane. */
INLINE vec *next_logits(const Model *m, float *work, const int32_t *token, const int32_t *position,
                        int64_t newest, const int alone) {
    const int64_t n = m->s.width, rows = padded(m->s.block_size);
    const int64_t slots = alone ? rows / LANES : rows;
    vec *x = (vec *)(((uintptr_t)work + 63) / 64 * 64), *y = x + n, *qkv = y + n;
    vec *hidden = qkv + 3 * n, *logits = hidden + 4 * n, *p = logits + m->s.vocab_size;
    Cache c = {p + rows, NULL, alone ? 1 : m->head_dim, alone ? slots : 1, newest, slots, 0, {0}};
    int64_t longest = 0;
    for (int l = 0; l < LANES; l++) {
        const float *wte = m->params + m->s.wte + token[l] * n;
        const float *wpe = m->params + m->s.wpe + position[l] * n;
        for (int64_t i = 0; i < n; i++) ((float *)x)[i * LANES + l] = wte[i] + wpe[i];
        c.last[l] = alone ? (position[l] - l + LANES) / LANES - 1 : position[l];
        longest = position[l] > longest ? position[l] : longest;
    }
    c.ages = alone ? longest / LANES + 1 : longest + 1;
    if (m->s.input_norm) norm_lanes(m, x, x);
    for (int64_t layer = 0; layer < m->s.n_layer; layer++, c.keys += 2 * n * slots) {
        const float *w = m->params + layer * m->s.layer;
        norm_lanes(m, x, y);
        product(qkv, w + m->s.qkv, y, 3 * n, n, 0);
        c.values = c.keys + n * slots;
        for (int64_t f = 0; f < m->s.n_embd; f++) {
            const int64_t in = f % m->head_dim, to = (f - in) * slots + in * c.stride;
            if (alone) {
                ((float *)(c.keys + to))[longest] = qkv[n + f][0];
                ((float *)(c.values + to))[longest] = qkv[2 * n + f][0];
            } else {
                c.keys[newest * c.step + to] = qkv[n + f];
                c.values[newest * c.step + to] = qkv[2 * n + f];
            }
        }
        for (int64_t first = 0; first < m->s.n_embd; first += m->head_dim)
            attend_head(&c, qkv, p, y, first, m->head_dim, alone);
        product(x, w + m->s.wo, y, n, n, 1);
        norm_lanes(m, x, y);
        product(hidden, w + m->s.fc1, y, 4 * n, n, 0);
        for (int64_t i = 0; i < 4 * n; i++) hidden[i] = larger((vec){0}, hidden[i]);
        product(x, w + m->s.fc2, hidden, n, 4 * n, 1);
    }
    product(logits, m->params + m->s.head, x, m->s.vocab_size, n, 0);
    return logits;
}

/* Compute the logits of a document alone after a token, at positions 0, 1, 2 and so on. */
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

INLINE void begin(Generation *g, int lane) {
    g->document[lane] = g->next < g->count ? g->next++ : -1; /* -1: the lane is idle */
    g->state[lane] = mix64(g->seed + (uint64_t)(g->first + g->document[lane] + 1) * GAMMA);
    g->token[lane] = g->prompt[0];
    g->position[lane] = 0;
}

/* Draw a token in each lane: the first at which the sum of the weights 2 ** (logit * scale) reaches
   `number` of their total. Return whether all logits are finite. */
INLINE int draw(Generation *g, vec *logits) {
    const int64_t vocab_size = g->m->s.vocab_size;
    vec most = logits[0], zero = {0}, sum = {0};
    ivec token = {0};
    for (int64_t o = 0; o < vocab_size; o++) {
        most = larger(most, logits[o]);
        zero += logits[o] * 0; /* unlike a number, infinity and NaN give NaN */
    }
    for (int64_t o = 0; o < vocab_size; o++)
        logits[o] = sum += exp2_of((logits[o] - most) * g->scale);
    sum *= load(g->number);
    for (int64_t o = 0; o < vocab_size; o++) token -= logits[o] < sum;
    memcpy(g->token, &token, sizeof token);
    return sum_of(zero) == 0;
}

/* Take some steps, each a token in every lane. Return 1 if there is more to do, 0 if all documents
   are complete, -1 if a logit is not finite. */
static int generate(Generation *g, int64_t steps) {
    const int64_t last = g->prompt_size - 1, room = g->m->s.block_size - last + 1;
    const int32_t bos = g->prompt[0];
    for (int l = 0; l < LANES && !g->begun; l++) begin(g, l);
    g->begun = 1;
    for (int busy = 1; busy; steps--) {
        if (!steps) return 1;
        for (int l = 0; l < LANES; l++) {
            g->state[l] += g->position[l] < last ? 0 : GAMMA;
            g->number[l] = (int32_t)(mix64(g->state[l]) >> 41 << 1 | 1) * 0x1p-24f;
            /* At the largest scale the weights of all but the likeliest are 0: the smallest number
               draws the first of these. */
            if (g->greedy) g->number[l] = 0x1p-25f;
        }
        if (!draw(g, next_logits(g->m, g->work, g->token, g->position, g->newest, 0))) return -1;
        g->newest = (g->newest ? g->newest : padded(g->m->s.block_size)) - 1;
        busy = 0;
        for (int l = 0; l < LANES; l++) {
            if (g->document[l] < 0) {
                g->token[l] = bos;
                continue;
            }
            busy = 1;
            const int64_t length = ++g->position[l] - last; /* with the token just drawn */
            if (length < 1) {
                g->token[l] = g->prompt[g->position[l]];
                continue;
            }
            int32_t *text = g->tokens + g->document[l] * room;
            text[length - 1] = text[length] = bos;
            if (g->token[l] != bos) text[length - 1] = g->token[l];
            if (g->token[l] != bos && g->position[l] < g->m->s.block_size) continue;
            g->lengths[g->document[l]] = (int32_t)length + (g->token[l] != bos);
            begin(g, l);
        }
    }
    return 0;
}
