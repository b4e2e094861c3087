"""Which replies are right: counted in one forward pass, the same as what a chat replies."""

import microgpt
import numpy as np
import pytest
from microgpt.chat import learned
from microgpt.chat.conversations import Conversation, Message
from microgpt.chat.forms import read_conversations
from microgpt.chat.learned import replies_right, report
from microgpt.chat.session import Chat
from microgpt.engines import ENGINES, build
from microgpt.sampling import Sampling

from tests.support.models import TALKS

LEARNED = read_conversations(TALKS)[0]


def in_a_chat(model: microgpt.Model, talk: Conversation) -> list[bool]:
    """Return of each reply whether a chat gives it after what was said before in `talk`."""
    right = []
    for end in range(1, len(talk), 2):
        chat = Chat(model, Sampling(0))
        for message in talk[:end]:
            chat.say(message)
        right.append("".join(chat.reply()) == talk[end].content)
    return right


@pytest.fixture(scope="module")
def half(memorised: microgpt.Model) -> microgpt.Model:
    """A model that has forgotten about half of the replies."""
    rng = np.random.default_rng(1)
    noisy = {name: w + rng.normal(0, 0.04, w.shape) for name, w in memorised.weights.items()}
    return build(memorised.config, memorised.tokenizer, noisy, "tensor", "float64")


def test_the_count_is_that_of_chats(half: microgpt.Model) -> None:
    counts = [in_a_chat(half, talk) for talk in LEARNED]
    right = sum(map(sum, counts))
    assert 10 < right < sum(map(len, counts)) - 10
    for talk, count in zip(LEARNED, counts, strict=True):
        assert replies_right(half, [talk]) == (sum(count), len(count), False)


@pytest.mark.parametrize("engine", ENGINES)
def test_in_every_engine(half: microgpt.Model, engine: str) -> None:
    if engine == "torch":
        pytest.importorskip("torch", reason="no PyTorch here")
    dtype = "float64" if engine == "scalar" else "float32"
    other = build(half.config, half.tokenizer, half.weights, engine, dtype)
    assert replies_right(other, LEARNED) == replies_right(half, LEARNED)


def test_a_reply_that_goes_on_or_ends_early_is_wrong(memorised: microgpt.Model) -> None:
    question, answer = LEARNED[0][:2]
    assert replies_right(memorised, [[question, answer]]) == (1, 1, False)
    for text in (answer.content[:-1], answer.content + "?", "x" + answer.content[1:]):
        assert replies_right(memorised, [[question, Message("assistant", text)]]) == (0, 1, False)


def test_conversations_that_do_not_fit_are_left_out(memorised: microgpt.Model) -> None:
    long = [Message("user", "a" * 100), Message("assistant", "a" * 100)]
    assert replies_right(memorised, [long, LEARNED[0]]) == replies_right(memorised, [LEARNED[0]])


def test_of_a_large_model_the_first_conversations_count(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = sum(len(message.content) + 2 for talk in LEARNED[:3] for message in talk) + 6
    monkeypatch.setattr(learned, "MOST_WORK", tokens * memorised.parameter_count)
    replies = sum(len(talk) // 2 for talk in LEARNED[:3])
    assert replies_right(memorised, LEARNED) == (replies, replies, True)
    assert replies_right(memorised, LEARNED[:3]) == (replies, replies, False)
    said = f"{replies} of the first {replies} in training, 2 of 2 in validation"
    assert report(memorised, LEARNED, LEARNED[:1]).endswith(f": {said}")


def test_the_report(memorised: microgpt.Model) -> None:
    alone = "replies right at temperature 0: 2 of 2 in training"
    assert report(memorised, LEARNED[:1], []) == alone
    assert report(memorised, LEARNED[:1], LEARNED[1:2]) == f"{alone}, 2 of 2 in validation"
