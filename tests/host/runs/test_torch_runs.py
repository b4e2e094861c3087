"""Runs of engine torch: resumed, of several processes, diverged, out of memory."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.runs import checkpoint
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.support.commands import run
from tests.support.models import TALKS

torch = pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")

MICROGPT = Path(sys.executable).with_name("microgpt")
TORCHRUN = Path(sys.executable).with_name("torchrun")

torch.set_num_threads(1)  # for products this small, more threads are slower


SIZES = ["--n-embd", "32", "--n-layer", "1", "--block-size", "128", "--dtype", "float64"]


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


CHAT = ["train", "--chat", "--data", str(TALKS), "--engine", "torch", *SIZES]


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


def torchrun(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `microgpt` in two processes."""
    start = [TORCHRUN, "--standalone", "--nproc-per-node", 2, "-m", "microgpt"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = list(map(str, [*start, *words]))
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes."""
    folder = tmp_path_factory.mktemp("two")
    words = [*CHAT, "--steps", 12, "--batch", 1, "--accumulate", 2, "--out", "run"]
    result = torchrun(*words, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "run"


def test_two_processes_are_one_with_the_doubled_batch(
    uninterrupted: tuple[Path, list[dict]], two: Path
) -> None:
    _, log = uninterrupted
    losses, doubled = ([r["loss"] for r in lines if "loss" in r] for lines in (log, log_of(two)))
    assert len(losses) == 12
    assert doubled == pytest.approx(losses, rel=1e-9)


def test_a_run_of_two_processes_is_repeated_by_two(two: Path, tmp_path: Path) -> None:
    alone = run("train", "--repeat", two, "--out", tmp_path / "alone", code=1)
    command = f"torchrun --nproc-per-node 2 -m microgpt train --repeat {two}"
    assert alone.stderr == f"error: {two} is of 2 processes, not 1: {command}\n"
    assert not (tmp_path / "alone").exists()
    result = torchrun("train", "--repeat", two, "--out", "again", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "to the last bit: 12 losses, and the weights" in "".join(result.stdout.splitlines())


def test_two_processes_refuse_another_engine(tmp_path: Path) -> None:
    result = torchrun("train", "--engine", "tensor", "--steps", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 1
    assert "error: engine tensor trains in one process: take torch, or no torchrun" in result.stderr
    assert not (tmp_path / "run").exists()


def test_two_processes_that_diverge_both_stop_before_the_update(tmp_path: Path) -> None:
    words = ["train", "--engine", "torch", "--lr", "1e30", "--steps", 20, "--out"]
    failed = torchrun(*words, "run", cwd=tmp_path)
    assert failed.returncode == 1
    assert "lower lr" in failed.stderr
    done = len(log_of(tmp_path / "run"))
    stopped = torchrun(*words, "stopped", "--stop-after", done, cwd=tmp_path)
    assert stopped.returncode == 0, stopped.stderr
    weights = [tmp_path / name / "model" / "weights.json" for name in ("run", "stopped")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_checkpoint_of_version_0_1_0_is_read(
    uninterrupted: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    """It has no `engine` in its facts: no other engine had checkpoints."""
    folder = uninterrupted[0]
    with safe_open(folder / checkpoint.FILE, "np") as file:
        about = json.loads(file.metadata()["microgpt"])
        names = file.keys()
        tensors = {
            name if name.startswith(("m.", "v.")) else f"weight.{name}": file.get_tensor(name)
            for name in names
        }
    facts = about["checkpoint"]
    assert facts.pop("engine") == "torch"
    facts["tokenizer"] = [about["charset"], about["bos"], about["special_tokens"]]
    facts["model"] = {field.name: about[field.name] for field in fields(microgpt.ModelConfig)}
    save_file(tensors, tmp_path / checkpoint.FILE, {"microgpt": json.dumps(facts)})
    model, _, step = checkpoint.load(tmp_path)
    assert (model.engine, step) == ("torch", 7)
    for part, same in zip(model.moments, checkpoint.load(folder).model.moments, strict=True):
        assert all(np.array_equal(matrix, same[name]) for name, matrix in part.items())


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA has memory of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: it limits a process's memory")
def test_too_large_a_batch_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("a" * 999)
    sizes = "--batch 250 --block-size 1000 --n-embd 256"  # 7 GB
    words = f"exec $0 train --engine torch --data long.txt {sizes} --steps 1 --out run"
    result = subprocess.run(
        ["bash", "-c", f"ulimit -v 5000000; {words}", MICROGPT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line == (
        "error: out of memory with 250 documents at a time: take a smaller --batch or more "
        "--gradient-accumulation; the run so far is in run, with its model"
    )
