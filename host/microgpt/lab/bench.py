"""The benchmark: the time of a training step in the engines scalar and tensor, on one thread.

Every engine has the same documents, the same initial weights and the same sizes. The figures are
medians over the repeats; see `lab.timing`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from threadpoolctl import threadpool_limits

from microgpt.config import ModelConfig
from microgpt.data import charset_of
from microgpt.engines import create
from microgpt.lab.extrapolation import extrapolated
from microgpt.lab.timing import (
    FIRST,
    Figures,
    Progress,
    Turn,
    figures,
    long_documents,
    medians_of_turns,
    spread,
)

ENGINES = ("scalar", "tensor")
BATCH = 32
CHAT_SIZED = ModelConfig(n_embd=128, n_layer=6, block_size=512)


class Minibatch(TypedDict):
    """Documents a second of engine tensor, `one` a step and in a `batch` of `documents`."""

    documents: int
    documents_per_s: dict[str, float]
    speedup: float


@dataclass(frozen=True)
class Bench:
    """What was measured of one model: {engine: figures}, medians over `repeats` of `steps` steps.

    `about` are further facts about the model, such as its sizes.
    """

    parameters: int
    steps: int
    repeats: int
    seed: int
    about: Mapping[str, object]
    engines: dict[str, Figures]

    @property
    def speedup(self) -> dict[str, float]:
        """How many times as fast as scalar each engine is."""
        scalar = self.engines["scalar"]["us_per_step"]
        return {engine: scalar / row["us_per_step"] for engine, row in self.engines.items()}

    def as_json(self) -> dict[str, object]:
        """Return the protocol and the figures."""
        protocol = {
            "parameters": self.parameters,
            "steps": self.steps,
            "repeats": self.repeats,
            "seed": self.seed,
            "threads": 1,
            **self.about,
        }
        return {"protocol": protocol, "engines": self.engines, "speedup": self.speedup}


def bench(
    docs: Sequence[str],
    charset: str,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
) -> tuple[Bench, Minibatch]:
    """Time a step of the default model, with one document in both engines and with a minibatch.

    The documents are `steps` of the first FIRST of `docs`, evenly spread.
    """
    models = {engine: create(ModelConfig(), charset, seed, engine) for engine in ENGINES}
    tensor = models["tensor"]
    encoded = [tensor.tokenizer.encode(doc) for doc in spread(docs[:FIRST], steps)]
    enough = [tensor.tokenizer.encode(doc) for doc in spread(docs[:FIRST], 10 * BATCH)]
    batches = [enough[start : start + BATCH] for start in range(0, len(enough), BATCH)]
    with threadpool_limits(1):
        turns = {engine: Turn(model.train_step, encoded) for engine, model in models.items()}
        medians = medians_of_turns(turns, repeats, progress)
        # More repeats: a turn is short, and the ratio of two short times is noisy.
        both: dict[str, Callable[[], float]] = {
            "one": Turn(tensor.train_step, enough),
            "batch": Turn(tensor.train_batch, batches),
        }
        seconds = medians_of_turns(both, 4 * repeats, progress)
    positions = sum(map(tensor.positions, encoded))
    measured = Bench(
        tensor.parameter_count,
        len(encoded),
        repeats,
        seed,
        {"dtype": {engine: model.dtype for engine, model in models.items()}},
        {engine: figures(median, len(encoded), positions) for engine, median in medians.items()},
    )
    minibatch: Minibatch = {
        "documents": BATCH,
        "documents_per_s": {name: len(enough) / median for name, median in seconds.items()},
        "speedup": seconds["one"] / seconds["batch"],
    }
    return measured, minibatch


def bench_chat_sized(
    docs: Sequence[str],
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
    scalar_seconds: float = 60,
) -> Bench:
    """Time a step of a model of the size CHAT_SIZED, with documents that fill its block.

    The figures of engine scalar are extrapolated from what it does in `scalar_seconds`.
    """
    config = CHAT_SIZED
    long = long_documents(docs, config.block_size, 2)
    charset = charset_of(long)
    tensor = create(config, charset, seed, "tensor")
    encoded = [tensor.tokenizer.encode(doc) for doc in long]
    with threadpool_limits(1):
        turns = {"tensor": Turn(tensor.train_step, encoded)}
        seconds = medians_of_turns(turns, repeats, progress)["tensor"] / len(encoded)
    progress("scalar, a few positions of one layer")
    slow = extrapolated(config, charset, encoded[0], seed, scalar_seconds)
    scalar = figures(slow, 1, config.block_size)
    scalar["extrapolated"] = True
    return Bench(
        tensor.parameter_count,
        len(encoded),
        repeats,
        seed,
        dataclasses.asdict(config),
        {"scalar": scalar, "tensor": figures(seconds, 1, config.block_size)},
    )
