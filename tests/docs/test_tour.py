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


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tour with the outputs of a run from its first cell to its last, offline."""
    for module, extra in (("matplotlib", "plot"), ("nbclient", "dev"), ("ipykernel", "dev")):
        pytest.importorskip(module, reason=f"needs {module}: .venv/bin/pip install -e '.[{extra}]'")
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("tour")
    notebook = folder / "executed.ipynb"
    command = [JUPYTER_EXECUTE, str(TOUR), f"--output={notebook}"]
    # Where this proxy is, nobody answers: the tour needs no other host.
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    env = os.environ | proxy | {"IPYTHONDIR": str(folder)}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return notebook


def test_it_runs_and_its_claims_hold(executed: Path) -> None:
    text = printed(executed)
    assert "32,469 names: emma, olivia, ava" in text
    assert "4,192 weights; all errors below 1e-6: True" in text
    assert "after 100 steps, 4,192 of 4,192 weights are equal" in text
    formulas, difference = re.findall(r"(?:formulas|difference): +(-?\d\.\d{9})", text)
    assert float(formulas) == pytest.approx(float(difference), abs=2e-9)
    (rounding,) = re.findall(r"largest difference of a loss: ([\d.]+)", text)
    assert float(rounding) < 1e-4
    board, python = re.findall(r"step:99 loss:(\d\.\d{4})", text)
    assert board == python
    first = re.findall(r"first weight .*: +([01]{32})\n", text)
    assert len(first) == 2 and first[0] == first[1]
    (validation,) = re.findall(r"3,000 of 3,000 steps · .*validation ([\d.]+)", text)
    assert float(validation) < 2.4


def test_greedy_is_one_name_and_higher_temperatures_are_many(executed: Path) -> None:
    made = {
        float(temperature): names.split(", ")
        for temperature, names in re.findall(
            r"^temperature +([\d.]+): (.*)$", printed(executed), re.M
        )
    }
    assert list(made) == [0, 0.5, 1, 2]
    assert [len(set(names)) for names in made.values()] == [1, 6, 6, 6]


@pytest.mark.parametrize("which", ["committed", "executed"])
def test_every_figure_in_the_text_is_in_what_is_printed_or_in_the_code(
    which: str, request: pytest.FixtureRequest
) -> None:
    notebook = TOUR if which == "committed" else request.getfixturevalue("executed")
    there = printed(notebook) + "".join(map(source, cells(notebook, "code")))
    said = re.sub(r"\]\([^)]*\)|```.*?```", "", "\n".join(map(source, cells(TOUR, "markdown"))))
    figures = re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d(?!\w)", said)
    assert len(figures) > 10
    missing = {figure for figure in figures if not re.search(rf"(?<!\d){figure}(?!\d)", there)}
    assert missing == set()


def test_what_is_committed_is_the_output_of_these_cells(executed: Path) -> None:
    """The same kinds of output, cell by cell, of a run from the first cell to the last."""

    def kinds(notebook: Path) -> list[object]:
        return [
            (cell["execution_count"], source(cell), list(dict.fromkeys(map(kind, cell["outputs"]))))
            for cell in cells(notebook, "code")
        ]

    def kind(output: Cell) -> tuple[object, ...]:
        return (output["output_type"], output.get("name"), *output.get("data", {}))

    assert kinds(TOUR) == kinds(executed)


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
