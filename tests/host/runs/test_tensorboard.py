"""Events of a host's runs, read back with TensorBoard's own readers."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.runs import tensorboard
from microgpt.runs.execute import execute
from microgpt.runs.folder import RunFolder
from microgpt.runs.log import Name, Step
from microgpt.runs.plan import Plan
from microgpt.training import Record

from tests.support.commands import (
    run,
    run_with_file_limit,
    unmeasured_environment,
    without_modules,
)

pytest.importorskip(
    "tensorboard", reason="needs TensorBoard: .venv/bin/pip install -e '.[tensorboard]'"
)
from tests.support import events  # noqa: E402

MICROGPT = str(Path(sys.executable).with_name("microgpt"))
SMALL = ["--n-embd", 4, "--n-head", 1]


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def float32(values: list[float]) -> list[float]:
    return np.array(values, "float32").tolist()


def test_the_events_of_a_run_are_its_log_its_settings_and_samples(tmp_path: Path) -> None:
    words = ["--steps", 150, "--validation", 0.01, "--seed", 7, *SMALL]
    run("train", *words, "--out", "runs/first", "--tensorboard", "logs", cwd=tmp_path)
    log = log_of(tmp_path / "runs" / "first")
    losses = [record["loss"] for record in log]
    found = events.scalars(tmp_path / "logs" / "first")
    assert found.keys() == {"loss/step", "loss/mean", "loss/validation", "training/lr"}
    steps = list(range(150))
    assert found["loss/step"] == list(zip(steps, float32(losses), strict=True))
    rates = float32([record["lr"] for record in log])
    assert found["training/lr"] == list(zip(steps, rates, strict=True))
    means = [np.mean(losses[max(0, step - 99) : step + 1]) for step in steps]
    assert found["loss/mean"] == [(s, pytest.approx(m)) for s, m in zip(steps, means, strict=True)]
    held = [(record["step"], record["validation"]) for record in log if "validation" in record]
    assert len(held) == 20
    assert found["loss/validation"] == [(step, *float32([loss])) for step, loss in held]

    ((step, text),) = events.samples(tmp_path / "logs" / "first")
    model = microgpt.load(tmp_path / "runs" / "first")
    assert step == 149
    assert text.split("\n") == [f"    {name}" for name in microgpt.generate(model, 20, seed=7)]

    session = events.sessions(tmp_path / "logs")["first"]
    expected = {"n_embd": 4, "n_head": 1, "block_size": 16, "tie_lm_head": False, "steps": 150}
    expected |= {"lr": 0.01, "seed": 7, "validation": 0.01, "order": "shuffled", "threads": 1}
    expected |= {"data": "names.txt", "documents": 32469, "chat": False, "dtype": "float32"}
    assert expected.items() <= session.hparams.items()
    assert not session.hparams.keys() & {"schema", "started", "environment", "from", "sha256"}
    assert session.metrics == {tag: values[-1][1] for tag, values in found.items()}
    assert session.status == "STATUS_SUCCESS"


def test_every_run_has_its_own_row_with_all_its_settings(tmp_path: Path) -> None:
    words = ["--tensorboard", "logs", *SMALL]
    run("train", "--steps", 3, *words, "--out", "a/it", cwd=tmp_path)
    run("train", "--from", "a/it", "--steps", 4, "--tensorboard", "logs", "--out", "b/it",
        cwd=tmp_path)  # fmt: skip
    run("train", "--repeat", "a/it", "--tensorboard", "logs", "--out", "c/it", cwd=tmp_path)
    found = events.sessions(tmp_path / "logs")
    assert {name: session.hparams["steps"] for name, session in found.items()} == {
        "it": 3, "it-2": 4, "it-3": 3
    }  # fmt: skip
    assert found["it-2"].hparams["from"] == "a/it"  # which the first one has not
    assert found["it"].metrics == found["it-3"].metrics


def test_the_folder_of_runs_can_be_the_folder_of_events(tmp_path: Path) -> None:
    run("train", "--steps", 3, *SMALL, "--out", "runs/it", "--tensorboard", "runs", cwd=tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["it"]
    assert len(events.scalars(tmp_path / "runs" / "it")["loss/step"]) == 3
    run("info", "runs/it", cwd=tmp_path)


def test_a_resumed_run_has_all_steps(tmp_path: Path) -> None:
    words = ["--steps", 20, "--checkpoint-every", 13, "--validation", 0.01, *SMALL]
    run("train", *words, "--out", "it", "--tensorboard", "logs", cwd=tmp_path)
    run("resume", "it", "--out", "again", "--tensorboard", "logs", cwd=tmp_path)
    assert events.scalars(tmp_path / "logs" / "again") == events.scalars(tmp_path / "logs" / "it")


def test_a_long_run_has_a_thousand_points_and_its_last_step(tmp_path: Path) -> None:
    content = {"train": {"steps": 3500}}
    recorded = RunFolder(tmp_path / "it", content, tensorboard=tmp_path)
    for step in range(3500):
        recorded.log(Step(step, 3.0, validation=2.0 if step in (5, 3001) else None))
    recorded.close(True)
    found = events.scalars(tmp_path / "it")
    steps = [step for step, _ in found["loss/step"]]
    assert steps[:5] == [0, 4, 5, 9, 13]
    assert 5 < len(steps) <= tensorboard.POINTS
    assert steps[-1] == 3499
    assert [step for step, _ in found["loss/validation"]] == [5, 3001]


def test_a_run_can_be_watched_while_it_trains(tmp_path: Path) -> None:
    plan = Plan(microgpt.data.NAMES, microgpt.ModelConfig(), microgpt.TrainConfig(steps=5))
    seen = []

    def watch(records: Iterator[Record], *_: int) -> Iterator[Record]:
        for record in records:
            (session,) = events.sessions(tmp_path / "logs").values()
            seen.append((len(events.scalars(tmp_path / "logs" / "it")["loss/step"]), session))
            yield record

    execute(plan, tmp_path / "it", print, watch, tensorboard=tmp_path / "logs")
    assert [count for count, _ in seen] == [1, 2, 3, 4, 5]
    assert {session.status for _, session in seen} == {"STATUS_UNKNOWN"}


def test_a_loss_that_is_not_finite_is_no_point(tmp_path: Path) -> None:
    recorded = RunFolder(tmp_path / "it", {}, tensorboard=tmp_path)
    for step, loss in enumerate([3.0, None, 2.0]):
        recorded.log(Step(step, loss))
    recorded.close(None)
    found = events.scalars(tmp_path / "it")
    assert found == {
        "loss/step": [(0, 3.0), (2, 2.0)], "loss/mean": [(0, 3.0), (1, 3.0), (2, 2.5)]
    }  # fmt: skip


def test_samples_are_shown_as_they_are(tmp_path: Path) -> None:
    recorded = RunFolder(tmp_path / "it", {}, tensorboard=tmp_path)
    for text in ("# <b>*é*</b>", "", "\x1b[2J\n# a"):
        recorded.log(Name(text))
    recorded.close(None)
    assert events.samples(tmp_path / "it") == [(0, "    # <b>*é*</b>\n    \n    \\x1b[2J\\n# a")]


def test_ctrl_c_leaves_whole_events(tmp_path: Path) -> None:
    words = ["--steps", "400000", "--out", "it", "--tensorboard", "logs"]
    with subprocess.Popen(
        [MICROGPT, "train", *words],
        cwd=tmp_path,
        env=unmeasured_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"")
    assert output.endswith(b"interrupted: the run is in it\n")
    found = events.scalars(tmp_path / "logs" / "it")["loss/step"]
    # Ctrl-C may come between a step's record in the log and its event.
    assert found[-1][0] >= log_of(tmp_path / "it")[-1]["step"] - 1
    assert "samples" not in events.read(tmp_path / "logs" / "it").Tags()["tensors"]
    assert events.sessions(tmp_path / "logs")["it"].status == "STATUS_FAILURE"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_full_disk_costs_the_events_and_nothing_else(tmp_path: Path) -> None:
    words = ["train", "--steps", "200", "--out", "it", "--tensorboard", "logs"]
    command = [MICROGPT, *words, *map(str, SMALL)]
    # Room for the log and for the weights, not for the events; nor for loss.png.
    result = run_with_file_limit(command, tmp_path, 16_000)
    assert (result.returncode, result.stderr) == (0, "")
    (file,) = (tmp_path / "logs" / "it").iterdir()
    assert result.stdout.splitlines()[-2:] == [
        "no loss.png: it/loss.png: File too large; "
        f"no more events for TensorBoard: {file.relative_to(tmp_path)}: File too large",
        "the run is in it",
    ]
    assert len(log_of(tmp_path / "it")) == 200
    assert len(microgpt.generate(microgpt.load(tmp_path / "it"), 3)) == 3
    found = events.scalars(tmp_path / "logs" / "it")["loss/step"]  # as far as they go
    assert [step for step, _ in found] == list(range(len(found)))
    assert 20 < len(found) < 200


def test_a_folder_that_cannot_be_is_one_line_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    words = ["train", "--steps", 5, *SMALL, "--out", "it", "--tensorboard"]
    for folder, message in (
        ("logs", "logs is a file: name a folder with --tensorboard"),
        ("logs/deeper", "logs/deeper: Not a directory: name another with --tensorboard"),
    ):
        result = run(*words, folder, cwd=tmp_path, code=1)
        assert (result.stdout, result.stderr) == ("", f"error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_folder_that_goes_costs_the_events_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    recorded = RunFolder(tmp_path / "it", {}, tensorboard=tmp_path / "logs")
    recorded.log(Step(0, 3.0))
    remark = recorded.close(True)
    assert remark
    assert re.search(r"no more events for TensorBoard: .*logs.*: \w", remark)
    assert len(log_of(tmp_path / "it")) == 1


def test_without_the_library_it_says_how_before_anything_is_done(tmp_path: Path) -> None:
    env = without_modules("tensorboard", folder=tmp_path)
    words = ["train", "--data", "nothing", "--tensorboard", "logs", "--out", "it"]
    result = subprocess.run([MICROGPT, *words], cwd=tmp_path, env=env, capture_output=True)
    assert result.returncode == 1
    how = b"no tensorboard here: .venv/bin/pip install -e '.[tensorboard]'"
    assert result.stderr == b"error: " + how + b"\n"
    assert not (tmp_path / "logs").exists()
