"""How a tool ends: unknown words, errors of the system and a reader that leaves are one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from microgpt_board import errors

TOOLS_FOLDER = Path(__file__).parents[2] / "tools"
TOOLS = sorted(path.stem for path in TOOLS_FOLDER.glob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("tool", TOOLS)
def test_unknown_words_are_one_line(tool: str) -> None:
    command = [sys.executable, "-m", f"tools.{tool}", "--nonsense"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"python -m tools.{tool} --help says more") or tool == "weights"


def test_an_error_without_a_number_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise OSError("the port is gone")

    with pytest.raises(SystemExit) as end:
        errors.run(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: the port is gone\n"


def test_a_reader_that_leaves_gets_no_error() -> None:
    code = """
from microgpt_board import errors
def main():
    while True:
        print("line", flush=True)
errors.run(main)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
