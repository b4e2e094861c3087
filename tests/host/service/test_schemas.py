"""The schema of a chat request's messages."""

import re

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS

pytest.importorskip("pydantic", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.schemas import chat_request  # noqa: E402 - imports pydantic


def test_the_schema_of_a_message_takes_what_the_vocabulary_has() -> None:
    charset = "a-]^\\\N{GRINNING FACE}é "
    model = microgpt.create(microgpt.ModelConfig(), charset, special_tokens=SPECIAL_TOKENS)
    schema = chat_request(model).model_json_schema()
    pattern = schema["$defs"]["ChatMessage"]["properties"]["content"]["pattern"]
    assert re.fullmatch(pattern, charset)
    for character in "b[\N{GRINNING CAT FACE WITH SMILING EYES}":
        assert not re.fullmatch(pattern, character)


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
