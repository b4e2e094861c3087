"""A plan: all the settings that fix a run, as `microgpt train` takes them and run.json keeps them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microgpt import conversations, data
from microgpt.config import ModelConfig, TrainConfig
from microgpt.engines import create, load
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import weights_file
from microgpt.runs import info, log
from microgpt.training import Document, split

# Fields of a plan that are the same in run.json.
SETTINGS = ("engine", "dtype", "threads", "chat", "assistant_only", "strict", "checkpoint_every")


class PlanError(UserError):
    """A run cannot be done, or not again; the message says why."""


@dataclass(frozen=True)
class Plan:
    """A run: its documents, the model or the folder of the one it starts from, its training.

    `threads` are those of the matrix products; figures repeat to the last bit with 1.
    `chat`: the documents are conversations; `assistant_only`, `strict` see `conversations`.
    """

    data: Path
    model: ModelConfig
    train: TrainConfig
    engine: str = "tensor"
    dtype: str = "float32"
    start: Path | None = None
    threads: int = 1
    chat: bool = False
    assistant_only: bool = False
    strict: bool = False
    checkpoint_every: int | None = None  # steps; engine torch

    def __post_init__(self) -> None:
        """Raise PlanError at settings that contradict each other."""
        if (self.assistant_only or self.strict) and not self.chat:
            raise PlanError("assistant-only and strict are for conversations: add --chat")
        if self.checkpoint_every is not None and (
            self.engine != "torch" or self.checkpoint_every < 1
        ):
            raise PlanError("checkpoint-every is a number of steps from 1 on, for engine torch")

    def prepare(
        self,
        report: Callable[[str], None] = lambda text: None,
        model: Model | None = None,
    ) -> tuple[Model, Sequence[str | Document]]:
        """Return the model before its first step and the documents, read and checked.

        `report` is told what of the data is left out. `model`, from a checkpoint of this run,
        takes the place of a new one.
        """
        docs: Sequence[str | Document]
        if not self.chat:
            docs = texts = data.read_docs(self.data)
            model = model or self._first_model(texts)
        else:
            talks = self._conversations(report)
            texts = ["".join(message.content for message in talk) for talk in talks]
            model = model or self._first_model(texts, conversations.SPECIAL_TOKENS)
            docs = self._chat_documents(model, talks, report)
        split(docs, self.train.validation)
        return model, docs

    def _first_model(self, texts: list[str], special_tokens: Sequence[str] = ()) -> Model:
        """Return a new model with a vocabulary for `texts`, or the one that the run starts from.

        Raises PlanError if that one lacks a character or, for conversations, the special tokens.
        """
        if self.start is None:
            charset = data.charset_of(texts)
            seed = self.train.seed
            return create(self.model, charset, seed, self.engine, self.dtype, special_tokens)
        model = load(self.start, self.engine, self.dtype)
        if special_tokens and not conversations.can_chat(model.tokenizer):
            raise PlanError(f"{self.start} was not trained with --chat")
        for number, text in enumerate(texts, 1):
            unknown = set(text) - set(model.tokenizer.charset)
            if unknown:
                raise PlanError(
                    f"{self.data}, document {number}: {min(unknown)!r} in {text!r} is not in the "
                    f"vocabulary of {self.start}"
                )
        return model

    def _conversations(self, report: Callable[[str], None]) -> list[conversations.Conversation]:
        talks, malformed = conversations.read_conversations(self.data)
        for line in malformed:
            report(f"{self.data}, {line}")
        if malformed and self.strict:
            raise PlanError(f"{self.data}: {len(malformed)} malformed lines, and --strict")
        return talks

    def _chat_documents(
        self,
        model: Model,
        talks: list[conversations.Conversation],
        report: Callable[[str], None],
    ) -> list[Document]:
        size = model.config.block_size
        docs, cut, too_long = conversations.documents(
            model.tokenizer, talks, size, self.assistant_only
        )
        if cut:
            report(f"cut at a turn to fit a block of {size}: {cut} of {len(talks)} conversations")
        if too_long:
            report(f"left out, not even two turns fit: {too_long} of {len(talks)} conversations")
        return docs

    def content(
        self, model: Model, docs: Sequence[str | Document], processes: int = 1
    ) -> dict[str, object]:
        """Return the plan as run.json has it, with the fingerprints of the files it reads."""
        start = self.start
        return {
            **{name: getattr(self, name) for name in SETTINGS},
            "dtype": model.dtype,
            "processes": processes,
            "seed": self.train.seed,
            "parameters": model.parameter_count,
            "model": dataclasses.asdict(model.config),
            "train": dataclasses.asdict(self.train),
            "data": {**fingerprint(self.data), "documents": len(docs)},
            "from": {**fingerprint(weights_file(start)), "folder": str(start)} if start else None,
        }


def fingerprint(path: Path) -> dict[str, str]:
    """Return where a file lies and the SHA-256 of its content."""
    return {"path": str(path), "sha256": data.sha256_of(path)}


def read_plan(folder: Path, documents: Path | None = None) -> Plan:
    """Return the plan of the run recorded in `folder`, for as many steps as it has taken.

    `documents` is where its documents are now, if they have moved. Raises PlanError unless this
    is a host's run and its documents and starting model are what they were; RunError if the
    folder cannot be read.
    """
    about = info.read(folder)
    content = about.content
    if about.engine is None:
        raise PlanError(f"{folder / info.FILE} is not a run of microgpt train")
    steps = len(log.read_steps(folder))
    try:
        start = content["from"]
        plan = Plan(
            data=documents or Path(content["data"]["path"]),
            model=ModelConfig(**content["model"]),
            train=TrainConfig(**content["train"] | {"stop_after": max(1, steps)}),
            start=Path(start["folder"]) if start else None,
            **{name: content[name] for name in SETTINGS},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"{folder / info.FILE} is not a run of microgpt train: {error!r}"
        ) from None
    read = [(plan.data, content["data"])]
    if plan.start:
        read.append((weights_file(plan.start), start))
    for file, then in read:
        if _sha256(file) != then["sha256"]:
            raise PlanError(f"{file} is not what it was in {folder}: its SHA-256 differs")
    return plan


def _sha256(path: Path) -> str:
    try:
        return data.sha256_of(path)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None
