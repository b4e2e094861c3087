"""The board's program from boot to prompt, in real MicroPython, over a serial port."""

import json
import time
from pathlib import Path

import pytest
import serial
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source

from tests.support.serial_board import MicroPythonBoard

CTRL_C, CTRL_D = b"\x03", b"\x04"
SOON_S = 5  # a second is asked of a board; this machine may be busy
LARGE = 0xC0000 // 16 - 2  # names: as many as the partition holds


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is on a board."""
    folder = tmp_path_factory.mktemp("program")
    build.build_files(folder, virtual_architecture(find_micropython()))
    return folder


class Prompt:
    """A terminal at the board's port."""

    def __init__(self, board: MicroPythonBoard) -> None:
        self._serial = serial.serial_for_url(board.port, timeout=0.02)
        self._unread = b""

    def start_program(self) -> None:
        """Press Ctrl-D: a soft reset, which starts main.py."""
        self.send(CTRL_D)
        self.read_until("soft reboot\r\n")

    def send(self, data: bytes) -> None:
        self._serial.write(data)

    def read_until(self, text: str, limit_s: float = 30) -> str:
        """Return what comes in up to `text`, which must come within `limit_s`."""
        found = self._unread
        give_up = time.monotonic() + limit_s
        while text.encode() not in found:
            assert time.monotonic() < give_up, found
            found += self._serial.read(self._serial.in_waiting or 1)
        end = found.index(text.encode()) + len(text)
        self._unread = found[end:]
        return found[:end].decode()

    def close(self) -> None:
        self._serial.close()


@pytest.fixture
def prompt(board: MicroPythonBoard, program: Path, names: Path):
    """The prompt of a board that has the program; Ctrl-D starts it."""
    prompt = Prompt(board)
    prompt.send(b"\r")
    prompt.read_until(">>> ")  # it has looked for a program already
    build_into(board.flash, program)
    names_bin.write(Source(names), board.flash / "names.bin")
    yield prompt
    prompt.close()


def build_into(flash: Path, program: Path) -> None:
    for path in program.rglob("*"):
        target = flash / path.relative_to(program)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())


def configure(board: MicroPythonBoard, **settings: object) -> None:
    (board.flash / "ugpt.json").write_text(json.dumps(settings))


def test_a_whole_run(board: MicroPythonBoard, prompt: Prompt):
    configure(board, steps=21, log_every=10)
    prompt.start_program()
    lines = prompt.read_until(">>> ").splitlines()
    steps = [line.split()[0] for line in lines if line.startswith("step:")]
    assert steps == ["step:0", "step:10", "step:20"]
    assert sum(line.startswith("name:") for line in lines) == 20


def test_ctrl_c_while_it_trains(board: MicroPythonBoard, prompt: Prompt):
    configure(board, steps=1_000_000)
    prompt.start_program()
    prompt.read_until("step:10 ")
    prompt.send(CTRL_C)
    assert "# interrupted" in prompt.read_until(">>> ", limit_s=SOON_S)
    prompt.start_program()  # and it goes on
    prompt.read_until("# resumed at step ")
    prompt.read_until("step:")


def test_ctrl_c_while_it_checks_the_data(board: MicroPythonBoard, prompt: Prompt, tmp_path: Path):
    many = tmp_path / "many.txt"
    many.write_text("emma\n" * LARGE)
    names_bin.write(Source(many), board.flash / "names.bin")
    configure(board, steps=1_000_000)
    prompt.start_program()
    prompt.send(CTRL_C)
    assert "# interrupted" in prompt.read_until(">>> ", limit_s=SOON_S)


def test_ctrl_c_twice(board: MicroPythonBoard, prompt: Prompt):
    configure(board, steps=1_000_000)
    prompt.start_program()
    prompt.read_until("step:0 ")
    prompt.send(CTRL_C + CTRL_C)
    assert "# saved at step " in prompt.read_until(">>> ", limit_s=SOON_S)


@pytest.mark.parametrize(
    ("settings", "remark"),
    [
        ("{", "# ugpt.json is not a JSON object: using the default settings"),
        ('{"steps": "many", "log_every": 500}', "# ugpt.json: steps must be a whole number"),
        ('{"speed": 1}', "# ugpt.json: no setting is called speed"),
    ],
)
def test_broken_settings(board: MicroPythonBoard, prompt: Prompt, settings: str, remark: str):
    (board.flash / "ugpt.json").write_text(settings)
    prompt.start_program()
    text = prompt.read_until("step:0 ")
    assert remark in text
    assert "seed:42" in text
    assert "steps:1000" in text
    prompt.send(CTRL_C)
    prompt.read_until(">>> ", limit_s=SOON_S)


def test_an_error_is_one_line_and_the_prompt_returns(board: MicroPythonBoard, prompt: Prompt):
    names = board.flash / "names.bin"
    names.write_bytes(names.read_bytes()[:-1] + b"?")
    prompt.start_program()
    assert prompt.read_until(">>> ").splitlines() == [
        "# error: names.bin is damaged (CRC32 differs): write it again",
        ">>> ",
    ]
