"""How a command ends: what becomes one line, what keeps its traceback, and --debug."""

import click
import pytest
from microgpt.cli.run import debug_option
from microgpt.errors import UserError

from tests.support.commands import run_command

ERRORS: dict[str, type[Exception]] = {
    "user": UserError,
    "system": OSError,
    "memory": MemoryError,
    "value": ValueError,
    "type": TypeError,
}


@click.group("program")
@debug_option
def program() -> None:
    """A program with one command, which fails."""


@program.command()
@click.argument("error", default="")
def fail(error: str) -> None:
    if error:
        raise ERRORS[error](f"{error} of two\nlines")
    raise MemoryError


@program.command()
def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", ["user", "system", "memory"])
def test_an_error_that_a_user_can_cause_is_one_line(error: str) -> None:
    result = run_command(program, "fail", error)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {error} of two lines\n"


@pytest.mark.parametrize("error", ["user", "system", "memory"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_anywhere_shows_the_traceback_as_well(error: str, place: int) -> None:
    words = ["fail", error]
    words.insert(place, "--debug")
    result = run_command(program, *words)
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "in fail\n" in result.stderr
    assert result.stderr.endswith(f"error: {error} of two lines\n")


@pytest.mark.parametrize("error", ["value", "type"])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_programming_error_keeps_its_traceback(error: str, debug: list[str]) -> None:
    with pytest.raises(ERRORS[error]):
        run_command(program, *debug, "fail", error)


def test_a_word_that_click_refuses() -> None:
    result = run_command(program, "fail", "user", "more")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: Got unexpected extra argument")
    assert line.endswith("(see program fail --help)")
    assert run_command(program, "--debug", "fly").stderr.startswith("Traceback")
    assert run_command(program, "--debug", "fly").returncode == 2


def test_no_words_show_the_help() -> None:
    result = run_command(program)
    assert (result.returncode, result.stderr) == (2, "")
    assert result.stdout.startswith("Usage: program ")


def test_other_ends() -> None:
    assert run_command(program, "interrupt").returncode == 130
    assert run_command(program, "interrupt").stderr.strip() == "interrupted"
    assert run_command(program, "fail").stderr == "error: out of memory\n"
    assert run_command(program, "fail", "--help").returncode == 0
