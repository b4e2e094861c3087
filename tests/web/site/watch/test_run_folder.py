"""The page's recorder beside the tools' own: the same runs of the same lines, byte for byte."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from microgpt_board.device import log
from microgpt_board.device.record import Recorder
from microgpt_board.site.log_rules import rules

from tests.support.board_run import START
from tests.support.log_cases import CAPTURE
from tests.support.web.node import evaluate

RECORD = """
    const { parse } = await load("common/log.js");
    const { Recorder } = await load("site/watch/run_folder.js");
    const recorder = new Recorder();
    for (const line of args[1]) {
      const event = parse(line, args[0]);
      if (event) recorder.take(event);
    }
    return recorder.runs.map((run) => ({ about: run.about({}), log: run.lines.join("") }));"""


def recorded(lines: list[str], root: Path) -> list[dict[str, Any]]:
    """The runs as the tools record them."""
    recorder = Recorder("", root)
    folders: list[Path] = []
    for line in lines:
        if event := log.parse(line):
            recorder.take(event)
            folders += sorted(set(root.iterdir()) - set(folders)) if root.exists() else []
    recorder.finish()
    return [
        {
            "about": json.loads((folder / "run.json").read_text()),
            "log": (folder / "log.jsonl").read_text(),
        }
        for folder in folders
    ]


def test_any_log_is_recorded_as_the_tools_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # no loss.png of each
    draw = random.Random(16)

    def number(digits: int, decimals: int) -> str:
        """A number as the board writes one, of any size."""
        whole = str(draw.randrange(10 ** draw.randint(0, digits)))
        return f"{whole}.{draw.randrange(10**decimals) // 10 ** draw.randrange(5):0{decimals}}"

    start = START.decode().strip()
    large = start.replace("4192", "9000") + " block_size:20 n_embd:24"  # impossible: a remark
    words = ["emma", "Zürich", "\U0001f43f", '"\\', r"\u2028", "x" * 17, "\xa0", ""]
    lines = CAPTURE.read_text(errors="surrogateescape").split("\n")
    step = 0
    for _ in range(2000):
        step += draw.choice([1, -3] + 30 * [10])
        loss, mean = (draw.choice(["nan", "inf"] + 9 * [number(38, 4)]) for _ in range(2))
        figures = f"lr:{number(3, 5)} ms:{number(9, 1)} free:{draw.randrange(10**9)}"
        lines.append(f"step:{abs(step)} loss:{loss} mean:{mean} {figures}")
        if draw.random() < 0.1:
            lines.append(f"name:{draw.choice(words)}")
            lines.append(f"# {draw.choice(words)}")
        if draw.random() < 0.01:
            lines.append(draw.choice([start, start + " block_size:16", large]))
            step = 0
    theirs = recorded([line.removesuffix("\r") for line in lines], tmp_path / "runs")
    ours = evaluate(RECORD, rules(), [line.removesuffix("\r") for line in lines])
    assert len(theirs) > 20
    for mine, wanted in zip(ours, theirs, strict=True):
        for about in (mine["about"], wanted["about"]):
            del about["started"], about["environment"]
        assert mine == wanted
