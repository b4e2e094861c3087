"""Generate text: a decoder with a KV cache, the draw of a token, and whole documents.

The commands generate and chat and the service all use these, and so have the same limits.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array

MAX_TEMPERATURE = 100.0
AT_ONCE = 8192  # documents that an engine is asked for at once: their tokens fit into memory
NOT_FINITE = "the logits are not finite: train the model again, with a lower lr"

WORD = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15


class SamplingError(UserError):
    """A temperature, a prompt's length or a number of samples is out of range, or a logit is."""


def mix(z: int) -> int:
    """Return the mix of 64 bits that SplitMix64 makes its numbers with (Steele et al., 2014)."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def folded_seed(seed: int) -> int:
    """Return 64 bits in which every bit of a seed, from 0 on, counts; a shorter seed is itself."""
    folded = 0
    for shift in reversed(range(0, seed.bit_length(), 64)):
        folded = mix(folded) ^ seed >> shift & WORD
    return folded


class Draws:
    """The random numbers of one document, which depend on the seed and on the document's number.

    Documents can therefore be computed in any order, and many at once. Document i has a SplitMix64
    of its own, which begins at number i of the one that begins at the seed. Engine "native" has the
    same in C.
    """

    def __init__(self, seed: int, document: int = 0) -> None:
        self._state = mix(folded_seed(seed) + (document + 1) * GAMMA & WORD)

    def random(self) -> float:
        """Return the next number: one of the odd multiples of 2**-24 between 0 and 1.

        A float32 holds it. It is never 0, so that a token of probability 0 is never drawn.
        """
        self._state = self._state + GAMMA & WORD
        return (mix(self._state) >> 41 << 1 | 1) * 2.0**-24


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
    check: Callable[[], None] = lambda: None,
) -> list[str]:
    """Return `num_samples` documents that begin with `prompt`; the seed fixes them.

    Fewer documents of the same seed are the first of these, up to rounding. A document has at most
    block_size characters, a prompt at most block_size - 1. `temperature` is from 0, which is
    greedy, to MAX_TEMPERATURE. The prompt is folded to the vocabulary, "Emma" to "emma". `check` is
    called every few milliseconds, or before each token; it may raise an error to stop. Raises
    SamplingError for a value out of range, ConfigError for a negative seed, VocabularyError for a
    character that `Tokenizer.fold` cannot fold.
    """
    check_seed(seed)
    if num_samples < 1:
        raise SamplingError(f"num_samples must be at least 1, not {num_samples!r}")
    check_temperature(temperature)
    tokenizer = model.tokenizer
    prompt = folded_prompt(model, prompt)
    begin = [tokenizer.bos, *tokenizer.characters(prompt)]
    documents, start = range(num_samples), folded_seed(seed)
    texts: list[str] = []
    while len(texts) < num_samples:
        some = documents[len(texts) : len(texts) + AT_ONCE]
        try:
            tokens = model.generate_documents(begin, some, start, temperature, check)
        except FloatingPointError:
            raise SamplingError(NOT_FINITE) from None
        if tokens is None:  # the engine computes one document at a time
            return texts + [
                "".join(stream_document(model, temperature, Draws(seed, i), prompt, check))
                for i in documents[len(texts) :]
            ]
        texts += [prompt + text for text in tokenizer.decode_documents(tokens)]
    return texts


def stream_document(
    model: Model,
    temperature: float,
    draws: Draws,
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
        token = draw(decoder.read(tokens), temperature, draws)
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


def draw(logits: Array, temperature: float, draws: Draws) -> int:
    """Return a token drawn from softmax(logits / temperature), `logits` being (vocab_size,).

    At temperature 0 it is the likeliest token, and no random number is drawn. Raises SamplingError
    if a logit is not finite.
    """
    scores = np.asarray(logits, dtype=float)
    if not np.isfinite(scores).all():
        raise SamplingError(NOT_FINITE)
    if temperature == 0:
        return int(scores.argmax())
    # At a temperature close to 0 a score overflows to -inf, whose exp is 0, as it should be.
    with np.errstate(over="ignore"):
        cumulative = np.exp((scores - scores.max()) / temperature).cumsum()
    return int(cumulative.searchsorted(draws.random() * cumulative[-1]))
