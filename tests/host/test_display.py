"""The progress of a training: lines in a pipe, a bar on a terminal, a bar in a notebook."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import microgpt
import pexpect
import pytest
from microgpt.display import PLAIN_LINES

STEPS = 40
SMALL = """
import microgpt
model = microgpt.create(microgpt.ModelConfig(n_embd=4, block_size=6))
config = microgpt.TrainConfig(steps=40, validation=0.3)
records = microgpt.train(model, ["emma", "olivia", "ava", "mia", "isla", "noa", "lea"], config)
"""
WATCHED = f"{SMALL}\nlast = list(microgpt.progress(records, config.steps))[-1]"
FIGURES = r"loss \d\.\d{4}, mean \d\.\d{4}, validation \d\.\d{4} · [\d,]+ steps/s"

Content = dict[str, Any]  # of a message of Jupyter's


def test_the_records_come_through_and_a_pipe_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    records = [microgpt.Record(step, 3.0 - step / 10, 0.01) for step in range(STEPS)]
    assert list(microgpt.progress(iter(records), STEPS)) == records
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == PLAIN_LINES
    assert re.fullmatch(
        r"step 2/40  loss 2\.9000  mean 2\.9500  [\d,]+ steps/s  \d+:\d\d left", lines[0]
    )
    assert lines[-1].startswith("step 40/40  loss -0.9000  mean 1.0500  ")


def test_a_run_that_is_continued(capsys: pytest.CaptureFixture[str]) -> None:
    records = [microgpt.Record(step, 2.0, 0.01) for step in range(30, STEPS)]
    assert list(microgpt.progress(records, STEPS, first=30)) == records
    assert capsys.readouterr().out.startswith("step 32/40  ")


def test_a_terminal_gets_a_bar() -> None:
    child = pexpect.spawn(
        sys.executable, ["-c", WATCHED], 60, encoding="utf-8", dimensions=(20, 100)
    )
    written = child.read()
    child.close()
    assert child.exitstatus == 0, written
    assert "━" in written and "40/40" in written and "validation" in written


def test_ipython_on_a_terminal_is_no_notebook() -> None:
    pytest.importorskip("IPython", reason="needs IPython: .venv/bin/pip install -e '.[dev]'")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", WATCHED]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "step 40/40  loss" in result.stdout


class Notebook:
    """A kernel of Jupyter: what a notebook talks to."""

    def __init__(self) -> None:
        from jupyter_client.manager import start_new_kernel

        self._manager, self._client = start_new_kernel(kernel_name="python3")

    def run(self, code: str) -> list[tuple[str, Content]]:
        """Execute a cell; return the messages that it shows, as (kind, content)."""
        shown: list[tuple[str, Content]] = []

        def take(message: Content) -> None:
            if message["msg_type"] not in ("status", "execute_input"):
                shown.append((message["msg_type"], message["content"]))

        self._client.execute_interactive(code, timeout=60, output_hook=take)
        return shown

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel()


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    for module in ("ipykernel", "jupyter_client"):
        pytest.importorskip(module, reason=f"needs {module}: .venv/bin/pip install -e '.[dev]'")
    notebook = Notebook()
    yield notebook
    notebook.close()


def states(shown: list[tuple[str, Content]]) -> list[Content]:
    """Return the states of the one bar that was shown, {kind of content: content}."""
    kinds = [kind for kind, _ in shown if kind != "error"]
    assert kinds == ["display_data"] + ["update_display_data"] * (len(kinds) - 1)
    contents = [content for kind, content in shown if kind != "error"]
    assert len({content["transient"]["display_id"] for content in contents}) == 1
    return [content["data"] for content in contents]


def test_a_notebook_gets_a_bar_that_stays(notebook: Notebook) -> None:
    first, *between, last = states(notebook.run(WATCHED))
    assert first["text/plain"] == "0 of 40 steps"
    assert '<progress value="0" max="40"' in first["text/html"]
    assert between[0]["text/plain"].startswith("1 of 40 steps · loss ")
    assert re.fullmatch(rf"40 of 40 steps · {FIGURES} · \d+\.\d s", last["text/plain"])
    assert '<progress value="40" max="40"' in last["text/html"]
    assert last["text/html"].endswith(last["text/plain"])


def test_a_training_that_is_stopped_shows_where(notebook: Notebook) -> None:
    loop = "for record in microgpt.progress(records, config.steps):\n    if record.step == 4: "
    *_, last = states(notebook.run(f"{SMALL}\n{loop}break"))
    assert re.match(r"5 of 40 steps · loss .* · \d+:\d\d left$", last["text/plain"])
    shown = notebook.run(f"{SMALL}\n{loop}raise ValueError('enough')")
    assert [content["evalue"] for kind, content in shown if kind == "error"] == ["enough"]
    assert states(shown)[-1]["text/plain"].startswith("5 of 40 steps · loss ")


def test_a_training_that_cannot_start_shows_that_it_has_not(notebook: Notebook) -> None:
    shown = notebook.run(f"{SMALL}\nlist(microgpt.progress(microgpt.train(model, []), 40))")
    assert [content["ename"] for kind, content in shown if kind == "error"] == ["TrainingError"]
    assert states(shown)[-1]["text/plain"] == "0 of 40 steps"


def test_a_model_shows_itself_in_a_notebook(notebook: Notebook) -> None:
    ((kind, content),) = notebook.run(f"{SMALL}\nmodel")
    assert kind == "execute_result"
    assert content["data"]["text/html"].startswith(
        "<div><strong>A model of 432 parameters</strong>"
    )
    assert content["data"]["text/plain"].startswith("<model of 432 parameters, engine ")
