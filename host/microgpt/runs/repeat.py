"""A run compared with its repetition: `microgpt train --repeat`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from microgpt.config import TrainConfig
from microgpt.engines import load
from microgpt.runs import info, log


def compare(before: Path, now: Path) -> list[str]:
    """Return what differs between a run and its repetition, a line each; [] if nothing does.

    Losses are compared, and the weights unless the run was interrupted: that may have been in the
    middle of a step. If anything differs, the differences of the environment are added.
    """
    lines = [*_losses(before, now), *_weights(before, now)]
    return [*lines, *_environments(before, now)] if lines else []


def _losses(before: Path, now: Path) -> Iterator[str]:
    """Yield the first loss that differs."""
    old, new = log.read_steps(before), log.read_steps(now)
    if len(old) != len(new):
        yield f"{len(old)} steps before, {len(new)} now"
    for then, again in zip(old, new, strict=False):
        for name in ("loss", "validation"):
            pair = getattr(then, name), getattr(again, name)
            if pair[0] != pair[1]:
                yield f"{name} at step {then.step}: {pair[0]} before, {pair[1]} now"
                return


def _weights(before: Path, now: Path) -> Iterator[str]:
    """Yield which weights differ, if the run was complete."""
    train = TrainConfig(**info.read(before).content["train"])
    if len(log.read_steps(before)) != train.end:
        return
    old, new = (load(folder, dtype="float64").weights for folder in (before, now))
    different = [name for name, matrix in old.items() if not np.array_equal(matrix, new[name])]
    if different:
        yield f"weights of {', '.join(different)}"


def _environments(before: Path, now: Path) -> Iterator[str]:
    """Yield what differs in versions, commit and hardware."""
    old, new = (info.read(folder).content["environment"] for folder in (before, now))
    for key in new.keys() - {"command"}:
        if old.get(key) != new[key]:
            yield f"{key}: {old.get(key)} before, {new[key]} now"
