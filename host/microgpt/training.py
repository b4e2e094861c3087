"""The training loop: batches of documents in a fixed order, and a record of each step."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microgpt import memory
from microgpt.config import Decay, ModelConfig, TrainConfig
from microgpt.data import in_validation_set
from microgpt.engines import check_memory, evaluator, native_code
from microgpt.engines.base import Block, DivergedError, Model, as_block
from microgpt.errors import UserError
from microgpt.memory import Work
from microgpt.tokenizer import VocabularyError

Parts = tuple[Sequence[int], Sequence[int]]  # indices of documents: training, validation

VALIDATIONS = 20  # measurements of the validation loss in a run of at least so many steps
# Documents are encoded for so many steps at once, unless they are longer than so many characters.
BLOCK_STEPS = 256
BLOCK_CHARACTERS = 1 << 20


class TrainingError(UserError):
    """Training cannot start or continue; the message says why and what to do."""


@dataclass(frozen=True)
class Document:
    """The tokens of a document, and the positions that count in the loss; None for all."""

    tokens: list[int]
    mask: list[bool] | None = None  # mask[t]: whether predicting tokens[t + 1] counts


class Record(NamedTuple):
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
    parts: Parts | None = None,
    held: Sequence[str | Document] | None = None,
) -> Iterator[Record]:
    """Train `model` in place on texts or `Document`s, and yield a record of each step.

    `config` is by default a TrainConfig().
    Training starts from the model's weights, with Adam's moments at zero, and ends when the caller
    stops iterating or after `config.end` steps. To continue a run at step `first`, the model must
    have the moments of that step. Each of the `processes` that train one model together takes
    `batch` documents a step. The validation loss is measured VALIDATIONS times in `config.steps`
    steps, evenly spaced, or after every step if there are fewer; and after the last step. It is
    that of `held`, or else of the share `config.validation` of `docs`, which is not trained on;
    `parts` is what `split` returns, if the caller has it already.

    Raises TrainingError if there is no document, if a document has a character that is not in the
    vocabulary, or if a loss or its gradient is not finite: the weights are then those after the
    step before. Raises ConfigError if a step needs more memory than there is.
    """
    config = config or TrainConfig()
    check_step(model, docs, config)
    training, validation = parts or split(docs, 0 if held else config.validation)
    held_block = None
    if held:
        held_block = encoded(model, held, range(len(held)))
    elif validation:
        held_block = encoded(model, [docs[index] for index in validation], validation)
    if first == 0:
        model.reset_optimizer()
    count = config.batch * config.gradient_accumulation * processes
    order = itertools.islice(document_order(len(training), config), first * count, None)
    steps, decay, accumulation = config.steps, config.decay, config.gradient_accumulation
    step = first
    new = tuple.__new__  # in half the time of Record(...)
    for block in _blocks(model, docs, training, order, config.end - first, count):
        take = model.block_step(block)
        for document in range(0, len(block.starts) - 1, count):
            lr = config.lr * decayed(step / steps, decay)
            try:
                loss = take(document, count, step, lr, accumulation)
            except DivergedError as error:
                raise TrainingError(f"{error}: lower lr, it is {config.lr}") from None
            measured = None
            if held_block and (step + 1 == config.end or measured_after(step, steps)):
                measured = evaluator(model).block_loss(held_block)
            yield new(Record, (step, loss, lr, measured))
            step += 1


def _blocks(
    model: Model,
    docs: Sequence[str | Document],
    training: Sequence[int],
    order: Iterator[int],
    steps: int,
    count: int,
) -> Iterator[Block]:
    """Yield the documents of `steps` steps of `count` each, those of many steps at once.

    `order` are indices of `training`, and these of `docs`. A document that cannot be encoded raises
    its error when its step's turn has come.
    """
    at_once = max(1, BLOCK_STEPS // count)
    for done in range(0, steps, at_once):
        documents = min(at_once, steps - done) * count
        indices = [training[index] for index in itertools.islice(order, documents)]
        chosen = [docs[index] for index in indices]
        block = None
        if sum(map(_length, chosen)) <= BLOCK_CHARACTERS:
            with suppress(ValueError):
                block = encoded(model, chosen, indices)
        if block:
            yield block
        else:
            for start in range(0, documents, count):
                some = slice(start, start + count)
                yield encoded(model, chosen[some], indices[some])


def measured_after(step: int, steps: int) -> bool:
    """Return whether the validation loss is due after this one of `steps` steps."""
    count = min(VALIDATIONS, steps)
    return (step + 1) * count // steps > step * count // steps


def check_step(model: Model, docs: Sequence[str | Document], config: TrainConfig) -> None:
    """Raise ConfigError, with figures, if a step needs more memory than this machine has."""
    about = (model.config, model.tokenizer.vocab_size, model.engine, model.dtype)
    threads = model.threads
    # To read all documents' lengths takes longer than hundreds of steps.
    if memory.most_to_train(work_of(*about, (), config, threads)) > (memory.of_machine() or 0):
        check_memory(work_of(*about, docs, config, threads))


def work_of(
    sizes: ModelConfig,
    vocab_size: int,
    engine: str,
    dtype: str,
    docs: Sequence[str | Document],
    config: TrainConfig,
    threads: int = 1,
) -> Work:
    """Return what a step of a training computes, for an estimate of its memory."""
    return Work(
        sizes,
        vocab_size,
        engine,
        dtype,
        config.batch,
        config.gradient_accumulation,
        [_length(doc) for doc in docs],
        any(isinstance(doc, Document) and doc.mask is not None for doc in docs),
        threads,
    )


def _length(doc: str | Document) -> int:
    """Return the positions of a document, uncut."""
    return len(doc) + 1 if isinstance(doc, str) else len(doc.tokens) - 1


def decayed(done: float, decay: Decay) -> float:
    """Return the factor of the learning rate after the share `done` of the steps."""
    return 1 - done if decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def split(docs: Sequence[str | Document], validation: float) -> Parts:
    """Return the indices of the training documents and of the validation documents.

    Raises TrainingError if one of the two is empty, unless `validation` is 0.
    """
    if not docs:
        raise TrainingError("there are no documents to train on")
    if not validation:
        return range(len(docs)), []
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


def encoded(model: Model, docs: Sequence[str | Document], indices: Sequence[int]) -> Block:
    """Return documents as tokens; `indices` are theirs among all documents.

    Raises TrainingError for a character that is not in the vocabulary, ValueError for tokens or a
    mask that cannot be learned.
    """
    texts = [doc for doc in docs if isinstance(doc, str)]
    if len(texts) == len(docs):
        with suppress(VocabularyError):  # it is raised below, with the number of the document
            return Block(*model.tokenizer.encode_documents(texts))
    documents = [_encode(model, doc, index) for doc, index in zip(docs, indices, strict=True)]
    for doc in documents:
        n = model.positions(doc.tokens)
        if doc.mask is not None:
            model.position_weights(n, doc.mask)
    masks = [doc.mask for doc in documents]
    no_masks = all(mask is None for mask in masks)
    return as_block([doc.tokens for doc in documents], None if no_masks else masks)


def _encode(model: Model, doc: str | Document, index: int) -> Document:
    """Return a document as tokens; raise TrainingError for a character not in the vocabulary."""
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
    if config.order == "random":
        rng = random.Random(config.seed)
        while True:
            yield rng.randrange(count)
    indices = shuffled(count, config.seed) if config.order == "shuffled" else range(count)
    while True:
        yield from indices


def shuffled(count: int, seed: int) -> Sequence[int]:
    """Return 0 to `count` - 1 as `random.shuffle` orders them with a generator of this seed."""
    rng = random.Random(seed)
    code = native_code()
    if code and count < 2**31:
        order = np.arange(count, dtype=np.int32)
        # An index takes up to 1.47 words on average, since those that are too large are discarded.
        words = _words(rng, count * 3 // 2 + 1000)
        if code.shuffle(order, words):
            return order.data
        rng = random.Random(seed)
    indices = list(range(count))
    rng.shuffle(indices)
    return indices


def _words(rng: random.Random, count: int) -> NDArray[np.uint32]:
    """Return the next 32-bit words that `rng` makes its numbers from.

    NumPy has the same generator, the Mersenne Twister, and makes many at once.
    """
    *key, position = rng.getstate()[1]
    twister = np.random.RandomState(0)
    twister.set_state(("MT19937", np.array(key, np.uint32), position, 0, 0.0))
    return twister.randint(0, 2**32, count, np.uint32)
