"""The board's model, as the host and the tools for boards know it: tokenizer, weights, limits."""

import numpy as np
from ugpt.layout import Sizes, parameter_table
from ugpt.model import INIT_STD
from ugpt.rng import Rng
from ugpt.tokenizer import BOS, LETTERS

from microgpt.config import ModelConfig
from microgpt.model_io import Matrices
from microgpt.tokenizer import Tokenizer

SIZES = Sizes()
CONFIG = ModelConfig()
TOKENIZER = Tokenizer(LETTERS, BOS)
BOARD_BYTES = 120 * 1024  # free on an ESP32 without PSRAM after the program is loaded


def initial_weights(rng: Rng, sizes: Sizes = SIZES) -> Matrices:
    """Return the initial weights of a board's model, drawn from `rng` as `ugpt.model` does."""
    return {
        name: np.array([INIT_STD * rng.gauss() for _ in range(rows * columns)], "float32").reshape(
            rows, columns
        )
        for name, (rows, columns), _ in parameter_table(sizes)
    }


def refusals(config: ModelConfig, tokenizer: Tokenizer) -> list[str]:
    """Return the reasons why the board's program cannot hold a model; [] if it can.

    The board's program has fixed sizes and a fixed vocabulary.
    """
    reasons = [
        f"{name} {getattr(config, name)}, not {getattr(CONFIG, name)}"
        for name in ("n_embd", "n_head", "n_layer", "block_size")
        if getattr(config, name) != getattr(CONFIG, name)
    ]
    if config.tie_lm_head:
        reasons.append("a tied lm_head")
    if not config.input_rmsnorm:
        reasons.append("no norm after the embedding")
    if tokenizer.charset != TOKENIZER.charset or tokenizer.special_tokens:
        reasons.append(f"{tokenizer.vocab_size} tokens that are not BOS and a to z")
    return reasons
