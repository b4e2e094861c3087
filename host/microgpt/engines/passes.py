"""The forward and backward passes of engine "tensor", for a document and for a minibatch.

Activations are matrices with a column for each of n positions. Every buffer, and every view of it,
is made once for each n, and every NumPy call writes into one of them.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy import add, divide, dot, exp, log, maximum, multiply, sign, sqrt, subtract
from numpy.typing import NDArray
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.engines.attention import Attention, BatchAttention
from microgpt.engines.flat import FlatParameters
from microgpt.model_io import Array

TokenIds = NDArray[np.integer]


class _RMSNorm:
    """y = x / sqrt(mean(x**2) + eps) in each column, forward and backward.

    See Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019.
    """

    def __init__(self, width: int, n: int, dtype: str) -> None:
        self.y = np.empty((width, n), dtype)
        self._scratch = np.empty((width, n), dtype)
        self._root = np.empty(n, dtype)
        self._mean = np.empty(n, dtype)
        self._average = np.full(width, 1 / width, dtype)  # average @ x is the mean of each column
        self._eps = np.array(EPS_RMSNORM, dtype)

    def forward(self, x: Array) -> Array:
        """Return y, for x of (width, n)."""
        root, scratch = self._root, self._scratch
        multiply(x, x, scratch)
        dot(self._average, scratch, root)
        add(root, self._eps, root)
        sqrt(root, root)
        return divide(x, root, self.y)

    def backward(self, dy: Array) -> Array:
        """Return dx = (dy - y * mean(dy * y)) / root, computed in the memory of dy."""
        y, scratch, mean = self.y, self._scratch, self._mean
        multiply(dy, y, scratch)
        dot(self._average, scratch, mean)
        multiply(y, mean, scratch)
        subtract(dy, scratch, dy)
        return divide(dy, self._root, dy)


class _Layer:
    """One layer over n positions, forward and backward: its weights, gradients and buffers."""

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
        """Compute x, the output of the layer, from `stream`, its input; they may be one array."""
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
        """Compute the gradients of the weights, and replace dx, the output's, by the input's."""
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
    """The model over n columns, forward and backward; gradients are written to `flat.grads`."""

    def __init__(
        self,
        config: ModelConfig,
        flat: FlatParameters,
        n: int,
        attentions: Sequence[Attention | BatchAttention],
    ) -> None:
        """Make the buffers; `attentions` are one for each layer."""
        dtype = flat.dtype
        vocab_size, width = flat.weights["wte"].shape
        tied = config.tie_lm_head
        self._head = flat.weights["wte" if tied else "lm_head"]
        self._dhead = np.empty_like(self._head) if tied else flat.gradients["lm_head"]
        self._tied_dwte = flat.gradients["wte"] if tied else None
        # wte and wpe are adjacent. A product with columns that are one-hot in the token and in the
        # position looks both up and adds them; a product with its transpose gives both gradients.
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
            _Layer(config, flat, i, n, attention) for i, attention in enumerate(attentions)
        ]
        self._embedded = np.empty((width, n), dtype)
        self._x = np.empty((width, n), dtype)
        self._dx = np.empty((width, n), dtype)
        self.logits = np.empty((vocab_size, n), dtype)
        self._per_position, self._losses = np.empty((2, n), dtype)
        self._ones = np.ones(vocab_size, dtype)
        self._columns = np.arange(n)
        self._weights = np.array(1 / n, dtype)  # of each position in the mean loss
        self._onehot_positions[...] = np.eye(config.block_size, n)

    def forward(self, inputs: TokenIds) -> None:
        """Compute `logits`, (vocab_size, n), after each of `inputs`, (n,)."""
        self._identity.take(inputs, 1, self._onehot_inputs, "clip")
        stream = dot(self._embedding.T, self._onehot, self._embedded)
        if self._norm:
            stream = self._norm.forward(stream)
        for layer in self._layers:
            layer.forward(stream, self._x)
            stream = self._x
        dot(self._head, stream, self.logits)

    def loss(self, targets: TokenIds, weights: Array | None = None) -> float:
        """Return the mean cross-entropy of the logits, and replace them by their gradient.

        `targets` are (n,). `weights`, (n,), are those of the positions in the mean if they differ.
        """
        weights = self._weights if weights is None else weights
        logits, per_position, losses = self.logits, self._per_position, self._losses
        maximum.reduce(logits, 0, out=per_position)
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
        """Compute every gradient of the loss that `loss` returned."""
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


class DocumentPass(Pass):
    """The model over a document of n positions."""

    def __init__(self, config: ModelConfig, flat: FlatParameters, n: int) -> None:
        self._attentions = [Attention(config, n, flat.dtype) for _ in range(config.n_layer)]
        super().__init__(config, flat, n, self._attentions)

    def attention_weights(self) -> Array:
        """Return the attention weights of every layer, (n_layer, n_head, n queries, n keys)."""
        return np.array([attention.p.transpose(0, 2, 1) for attention in self._attentions])


class BatchPass(Pass):
    """The model over a batch of documents side by side in `columns`, at most `longest` each.

    The loss is the mean of the documents' losses. An unused column holds token 0 at position 0
    with weight 0 in the loss, so that its gradient is 0.
    """

    def __init__(
        self, config: ModelConfig, flat: FlatParameters, longest: int, columns: int
    ) -> None:
        dtype = flat.dtype
        self._longest = longest
        self._mask = np.zeros((longest, 1, columns - longest + 1), dtype)
        attentions = [
            BatchAttention(config, self._mask, columns, dtype) for _ in range(config.n_layer)
        ]
        super().__init__(config, flat, columns, attentions)
        self._weights = np.zeros(columns, dtype)
        keys, positions = np.arange(longest)[:, None], np.arange(config.block_size)
        # Of the keys of a query at a position, the last position + 1 are of its own document.
        self._masks = np.where(keys + positions < longest - 1, -np.inf, 0).astype(dtype)
        self._every_position = np.eye(config.block_size, dtype=dtype)

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
