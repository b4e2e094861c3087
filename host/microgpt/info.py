"""Facts about a model: sizes, vocabulary, memory, and whether a board can hold it."""

from typing import TypedDict

import ugpt.memory

from microgpt import boards, memory
from microgpt.board import refusals
from microgpt.chat.conversations import can_chat
from microgpt.engines.base import Model


class Memory(TypedDict):
    """Bytes in engine tensor, float32: to train on a document that fills the block, to generate."""

    train: int
    run: int


class BoardFit(TypedDict):
    """Whether boards can train a model.

    `bytes`: the memory that a board takes for it. `fits`: {board: whether it has that memory}.
    `push`: the board's program can hold a model of this shape and vocabulary; `reasons` says why
    not.
    """

    bytes: int
    fits: dict[str, bool]
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
    work = memory.Work(config, tokenizer.vocab_size, lengths=[config.block_size])
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
        "memory": {"train": memory.to_train(work), "run": memory.to_run(work)},
        "board": board(model),
    }


def board(model: Model) -> BoardFit:
    """Return which boards have the memory to train the model, and whether they can hold it."""
    sizes = model.sizes
    reasons = refusals(model.config, model.tokenizer)
    return {
        "bytes": ugpt.memory.needed(sizes),
        "fits": {name: not boards.refusal(name, sizes) for name in boards.BOARDS},
        "push": not reasons,
        "reasons": reasons,
    }
