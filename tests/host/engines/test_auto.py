"""Engine "auto": what it is where engine native is here, where it is not, and who records it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import microgpt
import pytest
from microgpt import engines
from microgpt.engines import NOT_BUILT, WIDEST_NATIVE, resolve
from microgpt.engines.tensor import TensorModel
from microgpt.lab.ablation import trainings

from tests.support.commands import unmeasured_environment

NATIVE = "microgpt.engines.native"
SMALL, WIDE = microgpt.ModelConfig(), microgpt.ModelConfig(n_embd=800)


class _Native(TensorModel):
    """Stands for engine native where that was not built."""

    engine = "native"


@pytest.fixture(params=[True, False])
def built(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether engine native is here: both, whatever was built."""
    module = ModuleType(NATIVE) if request.param else None
    if module:
        module.NativeModel = _Native
        monkeypatch.setattr(engines, "native", module, raising=False)
        monkeypatch.setattr(engines, "native_code", lambda: SimpleNamespace(isa="avx512"))
    monkeypatch.setitem(sys.modules, NATIVE, module)
    return request.param


def test_auto_is_native_where_it_is_here_and_quicker(built: bool) -> None:
    assert resolve("auto", SMALL, "float32") == ("native" if built else "tensor")
    assert resolve("auto", WIDE, "float32") == "tensor"
    assert resolve("auto", SMALL, "float64") == "tensor"
    assert [resolve(engine, WIDE, "float64") for engine in engines.ENGINES] == [*engines.ENGINES]


@pytest.mark.parametrize("isa", WIDEST_NATIVE)
def test_auto_is_tensor_where_a_wider_model_is_quicker_in_it(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "native_code", lambda: SimpleNamespace(isa=isa))
    most = WIDEST_NATIVE[isa]
    assert resolve("auto", microgpt.ModelConfig(n_embd=most), "float32") == "native"
    assert resolve("auto", microgpt.ModelConfig(n_embd=most + 4), "float32") == "tensor"


def test_auto_is_the_default_and_a_model_says_what_it_took(built: bool, tmp_path: Path) -> None:
    expected = "native" if built else "tensor"
    model = microgpt.create(SMALL)
    model.save(tmp_path)
    assert model.engine == microgpt.load(tmp_path).engine == expected
    assert microgpt.create(WIDE).engine == "tensor"
    assert microgpt.create(SMALL, dtype="float64").engine == "tensor"
    jobs = trainings(SMALL, microgpt.TrainConfig(), {"n_embd": [16, WIDE.n_embd]}, 1)
    assert [job.engine for job in jobs] == [expected, "tensor"]


def test_native_is_asked_for_where_it_cannot_be(built: bool) -> None:
    with pytest.raises(microgpt.ConfigError, match="^engine native computes in float32: for floa"):
        microgpt.create(SMALL, engine="native", dtype="float64")
    if built:
        assert microgpt.create(SMALL, engine="native").engine == "native"
    else:
        with pytest.raises(microgpt.ConfigError, match=re.escape(NOT_BUILT)):
            microgpt.create(SMALL, engine="native")


def test_without_a_compiler_everything_else_works(tmp_path: Path) -> None:
    """In a process in which engine native cannot be imported, as where it was not built."""

    def microgpt_without(*words: object) -> "subprocess.CompletedProcess[str]":
        code = f"import sys; sys.modules[{NATIVE!r}] = None; from microgpt.__main__ import main"
        command = [sys.executable, "-c", f"{code}; main()", *map(str, words)]
        environment = unmeasured_environment()
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    settings = ["--steps", 20, "--validation", 0.1, "--out"]
    result = microgpt_without("train", *settings, "r")
    assert result.returncode == 0, result.stderr
    about = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (about["engine"], about["environment"]["native"]) == ("tensor", None)
    assert microgpt_without("generate", "r", "-n", 3).stdout.count("\n") == 3
    assert f"engine auto takes tensor; {NOT_BUILT}" in microgpt_without("info", "r").stdout
    for words in (
        ["train", "--engine", "native", *settings, "n"],
        ["generate", "r", "--engine", "native"],
        ["ablate", "--engine", "native", "--steps", 2, "--out", "n"],
    ):
        result = microgpt_without(*words)
        assert (result.returncode, result.stderr) == (1, f"error: {NOT_BUILT}\n")
        assert not (tmp_path / "n").exists()
    (tmp_path / "r" / "run.json").write_text(json.dumps({**about, "engine": "native"}))
    result = microgpt_without("train", "--repeat", "r", "--out", "n")
    assert (result.returncode, result.stderr) == (1, f"error: {NOT_BUILT}\n")
