"""POST /v1/chat/completions: replies to a conversation, as in `microgpt chat`."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from typing_extensions import TypedDict

from microgpt.chat.conversations import Conversation, Message, Role, can_chat
from microgpt.chat.session import Chat
from microgpt.errors import UserError
from microgpt.service.openai.answer import Answer, Choice, Object, Whole
from microgpt.service.openai.generation import Continuation, FinishReason, Piece
from microgpt.service.openai.logprobs import ChatLogprobs, Names, in_chat
from microgpt.service.openai.models import Served
from microgpt.service.openai.requests import ChatCompletionRequest, ChatMessage
from microgpt.service.pool import check
from microgpt.service.problems import Refusal


class Reply(TypedDict):
    """The assistant's message."""

    role: str
    content: str
    refusal: None


class ReplyChoice(TypedDict):
    """One of n replies."""

    index: int
    message: Reply
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Whole):
    """The whole answer."""

    choices: list[ReplyChoice]


class ChatAnswer(Answer):
    """Replies, choice i with the random numbers of document i of the seed."""

    PREFIX = "chatcmpl"
    OBJECT = "chat.completion"
    EVENT_OBJECT = "chat.completion.chunk"

    def __init__(self, served: Served, request: ChatCompletionRequest) -> None:
        """Raise Refusal if the model cannot chat, or cannot read a message."""
        super().__init__(served, request)
        self.request = request
        tokenizer = served.model.tokenizer
        if not can_chat(tokenizer):
            raise Refusal(
                f"the model {served.name!r} cannot chat: POST /v1/completions continues documents, "
                f"microgpt train --chat makes a model that chats",
                "model",
                status=404,
            )
        self.check_size(request.n)
        self._names = Names(tokenizer)
        self._messages = self._read(request.messages)

    def _read(self, messages: Sequence[ChatMessage]) -> Conversation:
        """Return a conversation as the model reads it; an empty message of the system is none."""
        talk = Chat(self.model)
        for number, message in enumerate(messages):
            role: Role = "system" if message.role == "developer" else message.role
            param = f"messages[{number}]{'' if role == 'system' else '.content'}"
            silent = not message.content.strip()
            if role == "system" and silent:
                continue
            if role == "user" and silent:
                raise Refusal(f"{param}: an empty message", param)
            try:
                talk.say(Message(role, message.content))
            except UserError as error:
                raise Refusal(f"{param}: {error}", param) from None
        return talk.messages

    def choices(self) -> Iterator[Choice]:
        text_of = self._text_of
        for index in range(self.request.n):
            talk = Chat(self.model, self.request.sampling, self.seed, index)
            for message in self._messages:
                talk.say(message)
            with closing(talk.draw_reply(check)) as drawn:
                reply = Continuation(drawn, text_of, self.most_tokens, self.request.stop)
                yield Choice(index, reply, reply)
            self.prompt_tokens = talk.prompt_tokens

    def _text_of(self, token: int) -> str | None:
        tokenizer = self.model.tokenizer
        return tokenizer.decode([token]) if tokenizer.is_character(token) else None

    def logprobs(self, pieces: Sequence[Piece], offset: int) -> object:
        return in_chat(self._names, pieces, self.request.alternatives or 0)

    def message(self, text: str) -> Object:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def delta(self, text: str) -> Object:
        return {"delta": {"content": text} if text else {}}

    def first_delta(self) -> Object | None:
        return {"delta": {"role": "assistant", "content": "", "refusal": None}}
