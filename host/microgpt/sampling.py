"""Generate text: a decoder with a KV cache, the draw of a token, and whole documents.

The commands generate and chat and the service all use these, and so have the same limits.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array

LIMITS = {  # of the fields of Sampling that are numbers: the least and the largest
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
}
AT_ONCE = 8192  # documents that an engine is asked for at once: their tokens fit into memory
NOT_FINITE = "the logits are not finite: train the model again, with a lower lr"

WORD = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15


class SamplingError(UserError):
    """A field of Sampling, a prompt's length, a number of samples or a logit is out of range."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; `distribution` applies the fields.

    Raises SamplingError, which names the field, for a value out of range. The defaults but for the
    temperature change nothing.
    """

    temperature: float = 0.5  # divides the logits; 0: greedy, always the likeliest token
    top_k: int = 0  # draw from this many tokens, the likeliest; 0: from all
    top_p: float = 1.0  # draw from the likeliest whose probabilities reach this; 1: from all
    min_p: float = 0.0  # draw from those at least this many times as likely as the likeliest
    repetition_penalty: float = 1.0  # makes characters that occurred less likely; 1: does not

    def __post_init__(self) -> None:
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= largest:
                raise SamplingError(
                    f"{name} must be a number from {least:g} to {largest:g}, not {value!r}"
                )
        if type(self.top_k) is not int or self.top_k < 0:
            raise SamplingError(f"top_k must be a whole number from 0 on, not {self.top_k!r}")

    @property
    def only_temperature(self) -> bool:
        """Whether all fields but the temperature are off."""
        return self == Sampling(self.temperature)


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
        self.model = model
        self.restart()

    def restart(self) -> None:
        """Empty the KV cache: the next `read` computes its whole sequence."""
        self._step = self.model.decoder()
        self._read = 0
        self._logits: Array | None = None

    @property
    def block_size(self) -> int:
        """The largest number of tokens that `read` takes."""
        return self.model.config.block_size

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


class Drawn(NamedTuple):
    """A token, and the logits that it was drawn from, (vocab_size,), as the model gave them."""

    token: int
    logits: Array


def continued(
    decoder: Decoder, tokens: Sequence[int], sampling: Sampling, draws: Draws
) -> Iterator[Drawn]:
    """Yield the tokens that a model generates after `tokens`, until the block is full.

    `tokens` begin with BOS, and with what `decoder` has read. The caller stops at the token that is
    an end to it. The repetition penalty is on the characters of `tokens` and of what was generated.
    For what interrupts it see `Decoder.read`.
    """
    tokens = list(tokens)
    is_character = decoder.model.tokenizer.is_character
    seen = set(filter(is_character, tokens))
    while len(tokens) <= decoder.block_size:
        logits = decoder.read(tokens)
        token = draw(logits, sampling, draws, seen)
        yield Drawn(token, logits)
        tokens.append(token)
        if is_character(token):
            seen.add(token)


def generate(
    model: Model,
    num_samples: int = 1,
    temperature: float = 0.5,
    seed: int = 42,
    prompt: str = "",
    check: Callable[[], None] = lambda: None,
    *,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> list[str]:
    """Return `num_samples` documents that begin with `prompt`; the seed fixes them.

    Fewer documents of the same seed are the first of these, up to rounding. A document has at most
    block_size characters, a prompt at most block_size - 1. From `temperature` to
    `repetition_penalty` they are the fields of Sampling. The prompt is folded to the vocabulary,
    "Emma" to "emma". `check` is called every few milliseconds, or before each token; it may raise
    an error to stop. Raises SamplingError for a value out of range, ConfigError for a negative
    seed, VocabularyError for a character that `Tokenizer.fold` cannot fold.
    """
    check_seed(seed)
    if num_samples < 1:
        raise SamplingError(f"num_samples must be at least 1, not {num_samples!r}")
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    tokenizer = model.tokenizer
    prompt = folded_prompt(model, prompt)
    begin = [tokenizer.bos, *tokenizer.characters(prompt)]
    documents, start = range(num_samples), folded_seed(seed)
    texts: list[str] = []
    while len(texts) < num_samples and sampling.only_temperature:
        some = documents[len(texts) : len(texts) + AT_ONCE]
        try:
            tokens = model.generate_documents(begin, some, start, temperature, check)
        except FloatingPointError:
            raise SamplingError(NOT_FINITE) from None
        if tokens is None:  # the engine computes one document at a time
            break
        texts += [prompt + text for text in tokenizer.decode_documents(tokens)]
    return texts + [
        "".join(stream_document(model, sampling, Draws(seed, i), prompt, check))
        for i in documents[len(texts) :]
    ]


def stream_document(
    model: Model,
    sampling: Sampling,
    draws: Draws,
    prompt: str = "",
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Yield `prompt`, then each character that the model generates, until the document ends.

    A special token is yielded as its name. For `check` see `Decoder`, for the limits, the folding
    of the prompt and the other errors `generate`.
    """
    tokenizer = model.tokenizer
    prompt = folded_prompt(model, prompt)
    yield prompt
    tokens = [tokenizer.bos, *tokenizer.characters(prompt)]
    for token, _ in continued(Decoder(model, check), tokens, sampling, draws):
        if token == tokenizer.bos:
            return
        yield tokenizer.decode([token], special=True)


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


def draw(logits: Array, sampling: Sampling, draws: Draws, seen: Collection[int] = ()) -> int:
    """Return a token drawn from `distribution`, `logits` being (vocab_size,).

    At temperature 0 it is the likeliest token, and no random number is drawn. Raises SamplingError
    if a logit is not finite.
    """
    scores = _scores(logits, sampling, seen)
    if sampling.temperature == 0:
        return int(scores.argmax())
    cumulative = _weights(scores, sampling).cumsum()
    return int(cumulative.searchsorted(draws.random() * cumulative[-1]))


def distribution(logits: Array, sampling: Sampling, seen: Collection[int] = ()) -> Array:
    """Return the probabilities that tokens are drawn with, (vocab_size,), `logits` being as many.

    The fields of `sampling` are applied in this order, that of Hugging Face's transformers:

    - repetition_penalty (Keskar et al., 2019) divides a logit above 0 of a token in `seen`, and
      multiplies any other logit of these;
    - temperature divides the logits, and their softmax is what follows; at 0 all is on the largest
      logit;
    - top_k (Fan et al., 2018) keeps that many tokens, the likeliest;
    - top_p (Holtzman et al., 2020) keeps the smallest set of the likeliest whose probabilities,
      with those that top_k removed at 0, sum up to at least top_p;
    - min_p (Nguyen et al., 2024) keeps what is at least min_p times as likely as the likeliest.

    Of equally likely tokens the lower comes first. The likeliest is always kept. Raises
    SamplingError if a logit is not finite.
    """
    scores = _scores(logits, sampling, seen)
    if sampling.temperature == 0:
        weights: Array = np.zeros(len(scores))
        weights[scores.argmax()] = 1
    else:
        weights = _weights(scores, sampling)
    probabilities: Array = weights / weights.sum()
    return probabilities


def _scores(logits: Array, sampling: Sampling, seen: Collection[int]) -> Array:
    """Return the logits in float64 after the repetition penalty; raise SamplingError."""
    scores = np.array(logits, dtype=float)
    if sampling.repetition_penalty != 1:
        tokens = np.fromiter(seen, int)
        occurred = scores[tokens]
        penalty = sampling.repetition_penalty
        with np.errstate(over="ignore"):
            scores[tokens] = np.where(occurred > 0, occurred / penalty, occurred * penalty)
    if not np.isfinite(scores).all():
        raise SamplingError(NOT_FINITE)
    return scores


def _weights(scores: Array, sampling: Sampling) -> Array:
    """Return the probabilities at a temperature above 0, all divided by the largest of them."""
    # At a temperature close to 0 a score overflows to -inf, whose exp is 0, as it should be.
    with np.errstate(over="ignore"):
        weights: Array = np.exp((scores - scores.max()) / sampling.temperature)
    if sampling.top_k or sampling.top_p < 1:
        likeliest = np.argsort(-scores, kind="stable")
        if sampling.top_k:
            weights[likeliest[sampling.top_k :]] = 0
        if sampling.top_p < 1:
            reached = weights[likeliest].cumsum()
            last = reached.searchsorted(sampling.top_p * reached[-1])
            weights[likeliest[last + 1 :]] = 0
    weights[weights < sampling.min_p] = 0
    return weights
