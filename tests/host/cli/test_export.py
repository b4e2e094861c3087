"""microgpt export, and every command on a model whose weights are a safetensors file."""

import json
import shutil
from pathlib import Path

import microgpt
import pytest

from tests.support.commands import run

NAMES = ["emma", "olivia", "ava"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its names, and a checkpoint of before the last step."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "names.txt").write_text("\n".join(NAMES))
    sizes = ["--n-embd", 8, "--block-size", 8]
    words = ["--steps", 5, "--checkpoint-every", 4, *sizes, "--out", "run"]
    run("train", "--data", "names.txt", *words, cwd=folder)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the run; it is the current one."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_of(path: str) -> str:
    return run("generate", path, "-n", 5).stdout


def test_a_run_is_converted_and_back(folder: Path) -> None:
    model = folder / "run" / "model"
    before, names = (model / "weights.json").read_bytes(), names_of("run")
    size = len(before)
    said = run("export", "run", "--format", "safetensors").stdout
    written = (model / "model.safetensors").stat().st_size
    assert said == f"run/model/model.safetensors: {written:,} bytes\n"
    assert written < size / 3
    assert sorted(p.name for p in model.iterdir()) == ["meta.json", "model.safetensors"]
    assert names_of("run") == names
    run("export", "run/model", "--format", "safetensors")  # it is so already
    assert run("export", "run", "--format", "json").stdout.startswith("run/model/weights.json: ")
    assert sorted(p.name for p in model.iterdir()) == ["meta.json", "weights.json"]
    assert (model / "weights.json").read_bytes() == before


def test_one_file_is_the_whole_model(folder: Path) -> None:
    run("export", "run", "--format", "safetensors", "--out", "one.safetensors")
    assert names_of("one.safetensors") == names_of("run")
    run("export", "one.safetensors", "--format", "json", "--out", "m")
    assert (folder / "m" / "weights.json").read_bytes() == (
        folder / "run" / "model" / "weights.json"
    ).read_bytes()


def test_the_weights_of_a_checkpoint_are_taken_out(folder: Path) -> None:
    run("export", "run/checkpoint.safetensors", "--format", "safetensors", "--out", "m")
    four, five = microgpt.load("m"), microgpt.load("run")
    assert four.config == five.config
    assert (four.weights["wpe"] != five.weights["wpe"]).any()
    checkpoint = Path("run/checkpoint.safetensors").stat().st_size
    assert Path("m/model.safetensors").stat().st_size < checkpoint / 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--format", "gguf"], "'gguf' is not one of 'json', 'safetensors'"),
        (["run"], "Missing option '--format'"),
        (["run", "--format", "json", "--out", "names.txt"], "names.txt exists already: name anot"),
        (
            ["run", "--format", "json", "--out", "a.safetensors"],
            "a.safetensors is the name of a safetensors file: name a folder",
        ),
        (
            ["run/checkpoint.safetensors", "--format", "json"],
            "run/checkpoint.safetensors is a file, not a folder: say with --out what to write",
        ),
        (["names.txt", "--format", "json", "--out", "x"], "names.txt: it is not a whole safetens"),
        (["nothing", "--format", "json"], "error: nothing does not exist: name a model's folder"),
        (["names.txt/x", "--format", "json", "--out", "m"], "error: names.txt/x does not exist: n"),
        (
            ["run", "--format", "json", "--out", "names.txt/m"],
            "names.txt/m: Not a directory: name another with --out",
        ),
        (  # the name of the temporary file is longer than 255 bytes, that of the file is not
            ["run", "--format", "safetensors", "--out", f"{'x' * 240}.safetensors"],
            f"error: {'x' * 240}.safetensors: File name too long: name another with --out",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_line(folder: Path, words: list, message: str) -> None:
    before = sorted(folder.rglob("*"))
    errors = run("export", *words, code=None)
    assert errors.returncode != 0
    assert message in errors.stderr
    assert errors.stderr.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_every_command_reads_either(folder: Path) -> None:
    run("export", "run", "--format", "safetensors", "--out", "m")
    run("export", "run", "--format", "safetensors", "--out", "one.safetensors")
    known = json.loads(run("info", "run", "--json").stdout)
    for path in ("m", "one.safetensors"):
        assert json.loads(run("info", path, "--json").stdout) == known
        assert names_of(path) == names_of("run")
        run("show", path, "emma", "--out", f"{path}.png")


@pytest.mark.parametrize("start", ["m", "one.safetensors", "run/checkpoint.safetensors"])
def test_a_run_starts_from_either_and_is_repeated(folder: Path, start: str) -> None:
    for out in ("m", "one.safetensors"):
        run("export", "run", "--format", "safetensors", "--out", out)
    run("train", "--data", "names.txt", "--from", start, "--steps", 3, "--out", "second")
    about = json.loads(Path("second/run.json").read_text())["from"]
    assert about["folder"] == start
    assert about["path"].endswith(".safetensors")
    assert "to the last bit" in run("train", "--repeat", "second", "--out", "third").stdout


def test_a_repeated_run_says_if_the_model_it_starts_from_is_in_another_format(folder: Path) -> None:
    run("train", "--data", "names.txt", "--from", "run", "--steps", 3, "--out", "second")
    run("export", "run", "--format", "safetensors")
    refused = run("train", "--repeat", "second", "--out", "third", code=1)
    assert refused.stderr == (
        "error: run/model/model.safetensors is in another format than in second: "
        "microgpt export run --format json\n"
    )
    run("export", "run", "--format", "json")
    assert "to the last bit" in run("train", "--repeat", "second", "--out", "third").stdout


def test_a_run_without_a_model_says_what_loads(folder: Path) -> None:
    shutil.rmtree("run/model")
    refused = run("generate", "run", code=1)
    assert refused.stderr == (
        "error: cannot read run/meta.json: No such file or directory; "
        "run/checkpoint.safetensors is a checkpoint, which loads too\n"
    )
    assert names_of("run/checkpoint.safetensors")
