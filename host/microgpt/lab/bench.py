"""The benchmark: how long a training step takes in each engine, all of them in one run.

The protocol: the same documents, seed and sizes for every engine; each engine warms up, then goes
over the documents; the engines take turns, `repeats` times, so that a busy moment of the machine
meets all of them; a figure is the median over the repeats, on one thread.
"""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits
from ugpt.layout import parameter_count, parameter_table

from microgpt.config import ModelConfig, TrainConfig
from microgpt.data import charset_of
from microgpt.engines import create

ENGINES = ("scalar", "tensor")
FIRST = 1000  # the documents timed are spread over the first of the file
BATCH = 32
CHAT_SIZED = ModelConfig(n_embd=128, n_layer=6, block_size=512)
WARM_UP_S = 0.2
LR = TrainConfig().lr

Progress = Callable[[str], None]


def bench(
    docs: Sequence[str],
    charset: str,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Return the time of a training step of the default model, by engine.

    The documents are `steps` of the first `FIRST` of `docs`, evenly spread. The result is ready
    for JSON: `protocol`, and in `engines` {engine: {us_per_step, steps_per_s, tokens_per_s}},
    and `speedup`, how many times as fast as scalar each is. A token is a position that a step
    learns to predict at. `minibatch`: documents a second of engine tensor, one a step and BATCH.
    """
    models = {engine: create(ModelConfig(), charset, seed, engine) for engine in ENGINES}
    tensor = models["tensor"]
    encoded = [tensor.tokenizer.encode(doc) for doc in spread(docs[:FIRST], steps)]
    enough = [tensor.tokenizer.encode(doc) for doc in spread(docs[:FIRST], 10 * BATCH)]
    batches = [enough[start : start + BATCH] for start in range(0, len(enough), BATCH)]
    with threadpool_limits(1):
        turns = {engine: Turn(model.train_step, encoded) for engine, model in models.items()}
        medians = medians_of_turns(turns, repeats, progress)
        # Far more repeats: they take no time, and the ratio of two small times is noisy.
        turns = {"one": Turn(tensor.train_step, enough), "batch": Turn(tensor.train_batch, batches)}
        seconds = medians_of_turns(turns, 4 * repeats, progress)
    return {
        "protocol": {
            "parameters": tensor.parameter_count,
            "steps": len(encoded),
            "repeats": repeats,
            "seed": seed,
            "threads": 1,
            "dtype": {engine: model.dtype for engine, model in models.items()},
        },
        "engines": {
            engine: figures(median, len(encoded), sum(map(tensor.positions, encoded)))
            for engine, median in medians.items()
        },
        "speedup": {engine: medians["scalar"] / median for engine, median in medians.items()},
        "minibatch": {
            "documents": BATCH,
            "documents_per_s": {name: len(enough) / time for name, time in seconds.items()},
            "speedup": seconds["one"] / seconds["batch"],
        },
    }


def bench_chat_sized(
    docs: Sequence[str],
    repeats: int = 5,
    seed: int = 42,
    progress: Progress = lambda text: None,
    scalar_seconds: float = 60,
) -> dict[str, Any]:
    """Return the same for a model of the size that chats, and documents that fill its block.

    Engine scalar would take hours for a step, so its time is extrapolated from what it can do in
    `scalar_seconds`, and marked so. See `extrapolated`.
    """
    config = CHAT_SIZED
    long = long_documents(docs, config.block_size, 2)
    charset = charset_of(long)
    tensor = create(config, charset, seed, "tensor")
    encoded = [tensor.tokenizer.encode(doc) for doc in long]
    with threadpool_limits(1):
        turns = {"tensor": Turn(tensor.train_step, encoded)}
        seconds = medians_of_turns(turns, repeats, progress)["tensor"] / len(encoded)
    progress("scalar, a few positions of one layer")
    slow = extrapolated(config, charset, encoded[0], seed, scalar_seconds)
    n = config.block_size
    return {
        "protocol": {
            "parameters": tensor.parameter_count,
            **dataclasses.asdict(config),
            "steps": len(encoded),
            "repeats": repeats,
            "seed": seed,
            "threads": 1,
        },
        "engines": {
            "scalar": figures(slow, 1, n) | {"extrapolated": True},
            "tensor": figures(seconds, 1, n),
        },
        "speedup": {"scalar": 1.0, "tensor": slow / seconds},
    }


def extrapolated(
    config: ModelConfig, charset: str, tokens: Sequence[int], seed: int, seconds: float
) -> float:
    """Return the seconds that a step of engine scalar would take.

    A step is so much for each parameter, Adam's part, and so much for each multiply-add. Documents
    of 1 and of 3 positions, in a model of one layer, in turns until `seconds` are over, tell both.
    """
    one_layer = dataclasses.replace(config, n_layer=1)
    model = create(one_layer, charset, seed, "scalar")
    times: dict[int, list[float]] = {1: [], 3: []}
    began = time.perf_counter()
    while not times[3] or time.perf_counter() - began < seconds:
        for n, measured in times.items():
            start = time.perf_counter()
            model.train_step(tokens[: n + 1], 0, LR)
            measured.append(time.perf_counter() - start)
    short, long = (statistics.median(measured) for measured in times.values())
    work = {n: multiply_adds(one_layer, model.tokenizer.vocab_size, n) for n in times}
    per_multiply_add = (long - short) / (work[3] - work[1])
    per_parameter = (short - per_multiply_add * work[1]) / model.parameter_count
    vocab_size = model.tokenizer.vocab_size
    parameters = parameter_count(config.sizes(vocab_size))
    all_work = multiply_adds(config, vocab_size, config.block_size)
    return per_parameter * parameters + per_multiply_add * all_work


def multiply_adds(config: ModelConfig, vocab_size: int, n: int) -> int:
    """Return the multiply-adds of a forward pass over n positions, norms and softmax aside."""
    table = parameter_table(config.sizes(vocab_size))
    sizes = {name: rows * columns for name, (rows, columns), _ in table}
    head = sizes["wte"]
    layers = sum(size for name, size in sizes.items() if name.startswith("layer"))
    attention = config.n_layer * 2 * config.n_embd * n * (n + 1) // 2
    return n * (layers + head) + attention


def figures(seconds: float, steps: int, positions: int) -> dict[str, float]:
    """Return what `seconds` for so many steps and positions make a step and a second."""
    return {
        "us_per_step": seconds / steps * 1e6,
        "steps_per_s": steps / seconds,
        "tokens_per_s": positions / seconds,
    }


@dataclass(frozen=True)
class Turn:
    """What is timed: a step, called as learn(work, step, lr), with each of `work` after another."""

    learn: Callable[[Any, int, float], float]
    work: Sequence[Any]

    def __call__(self) -> float:
        """Return the seconds that it takes, after a warm-up: caches fill, buffers are made."""
        warm = time.perf_counter() + WARM_UP_S
        for step, item in enumerate(itertools.cycle(self.work)):
            self.learn(item, step, LR)
            if time.perf_counter() > warm:
                break
        start = time.perf_counter()
        for step, item in enumerate(self.work):
            self.learn(item, step, LR)
        return time.perf_counter() - start


def medians_of_turns(
    turns: Mapping[str, Turn], repeats: int, progress: Progress = lambda text: None
) -> dict[str, float]:
    """Return {name: median seconds of a turn}; each has `repeats` of them, one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for repeat in range(repeats):
        for name, turn in turns.items():
            progress(f"{name}, repeat {repeat + 1} of {repeats}")
            seconds[name].append(turn())
    return {name: statistics.median(times) for name, times in seconds.items()}


def spread(docs: Sequence[str], count: int) -> list[str]:
    """Return `count` of `docs` (all of them, if there are fewer), evenly spread."""
    count = min(count, len(docs))
    return [docs[i * len(docs) // count] for i in range(count)]


def long_documents(docs: Iterable[str], length: int, count: int) -> list[str]:
    """Return `count` documents of `length` characters, made of `docs` with blanks between."""
    text = " ".join(docs)
    while len(text) < count * length:
        text += " " + text
    return [text[i * length : (i + 1) * length] for i in range(count)]
