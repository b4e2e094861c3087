"""Engine torch: held against tensor, minibatches, accumulation, memory."""

from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import data
from microgpt.chat import conversations, forms

from tests.support.models import TALKS

torch = pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")

torch.set_num_threads(1)  # for products this small, more threads are slower

CONFIGS = [
    microgpt.ModelConfig(),
    microgpt.ModelConfig(tie_lm_head=True),
    microgpt.ModelConfig(n_layer=2, n_head=2, input_rmsnorm=False),
    microgpt.ModelConfig(n_embd=48, n_layer=2, block_size=64),
]
TEXTS = ["emma", "a", "maryalexandrinaofthehouse", "olivia"]


def pair(config: microgpt.ModelConfig, dtype: str) -> tuple[microgpt.Model, microgpt.Model]:
    """Return the same model in the engines torch and tensor."""
    engines = ("torch", "tensor")
    ours, reference = (microgpt.create(config, engine=e, dtype=dtype) for e in engines)
    return ours, reference


def largest_error(ours: dict, reference: dict) -> float:
    """Return the largest difference, relative to the largest entry of its matrix or 0.001."""
    return max(np.abs(ours[n] - r).max() / max(np.abs(r).max(), 1e-3) for n, r in reference.items())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_parity_with_tensor(config: microgpt.ModelConfig, dtype: str, tolerance: float) -> None:
    ours, reference = pair(config, dtype)
    for text in TEXTS:
        tokens = ours.tokenizer.encode(text)
        for mask in (None, [i % 3 == 0 for i in range(len(tokens) - 1)]):
            loss, grads = ours.loss_and_grads(tokens, mask)
            expected_loss, expected = reference.loss_and_grads(tokens, mask)
            assert loss == pytest.approx(expected_loss, rel=tolerance)
            assert largest_error(grads, expected) < tolerance
    step, expected_step = ours.decoder(), reference.decoder()
    for token in ours.tokenizer.encode("maryalexandrina")[:16]:
        assert np.allclose(step(token), expected_step(token), atol=10 * tolerance)


def test_20_steps_give_the_weights_that_tensor_has() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    config = microgpt.TrainConfig(steps=20, order="sequential")
    losses, expected = (
        [record.loss for record in microgpt.train(m, TEXTS, config)] for m in (ours, reference)
    )
    assert losses == pytest.approx(expected, rel=1e-9)
    assert largest_error(ours.weights, reference.weights) < 1e-9


def test_a_minibatch_is_the_mean_of_its_documents() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    documents = [ours.tokenizer.encode(text) for text in TEXTS]
    masks = [None, None, [i > 7 for i in range(26)], [True] * 6 + [False]]
    loss, grads = ours.batch_loss_and_grads(documents, masks)
    parts = [reference.loss_and_grads(*pair) for pair in zip(documents, masks, strict=True)]
    mean = {name: sum(g[name] for _, g in parts) / 4 for name in grads}
    assert loss == pytest.approx(sum(part for part, _ in parts) / 4, rel=1e-12)
    assert largest_error(grads, mean) < 1e-12


def test_accumulation_changes_nothing_but_memory() -> None:
    whole = microgpt.create(microgpt.ModelConfig(), engine="torch", dtype="float64")
    parts = microgpt.create(microgpt.ModelConfig(), engine="torch", dtype="float64")
    big = microgpt.TrainConfig(steps=10, batch=4)
    small = microgpt.TrainConfig(steps=10, batch=2, gradient_accumulation=2)
    losses = [
        [r.loss for r in microgpt.train(m, TEXTS, c)] for m, c in [(whole, big), (parts, small)]
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert largest_error(parts.weights, whole.weights) < 1e-9


def test_weights_json_in_and_out(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")
    model.save(tmp_path / "model")
    back = microgpt.load(tmp_path / "model", engine="torch")
    other = microgpt.load(tmp_path / "model", engine="tensor")
    for name, matrix in model.weights.items():
        assert np.array_equal(matrix, back.weights[name])
        assert np.array_equal(matrix, other.weights[name])
    fields = {"top_k": 9, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.3}
    drawn = [microgpt.generate(m, 5, 1.0, 1, **fields) for m in (model, back, other)]
    assert drawn[0] == drawn[1] == drawn[2]
    greedy = [microgpt.generate(m, 5, 0.01, 1) for m in (model, back, other)]
    assert greedy[0] == greedy[1] == greedy[2]


def test_bfloat16_needs_cuda(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    microgpt.create(microgpt.ModelConfig()).save(tmp_path / "model")
    for engine, message in {
        "torch": "needs a CUDA device",
        "tensor": "is for engine torch",
    }.items():
        with pytest.raises(microgpt.ConfigError, match=f"dtype bfloat16 {message}"):
            microgpt.create(microgpt.ModelConfig(), engine=engine, dtype="bfloat16")
        with pytest.raises(microgpt.ConfigError, match=f"dtype bfloat16 {message}"):
            microgpt.load(tmp_path / "model", engine, "bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_cuda(tmp_path: Path, dtype: str, tolerance: float) -> None:
    reference = microgpt.create(CONFIGS[3])
    reference.save(tmp_path / "model")
    ours = microgpt.load(tmp_path / "model", "torch", dtype)
    assert ours.device.type == "cuda"
    for text in TEXTS:
        tokens = ours.tokenizer.encode(text)
        loss, _ = ours.loss_and_grads(tokens)
        assert loss == pytest.approx(reference.loss_and_grads(tokens)[0], rel=tolerance)
    config = microgpt.TrainConfig(steps=200, batch=4)
    losses = [record.loss for record in microgpt.train(ours, TEXTS, config)]
    assert losses[-1] < 0.5 < losses[0]
    assert len(microgpt.generate(ours, 3)) == 3


def test_the_mean_loss_of_held_out_documents() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    documents = [ours.tokenizer.encode(text) for text in TEXTS * 10]
    masks = [None, None, [i > 7 for i in range(26)], None] * 10
    expected = reference.mean_loss(documents, masks)
    assert ours.mean_loss(documents, masks) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), MemoryError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_only_too_little_memory_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type
) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(model, "_loss", fail)
    with pytest.raises(expected):
        model.train_step(model.tokenizer.encode("emma"), 0, 0.01)


def test_a_chat_model_of_torch_learns(tmp_path: Path) -> None:
    """Minibatches with masks, as `microgpt train --chat --batch 7` has them."""
    talks, _ = forms.read_conversations(TALKS)
    charset = data.charset_of([message.content for talk in talks for message in talk])
    config = microgpt.ModelConfig(n_embd=32, block_size=128)
    special = conversations.SPECIAL_TOKENS
    model = microgpt.create(config, charset, engine="torch", special_tokens=special)
    chats = conversations.chat_documents(model.tokenizer, talks, 128, assistant_only=True)
    run = microgpt.TrainConfig(steps=60, batch=7)
    losses = [record.loss for record in microgpt.train(model, chats.documents, run)]
    assert sum(losses[-10:]) / 10 < 0.6 * losses[0]
