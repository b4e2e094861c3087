"""Events of a board's runs, read back with TensorBoard's own readers."""

from pathlib import Path

import pytest
from microgpt_board.device import log
from microgpt_board.device.record import Recorder

from tests.support.board_run import START, step
from tests.support.commands import microgpt_board

pytest.importorskip(
    "tensorboard", reason="needs TensorBoard: .venv/bin/pip install -e '.[tensorboard]'"
)
from tests.support import events  # noqa: E402


def tell(recorder: Recorder, *lines: bytes) -> None:
    """Let the recorder take lines of a board's log."""
    for line in b"".join(lines).decode().splitlines():
        event = log.parse(line)
        assert event
        recorder.take(event)


def test_a_run_of_a_board_while_it_goes_on(tmp_path: Path) -> None:
    recorder = Recorder("/dev/ttyUSB0", tmp_path / "runs", tmp_path / "logs")
    tell(recorder, START, step(0, 3.3872), step(10, 2.8), step(20, 2.7))
    tell(recorder, *(f"name:name {number}\r\n".encode() for number in range(20)))
    (folder,) = (tmp_path / "logs").iterdir()
    expected = {
        "loss/step": [(0, 3.3872), (10, 2.8), (20, 2.7)],
        "loss/mean": [(0, 3.3872), (10, 2.8), (20, 2.7)],
        "training/lr": [(0, 0.009), (10, 0.009), (20, 0.009)],
        "board/ms": [(0, 3.1), (10, 3.1), (20, 3.1)],
        "board/free": [(0, 81234.0), (10, 81234.0), (20, 81234.0)],
    }
    found = events.scalars(folder)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert found[tag] == [(number, pytest.approx(value)) for number, value in points]
    names = "\n".join(f"    name {number}" for number in range(20))
    assert events.samples(folder) == [(20, names)]
    tell(recorder, b"name:one more\r\n")  # the monitor is left some time later
    said = recorder.finish()
    (run,) = (tmp_path / "runs").iterdir()
    assert said == f"the run is in {run}"
    assert run.name == folder.name
    assert events.samples(folder) == [(20, names), (20, "    one more")]
    session = events.sessions(tmp_path / "logs")[run.name]
    settings = {"board": "esp32-1.24.0", "kernels": "portable", "seed": 42, "steps": 21}
    assert settings.items() <= session.hparams.items()
    assert session.hparams["n_embd"] == 16
    assert session.metrics["loss/mean"] == pytest.approx(2.7)
    assert session.status == "STATUS_SUCCESS"


def test_each_run_of_a_board_has_its_own_events(tmp_path: Path) -> None:
    recorder = Recorder("/dev/ttyUSB0", tmp_path / "runs", tmp_path / "logs")
    tell(recorder, step(110), START, step(0), step(10), START, step(0))
    recorder.finish()
    found = events.sessions(tmp_path / "logs")
    assert found.keys() == {folder.name for folder in (tmp_path / "runs").iterdir()}
    assert sorted((s.hparams.get("steps", 0), s.status) for s in found.values()) == [
        (0, "STATUS_UNKNOWN"), (21, "STATUS_UNKNOWN"), (21, "STATUS_UNKNOWN")
    ]  # fmt: skip


def test_a_full_disk_costs_the_events_of_a_board_only(tmp_path: Path) -> None:
    recorder = Recorder("/dev/ttyUSB0", tmp_path / "runs", tmp_path / "logs")
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").write_text("")
    tell(recorder, START, step(0), step(10))
    said = recorder.finish()
    (run,) = (tmp_path / "runs").iterdir()
    assert said.startswith(f"the run is in {run} (no more events for TensorBoard: ")
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


def test_the_commands(tmp_path: Path) -> None:
    words = ["--flash", tmp_path / "flash", "--runs", tmp_path / "runs"]
    result = microgpt_board("run", "--steps", 30, *words, "--tensorboard", tmp_path / "logs")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "runs").iterdir()
    session = events.sessions(tmp_path / "logs")[run.name]
    assert session.status == "STATUS_SUCCESS"
    assert (session.hparams["documents"], session.hparams["steps"]) == (32469, 30)
    ((number, text),) = events.samples(tmp_path / "logs" / run.name)
    names = [line[5:] for line in result.stdout.splitlines() if line.startswith("name:")]
    assert (number, text.split("\n")) == (29, [f"    {name}" for name in names])


def test_a_folder_that_cannot_be_is_one_line_and_nothing_is_flashed(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    words = ["--tensorboard", tmp_path / "logs"]
    port = ["--port", "socket://127.0.0.1:1"]  # nobody answers there
    for verb, rest in (("run", ["--flash", tmp_path / "x"]), ("monitor", port), ("flash", port)):
        result = microgpt_board(verb, *rest, *words)
        assert result.returncode == 1
        message = f"{tmp_path}/logs is a file: name a folder with --tensorboard"
        assert (result.stdout, result.stderr) == ("", f"error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
