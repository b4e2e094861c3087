"""The command `microgpt`: train, generate, and what is the same in all commands."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import pytest
from microgpt.cli.train import train_command
from microgpt.engines import resolve

from tests.support.commands import read_terminal, run, unmeasured_environment, without_modules

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def test_train_leaves_a_run_and_generate_uses_it(tmp_path: Path) -> None:
    output = run("train", "--steps", "60", "--seed", "3", cwd=tmp_path).stdout
    assert "step 60/60  loss " in output
    assert "steps/s" in output
    assert "\x1b" not in output
    (folder,) = (tmp_path / "runs").iterdir()
    about = json.loads((folder / "run.json").read_text())
    assert about["engine"] == resolve("auto", microgpt.ModelConfig(), "float32")
    assert about["seed"] == 3
    assert about["train"]["steps"] == 60
    assert about["data"]["documents"] == 32469
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    assert about["environment"]["commit"] == (head.stdout.strip() or None)
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(60))
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    names = run("generate", str(folder), "-n", "5", cwd=tmp_path).stdout.splitlines()
    assert names == microgpt.generate(microgpt.load(folder), 5)
    assert run("sample", str(folder), "-n", "5", cwd=tmp_path).stdout.splitlines() == names
    assert "4,192" in run("info", str(folder), cwd=tmp_path).stdout


def test_train_with_the_scalar_engine(tmp_path: Path) -> None:
    run("train", "--steps", "2", "--engine", "scalar", "--out", "r", cwd=tmp_path)
    assert microgpt.load(tmp_path / "r").parameter_count == 4192


def test_ctrl_c_ends_a_run_with_what_it_has(tmp_path: Path) -> None:
    command = [MICROGPT, "train", "--steps", "1000000", "--out", "r"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=unmeasured_environment(), stdout=subprocess.PIPE, text=True
    )
    log = tmp_path / "r" / "log.jsonl"
    while not (log.exists() and log.stat().st_size > 1000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: the run is in r" in output
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(len(records)))
    microgpt.load(tmp_path / "r")
    assert (tmp_path / "r" / "loss.png").exists()


def test_a_loss_that_is_not_a_number_leaves_the_model_before_the_log_and_the_picture(
    tmp_path: Path,
) -> None:
    words = ["train", "--lr", "1e30", "--steps", "50", "--out", "r"]
    errors = run(*words, cwd=tmp_path, code=1).stderr
    assert errors.endswith("; the run so far is in r, with its model\n")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "log.jsonl",
        "loss.png",
        "model",
        "run.json",
    ]


def test_gradcheck_passes_and_can_fail(tmp_path: Path) -> None:
    small = ["--n-embd", "4", "--n-head", "2", "--block-size", "4"]
    output = run("gradcheck", *small, cwd=tmp_path).stdout
    assert "layer0.mlp_fc2" in output
    assert "FAIL" not in output
    assert "FAIL" in run("gradcheck", *small, "--tolerance", "1e-18", cwd=tmp_path, code=1).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--n-head", "3"], "error: --n-embd 16 is not divisible by --n-head 3\n"),
        (["train", "--steps", "0"], "error: --steps must be a whole number from 1 on, not 0\n"),
        (["train", "--lr", "nan"], "error: --lr must be a number above 0, not nan\n"),
        (["train", "--holdout", "2"], "error: --validation must be a number from 0 to below 1"),
        (["train", "--accumulate", "0"], "error: --gradient-accumulation must be a whole number"),
        (["ablate", "--block-size", "0"], "error: --block-size must be a whole number from 1 on"),
        (["train", "--data", "nothing.txt"], "cannot read nothing.txt"),
        (["train", "--data", "empty.txt"], "empty.txt holds no documents"),
        (["train", "--data", "binary.txt"], "binary.txt is not UTF-8 text"),
        (["train", "--out", "."], ". exists already"),
        (["train", "--out", ".", "--data", "nothing.txt"], ". exists already"),  # before all else
        (["train", "--speed", "9"], "No such option"),
        (["train", "--from", "r", "--n-embd", "6"], "--from takes the sizes from the model"),
        (["train", "--repeat", "r", "--steps", "0"], "--repeat takes everything else from"),
        (["generate", "nothing"], "nothing does not exist: name a model's folder, a run or a s"),
        (["generate", ""], "Invalid value for 'FOLDER': it is empty: name a file or a folder"),
        (["train", "--out", ""], "'--out': it is empty: name a file or a folder"),
        (["train", "--tensorboard", ""], "'--tensorboard': it is empty: name a file or a folder"),
        (["train", "--lr", "1e30", "--steps", "50"], "lower lr"),
        (["generate", "nothing", "--temperature", "hot"], "not a valid float"),
        (["generate", "nothing", "--top-p", "1.5"], "--top-p must be a number from 0 to 1, not"),
        (["generate", "nothing", "--top-k", "-1"], "--top-k must be a whole number from 0 on"),
        (["chat", "nothing", "--min-p", "nan"], "--min-p must be a number from 0 to 1, not nan"),
        (["chat", "nothing", "--repetition-penalty", "0"], "--repetition-penalty must be a numbe"),
        (["fly"], "No such command"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    result = run(*words, cwd=tmp_path, code=None)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_documents_are_printed_as_they_are_made(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=8, block_size=8), seed=3)
    model.save(tmp_path / "m")
    for words in ([], ["--top-k", "5"]):
        endless = [MICROGPT, "generate", "m", "-n", str(10**21), *words]
        with subprocess.Popen(endless, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                some = [process.stdout.readline() for _ in range(20)]
            finally:
                process.kill()
        assert "".join(some) == run("generate", "m", *words, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "words", ["train", "ablate", "bench", "gradcheck", "generate nothing", "chat nothing"]
)
def test_a_negative_seed_is_refused_alike_by_every_command(tmp_path: Path, words: str) -> None:
    result = run(*words.split(), "--seed", "-1", cwd=tmp_path, code=1)
    assert result.stderr == "error: --seed must be a whole number from 0 on, not -1\n"
    assert list(tmp_path.iterdir()) == []


def test_former_names_of_options_are_understood() -> None:
    params = train_command.make_context("train", ["--holdout", "0.1", "--accumulate", "2"]).params
    assert params["validation"] == 0.1
    assert params["gradient_accumulation"] == 2


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    terminal, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    command = [MICROGPT, "train", "--steps", "50", "--out", "r"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=side, stderr=side, env=environment)
    os.close(side)
    output = read_terminal(terminal)
    assert process.wait() == 0
    assert b"50/50" in output
    assert b"\x1b[" in output


@pytest.mark.parametrize(
    ("missing", "extra", "command"),
    [
        ("fastapi", "serve", "serve --model m"),
        ("torch", "torch", "train --engine torch"),
        ("torch", "torch", "train --engine torch --checkpoint-every 5"),
    ],
)
def test_an_extra_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, extra: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "microgpt.engines.torch", raising=False)  # imports torch
    result = run(*command.split(), cwd=tmp_path, code=1)
    assert result.stderr.startswith("error: no ")
    assert result.stderr.endswith(f" here: .venv/bin/pip install -e '.[{extra}]'\n")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # no half of a run


def test_without_matplotlib_a_training_has_its_model(tmp_path: Path) -> None:
    result = subprocess.run(
        [MICROGPT, "train", "--steps", "5", "--out", "r"],
        cwd=tmp_path,
        env=without_modules("matplotlib", folder=tmp_path),
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-2:] == [
        "no loss.png: .venv/bin/pip install -e '.[plot]'",
        "the run is in r",
    ]
    assert (tmp_path / "r" / "model" / "weights.json").exists()


def test_completion() -> None:
    environment = {**os.environ, "_MICROGPT_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    environment["COMP_WORDS"] = "microgpt ab"
    output = subprocess.run([MICROGPT], env=environment, capture_output=True, text=True).stdout
    assert output == "plain,ablate\n"
    environment |= {"COMP_WORDS": "microgpt train --stri", "COMP_CWORD": "2"}
    output = subprocess.run([MICROGPT], env=environment, capture_output=True, text=True).stdout
    assert output == "plain,--strict\n"


def test_every_command_has_one_line_of_help_and_an_example(tmp_path: Path) -> None:
    lines = run("--help", cwd=tmp_path).stdout.split("Commands:\n")[1].splitlines()
    commands = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert {"train", "ablate", "bench", "plot", "show"} <= set(commands)
    for line in lines:
        assert not line.endswith("..."), line
    examples = {"train", "resume", "generate", "info", "gradcheck", "chat", "serve"}
    for command in examples | {"ablate", "bench", "plot", "show"}:
        assert f"microgpt {command} " in run(command, "--help", cwd=tmp_path).stdout
