"""Talking with a model: what was said stays in its KV cache, the oldest turns go when it is full.

A reply is the characters that the model makes up until a special token or BOS. Positions are
learned and absolute, so what remains after the oldest turns went is computed anew, once.
"""

import random
from collections.abc import Callable, Iterator

from microgpt.conversations import Conversation, Message, can_chat, message_tokens
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import Array
from microgpt.sampling import Decoder, check_temperature, draw


def longest_message(model: Model) -> int:
    """Return the most characters of a message that fit the block with one character of a reply."""
    return model.config.block_size - 4  # BOS, <|user|>, <|end_turn|>, <|assistant|>


class ChatError(UserError):
    """A model cannot chat, or a message cannot be read; the message says why."""


class Chat:
    """A conversation with a model; the seed and what the user says fix all replies."""

    def __init__(self, model: Model, temperature: float = 0.5, seed: int = 42) -> None:
        """Raise ChatError if the model cannot chat, SamplingError at a bad temperature."""
        if not can_chat(model.tokenizer):
            raise ChatError("this model cannot chat: train one with microgpt train --chat")
        self.model = model
        self._decoder = Decoder(model)
        self.temperature = temperature
        self._seed = seed
        self.reset()

    @property
    def temperature(self) -> float:
        """How far replies stray from the likeliest; 0 gives that one, always."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        check_temperature(value)
        self._temperature = value

    def reset(self) -> None:
        """Forget what was said, and start from the seed again."""
        self.messages: Conversation = []
        self._rng = random.Random(self._seed)
        self._turns: list[list[int]] = []  # what of it the block holds, a message after the other
        self._decoder.restart()

    def say(self, message: Message) -> None:
        """Add what someone said to the conversation.

        Raises VocabularyError at a character outside the vocabulary, ChatError at too long a
        message.
        """
        tokens = message_tokens(self.model.tokenizer, message)
        longest = longest_message(self.model)
        if len(message.content) > longest:
            raise ChatError(
                f"a message is at most {longest} characters here, not {len(message.content)}"
            )
        self.messages.append(message)
        self._turns.append(tokens)

    def reply(self, check: Callable[[], None] = lambda: None) -> Iterator[str]:
        """Yield the assistant's reply by the character; it ends with the block at the latest.

        What was yielded joins the conversation, also if the caller stops before the end. `check`
        is called before each token that is computed, those of the prompt too: it may raise.
        """
        tokenizer = self.model.tokenizer
        self._decoder.check = check
        opening, *_, end_turn = message_tokens(tokenizer, Message("assistant", ""))
        turn = [opening]
        self._turns.append(turn)
        try:
            while (logits := self._logits()) is not None:
                token = draw(logits, self._temperature, self._rng)
                if not tokenizer.is_character(token):
                    break
                turn.append(token)
                yield tokenizer.decode([token])
        finally:
            self.messages.append(Message("assistant", tokenizer.decode(turn)))
            turn.append(end_turn)

    def _logits(self) -> Array | None:
        """Return the logits after all that was said; None if one exchange fills the block."""
        self._drop_oldest()
        tokenizer = self.model.tokenizer
        tokens = [tokenizer.bos, *(token for turn in self._turns for token in turn)]
        return self._decoder.read(tokens) if len(tokens) <= self._decoder.block_size else None

    def _drop_oldest(self) -> None:
        """Drop turns until the block holds the rest: from one of the user's on, at least two."""
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
