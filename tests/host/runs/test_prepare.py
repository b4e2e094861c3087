"""What a run says of its data before the first step, and why it refuses them."""

import json
from pathlib import Path

import pytest

from tests.support.commands import run

BROKEN = "x\n"
SHORT = ["train", "--chat", "--n-embd", 8, "--n-layer", 1, "--steps", 1]


def line(question: str, answer: str = "b") -> str:
    said = (("user", question), ("assistant", answer))
    return json.dumps([{"role": role, "content": text} for role, text in said]) + "\n"


def test_of_many_malformed_lines_the_first_and_their_number_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("a") + BROKEN * 2000)
    result = run(*SHORT, "--data", "a.jsonl", cwd=tmp_path)
    *first, rest = [text for text in result.stderr.splitlines() if "a.jsonl" in text]
    assert [text.split(":")[0] for text in first] == [f"a.jsonl, line {n}" for n in range(2, 7)]
    assert rest.endswith("a.jsonl: 1,995 malformed lines more")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (line("a") + BROKEN, "1 malformed line, and --strict"),
        (line("a") + BROKEN * 2, "2 malformed lines, and --strict"),
        (f'[{line("a").strip()}, "x"]', "1 malformed conversation, and --strict"),
    ],
)
def test_strict(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    result = run(*SHORT, "--strict", "--data", "a.jsonl", cwd=tmp_path, code=1)
    assert result.stderr.endswith(f"error: a.jsonl: {reason}\n")


def test_the_file_whose_conversations_do_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "short.jsonl").write_text(line("a"))
    (tmp_path / "long.jsonl").write_text(line("a" * 200))
    words = ["--data", "short.jsonl", "--validation-data", "long.jsonl"]
    result = run(*SHORT, *words, cwd=tmp_path, code=1)
    assert "error: long.jsonl: no conversation fits the block: " in result.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abz", "'abz'"),
        ("z" + "a" * 1000, f"'z{'a' * 29}...'"),
        ("b" * 1000 + "z" + "a" * 1000, f"'...{'b' * 30}z{'a' * 29}...'"),
    ],
)
def test_a_long_text_is_shown_around_its_unknown_character(
    tmp_path: Path, text: str, shown: str
) -> None:
    (tmp_path / "known.txt").write_text("ab\n")
    (tmp_path / "held.txt").write_text(text + "\n")
    words = ["--data", "known.txt", "--validation-data", "held.txt"]
    result = run("train", *words, cwd=tmp_path, code=1)
    expected = f"held.txt, document 1: 'z' in {shown} is not in the vocabulary of known.txt\n"
    assert result.stderr.endswith(expected)
