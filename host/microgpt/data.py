"""Documents from a text file, one a line."""

import hashlib
from importlib.resources import as_file, files
from pathlib import Path

from microgpt.errors import UserError


class DataError(UserError):
    """A file of documents cannot be used; the message says which and why."""


def shipped(name: str) -> Path:
    """Return where a file of the package's own data sets is."""
    with as_file(files("microgpt.datasets") / name) as path:
        return path


NAMES = shipped("names.txt")


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


def in_validation_set(doc: str, share: float) -> bool:
    """Return whether `doc` is a validation document; about `share` of all documents are.

    The hash of the text decides, so that a text is on the same side in every run, on every
    machine and however often it stands in the file.
    """
    digest = hashlib.sha256(doc.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
