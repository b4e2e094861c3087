"""Runs of engine torch: interrupted and resumed, of several processes, out of memory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.engines.distributed import Processes

from tests.support.commands import run

torch = pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")
pytest.importorskip("safetensors", reason="needs safetensors: .venv/bin/pip install -e '.[torch]'")

from microgpt.runs import checkpoint  # noqa: E402 - imports torch

MICROGPT = Path(sys.executable).with_name("microgpt")
TORCHRUN = Path(sys.executable).with_name("torchrun")

torch.set_num_threads(1)  # for products this small, more threads are slower


SIZES = ["--n-embd", "32", "--block-size", "128", "--dtype", "float64"]


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


CHAT = ["train", "--chat", "--assistant-only", "--engine", "torch", "--decay", "cosine", *SIZES]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    words = [*CHAT, "--steps", 12, "--batch", 4, "--checkpoint-every", 7]
    run(*words, "--out", folder / "run")
    return folder / "run", log_of(folder / "run")


def test_a_run_resumes_exactly(uninterrupted: tuple[Path, list[dict]], tmp_path: Path) -> None:
    folder, log = uninterrupted
    run("resume", folder, "--out", tmp_path / "run")
    assert log_of(tmp_path / "run") == log
    weights = [(r / "model" / "weights.json").read_bytes() for r in (folder, tmp_path / "run")]
    assert weights[0] == weights[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["resumed"]["step"] == 7


def test_two_processes_are_one_with_the_doubled_batch(
    uninterrupted: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    _, log = uninterrupted
    words = [*CHAT, "--steps", 12, "--batch", 1, "--accumulate", 2, "--out", "run"]
    torchrun = [TORCHRUN, "--standalone", "--nproc-per-node", 2, "-m", "microgpt"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = list(map(str, [*torchrun, *words]))
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    two = log_of(tmp_path / "run")
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in log], rel=1e-9)


def test_ctrl_c_leaves_the_model_and_the_checkpoint(tmp_path: Path) -> None:
    words = ["--steps", "1000000", "--checkpoint-every", "2", "--out", "run"]
    process = subprocess.Popen(
        [MICROGPT, "train", "--engine", "torch", *words],
        cwd=tmp_path,
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
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")
    model.processes = Processes(0, 2)
    checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5)
    with pytest.raises(checkpoint.CheckpointError, match="2 processes, not 1"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("broken", ["cut", "other"])
def test_a_file_that_is_not_a_checkpoint(
    uninterrupted: tuple[Path, list[dict]], tmp_path: Path, broken: str
) -> None:
    whole = (uninterrupted[0] / "checkpoint.safetensors").read_bytes()
    path = tmp_path / "checkpoint.safetensors"
    if broken == "cut":
        path.write_bytes(whole[:-100])
    if broken == "other":
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(1)}, path)
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.load(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.load(tmp_path)
    hint = "train with --engine torch --checkpoint-every N"
    assert str(error.value) == f"{tmp_path} has no checkpoint: {hint}"


@pytest.mark.parametrize("words", [["--steps", 4], ["--steps", 9, "--stop-after", 4]])
def test_a_run_at_its_end_has_nothing_to_resume(tmp_path: Path, words: list) -> None:
    folder = tmp_path / "run"
    run("train", "--engine", "torch", *words, "--checkpoint-every", 2, "--out", folder)
    resumed = run("resume", folder, "--out", tmp_path / "copy", code=1)
    assert resumed.stderr == f"error: {folder} is complete at step 4\n"
    assert not (tmp_path / "copy").exists()


def test_a_loss_that_is_not_a_number_leaves_the_model_of_the_checkpoint_before(
    tmp_path: Path,
) -> None:
    too_high = ["train", "--engine", "torch", "--steps", 40, "--seed", 1, "--lr", "6e6", "--out"]
    failed = run(*too_high, tmp_path / "alone", code=1)
    assert "lower lr" in failed.stderr
    assert failed.stderr.endswith(f"; the run so far is in {tmp_path / 'alone'}\n")
    assert not (tmp_path / "alone" / "model").exists()
    assert (tmp_path / "alone" / "loss.png").exists()
    done = len(log_of(tmp_path / "alone"))
    assert 3 <= done < 40  # a record for each loss that was a number

    for every in (done - 1, done):  # the weights at the end of the last step are the spoilt ones
        words = [*too_high, tmp_path / str(every), "--checkpoint-every", every]
        assert "lower lr" in run(*words, code=1).stderr
    assert not (tmp_path / str(done) / "model").exists()
    run(*too_high, tmp_path / "good", "--stop-after", done - 1)
    model, good = (microgpt.load(tmp_path / name) for name in (str(done - 1), "good"))
    for name, matrix in good.weights.items():
        assert np.array_equal(model.weights[name], matrix)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA has memory of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: it limits a process's memory")
def test_too_large_a_batch_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("a" * 1000)
    sizes = "--batch 8000 --block-size 1000 --n-embd 256"  # 8 GB
    words = f"exec $0 train --engine torch --data long.txt {sizes} --steps 1 --out run"
    result = subprocess.run(
        ["bash", "-c", f"ulimit -v 8000000; {words}", MICROGPT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line == (
        "error: out of memory with 8000 documents at a time: take a smaller --batch or more "
        "--gradient-accumulation; the run so far is in run"
    )


def test_data_that_was_changed_since(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nava\n")
    words = ["train", "--engine", "torch", "--data", names, "--steps", 4, "--checkpoint-every", 2]
    run(*words, "--out", tmp_path / "run")
    names.write_text("emma\n")
    assert "not what it was" in run("resume", tmp_path / "run", code=1).stderr
