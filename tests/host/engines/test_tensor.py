"""Link 2: engine tensor against engine scalar, and against finite differences."""

import dataclasses

import microgpt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microgpt.engines import build
from microgpt.engines.base import Matrices, Model
from microgpt.lab.gradcheck import TOLERANCE, gradcheck

DOCUMENTS = ("emma", "a", "", "maryalexandrina")  # 17 tokens: the whole block
CONFIGS = {
    "the board's": microgpt.ModelConfig(),
    "tied": microgpt.ModelConfig(tie_lm_head=True),
    "no input norm": microgpt.ModelConfig(input_rmsnorm=False),
    "tied, no input norm": microgpt.ModelConfig(tie_lm_head=True, input_rmsnorm=False),
    "two layers": microgpt.ModelConfig(n_embd=12, n_head=3, n_layer=2, block_size=7),
    "one of everything": microgpt.ModelConfig(n_embd=1, n_head=1, n_layer=1, block_size=1),
}
# The switches in a smaller model, for tests of many passes of engine scalar.
SMALL = CONFIGS | {
    name: dataclasses.replace(CONFIGS[name], n_embd=6, n_head=3, block_size=6)
    for name in ("tied", "no input norm", "tied, no input norm", "two layers")
}
LIMITS = {"float64": 1e-9, "float32": 1e-4}
configurations = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
small_configurations = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
dtypes = pytest.mark.parametrize("dtype", LIMITS)


def engines(config: microgpt.ModelConfig, dtype: str) -> tuple[Model, Model]:
    """Return tensor and scalar with the same weights, the kind a few steps of training leave."""
    trained = microgpt.create(config, dtype="float64")
    list(microgpt.train(trained, ["emma", "olivia"], microgpt.TrainConfig(steps=4)))
    return (
        build(config, trained.tokenizer, trained.weights, "tensor", dtype),
        build(config, trained.tokenizer, trained.weights, "scalar", "float64"),
    )


def assert_close(found: Matrices, expected: Matrices, limit: float) -> None:
    """Hold each matrix to `limit` times the largest entry of what is expected of it."""
    assert found.keys() == expected.keys()
    for name, matrix in expected.items():
        largest = np.abs(matrix).max()
        assert np.abs(found[name] - matrix).max() <= limit * largest + 1e-15, name  # False for NaN


@configurations
@dtypes
def test_loss_and_every_gradient(config: microgpt.ModelConfig, dtype: str) -> None:
    tensor, scalar = engines(config, dtype)
    for text in DOCUMENTS:
        tokens = tensor.tokenizer.encode(text)
        loss, grads = tensor.loss_and_grads(tokens)
        expected_loss, expected = scalar.loss_and_grads(tokens)
        assert loss == pytest.approx(expected_loss, rel=LIMITS[dtype])
        assert_close(grads, expected, LIMITS[dtype])


@configurations
@dtypes
def test_logits_one_position_at_a_time(config: microgpt.ModelConfig, dtype: str) -> None:
    tensor, scalar = engines(config, dtype)
    steps = tensor.decoder(), scalar.decoder()
    for token in tensor.tokenizer.encode("maryalexandrina")[: config.block_size]:
        found, expected = (np.asarray(step(token)) for step in steps)
        assert np.abs(found - expected).max() <= LIMITS[dtype] * np.abs(expected).max()


@small_configurations
def test_weights_after_20_steps(config: microgpt.ModelConfig) -> None:
    (double, scalar), (single, _) = engines(config, "float64"), engines(config, "float32")
    docs = ["emma", "bo", "ava", "a", "", "olivia", "z", "maryalexandrina"]
    for model in (scalar, double, single):
        list(microgpt.train(model, docs, microgpt.TrainConfig(steps=20)))
    assert_close(double.weights, scalar.weights, LIMITS["float64"])
    assert_close(single.weights, scalar.weights, LIMITS["float32"])


@settings(max_examples=15)
@given(
    head_dim=st.integers(1, 4),
    n_head=st.integers(1, 3),
    n_layer=st.integers(1, 2),
    block_size=st.integers(1, 6),
    tie=st.booleans(),
    norm=st.booleans(),
    text=st.text("abc", max_size=8),
)
def test_any_size(
    head_dim: int, n_head: int, n_layer: int, block_size: int, tie: bool, norm: bool, text: str
) -> None:
    config = microgpt.ModelConfig(head_dim * n_head, n_head, n_layer, block_size, tie, norm)
    tensor = microgpt.create(config, "abc", dtype="float64")
    scalar = microgpt.create(config, "abc", engine="scalar")
    tokens = tensor.tokenizer.encode(text)
    loss, grads = tensor.loss_and_grads(tokens)
    expected_loss, expected = scalar.loss_and_grads(tokens)
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    assert_close(grads, expected, 1e-9)


@small_configurations
def test_finite_differences(config: microgpt.ModelConfig) -> None:
    tensor, _ = engines(config, "float64")
    for text in ("emma", "olivia", "maryalexandrina"):
        errors = gradcheck(tensor, tensor.tokenizer.encode(text))
        assert len(errors) == len(tensor.table)
        assert max(errors.values()) < TOLERANCE, errors


def test_gradcheck_notices_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, _ = engines(microgpt.ModelConfig(), "float64")
    right = tensor.loss_and_grads

    def without_one_key(tokens: list[int]) -> tuple[float, Matrices]:
        loss, grads = right(tokens)
        grads["layer0.attn_wk"][3, 5] *= 1.001
        return loss, grads

    monkeypatch.setattr(tensor, "loss_and_grads", without_one_key)
    errors = gradcheck(tensor, tensor.tokenizer.encode("emma"))
    assert [name for name, error in errors.items() if error > TOLERANCE] == ["layer0.attn_wk"]


def test_gradcheck_notices_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, _ = engines(microgpt.ModelConfig(n_embd=4, n_head=2, block_size=4), "float64")
    right = tensor.loss_and_grads

    def with_nan(tokens: list[int]) -> tuple[float, Matrices]:
        loss, grads = right(tokens)
        grads["wpe"][0, 0] = np.nan
        return loss, grads

    monkeypatch.setattr(tensor, "loss_and_grads", with_nan)
    assert np.isnan(gradcheck(tensor, tensor.tokenizer.encode("emma"))["wpe"])


@pytest.mark.parametrize("seed", [5, 17])
def test_gradcheck_steps_around_the_kink_of_a_relu(seed: int) -> None:
    tensor = microgpt.create(microgpt.ModelConfig(), seed=seed, dtype="float64")
    for text in ("emma", "a", "maryalexandrina"):
        errors = gradcheck(tensor, tensor.tokenizer.encode(text))
        assert max(errors.values()) < TOLERANCE, errors


def test_the_scalar_engine_against_finite_differences() -> None:
    config = microgpt.ModelConfig(n_embd=4, n_head=2, block_size=4)
    _, scalar = engines(config, "float64")
    tokens = scalar.tokenizer.encode("abc")
    _, grads = scalar.loss_and_grads(tokens)
    weights = scalar.weights

    def loss() -> float:
        return build(config, scalar.tokenizer, weights, "scalar", "float64").loss_and_grads(tokens)[
            0
        ]

    for name, matrix in weights.items():
        largest = max(np.abs(grads[name]).max(), 1e-4)
        for index in list(np.ndindex(matrix.shape))[::7]:
            value = matrix[index]
            matrix[index] = value + 1e-6
            above = loss()
            matrix[index] = value - 1e-6
            below = loss()
            matrix[index] = value
            assert abs((above - below) / 2e-6 - grads[name][index]) < 1e-5 * largest, name


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
@pytest.mark.parametrize("tokens", [[99, 1, 0], [0, -1, 0], [0]])
def test_tokens_outside_the_vocabulary_are_refused(engine: str, tokens: list[int]) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine=engine)
    with pytest.raises(ValueError, match="token"):
        model.loss_and_grads(tokens)
    with pytest.raises(ValueError, match="token"):
        model.batch_loss_and_grads([[0, 1, 0], tokens])


def test_stale_buffers_are_never_read() -> None:
    tensor, _ = engines(microgpt.ModelConfig(), "float64")
    tokens = tensor.tokenizer.encode("emma")
    loss, grads = tensor.loss_and_grads(tokens)
    tensor._flat.grads.fill(np.nan)
    poison(tensor._passes[5])
    again, grads_again = tensor.loss_and_grads(tokens)
    assert again == loss
    for name, matrix in grads.items():
        assert (grads_again[name] == matrix).all(), name


BATCHES = [
    ["emma"],
    ["a", "", "emma", "maryalexandrina", "bo"],
    ["olivia", "ava", "x"] * 10,
]


@configurations
@dtypes
def test_the_gradient_of_a_batch_is_the_mean(config: microgpt.ModelConfig, dtype: str) -> None:
    tensor, _ = engines(config, dtype)
    for batch in [*BATCHES, BATCHES[1]]:  # the last one finds used buffers
        documents = [tensor.tokenizer.encode(text) for text in batch]
        loss, grads = tensor.batch_loss_and_grads(documents)
        expected_loss, expected = mean_of_documents(tensor, documents)
        assert loss == pytest.approx(expected_loss, rel=LIMITS[dtype])
        assert_close(grads, expected, LIMITS[dtype])
        assert tensor.mean_loss(documents) == pytest.approx(expected_loss, rel=LIMITS[dtype])


def test_a_batch_of_long_documents() -> None:
    tensor, _ = engines(microgpt.ModelConfig(block_size=80), "float64")
    documents = [tensor.tokenizer.encode(text) for text in ("emma" * 20, "bo", "ava")]
    loss, grads = tensor.batch_loss_and_grads(documents)
    expected_loss, expected = mean_of_documents(tensor, documents)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert tensor.mean_loss(documents) == pytest.approx(expected_loss, rel=1e-12)
    assert_close(grads, expected, 1e-12)


@given(st.lists(st.text("abc", max_size=12), min_size=1, max_size=9))
@settings(max_examples=60)
def test_any_batch(texts: list[str]) -> None:
    tensor = microgpt.create(
        microgpt.ModelConfig(n_embd=4, n_head=2, block_size=8), dtype="float64"
    )
    documents = [tensor.tokenizer.encode(text) for text in texts]
    loss, grads = tensor.batch_loss_and_grads(documents)
    expected_loss, expected = mean_of_documents(tensor, documents)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_close(grads, expected, 1e-9)


def mean_of_documents(model: Model, documents: list[list[int]]) -> tuple[float, Matrices]:
    """Return the mean loss and its gradient, from the documents one at a time."""
    pairs = [model.loss_and_grads(tokens) for tokens in documents]
    grads = {name: sum(g[name] for _, g in pairs) / len(pairs) for name in model.weights}
    return sum(loss for loss, _ in pairs) / len(pairs), grads


def test_batches_train_both_engines_alike() -> None:
    tensor, scalar = engines(microgpt.ModelConfig(n_embd=4, n_head=2), "float64")
    documents = [tensor.tokenizer.encode(text) for text in ("emma", "bo", "ava")]
    for step in range(3):
        losses = [model.train_batch(documents, step, 0.01) for model in (tensor, scalar)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert_close(tensor.weights, scalar.weights, 1e-9)


def poison(part: object) -> None:
    """Fill with NaN every buffer that a pass writes; what it only reads is left."""
    constants = ("ones", "average", "mask", "scale", "zeros", "identity", "weights", "eps")
    onehot = ("onehot", "onehot_positions")
    read_only = (*constants, *onehot, "head", "embedding", "wo", "fc1", "fc2", "wqkv")
    for name, value in vars(part).items():
        if isinstance(value, np.ndarray) and name.strip("_") not in read_only:
            if value.dtype.kind == "f":
                value.fill(np.nan)
        elif name.strip("_") in ("norm", "norm1", "norm2", "attention", "softmax"):
            poison(value)
        elif name == "_layers":
            for layer in value:
                poison(layer)


def test_far_logits_give_a_finite_loss() -> None:
    for engine in ("tensor", "scalar"):
        model = microgpt.create(microgpt.ModelConfig(), engine=engine, dtype="float64")
        weights = {name: matrix * 1e4 for name, matrix in model.weights.items()}
        model = build(model.config, model.tokenizer, weights, engine, "float64")
        loss, grads = model.loss_and_grads(model.tokenizer.encode("emma"))
        assert np.isfinite(loss)
        assert all(np.isfinite(matrix).all() for matrix in grads.values())


def test_buffers_for_many_lengths_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = microgpt.create(microgpt.ModelConfig(block_size=40), dtype="float64")
    texts = ["ab" * n for n in range(20)]
    documents = [model.tokenizer.encode(text) for text in texts]
    losses = [model.loss_and_grads(tokens)[0] for tokens in documents]
    unbounded = len(model._passes)
    monkeypatch.setattr("microgpt.engines.tensor.MAX_HELD", 100_000)
    model._passes.clear()
    assert [model.loss_and_grads(tokens)[0] for tokens in documents] == losses
    assert model.mean_loss(documents) == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert len(model._passes) < unbounded / 2


def test_attention_maps_are_those_of_the_decoder() -> None:
    model = microgpt.create(microgpt.ModelConfig(n_layer=2), dtype="float64")
    list(microgpt.train(model, ["emma", "maria"], microgpt.TrainConfig(steps=20)))
    tokens = model.tokenizer.encode("maria")[:-1]
    attention, probabilities = model.attention_maps(tokens)
    assert attention.shape == (2, 4, 6, 6)
    assert attention.sum(-1) == pytest.approx(np.ones((2, 4, 6)))
    assert not np.triu(attention, 1).any()
    step = model.decoder()
    for token, row in zip(tokens, probabilities, strict=True):
        logits = step(token)
        assert np.exp(logits) / np.exp(logits).sum() == pytest.approx(row)
