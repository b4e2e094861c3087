"""Training: documents in an order, one a step, and a record of each step."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microgpt.config import TrainConfig
from microgpt.data import held_out
from microgpt.model import Model

HOLDOUT_TIMES = 20


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Record:
    """What one step did: its number from 0, the loss before its update, its learning rate.

    `holdout` is the mean loss of the held-out documents after the update; None at most steps.
    """

    step: int
    loss: float
    lr: float
    holdout: float | None = None


def train(model: Model, docs: Sequence[str], config: TrainConfig) -> Iterator[Record]:
    """Train `model` in place and yield a record a step; stop when you like.

    Weights go on from what they are, Adam's moments begin anew. Held-out documents are
    measured HOLDOUT_TIMES during a run, the last time after its last step.
    Raises TrainingError if there is no document, if one has a character outside the vocabulary,
    or if the loss is no longer a number.
    """
    training, held = split(docs, config.holdout)
    held_tokens = [_encode(model, docs, index) for index in held]
    model.reset_optimizer()
    order = document_order(len(training), config)
    last = min(config.steps, config.stop_after or config.steps) - 1
    every = max(1, config.steps // HOLDOUT_TIMES)
    for step in range(last + 1):
        batch = [_encode(model, docs, training[next(order)]) for _ in range(config.batch)]
        lr = config.lr * (1 - step / config.steps)
        if config.batch == 1:
            loss = model.train_step(batch[0], step, lr)
        else:
            loss = model.train_batch(batch, step, lr)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss at step {step} is {loss}: lower lr, it is {config.lr}")
        due = held and (step == last or (step + 1) % every == 0)
        yield Record(step, loss, lr, model.mean_loss(held_tokens) if due else None)


def split(docs: Sequence[str], holdout: float) -> tuple[list[int], list[int]]:
    """Return the indices of the documents to train on, and of those held out.

    Raises TrainingError if there is nothing to train on, or nothing in a share above 0.
    """
    if not docs:
        raise TrainingError("there are no documents to train on")
    if not holdout:
        return list(range(len(docs))), []
    indices: tuple[list[int], list[int]] = ([], [])
    for index, doc in enumerate(docs):
        indices[held_out(doc, holdout)].append(index)
    if not all(indices):
        sizes = f"{len(indices[0])} documents to train on and {len(indices[1])} held out"
        raise TrainingError(f"holdout {holdout} makes {sizes}: take more documents")
    return indices


def _encode(model: Model, docs: Sequence[str], index: int) -> list[int]:
    try:
        return model.tokenizer.encode(docs[index])
    except ValueError as error:
        raise TrainingError(f"document {index + 1}: {error}") from None


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
