"""Compute the answers of the board's self-test with the scalar engine: firmware/ugpt/answers.py.

After a change to ugpt/checks.py: python -m microgpt_board.proof.answers
"""

import textwrap
from array import array
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from microgpt.board import CONFIG, TOKENIZER, initial_weights
from microgpt.cli.run import run
from microgpt.engines import build
from microgpt.engines.scalar import Value, cross_entropy, linear, rmsnorm, softmax
from microgpt.system import files
from ugpt import checks
from ugpt.adam import BETA1, BETA2, EPS
from ugpt.checks import COUNT, HEADS, OUT, TOKENS, VOCAB, WIDTH, N, signed
from ugpt.ops import EPS as EPS_RMSNORM
from ugpt.rng import Rng

TARGET = Path(checks.__file__).with_name("answers.py")

Rows = list[list[Value]]


def rows(count: int, width: int, seed: int) -> Rows:
    """Return the inputs that the self-test generates, as Values."""
    flat = [Value(float(v)) for v in signed(count * width, seed)]
    return [flat[i : i + width] for i in range(0, count * width, width)]


def data(values: Rows) -> list[float]:
    """Return the numbers, row after row."""
    return [value.data for row in values for value in row]


def grads(values: Rows) -> list[float]:
    """Return the gradients, row after row."""
    return [value.grad for row in values for value in row]


def backward(results: Rows, seed: int) -> None:
    """Compute the gradients of all that led to `results`, whose own are the self-test's inputs."""
    slopes = signed(len(results) * len(results[0]), seed)
    flat = [value for row in results for value in row]
    products = (value * float(slope) for value, slope in zip(flat, slopes, strict=True))
    total(products).backward()


def total(values: Iterable[Value]) -> Value:
    """Return the sum, as a Value even of no values."""
    return sum(values, start=Value(0.0))


def attention(qkv: Rows) -> Rows:
    """Return causal attention of each position, as in the engine's own forward pass."""
    head_dim = WIDTH // HEADS
    results = []
    for t in range(N):
        mixed = []
        for start in range(0, WIDTH, head_dim):
            queries = qkv[t][start : start + head_dim]
            scores = [
                total(q * k for q, k in zip(queries, row[WIDTH + start :], strict=False))
                / head_dim**0.5
                for row in qkv[: t + 1]
            ]
            weights = softmax(scores)
            for j in range(2 * WIDTH + start, 2 * WIDTH + start + head_dim):
                mixed.append(total(w * row[j] for w, row in zip(weights, qkv, strict=False)))
        results.append(mixed)
    return results


def adam(steps: int) -> list[float]:
    """Return parameters, m and v after steps with the same gradient."""
    params, slopes = (list(map(float, signed(COUNT, seed))) for seed in (17, 18))
    m, v = [0.0] * COUNT, [0.0] * COUNT
    for step in range(1, steps + 1):
        for i, g in enumerate(slopes):
            m[i] = BETA1 * m[i] + (1 - BETA1) * g
            v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
            m_hat, v_hat = m[i] / (1 - BETA1**step), v[i] / (1 - BETA2**step)
            params[i] -= checks.LR * m_hat / (v_hat**0.5 + EPS)
    return params + m + v


def kernel_answers() -> dict[str, list[float]]:
    """Return the result of each kernel for the inputs of `ugpt.checks`."""
    answers = {}

    wte, wpe = rows(VOCAB, WIDTH, 1), rows(N, WIDTH, 2)
    x = [[a + b for a, b in zip(wte[TOKENS[t]], wpe[t], strict=True)] for t in range(N)]
    answers["embed"] = data(x)
    backward(x, 3)
    answers["embed_backward"] = grads(wte)

    x = rows(N, WIDTH, 4)
    y = [rmsnorm(row) for row in x]
    scales = [(sum(v.data**2 for v in row) / WIDTH + EPS_RMSNORM) ** -0.5 for row in x]
    answers["rmsnorm"] = data(y) + scales
    backward(y, 5)
    answers["rmsnorm_backward"] = grads(x)

    w, x = rows(OUT, WIDTH, 6), rows(N, WIDTH, 7)
    y = [linear(w, row) for row in x]
    answers["linear"] = data(y)
    backward(y, 8)
    answers["linear_backward_x"] = grads(x)
    answers["linear_backward_w"] = grads(w)

    a, b = rows(1, COUNT, 9), rows(1, COUNT, 10)
    answers["clear"] = [0.0 if 0 < i < COUNT - 1 else v for i, v in enumerate(data(a))]
    answers["add"] = [p.data + q.data for p, q in zip(a[0], b[0], strict=True)]
    x = rows(1, COUNT, 11)
    y = [[value.relu() for value in x[0]]]
    answers["relu"] = data(y)
    backward(y, 12)
    answers["relu_backward"] = grads(x)

    qkv = rows(N, 3 * WIDTH, 13)
    out = attention(qkv)
    answers["attention"] = data(out)
    backward(out, 14)
    answers["attention_backward"] = grads(qkv)

    logits = rows(N, VOCAB, 15)
    losses = [cross_entropy(row, target) for row, target in zip(logits, TOKENS[1:], strict=True)]
    loss = total(losses) / N
    loss.backward()
    answers["cross_entropy"] = [loss.data, *grads(logits)]

    answers["softmax"] = data([softmax([value * 2.0 for value in rows(1, VOCAB, 16)[0]])])
    answers["adam"] = adam(3)
    return answers


def model_answers() -> dict[str, list[float]]:
    """Return the gradients of a document at the initial weights, and the losses of 20 steps."""
    weights = initial_weights(Rng(checks.SEED))
    model = build(CONFIG, TOKENIZER, weights, "scalar", "float64")
    _, matrices = model.loss_and_grads(TOKENIZER.encode(checks.DOCUMENT))
    flat = np.concatenate([matrices[name].ravel() for name, _, _ in model.table])
    answers = {
        "gradient": flat[:: checks.GRADIENT_STRIDE].tolist(),
        "gradient_largest": [np.abs(matrix).max() for matrix in matrices.values()],
        "gradient_sums": [matrix.sum() for matrix in matrices.values()],
        "gradient_scales": [np.abs(matrix).sum() for matrix in matrices.values()],
    }
    count = len(checks.DOCUMENTS)
    answers["losses"] = [
        model.train_step(TOKENIZER.encode(name), step, checks.LR * (1 - step / count))
        for step, name in enumerate(checks.DOCUMENTS)
    ]
    return answers


def compute() -> tuple[tuple[int, ...], dict[str, list[float]]]:
    """Return the integers and all the floats that the self-test expects."""
    integers, floats = checks.rng_stream()
    return tuple(integers), {"rng": floats, **kernel_answers(), **model_answers()}


def text() -> str:
    """Return the module answers.py."""
    integers, answers = compute()
    lines = [
        '"""Expected results for `ugpt.checks`: float32 as base64.',
        "",
        "Written by `python -m microgpt_board.proof.answers`.",
        '"""',
        "",
        f"RNG = {integers}",
        "ANSWERS = {",
    ]
    for name, values in answers.items():
        parts = textwrap.wrap(b64encode(array("f", values).tobytes()).decode(), 88)
        if len(parts) == 1:
            lines.append(f'    "{name}": "{parts[0]}",')
        else:
            lines += [f'    "{name}": (', *(f'        "{part}"' for part in parts), "    ),"]
    return "\n".join([*lines, "}", ""])


@click.command()
def answers_command() -> None:
    """Write firmware/ugpt/answers.py, the answers of the board's self-test."""
    files.write(TARGET, text())
    click.echo(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    run(answers_command)
