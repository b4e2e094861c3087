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
from microgpt.engines.base import DecodeStep, Mask, Masks, Model, Tokens, with_masks
from microgpt.errors import ConfigError
from microgpt.model_io import Array, Matrices
from microgpt.tokenizer import Tokenizer

BATCH = 16  # documents at a time in `mean_loss`
STORED = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


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
        self.net.to(self.device, STORED[dtype])
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
    def weights(self) -> Matrices:
        """A copy of the parameters, {name: matrix}."""
        return self._in_order({name: p.detach() for name, p in self.net.named_parameters()})

    def _in_order(self, tensors: dict[str, Tensor]) -> Matrices:
        return {name: tensors[name].cpu().numpy().copy() for name, _, _ in self.table}

    def loss_and_grads(self, tokens: Tokens, mask: Mask | None = None) -> tuple[float, Matrices]:
        return self.batch_loss_and_grads([tokens], [mask])

    def batch_loss_and_grads(
        self, documents: Sequence[Tokens], masks: Masks = None
    ) -> tuple[float, Matrices]:
        self.net.zero_grad()
        loss = self._loss(self.net, with_masks(documents, masks))
        _backward(loss)
        grads = {n: p.grad for n, p in self.net.named_parameters() if p.grad is not None}
        return loss.item(), self._in_order(grads)

    def train_step(self, tokens: Tokens, step: int, lr: float, mask: Mask | None = None) -> float:
        return self.train_batch([tokens], step, lr, [mask])

    def train_batch(
        self,
        documents: Sequence[Tokens],
        step: int,
        lr: float,
        masks: Masks = None,
        gradient_accumulation: int = 1,
    ) -> float:
        """Update the weights on the mean loss of several documents; return that loss.

        `documents` are those of all processes. Raises ConfigError if they do not divide evenly by
        processes and parts, MemoryError if a part does not fit in memory; the weights are then
        unchanged.
        """
        rank, world = self.processes
        own = with_masks(documents, masks)[rank::world]
        size, rest = divmod(len(own), gradient_accumulation)
        if rest or len(documents) % world:
            raise ConfigError(
                f"{len(documents)} documents do not divide by {world} processes "
                f"times {gradient_accumulation} parts"
            )
        try:
            return self._train_batch(own, size, lr, gradient_accumulation)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        raise MemoryError(
            f"out of memory with {size} documents at a time: "
            "take a smaller --batch or more --gradient-accumulation"
        )

    def _train_batch(
        self, own: list[tuple[Tokens, Mask | None]], size: int, lr: float, parts: int
    ) -> float:
        """Update the weights on this process's documents, `size` of them at a time."""
        self.net.zero_grad()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        parallel = self._parallel
        for part in range(parts):
            pairs = own[part * size : (part + 1) * size]
            last = part == parts - 1
            # Processes exchange gradients once a step, after its last part.
            with nullcontext() if last or parallel is None else parallel.no_sync():
                loss = self._loss(parallel or self.net, pairs) / parts
                _backward(loss)
            total += loss.detach()
        if self.processes.world > 1:
            dist.all_reduce(total)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        return float(total.item()) / self.processes.world

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


def _backward(loss: Tensor) -> None:
    """Add the gradient of `loss` to that of each parameter."""
    loss.backward()  # type: ignore[no-untyped-call] # PyTorch has no annotations for it


def _out_of_memory(error: RuntimeError) -> bool:
    """Return whether memory ran out; for the CPU's memory PyTorch has no error class."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
