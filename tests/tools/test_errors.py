"""Words that a tool does not know end in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

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
