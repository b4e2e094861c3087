"""Parse the board's log, which `ugpt.report` writes, line by line.

A serial port also carries incomplete lines, boot messages and noise: `parse` returns None for
these.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """The first remark, which describes the run.

    `reason` says why these kernels, `data` is the number of documents.
    """

    version: str
    board: str
    kernels: str
    reason: str
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
    """A remark, the text after "# "; an error begins with "error: "."""

    text: str


Event = Start | Step | Name | Remark

_INT = "([0-9]{1,10})"
_WORD = r"([\w.+-]+)"
# Exactly the decimals that the board writes, so that a figure that lost a digit is refused.
_LOSS = r"([0-9]{1,38}\.[0-9]{4}|nan|inf)"  # up to the largest float32
_START = re.compile(
    f"# microgpt-esp32 {_WORD} board:{_WORD} kernels:{_WORD} reason:{_WORD} "
    f"seed:{_INT} parameters:{_INT} steps:{_INT} data:{_INT}",
    re.ASCII,
)
_STEP = re.compile(
    rf"step:{_INT} loss:{_LOSS} mean:{_LOSS} lr:([0-9]{{1,10}}\.[0-9]{{5}}) "
    rf"ms:([0-9]{{1,10}}\.[0-9]) free:{_INT}"
)
_NAME = re.compile("name:([a-z]*)")


def parse(line: str) -> Event | None:
    """Return the event that `line` (without its end) is, or None."""
    if found := _STEP.fullmatch(line):
        step, loss, mean, lr, ms, free = found.groups()
        return Step(int(step), float(loss), float(mean), float(lr), float(ms), int(free))
    if found := _NAME.fullmatch(line):
        return Name(found[1])
    if found := _START.fullmatch(line):
        version, board, kernels, reason, *numbers = found.groups()
        return Start(version, board, kernels, reason, *map(int, numbers))
    if line.startswith("# "):
        return Remark(line[2:])
    return None
