"""Ablations and sweeps: what is compared, on what it runs, what an interruption costs."""

import csv
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
from microgpt.lab import ablation as ablate

MICROGPT = str(Path(sys.executable).with_name("microgpt"))
SMALL = ["--n-embd", "4", "--n-head", "2", "--data", "docs.txt"]
DOCS = [first + second for first in "abcdefghij" for second in ("nna", "lex", "vi", "o")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs.txt").write_text("\n".join(DOCS))
    return tmp_path


def run(*words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([MICROGPT, *words], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def test_the_four_variants(folder: Path) -> None:
    words = ["ablate", "--steps", "40", "--seeds", "2", "--last", "10", *SMALL]
    output = run(*words, cwd=folder).stdout
    out = folder / "results" / "ablation"
    assert "8/8  " in output
    assert "mean of the last 10" in output
    content = json.loads((out / "comparison.json").read_text())
    rows = content["variants"]
    assert [row["variant"] for row in rows] == [
        "tie_lm_head=false input_rmsnorm=true",
        "tie_lm_head=false input_rmsnorm=false",
        "tie_lm_head=true input_rmsnorm=true",
        "tie_lm_head=true input_rmsnorm=false",
    ]
    assert rows[0]["parameters"] - rows[2]["parameters"] == 4 * len(set("".join(DOCS)) | {"BOS"})
    assert all(row["validation_loss"] > 0 and row["validation_loss_sd"] >= 0 for row in rows)
    assert all(row["steps_per_s"] > 0 and row["tokens_per_s"] > 0 for row in rows)
    assert len(content["differences"]) == 6
    assert content["settings"]["data"]["sha256"]
    with open(out / "comparison.csv") as file:
        read = list(csv.DictReader(file))
    assert [float(row["mean_loss"]) for row in read] == [row["mean_loss"] for row in rows]
    assert (out / "comparison.md").read_text().count("\n| tie_lm_head=") == 4
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")

    started = {file: file.stat().st_mtime_ns for file in (out / "trainings").iterdir()}
    assert "8/8  done before" in run(*words, cwd=folder).stdout
    assert {file: file.stat().st_mtime_ns for file in (out / "trainings").iterdir()} == started


def test_a_training_of_a_sweep_is_the_one_of_train(folder: Path) -> None:
    settings = ["--steps", "30", "--validation", "0.2", "--seed", "3", "--no-input-rmsnorm"]
    run("train", *settings, *SMALL, "--out", "r", cwd=folder)
    run("ablate", *settings, *SMALL, "--vary", "lr=0.01,0.02", "--out", "c", cwd=folder)
    log = [json.loads(line) for line in (folder / "r" / "log.jsonl").read_text().splitlines()]
    results = [json.loads(file.read_text()) for file in (folder / "c" / "trainings").iterdir()]
    (result,) = (result for result in results if result["variant"] == "lr=0.01")
    assert result["losses"] == [record["loss"] for record in log]
    assert result["validation_loss"] == log[-1]["validation"]
    assert result["final_loss"] == log[-1]["loss"]


def test_vary_any_field() -> None:
    vary = {"n_layer": [1, 2], "lr": [0.1, 0.2]}
    jobs = ablate.trainings(ModelConfig(n_embd=8), TrainConfig(seed=5), vary, seeds=2)
    assert [(job.model.n_layer, job.train.lr, job.train.seed) for job in jobs] == [
        (layers, lr, seed) for layers in (1, 2) for lr in (0.1, 0.2) for seed in (5, 6)
    ]
    assert {job.model.n_embd for job in jobs} == {8}
    assert jobs[0].variant == "n_layer=1 lr=0.1"
    assert len({job.key("data") for job in jobs}) == 8
    assert jobs[0].key("data") != jobs[0].key("other data")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vary", "speed=1,2"], "'speed' is not one of n_embd, n_head"),
        (["--vary", "lr=fast,slow"], "write lr=A,B with values like 0.01"),
        (["--vary", "tie_lm_head=maybe"], "write tie_lm_head=A,B with values like False"),
        (["--vary", "n_head=3"], "n_embd 16 is not divisible by n_head 3"),
        (["--validation", "1.5"], "validation must be a number from 0 to below 1"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers at tcp://127.0.0.1:1"),
    ],
)
def test_errors_are_one_line(folder: Path, words: list[str], message: str) -> None:
    result = subprocess.run(
        [MICROGPT, "ablate", *words], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "results").exists()


def test_a_training_that_diverges_is_named(folder: Path) -> None:
    words = ["ablate", "--vary", "lr=0.01,1e30", "--steps", "40", *SMALL]
    error = run(*words, cwd=folder, code=1).stderr
    assert error.startswith("error: lr=1e+30 seed=42: the loss at step ")
    assert error.count("\n") == 1


def results(*losses: float, variant: str) -> list[dict]:
    measures = dict.fromkeys(ablate.MEASURES, 1.0)
    return [{"variant": variant, **measures, "validation_loss": loss} for loss in losses]


def test_noise_and_what_is_larger() -> None:
    # Paired by seed: b is always 0.1 above a, though the seeds differ by more; c is noise.
    a = results(2.0, 2.3, 2.6, 2.2, 2.4, variant="a")
    b = results(2.1, 2.401, 2.7, 2.299, 2.5, variant="b")
    c = results(2.3, 2.1, 2.5, 2.5, 2.2, variant="c")
    pairs = {(row["a"], row["b"]): row for row in ablate.differences(a + b + c)}
    assert pairs["a", "b"]["larger_than_noise"]
    assert pairs["a", "b"]["difference"] == pytest.approx(0.1)
    assert not pairs["a", "c"]["larger_than_noise"]
    assert not pairs["b", "c"]["larger_than_noise"]
    said = ablate.remarks(list(pairs.values()), 5)
    assert said[0].startswith("1 of 3 differences are larger than the noise of 5 seeds")
    assert said[1].startswith("b against a: validation loss +0.1000")
    same = ablate.differences(a + results(2.0, 2.3, 2.6, 2.2, 2.4, variant="d"))
    assert not same[0]["larger_than_noise"]
    assert ablate.differences(a[:1] + b[:1]) == []
    assert "--seeds 5" in ablate.remarks([], 1)[0]


def wait_for_results(folder: Path, count: int, process: subprocess.Popen) -> None:
    while len(list(folder.glob("trainings/*.json"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_an_interrupted_sweep_goes_on_where_it_stopped(folder: Path) -> None:
    words = ["ablate", "--steps", "1500", "--seeds", "3", "--workers", "1", "--out", "c", *SMALL]
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


def test_on_a_dask_cluster_of_which_a_worker_dies(folder: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    words = ["ablate", "--steps", "1500", "--seeds", "2", "--out", "c", *SMALL]
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
    run(*words[: -len(SMALL)], *SMALL, "--workers", "2", "--out", "local", cwd=folder)
    for file in (folder / "c" / "trainings").iterdir():
        local = json.loads((folder / "local" / "trainings" / file.name).read_text())
        assert json.loads(file.read_text())["losses"] == local["losses"]


@pytest.mark.parametrize(
    ("command", "module"), [("ablate", "scipy"), ("show", "matplotlib"), ("plot", "matplotlib")]
)
def test_a_missing_extra_is_one_line_before_any_work(
    folder: Path, command: str, module: str
) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['microgpt', {command!r}]\n"
        f"sys.argv += ['r'] * ({command!r} != 'ablate')\n"
        "from microgpt.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == f"error: no {module} here: .venv/bin/pip install -e '.[plot]'\n"
    assert not (folder / "results").exists()
