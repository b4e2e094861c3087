"""Engine "torch": the model in PyTorch, for larger models and batches, on a CPU or GPUs.

A minibatch is padded to its longest document. Attention is causal, so that padding does not affect
the positions before it, and padding has weight 0 in the loss. It computes on a CUDA device if
there is one. With dtype "bfloat16", matrix products are in bfloat16 and the weights in float32.

Each of the processes that have joined (`engines.distributed`) takes its share of the documents of
a step, and DistributedDataParallel averages their gradients.
"""

import atexit
import gc
import os
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt.config import ModelConfig
from microgpt.engines import distributed
from microgpt.engines.base import (
    STORED,
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
from microgpt.errors import ConfigError
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

BATCH = 16  # documents at a time in `mean_loss`


class TorchModel(Model):
    """The model as a `torch.nn.Module`, `net`, and `torch.optim.Adam`.

    `dtype`: "float32", "float64", or "bfloat16", which needs CUDA.
    """

    engine = "torch"

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        weights: Matrices,
        dtype: str = "float32",
        device: str | None = None,
    ) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`.

        `device` is by default the CUDA device of this process if there is one, else the CPU.
        Raises ConfigError for "bfloat16" without CUDA.
        """
        super().__init__(config, tokenizer)
        self.dtype = dtype
        self.processes = distributed.joined()
        cuda = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        self.device = torch.device(device or (cuda if torch.cuda.is_available() else "cpu"))
        if dtype == "bfloat16" and self.device.type != "cuda":
            raise ConfigError("dtype bfloat16 needs a CUDA device: take float32")
        self.net = _Net(config, tokenizer.vocab_size)
        self.net.to(self.device, getattr(torch, STORED[dtype]))
        self.load(weights)
        self._parallel: DistributedDataParallel | None = None
        if self.processes.world > 1:
            self._parallel = DistributedDataParallel(self.net)
            atexit.register(self._leave_processes)
        self.adam = torch.optim.Adam(
            self.net.parameters(), betas=(BETA1, BETA2), eps=EPS_ADAM, fused=True
        )

    def _leave_processes(self) -> None:
        """Stop PyTorch's communication threads: Python aborts if it exits while they run."""
        self._parallel = None
        gc.collect()
        if dist.is_initialized():
            dist.destroy_process_group()

    def load(self, weights: Matrices) -> None:
        """Copy `weights` into the model."""
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(torch.as_tensor(np.asarray(weights[name])))

    def reset_optimizer(self) -> None:
        self.adam.state.clear()

    @property
    def moments(self) -> Moments:
        first, second = (
            {name: self._moment(p, part) for name, p in self.net.named_parameters()}
            for part in ("exp_avg", "exp_avg_sq")
        )
        return self._in_order(first), self._in_order(second)

    def _moment(self, parameter: nn.Parameter, part: str) -> Tensor:
        """Return a moment, which is not in Adam's state before the first step."""
        moment: Tensor = self.adam.state.get(parameter, {}).get(part, torch.zeros_like(parameter))
        return moment.detach()

    def restore_optimizer(self, moments: Moments, step: int) -> None:
        first, second = moments
        for name, p in self.net.named_parameters():
            self.adam.state[p] = {
                "step": torch.tensor(float(step), device=p.device),
                "exp_avg": torch.from_numpy(first[name].copy()).to(p),
                "exp_avg_sq": torch.from_numpy(second[name].copy()).to(p),
            }

    @property
    def weights(self) -> Matrices:
        """A copy of the parameters, {name: matrix}."""
        return self._in_order({name: p.detach() for name, p in self.net.named_parameters()})

    def _in_order(self, tensors: dict[str, Tensor]) -> Matrices:
        return {name: tensors[name].cpu().numpy().copy() for name, _, _ in self.table}

    def batch_loss_and_grads(
        self, documents: Sequence[Tokens], masks: Masks = None
    ) -> tuple[float, Matrices]:
        """Return the mean of the documents' losses, and its gradient, by this process alone."""
        self.net.zero_grad()
        loss = self._loss(self.net, with_masks(documents, masks))
        _backward(loss)
        return loss.item(), self._gradients()

    def train_batch(
        self,
        documents: Sequence[Tokens],
        step: int,
        lr: float,
        masks: Masks = None,
        gradient_accumulation: int = 1,
    ) -> float:
        """Update the weights on the mean loss of several documents; see `Model.train_batch`.

        `documents` are those of all processes, and must divide by processes times parts. Raises
        MemoryError if a part does not fit in memory; the weights are then unchanged.
        """
        try:
            return super().train_batch(documents, step, lr, masks, gradient_accumulation)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        size = len(documents) // (self.processes.world * gradient_accumulation)
        raise MemoryError(
            f"out of memory with {size} documents at a time: "
            "take a smaller --batch or more --gradient-accumulation"
        )

    def _backward(self, pairs: Pairs, parts: int) -> float:
        """Compute this process's share; the loss and the gradient are then those of all shares."""
        rank, world = self.processes
        equal_parts(pairs, parts * world)  # so that no process has more documents than another
        self.net.zero_grad()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        parallel = self._parallel
        for number, part in enumerate(equal_parts(pairs[rank::world], parts), 1):
            # Processes exchange gradients once a step, after its last part.
            with nullcontext() if number == parts or parallel is None else parallel.no_sync():
                loss = self._loss(parallel or self.net, part) / parts
                _backward(loss)
            total += loss.detach()
        if world > 1:
            dist.all_reduce(total)
        return float(total.item()) / world

    def _gradients(self) -> Matrices:
        return self._in_order({name: _gradient(p) for name, p in self.net.named_parameters()})

    def _squared_norm(self) -> float:
        norms = [_gradient(p).norm() for p in self.net.parameters()]
        return float(torch.stack(norms).square().sum().item())

    def _update(self, step: int, lr: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()

    def mean_loss(self, documents: Sequence[Tokens], masks: Masks = None) -> float:
        # Sorted by length, the documents of a batch need little padding.
        by_length = sorted(with_masks(documents, masks), key=lambda pair: len(pair[0]))
        parts = [by_length[start : start + BATCH] for start in range(0, len(by_length), BATCH)]
        total = 0.0
        with torch.inference_mode():
            for part in parts:
                total += self._loss(self.net, part).item() * len(part)
        return total / len(documents)

    def _loss(self, net: nn.Module, pairs: Sequence[tuple[Tokens, Mask | None]]) -> Tensor:
        """Return the mean of the documents' losses as a scalar, by the forward pass of `net`."""
        counts = [self.positions(tokens) for tokens, _ in pairs]
        shape = (len(pairs), max(counts))
        ids = np.zeros((2, *shape), np.int64)
        weights = np.zeros(shape, "float64" if self.dtype == "float64" else "float32")
        for i, ((tokens, mask), n) in enumerate(zip(pairs, counts, strict=True)):
            ids[:, i, :n] = tokens[:n], tokens[1 : n + 1]
            weights[i, :n] = 1 / n if mask is None else self.position_weights(n, mask)
        inputs, targets = torch.from_numpy(ids).to(self.device)
        with self._autocast():
            logits = net(inputs)
        if logits.dtype == torch.bfloat16:
            logits = logits.float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        shares = torch.from_numpy(weights / len(pairs)).to(self.device)
        return losses @ shares.flatten()

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.dtype == "bfloat16":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def decoder(self) -> DecodeStep:
        caches: list[list[Tensor]] = [[] for _ in range(self.config.n_layer)]
        t = 0

        def step(token: int) -> Array:
            nonlocal t
            with torch.inference_mode(), self._autocast():
                logits = self.net(torch.tensor([[token]], device=self.device), t, caches)
            t += 1
            last: Array = logits[0, 0].double().cpu().numpy()
            return last

        return step


class _Net(nn.Module):
    """The forward pass, with parameters by the names of `ugpt.layout`."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        width = config.n_embd
        self.config = config
        self.wte = _matrix(vocab_size, width)
        self.wpe = _matrix(config.block_size, width)
        self._layers = [_Layer(width, config.n_head) for _ in range(config.n_layer)]
        for i, layer in enumerate(self._layers):
            self.add_module(f"layer{i}", layer)
        self.lm_head = None if config.tie_lm_head else _matrix(vocab_size, width)

    def forward(
        self, inputs: Tensor, first: int = 0, caches: list[list[Tensor]] | None = None
    ) -> Tensor:
        """Return the logits, (documents, n, vocab_size), after `inputs`, (documents, n).

        `first` is the position of the first column. `caches`, a list for each layer, hold the keys
        and values of the positions before it, and receive those of `inputs`.
        """
        x = self.wte[inputs] + self.wpe[first : first + inputs.shape[1]]
        if self.config.input_rmsnorm:
            x = _rmsnorm(x)
        for i, layer in enumerate(self._layers):
            x = layer(x, caches[i] if caches else None)
        return F.linear(x, self.wte if self.lm_head is None else self.lm_head)


class _Layer(nn.Module):
    """One layer: attention and MLP, each added to the residual stream."""

    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.attn_wq = _matrix(width, width)
        self.attn_wk = _matrix(width, width)
        self.attn_wv = _matrix(width, width)
        self.attn_wo = _matrix(width, width)
        self.mlp_fc1 = _matrix(4 * width, width)
        self.mlp_fc2 = _matrix(width, 4 * width)

    def forward(self, x: Tensor, cache: list[Tensor] | None) -> Tensor:
        y = _rmsnorm(x)
        q, k, v = (
            F.linear(y, w).view(*y.shape[:2], self.n_head, -1).transpose(1, 2)
            for w in (self.attn_wq, self.attn_wk, self.attn_wv)
        )
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = k, v
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), self.attn_wo)
        return x + F.linear(F.relu(F.linear(_rmsnorm(x), self.mlp_fc1)), self.mlp_fc2)


def _matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, columns))


def _rmsnorm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=EPS_RMSNORM)


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient of a parameter, of which every one has a part in the loss."""
    assert parameter.grad is not None
    return parameter.grad


def _backward(loss: Tensor) -> None:
    """Add the gradient of `loss` to that of each parameter."""
    loss.backward()  # type: ignore[no-untyped-call] # PyTorch has no annotations for it


def _out_of_memory(error: RuntimeError) -> bool:
    """Return whether memory ran out; for the CPU's memory PyTorch has no error class."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
