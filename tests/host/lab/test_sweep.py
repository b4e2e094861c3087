"""Sweeps: what an interruption costs, and a Dask cluster that loses a worker."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import numpy as np
import pytest
import ugpt
from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab.ablation import ABLATION, Result, Training, run_training, trainings
from microgpt.lab.sweep import SweepError, executor, sweep

from tests.support.commands import run, unmeasured_environment

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def wait_for_results(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(list(folder.glob("results/trainings/*.json"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_an_interrupted_sweep_continues(folder: Path, small: list[str]) -> None:
    words = ["ablate", "--steps", "1500", "--seeds", "3", "--workers", "1", "--out", "c", *small]
    process = subprocess.Popen(
        [MICROGPT, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_results(folder, 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    kept = folder / "results" / "trainings"
    done = {file: file.stat().st_mtime_ns for file in kept.glob("*.json")}
    assert 2 <= len(done) < 12
    assert not (folder / "c").exists()
    output = run(*words, cwd=folder).stdout
    assert f"{len(done)}/12  done before" in output
    assert "12/12" in output
    for file, then in done.items():
        assert file.stat().st_mtime_ns == then


def test_on_a_dask_cluster_of_which_a_worker_dies(
    folder: Path, small: list[str], docs: list[str]
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    words = ["ablate", "--steps", "1500", "--seeds", "2", "--out", "c", *small]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        process = subprocess.Popen(
            [MICROGPT, *words, "--scheduler", cluster.scheduler_address],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_results(folder, 1, process)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "8/8" in output
    assert "Traceback" not in errors
    config = TrainConfig(steps=1500, validation=0.1)
    jobs = trainings(ModelConfig(n_embd=4, n_head=2), config, ABLATION, seeds=2)
    losses = {
        (result["variant"], result["train"]["seed"]): result["losses"]
        for file in (folder / "results" / "trainings").iterdir()
        for result in [json.loads(file.read_text())]
    }
    assert len(losses) == len(jobs)
    for job in jobs:
        assert (
            losses[job.variant, job.train.seed] == run_training(job, "\n".join(docs), 100)["losses"]
        )


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_process_that_dies_is_one_line(
    tmp_path: Path, docs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = trainings(ModelConfig(n_embd=4), TrainConfig(steps=1), {}, seeds=2)
    monkeypatch.setattr("microgpt.lab.sweep.run_training", _die)
    message = "a worker process died after 0 of 2 trainings"
    with pytest.raises(SweepError, match=message), executor(1) as run_on:
        sweep(jobs, docs, "data", tmp_path, run_on)


def test_a_result_that_cannot_be_read_is_named(tmp_path: Path, docs: list[str]) -> None:
    jobs = trainings(ModelConfig(n_embd=4), TrainConfig(steps=1), {}, seeds=1)
    with executor(1) as run_on:
        sweep(jobs, docs, "data", tmp_path, run_on)
        (path,) = tmp_path.iterdir()
        for content in (b"", b"[]", b"{}", b'{"losses": [1.0]}'):
            path.write_bytes(content)
            with pytest.raises(SweepError, match=f"{path.name} is not the result of a training"):
                sweep(jobs, docs, "data", tmp_path, run_on)


def _computed_elsewhere(job: Training, text: str, last: int) -> Result:
    result = run_training(job, text, last)
    result["computation"]["numpy"] = "1.0"
    return result


def test_workers_that_do_not_compute_alike_are_refused(
    tmp_path: Path, docs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = trainings(ModelConfig(n_embd=4), TrainConfig(steps=1), {}, seeds=1)
    monkeypatch.setattr("microgpt.lab.sweep.run_training", _computed_elsewhere)
    message = f"workers differ in numpy, {np.__version__} and 1.0: install the same for all"
    with pytest.raises(SweepError, match=re.escape(message)), executor(1) as run_on:
        sweep(jobs, docs, "data", tmp_path, run_on)
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_sources_are_not_used(folder: Path, small: list[str]) -> None:
    """Outside a repository too: the sources count, not a commit."""
    code = folder / "code"
    for package in (microgpt, ugpt):
        source = Path(package.__file__).parent
        shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["ablate", "--vary", "lr=0.01", "--steps", "1", *small]

    def output() -> str:
        result = subprocess.run(
            [sys.executable, "-m", "microgpt", *words],
            cwd=folder,
            # Unmeasured: the copies are gone when the coverage of all tests is put together.
            env=unmeasured_environment()
            | {"PYTHONPATH": str(code), "GIT_DIR": str(folder / "none")},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "done before" not in output()
    code = code.rename(folder / "moved")
    assert "1/1  done before" in output()
    adam = code / "microgpt" / "engines" / "adam.py"
    adam.write_text(adam.read_text() + "# another arithmetic\n")
    assert "done before" not in output()
