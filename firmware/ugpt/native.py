"""The kernels as machine code, compiled from native/kernels.c; they need a floating-point unit.

Names, arguments and meaning are those of `ops`; a handle is an address. Importing this module
loads `kernels.mpy`: import it only through `backend.choose`, which checks the file first. In a
browser's tab `kernels` is what the page has made of kernels.wasm, host/web/site/board/kernels.js.
"""

from uctypes import addressof

from .coefficients import COEFFICIENTS as CONSTANTS  # noqa: F401
from .kernels import (  # noqa: F401
    adam,
    add,
    attention,
    attention_backward,
    clear,
    cross_entropy,
    embed,
    embed_backward,
    linear,
    linear_backward_w,
    linear_backward_x,
    relu,
    relu_backward,
    rmsnorm,
    rmsnorm_backward,
    softmax,
)

NAME = "native"


def view(buffer, offset, length):
    """Return the handle for `length` elements of a flat array from `offset` on: their address.

    The handle does not keep the buffer alive, and nothing stops a kernel at the buffer's end.
    """
    return addressof(memoryview(buffer)[offset : offset + length])
