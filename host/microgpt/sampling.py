"""Making documents up, token by token."""

import random

import numpy as np

from microgpt.model import Model

LOWEST_TEMPERATURE = 0.01  # below, it is always the likeliest token


def generate(
    model: Model, num_samples: int = 1, temperature: float = 0.5, seed: int = 42
) -> list[str]:
    """Return `num_samples` documents, each at most block_size tokens; the seed fixes them.

    Raises ValueError if `temperature` is below LOWEST_TEMPERATURE or `num_samples` below 1.
    """
    if not LOWEST_TEMPERATURE <= temperature < float("inf"):
        raise ValueError(f"temperature must be at least {LOWEST_TEMPERATURE}, not {temperature!r}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, not {num_samples!r}")
    rng = random.Random(seed)
    return [_document(model, temperature, rng) for _ in range(num_samples)]


def _document(model: Model, temperature: float, rng: random.Random) -> str:
    step = model.stepper()
    bos = model.tokenizer.bos
    vocabulary = range(model.tokenizer.vocab_size)
    tokens = []
    token = bos
    for _ in range(model.config.block_size):
        logits = np.asarray(step(token), dtype=float) / temperature
        weights = np.exp(logits - logits.max())
        token = rng.choices(vocabulary, weights)[0]
        if token == bos:
            break
        tokens.append(token)
    return model.tokenizer.decode(tokens)
