"""A recorded run as a program reads it, and as a notebook shows it."""

import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import microgpt
import pytest
from microgpt.runs import log
from microgpt_board.device.log import parse
from microgpt_board.device.record import Recorder

from tests.support.commands import run

HOST = ["train", "--steps", "60", "--n-embd", "4", "--validation", "0.3", "--data", "d.txt"]
BOARD = """\
# microgpt-esp32 0.2.0 board:virtual-1.29.0 kernels:native reason:self-check-passed seed:42 \
parameters:4192 steps:20 data:32469
step:0 loss:3.4827 mean:3.4827 lr:0.01000 ms:1.0 free:782400
step:10 loss:3.1014 mean:3.2000 lr:0.00500 ms:1.0 free:782400
step:19 loss:3.0014 mean:3.1000 lr:0.00050 ms:1.0 free:782400
# saved at step 20 of 20
name:mlaon
name:<b>
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a host's run."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "d.txt").write_text("emma\nolivia\nava\nmia\nisla\nnoa\nlea\n")
    run(*HOST, "--out", "first", cwd=folder)
    return folder / "first"


@pytest.fixture(scope="module")
def of_board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a board's run."""
    runs = tmp_path_factory.mktemp("board")
    recorder = Recorder("virtual", runs)
    for line in BOARD.splitlines():
        event = parse(line)
        assert event
        recorder.take(event)
    recorder.finish()
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture
def recorded(of_board: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(of_board, tmp_path / "run"))


def facts(of: microgpt.Run) -> dict[str, str]:
    """Return the table of facts that a notebook shows: {name: text}."""
    page = ElementTree.fromstring(of._repr_html_())
    return {row[0].text or "": row[1].text or "" for row in page.iter("tr")}


def picture(of: microgpt.Run) -> ElementTree.Element | None:
    return ElementTree.fromstring(of._repr_html_()).find(".//svg")


def test_a_hosts_run(trained: Path) -> None:
    found = microgpt.read_run(trained)
    assert found.folder == trained
    assert (found.info.seed, found.info.steps) == (42, 60)
    assert found.steps == log.read_steps(trained) and len(found.steps) == 60
    assert (found.names, found.remarks) == ([], [])
    assert repr(found) == f"Run(folder={trained!r})"
    shown = facts(found)
    assert shown["parameters"] == "336" and shown["steps in the log"] == "60"
    assert "n_embd 4" in shown["sizes"] and "steps 60" in shown["training"]
    mean = math.fsum(step.loss or 0 for step in found.steps) / 60
    assert shown["loss, mean of the last 60"] == f"{mean:.4f}"
    assert shown["validation loss"] == f"{found.steps[-1].validation:.4f} after step 59"
    assert "board" not in shown and "generated" not in shown
    drawn = picture(found)
    assert drawn is not None and len(drawn.findall("circle")) == 20


def test_a_boards_run(recorded: Path) -> None:
    found = microgpt.read_run(str(recorded))
    assert [step.step for step in found.steps] == [0, 10, 19]
    assert found.names == ["mlaon", "<b>"]
    assert found.remarks == ["saved at step 20 of 20"]
    shown = facts(found)
    assert shown["board"] == "virtual-1.29.0" and shown["kernels"] == "native"
    assert shown["documents"] == "32,469" and shown["seed"] == "42"
    assert shown["generated"] == "mlaon, <b>"
    assert "engine" not in shown and "validation loss" not in shown


def test_a_run_that_has_not_taken_a_step_shows_what_it_is(recorded: Path) -> None:
    (recorded / log.FILE).write_text("")
    found = microgpt.read_run(recorded)
    assert facts(found)["steps in the log"] == "0"
    assert picture(found) is None


def test_a_run_is_shown_as_it_was_read(recorded: Path) -> None:
    found = microgpt.read_run(recorded)
    before = found._repr_html_()
    (recorded / log.FILE).unlink()
    assert found._repr_html_() == before


def test_what_is_no_run_is_named(tmp_path: Path, recorded: Path) -> None:
    with pytest.raises(microgpt.RunError, match=r"cannot read .*none.run\.json: No such file"):
        microgpt.read_run(tmp_path / "none")
    (recorded / log.FILE).unlink()
    with pytest.raises(microgpt.RunError, match=r"cannot read .*log\.jsonl: No such file"):
        microgpt.read_run(recorded)


def test_odd_values_in_run_json_are_text(recorded: Path) -> None:
    path = recorded / "run.json"
    content = json.loads(path.read_text())
    content |= {"kernels": "<i>", "model": {"n_embd": {"a": "<"}}, "train": None, "started": 5}
    path.write_text(json.dumps(content))
    shown = facts(microgpt.read_run(recorded))
    assert shown["kernels"] == "<i>" and shown["sizes"] == "n_embd {'a': '<'}"
    assert "started" not in shown and "training" not in shown
