"""The real mpremote and ampy deploy to a real MicroPython behind a pseudo-terminal."""

import hashlib
import json
import struct
import subprocess
import time
from pathlib import Path

import pytest
from microgpt_board.device import deploy, log, remote
from microgpt_board.device.found import inspect
from microgpt_board.device.ports import close_port, open_port
from microgpt_board.device.remote import Changes, NoAnswer
from microgpt_board.device.serial_lines import LineSplitter
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source
from microgpt_board.image.sizes import settings_file
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER
from ugpt.dataset import Dataset

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard, SerialEnd
from tests.tools.device.test_room import found

OTHER_PROGRAM = "import time\nwhile True:\n    print('blink')\n    time.sleep(0.01)\n"
LONG_RUN = {"steps": 1_000_000, "log_every": 1}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build in a folder of the test's own: each writes another list and other settings."""
    monkeypatch.chdir(tmp_path)


def run_tool(port: str, names: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Deploy to a port."""
    return microgpt_board("deploy", "--port", port, "--names", names, *words)


def assert_trains(port: str) -> None:
    """Wait for a step that the board logs; a minute at most."""
    serial = open_port(port, timeout=0.05)
    splitter = LineSplitter()
    give_up = time.monotonic() + 60
    try:
        while time.monotonic() < give_up:
            if any(isinstance(log.parse(x), log.Step) for x in splitter.feed(serial.read(4096))):
                return
    finally:
        close_port(serial)
    raise AssertionError("the board does not train")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below `folder`."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_deploy_from_nothing_to_only_what_changed(board: MicroPythonBoard, names: Path):
    (board.flash / "main.py").write_text(OTHER_PROGRAM)  # runs from the next reset on
    (board.flash / "ugpt.json").write_text(json.dumps(LONG_RUN))
    its_own = {"ugpt.json": json.dumps(LONG_RUN).encode(), "main-1.py": OTHER_PROGRAM.encode()}
    first = run_tool(board.port, names)
    assert first.returncode == 0, first.stderr
    assert "0 as they were" in first.stdout
    built = contents(Path("build/deploy"))
    assert {"main.py", "names.bin", "ugpt/app.mpy"} <= built.keys()
    assert contents(board.flash) == built | its_own
    assert_trains(board.port)  # it was started again

    again = run_tool(board.port, names)
    assert again.returncode == 0, again.stderr
    assert f"0 files copied, {len(built)} as they were, 0 removed" in again.stdout
    assert_trains(board.port)

    (board.flash / "ugpt" / "rng.mpy").write_bytes(b"damaged")
    (board.flash / "ugpt" / "app.py").write_text("an old one, which would win over app.mpy")
    (board.flash / "ugpt" / "notes.txt").write_text("not ours")
    third = run_tool(board.port, names)
    assert third.returncode == 0, third.stderr
    assert f"1 files copied, {len(built) - 1} as they were, 1 removed" in third.stdout
    stayed = {*its_own, "ugpt/notes.txt", NEWEST}  # the run was saved when it was interrupted
    assert contents(board.flash).keys() - built.keys() - {OLDER} == stayed
    assert_trains(board.port)


def test_sizes_go_into_the_boards_own_settings(board: MicroPythonBoard, names: Path):
    settings = board.flash / "ugpt.json"
    settings.write_text("\ufeff" + json.dumps({**LONG_RUN, "n_layer": 3, "n_head": 3, "mine": 1}))
    before = settings.read_bytes()
    sizes = ["--n-embd", "24", "--n-layer", "2", "--tie-lm-head", "--block-size", "32"]

    refused = run_tool(board.port, names, "--n-embd", "32")  # n_head is the board's own
    assert refused.returncode == 1
    assert refused.stderr == "error: n_embd 32 is not divisible by n_head 3\n"
    assert contents(board.flash) == {"ugpt.json": before}

    first = run_tool(board.port, names, *sizes)
    assert first.returncode == 0, first.stderr
    expected = LONG_RUN | {"n_layer": 2, "n_head": 3, "mine": 1, "n_embd": 24}
    expected |= {"tie_lm_head": True, "block_size": 32}
    assert json.loads(settings.read_text()) == expected
    assert_trains(board.port)

    again = run_tool(board.port, names, *sizes)
    assert "0 files copied" in again.stdout
    with (board.flash / NEWEST).open("rb") as file:  # the run was saved when it was interrupted
        header = checkpoint.read_header(file, NEWEST)
    assert (header["n_embd"], header["n_head"], header["n_layer"]) == (24, 3, 2)
    other = run_tool(board.port, names, *sizes, "--no-tie-lm-head")
    assert "1 files copied" in other.stdout
    assert json.loads(settings.read_text()) == expected | {"tie_lm_head": False}
    without = run_tool(board.port, names, "--block-size", "32", "--n-embd", "12")
    assert without.returncode == 0, without.stderr
    assert json.loads(settings.read_text())["n_layer"] == 2  # it was given before


def test_the_settings_of_an_image_are_as_they_were(board: MicroPythonBoard, names: Path):
    settings = settings_file({**LONG_RUN, "n_embd": 24})  # a short run would end in between
    (board.flash / "ugpt.json").write_bytes(settings)
    first = run_tool(board.port, names)
    assert first.returncode == 0, first.stderr
    again = run_tool(board.port, names, "--n-embd", "24")
    assert "0 files copied" in again.stdout, again.stderr
    assert (board.flash / "ugpt.json").read_bytes() == settings
    assert_trains(board.port)


@pytest.mark.parametrize("broken", [b"{broken", b"[1]", b'{"lr": NaN}', b'{"lr": 1e999}'])
def test_broken_settings_are_not_replaced(tmp_path: Path, names: Path, broken: bytes):
    board = Remembered("")
    board.found["settings"] = broken.hex()
    with pytest.raises(ToolError, match="the board's ugpt.json is not a JSON object: correct or"):
        deploy.deploy(board, Source(names), tmp_path / "files", {"n_embd": 24})
    assert not board.copied
    deploy.deploy(board, Source(names), tmp_path / "files")  # no reason to touch them
    assert "ugpt.json" not in board.copied


def test_a_model_too_large_for_the_board_is_refused_before_anything_is_copied(
    tmp_path: Path, names: Path
):
    board = Remembered("")
    with pytest.raises(
        ToolError, match="^this board: 16,032 parameters .* what fits: N_LAYER=2, or N_EMBD=8$"
    ):
        deploy.deploy(board, Source(names), tmp_path / "files", {"n_layer": 5})
    assert not board.copied and not (tmp_path / "files").exists()
    board.found["pieces"] = [4 << 20, *board.found["pieces"]]  # PSRAM
    board.found["heap"] += (4 << 20) - 110_592  # with the largest
    deploy.deploy(board, Source(names), tmp_path / "files", {"n_layer": 5})
    assert "ugpt.json" in board.copied


def test_the_list_is_written_for_the_block_size_that_the_board_has(tmp_path: Path, names: Path):
    board = Remembered("")
    board.found["settings"] = b'{"block_size": 32}'.hex()
    board.found["names"] = None
    deploy.deploy(board, Source(names), tmp_path / "files")
    written = (tmp_path / "files" / "names.bin").read_bytes()
    assert Dataset(names_bin.InMemory("names.bin", written)).record_size == 32


def test_sizes_that_the_settings_lack_are_those_of_the_saved_run(tmp_path: Path, names: Path):
    board = Remembered("")
    header = {"n_embd": 24, "n_head": 3, "n_layer": 1, "block_size": 16, "vocab_size": 27}
    values = [header.get(name, 1) for name in checkpoint.FIELDS]
    saved = struct.pack(checkpoint.HEADER, checkpoint.MAGIC, checkpoint.VERSION, *values)
    board.found["saved"] = saved.hex()
    with pytest.raises(ToolError, match="^n_embd 20 is not divisible by n_head 3$"):
        deploy.deploy(board, Source(names), tmp_path / "files", {"n_embd": 20})
    for damaged in (b"", saved[:-1], b"\xff" * 64, saved[:12] + bytes(52)):
        board.found["saved"] = damaged.hex()
        deploy.deploy(board, Source(names), tmp_path / "files", {"n_embd": 20})
    assert "ugpt.json" in board.copied


def test_ampy_does_the_same(board: MicroPythonBoard, names: Path):
    architecture = virtual_architecture(find_micropython())
    build.build_files(board.flash, architecture)
    (board.flash / "boot.py").unlink()  # it is for boards with the module flashbdev
    names_bin.write(Source(names), board.flash / "names.bin")
    (board.flash / "ugpt.json").write_text(json.dumps(LONG_RUN))
    (board.flash / "ugpt" / "rng.mpy").write_bytes(b"damaged")
    (board.flash / "ugpt" / "train.py").write_text("an old one")
    result = run_tool(board.port, names, "--tool", "ampy")
    assert result.returncode == 0, result.stderr
    assert "1 files copied, " in result.stdout
    assert " as they were, 1 removed" in result.stdout
    built = contents(Path("build/deploy"))
    assert contents(board.flash) == {**built, "ugpt.json": json.dumps(LONG_RUN).encode()}
    assert_trains(board.port)


def test_ampy_makes_the_folder(board: MicroPythonBoard, tmp_path: Path):
    (tmp_path / "ugpt").mkdir()
    (tmp_path / "ugpt" / "one.py").write_text("ONE = 1\n")
    deploy.Ampy(board.port).change(tmp_path, Changes(["ugpt/one.py"], []), new=True)
    assert contents(board.flash) == {"ugpt/one.py": b"ONE = 1\n"}


@pytest.mark.parametrize("tool", deploy.TOOLS.values())
def test_a_board_without_micropython(tool: type, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "FIRST_S", 2)
    monkeypatch.setattr(remote, "ANSWER_S", 0)
    end = SerialEnd()
    with pytest.raises(
        ToolError, match="no MicroPython answers: press the board's RESET or EN button"
    ):
        tool(end.port).run("print()")
    end.close()


def test_an_error_is_one_line(names: Path):
    result = run_tool("/dev/ttyUSB99", names)
    assert result.returncode == 1
    assert result.stderr == (
        "error: /dev/ttyUSB99 is not there: plug the board in; make ports lists what there is\n"
    )


def test_ampy_knows_no_sockets(names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = run_tool("socket://127.0.0.1:9", names, "--tool", "ampy")
    assert result.returncode == 1
    assert result.stderr == (
        "error: ampy knows real serial ports only, not socket://127.0.0.1:9: deploy without "
        "TOOL=ampy uses mpremote\n"
    )
    assert not (tmp_path / "build").exists()


def test_what_starts_the_program_comes_last(tmp_path: Path):
    for name in ("boot.py", "main.py", "names.bin"):
        (tmp_path / name).write_text(name)
    assert deploy.changes_for(tmp_path, found()).copy == ["names.bin", "boot.py", "main.py"]


class Remembered:
    """A board with a partition of names, as deploy sees it."""

    def __init__(self, names: str) -> None:
        mpy = 6 | 3 << 8 | 10 << 10  # what an ESP32 says
        self.found = {
            "mpy": mpy,
            "machine": "Generic ESP32 module with ESP32",
            "heap": 166_592,
            "pieces": [110_592, 14_336, 10_240, 3_584, 0, 0],
            "files": {},
            "space": 1_000_000,
            "names": names,
            "new": True,
            "flashbdev": True,
        }
        self.copied: list[str] = []
        self.asked = 0
        self.restarted = False

    def run(self, code: str) -> str:
        self.asked += 1
        return "noise\n" + json.dumps(self.found)

    def change(self, folder: Path, changes: Changes, new: bool) -> None:
        assert new
        self.copied = changes.copy

    def restart(self) -> None:
        assert "machine.reset()" in remote.RESTART
        self.restarted = True


@pytest.mark.parametrize("same", [True, False])
def test_with_a_partition_the_names_are_no_file(tmp_path: Path, names: Path, same: bool):
    names_bin.write(Source(names), tmp_path / "names.bin")
    header = (tmp_path / "names.bin").read_bytes()[:32].hex() if same else "ff" * 32
    board = Remembered(header)
    said = deploy.deploy(board, Source(names), tmp_path / "files")
    assert board.restarted
    assert "names.bin" not in board.copied
    assert "ugpt/ops.mpy" in board.copied
    assert ("partition names holds another list than" in said) is not same


def test_a_board_that_was_just_starting_is_asked_again(tmp_path: Path, names: Path):
    class Starting(Remembered):
        def run(self, code: str) -> str:
            said = super().run(code)
            if self.asked == 1:
                raise NoAnswer
            return said

    board = Starting("ff" * 32)
    assert "0 as they were" in deploy.deploy(board, Source(names), tmp_path / "files")


def test_an_old_micropython(tmp_path: Path, names: Path):
    board = Remembered("")
    board.found["mpy"] = 5
    with pytest.raises(ToolError, match="does not load .mpy files of version 6.3"):
        deploy.deploy(board, Source(names), tmp_path / "files")


def test_the_hash_is_the_files(tmp_path: Path):
    (tmp_path / "boot.py").write_bytes(b"x")
    files = {"boot.py": hashlib.sha256(b"x").hexdigest()}
    assert deploy.changes_for(tmp_path, found(files=files)) == Changes([], [])


def test_a_board_that_says_nothing():
    with pytest.raises(ToolError, match="gave no list of its files"):
        inspect("Traceback\n")


def test_a_board_without_a_file_system():
    board = Remembered("")
    board.found["block"] = 0
    with pytest.raises(ToolError, match="^the board has no file system: MicroPython on it has"):
        inspect(board.run(""))
