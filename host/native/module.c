/* The Python binding of engine "native": Python's limited API, so that one build serves all versions.

   A `Model` holds the arrays that Python made for one model, a `Block` some documents for it. All
   that comes from Python is checked here or, if other threads could still change it, where it is
   read: nothing that is passed can make the arithmetic leave its buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generation.h"
#include "native.h"

/* Arithmetic shorter than this many multiply-adds, some 50 microseconds, keeps the GIL: others get
   it between two calls, and giving it up and taking it back costs as much as a small step. */
#define WORTH_RELEASING (1 << 21)
#define WORTH_SHARING (1 << 16) /* parameters from which threads share gathering and Adam */

extern const Isa isa_avx512, isa_avx2, isa_plain;
static const Isa *isa; /* the one in use */

enum { PARAMS, GRADS, SUM_M, SUM_V, WORK, ARRAYS };

typedef struct {
    PyObject_HEAD
    Model m;
    Py_buffer arrays[ARRAYS];
    Layer *layers;
    PyObject *diverged; /* called with (step, loss, squared norm) that are not finite: raises */
    int busy;           /* the buffers are in use while the GIL is released */
} ModelObject;

typedef struct {
    PyObject_HEAD
    ModelObject *model;
    Py_buffer tokens, starts, weights;
    Documents d;
} BlockObject;

static PyTypeObject *model_type, *block_type;

/* Get a contiguous buffer of `size`-byte numbers; `count` -1: of any number. */
static int get_buffer(PyObject *from, Py_buffer *view, int writable, Py_ssize_t size,
                      Py_ssize_t count) {
    if (PyObject_GetBuffer(from, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE)) return 0;
    if (count >= 0 ? view->len == size * count : view->len % size == 0) return 1;
    PyErr_Format(PyExc_ValueError, "a buffer has %zd bytes, not those of %zd numbers", view->len,
                 count);
    PyBuffer_Release(view);
    return 0;
}

/* Set all that follows from m->s and divide `there` floats of work into the buffers; return how
   many floats they need. If that is more, the pointers do not matter; without layers, only count. */
static double lay_out(Model *m, float *work, double there, Layer *layers) {
    const double rows = m->s.longest > ROWS ? m->s.longest : ROWS, longest = padded(m->s.longest);
    const double width = m->s.width, hidden = 4 * width, vocab = padded(m->s.vocab_size);
    double used = 0;
#define TAKE(pointer, count)                                           \
    do {                                                               \
        double size_ = ceil((count) / PAD) * PAD;                      \
        if (used + size_ <= there) pointer = (void *)(work + (size_t)used); \
        used += size_;                                                 \
    } while (0)
    m->hidden = hidden;
    m->vocab = vocab;
    m->head_dim = m->s.n_embd / m->s.n_head;
    TAKE(m->packed, (double)m->s.parameters);
    TAKE(m->packed_head, width * vocab);
    TAKE(m->vocab_bias, vocab);
    for (int i = 0; i < m->s.threads; i++) {
        Thread *w = &m->thread[i];
        if (i) TAKE(w->grads, (double)m->s.parameters);
        else w->grads = m->grads;
        float **const pointers[] = {&w->x, &w->dx, &w->branch, &w->embedded, &w->dmix};
        for (int k = 0; k < 5; k++) TAKE(*pointers[k], rows * width);
        TAKE(w->tokens, rows);
        TAKE(w->targets, rows);
        TAKE(w->positions, rows);
        TAKE(w->weights, rows);
        TAKE(w->losses, rows);
        TAKE(w->totals, rows);
        TAKE(w->scale, rows);
        TAKE(w->logits, rows * vocab);
        TAKE(w->dhidden, rows * hidden);
        TAKE(w->dqkv, rows * 3 * width);
        for (int k = 0; k < 8; k++) TAKE(w->head[k], longest * padded(m->head_dim));
        TAKE(w->dp, QUERIES * longest);
        w->layers = layers ? layers + i * m->s.n_layer : NULL;
        for (int64_t l = 0; l < m->s.n_layer; l++) {
            Layer unused, *layer = layers ? w->layers + l : &unused;
            TAKE(layer->norm1, rows * width);
            TAKE(layer->scale1, rows);
            TAKE(layer->qkv, rows * 3 * width);
            TAKE(layer->mix, rows * width);
            TAKE(layer->norm2, rows * width);
            TAKE(layer->scale2, rows);
            TAKE(layer->hidden, rows * hidden);
            /* What a row can take: (n + 1) / 2 pairs of a short document, or all pairs. */
            TAKE(layer->p, rows * fmax((SHORT + 1) * width / 2, m->s.n_head * longest));
        }
    }
    return used;
}

/* Copy the sizes from a buffer and check them. */
static int get_sizes(PyObject *from, Sizes *s) {
    Py_buffer view;
    if (!get_buffer(from, &view, 0, sizeof(int64_t), sizeof *s / sizeof(int64_t))) return 0;
    memcpy(s, view.buf, sizeof *s);
    PyBuffer_Release(&view);
    const int64_t sizes[] = {s->vocab_size, s->n_embd, s->n_head,  s->n_layer,
                             s->block_size, s->longest, s->threads};
    for (int i = 0; i < 7; i++)
        if (sizes[i] < 1 || sizes[i] > 1 << 24) goto bad;
    if (s->n_embd % s->n_head || s->width != padded(s->n_embd) || s->threads > MOST) goto bad;
    const int64_t w = s->width, last = (s->n_layer - 1) * (s->layer > 0 ? s->layer : 0);
    const int64_t places[][2] = {{s->wte, s->vocab_size * w},  {s->wpe, s->block_size * w},
                                 {s->head, s->vocab_size * w}, {s->qkv + last, 3 * w * w},
                                 {s->wo + last, w * w},        {s->fc1 + last, 4 * w * w},
                                 {s->fc2 + last, 4 * w * w}};
    if (s->parameters > (int64_t)1 << 48 || s->layer < 0 || s->layer > s->parameters) goto bad;
    for (int i = 0; i < 7; i++)
        if (places[i][0] < 0 || places[i][0] > s->parameters - places[i][1]) goto bad;
    if (s->qkv >= 0 && s->wo >= 0 && s->fc1 >= 0 && s->fc2 >= 0) return 1;
bad:
    PyErr_SetString(PyExc_ValueError, "impossible sizes of a model");
    return 0;
}

/* work_size(sizes): the floats that Model needs as `work`. */
static PyObject *work_size(PyObject *module, PyObject *sizes) {
    Model *m = calloc(1, sizeof *m);
    (void)module;
    if (!m) return PyErr_NoMemory();
    PyObject *size = get_sizes(sizes, &m->s) ? PyFloat_FromDouble(lay_out(m, NULL, -1, NULL)) : NULL;
    free(m);
    return size;
}

/* Model(sizes, (RMSNorm's eps, beta1, beta2, Adam's eps), diverged, params, grads, sum_m, sum_v,
   work): the arrays float32. */
static PyObject *new_model(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *sizes, *diverged, *arrays[ARRAYS];
    double norm_eps;
    (void)keywords;
    ModelObject *o = (ModelObject *)PyType_GenericNew(type, NULL, NULL);
    if (!o) return NULL;
    Model *m = &o->m;
    if (!PyArg_ParseTuple(args, "O(dddd)OOOOOO", &sizes, &norm_eps, &m->beta1, &m->beta2, &m->eps,
                          &diverged, &arrays[0], &arrays[1], &arrays[2], &arrays[3], &arrays[4]) ||
        !get_sizes(sizes, &m->s))
        goto fail;
    m->norm_eps = norm_eps;
    Py_INCREF(diverged);
    o->diverged = diverged;
    for (int i = 0; i < ARRAYS; i++)
        if (!get_buffer(arrays[i], &o->arrays[i], 1, 4, i == WORK ? -1 : m->s.parameters)) goto fail;
    m->params = o->arrays[PARAMS].buf;
    m->grads = o->arrays[GRADS].buf;
    m->sum_m = o->arrays[SUM_M].buf;
    m->sum_v = o->arrays[SUM_V].buf;
    o->layers = calloc(m->s.threads * m->s.n_layer, sizeof(Layer));
    if (!o->layers) {
        PyErr_NoMemory();
        goto fail;
    }
    const double there = o->arrays[WORK].len / 4;
    if (lay_out(m, o->arrays[WORK].buf, there, o->layers) <= there) return (PyObject *)o;
    PyErr_SetString(PyExc_ValueError, "work is too small");
fail:
    Py_DECREF(o);
    return NULL;
}

static void free_model(PyObject *self) {
    ModelObject *o = (ModelObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < ARRAYS; i++)
        if (o->arrays[i].obj) PyBuffer_Release(&o->arrays[i]);
    free(o->layers);
    Py_XDECREF(o->diverged);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Block(model, tokens, starts, weights): documents for `model`. tokens, (total,), and starts,
   (documents + 1,), are int32; weights, (total,), float32 or None. See `Documents`. */
static PyObject *new_block(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *model, *tokens, *starts, *weights;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "O!OOO", model_type, &model, &tokens, &starts, &weights)) return NULL;
    BlockObject *o = (BlockObject *)PyType_GenericNew(type, NULL, NULL);
    if (!o) return NULL;
    Py_INCREF(model);
    o->model = (ModelObject *)model;
    if (get_buffer(tokens, &o->tokens, 0, 4, -1) && get_buffer(starts, &o->starts, 0, 4, -1) &&
        (weights == Py_None || get_buffer(weights, &o->weights, 0, 4, o->tokens.len / 4))) {
        o->d = (Documents){o->tokens.buf, o->starts.buf, o->weights.buf, o->tokens.len / 4,
                           o->starts.len / 4 - 1};
        return (PyObject *)o;
    }
    Py_DECREF(o);
    return NULL;
}

static void free_block(PyObject *self) {
    BlockObject *o = (BlockObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (o->tokens.obj) PyBuffer_Release(&o->tokens);
    if (o->starts.obj) PyBuffer_Release(&o->starts);
    if (o->weights.obj) PyBuffer_Release(&o->weights);
    Py_XDECREF((PyObject *)o->model);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* A pass over documents, or an update, in parts. */
typedef struct {
    const Model *m;
    const Documents *d;
    int64_t first, count;
    int with_gradient, passes, updates; /* parts of the pass and of the update */
    float squares[MOST], rate, eps;
} Job;

/* The document with which a part begins: the parts have about the same number of tokens. */
static int64_t part_start(const Job *job, int part) {
    const int32_t *starts = job->d->starts + job->first;
    const double tokens = (double)starts[job->count] - starts[0];
    int64_t i = part == job->passes ? job->count : 0;
    if (part < job->passes)
        while (i < job->count && (double)starts[i] - starts[0] < tokens * part / job->passes) i++;
    return job->first + i;
}

static void pass_part(void *context, int part) {
    const Job *job = context;
    const int64_t first = part_start(job, part);
    isa->pass(job->m, (Thread *)&job->m->thread[part], job->d, first,
              part_start(job, part + 1) - first, 1.0 / job->count, job->with_gradient);
}

static int64_t share_start(const Job *job, int part) {
    return padded(job->m->s.parameters * part / job->updates);
}
static void gather_part(void *context, int part) {
    Job *job = context;
    job->squares[part] =
        isa->gather(job->m, job->passes, share_start(job, part), share_start(job, part + 1));
}
static void adam_part(void *context, int part) {
    const Job *job = context;
    isa->adam(job->m, share_start(job, part), share_start(job, part + 1), job->rate, job->eps);
}

/* Compute the mean loss of documents `first` to first + count - 1 and, if `squared`, its gradient
   and the sum of its squares. Return 0 with an exception for a bad document. */
static int compute(BlockObject *o, Job *job, double *loss, float *squared) {
    ModelObject *model = o->model;
    Model *m = &model->m;
    if (job->first < 0 || job->count < 1 || job->first > o->d.count - job->count) {
        PyErr_SetString(PyExc_IndexError, "no such documents in the block");
        return 0;
    }
    if (model->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is computing with this model");
        return 0;
    }
    const int32_t *starts = o->d.starts + job->first;
    const double tokens = (double)starts[job->count] - starts[0];
    PyThreadState *state = NULL;
    model->busy = 1;
    if (tokens * m->s.parameters > WORTH_RELEASING) state = PyEval_SaveThread();
    job->m = m;
    job->d = &o->d;
    job->with_gradient = squared != NULL;
    job->passes = job->count < m->s.threads ? job->count : m->s.threads;
    job->updates = m->s.parameters < WORTH_SHARING ? 1 : m->s.threads;
    isa->pack(m);
    in_parts(pass_part, job, job->passes);
    int bad = 0;
    *loss = 0;
    for (int i = 0; i < job->passes; i++) {
        *loss += m->thread[i].loss;
        bad |= m->thread[i].bad;
    }
    if (squared) {
        in_parts(gather_part, job, job->updates);
        *squared = 0;
        for (int i = 0; i < job->updates; i++) *squared += job->squares[i];
    }
    if (state) PyEval_RestoreThread(state);
    model->busy = 0;
    if (bad) PyErr_SetString(PyExc_ValueError, "a document is too short or has an unknown token");
    return !bad;
}

static void update(ModelObject *model, Job *job, int64_t step, double lr) {
    Model *m = &model->m;
    const double c1 = (1 - m->beta1) / (1 - pow(m->beta1, step + 1.0));
    const double root_c2 = sqrt((1 - m->beta2) / (1 - pow(m->beta2, step + 1.0)));
    job->rate = lr * c1 / root_c2;
    job->eps = m->eps / root_c2;
    in_parts(adam_part, job, job->updates);
}

/* Read the whole numbers and floats that `kinds` names, a letter for each: i and d. */
static int get_numbers(PyObject *const *args, Py_ssize_t count, const char *kinds, int64_t *whole,
                       double *real) {
    if (count != (Py_ssize_t)strlen(kinds)) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", strlen(kinds), count);
        return 0;
    }
    for (; *kinds; kinds++, args++)
        if (*kinds == 'i') *whole++ = PyLong_AsLongLong(*args);
        else *real++ = PyFloat_AsDouble(*args);
    return !PyErr_Occurred();
}

/* step(first, count, step, lr, parts): a step of Adam on the mean loss of these documents; returns
   the loss. `parts` does not matter: the memory does not depend on the number of documents. */
static PyObject *block_step(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    BlockObject *o = (BlockObject *)self;
    int64_t n[4];
    double lr, loss;
    float squared;
    if (!get_numbers(args, count, "iiidi", n, &lr)) return NULL;
    Job job = {.first = n[0], .count = n[1]};
    if (!compute(o, &job, &loss, &squared)) return NULL;
    if (!isfinite(loss) || !isfinite(squared))
        return PyObject_CallFunction(o->model->diverged, "Ldd", (long long)n[2], loss, squared);
    update(o->model, &job, n[2], lr);
    return PyFloat_FromDouble(loss);
}

/* gradient(first, count): the loss and the squared norm of its gradient, which is in `grads`. */
static PyObject *block_gradient(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int64_t n[2];
    double loss;
    float squared;
    if (!get_numbers(args, count, "ii", n, NULL)) return NULL;
    Job job = {.first = n[0], .count = n[1]};
    if (!compute((BlockObject *)self, &job, &loss, &squared)) return NULL;
    return Py_BuildValue("dd", loss, (double)squared);
}

/* loss(first, count): the mean loss. */
static PyObject *block_loss(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int64_t n[2];
    double loss;
    if (!get_numbers(args, count, "ii", n, NULL)) return NULL;
    Job job = {.first = n[0], .count = n[1]};
    return compute((BlockObject *)self, &job, &loss, NULL) ? PyFloat_FromDouble(loss) : NULL;
}

/* maps(attention, logits): fill these float32 arrays, (n_layer, n_head, n, n) and (n, vocab_size),
   with what `loss` computed of its last document. */
static PyObject *block_maps(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    const Model *m = &((BlockObject *)self)->model->m;
    const int64_t n = m->thread[0].rows;
    Py_buffer attention, logits;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "2 arguments, not %zd", count);
    if (!get_buffer(args[0], &attention, 1, 4, m->s.n_layer * m->s.n_head * n * n)) return NULL;
    int fits = get_buffer(args[1], &logits, 1, 4, n * m->s.vocab_size);
    if (fits) {
        isa->maps(m, &m->thread[0], attention.buf, logits.buf);
        PyBuffer_Release(&logits);
    }
    PyBuffer_Release(&attention);
    return fits ? Py_NewRef(Py_None) : NULL;
}

/* adam(step, lr): a step of Adam with the gradient in `grads`. */
static PyObject *model_adam(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    ModelObject *o = (ModelObject *)self;
    int64_t step;
    double lr;
    Job job = {.m = &o->m, .updates = 1};
    if (!get_numbers(args, count, "id", &step, &lr)) return NULL;
    update(o, &job, step, lr);
    return Py_NewRef(Py_None);
}

/* See generation.c. */
static PyObject *model_decode(PyObject *self, PyObject *args) {
    return python_decode(&((ModelObject *)self)->m, isa, args);
}
static PyObject *model_generate(PyObject *self, PyObject *args) {
    return python_generate(&((ModelObject *)self)->m, isa, args);
}
static PyObject *model_generation_size(PyObject *self, PyObject *alone) {
    return PyLong_FromSize_t(generation_size(&((ModelObject *)self)->m, PyObject_IsTrue(alone)));
}

/* shuffle(order, words): the swaps of random.shuffle in `order`, int32, with the 32-bit words of
   its generator; False if they are too few. */
static PyObject *shuffle(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer order, words;
    (void)module;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "2 arguments, not %zd", count);
    if (!get_buffer(args[0], &order, 1, 4, -1)) return NULL;
    if (!get_buffer(args[1], &words, 0, 4, -1)) return PyBuffer_Release(&order), NULL;
    int32_t *o = order.buf;
    const uint32_t *w = words.buf, *end = w + words.len / 4;
    int enough = order.len / 4 <= INT32_MAX;
    for (uint32_t i = enough ? order.len / 4 : 0; enough && i-- > 1;) {
        const int shift = __builtin_clz(i + 1); /* random.shuffle takes (i + 1).bit_length() bits */
        uint32_t j = UINT32_MAX;
        while (w < end && j > i) j = *w++ >> shift;
        enough = j <= i;
        if (enough) {
            int32_t other = o[i];
            o[i] = o[j];
            o[j] = other;
        }
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&order);
    return PyBool_FromLong(enough);
}

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL

static PyType_Slot model_slots[] = {
    {Py_tp_new, new_model},
    {Py_tp_dealloc, free_model},
    {Py_tp_methods, (PyMethodDef[]){{"adam", FAST(model_adam), NULL},
                                    {"decode", model_decode, METH_VARARGS, NULL},
                                    {"generate", model_generate, METH_VARARGS, NULL},
                                    {"generation_size", model_generation_size, METH_O, NULL},
                                    {NULL, NULL, 0, NULL}}},
    {0, NULL}};
static PyType_Slot block_slots[] = {
    {Py_tp_new, new_block},
    {Py_tp_dealloc, free_block},
    {Py_tp_methods, (PyMethodDef[]){{"step", FAST(block_step), NULL},
                                    {"gradient", FAST(block_gradient), NULL},
                                    {"loss", FAST(block_loss), NULL},
                                    {"maps", FAST(block_maps), NULL},
                                    {NULL, NULL, 0, NULL}}},
    {0, NULL}};
static PyType_Spec model_spec = {"microgpt.engines._native.Model", sizeof(ModelObject), 0,
                                 Py_TPFLAGS_DEFAULT, model_slots};
static PyType_Spec block_spec = {"microgpt.engines._native.Block", sizeof(BlockObject), 0,
                                 Py_TPFLAGS_DEFAULT, block_slots};

/* Add `isas`, the names of what this processor has, the best last, and `isa`, the one in use:
   that, or what the environment variable MICROGPT_ISA names. */
static int choose_isa(PyObject *module) {
    const Isa *have[3] = {&isa_plain};
    int count = 1;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) have[count++] = &isa_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        have[count++] = &isa_avx512;
#endif
    const char *asked = getenv("MICROGPT_ISA");
    isa = asked && *asked ? NULL : have[count - 1];
    PyObject *names = PyTuple_New(count);
    for (int i = 0; names && i < count; i++) {
        if (!isa && !strcmp(asked, have[i]->name)) isa = have[i];
        PyTuple_SetItem(names, i, PyUnicode_FromString(have[i]->name));
    }
    if (names && !isa)
        PyErr_Format(PyExc_ValueError, "MICROGPT_ISA must be one of %R, not %s", names, asked);
    return names && isa && !PyModule_AddObjectRef(module, "isas", names) &&
           !PyModule_AddStringConstant(module, "isa", isa->name);
}

static PyMethodDef functions[] = {{"work_size", work_size, METH_O, NULL},
                                  {"shuffle", FAST(shuffle), NULL},
                                  {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, functions,
                                 NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    model_type = (PyTypeObject *)PyType_FromSpec(&model_spec);
    block_type = (PyTypeObject *)PyType_FromSpec(&block_spec);
    if (model_type && block_type && choose_isa(module) &&
        !PyModule_AddObjectRef(module, "Model", (PyObject *)model_type) &&
        !PyModule_AddObjectRef(module, "Block", (PyObject *)block_type) &&
        !PyModule_AddStringConstant(module, "compiler", __VERSION__))
        return module;
    Py_DECREF(module);
    return NULL;
}
