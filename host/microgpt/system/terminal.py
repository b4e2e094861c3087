"""Text that the program did not write itself, made safe to print: a terminal obeys characters."""

import sys
import unicodedata

JOINERS = "\u200c\u200d"  # invisible, but parts of words and of emoji


def printable(text: str) -> str:
    r"""Return `text` with what a terminal might obey as escapes like `\x1b`.

    These are control characters, line breaks among them, those that change the direction of text,
    lone surrogates, and all others that have no shape, except for spaces and JOINERS.
    """
    return "".join(c if _is_harmless(c) else repr(c)[1:-1] for c in text)


def _is_harmless(character: str) -> bool:
    return (
        character.isprintable()
        or character in JOINERS
        or unicodedata.category(character) == "Zs"  # a space of some width
    )


def as_output(text: str) -> str:
    """Return `text` as standard output gets it: `printable` on a terminal, elsewhere as it is."""
    return printable(text) if sys.stdout.isatty() else text
