"""A run of the virtual board that goes on: more steps, other sizes, its own documents."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from microgpt_board.device import log
from microgpt_board.emulation.micropython import run_board
from ugpt import checkpoint
from ugpt.layout import Sizes, parameter_count

from tests.support.commands import microgpt_board


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[str]]:
    """Run the virtual board in tmp_path with the words of a command line; return its log."""

    def run(*words: object) -> list[str]:
        paths = ["--flash", tmp_path, "--runs", tmp_path / "runs"]
        result = microgpt_board("run", *words, *paths)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    return run


def test_resume_goes_on_with_the_saved_run_and_more_steps_extend_it(
    tmp_path: Path, run: Callable[..., list[str]]
) -> None:
    run("--steps", 20, "--seed", 7)
    lines = run("--resume")
    assert " seed:7 " in lines[0]
    assert lines[1] == "# complete at step 20 of 20 from checkpoint.bin"
    lines = run("--resume", "--steps", 40)
    assert lines[1] == "# resumed at step 20 of 40 from checkpoint.bin, extended from 20 steps"
    steps = [event for line in lines if isinstance(event := log.parse(line), log.Step)]
    assert [(event.step, event.lr) for event in steps] == [(20, 0.005), (30, 0.0025), (39, 0.00025)]
    assert "# saved at step 40 of 40" in lines
    lines = run("--resume")
    assert lines[1] == "# complete at step 40 of 40 from checkpoint.bin, extended"
    (replayed,) = (
        microgpt_board("replay", folder)
        for folder in (tmp_path / "runs").iterdir()
        if "extended from" in (folder / "log.jsonl").read_text()
    )
    assert replayed.returncode == 1
    assert "was extended to more steps" in replayed.stderr
    assert len(replayed.stderr.splitlines()) == 1


OTHER_SIZES = {"n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 32}
OTHER_SWITCHES = {"tie_lm_head": True, "input_rmsnorm": False}
OTHER_MODEL = [
    *("--n-layer", 2, "--n-embd", 24, "--n-head", 3, "--block-size", 32),
    *("--tie-lm-head", "--no-input-rmsnorm"),
]
OTHER_LINE = " n_embd:24 n_head:3 n_layer:2 block_size:32 tie_lm_head:1 input_rmsnorm:0"


def test_a_model_of_another_size_trains_and_is_resumed(
    tmp_path: Path, run: Callable[..., list[str]]
) -> None:
    count = parameter_count(Sizes(27, **OTHER_SIZES, **OTHER_SWITCHES))
    first = run("--steps", 100, *OTHER_MODEL)
    assert first[0].endswith(f" parameters:{count} steps:100 data:32469{OTHER_LINE}")
    assert sum(line.startswith("name:") for line in first) == 20
    steps = [event for line in first if isinstance(event := log.parse(line), log.Step)]
    assert steps[-1].mean < steps[0].loss - 0.5
    settings = json.loads((tmp_path / "ugpt.json").read_text())
    assert settings == {"steps": 100, **OTHER_SIZES, **OTHER_SWITCHES}

    run("--steps", 50, *OTHER_MODEL)
    resumed = run("--resume", "--steps", 100)  # the sizes are those of the saved run
    assert resumed[0] == first[0]
    assert "# resumed at step 50 of 100 from checkpoint.bin, extended from 50 steps" in resumed

    again = run("--resume", "--n-layer", 1)  # a contradiction: it is another run
    assert any(
        line.startswith("# checkpoint.bin is of another run (n_layer 2, not 1)") for line in again
    )
    assert run("--steps", 2)[0].endswith(" parameters:4192 steps:2 data:32469")


def test_a_resumed_run_keeps_its_documents(tmp_path: Path) -> None:
    towns, others = tmp_path / "towns.txt", tmp_path / "others.txt"
    towns.write_text("Zürich\nGenève\n", encoding="utf-8")
    others.write_text("Ulm\n")
    flash = tmp_path / "flash"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        result = microgpt_board("run", *words, "--flash", flash, "--runs", tmp_path / "runs")
        assert result.returncode == 0, result.stderr
        return result

    run("--names", towns, "--steps", 10)
    resumed = run("--resume")
    assert "# complete at step 10 of 10 from checkpoint.bin\n" in resumed.stdout
    assert f"{flash / 'names.bin'}: the documents stay\n" in resumed.stderr

    another = run("--resume", "--names", others)  # a list that is given is taken
    assert "# checkpoint.bin is of another run (vocab_size 12, not 4)" in another.stdout
    default = run("--resume")  # the list of the saved run is gone
    assert " data:32469" in default.stdout
    again = run("--resume", "--names", towns)
    assert "# complete at step 10 of 10 from checkpoint.bin\n" in again.stdout
    with (flash / "names.bin").open("r+b") as file:
        file.seek(40)
        file.write(b"?")
    assert " data:32469" in run("--resume").stdout  # it is damaged


def test_a_killed_run_of_another_size_ends_at_the_same_weights(flash: Path, tmp_path: Path) -> None:
    settings = {**OTHER_SIZES, **OTHER_SWITCHES, "steps": 60, "save_every_s": 0, "log_every": 1}

    def board(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(flash, folder)
        return folder

    whole = board("whole")
    list(run_board(whole, settings))
    killed = board("killed")
    lines = run_board(killed, settings)
    next(line for line in lines if line.startswith("step:30 "))
    lines.close()
    resumed = list(run_board(killed, settings, resume=True))
    assert any(line.startswith("# resumed at step ") for line in resumed)
    newest = [(folder / checkpoint.NEWEST).read_bytes() for folder in (whole, killed)]
    assert newest[0] == newest[1]
