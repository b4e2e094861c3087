"""What the page's reader of the log needs of ours: sizes, limits, and the number of parameters."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product

from ugpt.layout import NUMBERS, SIZES, SWITCHES, Sizes, parameter_count
from ugpt.report import DRIVING

from microgpt_board.device import log, serial_lines

Term = tuple[int, list[str]]


class Polynomial:
    """A sum of products of names, {names: factor}: computes a formula without its numbers."""

    def __init__(self, terms: dict[tuple[str, ...], int]) -> None:
        self.terms = terms

    def __add__(self, other: "Polynomial | int") -> "Polynomial":
        return Polynomial(dict(Counter(self.terms) + Counter(_polynomial(other).terms)))

    def __mul__(self, other: "Polynomial | int") -> "Polynomial":
        found: Counter[tuple[str, ...]] = Counter()
        for (names, factor), (more, times) in product(
            self.terms.items(), _polynomial(other).terms.items()
        ):
            found[tuple(sorted(names + more))] += factor * times
        return Polynomial(dict(found))

    __radd__, __rmul__ = __add__, __mul__

    # What `Sizes` asks of numbers, as any sizes of a model answer it.

    def __lt__(self, other: object) -> bool:
        return False

    def __mod__(self, other: object) -> bool:
        return False

    def __floordiv__(self, other: object) -> float:
        return math.nan


def _polynomial(value: "Polynomial | int") -> Polynomial:
    return value if isinstance(value, Polynomial) else Polynomial({(): value})


def parameter_terms(tie_lm_head: bool) -> list[Term]:
    """Return the number of a model's parameters as terms (factor, sizes), to be summed up."""
    numbers = {name: Polynomial({(name,): 1}) for name in NUMBERS}
    count = parameter_count(Sizes(**numbers, tie_lm_head=tie_lm_head))
    return [(factor, list(names)) for names, factor in count.terms.items()]


def rules() -> dict[str, object]:
    """Return what host/web/common/log.js has as Rules."""
    usual = Sizes()
    driving: Sequence[tuple[int, int]] = DRIVING
    return {
        "sizes": {name: int(getattr(usual, name)) for name in SIZES},
        "switches": list(SWITCHES),
        "parameters": [parameter_terms(tie_lm_head) for tie_lm_head in (False, True)],
        "driving": [list(span) for span in driving],
        "longest_name": log.LONGEST_NAME,
        "longest_line": serial_lines.LONGEST_LINE,
    }
