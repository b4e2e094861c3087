"""Sampling: the decoder, the draw of a token, and the limits, the same in every command."""

from collections.abc import Callable
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS, Message
from microgpt.chat.session import Chat, longest_message
from microgpt.sampling import Decoder, Draws, Sampling, SamplingError, draw, stream_document
from microgpt.tokenizer import VocabularyError

from tests.support.draws import Fixed, NoDraws

TINY = (1e-3, 1e-30, 1e-308, 1e-320)


@pytest.fixture
def model() -> microgpt.Model:
    """A model that never ends a document: BOS is never the likeliest."""
    model = microgpt.create(microgpt.ModelConfig(), seed=3)
    model.weights["lm_head"][0] = 0
    return model


@pytest.fixture
def talker() -> microgpt.Model:
    return microgpt.create(
        microgpt.ModelConfig(block_size=20), "abc ", special_tokens=SPECIAL_TOKENS
    )


def test_temperature_0_is_greedy_and_draws_no_random_number() -> None:
    assert draw(np.array([1.0, 3.0, 2.0]), Sampling(0), NoDraws()) == 1
    assert draw(np.array([3.0, 3.0, 2.0]), Sampling(0.0), NoDraws()) == 0  # the first of equals


@pytest.mark.parametrize("temperature", TINY)
def test_a_tiny_temperature_gives_the_likeliest(temperature: float) -> None:
    for seed in range(20):
        assert draw(np.array([1.0, 3.0, 2.0]), Sampling(temperature), Draws(seed)) == 1


@pytest.mark.parametrize("temperature", [0, 0.5])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(temperature: float, odd: float) -> None:
    with pytest.raises(SamplingError, match="the logits are not finite"):
        draw(np.array([1.0, odd, 2.0]), Sampling(temperature), Draws(1))


def test_draws_follow_the_softmax() -> None:
    logits = np.log([0.5, 0.3, 0.2])
    draws = Draws(1)
    for temperature in (0.5, 1.0, 100.0):
        expected = np.exp(logits / temperature)
        expected /= expected.sum()
        drawn = [draw(logits, Sampling(temperature), draws) for _ in range(5000)]
        assert np.bincount(drawn, minlength=3) / 5000 == pytest.approx(expected, abs=0.03)


def test_logits_far_apart_do_not_overflow() -> None:
    assert draw(np.array([-1e30, 1e30, 0.0], "float32"), Sampling(1.0), Draws(1)) == 1


def test_a_token_is_drawn_where_the_sum_of_probabilities_reaches_the_number() -> None:
    logits = np.log([0.25, 0.5, 0.25])
    for number, token in ((2**-24, 0), (0.24, 0), (0.26, 1), (0.74, 1), (0.76, 2), (1 - 2**-24, 2)):
        assert draw(logits, Sampling(1.0), Fixed(number)) == token
    impossible_at_both_ends = np.array([-1e9, 0.0, -1e9])
    for number in (2**-24, 1 - 2**-24):
        assert draw(impossible_at_both_ends, Sampling(1.0), Fixed(number)) == 1


# The limits, wherever text is generated.

Generate = Callable[[float], str]


@pytest.fixture(params=["generate", "stream_document", "chat", "chat, changed"])
def generate(
    request: pytest.FixtureRequest, model: microgpt.Model, talker: microgpt.Model
) -> Generate:
    """Text at a temperature, in each way of generating it."""

    def chat(temperature: float) -> str:
        if request.param == "chat":
            talk = Chat(talker, Sampling(temperature))
        else:
            talk = Chat(talker)
            talk.sampling = Sampling(temperature)
        talk.say(Message("user", "ab"))
        return "".join(talk.reply())

    ways: dict[str, Generate] = {
        "generate": lambda temperature: microgpt.generate(model, 1, temperature)[0],
        "stream_document": lambda t: "".join(stream_document(model, Sampling(t), Draws(1))),
        "chat": chat,
        "chat, changed": chat,
    }
    return ways[request.param]


@pytest.mark.parametrize("temperature", [0, 0.0, *TINY, 0.5, 1, 100, 100.0])
def test_temperatures_that_are_taken(generate: Generate, temperature: float) -> None:
    assert isinstance(generate(temperature), str)


@pytest.mark.parametrize("temperature", [-1e-9, -1, 100.001, 1e9, float("inf"), float("nan")])
def test_temperatures_that_are_refused(generate: Generate, temperature: float) -> None:
    with pytest.raises(SamplingError) as error:
        generate(temperature)
    expected = f"temperature must be a number from 0 to 100, not {temperature!r}"
    assert str(error.value) == expected


def test_greedy_text_is_the_likeliest_token_each_time(model: microgpt.Model) -> None:
    text = "".join(stream_document(model, Sampling(0), NoDraws()))
    step = model.decoder()
    tokens = [0]
    for _ in range(16):
        tokens.append(int(np.argmax(step(tokens[-1]))))
    assert text == model.tokenizer.decode(tokens)
    assert {*microgpt.generate(model, 3, 0, seed=1), *microgpt.generate(model, 3, 0, seed=2)} == {
        text
    }


def test_a_greedy_reply_draws_no_random_number(talker: microgpt.Model) -> None:
    talk = Chat(talker, Sampling(0))
    talk._draws = NoDraws()
    talk.say(Message("user", "ab"))
    list(talk.reply())


def test_a_prompt_is_folded_to_the_vocabulary(model: microgpt.Model) -> None:
    assert microgpt.generate(model, 3, prompt="Má") == microgpt.generate(model, 3, prompt="ma")
    with pytest.raises(VocabularyError, match="'1' is not in the vocabulary: the model knows a-z"):
        microgpt.generate(model, 1, prompt="r1")


def test_a_prompt_has_up_to_block_size_minus_1_characters(model: microgpt.Model) -> None:
    longest = "abcdefghijklmno"
    (text,) = microgpt.generate(model, 1, 0, prompt=longest)
    assert text.startswith(longest)
    assert len(text) == 16  # there is room for one more
    with pytest.raises(SamplingError, match="a prompt is at most 15 characters, not 16"):
        microgpt.generate(model, 1, 0, prompt="a" * 16)


def test_the_longest_message_leaves_room_for_a_reply(talker: microgpt.Model) -> None:
    assert longest_message(talker) == 16
    talker.weights["lm_head"][0] = 0
    for name in SPECIAL_TOKENS:
        talker.weights["lm_head"][talker.tokenizer.special(name)] = 0
    talk = Chat(talker, Sampling(0))
    talk.say(Message("user", "a" * 16))
    assert len("".join(talk.reply())) == 1
    with pytest.raises(microgpt.UserError, match="at most 16 characters here, not 17"):
        talk.say(Message("user", "a" * 17))


def test_the_service_has_the_same_limits(model: microgpt.Model, talker: microgpt.Model) -> None:
    pydantic = pytest.importorskip("pydantic", reason="needs the extra [serve]")
    from microgpt.service.schemas import chat_request, generate_request

    body = chat_request(talker)
    request = generate_request(model)
    assert request(temperature=100).temperature == 100
    assert request(temperature=0).temperature == 0
    longest = "a" * (model.config.block_size - 1)
    assert request(prompt=longest).prompt == longest
    for prompt in (longest + "a", "2"):
        with pytest.raises(pydantic.ValidationError):
            request(prompt=prompt)
        with pytest.raises(microgpt.UserError):
            microgpt.generate(model, prompt=prompt)
    for content, taken in (("a" * 16, True), ("a" * 17, False), ("Ü", False)):
        messages = [{"role": "user", "content": content}]
        if taken:
            assert body.model_validate({"messages": messages, "temperature": 100})
        else:
            with pytest.raises(pydantic.ValidationError):
                body.model_validate({"messages": messages})
    for temperature in (-1e-9, 100.001, float("inf"), float("nan")):
        with pytest.raises(pydantic.ValidationError):
            request(temperature=temperature)
        with pytest.raises(pydantic.ValidationError):
            body.model_validate({"messages": messages[:1], "temperature": temperature})


# The decoder.


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
def test_a_decoder_computes_what_was_added_and_no_more(engine: str) -> None:
    config = microgpt.ModelConfig(n_embd=4, n_head=2, block_size=6)
    model = microgpt.create(config, "abc", engine=engine)
    computed = []
    decoder = Decoder(model, lambda: computed.append(1))
    tokens = [0, 1, 2, 3, 1, 2]
    for end in (1, 4, 4, 6):
        logits = decoder.read(tokens[:end])
        step = model.decoder()
        expected = [step(token) for token in tokens[:end]][-1]
        assert np.array_equal(logits, expected)
        assert len(computed) == end
    assert decoder.block_size == 6
    decoder.restart()
    decoder.read([0])
    assert len(computed) == 7


def test_an_interrupted_decoder_computes_everything_again(model: microgpt.Model) -> None:
    expected = Decoder(model).read([0, 1, 2, 3])
    computed = 0

    def check() -> None:
        nonlocal computed
        computed += 1
        if computed == 3:
            raise TimeoutError

    decoder = Decoder(model, check)
    with pytest.raises(TimeoutError):
        decoder.read([0, 1, 2, 3])
    assert np.array_equal(decoder.read([0, 1, 2, 3]), expected)
    assert computed == 3 + 4


def test_check_is_called_before_each_token_of_a_document(model: microgpt.Model) -> None:
    calls = []
    text = "".join(
        stream_document(model, Sampling(0), Draws(1), "abc", check=lambda: calls.append(1))
    )
    assert len(text) == 16
    assert len(calls) == 16  # BOS, and every character but the last


def test_samples_of_a_folder(names_folder: Path) -> None:
    model = microgpt.load(names_folder)
    with pytest.raises(SamplingError, match="num_samples must be at least 1, not 0"):
        microgpt.generate(model, 0)


def test_a_negative_seed_is_refused() -> None:
    """Python's generator would take it for the positive one."""
    with pytest.raises(microgpt.ConfigError, match="seed must be a whole number from 0 on"):
        microgpt.generate(microgpt.create(microgpt.ModelConfig(n_embd=4)), seed=-1)
