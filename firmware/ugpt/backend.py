"""The choice of kernels: native ones if they run here and agree with the portable ones."""

import gc
import sys
from array import array
from binascii import crc32

from . import board, ops
from .adam import Adam
from .layout import Sizes
from .model import Model

TOLERANCE = 1e-4  # relative to the largest value in a buffer
WHOLE = 0x2144DF1C  # the CRC32 of bytes that end in their own CRC32


class Unfit(Exception):
    """The native kernels cannot be used here; the message is the reason, without spaces."""


def choose():
    """Return (backend, reason): the kernels to use and why, without spaces."""
    if board.NAME == "cpython":
        return ops, "cpython"
    name = board.kernels_file(board.ARCHITECTURE)
    try:
        check_machine(name)
        check_file(__file__.rpartition("/")[0] + "/", name)
        try:
            from . import native
        except (ImportError, AttributeError, ValueError, OSError, MemoryError):
            raise Unfit("cannot-be-loaded")
        try:
            gc.collect()  # in a heap of two pieces, what is free in the first is used again
            check_results(native)
        except OverflowError:
            raise Unfit(board.OUT_OF_REACH)
    except Unfit as unfit:
        return ops, str(unfit)
    finally:
        gc.collect()  # the check's garbage would fragment the memory for the model's buffers
    return native, "self-check-passed"


def check_machine(kernels):
    """Raise Unfit unless this machine can run native kernels and the file `kernels` has them.

    MicroPython does not check it: it would load them on an ESP32-S2, which lacks the ESP32's float
    instructions, and crash at the first of them.
    """
    if not board.has_fpu():
        raise Unfit("no-floating-point-unit")
    if not kernels:
        raise Unfit("no-kernels-for-this-architecture")


def check_file(folder, name):
    """Raise Unfit unless the file `name` in `folder` is complete and compiled for this machine.

    It is by tools/microgpt_board/image/native.py and ends in its CRC32. MicroPython does not check
    it: it would run a damaged file. In a browser's tab the page loads kernels.wasm, for any
    machine, and MicroPython has a copy.
    """
    buffer = bytearray(256)  # memory for the whole file may not be free
    try:
        with open(folder + name, "rb") as file:
            head = file.read(4)
            crc = crc32(head)
            while size := file.readinto(buffer):
                crc = crc32(memoryview(buffer)[:size], crc)
    except OSError:
        raise Unfit("no-" + name)
    if crc != WHOLE:
        raise Unfit("damaged-" + name)
    if board.IN_BROWSER:
        return
    theirs = head[1] | head[2] << 8  # format; native interface's version and architecture
    if (theirs ^ sys.implementation._mpy) & 0x3FF:
        raise Unfit("other-version-of-micropython")
    if board.kernels_file(theirs >> 10 & 0xF) != name:
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
