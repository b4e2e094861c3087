"""Folders of runs that start at the same moment, and of runs that never start."""

import multiprocessing
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import microgpt
import pytest
from microgpt.system import files
from microgpt_board.device.record import Recorder

from tests.support.commands import run

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def _take(path: Path, count: int, barrier: Barrier) -> None:
    barrier.wait()
    for number in range(count):
        (files.new_folder(path) / str(number)).touch()


def test_processes_that_ask_for_the_same_folder_get_one_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    path = tmp_path / "runs" / "a"
    processes = [context.Process(target=_take, args=(path, 50, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    folders = {folder.name: len(list(folder.iterdir())) for folder in path.parent.iterdir()}
    assert folders == dict.fromkeys(["a", *(f"a-{number}" for number in range(2, 151))], 1)


def test_a_file_counts_as_well(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a-2").symlink_to("nowhere")
    assert files.new_folder(tmp_path / "a") == tmp_path / "a-3"
    with pytest.raises(OSError, match="exists") as error:
        files.new_folder(tmp_path / "a" / "b")
    assert error.value.filename == str(tmp_path / "a")


def test_trainings_that_start_together(tmp_path: Path) -> None:
    command = [MICROGPT, "train", "--steps", "1"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    said = [(*process.communicate(), process.returncode) for process in processes]
    assert [(errors, code) for _, errors, code in said] == [(b"", 0)] * 3
    named = {tmp_path / output.decode().splitlines()[-1].split()[-1] for output, _, _ in said}
    assert named == set((tmp_path / "runs").iterdir())
    assert len(named) == 3
    for folder in named:
        assert microgpt.load(folder).parameter_count == 4192


def test_a_board_that_is_reset_at_once_gets_a_folder_for_each_run(tmp_path: Path) -> None:
    recorders = [Recorder("port", tmp_path) for _ in range(3)]
    runs = [recorder._begin(None).path for recorder in recorders]
    assert len(set(runs)) == 3
    for recorder in recorders:
        recorder.finish()


@pytest.mark.parametrize("words", [["--n-embd", "7"], ["--data", "none.txt"]])
def test_a_run_that_is_refused_leaves_no_folder(tmp_path: Path, words: list[str]) -> None:
    run("train", *words, cwd=tmp_path, code=1)
    run("train", *words, "--out", "runs/a", cwd=tmp_path, code=1)
    assert list(tmp_path.iterdir()) == []
