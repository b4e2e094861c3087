"""A disk that is full: the error names the file, and what was trained is kept if it can be.

A limit on the size of a file stands for the disk: the system refuses what goes beyond it.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import microgpt
import pytest
from microgpt.runs.folder import RunFolder

from tests.support.commands import run_with_file_limit

MICROGPT = str(Path(sys.executable).with_name("microgpt"))
SMALL = ["--n-embd", "4", "--n-head", "1"]  # weights.json: about 10 KB
LIMIT = 20_000  # bytes of a file
ENDING = "File too large"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")


def train(folder: Path, *words: object, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """Train with no file larger than `limit`; the run is `run`."""
    command = [MICROGPT, "train", "--out", "run", *map(str, words)]
    return run_with_file_limit(command, folder, limit)


def test_a_full_disk_in_the_log_keeps_the_model(tmp_path: Path) -> None:
    result = train(tmp_path, *SMALL, "--steps", 1000)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: run/log.jsonl: {ENDING}; the run so far is in run, with its model\n"
    )
    lines = (tmp_path / "run" / "log.jsonl").read_bytes().split(b"\n")
    assert 100 < len(lines) < 1000
    assert all(json.loads(line) for line in lines[:-1])
    assert len(microgpt.generate(microgpt.load(tmp_path / "run"), 3)) == 3


def test_a_full_disk_in_the_model_names_its_folder(tmp_path: Path) -> None:
    result = train(tmp_path, "--steps", 10)
    assert result.returncode == 1
    assert result.stderr.endswith(f"run/model/weights.json: {ENDING}; the run so far is in run\n")
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 10
    assert not (tmp_path / "run" / "model").exists()


def test_a_full_disk_in_the_log_and_in_the_model_names_both(tmp_path: Path) -> None:
    result = train(tmp_path, "--n-embd", 8, "--steps", 1000)
    assert result.stderr.startswith(f"error: run/log.jsonl: {ENDING}; ")
    assert result.stderr.endswith(f"run/model/weights.json: {ENDING}; the run so far is in run\n")


def test_a_full_disk_in_the_picture_costs_the_picture(tmp_path: Path) -> None:
    result = train(tmp_path, *SMALL, "--steps", 20)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-2:] == [
        f"no loss.png: run/loss.png: {ENDING}",
        "the run is in run",
    ]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "run.json",
        "log.jsonl",
        "model",
    }


def test_a_full_disk_in_a_checkpoint_keeps_the_model(tmp_path: Path) -> None:
    words = [*SMALL, "--dtype", "float64"]
    result = train(tmp_path, *words, "--checkpoint-every", 3, "--steps", 10, limit=12_000)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: run/checkpoint.safetensors: {ENDING}; ")
    assert result.stderr.endswith("; the run so far is in run, with its model\n")
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 3


def test_a_full_standard_output_keeps_the_model(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux: /dev/full")
    with open("/dev/full", "w") as full:
        command = [MICROGPT, "train", "--steps", "40", "--out", "run"]
        result = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 1
    reason = "standard output: No space left on device"
    assert result.stderr == f"error: {reason}; the run so far is in run, with its model\n"
    assert microgpt.load(tmp_path / "run").parameter_count == 4192


@contextmanager
def nothing_fits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    with nothing_fits(), pytest.raises(OSError, match="File too large") as error:
        RunFolder(tmp_path / "run", {})
    assert error.value.filename == str(tmp_path / "run" / "run.json")
    assert list(tmp_path.iterdir()) == []
