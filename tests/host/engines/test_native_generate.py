"""Generation in engine native: the documents of tensor, in any company, stopped at any time."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import memory
from microgpt.engines.base import Model
from microgpt.sampling import Decoder, Draws, Sampling, SamplingError, documents, stream_document

from tests.support.engines import built, pair

SIZES = {
    "the default": (microgpt.ModelConfig(), 27),
    "vocabulary 2, one position": (microgpt.ModelConfig(block_size=1), 2),
    "one of everything": (microgpt.ModelConfig(1, 1, 1, 1), 2),
    "width 12, both switches": (microgpt.ModelConfig(12, 3, 2, 7, True, False), 19),
    "a head for each number": (microgpt.ModelConfig(17, 17, 1, 9), 33),
    "one head of 20": (microgpt.ModelConfig(20, 1, 3, 40), 16),
    "vocabulary 300": (microgpt.ModelConfig(32, 4, 1, 24), 300),
    "4 layers of 64": (microgpt.ModelConfig(64, 4, 4, 100), 65),
}


@pytest.fixture
def names(names_folder: Path) -> tuple[Model, Model]:
    """A trained model in native and in tensor."""
    tensor = microgpt.load(names_folder, engine="tensor")
    return built(tensor.config, tensor.tokenizer, tensor.weights), tensor


def distance(model: Model, text: str, temperature: float, draws: Draws) -> float:
    """Return how far the number that is drawn after `text` is from the next limit of a token."""
    for _ in text:
        draws.random()
    tokens = [model.tokenizer.bos, *model.tokenizer.characters(text)]
    scores = Decoder(model).read(tokens) / temperature
    limits = np.exp(scores - scores.max()).cumsum()
    return float(abs(limits / limits[-1] - draws.random()).min())


def differing(native: Model, tensor: Model, count: int, temperature: float) -> int:
    """Return how many documents differ; each must differ where a draw is close to a limit."""
    found = microgpt.generate(native, count, temperature, 3)
    expected = microgpt.generate(tensor, count, temperature, 3)
    wrong = [i for i in range(count) if found[i] != expected[i]]
    for i in wrong:
        pairs = enumerate(zip(found[i] + "\0", expected[i] + "\0", strict=False))
        same = next(t for t, (a, b) in pairs if a != b)
        assert distance(tensor, expected[i][:same], temperature, Draws(3, i)) < 1e-4
    return len(wrong)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_2000_names_are_those_of_tensor(names: tuple[Model, Model], temperature: float) -> None:
    assert differing(*names, 2000, temperature) <= 10


@pytest.mark.parametrize(("config", "vocab_size"), SIZES.values(), ids=SIZES)
def test_documents_of_any_model(config: microgpt.ModelConfig, vocab_size: int) -> None:
    native, tensor = pair(config, vocab_size)
    for temperature in (1.0, 3.0, 100.0):
        assert differing(native, tensor, 40, temperature) <= 2


@pytest.mark.parametrize("temperature", [0, 1e-3, 1e-30, 1e-308, 1e-320])
def test_greedy_and_nearly_greedy(names: tuple[Model, Model], temperature: float) -> None:
    native, tensor = names
    for prompt in ("", "mar"):
        found = microgpt.generate(native, 20, temperature, prompt=prompt)
        assert found == microgpt.generate(tensor, 20, temperature, prompt=prompt)
    for model in names:
        model.weights["lm_head"][:] = 0  # all tokens are equal: the first, which is BOS
    if temperature == 0:
        assert microgpt.generate(native, 3, 0) == microgpt.generate(tensor, 3, 0) == [""] * 3


def test_prompts(names: tuple[Model, Model]) -> None:
    native, tensor = names
    for prompt in ("a", "em", "Má", "abcdefghijklmno"):
        found = microgpt.generate(native, 40, 1.0, 3, prompt)
        expected = microgpt.generate(tensor, 40, 1.0, 3, prompt)
        assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 1
        assert max(map(len, found)) <= 16


def test_a_document_is_the_same_in_any_company(names: tuple[Model, Model]) -> None:
    """To the bit: at a temperature this high, a difference in rounding would soon be seen."""
    native, _ = names
    many = microgpt.generate(native, 20_000, 100.0, 3)
    for count in (1, 2, 15, 16, 17, 33, 9000):
        assert microgpt.generate(native, count, 100.0, 3) == many[:count]


def test_one_at_a_time_and_many_at_once_are_the_same_documents(names: tuple[Model, Model]) -> None:
    native, _ = names
    many = microgpt.generate(native, 300, 1.0, 3)
    each = ["".join(stream_document(native, Sampling(1.0), Draws(3, i))) for i in range(300)]
    assert sum(a != b for a, b in zip(many, each, strict=True)) <= 1


def test_where_memory_is_short_documents_are_computed_one_at_a_time(
    names: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    native, _ = names
    expected = microgpt.generate(native, 50, 1.0, 3)
    monkeypatch.setattr(memory, "of_machine", lambda: 100_000)
    assert native.generate_documents([0], range(50), 3, 1.0, lambda: None) is None
    found = microgpt.generate(native, 50, 1.0, 3)
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 1


def test_weights_are_read_at_each_call(names: tuple[Model, Model]) -> None:
    native, tensor = names
    before = microgpt.generate(native, 20, 1.0)
    for model in names:
        model.weights["wte"][:] *= 3
    after = microgpt.generate(native, 20, 1.0)
    assert after != before
    assert after == microgpt.generate(tensor, 20, 1.0)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["lm_head", "wpe", "layer0.attn_wq", "layer0.mlp_fc1"])
@pytest.mark.parametrize("temperature", [0, 0.5])
def test_logits_that_are_not_finite(
    names: tuple[Model, Model], odd: float, name: str, temperature: float
) -> None:
    native, _ = names
    native.weights[name][:1] = odd
    with pytest.raises(SamplingError, match="the logits are not finite"):
        microgpt.generate(native, 20, temperature)


def test_it_can_be_stopped_every_few_milliseconds(names: tuple[Model, Model]) -> None:
    native, _ = names
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        microgpt.generate(native, 20_000, check=check)
    assert calls == 5


def test_ctrl_c(names: tuple[Model, Model]) -> None:
    native, _ = names
    expected = microgpt.generate(native, 100)
    with pytest.raises(KeyboardInterrupt):
        microgpt.generate(native, 8192, check=lambda: signal.raise_signal(signal.SIGINT))
    assert microgpt.generate(native, 100) == expected


def test_threads_do_not_disturb_each_other(names: tuple[Model, Model]) -> None:
    native, _ = names
    expected = [microgpt.generate(native, 3000, 1.0, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: microgpt.generate(native, 3000, 1.0, seed), range(4)))
    assert found == expected


def test_a_large_seed_and_special_tokens() -> None:
    config = microgpt.ModelConfig(n_embd=8, n_head=2)
    tensor = microgpt.create(config, "ab\0", 5, "tensor", special_tokens=("<|x|>", "\1"))
    native = built(config, tensor.tokenizer, tensor.weights)
    for seed in (2**63, 2**64 - 1, 2**64 + 1, 10**50):
        found = microgpt.generate(native, 50, 1.0, seed)
        assert found == microgpt.generate(tensor, 50, 1.0, seed)
    assert "<|x|>" in "".join(found)


def test_what_is_refused(names: tuple[Model, Model]) -> None:
    """What would let the compiled part read elsewhere."""
    native, _ = names
    for wrong in ([], [27], [0, -1], [0] * 17, [2**40], ["a"]):
        with pytest.raises((ValueError, TypeError)):
            native.generate_documents(wrong, range(3), 1, 1.0, lambda: None)
    with pytest.raises(TypeError):
        native.generate_documents([0], range(3), 1, 1.0, None)
    step = native.decoder()
    for wrong in (27, -1, 2**31 - 1, -(2**31)):
        with pytest.raises(IndexError, match="no such token, or the block is full"):
            step(wrong)
    for _ in range(16):
        step(1)
    with pytest.raises(IndexError, match="no such token, or the block is full"):
        step(1)


def test_documents_that_are_there_are_not_computed_again(
    names: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    native, _ = names
    expected = microgpt.generate(native, 9)
    many, alone = native.generate_documents, []
    monkeypatch.setattr(documents, "AT_ONCE", 4)
    native.generate_documents = lambda prompt, some, *rest: (
        many(prompt, some, *rest) if len(some) == 4 else alone.append(some)
    )
    assert microgpt.generate(native, 9) == expected
    assert alone == [range(8, 9)]
    streamed = []
    stream = documents.stream_document
    monkeypatch.setattr(
        documents, "stream_document", lambda *given: streamed.append(given) or stream(*given)
    )
    assert microgpt.generate(native, 9) == expected
    assert len(streamed) == 1
