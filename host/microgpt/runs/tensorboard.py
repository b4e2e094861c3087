"""The events of a run for TensorBoard: its losses, its settings, documents that it generates.

They are written with TensorBoard's own library (extra "tensorboard"), which needs neither PyTorch
nor TensorFlow. Its EventFileWriter is left out: it writes in a thread, which prints a traceback
when the disk is full. Here an event is in the file when a call returns, so that TensorBoard shows
a run while it trains, and at every moment the file is whole records.
"""

import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any  # the library has no types

from microgpt.errors import UserError
from microgpt.plots.curves import SMOOTHED_OVER
from microgpt.runs import info, log
from microgpt.system import files
from microgpt.system.terminal import printable

# {field of a logged step: its tag}. TensorBoard shows together what is the same before the "/".
TAGS = {
    "loss": "loss/step",
    "mean": "loss/mean",
    "validation": "loss/validation",
    "lr": "training/lr",
    "ms": "board/ms",
    "free": "board/free",
}
SAMPLES_TAG = "samples"
SAMPLES = 20  # documents in one text

# TensorBoard itself shows no more points of a curve, and to write one takes as long as two steps of
# the smallest model in engine native.
POINTS = 1000

_NO_SETTINGS = ("schema", "started", "environment", "resumed", "port")  # in run.json


def make_folder(folder: Path) -> None:
    """Create the folder of --tensorboard if there is none; raise UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{folder} is a file: name a folder with --tensorboard") from None
    except OSError as error:
        reason = files.explained(error)
        raise UserError(f"{reason}: name another with --tensorboard") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written to: name another with --tensorboard")


def hyperparameters(run: log.JsonObject) -> dict[str, str | int | float]:
    """Return the settings in the content of a run.json as {name: value}, without what is None."""
    data, start = info.part(run, "data"), info.part(run, "from")
    path = log.text(data.get("path"))
    settings = {
        **{name: value for name, value in run.items() if name not in _NO_SETTINGS},
        **info.part(run, "model"),
        **info.part(run, "train"),
        "data": path and Path(path).name,  # a column is narrow
        "documents": data.get("documents"),
        "vocab_size": data.get("vocab_size"),
        "from": start.get("folder"),
    }
    return {name: v for name, v in settings.items() if isinstance(v, str | int | float)}


class Events:
    """The events of one run, in a file of their own.

    Of about POINTS steps the figures are written, the last step and those with a validation loss
    among them. When the file cannot be written, the rest is left out, and `close` tells it.
    """

    def __init__(self, root: Path, run: Path, content: log.JsonObject) -> None:
        """Begin the file for the run in the folder `run`, whose run.json has this `content`.

        It is in `run` itself if that is a folder in `root`, else in a new one of the same name.
        """
        train = info.part(content, "train")
        steps = log.whole(train.get("stop_after")) or log.whole(train.get("steps")) or 1
        self._every = -(-steps // POINTS)
        self._last: log.Step | None = None
        self._written = -self._every  # the last step whose figures are written
        self._losses: deque[float] = deque(maxlen=SMOOTHED_OVER)
        self._samples: list[str] = []
        self._file: _File | None = None
        self._failure: str | None = None
        try:
            folder = root / run.name
            if not (folder.exists() and folder.samefile(run)):
                folder = files.new_folder(folder)
            self._file = _File(folder)
            self._write(_session_start(hyperparameters(content), folder.name))
        except OSError as error:
            self._fail(error)

    def take(self, record: log.Line) -> None:
        """Write what a record of the log holds, or keep it for the next time."""
        match record:
            case log.Step():
                if record.loss is not None:
                    self._losses.append(record.loss)
                self._last = record
                due = record.step >= self._written + self._every
                if due or record.validation is not None:
                    self._write_step(record)
            case log.Name(text):
                self._samples.append(text)
                if len(self._samples) == SAMPLES:
                    self._write_samples()

    def close(self, completed: bool | None) -> str | None:
        """Write the rest and close the file; return why events are missing, if any are.

        `completed`: whether the run has reached its end, None if that is not known. A second call
        has no effect.
        """
        if self._last and self._last.step > self._written:
            self._write_step(self._last)
        if self._samples:
            self._write_samples()
        if completed is not None:
            self._write(_session_end(completed))
        if self._file:
            self._file.close()
            self._file = None
        return self._failure

    def _write_step(self, record: log.Step) -> None:
        """Write the figures of a step; a host's log has no mean, which is then computed."""
        values = vars(record)
        if record.mean is None and self._losses:
            values = values | {"mean": sum(self._losses) / len(self._losses)}
        scalars = {tag: values[name] for name, tag in TAGS.items() if values[name] is not None}
        self._write({"value": [{"tag": t, "simple_value": v} for t, v in scalars.items()]})
        self._written = record.step

    def _write_samples(self) -> None:
        """Write the documents as a text. It is Markdown: a block of code is shown as it is."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        lines = [f"    {printable(text)}" for text in self._samples]
        self._samples.clear()
        self._write(text_pb(SAMPLES_TAG, "\n".join(lines)))

    def _write(self, summary: Any) -> None:
        """Write a Summary as an event of the last step."""
        if self._file:
            try:
                self._file.write(step=self._last.step if self._last else 0, summary=summary)
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Remember an error, and write nothing any more."""
        self._failure = f"no more events for TensorBoard: {files.explained(error)}"
        if self._file:
            self._file.close()
            self._file = None


class _File:
    """A file of events, in the format that TensorBoard reads."""

    def __init__(self, folder: Path) -> None:
        """Create it in `folder`; raise OSError."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._path = folder / f"events.out.tfevents.{time.time():.0f}"
        self._file = open(self._path, "xb")  # noqa: SIM115 - see close
        self._records = RecordWriter(self._file)
        self.write(file_version="brain.Event:2")

    def write(self, **fields: Any) -> None:
        """Append an Event with these fields; raise OSError."""
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), **fields)
        with files.naming(self._path):
            # Into the buffer as one piece: Ctrl-C comes before it or after it.
            self._records.write(event.SerializeToString())
            self._file.flush()

    def close(self) -> None:
        """Close the file; what could not be written is not tried again."""
        with suppress(OSError):
            self._file.close()


def _session_start(settings: dict[str, str | int | float], name: str) -> Any:
    """Return the Summary that begins a session of TensorBoard's HParams: a run, by its name."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    # No list of all settings and metrics is written beside it: TensorBoard would take that of one
    # run for all, and without it collects them from the runs, of a host and of boards alike.
    return hparams_pb(settings, trial_id=name)


def _session_end(completed: bool) -> Any:
    """Return the Summary that ends a session."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
    end = SessionEndInfo(status=status, end_time_secs=time.time())
    about = metadata.create_summary_metadata(HParamsPluginData(session_end_info=end))
    tag = metadata.SESSION_END_INFO_TAG
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])
