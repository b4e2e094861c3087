"""What every engine offers, and the making of a new model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ugpt.layout import parameter_count, parameter_table
from ugpt.model import INIT_STD

from microgpt.config import ModelConfig
from microgpt.tokenizer import Tokenizer

DTYPES = ("float32", "float64", "bfloat16")
ENGINES = ("scalar", "tensor", "torch")

Matrices = dict[str, np.ndarray]
Mask = Sequence[bool]
Masks = Sequence[Mask | None] | None  # of several documents


class Model(ABC):
    """A model and the state of its optimizer, in one of the engines."""

    engine: str
    dtype: str
    rank = 0  # of the processes that train it together, this one's number; see engine "torch"
    world = 1  # the number of these processes
    weights: Matrices  # {name: (rows, columns)}, names and shapes of `ugpt.layout`

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.sizes = config.sizes(tokenizer.vocab_size)
        self.table = parameter_table(self.sizes)

    @property
    def parameter_count(self) -> int:
        """The number of parameters."""
        return parameter_count(self.sizes)

    def positions(self, tokens: Sequence[int]) -> int:
        """Return n, the positions of a document that count.

        Raises ValueError if there is none, or a token that is not in the vocabulary.
        """
        if len(tokens) < 2:
            raise ValueError("a document needs at least 2 tokens")
        self.check_tokens(min(tokens), max(tokens))
        return min(self.config.block_size, len(tokens) - 1)

    def check_tokens(self, lowest: int, highest: int) -> None:
        """Raise ValueError if these tokens, or those between, are not in the vocabulary."""
        if lowest < 0 or highest >= self.tokenizer.vocab_size:
            raise ValueError(f"tokens must be 0 to {self.tokenizer.vocab_size - 1}")

    def position_weights(self, n: int, mask: Mask) -> np.ndarray:
        """Return the share of each of n positions in the loss, from a mask of n or more.

        Raises ValueError if no position counts.
        """
        counted = np.array(mask[:n], float)
        if len(counted) < n or not counted.any():
            raise ValueError("a mask must name at least 1 of the document's positions")
        return counted / counted.sum()

    @abstractmethod
    def loss_and_grads(
        self, tokens: Sequence[int], mask: Mask | None = None
    ) -> tuple[float, Matrices]:
        """Return the mean cross-entropy over the positions, and its gradient, {name: matrix}.

        With a `mask`, over the positions t where mask[t] is true, those that predict a
        tokens[t + 1] to be learned.
        """

    @abstractmethod
    def train_step(
        self, tokens: Sequence[int], step: int, lr: float, mask: Mask | None = None
    ) -> float:
        """Learn from one document by Adam, `step` counting from 0; return the loss before that."""

    def batch_loss_and_grads(
        self, documents: Sequence[Sequence[int]], masks: Masks = None
    ) -> tuple[float, Matrices]:
        """Return the mean of the documents' losses, and its gradient."""
        pairs = [self.loss_and_grads(*pair) for pair in with_masks(documents, masks)]
        count = len(pairs)
        mean = {name: sum(grads[name] for _, grads in pairs) / count for name in self.weights}
        return sum(loss for loss, _ in pairs) / count, mean

    @abstractmethod
    def train_batch(
        self,
        documents: Sequence[Sequence[int]],
        step: int,
        lr: float,
        masks: Masks = None,
        accumulate: int = 1,
    ) -> float:
        """Learn from the mean loss of several documents, and return it; see `train_step`.

        Engine "torch" computes it in `accumulate` parts, which take less memory.
        """

    def mean_loss(self, documents: Sequence[Sequence[int]], masks: Masks = None) -> float:
        """Return the mean of the documents' losses, which engine "tensor" computes."""
        dtype = "float64" if self.dtype == "float64" else "float32"
        tensor = build(self.config, self.tokenizer, self.weights, "tensor", dtype)
        return tensor.mean_loss(documents, masks)

    @abstractmethod
    def reset_optimizer(self) -> None:
        """Forget what Adam has gathered; a training begins."""

    @abstractmethod
    def stepper(self) -> Callable[[int], Sequence[float]]:
        """Return a function that takes one token after the other and gives the next one's logits.

        It keeps keys and values, so that a call computes one position; block_size calls at most.
        """

    def save(self, folder: str | Path) -> None:
        """Write the model to `folder`; see `microgpt.folder.save`."""
        from microgpt.folder import save

        save(self, folder)


def with_masks(
    documents: Sequence[Sequence[int]], masks: Masks
) -> list[tuple[Sequence[int], Mask | None]]:
    """Return each document with its mask."""
    return list(zip(documents, masks or [None] * len(documents), strict=True))


def build(
    config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, engine: str, dtype: str
) -> Model:
    """Return a model of `engine` with these weights; ValueError for an unknown engine or dtype."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if engine == "torch":
        try:
            from microgpt.torch_engine import TorchModel
        except ImportError:
            raise ValueError("no PyTorch here: .venv/bin/pip install -e '.[torch]'") from None

        return TorchModel(config, tokenizer, weights, dtype)
    if dtype == "bfloat16":
        raise ValueError("dtype bfloat16 is for engine torch")
    if engine == "scalar":
        from microgpt.scalar import ScalarModel

        return ScalarModel(config, tokenizer, weights)
    if engine == "tensor":
        from microgpt.tensor import TensorModel

        return TensorModel(config, tokenizer, weights, dtype)
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")


def create(
    config: ModelConfig,
    charset: str = "abcdefghijklmnopqrstuvwxyz",
    seed: int = 42,
    engine: str = "tensor",
    dtype: str = "float32",
    special_tokens: Sequence[str] = (),
) -> Model:
    """Return a new model, its weights drawn from N(0, 0.08) in flat order; the seed fixes them.

    `dtype` is for engine "tensor"; "scalar" computes in Python's own floats, float64.
    """
    tokenizer = Tokenizer(charset, special_tokens=special_tokens)
    rng = np.random.default_rng(seed)
    table = parameter_table(config.sizes(tokenizer.vocab_size))
    weights = {name: rng.normal(0.0, INIT_STD, shape) for name, shape, _ in table}
    return build(config, tokenizer, weights, engine, dtype)
