"""Engine "tensor": NumPy, a whole document at a time, the backward pass derived by hand.

A document of n positions is a matrix with a column a position, so that code reads like the math:
y = w @ x, dx = w.T @ dy, dw = dy @ x.T. Arrays this small cost by the call, not by the number: so
every buffer and every view of it is made once for each n, each call writes into one, sums run
over the first axis, where NumPy is quickest, and constants are arrays, not Python floats.

A minibatch is its documents side by side in one such matrix; only attention has to know where one
ends and the next begins.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy import (
    add,
    divide,
    dot,
    exp,
    log,
    maximum,
    multiply,
    sign,
    sqrt,
    subtract,
)
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.attention import Attention, BatchAttention
from microgpt.config import ModelConfig
from microgpt.model import Mask, Masks, Model, with_masks
from microgpt.tokenizer import Tokenizer

Array = np.ndarray

BATCH = 64  # documents at a time, where only the loss is wanted
MOST_HELD = 1 << 27  # numbers in buffers, half a gigabyte in float32
SHORT = 64  # positions: minibatches of longer documents are computed one document at a time


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
        self._passes: dict[int | tuple[int, int], _Pass] = {}
        self._held = 0  # numbers in the buffers of all passes, about

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

    def _pass(self, n: int) -> "_Pass":
        """Return the buffers for a document of n positions."""
        if n not in self._passes:
            self._make_room(n, n * self.config.n_head * n)
            self._passes[n] = _Pass(self, n)
        return self._passes[n]

    def _make_room(self, columns: int, attention: int) -> None:
        """Drop all passes if another one, of so many columns, would be too much memory."""
        size = self.config.n_layer * (25 * self.config.n_embd * columns + 4 * attention)
        if self._held + size > MOST_HELD:
            self._passes.clear()
            self._held = 0
        self._held += size

    def _forward(self, tokens: Sequence[int], mask: Mask | None = None) -> tuple["_Pass", float]:
        """Return a pass with the document in it and its loss; what is left is the backward."""
        n = self.positions(tokens)
        document = self._pass(n)
        ids = np.array(tokens)
        document.forward(ids[:n])
        weights = None if mask is None else self.position_weights(n, mask).astype(self.dtype)
        return document, document.loss(ids[1 : n + 1], weights)

    def _loss_and_backward(self, tokens: Sequence[int], mask: Mask | None) -> float:
        document, loss = self._forward(tokens, mask)
        document.backward()
        return loss

    def loss_and_grads(
        self, tokens: Sequence[int], mask: Mask | None = None
    ) -> tuple[float, dict[str, Array]]:
        loss = self._loss_and_backward(tokens, mask)
        return loss, self.by_name(self.grads.copy())

    def train_step(
        self, tokens: Sequence[int], step: int, lr: float, mask: Mask | None = None
    ) -> float:
        loss = self._loss_and_backward(tokens, mask)
        self._adam.step(step, lr)
        return loss

    def _batch_forward(
        self, documents: Sequence[Sequence[int]], masks: Masks
    ) -> tuple["_BatchPass | None", float]:
        """Return the same for a batch and its mean loss.

        No pass if a document is too long or has a mask: they are computed one at a time.
        """
        if masks and any(mask is not None for mask in masks):
            return None, 0.0
        counts = [min(self.config.block_size, len(tokens) - 1) for tokens in documents]
        longest = max(counts)
        if min(counts) < 1 or longest > SHORT:
            return None, 0.0
        together = list(chain.from_iterable(documents))
        self.check_tokens(min(together), max(together))
        columns = _round_up(sum(counts) + 2 * (longest - 1), 32)
        key = (longest, columns)
        if key not in self._passes:
            self._make_room(columns, longest * self.config.n_embd * columns)
            self._passes[key] = _BatchPass(self, longest, columns)
        batch = self._passes[key]
        return batch, batch.mean_loss(documents, counts)

    def _batch_loss_and_backward(self, documents: Sequence[Sequence[int]], masks: Masks) -> float:
        batch, loss = self._batch_forward(documents, masks)
        if batch:
            batch.backward()
            return loss
        total = np.zeros_like(self.grads)
        loss = 0.0
        for tokens, mask in with_masks(documents, masks):
            loss += self._loss_and_backward(tokens, mask) / len(documents)
            total += self.grads
        divide(total, len(documents), self.grads)
        return loss

    def batch_loss_and_grads(
        self, documents: Sequence[Sequence[int]], masks: Masks = None
    ) -> tuple[float, dict[str, Array]]:
        loss = self._batch_loss_and_backward(documents, masks)
        return loss, self.by_name(self.grads.copy())

    def train_batch(
        self,
        documents: Sequence[Sequence[int]],
        step: int,
        lr: float,
        masks: Masks = None,
        accumulate: int = 1,
    ) -> float:
        loss = self._batch_loss_and_backward(documents, masks)
        self._adam.step(step, lr)
        return loss

    def mean_loss(self, documents: Sequence[Sequence[int]], masks: Masks = None) -> float:
        total = 0.0
        # By length: neighbours then fill a batch without gaps.
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

    def look(self, tokens: Sequence[int]) -> tuple[Array, Array]:
        """Return what the model makes of `tokens`, n up to block_size, each of them an input.

        These are the attention's weights, (n_layer, n_head, query, key), and the probabilities of
        the next token, (n, vocab_size).
        """
        document = self._pass(len(tokens))
        document.forward(np.array(tokens))
        return document.attention(), softmax(document.logits.T)

    def stepper(self) -> Callable[[int], Array]:
        w, config = self.weights, self.config
        heads = (config.n_head, config.n_embd // config.n_head)
        caches = [
            np.zeros((2, config.block_size, *heads), self.dtype) for _ in range(config.n_layer)
        ]
        wqkvs = [self.fused_qkv(self.params, i) for i in range(config.n_layer)]
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            x = w["wte"][token] + w["wpe"][t]
            if config.input_rmsnorm:
                x = _rmsnorm(x)
            for i, cache in enumerate(caches):
                q, *cache[:, t] = (wqkvs[i] @ _rmsnorm(x)).reshape(3, *heads)
                keys, values = cache[:, : t + 1]
                scores = np.einsum("hd,shd->hs", q, keys) / heads[1] ** 0.5
                mixed = np.einsum("hs,shd->hd", softmax(scores), values)
                x = x + w[f"layer{i}.attn_wo"] @ mixed.ravel()
                hidden = np.maximum(w[f"layer{i}.mlp_fc1"] @ _rmsnorm(x), 0)
                x = x + w[f"layer{i}.mlp_fc2"] @ hidden
            t += 1
            return w["wte" if config.tie_lm_head else "lm_head"] @ x

        return step


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


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


class _Layer:
    """What one layer needs for n positions: its weights, their gradients, its buffers."""

    def __init__(
        self,
        model: TensorModel,
        grads: dict[str, Array],
        i: int,
        n: int,
        attention: Attention | BatchAttention,
    ) -> None:
        config, dtype = model.config, model.dtype
        width = config.n_embd
        names = [f"layer{i}.{name}" for name in ("attn_wo", "mlp_fc1", "mlp_fc2")]
        self.wo, self.fc1, self.fc2 = (model.weights[name] for name in names)
        self.dwo, self.dfc1, self.dfc2 = (grads[name] for name in names)
        self.wqkv = model.fused_qkv(model.params, i)
        self.dwqkv = model.fused_qkv(model.grads, i)
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
        self._onehot_inputs = self._onehot[:vocab_size]
        self._onehot_positions = self._onehot[vocab_size:]
        self._onehot_targets = np.empty((vocab_size, n), dtype)
        self._identity = np.eye(vocab_size, dtype=dtype)
        self._norm = _RMSNorm(width, n, dtype) if config.input_rmsnorm else None
        self._layers = [
            _Layer(model, grads, i, n, self._attention(config, n, dtype))
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


class _BatchPass(_Pass):
    """The same over a batch of documents side by side in `columns`, none above `longest` positions.

    The loss is the mean of the documents' losses. A column without a document is token 0 at
    position 0, whose loss has no weight, so that its gradient is 0.
    """

    def __init__(self, model: TensorModel, longest: int, columns: int) -> None:
        self._longest = longest
        self._mask = np.zeros((longest, 1, columns - longest + 1), model.dtype)
        super().__init__(model, columns)
        self._weights = np.zeros(columns, model.dtype)
        keys, positions = np.arange(longest)[:, None], np.arange(model.config.block_size)
        # Of a query at this position, only the last position + 1 keys are of its own document.
        self._masks = np.where(keys + positions < longest - 1, -np.inf, 0).astype(model.dtype)
        self._every_position = np.eye(model.config.block_size, dtype=model.dtype)

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
