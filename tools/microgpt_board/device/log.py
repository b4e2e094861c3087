"""Parse the board's log, which `ugpt.report` writes, line by line.

A serial port also carries incomplete lines, boot messages and noise: `parse` returns None for
these. A byte that is not UTF-8 reaches it as a lone surrogate (Python's "surrogateescape").
"""

import re
from dataclasses import dataclass

from microgpt.board import SIZES as USUAL
from microgpt.config import ModelConfig, from_json
from microgpt.errors import ConfigError
from ugpt.dataset import MAX_RECORD_SIZE
from ugpt.layout import SIZES, SWITCHES, parameter_count, unusual
from ugpt.report import escaped

LONGEST_ESCAPE = len(escaped("\u2028"))
LONGEST_NAME = MAX_RECORD_SIZE * LONGEST_ESCAPE  # characters; that is the largest block_size


@dataclass(frozen=True)
class Start:
    """The first remark, which describes the run.

    `reason` says why these kernels, `data` is the number of documents, `vocab_size` the number of
    tokens: BOS and the characters of the documents.
    """

    version: str
    board: str
    kernels: str
    reason: str
    seed: int
    parameters: int
    steps: int
    data: int
    vocab_size: int = USUAL.vocab_size
    model: ModelConfig = ModelConfig()

    def sizes(self) -> dict[str, int]:
        """Return the sizes and switches that are not the default, as the board logs them."""
        fields = unusual(self.model.sizes(self.vocab_size))
        return {name: int(value) for name, value in fields}

    def can_generate(self, name: "Name") -> bool:
        """Return whether the model can have generated `name`: a longer one is parts of two lines.

        An escape counts as one character.
        """
        return len(_ESCAPE.sub("_", name.text)) <= self.model.block_size


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
    """A generated name; what could drive a terminal is escaped in it, as the board logs it."""

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
    f"seed:{_INT} parameters:{_INT} steps:{_INT} data:{_INT}"
    + "".join(f"(?: {name}:{'([01])' if name in SWITCHES else _INT})?" for name in SIZES),
    re.ASCII,
)
_STEP = re.compile(
    rf"step:{_INT} loss:{_LOSS} mean:{_LOSS} lr:([0-9]{{1,10}}\.[0-9]{{5}}) "
    rf"ms:([0-9]{{1,10}}\.[0-9]) free:{_INT}"
)
_NAME = re.compile(f"name:(.{{0,{LONGEST_NAME}}})")
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}")
_LOST_BYTE = re.compile("[\ud800-\udfff]")


def parse(line: str) -> Event | None:
    """Return the event that `line` (without its end) is, or None."""
    if found := _STEP.fullmatch(line):
        step, loss, mean, lr, ms, free = found.groups()
        return Step(int(step), float(loss), float(mean), float(lr), float(ms), int(free))
    if found := _NAME.fullmatch(line):
        # The board escapes what could drive a terminal: unescaped, it is noise.
        text = found[1]
        return Name(text) if text == escaped(text) and not _LOST_BYTE.search(text) else None
    if found := _START.fullmatch(line):
        version, board, kernels, reason, *numbers = found.groups()
        if start := _start((version, board, kernels, reason), numbers):
            return start
    if line.startswith("# "):
        return Remark(legible(line[2:]))
    return None


def _start(words: tuple[str, str, str, str], numbers: list[str | None]) -> Start | None:
    """Return the first remark; None if its sizes are impossible, or not of so many parameters."""
    seed, parameters, steps, data = (int(number or 0) for number in numbers[:4])
    fields = zip(SIZES, numbers[4:], strict=True)
    given = {name: int(number) for name, number in fields if number is not None}
    vocab_size = given.pop("vocab_size", USUAL.vocab_size)
    try:
        sizes = {name: bool(n) if name in SWITCHES else n for name, n in given.items()}
        model = from_json(ModelConfig, sizes)
        if parameter_count(model.sizes(vocab_size)) != parameters:
            return None
    except (ConfigError, ValueError):
        return None
    return Start(*words, seed, parameters, steps, data, vocab_size, model)


def legible(line: str) -> str:
    r"""Return a line of a board with each byte that is not UTF-8 as an escape, `\xff`."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
