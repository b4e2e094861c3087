"""Generate text: a decoder with a KV cache, token after token, and whole documents."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.model_io import Array
from microgpt.sampling.distribution import NOT_FINITE, Sampling, SamplingError, draw
from microgpt.sampling.draws import Draws, folded_seed

AT_ONCE = 8192  # documents that an engine is asked for at once: their tokens fit into memory


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
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    return list(generated(model, num_samples, sampling, seed, prompt, check))


def generated(
    model: Model,
    num_samples: int,
    sampling: Sampling,
    seed: int,
    prompt: str = "",
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Yield the documents of `generate` as they are made, AT_ONCE together or one at a time."""
    check_seed(seed)
    if num_samples < 1:
        raise SamplingError(f"num_samples must be at least 1, not {num_samples!r}")
    tokenizer = model.tokenizer
    prompt = folded_prompt(model, prompt)
    begin, start = [tokenizer.bos, *tokenizer.characters(prompt)], folded_seed(seed)
    for first in range(0, num_samples, AT_ONCE):
        some = range(first, min(first + AT_ONCE, num_samples))
        tokens = None
        if sampling.only_temperature:
            try:
                tokens = model.generate_documents(begin, some, start, sampling.temperature, check)
            except FloatingPointError:
                raise SamplingError(NOT_FINITE) from None
        if tokens is not None:
            yield from (prompt + text for text in tokenizer.decode_documents(tokens))
        else:  # the engine computes one document at a time
            for number in some:
                yield "".join(stream_document(model, sampling, Draws(seed, number), prompt, check))


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
