"""Engine "native": C compiled for this computer, with vectors and threads; float32.

The arithmetic is in host/native, the loop and the records stay in Python. Parameters, gradients and
Adam's sums are NumPy arrays, the same as those of engine "tensor", and C works on them in place.
"""

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
        self._width = -(-own.n_embd // LANES) * LANES
        stored = Sizes(own.vocab_size, self._width, 1, own.n_layer, own.block_size, own.tie_lm_head)
        self._flat = FlatParameters(own, weights, self.dtype, stored)
        size = self._flat.params.size
        self._sum_m, self._sum_v = (aligned_zeros(size, self.dtype) for _ in range(2))
        self._core: Any = None
        self._core_for = (0, 0)  # the longest document and the threads that it has memory for
        self._work = np.empty(0, np.float32)  # all its memory

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

    def _core_with(self, longest: int) -> Any:
        """Return the compiled part, with memory for documents of `longest` positions."""
        had, threads = self._core_for
        if self._core is None or longest > had or threads != self.threads:
            self._core_for = (max(longest, had), self.threads)
            sizes = self._native_sizes(*self._core_for)
            self._work = aligned_zeros(int(_native.work_size(sizes)), self.dtype)
            arrays = (self._flat.params, self._flat.grads, self._sum_m, self._sum_v, self._work)
            constants = (EPS_RMSNORM, BETA1, BETA2, EPS_ADAM)
            self._core = _native.Model(sizes, constants, check_finite, *arrays)
        return self._core

    def _native_sizes(self, longest: int, threads: int) -> NDArray[np.int64]:
        """Return what the struct `Sizes` of host/native/native.h has, in its order."""
        own, offsets = self.sizes, self._flat.offsets
        layers = [f"layer0.{name}" for name in ("attn_wq", "attn_wo", "mlp_fc1", "mlp_fc2")]
        start = offsets[layers[0]]
        values = [
            *(own.vocab_size, own.n_embd, own.n_head, own.n_layer, own.block_size),
            *(own.tie_lm_head, own.input_rmsnorm, self._width, self._flat.params.size),
            *(offsets[name] for name in ("wte", "wpe", *layers)),
            offsets["layer1.attn_wq"] - start if own.n_layer > 1 else 0,
            offsets["wte" if own.tie_lm_head else "lm_head"],
            *(longest, min(threads, MOST_THREADS)),
        ]
        return np.array(values, np.int64)

    def _native_block(self, block: Block) -> Any:
        """Return the documents of a block for the compiled part; raise ValueError as `positions`.

        Their number must not be 0.
        """
        lengths = np.diff(block.starts)
        if lengths.min() < 2:
            raise ValueError("a document needs at least 2 tokens")
        self.check_tokens(int(block.tokens.min()), int(block.tokens.max()))
        weights = None
        if block.masks and any(mask is not None for mask in block.masks):
            weights = np.zeros(block.tokens.size, np.float32)
            for start, length, mask in zip(block.starts, lengths, block.masks, strict=False):
                n = min(self.config.block_size, int(length) - 1)
                all_equal = 1 / n if mask is None else self.position_weights(n, mask)
                weights[start : start + n] = all_equal
        longest = min(self.config.block_size, int(lengths.max()) - 1)
        return _native.Block(self._core_with(longest), block.tokens, block.starts, weights)

    def block_step(self, block: Block) -> BlockStep:
        step: BlockStep = self._native_block(block).step
        return step

    def block_loss(self, block: Block) -> float:
        loss: float = self._native_block(block).loss(0, len(block.starts) - 1)
        return loss

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        return self.block_loss(as_block(documents, masks))

    def _backward(self, pairs: Pairs, parts: int) -> float:
        equal_parts(pairs, parts)  # raises; the memory that C needs is the same for any parts
        documents, masks = zip(*pairs, strict=True)
        loss, self._squared = self._native_block(as_block(documents, masks)).gradient(0, len(pairs))
        return float(loss)

    def _gradients(self) -> Matrices:
        return self._flat.by_name(self._flat.grads.copy())

    def _squared_norm(self) -> float:
        return float(self._squared)

    def _update(self, step: int, lr: float) -> None:
        self._core_with(1).adam(step, lr)

    def attention_maps(self, tokens: Tokens) -> tuple[Array, Array]:
        """Return the attention weights and next-token probabilities at each of n `tokens`.

        n is at most block_size. The weights are (n_layer, n_head, n queries, n keys), the
        probabilities (n, vocab_size).
        """
        n, config = len(tokens), self.config
        block = self._native_block(as_block([[*tokens, 0]], None))
        block.loss(0, 1)
        weights = np.empty((config.n_layer, config.n_head, n, n), np.float32)
        probabilities = np.empty((n, self.tokenizer.vocab_size), np.float32)
        block.maps(weights, probabilities)  # not yet divided by their sum
        return weights, probabilities / probabilities.sum(1, keepdims=True)

    def decoder(self) -> DecodeStep:
        core, vocab_size = self._core_with(1), self.tokenizer.vocab_size
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
        core, count = self._core_with(1), len(documents)
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


def as_block(documents: Sequence[Tokens], masks: Masks | Sequence[Mask | None]) -> Block:
    """Return documents as one array."""
    starts = np.zeros(len(documents) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, documents), np.int64, len(documents)), out=starts[1:])
    try:  # array.array refuses what is not a whole number, which NumPy cuts
        tokens = np.frombuffer(array("i", chain.from_iterable(documents)), np.int32)
    except OverflowError:
        raise ValueError("a token has more than 32 bits") from None
    return Block(tokens, starts, masks)
