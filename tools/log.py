"""The board's log, line by line: what `ugpt.report` writes, read back.

A line that is not whole, or not the board's, is None: a serial port carries half lines,
boot messages and noise.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """What the run is: the first remark. `data` is the number of documents."""

    version: str
    board: str
    kernels: str
    seed: int
    parameters: int
    steps: int
    data: int


@dataclass(frozen=True)
class Step:
    """A logged step; `mean` is over the steps since the line before, `ms` a step, `free` bytes."""

    step: int
    loss: float
    mean: float
    lr: float
    ms: float
    free: int


@dataclass(frozen=True)
class Name:
    """A generated name."""

    text: str


@dataclass(frozen=True)
class Remark:
    """A line for people; errors begin with "error: "."""

    text: str


Event = Start | Step | Name | Remark

_START = "microgpt-esp32 "


def parse(line: str) -> Event | None:
    """Return the event that `line` (without its end) is, or None."""
    if line.startswith("# "):
        text = line[2:]
        if text.startswith(_START):
            version, *pairs = text[len(_START) :].split(" ")
            start = _fields(Start, [f"version:{version}", *pairs])
            if start:
                return start
        return Remark(text)
    if line.startswith("step:"):
        return _fields(Step, line.split(" "))
    if re.fullmatch("name:[a-z]*", line):
        return Name(line[len("name:") :])
    return None


def _fields(kind: type, pairs: list[str]) -> Event | None:
    """Return a `kind` from key:value pairs, which must be all its fields and in their order."""
    fields = kind.__annotations__
    keys, _, values = zip(*(pair.partition(":") for pair in pairs), strict=True)
    if list(keys) != list(fields):
        return None
    try:
        return kind(*(of(value) for of, value in zip(fields.values(), values, strict=True)))
    except ValueError:
        return None
