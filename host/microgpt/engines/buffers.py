"""The buffers of engine "native", and the structs by which its C finds them.

The names, meanings and order of what is in the structs are in host/native/native.h.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.layout import Sizes
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.engines.flat import FlatParameters, aligned_zeros
from microgpt.memory import LANES, MOST_THREADS, ROWS, round_up
from microgpt.model_io import Array

LAYER = ("attn_wq", "attn_wo", "mlp_fc1", "mlp_fc2")  # attn_wk and attn_wv follow attn_wq


def stored_sizes(own: Sizes) -> Sizes:
    """Return the sizes for which the parameters of a model are laid out in memory."""
    return Sizes(
        own.vocab_size, round_up(own.n_embd, LANES), 1, own.n_layer, own.block_size, own.tie_lm_head
    )


class Buffers:
    """What a step computes with, for documents of at most `longest` positions.

    `struct` is the struct `Model` in C, as int64; it is valid as long as this object lives. Nothing
    in the arrays of `work` outlives a step.
    """

    def __init__(
        self,
        own: Sizes,
        flat: FlatParameters,
        moments: Sequence[Array],
        busy: NDArray[np.int64],
        longest: int,
        threads: int,
    ) -> None:
        """Make them for `threads` threads, of a model of the sizes `own`.

        `busy`, (1,), is not 0 while the model computes, in these buffers or in others.
        """
        self.longest, self.threads = longest, threads
        self.work: list[Array] = []
        self._own, self._flat, self._moments = own, flat, moments  # kept alive too
        self._busy = busy
        self._width, self._vocab = round_up(own.n_embd, LANES), round_up(own.vocab_size, LANES)
        self._rows = max(longest, ROWS)
        self._room = self._rows + LANES  # a block of LANES rows may begin with the last
        # A document of n positions has, with n rounded up, at most n ** 2 attention weights in a
        # head, or (n + 1) / 2 * width in all heads, n up to 16: so many for each of its rows.
        of_row = max(own.n_head * max(longest + 2 * LANES, LANES * LANES), 9 * self._width)
        self._p_size = self._rows * of_row
        self._threads = np.array(
            [self._thread(i) for i in range(min(threads, MOST_THREADS))], np.int64
        )
        self.struct = self._model()

    def _new(self, *shape: int) -> int:
        """Make a buffer of float32, or of int32; return its address."""
        self.work.append(aligned_zeros(math.prod(shape), "float32"))
        return self.work[-1].ctypes.data

    def _model(self) -> NDArray[np.int64]:
        """Return the struct `Model`."""
        own, flat, width = self._own, self._flat, self._width
        offsets = [flat.offsets[name] for name in ("wte", "wpe", *(f"layer0.{x}" for x in LAYER))]
        start = flat.offsets["layer0.attn_wq"]
        sizes = [
            *(own.vocab_size, own.n_embd, own.n_head, own.n_layer, own.block_size),
            *(own.tie_lm_head, own.input_rmsnorm, len(self._threads)),
            *(width, 4 * width, self._vocab, flat.params.size),
            *(*offsets, flat.offsets.get("layer1.attn_wq", start) - start),
            flat.offsets["wte" if own.tie_lm_head else "lm_head"],
            *(self._rows, self._room, self.longest),
        ]
        values = [
            *(*sizes, own.head_dim, self._p_size),
            *(array.ctypes.data for array in (flat.params, *self._moments)),
            *(self._new(flat.params.size), self._new(width, self._vocab), self._new(self._vocab)),
            *(self._busy.ctypes.data, self._threads.ctypes.data),
            *np.array((EPS_RMSNORM, BETA1, BETA2, EPS_ADAM)).view(np.int64),
        ]
        return np.array(values, np.int64)

    def _thread(self, number: int) -> list[int]:
        """Return the struct `Thread` of a thread; the first has the model's gradients."""
        own, flat, new, width, room = self._own, self._flat, self._new, self._width, self._room
        head = (LANES, round_up(own.head_dim, LANES) + LANES)
        of_row = (*[1] * 6, *[width] * 4, 1, self._vocab, 4 * width, 3 * width, width)
        of_layer = (width, 1, 3 * width, width, width, 1, 4 * width)
        return [
            new(flat.grads.size) if number else flat.grads.ctypes.data,
            *(new(room, columns) for columns in of_row),
            *(new(own.n_layer, room, columns) for columns in of_layer),
            new(own.n_layer, self._p_size),
            *(new(width, LANES), new(width, LANES), new(room, LANES), new(*head), new(*head)),
            *(0, 0, 0),
        ]
