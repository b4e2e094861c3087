/* The Python binding of engine "native": Python's limited API, so that one build serves all versions.

   Python (engines/buffers.py) makes all arrays and says where everything is; a `Work` is a copy
   of that with some documents. Sizes and addresses are trusted, since nobody else makes them. What
   a user can pass is checked: numbers of documents here, tokens and lengths where the arithmetic
   reads them, so that no other thread can change them in between. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

/* Arithmetic shorter than this many multiply-adds, some 50 microseconds, keeps the GIL: others get
   it between two calls, and giving it up and taking it back costs as much as a small step. */
#define WORTH_RELEASING (1 << 21)
#define WORTH_SHARING (1 << 16) /* parameters from which threads share gathering and Adam */

extern const Isa isa_avx512, isa_avx2, isa_plain;
static const Isa *isa; /* the one in use */

typedef struct {
    PyObject_HEAD
    Model m;
    Documents d;
    Py_buffer model, tokens, starts, weights;
    PyObject *arrays;   /* what the addresses in `m` point to */
    PyObject *diverged; /* called with (step, loss, squared norm) that are not finite: raises */
} Work;

/* Work(model, arrays, diverged, tokens, starts, weights): int64 as the struct `Model`; int32, int32
   and float32 or None as the struct `Documents`. */
static PyObject *new_work(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    Work *o = (Work *)PyType_GenericNew(type, NULL, NULL);
    if (!o) return NULL;
    if (!PyArg_ParseTuple(args, "y*OOy*y*z*", &o->model, &o->arrays, &o->diverged, &o->tokens,
                          &o->starts, &o->weights)) {
        o->arrays = o->diverged = NULL;
    } else {
        Py_INCREF(o->arrays);
        Py_INCREF(o->diverged);
        o->d = (Documents){o->tokens.buf, o->starts.buf, o->weights.buf, o->tokens.len / 4,
                           o->starts.len / 4 - 1};
        if (o->model.len == sizeof o->m && (!o->d.weights || o->weights.len == o->tokens.len)) {
            memcpy(&o->m, o->model.buf, sizeof o->m);
            return (PyObject *)o;
        }
        PyErr_SetString(PyExc_ValueError, "a buffer has not the size that it must have");
    }
    Py_DECREF(o);
    return NULL;
}

static void free_work(PyObject *self) {
    Work *o = (Work *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_buffer *const buffers[] = {&o->model, &o->tokens, &o->starts, &o->weights};
    for (int i = 0; i < 4; i++) PyBuffer_Release(buffers[i]);
    Py_XDECREF(o->arrays);
    Py_XDECREF(o->diverged);
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
    isa->pass(job->m, job->m->thread + part, job->d, part_start(job, part),
              part_start(job, part + 1), 1.0 / job->count, job->with_gradient);
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

static void update(Job *job, int64_t step, double lr) {
    const Model *m = job->m;
    const double c1 = (1 - m->beta1) / (1 - pow(m->beta1, step + 1.0));
    const double root_c2 = sqrt((1 - m->beta2) / (1 - pow(m->beta2, step + 1.0)));
    job->rate = lr * c1 / root_c2;
    job->eps = m->eps / root_c2;
    in_parts(adam_part, job, job->updates);
}

/* Compute the mean loss of documents `first` to first + count - 1 and, if `squared`, its gradient
   and the sum of its squares; then, if `lr` and both are finite, take a step of Adam. Return 0 with
   an exception if that cannot be. */
static int compute(Work *o, int64_t first, int64_t count, double *loss, float *squared,
                   int64_t step, const double *lr) {
    const Model *m = &o->m;
    if (first < 0 || count < 1 || first > o->d.count - count || step < 0) {
        PyErr_SetString(PyExc_IndexError, "no such documents, or no such step");
        return 0;
    }
    if (*m->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is computing with this model");
        return 0;
    }
    const double tokens = (double)o->d.starts[first + count] - o->d.starts[first];
    Job job = {.m = m, .d = &o->d, .first = first, .count = count, .with_gradient = !!squared};
    job.passes = count < m->s.threads ? count : m->s.threads;
    job.updates = m->s.parameters < WORTH_SHARING ? 1 : m->s.threads;
    PyThreadState *state = NULL;
    *m->busy = 1;
    if (tokens * m->s.parameters > WORTH_RELEASING) state = PyEval_SaveThread();
    isa->pack(m);
    in_parts(pass_part, &job, job.passes);
    int bad = 0;
    *loss = 0;
    for (int i = 0; i < job.passes; i++) *loss += m->thread[i].loss, bad |= m->thread[i].bad;
    if (squared) {
        in_parts(gather_part, &job, job.updates);
        *squared = 0;
        for (int i = 0; i < job.updates; i++) *squared += job.squares[i];
        if (*squared > 3e36f) *squared = INFINITY; /* as Adam's sum of 100 such would be */
        if (lr && !bad && isfinite(*loss) && isfinite(*squared)) update(&job, step, *lr);
    }
    if (state) PyEval_RestoreThread(state);
    *m->busy = 0;
    if (bad & BAD_TOKEN)
        PyErr_Format(PyExc_ValueError, "tokens must be 0 to %lld", (long long)m->s.vocab_size - 1);
    else if (bad) PyErr_SetString(PyExc_ValueError, "a document needs at least 2 tokens");
    return !bad;
}

/* Read `count` arguments: whole numbers, but number `real`, if there is one, a float. */
static int get_numbers(PyObject *const *args, Py_ssize_t given, Py_ssize_t count, int64_t *whole,
                       int real, double *lr) {
    if (given != count) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", count, given);
        return 0;
    }
    for (int i = 0; i < count; i++)
        if (i == real) *lr = PyFloat_AsDouble(args[i]);
        else whole[i] = PyLong_AsLongLong(args[i]);
    return !PyErr_Occurred();
}

/* step(first, count, step, lr, parts): a step of Adam on the mean loss of these documents; returns
   the loss. `parts` does not matter: the memory does not depend on the number of documents. */
static PyObject *work_step(PyObject *self, PyObject *const *args, Py_ssize_t given) {
    int64_t n[5];
    double lr, loss;
    float squared;
    if (!get_numbers(args, given, 5, n, 3, &lr)) return NULL;
    if (!compute((Work *)self, n[0], n[1], &loss, &squared, n[2], &lr)) return NULL;
    if (isfinite(loss) && isfinite(squared)) return PyFloat_FromDouble(loss);
    return PyObject_CallFunction(((Work *)self)->diverged, "Ldd", n[2], loss, squared);
}

/* loss(first, count, with_gradient): the mean loss; with_gradient its gradient is then in `grads`. */
static PyObject *work_loss(PyObject *self, PyObject *const *args, Py_ssize_t given) {
    int64_t n[3];
    double loss;
    float squared;
    if (!get_numbers(args, given, 3, n, -1, NULL)) return NULL;
    if (!compute((Work *)self, n[0], n[1], &loss, n[2] ? &squared : NULL, 0, NULL)) return NULL;
    return PyFloat_FromDouble(loss);
}

/* maps(attention, probabilities): see Isa; float32 arrays for the document of the last `loss`. */
static PyObject *work_maps(PyObject *self, PyObject *args) {
    const Model *m = &((Work *)self)->m;
    const Py_ssize_t n = m->thread->used;
    Py_buffer attention, logits;
    if (!PyArg_ParseTuple(args, "w*w*", &attention, &logits)) return NULL;
    const int fits = attention.len == 4 * m->s.n_layer * m->s.n_head * n * n &&
                     logits.len == 4 * n * m->s.vocab_size && !*m->busy;
    if (fits) isa->maps(m, attention.buf, logits.buf);
    else PyErr_SetString(PyExc_ValueError, "arrays for another document");
    PyBuffer_Release(&attention);
    PyBuffer_Release(&logits);
    return fits ? Py_NewRef(Py_None) : NULL;
}

/* decode(token, position, work, logits): see generate.h; float32 arrays of Python's, the first with
   the KV cache, zeros at the beginning. */
static PyObject *work_decode(PyObject *self, PyObject *args) {
    const Model *m = &((Work *)self)->m;
    Py_buffer work, logits;
    int token, position;
    if (!PyArg_ParseTuple(args, "iiw*w*", &token, &position, &work, &logits)) return NULL;
    const int fits = token >= 0 && token < m->s.vocab_size && position >= 0 &&
                     position < m->s.block_size;
    if (fits) {
        PyThreadState *state = PyEval_SaveThread();
        isa->decode(m, work.buf, token, position, logits.buf);
        PyEval_RestoreThread(state);
    } else PyErr_SetString(PyExc_IndexError, "no such token, or the block is full");
    PyBuffer_Release(&work);
    PyBuffer_Release(&logits);
    return fits ? Py_NewRef(Py_None) : NULL;
}

typedef struct {
    PyThreadState *state;
    PyObject *check;
} Pause;

/* Let Python run: `check`, other threads, and what Ctrl-C raises. */
static int go_on(void *context) {
    Pause *pause = context;
    PyEval_RestoreThread(pause->state);
    PyObject *none = PyObject_CallNoArgs(pause->check);
    const int good = none && !PyErr_CheckSignals();
    Py_XDECREF(none);
    pause->state = PyEval_SaveThread();
    return good;
}

/* generate(prompt, first, seed, greedy, scale, check, work, tokens, lengths): see `Request`; the
   prompt as bytes, which nobody can change, the others float32 and int32 arrays of Python's. */
static PyObject *work_generate(PyObject *self, PyObject *args) {
    Py_buffer prompt, work, tokens, lengths;
    Pause pause;
    Request r = {.go_on = go_on, .context = &pause};
    if (!PyArg_ParseTuple(args, "y*LKpfOw*w*w*", &prompt, &r.first, &r.seed, &r.greedy, &r.scale,
                          &pause.check, &work, &tokens, &lengths))
        return NULL;
    r.prompt = prompt.buf, r.tokens = tokens.buf, r.lengths = lengths.buf;
    r.prompt_size = prompt.len / 4, r.count = lengths.len / 4;
    pause.state = PyEval_SaveThread();
    const int finite = isa->generate(&((Work *)self)->m, work.buf, &r);
    PyEval_RestoreThread(pause.state);
    if (!finite) PyErr_SetString(PyExc_FloatingPointError, "a logit is not finite");
    Py_buffer *const buffers[] = {&prompt, &work, &tokens, &lengths};
    for (int i = 0; i < 4; i++) PyBuffer_Release(buffers[i]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* shuffle(order, words): the swaps of random.shuffle in `order`, int32, with the 32-bit words of
   its generator; False if they are too few. */
static PyObject *shuffle(PyObject *module, PyObject *args) {
    Py_buffer order, words;
    (void)module;
    if (!PyArg_ParseTuple(args, "w*y*", &order, &words)) return NULL;
    int32_t *o = order.buf;
    const uint32_t *w = words.buf, *end = w + words.len / 4;
    int enough = order.len / 4 <= INT32_MAX;
    for (uint32_t i = enough ? order.len / 4 : 0; enough && i-- > 1;) {
        const int shift = __builtin_clz(i + 1); /* random.shuffle takes (i + 1).bit_length() bits */
        uint32_t j = UINT32_MAX;
        while (w < end && j > i) j = *w++ >> shift;
        enough = j <= i;
        const int32_t other = o[i];
        if (enough) o[i] = o[j], o[j] = other;
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&order);
    return PyBool_FromLong(enough);
}

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL, NULL

static PyMethodDef methods[] = {{"step", FAST(work_step)},
                                {"loss", FAST(work_loss)},
                                {"maps", work_maps, METH_VARARGS, NULL},
                                {"decode", work_decode, METH_VARARGS, NULL},
                                {"generate", work_generate, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {
    {Py_tp_new, new_work}, {Py_tp_dealloc, free_work}, {Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec work_spec = {"microgpt.engines._native.Work", sizeof(Work), 0,
                                Py_TPFLAGS_DEFAULT, slots};

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

static PyMethodDef functions[] = {{"shuffle", shuffle, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = -1,
                                 .m_methods = functions};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&work_spec);
    if (module && type && choose_isa(module) && !PyModule_AddObjectRef(module, "Work", type))
        return module;
    Py_XDECREF(module);
    return NULL;
}
