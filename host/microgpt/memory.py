"""The memory that a model takes, estimated from its sizes alone, and the memory of this machine.

The estimates are of the numbers that the engines hold; they leave out Python itself and its
modules, some 40 MB, and 300 MB with PyTorch. tests/host/test_memory.py compares them with what a
process takes.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.filesize import decimal
from ugpt.layout import parameter_count

from microgpt.config import ModelConfig
from microgpt.errors import ConfigError

# What engine "tensor" does with the documents of a batch, and what it keeps; see engines/tensor.py.
SHORT = 64  # positions; a batch with a longer document is computed one document at a time
MAX_HELD = 1 << 27  # numbers in all buffers; half a gigabyte in float32

# What engine "native" does; see engines/buffers.py.
LANES = 16  # widths in memory are multiples of this
ROWS = 256  # positions that are computed at once; a longer document takes more
MOST_THREADS = 64

# Bytes in CPython: a float takes 32, a place in a list 8, a Value of engine "scalar" 64.
PARSED = 40  # a number in the lists that a JSON file is read into
LEAF = 190  # a parameter of engine "scalar" as a Value, with its gradient and Adam's moments
MULTIPLY_ADD = 600  # two Values of engine "scalar" that depend on others, and their order
ENCODED = 16  # a token in a list, and its share of what belongs to a document
DRAWN = np.dtype("float64").itemsize  # the initial weights are drawn in float64


@dataclasses.dataclass(frozen=True)
class Work:
    """What a model is and what a step of its training computes.

    `lengths` are the positions of the documents that there are, uncut; empty for none. `masks` is
    whether they have masks. `threads` is for engine "native".
    """

    model: ModelConfig
    vocab_size: int
    engine: str = "tensor"
    dtype: str = "float32"
    batch: int = 1
    gradient_accumulation: int = 1
    lengths: Sequence[int] = ()
    masks: bool = False
    threads: int = 1

    @property
    def parameters(self) -> int:
        """The number of parameters, without a table of them."""
        return int(parameter_count(self.model.sizes(self.vocab_size)))

    @property
    def itemsize(self) -> int:
        """The bytes of a parameter."""
        return 8 if self.dtype == "float64" or self.engine == "scalar" else 4

    @property
    def longest(self) -> int:
        """The most positions of a document."""
        return min(self.model.block_size, max(self.lengths, default=0))

    @property
    def mean(self) -> float:
        """The positions of a document on average."""
        block_size = self.model.block_size
        return sum(min(n, block_size) for n in self.lengths) / max(1, len(self.lengths))


def to_create(work: Work) -> int:
    """Return the bytes that a new model takes, with the weights that it is made from."""
    return work.parameters * (DRAWN + (LEAF if work.engine == "scalar" else work.itemsize))


def to_run(work: Work) -> int:
    """Return the bytes of the weights and of a full KV cache."""
    model = work.model
    cache = 2 * model.n_layer * model.block_size * model.n_embd
    size = LEAF if work.engine == "scalar" else work.itemsize
    return size * (work.parameters + cache)


def to_load(file_size: int, parameters: int) -> int:
    """Return the bytes that a weights.json of `file_size` takes while it is read."""
    return file_size + PARSED * parameters


def to_train(work: Work) -> int:
    """Return the bytes of weights, gradients, Adam's moments and of what a step computes.

    Engine "scalar" computes one document at a time.
    """
    if work.engine == "scalar":
        multiplied = multiply_adds(work.model, work.vocab_size, work.longest)
        held = LEAF * work.parameters + MULTIPLY_ADD * multiplied
    elif work.engine == "torch":
        held = work.itemsize * (4 * work.parameters + work.batch * work.longest * _torch(work))
    elif work.engine == "native":
        held = work.itemsize * _native(work)
    else:
        held = work.itemsize * (5 * work.parameters + _tensor(work))
    encoded = work.batch * work.gradient_accumulation * int(work.mean + 10)
    return max(to_create(work), held + ENCODED * encoded)


def most_to_train(work: Work) -> int:
    """Return a number of bytes that `to_train` does not exceed, whatever documents there are."""
    block_size = work.model.block_size
    most = 0
    for longest in (block_size, min(block_size, SHORT)):
        for masks in (False, True):
            of_length = dataclasses.replace(work, lengths=[longest], masks=masks)
            most = max(most, to_train(of_length))
    return most + work.itemsize * MAX_HELD


def multiply_adds(config: ModelConfig, vocab_size: int, n: int) -> int:
    """Return the multiply-adds of the matrices and of attention in a forward pass, n positions."""
    sizes = config.sizes(vocab_size)
    embeddings = (vocab_size + config.block_size) * config.n_embd
    matrices = int(parameter_count(sizes)) - embeddings
    if config.tie_lm_head:
        matrices += vocab_size * config.n_embd
    return n * matrices + config.n_layer * config.n_embd * n * (n + 1)


def _tensor(work: Work) -> int:
    """Return the numbers in the buffers of engine "tensor": engines/passes.py, attention.py."""
    longest = work.longest
    if not longest:
        return 0
    documents = work.batch * work.gradient_accumulation
    at_once = work.batch > 1 and longest <= SHORT and not work.masks
    if at_once:
        columns = longest + int((work.batch - 1) * work.mean) + 2 * longest
        largest = columns * _column(work, longest * (work.model.n_embd + 3 * work.model.n_head))
        # A pass is kept for each width of a batch; if documents differ, there are about so many.
        held = largest * min(16, len(set(work.lengths)))
    else:
        ns = {min(n, work.model.block_size) for n in work.lengths}
        passes = [n * _column(work, 4 * work.model.n_head * n) for n in ns]
        largest, held = max(passes), sum(passes)
    sums = work.parameters if documents > (work.batch if at_once else 1) else 0  # of gradients
    return max(largest, min(held, MAX_HELD)) + work.vocab_size**2 + sums


def _column(work: Work, attention: int) -> int:
    """Return the numbers in the buffers of engine "tensor" for each position."""
    model = work.model
    embedding = 3 * work.vocab_size + model.block_size + 5 * model.n_embd
    return model.n_layer * (29 * model.n_embd + attention) + embedding


def _native(work: Work) -> int:
    """Return the numbers in the buffers of engine "native": engines/buffers.py."""
    model, longest = work.model, work.longest
    width, vocab_size = (round_up(n, LANES) for n in (model.n_embd, work.vocab_size))
    stored = dataclasses.replace(model, n_embd=width, n_head=1).sizes(work.vocab_size)
    attention = max(model.n_head * max(longest + 2 * LANES, LANES * LANES), 9 * width)
    of_row = 12 * width + vocab_size + LANES + model.n_layer * (10 * width + attention)
    of_thread = int(parameter_count(stored)) + (max(longest, ROWS) + LANES) * of_row
    threads = min(work.threads, MOST_THREADS, work.batch * work.gradient_accumulation)
    return 4 * int(parameter_count(stored)) + threads * of_thread


def round_up(number: int, multiple: int) -> int:
    """Return the first multiple of `multiple` from `number` on."""
    return -(-number // multiple) * multiple


def _torch(work: Work) -> int:
    """Return the numbers that PyTorch keeps for each position until the backward pass."""
    model = work.model
    return 24 * model.n_layer * model.n_embd + 4 * model.n_embd + 6 * work.vocab_size


@functools.cache
def of_machine() -> int | None:
    """Return the bytes of memory that this machine, or the container, has; None if unknown."""
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    return min([installed, *_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _limits(groups: Path, root: Path) -> list[int]:
    """Return the limits of memory of the control groups that this process is in.

    A line of `groups` is NUMBER:CONTROLLERS:PATH. Within a container the path may be that outside
    of it, and the limit at the root; so all folders above count, as they do for the kernel.
    """
    found = []
    with suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                top, name = root, "memory.max"
            elif controllers == "memory":
                top, name = root / "memory", "memory.limit_in_bytes"
            else:
                continue
            folder = top / path.strip("/")
            for parent in (folder, *folder.parents):
                if parent.is_relative_to(top):
                    with suppress(OSError, ValueError):  # no such file, or "max"
                        found.append(int((parent / name).read_text()))
    return found


def refusal(parameters: int, need: int, purpose: str) -> str | None:
    """Return why the machine has not the memory for a model; None if it has, or is unknown.

    `need` are the bytes, `purpose` is what for, such as "to train".
    """
    there = of_machine()
    if there is None or need <= there:
        return None
    return (
        f"a model of {counted(parameters)} parameters needs {decimal(need)} {purpose}, "
        f"this machine has {decimal(there)}"
    )


def check(work: Work, purpose: str, needed: Callable[[Work], int]) -> None:
    """Raise ConfigError, with figures, if `needed(work)` is more memory than the machine has.

    The message names the setting that makes it large: the one that would help most.
    """
    reason = refusal(work.parameters, needed(work), purpose)
    if not reason:
        return
    model = work.model
    least: dict[str, Any] = {"n_embd": model.n_head, "n_layer": 1, "block_size": 1}
    lower = {name: dataclasses.replace(model, **{name: n}) for name, n in least.items()}
    needs = {name: needed(dataclasses.replace(work, model=it)) for name, it in lower.items()}
    needs["batch"] = needed(dataclasses.replace(work, batch=1))
    needs["gradient_accumulation"] = needed(dataclasses.replace(work, gradient_accumulation=1))
    name = min(needs, key=lambda name: needs[name])
    value = getattr(model if name in lower else work, name)
    raise ConfigError(f"{reason}: lower {name} ({value:,})")


def counted(number: int) -> str:
    """Return a number in at most a few digits: 4,192, 12.6 million, 4.0 billion, 1.2e+17."""
    for exponent, word in ((6, ""), (9, " million"), (12, " billion"), (15, " trillion")):
        if number < 10**exponent:
            return f"{number / 10 ** (exponent - 3):,.1f}{word}" if word else f"{number:,}"
    return f"{number:.1e}"
