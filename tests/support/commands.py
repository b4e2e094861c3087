"""Run a command line in this process: it prints and ends as a process of its own would."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

import click
from microgpt.cli.run import run
from microgpt_board.cli import cli


def run_command(command: click.Command, *words: object) -> CompletedProcess[str]:
    """Run a command through `microgpt.cli.run`, which turns errors into lines and exit codes.

    What the programs print that it starts is not among the result's output.
    """
    argv = [command.name or "command", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            run(command)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int), code
    return CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def microgpt_board(*words: object) -> CompletedProcess[str]:
    """Run `microgpt-board` with these words."""
    return run_command(cli, *words)
