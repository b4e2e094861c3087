"""Generate text: a decoder with a KV cache, the draw of a token, and whole documents.

The commands generate and chat and the service all use `Decoder` and `draw`, and so have the same
limits.
"""

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array

MAX_TEMPERATURE = 100.0


class SamplingError(UserError):
    """A temperature, a prompt's length or a number of samples is out of range, or a logit is."""


class Decoder:
    """Computes the next token's logits for a sequence that grows, with a KV cache.

    `read` takes the whole sequence on each call, and computes only the tokens added since the
    call before.
    """

    def __init__(self, model: Model, check: Callable[[], None] = lambda: None) -> None:
        """Call `check` before each token that is computed; it may raise an error to stop."""
        self.check = check
        self._model = model
        self.restart()

    def restart(self) -> None:
        """Empty the KV cache: the next `read` computes its whole sequence."""
        self._step = self._model.decoder()
        self._read = 0
        self._logits: Array | None = None

    @property
    def block_size(self) -> int:
        """The largest number of tokens that `read` takes."""
        return self._model.config.block_size

    def read(self, tokens: Sequence[int]) -> Array:
        """Return the logits, (vocab_size,), after `tokens`, 1 to block_size of them.

        `tokens` must begin with the tokens of the call before. If Ctrl-C or `check` interrupts the
        computation, the cache is emptied, because it may hold half a position.
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

    A document has at most block_size characters, a prompt at most block_size - 1. `temperature` is
    from 0, which is greedy, to MAX_TEMPERATURE. The prompt is folded to the vocabulary, "Emma" to
    "emma". Raises SamplingError for a value out of range, ConfigError for a negative seed,
    VocabularyError for a character that `Tokenizer.fold` cannot fold.
    """
    check_seed(seed)
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
    """Yield `prompt`, then each character that the model generates, until the document ends.

    A special token is yielded as its name. For `check` see `Decoder`, for the limits, the folding
    of the prompt and the other errors `generate`.
    """
    check_temperature(temperature)
    tokenizer = model.tokenizer
    decoder = Decoder(model, check)
    prompt = folded_prompt(model, prompt)
    tokens = [tokenizer.bos, *tokenizer.characters(prompt)]
    yield prompt
    while len(tokens) <= decoder.block_size:
        token = draw(decoder.read(tokens), temperature, rng)
        if token == tokenizer.bos:
            return
        yield tokenizer.decode([token], special=True)
        tokens.append(token)


def folded_prompt(model: Model, prompt: str) -> str:
    """Return a prompt in characters of the vocabulary.

    Raises VocabularyError for a character that `Tokenizer.fold` cannot fold, SamplingError if the
    prompt is longer than block_size - 1.
    """
    longest = model.config.block_size - 1
    if len(prompt) <= longest:
        prompt = model.tokenizer.fold(prompt)  # which can be longer
    if len(prompt) > longest:
        raise SamplingError(f"a prompt is at most {longest} characters, not {len(prompt)}")
    return prompt


def check_temperature(temperature: float) -> None:
    """Raise SamplingError unless `temperature` is from 0 to MAX_TEMPERATURE."""
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise SamplingError(
            f"temperature must be a number from 0 to {MAX_TEMPERATURE:g}, not {temperature!r}"
        )


def draw(logits: Array, temperature: float, rng: random.Random) -> int:
    """Return a token drawn from softmax(logits / temperature), `logits` being (vocab_size,).

    At temperature 0 it is the likeliest token, and no random number is drawn. Raises SamplingError
    if a logit is not finite.
    """
    scores = np.asarray(logits, dtype=float)
    if not np.isfinite(scores).all():
        raise SamplingError("the logits are not finite: train the model again, with a lower lr")
    if temperature == 0:
        return int(scores.argmax())
    # At a temperature close to 0 a score overflows to -inf, whose exp is 0, as it should be.
    with np.errstate(over="ignore"):
        weights = np.exp((scores - scores.max()) / temperature)
    return rng.choices(range(len(weights)), list(weights))[0]
