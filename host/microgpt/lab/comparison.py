"""The files of a comparison: comparison.json, .csv, .md and .png."""

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab.ablation import Result, Vary
from microgpt.lab.statistics import (
    MEASURES,
    Difference,
    VariantSummary,
    by_variant,
    divergences,
    loss_text,
    pairwise,
    remarks,
    summary,
)
from microgpt.plots.figures import NO_MATPLOTLIB
from microgpt.plots.sweep import draw_sweep
from microgpt.runs.environment import environment
from microgpt.system import files


class DataFile(TypedDict):
    """A file of documents."""

    path: str
    documents: int
    sha256: str


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison, as comparison.json has them."""

    engine: str
    dtype: str
    model: ModelConfig
    train: TrainConfig
    vary: Vary
    seeds: int
    last: int  # steps that the mean loss is over
    data: DataFile
    workers: int | str  # processes, or the address of a Dask scheduler


def headings(last: int) -> list[str]:
    """Return the headings of the columns of `cells`."""
    losses = ["final loss", f"mean of the last {last}", "validation loss"]
    return ["variant", *losses, "steps/s", "tokens/s", "parameters"]


def cells(row: VariantSummary) -> list[str]:
    """Return a summary as the cells of a table: variant, losses, speeds, parameters.

    If all trainings of the variant diverged, the cell of the first loss says at which step.
    """
    result = [row.variant]
    for name, spread in row.measures.items():
        as_text = loss_text if name.endswith("loss") else "{:,.0f}".format
        text = "-" if spread.mean is None else as_text(spread.mean)
        result.append(text if spread.sd is None else f"{text} ± {as_text(spread.sd)}")
    if len(row.diverged) == row.seeds:
        result[1] = f"diverged at step {min(row.diverged.values())}"
    return [*result, f"{row.parameters:,}"]


def load_libraries() -> None:
    """Import what `write_comparison` draws and tests with, as far as it is here.

    It takes half a second, which is better spent while other processes train.
    """
    with suppress(ImportError):
        import scipy.special  # noqa: F401


def write_comparison(folder: Path, results: Sequence[Result], settings: Settings) -> list[str]:
    """Write the files of a comparison to `folder`, which is new; return the remarks on it.

    If a file of figures cannot be written, the folder is removed, and the error raised. If only the
    picture cannot, a remark says so.
    """
    try:
        return _write(folder, results, settings)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(folder: Path, results: Sequence[Result], settings: Settings) -> list[str]:
    rows = summary(results)
    differences: list[Difference] = []
    try:
        differences = pairwise(results)
        noise = remarks(differences, rows[0].seeds)
    except ImportError:
        noise = [f"no test of which differences are noise, without scipy: {NO_MATPLOTLIB}"]
    diverged = divergences(rows)
    content = {
        "settings": dataclasses.asdict(settings),
        "environment": environment(),
        "computation": results[0]["computation"],
        "variants": [row.as_json() for row in rows],
        "differences": [dataclasses.asdict(difference) for difference in differences],
        "trainings": [_training(result) for result in results],
    }
    written = json.dumps(content, indent=2, allow_nan=False)
    files.write(folder / "comparison.json", written + "\n")
    files.write(folder / "comparison.csv", _csv(rows))
    files.write(folder / "comparison.md", _markdown(rows, diverged, noise, settings.last))
    try:
        picture = draw_sweep(folder / "comparison.png", by_variant(results))
    except OSError as error:  # a full disk; the figures are written, and are shown
        picture = f"no comparison.png: {files.explained(error)}"
    return [*diverged, *noise, *([picture] if picture else [])]


def _training(result: Result) -> dict[str, object]:
    """Return a training as comparison.json has it: its variant, its seed and its figures."""
    about = {"variant": result["variant"], "seed": result["train"]["seed"]}
    return {**about, **{name: result[name] for name in MEASURES}, "diverged": result["diverged"]}


def _csv(rows: Sequence[VariantSummary]) -> str:
    text = io.StringIO(newline="")
    flat = [row.as_json() for row in rows]
    table = csv.DictWriter(text, flat[0])
    table.writeheader()
    table.writerows(flat)
    return text.getvalue()


def _markdown(
    rows: Sequence[VariantSummary], diverged: Sequence[str], noise: Sequence[str], last: int
) -> str:
    head = headings(last)
    table = [head, ["---"] + ["---:"] * (len(head) - 1), *map(cells, rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in table)
    text += "".join(f"\n{line}\n" for line in (*diverged, noise[0]))
    text += "".join(f"\n- {line}" for line in noise[1:])
    return text.rstrip() + "\n"
