"""Documents from a text file, one a line."""

import hashlib
from pathlib import Path

NAMES = Path(__file__).parents[2] / "data" / "names.txt"


class DataError(ValueError):
    """A file of documents cannot be used; the message says which and why."""


def read_docs(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file without white space around them, empty ones left out."""
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


def charset_of(docs: list[str]) -> str:
    """Return every character that stands in `docs`, sorted, once."""
    return "".join(sorted(set("".join(docs))))


def held_out(doc: str, share: float) -> bool:
    """Return whether `doc` belongs to the held-out documents, which are about `share` of all.

    The hash of the text decides, so that a text is on the same side in every run, on every
    machine and however often it stands in the file.
    """
    digest = hashlib.sha256(doc.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
