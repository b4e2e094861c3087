"""The random numbers of documents, and engines that compute many documents at once."""

import itertools
from collections.abc import Callable, Iterator

import microgpt
import numpy as np
import pytest
from microgpt import engines
from microgpt.chat.conversations import SPECIAL_TOKENS
from microgpt.model_io import Array
from microgpt.sampling import (
    Decoder,
    Draws,
    Sampling,
    SamplingError,
    documents,
    draw,
    generated,
    stream_document,
)
from microgpt.sampling.draws import folded_seed
from microgpt.tokenizer import Tokenizer
from ugpt.layout import parameter_table


@pytest.fixture
def model() -> microgpt.Model:
    return microgpt.create(microgpt.ModelConfig(), seed=3)


# The random numbers.


def splitmix64(state: int) -> Iterator[int]:
    """Yield the numbers of SplitMix64 as its authors wrote it."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield z ^ (z >> 31)


def test_the_numbers_are_those_of_splitmix64() -> None:
    # The first three for seed 1234567, as in other implementations.
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert list(itertools.islice(splitmix64(1234567), 3)) == known
    for document, state in enumerate(known):
        draws = Draws(1234567, document)
        for number in itertools.islice(splitmix64(state), 100):
            assert draws.random() == (number >> 41) / 2**23 + 2**-24


def test_numbers_are_between_0_and_1_and_float32_holds_them() -> None:
    draws = Draws(7)
    numbers = np.array([draws.random() for _ in range(20_000)])
    assert np.array_equal(numbers, numbers.astype("float32"))
    assert 0 < numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    assert np.histogram(numbers, 10, (0, 1))[0] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_every_bit_of_a_seed_counts() -> None:
    seeds = [0, 1, 2**32, 2**64 - 1, 2**64, 2**64 + 1, 2**128, 3 * 2**128, 10**100]
    assert len({Draws(seed).random() for seed in seeds}) == len(seeds)
    assert {folded_seed(seed) == seed for seed in seeds[:4]} == {True}
    assert all(0 <= folded_seed(seed) < 2**64 for seed in seeds)


def test_fewer_documents_are_the_first_of_more(
    model: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = microgpt.generate(model, 20, 1.0, seed=5)
    assert len(set(texts)) > 15
    for number in (1, 7, 19):
        assert microgpt.generate(model, number, 1.0, seed=5) == texts[:number]
    monkeypatch.setattr(documents, "AT_ONCE", 3)
    assert microgpt.generate(model, 20, 1.0, seed=5) == texts
    endless = generated(model, 10**21, Sampling(1.0), 5)
    assert list(itertools.islice(endless, 20)) == texts
    streamed = ["".join(stream_document(model, Sampling(1.0), Draws(5, i))) for i in range(20)]
    assert streamed == texts


# Engines that compute many documents at once.


class Batched:
    """Documents of a model made by `generate_documents`, from `stream_document`'s tokens."""

    def __init__(self, model: microgpt.Model) -> None:
        self.model = model
        self.asked: list[range] = []

    def __call__(
        self,
        prompt: list[int],
        documents: range,
        seed: int,
        temperature: float,
        check: Callable[[], None],
    ) -> Array:
        check()
        self.asked.append(documents)
        tokens = []
        for number in documents:
            draws = Draws(seed, number)
            text = list(prompt)
            decoder = Decoder(self.model)
            while len(text) <= decoder.block_size:
                text.append(draw(decoder.read(text), Sampling(temperature), draws))
                if text[-1] == self.model.tokenizer.bos:
                    break
            else:
                text.append(self.model.tokenizer.bos)
            tokens += text[len(prompt) :]
        return np.array(tokens, np.int32)


@pytest.mark.parametrize("bos", [0, 4])
@pytest.mark.parametrize("charset", ["abc ", "\0\1a\n", "a\U0001f600\ud800z"])
@pytest.mark.parametrize("special", [(), SPECIAL_TOKENS, ("\0", "<\2>")])
def test_documents_at_once_are_those_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, bos: int, charset: str, special: tuple[str, ...]
) -> None:
    tokenizer = Tokenizer(charset, bos, special)
    config = microgpt.ModelConfig(n_embd=4, n_head=2, block_size=5)
    table = parameter_table(config.sizes(tokenizer.vocab_size))
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(0, 0.5, shape) for name, shape, _ in table}
    model = engines.build(config, tokenizer, weights, "tensor", "float32")
    for prompt, seed in (("", 2), (charset[2] * 2, 3), (charset[2] * 4, 2**64 + 5)):
        expected = microgpt.generate(model, 50, 1.0, seed, prompt)
        assert len({len(text) for text in expected}) > 1
        with monkeypatch.context() as patched:
            batched = Batched(model)
            patched.setattr(model, "generate_documents", batched)
            patched.setattr(documents, "AT_ONCE", 20)
            assert microgpt.generate(model, 50, 1.0, seed, prompt) == expected
        assert batched.asked == [range(20), range(20, 40), range(40, 50)]


def test_an_engine_whose_logits_are_not_finite(
    model: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: object) -> Array:
        raise FloatingPointError

    monkeypatch.setattr(model, "generate_documents", diverged)
    with pytest.raises(SamplingError, match="the logits are not finite"):
        microgpt.generate(model)


def test_check_can_stop_documents(model: microgpt.Model) -> None:
    def check() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        microgpt.generate(model, 3, check=check)
