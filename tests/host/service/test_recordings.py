"""Recorded runs over real HTTP: the list of runs and their logs, while they grow."""

import json
import os
import shutil
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.support.board_run import BoardRun
from tests.support.commands import run as command

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.recordings import BLOCK, CHUNK, Recordings  # noqa: E402 - imports pydantic


def test_a_board_s_run_that_grows(names: httpx.Client, runs_folder: Path) -> None:
    board = BoardRun(runs_folder, seed=7)
    name, log = board.folder.name, board.folder / "log.jsonl"
    board.train(range(0, 301, 10))

    def summary() -> dict:
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        return next(run for run in listed if run["name"] == name)

    first = names.get(f"/microgpt/v1/runs/{name}").json()
    assert [step["step"] for step in first["steps"]] == list(range(0, 301, 10))
    assert first["steps"][0] == {"step": 0, "loss": 3.3, "mean": 3.3}
    assert summary() == {
        "name": name,
        "trained_on": "esp32",
        "started": json.loads((board.folder / "run.json").read_text())["started"],
        "seed": 7,
        "parameters": 4192,
        "steps": 1000,
        "step": 300,
        "mean": pytest.approx(sum(step["mean"] for step in first["steps"][-10:]) / 10),
        "bytes": log.stat().st_size,
        "live": True,
    }
    board.train(range(999, 1000))
    board.make_up("arona")
    second = names.get(f"/microgpt/v1/runs/{name}", params={"offset": first["offset"]}).json()
    assert [step["step"] for step in second["steps"]] == [999]
    assert second["names"] == ["arona"]
    assert second["offset"] == log.stat().st_size
    assert not second["more"]
    assert not summary()["live"]
    board.finish()


def test_names_of_any_text(names: httpx.Client, runs_folder: Path) -> None:
    board = BoardRun(runs_folder, seed=8)
    board.train(range(1000))
    texts = [
        "Zürich",
        "",
        " a, b ",
        "<script>",
        'C/C=C\\C "x"',
        r"\x1b[2J",
        "\U0001f43f\ufe0f",
        "ü" * 16,
    ]
    for text in texts:
        board.make_up(text)
    assert names.get(f"/microgpt/v1/runs/{board.folder.name}").json()["names"] == texts
    board.finish()


def test_a_board_that_is_done_and_makes_up_names(names: httpx.Client, runs_folder: Path) -> None:
    """Hours of names push the steps far from the end of the log."""
    done, joined = BoardRun(runs_folder, seed=9), BoardRun(runs_folder, seed=9, steps=None)
    for board in (done, joined):
        board.train(range(0, 1000, 10))
        for _ in range(10_000):
            board.make_up("arona")
        assert (board.folder / "log.jsonl").stat().st_size > 2 * BLOCK
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        run = next(run for run in listed if run["name"] == board.folder.name)
        last = names.get(f"/microgpt/v1/runs/{board.folder.name}").json()["steps"][-10:]
        assert run["step"] == 990
        assert run["mean"] == pytest.approx(sum(step["mean"] for step in last) / 10)
        assert not run["live"]
        board.finish()


def test_a_recording_that_ended_early_is_not_live(names: httpx.Client, runs_folder: Path) -> None:
    board = BoardRun(runs_folder, seed=8)
    board.train(range(5))

    def live() -> bool:
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        return next(run["live"] for run in listed if run["name"] == board.folder.name)

    assert live()
    old = time.time() - 100
    os.utime(board.folder / "log.jsonl", (old, old))
    assert not live()  # the power failed
    board.train(range(5, 6))
    assert live()
    board.finish()
    assert not live()  # the monitor was left


def test_a_log_with_anything_in_it(names: httpx.Client, runs_folder: Path) -> None:
    folder = runs_folder / "strange"
    folder.mkdir()
    (folder / "run.json").write_text("{")
    log = folder / "log.jsonl"
    log.write_text('{"step": 0, "loss": 3.5}\n{"step": 10, "lo')
    url = "/microgpt/v1/runs/strange"
    first = names.get(url).json()
    assert first["steps"] == [{"step": 0, "loss": 3.5, "mean": 3.5}]
    with log.open("a") as file:
        file.write('ss": null, "mean": 3.1}\nnoise\n[1]\n{"step": "x"}\n')
        file.write('{"step": 20, "loss": ' + "9" * 400 + ', "mean": NaN}\n')
    second = names.get(url, params={"offset": first["offset"]}).json()["steps"]
    assert second == [
        {"step": 10, "loss": None, "mean": 3.1},
        {"step": 20, "loss": None, "mean": None},
    ]
    assert names.get(url, params={"offset": 10**6}).json()["steps"] == first["steps"] + second
    listed = names.get("/microgpt/v1/runs").json()["runs"]
    run = next(run for run in listed if run["name"] == "strange")
    assert (run["trained_on"], run["steps"], run["step"]) == ("a board", None, 20)
    assert run["mean"] == pytest.approx((3.5 + 3.1) / 2)


def test_a_run_of_this_computer(names: httpx.Client, runs_folder: Path) -> None:
    command("train", "--steps", 30, "--engine", "tensor", "--out", runs_folder / "mine")
    listed = names.get("/microgpt/v1/runs").json()["runs"]
    run = next(run for run in listed if run["name"] == "mine")
    assert (run["trained_on"], run["steps"], run["step"], run["live"]) == ("tensor", 30, 29, False)
    log = names.get("/microgpt/v1/runs/mine").json()
    losses = [step["loss"] for step in log["steps"]]
    assert run["mean"] == pytest.approx(sum(losses) / 30)
    assert [step["step"] for step in log["steps"]] == list(range(30))


def test_an_odd_run_does_not_hide_the_others(names: httpx.Client, runs_folder: Path) -> None:
    def run(name: str, about: str, steps: int = 5) -> Path:
        folder = Path(os.fsdecode(os.fsencode(runs_folder) + b"/" + os.fsencode(name)))
        folder.mkdir()
        (folder / "run.json").write_text(about)
        lines = [json.dumps({"step": step, "loss": 3.5}) for step in range(steps)]
        (folder / "log.jsonl").write_text("".join(line + "\n" for line in lines))
        return folder

    made = [
        run("plain", '{"schema": 2, "engine": "tensor", "seed": 3}'),
        run(os.fsdecode(b"not-utf-8-\xff"), "{}"),
        run("surrogates", r'{"schema": 2, "board": "\ud800", "started": "\udfff"}'),
        run("large-numbers", '{"schema": 2, "seed": 1%s, "parameters": 1e999}' % ("0" * 4000)),
        run("nested", "[" * 100_000),
        run("large", '{"a": "%s"}' % ("a" * CHUNK)),
    ]
    with (made[2] / "log.jsonl").open("a") as log:
        log.write(r'{"name": "\ud800"}' + "\n")
    with (made[3] / "log.jsonl").open("a") as log:
        log.write('{"step": 1%s, "loss": 3.5}\n' % ("0" * 400))
    pipes = run("pipes", "{}")
    (pipes / "log.jsonl").unlink()
    os.mkfifo(pipes / "log.jsonl")
    piped = run("piped-about", "{}")
    (piped / "run.json").unlink()
    os.mkfifo(piped / "run.json")
    loop = run("loop", "{}")
    (loop / "log.jsonl").unlink()
    (loop / "log.jsonl").symlink_to("log.jsonl")
    (runs_folder / "loops").symlink_to("loops")
    hidden = run("hidden", "{}")
    hidden.chmod(0)
    try:
        response = names.get("/microgpt/v1/runs")
        assert response.status_code == 200
        listed = {listed["name"]: listed for listed in response.json()["runs"]}
        assert listed["plain"]["seed"] == 3
        assert listed["surrogates"]["trained_on"] == "\\ud800"
        assert {"not-utf-8-\\udcff", "large-numbers", "nested", "large", "piped-about"} <= {*listed}
        assert not {"pipes", "loop", "loops"} & {*listed}
        for name in ("plain", "not-utf-8-\\udcff", "surrogates", "large-numbers"):
            response = names.get(f"/microgpt/v1/runs/{name}")
            assert response.status_code == 200
            assert len(response.json()["steps"]) >= 5
        for name in ("pipes", "loop", "loops"):
            assert names.get(f"/microgpt/v1/runs/{name}").status_code == 404
    finally:
        hidden.chmod(0o700)
        for folder in (*made, pipes, piped, loop, hidden):
            shutil.rmtree(folder)
        (runs_folder / "loops").unlink()


def test_a_poll_reads_only_what_was_added(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "log.jsonl"
    log.write_text("".join(f'{{"step": {step}, "loss": 2.0}}\n' for step in range(50)))
    recordings = Recordings(tmp_path)
    first = recordings.list()
    before = log.stat()
    with log.open("r+b") as file:  # what was read already is not read again
        file.write(b"x" * before.st_size)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert recordings.list() == first
    with log.open("a") as file:
        file.write('{"step": 50, "loss": 4.0}\n{"step": 51, "lo')
    (run,) = recordings.list()
    assert (run.step, run.mean) == (50, pytest.approx((50 * 2.0 + 4.0) / 51))
    with log.open("a") as file:
        file.write('ss": 4.0}\n{"name": "arona"}\n')
    (run,) = recordings.list()
    assert (run.step, run.mean) == (51, pytest.approx((50 * 2.0 + 8.0) / 52))
    assert not run.live  # names follow the steps
    log.write_text('{"step": 7, "loss": 1.0}\n')  # begun again
    (run,) = recordings.list()
    assert (run.step, run.mean, run.live) == (7, 1.0, True)
    shutil.rmtree(log.parent)
    assert recordings.list() == []


def test_the_memory_to_list_a_long_log_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "log.jsonl"
    with log.open("w") as file:
        file.write('{"step": 7, "loss": 1.0}\n')
        for _ in range(50):
            file.write('{"name": "arona"}\n' * 5000)
    tracemalloc.start()
    try:
        (run,) = Recordings(tmp_path).list()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (run.step, run.live) == (7, False)
    assert log.stat().st_size > 4 * CHUNK
    assert peak < 2 * CHUNK


def test_a_line_that_is_too_long_does_not_hide_what_follows(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "log.jsonl"
    log.write_text('{"step": 0, "loss": 1.0}\n"%s"\n{"step": 1, "loss": 2.0}\n' % ("a" * 3 * CHUNK))
    recordings = Recordings(tmp_path)
    (run,) = recordings.list()
    assert (run.step, run.mean) == (1, 1.5)
    steps = []
    part = recordings.read("run")
    steps += part.steps
    while part.more:
        part = recordings.read("run", part.offset)
        steps += part.steps
    assert [step.step for step in steps] == [0, 1]
