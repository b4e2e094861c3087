"""Conversations, and the documents that a chat model learns from them.

A conversation is messages in turns, the user's first; one of the system can be before them. As
tokens it is BOS, then for each message the special token of its role, the characters of its content
and END_TURN, then BOS. `forms` reads conversations from files.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from microgpt.data import DataError
from microgpt.system.files import packaged
from microgpt.tokenizer import Tokenizer
from microgpt.training import Document

CONVERSATIONS = packaged("microgpt.datasets", "conversations.jsonl")
OTHER_WORDINGS = packaged("microgpt.datasets", "conversations-validation.jsonl")

# {option of train: its default for a chat model}; such a model learns the shipped ones by heart.
DEFAULTS: dict[str, int | float | str | bool] = {
    "assistant_only": True,
    "n_embd": 64,
    "n_layer": 2,
    "block_size": 128,
    "steps": 12000,
    "batch": 8,
    "lr": 0.005,
    "decay": "cosine",
}

Role = Literal["user", "assistant", "system"]
END_TURN = "<|end_turn|>"
SPECIAL_TOKENS = ("<|user|>", "<|assistant|>", END_TURN)
SYSTEM = "<|system|>"


@dataclass(frozen=True)
class Message:
    """What the user or the assistant says in one turn, or the system before the first one."""

    role: Role
    content: str


Conversation = list[Message]


class TooLongError(DataError):
    """A conversation's first two messages are longer than the block."""


@dataclass(frozen=True)
class ChatDocuments:
    """Conversations as documents: how many were cut to fit the block, how many are left out.

    `conversations` are those that are not left out.
    """

    documents: list[Document]
    conversations: list[Conversation]
    cut: int
    too_long: int


def can_chat(tokenizer: Tokenizer) -> bool:
    """Return whether a vocabulary has the special tokens of a chat model."""
    return set(SPECIAL_TOKENS) <= set(tokenizer.special_tokens)


def takes_system(tokenizer: Tokenizer) -> bool:
    """Return whether a chat model was trained on conversations with a system turn."""
    return SYSTEM in tokenizer.special_tokens


def special_tokens(conversations: Iterable[Conversation]) -> tuple[str, ...]:
    """Return the special tokens that these need; SYSTEM is the last, as the others are always."""
    with_system = any(talk[0].role == "system" for talk in conversations)
    return (*SPECIAL_TOKENS, SYSTEM) if with_system else SPECIAL_TOKENS


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
    messages, and the system's, do not fit, VocabularyError for an unknown character.
    """
    start = first_turn(conversation)
    opening = [message_tokens(tokenizer, message) for message in conversation[:start]]
    tokens = [tokenizer.bos, *(token for turn in opening for token in turn)]
    learned = [False] * len(tokens)
    used = start
    for first in range(start, len(conversation) - 1, 2):
        exchange = [message_tokens(tokenizer, m) for m in conversation[first : first + 2]]
        question, answer = exchange
        if len(tokens) + len(question) + len(answer) > block_size + 1:
            break
        tokens += question + answer
        learned += [False] * (len(question) + 1) + [True] * (len(answer) - 1)
        used += 2
    if used == start:
        needed = len(tokens) - 1 + len(question) + len(answer)
        raise TooLongError(f"the first two turns are {needed} tokens, the block holds {block_size}")
    if used >= len(conversation) - 1 and len(tokens) <= block_size:
        tokens.append(tokenizer.bos)
        learned.append(False)
    return Document(tokens, learned[1:] if assistant_only else None), used


def first_turn(conversation: Conversation) -> int:
    """Return the number of the user's first message: 1 after one of the system, else 0."""
    return 1 if conversation[0].role == "system" else 0


def chat_documents(
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    block_size: int,
    assistant_only: bool = False,
) -> ChatDocuments:
    """Return conversations as documents, without those that do not fit the block.

    See `conversation_document`. Raises DataError if none fits.
    """
    documents: list[Document] = []
    kept: list[Conversation] = []
    cut = too_long = 0
    reason = ""
    for conversation in conversations:
        try:
            doc, used = conversation_document(tokenizer, conversation, block_size, assistant_only)
        except TooLongError as error:
            too_long += 1
            reason = str(error)
            continue
        documents.append(doc)
        kept.append(conversation)
        start = first_turn(conversation)
        cut += used < len(conversation) - (len(conversation) - start) % 2
    if not kept:
        raise DataError(f"no conversation fits the block: {reason}; use a larger --block-size")
    return ChatDocuments(documents, kept, cut, too_long)


class JoinedDocuments(Sequence[Document]):
    """Documents that each begin with a conversation and go on with others until the block is full.

    So a model learns to answer at any position of the block, and to answer the last question
    whatever was said before: of conversations one by one, it learns replies to the first question.
    Document i begins with conversation i modulo their number; those that follow are drawn at
    random, and depend on the seed, on how many documents there are, and on i. The last is cut where
    the block ends. One with a system turn stays alone, since what the system says concerns only it.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: Tokenizer,
        block_size: int,
        seed: int,
        count: int,
    ) -> None:
        """Join `documents`, which `chat_documents` returns, to at least `count` documents."""
        self._bos = tokenizer.bos
        self._block_size = block_size
        self._seed = seed
        self._count = -(-count // len(documents)) * len(documents)
        self._documents = documents
        self._turns = [_turns(document, tokenizer.bos) for document in documents]
        system = tokenizer.special(SYSTEM) if takes_system(tokenizer) else None
        self._joined = [i for i, (tokens, _) in enumerate(self._turns) if tokens[0] != system]
        self._alone = set(range(len(documents))) - set(self._joined)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        first = index % len(self._documents)
        document = self._documents[first]
        if first in self._alone:
            return document
        rng = random.Random(self._seed * self._count + index)
        tokens, mask = [self._bos], []
        following = first
        while len(tokens) <= self._block_size:
            turns, learned = self._turns[following]
            tokens += turns
            mask += learned
            following = rng.choice(self._joined)
        del tokens[self._block_size + 1 :], mask[self._block_size :]
        return Document(tokens, mask if document.mask is not None else None)


def _turns(document: Document, bos: int) -> tuple[list[int], list[bool]]:
    """Return a document's tokens without BOS, and of each whether it counts in the loss."""
    tokens = document.tokens[1:-1] if document.tokens[-1] == bos else document.tokens[1:]
    return tokens, (document.mask or [True] * len(tokens))[: len(tokens)]
