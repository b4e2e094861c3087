"""The state that the monitor shows and what it records, without a port."""

import io
import json
import sys
import time
from pathlib import Path

import pytest
from microgpt.runs import log as run_log
from microgpt_board.device import log, monitor
from microgpt_board.device.record import Recorder
from rich.console import Console

from tests.support.board_run import START, step


def test_long_names_stay_within_a_window():
    watch = monitor.Watch()
    lines = [START.decode().strip().replace("4192", "8032") + " block_size:256"]
    lines += [step(number).decode().strip() for number in range(9)]
    lines += [f"name:{number}{'ü' * 250}" for number in range(40)]
    for line in lines:
        watch.take(line, log.parse(line))
    assert watch.start
    console = Console(width=80, file=io.StringIO(), legacy_windows=False)
    shown = console.render_lines(watch)
    assert len(shown) <= 24
    assert "39ü" in "".join(segment.text for line in shown for segment in line)


def test_without_matplotlib_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    recorder = Recorder("/dev/ttyUSB0", tmp_path)
    recorder.take(log.parse(step(0).decode().strip()))
    assert "no loss.png: .venv/bin/pip install -e '.[plot]'" in recorder.finish()


def test_a_loss_that_is_not_a_number(tmp_path: Path):
    recorder = Recorder("/dev/ttyUSB0", tmp_path)
    watch = monitor.Watch()
    for number, loss in enumerate((2.5, float("nan"), float("inf"), 2.4)):
        line = step(number, loss).decode().strip()
        recorder.take(log.parse(line))
        watch.take(line, log.parse(line))
    said = recorder.finish()
    (folder,) = tmp_path.iterdir()
    assert said == f"the run is in {folder}"
    logged = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert logged == [2.5, None, None, 2.4]
    assert [record.loss for record in run_log.read_steps(folder)] == [2.5, 2.4]
    assert "2.40" in monitor.curve(watch.means).plain


def test_names_alone_are_of_a_run_that_was_over():
    watch = monitor.Watch()
    for line in ("name:anna", "name:emma"):
        watch.take(line, log.parse(line))
    assert watch.figures().startswith("the run was over before the monitor: make monitor NEW=1")
    watch.take(START.decode().strip(), log.parse(START.decode().strip()))  # it was reset
    assert watch.figures() == "waiting for the first step"


def test_time_left_and_pace(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = monitor.Watch()
    assert watch.figures() == "waiting for the first step"
    for line in (START, step(0)):
        watch.take(line.decode().strip(), log.parse(line.decode().strip()))
    assert watch.seconds_left is None
    now[0] = 110.0
    watch.take("", log.parse(step(10).decode().strip()))
    assert watch.seconds_left == 10.0
    assert "0:00:10 left" in watch.figures()
    now[0] += 10_000.0
    assert "2:46:50 left" in watch.figures()


@pytest.mark.parametrize("steps", [0, 21, 9_999_999_999])
def test_no_total_makes_the_time_left_negative_or_divides_by_zero(
    steps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = monitor.Watch()
    start = START.decode().strip().replace("steps:21", f"steps:{steps}")
    for line in (start, step(0).decode().strip(), step(30).decode().strip()):
        now[0] += 36_000_000.0
        watch.take(line, log.parse(line))
        watch.tell_progress()
        watch.progress()
    assert "-" not in watch.figures()
    if steps < 30:  # the log is past its last step
        assert "  0:00:00 left" in watch.figures()
        assert capsys.readouterr().err == "31 of 31 steps, 0:00:00 left\n"
