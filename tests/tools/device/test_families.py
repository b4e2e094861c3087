"""Boards that are no ESP32: no partition, files at "/" or "/flash", perhaps mip's copy in lib."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from microgpt_board.device.remote import Remote
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH

from tests.support.commands import microgpt_board, unmeasured_environment
from tests.support.serial_board import MicroPythonBoard
from tests.support.weights import model
from tests.tools.device.test_deploy import assert_trains, contents

# A board's memory is for the model: what is needed once is gone when training begins.
FORGOTTEN = """
from ugpt import app
app.prepare(app.read_settings(app.SETTINGS_FILE)[0])
import sys
print(*["ugpt." + name in sys.modules for name in ("app", "memory", "backend")])
"""
LONG_RUN = {"steps": 1_000_000, "log_every": 1, "save_every_s": 0}


@pytest.fixture
def board(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MicroPythonBoard]:
    """A board of the family that a test names, its flash empty, and PORT set to its port."""
    flash = tmp_path / "flash"
    flash.mkdir()
    (flash / "ugpt.json").write_text(json.dumps(LONG_RUN))
    board = MicroPythonBoard(flash, *request.param)
    monkeypatch.chdir(tmp_path)  # what the verbs write
    monkeypatch.setenv("PORT", board.port)
    yield board
    board.close()


def monitored(*words: str) -> str:
    """Return what the monitor shows up to the first step, with the line after Ctrl-C."""
    command = [sys.executable, "-um", "microgpt_board", "monitor", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=unmeasured_environment(),
    )
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("step:"):
            process.send_signal(signal.SIGINT)
            break
    return text + process.communicate(timeout=30)[0]


@pytest.mark.parametrize("board", [("pyboard", "/flash")], indirect=True)  # what an STM32 says
def test_every_verb(board: MicroPythonBoard, names: Path):
    deployed = microgpt_board("deploy", "--names", names, "--n-embd", 12)
    assert deployed.returncode == 0, deployed.stderr
    built = contents(Path("build/deploy"))
    assert json.loads(built["ugpt.json"]) == LONG_RUN | {"n_embd": 12}
    assert "the run is in runs/" in monitored()
    (joined,) = Path("runs").iterdir()
    assert "the run is in runs/" in monitored("--new")  # of a board that is trained half-way
    (whole,) = set(Path("runs").iterdir()) - {joined}
    assert json.loads((whole / "run.json").read_text())["seed"] == 42
    records = map(json.loads, (whole / "log.jsonl").read_text().splitlines())
    assert next(record["step"] for record in records if "step" in record) == 0
    tested = microgpt_board("selftest")
    assert tested.returncode == 0, tested.stderr
    assert "self-test of pyboard-" in tested.stdout
    assert "names in /flash/names.bin" in tested.stdout
    left = Remote(board.port).run(FORGOTTEN)
    assert left.splitlines()[-1] == "True False False"
    pulled = microgpt_board("pull", "model")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.startswith("model: step ")
    pushed = microgpt_board("push", "model", "--train")
    assert pushed.returncode == 0, pushed.stderr
    assert_trains(board.port)
    files = contents(board.flash)
    assert built.keys() - files.keys() == set()
    assert OLDER in files.keys() - built.keys() <= {NEWEST, OLDER, SCRATCH}
    reset = microgpt_board("reset")
    assert reset.returncode == 0, reset.stderr
    assert_trains(board.port)


@pytest.mark.parametrize("board", [("rp2", "/")], indirect=True)
def test_a_copy_that_mip_has_put_into_lib_is_not_the_one_that_runs(
    board: MicroPythonBoard, names: Path
):
    library = board.flash / "lib"
    build.build_files(library, virtual_architecture(find_micropython()))
    shutil.copy(names, library / "names.bin")
    (library / "ugpt" / "app.mpy").write_bytes(b"damaged: it would not be imported")
    before = contents(library)
    deployed = microgpt_board("deploy", "--names", names)
    assert deployed.returncode == 0, deployed.stderr
    ours = ("ugpt/", "names.bin", "main.py")  # not boot.py: it cannot be mip's
    taken = sum(len(data) for name, data in before.items() if name.startswith(ours))
    assert deployed.stdout.splitlines()[-1] == (
        f"the board runs this program from now on; mip's copy of it takes {taken:,} bytes "
        "(mpremote rm -r :lib/main.py :lib/names.bin :lib/ugpt removes it)"
    )
    assert_trains(board.port)
    assert contents(library) == before


@pytest.mark.parametrize("board", [("rp2", "/")], indirect=True)
@pytest.mark.parametrize("verb", ["selftest", "reset", "pull", "push", "monitor"])
def test_a_board_that_has_no_program_yet(board: MicroPythonBoard, verb: str):
    if verb == "push":
        model().save(Path("model"))
    result = microgpt_board(verb, *{"push": ["model"], "monitor": ["--new"]}.get(verb, []))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: the board has no program yet: make deploy puts it there\n"


@pytest.mark.parametrize("board", [("rp2", "/")], indirect=True)
def test_another_error_of_the_board_is_shown_whole(
    board: MicroPythonBoard, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(ToolError, match="^the board says: ZeroDivisionError: "):
        Remote(board.port).run("print('before')\n1 / 0", show=True)
    before, *traceback = capsys.readouterr().out.splitlines()
    assert before == "before"
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1].startswith("ZeroDivisionError: ")
