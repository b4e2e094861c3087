"""Ablations: which trainings are compared, what is written of them, and what is refused."""

import csv
import json
import sys
from pathlib import Path

import pytest
from microgpt.cli.lab import ablate_command
from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab import sweep
from microgpt.lab.ablation import run_training, trainings

from tests.support.commands import run


def test_the_four_variants(folder: Path, small: list[str], docs: list[str]) -> None:
    words = ["ablate", "--steps", "40", "--seeds", "2", "--last", "10", *small]
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
    assert rows[0]["parameters"] - rows[2]["parameters"] == 4 * len(set("".join(docs)) | {"BOS"})
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


def test_a_training_of_a_sweep_is_the_one_of_train(folder: Path, small: list[str]) -> None:
    settings = ["--steps", "30", "--validation", "0.2", "--seed", "3", "--no-input-rmsnorm"]
    run("train", *settings, *small, "--out", "r", cwd=folder)
    run("ablate", *settings, *small, "--vary", "lr=0.01,0.02", "--out", "c", cwd=folder)
    log = [json.loads(line) for line in (folder / "r" / "log.jsonl").read_text().splitlines()]
    results = [json.loads(file.read_text()) for file in (folder / "c" / "trainings").iterdir()]
    (result,) = (result for result in results if result["variant"] == "lr=0.01")
    assert result["losses"] == [record["loss"] for record in log]
    assert result["validation_loss"] == log[-1]["validation"]
    assert result["final_loss"] == log[-1]["loss"]


def test_vary_any_field() -> None:
    vary = {"n_layer": [1, 2], "lr": [0.1, 0.2]}
    jobs = trainings(ModelConfig(n_embd=8), TrainConfig(seed=5), vary, seeds=2)
    assert [(job.model.n_layer, job.train.lr, job.train.seed) for job in jobs] == [
        (layers, lr, seed) for layers in (1, 2) for lr in (0.1, 0.2) for seed in (5, 6)
    ]
    assert {job.model.n_embd for job in jobs} == {8}
    assert jobs[0].variant == "n_layer=1 lr=0.1"
    assert len({job.key("data") for job in jobs}) == 8
    assert jobs[0].key("data") != jobs[0].key("other data")


def test_a_result_survives_json(docs: list[str]) -> None:
    config = TrainConfig(steps=25, validation=0.2)
    (job,) = trainings(ModelConfig(n_embd=4), config, {"decay": ["cosine"]}, seeds=1)
    result = run_training(job, docs, last=5)
    assert json.loads(json.dumps(result)) == result
    assert result["mean_loss"] == pytest.approx(sum(result["losses"][-5:]) / 5)
    assert list(result["validation_losses"]) == [str(step) for step in range(25)]
    assert result["steps_per_s"] is None  # the validation loss was measured after every step


def test_former_names_of_fields_are_understood() -> None:
    words = ["--vary", "holdout=0.1,0.2", "--vary", "accumulate=1,2", "--vary", "tie_lm_head=true"]
    assert ablate_command.make_context("ablate", words).params["vary"] == {
        "validation": [0.1, 0.2],
        "gradient_accumulation": [1, 2],
        "tie_lm_head": [True],
    }


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
def test_errors_are_one_line(
    folder: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "CONNECT_S", 0.1)
    result = run("ablate", *words, cwd=folder, code=None)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "results").exists()


def test_a_training_that_diverges_is_named(folder: Path, small: list[str]) -> None:
    words = ["ablate", "--vary", "lr=0.01,1e30", "--steps", "40", *small]
    error = run(*words, cwd=folder, code=1).stderr
    assert error.startswith("error: lr=1e+30 seed=42: the squared norm of the gradient at step ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "module"), [("ablate", "scipy"), ("show r", "matplotlib"), ("plot r", "matplotlib")]
)
def test_a_missing_extra_is_one_line_before_any_work(
    folder: Path, command: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = run(*command.split(), cwd=folder, code=1)
    assert result.stderr == f"error: no {module} here: .venv/bin/pip install -e '.[plot]'\n"
    assert not (folder / "results").exists()
