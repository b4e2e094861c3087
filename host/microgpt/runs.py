"""A run's folder: run.json (what it was), log.jsonl (a record a line), the model, loss.png."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

RUNS = Path("runs")
SMOOTHED_OVER = 100  # steps, for the mean in progress lines and pictures


class Run:
    """A run that is being recorded; a context manager that leaves a whole folder behind.

    Each record is on disk before the next one comes, so that a run cut short keeps its log.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """Make `folder`, which must not exist, and write run.json: `about` and the environment."""
        self.folder = folder
        folder.mkdir(parents=True)
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        content = {"started": started, **about, "environment": environment()}
        (folder / "run.json").write_text(json.dumps(content, indent=2) + "\n")
        self._log = open(folder / "log.jsonl", "w", buffering=1)  # noqa: SIM115 - closed in close

    def log(self, record: dict[str, Any]) -> None:
        """Append a record, which has at least `step` and `loss`."""
        self._log.write(json.dumps(record) + "\n")

    def close(self) -> str | None:
        """Close the log and draw loss.png; return a remark if it cannot be drawn."""
        self._log.close()
        return draw_loss(self.folder)

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._log.close()


def new_folder(name: str, root: Path = RUNS) -> Path:
    """Return a folder under `root` that is not there yet, named by the time and `name`."""
    stem = f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"
    folder = root / stem
    count = 1
    while folder.exists():
        count += 1
        folder = root / f"{stem}-{count}"
    return folder


def environment() -> dict[str, Any]:
    """Return what a figure depends on besides its configuration: versions, commit, hardware."""
    return {
        "microgpt-esp32": version("microgpt-esp32"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "command": " ".join(sys.argv),
    }


def _git(*words: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run; a last line that was cut short is left out."""
    records = []
    for line in (folder / "log.jsonl").read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def smoothed(losses: Sequence[float], over: int = SMOOTHED_OVER) -> np.ndarray:
    """Return the mean of each loss and up to `over` - 1 before it."""
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - over)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw_loss(folder: Path) -> str | None:
    """Draw loss.png from log.jsonl: raw and smoothed; return a remark if it cannot be drawn."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no loss.png: pip install 'microgpt-esp32[plot]'"
    records = read_log(folder)
    if not records:
        return "no loss.png: no step was recorded"
    steps = [record["step"] for record in records]
    losses = [record["loss"] for record in records]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.plot(steps, losses, linewidth=0.6, alpha=0.4, label="loss of a document")
    axes.plot(steps, smoothed(losses), linewidth=2, label=f"mean of the last {SMOOTHED_OVER}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=120)
    return None
