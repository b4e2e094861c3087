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
