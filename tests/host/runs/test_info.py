"""run.json: one schema for a host's run and a board's, and version 1 read as version 2."""

import dataclasses
import json
from pathlib import Path

import microgpt
import pytest
from microgpt.config import ModelConfig, TrainConfig
from microgpt.runs import info, log
from microgpt.runs.folder import RunFolder
from microgpt.runs.log import RunError
from microgpt.runs.plan import Plan, PlanError, read_plan

from tests.support.board_run import BoardRun

# run.json as version 0.1.0 wrote it.
OLD_HOST = {
    "started": "2026-05-01T12:00:00+02:00",
    "engine": "tensor",
    "dtype": "float32",
    "threads": 1,
    "chat": False,
    "assistant_only": False,
    "strict": False,
    "checkpoint_every": None,
    "processes": 1,
    "seed": 7,
    "parameters": 4192,
    "model": dataclasses.asdict(ModelConfig()),
    "train": {
        "steps": 500,
        "lr": 0.01,
        "seed": 7,
        "order": "shuffled",
        "batch": 2,
        "holdout": 0.1,
        "stop_after": None,
        "accumulate": 3,
        "decay": "linear",
    },
    "data": {"path": "names.txt", "sha256": "0" * 64, "documents": 32469},
    "from": None,
    "environment": {"python": "3.11"},
}
OLD_BOARD = {
    "started": "2026-05-01T12:00:00+02:00",
    "board": "esp32",
    "kernels": "native",
    "firmware": "0.1.0",
    "port": "/dev/ttyUSB0",
    "seed": 9,
    "configuration": {"steps": 1000, "parameters": 4192, "data": 32469},
    "environment": {"python": "3.11"},
}


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / info.FILE).write_text(json.dumps(content))
    return folder


def test_a_host_s_run(tmp_path: Path) -> None:
    model = microgpt.create(ModelConfig(n_layer=2))
    (tmp_path / "docs.txt").write_text("emma\n")
    plan = Plan(tmp_path / "docs.txt", model.config, TrainConfig(steps=5, seed=3))
    with RunFolder(tmp_path / "run", plan.content(model, documents=1)):
        pass
    content = json.loads((tmp_path / "run" / info.FILE).read_text())
    assert content["schema"] == info.SCHEMA == 2
    assert content["model"] == dataclasses.asdict(model.config)
    assert content["train"] == dataclasses.asdict(plan.train)
    assert content["environment"]["python"]
    about = info.read(tmp_path / "run")
    assert about.content == content
    assert dataclasses.replace(about, content={}) == info.RunInfo(
        content={},
        started=content["started"],
        engine=model.engine,
        board=None,
        seed=3,
        parameters=model.parameter_count,
        steps=5,
        documents=1,
    )
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 0, "loss": 3}\n' * 5)
    # What is recorded is the plan again, for as many steps as the log has.
    again = read_plan(tmp_path / "run")
    train = dataclasses.replace(plan.train, stop_after=5)
    assert again == dataclasses.replace(plan, train=train, engine=model.engine)


def test_a_board_s_run(tmp_path: Path) -> None:
    board = BoardRun(tmp_path, seed=7)
    about = info.read(board.folder)
    assert about.content["schema"] == info.SCHEMA
    assert (about.engine, about.board) == (None, "esp32")
    assert (about.seed, about.parameters, about.steps, about.documents) == (7, 4192, 1000, 9)
    board.finish()


def test_a_host_s_run_of_schema_1(tmp_path: Path) -> None:
    about = info.read(write(tmp_path / "run", OLD_HOST))
    assert (about.engine, about.board) == ("tensor", None)
    assert (about.seed, about.parameters, about.steps, about.documents) == (7, 4192, 500, 32469)
    assert about.content["schema"] == info.SCHEMA
    train = about.content["train"]
    assert isinstance(train, dict)
    assert TrainConfig(**train) == TrainConfig(
        500, seed=7, batch=2, validation=0.1, gradient_accumulation=3
    )


def test_a_run_of_schema_1_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("emma\nava\n")
    path = tmp_path / "docs.txt"
    fingerprint = {"path": str(path), "sha256": microgpt.data.sha256_of(path), "documents": 2}
    run = write(tmp_path / "run", OLD_HOST | {"data": fingerprint})
    (run / "log.jsonl").write_text('{"step": 0, "loss": 3, "holdout": 2}\n')
    plan = read_plan(run)
    assert plan.train.validation == 0.1
    assert plan.train.stop_after == 1


def test_a_board_s_run_of_schema_1(tmp_path: Path) -> None:
    about = info.read(write(tmp_path / "run", OLD_BOARD))
    assert (about.engine, about.board) == (None, "esp32")
    assert (about.seed, about.parameters, about.steps, about.documents) == (9, 4192, 1000, 32469)
    assert "configuration" not in about.content
    with pytest.raises(PlanError, match="microgpt-board replay"):
        read_plan(tmp_path / "run")


@pytest.mark.parametrize("schema", [0, 3, 2.0, "2", None, True, [2]])
def test_an_unknown_schema_is_one_line(tmp_path: Path, schema: object) -> None:
    write(tmp_path / "run", OLD_HOST | {"schema": schema})
    with pytest.raises(RunError) as error:
        info.read(tmp_path / "run")
    assert str(error.value) == f"{tmp_path / 'run' / 'run.json'} has schema {schema!r}, not 1 or 2"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}"])
def test_a_file_that_is_no_object(tmp_path: Path, text: bytes) -> None:
    (tmp_path / info.FILE).write_bytes(text)
    with pytest.raises(RunError, match=r"run\.json is not a JSON object"):
        info.read(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot read .*run\.json: No such file"):
        info.read(tmp_path)


@pytest.mark.parametrize("value", [None, 1.5, True, [], {}, "x"])
def test_fields_of_another_type_are_none(tmp_path: Path, value: object) -> None:
    names = ("seed", "parameters", "train", "data")
    about = info.read(write(tmp_path / "run", {"schema": 2} | dict.fromkeys(names, value)))
    assert (about.seed, about.parameters, about.steps, about.documents) == (None,) * 4
    named = info.read(
        write(tmp_path / "run", {"schema": 2, "board": 7, "engine": [], "started": 1})
    )
    assert (named.board, named.engine, named.started) == (None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"model": dataclasses.asdict(ModelConfig()) | {"n_embd": "16"}},
        {"model": dataclasses.asdict(ModelConfig()) | {"n_experts": 8}},
        {"train": {"steps": 5, "lr": "0.01"}},
        {"train": {"steps": 5, "seed": -1}},
        {"data": {"documents": 1}},
        {"from": {"sha256": "0"}},
        {"threads": "1"},
        {"chat": 1},
        {"dtype": None},
    ],
)
def test_a_plan_that_cannot_be_read_names_the_file(tmp_path: Path, change: dict) -> None:
    run = write(tmp_path / "run", OLD_HOST | {"schema": 2, "train": {"steps": 5}} | change)
    (run / "log.jsonl").write_text("")
    with pytest.raises(PlanError) as error:
        read_plan(run)
    assert str(error.value).startswith(f"{run / 'run.json'} is not a run of microgpt train: ")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    (tmp_path / "run.json").write_bytes(mark + b'{"schema": 2, "seed": 7}')
    (tmp_path / "log.jsonl").write_bytes(mark + b'{"step": 0, "loss": 3.5}\n')
    assert info.read(tmp_path).seed == 7
    assert [step.loss for step in log.read_steps(tmp_path)] == [3.5]
