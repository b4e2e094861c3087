"""Compare a run with its repetition, for `microgpt train --repeat`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from microgpt.config import TrainConfig, from_json
from microgpt.engines import load
from microgpt.runs import info, log


def compare(before: Path, now: Path) -> list[str]:
    """Return the differences between a run and its repetition, a line each; [] if there are none.

    The losses are compared, and the weights if the run was complete: an interruption can be in the
    middle of a step. If anything differs, the differences between the environments are added.
    Raises UserError if a folder cannot be read.
    """
    then = info.read(before)
    steps = log.read_steps(before)
    lines = list(_losses(steps, log.read_steps(now)))
    if len(steps) == from_json(TrainConfig, then.content.get("train")).end:
        lines += _weights(before, now)
    return [*lines, *_environments(then, info.read(now))] if lines else []


def _losses(old: list[log.Step], new: list[log.Step]) -> Iterator[str]:
    """Yield the number of steps if it differs, and the first loss that does."""
    if len(old) != len(new):
        yield f"{len(old)} steps before, {len(new)} now"
    for then, again in zip(old, new, strict=False):
        if then.loss != again.loss:
            yield f"loss at step {then.step}: {then.loss} before, {again.loss} now"
            return
        if then.validation != again.validation:
            pair = f"{then.validation} before, {again.validation} now"
            yield f"validation at step {then.step}: {pair}"
            return


def _weights(before: Path, now: Path) -> Iterator[str]:
    """Yield the names of the weights that differ."""
    old, new = (load(folder, dtype="float64").weights for folder in (before, now))
    different = [name for name, matrix in old.items() if not np.array_equal(matrix, new[name])]
    if different:
        yield f"weights of {', '.join(different)}"


def _environments(before: info.RunInfo, now: info.RunInfo) -> Iterator[str]:
    """Yield the differences in versions, commit and hardware."""
    old, new = (info.part(run.content, "environment") for run in (before, now))
    for key in new.keys() - {"command"}:
        if old.get(key) != new[key]:
            yield f"{key}: {old.get(key)} before, {new[key]} now"
