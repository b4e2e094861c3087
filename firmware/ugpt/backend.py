"""The choice of kernels: native ones if they run here and agree with the portable ones."""

import gc
import sys
from array import array
from binascii import crc32

from . import board, ops
from .adam import Adam
from .layout import Sizes
from .model import Model

# By tools/microgpt_board/image/native.py, with a CRC32 as its last 4 bytes.
KERNELS = "kernels.wasm" if board.IN_BROWSER else "kernels.mpy"
TOLERANCE = 1e-4  # relative to the largest value in a buffer


class Unfit(Exception):
    """The native kernels cannot be used here; the message is the reason, without spaces."""


def choose():
    """Return (backend, reason): the kernels to use and why, without spaces."""
    if board.NAME == "cpython":
        return ops, "cpython"
    try:
        check_file(__file__.rpartition("/")[0] + "/" + KERNELS)
        try:
            from . import native
        except (ImportError, ValueError, OSError, MemoryError):
            raise Unfit("cannot-be-loaded")
        check_results(native)
    except Unfit as unfit:
        return ops, str(unfit)
    finally:
        gc.collect()  # the check's garbage would fragment the memory for the model's buffers
    return native, "self-check-passed"


def check_file(path):
    """Raise Unfit unless the file at `path` is complete and compiled for this machine.

    MicroPython does not check it: it would run a damaged file. It would also load the kernels on
    an ESP32-S2, which lacks the ESP32's float instructions, and crash at the first of them. In a
    browser's tab the page loads kernels.wasm, for any machine, and MicroPython has a copy.
    """
    if not board.has_fpu():
        raise Unfit("no-floating-point-unit")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise Unfit("no-" + KERNELS)
    end = len(data) - 4
    if end < 4 or crc32(memoryview(data)[:end]) != int.from_bytes(data[end:], "little"):
        raise Unfit("damaged-" + KERNELS)
    if board.IN_BROWSER:
        return
    ours = getattr(sys.implementation, "_mpy", 0)
    theirs = data[1] | data[2] << 8  # format; native interface's version and architecture
    if theirs & 0x3FF != ours & 0x3FF:
        raise Unfit("other-version-of-micropython")
    if theirs != ours & 0xFFFF:
        raise Unfit("other-architecture")


def check_results(kernels):
    """Raise Unfit unless a training step and a softmax agree with the portable kernels."""
    for expected, found in zip(_results(ops), _results(kernels)):
        limit = TOLERANCE * max(abs(v) for v in expected)
        for i in range(len(expected)):
            if not abs(found[i] - expected[i]) <= limit:  # also true for NaN
                raise Unfit("self-check-failed")


def _results(kernels):
    """Return parameters, moments and loss after a step of a tiny model, and a softmax.

    Every kernel is called.
    """
    sizes = Sizes(vocab_size=5, n_embd=4, n_head=2, block_size=4)
    n = sizes.block_size
    model = Model(sizes, kernels)
    params = model.params
    for i in range(len(params)):
        params[i] = (i * 7 % 13 - 6) / 8
    for t in range(n + 1):
        model.tokens[t] = t * t % sizes.vocab_size
    adam = Adam(model)
    loss = array("f", (model.loss_of(n),))
    adam.begin(0, 0.01)
    model.backward(n, adam.update)
    p = array("f", params[:5])
    factor = array("f", (2.0,))
    view = kernels.view
    kernels.softmax(view(p, 0, 5), view(p, 0, 5), view(factor, 0, 1), 5, model.constants)
    return params, adam.m, adam.v, loss, p
