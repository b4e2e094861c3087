"""What a model is: sizes, parameters, vocabulary, memory, and what a board makes of it."""

import dataclasses
from typing import Any

from microgpt.board import BOARD_BYTES, refusals
from microgpt.conversations import can_chat
from microgpt.engines.base import Model

FLOAT = 4  # bytes, of a float32


def about(model: Model) -> dict[str, Any]:
    """Return all of it as JSON would have it; memory in bytes."""
    tokenizer = model.tokenizer
    return {
        **dataclasses.asdict(model.config),
        "parameters": model.parameter_count,
        "matrices": {name: list(shape) for name, shape, _ in model.table},
        "vocab_size": tokenizer.vocab_size,
        "charset": tokenizer.charset,
        "bos": tokenizer.bos,
        "special_tokens": list(tokenizer.special_tokens),
        "can_chat": can_chat(tokenizer),
        "memory": {"train": bytes_to_train(model), "run": bytes_to_run(model)},
        "board": board(model),
    }


def bytes_to_run(model: Model) -> int:
    """Return the memory of the weights and a full KV cache in float32."""
    config = model.config
    cache = 2 * config.n_layer * config.block_size * config.n_embd
    return FLOAT * (model.parameter_count + cache)


def bytes_to_train(model: Model) -> int:
    """Return the memory that a training step takes in float32, a whole block a document.

    Weights, gradients and Adam's two moments, and the other buffers of `ugpt.model`.
    """
    sizes = model.sizes
    n, width = sizes.block_size, sizes.n_embd
    layer = n * (6 * width + sizes.n_hidden + sizes.n_head * n + 2)
    rest = n * (8 * width + sizes.n_hidden + sizes.vocab_size + 1) + 1
    return FLOAT * (4 * model.parameter_count + sizes.n_layer * layer + rest)


def board(model: Model) -> dict[str, Any]:
    """Return whether an ESP32 without PSRAM has the memory to train the model, and whether
    `make push` takes it, or why not.
    """
    reasons = refusals(model.config, model.tokenizer)
    return {"fits": bytes_to_train(model) <= BOARD_BYTES, "push": not reasons, "reasons": reasons}
