"""The kernels as machine code, compiled from native/kernels.c; they need a floating-point unit.

Names, arguments and meaning are those of `ops`; a handle is an address. Importing this module
loads `kernels_ARCH.mpy` for this machine: import it only through `backend.choose`, which checks the
file first. In a browser's tab its module `kernels` is what the page has made of kernels.wasm,
host/web/site/board/kernels.js.
"""

from sys import maxsize

from uctypes import addressof

from . import board
from .coefficients import COEFFICIENTS as CONSTANTS  # noqa: F401

_file = board.kernels_file(board.ARCHITECTURE)
_kernels = __import__(_file.partition(".")[0], None, None, ("adam",), 1)  # from this package

adam = _kernels.adam
add = _kernels.add
attention = _kernels.attention
attention_backward = _kernels.attention_backward
clear = _kernels.clear
cross_entropy = _kernels.cross_entropy
embed = _kernels.embed
embed_backward = _kernels.embed_backward
linear = _kernels.linear
linear_backward_w = _kernels.linear_backward_w
linear_backward_x = _kernels.linear_backward_x
relu = _kernels.relu
relu_backward = _kernels.relu_backward
rmsnorm = _kernels.rmsnorm
rmsnorm_backward = _kernels.rmsnorm_backward
softmax = _kernels.softmax

NAME = "native"
REACH = maxsize >> 1  # the largest address that is a small int, as a kernel's arguments are


def view(buffer, offset, length):
    """Return the handle for `length` elements of a flat array from `offset` on: their address.

    The handle does not keep the buffer alive, and nothing stops a kernel at the buffer's end.
    Raises OverflowError for an address out of reach, as in a heap whose second piece is in SDRAM.
    """
    address = addressof(memoryview(buffer)[offset : offset + length])
    if address > REACH:
        raise OverflowError
    return address
