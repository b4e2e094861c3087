"""The one reader of log.jsonl, the log of a host's run or a board's: a JSON object a line.

A log can be read while the run is still writing it. Lines that are incomplete or malformed are
skipped.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from microgpt.errors import UserError

FILE = "log.jsonl"
LARGEST_STEP = 1 << 53  # a larger one is damage; up to it a float, as plots have it, is exact
LARGEST_LOSS = 1e100  # likewise; plots add and subtract losses
JsonObject = dict[str, object]


class RunError(UserError):
    """A file in a run's folder cannot be read; the message names it."""


@dataclass(frozen=True)
class Step:
    """A logged step; a loss is None if it was not finite, or not a number of that size.

    A host logs every step, and at some the `validation` loss. A board logs a step at regular
    intervals, with the `mean` loss since the line before, `ms` milliseconds per step and `free`
    bytes of memory.
    """

    step: int
    loss: float | None
    lr: float | None = None
    mean: float | None = None
    validation: float | None = None
    ms: float | None = None
    free: int | None = None

    def as_json(self) -> JsonObject:
        """Return the record as it is logged, without the fields that are None, except `loss`."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {"step": self.step, "loss": self.loss, **known}


@dataclass(frozen=True)
class Name:
    """A document that a board generated."""

    text: str


@dataclass(frozen=True)
class Remark:
    """A remark of a board, without the "# " at its start, or of a host on what was learned."""

    text: str


Line = Step | Name | Remark


def parse(line: str | bytes) -> Line | None:
    """Return the record in a line of a log; None if the line is malformed."""
    content = json_object(line)
    step = whole(content.get("step"))
    if step is not None and 0 <= step <= LARGEST_STEP and "loss" in content:
        return Step(
            step,
            _loss(content["loss"]),
            number(content.get("lr")),
            _loss(content.get("mean")),
            _loss(content.get("validation", content.get("holdout"))),  # holdout: 0.1.0's name
            number(content.get("ms")),
            whole(content.get("free")),
        )
    if (name := text(content.get("name"))) is not None:
        return Name(name)
    if (remark := text(content.get("remark"))) is not None:
        return Remark(remark)
    return None


def read(folder: Path) -> list[Line]:
    """Return the records in the log of a run; raise RunError if it cannot be read."""
    path = folder / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    return [record for line in lines if (record := parse(line)) is not None]


def read_steps(folder: Path) -> list[Step]:
    """Return the logged steps of a run that have a loss; raise RunError as `read` does."""
    return [r for r in read(folder) if isinstance(r, Step) and r.loss is not None]


def read_part(file: BinaryIO, start: int, size: int) -> tuple[list[Line], int]:
    """Return the records in the complete lines among `size` bytes from `start` on.

    Also returns the offset after the last of these lines, from which to continue.
    """
    file.seek(start)
    content = file.read(size)
    whole_lines = content[: content.rfind(b"\n") + 1]
    lines = whole_lines.split(b"\n")
    records = [record for line in lines if (record := parse(line)) is not None]
    return records, start + len(whole_lines)


def json_object(line: str | bytes) -> JsonObject:
    """Return the JSON object in `line`; {} if it is something else."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def text(value: object) -> str | None:
    """Return `value` if it is a string, else None."""
    return value if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """Return `value` if it is an integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _loss(value: object) -> float | None:
    loss = number(value)
    return None if loss is None or abs(loss) > LARGEST_LOSS else loss


def number(value: object) -> float | None:
    """Return `value` if it is a finite number that a float can hold, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    largest = sys.float_info.max
    return value if -largest <= value <= largest else None
