"""Documents from a file, and what is said about them."""

from pathlib import Path

import microgpt
import pytest
from microgpt import data
from microgpt.chat.conversations import CONVERSATIONS

from tests.support.commands import run

CUT = "cut after 16 characters to fit a block of 16: 2 of 4 documents\n"


def test_a_document_as_long_as_the_block_is_cut() -> None:
    """Of such a document the characters are learned, but not that it ends there."""
    model = microgpt.create(microgpt.ModelConfig(), "ab")

    def loss(text: str) -> float:
        return model.loss_and_grads(model.tokenizer.encode(text))[0]

    whole, cut = "a" * 15, "a" * 16
    assert data.remarks(Path("x"), [whole], 16) == []
    assert data.remarks(Path("x"), [cut, whole], 16) == [
        "cut after 16 characters to fit a block of 16: 1 of 2 documents"
    ]
    assert loss(cut) == loss(cut + "b")
    assert loss(whole) != loss(whole + "b")


def test_train_and_ablate_count_the_documents_that_are_cut(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("\n".join(("a" * 16, "b" * 90, "ab" * 7, "a")))
    short = ["--data", "long.txt", "--steps", 2, "--out"]
    assert run("train", *short, "first", cwd=tmp_path).stderr == CUT
    # The block is the model's.
    assert run("train", "--from", "first", *short, "second", cwd=tmp_path).stderr == CUT
    assert run("train", "--block-size", 91, *short, "third", cwd=tmp_path).stderr == ""
    words = ["ablate", "--vary", "block_size=16,91", "--validation", 0, "--workers", 1]
    assert run(*words, *short, "ablation", cwd=tmp_path).stderr == CUT


def test_the_shipped_names_are_not_cut() -> None:
    docs = data.read_docs(data.NAMES)
    assert data.remarks(data.NAMES, docs, microgpt.ModelConfig().block_size) == []


def test_conversations_without_chat_are_learned_as_text_and_that_is_said(tmp_path: Path) -> None:
    words = ["train", "--data", CONVERSATIONS, "--block-size", 999, "--n-embd", 4, "--steps", 1]
    said = run(*words, "--out", tmp_path / "run").stderr
    assert said == (
        f"{CONVERSATIONS} is JSON, learned as plain text: conversations need train --chat\n"
    )


@pytest.mark.parametrize(
    ("line", "is_json"),
    [
        ('{"messages": []}', True),
        ("[]", True),
        ("emma", False),
        ("7", False),
        ('"emma"', False),
        ("[emma]", False),
        ("[" * 100_000, False),
        ("9" * 5000, False),
    ],
)
def test_which_documents_are_json(line: str, is_json: bool) -> None:
    assert bool(data.remarks(Path("x"), [line], 200_000)) == is_json
