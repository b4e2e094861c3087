"""Engine "tensor": NumPy, a whole document at a time, the backward pass derived by hand.

A document of n positions is a matrix with a column a position, so that code reads like the math:
y = w @ x, dx = w.T @ dy, dw = dy @ x.T. Arrays this small cost by the call, not by the number: so
every buffer and every view of it is made once for each n, each call writes into one, sums run
over the first axis, where NumPy is quickest, and constants are arrays, not Python floats.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import add, divide, dot, exp, log, matmul, maximum, multiply, sign, sqrt, subtract
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.model import Model
from microgpt.tokenizer import Tokenizer

Array = np.ndarray


class TensorModel(Model):
    """The model as one flat array of parameters; `weights` and `grads` are views into flat arrays.

    `dtype` is "float32" or "float64", for parameters and arithmetic alike.
    """

    engine = "tensor"

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        weights: dict[str, Array],
        dtype: str = "float32",
    ) -> None:
        """`weights`: {name: matrix} with the names and shapes of `ugpt.layout`; copied."""
        super().__init__(config, tokenizer)
        self.dtype = dtype
        self.params = np.zeros(self.parameter_count, dtype)
        self.grads = np.zeros(self.parameter_count, dtype)
        self.weights = self.by_name(self.params)
        for name, matrix in self.weights.items():
            matrix[...] = weights[name]
        self.reset_optimizer()
        self._passes: dict[int, _Pass] = {}

    def reset_optimizer(self) -> None:
        self._adam = _Adam(self.params, self.grads)

    def by_name(self, flat: Array) -> dict[str, Array]:
        return {
            name: flat[offset : offset + rows * columns].reshape(rows, columns)
            for name, (rows, columns), offset in self.table
        }

    def fused_qkv(self, flat: Array, layer: int) -> Array:
        """Return wq, wk and wv, neighbours in the flat order, as one matrix."""
        width = self.config.n_embd
        start = {name: offset for name, _, offset in self.table}[f"layer{layer}.attn_wq"]
        return flat[start : start + 3 * width * width].reshape(3 * width, width)

    def _loss_and_backward(self, tokens: Sequence[int]) -> float:
        n = self.positions(tokens)
        if n not in self._passes:
            self._passes[n] = _Pass(self, n)
        document = self._passes[n]
        ids = np.array(tokens)
        document.forward(ids[:n])
        return document.backward(ids[1 : n + 1])

    def loss_and_grads(self, tokens: Sequence[int]) -> tuple[float, dict[str, Array]]:
        loss = self._loss_and_backward(tokens)
        return loss, self.by_name(self.grads.copy())

    def train_step(self, tokens: Sequence[int], step: int, lr: float) -> float:
        loss = self._loss_and_backward(tokens)
        self._adam.step(step, lr)
        return loss

    def stepper(self) -> Callable[[int], Array]:
        w, config = self.weights, self.config
        heads = (config.n_head, config.n_embd // config.n_head)
        caches = [
            np.zeros((2, config.block_size, *heads), self.dtype) for _ in range(config.n_layer)
        ]
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            x = w["wte"][token] + w["wpe"][t]
            if config.input_rmsnorm:
                x = _rmsnorm(x)
            for i, cache in enumerate(caches):
                q, *cache[:, t] = (self.fused_qkv(self.params, i) @ _rmsnorm(x)).reshape(3, *heads)
                keys, values = cache[:, : t + 1]
                scores = np.einsum("hd,shd->hs", q, keys) / heads[1] ** 0.5
                mixed = np.einsum("hs,shd->hd", softmax(scores), values)
                x = x + w[f"layer{i}.attn_wo"] @ mixed.ravel()
                hidden = np.maximum(w[f"layer{i}.mlp_fc1"] @ _rmsnorm(x), 0)
                x = x + w[f"layer{i}.mlp_fc2"] @ hidden
            t += 1
            return w["wte" if config.tie_lm_head else "lm_head"] @ x

        return step


def softmax(x: Array) -> Array:
    """Return exp(x) / sum(exp(x)) over the last axis, without overflow."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _rmsnorm(x: Array) -> Array:
    return x / np.sqrt(x @ x / x.size + EPS_RMSNORM)


class _Adam:
    """Adam (Kingma & Ba, 2015), its constant factors gathered in two numbers a step.

    With m = (1 - b1) * sum_m and v = (1 - b2) * sum_v, and c1, c2 the same factors after bias
    correction, lr * c1 * sum_m / (sqrt(c2 * sum_v) + eps) is
    rate * sum_m / (sqrt(sum_v) + eps / sqrt(c2)) with rate = lr * c1 / sqrt(c2).
    """

    def __init__(self, params: Array, grads: Array) -> None:
        self._params, self._grads = params, grads
        self._sum_m, self._sum_v, self._update = np.zeros((3, params.size), params.dtype)
        self._beta1, self._beta2 = (np.array(beta, params.dtype) for beta in (BETA1, BETA2))
        self._rate, self._eps = (np.zeros((), params.dtype) for _ in range(2))

    def step(self, step: int, lr: float) -> None:
        c1 = (1 - BETA1) / (1 - BETA1 ** (step + 1))
        root_c2 = ((1 - BETA2) / (1 - BETA2 ** (step + 1))) ** 0.5
        self._rate[()] = lr * c1 / root_c2
        self._eps[()] = EPS_ADAM / root_c2
        grads, sum_m, sum_v, update = self._grads, self._sum_m, self._sum_v, self._update
        multiply(sum_m, self._beta1, sum_m)
        add(sum_m, grads, sum_m)
        multiply(sum_v, self._beta2, sum_v)
        multiply(grads, grads, update)
        add(sum_v, update, sum_v)
        sqrt(sum_v, update)
        add(update, self._eps, update)
        divide(sum_m, update, update)
        multiply(update, self._rate, update)
        subtract(self._params, update, self._params)


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


class _Attention:
    """Causal attention of all heads over n positions, and back.

    `qkv` and `dqkv` are (3 * n_embd, n). Weights and scores are [key][head, query]: a sum over the
    keys is then a sum over the first axis.
    """

    def __init__(self, n_head: int, head_dim: int, n: int, dtype: str) -> None:
        width = n_head * head_dim
        self.qkv = np.empty((3 * width, n), dtype)
        self.dqkv = np.empty((3 * width, n), dtype)
        self.out = np.empty((width, n), dtype)
        self._p = np.empty((n, n_head * n), dtype)
        self._dp = np.empty((n, n_head * n), dtype)
        self._scratch = np.empty((n, n_head * n), dtype)
        self._per_query = np.empty(n_head * n, dtype)
        self._ones = np.ones(n, dtype)
        self._scale = np.array(head_dim**-0.5, dtype)
        later = np.tril(np.full((n, n), -np.inf), -1)  # a key after its query
        self._mask = np.tile(later, n_head).astype(dtype)
        # The same memory as a matrix a head, the way a product wants it.
        self._heads = (n_head, head_dim, n)
        self._q, self._k, self._v = self.qkv.reshape(3, *self._heads)
        self._dq, self._dk, self._dv = self.dqkv.reshape(3, *self._heads)
        self._kt, self._vt = self._k.transpose(0, 2, 1), self._v.transpose(0, 2, 1)
        self._out_heads = self.out.reshape(self._heads)
        self._p_heads, self._dp_heads = (
            weights.reshape(n, n_head, n).transpose(1, 0, 2) for weights in (self._p, self._dp)
        )
        self._p_heads_t = self._p_heads.transpose(0, 2, 1)
        self._dp_heads_t = self._dp_heads.transpose(0, 2, 1)

    def forward(self) -> Array:
        """Return `out`, (n_embd, n), for what is in `qkv`."""
        p, per_query = self._p, self._per_query
        matmul(self._kt, self._q, self._p_heads)
        multiply(p, self._scale, p)
        add(p, self._mask, p)
        maximum.reduce(p, 0, None, per_query)
        subtract(p, per_query, p)
        exp(p, p)
        dot(self._ones, p, per_query)
        divide(p, per_query, p)
        matmul(self._v, self._p_heads, self._out_heads)
        return self.out

    def backward(self, dout: Array) -> Array:
        """Return `dqkv`; `dout` is (n_embd, n)."""
        dout_heads = dout.reshape(self._heads)
        p, dp, scratch = self._p, self._dp, self._scratch
        matmul(dout_heads, self._p_heads_t, self._dv)
        matmul(self._vt, dout_heads, self._dp_heads)
        multiply(p, dp, scratch)
        dot(self._ones, scratch, self._per_query)
        subtract(dp, self._per_query, dp)
        multiply(dp, p, dp)
        multiply(dp, self._scale, dp)  # now the gradient of the scores
        matmul(self._k, self._dp_heads, self._dq)
        matmul(self._q, self._dp_heads_t, self._dk)
        return self.dqkv


class _Layer:
    """What one layer needs for n positions: its weights, their gradients, its buffers."""

    def __init__(self, model: TensorModel, grads: dict[str, Array], i: int, n: int) -> None:
        config, dtype = model.config, model.dtype
        width = config.n_embd
        names = [f"layer{i}.{name}" for name in ("attn_wo", "mlp_fc1", "mlp_fc2")]
        self.wo, self.fc1, self.fc2 = (model.weights[name] for name in names)
        self.dwo, self.dfc1, self.dfc2 = (grads[name] for name in names)
        self.wqkv = model.fused_qkv(model.params, i)
        self.dwqkv = model.fused_qkv(model.grads, i)
        self.norm1 = _RMSNorm(width, n, dtype)
        self.norm2 = _RMSNorm(width, n, dtype)
        self.attention = _Attention(config.n_head, width // config.n_head, n, dtype)
        self.branch = np.empty((width, n), dtype)
        self.hidden = np.empty((4 * width, n), dtype)
        self.dhidden = np.empty((4 * width, n), dtype)
        self.slope = np.empty((4 * width, n), dtype)
        self.zero = np.zeros((), dtype)

    def forward(self, stream: Array, x: Array) -> None:
        """Store in x the residual stream plus what attention and MLP make of it; x may be it."""
        attention, branch, hidden = self.attention, self.branch, self.hidden
        dot(self.wqkv, self.norm1.forward(stream), attention.qkv)
        dot(self.wo, attention.forward(), branch)
        add(stream, branch, x)

        dot(self.fc1, self.norm2.forward(x), hidden)
        maximum(hidden, self.zero, out=hidden)
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
        dot(self.wo.T, dx, dbranch)
        dqkv = attention.backward(dbranch)
        dot(dqkv, self.norm1.y.T, self.dwqkv)
        dot(self.wqkv.T, dqkv, dbranch)
        add(dx, self.norm1.backward(dbranch), dx)


class _Pass:
    """Forward and backward over documents of n positions; gradients go into the model's."""

    def __init__(self, model: TensorModel, n: int) -> None:
        config, dtype = model.config, model.dtype
        vocab_size, width = model.tokenizer.vocab_size, config.n_embd
        grads = model.by_name(model.grads)
        tied = config.tie_lm_head
        self._head = model.weights["wte" if tied else "lm_head"]
        self._dhead = np.empty_like(self._head) if tied else grads["lm_head"]
        self._tied_dwte = grads["wte"] if tied else None
        # wte and wpe are neighbours: one product with a one-hot row for the token and one for the
        # position adds them up, and one product brings the gradients of both back.
        rows = vocab_size + config.block_size
        self._embedding = model.params[: rows * width].reshape(rows, width)
        self._dembedding = model.grads[: rows * width].reshape(rows, width)
        self._onehot = np.zeros((rows, n), dtype)
        self._onehot[vocab_size : vocab_size + n] = np.eye(n)
        self._onehot_inputs = self._onehot[:vocab_size]
        self._onehot_targets = np.empty((vocab_size, n), dtype)
        self._identity = np.eye(vocab_size, dtype=dtype)
        self._norm = _RMSNorm(width, n, dtype) if config.input_rmsnorm else None
        self._layers = [_Layer(model, grads, i, n) for i in range(config.n_layer)]
        self._embedded = np.empty((width, n), dtype)
        self._x = np.empty((width, n), dtype)
        self._dx = np.empty((width, n), dtype)
        self._logits = np.empty((vocab_size, n), dtype)
        self._per_position = np.empty(n, dtype)
        self._ones = np.ones(vocab_size, dtype)
        self._positions = np.arange(n)
        self._count = np.array(n, dtype)

    def forward(self, inputs: Array) -> None:
        """Compute the logits, (vocabulary, n), after each of `inputs`, n token ids."""
        self._identity.take(inputs, 1, self._onehot_inputs, "clip")
        stream = dot(self._embedding.T, self._onehot, self._embedded)
        if self._norm:
            stream = self._norm.forward(stream)
        for layer in self._layers:
            layer.forward(stream, self._x)
            stream = self._x
        dot(self._head, stream, self._logits)

    def backward(self, targets: Array) -> float:
        """Return the mean cross-entropy against `targets`, and store every gradient."""
        logits, per_position, dx = self._logits, self._per_position, self._dx
        maximum.reduce(logits, 0, None, per_position)
        subtract(logits, per_position, logits)
        target_logits = logits[targets, self._positions]
        exp(logits, logits)
        dot(self._ones, logits, per_position)
        divide(logits, per_position, logits)
        log(per_position, per_position)
        loss = (per_position.sum() - target_logits.sum()) / len(targets)

        dlogits = logits  # (softmax - one-hot) / n
        self._identity.take(targets, 1, self._onehot_targets, "clip")
        subtract(dlogits, self._onehot_targets, dlogits)
        divide(dlogits, self._count, dlogits)
        dot(dlogits, self._x.T, self._dhead)
        dot(self._head.T, dlogits, dx)
        for layer in reversed(self._layers):
            layer.backward(dx)
        if self._norm:
            self._norm.backward(dx)
        dot(self._onehot, dx.T, self._dembedding)
        if self._tied_dwte is not None:
            add(self._tied_dwte, self._dhead, self._tied_dwte)
        return float(loss)
