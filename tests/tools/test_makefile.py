"""Every target of the Makefile is a line that a verb understands."""

import shlex
import subprocess
from pathlib import Path

import click
import pytest
from microgpt_board.cli import VERBS, cli

ROOT = Path(__file__).parents[2]
TARGETS = {verb: verb for verb in VERBS if verb not in ("names", "reset")} | {
    "reset-training": "reset"
}
SETTINGS = {
    "STEPS": "30",
    "SEED": "5",
    "NAMES": "my names.txt",
    "RESUME": "1",
    "NEW": "1",
    "BOARD": "ESP32_GENERIC_S3",
    "FIRMWARE": "a release.bin",
    "RELEASE": "v1.28.0",
    "BAUD": "115200",
    "TOOL": "ampy",
    "SOCKET": "5556",
    "DOWNLOAD": "1",
    "FLASH": "flash.bin",
    "RUN": "runs/a run",
    "LR": "0.02",
    "MODEL": "models/mine",
    "TRAIN": "1",
    "FOLD": "1",
    "CUT": "1",
    "MAX_CHARACTERS": "60",
    "BLOCK_SIZE": "32",
    "N_EMBD": "24",
    "N_HEAD": "3",
    "N_LAYER": "2",
    "TIE_LM_HEAD": "1",
    "INPUT_RMSNORM": "0",
    "PSRAM": "2",
    "TENSORBOARD": "all runs",
    "IMAGES": "a/image.bin b/image.bin",
}
UNTAKEN = {  # what a target refuses
    "run": ("RELEASE", "FIRMWARE"),
    "deploy": ("BOARD", "PSRAM", "RELEASE", "FIRMWARE"),
}
LIST = {"names": Path("my names.txt"), "fold": True, "cut": True, "max_characters": 60}
SIZES = {
    "block_size": 32,
    "n_embd": 24,
    "n_head": 3,
    "n_layer": 2,
    "tie_lm_head": True,
    "input_rmsnorm": False,
}
IMAGE = {
    "board": "ESP32_GENERIC_S3",
    "psram": 2,
    "firmware": Path("a release.bin"),
    "release": "v1.28.0",
    **LIST,
    **SIZES,
}
# Of these settings, which a target takes: the parameter of its verb, and its value.
TAKEN = {
    "run": {
        "steps": 30,
        "seed": 5,
        "resume": True,
        "board": "ESP32_GENERIC_S3",
        "psram": 2,
        "tensorboard": Path("all runs"),
        **LIST,
        **SIZES,
    },
    "image": IMAGE,
    "flash": {"baud": 115200, "tensorboard": Path("all runs"), **IMAGE},
    "monitor": {"new": True, "tensorboard": Path("all runs")},
    "boards": {"board": "ESP32_GENERIC_S3"},
    "erase": {"board": "ESP32_GENERIC_S3", "baud": 115200},
    "deploy": {"tool": "ampy", **LIST, **SIZES},
    "emulate": {"socket": 5556, "download": True, "flash": Path("flash.bin"), **IMAGE},
    "replay": {"run": Path("runs/a run"), "lr": 0.02, "block_size": 32, **LIST},
    "bench": LIST,
    "pull": {"folder": Path("models/mine")},
    "push": {"folder": Path("models/mine"), "train": True},
    "site": {"images": (Path("a/image.bin"), Path("b/image.bin"))},
}


def words_of(target: str, **settings: str) -> list[str]:
    """Return the words behind `microgpt-board` in the one line that make would run."""
    given = [f"{name}={value}" for name, value in settings.items()]
    result = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", target, *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = result.stdout.replace("\\\n", " ").splitlines()
    program, *words = shlex.split(line)
    assert program.endswith("/microgpt-board")
    return words


def parsed(words: list[str]) -> tuple[str, dict[str, object]]:
    verb, *rest = words
    command = cli.get_command(click.Context(cli), verb)
    assert command
    return verb, command.make_context(verb, rest).params


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_calls_its_verb(target: str) -> None:
    given = {k: v for k, v in SETTINGS.items() if k not in UNTAKEN.get(target, ())}
    verb, found = parsed(words_of(target, **given))
    assert verb == TARGETS[target]
    for name, value in TAKEN.get(target, {}).items():
        assert found[name] == value, name


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in ("replay", "push")])
def test_without_settings_it_has_the_verbs_defaults(target: str) -> None:
    verb, found = parsed(words_of(target))
    assert found == parsed([verb])[1]


def test_a_switch_is_on_off_or_left_to_the_verb() -> None:
    def found(**settings: str) -> list[object]:
        params = parsed(words_of("run", **settings))[1]
        return [params[name] for name in ("tie_lm_head", "input_rmsnorm", "fold", "cut")]

    assert found() == [None, None, False, False]
    on = dict.fromkeys(("TIE_LM_HEAD", "INPUT_RMSNORM", "FOLD", "CUT"), "1")
    assert found(**on) == [True] * 4
    assert found(**dict.fromkeys(on, "0")) == [False] * 4


@pytest.mark.parametrize(
    ("target", "setting"),
    [("run", "TIE_LM_HEAD=no"), ("run", "FOLD=false"), ("run", "RESUME=2"), ("push", "TRAIN=yes")],
)
def test_a_switch_is_0_or_1(target: str, setting: str) -> None:
    words = ["make", "-n", "-o", ".venv/.ready", target, setting]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    name, value = setting.split("=")
    assert f"{name} must be 0 or 1, not {value}." in result.stderr
    assert result.stderr.count("\n") == 1
    assert "microgpt-board" not in result.stdout


@pytest.mark.parametrize(
    ("target", "name"), [(target, name) for target in UNTAKEN for name in UNTAKEN[target]]
)
def test_a_setting_that_a_target_does_not_take_is_refused(target: str, name: str) -> None:
    words = ["make", "-n", "-o", ".venv/.ready", target, f"{name}={SETTINGS[name]}"]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    assert f"make {target} takes no {name}=: " in result.stderr
    assert result.stderr.count("\n") == 1
    assert "microgpt-board" not in result.stdout


def test_a_run_is_not_resumed_with_0() -> None:
    assert parsed(words_of("run", RESUME="0"))[1]["resume"] is False


def test_help_has_every_setting_of_the_list_and_of_the_sizes() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    for name in (*LIST, *SIZES):
        assert f" {name.upper()}=" in said.stdout
