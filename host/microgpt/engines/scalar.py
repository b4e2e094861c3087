"""Engine "scalar": autograd over single numbers, written to be read.

A `Value` records the values it was computed from; `backward` applies the chain rule over that
record. The structure is that of Karpathy's microgpt.py.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.engines.base import DecodeStep, Mask, Model, Moments, Pairs, Tokens, equal_parts
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer


class Value:
    """A number, its gradient, and the values it was computed from with the slope to each."""

    __slots__ = ("data", "grad", "_inputs", "_slopes")

    def __init__(
        self, data: float, inputs: tuple["Value", ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self._inputs = inputs
        self._slopes = slopes

    def __add__(self, other: "Value | float") -> "Value":
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: "Value | float") -> "Value":
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power: float) -> "Value":
        return Value(self.data**power, (self,), (power * self.data ** (power - 1),))

    def exp(self) -> "Value":
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def log(self) -> "Value":
        return Value(math.log(self.data), (self,), (1.0 / self.data,))

    def relu(self) -> "Value":
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> "Value":
        return self * -1.0

    def __sub__(self, other: "Value | float") -> "Value":
        return self + (-other)

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def backward(self) -> None:
        """Add this value's derivative with respect to each value it depends on to that `grad`."""
        self.grad = 1.0
        for value in reversed(self._topological_order()):
            for before, slope in zip(value._inputs, value._slopes, strict=True):
                before.grad += slope * value.grad

    def _topological_order(self) -> list["Value"]:
        """Return every value this one depends on, each after its inputs.

        It uses a stack of its own, because Python's recursion is not deep enough.
        """
        order = []
        seen = {self}
        stack = [(self, iter(self._inputs))]
        while stack:
            value, inputs = stack[-1]
            for before in inputs:
                if before not in seen:
                    seen.add(before)
                    stack.append((before, iter(before._inputs)))
                    break
            else:
                order.append(value)
                stack.pop()
        return order


Vector = list[Value]
Matrix = list[Vector]


def dot(a: Vector, b: Vector) -> Value:
    """Return the sum of the products of two vectors' entries."""
    return sum((ai * bi for ai, bi in zip(a, b, strict=True)), Value(0))


def add(a: Vector, b: Vector) -> Vector:
    """Return a + b."""
    return [ai + bi for ai, bi in zip(a, b, strict=True)]


def linear(w: Matrix, x: Vector) -> Vector:
    """Return w · x."""
    return [dot(row, x) for row in w]


def softmax(x: Vector) -> Vector:
    """Return exp(x) / sum(exp(x)), with the largest x subtracted so that exp does not overflow."""
    largest = max(value.data for value in x)
    exps = [(value - largest).exp() for value in x]
    total = sum(exps, Value(0))
    return [e / total for e in exps]


def cross_entropy(logits: Vector, target: int) -> Value:
    """Return -log(softmax(logits)[target])."""
    largest = max(value.data for value in logits)
    total = sum(((value - largest).exp() for value in logits), Value(0))
    return total.log() - (logits[target] - largest)


def rmsnorm(x: Vector) -> Vector:
    """Return x divided by its root mean square (Zhang & Sennrich, 2019)."""
    mean_square = dot(x, x) / len(x)
    scale = (mean_square + EPS_RMSNORM) ** -0.5
    return [xi * scale for xi in x]


class ScalarModel(Model):
    """The model as matrices of Values, and Adam's two moments of each parameter."""

    engine = "scalar"
    dtype = "float64"

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, weights: Matrices) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`."""
        super().__init__(config, tokenizer)
        self._w: dict[str, Matrix] = {
            name: [[Value(float(w)) for w in row] for row in weights[name]]
            for name, _, _ in self.table
        }
        self._parameters = [p for matrix in self._w.values() for row in matrix for p in row]
        self.reset_optimizer()

    def reset_optimizer(self) -> None:
        self._m = [0.0] * len(self._parameters)
        self._v = [0.0] * len(self._parameters)

    @property
    def moments(self) -> Moments:
        return self._by_name(self._m), self._by_name(self._v)

    def restore_optimizer(self, moments: Moments, step: int) -> None:
        self._m, self._v = (
            [float(number) for name, _, _ in self.table for number in part[name].flat]
            for part in moments
        )

    @property
    def weights(self) -> Matrices:
        """A copy of the parameters, {name: matrix}."""
        return self._matrices(lambda p: p.data)

    def _matrices(self, number: Callable[[Value], float]) -> Matrices:
        return self._by_name(map(number, self._parameters))

    def _by_name(self, numbers: Iterable[float]) -> Matrices:
        """Return a number for each parameter, in flat order, as {name: matrix}."""
        flat = np.fromiter(numbers, float, len(self._parameters))
        return {
            name: flat[offset : offset + rows * columns].reshape(rows, columns)
            for name, (rows, columns), offset in self.table
        }

    def decoder(self) -> DecodeStep:
        cache = self._empty_cache()

        def step(token: int) -> Array:
            t = len(cache[0][0])
            return np.array([logit.data for logit in self._position(token, t, cache)])

        return step

    def _position(self, token: int, t: int, cache: list[tuple[Matrix, Matrix]]) -> Vector:
        """Return the logits after `token` at position t, and add its keys and values to `cache`."""
        w, config = self._w, self.config
        head_dim = config.n_embd // config.n_head
        x = add(w["wte"][token], w["wpe"][t])
        if config.input_rmsnorm:
            x = rmsnorm(x)
        for i, (keys, values) in enumerate(cache):
            residual = x
            x = rmsnorm(x)
            q = linear(w[f"layer{i}.attn_wq"], x)
            keys.append(linear(w[f"layer{i}.attn_wk"], x))
            values.append(linear(w[f"layer{i}.attn_wv"], x))
            mixed: Vector = []
            for start in range(0, config.n_embd, head_dim):
                part = slice(start, start + head_dim)
                weights = softmax([dot(q[part], k[part]) / head_dim**0.5 for k in keys])
                for j in range(start, start + head_dim):
                    mixed.append(dot(weights, [v[j] for v in values]))
            x = add(linear(w[f"layer{i}.attn_wo"], mixed), residual)

            residual = x
            x = linear(w[f"layer{i}.mlp_fc1"], rmsnorm(x))
            x = add(linear(w[f"layer{i}.mlp_fc2"], [xi.relu() for xi in x]), residual)
        return linear(w["wte" if config.tie_lm_head else "lm_head"], x)

    def _loss(self, tokens: Tokens, mask: Mask | None) -> Value:
        """Return the mean cross-entropy over the positions that count."""
        n = self.positions(tokens)
        cache = self._empty_cache()
        losses = [
            cross_entropy(self._position(tokens[t], t, cache), tokens[t + 1]) for t in range(n)
        ]
        if mask is None:
            return sum(losses, Value(0)) / n
        weights = [float(weight) for weight in self.position_weights(n, mask)]
        weighted = (loss * weight for loss, weight in zip(losses, weights, strict=True))
        return sum(weighted, Value(0))

    def _empty_cache(self) -> list[tuple[Matrix, Matrix]]:
        return [([], []) for _ in range(self.config.n_layer)]

    def _backward(self, pairs: Pairs, parts: int) -> float:
        equal_parts(pairs, parts)  # they only need to divide: the documents are computed one by one
        for p in self._parameters:
            p.grad = 0.0
        total = 0.0
        for tokens, mask in pairs:
            loss = self._loss(tokens, mask) / len(pairs)
            loss.backward()
            total += loss.data
        return total

    def _gradients(self) -> Matrices:
        return self._matrices(lambda p: p.grad)

    def _squared_norm(self) -> float:
        return sum(p.grad * p.grad for p in self._parameters)

    def _update(self, step: int, lr: float) -> None:
        for i, p in enumerate(self._parameters):
            self._m[i] = BETA1 * self._m[i] + (1 - BETA1) * p.grad
            self._v[i] = BETA2 * self._v[i] + (1 - BETA2) * p.grad**2
            m_hat = self._m[i] / (1 - BETA1 ** (step + 1))
            v_hat = self._v[i] / (1 - BETA2 ** (step + 1))
            p.data -= lr * m_hat / (v_hat**0.5 + EPS_ADAM)
