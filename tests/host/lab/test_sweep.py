"""Sweeps: what an interruption costs, and a Dask cluster that loses a worker."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab.ablation import ABLATION, run_training, trainings
from microgpt.lab.sweep import SweepError, executor, sweep

from tests.support.commands import run

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def wait_for_results(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(list(folder.glob("trainings/*.json"))) < count:
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
    wait_for_results(folder / "c", 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    done = {file: file.stat().st_mtime_ns for file in (folder / "c" / "trainings").glob("*.json")}
    assert 2 <= len(done) < 12
    assert not (folder / "c" / "comparison.json").exists()
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
        wait_for_results(folder / "c", 1, process)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "8/8" in output
    assert "Traceback" not in errors
    config = TrainConfig(steps=1500, validation=0.1)
    jobs = trainings(ModelConfig(n_embd=4, n_head=2), config, ABLATION, seeds=2)
    losses = {
        (result["variant"], result["train"]["seed"]): result["losses"]
        for file in (folder / "c" / "trainings").iterdir()
        for result in [json.loads(file.read_text())]
    }
    assert len(losses) == len(jobs)
    for job in jobs:
        assert losses[job.variant, job.train.seed] == run_training(job, docs, 100)["losses"]


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
        path.write_bytes(b"")
        with pytest.raises(SweepError, match=f"{path.name} is not the result of a training"):
            sweep(jobs, docs, "data", tmp_path, run_on)
