"""Signals that come while the processes of a sweep start, or to its main process only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MICROGPT = str(Path(sys.executable).with_name("microgpt"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")


@contextmanager
def ablation(folder: Path, small: list[str]) -> Iterator[subprocess.Popen[str]]:
    """An ablation in a session of its own, which would take hours."""
    words = ["ablate", "--steps", "10000000", "--workers", "2", "--out", "c", *small]
    process = subprocess.Popen(
        [MICROGPT, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def workers(process: subprocess.Popen[str]) -> list[Path]:
    """Return the /proc folders of the processes that train."""
    found = []
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):  # it has ended
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(Path(f"/proc/{child}"))
    return found


def wait_for_workers(process: subprocess.Popen[str], library: str) -> list[Path]:
    """Return the workers when one has loaded a library."""
    while True:
        assert process.poll() is None, process.communicate()
        found = workers(process)
        with suppress(OSError):
            if any(library in (worker / "maps").read_text() for worker in found):
                return found
        time.sleep(0.001)


@pytest.mark.parametrize("library", ["_socket", "_multiarray_umath"])
def test_ctrl_c_while_workers_start_is_one_line(
    folder: Path, small: list[str], library: str
) -> None:
    with ablation(folder, small) as process:
        wait_for_workers(process, library)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.split() == ["interrupted"]


def test_a_signal_to_the_main_process_ends_the_workers(folder: Path, small: list[str]) -> None:
    with ablation(folder, small) as process:
        found = wait_for_workers(process, "_multiarray_umath")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143
        assert errors.split() == ["interrupted"]
        assert not any(worker.exists() for worker in found)
