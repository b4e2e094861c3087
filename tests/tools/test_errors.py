"""How a verb ends: unknown words, errors of the system and a reader that leaves are one line."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from microgpt_board.cli import VERBS, cli

from tests.support.commands import microgpt_board, run_command

SCRIPTS = ("names_makemore", "ssa_names")
TOOLS_FOLDER = Path(__file__).parents[2] / "tools"


def assert_refused(result: subprocess.CompletedProcess[str]) -> str:
    """Assert that unknown words are one line; return it."""
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_words_are_one_line(verb: str) -> None:
    line = assert_refused(microgpt_board(verb, "--nonsense"))
    assert "--nonsense" in line
    assert line.endswith(f" {verb} --help)")


def test_an_unknown_verb_is_one_line() -> None:
    assert "nonsense" in assert_refused(microgpt_board("nonsense"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_words_of_a_script_are_one_line(name: str) -> None:
    command = [sys.executable, str(TOOLS_FOLDER / f"{name}.py"), "--nonsense"]
    line = assert_refused(subprocess.run(command, capture_output=True, text=True))
    assert line.endswith(f"{name}.py --help)")


@pytest.mark.parametrize("program", ["microgpt-board", "-m"])
def test_the_programs(program: str) -> None:
    command = [str(Path(sys.executable).with_name(program))]
    if program == "-m":
        command = [sys.executable, "-m", "microgpt_board"]
    result = subprocess.run([*command, "run", "--steps", "0"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: steps must be 1 to 1000000, not 0\n"


def test_an_error_without_a_number_says_what_it_is() -> None:
    @click.command()
    def command() -> None:
        raise OSError("the port is gone")

    result = run_command(command)
    assert (result.returncode, result.stderr) == (1, "error: the port is gone\n")


def test_a_reader_that_leaves_gets_no_error() -> None:
    code = """
import click
from microgpt.cli.run import run
@click.command()
def command():
    while True:
        print("line", flush=True)
run(command)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "microgpt_board", "run", "--steps", "0", "--debug"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ToolError: steps must be 1 to 1000000, not 0\n" in result.stderr
    assert result.stderr.endswith("\nerror: steps must be 1 to 1000000, not 0\n")


def test_the_list_of_verbs_loads_none_of_them() -> None:
    code = """
import sys
from microgpt_board.cli import cli
cli.main(["--help"], standalone_mode=False)
loaded = [name for name in sys.modules if name.startswith("microgpt_board")]
assert set(loaded) == {"microgpt_board", "microgpt_board.cli"}, loaded
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for verb, (_, line) in VERBS.items():
        assert f"  {verb} " in result.stdout
        assert line in " ".join(result.stdout.split())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_begins_with_its_line_in_the_list(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command.name == verb
    assert command.help.partition("\n")[0] == VERBS[verb][1]
    assert f"microgpt-board {verb}" in command.help  # an example


def test_verbs_are_completed() -> None:
    found = cli.shell_complete(click.Context(cli), "re")
    assert [item.value for item in found] == ["repl", "replay", "reset"]
    assert cli.shell_complete(click.Context(cli), "--deb")[0].value == "--debug"
