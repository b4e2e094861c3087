"""Read conversations from JSON Lines, and encode them as documents for a chat model.

A line is an array of messages, {"role": "user" or "assistant", "content": "..."}. The roles
alternate, and the user's message is the first. A conversation as tokens is BOS, then for each
message the special token of its role, the characters of its content and END_TURN, then BOS.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from microgpt.data import DataError
from microgpt.system.files import packaged
from microgpt.tokenizer import Tokenizer
from microgpt.training import Document

CONVERSATIONS = packaged("microgpt.datasets", "conversations.jsonl")

# {option of train: its default for a chat model}; such a model learns the shipped ones by heart.
DEFAULTS = {"n_embd": 32, "block_size": 128, "steps": 2500}

Role = Literal["user", "assistant"]
ROLES: tuple[Role, Role] = ("user", "assistant")
END_TURN = "<|end_turn|>"
SPECIAL_TOKENS = ("<|user|>", "<|assistant|>", END_TURN)


@dataclass(frozen=True)
class Message:
    """What the user or the assistant says in one turn."""

    role: Role
    content: str


Conversation = list[Message]


class TooLongError(DataError):
    """A conversation's first two messages are longer than the block."""


@dataclass(frozen=True)
class ChatDocuments:
    """Conversations as documents: how many were cut to fit the block, how many are left out."""

    documents: list[Document]
    cut: int
    too_long: int


@dataclass(frozen=True)
class Malformed:
    """A line that is not a conversation: its number, from 1, and the reason."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def can_chat(tokenizer: Tokenizer) -> bool:
    """Return whether a vocabulary has the special tokens of a chat model."""
    return set(SPECIAL_TOKENS) <= set(tokenizer.special_tokens)


def read_conversations(path: Path) -> tuple[list[Conversation], list[Malformed]]:
    """Return the conversations in a file and its malformed lines; empty lines are skipped.

    Raises DataError if the file cannot be read or has no conversation.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    conversations, malformed = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            conversations.append(_conversation(line))
        except DataError as error:
            malformed.append(Malformed(number, str(error)))
    if not conversations:
        first = f": {malformed[0]}" if malformed else ""
        raise DataError(f"{path} holds no conversations{first}")
    return conversations, malformed


def _conversation(line: bytes) -> Conversation:
    """Return the conversation that a line is; raise DataError with the reason if it is none."""
    try:
        items = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        raise DataError("not JSON that can be read") from None
    if not isinstance(items, list):
        raise DataError("not an array of messages")
    messages = [_message(item, number) for number, item in enumerate(items, 1)]
    for number, message in enumerate(messages, 1):
        expected = ROLES[(number - 1) % 2]
        if message.role != expected:
            raise DataError(f"message {number} is the {message.role}'s, not the {expected}'s")
    if len(messages) < 2:
        raise DataError("no message of the assistant")
    return messages


def _message(item: object, number: int) -> Message:
    if not isinstance(item, dict) or set(item) != {"role", "content"}:
        raise DataError(f"message {number} is not an object of role and content")
    if item["role"] not in ROLES:
        raise DataError(f"message {number} has the role {item['role']!r}, not user or assistant")
    content = item["content"]
    if not isinstance(content, str) or not content:
        raise DataError(f"message {number} has no text as its content")
    if not content.isascii():
        try:
            content.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"message {number} holds half a character") from None
    return Message(item["role"], content)


def message_tokens(tokenizer: Tokenizer, message: Message) -> list[int]:
    """Return a message as tokens; raise VocabularyError for an unknown character."""
    role = tokenizer.special(f"<|{message.role}|>")
    return [role, *tokenizer.characters(message.content), tokenizer.special(END_TURN)]


def conversation_document(
    tokenizer: Tokenizer,
    conversation: Conversation,
    block_size: int,
    assistant_only: bool = False,
) -> tuple[Document, int]:
    """Return a conversation as a document, and the number of its messages that are in it.

    A conversation that is longer than the block is cut after the last message of the assistant
    that fits, and does not end with BOS. With `assistant_only`, only the tokens of the assistant's
    messages and the END_TURN after each count in the loss. Raises TooLongError if the first two
    messages do not fit, VocabularyError for an unknown character.
    """
    tokens = [tokenizer.bos]
    learned = [False]  # for each token
    used = 0
    for first in range(0, len(conversation) - 1, 2):
        exchange = [message_tokens(tokenizer, m) for m in conversation[first : first + 2]]
        question, answer = exchange
        if len(tokens) + len(question) + len(answer) > block_size + 1:
            break
        tokens += question + answer
        learned += [False] * (len(question) + 1) + [True] * (len(answer) - 1)
        used += 2
    if not used:
        needed = len(question) + len(answer)
        raise TooLongError(f"the first two turns are {needed} tokens, the block holds {block_size}")
    if used >= len(conversation) - 1 and len(tokens) <= block_size:
        tokens.append(tokenizer.bos)
        learned.append(False)
    return Document(tokens, learned[1:] if assistant_only else None), used


def chat_documents(
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    block_size: int,
    assistant_only: bool = False,
) -> ChatDocuments:
    """Return conversations as documents, without those that do not fit the block.

    See `conversation_document`. Raises DataError if none fits.
    """
    kept: list[Document] = []
    cut = too_long = 0
    reason = ""
    for conversation in conversations:
        try:
            doc, used = conversation_document(tokenizer, conversation, block_size, assistant_only)
        except TooLongError as error:
            too_long += 1
            reason = str(error)
            continue
        kept.append(doc)
        cut += used < len(conversation) - len(conversation) % 2
    if not kept:
        raise DataError(f"no conversation fits the block: {reason}; use a larger --block-size")
    return ChatDocuments(kept, cut, too_long)
