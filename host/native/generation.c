/* Generation for Python: the methods `decode` and `generate` that engines/native.py calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>

#include "generation.h"

/* The bytes of `work`: for buffers of vectors and a KV cache, see next_logits in generate.h. */
size_t generation_size(const Model *m, int alone) {
    const size_t rows = padded(m->s.block_size), cache = 2 * m->s.n_layer * m->s.width * rows;
    const size_t vectors = 9 * m->s.width + m->s.vocab_size + rows;
    return sizeof(float) * (vectors * PAD + cache * (alone ? 1 : PAD)) + 64;
}

/* decode(token, position, work, logits): write the logits, (vocab_size,), after a token. The KV
   cache in `work`, zeros at first, has the positions before. */
PyObject *python_decode(const Model *m, const Isa *isa, PyObject *args) {
    Py_buffer work, logits;
    int token, position;
    if (!PyArg_ParseTuple(args, "iiw*w*", &token, &position, &work, &logits)) return NULL;
    PyObject *result = NULL;
    if (token < 0 || token >= m->s.vocab_size || position < 0 || position >= m->s.block_size ||
        (size_t)work.len < generation_size(m, 1) ||
        (size_t)logits.len < sizeof(float) * m->s.vocab_size) {
        PyErr_SetString(PyExc_IndexError, "a token, a position or a buffer is out of range");
    } else {
        Py_BEGIN_ALLOW_THREADS
        isa->decode(m, work.buf, token, position, logits.buf);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&work);
    PyBuffer_Release(&logits);
    return result;
}

static int in_vocabulary(const Model *m, const int32_t *tokens, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= m->s.vocab_size) return 0;
    return 1;
}

#define SLICE 1e8 /* multiply-adds between two calls of `check`: a few milliseconds */

/* generate(prompt, first, count, seed, temperature, check, work, tokens, lengths): write the
   tokens of documents `first` to first + count - 1 after a prompt, int32 as bytes, which begins
   with BOS. A row of
   `tokens`, (count, block_size - len(prompt) + 2), gets the number that is in `lengths`, (count,),
   BOS at the end included. Python runs `check` now and then, and so notices Ctrl-C. */
PyObject *python_generate(const Model *m, const Isa *isa, PyObject *args) {
    Py_buffer work, tokens, lengths;
    PyObject *prompt, *check, *result = NULL;
    double temperature;
    Generation g = {.m = m};
    if (!PyArg_ParseTuple(args, "SLLKdOw*w*w*", &prompt, &g.first, &g.count, &g.seed,
                          &temperature, &check, &work, &tokens, &lengths))
        return NULL;
    g.prompt = (const int32_t *)PyBytes_AsString(prompt); /* which nobody can change */
    g.prompt_size = PyBytes_Size(prompt) / sizeof(int32_t);
    g.work = work.buf, g.tokens = tokens.buf, g.lengths = lengths.buf;
    g.greedy = temperature == 0;
    g.scale = LOG2E / temperature < FLT_MAX ? (float)(LOG2E / temperature) : FLT_MAX;
    const double row = m->s.block_size - g.prompt_size + 2;
    if (g.prompt_size < 1 || g.prompt_size > m->s.block_size || g.count < 0 ||
        !in_vocabulary(m, g.prompt, g.prompt_size) ||
        (size_t)work.len < generation_size(m, 0) ||
        tokens.len < 4.0 * row * g.count || lengths.len < 4.0 * g.count) {
        PyErr_SetString(PyExc_IndexError, "a prompt or a buffer is out of range");
        goto done;
    }
    const double each = m->s.parameters + 2.0 * m->s.n_layer * m->s.width * m->s.block_size;
    int state;
    do {
        PyObject *none = PyObject_CallNoArgs(check);
        Py_XDECREF(none);
        if (!none || PyErr_CheckSignals()) goto done;
        Py_BEGIN_ALLOW_THREADS
        state = isa->generate(&g, 1 + (int64_t)(SLICE / each / PAD));
        Py_END_ALLOW_THREADS
    } while (state > 0);
    if (state < 0) PyErr_SetString(PyExc_FloatingPointError, "a logit is not finite");
    else result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&work);
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&lengths);
    return result;
}
