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
    "BOARD": "ESP32_GENERIC_S3",
    "FIRMWARE": "a release.bin",
    "BAUD": "115200",
    "TOOL": "ampy",
    "SOCKET": "5556",
    "DOWNLOAD": "1",
    "FLASH": "flash.bin",
    "RUN": "runs/a run",
    "LR": "0.02",
    "MODEL": "models/mine",
    "TRAIN": "1",
}
# Of these settings, which a target takes: the parameter of its verb, and its value.
TAKEN = {
    "run": {"steps": 30, "seed": 5, "names": Path("my names.txt"), "resume": True},
    "flash": {
        "board": "ESP32_GENERIC_S3",
        "baud": 115200,
        "firmware": Path("a release.bin"),
        "names": Path("my names.txt"),
    },
    "erase": {"board": "ESP32_GENERIC_S3", "baud": 115200},
    "deploy": {"tool": "ampy", "names": Path("my names.txt")},
    "emulate": {"socket": 5556, "download": True, "flash": Path("flash.bin")},
    "replay": {"run": Path("runs/a run"), "lr": 0.02, "names": Path("my names.txt")},
    "pull": {"folder": Path("models/mine")},
    "push": {"folder": Path("models/mine"), "train": True},
    "kernels": {"architecture": "xtensawin"},
}


def words_of(target: str, **settings: str) -> list[str]:
    """Return the words behind `microgpt-board` in what make would run."""
    given = [f"{name}={value}" for name, value in settings.items()]
    result = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", target, *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    program, *words = shlex.split(result.stdout.replace("\\\n", " "))
    assert program.endswith("/microgpt-board")
    return words


def parsed(words: list[str]) -> tuple[str, dict[str, object]]:
    verb, *rest = words
    command = cli.get_command(click.Context(cli), verb)
    assert command
    return verb, command.make_context(verb, rest).params


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_calls_its_verb(target: str) -> None:
    verb, found = parsed(words_of(target, **SETTINGS))
    assert verb == TARGETS[target]
    for name, value in TAKEN.get(target, {}).items():
        assert found[name] == value, name


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in ("replay", "push")])
def test_without_settings_it_has_the_verbs_defaults(target: str) -> None:
    verb, found = parsed(words_of(target))
    expected = {"kernels": words_of("kernels")}.get(verb, [verb])
    assert found == parsed(expected)[1]
