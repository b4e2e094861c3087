"""A conversation with a chat model: its turns are in a KV cache, the oldest are dropped.

A reply is the characters that the model generates until a special token or BOS. When the block is
full, the oldest turns are dropped, but not what the system says before the first. Positions are
learned and absolute, so that the turns that remain have to be computed again.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from microgpt.chat.conversations import (
    Conversation,
    Message,
    Role,
    can_chat,
    message_tokens,
    takes_system,
)
from microgpt.config import check_seed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.sampling import Decoder, Drawn, Draws, Sampling, continued


def longest_message(model: Model, system: int = 0) -> int:
    """Return the length of the longest message that leaves room for a character of a reply.

    Before it are BOS and the `system` tokens of a system turn.
    """
    return model.config.block_size - 4 - system  # BOS, <|user|>, <|end_turn|>, <|assistant|>


class ChatError(UserError):
    """A model cannot chat, a message is too long, or a command at the prompt cannot be executed."""


def understood(model: Model, text: str, system: int = 0, role: Role = "user") -> str:
    """Return a message's text as the model reads it, in the characters of its vocabulary.

    For `system` see `longest_message`. Raises VocabularyError for a character that `Tokenizer.fold`
    cannot fold, ChatError if the text is too long.
    """
    longest = longest_message(model, system)
    if len(text) <= longest:
        text = model.tokenizer.fold(text)  # which can be longer
    if len(text) > longest:
        what, reason = "a message", f": the system's turn takes {system} tokens" if system else ""
        if role == "system":
            what, reason = "what the system says", ""
        characters = "character" if longest == 1 else "characters"
        raise ChatError(f"{what} is at most {longest} {characters} here, not {len(text)}{reason}")
    return text


class Chat:
    """A conversation with a model; the seed and the user's messages determine all replies.

    `sampling` is how the tokens of replies are drawn, and can be set to another at any time.
    """

    def __init__(
        self,
        model: Model,
        sampling: Sampling = Sampling(),
        seed: int = 42,
        number: int = 0,
        system: str = "",
    ) -> None:
        """Make a new conversation; those of one seed with other numbers have other replies.

        Each conversation begins with what the `system` says, if it is not "". Raises ChatError if
        the model cannot chat, ConfigError for a negative seed, and as `say` does for `system`.
        """
        if not can_chat(model.tokenizer):
            raise ChatError("this model cannot chat: train one with microgpt train --chat")
        self.model = model
        self._decoder = Decoder(model)
        self.sampling = sampling
        check_seed(seed)
        self._seed = seed
        self._number = number
        self._system = system
        self.reset()

    def reset(self) -> None:
        """Start a new conversation, with the seed's first random number."""
        self.messages: Conversation = []
        self._draws = Draws(self._seed, self._number)
        self._turns: list[list[int]] = []  # the messages in the block, as tokens
        self.prompt_tokens = 0  # that the model read before it began the last reply
        self._decoder.restart()
        if self._system:
            self.say(Message("system", self._system))

    def say(self, message: Message) -> None:
        """Add a message to the conversation, as `understood` returns its text.

        Raises ChatError if it is too long, or if it is the system's and not the first, or the model
        was not trained on any of the system; VocabularyError as `understood` does.
        """
        if message.role == "system":
            if not takes_system(self.model.tokenizer):
                raise ChatError(
                    "this model was trained on conversations without a system turn: leave it out"
                )
            if self.messages:
                raise ChatError("the system's message is the first of a conversation")
        # What the system says leaves room for a user's message of one character.
        before = 3 if message.role == "system" else self._system_tokens()
        text = understood(self.model, message.content, before, message.role)
        message = Message(message.role, text)
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
        """Drop turns until the rest fits the block; keep two, and let a user's be the first.

        What the system says stays too.
        """
        user = self.model.tokenizer.special("<|user|>")
        excess = 1 + sum(map(len, self._turns)) - self.model.config.block_size
        system = 1 if self._system_tokens() else 0
        first = system  # that stays
        while first < len(self._turns) - 2 and (
            excess > 0 or (first > system and self._turns[first][0] != user)
        ):
            excess -= len(self._turns[first])
            first += 1
        if first > system:
            del self._turns[system:first]
            self._decoder.restart()

    def _system_tokens(self) -> int:
        """Return the number of tokens of the system's turn, 0 if there is none."""
        said = self.messages and self.messages[0].role == "system"
        return len(self._turns[0]) if said else 0
