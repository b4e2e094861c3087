"""What a run is going to do, whole: enough to do it, to write it down and to do it again."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import conversations, data, runs
from microgpt.config import ModelConfig, TrainConfig
from microgpt.folder import load, weights_file
from microgpt.model import Model, create
from microgpt.training import Document, split

# Fields of a plan that are the same in run.json.
SETTINGS = ("engine", "dtype", "threads", "chat", "assistant_only", "strict", "checkpoint_every")


class PlanError(ValueError):
    """A run cannot be done, or not again; the message says why."""


@dataclass(frozen=True)
class Plan:
    """A run: its documents, its model or the folder of the one it goes on from, its training.

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
        """Raise PlanError at settings that do not go together."""
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
    ) -> tuple[Model, list[str] | list[Document]]:
        """Return the model before its first step and the documents, read and checked.

        `report` is told what of the data is left out. A `model` from a checkpoint of this run goes
        on with it, in place of a new one.
        """
        if not self.chat:
            texts = docs = data.read_docs(self.data)
            model = model or self._first_model(texts)
        else:
            talks = self._conversations(report)
            texts = ["".join(message.content for message in talk) for talk in talks]
            model = model or self._first_model(texts, conversations.SPECIAL_TOKENS)
            docs = self._chat_documents(model, talks, report)
        split(docs, self.train.holdout)
        return model, docs

    def _first_model(self, texts: list[str], special_tokens: Sequence[str] = ()) -> Model:
        """Return a new model with a vocabulary for `texts`, or the one that the run goes on from.

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

    def about(self, model: Model, docs: Sequence[str | Document]) -> dict[str, Any]:
        """Return the plan for run.json, with the fingerprints of what it reads."""
        start = self.start
        return {
            **{name: getattr(self, name) for name in SETTINGS},
            "dtype": model.dtype,
            "processes": model.world,
            "seed": self.train.seed,
            "model": dataclasses.asdict(model.config),
            "train": dataclasses.asdict(self.train),
            "parameters": model.parameter_count,
            "data": fingerprint(self.data) | {"documents": len(docs)},
            "from": fingerprint(weights_file(start)) | {"folder": str(start)} if start else None,
        }


def fingerprint(path: Path) -> dict[str, str]:
    """Return where a file lies and the SHA-256 of what is in it."""
    return {"path": str(path), "sha256": data.sha256_of(path)}


def read_plan(folder: Path, documents: Path | None = None) -> Plan:
    """Return the plan of a run that was recorded in `folder`, of as many steps as it has taken.

    `documents` is where its documents are now, if they have moved. Raises PlanError unless this
    is a host's run and its documents and starting model are what they were.
    """
    path = folder / "run.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        start = about["from"]
        records = runs.read_log(folder)
        plan = Plan(
            data=documents or Path(about["data"]["path"]),
            model=ModelConfig(**about["model"]),
            train=TrainConfig(**about["train"] | {"stop_after": max(1, len(records))}),
            start=Path(start["folder"]) if start else None,
            **{name: about[name] for name in SETTINGS},
        )
    except OSError as error:
        raise PlanError(f"cannot read {error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path} is not a run of microgpt train: {error!r}") from None
    read = [(plan.data, about["data"])]
    if plan.start:
        read.append((weights_file(plan.start), start))
    for file, then in read:
        if fingerprint(file)["sha256"] != then["sha256"]:
            raise PlanError(f"{file} is not what it was in {folder}: its SHA-256 differs")
    return plan


def differences(before: Path, now: Path) -> list[str]:
    """Return what differs between a run and its repetition, a line each; [] if nothing does.

    Losses are compared, and the weights unless the run was interrupted, in the middle of a step.
    """
    lines = []
    logs = [runs.read_log(folder) for folder in (before, now)]
    if len(logs[0]) != len(logs[1]):
        lines.append(f"{len(logs[0])} steps before, {len(logs[1])} now")
    for then, again in zip(*logs, strict=False):
        changed = [
            key for key in ("loss", "holdout") if key in then and then[key] != again.get(key)
        ]
        if changed:
            key = changed[0]
            lines.append(f"{key} at step {then['step']}: {then[key]} before, {again.get(key)} now")
            break
    train = TrainConfig(**json.loads((before / "run.json").read_text())["train"])
    if len(logs[0]) == train.end:
        old, new = (load(folder, dtype="float64").weights for folder in (before, now))
        different = [name for name, matrix in old.items() if not np.array_equal(matrix, new[name])]
        if different:
            lines.append(f"weights of {', '.join(different)}")
    if lines:
        environments = [
            json.loads((folder / "run.json").read_text())["environment"] for folder in (before, now)
        ]
        for key in environments[1].keys() - {"command"}:
            pair = [environment.get(key) for environment in environments]
            if pair[0] != pair[1]:
                lines.append(f"{key}: {pair[0]} before, {pair[1]} now")
    return lines
