"""The reader of log.jsonl: the record of a run, a JSON object a line, a host's or a board's.

Whoever writes the log may be at work while it is read: a line that is not whole, or not one of
these records, is left out.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from microgpt.errors import UserError

FILE = "log.jsonl"


class RunError(UserError):
    """A run's folder cannot be read or used; the message names the file."""


@dataclass(frozen=True)
class Step:
    """A logged step. A loss that was not a finite number is None.

    A host logs every step, and `validation`, the validation loss, at some. A board logs every so
    many steps, with the `mean` loss since the line before, milliseconds a step and free bytes.
    """

    step: int
    loss: float | None
    lr: float | None = None
    mean: float | None = None
    validation: float | None = None
    ms: float | None = None
    free: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the record as it stands in the log; what is unknown is left out."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {"step": self.step, "loss": self.loss, **known}


@dataclass(frozen=True)
class Name:
    """A document that a board generated."""

    text: str


@dataclass(frozen=True)
class Remark:
    """A remark of a board, without its "# "."""

    text: str


Record = Step | Name | Remark


def parse(line: str | bytes) -> Record | None:
    """Return the record that a line is; None if it is none."""
    content = json_object(line)
    step = whole(content.get("step"))
    if step is not None and step >= 0 and "loss" in content:
        return Step(
            step,
            number(content["loss"]),
            number(content.get("lr")),
            number(content.get("mean")),
            number(content.get("validation", content.get("holdout"))),  # its name before 0.2
            number(content.get("ms")),
            whole(content.get("free")),
        )
    if (name := text(content.get("name"))) is not None:
        return Name(name)
    if (remark := text(content.get("remark"))) is not None:
        return Remark(remark)
    return None


def read(folder: Path) -> list[Record]:
    """Return the records of a run; raise RunError if its log cannot be read."""
    path = folder / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    return [record for line in lines if (record := parse(line))]


def read_steps(folder: Path) -> list[Step]:
    """Return the steps of a run whose loss was a number; raise RunError as `read` does."""
    return [r for r in read(folder) if isinstance(r, Step) and r.loss is not None]


def read_part(file: BinaryIO, start: int, size: int) -> tuple[list[Record], int]:
    """Return the records in whole lines of `size` bytes from `start` on, and where they end."""
    file.seek(start)
    content = file.read(size)
    whole_lines = content[: content.rfind(b"\n") + 1]
    records = [record for line in whole_lines.split(b"\n") if (record := parse(line))]
    return records, start + len(whole_lines)


def json_object(line: str | bytes) -> dict[str, object]:
    """Return a JSON object, {} if `line` is not one."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def text(value: object) -> str | None:
    """Return `value` if it is text."""
    return value if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """Return `value` if it is a whole number."""
    return value if type(value) is int else None


def number(value: object) -> float | None:
    """Return `value` if it is a finite number that a float can hold."""
    largest = sys.float_info.max
    if type(value) in (int, float) and -largest <= value <= largest:  # type: ignore[operator]
        return value  # type: ignore[return-value] # mypy does not follow type(value) in (...)
    return None
