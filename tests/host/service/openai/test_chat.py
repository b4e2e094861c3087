"""Chat completions as OpenAI's own client gets them: replies, choices, stops, streams, usage."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS, SYSTEM, Message, message_tokens
from microgpt.chat.session import Chat
from microgpt.sampling import Sampling

from tests.support.services import Service

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
openai = pytest.importorskip("openai", reason="needs openai: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI

HI = [{"role": "user", "content": "hi"}]
WILD = {"temperature": 3.0, "seed": 5}  # a long reply, of which every character is drawn


def reply(
    model: microgpt.Model,
    messages: Sequence[dict],
    sampling: Sampling,
    seed: int = 5,
    number: int = 0,
) -> str:
    """Return what the library replies."""
    talk = Chat(model, sampling, seed, number)
    for message in messages:
        talk.say(Message(**message))
    return "".join(talk.reply())


def test_a_reply_is_that_of_the_library(client: openai.OpenAI, memorised: microgpt.Model) -> None:
    answer = client.chat.completions.create(model="talk", messages=HI, temperature=0)
    (choice,) = answer.choices
    assert choice.message.content == reply(memorised, HI, Sampling(0))
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    asked = len(message_tokens(memorised.tokenizer, Message("user", "hi"))) + 2
    said = len(choice.message.content) + 1
    assert answer.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) == {
        "prompt_tokens": asked,
        "completion_tokens": said,
    }
    assert answer.usage.total_tokens == asked + said
    assert (answer.object, answer.model) == ("chat.completion", "talk")


def test_a_whole_conversation_with_what_the_client_got(
    client: openai.OpenAI, memorised: microgpt.Model
) -> None:
    answer = client.chat.completions.create(model="talk", messages=HI, temperature=0)
    got = answer.choices[0].message
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "DÁ"}]
    messages = [*HI, got.model_dump(), {"role": "user", "content": parts, "name": "me"}]
    answer = client.chat.completions.create(model="talk", messages=messages, temperature=0)
    said = [*HI, {"role": "assistant", "content": got.content}, {"role": "user", "content": "ada"}]
    assert answer.choices[0].message.content == reply(memorised, said, Sampling(0))


@pytest.mark.parametrize("silent", [{"content": ""}, {"content": None}, {}])
def test_an_empty_reply_can_be_repeated(
    client: openai.OpenAI, memorised: microgpt.Model, silent: dict
) -> None:
    messages = [*HI, {"role": "assistant", **silent}, *HI]
    answer = client.chat.completions.create(model="talk", messages=messages, **WILD)
    said = [*HI, {"role": "assistant", "content": ""}, *HI]
    assert answer.choices[0].message.content == reply(memorised, said, Sampling(3.0))


def test_a_conversation_longer_than_the_block(
    client: openai.OpenAI, memorised: microgpt.Model
) -> None:
    messages = [*HI, {"role": "assistant", "content": "hello! what is your name?"}] * 50 + HI
    answer = client.chat.completions.create(model="talk", messages=messages, temperature=0)
    assert answer.choices[0].message.content == reply(memorised, messages, Sampling(0))
    assert answer.usage.prompt_tokens <= memorised.config.block_size


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(4.0),
        Sampling(4.0, top_k=2),
        Sampling(4.0, top_p=0.6),
        Sampling(4.0, min_p=0.3),
        Sampling(0, repetition_penalty=4.0),
    ],
)
def test_sampling_and_choices(
    client: openai.OpenAI, memorised: microgpt.Model, sampling: Sampling
) -> None:
    others = {name: getattr(sampling, name) for name in ("top_k", "min_p", "repetition_penalty")}
    answer = client.chat.completions.create(
        model="talk",
        messages=HI,
        n=3,
        seed=5,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        extra_body=others,
    )
    expected = [reply(memorised, HI, sampling, number=i) for i in range(3)]
    assert [choice.message.content for choice in answer.choices] == expected
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_the_same_seed_the_same_answer_and_none_another(client: openai.OpenAI) -> None:
    def contents(**more: object) -> list:
        answer = client.chat.completions.create(
            model="talk", messages=HI, temperature=10, n=4, **more
        )
        fingerprints.add(answer.system_fingerprint)
        return [choice.message.content for choice in answer.choices]

    fingerprints: set[str] = set()
    assert contents(seed=7) == contents(seed=7) != contents(seed=8)
    assert contents(seed=2**63 - 1) == contents(seed=2**63 - 1) != contents(seed=2**63 - 2)
    assert contents() != contents()
    assert len(fingerprints) == 1


def test_most_tokens(client: openai.OpenAI, memorised: microgpt.Model) -> None:
    whole = reply(memorised, HI, Sampling(0))
    for most in ({"max_tokens": 3}, {"max_completion_tokens": 3}, {"max_tokens": 1, "n": 2}):
        answer = client.chat.completions.create(model="talk", messages=HI, temperature=0, **most)
        length = most.get("max_tokens", 3)
        for choice in answer.choices:
            assert choice.message.content == whole[:length]
            assert choice.finish_reason == "length"
        assert answer.usage.completion_tokens == 3 if len(answer.choices) == 1 else 2
    for most in ({"max_tokens": 2**63}, {"max_completion_tokens": 10**30}):
        answer = client.chat.completions.create(model="talk", messages=HI, temperature=0, **most)
        assert answer.choices[0].message.content == whole
        assert answer.choices[0].finish_reason == "stop"


def test_a_reply_that_fills_the_block(client: openai.OpenAI, memorised: microgpt.Model) -> None:
    longest = memorised.config.block_size - 4
    messages = [{"role": "user", "content": "h" * longest}]
    answer = client.chat.completions.create(model="talk", messages=messages, temperature=0)
    (choice,) = answer.choices
    assert len(choice.message.content) <= 1
    assert choice.finish_reason == ("length" if choice.message.content else "stop")
    assert answer.usage.prompt_tokens == memorised.config.block_size


@pytest.mark.parametrize("stop", ["llo", ["zzz", "o", "lo"], ["hello!!", "!"]])
def test_stops(client: openai.OpenAI, stop: object) -> None:
    said = [{"role": "user", "content": "hi"}]
    whole = client.chat.completions.create(model="talk", messages=said, temperature=0)
    text = whole.choices[0].message.content
    stops = [stop] if isinstance(stop, str) else stop
    ends = [(text.find(one) + len(one), text.find(one)) for one in stops if one in text]
    answer = client.chat.completions.create(model="talk", messages=said, temperature=0, stop=stop)
    assert answer.choices[0].message.content == text[: min(ends)[1]] if ends else text
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("more", [{}, {"stop": ["e", "the"]}, {"max_tokens": 4}, {"n": 3}])
def test_a_stream_has_what_the_whole_answer_has(client: openai.OpenAI, more: dict) -> None:
    body = {"model": "talk", "messages": HI, "logprobs": True, "top_logprobs": 2, **WILD, **more}
    whole = client.chat.completions.create(**body)
    stream = client.chat.completions.create(
        **body, stream=True, stream_options={"include_usage": True}
    )
    *events, last = stream
    assert len({event.id for event in (*events, last)}) == 1
    assert {event.object for event in events} == {"chat.completion.chunk"}
    assert last.choices == []
    assert last.usage == whole.usage
    assert all(event.usage is None for event in events)
    for expected in whole.choices:
        parts = [e.choices[0] for e in events if e.choices[0].index == expected.index]
        assert parts[0].delta.role == "assistant"
        assert "".join(part.delta.content or "" for part in parts) == expected.message.content
        assert [part.finish_reason for part in parts[:-1]] == [None] * (len(parts) - 1)
        assert parts[-1].finish_reason == expected.finish_reason
        tokens = [token for part in parts if part.logprobs for token in part.logprobs.content]
        assert tokens == expected.logprobs.content
        assert [token.token for token in tokens] == list(expected.message.content)


def test_many_streams_at_once(both_service: Service, memorised: microgpt.Model) -> None:
    async def one(client: openai.AsyncOpenAI, seed: int) -> str:
        stream = await client.chat.completions.create(
            model="talk", messages=HI, temperature=3, seed=seed, stream=True
        )
        return "".join([event.choices[0].delta.content or "" async for event in stream])

    async def scenario() -> list[str]:
        url = f"{both_service.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, seed) for seed in range(20)))

    expected = [reply(memorised, HI, Sampling(3.0), seed) for seed in range(20)]
    assert asyncio.run(scenario()) == expected


@pytest.mark.parametrize(
    ("roles", "refused"),
    [
        (["system", "user"], None),
        (["developer", "user", "assistant", "user"], None),
        (["user", "system"], "messages[2]"),
        (["system", "developer", "user"], "messages[2]"),
    ],
)
def test_a_model_that_was_trained_with_system_messages(
    roles: list[str], refused: str | None
) -> None:
    """Where the system may speak; an empty message of it is none, as front ends send it."""
    special = (*SPECIAL_TOKENS, SYSTEM)
    model = microgpt.create(microgpt.ModelConfig(block_size=64), "abc ", special_tokens=special)
    transport = httpx.ASGITransport(create_app({"told": model}, Path("nothing")))
    said = [{"role": role, "content": "a" * number} for number, role in enumerate(roles, 1)]
    body = {"messages": [*said[:1], {"role": "system", "content": " \n"}, *said[1:]], "seed": 5}

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/v1/chat/completions", json=body)

    answer = asyncio.run(scenario()).json()
    if refused:
        assert answer["error"]["param"] == refused
        assert answer["error"]["message"].endswith("the first of a conversation")
        return
    said[0]["role"] = "system"
    assert answer["choices"][0]["message"]["content"] == reply(model, said, Sampling(0.5))
    assert answer["usage"]["prompt_tokens"] == 2 + sum(len(one["content"]) + 2 for one in said)
