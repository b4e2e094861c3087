"""How the benchmarks measure: equal results first, then turns, and medians over the turns.

Whatever is compared is timed in turns, one after the other and then again, so that a moment in
which the machine is busy affects all of it alike.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NotRequired, TypedDict, TypeVar

from microgpt.config import TrainConfig
from microgpt.engines.base import Model
from microgpt.sampling import generate

FIRST = 1000  # the documents timed are spread over the first of the file
WARM_UP_S = 0.2
LR = TrainConfig().lr
# At the usual learning rate the loss of a large model oscillates, and rounding errors grow.
LR_COMPARED = 1e-4
MOST_DIFFERENCE = 1e-3  # of two losses
SAMPLES = 100  # documents that are compared
LEAST_EQUAL = 95  # of them: a draw can fall between two engines' roundings

Work = TypeVar("Work")
Progress = Callable[[str], None]


class Figures(TypedDict):
    """The time of a training step, in microseconds, and what that makes in a second."""

    us_per_step: float
    steps_per_s: float
    tokens_per_s: float
    extrapolated: NotRequired[bool]


def figures(seconds: float, steps: int, positions: int) -> Figures:
    """Return the figures of `steps` steps that learned from `positions` positions in `seconds`."""
    return {
        "us_per_step": seconds / steps * 1e6,
        "steps_per_s": steps / seconds,
        "tokens_per_s": positions / seconds,
    }


@dataclass(frozen=True)
class Turn(Generic[Work]):
    """A turn: one training step, learn(item, step, learning rate), for each item of `work`."""

    learn: Callable[[Work, int, float], float]
    work: Sequence[Work]

    def __call__(self) -> float:
        """Return the seconds of a turn, after a warm-up of WARM_UP_S that fills the caches."""
        warm = time.perf_counter() + WARM_UP_S
        for step, item in enumerate(itertools.cycle(self.work)):
            self.learn(item, step, LR)
            if time.perf_counter() > warm:
                break
        start = time.perf_counter()
        for step, item in enumerate(self.work):
            self.learn(item, step, LR)
        return time.perf_counter() - start


@dataclass(frozen=True)
class Repeated:
    """A turn: `work` as often as fits into WARM_UP_S, which fills the caches, and once timed."""

    work: Callable[[], object]

    def __call__(self) -> float:
        """Return the seconds of the last call."""
        warm = time.perf_counter() + WARM_UP_S
        self.work()
        while time.perf_counter() < warm:
            self.work()
        start = time.perf_counter()
        self.work()
        return time.perf_counter() - start


def check_losses(models: Mapping[str, Model], encoded: Sequence[Sequence[int]]) -> None:
    """Exit with an error unless all models have the same losses in the first ten steps.

    The steps change the models.
    """
    for step, tokens in enumerate(encoded[:10]):
        losses = {name: it.train_step(tokens, step, LR_COMPARED) for name, it in models.items()}
        if max(losses.values()) - min(losses.values()) > MOST_DIFFERENCE:
            sys.exit(f"error: the models differ, losses at step {step}: {losses}")


def check_samples(models: Mapping[str, Model]) -> None:
    """Exit with an error unless nearly all documents that the models generate are the same."""
    first, *others = (generate(model, SAMPLES) for model in models.values())
    for engine, samples in zip(list(models)[1:], others, strict=True):
        equal = sum(map(str.__eq__, first, samples))
        if equal < LEAST_EQUAL:
            sys.exit(f"error: {engine} generates only {equal} of {SAMPLES} documents as it should")


def medians_of_turns(
    turns: Mapping[str, Callable[[], float]],
    repeats: int,
    progress: Progress = lambda text: None,
) -> dict[str, float]:
    """Return {name: median of its seconds over `repeats` turns}; the names take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for repeat in range(repeats):
        for name, turn in turns.items():
            progress(f"{name}, repeat {repeat + 1} of {repeats}")
            seconds[name].append(turn())
    return {name: statistics.median(times) for name, times in seconds.items()}


def spread(docs: Sequence[str], count: int) -> list[str]:
    """Return `count` of `docs`, evenly spread; all of them if there are fewer."""
    count = min(count, len(docs))
    return [docs[i * len(docs) // count] for i in range(count)]


def long_documents(docs: Iterable[str], length: int, count: int) -> list[str]:
    """Return `count` documents of `length` characters: parts of `docs` joined by spaces."""
    text = " ".join(docs)
    while len(text) < count * length:
        text += " " + text
    return [text[i * length : (i + 1) * length] for i in range(count)]
