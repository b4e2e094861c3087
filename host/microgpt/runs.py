"""A run's folder: run.json (what it was), log.jsonl (a record a line), the model, loss.png."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from microgpt.pictures import SMOOTHED_OVER, Curve, draw_curves, smoothed

RUNS = Path("runs")


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
        """Append a record: of a step, with at least `step` and `loss`, or of something else."""
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
        "blas": _blas(),
        "commit": commit(),
        "dirty": bool(_git("status", "--porcelain")),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "command": " ".join(sys.argv),
    }


def _blas() -> str | None:
    """Return which library multiplies NumPy's matrices: another one rounds in another way."""
    for library in threadpool_info():
        if library["user_api"] == "blas":
            words = (library.get(key) for key in ("internal_api", "version", "architecture"))
            return " ".join(word for word in words if word)
    return None


def commit() -> str | None:
    """Return the commit this code is at; None outside a repository."""
    return _git("rev-parse", "HEAD")


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
    """Return the records of a run's steps; what is not whole or not a step is left out.

    A board's log has names and remarks too, and no number where its loss was not finite.
    """
    records = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break  # cut short
        if isinstance(record, dict) and None not in (record.get("step"), record.get("loss")):
            records.append(record)
    return records


def draw_loss(folder: Path) -> str | None:
    """Draw loss.png from log.jsonl; return a remark if it cannot be drawn."""
    return draw_curves(folder / "loss.png", [read_curve(folder)])


def read_curve(folder: Path) -> Curve:
    """Return what a run's log tells of its loss, a host's or a board's; see `Curve`."""
    try:
        records = read_log(folder)
    except OSError as error:
        raise ValueError(f"cannot read {error.filename}: {error.strerror}") from None
    steps = np.array([record["step"] for record in records], dtype=int)
    losses = np.array([record["loss"] for record in records], dtype=float)
    # A board writes a line every so many steps, with the mean since the line before.
    means = [record.get("mean") for record in records]
    every = max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1
    means = losses if None in means else np.array(means, dtype=float)
    held = [(record["step"], record["holdout"]) for record in records if "holdout" in record]
    over = max(1, SMOOTHED_OVER // every)
    return Curve(folder.name, steps, losses, smoothed(means, over), held)
