"""Run a command line in this process: it prints and ends as a process of its own would."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

import click
import numpy as np
from microgpt.cli import cli
from microgpt.cli.run import run as run_group


def run_command(command: click.Command, *words: object) -> CompletedProcess[str]:
    """Run a command through `microgpt.cli.run`, which turns errors into lines and exit codes.

    A programming error is raised. What other programs print is not among the result's output.
    """
    argv = [command.name or "command", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            run_group(command)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int), code
    return CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def run(*words: object, cwd: Path | None = None, code: int | None = 0) -> CompletedProcess[str]:
    """Run `microgpt` with these words; its exit code must be `code`, unless that is None."""
    with chdir(cwd) if cwd else nullcontext(), np.errstate(all="ignore"):  # as cli.main does
        result = run_command(cli, *words)
    assert code in (None, result.returncode), result.stdout + result.stderr
    return result


def without_modules(*names: str, folder: Path) -> dict[str, str]:
    """Return an environment in which a Python process finds none of these modules.

    It needs a file in `folder`, which Python runs when it starts.
    """
    code = f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\n"
    (folder / "sitecustomize.py").write_text(code)
    return os.environ | {"PYTHONPATH": str(folder)}


def run_with_file_limit(command: Sequence[str], folder: Path, limit: int) -> CompletedProcess[str]:
    """Run a command as a process in `folder` that can write no file larger than `limit` bytes.

    Its coverage is not measured: the limit would stop that file too, with a traceback.
    """
    import resource  # not on Windows

    def set_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    env = unmeasured_environment()
    return subprocess.run(
        command, cwd=folder, env=env, preexec_fn=set_limit, capture_output=True, text=True
    )


def read_terminal(terminal: int) -> bytes:
    """Return what comes from a pseudo-terminal until its other side is closed; then close it."""
    output = b""
    with open(terminal, "rb", buffering=0) as file:
        while True:
            try:
                part = file.read(4096)
            except OSError:  # Linux's way to say that the other side is gone
                return output
            if not part:
                return output
            output += part


def unmeasured_environment() -> dict[str, str]:
    """Return an environment in which a Python process does not measure its coverage.

    For one that gets a signal: that may come while coverage holds a lock, and its end waits for it.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def microgpt_board(*words: object) -> CompletedProcess[str]:
    """Run `microgpt-board` with these words."""
    from microgpt_board.cli import cli

    return run_command(cli, *words)
