"""A conversation: replies learned by heart, the KV cache, and the oldest turns that are dropped."""

import itertools
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS, Message
from microgpt.chat.forms import read_conversations
from microgpt.chat.session import Chat
from microgpt.sampling import Draws, Sampling, draw

from tests.support.models import TALKS


def ask(chat: Chat, text: str) -> str:
    chat.say(Message("user", text))
    return "".join(chat.reply())


def test_greedy_replies_of_a_model_that_memorised_are_exact(memorised: microgpt.Model) -> None:
    talks, _ = read_conversations(TALKS)
    for talk in talks:
        chat = Chat(memorised, Sampling(0))
        for question, answer in zip(talk[::2], talk[1::2], strict=True):
            assert ask(chat, question.content) == answer.content
        assert chat.messages == talk


def test_a_message_is_folded_to_the_vocabulary(memorised: microgpt.Model) -> None:
    chat = Chat(memorised, Sampling(0))
    assert ask(chat, "Hi") == "hello! what is your name?"
    assert ask(chat, "ÁDA") == "nice to meet you, ada."
    assert [message.content for message in chat.messages[::2]] == ["hi", "ada"]


def counted(model: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every token which `model` computes from now on is appended to."""
    tokens: list[int] = []
    original = model.decoder

    def decoder():
        step = original()

        def record(token: int):
            tokens.append(token)
            return step(token)

        return record

    monkeypatch.setattr(model, "decoder", decoder)
    return tokens


def test_every_token_is_computed_once_while_the_block_has_room(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, Sampling(0))
    said = []
    for text in ("hi", "ada"):
        said += [f"<|user|>{text}<|end_turn|><|assistant|>", ask(chat, text), "<|end_turn|>"]
    decode = memorised.tokenizer.decode
    # The end of the last turn is computed when the next one is.
    assert decode(computed, special=True) == "".join(said).removesuffix("<|end_turn|>")


def test_the_oldest_turns_go_when_the_block_is_full(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, Sampling(0))
    for text in ("what is a loss?", "what is attention?", "what is python?", "what is a token?"):
        ask(chat, text)
    assert computed.count(memorised.tokenizer.bos) > 1  # from the beginning once more
    assert len(chat.messages) == 8  # nothing is forgotten of what is shown or saved
    tokens = [token for turn in chat._turns for token in turn]
    assert len(tokens) < memorised.config.block_size
    kept = memorised.tokenizer.decode(tokens, special=True)
    assert kept.startswith("<|user|>")
    assert kept.startswith("<|user|>what is a token?<|end_turn|>", kept.rindex("<|user|>"))


def test_dropping_hundreds_of_turns_begins_the_cache_once(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(memorised, Sampling(0))
    for _ in range(200):
        chat.say(Message("user", "hi"))
        chat.say(Message("assistant", "hello! what is your name?"))
    chat.say(Message("user", "thanks"))
    begun = []
    original = memorised.decoder
    monkeypatch.setattr(memorised, "decoder", lambda: begun.append(1) or original())
    assert "".join(itertools.islice(chat.reply(), 5))
    assert len(begun) == 1
    kept = memorised.tokenizer.decode([t for turn in chat._turns for t in turn], special=True)
    assert kept.startswith("<|user|>hi<|end_turn|>")
    assert len(chat._turns) > 4


def test_check_can_stop_a_reply_between_any_two_tokens(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, Sampling(0))
    chat.say(Message("user", "what is a loss?"))

    def check() -> None:
        if len(computed) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(chat.reply(check))
    assert len(computed) == 3


def test_a_cache_after_dropping_gives_what_a_new_chat_with_those_turns_gives(
    memorised: microgpt.Model,
) -> None:
    questions = ["who are you?", "what is a loss?", "hi", "ada", "help", "bye"]
    old = Chat(memorised, Sampling(0))
    for text in questions:
        ask(old, text)
    decode = memorised.tokenizer.decode
    new = Chat(memorised, Sampling(0))
    for turn in old._turns:
        role = decode(turn[:1], special=True).strip("<|>")
        new.say(Message(role, decode(turn)))
    assert ask(old, "good night") == ask(new, "good night")


def test_a_reply_ends_with_the_block() -> None:
    config = microgpt.ModelConfig(block_size=12)
    model = microgpt.create(config, "ab", special_tokens=SPECIAL_TOKENS)
    for name in SPECIAL_TOKENS:
        model.weights["lm_head"][model.tokenizer.special(name)] = 0
    model.weights["lm_head"][0] = 0
    chat = Chat(model, Sampling(0.01), seed=1)
    for text in ("a", "ab" * 4, "b"):
        reply = ask(chat, text)
        assert len(reply) <= 12 - 4 - len(text) + 1
        assert set(reply) <= set("ab")


def test_draws_of_a_reply_say_how_it_ended(memorised: microgpt.Model) -> None:
    tokenizer = memorised.tokenizer
    chat, spoken = Chat(memorised, Sampling(0)), Chat(memorised, Sampling(0))
    chat.say(Message("user", "hi"))
    *drawn, last = chat.draw_reply()
    assert tokenizer.decode([token for token, _ in drawn]) == ask(spoken, "hi")
    assert last.token == tokenizer.special("<|end_turn|>")
    for token, logits in (*drawn, last):
        assert logits.shape == (tokenizer.vocab_size,)
        assert token == logits.argmax()
    assert chat.messages == spoken.messages
    chat.reset()
    chat.say(Message("user", "a" * 124))  # a character has room
    (only,) = chat.draw_reply()
    assert tokenizer.is_character(only.token)
    assert chat.messages[-1] == Message("assistant", tokenizer.decode([only.token]))


def test_a_caller_that_stops_drawing_leaves_what_it_has_seen(memorised: microgpt.Model) -> None:
    chat = Chat(memorised, Sampling(0))
    chat.say(Message("user", "hi"))
    reply = chat.draw_reply()
    seen = [next(reply).token for _ in range(5)]
    reply.close()
    assert chat.messages[-1] == Message("assistant", memorised.tokenizer.decode(seen))


def test_the_penalty_is_on_what_was_said_and_is_in_the_block(memorised: microgpt.Model) -> None:
    """Also after the oldest turns were dropped in the middle of a reply."""
    tokenizer = memorised.tokenizer
    how = Sampling(1.0, 9, 0.95, 0.05, 1.7)
    chat = Chat(memorised, how, seed=3)
    turns = dropped = 0  # dropped: how often after a reply had begun
    for text in ("what is a loss?", "what is python?", "hi", "what is attention?", "ada", "bye"):
        chat.say(Message("user", text))
        draws = Draws(3)
        draws._state = chat._draws._state
        for number, (token, logits) in enumerate(chat.draw_reply()):
            in_block = [t for turn in chat._turns for t in turn]
            before = in_block[:-1] if tokenizer.is_character(token) else in_block
            seen = set(filter(tokenizer.is_character, before))
            assert token == draw(logits, how, draws, seen)
            dropped += number > 0 and len(chat._turns) < turns
            turns = len(chat._turns)
    assert dropped


def test_a_field_that_is_set_counts_from_the_next_reply_on(memorised: microgpt.Model) -> None:
    chat = Chat(memorised, Sampling(8.0), seed=2)
    chat.sampling = Sampling(8.0, top_k=1)
    assert ask(chat, "hi") == "hello! what is your name?"


def test_conversations_of_a_seed_have_numbers(memorised: microgpt.Model) -> None:
    replies = [ask(Chat(memorised, Sampling(6.0), 1, number), "hi") for number in (0, 1, 2, 1)]
    assert len(set(replies)) == 3
    assert replies[1] == replies[3]
    assert replies[0] == ask(Chat(memorised, Sampling(6.0), 1), "hi")


def test_a_message_that_cannot_be_said(memorised: microgpt.Model) -> None:
    chat = Chat(memorised)
    with pytest.raises(ValueError, match="'<', '|', '>' are not in the vocabulary: the model kno"):
        chat.say(Message("user", "<|user|>"))
    with pytest.raises(ValueError, match="at most 124 characters here, not 125"):
        chat.say(Message("user", "a" * 125))
    with pytest.raises(ValueError, match="at most 124 characters here, not 125"):
        chat.say(Message("user", "a" * 123 + "\N{LATIN SMALL LETTER SHARP S}"))
    assert chat.messages == []
    assert ask(chat, "a" * 124) is not None


def test_the_seed_fixes_replies_and_reset_begins_again(memorised: microgpt.Model) -> None:
    chats = [Chat(memorised, Sampling(6), seed=seed) for seed in (1, 1, 2)]
    first, second, other = ([ask(chat, text) for text in ("hi", "ada")] for chat in chats)
    assert first == second != other
    chats[0].reset()
    assert chats[0].messages == []
    assert [ask(chats[0], text) for text in ("hi", "ada")] == first


def test_a_reply_that_is_stopped_stays_in_the_conversation(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, Sampling(0))
    chat.say(Message("user", "hi"))
    reply = chat.reply()
    pieces = list(itertools.islice(reply, 5))
    reply.close()
    assert (
        chat.messages[-1] == Message("assistant", "".join(pieces)) == Message("assistant", "hello")
    )
    ask(chat, "good night")
    assert computed.count(memorised.tokenizer.bos) == 1


def test_ctrl_c_in_the_middle_of_a_token_does_not_break_the_cache(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(memorised, Sampling(0))
    step = chat._decoder._step
    calls = itertools.count()

    def interrupted(token: int):
        logits = step(token)
        if next(calls) == 7:
            raise KeyboardInterrupt
        return logits

    monkeypatch.setattr(chat._decoder, "_step", interrupted)
    chat.say(Message("user", "hi"))
    with pytest.raises(KeyboardInterrupt):
        list(chat.reply())
    chat.reset()
    assert ask(chat, "hi") == "hello! what is your name?"


def test_who_may_not(names_folder: Path, memorised: microgpt.Model) -> None:
    with pytest.raises(ValueError, match="train --chat"):
        Chat(microgpt.load(names_folder))
    for temperature in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            Chat(memorised, Sampling(temperature))


def test_a_negative_seed_is_refused(memorised: microgpt.Model) -> None:
    with pytest.raises(microgpt.ConfigError, match="seed must be a whole number from 0 on"):
        Chat(memorised, seed=-1)


# With a turn of the system.


def kept(chat: Chat) -> str:
    """Return the turns that are in the block, as text."""
    return chat.model.tokenizer.decode([t for turn in chat._turns for t in turn], special=True)


def test_what_the_system_says_stays_when_the_oldest_turns_are_dropped(
    told: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(told, monkeypatch)
    chat = Chat(told, Sampling(0), system="ab")
    said = "<|system|>ab<|end_turn|>"
    assert kept(chat) == said
    for text in ("a", "bb", "a"):
        chat.say(Message("user", text))
        assert len(list(itertools.islice(chat.reply(), 2))) == 2
        assert kept(chat).startswith(f"{said}<|user|>")
    assert kept(chat).startswith(f"{said}<|user|>bb<|end_turn|>")
    begun = [i for i, token in enumerate(computed) if token == told.tokenizer.bos]
    assert len(begun) == 2
    again = told.tokenizer.decode(computed[begun[1] :], special=True)
    assert again.startswith(f"{said}<|user|>bb<|end_turn|>")
    assert len(chat.messages) == 7
    chat.reset()
    assert chat.messages == [Message("system", "ab")]
    assert kept(chat) == said


def test_the_longest_messages_with_a_system_turn(told: microgpt.Model) -> None:
    with pytest.raises(ValueError, match="^what the system says is at most 17 characters here"):
        Chat(told, system="a" * 18)
    chat = Chat(told, Sampling(0), system="a" * 17)
    reason = "^a message is at most 1 character here, not 2: the system's turn takes 19 tokens$"
    with pytest.raises(ValueError, match=reason):
        chat.say(Message("user", "aa"))
    assert ask(chat, "a") == "b"


def test_who_the_system_cannot_speak_to(told: microgpt.Model, memorised: microgpt.Model) -> None:
    with pytest.raises(ValueError, match="trained on conversations without a system turn"):
        Chat(memorised, system="hi")
    chat = Chat(told)
    chat.say(Message("user", "a"))
    with pytest.raises(ValueError, match="the system's message is the first of a conversation"):
        chat.say(Message("system", "a"))
    assert kept(chat) == "<|user|>a<|end_turn|>"
