"""Statistics of a comparison: a summary of each variant, and which differences are not noise."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from microgpt.lab.ablation import Measure, Result

CERTAINTY = 0.95
MEASURES: tuple[Measure, ...] = get_args(Measure)

Number = int | float


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over the seeds; None where there are too few values."""

    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class VariantSummary:
    """One variant: its parameters, its seeds (how many), and the spread of each measure.

    `diverged` is {seed: step}; the spreads are over the other seeds.
    """

    variant: str
    parameters: int
    seeds: int
    measures: dict[Measure, Spread]
    diverged: dict[int, int]

    def as_json(self) -> dict[str, str | Number | None]:
        """Return a flat row, with a measure as NAME and NAME_sd."""
        row: dict[str, str | Number | None] = {
            "variant": self.variant,
            "parameters": self.parameters,
            "seeds": self.seeds,
            "diverged": len(self.diverged),
            "diverged_at_step": min(self.diverged.values(), default=None),
        }
        for name, spread in self.measures.items():
            row |= {name: spread.mean, f"{name}_sd": spread.sd}
        return row


@dataclass(frozen=True)
class Difference:
    """The mean of a loss in variant `b` minus its mean in `a`, and the p value of that."""

    a: str
    b: str
    measure: Measure
    difference: float
    p: float
    larger_than_noise: bool


def by_variant(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return {variant: its results}, in the order in which the variants appear."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result["variant"], []).append(result)
    return groups


def summary(results: Sequence[Result]) -> list[VariantSummary]:
    """Return a summary of each variant."""
    return [
        VariantSummary(
            variant,
            group[0]["parameters"],
            len(group),
            {name: _spread([result[name] for result in finished(group)]) for name in MEASURES},
            {_seed(it): it["diverged"] for it in group if it["diverged"] is not None},
        )
        for variant, group in by_variant(results).items()
    ]


def finished(results: Sequence[Result]) -> list[Result]:
    """Return the results of the trainings that did not diverge."""
    return [result for result in results if result["diverged"] is None]


def _seed(result: Result) -> int:
    return int(result["train"]["seed"] or 0)


def _spread(values: Sequence[float | None]) -> Spread:
    measured = [value for value in values if value is not None]
    if not measured or len(measured) < len(values):
        return Spread(None, None)
    sd = statistics.stdev(measured) if len(measured) > 1 else None
    return Spread(statistics.fmean(measured), sd)


def pairwise(results: Sequence[Result]) -> list[Difference]:
    """Compare every pair of variants in their validation loss, or in their mean loss without one.

    All variants have the same seeds, so the test is Student's t-test for paired samples. The p
    values are multiplied by the number of pairs (Bonferroni correction): if all differences were
    noise, the probability that any is called larger would be at most 1 - CERTAINTY.

    The samples of a pair are the seeds with which neither diverged; one seed says nothing about
    noise, so a pair that has fewer than two is left out. Raises ImportError without scipy.
    """
    from scipy.special import stdtr  # scipy.stats takes three times as long to import

    groups = {
        variant: {_seed(result): result for result in finished(group)}
        for variant, group in by_variant(results).items()
    }
    pairs = [
        (a, b, seeds)
        for a, b in itertools.combinations(groups, 2)
        if len(seeds := sorted(groups[a].keys() & groups[b].keys())) > 1
    ]
    differences = []
    for a, b, seeds in pairs:
        measure: Measure = "validation_loss"
        if any(groups[name][seeds[0]]["validation_loss"] is None for name in (a, b)):
            measure = "mean_loss"
        before, after = (
            _losses([groups[name][seed] for seed in seeds], measure) for name in (a, b)
        )
        changes = [y - x for x, y in zip(before, after, strict=True)]
        difference, sd = statistics.fmean(changes), statistics.stdev(changes)
        if sd:
            t = difference / (sd / len(changes) ** 0.5)
            p = min(1.0, 2 * float(stdtr(len(changes) - 1, -abs(t))) * len(pairs))
        else:
            p = 0.0 if difference else 1.0
        larger = p < 1 - CERTAINTY
        differences.append(Difference(a, b, measure, difference, p, larger))
    return differences


def _losses(group: Sequence[Result], measure: Measure) -> list[float]:
    return [loss for result in group if (loss := result[measure]) is not None]


def divergences(rows: Sequence[VariantSummary]) -> list[str]:
    """Return a sentence for each variant of which a training diverged."""
    return [
        f"{row.variant}: {len(row.diverged)} of {row.seeds} seeds diverged and are left out ("
        + ", ".join(f"seed {seed} at step {step}" for seed, step in row.diverged.items())
        + ")."
        for row in rows
        if row.diverged
    ]


def loss_text(loss: float, sign: str = "") -> str:
    """Return a loss or a difference of losses with four decimals; a huge one is shortened."""
    return f"{loss:{sign}.4f}" if abs(loss) < 10_000 else f"{loss:{sign}.4g}"


def remarks(differences: Sequence[Difference], seeds: int) -> list[str]:
    """Return sentences that say which differences are larger than the noise."""
    if seeds < 2:
        return ["One seed says nothing about noise: --seeds 5 does."]
    if not differences:
        return ["No two variants have two seeds that both finished: no difference can be tested."]
    names = {"validation_loss": "validation loss", "mean_loss": "mean loss"}
    lines = [
        f"{it.b} against {it.a}: {names[it.measure]} {loss_text(it.difference, '+')} "
        f"(p = {it.p:.2g})"
        for it in differences
        if it.larger_than_noise
    ]
    head = (
        f"{len(lines)} of {len(differences)} differences are larger than the noise of {seeds} "
        f"seeds ({CERTAINTY:.0%} over all of them, paired t-test)"
    )
    return [head + (":" if lines else "."), *lines]
