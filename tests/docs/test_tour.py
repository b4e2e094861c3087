"""The tour, docs/tour.ipynb: it runs, its text says what it prints, its outputs are its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "docs" / "tour.ipynb"
JUPYTER_EXECUTE = str(Path(sys.executable).with_name("jupyter-execute"))  # of nbclient
MOST_BYTES = 500_000
MOST_LINES = 16  # of a cell of code

Cell = dict[str, object]


def cells(notebook: Path, kind: str) -> list[Cell]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def printed(notebook: Path) -> str:
    """Return all text in the outputs of a notebook."""
    texts = []
    for cell in cells(notebook, "code"):
        for output in cell["outputs"]:
            texts.append("".join(output.get("text", "")))
            texts.append("".join(output.get("data", {}).get("text/html", "")))
    return "\n".join(texts)


def execute(folder: Path) -> Path:
    """Run the tour from its first cell to its last, offline; return it with its new outputs."""
    for module, extra in (("matplotlib", "plot"), ("nbclient", "dev"), ("ipykernel", "dev")):
        pytest.importorskip(module, reason=f"needs {module}: .venv/bin/pip install -e '.[{extra}]'")
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    notebook = folder / "executed.ipynb"
    command = [JUPYTER_EXECUTE, str(TOUR), f"--output={notebook}"]
    # Where this proxy is, nobody answers: the tour needs no other host.
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    env = os.environ | proxy | {"IPYTHONDIR": str(folder)}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return notebook


def test_it_runs_and_prints_what_is_committed_and_said(tmp_path: Path) -> None:
    """One test, since the tour takes seconds."""
    executed = execute(tmp_path)
    check_claims(executed)
    assert missing_figures(executed) == set()
    assert kinds(executed) == kinds(TOUR)


def test_the_claims_hold_in_what_is_committed() -> None:
    check_claims(TOUR)
    assert missing_figures(TOUR) == set()


def check_claims(notebook: Path) -> None:
    text = printed(notebook)
    assert "32,469 names: emma, olivia, ava" in text
    assert "4,192 weights; all errors below 1e-6: True" in text
    assert "after 50 steps, 4,192 of 4,192 weights are equal" in text
    formulas, difference = re.findall(r"(?:formulas|difference): +(-?\d\.\d{9})", text)
    assert float(formulas) == pytest.approx(float(difference), abs=2e-9)
    (rounding,) = re.findall(r"largest difference of a loss: ([\d.]+)", text)
    assert float(rounding) < 1e-4
    board, python = re.findall(r"step:49 loss:(\d\.\d{4})\b(?= mean|\n)", text)
    assert board == python
    first = re.findall(r"first weight .*: +([01]{32})\n", text)
    assert len(first) == 2 and first[0] == first[1]
    (validation,) = re.findall(r"3,000 of 3,000 steps · .*validation ([\d.]+)", text)
    assert float(validation) < 2.4
    made = {
        float(temperature): names.split(", ")
        for temperature, names in re.findall(r"^temperature +([\d.]+): (.*)$", text, re.M)
    }
    assert list(made) == [0, 0.5, 1, 2]
    assert [len(set(names)) for names in made.values()] == [1, 6, 6, 6]


def missing_figures(notebook: Path) -> set[str]:
    """Return the figures in the tour's text that are neither in its code nor in the outputs."""
    there = printed(notebook) + "".join(map(source, cells(TOUR, "code")))
    said = re.sub(r"\]\([^)]*\)|```.*?```", "", "\n".join(map(source, cells(TOUR, "markdown"))))
    figures = re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d(?!\w)", said)
    assert len(figures) > 10
    return {figure for figure in figures if not re.search(rf"(?<!\d){figure}(?!\d)", there)}


def kinds(notebook: Path) -> list[object]:
    """Return each cell of code with the number of its execution and the kinds of its outputs."""

    def kind(output: Cell) -> tuple[object, ...]:
        return (output["output_type"], output.get("name"), *output.get("data", {}))

    return [
        (cell["execution_count"], source(cell), list(dict.fromkeys(map(kind, cell["outputs"]))))
        for cell in cells(notebook, "code")
    ]


def test_the_tour_is_small_and_its_cells_are_short() -> None:
    assert TOUR.stat().st_size < MOST_BYTES
    assert max(source(cell).count("\n") + 1 for cell in cells(TOUR, "code")) <= MOST_LINES
    text = TOUR.read_text(encoding="utf-8")
    assert "/tmp" not in text and "/home" not in text


def test_its_links_lead_somewhere() -> None:
    text = "\n".join(map(source, cells(TOUR, "markdown")))
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 3
    assert [link for link in links if not (TOUR.parent / link).exists()] == []
