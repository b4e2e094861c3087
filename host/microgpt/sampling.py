"""Making documents up, token by token."""

import random
from collections.abc import Iterator, Sequence

import numpy as np

from microgpt.model import Model

LOWEST_TEMPERATURE = 0.01  # below, it is always the likeliest token


def generate(
    model: Model,
    num_samples: int = 1,
    temperature: float = 0.5,
    seed: int = 42,
    prompt: str = "",
) -> list[str]:
    """Return `num_samples` documents that begin with `prompt`; the seed fixes them.

    A document is at most block_size tokens. Raises ValueError if `temperature` is below
    LOWEST_TEMPERATURE or `num_samples` below 1, and if the prompt fills the block or leaves the
    vocabulary.
    """
    if not LOWEST_TEMPERATURE <= temperature < float("inf"):
        raise ValueError(f"temperature must be at least {LOWEST_TEMPERATURE}, not {temperature!r}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, not {num_samples!r}")
    rng = random.Random(seed)
    return ["".join(document(model, temperature, rng, prompt)) for _ in range(num_samples)]


def document(
    model: Model, temperature: float, rng: random.Random, prompt: str = ""
) -> Iterator[str]:
    """Yield `prompt`, then one character after the other, until the model ends the document.

    A special token that the model makes up is yielded as its name.
    """
    tokenizer, block_size = model.tokenizer, model.config.block_size
    known = tokenizer.characters(prompt)
    if len(known) >= block_size:
        raise ValueError(f"a prompt is at most {block_size - 1} characters, not {len(known)}")
    step = model.stepper()
    logits = step(tokenizer.bos)
    for token in known:
        logits = step(token)
    yield prompt
    for t in range(len(known) + 1, block_size + 1):
        token = draw(logits, temperature, rng)
        if token == tokenizer.bos:
            return
        yield tokenizer.decode([token], special=True)
        if t < block_size:
            logits = step(token)


def draw(logits: Sequence[float], temperature: float, rng: random.Random) -> int:
    """Return a token drawn from softmax(logits / temperature); at 0 the likeliest, always."""
    scores = np.asarray(logits, dtype=float)
    if temperature == 0:
        return int(scores.argmax())
    with np.errstate(over="ignore"):  # at a temperature close to 0: exp(-inf) is 0, as it should
        weights = np.exp((scores - scores.max()) / temperature)
    return rng.choices(range(len(weights)), weights)[0]
