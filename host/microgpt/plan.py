"""What a run is going to do, whole: enough to do it, to write it down and to do it again."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import data, runs
from microgpt.config import ModelConfig, TrainConfig
from microgpt.folder import load, weights_file
from microgpt.model import Model, create
from microgpt.training import split


class PlanError(ValueError):
    """A run cannot be done, or not again; the message says why."""


@dataclass(frozen=True)
class Plan:
    """A run: its documents, its model or the folder of the one it goes on from, its training.

    `threads` are those of the matrix products; figures repeat to the last bit with 1.
    """

    data: Path
    model: ModelConfig
    train: TrainConfig
    engine: str = "tensor"
    dtype: str = "float32"
    start: Path | None = None
    threads: int = 1

    def prepare(self) -> tuple[Model, list[str]]:
        """Return the model before its first step and the documents, read and checked."""
        docs = data.read_docs(self.data)
        split(docs, self.train.holdout)
        if self.start is None:
            charset = data.charset_of(docs)
            return create(self.model, charset, self.train.seed, self.engine, self.dtype), docs
        model = load(self.start, self.engine, self.dtype)
        for number, doc in enumerate(docs, 1):
            unknown = set(doc) - set(model.tokenizer.charset)
            if unknown:
                raise PlanError(
                    f"{self.data}, document {number}: {min(unknown)!r} in {doc!r} is not in the "
                    f"vocabulary of {self.start}"
                )
        return model, docs

    def about(self, model: Model, docs: Sequence[str]) -> dict[str, Any]:
        """Return the plan for run.json, with the fingerprints of what it reads."""
        start = self.start
        return {
            "engine": self.engine,
            "dtype": model.dtype,
            "threads": self.threads,
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
            documents or Path(about["data"]["path"]),
            ModelConfig(**about["model"]),
            TrainConfig(**about["train"] | {"stop_after": max(1, len(records))}),
            about["engine"],
            about["dtype"],
            Path(start["folder"]) if start else None,
            about["threads"],
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
    train = json.loads((before / "run.json").read_text())["train"]
    if len(logs[0]) == min(train["steps"], train["stop_after"] or train["steps"]):
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
