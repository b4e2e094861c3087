"""Records of the virtual board's runs, and the replay of them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

from microgpt_board.device import log
from microgpt_board.device.record import Recorder

from tests.support.commands import microgpt_board


def record(lines: Iterator[str], runs: Path) -> Path:
    """Record what a board logs as the monitor does; return the run's folder."""
    recorder = Recorder("virtual", runs)
    for line in lines:
        if event := log.parse(line):
            recorder.take(event)
    recorder.finish()
    (folder,) = runs.iterdir()
    return folder


def replay(*words: object) -> CompletedProcess[str]:
    """Run `microgpt-board replay` with these words."""
    return microgpt_board("replay", *words)


def change(folder: Path, target: Path, **facts: object) -> Path:
    """Copy a run, its configuration changed."""
    shutil.copytree(folder, target)
    set_in_run(target, **facts)
    return target


def set_in_run(folder: Path, **facts: object) -> None:
    """Set facts in a run's run.json."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **facts}))
