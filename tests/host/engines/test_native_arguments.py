"""Engine native is given wrong arguments: an exception says so, and the process lives on."""

import math
import os
import subprocess
import sys
from collections.abc import Callable

import microgpt
import numpy as np
import pytest
from microgpt.engines.base import Model

from tests.support.engines import documents, pair

GOOD = [0, 5, 13, 13, 1, 0]
HUGE = 2**70
NOT_TOKENS = [
    None,
    5,
    "emma",
    [0, "a", 0],
    [0, None, 0],
    [0, [1], 0],
    [0, 1.5, 0],
    [0, math.nan, 0],
    [0, HUGE, 0],
    [0, -HUGE, 0],
    [0, 27, 0],
    {},
    b"",
]


@pytest.fixture
def native() -> Model:
    return pair(microgpt.ModelConfig())[0]


def refused(call: Callable[[], object]) -> None:
    """Check that a call raises what a wrong argument raises in Python."""
    with pytest.raises((TypeError, ValueError, OverflowError, IndexError, microgpt.ConfigError)):
        call()


@pytest.mark.parametrize("tokens", NOT_TOKENS, ids=repr)
def test_what_is_no_document_is_refused(native: Model, tokens: object) -> None:
    before = {name: np.array(matrix) for name, matrix in native.weights.items()}
    refused(lambda: native.loss_and_grads(tokens))
    refused(lambda: native.batch_loss_and_grads([GOOD, tokens]))
    refused(lambda: native.mean_loss([tokens]))
    refused(lambda: native.train_step(tokens, 0, 0.01))
    refused(lambda: native.train_batch([GOOD, tokens], 0, 0.01))
    for name, matrix in native.weights.items():
        assert np.array_equal(matrix, before[name])
    assert native.loss_and_grads(GOOD)[0] > 0


def test_batches_that_cannot_be(native: Model) -> None:
    refused(lambda: native.train_batch([GOOD] * 3, 0, 0.01, [None] * 2))
    refused(lambda: native.train_batch([GOOD] * 3, 0, 0.01, None, 2))
    refused(lambda: native.train_batch([GOOD] * 3, 0, 0.01, None, 4))
    refused(lambda: native.train_batch([], 0, 0.01))
    refused(lambda: native.train_batch([GOOD], 0, "fast"))
    refused(lambda: native.train_batch([GOOD], "first", 0.01))
    refused(lambda: native.train_batch(None, 0, 0.01))


@pytest.mark.parametrize("threads", [0, -1, "two", None])
def test_a_number_of_threads_that_cannot_be(native: Model, threads: object) -> None:
    def step() -> None:
        native.threads = threads
        native.train_batch([GOOD] * 4, 0, 0.01)

    refused(step)


@pytest.mark.parametrize("threads", [1000, HUGE])
def test_more_threads_than_any_machine_has(native: Model, threads: int) -> None:
    native.threads = threads
    texts = documents(native, 8)
    assert native.batch_loss_and_grads(texts)[0] == pytest.approx(
        pair(native.config)[1].batch_loss_and_grads(texts)[0], rel=1e-4
    )


def test_a_decoder_is_not_called_more_often_than_it_has_positions(native: Model) -> None:
    for wrong in (27, -1, HUGE, None, "a"):
        refused(lambda wrong=wrong: native.decoder()(wrong))
    step = native.decoder()
    for _ in range(native.config.block_size):
        step(1)
    refused(lambda: step(1))


@pytest.mark.parametrize("tokens", [[], [1] * 17, [27], [-1], None, [HUGE]], ids=repr)
def test_attention_of_what_is_no_document(native: Model, tokens: object) -> None:
    refused(lambda: native.attention_maps(tokens))


# A program of its own: a crash would end pytest.
JUNK = """
import random
import numpy as np
from microgpt.engines import _native

VALUES = [
    None, 0, 1, -1, 7, 2**31, -(2**31), 2**63, 2**70, 0.5, float("nan"), float("inf"), "", "a", b"",
    b"abcdefgh", (), [], [0, 1], {}, object(), bytearray(64), np.zeros(0, "float32"),
    np.zeros(5, "float32"), np.zeros(5, "float64"), np.zeros(5, "int32"), np.zeros((4, 4))[::2],
    np.zeros(4192, "float32"), np.zeros(4192, "int32"), np.frombuffer(bytes(64), "float32"),
]
rng = random.Random(5)
calls = [value for name in dir(_native) if callable(value := getattr(_native, name))]
calls = [call for call in calls if not getattr(call, "__name__", "").startswith("__")]
assert calls
made = 0
while made < 40_000:
    try:
        result = rng.choice(calls)(*rng.choices(VALUES, k=rng.randrange(14)))
    except SystemError:
        raise
    except Exception:
        pass
    else:
        names = [name for name in dir(result) if not name.startswith("_")]
        if type(result).__module__.startswith("microgpt") and len(calls) < 200:
            calls += [value for name in names if callable(value := getattr(result, name))]
    made += 1
print("alive")
"""


# The same with a real model: documents outside their arrays, tokens outside the vocabulary.
BLOCKS = """
import random
import microgpt
import numpy as np
from microgpt.engines import _native
from microgpt.engines.base import check_finite
from microgpt.engines.flat import aligned_zeros

models = [
    microgpt.create(microgpt.ModelConfig(width, heads, 2, 8), engine="native")
    for width, heads in ((16, 4), (20, 5))
]
rng = np.random.default_rng(5)
choose = random.Random(5)
NUMBERS = (0, 1, 2, 3, 5, 20, -1, 2**31, -(2**31), 2**62, -(2**63), 2**64)
outcomes = set()
for i in range(3000):
    model = choose.choice(models)
    model.threads = 1 + i // 1000
    buffers = model._buffers_for(choose.randrange(1, 9))
    total = choose.randrange(1, 40)
    wild = choose.random() < 0.5
    low, high = (-(2**31), 2**31 - 1) if wild else (0, 27 + (choose.random() < 0.3))
    tokens = rng.integers(low, high, total, dtype=np.int32)
    starts = rng.integers(-3, total + 3, choose.randrange(0, 7), dtype=np.int32)
    if choose.random() < 0.7:
        starts.sort()
    if choose.random() < 0.2:
        starts[starts > 20] = 2**31 - 1
    weights = choose.choice([None, np.ones(total, np.float32), np.ones(3, np.float32)])
    try:
        work = _native.Work(buffers.struct, buffers, check_finite, tokens, starts, weights)
        first, count = choose.choice([(0, len(starts) - 1), choose.choices(NUMBERS, k=2)])
        call = choose.choice(["step", "loss", "maps", "decode"])
        space = aligned_zeros(model._room(1) // 4, "float32")
        logits = np.empty(27, np.float32)
        arguments = {
            "step": (first, count, choose.choice(NUMBERS), 0.01, 1),
            "loss": (first, count, choose.random() < 0.5),
            "maps": (np.empty(total, np.float32), np.empty(total * 27, np.float32)),
            "decode": (choose.choice(NUMBERS), choose.choice(NUMBERS), space, logits),
        }
        getattr(work, call)(*arguments[call])
        outcomes.add(call)
    except (ValueError, TypeError, OverflowError, IndexError, microgpt.UserError) as error:
        outcomes.add(type(error).__name__)
    for matrix in model.weights.values():
        matrix[...] = 0.1
assert {"step", "loss", "decode", "ValueError", "IndexError"} <= outcomes, outcomes
print("alive")
"""


@pytest.mark.parametrize("program", [JUNK, BLOCKS], ids=["junk", "blocks"])
def test_no_argument_from_python_crashes(native: Model, program: str) -> None:
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr[-2000:]


def test_an_instruction_set_that_this_processor_has_not(native: Model) -> None:
    command = [sys.executable, "-m", "microgpt", "train", "--steps", "1"]
    environment = os.environ | {"MICROGPT_ISA": "mmx"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: MICROGPT_ISA must be one of ('plain'")
    assert result.stderr.count("\n") == 1
