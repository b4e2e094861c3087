"""Prepare a run: read the documents of its plan, and make the model before the first step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microgpt import data
from microgpt.chat.conversations import (
    SYSTEM,
    Conversation,
    JoinedDocuments,
    can_chat,
    chat_documents,
    special_tokens,
    takes_system,
)
from microgpt.chat.forms import Malformed, read_conversations
from microgpt.engines import create, load
from microgpt.engines.base import Model
from microgpt.runs.plan import Plan, PlanError
from microgpt.training import Document, check_step, split

MOST_REPORTED = 5  # malformed lines of a file

Report = Callable[[str], None]  # takes a line about the data
Documents = Sequence[str | Document]


@dataclass(frozen=True)
class Prepared:
    """What a run trains: the model before the first step, and the documents.

    `held` are those for the validation loss; None if `training.train` takes a share of `docs`.
    `documents` is how many the file has that are used: conversations are joined to more.
    `conversations` are those of the training and of the validation set, of a run with --chat.
    """

    model: Model
    docs: Documents
    held: Documents | None
    documents: int
    conversations: tuple[list[Conversation], list[Conversation]] | None = None


def prepare(
    plan: Plan,
    report: Report = lambda text: None,
    model: Model | None = None,
    processes: int = 1,
) -> Prepared:
    """Return the model before the first step and the documents, as `plan` says.

    `report` is called with a line about each part of the data that is cut, left out or may be meant
    otherwise. `model` is the model of a checkpoint, if the run continues from one. Raises UserError
    if documents or model cannot be used.
    """
    if plan.chat:
        prepared = _prepare_chat(plan, report, model, processes)
    else:
        prepared = _prepare_texts(plan, report, model)
    check_step(prepared.model, prepared.docs, plan.train)
    return prepared


def _prepare_texts(plan: Plan, report: Report, model: Model | None) -> Prepared:
    docs = data.read_docs(plan.data)
    model = model or _first_model(plan, docs)
    _remark(plan.data, docs, model, report)
    held = None
    if plan.validation_data:
        held = data.read_docs(plan.validation_data)
        _check_characters(plan.validation_data, held, model, str(plan.data))
        _remark(plan.validation_data, held, model, report)
    split(docs, plan.train.validation)  # raises an error
    return Prepared(model, docs, held, len(docs))


def _remark(path: Path, docs: list[str], model: Model, report: Report) -> None:
    for line in data.remarks(path, docs, model.config.block_size):
        report(line)


def _prepare_chat(plan: Plan, report: Report, model: Model | None, processes: int) -> Prepared:
    talks = _conversations(plan, plan.data, report)
    model = model or _first_model(plan, _texts(talks), special_tokens(talks))
    held_talks: list[Conversation] = []
    if plan.validation_data:
        held_talks = _conversations(plan, plan.validation_data, report)
        _check_characters(plan.validation_data, _texts(held_talks), model, str(plan.data))
    for path, some in ((plan.data, talks), (plan.validation_data, held_talks)):
        if SYSTEM in special_tokens(some) and not takes_system(model.tokenizer):
            raise PlanError(f"{path} has system turns, and the model was not trained with any")
    docs, talks = _chat_documents(plan, plan.data, model, talks, report)
    held: list[Document] = []
    if plan.validation_data:
        path = plan.validation_data
        held, held_talks = _chat_documents(plan, path, model, held_talks, report)
    documents = len(docs)
    if plan.train.validation:
        training, chosen = split(docs, plan.train.validation)
        held, held_talks = [docs[i] for i in chosen], [talks[i] for i in chosen]
        docs, talks = [docs[i] for i in training], [talks[i] for i in training]
    train = plan.train
    count = train.steps * train.batch * train.gradient_accumulation * processes
    joined = JoinedDocuments(docs, model.tokenizer, model.config.block_size, train.seed, count)
    return Prepared(model, joined, held or None, documents, (talks, held_talks))


def _conversations(plan: Plan, path: Path, report: Report) -> list[Conversation]:
    """Return the conversations of a file, and report what in it is none."""
    talks, malformed = read_conversations(path)
    for problem in malformed[:MOST_REPORTED]:
        report(f"{path}, {problem}")
    more = malformed[MOST_REPORTED:]
    if more:
        report(f"{path}: {_counted(more)} more")
    if malformed and plan.strict:
        raise PlanError(f"{path}: {_counted(malformed)}, and --strict")
    return talks


def _counted(malformed: list[Malformed]) -> str:
    """Return in words how many there are: 1 malformed line, 2 malformed conversations."""
    count = len(malformed)
    return f"{count:,} malformed {malformed[0].what}" + ("s" if count > 1 else "")


def _texts(talks: list[Conversation]) -> list[str]:
    """Return all that is said in each conversation."""
    return ["".join(message.content for message in talk) for talk in talks]


def _chat_documents(
    plan: Plan, path: Path, model: Model, talks: list[Conversation], report: Report
) -> tuple[list[Document], list[Conversation]]:
    """Return the conversations of `path` that fit the block as documents, and themselves.

    Report the rest.
    """
    size = model.config.block_size
    try:
        chats = chat_documents(model.tokenizer, talks, size, plan.assistant_only)
    except data.DataError as error:
        raise data.DataError(f"{path}: {error}") from None
    what = {
        f"cut at a turn to fit a block of {size}": chats.cut,
        "left out, not even two turns fit": chats.too_long,
    }
    for line, count in what.items():
        if count:
            report(f"{line}: {count:,} of {len(talks):,} conversations")
    return chats.documents, chats.conversations


def _first_model(plan: Plan, texts: list[str], special: Sequence[str] = ()) -> Model:
    """Return a new model with the vocabulary of `texts`, or the model at `plan.start`.

    Raises PlanError if the model at `plan.start` lacks a character or special tokens.
    """
    if plan.start is None:
        charset = data.charset_of(texts)
        return create(plan.model, charset, plan.train.seed, plan.engine, plan.dtype, special)
    model = load(plan.start, plan.engine, plan.dtype)
    if special and not can_chat(model.tokenizer):
        raise PlanError(f"{plan.start} was not trained with --chat")
    _check_characters(plan.data, texts, model, str(plan.start))
    return model


def _check_characters(path: Path, texts: list[str], model: Model, source: str) -> None:
    """Raise PlanError for a character of `texts` that is not in the vocabulary, of `source`."""
    for number, text in enumerate(texts, 1):
        unknown = set(text) - set(model.tokenizer.charset)
        if unknown:
            raise PlanError(
                f"{path}, document {number}: {min(unknown)!r} in "
                f"{_around(text, text.index(min(unknown)))!r} is not in the vocabulary of {source}"
            )


def _around(text: str, at: int) -> str:
    """Return a text, of a long one only the characters around position `at`."""
    first, end = max(0, at - 30), at + 30
    return ("..." if first else "") + text[first:end] + ("..." if end < len(text) else "")
