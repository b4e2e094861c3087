"""Engine "tensor": NumPy, a whole document at a time, with a backward pass derived by hand.

A document of n positions is a matrix of n columns, so that the code reads like the math:
y = w @ x, dx = w.T @ dy, dw = dy @ x.T. With arrays this small, calls take longer than the
arithmetic. Therefore every buffer and every view of it is made once for each n, every call writes
into a buffer, sums are over the first axis, where NumPy is quickest, and constants are arrays
instead of Python floats.

A minibatch is a matrix with the documents side by side; only attention depends on where one ends
and the next begins.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.engines.adam import Adam
from microgpt.engines.base import (
    DecodeStep,
    Mask,
    Masks,
    Model,
    Moments,
    Pairs,
    Tokens,
    equal_parts,
    with_masks,
)
from microgpt.engines.flat import FlatParameters
from microgpt.engines.passes import BatchPass, DocumentPass, Pass
from microgpt.memory import MAX_HELD, SHORT, round_up
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

BATCH = 64  # documents at a time in `mean_loss`


class TensorModel(Model):
    """The model with its parameters in one flat array; `weights` are views that can be written.

    `dtype`, "float32" or "float64", is that of the parameters and of the arithmetic.
    """

    engine = "tensor"

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        weights: Matrices,
        dtype: str = "float32",
    ) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`."""
        super().__init__(config, tokenizer)
        self.dtype = dtype
        self._flat = FlatParameters(self.sizes, weights, dtype)
        self.reset_optimizer()
        self._passes: dict[int, DocumentPass] = {}  # by n
        self._batch_passes: dict[tuple[int, int], BatchPass] = {}  # by longest document, columns
        self._held = 0  # about how many numbers are in the buffers of all passes

    @property
    def weights(self) -> Matrices:
        return self._flat.weights

    def reset_optimizer(self) -> None:
        self._adam = Adam(self._flat.params, self._flat.grads)

    @property
    def moments(self) -> Moments:
        """Adam's sums: the moments without their constant factors, see `engines.adam`."""
        first, second = (
            self._flat.by_name(part.copy()) for part in (self._adam.sum_m, self._adam.sum_v)
        )
        return first, second

    def restore_optimizer(self, moments: Moments, step: int) -> None:
        for part, then in zip((self._adam.sum_m, self._adam.sum_v), moments, strict=True):
            for name, matrix in self._flat.by_name(part).items():
                matrix[...] = then[name]

    def _pass(self, n: int) -> DocumentPass:
        """Return the pass for documents of n positions."""
        if n not in self._passes:
            self._make_room(n, n * self.config.n_head * n)
            self._passes[n] = DocumentPass(self.config, self._flat, n)
        return self._passes[n]

    def _batch_pass(self, longest: int, columns: int) -> BatchPass:
        """Return the pass for documents of at most `longest` positions in `columns`."""
        key = (longest, columns)
        if key not in self._batch_passes:
            self._make_room(columns, longest * self.config.n_embd * columns)
            self._batch_passes[key] = BatchPass(self.config, self._flat, longest, columns)
        return self._batch_passes[key]

    def _make_room(self, columns: int, attention: int) -> None:
        """Delete all passes if another one would exceed MAX_HELD.

        `columns` are the columns of that one, `attention` the numbers of its attention weights.
        """
        size = self.config.n_layer * (25 * self.config.n_embd * columns + 4 * attention)
        if self._held + size > MAX_HELD:
            self._passes.clear()
            self._batch_passes.clear()
            self._held = 0
        self._held += size

    def _forward(self, tokens: Tokens, mask: Mask | None = None) -> tuple[DocumentPass, float]:
        """Compute a document; return its pass, on which `backward` can be called, and its loss."""
        n = self.positions(tokens)
        document = self._pass(n)
        ids = np.array(tokens)
        document.forward(ids[:n])
        weights = None if mask is None else self.position_weights(n, mask).astype(self.dtype)
        return document, document.loss(ids[1 : n + 1], weights)

    def _gradients(self) -> Matrices:
        return self._flat.by_name(self._flat.grads.copy())

    def _squared_norm(self) -> float:
        return float(np.dot(self._flat.grads, self._flat.grads))

    def _update(self, step: int, lr: float) -> None:
        self._adam.step(step, lr)

    def _batch_forward(
        self, documents: Sequence[Tokens], masks: Masks
    ) -> tuple[BatchPass | None, float]:
        """Compute a batch; return its pass, on which `backward` can be called, and its mean loss.

        Returns None and 0 if a document is too long or has a mask: the caller then computes the
        documents one at a time.
        """
        if masks and any(mask is not None for mask in masks):
            return None, 0.0
        counts = [min(self.config.block_size, len(tokens) - 1) for tokens in documents]
        longest = max(counts)
        if min(counts) < 1 or longest > SHORT:
            return None, 0.0
        together = list(chain.from_iterable(documents))
        self.check_tokens(min(together), max(together))
        columns = round_up(sum(counts) + 2 * (longest - 1), 32)
        batch = self._batch_pass(longest, columns)
        return batch, batch.mean_loss(documents, counts)

    def _backward(self, pairs: Pairs, parts: int) -> float:
        if parts == 1:
            return self._part_backward(pairs)
        grads = self._flat.grads
        total = np.zeros_like(grads)
        loss = 0.0
        for part in equal_parts(pairs, parts):
            loss += self._part_backward(part) / parts
            total += grads
        np.divide(total, parts, grads)
        return loss

    def _part_backward(self, pairs: Pairs) -> float:
        """Compute documents at once, or one at a time if they cannot be a batch."""
        part: Pass | None
        if len(pairs) == 1:
            part, loss = self._forward(*pairs[0])
        else:
            documents, masks = zip(*pairs, strict=True)
            part, loss = self._batch_forward(documents, masks)
            if not part:
                return self._backward(pairs, len(pairs))
        part.backward()
        return loss

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        total = 0.0
        # Sorted by length, the documents of a batch leave few columns unused.
        by_length = sorted(with_masks(documents, masks), key=lambda pair: len(pair[0]))
        for start in range(0, len(by_length), BATCH):
            pairs = by_length[start : start + BATCH]
            some, their_masks = zip(*pairs, strict=True)
            batch, loss = self._batch_forward(some, their_masks)
            if batch:
                total += loss * len(some)
            else:
                total += sum(self._forward(*pair)[1] for pair in pairs)
        return total / len(documents)

    def attention_maps(self, tokens: Tokens) -> tuple[Array, Array]:
        """Return the attention weights and next-token probabilities at each of n `tokens`.

        n is at most block_size. The weights are (n_layer, n_head, n queries, n keys), the
        probabilities (n, vocab_size).
        """
        document = self._pass(len(tokens))
        document.forward(np.array(tokens))
        return document.attention_weights(), softmax(document.logits.T)

    def decoder(self) -> DecodeStep:
        w, config = self.weights, self.config
        heads = (config.n_head, config.n_embd // config.n_head)
        caches = [
            np.zeros((2, config.block_size, *heads), self.dtype) for _ in range(config.n_layer)
        ]
        wqkvs = [self._flat.fused_qkv(self._flat.params, i) for i in range(config.n_layer)]
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            x: Array = w["wte"][token] + w["wpe"][t]  # (n_embd,)
            if config.input_rmsnorm:
                x = _rmsnorm(x)
            for i, cache in enumerate(caches):
                q, *cache[:, t] = (wqkvs[i] @ _rmsnorm(x)).reshape(3, *heads)
                keys, values = cache[:, : t + 1]  # (t + 1, n_head, head_dim)
                scores = np.einsum("hd,shd->hs", q, keys) / heads[1] ** 0.5
                mixed = np.einsum("hs,shd->hd", softmax(scores), values)
                x = x + w[f"layer{i}.attn_wo"] @ mixed.ravel()
                hidden = np.maximum(w[f"layer{i}.mlp_fc1"] @ _rmsnorm(x), 0)
                x = x + w[f"layer{i}.mlp_fc2"] @ hidden
            t += 1
            logits: Array = w["wte" if config.tie_lm_head else "lm_head"] @ x
            return logits

        return step


def softmax(x: Array) -> Array:
    """Return exp(x) / sum(exp(x)) over the last axis, without overflow."""
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _rmsnorm(x: Array) -> Array:
    y: Array = x / np.sqrt(x @ x / x.size + EPS_RMSNORM)
    return y
