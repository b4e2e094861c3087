"""The time of a step of engine scalar where measuring it would take hours."""

import dataclasses
import statistics
import time
from collections.abc import Sequence

from ugpt.layout import parameter_count

from microgpt.config import ModelConfig
from microgpt.engines import create
from microgpt.lab.timing import LR
from microgpt.memory import multiply_adds


def extrapolated(
    config: ModelConfig, charset: str, tokens: Sequence[int], seed: int, seconds: float
) -> float:
    """Return the seconds that engine scalar would take for a step with a document of block_size.

    A step is taken to need a fixed time for each parameter (Adam) and one for each multiply-add.
    Both follow from two measurements, documents of 1 and of 3 positions in a model with one layer.
    They are repeated in turns for `seconds`, at least once; the medians count.
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
    vocab_size = model.tokenizer.vocab_size
    work = {n: multiply_adds(one_layer, vocab_size, n) for n in times}
    per_multiply_add = (long - short) / (work[3] - work[1])
    per_parameter = (short - per_multiply_add * work[1]) / model.parameter_count
    parameters = int(parameter_count(config.sizes(vocab_size)))
    all_work = multiply_adds(config, vocab_size, config.block_size)
    return per_parameter * parameters + per_multiply_add * all_work
