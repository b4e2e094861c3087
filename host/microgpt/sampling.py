"""Sampling: the decoder with its limits, the draw of a token, and documents made of both.

Everything that generates text goes through `Decoder` and `draw`: generate, chat and the service.
"""

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array

MOST_TEMPERATURE = 100.0


class SamplingError(UserError):
    """A temperature, a prompt or a number of samples is out of its range."""


class Decoder:
    """A model reading one sequence of tokens; its KV cache holds what it has read.

    `read` takes the whole sequence each time and computes only what was added to it.
    """

    def __init__(self, model: Model, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called before each token that is computed; it may raise."""
        self.check = check
        self._model = model
        self.restart()

    def restart(self) -> None:
        """Forget what was read."""
        self._step = self._model.decoder()
        self._read = 0
        self._logits: Array | None = None

    @property
    def block_size(self) -> int:
        """The most tokens that can be read."""
        return self._model.config.block_size

    def read(self, tokens: Sequence[int]) -> Array:
        """Return the logits, (vocab_size,), after `tokens`, at most block_size of them.

        They begin with all that was read before. If computing a token is interrupted, by Ctrl-C
        or by `check`, everything read is forgotten: the next call computes it again.
        """
        try:
            for token in tokens[self._read :]:
                self.check()
                self._logits = self._step(token)
                self._read += 1
        except BaseException:
            self.restart()
            raise
        assert self._logits is not None
        return self._logits


def generate(
    model: Model,
    num_samples: int = 1,
    temperature: float = 0.5,
    seed: int = 42,
    prompt: str = "",
) -> list[str]:
    """Return `num_samples` documents that begin with `prompt`; the seed fixes them.

    A document is at most block_size tokens. `temperature` is from 0, greedy, to MOST_TEMPERATURE.
    Raises SamplingError for a value out of range and for a prompt of more than block_size - 1
    characters, VocabularyError for a character that is not in the vocabulary.
    """
    if num_samples < 1:
        raise SamplingError(f"num_samples must be at least 1, not {num_samples!r}")
    rng = random.Random(seed)
    return ["".join(stream_document(model, temperature, rng, prompt)) for _ in range(num_samples)]


def stream_document(
    model: Model,
    temperature: float,
    rng: random.Random,
    prompt: str = "",
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Yield `prompt`, then one character after the other, until the model ends the document.

    A special token is yielded as its name. `check` is called before each token that is computed;
    it may raise. Other errors are those of `generate`.
    """
    check_temperature(temperature)
    tokenizer = model.tokenizer
    decoder = Decoder(model, check)
    tokens = [tokenizer.bos, *tokenizer.characters(prompt)]
    if len(tokens) > decoder.block_size:
        raise SamplingError(
            f"a prompt is at most {decoder.block_size - 1} characters, not {len(tokens) - 1}"
        )
    yield prompt
    while len(tokens) <= decoder.block_size:
        token = draw(decoder.read(tokens), temperature, rng)
        if token == tokenizer.bos:
            return
        yield tokenizer.decode([token], special=True)
        tokens.append(token)


def check_temperature(temperature: float) -> None:
    """Raise SamplingError unless `temperature` is from 0 to MOST_TEMPERATURE."""
    if not 0 <= temperature <= MOST_TEMPERATURE:
        raise SamplingError(
            f"temperature must be a number from 0 to {MOST_TEMPERATURE:g}, not {temperature!r}"
        )


def draw(logits: Array, temperature: float, rng: random.Random) -> int:
    """Return a token drawn from softmax(logits / temperature); at 0 the likeliest token."""
    scores = np.asarray(logits, dtype=float)
    if temperature == 0:
        return int(scores.argmax())
    with np.errstate(over="ignore"):  # at a temperature close to 0: exp(-inf) is 0, as it should
        weights = np.exp((scores - scores.max()) / temperature)
    return rng.choices(range(len(weights)), list(weights))[0]
