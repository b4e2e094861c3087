"""The files of a comparison: comparison.json, .csv, .md and .png."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from microgpt import files
from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab.ablation import Result, Vary
from microgpt.lab.statistics import VariantSummary, by_variant, pairwise, remarks, summary
from microgpt.plots.sweep import draw_sweep
from microgpt.runs.environment import environment


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
    """Return a summary as the cells of a table: variant, losses, speeds, parameters."""
    result = [row.variant]
    for name, spread in row.measures.items():
        places = 4 if name.endswith("loss") else 0
        text = "-" if spread.mean is None else f"{spread.mean:,.{places}f}"
        result.append(text if spread.sd is None else f"{text} ± {spread.sd:,.{places}f}")
    return [*result, f"{row.parameters:,}"]


def write_comparison(folder: Path, results: Sequence[Result], settings: Settings) -> list[str]:
    """Write the files of a comparison to `folder`; return the remarks on noise."""
    rows = summary(results)
    differences = pairwise(results)
    lines = remarks(differences, rows[0].seeds)
    content = {
        "settings": dataclasses.asdict(settings),
        "environment": environment(),
        "variants": [row.as_json() for row in rows],
        "differences": [dataclasses.asdict(difference) for difference in differences],
    }
    files.write(folder / "comparison.json", json.dumps(content, indent=2) + "\n")
    files.write(folder / "comparison.csv", _csv(rows))
    files.write(folder / "comparison.md", _markdown(rows, lines, settings.last))
    draw_sweep(folder / "comparison.png", by_variant(results))
    return lines


def _csv(rows: Sequence[VariantSummary]) -> str:
    text = io.StringIO(newline="")
    flat = [row.as_json() for row in rows]
    table = csv.DictWriter(text, flat[0])
    table.writeheader()
    table.writerows(flat)
    return text.getvalue()


def _markdown(rows: Sequence[VariantSummary], lines: Sequence[str], last: int) -> str:
    head = headings(last)
    table = [head, ["---"] + ["---:"] * (len(head) - 1), *map(cells, rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in table)
    text += "\n" + lines[0] + "\n" + "".join(f"\n- {line}" for line in lines[1:])
    return text.rstrip() + "\n"
