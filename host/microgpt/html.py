"""HTML for what shows itself in a notebook: a table of facts, and one that opens at a click.

There are no colours and no scripts: a notebook has its own colours, and drops scripts.
"""

from collections.abc import Mapping, Sequence
from html import escape

from microgpt.system.terminal import printable

LONGEST = 300  # characters of a fact
SHORT = 12  # rows of a table that need not be folded
LEFT = ' style="text-align: left"'


def facts(title: str, content: Mapping[str, str], more: str = "") -> str:
    """Return a title and a table of facts, {name: text}, and after it `more`, which is HTML."""
    rows = "".join(
        f"<tr><th{LEFT}>{_text(name)}</th><td{LEFT}>{_text(text)}</td></tr>"
        for name, text in content.items()
    )
    return f"<div><strong>{_text(title)}</strong><table><tbody>{rows}</tbody></table>{more}</div>"


def details(summary: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that opens and closes at a click on `summary`; a short one is open."""
    opened = ' open=""' if len(rows) <= SHORT else ""
    head = "".join(f"<th{LEFT}>{_text(text)}</th>" for text in headings)
    body = "".join(
        "<tr>" + "".join(f"<td{LEFT}>{_text(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f"<details{opened}><summary>{_text(summary)}</summary><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></details>"
    )


def _text(text: str) -> str:
    """Return `text` as HTML, control characters visible; of a long one the beginning and "…"."""
    shown = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return escape(printable(shown))
