"""run.json: what a run is, in one schema for a host's run and a board's. See docs/formats.md."""

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from microgpt.config import FORMER_NAMES, ModelConfig, TrainConfig
from microgpt.runs.log import JsonObject, RunError, json_object, text, whole

FILE = "run.json"
SCHEMA = 2


class Fingerprint(TypedDict):
    """A file that a run reads: its path, and the SHA-256 of its content."""

    path: str
    sha256: str


class HostData(Fingerprint):
    """The file of a host run's documents, and the number of documents that are used."""

    documents: int


class Start(Fingerprint):
    """The model that a run starts from: the file of its weights, and its folder."""

    folder: str


class ResumedFrom(TypedDict):
    """The run that this one continues, and the first step that is this run's own."""

    run: str
    step: int


# What a host's run writes into run.json; RunFolder adds schema, started and environment.
HostRun = TypedDict(  # not a class, because "from" cannot be the name of an attribute
    "HostRun",
    {
        "engine": str,
        "dtype": str,
        "threads": int,
        "chat": bool,
        "assistant_only": bool,
        "strict": bool,
        "checkpoint_every": int | None,
        "processes": int,
        "seed": int,
        "parameters": int,
        "model": ModelConfig,
        "train": TrainConfig,
        "data": HostData,
        "validation_data": Fingerprint | None,
        "from": Start | None,
        "resumed": NotRequired[ResumedFrom],
    },
)


class BoardTrain(TypedDict):
    """The settings of a board's training that its log tells."""

    steps: int | None


class BoardData(TypedDict):
    """The documents of a board's run, and the number of tokens: BOS and their characters."""

    documents: int | None
    vocab_size: int | None


class BoardRun(TypedDict):
    """What a board's run writes into run.json; None is what its log has not told."""

    board: str | None
    kernels: str | None
    firmware: str | None
    port: str
    seed: int | None
    parameters: int | None
    model: ModelConfig | None
    train: BoardTrain
    data: BoardData


@dataclass(frozen=True)
class RunInfo:
    """What run.json says; a field is None if it is missing or of another type.

    `engine` is the engine of a host's run, `board` the board of a board's. `content` is the whole
    file in the form of SCHEMA.
    """

    content: JsonObject
    started: str | None
    engine: str | None
    board: str | None
    seed: int | None
    parameters: int | None
    steps: int | None
    documents: int | None


NOTHING = RunInfo({}, None, None, None, None, None, None, None)  # of a run without a run.json


def read(folder: Path) -> RunInfo:
    """Return what run.json in a run's folder says.

    Raises RunError if it cannot be read, is not a JSON object or has an unknown schema.
    """
    path = folder / FILE
    try:
        content = json_object(path.read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    if not content:
        raise RunError(f"{path} is not a JSON object")
    schema = whole(content.get("schema", 1))
    if schema not in (1, SCHEMA):
        raise RunError(f"{path} has schema {content['schema']!r}, not 1 or {SCHEMA}")
    if schema == 1:
        content = _from_schema_1(content)
    return RunInfo(
        content,
        started=text(content.get("started")),
        engine=text(content.get("engine")),
        board=text(content.get("board")),
        seed=whole(content.get("seed")),
        parameters=whole(content.get("parameters")),
        steps=whole(part(content, "train").get("steps")),
        documents=whole(part(content, "data").get("documents")),
    )


def _from_schema_1(content: JsonObject) -> JsonObject:
    """Return a run.json of version 0.1.0 in the form of SCHEMA.

    There, a board's run had a "configuration", and two settings had other names.
    """
    new = dict(content) | {"schema": SCHEMA}
    configuration = new.pop("configuration", None)
    if isinstance(configuration, dict):
        new["parameters"] = configuration.get("parameters")
        new["train"] = {"steps": configuration.get("steps")}
        new["data"] = {"documents": configuration.get("data")}
    train = new.get("train")
    if isinstance(train, dict):
        renamed = {former: name for name, former in FORMER_NAMES.items()}
        new["train"] = {renamed.get(name, name): value for name, value in train.items()}
    return new


def part(content: JsonObject, name: str) -> JsonObject:
    """Return the object at `name`; {} if there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}
