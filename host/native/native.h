/* What the Python binding and the arithmetic share: a model's sizes and where its numbers are. */
#ifndef NATIVE_H
#define NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define PAD 16       /* widths are multiples of it: the lanes of the widest vector */
#define MOST 64      /* threads */
#define ROWS 256     /* rows computed at once, or those of one longer document */
#define QUERIES 16   /* queries that attention computes at once */
#define SHORT 16     /* positions up to which a document can have the quicker attention */

/* As Python hands it over, in this order. `width` is n_embd rounded up to PAD; parameters, their
   gradients and Adam's sums are laid out for that width, with zeros in the lanes between.
   wte to head: where the matrices begin, `layer` the distance to the next layer's; wq, wk and wv
   are adjacent: one matrix, qkv. `longest`: positions of the longest document. */
typedef struct {
    int64_t vocab_size, n_embd, n_head, n_layer, block_size, tied, input_norm;
    int64_t width, parameters, wte, wpe, qkv, wo, fc1, fc2, layer, head, longest, threads;
} Sizes;

/* One layer's activations. norm1 and norm2 are the inputs of attention and MLP, scale1 and scale2
   what RMSNorm multiplied their rows by, p the attention weights. */
typedef struct {
    float *norm1, *scale1, *qkv, *mix, *norm2, *scale2, *hidden, *p;
} Layer;

/* The buffers of one thread. A row is a position; the rows of a document follow each other. */
typedef struct {
    float *grads;                              /* all gradients */
    float *weights, *losses, *totals;          /* (rows,): of each position in the loss */
    float *x, *dx, *branch;                    /* (rows, width): the stream and what is added */
    float *embedded, *scale;                   /* of the RMSNorm after the embedding */
    float *logits, *dhidden, *dqkv, *dmix;     /* (rows, their width) */
    float *head[8];                            /* (longest, padded head_dim): one head's matrices */
    float *dp;                                 /* (QUERIES, longest) */
    int32_t *tokens, *targets, *positions;     /* (rows,) */
    Layer *layers;
    int64_t rows;                              /* in use */
    double loss;
    int bad;                                   /* a document or a token is not as it must be */
} Thread;

typedef struct {
    Sizes s;
    int64_t hidden, vocab, head_dim;           /* vocab: vocab_size rounded up to PAD */
    float *params, *grads, *sum_m, *sum_v;     /* arrays of Python */
    float *packed, *packed_head;               /* the matrices transposed, at the same places */
    float *vocab_bias;                         /* 0 for a token, very negative for the padding */
    float norm_eps;
    double beta1, beta2, eps;                  /* Adam's */
    Thread thread[MOST];
} Model;

/* Document i is tokens[starts[i]] to tokens[starts[i + 1] - 1]. The weight of each position in its
   document's loss is in `weights`, or equal if that is NULL. */
typedef struct {
    const int32_t *tokens, *starts;
    const float *weights;
    int64_t total, count;
} Documents;

typedef struct Generation Generation; /* documents that are being generated: generation.h */

#define LOG2E 1.44269504f

/* The arithmetic for one instruction set: see model.h and generate.h. */
typedef struct {
    const char *name;
    void (*pack)(const Model *);
    void (*pass)(const Model *, Thread *, const Documents *, int64_t first, int64_t count,
                 double share, int with_gradient);
    float (*gather)(const Model *, int threads, int64_t from, int64_t to);
    void (*adam)(const Model *, int64_t from, int64_t to, float rate, float eps);
    void (*maps)(const Model *, const Thread *, float *attention, float *logits);
    void (*decode)(const Model *, float *work, int32_t token, int32_t position, float *logits);
    int (*generate)(Generation *, int64_t steps);
} Isa;

/* Round up to a multiple of PAD. */
static inline int64_t padded(int64_t number) { return (number + PAD - 1) / PAD * PAD; }

/* threads.c: call work(context, part) for each part from 0 to parts - 1, at the same time. */
void in_parts(void (*work)(void *context, int part), void *context, int parts);

#endif
