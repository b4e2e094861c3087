"""Link 9 again: random models of engine native against tensor, 500 of them, 10,000 in CI.

NATIVE_MODELS sets their number. They are the same in each run.
"""

import os

import microgpt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.engines import LIMIT, assert_close, documents, is_smooth, pair

# (n_embd, n_head). Not of widths 1 to 3: there RMSNorm leaves little more than rounding errors.
SHAPES = st.sampled_from([(h * d, h) for h in range(1, 5) for d in range(1, 10) if h * d > 3])
MODELS = int(os.environ.get("NATIVE_MODELS", "500"))


@settings(max_examples=MODELS, derandomize=True, database=None)
@given(
    shape=SHAPES,
    n_layer=st.integers(1, 3),
    block_size=st.integers(1, 20),
    switches=st.tuples(st.booleans(), st.booleans()),
    vocab_size=st.integers(2, 50),
    batch=st.integers(1, 5),
    masked=st.booleans(),
    threads=st.sampled_from([1, 1, 2, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_random_model(
    shape: tuple[int, int],
    n_layer: int,
    block_size: int,
    switches: tuple[bool, bool],
    vocab_size: int,
    batch: int,
    masked: bool,
    threads: int,
    seed: int,
) -> None:
    config = microgpt.ModelConfig(*shape, n_layer, block_size, *switches)
    native, tensor = pair(config, vocab_size, seed)
    native.threads = threads
    texts = documents(native, batch, seed)
    masks = [[t % 2 == seed % 2 or t == 0 for t in range(len(text))] for text in texts]
    counted = masks if masked else None
    assume(is_smooth(tensor, texts, counted))
    native.batch_loss_and_grads(texts[::-1])  # leaves other numbers in the buffers
    loss, grads = native.batch_loss_and_grads(texts, counted)
    expected_loss, expected = tensor.batch_loss_and_grads(texts, counted)
    assume(expected_loss > 0.01)  # less is 1 minus a probability near 1: mostly rounding
    assert loss == pytest.approx(expected_loss, rel=LIMIT)
    assert_close(grads, expected)
