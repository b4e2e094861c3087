"""The kernels as machine code on emulated cores: every call against NumPy in float64."""

from array import array
from pathlib import Path

import numpy as np
import pytest
from microgpt_board.emulation import cores
from microgpt_board.image import native
from ugpt.coefficients import COEFFICIENTS

from tests.support.micropython.kernel_cases import CONSTANTS, cases, tolerance

EPS = 1e-5


# What each kernel should leave: {index of the argument: values}. Arguments as in ugpt/ops.py,
# arrays in float64.


def embed(x, wte, wpe, tokens, n, width):
    return {0: wte.reshape(-1, width)[tokens] + wpe.reshape(-1, width)[:n]}


def embed_backward(dwte, dx, tokens, n, width, first, rows):
    dwte = dwte.reshape(rows, width).copy()
    there = (first <= tokens) & (tokens < first + rows)
    np.add.at(dwte, tokens[there] - first, dx.reshape(n, width)[there])
    return {0: dwte}


def rmsnorm(y, scale, x, n, width, c):
    x = x.reshape(n, width)
    scale = 1 / np.sqrt((x**2).mean(axis=1) + EPS)
    return {0: x * scale[:, None], 1: scale}


def rmsnorm_backward(dx, dy, y, scale, n, width, c):
    dy, y = dy.reshape(n, width), y.reshape(n, width)
    return {0: scale[:, None] * (dy - y * (dy * y).mean(axis=1, keepdims=True))}


def linear(y, w, x, n, n_out, n_in):
    return {0: x.reshape(n, n_in) @ w.reshape(n_out, n_in).T}


def linear_backward_x(dx, w, dy, n, n_out, n_in):
    return {0: dy.reshape(n, n_out) @ w.reshape(n_out, n_in)}


def linear_backward_w(dw, dy, x, n, n_out, n_in, first, rows):
    return {0: (dy.reshape(n, n_out).T @ x.reshape(n, n_in))[first : first + rows]}


def clear(x, begin, end):
    return {0: np.concatenate((x[:begin], np.zeros(end - begin), x[end:]))}


def add(y, a, b, count):
    return {0: a + b}


def relu(x, count):
    return {0: np.maximum(x, 0)}


def relu_backward(dx, y, count):
    return {0: np.where(y > 0, dx, 0)}


def heads(qkv, n, n_head, head_dim):
    """Return queries, keys and values, [head][position][channel] each."""
    return qkv.reshape(n, 3, n_head, head_dim).transpose(1, 2, 0, 3)


def causal_weights(q, k, n):
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(n), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def attention(out, p, qkv, first, n, n_head, head_dim, c):
    q, k, v = heads(qkv, n, n_head, head_dim)
    weights = causal_weights(q, k, n)
    out = (weights @ v).transpose(1, 0, 2)[first:]
    written = np.tri(n, dtype=bool) & (np.arange(n) >= first)[:, None]
    return {0: out, 1: np.where(written, weights, np.nan)}


def attention_backward(dqkv, dout, out, p, qkv, n, n_head, head_dim, c):
    q, k, v = heads(qkv, n, n_head, head_dim)
    weights = causal_weights(q, k, n)
    dout = dout.reshape(n, n_head, head_dim).transpose(1, 0, 2)
    dweights = dout @ v.transpose(0, 2, 1)
    inner = (weights * dweights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - inner) / np.sqrt(head_dim)
    gradients = (dscores @ k, dscores.transpose(0, 2, 1) @ q, weights.transpose(0, 2, 1) @ dout)
    return {0: np.stack(gradients).transpose(2, 0, 1, 3)}


def cross_entropy(logits, loss, targets, n, vocab_size, c):
    logits = logits.reshape(n, vocab_size)
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(n)
    gradient = np.exp(shifted) / total
    gradient[rows, targets] -= 1
    return {0: gradient / n, 1: (np.log(total[:, 0]) - shifted[rows, targets]).mean()}


def softmax(p, x, factor, count, c):
    weights = np.exp((x - x.max()) * factor)
    return {0: weights / weights.sum()}


def adam(params, grads, m, v, count, k, c):
    beta1, gain1, beta2, gain2, lr, power1, power2, eps = k
    m = beta1 * m + gain1 * grads
    v = beta2 * v + gain2 * grads**2
    m_hat, v_hat = m / (1 - power1), v / (1 - power2)
    return {0: params - lr * m_hat / (np.sqrt(v_hat) + eps), 2: m, 3: v}


def to_numpy(argument):
    if argument is CONSTANTS:
        return np.array(COEFFICIENTS, np.uint32)
    if isinstance(argument, array):
        return np.frombuffer(argument, np.float32)
    return np.frombuffer(argument, np.uint8) if isinstance(argument, bytearray) else argument


@pytest.fixture(scope="module", params=cores.CORES, ids=lambda core: core.name)
def core(request):
    if missing := cores.missing(request.param):
        pytest.skip(missing)
    return request.param


@pytest.fixture(scope="module")
def functions(core):
    return native.compile_functions(core.architecture, core.compiler)


@pytest.fixture(scope="module")
def run(core, functions):
    """Make calls of the kernels on the core."""
    return lambda calls: cores.run(core, functions, calls)


def test_every_kernel_does_what_numpy_does(functions, run):
    calls = []
    references = []
    for name, arguments in cases():
        arguments = [to_numpy(argument) for argument in arguments]
        doubles = [
            a.astype(float) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a
            for a in arguments
        ]
        copies = {}  # for cases share arrays; an array that is there twice stays one
        arguments = [
            copies.setdefault(a.ctypes.data, a.copy()) if isinstance(a, np.ndarray) else a
            for a in arguments
        ]
        calls.append(cores.Call(name, arguments))
        references.append(globals()[name](*doubles))
    run(calls)
    assert {call.name for call in calls} == set(functions)
    for call, expected in zip(calls, references, strict=True):
        for index, values in expected.items():
            found = call.arguments[index]
            values = np.broadcast_to(values, values.shape or (1,)).ravel()
            written = ~np.isnan(values)
            error = np.abs(found[written] - values[written])
            sizes = [a for a in call.arguments if isinstance(a, int)]
            assert (error <= tolerance(call.name, values)).all(), (call.name, sizes, error.max())
            assert np.isnan(found[~written]).all(), f"{call.name} wrote more than it should"


@pytest.fixture(scope="module")
def arithmetic(core):
    source = Path(__file__).with_name("arithmetic.c")
    functions = native.compile_functions(core.architecture, core.compiler, source)

    def apply(name, x):
        x = np.asarray(x, np.float32)
        y = np.full_like(x, np.nan)
        constants = np.array(COEFFICIENTS, np.uint32)
        cores.run(core, functions, [cores.Call(name, (y, x, x.size, constants))])
        return x.astype(float), y.astype(float)

    return apply


def test_division_and_square_root_to_1e_6(arithmetic):
    values = np.concatenate((np.linspace(1, 4, 30001), np.geomspace(1e-36, 1e36, 20001)))
    x, y = arithmetic("map_reciprocal", values)
    assert np.abs(y * x - 1).max() < 2e-7
    x, y = arithmetic("map_rsqrt", values)
    assert np.abs(y * np.sqrt(x) - 1).max() < 1e-6


def test_exp_to_2e_7_and_zero_far_below(arithmetic):
    x, y = arithmetic("map_exp", -np.concatenate((np.linspace(0, 87, 40001), [1e-40, 1e-30])))
    assert np.abs(y / np.exp(x) - 1).max() < 2e-7
    _, y = arithmetic("map_exp", [-88.0, -104.0, -1e10, -3.4e38, -np.inf])
    assert (y == 0).all()
    _, y = arithmetic("map_exp", [0.0, -0.0])
    assert (y == 1).all()
    _, y = arithmetic("map_exp", np.linspace(-88, -87, 1001))
    assert (y >= 0).all() and (y < 2e-38).all()


def test_log_to_2e_7(arithmetic):
    x, y = arithmetic("map_log", np.concatenate((np.linspace(1, 64, 30001), [1e-30, 0.5, 1e30])))
    assert (np.abs(y - np.log(x)) < 2e-7 * np.maximum(1, np.abs(np.log(x)))).all()


def test_a_softmax_of_finite_numbers_is_finite(run):
    for values in ([3e38, -3e38, 0], [-3e38] * 3, [1e30, 1e30, -1e30]):
        x = np.array(values, np.float32)
        p, loss = np.empty_like(x), np.empty(1, np.float32)
        constants = np.array(COEFFICIENTS, np.uint32)
        target = np.array([1], np.uint8)
        factor = np.array([100.0], np.float32)
        calls = [
            cores.Call("softmax", (p, x, factor, 3, constants)),
            cores.Call("cross_entropy", (x, loss, target, 1, 3, constants)),
        ]
        run(calls)
        assert np.isfinite(p).all() and abs(p.sum() - 1) < 1e-6
        assert np.isfinite(x).all() and not np.isnan(loss).any()


def test_adam_divides_to_2e_6(run):
    """Its loop has division and square root of its own: each update against its value."""
    count = 4000
    rng = np.random.default_rng(1)
    grads = (10.0 ** rng.uniform(-12, 3, count)).astype(np.float32)
    params, m, v = (np.zeros(count, np.float32) for _ in range(3))
    k = np.array([0.85, 0.15, 0.99, 0.01, 0.01, 0.85, 0.99, 1e-8], np.float32)
    expected = adam(*(a.astype(float) for a in (params, grads, m, v)), count, k.astype(float), None)
    constants = np.array(COEFFICIENTS, np.uint32)
    run([cores.Call("adam", (params, grads, m, v, count, k, constants))])
    assert np.abs(params / expected[0] - 1).max() < 2e-6
