"""A conversation with a chat model: its turns are in a KV cache, the oldest are dropped.

A reply is the characters that the model generates until a special token or BOS. When the block is
full, the oldest turns are dropped. Positions are learned and absolute, so that the turns that
remain have to be computed again.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from microgpt.chat.conversations import Conversation, Message, can_chat, message_tokens
from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.sampling import Decoder, Drawn, Draws, Sampling, continued


def longest_message(model: Model) -> int:
    """Return the length of the longest message that leaves room for a character of a reply."""
    return model.config.block_size - 4  # BOS, <|user|>, <|end_turn|>, <|assistant|>


class ChatError(UserError):
    """A model cannot chat, a message is too long, or a command at the prompt cannot be executed."""


def understood(model: Model, text: str) -> str:
    """Return a message's text as the model reads it, in the characters of its vocabulary.

    Raises VocabularyError for a character that `Tokenizer.fold` cannot fold, ChatError if the text
    is too long.
    """
    longest = longest_message(model)
    if len(text) <= longest:
        text = model.tokenizer.fold(text)  # which can be longer
    if len(text) > longest:
        raise ChatError(f"a message is at most {longest} characters here, not {len(text)}")
    return text


class Chat:
    """A conversation with a model; the seed and the user's messages determine all replies.

    `sampling` is how the tokens of replies are drawn, and can be set to another at any time.
    """

    def __init__(
        self, model: Model, sampling: Sampling = Sampling(), seed: int = 42, number: int = 0
    ) -> None:
        """Make a new conversation; those of one seed with other numbers have other replies.

        Raises ChatError if the model cannot chat, ConfigError for a negative seed.
        """
        if not can_chat(model.tokenizer):
            raise ChatError("this model cannot chat: train one with microgpt train --chat")
        self.model = model
        self._decoder = Decoder(model)
        self.sampling = sampling
        check_seed(seed)
        self._seed = seed
        self._number = number
        self.reset()

    def reset(self) -> None:
        """Start a new conversation, with the seed's first random number."""
        self.messages: Conversation = []
        self._draws = Draws(self._seed, self._number)
        self._turns: list[list[int]] = []  # the messages in the block, as tokens
        self.prompt_tokens = 0  # that the model read before it began the last reply
        self._decoder.restart()

    def say(self, message: Message) -> None:
        """Add a message to the conversation, as `understood` returns its text."""
        message = Message(message.role, understood(self.model, message.content))
        self.messages.append(message)
        self._turns.append(message_tokens(self.model.tokenizer, message))

    def reply(self, check: Callable[[], None] = lambda: None) -> Iterator[str]:
        """Yield the characters of the assistant's reply; see `draw_reply`."""
        tokenizer = self.model.tokenizer
        with closing(self.draw_reply(check)) as reply:
            for token, _ in reply:
                if tokenizer.is_character(token):
                    yield tokenizer.decode([token])

    def draw_reply(self, check: Callable[[], None] = lambda: None) -> Generator[Drawn, None, None]:
        """Yield the tokens of the assistant's reply, which ends with the block at the latest.

        They are characters. The last one is another token if the reply ends by itself, and not if
        it ends because the block is full. The characters that were yielded are added to the
        conversation, also if the caller stops early: then it closes the generator. For `check` see
        `Decoder`.
        """
        tokenizer = self.model.tokenizer
        self._decoder.check = check
        opening, *_, end_turn = message_tokens(tokenizer, Message("assistant", ""))
        turn = [opening]
        self._turns.append(turn)
        self.prompt_tokens = len(self._tokens())
        try:
            while len(tokens := self._tokens()) <= self._decoder.block_size:
                for drawn in continued(self._decoder, tokens, self.sampling, self._draws):
                    if not tokenizer.is_character(drawn.token):
                        yield drawn
                        return
                    turn.append(drawn.token)
                    yield drawn
        finally:
            self.messages.append(Message("assistant", tokenizer.decode(turn)))
            turn.append(end_turn)

    def _tokens(self) -> list[int]:
        """Return the conversation in tokens, more than block_size if one exchange fills it."""
        self._drop_oldest()
        return [self.model.tokenizer.bos, *(token for turn in self._turns for token in turn)]

    def _drop_oldest(self) -> None:
        """Drop turns until the rest fits the block; keep two, and let a user's be the first."""
        user = self.model.tokenizer.special("<|user|>")
        excess = 1 + sum(map(len, self._turns)) - self.model.config.block_size
        first = 0  # that stays
        while first < len(self._turns) - 2 and (
            excess > 0 or (first > 0 and self._turns[first][0] != user)
        ):
            excess -= len(self._turns[first])
            first += 1
        if first:
            del self._turns[:first]
            self._decoder.restart()
