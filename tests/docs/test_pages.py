"""The pages: no dead link, and every command that they show exists."""

import io
import re
import subprocess
from pathlib import Path

import pytest
from microgpt import boards
from microgpt.boards import BOARDS
from microgpt_board.emulation import cores
from microgpt_board.image import board_table, native
from microgpt_board.proof import bench_kernels
from rich.console import Console
from ugpt.layout import Sizes

from tests.support.commands import microgpt_board

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        "#" + re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", h).lower()).replace(" ", "-")
        for h in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_dead_links(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}{anchor} is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it names what is no longer there
        return
    folders = "|".join(("firmware", "host", "tests", "tools", "docs", r"\.ci", r"\.github"))
    named = re.findall(rf"`((?:{folders})/[\w./-]+)[`:]", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def shown(program: str) -> set[str]:
    """Return the words that follow `program` where a page shows a command: after $, or in code."""
    command = rf"(?:\S*/)?{program} ([a-z][a-z-]*)"
    words: set[str] = set()
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # it names what is no longer there
            continue
        text = page.read_text(encoding="utf-8")
        words |= set(re.findall(rf"^\$ (?:[A-Z_]+=\S+ )*{command}", text, re.MULTILINE))
        words |= set(re.findall(rf"`{command}[^`\n]*`", text))
    return words


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert shown("make") - targets == set()


def test_every_command_that_is_shown_exists() -> None:
    from microgpt.cli import cli
    from microgpt_board.cli import cli as board_cli

    assert len(shown("microgpt")) > 6
    assert len(shown("microgpt-board")) > 6
    assert shown("microgpt") - set(cli.commands) == set()
    assert shown("microgpt-board") - set(board_cli.list_commands(None)) == set()


def test_the_table_of_boards_is_the_one_that_is_printed() -> None:
    text = io.StringIO()
    Console(file=text, width=80).print(board_table.table())
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    lines += [f"{name}: {value}" for name, value in board_table.ANY_OTHER.items()]
    printed = "\n".join([*lines, board_table.REPORT])
    page = (ROOT / "docs" / "board.md").read_text(encoding="utf-8")
    assert f"$ make boards\n{printed}\n```" in page


def test_what_is_shown_of_one_board_is_what_is_printed() -> None:
    page = (ROOT / "docs" / "board.md").read_text(encoding="utf-8")
    shown = re.findall(r"\$ make boards BOARD=(\w+)\n(.*?)```", page, re.DOTALL)
    assert shown
    for name, text in shown:
        printed = [f"{fact}: {said}" for fact, said in board_table.facts(BOARDS[name]).items()]
        lines = [line.strip() for line in text.splitlines() if line.strip() not in ("", "...")]
        assert lines and [line for line in lines if line not in printed] == []


@pytest.mark.parametrize(
    ("page", "board", "sizes"),
    [
        ("board.md", "RPI_PICO2", Sizes(n_embd=44)),
        ("board/own-list.md", "ESP32_GENERIC", Sizes(vocab_size=61, n_embd=24, n_layer=2)),
    ],
)
def test_a_refusal_that_is_shown_is_the_one_that_is_said(
    page: str, board: str, sizes: Sizes
) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert f"\nerror: {boards.refusal(board, sizes)}\n" in text


def test_the_instructions_that_are_shown_are_those_that_are_counted() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for core in bench_kernels.CORES:
        if missing := cores.missing(core):
            pytest.skip(missing)
        if (version := native.compiler_version(core.compiler).replace("-22", "")) not in page:
            pytest.skip(f"the instructions of docs/performance.md are not by {version}")
    output = microgpt_board("bench-kernels").stdout
    assert output[output.index("| kernel ") :].strip() in page
