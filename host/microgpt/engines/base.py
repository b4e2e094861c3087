"""The interface of every engine: a model, its gradient, its optimizer and its decoder.

This module knows no engine; `microgpt.engines` builds them.
"""

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from ugpt.layout import parameter_count, parameter_table

from microgpt import boards, html, model_io
from microgpt.config import ModelConfig
from microgpt.errors import ConfigError, UserError
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

Tokens = Sequence[int]
Mask = Sequence[bool]
Masks = Sequence[Mask | None] | None  # of several documents; None if none has a mask
Pairs = Sequence[tuple[Tokens, Mask | None]]  # documents with their masks
Moments = tuple[Matrices, Matrices]  # Adam's first and second moments
DecodeStep = Callable[[int], Array]  # takes the next token, returns the logits after it
# Takes the first document, how many, the step, the learning rate, the parts; returns the loss.
BlockStep = Callable[[int, int, int, float, int], float]


# {dtype of the arithmetic: dtype of the parameters, their gradients and Adam's moments}
STORED = {"float32": "float32", "float64": "float64", "bfloat16": "float32"}
MOST_LISTED = 100  # matrices that a notebook lists


class Block(NamedTuple):
    """Documents as one array: that of number i is tokens[starts[i] : starts[i + 1]]."""

    tokens: NDArray[np.int32]  # (total,)
    starts: NDArray[np.int32]  # (documents + 1,)
    masks: Masks = None

    def documents(self) -> list[Tokens]:
        """Return the tokens of each document."""
        tokens, starts = self.tokens.tolist(), self.starts.tolist()
        return [tokens[start:end] for start, end in pairwise(starts)]


class DivergedError(UserError):
    """A loss or the squared norm of its gradient is not finite: Adam cannot take a step."""


class Model(ABC):
    """A model and the state of its optimizer, in one of the engines.

    An engine computes a gradient in `_backward` and keeps it for `_gradients`, `_squared_norm` and
    `_update`. A step is the same in all engines: `train_batch` calls these.
    """

    engine: str
    dtype: str
    threads: int = 1  # of a step, where the engine has threads of its own

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.sizes = config.sizes(tokenizer.vocab_size)
        self.table: list[tuple[str, tuple[int, int], int]] = parameter_table(self.sizes)

    @property
    @abstractmethod
    def weights(self) -> Matrices:
        """The parameters as {name: (rows, columns)}, names and shapes of `ugpt.layout`."""

    @property
    def parameter_count(self) -> int:
        """The number of parameters."""
        return int(parameter_count(self.sizes))

    def __repr__(self) -> str:
        return f"<model of {self.parameter_count:,} parameters, engine {self.engine}, {self.dtype}>"

    def _repr_html_(self) -> str:
        """Return the facts about the model as a notebook shows them."""
        tokenizer = self.tokenizer
        fits = [name for name in boards.BOARDS if not boards.refusal(name, self.sizes)]
        matrices = [
            (name, f"{rows:,} x {columns:,}", f"{rows * columns:,}")
            for name, (rows, columns), _ in self.table
        ]
        return html.facts(
            f"A model of {self.parameter_count:,} parameters",
            {
                **{name: str(value) for name, value in vars(self.config).items()},
                "vocabulary": f"{tokenizer.vocab_size:,} tokens",
                "characters": tokenizer.charset,
                "special tokens": ", ".join(["BOS", *tokenizer.special_tokens]),
                "computes with": f"engine {self.engine}, {self.dtype}",
                "boards with the memory to train it": ", ".join(fits) or "none",
            },
            html.details(
                f"its {len(matrices):,} matrices"
                + f", the first {MOST_LISTED} of them" * (len(matrices) > MOST_LISTED),
                ("name", "rows x columns", "parameters"),
                matrices[:MOST_LISTED],
            ),
        )

    def positions(self, tokens: Tokens) -> int:
        """Return n, the number of positions of a document: min(block_size, len(tokens) - 1).

        Raises ValueError if that is 0, or if a token is not in the vocabulary.
        """
        if len(tokens) < 2:
            raise ValueError("a document needs at least 2 tokens")
        self.check_tokens(min(tokens), max(tokens))
        return min(self.config.block_size, len(tokens) - 1)

    def check_tokens(self, lowest: int, highest: int) -> None:
        """Raise ValueError unless tokens from `lowest` to `highest` are in the vocabulary."""
        if lowest < 0 or highest >= self.tokenizer.vocab_size:
            raise ValueError(f"tokens must be 0 to {self.tokenizer.vocab_size - 1}")

    def position_weights(self, n: int, mask: Mask) -> Array:
        """Return the weights, (n,), of n positions in the mean loss: equal where `mask` is true.

        Raises ValueError if `mask` is shorter than n, or false for all n positions.
        """
        counted = np.array(mask[:n], float)
        if len(counted) < n or not counted.any():
            raise ValueError("a mask must name at least 1 of the document's positions")
        weights: Array = counted / counted.sum()
        return weights

    def loss_and_grads(self, tokens: Tokens, mask: Mask | None = None) -> tuple[float, Matrices]:
        """Return the mean cross-entropy over the positions, and its gradient, {name: matrix}.

        With a `mask`, the mean is over the positions t at which mask[t] is true, that is, over the
        predictions of tokens[t + 1].
        """
        return self.batch_loss_and_grads([tokens], [mask])

    def batch_loss_and_grads(
        self, documents: Sequence[Tokens], masks: Masks = None
    ) -> tuple[float, Matrices]:
        """Return the mean of the documents' losses, and its gradient."""
        loss = self._backward(with_masks(documents, masks), 1)
        return loss, self._gradients()

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        """Return the mean of the documents' losses."""
        losses = [self.loss_and_grads(*pair)[0] for pair in with_masks(documents, masks)]
        return sum(losses) / len(losses)

    def train_step(self, tokens: Tokens, step: int, lr: float, mask: Mask | None = None) -> float:
        """Update the weights by one step of Adam on a document; return the loss before it.

        `step` counts from 0, for Adam's bias correction; `lr` is the learning rate. Raises
        DivergedError if the loss or the squared norm of its gradient is not finite; weights and
        moments are then unchanged.
        """
        return self.train_batch([tokens], step, lr, [mask])

    def train_batch(
        self,
        documents: Sequence[Tokens],
        step: int,
        lr: float,
        masks: Masks = None,
        gradient_accumulation: int = 1,
    ) -> float:
        """Update the weights on the mean loss of several documents; see `train_step`.

        The documents are computed in `gradient_accumulation` equal parts, one after another, in
        the memory that one part needs. Raises ConfigError if they do not divide so.
        """
        loss = self._backward(with_masks(documents, masks), gradient_accumulation)
        check_finite(step, loss, self._squared_norm())
        self._update(step, lr)
        return loss

    def block_step(self, block: Block) -> BlockStep:
        """Return what takes a step of training on some documents of `block`: see `train_batch`.

        The training loop calls it once a step. An engine whose step is short does without lists of
        tokens.
        """
        documents = block.documents()
        masks: Sequence[Mask | None] = block.masks or [None] * len(documents)

        def take(first: int, count: int, step: int, lr: float, parts: int) -> float:
            if count == 1:
                return self.train_step(documents[first], step, lr, masks[first])
            some = slice(first, first + count)
            return self.train_batch(documents[some], step, lr, masks[some], parts)

        return take

    def block_loss(self, block: Block) -> float:
        """Return the mean of the losses of all documents of `block`."""
        return self.mean_loss(block.documents(), block.masks)

    @abstractmethod
    def _backward(self, pairs: Pairs, parts: int) -> float:
        """Compute the mean loss and its gradient, `parts` of the pairs one after another."""

    @abstractmethod
    def _gradients(self) -> Matrices:
        """Return a copy of the gradient that `_backward` computed."""

    # An engine that has a `train_batch` of its own needs neither of these two.

    def _squared_norm(self) -> float:
        """Return the sum of the squares of that gradient, which Adam's second moments take in."""
        raise NotImplementedError

    def _update(self, step: int, lr: float) -> None:
        """Take a step of Adam with that gradient."""
        raise NotImplementedError

    @abstractmethod
    def reset_optimizer(self) -> None:
        """Set Adam's moments to zero."""

    @property
    @abstractmethod
    def moments(self) -> Moments:
        """A copy of Adam's moments, in the engine's own scale: only it can take them back."""

    @abstractmethod
    def restore_optimizer(self, moments: Moments, step: int) -> None:
        """Set Adam's moments to a copy of those that `moments` was before step `step`."""

    @abstractmethod
    def decoder(self) -> DecodeStep:
        """Return a function of the next token that returns the logits after it, (vocab_size,).

        It has a KV cache, so that each call computes one position. It can be called block_size
        times.
        """

    def generate_documents(
        self,
        prompt: Tokens,
        documents: range,
        seed: int,
        temperature: float,
        check: Callable[[], None],
    ) -> NDArray[np.int32] | None:
        """Return the tokens of documents, all one after another, each with BOS at its end.

        Each document begins with `prompt`, BOS and at most block_size - 1 tokens, which are not
        returned. Its random numbers are those of `sampling.Draws`, `seed` being 64 bits.
        `check` is called every few milliseconds; it may raise an error to stop. Returns None if the
        engine computes one document at a time, with `decoder`. Raises FloatingPointError if a logit
        is not finite.
        """
        return None

    def save(self, folder: str | Path, format: model_io.Format | None = None) -> None:
        """Write the model to `folder`, or to a file.safetensors; see `microgpt.model_io.save`."""
        model_io.save(self.config, self.tokenizer, self.weights, folder, format)


def as_block(documents: Sequence[Tokens], masks: Masks) -> Block:
    """Return documents as one array."""
    starts = np.zeros(len(documents) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, documents), np.int64, len(documents)), out=starts[1:])
    try:  # array.array refuses what is not a whole number, which NumPy cuts
        tokens = np.frombuffer(array("i", chain.from_iterable(documents)), np.int32)
    except OverflowError:
        raise ValueError("a token has more than 32 bits") from None
    return Block(tokens, starts, masks)


def check_finite(step: int, loss: float, squared: float) -> None:
    """Raise DivergedError unless a step's loss and the squared norm of its gradient are finite."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss at step {step} is {loss}")
    if not math.isfinite(squared):
        raise DivergedError(f"the squared norm of the gradient at step {step} is {squared}")


def with_masks(documents: Sequence[Tokens], masks: Masks) -> list[tuple[Tokens, Mask | None]]:
    """Return each document with its mask."""
    return list(zip(documents, masks or [None] * len(documents), strict=True))


def equal_parts(pairs: Pairs, parts: int) -> list[Pairs]:
    """Return the documents of each part; raise ConfigError if they do not divide evenly."""
    size, rest = divmod(len(pairs), parts)
    if rest or not size:
        raise ConfigError(f"{len(pairs)} documents do not divide into {parts} equal parts")
    return [pairs[part * size : (part + 1) * size] for part in range(parts)]
