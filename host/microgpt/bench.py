"""The benchmark: how long a training step takes in each engine, all of them in one run.

The protocol: the same documents, seed and sizes for every engine; each engine warms up, then goes
over the documents; the engines take turns, `repeats` times, so that a busy moment of the machine
meets all of them; a figure is the median over the repeats, on one thread.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from microgpt.config import ModelConfig, TrainConfig
from microgpt.model import create

FIRST = 1000  # the documents timed are spread over the first of the file
ENGINES = ("scalar", "tensor")
WARM_UP_S = 0.2


def bench(
    docs: Sequence[str],
    charset: str,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 42,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return the time of a training step of the default model, by engine.

    The documents are `steps` of the first `FIRST` of `docs`, evenly spread. The result is ready
    for JSON: `protocol`, and in `engines` {engine: {us_per_step, steps_per_s, tokens_per_s}},
    and `speedup`, how many times as fast as scalar each is. A token counts once a step for
    each position that it is predicted at.
    """
    chosen = spread(docs[:FIRST], steps)
    models = {engine: create(ModelConfig(), charset, seed, engine) for engine in ENGINES}
    encoded = [next(iter(models.values())).tokenizer.encode(doc) for doc in chosen]
    positions = sum(models["tensor"].positions(tokens) for tokens in encoded)
    lr = TrainConfig().lr
    seconds: dict[str, list[float]] = {engine: [] for engine in models}
    with threadpool_limits(1):
        for repeat in range(repeats):
            for engine, model in models.items():
                progress(f"{engine}, repeat {repeat + 1} of {repeats}")
                warm_up(lambda i, model=model: model.train_step(encoded[i % len(encoded)], i, lr))
                start = time.perf_counter()
                for step, tokens in enumerate(encoded):
                    model.train_step(tokens, step, lr)
                seconds[engine].append(time.perf_counter() - start)
    medians = {engine: statistics.median(times) for engine, times in seconds.items()}
    return {
        "protocol": {
            "parameters": models["tensor"].parameter_count,
            "steps": len(encoded),
            "repeats": repeats,
            "seed": seed,
            "threads": 1,
            "dtype": {engine: model.dtype for engine, model in models.items()},
        },
        "engines": {
            engine: {
                "us_per_step": median / len(encoded) * 1e6,
                "steps_per_s": len(encoded) / median,
                "tokens_per_s": positions / median,
            }
            for engine, median in medians.items()
        },
        "speedup": {engine: medians["scalar"] / median for engine, median in medians.items()},
    }


def spread(docs: Sequence[str], count: int) -> list[str]:
    """Return `count` of `docs` (all of them, if there are fewer), evenly spread."""
    count = min(count, len(docs))
    return [docs[i * len(docs) // count] for i in range(count)]


def warm_up(step: Callable[[int], object]) -> None:
    """Call step(0), step(1) and so on for WARM_UP_S: caches fill, buffers are made."""
    started = time.perf_counter()
    i = 0
    while time.perf_counter() - started < WARM_UP_S:
        step(i)
        i += 1
