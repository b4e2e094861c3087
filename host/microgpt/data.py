"""Read documents from a text file, one a line, and choose those of the validation set."""

import hashlib
import json
from pathlib import Path

from microgpt.errors import UserError
from microgpt.system.files import packaged


class DataError(UserError):
    """A file of documents cannot be used; the message says which and why."""


NAMES = packaged("microgpt.datasets", "names.txt")


def read_docs(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, stripped of white space, without the empty ones.

    Raises DataError if the file cannot be read, is not UTF-8 or has no line with text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    docs = [line.strip() for line in lines if line.strip()]
    if not docs:
        raise DataError(f"{path} holds no documents")
    return docs


def remarks(path: Path, docs: list[str], block_size: int) -> list[str]:
    """Return a line for each way in which the documents of a file may not be learned as expected.

    A document's first block_size characters are learned; where it ends, only if it is shorter.
    """
    lines = []
    if _is_json(docs[0]):
        lines.append(f"{path} is JSON, learned as plain text: conversations need train --chat")
    cut = sum(len(doc) >= block_size for doc in docs)
    if cut:
        lines.append(
            f"cut after {block_size} characters to fit a block of {block_size}: "
            f"{cut:,} of {len(docs):,} documents"
        )
    return lines


def _is_json(line: str) -> bool:
    """Return whether a line is a JSON object or array."""
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def charset_of(docs: list[str]) -> str:
    """Return the distinct characters of `docs`, sorted."""
    return "".join(sorted(set("".join(docs))))


def in_validation_set(doc: str, share: float) -> bool:
    """Return whether `doc` belongs to the validation set, about `share` of all documents.

    A hash of the text decides: a text is always in the same set, on every machine and however
    often it occurs in the file.
    """
    digest = hashlib.sha256(doc.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal; raise OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
