"""Read the runs under runs/ while they are recorded: the list of runs, and a run's log."""

import os
import time
from pathlib import Path
from typing import BinaryIO

from microgpt.plots.curves import SMOOTHED_OVER
from microgpt.runs import info, log
from microgpt.runs.folder import PICTURE
from microgpt.service.schemas import LoggedStep, RunLog, RunSummary

TAIL = 1 << 14  # bytes at the end of a log that hold SMOOTHED_OVER steps, if no names follow
CHUNK = 1 << 20  # bytes of a log in one answer
STALE = 60  # seconds without a new record after which a run is not live any more


def list_runs(root: Path) -> list[RunSummary]:
    """Return a summary of each run under `root`, the latest first."""
    try:
        folders = list(root.iterdir())
    except OSError:
        return []
    summaries = [summary for folder in folders if (summary := _summary(folder))]
    return sorted(summaries, key=lambda run: (run.started or "", run.name), reverse=True)


def _summary(folder: Path) -> RunSummary | None:
    """Return the summary of a run; None if the folder has no log."""
    try:
        with open(folder / log.FILE, "rb") as file:
            size = file.seek(0, 2)
            steps, names_last = _last_steps(file, size)
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    try:
        about = info.read(folder)
    except log.RunError:
        about = info.NOTHING
    last = steps[-1].step if steps else None
    recent = [step for step in steps if step.step > steps[-1].step - SMOOTHED_OVER]
    means = [mean for step in recent if (mean := _mean(step)) is not None]
    complete = names_last or (last is not None and last + 1 == about.steps)
    ended = (folder / PICTURE).exists()  # drawn when a recording ends
    return RunSummary(
        name=folder.name,
        trained_on=about.board or about.engine or "a board",
        started=about.started,
        seed=about.seed,
        parameters=about.parameters,
        steps=about.steps,
        step=last,
        mean=sum(means) / len(means) if means else None,
        bytes=size,
        live=not complete and not ended and age < STALE,
    )


def _last_steps(file: BinaryIO, size: int) -> tuple[list[log.Step], bool]:
    """Return at least the last SMOOTHED_OVER steps of a log, and whether names follow them.

    After training, a board generates names without end, so that the steps can be far from the end
    of the log.
    """
    length = TAIL
    while True:
        file.seek(max(0, size - length))
        lines = file.read(min(length, size)).split(b"\n")[:-1]
        numbered = [
            (number, step)
            for number, line in enumerate(lines)
            if b'"step"' in line  # much quicker than parsing a million names as JSON
            and isinstance(step := log.parse(line), log.Step)
        ]
        enough = numbered and numbered[0][1].step <= numbered[-1][1].step - SMOOTHED_OVER
        if length >= size or enough:
            break
        length *= 8
    after = lines[numbered[-1][0] + 1 :] if numbered else lines
    names_last = any(isinstance(log.parse(line), log.Name) for line in after)
    return [step for _, step in numbered], names_last


def read_from(root: Path, name: str, offset: int = 0) -> RunLog | None:
    """Return the steps and names of a log from a byte offset on; None if there is no such run.

    It reads complete lines of at most CHUNK bytes.
    """
    try:
        # Compared with what is there, so that a name cannot be a path to another folder.
        if name not in {folder.name for folder in root.iterdir()}:
            return None
        with open(root / name / log.FILE, "rb") as file:
            size = file.seek(0, 2)
            start = offset if offset <= size else 0  # beyond the end: the log was begun again
            records, end = log.read_part(file, start, CHUNK)
    except OSError:
        return None
    return RunLog(
        steps=[
            LoggedStep(step=record.step, loss=record.loss, mean=_mean(record))
            for record in records
            if isinstance(record, log.Step)
        ],
        names=[record.text for record in records if isinstance(record, log.Name)],
        offset=end,
        more=end > start and start + CHUNK < size,
    )


def _mean(step: log.Step) -> float | None:
    """Return the mean loss since the step logged before; a host logs every step without a mean."""
    return step.loss if step.mean is None else step.mean
