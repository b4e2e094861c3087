"""Checkpoints of every engine: what is resumed, and what is refused in one line."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import data
from microgpt.runs import checkpoint
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.support.commands import run, unmeasured_environment

MICROGPT = Path(sys.executable).with_name("microgpt")


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def about(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def train(folder: Path, *words: object) -> Path:
    """Train on a short list of names, and return the run's folder."""
    names = folder / "names.txt"
    names.write_text("\n".join(data.read_docs(data.NAMES)[:300]))
    run("train", "--data", names, *words, "--out", folder / "run")
    return folder / "run"


SETTINGS = {
    "tensor": ["--steps", 30, "--validation", 0.1, "--checkpoint-every", 17],
    "tensor, float64": ["--steps", 30, "--dtype", "float64", "--checkpoint-every", 11],
    "tensor, batches": [
        *("--steps", 30, "--batch", 5, "--gradient-accumulation", 3, "--order", "random"),
        *("--decay", "cosine", "--validation", 0.2, "--checkpoint-every", 7, "--tie-lm-head"),
    ],
    "tensor, stopped": ["--steps", 90, "--stop-after", 29, "--checkpoint-every", 8],
    "scalar": ["--engine", "scalar", "--steps", 5, "--n-embd", 4, "--checkpoint-every", 3],
    "scalar, batches": [
        *("--engine", "scalar", "--steps", 3, "--n-embd", 4, "--batch", 2, "--validation", 0.2),
        *("--gradient-accumulation", 2, "--checkpoint-every", 2),
    ],
}
TORCH = [
    *("--engine", "torch", "--steps", 20, "--batch", 5, "--gradient-accumulation", 3),
    *("--validation", 0.2, "--checkpoint-every", 13),
]


@pytest.mark.parametrize(
    "words",
    [
        *(pytest.param(words, id=name) for name, words in SETTINGS.items()),
        pytest.param(TORCH, id="torch, batches", marks=pytest.mark.torch),
    ],
)
def test_a_resumed_run_equals_one_without_an_interruption(
    tmp_path: Path, words: list[object]
) -> None:
    if words is TORCH:
        pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")
    whole = train(tmp_path, *words)
    run("resume", whole, "--out", tmp_path / "resumed")
    assert log_of(tmp_path / "resumed") == log_of(whole)
    weights = [(r / "model" / "weights.json").read_bytes() for r in (whole, tmp_path / "resumed")]
    assert weights[0] == weights[1]
    every = about(whole)["checkpoint_every"]
    step = about(tmp_path / "resumed")["resumed"]["step"]
    assert step % every == 0
    assert 0 <= len(log_of(whole)) - step <= every


def test_the_model_that_a_run_started_from_is_not_needed_to_resume_it(tmp_path: Path) -> None:
    run("train", "--steps", 5, "--n-embd", 8, "--out", tmp_path / "first")
    words = ["--from", tmp_path / "first", "--steps", 20, "--checkpoint-every", 13]
    whole = train(tmp_path, *words)
    weights = tmp_path / "first" / "model" / "weights.json"
    weights.write_text(weights.read_text().replace("0.1", "0.2", 1))
    run("resume", whole, "--out", tmp_path / "changed")
    for path in (weights, weights.with_name("meta.json")):
        path.unlink()
    run("resume", whole, "--out", tmp_path / "gone")
    for name in ("changed", "gone"):
        assert log_of(tmp_path / name) == log_of(whole)
        assert about(tmp_path / name)["from"] == about(whole)["from"]
        assert about(tmp_path / name)["from"]["folder"] == str(tmp_path / "first")
    # To repeat the run, it is needed.
    assert "cannot read" in run("train", "--repeat", tmp_path / "gone", code=1).stderr


def test_ctrl_c_leaves_the_model_and_the_checkpoint(tmp_path: Path) -> None:
    words = ["--steps", "1000000", "--checkpoint-every", "2", "--out", "run"]
    process = subprocess.Popen(
        [MICROGPT, "train", *words],
        cwd=tmp_path,
        env=unmeasured_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "run"
    while not (folder / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output.endswith("interrupted: the run is in run\n")
    assert "Traceback" not in errors
    _, _, step = checkpoint.load(folder)
    steps = len(log_of(folder))
    assert 0 <= steps - step <= 2  # Ctrl-C may come between a step's record and its checkpoint
    assert len(microgpt.generate(microgpt.load(folder))) == 1


def test_a_checkpoint_of_other_processes(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig())
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5, processes=2)
    with pytest.raises(microgpt.ConfigError, match="2 processes, not 1: torchrun .* 2 -m microgpt"):
        checkpoint.load(tmp_path)


# What the error says -> what is done before: to what the metadata say, to the tensors.
DAMAGES: dict[str, Callable[[dict, dict], object]] = {
    ": its metadata is not a checkpoint's": lambda about, _: about.update(checkpoint=[]),
    ": the engine of its run is 'steam'": lambda about, _: about["checkpoint"].update(
        engine="steam"
    ),
    ": the dtype of its run is ['float32']": lambda about, _: about["checkpoint"].update(
        dtype=["float32"]
    ),
    ": the step of its run is 1.5": lambda about, _: about["checkpoint"].update(step=1.5),
    ": steps must be a whole number from 1 on, not 0": lambda about, _: about["checkpoint"][
        "train"
    ].update(steps=0),
    ", metadata has no charset, a string of characters": lambda about, _: about.pop("charset"),
    ": it has fewer tensors than its 1,048,576 layers": lambda about, _: about.update(
        n_layer=1 << 20
    ),
    ": wte is F32, not F64": lambda about, _: about["checkpoint"].update(dtype="float64"),
    ": v.wte has shape (4, 27), expected (27, 4)": lambda _, tensors: tensors.update(
        {"v.wte": np.ascontiguousarray(tensors["v.wte"].T)}
    ),
    ": m.wpe is missing": lambda _, tensors: tensors.pop("m.wpe"),
    ": x.wpe is not a matrix of this model": lambda _, tensors: tensors.update(
        {"x.wpe": tensors["m.wpe"]}
    ),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, message: str) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=4))
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5)
    path = tmp_path / checkpoint.FILE
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["microgpt"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    DAMAGES[message](about, tensors)
    save_file(tensors, path, {"microgpt": json.dumps(about)})
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.load(tmp_path)
    assert str(error.value) == f"{path}{message}"


def test_a_file_that_is_not_a_checkpoint(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=4))
    path = tmp_path / checkpoint.FILE
    for write in (model.save, lambda path: save_file({"a": np.zeros(1)}, path)):
        write(path)
        with pytest.raises(checkpoint.CheckpointError) as error:
            checkpoint.load(tmp_path)
        assert str(error.value) == f"{path} has no state of a training: it is not a checkpoint"
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(checkpoint.CheckpointError, match="it is not a whole safetensors file: "):
        checkpoint.load(tmp_path)


def test_a_checkpoint_has_the_weights_by_the_names_of_a_model_and_is_one(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=4), "xyz", special_tokens=["<|user|>"])
    model.train_step([0, 1, 2, 0], 0, 0.01)
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 1)
    path = tmp_path / checkpoint.FILE
    with safe_open(path, "np") as file:
        names = [f"{part}{name}" for part in ("", "m.", "v.") for name in model.weights]
        assert sorted(file.keys()) == sorted(names)
        for part, matrices in zip(("", "m.", "v."), (model.weights, *model.moments), strict=True):
            for name, matrix in matrices.items():
                assert np.array_equal(file.get_tensor(f"{part}{name}"), matrix)
    again = microgpt.load(path)
    assert again.config == model.config
    assert again.tokenizer.charset == "xyz"
    assert again.tokenizer.special_tokens == ("<|user|>",)
    for name, matrix in model.weights.items():
        assert np.array_equal(again.weights[name], matrix)
    with pytest.raises(microgpt.ModelFolderError, match="is a checkpoint, which loads too$"):
        microgpt.load(tmp_path)


BEFORE = Path(__file__).parents[2] / "support/captures/checkpoint-0.2.0.dev0.safetensors"


def test_a_checkpoint_of_before_is_read(tmp_path: Path) -> None:
    """It is of 3 steps, with weights `weight.NAME` and what it says as JSON of another form."""
    shutil.copy(BEFORE, tmp_path / checkpoint.FILE)
    model, config, step = checkpoint.load(tmp_path)
    assert (model.engine, step, config.steps, config.lr) == ("tensor", 3, 4, 0.02)
    assert model.config == microgpt.ModelConfig(n_embd=2, n_head=1, block_size=2)
    assert (model.tokenizer.charset, model.tokenizer.bos) == ("ab", 0)
    weights = microgpt.load(BEFORE).weights
    with safe_open(BEFORE, "np") as file:
        parts = zip(("weight.", "m.", "v."), (model.weights, *model.moments), strict=True)
        for part, matrices in parts:
            for name, matrix in matrices.items():
                assert np.array_equal(file.get_tensor(f"{part}{name}"), matrix)
                assert part != "weight." or np.array_equal(weights[name], matrix)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_checkpoint_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    import resource

    model = microgpt.create(microgpt.ModelConfig())
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]
    assert checkpoint.load(tmp_path).step == 5  # the one before is still there


def test_what_cannot_be_resumed_is_one_line(tmp_path: Path) -> None:
    run("train", "--steps", 3, "--out", tmp_path / "run")
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "run.json").write_text('{"schema": 2, "board": null, "seed": 1}')
    for name, message in {
        "run": "run has no checkpoint: train with --checkpoint-every N",
        "board": "board is a board's run: the board goes on from its own checkpoint",
        "nothing": "cannot read nothing/run.json: No such file or directory",
    }.items():
        result = run("resume", name, cwd=tmp_path, code=1)
        assert result.stderr == f"error: {message}\n"
        assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [["--steps", 4], ["--steps", 9, "--stop-after", 4]])
def test_a_run_at_its_end_has_nothing_to_resume(tmp_path: Path, words: list) -> None:
    folder = tmp_path / "run"
    run("train", *words, "--checkpoint-every", 2, "--out", folder)
    resumed = run("resume", folder, "--out", tmp_path / "copy", code=1)
    assert resumed.stderr == f"error: {folder} is complete at step 4\n"
    assert not (tmp_path / "copy").exists()


def test_data_that_was_changed_since(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nava\n")
    words = ["train", "--data", names, "--steps", 4, "--checkpoint-every", 2]
    run(*words, "--out", tmp_path / "run")
    names.write_text("emma\n")
    assert "not what it was" in run("resume", tmp_path / "run", code=1).stderr


@pytest.mark.parametrize("every", [0, -3])
def test_checkpoints_are_every_so_many_steps(tmp_path: Path, every: int) -> None:
    result = run("train", "--checkpoint-every", every, cwd=tmp_path, code=1)
    assert result.stderr == "error: checkpoint-every is a number of steps from 1 on\n"


def test_after_a_diverged_run_the_model_is_that_of_its_last_step(tmp_path: Path) -> None:
    words = ["train", "--steps", 20, "--lr", "1e30", "--out"]
    failed = run(*words, tmp_path / "run", code=1)
    assert "lower lr" in failed.stderr
    assert failed.stderr.endswith(f"; the run so far is in {tmp_path / 'run'}, with its model\n")
    assert (tmp_path / "run" / "loss.png").exists()
    done = len(log_of(tmp_path / "run"))
    assert 0 < done < 20
    run(*words, tmp_path / "stopped", "--stop-after", done)
    weights = [tmp_path / name / "model" / "weights.json" for name in ("run", "stopped")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    failed = run("generate", tmp_path / "run", code=1)
    assert failed.stderr.count("\n") == 1
    assert "not finite" in failed.stderr
