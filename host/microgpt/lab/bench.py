"""The benchmark: a training step in scalar, tensor and native, minibatches, generation and so on.

Every engine has the same documents, the same initial weights and the same sizes, and must give the
same results before it is timed. The figures are medians over the repeats, on one thread but where
it says otherwise; see `lab.timing`.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from threadpoolctl import threadpool_limits

from microgpt.config import ModelConfig, TrainConfig
from microgpt.data import charset_of
from microgpt.engines import create, native_is_here
from microgpt.engines.base import Model
from microgpt.lab.extrapolation import extrapolated
from microgpt.lab.timing import (
    FIRST,
    Figures,
    Progress,
    Repeated,
    Turn,
    check_losses,
    check_samples,
    figures,
    long_documents,
    medians_of_turns,
    spread,
)
from microgpt.sampling import generate
from microgpt.training import document_order, train

ENGINES = ("scalar", "tensor", "native")
MORE = 20  # the steps of tensor and native for one of scalar
BATCHED = 2560  # documents of a training in minibatches
TEMPERATURE = 0.5
GENERATED = {"tensor": 200, "native": 10_000}  # documents in a repeat
HELD_OUT = 3200  # documents of a validation loss: a tenth of the names
CHAT_SIZED = ModelConfig(n_embd=128, n_layer=6, block_size=512)

# {name in JSON: title, with the unit}
WORK = {
    "us_per_document_in_16": "minibatches of 16, µs a document",
    "us_per_document_in_32": "minibatches of 32, µs a document",
    "us_per_document_in_64": "minibatches of 64, µs a document",
    "us_per_document_in_64_on_2_threads": "minibatches of 64, two threads, µs a document",
    "generated_tokens_per_s": "generation, tokens/s",
    "validation_ms": f"validation loss of {HELD_OUT:,} documents, ms",
}
Work = dict[str, dict[str, float]]  # {name in WORK: {engine: figure}}


@dataclass(frozen=True)
class Bench:
    """What was measured of one model: {engine: figures}, medians over `repeats` of `steps` steps.

    `about` are further facts about the model, such as its sizes.
    """

    parameters: int
    steps: int
    repeats: int
    seed: int
    about: Mapping[str, object]
    engines: dict[str, Figures]

    @property
    def speedup(self) -> dict[str, float]:
        """How many times as fast as scalar each engine is."""
        scalar = self.engines["scalar"]["us_per_step"]
        return {engine: scalar / row["us_per_step"] for engine, row in self.engines.items()}

    def as_json(self) -> dict[str, object]:
        """Return the protocol and the figures."""
        protocol = {
            "parameters": self.parameters,
            "steps": self.steps,
            "repeats": self.repeats,
            "seed": self.seed,
            "threads": 1,
            **self.about,
        }
        return {"protocol": protocol, "engines": self.engines, "speedup": self.speedup}


def bench(
    docs: Sequence[str],
    charset: str,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
) -> tuple[Bench, Work]:
    """Time a step of the default model, one document a step; then minibatches and so on.

    The engines tensor and native are timed through `train`, with its records, over MORE * `steps`
    steps; engine scalar takes `steps` of the same documents, evenly spread.
    """
    models = _checked_models(ModelConfig(), charset, seed, docs)
    quick = {engine: model for engine, model in models.items() if engine != "scalar"}
    config = TrainConfig(steps=MORE * steps)
    order = itertools.islice(document_order(len(docs), config), config.steps)
    encoded = [models["scalar"].tokenizer.encode(docs[index]) for index in order]
    few = encoded[::MORE]
    turns: dict[str, Callable[[], float]] = {"scalar": Turn(models["scalar"].train_step, few)}
    for engine, model in quick.items():
        turns[engine] = Repeated(partial(_train, model, docs, config))
    with threadpool_limits(1):
        medians = medians_of_turns(turns, repeats, progress)
        work = _other_work(quick, docs, repeats, progress)
    trained = {engine: few if engine == "scalar" else encoded for engine in models}
    rows = {}
    for engine, model in models.items():
        positions = sum(map(model.positions, trained[engine]))
        rows[engine] = figures(medians[engine], len(trained[engine]), positions)
    measured = Bench(
        models["tensor"].parameter_count,
        steps,
        repeats,
        seed,
        {
            "dtype": {engine: model.dtype for engine, model in models.items()},
            "steps_of": {engine: len(documents) for engine, documents in trained.items()},
        },
        rows,
    )
    return measured, work


def bench_chat_sized(
    docs: Sequence[str],
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
    scalar_seconds: float = 60,
) -> Bench:
    """Time a step of a model of the size CHAT_SIZED, with documents that fill its block.

    The figures of engine scalar are extrapolated from what it does in `scalar_seconds`.
    """
    config = CHAT_SIZED
    long = long_documents(docs, config.block_size, 2)
    charset = charset_of(long)
    models = _models(config, charset, seed, ENGINES[1:])
    encoded = [models["tensor"].tokenizer.encode(doc) for doc in long]
    check_losses(models, encoded)
    with threadpool_limits(1):
        turns = {engine: Turn(model.train_step, encoded) for engine, model in models.items()}
        medians = medians_of_turns(turns, repeats, progress)
    progress("scalar, a few positions of one layer")
    slow = extrapolated(config, charset, encoded[0], seed, scalar_seconds)
    rows = {"scalar": figures(slow, 1, config.block_size)}
    rows["scalar"]["extrapolated"] = True
    for engine, median in medians.items():
        rows[engine] = figures(median, len(encoded), len(encoded) * config.block_size)
    return Bench(
        models["tensor"].parameter_count,
        len(encoded),
        repeats,
        seed,
        dataclasses.asdict(config),
        rows,
    )


def _models(
    config: ModelConfig, charset: str, seed: int, engines: Sequence[str]
) -> dict[str, Model]:
    """Return {engine: new model}, without engine native where it was not built."""
    there = [engine for engine in engines if engine != "native" or native_is_here()]
    return {engine: create(config, charset, seed, engine) for engine in there}


def _checked_models(
    config: ModelConfig, charset: str, seed: int, docs: Sequence[str]
) -> dict[str, Model]:
    """Return {engine: new model}; exit with an error unless all compute the same."""
    models = _models(config, charset, seed, ENGINES)
    encoded = [models["tensor"].tokenizer.encode(doc) for doc in spread(docs[:FIRST], 10)]
    check_losses(models, encoded)
    check_samples({name: model for name, model in models.items() if name != "scalar"})
    return _models(config, charset, seed, ENGINES)


def _train(model: Model, docs: Sequence[str], config: TrainConfig) -> None:
    deque(train(model, docs, config), maxlen=0)


def _other_work(
    models: Mapping[str, Model], docs: Sequence[str], repeats: int, progress: Progress
) -> Work:
    """Return the figures of WORK, for each engine that can do it."""
    work: Work = {}
    scale = 1e6 / BATCHED
    for batch in (16, 32, 64):
        config = TrainConfig(steps=BATCHED // batch, batch=batch)
        turns = {
            engine: Repeated(partial(_train, model, docs, config))
            for engine, model in models.items()
        }
        seconds = medians_of_turns(turns, repeats, progress)
        name = f"us_per_document_in_{batch}"
        work[name] = {engine: scale * median for engine, median in seconds.items()}
    if "native" in models:
        two = {"native": Repeated(partial(_train_on_2_threads, models["native"], docs, config))}
        seconds = medians_of_turns(two, repeats, progress)
        work["us_per_document_in_64_on_2_threads"] = {"native": scale * seconds["native"]}
    work["generated_tokens_per_s"] = {}
    for engine, model in models.items():
        sample = partial(generate, model, GENERATED[engine], TEMPERATURE)
        seconds = medians_of_turns({engine: Repeated(sample)}, repeats, progress)
        # The end of a document is a token too, but for one that fills the block.
        tokens = sum(min(len(doc) + 1, model.config.block_size) for doc in sample())
        work["generated_tokens_per_s"][engine] = tokens / seconds[engine]
    held_out = [next(iter(models.values())).tokenizer.encode(doc) for doc in docs[:HELD_OUT]]
    losses = {
        engine: Repeated(partial(model.mean_loss, held_out)) for engine, model in models.items()
    }
    seconds = medians_of_turns(losses, repeats, progress)
    work["validation_ms"] = {engine: 1e3 * median for engine, median in seconds.items()}
    return work


def _train_on_2_threads(model: Model, docs: Sequence[str], config: TrainConfig) -> None:
    model.threads = 2
    _train(model, docs, config)
    model.threads = 1
