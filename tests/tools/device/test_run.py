"""Link 4 and the main job: the firmware in real MicroPython."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from microgpt import boards
from microgpt_board.device import log
from microgpt_board.emulation.micropython import HEAP, find_micropython, run_board
from ugpt import checkpoint
from ugpt.board import NAMES_TO_MAKE
from ugpt.layout import Sizes, parameter_count, training_bytes

from tests.support.commands import microgpt_board
from tests.support.kernels import native_kernels

ROOT = Path(__file__).parents[3]
TRACE = ROOT / "tests" / "support" / "micropython" / "trace.py"
NAMES = ROOT / "data" / "names.txt"


def trace(command: list[str], package: Path) -> str:
    path = "PYTHONPATH" if command[0] == sys.executable else "MICROPYPATH"
    environment = {**os.environ, path: f"{package}:{ROOT}"}
    result = subprocess.run(
        [*command, str(TRACE)], capture_output=True, text=True, env=environment, check=True
    )
    return result.stdout


def test_the_same_bits_in_cpython_and_micropython(flash: Path) -> None:
    expected = trace([sys.executable], ROOT / "firmware")
    assert "step 19" in expected
    assert trace([find_micropython()], ROOT / "firmware") == expected
    assert trace([find_micropython()], flash) == expected


def events(flash: Path, heap: str = HEAP, **settings: int) -> list[log.Event]:
    return [log.parse(line) for line in run_board(flash, settings, heap)]


def test_1000_steps_in_300_kb(flash: Path) -> None:
    start, *steps = events(flash, heap="300k", steps=1000)
    names = [event.text for event in steps if isinstance(event, log.Name)]
    steps = [event for event in steps if isinstance(event, log.Step)]
    assert isinstance(start, log.Start)
    assert (start.seed, start.parameters, start.steps, start.data) == (42, 4192, 1000, 32469)
    assert [event.step for event in steps] == [*range(0, 1000, 10), 999]
    assert steps[0].loss == pytest.approx(3.3, abs=0.4)
    assert sum(event.mean for event in steps[-11:]) / 11 < 2.45
    assert [event.lr for event in steps[:3]] == [0.01, 0.0099, 0.0098]
    assert len(names) == 20
    assert len(set(names)) > 12


def test_names_of_any_text_are_logged_in_any_locale(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Zürich \u202e(\U0001f43f\u200d\U0001f525)\n", encoding="utf-8")
    words = ["run", "--steps", "300", "--names", names, "--flash", tmp_path / "flash"]
    result = subprocess.run(
        [sys.executable, "-m", "microgpt_board", *words, "--runs", tmp_path / "runs"],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    (path,) = (tmp_path / "runs").glob("*/log.jsonl")
    found = [json.loads(line).get("name") for line in path.read_text().splitlines()]
    assert "Zürich \\u202e(\U0001f43f\u200d\U0001f525)" in found
    assert result.stdout.decode("ascii").count("\nname:") == 20


def test_settings_reach_the_run(flash: Path) -> None:
    start, *rest = events(flash, steps=7, seed=5, log_every=3)
    assert (start.seed, start.steps) == (5, 7)
    steps = [event for event in rest if isinstance(event, log.Step)]
    assert [event.step for event in steps] == [0, 3, 6]


def test_the_mean_is_of_the_steps_in_between(flash: Path) -> None:
    every = [e.loss for e in events(flash, steps=9, log_every=1) if isinstance(e, log.Step)]
    fourth = [e for e in events(flash, steps=9, log_every=4) if isinstance(e, log.Step)]
    assert [e.loss for e in fourth] == [every[0], every[4], every[8]]
    assert fourth[1].mean == pytest.approx(sum(every[1:5]) / 4, abs=1e-4)


def test_the_seed_fixes_the_run_and_0_takes_one_from_the_hardware(flash: Path) -> None:
    def losses(seed: int) -> list[float]:
        return [e.loss for e in events(flash, steps=5, seed=seed) if isinstance(e, log.Step)]

    assert losses(5) == losses(5) != losses(6)
    seeds = {events(flash, steps=1, seed=0)[0].seed for _ in range(3)}
    assert len(seeds) == 3
    assert 0 not in seeds


def said(flash: Path, code: str) -> str:
    """Return what `code` prints on the virtual board."""
    command = [find_micropython(), "-X", "heapsize=300k", "-c", code]
    result = subprocess.run(command, cwd=flash, capture_output=True, text=True, check=True)
    return result.stdout


def test_memory_does_not_grow(flash: Path) -> None:
    code = """
import gc
from ugpt import board
from ugpt.dataset import Dataset
from ugpt.training import Training

training = Training(Dataset(board.open_names()))
free = []
for steps in (10, 1000):
    while training.step < steps:
        training.run_step()
    gc.collect()
    free.append(gc.mem_free())
print(free[0] - free[1])
"""
    assert abs(int(said(flash, code))) <= 2048


def test_a_step_leaves_256_bytes_of_garbage_at_most(flash: Path) -> None:
    native_kernels(flash)
    code = """
import gc
from ugpt import backend, board
from ugpt.dataset import Dataset
from ugpt.training import Training

training = Training(Dataset(board.open_names()), kernels=backend.choose()[0])
gc.collect()
gc.disable()
training.run_step()
for _ in range(10):
    before = gc.mem_alloc()
    training.run_step()
    print(gc.mem_alloc() - before)
"""
    garbage = [int(line) for line in said(flash, code).splitlines()]
    assert len(garbage) == 10
    assert max(garbage) <= 256


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no names: neither"),
        (lambda path: path.write_bytes(b""), "is cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "is damaged"),
        (lambda path: path.write_bytes(b"\xff" * 100), "holds no names"),
    ],
)
def test_bad_data_is_one_line(tmp_path: Path, flash: Path, damage: object, message: str) -> None:
    board = tmp_path / "board"
    subprocess.run(["cp", "-r", str(flash), str(board)], check=True)
    damage(board / "names.bin")
    (only,) = events(board)
    assert isinstance(only, log.Remark)
    assert only.text.startswith("error: ")
    assert message in only.text


def test_too_little_memory_is_one_line(flash: Path) -> None:
    (only,) = events(flash, heap="100k")
    assert only.text.startswith("error: 4,192 parameters (n_embd 16, n_head 4, n_layer 1, ")
    assert " are free; what fits: N_EMBD=" in only.text


def test_the_command(tmp_path: Path) -> None:
    words = ["--steps", 30, "--flash", tmp_path, "--runs", tmp_path / "runs"]
    result = microgpt_board("run", *words)
    assert result.returncode == 0, result.stderr
    found = [log.parse(line) for line in result.stdout.splitlines()]
    assert isinstance(found[0], log.Start)
    assert (found[0].steps, found[0].data) == (30, 32469)
    steps = [event.step for event in found if isinstance(event, log.Step)]
    assert steps == [0, 10, 20, 29]
    assert all(isinstance(event, log.Name) for event in found[-20:])
    (folder,) = (tmp_path / "runs").iterdir()
    *progress, last = result.stderr.splitlines()
    assert progress[-1] == "30 of 30 steps, 0:00:00 left"
    assert last == f"the run is in {folder}"
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_head": 3}, "n_embd 16 is not divisible by n_head 3"),
        ({"n_embd": 1024, "n_layer": 64}, "805,378,048 parameters (n_embd 1024, "),
    ],
)
def test_sizes_that_cannot_be_are_one_line(
    flash: Path, settings: dict[str, int], message: str
) -> None:
    (only,) = events(flash, **settings)
    assert only.text.startswith(f"error: {message}")


def test_with_the_memory_of_a_board(tmp_path: Path) -> None:
    words = ["--steps", 5, "--flash", tmp_path, "--runs", tmp_path / "runs"]
    result = microgpt_board("run", *words, "--board", "ESP32_GENERIC")
    assert result.returncode == 0, result.stderr
    steps = [e for line in result.stdout.splitlines() if isinstance(e := log.parse(line), log.Step)]
    assert 0 < steps[-1].free < 139_840 - training_bytes(Sizes())
    large = ["--n-embd", 48, "--n-layer", 4, "--block-size", 64]
    spiram = ["--board", "ESP32_GENERIC_S3-SPIRAM_OCT"]
    result = microgpt_board("run", *words, *large, *spiram)
    assert result.returncode == 0, result.stderr
    assert " parameters:116256 " in result.stdout


def test_a_pico_2_trains_a_model_five_times_as_large(tmp_path: Path) -> None:
    words = ["--board", "RPI_PICO2", "--flash", tmp_path, "--runs", tmp_path / "runs"]
    sizes = boards.largest(boards.BOARDS["RPI_PICO2"].memory)
    trained = microgpt_board("run", *words, "--steps", 5, "--n-embd", sizes.n_embd)
    assert trained.returncode == 0, trained.stderr
    (start,) = [e for x in trained.stdout.splitlines() if isinstance(e := log.parse(x), log.Start)]
    assert start.parameters == parameter_count(sizes) > 5 * parameter_count(Sizes())
    assert "# saved at step 5 of 5\n" in trained.stdout
    assert trained.stdout.count("\nname:") == NAMES_TO_MAKE
    wider = microgpt_board("run", *words, "--n-embd", sizes.n_embd + sizes.n_head)
    assert wider.returncode == 1
    assert wider.stderr.startswith("error: RPI_PICO2: 26,312 parameters (n_embd 44, n_head 4, ")
    assert wider.stderr.endswith(f" N_EMBD={sizes.n_embd}\n")


def test_the_command_fails_in_one_line(tmp_path: Path) -> None:
    for words, message in (
        (["--names", "nothing.txt"], "cannot read nothing.txt"),
        (["--steps", "0"], "steps must be 1 to 1000000, not 0"),
        (["--seed", "-1"], "seed must be 0 to 4294967295, not -1"),
        (["--lr", "0"], "lr must be 1e-06 to 1.0, not 0.0"),
        (["--lr", "nan"], "lr must be 1e-06 to 1.0, not nan"),
        (["--names", str(ROOT / "LICENSE"), "--steps", "x"], "is not a valid integer"),
        (["--n-head", "3"], "n_embd 16 is not divisible by n_head 3"),
        (["--n-embd", "20", "--n-head", "8"], "n_embd 20 is not divisible by n_head 8"),
        (["--n-embd", "1025"], "1025 is not in the range 1<=x<=1024"),
        (["--n-layer", "0"], "0 is not in the range 1<=x<=64"),
        (["--block-size", "257"], "257 is not in the range 16<=x<=256"),
        (["--n-embd", "128", "--n-layer", "2"], "the virtual board: 402,176 parameters (n_embd"),
        (["--board", "ESP32_GENERIC", "--n-embd", "48"], "ESP32_GENERIC: 31,008 parameters (n_e"),
        (["--board", "ESP8266"], "no board is called ESP8266"),
        (["--psram", "8"], "MicroPython's ESP32_GENERIC does not use PSRAM"),
    ):
        result = microgpt_board("run", "--flash", tmp_path, *words)
        assert result.returncode != 0
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not list(tmp_path.iterdir())  # nothing was written


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_save_and_say_so(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = ["--steps", "100000", "--flash", str(tmp_path), "--runs", str(tmp_path / "runs")]
    command = [sys.executable, "-m", "microgpt_board", "run", *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("step:50 "):
                break
        process.send_signal(number)
        rest = process.stdout.read()
        said = process.stderr.read()
    assert process.returncode == code, said
    assert "# saved at step " in rest
    assert rest.endswith("# interrupted\n")
    assert said.endswith("interrupted\n")
    with (tmp_path / checkpoint.NEWEST).open("rb") as file:
        assert checkpoint.read_header(file, "it")["step"] > 50
