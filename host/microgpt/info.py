"""Facts about a model: sizes, vocabulary, memory, and whether a board can hold it."""

from typing import TypedDict

from microgpt.board import BOARD_BYTES, refusals
from microgpt.chat.conversations import can_chat
from microgpt.engines.base import Model

FLOAT = 4  # bytes of a float32


class Memory(TypedDict):
    """Bytes in float32: to train the model, and to generate with it."""

    train: int
    run: int


class BoardFit(TypedDict):
    """Whether a model fits an ESP32 without PSRAM.

    `fits`: its memory is enough to train the model. `push`: its program can hold a model of this
    shape and vocabulary; `reasons` says why not.
    """

    fits: bool
    push: bool
    reasons: list[str]


class ModelInfo(TypedDict):
    """What `microgpt info --json` prints and the service's /model answers."""

    n_embd: int
    n_head: int
    n_layer: int
    block_size: int
    tie_lm_head: bool
    input_rmsnorm: bool
    parameters: int
    matrices: dict[str, list[int]]  # {name: [rows, columns]}
    vocab_size: int
    charset: str
    bos: int
    special_tokens: list[str]
    can_chat: bool
    memory: Memory
    board: BoardFit


def about(model: Model) -> ModelInfo:
    """Return the facts about a model."""
    config, tokenizer = model.config, model.tokenizer
    return {
        "n_embd": config.n_embd,
        "n_head": config.n_head,
        "n_layer": config.n_layer,
        "block_size": config.block_size,
        "tie_lm_head": config.tie_lm_head,
        "input_rmsnorm": config.input_rmsnorm,
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
    """Return the bytes of the weights and a full KV cache in float32."""
    config = model.config
    cache = 2 * config.n_layer * config.block_size * config.n_embd
    return FLOAT * (model.parameter_count + cache)


def bytes_to_train(model: Model) -> int:
    """Return the bytes that a training step takes in float32, for a document of block_size.

    They are the weights, the gradients, Adam's two moments, and the activations and their
    gradients as `ugpt.model` allocates them.
    """
    sizes = model.sizes
    n, width = sizes.block_size, sizes.n_embd
    layer = n * (6 * width + sizes.n_hidden + sizes.n_head * n + 2)
    rest = n * (8 * width + sizes.n_hidden + sizes.vocab_size + 1) + 1
    return int(FLOAT * (4 * model.parameter_count + sizes.n_layer * layer + rest))


def board(model: Model) -> BoardFit:
    """Return whether a board has the memory to train the model, and can hold it at all."""
    reasons = refusals(model.config, model.tokenizer)
    return {"fits": bytes_to_train(model) <= BOARD_BYTES, "push": not reasons, "reasons": reasons}
