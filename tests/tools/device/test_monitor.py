"""The monitor as a user runs it: a board at a pseudo-terminal or a socket, a run on disk."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from microgpt_board.device import monitor, ports
from microgpt_board.errors import ToolError

from tests.support.board_run import START, step
from tests.support.serial_board import SerialEnd


class Monitor:
    """microgpt-board monitor in a process of its own; stdout and stderr in `text`."""

    def __init__(self, port: str, folder: Path, terminal: bool = False) -> None:
        self.runs = folder / "runs"
        self.text = b""
        ours, theirs = os.openpty() if terminal else os.pipe()
        self._read_end = ours
        command = [
            sys.executable,
            "-m",
            "microgpt_board",
            "monitor",
            "--port",
            port,
            "--runs",
            str(self.runs),
        ]
        self.process = subprocess.Popen(
            command,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._read_end, 65536)
            except OSError:
                return
            if not data:
                return
            self.text += data

    def wait_for(self, *texts: str) -> None:
        """Wait until each of `texts` was shown; half a minute at most."""
        wait_until(lambda: all(text.encode() in self.text for text in texts), lambda: self.text)

    def leave(self) -> str:
        """Press Ctrl-C; return all that was shown."""
        self.process.send_signal(signal.SIGINT)
        self.end()
        assert self.process.returncode == 0, self.text
        return self.text.decode()

    def end(self) -> None:
        self.process.wait(timeout=30)
        self._thread.join()
        os.close(self._read_end)
        self._read_end = None

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self._read_end is not None:
            self.process.kill()
            self.end()

    def records(self) -> list[list[dict]]:
        """Return what each run's log holds."""
        logs = [(folder / "log.jsonl").read_text() for folder in sorted(self.runs.iterdir())]
        return [[json.loads(line) for line in log.splitlines()] for log in logs]


def wait_until(condition: Callable[[], bool], state: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, state()
        time.sleep(0.01)


@pytest.fixture
def end() -> Iterator[SerialEnd]:
    """The board's side of a port."""
    end = SerialEnd()
    yield end
    end.close()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Monitor]]:
    """Start a monitor on a port."""
    started: list[Monitor] = []

    def start(port: str, **kind: bool) -> Monitor:
        started.append(Monitor(port, tmp_path, **kind))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def connect(monitor: Monitor, write: Callable[[bytes], object], word: str = "hello") -> None:
    """Say something until it is shown: the monitor has opened the port."""

    def heard() -> bool:
        write(word.encode() + b"\r\n")
        return word.encode() in monitor.text

    wait_until(heard, lambda: monitor.text)


def test_a_run_is_shown_and_recorded(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port)
    connect(it, end.write)
    end.write(START + step(0, 3.3872) + step(10, 2.8) + step(20, 2.7) + b"name:arona\r\n")
    it.wait_for("step:20 loss:2.7000", "name:arona")
    text = it.leave()
    assert text.splitlines()[0] == f"{end.port}: Ctrl-C leaves the monitor, the board goes on"
    (folder,) = it.runs.iterdir()
    assert text.splitlines()[-1] == f"the run is in {folder}"
    about = json.loads((folder / "run.json").read_text())
    assert about["board"] == "esp32-1.24.0"
    assert (about["seed"], about["train"]["steps"]) == (42, 21)
    assert about["environment"]["commit"]
    (records,) = it.records()
    assert [record.get("step") for record in records] == [0, 10, 20, None]
    assert records[0] == {
        "step": 0, "loss": 3.3872, "mean": 3.3872, "lr": 0.009, "ms": 3.1, "free": 81234
    }  # fmt: skip
    assert records[3] == {"name": "arona"}
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


LARGE_START = (
    b"# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:native reason:self-check-passed seed:42 "
    b"parameters:14928 steps:21 data:9 vocab_size:30 n_embd:24 n_head:3 n_layer:2 tie_lm_head:1 "
    b"input_rmsnorm:0\r\n"
)


def test_a_run_of_other_sizes_and_its_names(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port)
    connect(it, end.write)
    name = "name:Zürich \U0001f43f <b>".encode()
    end.write(LARGE_START + step(0) + name[: name.index(b"\xbc")])
    it.wait_for("step:0 ")
    end.write(name[name.index(b"\xbc") :] + b"\r\n")
    it.wait_for("name:Zürich \U0001f43f <b>\n")
    end.write(b"name:Z\xc3" + b"\r\nname:Gen\x1b[2J\r\nname:Genets Jul 29 2019\r\nname: \r\n")
    it.wait_for("name:Z\\xc3\n", "name:Gen\\x1b[2J\n", "name: \n")
    it.leave()
    (records,) = it.records()
    assert [record.get("name") for record in records] == [None, "Zürich \U0001f43f <b>", " "]
    (folder,) = it.runs.iterdir()
    about = json.loads((folder / "run.json").read_text())
    assert about["parameters"] == 14928
    assert about["model"] == {
        "n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 16, "tie_lm_head": True,
        "input_rmsnorm": False,
    }  # fmt: skip
    assert about["data"] == {"documents": 9, "vocab_size": 30}


def test_the_live_view_of_names_that_are_no_words(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port, terminal=True)
    connect(it, end.write)
    names = [f"Bad Ragaz, {i:02}" for i in range(12)]
    end.write(LARGE_START + "".join(f"name:{name}\r\n" for name in names).encode())
    it.wait_for(names[-1], "vocab_size 30, n_embd 24, n_head 3, n_layer 2, tie_lm_head 1")
    text = it.leave()
    assert f"{names[-2]}, " not in text  # each has its own line


def test_a_run_joined_half_way(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port)
    connect(it, end.write)
    end.write(b"123 lr:0.00100 ms:3.1 free:9\r\n" + step(110) + step(120))
    it.wait_for("step:120")
    it.leave()
    (records,) = it.records()
    assert [record["step"] for record in records] == [110, 120]
    (folder,) = it.runs.iterdir()
    assert json.loads((folder / "run.json").read_text())["seed"] is None


def test_a_reset_begins_another_run(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port)
    connect(it, end.write)
    boot = b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET)\r\n"
    end.write(START + step(0) + step(10) + b"step:2" + boot + START + step(0) + boot + step(0))
    end.write(b"name:last\r\n")
    it.wait_for("name:last")
    it.leave()
    steps = [[r["step"] for r in records if "step" in r] for records in it.records()]
    assert sorted(steps) == [[0], [0], [0, 10]]  # the third run's first remark was lost


def test_unplugged_and_back(tmp_path: Path, watch: Callable[..., Monitor]):
    port = tmp_path / "ttyUSB0"
    first, second = SerialEnd(), SerialEnd()
    port.symlink_to(first.port)
    it = watch(str(port))
    connect(it, first.write)
    first.write(START + step(0) + b"step:10 loss:2.")
    it.wait_for("step:0 ")
    port.unlink()
    first.close()
    it.wait_for(f"{port} is gone: waiting until the board has restarted, or is plugged in again")
    port.symlink_to(second.port)
    connect(it, second.write, "welcome")
    second.write(step(20))
    it.wait_for("step:20 ")
    it.leave()
    second.close()
    (records,) = it.records()
    assert [record["step"] for record in records] == [0, 20]


def test_a_socket_that_goes_and_comes(watch: Callable[..., Monitor]):
    with socket.create_server(("127.0.0.1", 0)) as server:
        it = watch(f"socket://127.0.0.1:{server.getsockname()[1]}")
        connection, _ = server.accept()
        with connection:
            connect(it, connection.sendall)
            connection.sendall(START + step(0))
            it.wait_for("step:0 ")
        it.wait_for("is gone")
        connection, _ = server.accept()
        with connection:
            connect(it, connection.sendall, "welcome")
            connection.sendall(step(10))
            it.wait_for("step:10 ")
            it.leave()
    (records,) = it.records()
    assert [record["step"] for record in records] == [0, 10]


def test_a_thousand_lines_a_second(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port, terminal=True)
    connect(it, end.write)
    count = 5000
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(count):
        end.write(step(number))
    end.write(b"the end\r\n")
    it.wait_for("the end")
    it.leave()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor's time, its start included: what else runs here does not count.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < count / 1000
    (records,) = it.records()
    assert len(records) == count


def test_the_live_view(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port, terminal=True)
    connect(it, end.write)
    attack = b"\x1b]0;owned\x07\x1b[2J\x9b5n\r\n"
    end.write(START + step(0, 3.3872) + step(10, 2.4193) + b"name:arona\r\n" + attack)
    it.wait_for("arona", "mean loss", "11/21", "322.6 steps/s", "79 KB free", "2.4193")
    it.wait_for("\\x1b]0;owned\\x07\\x1b[2J\\x9b5n")
    assert b"owned\x07" not in it.text
    assert b"\x1b[2J" not in it.text
    assert "the run is in" in it.leave()


def test_control_characters_in_a_pipe(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port)
    connect(it, end.write)
    end.write(b"\x1b[2Jboo\x00\xff\r\n")
    it.wait_for("\\x1b[2Jboo\\x00\\xff\n")
    assert b"\x1b" not in it.text
    it.leave()


def test_garbage_is_survived(end: SerialEnd, watch: Callable[..., Monitor]):
    it = watch(end.port, terminal=True)
    connect(it, end.write)
    end.write(bytes(range(256)) * 64 + b"\n" + START + step(0) + b"name:emma\r\n")
    it.wait_for("emma")
    it.leave()


def test_a_port_that_is_not_there(watch: Callable[..., Monitor]):
    it = watch("/dev/ttyUSB99")
    it.end()
    assert it.process.returncode == 1
    assert it.text.decode().splitlines() == [
        "error: /dev/ttyUSB99 is not there: plug the board in; make ports lists what there is"
    ]


def test_after_a_reset_the_port_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(monitor, "BACK_S", 0.1)
    monkeypatch.setattr(ports, "find_port", lambda named: asked.append(named) or named)
    away = str(tmp_path / "ttyACM0")
    with pytest.raises(ToolError, match="ttyACM0 is not there"):
        monitor.watch_port(away, tmp_path, reset=away)
    assert asked == [away, away]
