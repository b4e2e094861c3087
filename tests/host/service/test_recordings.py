"""Recorded runs over real HTTP: the list of runs and their logs, while they grow."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.board_run import BoardRun
from tests.support.commands import run as command

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.recordings import TAIL  # noqa: E402 - imports pydantic


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


def test_a_board_that_is_done_and_makes_up_names(names: httpx.Client, runs_folder: Path) -> None:
    """Hours of names push the steps far from the end of the log."""
    done, joined = BoardRun(runs_folder, seed=9), BoardRun(runs_folder, seed=9, steps=None)
    for board in (done, joined):
        board.train(range(0, 1000, 10))
        for _ in range(10_000):
            board.make_up("arona")
        assert (board.folder / "log.jsonl").stat().st_size > 10 * TAIL
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
    command("train", "--steps", 30, "--out", runs_folder / "mine")
    listed = names.get("/microgpt/v1/runs").json()["runs"]
    run = next(run for run in listed if run["name"] == "mine")
    assert (run["trained_on"], run["steps"], run["step"], run["live"]) == ("tensor", 30, 29, False)
    log = names.get("/microgpt/v1/runs/mine").json()
    losses = [step["loss"] for step in log["steps"]]
    assert run["mean"] == pytest.approx(sum(losses) / 30)
    assert [step["step"] for step in log["steps"]] == list(range(30))
