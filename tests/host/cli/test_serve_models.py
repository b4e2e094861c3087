"""Several models in one service: their names, and two of one name."""

from collections.abc import Callable, Mapping
from pathlib import Path

import microgpt
import pytest

from tests.support.commands import run

pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the models that `microgpt serve` was started with; it announces, no more."""
    started: list[list[str]] = []

    def serve(
        models: Mapping[str, microgpt.Model],
        host: str,
        port: int,
        runs: Path,
        announce: Callable[[str], None],
        *_: object,
    ) -> None:
        started.append(list(models))
        announce(f"{host}:{port}")

    monkeypatch.setattr("microgpt.service.server.serve", serve)
    monkeypatch.delenv("MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    model = microgpt.create(microgpt.ModelConfig(n_embd=4))
    for folder in ("runs/talk/model", "runs/wide/model", "alone/model", "names", "b/names"):
        model.save(folder)
    model.save("b/tensors", format="safetensors")
    model.save("b/small.safetensors")
    for name in ("talk", "wide"):
        Path("runs", name, "run.json").write_text("{}")
    return started


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["runs/talk"], ["talk"]),
        (["runs/talk/model"], ["talk"]),
        (["runs/wide/model/", "names", "runs/talk/."], ["wide", "names", "talk"]),
        (["alone/model"], ["model"]),
        (["b/../names"], ["names"]),
        (["b/small.safetensors", "b/tensors/model.safetensors"], ["small", "tensors"]),
    ],
)
def test_a_model_is_called_as_its_folder(
    served: list[list[str]], folders: list[str], names: list[str]
) -> None:
    said = run("serve", *folders).stdout
    assert said == f"serving {', '.join(names)} at 127.0.0.1:8080\n"
    assert served == [names]


def test_the_folder_that_one_is_in(
    served: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("runs/talk/model")
    assert run("serve", ".").stdout.startswith("serving talk at ")
    assert served == [["talk"]]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["names", "b/names"], "names and b/names are both called names: rename a folder"),
        (["runs/talk", "runs/talk/model"], "both called talk"),
        (["names", "nothing"], "nothing does not exist: name a model"),
        (["names", "--model", "b/names"], "with --model, not both"),
        ([], "Missing argument 'FOLDER'"),
    ],
)
def test_what_cannot_be_served(served: list[list[str]], folders: list[str], message: str) -> None:
    error = run("serve", *folders, code=None).stderr
    assert message in error
    assert error.count("\n") == 1
    assert served == []
