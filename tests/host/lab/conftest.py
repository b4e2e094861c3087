"""What the tests of the laboratory share: a folder with a few documents, and a small model."""

from pathlib import Path

import pytest

DOCS = [first + second for first in "abcdefghij" for second in ("nna", "lex", "vi", "o")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the documents in docs.txt."""
    (tmp_path / "docs.txt").write_text("\n".join(DOCS))
    return tmp_path


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Options for these documents and a model that trains in no time."""
    return ["--n-embd", "4", "--n-head", "2", "--data", "docs.txt"]


@pytest.fixture(scope="session")
def docs() -> list[str]:
    """The documents of docs.txt."""
    return DOCS
