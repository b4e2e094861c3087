"""The forward and backward pass of engine "tensor", over one document and over a minibatch.

A document of n positions is a matrix with a column a position. Every buffer, and every view of
it, is made once for each n; each NumPy call writes into one of them.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy import add, divide, dot, exp, log, maximum, multiply, sign, sqrt, subtract
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.engines.attention import Attention, BatchAttention
from microgpt.engines.flat import FlatParameters
from microgpt.model_io import Array


class _RMSNorm:
    """y = x / sqrt(mean(x**2) + eps) down each column, and back (Zhang & Sennrich, 2019)."""

    def __init__(self, width: int, n: int, dtype: str) -> None:
        self.y = np.empty((width, n), dtype)
        self._scratch = np.empty((width, n), dtype)
        self._root = np.empty(n, dtype)
        self._mean = np.empty(n, dtype)
        self._average = np.full(width, 1 / width, dtype)  # average @ x is the mean of each column
        self._eps = np.array(EPS_RMSNORM, dtype)

    def forward(self, x: Array) -> Array:
        root, scratch = self._root, self._scratch
        multiply(x, x, scratch)
        dot(self._average, scratch, root)
        add(root, self._eps, root)
        sqrt(root, root)
        return divide(x, root, self.y)

    def backward(self, dy: Array) -> Array:
        """Return dx = (dy - y * mean(dy * y)) / root, in the place of dy."""
        y, scratch, mean = self.y, self._scratch, self._mean
        multiply(dy, y, scratch)
        dot(self._average, scratch, mean)
        multiply(y, mean, scratch)
        subtract(dy, scratch, dy)
        return divide(dy, self._root, dy)


class _Layer:
    """What one layer needs for n positions: its weights, their gradients, its buffers."""

    def __init__(
        self,
        config: ModelConfig,
        flat: FlatParameters,
        i: int,
        n: int,
        attention: Attention | BatchAttention,
    ) -> None:
        width, dtype = config.n_embd, flat.dtype
        names = [f"layer{i}.{name}" for name in ("attn_wo", "mlp_fc1", "mlp_fc2")]
        self.wo, self.fc1, self.fc2 = (flat.weights[name] for name in names)
        self.dwo, self.dfc1, self.dfc2 = (flat.gradients[name] for name in names)
        self.wqkv = flat.fused_qkv(flat.params, i)
        self.dwqkv = flat.fused_qkv(flat.grads, i)
        self.norm1 = _RMSNorm(width, n, dtype)
        self.norm2 = _RMSNorm(width, n, dtype)
        self.attention = attention
        self.branch = np.empty((width, n), dtype)
        self.hidden = np.empty((4 * width, n), dtype)
        self.dhidden = np.empty((4 * width, n), dtype)
        self.slope = np.empty((4 * width, n), dtype)
        self.zeros = np.zeros((4 * width, n), dtype)  # with one 0, maximum is slower

    def forward(self, stream: Array, x: Array) -> None:
        """Store in x the residual stream plus what attention and MLP make of it; x may be it."""
        attention, branch, hidden = self.attention, self.branch, self.hidden
        dot(self.wqkv, self.norm1.forward(stream), attention.qkv)
        attention.forward()
        dot(self.wo, attention.out, branch)
        add(stream, branch, x)

        dot(self.fc1, self.norm2.forward(x), hidden)
        maximum(hidden, self.zeros, out=hidden)
        dot(self.fc2, hidden, branch)
        add(x, branch, x)

    def backward(self, dx: Array) -> None:
        """Store the gradients of the weights; turn dx from after the layer into dx before it."""
        attention, dbranch, dhidden = self.attention, self.branch, self.dhidden
        dot(dx, self.hidden.T, self.dfc2)
        dot(self.fc2.T, dx, dhidden)
        sign(self.hidden, self.slope)  # of relu: 0 or 1, as the hidden values are not negative
        multiply(dhidden, self.slope, dhidden)
        dot(dhidden, self.norm2.y.T, self.dfc1)
        dot(self.fc1.T, dhidden, dbranch)
        add(dx, self.norm2.backward(dbranch), dx)

        dot(dx, attention.out.T, self.dwo)
        dot(self.wo.T, dx, attention.dout)
        attention.backward()
        dot(attention.dqkv, self.norm1.y.T, self.dwqkv)
        dot(self.wqkv.T, attention.dqkv, dbranch)
        add(dx, self.norm1.backward(dbranch), dx)


class Pass:
    """Forward and backward over documents of n positions; gradients go into the model's."""

    def __init__(self, config: ModelConfig, flat: FlatParameters, n: int) -> None:
        dtype = flat.dtype
        vocab_size, width = flat.weights["wte"].shape
        tied = config.tie_lm_head
        self._head = flat.weights["wte" if tied else "lm_head"]
        self._dhead = np.empty_like(self._head) if tied else flat.gradients["lm_head"]
        self._tied_dwte = flat.gradients["wte"] if tied else None
        # wte and wpe are neighbours: one product with a one-hot row for the token and one for the
        # position adds them up, and one product brings the gradients of both back.
        rows = vocab_size + config.block_size
        self._embedding = flat.params[: rows * width].reshape(rows, width)
        self._dembedding = flat.grads[: rows * width].reshape(rows, width)
        self._onehot = np.zeros((rows, n), dtype)
        self._onehot_inputs = self._onehot[:vocab_size]
        self._onehot_positions = self._onehot[vocab_size:]
        self._onehot_targets = np.empty((vocab_size, n), dtype)
        self._identity = np.eye(vocab_size, dtype=dtype)
        self._norm = _RMSNorm(width, n, dtype) if config.input_rmsnorm else None
        self._layers = [
            _Layer(config, flat, i, n, self._attention(config, n, dtype))
            for i in range(config.n_layer)
        ]
        self._embedded = np.empty((width, n), dtype)
        self._x = np.empty((width, n), dtype)
        self._dx = np.empty((width, n), dtype)
        self.logits = np.empty((vocab_size, n), dtype)
        self._per_position, self._losses = np.empty((2, n), dtype)
        self._ones = np.ones(vocab_size, dtype)
        self._columns = np.arange(n)
        self._weights = np.array(1 / n, dtype)  # of each position's loss
        self._onehot_positions[...] = np.eye(config.block_size, n)

    def _attention(self, config: ModelConfig, n: int, dtype: str) -> Attention:
        return Attention(config, n, dtype)

    def forward(self, inputs: Array) -> None:
        """Compute the logits, (vocabulary, n), after each of `inputs`, n token ids."""
        self._identity.take(inputs, 1, self._onehot_inputs, "clip")
        stream = dot(self._embedding.T, self._onehot, self._embedded)
        if self._norm:
            stream = self._norm.forward(stream)
        for layer in self._layers:
            layer.forward(stream, self._x)
            stream = self._x
        dot(self._head, stream, self.logits)

    def attention(self) -> Array:
        """Return the weights of every layer, (n_layer, n_head, query, key)."""
        return np.array([layer.attention.p.transpose(0, 2, 1) for layer in self._layers])

    def loss(self, targets: Array, weights: Array | None = None) -> float:
        """Return the mean cross-entropy of the logits, which become its gradient.

        `weights`: each position's share in the mean, if not all of them have the same.
        """
        weights = self._weights if weights is None else weights
        logits, per_position, losses = self.logits, self._per_position, self._losses
        maximum.reduce(logits, 0, None, per_position)
        subtract(logits, per_position, logits)
        target_logits = logits[targets, self._columns]
        exp(logits, logits)
        dot(self._ones, logits, per_position)
        divide(logits, per_position, logits)
        log(per_position, losses)
        subtract(losses, target_logits, losses)

        self._identity.take(targets, 1, self._onehot_targets, "clip")
        subtract(logits, self._onehot_targets, logits)
        multiply(logits, weights, logits)  # (softmax - one-hot) / n
        return float(multiply(losses, weights, losses).sum())

    def backward(self) -> None:
        """Store every gradient of what `loss` returned."""
        dlogits, dx = self.logits, self._dx
        dot(dlogits, self._x.T, self._dhead)
        dot(self._head.T, dlogits, dx)
        for layer in reversed(self._layers):
            layer.backward(dx)
        if self._norm:
            self._norm.backward(dx)
        dot(self._onehot, dx.T, self._dembedding)
        if self._tied_dwte is not None:
            add(self._tied_dwte, self._dhead, self._tied_dwte)


class BatchPass(Pass):
    """The same over a batch of documents side by side in `columns`, none above `longest` positions.

    The loss is the mean of the documents' losses. A column without a document is token 0 at
    position 0, whose loss has no weight, so that its gradient is 0.
    """

    def __init__(
        self, config: ModelConfig, flat: FlatParameters, longest: int, columns: int
    ) -> None:
        dtype = flat.dtype
        self._longest = longest
        self._mask = np.zeros((longest, 1, columns - longest + 1), dtype)
        super().__init__(config, flat, columns)
        self._weights = np.zeros(columns, dtype)
        keys, positions = np.arange(longest)[:, None], np.arange(config.block_size)
        # Of a query at this position, only the last position + 1 keys are of its own document.
        self._masks = np.where(keys + positions < longest - 1, -np.inf, 0).astype(dtype)
        self._every_position = np.eye(config.block_size, dtype=dtype)

    def _attention(self, config: ModelConfig, n: int, dtype: str) -> BatchAttention:
        return BatchAttention(config, self._mask, n, dtype)

    def mean_loss(self, documents: Sequence[Sequence[int]], counts: Sequence[int]) -> float:
        """Return the mean loss of `documents`, over the first `counts` positions of each."""
        n = np.array(counts)
        cut = (tokens[: count + 1] for tokens, count in zip(documents, counts, strict=True))
        tokens = np.array(list(chain.from_iterable(cut)))
        followed = np.ones(len(tokens), bool)
        followed[np.cumsum(n + 1) - 1] = False
        first = np.cumsum(n) - n

        columns = len(self._columns)
        filled = slice(self._longest - 1, self._longest - 1 + n.sum())
        inputs, targets, positions = np.zeros((3, columns), np.intp)
        inputs[filled] = tokens[followed]
        targets[filled] = tokens[1:][followed[:-1]]
        positions[filled] = np.arange(n.sum()) - np.repeat(first, n)
        self._weights[:] = 0
        self._weights[filled] = np.repeat(1 / (n * len(n)), n)
        self._every_position.take(positions, 1, self._onehot_positions, "clip")
        self._masks.take(positions[self._longest - 1 :], 1, self._mask[:, 0], "clip")
        self.forward(inputs)
        return self.loss(targets)
