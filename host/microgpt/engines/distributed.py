"""The processes that train one model together, as torchrun starts them; for engine "torch"."""

import os
from typing import NamedTuple

RANK = "RANK"  # torchrun's variables
WORLD_SIZE = "WORLD_SIZE"


class Processes(NamedTuple):
    """This process's number among those that train together, and how many there are."""

    rank: int = 0
    world: int = 1


def started_with() -> Processes:
    """Return what torchrun told this process; it need not have joined the others yet."""
    return Processes(int(os.environ.get(RANK, 0)), int(os.environ.get(WORLD_SIZE, 1)))


def join() -> Processes:
    """Join the processes that torchrun started, over NCCL with CUDA and gloo without.

    Does nothing if there is one process only. Call it before the first model of engine "torch" is
    built: a model belongs to the processes that have joined by then.
    """
    processes = started_with()
    if processes.world == 1:
        return processes
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
