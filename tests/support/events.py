"""What TensorBoard's own readers find in the events of runs."""

from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

Scalars = dict[str, list[tuple[int, float]]]


def read(folder: Path) -> EventAccumulator:
    """Return the events of one run, as TensorBoard reads them from its folder."""
    events = EventAccumulator(str(folder), {"scalars": 0, "tensors": 0})  # 0: all of them
    events.Reload()
    return events


def scalars(folder: Path) -> Scalars:
    """Return {tag: [(step, value)]} of a run; the values are float32."""
    events = read(folder)
    return {t: [(e.step, e.value) for e in events.Scalars(t)] for t in events.Tags()["scalars"]}


def samples(folder: Path) -> list[tuple[int, str]]:
    """Return the texts of a run's samples, and their steps."""
    events = read(folder)
    assert events.SummaryMetadata("samples").plugin_data.plugin_name == "text"
    found = events.Tensors("samples")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


@dataclass(frozen=True)
class Session:
    """A run in TensorBoard's table of hyperparameters."""

    hparams: dict[str, object]
    metrics: dict[str, float]  # the last values of scalars
    status: str


def sessions(root: Path) -> dict[str, Session]:
    """Return {name of a run: its session}, as the plugin HParams answers its page."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(root))
    context = Context(TBContext(data_provider=provider, logdir=str(root), multiplexer=multiplexer))
    statuses = list(api_pb2.Status.values())
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=statuses, slice_size=100)
    answer = list_session_groups.Handler(RequestContext(), context, "", request).run()
    found = {}
    for group in answer.session_groups:
        (session,) = group.sessions
        hparams = {name: getattr(v, v.WhichOneof("kind")) for name, v in group.hparams.items()}
        metrics = {metric.name.tag: metric.value for metric in session.metric_values}
        found[session.name] = Session(hparams, metrics, api_pb2.Status.Name(session.status))
    return found
