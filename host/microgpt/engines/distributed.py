"""Processes that train one model together, started by torchrun; for engine "torch"."""

import os
from typing import NamedTuple

from microgpt.errors import ConfigError

RANK = "RANK"  # torchrun's variables
WORLD_SIZE = "WORLD_SIZE"


class Processes(NamedTuple):
    """This process's number among those that train together, and how many there are."""

    rank: int = 0
    world: int = 1


def started_with() -> Processes:
    """Return what torchrun set in the environment, whether or not the processes have joined.

    Raises ConfigError if that is not a number.
    """
    return Processes(_number(RANK, 0), _number(WORLD_SIZE, 1))


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise ConfigError(f"{variable} in the environment must be a number, not {text!r}")
    return int(text)


def check_number(processes: int, what: str, words: str) -> None:
    """Raise ConfigError unless this is one of as many `processes` as `what` was made by.

    `words` are those of the command that needs them.
    """
    world = started_with().world
    if world == processes:
        return
    start = f"torchrun --nproc-per-node {processes} -m " if processes > 1 else ""
    many = "es" if processes > 1 else ""
    raise ConfigError(
        f"{what} is of {processes} process{many}, not {world}: {start}microgpt {words}"
    )


def join(engine: str) -> Processes:
    """Join the processes that torchrun started, over NCCL with CUDA and gloo without.

    Does nothing if there is only one process. Call it before a model of engine "torch" is built:
    the model then averages its gradients with the processes that have joined. Raises ConfigError
    if there are several and `engine` is another.
    """
    processes = started_with()
    if processes.world == 1:
        return processes
    if engine != "torch":
        raise ConfigError(f"engine {engine} trains in one process: take torch, or no torchrun")
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return joined()


def joined() -> Processes:
    """Return the processes that have joined: one, if `join` was not called."""
    import torch.distributed as dist

    if not dist.is_initialized():
        return Processes()
    return Processes(dist.get_rank(), dist.get_world_size())
