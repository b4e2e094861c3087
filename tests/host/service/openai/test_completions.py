"""Completions as OpenAI's own client gets them: documents, prompts, echo, log probabilities."""

from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.sampling import Decoder, Draws, Sampling, stream_document

openai = pytest.importorskip("openai", reason="needs openai: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

WILD = {"model": "names", "temperature": 1.5, "seed": 7}


@pytest.fixture(scope="module")
def model(names_folder: Path) -> microgpt.Model:
    """The model `names` of the service."""
    return microgpt.load(names_folder)


def documents(model: microgpt.Model, prompt: str, n: int) -> list[str]:
    """Return what the library generates."""
    return ["".join(stream_document(model, Sampling(1.5), Draws(7, i), prompt)) for i in range(n)]


def log_probabilities(model: microgpt.Model, text: str) -> list[np.ndarray]:
    """Return the log probabilities of all tokens at each character of `text`."""
    decoder = Decoder(model)
    tokens = model.tokenizer.encode(text)[:-1]
    logits = [np.array(decoder.read(tokens[:t]), float) for t in range(1, len(tokens))]
    return [row - np.logaddexp.reduce(row) for row in logits]


def test_each_prompt_has_the_documents_of_the_library(
    client: openai.OpenAI, model: microgpt.Model
) -> None:
    prompts = ["Em", "", "a" * 15]
    answer = client.completions.create(prompt=prompts, n=3, **WILD)
    expected = [doc for prompt in ("em", "", "a" * 15) for doc in documents(model, prompt, 3)]
    said = [f"{'em' * (i < 3)}{'a' * 15 * (i > 5)}{c.text}" for i, c in enumerate(answer.choices)]
    assert said == expected
    assert [choice.index for choice in answer.choices] == list(range(9))
    assert answer.object == "text_completion"
    assert answer.usage.prompt_tokens == 3 + 1 + 16
    ended = [choice.finish_reason == "stop" for choice in answer.choices]
    assert ended == [len(doc) < 16 for doc in expected]
    assert answer.usage.completion_tokens == sum(
        len(choice.text) for choice in answer.choices
    ) + sum(ended)


def test_without_a_prompt_documents_as_generate_makes_them(
    client: openai.OpenAI, model: microgpt.Model
) -> None:
    answer = client.completions.create(model="names", prompt="", seed=3)
    assert answer.choices[0].text == microgpt.generate(model, 1, seed=3)[0]


@pytest.mark.parametrize("prompt", ["Em", ""])
def test_echo(client: openai.OpenAI, model: microgpt.Model, prompt: str) -> None:
    answer = client.completions.create(prompt=prompt, echo=True, n=2, **WILD)
    assert [choice.text for choice in answer.choices] == documents(model, prompt.lower(), 2)
    alone = client.completions.create(prompt=prompt, echo=True, max_tokens=0, **WILD)
    assert (alone.choices[0].text, alone.choices[0].finish_reason) == (prompt.lower(), "length")
    assert alone.usage.completion_tokens == 0
    most = client.completions.create(prompt=prompt, n=2, max_tokens=2**63, **WILD)
    plain = client.completions.create(prompt=prompt, n=2, **WILD)
    assert most.choices == plain.choices


def test_log_probabilities_are_those_of_the_logits(
    client: openai.OpenAI, model: microgpt.Model
) -> None:
    """Before temperature and filters, with the prompt's if it is repeated."""
    filtered = {"extra_body": {"top_k": 3}, "logprobs": 4, "prompt": "em"}
    echoed = client.completions.create(echo=True, **filtered, **WILD).choices[0]
    rows = log_probabilities(model, echoed.text)
    tokens = model.tokenizer.characters(echoed.text)
    found = echoed.logprobs
    assert found.tokens == list(echoed.text)
    assert found.text_offset == list(range(len(echoed.text)))
    expected = [row[token] for row, token in zip(rows, tokens, strict=True)]
    np.testing.assert_allclose(found.token_logprobs, expected, rtol=1e-9, atol=1e-12)
    for row, token, top in zip(rows, tokens, found.top_logprobs, strict=True):
        best = sorted(range(len(row)), key=lambda one: (-row[one], one))[:4]
        names = [model.tokenizer.decode([one]) or "<|bos|>" for one in {*best, token}]
        assert set(top) == set(names)
    plain = client.completions.create(**filtered, **WILD).choices[0]
    assert plain.text == echoed.text[2:]
    assert plain.logprobs.token_logprobs == found.token_logprobs[2:]
    assert plain.logprobs.text_offset == found.text_offset[2:]


@pytest.mark.parametrize("more", [{}, {"stop": "a"}, {"echo": True}, {"prompt": ["e", "k"]}])
def test_a_stream_has_what_the_whole_answer_has(client: openai.OpenAI, more: dict) -> None:
    body = {"prompt": "e", "n": 2, "logprobs": 1, **WILD, **more}
    whole = client.completions.create(**body)
    stream = client.completions.create(**body, stream=True, stream_options={"include_usage": True})
    *events, last = stream
    assert (last.choices, last.usage) == ([], whole.usage)
    for expected in whole.choices:
        parts = [e.choices[0] for e in events if e.choices[0].index == expected.index]
        assert "".join(part.text for part in parts) == expected.text
        assert parts[-1].finish_reason == expected.finish_reason
        scored = [part.logprobs for part in parts if part.logprobs]
        offsets = [offset for part in scored for offset in part.text_offset]
        assert offsets == expected.logprobs.text_offset
        values = [value for part in scored for value in part.token_logprobs]
        assert values == expected.logprobs.token_logprobs


def test_a_document_of_a_model_that_chats_has_its_special_tokens_by_name(
    client: openai.OpenAI, memorised: microgpt.Model
) -> None:
    answer = client.completions.create(model="talk", prompt="", temperature=0, logprobs=2)
    text = "".join(stream_document(memorised, Sampling(0), Draws(0)))
    (choice,) = answer.choices
    assert choice.text == text
    assert "<|end_turn|>" in choice.logprobs.tokens
    cut = client.completions.create(model="talk", prompt="", temperature=0, stop="rn|>")
    assert cut.choices[0].text == text[: text.index("rn|>")]
