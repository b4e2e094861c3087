"""A generated text and its stops: what is sent piece by piece is the text before the first stop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.sampling import Drawn

pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.openai.generation import Continuation  # noqa: E402

WORDS = {1: "a", 2: "b", 3: "<|ab|>", 0: None}  # 0 is the end


def expected(tokens: list[int], most: int | None, stops: list[str]) -> tuple[str, str, int]:
    """Return text, reason and tokens drawn, from the whole text that there is after each token."""
    text = ""
    for count, token in enumerate(tokens[:most], 1):
        if WORDS[token] is None:
            return text, "stop", count
        text += WORDS[token]
        found = [text.index(stop) for stop in stops if stop in text]
        if found:
            return text[: min(found)], "stop", count
    return text, "length", len(tokens[:most])


@given(
    st.lists(st.sampled_from(list(WORDS))),
    st.none() | st.integers(0, 12),
    st.lists(st.text("ab<|", min_size=1, max_size=4), max_size=4),
)
def test_the_text_before_the_first_stop(
    tokens: list[int], most: int | None, stops: list[str]
) -> None:
    logits = np.zeros(4)
    text = Continuation(iter([Drawn(t, logits) for t in tokens]), WORDS.get, most, stops)
    said = "".join(piece.text for piece in text)
    assert (said, text.finish_reason, text.count) == expected(tokens, most, stops)


def test_a_piece_is_held_only_as_long_as_a_stop_can_begin_in_it() -> None:
    drawn = []

    def tokens() -> object:
        for token in (1, 1, 2, 1, 2, 2, 0):
            drawn.append(token)
            yield Drawn(token, np.zeros(4))

    seen = [(piece.text, len(drawn)) for piece in Continuation(tokens(), WORDS.get, stops=["abb"])]
    assert seen == [("a", 2), ("a", 4), ("b", 4)]
