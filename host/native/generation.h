/* Documents that are being generated: what generation.c prepares and generate.h computes. */
#ifndef GENERATION_H
#define GENERATION_H

#include "native.h"

struct Generation {
    const Model *m;
    const int32_t *prompt;           /* (prompt_size,), BOS first */
    int64_t prompt_size;
    int64_t first, count, next;      /* documents: number of the first, how many, how many begun */
    uint64_t seed;
    float scale;                     /* log2(e) / temperature */
    int greedy;
    int32_t *tokens, *lengths;       /* what is generated: (count, room), (count,) */
    float *work;                     /* generation_size bytes */
    int64_t newest;                  /* the slot of the KV cache that is written next */
    int begun;
    /* Of each lane: its document, or -1; its last token, at position; its random numbers. */
    int64_t document[PAD];
    int32_t token[PAD], position[PAD];
    uint64_t state[PAD];
    float number[PAD];
};

#ifdef Py_PYTHON_H /* generation.c */
size_t generation_size(const Model *m, int alone);
PyObject *python_decode(const Model *m, const Isa *isa, PyObject *args);
PyObject *python_generate(const Model *m, const Isa *isa, PyObject *args);
#endif

#endif
