"""A text as it is generated: what it says until it ends, by itself, at a stop, or at a limit."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from microgpt.sampling import Drawn

FinishReason = Literal["stop", "length"]


class Piece(NamedTuple):
    """The text of a token, and the token with its logits."""

    text: str
    drawn: Drawn


class Continuation:
    """The pieces of a generated text.

    When they are through, `finish_reason` says why: "stop" if the model or a stop ended the text,
    "length" if the limit or the block did. `count` is the number of tokens drawn: those of the
    text, of a stop, and the one with which the model ended.
    """

    def __init__(
        self,
        drawn: Iterator[Drawn],
        text_of: Callable[[int], str | None],
        most: int | None = None,
        stops: Sequence[str] = (),
    ) -> None:
        """Take at most `most` of `drawn`; `text_of` a token is None if the token is an end."""
        self.finish_reason: FinishReason = "length"
        self.count = 0
        self._drawn = islice(drawn, most)
        self._text_of = text_of
        self._stops = stops

    def __iter__(self) -> Iterator[Piece]:
        """Yield a piece as soon as no stop can begin in it."""
        held: list[Piece] = []
        for drawn in self._drawn:
            self.count += 1
            said = self._text_of(drawn.token)
            if said is None:
                self.finish_reason = "stop"
                break
            held.append(Piece(said, drawn))
            text = "".join(piece.text for piece in held)
            found = [at for at in map(text.find, self._stops) if at >= 0]
            if found:
                self.finish_reason = "stop"
                yield from _cut(held, min(found))
                return
            certain = len(text) - self._begun(text)
            while held and len(held[0].text) <= certain:
                certain -= len(held[0].text)
                yield held.pop(0)
        yield from held

    def _begun(self, text: str) -> int:
        """Return the length of the longest end of `text` with which a stop begins."""
        return max(
            (
                length
                for stop in self._stops
                for length in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:length])
            ),
            default=0,
        )


def _cut(pieces: Sequence[Piece], length: int) -> Iterator[Piece]:
    """Yield the pieces of the first `length` characters."""
    for text, drawn in pieces:
        if length <= 0:
            return
        yield Piece(text[:length], drawn)
        length -= len(text)
