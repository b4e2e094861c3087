/* What the Python binding and the arithmetic share: the sizes of a model and where its numbers are.

   engines/buffers.py fills Model and Thread, field by field in this order, 8 bytes each. */
#ifndef NATIVE_H
#define NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define PAD 16   /* widths are multiples of it: the lanes of the widest vector */
#define MOST 64  /* threads */
#define SHORT 16 /* positions up to which a document can have the quicker attention */
#define BAD_LENGTH 1
#define BAD_TOKEN 2
#define LOG2E 1.44269504f

/* width, hidden and vocab are n_embd, 4 * width and vocab_size rounded up to PAD. Parameters, their
   gradients and Adam's sums are laid out for that width, with zeros in the lanes between.
   wte to head: where the matrices begin, `layer` the distance to the next layer's; wq, wk and wv
   are adjacent: one matrix, qkv. `rows` are computed at once; buffers have `room` rows, and a
   document has at most `longest`. */
typedef struct {
    int64_t vocab_size, n_embd, n_head, n_layer, block_size, tied, input_norm, threads;
    int64_t width, hidden, vocab, parameters, wte, wpe, qkv, wo, fc1, fc2, layer, head;
    int64_t rows, room, longest;
} Sizes;

/* The buffers of one thread. A row is a position; the rows of a document follow each other. */
typedef struct {
    float *grads;                                        /* all gradients */
    int32_t *tokens, *targets, *positions;               /* (room,) */
    float *weights, *losses, *totals;                    /* (room,): of a position in the loss */
    float *x, *dx, *branch;                              /* (room, width): the stream, its gradient
                                                            and what is added to that */
    float *embedded, *scale;                             /* of the RMSNorm after the embedding */
    float *logits, *dhidden, *dqkv, *dmix;               /* (room, their width) */
    /* (n_layer, room, their width): the inputs of attention and MLP, what RMSNorm multiplied
       their rows by, and what is between; p: the attention weights. */
    float *norm1, *scale1, *qkv, *mix, *norm2, *scale2, *hidden, *p;
    float *q_lanes, *out_lanes, *dp, *q_head, *dout_head; /* see attend_long */
    int64_t used;                                        /* rows in use */
    double loss;
    int64_t bad;                                         /* BAD_LENGTH, BAD_TOKEN or both */
} Thread;

typedef struct {
    Sizes s;
    int64_t head_dim, p_size;                            /* p_size: numbers of a layer's p */
    float *params, *sum_m, *sum_v;                       /* arrays of Python */
    float *packed, *packed_head;                         /* the matrices transposed */
    float *vocab_bias;                                   /* 0; very negative for the padding */
    int64_t *busy;                                       /* the buffers are in use */
    Thread *thread;
    double norm_eps, beta1, beta2, eps;
} Model;

_Static_assert(sizeof(void *) == 8, "Python hands over addresses as int64");

/* Document i is tokens[starts[i]] to tokens[starts[i + 1] - 1]. The weight of each position in its
   document's loss is in `weights`, or equal if that is NULL. */
typedef struct {
    const int32_t *tokens, *starts;
    const float *weights;
    int64_t total, count;
} Documents;

/* Documents to generate: numbers `first` to first + count - 1, each of them after `prompt`, BOS
   first. Row i of `tokens`, (count, block_size - prompt_size + 2), gets lengths[i] tokens, BOS last.
   `go_on` is called every SLICE multiply-adds, some milliseconds, and says whether to. */
typedef struct {
    const int32_t *prompt;
    int32_t *tokens, *lengths;
    int64_t prompt_size, first, count;
    uint64_t seed;
    int greedy;
    float scale; /* log2(e) / temperature */
    int (*go_on)(void *context);
    void *context;
} Request;
#define SLICE 1e8

/* The arithmetic for one instruction set: see model.h and generate.h. */
typedef struct {
    const char *name;
    void (*pack)(const Model *);
    void (*pass)(const Model *, Thread *, const Documents *, int64_t first, int64_t end,
                 double share, int with_gradient);
    float (*gather)(const Model *, int threads, int64_t from, int64_t to);
    void (*adam)(const Model *, int64_t from, int64_t to, float rate, float eps);
    void (*maps)(const Model *, float *attention, float *logits);
    void (*decode)(const Model *, float *work, int32_t token, int32_t position, float *logits);
    int (*generate)(const Model *, float *work, const Request *);
} Isa;

/* Round up to a multiple of PAD. */
static inline int64_t padded(int64_t number) { return (number + PAD - 1) / PAD * PAD; }

/* threads.c: call work(context, part) for each part from 0 to parts - 1, at the same time. */
void in_parts(void (*work)(void *context, int part), void *context, int parts);

#endif
