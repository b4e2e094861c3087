"""Training: documents in an order, one a step, and a record of each step."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microgpt.config import Decay, TrainConfig
from microgpt.data import held_out
from microgpt.model import Model

HOLDOUT_TIMES = 20


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Document:
    """Tokens to learn, and the positions that count in the loss if not all do."""

    tokens: list[int]
    mask: list[bool] | None = None  # mask[t]: whether predicting tokens[t + 1] counts


@dataclass(frozen=True)
class Record:
    """What one step did: its number from 0, the loss before its update, its learning rate.

    `holdout` is the mean loss of the held-out documents after the update; None at most steps.
    """

    step: int
    loss: float
    lr: float
    holdout: float | None = None


def train(
    model: Model, docs: Sequence[str | Document], config: TrainConfig, first: int = 0
) -> Iterator[Record]:
    """Train `model` in place on texts or `Document`s, yield a record a step; stop when you like.

    Weights go on from what they are, Adam's moments begin anew; but a run that was interrupted
    goes on at step `first` with both. Processes that train together take `batch` documents each.
    Held-out documents are measured HOLDOUT_TIMES during a run, the last time after its last step.
    Raises TrainingError if there is no document, if one has a character outside the vocabulary,
    or if the loss is no longer a number.
    """
    training, held = split(docs, config.holdout)
    measured_docs = [encode(model, docs, index) for index in held]
    if first == 0:
        model.reset_optimizer()
    count = config.batch * config.accumulate * model.world
    order = itertools.islice(document_order(len(training), config), first * count, None)
    every = max(1, config.steps // HOLDOUT_TIMES)
    for step in range(first, config.end):
        batch = [encode(model, docs, training[next(order)]) for _ in range(count)]
        lr = config.lr * decayed(step / config.steps, config.decay)
        if count == 1:
            loss = model.train_step(batch[0].tokens, step, lr, batch[0].mask)
        else:
            loss = model.train_batch(_tokens(batch), step, lr, _masks(batch), config.accumulate)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss at step {step} is {loss}: lower lr, it is {config.lr}")
        due = held and (step + 1 == config.end or (step + 1) % every == 0)
        measured = model.mean_loss(_tokens(measured_docs), _masks(measured_docs)) if due else None
        yield Record(step, loss, lr, measured)


def decayed(done: float, decay: Decay) -> float:
    """Return the share of the learning rate that is left when a share of the steps is done."""
    return 1 - done if decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def _tokens(docs: Sequence[Document]) -> list[list[int]]:
    return [doc.tokens for doc in docs]


def _masks(docs: Sequence[Document]) -> list[list[bool] | None]:
    return [doc.mask for doc in docs]


def split(docs: Sequence[str | Document], holdout: float) -> tuple[list[int], list[int]]:
    """Return the indices of the documents to train on, and of those held out.

    Raises TrainingError if there is nothing to train on, or nothing in a share above 0.
    """
    if not docs:
        raise TrainingError("there are no documents to train on")
    if not holdout:
        return list(range(len(docs))), []
    indices: tuple[list[int], list[int]] = ([], [])
    for index, doc in enumerate(docs):
        text = doc if isinstance(doc, str) else str(doc.tokens)
        indices[held_out(text, holdout)].append(index)
    if not all(indices):
        sizes = f"{len(indices[0])} documents to train on and {len(indices[1])} held out"
        raise TrainingError(f"holdout {holdout} makes {sizes}: take more documents")
    return indices


def encode(model: Model, docs: Sequence[str | Document], index: int) -> Document:
    """Return one of `docs` as tokens; TrainingError at a character outside the vocabulary."""
    doc = docs[index]
    if isinstance(doc, Document):
        return doc
    try:
        return Document(model.tokenizer.encode(doc))
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
