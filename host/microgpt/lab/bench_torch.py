"""The benchmark against PyTorch: a training step in engine tensor and in engine torch.

Run it where torch is installed: python -m microgpt.lab.bench_torch [--json]. A step learns from one
document, in float32. Engine torch uses CUDA where it is available; CUDA_VISIBLE_DEVICES= keeps it
on the CPU. Before anything is timed, the losses of both engines are compared.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TypedDict

from threadpoolctl import threadpool_limits

from microgpt import data
from microgpt.config import ModelConfig
from microgpt.engines import create
from microgpt.lab.bench import CHAT_SIZED
from microgpt.lab.timing import (
    FIRST,
    Turn,
    check_losses,
    long_documents,
    medians_of_turns,
    spread,
)
from microgpt.runs.environment import environment


class EngineTimes(TypedDict):
    """Microseconds of a step by engine, medians; `speedup` is how many times tensor is as fast.

    `positions` is None if the documents have different lengths.
    """

    parameters: int
    positions: int | None
    threads: int
    steps: int
    repeats: int
    us_per_step: dict[str, float]
    speedup: float


def time_engines(
    config: ModelConfig, charset: str, docs: Sequence[str], repeats: int, threads: int
) -> EngineTimes:
    """Time a step of a new model in both engines, one for each of `docs` in each repeat."""
    import torch

    torch.set_num_threads(threads)
    tensor = create(config, charset, engine="tensor")
    encoded = [tensor.tokenizer.encode(doc) for doc in docs]
    models = {"tensor": tensor, "torch": create(config, charset, engine="torch")}
    check_losses(models, encoded)
    with threadpool_limits(threads):
        turns = {name: Turn(model.train_step, encoded) for name, model in models.items()}
        medians = medians_of_turns(turns, repeats)
    return {
        "parameters": tensor.parameter_count,
        "positions": tensor.positions(encoded[0]) if len(set(map(len, encoded))) == 1 else None,
        "threads": threads,
        "steps": len(encoded),
        "repeats": repeats,
        "us_per_step": {name: median / len(encoded) * 1e6 for name, median in medians.items()},
        "speedup": medians["torch"] / medians["tensor"],
    }


def main() -> None:
    """Compare the engines on the default model, with one thread, and on the chat-sized one."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="for the chat-sized model")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: torch is not installed", file=sys.stderr)
        return
    docs = data.read_docs(data.NAMES)
    charset = data.charset_of(docs)
    long = long_documents(docs, CHAT_SIZED.block_size, 2)
    small = time_engines(ModelConfig(), charset, spread(docs[:FIRST], 200), options.repeats, 1)
    large = time_engines(CHAT_SIZED, data.charset_of(long), long, options.repeats, options.threads)
    if options.json:
        result = {"torch": torch.__version__, "small": small, "large": large}
        print(json.dumps({"environment": environment(), **result}, indent=2))
        return
    print(f"{environment()['processor']}, PyTorch {torch.__version__}")
    for row in (small, large):
        times = row["us_per_step"]
        print(
            f"{row['parameters']:,} parameters, {row['threads']} thread(s), medians of "
            f"{row['repeats']} repeats of {row['steps']} steps: tensor {times['tensor']:,.0f} µs, "
            f"torch {times['torch']:,.0f} µs, tensor is {row['speedup']:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
