"""`PORT=virtual` and `PORT=8080`, as make and a shell hand them over, with the real programs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import microgpt
import pexpect
import pytest
from microgpt_board.emulation.micropython import FLASH, run_board
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST

from tests.support.commands import microgpt_board

ROOT = Path(__file__).parents[3]
MAKE = [
    *("make", "-s", "-f", str(ROOT / "Makefile"), "-o", ".venv/.ready"),
    f"BIN={Path(sys.executable).parent}",
]


@pytest.fixture(scope="module")
def computer(flash: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, whose virtual board has trained for 12 steps."""
    folder = tmp_path_factory.mktemp("computer")
    (folder / FLASH.parent).mkdir()
    flash.rename(folder / FLASH)
    list(run_board(folder / FLASH, {"steps": 12, "seed": 5}))
    return folder


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, computer: Path) -> None:
    """The environment's port is the virtual board, in the folder to work in."""
    monkeypatch.setenv("PORT", "virtual")
    monkeypatch.chdir(computer)


def test_the_prompt(computer: Path) -> None:
    prompt = pexpect.spawn(
        MAKE[0], [*MAKE[1:], "repl", "PORT=virtual"], cwd=computer, encoding="utf-8", timeout=60
    )
    try:
        prompt.expect("Ctrl-]")
        prompt.send("\r")
        prompt.expect(">>> ")
        prompt.send("import ugpt; ugpt.info()\r")
        prompt.expect("checkpoint.bin: step 12 of 12, seed 5")
        prompt.expect(">>> ")
        prompt.send("ugpt.train(steps=1000000, seed=6)\r")
        prompt.expect("it is kept as checkpoint-1.bin")
        prompt.expect("step:10 ")
        prompt.send("\x03")
        prompt.expect("# interrupted")
        prompt.expect(">>> ")
        prompt.send("ugpt.load('checkpoint-1.bin')\r")
        prompt.expect("checkpoint.bin is checkpoint-2.bin now")
        prompt.expect(">>> ")
        prompt.send("import os; os.remove('checkpoint-2.bin')\r")
        prompt.expect(">>> ")
        prompt.send("\x04")
        prompt.expect("soft reboot")
        prompt.expect("# complete at step 12 of 12")
        prompt.send("\x03")
        prompt.expect(">>> ")
        prompt.send("\x1d")
        prompt.expect(pexpect.EOF)
    finally:
        prompt.close()
    assert prompt.exitstatus == 0


def test_the_prompt_at_a_socket() -> None:
    """An emulated board's: one connection to see that it is there, one for the terminal."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        words = ["-m", "microgpt_board", "repl", "--port", port]
        prompt = pexpect.spawn(sys.executable, words, cwd=ROOT, encoding="utf-8", timeout=60)
        try:
            server.accept()[0].close()
            connection, _ = server.accept()
            with connection:
                prompt.expect("Quit")  # what came before it opened the port is discarded
                connection.sendall(b">>> ")
                prompt.expect(">>> ")
                prompt.send("1")
                assert connection.recv(1) == b"1"  # so it has the terminal
                prompt.send("\r\x03")
                assert connection.recv(1) + connection.recv(1) == b"\r\x03"
                prompt.send("\x1d")
                prompt.expect(pexpect.EOF)
        finally:
            prompt.close()
    assert prompt.exitstatus == 0


def test_pull_push_and_reset(port: None, computer: Path) -> None:
    pulled = microgpt_board("pull", "model")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout == "model: step 12 of 12, seed 5, from the board's checkpoint.bin\n"
    assert microgpt.generate(microgpt.load(Path("model")), 3)
    pushed = microgpt_board("push", "model")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.splitlines() == [
        "a copy first: models/board: step 12 of 12, seed 5, from the board's checkpoint.bin",
        "model is on the board, which generates names; "
        "its last checkpoint is checkpoint-old.bin now",
        "make run RESUME=1 starts it",
    ]
    reset = microgpt_board("reset")
    assert reset.returncode == 0, reset.stderr
    assert not list((computer / FLASH).glob("checkpoint*"))


def test_the_selftest(port: None) -> None:
    result = microgpt_board("selftest")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "selftest: 22 passed, 0 failed"


@pytest.mark.parametrize("verb", ["flash", "erase", "deploy", "monitor"])
def test_a_verb_that_needs_a_serial_port_says_so(port: None, verb: str) -> None:
    result = microgpt_board(verb)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: {verb} needs a serial port, which the virtual board does not have: name a "
        "board's with --port or PORT=\n"
    )


@pytest.mark.parametrize(
    "words", [["flash"], ["erase"], ["deploy"], ["monitor"], ["repl"], ["selftest"], ["pull", "x"]]
)
def test_the_port_of_a_web_server_is_no_boards(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("PORT", "8080")
    monkeypatch.setenv("ESPTOOL_PORT", "/dev/nowhere")
    result = microgpt_board(*words)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: /dev/nowhere is not there: plug the board in; make ports lists what there is"
    )


@pytest.mark.parametrize("port", ["8080", "virtual", "/dev/ttyUSB99"])
def test_a_verb_without_a_port_ignores_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: str
) -> None:
    monkeypatch.setenv("PORT", port)
    result = microgpt_board("run", "--steps", 1, "--flash", tmp_path, "--runs", tmp_path / "runs")
    assert result.returncode == 0, result.stderr
    with (tmp_path / NEWEST).open("rb") as file:
        assert checkpoint.read_header(file, NEWEST)["step"] == 1


@pytest.mark.parametrize("target", ["flash", "erase", "deploy", "monitor", "repl", "selftest"])
def test_make_hands_the_port_over(target: str) -> None:
    environment = {**os.environ, "PORT": "8080", "ESPTOOL_PORT": "/dev/other"}
    command = [*MAKE, target, "PORT=/dev/ttyUSB99"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2
    assert "error: /dev/ttyUSB99 is not there: plug the board in" in result.stderr


def test_the_prompt_needs_a_terminal() -> None:
    command = [sys.executable, "-m", "microgpt_board", "repl", "--port", "virtual"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 1
    assert result.stderr == "error: the prompt needs a terminal: for a script, use mpremote exec\n"
