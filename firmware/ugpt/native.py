"""The kernels in machine code, for boards with a floating-point unit: native/kernels.c.

The same names, arguments and meaning as in `ops`; a handle is an address. Importing this module
loads `kernels.mpy`, so do it only through `backend.choose`, which first makes sure that it can.
"""

from uctypes import addressof

from .coefficients import COEFFICIENTS as CONSTANTS  # noqa: F401
from .kernels import (  # noqa: F401
    adam,
    add,
    attention,
    attention_backward,
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

    It keeps neither the buffer alive nor a kernel from going past its end.
    """
    return addressof(memoryview(buffer)[offset : offset + length])
