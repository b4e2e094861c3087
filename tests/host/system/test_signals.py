"""Ctrl-C, SIGTERM and SIGHUP: how they end a program, from its first moment on."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import microgpt
import pytest
from microgpt.config import ModelConfig, TrainConfig
from microgpt.runs.execute import execute
from microgpt.runs.plan import Plan
from microgpt.system import signals
from microgpt.training import Record

from tests.support.commands import run_command

ROOT = Path(__file__).parents[3]
MICROGPT = str(Path(sys.executable).with_name("microgpt"))
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# Starts a program as its script does, and is interrupted at the import with this number.
START = """
import os, signal, sys
number, module, sys.argv = int(sys.argv[1]), sys.argv[2], ["program", "--help"]

def count(event, arguments):
    global number
    # The first act of a program is to be ready for Ctrl-C; Python itself comes before.
    if event == "import" and signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        number -= 1
        if number == 0:
            signal.raise_signal(signal.SIGINT)

sys.addaudithook(count)
__import__(module, fromlist=["main"]).main()
"""


@pytest.mark.parametrize("program", ["microgpt", "microgpt-board"])
@pytest.mark.parametrize("number", [1, 2, 5, 20, 60, 150])
def test_ctrl_c_while_a_program_starts(program: str, number: int) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module = scripts[program].removesuffix(":main")
    command = [sys.executable, "-c", START, str(number), module]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_the_package_is_light_until_it_is_used() -> None:
    code = """
import sys, microgpt
heavy = {"numpy", "click", "rich"} & set(sys.modules)
assert not heavy, heavy
assert set(microgpt.__all__) <= set(dir(microgpt))
for name in microgpt.__all__:
    assert getattr(microgpt, name).__name__ == name
assert microgpt.data.read_docs
try:
    microgpt.nonsense
except AttributeError as error:
    assert str(error) == "module 'microgpt' has no attribute 'nonsense'"
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("number", CODES)
def test_a_signal_ends_any_command(number: signal.Signals) -> None:
    @click.command()
    def command() -> None:
        signal.raise_signal(number)

    before = signal.getsignal(number)
    result = run_command(command)
    assert (result.returncode, result.stderr.strip()) == (CODES[number], "interrupted")
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", CODES)
def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals.raised():
            signal.raise_signal(number)
        with signals.held() as held, held.raised():
            signal.raise_signal(number)
        assert held.interruption is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_no_thread_but_the_main_one_handles_signals() -> None:
    found = []

    def other() -> None:
        with signals.held() as held:
            found.append(held.interruption)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [None]


def plan_of(tmp_path: Path, steps: int = 50) -> Plan:
    (tmp_path / "docs.txt").write_text("emma\nava\n")
    return Plan(tmp_path / "docs.txt", ModelConfig(n_embd=4, n_head=1), TrainConfig(steps=steps))


@pytest.mark.parametrize("number", CODES)
def test_a_signal_ends_a_training_with_its_model(tmp_path: Path, number: signal.Signals) -> None:
    def watch(records: Iterator[Record], steps: int, first: int) -> Iterator[Record]:
        for record in records:
            if record.step == 3:
                signal.raise_signal(number)
            yield record

    outcome = execute(plan_of(tmp_path), tmp_path / "run", print, watch)
    assert signals.exit_code(outcome.interruption) == CODES[number]
    assert microgpt.load(outcome.folder).parameter_count
    assert (outcome.folder / "loss.png").exists()
    assert len((outcome.folder / "log.jsonl").read_text().splitlines()) == 4


def test_a_second_signal_costs_neither_the_model_nor_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.fsync

    def interrupted(descriptor: int) -> None:  # while files are written
        signal.raise_signal(signal.SIGINT)
        write(descriptor)

    def watch(records: Iterator[Record], steps: int, first: int) -> Iterator[Record]:
        try:
            for record in records:
                if record.step == 3:
                    signal.raise_signal(signal.SIGTERM)
                yield record
        finally:
            signal.raise_signal(signal.SIGINT)  # an impatient user
            monkeypatch.setattr(os, "fsync", interrupted)

    outcome = execute(plan_of(tmp_path), tmp_path / "run", print, watch)
    assert signals.exit_code(outcome.interruption) == 143
    assert microgpt.load(outcome.folder).parameter_count
    assert (outcome.folder / "loss.png").exists()


def test_a_signal_while_a_finished_run_is_saved_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("microgpt.runs.folder.draw_loss", interrupted)
    outcome = execute(plan_of(tmp_path), tmp_path / "run", print, lambda records, *_: records)
    assert signals.exit_code(outcome.interruption) == 130
    assert microgpt.load(outcome.folder).parameter_count


def test_a_closed_terminal_ends_a_training_with_its_model(tmp_path: Path) -> None:
    """The signal of a closed terminal comes, and nothing can be written there any more."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execv(MICROGPT, [MICROGPT, "train", "--steps", "1000000", "--out", "run"])
    shown = b""
    while b"loss " not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert microgpt.load(tmp_path / "run").parameter_count
    assert (tmp_path / "run" / "loss.png").exists()


def test_sigterm_ends_a_chat_at_its_prompt(chat_folder: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(MICROGPT, [MICROGPT, "chat", str(chat_folder)])
    shown = b""
    while b"you> " not in shown:
        shown += os.read(terminal, 4096)
    ended = 0
    while not ended:
        # Once more, if it came after the prompt was shown and before a key was waited for: the
        # readline library takes no notice of it then.
        os.kill(child, signal.SIGTERM)
        limit = time.monotonic() + 5
        while not ended and time.monotonic() < limit:
            ended, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 143


def test_a_reader_that_leaves_gets_the_model_saved(tmp_path: Path) -> None:
    command = [MICROGPT, "train", "--steps", "1000", "--out", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("step 50/1000")
        process.stdout.close()  # as head does
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert microgpt.load(tmp_path / "run").parameter_count == 4192
    assert 100 <= len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) < 1000
