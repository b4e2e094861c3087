"""Causal attention of engine "tensor", forward and backward, for a document and for a batch.

softmax(queries · keys / sqrt(head_dim)) · values, in each head (Vaswani et al., 2017). Columns are
positions. Every buffer, and every view of it, is made once.
"""

import numpy as np
from numpy import add, divide, dot, einsum, exp, matmul, maximum, multiply, subtract
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from microgpt.config import ModelConfig
from microgpt.model_io import Array


class CausalSoftmax:
    """p = softmax(scores / sqrt(head_dim) + mask) over the keys, forward and backward, in place.

    `p` and `dp` are (keys, n_head * queries), so that sums over the keys are over the first axis.
    `mask`, (keys, n_head or 1, queries), is 0, or -inf for a key that the query does not attend to.
    """

    def __init__(self, mask: Array, n_head: int, head_dim: int) -> None:
        keys, _, queries = mask.shape
        dtype = mask.dtype
        self.p, self.dp, self._scratch = np.empty((3, keys, n_head * queries), dtype)
        self._mask = mask
        self._p_by_head = self.p.reshape(keys, n_head, queries)
        self._per_query = np.empty(n_head * queries, dtype)
        self._ones = np.ones(keys, dtype)
        self._scale = np.array(head_dim**-0.5, dtype)

    def forward(self) -> None:
        """Replace the scores in `p` by the attention weights."""
        p, per_query = self.p, self._per_query
        multiply(p, self._scale, p)
        add(self._p_by_head, self._mask, self._p_by_head)
        maximum.reduce(p, 0, out=per_query)
        subtract(p, per_query, p)
        exp(p, p)
        dot(self._ones, p, per_query)
        divide(p, per_query, p)

    def backward(self) -> None:
        """Replace the gradient of the attention weights in `dp` by that of the scores."""
        p, dp, scratch = self.p, self.dp, self._scratch
        multiply(p, dp, scratch)
        dot(self._ones, scratch, self._per_query)
        subtract(dp, self._per_query, dp)
        multiply(dp, p, dp)
        multiply(dp, self._scale, dp)


class Attention:
    """Causal attention of all heads over the n positions of a document, forward and backward.

    `qkv` and `dqkv` are (3 * n_embd, n), `out` and `dout` (n_embd, n), and `p`, the attention
    weights, (n_head, n keys, n queries).
    """

    def __init__(self, config: ModelConfig, n: int, dtype: str) -> None:
        width, n_head = config.n_embd, config.n_head
        head_dim = width // n_head
        self.qkv, self.dqkv = np.empty((2, 3 * width, n), dtype)
        self.out, self.dout = np.empty((2, width, n), dtype)
        later = np.tril(np.full((n, n), -np.inf), -1)  # a key after its query
        mask = np.repeat(later[:, None], n_head, 1).astype(dtype)
        self._softmax = CausalSoftmax(mask, n_head, head_dim)
        # The same memory as a matrix for each head.
        heads = (n_head, head_dim, n)
        self._q, self._k, self._v = self.qkv.reshape(3, *heads)
        self._dq, self._dk, self._dv = self.dqkv.reshape(3, *heads)
        self._kt, self._vt = self._k.transpose(0, 2, 1), self._v.transpose(0, 2, 1)
        self._out, self._dout = self.out.reshape(heads), self.dout.reshape(heads)
        self.p, self._dp = (
            weights.reshape(n, n_head, n).transpose(1, 0, 2)
            for weights in (self._softmax.p, self._softmax.dp)
        )
        self._pt, self._dpt = self.p.transpose(0, 2, 1), self._dp.transpose(0, 2, 1)

    def forward(self) -> None:
        """Compute `out` from `qkv`."""
        matmul(self._kt, self._q, self.p)
        self._softmax.forward()
        matmul(self._v, self.p, self._out)

    def backward(self) -> None:
        """Compute `dqkv` from `dout`, after `forward`."""
        matmul(self._dout, self._pt, self._dv)
        matmul(self._vt, self._dout, self._dp)
        self._softmax.backward()
        matmul(self._k, self._dp, self._dq)
        matmul(self._q, self._dpt, self._dk)


class BatchAttention:
    """Causal attention over a batch of short documents that are side by side in `columns`.

    The keys of a query are the `longest` columns up to its own; `mask` excludes those of other
    documents. Key number s of query i is column s + i, so that the keys of all queries are one
    sliding window over the same memory, not a copy. Products of vectors this short are quickest as
    a multiplication and a sum.

    The first and last longest - 1 columns must be empty, because windows extend into them.
    """

    def __init__(self, config: ModelConfig, mask: Array, columns: int, dtype: str) -> None:
        """Make the buffers; `mask`, (longest, 1, columns - longest + 1), is set for each batch."""
        width, n_head = config.n_embd, config.n_head
        head_dim = width // n_head
        longest, _, queries = mask.shape
        margin = longest - 1
        inner = columns - 2 * margin  # columns that documents can use
        self.qkv, self.dqkv = np.zeros((2, 3 * width, columns), dtype)
        self.out, self.dout = np.zeros((2, width, columns), dtype)
        self._softmax = CausalSoftmax(mask, n_head, head_dim)

        heads = (n_head, head_dim, columns)
        q, k, v = self.qkv.reshape(3, *heads)
        dq, dk, dv = self.dqkv.reshape(3, *heads)
        out, dout = self.out.reshape(heads), self.dout.reshape(heads)
        self._q, self._dq, self._out, self._dout = (x[..., margin:] for x in (q, dq, out, dout))
        self._dk, self._dv = (x[..., margin : margin + inner] for x in (dk, dv))
        # [s][head][dimension][query i]: the key's column, s + i
        self._product = np.empty((longest, *heads[:2], queries), dtype)
        self._keys, self._values = (
            sliding_window_view(x, queries, -1).transpose(2, 0, 1, 3) for x in (k, v)
        )
        # [s][head][dimension][key j]: the query that has key j as its number s, margin - s + j
        self._product_by_key = self._product[..., :inner]
        self._queries, self._douts = (
            sliding_window_view(x, inner, -1).transpose(2, 0, 1, 3)[::-1][:longest]
            for x in (q, dout)
        )
        # [s][head][1][query i] and [s][head][1][key j]
        p, dp = (
            weights.reshape(longest, n_head, 1, queries)
            for weights in (self._softmax.p, self._softmax.dp)
        )
        self._p, self._dp = p[:, :, 0], dp[:, :, 0]
        self._p_each, self._dp_each = p, dp
        self._p_by_key, self._dp_by_key = (
            as_strided(
                weights[..., margin:],
                (longest, n_head, 1, inner),
                (weights.strides[0] - weights.strides[3], *weights.strides[1:]),
            )
            for weights in (p, dp)
        )

    def forward(self) -> None:
        """Compute `out` from `qkv`."""
        product = self._product
        einsum("hdi,shdi->shi", self._q, self._keys, out=self._p)
        self._softmax.forward()
        add.reduce(multiply(self._p_each, self._values, product), 0, out=self._out)

    def backward(self) -> None:
        """Compute `dqkv` from `dout`, after `forward`."""
        product, by_key = self._product, self._product_by_key
        add.reduce(multiply(self._p_by_key, self._douts, by_key), 0, out=self._dv)
        einsum("hdi,shdi->shi", self._dout, self._values, out=self._dp)
        self._softmax.backward()
        add.reduce(multiply(self._dp_each, self._keys, product), 0, out=self._dq)
        add.reduce(multiply(self._dp_by_key, self._queries, by_key), 0, out=self._dk)
