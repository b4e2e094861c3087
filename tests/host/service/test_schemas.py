"""The schema of a chat request's messages."""

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS

pytest.importorskip("pydantic", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.schemas import chat_request  # noqa: E402 - imports pydantic


def test_a_message_is_checked_and_folded_where_it_is_read() -> None:
    config = microgpt.ModelConfig(block_size=16)
    model = microgpt.create(config, "abs", special_tokens=SPECIAL_TOKENS)
    body = chat_request(model)

    def content(text: str) -> str:
        return body(messages=[{"role": "user", "content": text}]).messages[0].content

    assert content("Ab") == "ab"
    assert content("a" * 11 + "s") == "a" * 11 + "s"
    for text in ("c", "a" * 13, "a" * 11 + "\N{LATIN SMALL LETTER SHARP S}"):
        with pytest.raises(ValueError, match="not in the vocabulary|at most 12 characters"):
            content(text)
