"""Engine "native": C compiled for this computer, with vectors and threads; float32.

The arithmetic is in host/native, the loop and the records stay in Python. Parameters, gradients and
Adam's sums are NumPy arrays, the same as those of engine "tensor", and C works on them in place.
"""

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgpt import memory
from microgpt.config import ModelConfig
from microgpt.engines.base import (
    Block,
    BlockStep,
    DecodeStep,
    Masks,
    Model,
    Moments,
    Pairs,
    Tokens,
    as_block,
    check_finite,
    equal_parts,
    with_masks,
)
from microgpt.engines.buffers import Buffers, stored_sizes
from microgpt.engines.flat import FlatParameters, aligned_zeros
from microgpt.errors import ConfigError
from microgpt.memory import LANES
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

try:
    _native = import_module("microgpt.engines._native")
except ValueError as error:  # of MICROGPT_ISA
    raise ConfigError(str(error)) from None

FLOAT32_MAX = float(np.finfo(np.float32).max)
LARGE = 2**23  # bytes of KV cache for a document among others
AT_ONCE = 1e9  # multiply-adds in a call that measures losses: some 50 ms
NO_DOCUMENTS = Block(np.zeros(0, np.int32), np.zeros(1, np.int32))


class NativeModel(Model):
    """The model with its parameters in one flat array; `weights` are views that can be written.

    `threads`: how many threads compute the documents of a batch.
    """

    engine = "native"
    dtype = "float32"

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, weights: Matrices) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`."""
        super().__init__(config, tokenizer)
        stored = stored_sizes(self.sizes)
        self._flat = FlatParameters(self.sizes, weights, self.dtype, stored)
        self._moments = [aligned_zeros(self._flat.params.size, self.dtype) for _ in range(2)]
        self._busy = np.zeros(1, np.int64)
        self._buffers = Buffers(self.sizes, self._flat, self._moments, self._busy, 1, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what a model is made from: its buffers hold addresses."""
        state = (self.moments, self.threads)
        return type(self), (self.config, self.tokenizer, self.weights), state

    def __setstate__(self, state: tuple[Moments, int]) -> None:
        moments, self.threads = state
        self.restore_optimizer(moments, 0)

    @property
    def weights(self) -> Matrices:
        return self._flat.weights

    def reset_optimizer(self) -> None:
        for part in self._moments:
            part[:] = 0

    @property
    def moments(self) -> Moments:
        """Adam's sums: the moments without their constant factors, see `engines.adam`."""
        first, second = (self._flat.by_name(part.copy()) for part in self._moments)
        return first, second

    def restore_optimizer(self, moments: Moments, step: int) -> None:
        for part, then in zip(self._moments, moments, strict=True):
            for name, matrix in self._flat.by_name(part).items():
                matrix[...] = then[name]

    def _buffers_for(self, longest: int) -> Buffers:
        """Return buffers for documents of `longest` positions: those that there are, or larger."""
        if type(self.threads) is not int or self.threads < 1:
            raise ConfigError(f"threads must be a whole number from 1 on, not {self.threads!r}")
        had = self._buffers
        if longest > had.longest or self.threads != had.threads:
            arrays = (self._flat, self._moments, self._busy)
            longest = max(longest, had.longest)
            self._buffers = had = Buffers(self.sizes, *arrays, longest, self.threads)
        return had

    def _native(self, block: Block) -> Any:
        """Return the documents of a block for the compiled part.

        It raises ValueError for those that `positions` refuses, when they are computed.
        """
        lengths = np.diff(block.starts)
        weights = None
        if block.masks and any(mask is not None for mask in block.masks):
            weights = np.zeros(block.tokens.size, np.float32)
            for start, length, mask in zip(block.starts[:-1], lengths, block.masks, strict=True):
                n = max(1, min(self.config.block_size, int(length) - 1))
                all_equal = 1 / n if mask is None else self.position_weights(n, mask)
                weights[start : start + n] = all_equal
        buffers = self._buffers_for(min(self.config.block_size, int(lengths.max(initial=2)) - 1))
        tokens, starts = (np.require(x, np.int32, ["C", "A"]) for x in (block.tokens, block.starts))
        return _native.Work(buffers.struct, buffers, check_finite, tokens, starts, weights)

    def block_step(self, block: Block) -> BlockStep:
        step: BlockStep = self._native(block).step
        return step

    def block_loss(self, block: Block) -> float:
        loss, count = self._native(block).loss, len(block.starts) - 1
        each = block.tokens.size * self.parameter_count / max(1, count)
        some = max(self.threads, int(AT_ONCE / max(1, each)))  # Ctrl-C is seen between two calls
        parts = [(first, min(some, count - first)) for first in range(0, count, some)]
        return float(sum(loss(*part, False) * part[1] for part in parts) / count)

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
        return float(self._native(as_block(documents, masks)).loss(0, len(pairs), True))

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

    def _room(self, documents: int) -> int:
        """Return the bytes that decoding takes, one document or LANES at once: generate.h."""
        own = stored_sizes(self.sizes)
        positions = max(LANES, 1 << (own.block_size - 1).bit_length())  # a power of 2
        cache: int = 2 * own.n_layer * own.n_embd * positions
        vectors: int = 9 * own.n_embd + own.vocab_size + positions
        return 4 * (LANES * vectors + documents * cache)

    def decoder(self) -> DecodeStep:
        decode, vocab_size = self._native(NO_DOCUMENTS).decode, self.tokenizer.vocab_size
        work = aligned_zeros(self._room(1) // 4, self.dtype)
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            logits = np.empty(vocab_size, np.float32)
            decode(token, t, work, logits)
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
        count, room = len(documents), self._room(LANES)
        # One document at a time has a 16th of this KV cache. Where it is larger than the
        # processor's cache, that is the quicker way to a few documents.
        if room > LARGE * count or room > (memory.of_machine() or 4 * room) // 4:
            return None
        self.check_tokens(min(prompt), max(prompt))
        width = self.config.block_size - len(prompt) + 2  # what is generated, and BOS
        if width < 2:
            raise ValueError(f"a prompt has at most {self.config.block_size} tokens")
        tokens, lengths = np.empty((count, width), np.int32), np.empty(count, np.int32)
        scale = min(math.log2(math.e) / temperature, FLOAT32_MAX) if temperature else FLOAT32_MAX
        self._native(NO_DOCUMENTS).generate(
            np.array(prompt, np.int32).tobytes(),
            *(documents.start, seed, not temperature, scale, check),
            *(aligned_zeros(room // 4, self.dtype), tokens, lengths),
        )
        generated: NDArray[np.int32] = tokens[np.arange(width) < lengths[:, None]]
        return generated
