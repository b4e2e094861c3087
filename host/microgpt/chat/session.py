"""A conversation with a chat model: its turns are in a KV cache, the oldest are dropped.

A reply is the characters that the model generates until a special token or BOS. When the block is
full, the oldest turns are dropped. Positions are learned and absolute, so that the turns that
remain have to be computed again.
"""

from collections.abc import Callable, Iterator

from microgpt.chat.conversations import Conversation, Message, can_chat, message_tokens
from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array
from microgpt.sampling import Decoder, Draws, check_temperature, draw


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
    """A conversation with a model; the seed and the user's messages determine all replies."""

    def __init__(self, model: Model, temperature: float = 0.5, seed: int = 42) -> None:
        """Raise ChatError if the model cannot chat.

        Raises SamplingError for an impossible temperature, ConfigError for a negative seed.
        """
        if not can_chat(model.tokenizer):
            raise ChatError("this model cannot chat: train one with microgpt train --chat")
        self.model = model
        self._decoder = Decoder(model)
        self.temperature = temperature
        check_seed(seed)
        self._seed = seed
        self.reset()

    @property
    def temperature(self) -> float:
        """The temperature of replies; 0 is greedy."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        check_temperature(value)
        self._temperature = value

    def reset(self) -> None:
        """Start a new conversation, with the seed's first random number."""
        self.messages: Conversation = []
        self._draws = Draws(self._seed)
        self._turns: list[list[int]] = []  # the messages in the block, as tokens
        self._decoder.restart()

    def say(self, message: Message) -> None:
        """Add a message to the conversation, as `understood` returns its text."""
        message = Message(message.role, understood(self.model, message.content))
        self.messages.append(message)
        self._turns.append(message_tokens(self.model.tokenizer, message))

    def reply(self, check: Callable[[], None] = lambda: None) -> Iterator[str]:
        """Yield the characters of the assistant's reply, which ends with the block at the latest.

        The characters that were yielded are added to the conversation, also if the caller stops
        early. For `check` see `Decoder`.
        """
        tokenizer = self.model.tokenizer
        self._decoder.check = check
        opening, *_, end_turn = message_tokens(tokenizer, Message("assistant", ""))
        turn = [opening]
        self._turns.append(turn)
        try:
            while (logits := self._logits()) is not None:
                token = draw(logits, self._temperature, self._draws)
                if not tokenizer.is_character(token):
                    break
                turn.append(token)
                yield tokenizer.decode([token])
        finally:
            self.messages.append(Message("assistant", tokenizer.decode(turn)))
            turn.append(end_turn)

    def _logits(self) -> Array | None:
        """Return the logits after the conversation; None if one exchange fills the block."""
        self._drop_oldest()
        tokenizer = self.model.tokenizer
        tokens = [tokenizer.bos, *(token for turn in self._turns for token in turn)]
        return self._decoder.read(tokens) if len(tokens) <= self._decoder.block_size else None

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
