"""The interface of every engine: a model, its gradient, its optimizer and its decoder.

This module knows no engine; `microgpt.engines` builds them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ugpt.layout import parameter_count, parameter_table

from microgpt import model_io
from microgpt.config import ModelConfig
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

Tokens = Sequence[int]
Mask = Sequence[bool]
Masks = Sequence[Mask | None] | None  # of several documents; None if none has a mask
DecodeStep = Callable[[int], Array]  # takes the next token, returns the logits after it


class Model(ABC):
    """A model and the state of its optimizer, in one of the engines."""

    engine: str
    dtype: str

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

    @abstractmethod
    def loss_and_grads(self, tokens: Tokens, mask: Mask | None = None) -> tuple[float, Matrices]:
        """Return the mean cross-entropy over the positions, and its gradient, {name: matrix}.

        With a `mask`, the mean is over the positions t at which mask[t] is true, that is, over the
        predictions of tokens[t + 1].
        """

    def batch_loss_and_grads(
        self, documents: Sequence[Tokens], masks: Masks = None
    ) -> tuple[float, Matrices]:
        """Return the mean of the documents' losses, and its gradient."""
        pairs = [self.loss_and_grads(*pair) for pair in with_masks(documents, masks)]
        count = len(pairs)
        mean = {
            name: np.sum([grads[name] for _, grads in pairs], axis=0) / count
            for name in self.weights
        }
        return sum(loss for loss, _ in pairs) / count, mean

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        """Return the mean of the documents' losses."""
        losses = [self.loss_and_grads(*pair)[0] for pair in with_masks(documents, masks)]
        return sum(losses) / len(losses)

    @abstractmethod
    def train_step(self, tokens: Tokens, step: int, lr: float, mask: Mask | None = None) -> float:
        """Update the weights by one step of Adam on a document; return the loss before it.

        `step` counts from 0, for Adam's bias correction; `lr` is the learning rate.
        """

    @abstractmethod
    def train_batch(
        self,
        documents: Sequence[Tokens],
        step: int,
        lr: float,
        masks: Masks = None,
        gradient_accumulation: int = 1,
    ) -> float:
        """Update the weights on the mean loss of several documents; see `train_step`.

        Engine "torch" splits the batch in `gradient_accumulation` parts and computes one after
        another, to need less memory. The other engines ignore it.
        """

    @abstractmethod
    def reset_optimizer(self) -> None:
        """Set Adam's moments to zero."""

    @abstractmethod
    def decoder(self) -> DecodeStep:
        """Return a function of the next token that returns the logits after it, (vocab_size,).

        It has a KV cache, so that each call computes one position. It can be called block_size
        times.
        """

    def save(self, folder: str | Path) -> None:
        """Write the model to `folder`; see `microgpt.model_io.save`."""
        model_io.save(self.config, self.tokenizer, self.weights, folder)


def with_masks(documents: Sequence[Tokens], masks: Masks) -> list[tuple[Tokens, Mask | None]]:
    """Return each document with its mask."""
    return list(zip(documents, masks or [None] * len(documents), strict=True))
