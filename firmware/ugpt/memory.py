"""The memory that training a model takes, whether it is there, and the nearest sizes that fit."""

import gc
import os
import sys

from . import board
from .layout import GRADIENTS, NUMBERS, SIZES, Sizes, parameter_count, training_bytes

# Bytes besides the buffers, measured on an ESP32: native kernels, the log, a checkpoint and a
# sampler at work; the objects around a layer's buffers; those around a block of gradients.
PROGRAM = 8960
LAYER = 1664
BLOCK = 128
SPARE = 1536  # of PROGRAM, on a heap of one piece: 2,000 or more were, on an emulated Cortex-M4
# MicroPython's heap grows by pieces of the system's memory, of which its own tables take 13 / 512,
# at least 2048 (py/gc.c: gc_try_add_heap).
SMALLEST_PIECE = 3584
HOLES = 256  # bytes in holes of such a heap: a model of 145,173 that just passed without ran out
SHORTEST = 16  # the block sizes of the tools are multiples of it


class TooLarge(Exception):
    """There is too little memory for a model; the message has the figures and sizes that fit."""


def needed(sizes):
    """Return the bytes that training a model takes in all, its program's own excepted."""
    blocks = parameter_count(sizes) // GRADIENTS
    return training_bytes(sizes) + PROGRAM + LAYER * sizes.n_layer + BLOCK * blocks


def state_bytes(sizes):
    """Return the bytes of the largest buffer, which is `layout.allocate_state`."""
    return 12 * parameter_count(sizes)


def available():
    """Return (free, piece): the bytes that can be allocated in all, and at most in one piece."""
    gc.collect()
    free, piece = usable(board.free_memory(), board.memory_pieces())
    return free - kernels_to_load(), piece


def kernels_to_load():
    """Return the bytes of free memory that the native kernels take when they are loaded.

    An ESP32 and a computer have other memory for machine code.
    """
    file = board.kernels_file(board.ARCHITECTURE)
    elsewhere = not board.ON_HARDWARE or board.MACHINE.endswith(" with ESP32")
    if elsewhere or not (file and board.has_fpu()) or "ugpt.native" in sys.modules:
        return 0
    try:
        return beyond_spare(os.stat(__file__.rpartition("/")[0] + "/" + file)[6])
    except OSError:
        return 0


def beyond_spare(size):
    """Return the bytes of `size` that PROGRAM has no room for."""
    return max(0, size - SPARE)


def usable(free, pieces):
    """Return what `available` does, of `gc.mem_free` and the pieces by which the heap can grow.

    `pieces` has their bytes, the largest first; [] for a heap that does not grow.
    """
    if not pieces:
        return free, free
    piece = pieces[0]
    free -= piece  # `gc.mem_free` counts the largest of these pieces, the heap grows by all
    usable = [each - each * 13 // 512 for each in pieces if each >= SMALLEST_PIECE]
    return free + sum(usable) - HOLES, max(free, piece - max(2048, piece * 13 // 512))


def fits(sizes, free, piece):
    """Return whether a model can be trained in this memory; see `available`."""
    return needed(sizes) <= free and state_bytes(sizes) <= piece


def check(sizes, reusable=0):
    """Return in words what training a model takes; raise TooLarge if this board has less memory.

    `reusable` are bytes that are taken now, and will be free when the model is made. CPython is not
    checked: the result is "".
    """
    if board.NAME == "cpython":
        return ""
    free, piece = available()
    free += reusable
    if not fits(sizes, free, piece):
        raise TooLarge(refusal(sizes, free, piece))
    return "training takes {:,} of {:,} free bytes".format(needed(sizes), free)


def refusal(sizes, free, piece):
    """Return in one line what a model needs, what there is, and the nearest sizes that fit."""
    need, there, where = needed(sizes), free, ""
    if need <= free:
        need, there, where = state_bytes(sizes), piece, " in one piece"
    values = ["%s %d" % (name, getattr(sizes, name)) for name in NUMBERS[1:] + NUMBERS[:1]]
    found = [settings_of(other, sizes) for other in nearest(sizes, free, piece)]
    return "{:,} parameters ({}) need {:,} bytes{}, {:,} are free; what fits: {}".format(
        parameter_count(sizes),
        ", ".join(values),
        need,
        where,
        there,
        ", or ".join(found) or "no model with these tokens",
    )


def settings_of(other, sizes):
    """Return the settings of `other` that differ from `sizes`, as make takes them."""
    names = [name for name in NUMBERS if getattr(other, name) != getattr(sizes, name)]
    return " ".join("%s=%d" % (name.upper(), getattr(other, name)) for name in names)


def nearest(sizes, free, piece):
    """Return at most three Sizes that fit, the one with the most parameters first.

    Each has another width, fewer layers, a shorter block or fewer heads; where that is not enough,
    fewer layers and a shorter block come with another width, and at last with fewer of all.
    """
    found = []
    for name in NUMBERS[1:]:  # the settings
        lower = _lowered(sizes, name, free, piece)
        if not lower and name in ("n_layer", "block_size") and _values(sizes, name):
            lower = _lowered(_least(sizes, name), "n_embd", free, piece)
        if lower:
            found.append(lower)
    if not found:
        for name in ("n_layer", "block_size", "n_head"):
            sizes = _least(sizes, name)
        lower = _lowered(sizes, "n_embd", free, piece)
        found = [lower] if lower else []
    return sorted(found, key=lambda other: -parameter_count(other))[:3]


def _values(sizes, name):
    """Return the values below that of `sizes` that the setting `name` can have, rising."""
    value = getattr(sizes, name)
    if name == "n_embd":
        return range(sizes.n_head, value, sizes.n_head)
    if name == "n_head":
        return [n for n in range(1, value) if sizes.n_embd % n == 0]
    step = SHORTEST if name == "block_size" else 1
    return range(step, value, step)


def _lowered(sizes, name, free, piece):
    """Return the largest sizes that fit with a lower `name`; None if there are none."""
    values = _values(sizes, name)
    low, high = 0, len(values)  # those before `low` fit, those from `high` on do not
    while low < high:
        middle = (low + high) // 2
        if fits(_with(sizes, name, values[middle]), free, piece):
            low = middle + 1
        else:
            high = middle
    return _with(sizes, name, values[low - 1]) if low else None


def _least(sizes, name):
    """Return the sizes with the lowest value of `name`."""
    values = _values(sizes, name)
    return _with(sizes, name, values[0]) if values else sizes


def _with(sizes, name, value):
    """Return sizes of which `name` has this value, the others those of `sizes`."""
    values = {each: getattr(sizes, each) for each in SIZES}
    values[name] = value
    return Sizes(**values)
