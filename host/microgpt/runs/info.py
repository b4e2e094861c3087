"""run.json: what a run is, in one schema for a host's run and a board's. See docs/formats.md."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microgpt.runs.log import RunError, json_object, text, whole

FILE = "run.json"
SCHEMA = 2


@dataclass(frozen=True)
class RunInfo:
    """What run.json says. A field is None if it is missing or of another type.

    `engine` names the engine of a host's run, `board` the board of a board's. `content` is the
    whole file, in the form of SCHEMA.
    """

    content: dict[str, Any]
    started: str | None
    engine: str | None
    board: str | None
    seed: int | None
    parameters: int | None
    steps: int | None
    documents: int | None


def read(folder: Path) -> RunInfo:
    """Return what a run's folder says of the run; raise RunError if run.json cannot be read."""
    path = folder / FILE
    try:
        content = json_object(path.read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    if not content:
        raise RunError(f"{path} is not a JSON object")
    schema = content.get("schema", 1)
    if schema not in (1, SCHEMA):
        raise RunError(f"{path} has schema {schema!r}, this program reads 1 and {SCHEMA}")
    if schema == 1:
        content = _from_schema_1(content)
    return RunInfo(
        content,
        started=text(content.get("started")),
        engine=text(content.get("engine")),
        board=text(content.get("board")),
        seed=whole(content.get("seed")),
        parameters=whole(content.get("parameters")),
        steps=whole(_part(content, "train").get("steps")),
        documents=whole(_part(content, "data").get("documents")),
    )


def _from_schema_1(content: dict[str, Any]) -> dict[str, Any]:
    """Return a run.json of 0.1.0 in the form of SCHEMA: a board's had another one than a host's."""
    new = dict(content) | {"schema": SCHEMA}
    configuration = new.pop("configuration", None)
    if isinstance(configuration, dict):
        new["parameters"] = configuration.get("parameters")
        new["train"] = {"steps": configuration.get("steps")}
        new["data"] = {"documents": configuration.get("data")}
    train = new.get("train")
    if isinstance(train, dict):
        renamed = {"holdout": "validation", "accumulate": "gradient_accumulation"}
        new["train"] = {renamed.get(name, name): value for name, value in train.items()}
    return new


def _part(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


NOTHING = RunInfo({}, None, None, None, None, None, None, None)  # of a run without a run.json
