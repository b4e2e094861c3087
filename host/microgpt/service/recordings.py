"""What stands under runs/, read while it may still grow: the list of runs, and a run's log."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from microgpt.pictures import SMOOTHED_OVER

TAIL = 1 << 14  # bytes of a log: its last SMOOTHED_OVER steps are in them, if no names follow
CHUNK = 1 << 20  # bytes of a log in one answer
STALE = 60  # seconds: a run that recorded nothing for this long is no longer live


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Return what there is to say of each run, the latest first.

    A board's run and one of this computer have different run.json; here both look the same.
    """
    try:
        folders = list(root.iterdir())
    except OSError:
        return []
    summaries = [summary for folder in folders if (summary := _summary(folder))]
    return sorted(summaries, key=lambda run: (run["started"] or "", run["name"]), reverse=True)


def _summary(folder: Path) -> dict[str, Any] | None:
    try:
        with open(folder / "log.jsonl", "rb") as log:
            size = log.seek(0, 2)
            logged, names_last = _last_steps(log, size)
            age = time.time() - os.fstat(log.fileno()).st_mtime
    except OSError:
        return None
    about = _about(folder)
    configuration = _object(about, "configuration") or _object(about, "train")
    steps = _whole(configuration.get("steps"))
    step = logged[-1][0] if logged else None
    means = [mean for at, mean in logged if mean is not None and at > step - SMOOTHED_OVER]
    complete = names_last or (step is not None and step + 1 == steps)
    ended = (folder / "loss.png").exists()  # what ends a recording draws its picture
    return {
        "name": folder.name,
        "trained_on": _text(about.get("board")) or _text(about.get("engine")) or "a board",
        "started": _text(about.get("started")),
        "seed": _whole(about.get("seed")),
        "parameters": _whole(configuration.get("parameters", about.get("parameters"))),
        "steps": steps,
        "step": step,
        "mean": sum(means) / len(means) if means else None,
        "bytes": size,
        "live": not complete and not ended and age < STALE,
    }


def _last_steps(log: BinaryIO, size: int) -> tuple[list[tuple[int, float | None]], bool]:
    """Return the last SMOOTHED_OVER steps of a log, or more, and whether names came after them.

    A board that is done makes up names for ever: the steps may stand far before the end.
    """
    length = TAIL
    while True:
        log.seek(max(0, size - length))
        lines = log.read(min(length, size)).split(b"\n")[:-1]
        numbered = [
            (number, step, _mean(record))
            for number, line in enumerate(lines)
            if b'"step"' in line  # far quicker than to read a million names as JSON
            and (step := _whole((record := _record(line)).get("step"))) is not None
        ]
        if length >= size or (numbered and numbered[0][1] <= numbered[-1][1] - SMOOTHED_OVER):
            break
        length *= 8
    after = lines[numbered[-1][0] + 1 :] if numbered else lines
    return [(step, mean) for _, step, mean in numbered], any("name" in _record(r) for r in after)


def read_from(root: Path, name: str, offset: int = 0) -> dict[str, Any] | None:
    """Return the steps and names of a log from a byte on, and the byte to go on from.

    Only whole lines are read, and at most CHUNK bytes: `more` says whether to ask again at once.
    None if there is no such run.
    """
    try:
        if name not in {folder.name for folder in root.iterdir()}:  # not a path to elsewhere
            return None
        with open(root / name / "log.jsonl", "rb") as file:
            size = file.seek(0, 2)
            if offset > size:  # another log under the same name
                offset = 0
            file.seek(offset)
            content = file.read(CHUNK)
    except OSError:
        return None
    whole = content[: content.rfind(b"\n") + 1]
    records = [record for line in whole.splitlines() if (record := _record(line))]
    return {
        "steps": [
            {"step": step, "loss": _number(r.get("loss")), "mean": _mean(r)}
            for r in records
            if (step := _whole(r.get("step"))) is not None
        ],
        "names": [name for r in records if (name := _text(r.get("name"))) is not None],
        "offset": offset + len(whole),
        "more": bool(whole) and offset + len(content) < size,
    }


def _about(folder: Path) -> dict[str, Any]:
    try:
        return _record((folder / "run.json").read_bytes())
    except OSError:
        return {}


def _mean(record: dict[str, Any]) -> float | None:
    """Return the mean loss since the step logged before; a host logs every step, and none."""
    return _number(record.get("mean", record.get("loss")))


def _record(line: bytes) -> dict[str, Any]:
    """Return a JSON object, {} if `line` is not one: whoever writes it may be half done."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _object(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _number(value: object) -> float | None:
    largest = sys.float_info.max  # larger are infinity and whole numbers of hundreds of digits
    return value if type(value) in (int, float) and -largest <= value <= largest else None
