"""Read the runs under runs/ while they are recorded: the list of runs, and a run's log.

A folder may hold anything: what cannot be read of a run is left out, and the others are listed.
What was read of a log is remembered, so that the next list reads only what was added.
"""

import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from microgpt.plots.curves import SMOOTHED_OVER
from microgpt.runs import info, log
from microgpt.runs.folder import PICTURE
from microgpt.service.schemas import LoggedStep, RunLog, RunSummary, encodable

BLOCK = 1 << 16  # bytes of a log that are read at once to find its last steps
REACH = 1 << 26  # bytes at the end of a log in which the last steps are looked for
CHUNK = 1 << 20  # bytes of a log in one answer; a longer line is malformed, as is a longer run.json
STALE = 60  # seconds without a new record after which a run is not live any more

Version = tuple[int, int, int, int]  # what changes when a file does


@dataclass(frozen=True)
class _Log:
    """What was read of a log."""

    version: Version
    end: int = 0  # the offset after the last complete line
    recent: tuple[log.Step, ...] = ()  # the last SMOOTHED_OVER steps
    names_last: bool = False  # whether names follow them


class Recordings:
    """The runs in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()  # of the next two: what was read, by the run's name
        self._logs: dict[str, _Log] = {}
        self._about: dict[str, tuple[Version, info.RunInfo]] = {}

    def list(self) -> list[RunSummary]:
        """Return a summary of each run, the latest first."""
        with self._lock:
            folders = self._folders()
            summaries = [run for folder in folders.values() if (run := self._summary(folder))]
            for memory in (self._logs, self._about):
                for gone in memory.keys() - {folder.name for folder in folders.values()}:
                    del memory[gone]
        return sorted(summaries, key=lambda run: (run.started or "", run.name), reverse=True)

    def read(self, name: str, offset: int = 0) -> RunLog | None:
        """Return the steps and names of a log from a byte offset on; None if there is no such run.

        It reads complete lines of at most CHUNK bytes.
        """
        try:
            # Compared with what is there, so that a name cannot be a path to another folder.
            path = self._folders()[name] / log.FILE
            size = _file(path).st_size
            start = offset if offset <= size else 0  # beyond the end: the log was begun again
            with open(path, "rb") as file:
                records, end = log.read_part(file, start, CHUNK)
        except (KeyError, OSError):
            return None
        if end == start and start + CHUNK < size:
            end = start + CHUNK  # inside a line that is too long
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

    def _folders(self) -> dict[str, Path]:
        """Return what is in the folder, by the name that is shown."""
        try:
            return {encodable(folder.name): folder for folder in self._root.iterdir()}
        except OSError:
            return {}

    def _summary(self, folder: Path) -> RunSummary | None:
        """Return the summary of a run; None if the folder has no log that can be read."""
        try:
            found = _file(folder / log.FILE)
            seen = self._read_log(folder, found)
            about = self._read_about(folder)
            ended = (folder / PICTURE).exists()  # drawn when a recording ends
        except OSError:
            return None
        last = seen.recent[-1].step if seen.recent else None
        means = [mean for step in seen.recent if (mean := _mean(step)) is not None]
        complete = seen.names_last or (last is not None and last + 1 == about.steps)
        return RunSummary(
            name=folder.name,
            trained_on=about.board or about.engine or "a board",
            started=about.started,
            seed=about.seed,
            parameters=about.parameters,
            steps=about.steps,
            step=last,
            mean=sum(means) / len(means) if means else None,
            bytes=found.st_size,
            live=not complete and not ended and time.time() - found.st_mtime < STALE,
        )

    def _read_log(self, folder: Path, found: os.stat_result) -> _Log:
        version = _version(found)
        seen = self._logs.get(folder.name)
        if seen and seen.version == version:
            return seen
        grown = seen and seen.version[:2] == version[:2] and seen.end <= found.st_size
        seen = replace(seen, version=version) if seen and grown else _Log(version)
        with open(folder / log.FILE, "rb") as file:
            seen = _read_on(seen, file, found.st_size)
        self._logs[folder.name] = seen
        return seen

    def _read_about(self, folder: Path) -> info.RunInfo:
        try:
            found = _file(folder / info.FILE)
        except OSError:
            return info.NOTHING
        version, about = self._about.get(folder.name, (None, info.NOTHING))
        if version != _version(found):
            try:
                about = info.read(folder) if found.st_size <= CHUNK else info.NOTHING
            except log.RunError:
                about = info.NOTHING
            self._about[folder.name] = _version(found), replace(about, content={})
        return about


def _file(path: Path) -> os.stat_result:
    """Return what the system says of a file; raise OSError if it is none, as a pipe or a device."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a file")
    return found


def _version(found: os.stat_result) -> Version:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read_on(seen: _Log, file: BinaryIO, size: int) -> _Log:
    """Return `seen` with the lines that were added to the log since."""
    end = _last_newline(file, max(seen.end, size - CHUNK), size)
    steps: list[log.Step] = []  # the last first
    names_last = False
    for line in _backwards(file, max(seen.end, end - REACH), end):
        if b'"step"' not in line and (steps or names_last):
            continue  # much quicker than parsing a million names as JSON
        record = log.parse(line)
        if isinstance(record, log.Step):
            if steps and not steps[0].step - SMOOTHED_OVER < record.step < steps[-1].step:
                break  # of no interest any more, or of a run before this one
            steps.append(record)
        elif isinstance(record, log.Name) and not steps:
            names_last = True
    if not steps:
        return replace(seen, end=end, names_last=seen.names_last or names_last)
    first, last = steps[-1].step, steps[0].step
    before = [step for step in seen.recent if last - SMOOTHED_OVER < step.step < first]
    return replace(seen, end=end, recent=(*before, *reversed(steps)), names_last=names_last)


def _last_newline(file: BinaryIO, start: int, end: int) -> int:
    """Return the offset after the last newline between two offsets, `start` if there is none."""
    file.seek(start)
    return start + file.read(end - start).rfind(b"\n") + 1


def _backwards(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the lines between two offsets, the last first, with a few blocks of them in memory."""
    rest = b""  # the end of a line that began in the block before
    while end > start:
        length = min(BLOCK, end - start)
        end -= length
        file.seek(end)
        rest, *lines = (file.read(length) + rest).split(b"\n")
        yield from reversed(lines)
        rest = rest[:CHUNK]
    yield rest


def _mean(step: log.Step) -> float | None:
    """Return the mean loss since the step logged before; a host logs every step without a mean."""
    return step.loss if step.mean is None else step.mean
