"""The board's model, as the host and the tools for boards know it: tokenizer, weights, limits."""

import numpy as np
from ugpt.app import SETTINGS
from ugpt.dataset import MAX_CHARACTERS
from ugpt.layout import NUMBERS, Sizes, parameter_table
from ugpt.model import INIT_STD
from ugpt.rng import Rng
from ugpt.tokenizer import BOS, LETTERS

from microgpt.config import ModelConfig
from microgpt.model_io import Matrices
from microgpt.tokenizer import Tokenizer

SIZES = Sizes()
CONFIG = ModelConfig()
TOKENIZER = Tokenizer(LETTERS, BOS)


def initial_weights(rng: Rng, sizes: Sizes = SIZES) -> Matrices:
    """Return the initial weights of a board's model, drawn from `rng` as `ugpt.model` does."""
    return {
        name: np.array([INIT_STD * rng.gauss() for _ in range(rows * columns)], "float32").reshape(
            rows, columns
        )
        for name, (rows, columns), _ in parameter_table(sizes)
    }


def refusals(config: ModelConfig, tokenizer: Tokenizer) -> list[str]:
    """Return the reasons why no board's program can hold a model; [] if there are none.

    Its characters must be those of the board's list of names too, and its memory must be enough.
    """
    reasons = [
        f"{name} {getattr(config, name):,} is above {SETTINGS[name][2]:,}"
        for name in NUMBERS
        if name in SETTINGS and getattr(config, name) > SETTINGS[name][2]
    ]
    if len(tokenizer.charset) > MAX_CHARACTERS:
        reasons.append(f"its {len(tokenizer.charset):,} characters are more than {MAX_CHARACTERS}")
    if tokenizer.special_tokens:
        reasons.append(f"it has the special tokens {' '.join(tokenizer.special_tokens)}")
    return reasons
