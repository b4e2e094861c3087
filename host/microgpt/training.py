"""The training loop: batches of documents in a fixed order, and a record of each step."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microgpt.config import Decay, ModelConfig, TrainConfig
from microgpt.data import in_validation_set
from microgpt.engines import check_memory, evaluator
from microgpt.engines.base import DivergedError, Model
from microgpt.errors import UserError
from microgpt.memory import Work
from microgpt.tokenizer import VocabularyError

VALIDATIONS = 20  # measurements of the validation loss in a run of at least so many steps


class TrainingError(UserError):
    """Training cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True)
class Document:
    """The tokens of a document, and the positions that count in the loss; None for all."""

    tokens: list[int]
    mask: list[bool] | None = None  # mask[t]: whether predicting tokens[t + 1] counts


@dataclass(frozen=True)
class Record:
    """A step of training: its number, from 0, its loss before the update, its learning rate.

    `validation` is the validation loss after the update, None where it was not measured.
    """

    step: int
    loss: float
    lr: float
    validation: float | None = None


def train(
    model: Model,
    docs: Sequence[str | Document],
    config: TrainConfig | None = None,
    first: int = 0,
    processes: int = 1,
) -> Iterator[Record]:
    """Train `model` in place on texts or `Document`s, and yield a record of each step.

    `config` is by default a TrainConfig().
    Training starts from the model's weights, with Adam's moments at zero, and ends when the caller
    stops iterating or after `config.end` steps. To continue a run at step `first`, the model must
    have the moments of that step. Each of the `processes` that train one model together takes
    `batch` documents a step. The validation loss is measured VALIDATIONS times in `config.steps`
    steps, evenly spaced, or after every step if there are fewer; and after the last step.

    Raises TrainingError if there is no document, if a document has a character that is not in the
    vocabulary, or if a loss or its gradient is not finite: the weights are then those after the
    step before. Raises ConfigError if a step needs more memory than there is.
    """
    config = config or TrainConfig()
    check_step(model, docs, config)
    training, validation = split(docs, config.validation)
    validation_docs = [encode(model, docs, index) for index in validation]
    if first == 0:
        model.reset_optimizer()
    count = config.batch * config.gradient_accumulation * processes
    order = itertools.islice(document_order(len(training), config), first * count, None)
    for step in range(first, config.end):
        batch = [encode(model, docs, training[next(order)]) for _ in range(count)]
        lr = config.lr * decayed(step / config.steps, config.decay)
        try:
            if count == 1:
                loss = model.train_step(batch[0].tokens, step, lr, batch[0].mask)
            else:
                parts = config.gradient_accumulation
                loss = model.train_batch(_tokens(batch), step, lr, _masks(batch), parts)
        except DivergedError as error:
            raise TrainingError(f"{error}: lower lr, it is {config.lr}") from None
        due = validation_docs and (step + 1 == config.end or measured_after(step, config.steps))
        yield Record(step, loss, lr, validation_loss(model, validation_docs) if due else None)


def measured_after(step: int, steps: int) -> bool:
    """Return whether the validation loss is due after this one of `steps` steps."""
    count = min(VALIDATIONS, steps)
    return (step + 1) * count // steps > step * count // steps


def check_step(model: Model, docs: Sequence[str | Document], config: TrainConfig) -> None:
    """Raise ConfigError, with figures, if a step needs more memory than this machine has."""
    vocab_size = model.tokenizer.vocab_size
    check_memory(work_of(model.config, vocab_size, model.engine, model.dtype, docs, config))


def work_of(
    sizes: ModelConfig,
    vocab_size: int,
    engine: str,
    dtype: str,
    docs: Sequence[str | Document],
    config: TrainConfig,
) -> Work:
    """Return what a step of a training computes, for an estimate of its memory."""
    return Work(
        sizes,
        vocab_size,
        engine,
        dtype,
        config.batch,
        config.gradient_accumulation,
        [len(doc) + 1 if isinstance(doc, str) else len(doc.tokens) - 1 for doc in docs],
        any(isinstance(doc, Document) and doc.mask is not None for doc in docs),
    )


def validation_loss(model: Model, docs: Sequence[Document]) -> float:
    """Return the mean loss over documents that are not trained on."""
    return evaluator(model).mean_loss(_tokens(docs), _masks(docs))


def decayed(done: float, decay: Decay) -> float:
    """Return the factor of the learning rate after the share `done` of the steps."""
    return 1 - done if decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def _tokens(docs: Sequence[Document]) -> list[list[int]]:
    return [doc.tokens for doc in docs]


def _masks(docs: Sequence[Document]) -> list[list[bool] | None]:
    return [doc.mask for doc in docs]


def split(docs: Sequence[str | Document], validation: float) -> tuple[list[int], list[int]]:
    """Return the indices of the training documents and of the validation documents.

    Raises TrainingError if one of the two is empty, unless `validation` is 0.
    """
    if not docs:
        raise TrainingError("there are no documents to train on")
    if not validation:
        return list(range(len(docs))), []
    indices: tuple[list[int], list[int]] = ([], [])
    for index, doc in enumerate(docs):
        text = doc if isinstance(doc, str) else str(doc.tokens)
        indices[in_validation_set(text, validation)].append(index)
    if not all(indices):
        raise TrainingError(
            f"validation {validation} makes {len(indices[0])} documents to train on and "
            f"{len(indices[1])} for validation: take more documents"
        )
    return indices


def encode(model: Model, docs: Sequence[str | Document], index: int) -> Document:
    """Return docs[index] as tokens; raise TrainingError for a character not in the vocabulary."""
    doc = docs[index]
    if isinstance(doc, Document):
        return doc
    try:
        return Document(model.tokenizer.encode(doc))
    except VocabularyError as error:
        raise TrainingError(f"document {index + 1}: {error}") from None


def document_order(count: int, config: TrainConfig) -> Iterator[int]:
    """Yield indices of `count` documents without end, in the order of `config`.

    The shuffled order is microgpt.py's: one `random.shuffle`, and the same order in every epoch.
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
