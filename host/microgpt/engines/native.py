"""Engine "native": C compiled for this computer, with vectors and threads; float32.

The arithmetic is in host/native, the loop and the records stay in Python. Parameters, gradients and
Adam's sums are NumPy arrays, the same as those of engine "tensor", and C works on them in place.
"""

import math
from array import array
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.layout import Sizes
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt import memory
from microgpt.config import ModelConfig
from microgpt.engines.base import (
    Block,
    BlockStep,
    DecodeStep,
    Mask,
    Masks,
    Model,
    Moments,
    Pairs,
    Tokens,
    check_finite,
    equal_parts,
    with_masks,
)
from microgpt.engines.flat import FlatParameters, aligned_zeros
from microgpt.errors import ConfigError
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

try:
    _native = import_module("microgpt.engines._native")
except ValueError as error:  # of MICROGPT_ISA
    raise ConfigError(str(error)) from None

MOST_THREADS = 64
LARGE = 2**23  # bytes of KV cache for a document among others
ROWS = 256  # computed at once; a longer document takes more
NO_DOCUMENTS = Block(np.zeros(0, np.int32), np.zeros(1, np.int32))
LAYER = ("attn_wq", "attn_wo", "mlp_fc1", "mlp_fc2")  # attn_wk and attn_wv follow attn_wq
LANES = 16  # the width of a matrix in memory is a multiple of this


class NativeModel(Model):
    """The model with its parameters in one flat array; `weights` are views that can be written.

    `threads`: how many threads compute the documents of a batch.
    """

    engine = "native"
    dtype = "float32"

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, weights: Matrices) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`."""
        super().__init__(config, tokenizer)
        own = self.sizes
        self._width = _round_up(own.n_embd)
        stored = Sizes(own.vocab_size, self._width, 1, own.n_layer, own.block_size, own.tie_lm_head)
        self._flat = FlatParameters(own, weights, self.dtype, stored)
        size = self._flat.params.size
        self._sum_m, self._sum_v = (aligned_zeros(size, self.dtype) for _ in range(2))
        self._fits = (0, 0)  # the longest document and the threads that there are buffers for
        self._work: list[Array] = []  # the buffers of a step: nothing in them outlives it
        self._busy = np.zeros(1, np.int64)
        self._struct = self._thread_structs = np.zeros(0, np.int64)

    @property
    def weights(self) -> Matrices:
        return self._flat.weights

    def reset_optimizer(self) -> None:
        self._sum_m[:] = 0
        self._sum_v[:] = 0

    @property
    def moments(self) -> Moments:
        """Adam's sums: the moments without their constant factors, see `engines.adam`."""
        first, second = (self._flat.by_name(part.copy()) for part in (self._sum_m, self._sum_v))
        return first, second

    def restore_optimizer(self, moments: Moments, step: int) -> None:
        for part, then in zip((self._sum_m, self._sum_v), moments, strict=True):
            for name, matrix in self._flat.by_name(part).items():
                matrix[...] = then[name]

    def _make_buffers(self, longest: int) -> None:
        """Make the buffers for documents of `longest` positions, and the struct `Model` in C."""
        threads = max(1, min(self.threads, MOST_THREADS))
        if longest <= self._fits[0] and threads == self._fits[1]:
            return
        self._fits = (max(longest, self._fits[0]), threads)
        self._work = []
        self._struct = self._model_struct(*self._fits)

    def _buffer(self, *shape: int) -> int:
        """Make a buffer of float32, or of int32; return its address."""
        self._work.append(aligned_zeros(math.prod(shape), self.dtype))
        return self._work[-1].ctypes.data

    def _model_struct(self, longest: int, threads: int) -> NDArray[np.int64]:
        """Return what the struct `Model` of host/native/native.h has, in its order."""
        own, flat, width = self.sizes, self._flat, self._width
        vocab, rows = _round_up(own.vocab_size), max(longest, ROWS)
        room = rows + LANES  # a block of LANES rows may begin with the last
        names = ("wte", "wpe", *(f"layer0.{name}" for name in LAYER))
        start = flat.offsets["layer0.attn_wq"]
        layer = flat.offsets.get("layer1.attn_wq", start) - start
        head = flat.offsets["wte" if own.tie_lm_head else "lm_head"]
        # Of a document of n positions a head has at most round_up(n) ** 2 attention weights, a row
        # of it so at most these, or (n + 1) / 2 * width in all heads.
        weights_of_row = max(own.n_head * max(longest + 2 * LANES, LANES * LANES), 9 * width)
        sizes = [
            *(own.vocab_size, own.n_embd, own.n_head, own.n_layer, own.block_size),
            *(own.tie_lm_head, own.input_rmsnorm, threads, width, 4 * width, vocab),
            *(flat.params.size, *(flat.offsets[name] for name in names), layer, head),
            *(rows, room, longest),
        ]
        each = [self._thread_struct(i, rows, weights_of_row) for i in range(threads)]
        self._thread_structs = np.array(each, np.int64)
        numbers = np.array((EPS_RMSNORM, BETA1, BETA2, EPS_ADAM)).view(np.int64)
        values = [
            *(*sizes, own.head_dim, rows * weights_of_row),
            *(array.ctypes.data for array in (flat.params, self._sum_m, self._sum_v)),
            *(self._buffer(flat.params.size), self._buffer(width, vocab), self._buffer(vocab)),
            *(self._busy.ctypes.data, self._thread_structs.ctypes.data, *numbers),
        ]
        return np.array(values, np.int64)

    def _thread_struct(self, thread: int, rows: int, weights_of_row: int) -> list[int]:
        """Return what the struct `Thread` of host/native/native.h has, in its order."""
        own, width, room, flat = self.sizes, self._width, rows + LANES, self._flat
        vocab, new = _round_up(own.vocab_size), self._buffer
        head = (LANES, _round_up(own.head_dim) + LANES)
        of_row = (
            1,
            1,
            1,
            1,
            1,
            1,
            width,
            width,
            width,
            width,
            1,
            vocab,
            4 * width,
            3 * width,
            width,
        )
        of_layer = (width, 1, 3 * width, width, width, 1, 4 * width)
        return [
            new(flat.grads.size) if thread else flat.grads.ctypes.data,
            *(new(room, size) for size in of_row),
            *(new(own.n_layer, room, size) for size in of_layer),
            new(own.n_layer, rows, weights_of_row),
            *(new(width, LANES), new(width, LANES), new(room, LANES), new(*head), new(*head)),
            *(0, 0, 0),
        ]

    def _native(self, block: Block) -> Any:
        """Return the documents of a block for the compiled part.

        It raises ValueError for those that `positions` refuses, when they are computed.
        """
        lengths = np.diff(block.starts)
        weights = None
        if block.masks and any(mask is not None for mask in block.masks):
            weights = np.zeros(block.tokens.size, np.float32)
            for start, length, mask in zip(block.starts, lengths, block.masks, strict=False):
                n = min(self.config.block_size, int(length) - 1)
                all_equal = 1 / n if mask is None else self.position_weights(n, mask)
                weights[start : start + n] = all_equal
        self._make_buffers(max(1, min(self.config.block_size, int(lengths.max(initial=1)) - 1)))
        arrays = (
            self._flat,
            self._sum_m,
            self._sum_v,
            self._busy,
            self._thread_structs,
            self._work,
        )
        tokens, starts = (np.ascontiguousarray(part) for part in (block.tokens, block.starts))
        return _native.Work(
            self._struct, (*arrays, self._work), check_finite, tokens, starts, weights
        )

    def block_step(self, block: Block) -> BlockStep:
        step: BlockStep = self._native(block).step
        return step

    def block_loss(self, block: Block) -> float:
        return float(self._native(block).loss(0, len(block.starts) - 1, False)[0])

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        return self.block_loss(as_block(documents, masks))

    def train_batch(
        self,
        documents: Sequence[Tokens],
        step: int,
        lr: float,
        masks: Masks = None,
        gradient_accumulation: int = 1,
    ) -> float:
        equal_parts(with_masks(documents, masks), gradient_accumulation)
        take = self.block_step(as_block(documents, masks))
        return take(0, len(documents), step, lr, gradient_accumulation)

    def _backward(self, pairs: Pairs, parts: int) -> float:
        equal_parts(pairs, parts)  # raises; the memory that C needs is the same for any parts
        documents, masks = zip(*pairs, strict=True)
        return float(self._native(as_block(documents, masks)).loss(0, len(pairs), True)[0])

    def _gradients(self) -> Matrices:
        return self._flat.by_name(self._flat.grads.copy())

    def attention_maps(self, tokens: Tokens) -> tuple[Array, Array]:
        """Return the attention weights and next-token probabilities at each of n `tokens`.

        n is at most block_size. The weights are (n_layer, n_head, n queries, n keys), the
        probabilities (n, vocab_size).
        """
        n, config = len(tokens), self.config
        block = self._native(as_block([[*tokens, 0]], None))
        block.loss(0, 1, False)
        weights = np.empty((config.n_layer, config.n_head, n, n), np.float32)
        probabilities = np.empty((n, self.tokenizer.vocab_size), np.float32)
        block.maps(weights, probabilities)  # not yet divided by their sum
        return weights, probabilities / probabilities.sum(1, keepdims=True)

    def decoder(self) -> DecodeStep:
        core, vocab_size = self._native(NO_DOCUMENTS), self.tokenizer.vocab_size
        work = np.zeros(core.generation_size(True), np.uint8)
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            logits = np.empty(vocab_size, np.float32)
            core.decode(token, t, work, logits)
            t += 1
            return logits

        return step

    def generate_documents(
        self,
        prompt: Tokens,
        documents: range,
        seed: int,
        temperature: float,
        check: Callable[[], None],
    ) -> NDArray[np.int32] | None:
        core, count = self._native(NO_DOCUMENTS), len(documents)
        size = core.generation_size(False)
        # A document at a time has a 16th of this KV cache. Where it is larger than the processor's
        # cache, that is the quicker way to a few documents.
        if size > LARGE * count or size > (memory.of_machine() or 4 * size) // 4:
            return None
        room = self.config.block_size - len(prompt) + 2
        tokens, lengths = np.empty((count, room), np.int32), np.empty(count, np.int32)
        begin, work = np.array(prompt, np.int32).tobytes(), np.empty(size, np.uint8)
        core.generate(
            begin, documents.start, count, seed, temperature, check, work, tokens, lengths
        )
        generated: NDArray[np.int32] = tokens[np.arange(room) < lengths[:, None]]
        return generated


def _round_up(number: int) -> int:
    return -(-number // LANES) * LANES


def as_block(documents: Sequence[Tokens], masks: Masks | Sequence[Mask | None]) -> Block:
    """Return documents as one array."""
    starts = np.zeros(len(documents) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, documents), np.int64, len(documents)), out=starts[1:])
    try:  # array.array refuses what is not a whole number, which NumPy cuts
        tokens = np.frombuffer(array("i", chain.from_iterable(documents)), np.int32)
    except OverflowError:
        raise ValueError("a token has more than 32 bits") from None
    return Block(tokens, starts, masks)
