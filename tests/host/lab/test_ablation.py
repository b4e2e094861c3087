"""Ablations: which trainings are compared, what is written of them, and what is refused."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from microgpt.cli.lab import ablate_command
from microgpt.config import ModelConfig, TrainConfig
from microgpt.errors import ConfigError
from microgpt.lab import sweep
from microgpt.lab.ablation import run_training, trainings
from microgpt.runs.environment import computation

from tests.support.commands import run, run_with_file_limit, without_modules

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def test_the_four_variants(folder: Path, small: list[str], docs: list[str]) -> None:
    words = ["ablate", "--steps", "40", "--seeds", "2", "--last", "10", *small]
    output = run(*words, cwd=folder).stdout
    out = folder / "results" / "ablation"
    kept = folder / "results" / "trainings"
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

    started = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert "8/8  done before" in run(*words, cwd=folder).stdout
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == started


def test_a_training_of_a_sweep_is_the_one_of_train(folder: Path, small: list[str]) -> None:
    settings = ["--steps", "30", "--validation", "0.2", "--seed", "3", "--no-input-rmsnorm"]
    run("train", *settings, *small, "--out", "r", cwd=folder)
    run("ablate", *settings, *small, "--vary", "lr=0.01,0.02", "--out", "c", cwd=folder)
    log = [json.loads(line) for line in (folder / "r" / "log.jsonl").read_text().splitlines()]
    kept = folder / "results" / "trainings"
    results = [json.loads(file.read_text()) for file in kept.iterdir()]
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
    here = computation("tensor")
    assert len({job.key("data", here) for job in jobs}) == 8
    assert jobs[0].key("data", here) != jobs[0].key("other data", here)
    assert jobs[0].key("data", here) != jobs[0].key("data", {**here, "numpy": "1.0"})
    (same,) = trainings(ModelConfig(n_embd=8), TrainConfig(seed=5, lr=0.1), {}, seeds=1)
    assert same.variant != jobs[0].variant
    assert same.key("data", here) == jobs[0].key("data", here)


def test_a_result_survives_json(docs: list[str]) -> None:
    config = TrainConfig(steps=15, validation=0.2)
    (job,) = trainings(ModelConfig(n_embd=4), config, {"decay": ["cosine"]}, seeds=1)
    result = run_training(job, "\n".join(docs), last=5)
    assert json.loads(json.dumps(result)) == result
    assert result["mean_loss"] == pytest.approx(sum(result["losses"][-5:]) / 5)
    assert list(result["validation_losses"]) == [str(step) for step in range(15)]
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
        (["--vary", "lr=0.01,0.003,0.010"], "lr has the value 0.01 twice: give it once"),
        (["--vary", "tie_lm_head=true,True"], "tie_lm_head has the value true twice"),
        (["--vary", "lr=0.1", "--vary", "lr=0.2"], "lr is there twice: give all its values at on"),
        (["--vary", "holdout=0.1", "--vary", "validation=0.2"], "validation is there twice"),
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


def test_a_value_that_is_there_twice_is_no_further_seed() -> None:
    for vary in ({"lr": [0.01, 0.1, 1e-2]}, {"tie_lm_head": [True, True]}, {"seed": [1, 2]}):
        with pytest.raises(ConfigError, match="twice|cannot vary"):
            trainings(ModelConfig(), TrainConfig(), vary, seeds=2)


def test_a_training_that_diverges_has_a_row(folder: Path, small: list[str]) -> None:
    words = ["ablate", "--vary", "lr=1e30,0.01", "--steps", "40", "--seeds", "2", *small]
    output = run(*words, cwd=folder).stdout
    assert "4/4  " in output
    assert re.search(
        r"^ lr=1e\+30 +diverged at step [1-9] +- +- +- +- +\d+ $", output, re.MULTILINE
    )
    assert re.search(r"^lr=1e\+30: 2 of 2 seeds diverged and are left out \(seed 42 ", output, re.M)
    out = folder / "results" / "vary-lr"

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((out / "comparison.json").read_text(), parse_constant=refuse)
    diverged, other = content["variants"]
    assert (diverged["diverged"], other["diverged"]) == (2, 0)
    assert diverged["diverged_at_step"] >= 1
    assert diverged["mean_loss"] is diverged["validation_loss"] is diverged["steps_per_s"] is None
    assert other["mean_loss"] > 0
    assert other["mean_loss_sd"] > 0
    assert content["differences"] == []
    assert [training["seed"] for training in content["trainings"]] == [42, 43, 42, 43]
    with open(out / "comparison.csv") as file:
        assert [row["diverged"] for row in csv.DictReader(file)] == ["2", "0"]
    page = (out / "comparison.md").read_text()
    assert "\n| lr=1e+30 | diverged at step " in page
    assert "\nlr=1e+30: 2 of 2 seeds diverged" in page
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    for file in (folder / "results" / "trainings").iterdir():
        json.loads(file.read_text(), parse_constant=refuse)
    assert "4/4  done before" in run(*words, cwd=folder).stdout


def test_a_validation_loss_that_is_not_finite_is_a_divergence(docs: list[str]) -> None:
    config = TrainConfig(steps=1, lr=1e30, validation=0.2)
    (job,) = trainings(ModelConfig(n_embd=4), config, {}, seeds=1)
    result = run_training(job, "\n".join(docs), last=5)
    assert (result["diverged"], result["losses"], result["validation_losses"]) == (0, [], {})
    assert result["final_loss"] is result["mean_loss"] is result["validation_loss"] is None


def test_too_few_documents_are_no_divergence(folder: Path, small: list[str]) -> None:
    words = ["ablate", "--vary", "validation=0.999", "--steps", "1", *small]
    error = run(*words, cwd=folder, code=1).stderr
    assert error.startswith("error: validation=0.999 seed=42: validation 0.999 makes 0 documents")
    assert error.count("\n") == 1


def test_a_comparison_replaces_nothing(folder: Path, small: list[str]) -> None:
    words = ["ablate", "--vary", "lr=0.01,0.02", "--steps", "2", *small]
    mine = folder / "results" / "vary-lr" / "comparison.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert "the comparison is in results/vary-lr-2\n" in run(*words, cwd=folder).stdout
    assert "the comparison is in results/vary-lr-3\n" in run(*words, cwd=folder).stdout
    assert mine.read_text() == "mine"
    assert "the comparison is in c\n" in run(*words, "--out", "c", cwd=folder).stdout
    before = {file: file.read_bytes() for file in (folder / "c").iterdir()}
    result = run(*words, "--steps", "3", "--out", "c", cwd=folder, code=1)
    assert result.stderr == "error: c exists already: name another with --out\n"
    assert result.stdout == ""
    assert {file: file.read_bytes() for file in (folder / "c").iterdir()} == before


def test_a_picture_that_cannot_be_written_costs_no_figures(folder: Path, small: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    words = [MICROGPT, "ablate", "--vary", "lr=0.01,0.02", "--steps", "2", *small]
    result = run_with_file_limit(words, folder, 15_000)  # the picture is larger
    assert (result.returncode, result.stderr) == (0, "")
    assert "no comparison.png: " in result.stdout
    assert "File too large" in result.stdout
    assert result.stdout.endswith("the comparison is in results/vary-lr\n")
    written = {path.name for path in (folder / "results" / "vary-lr").iterdir()}
    assert written == {"comparison.json", "comparison.csv", "comparison.md"}


def test_a_comparison_that_cannot_be_written_leaves_no_folder(
    folder: Path, small: list[str]
) -> None:
    words = [MICROGPT, "ablate", "--vary", "lr=0.01,0.02", "--steps", "2", *small]
    result = run_with_file_limit(words, folder, 1_500)  # comparison.json is larger, no training
    assert result.returncode == 1
    assert "File too large" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in (folder / "results").iterdir()] == ["trainings"]
    assert "2/2  done before" in run(*words[1:], cwd=folder).stdout


def test_without_matplotlib_and_scipy_there_are_figures(folder: Path, small: list[str]) -> None:
    words = [MICROGPT, "ablate", "--vary", "lr=0.01,0.02", "--steps", "5", "--seeds", "2", *small]
    env = without_modules("matplotlib", "scipy", folder=folder)
    result = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-3:] == [
        "no test of which differences are noise, without scipy: .venv/bin/pip install -e '.[plot]'",
        "no comparison.png: .venv/bin/pip install -e '.[plot]'",
        "the comparison is in results/vary-lr",
    ]
    out = folder / "results" / "vary-lr"
    assert sorted(path.suffix for path in out.iterdir()) == [".csv", ".json", ".md"]
    assert "without scipy" in (out / "comparison.md").read_text()


@pytest.mark.parametrize("command", ["show r", "plot r"])
def test_a_command_that_only_draws_says_what_is_missing(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*command.split(), cwd=folder, code=1)
    assert result.stderr == "error: no matplotlib here: .venv/bin/pip install -e '.[plot]'\n"
    assert not (folder / "results").exists()


def test_the_mean_is_of_no_more_steps_than_a_training_has(folder: Path, small: list[str]) -> None:
    words = ["ablate", *small, "--out", "c", "--last", "1000"]
    output = run(*words, "--vary", "steps=7,9", cwd=folder).stdout
    assert "mean of the last 7 " in output
    content = json.loads((folder / "c" / "comparison.json").read_text())
    assert content["settings"]["last"] == 7
    assert "mean of the last 7 |" in (folder / "c" / "comparison.md").read_text()
