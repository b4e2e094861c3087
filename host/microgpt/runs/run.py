"""A recorded run, a host's or a board's, as a program or a notebook reads it."""

from dataclasses import dataclass, field
from pathlib import Path

from microgpt import html
from microgpt.plots import svg
from microgpt.runs import info, log
from microgpt.runs.folder import curve_of
from microgpt.runs.info import RunInfo

MOST_NAMES = 20  # that a notebook shows


@dataclass(frozen=True)
class Run:
    """What a run's folder says.

    `info` is its run.json. `steps` are the logged steps that have a loss: all of a host's run, some
    of a board's. `names` and `remarks` are a board's. The model is loaded by `microgpt.load`.
    """

    folder: Path
    info: RunInfo = field(repr=False)
    steps: list[log.Step] = field(repr=False)
    names: list[str] = field(repr=False)
    remarks: list[str] = field(repr=False)

    def _repr_html_(self) -> str:
        """Return the facts about the run, and its loss curve, as a notebook shows them."""
        about, content = self.info, self.info.content
        facts = {
            "started": about.started,
            "board": about.board,
            "kernels": log.text(content.get("kernels")),
            "engine": about.engine and f"{about.engine}, {content.get('dtype')}",
            "seed": about.seed,
            "parameters": about.parameters,
            "sizes": _listed(info.part(content, "model")),
            "training": _listed(info.part(content, "train")),
            "documents": about.documents,
            "steps in the log": len(self.steps),
        }
        curve = curve_of(self.folder.name, self.steps)
        if self.steps:
            facts[f"loss, {curve.mean}"] = f"{curve.means[-1]:.4f}"
        if curve.validation:
            step, loss = curve.validation[-1]
            facts["validation loss"] = f"{loss:.4f} after step {step:,}"
        if self.names:
            facts["generated"] = ", ".join(self.names[:MOST_NAMES])
        shown = {
            name: f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)
            for name, value in facts.items()
            if value not in (None, "")
        }
        return html.facts(f"A recorded run: {self.folder}", shown, svg.loss_curve(curve))


def read_run(folder: str | Path) -> Run:
    """Return the run that was recorded in `folder`, by `microgpt train` or from a board's log.

    A run can be read while it is still training. Raises RunError if run.json or log.jsonl cannot
    be read.
    """
    folder = Path(folder)
    about = info.read(folder)
    records = log.read(folder)
    return Run(
        folder,
        about,
        [record for record in records if isinstance(record, log.Step) and record.loss is not None],
        [record.text for record in records if isinstance(record, log.Name)],
        [record.text for record in records if isinstance(record, log.Remark)],
    )


def _listed(values: log.JsonObject) -> str:
    """Return the values of an object in words, without those that are none."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
