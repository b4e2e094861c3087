"""Training: documents in an order, one a step, and a record of each step."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microgpt.config import TrainConfig
from microgpt.model import Model


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Record:
    """What one step did: its number from 0, the loss before its update, its learning rate."""

    step: int
    loss: float
    lr: float


def train(model: Model, docs: Sequence[str], config: TrainConfig) -> Iterator[Record]:
    """Train `model` in place and yield a record a step; stop when you like.

    Weights go on from what they are, Adam's moments begin anew.

    Raises TrainingError if there is no document, if one has a character outside the vocabulary,
    or if the loss is no longer a number.
    """
    if not docs:
        raise TrainingError("there are no documents to train on")
    model.reset_optimizer()
    order = document_order(len(docs), config)
    for step in range(config.steps):
        index = next(order)
        try:
            tokens = model.tokenizer.encode(docs[index])
        except ValueError as error:
            raise TrainingError(f"document {index + 1}: {error}") from None
        lr = config.lr * (1 - step / config.steps)
        loss = model.train_step(tokens, step, lr)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss at step {step} is {loss}: lower lr, it is {config.lr}")
        yield Record(step, loss, lr)


def document_order(count: int, config: TrainConfig) -> Iterator[int]:
    """Yield, without end, the index of the next of `count` documents.

    The shuffled order is microgpt.py's: one `random.shuffle` with the seed, the same in each round.
    """
    rng = random.Random(config.seed)
    if config.order == "random":
        while True:
            yield rng.randrange(count)
    indices = list(range(count))
    if config.order == "shuffled":
        rng.shuffle(indices)
    while True:
        yield from indices
