"""The same training step in eager PyTorch, in engine torch and in engine tensor, in one run.

Run it where torch is installed: python -m microgpt.bench_torch [--json]. The PyTorch model here is
for one document, as lean as one would write it, with PyTorch's own RMSNorm, attention,
cross-entropy and fused Adam: engine torch, which takes minibatches, would be too easy to beat. The
losses are held against each other before anything is timed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from threadpoolctl import threadpool_limits
from ugpt.adam import BETA1, BETA2
from ugpt.adam import EPS as EPS_ADAM
from ugpt.ops import EPS as EPS_RMSNORM

from microgpt import data
from microgpt.config import ModelConfig, TrainConfig
from microgpt.engines import create
from microgpt.engines.base import Matrices, Model
from microgpt.lab.bench import CHAT_SIZED, FIRST, Turn, long_documents, medians_of_turns, spread
from microgpt.runs.environment import environment

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    torch = None

LR = TrainConfig().lr
LR_COMPARED = 1e-4  # at LR the large model's loss jumps about, and what was rounded grows with it


class Eager:
    """microgpt in eager PyTorch, float32, on the CPU."""

    def __init__(self, config: ModelConfig, weights: Matrices) -> None:
        self.config = config
        self.w = {
            name: torch.tensor(matrix, dtype=torch.float32, requires_grad=True)
            for name, matrix in weights.items()
        }
        self.optimizer = torch.optim.Adam(
            self.w.values(), lr=LR, betas=(BETA1, BETA2), eps=EPS_ADAM, fused=True
        )

    def loss(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the mean cross-entropy of a document."""
        w, config = self.w, self.config
        n = min(config.block_size, len(tokens) - 1)
        heads = (n, config.n_head, config.n_embd // config.n_head)
        norm = (config.n_embd,)
        x = w["wte"][tokens[:n]] + w["wpe"][:n]
        x = F.rms_norm(x, norm, eps=EPS_RMSNORM)
        for i in range(config.n_layer):
            y = F.rms_norm(x, norm, eps=EPS_RMSNORM)
            q, k, v = (
                F.linear(y, w[f"layer{i}.attn_w{name}"]).view(heads).transpose(0, 1)
                for name in "qkv"
            )
            mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
            x = x + F.linear(mixed.transpose(0, 1).reshape(n, -1), w[f"layer{i}.attn_wo"])
            hidden = F.linear(F.rms_norm(x, norm, eps=EPS_RMSNORM), w[f"layer{i}.mlp_fc1"])
            x = x + F.linear(F.relu(hidden), w[f"layer{i}.mlp_fc2"])
        return F.cross_entropy(F.linear(x, w["lm_head"]), tokens[1 : n + 1])

    def train_step(self, tokens: Sequence[int], step: int, lr: float) -> float:
        """Learn from one document, as `Model.train_step` does."""
        loss = self.loss(torch.tensor(tokens))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()
        return loss.item()


def compare(
    config: ModelConfig, charset: str, docs: Sequence[str], repeats: int, threads: int
) -> dict[str, Any]:
    """Return the time of a step in both, and how many times as fast as PyTorch tensor is."""
    torch.set_num_threads(threads)
    tensor = create(config, charset)
    eager = Eager(config, tensor.weights)
    encoded = [tensor.tokenizer.encode(doc) for doc in docs]
    models = {"tensor": tensor, "torch": create(config, charset, engine="torch"), "eager": eager}
    hold_against(list(models.values()), encoded)
    with threadpool_limits(threads):
        turns = {name: Turn(model.train_step, encoded) for name, model in models.items()}
        medians = medians_of_turns(turns, repeats)
    return {
        "parameters": tensor.parameter_count,
        "positions": tensor.positions(encoded[0]) if len(set(map(len, encoded))) == 1 else None,
        "threads": threads,
        "steps": len(encoded),
        "repeats": repeats,
        "us_per_step": {name: median / len(encoded) * 1e6 for name, median in medians.items()},
        "times_eager": medians["eager"] / medians["tensor"],
    }


def hold_against(models: Sequence[Model | Eager], encoded: Sequence[Sequence[int]]) -> None:
    """Exit unless all give the same losses over the first steps; all learn from them."""
    for step, tokens in enumerate(encoded[:10]):
        losses = [model.train_step(tokens, step, LR_COMPARED) for model in models]
        if max(losses) - min(losses) > 1e-3:
            sys.exit(f"error: not the same model, losses at step {step}: {losses}")


def main() -> None:
    """Compare the board's model, one thread, and the chat-sized one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="for the chat-sized model")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    options = parser.parse_args()
    if torch is None:
        print("skipped: torch is not installed", file=sys.stderr)
        return
    docs = data.read_docs(data.NAMES)
    charset = data.charset_of(docs)
    long = long_documents(docs, CHAT_SIZED.block_size, 2)
    small = compare(ModelConfig(), charset, spread(docs[:FIRST], 200), options.repeats, 1)
    large = compare(CHAT_SIZED, data.charset_of(long), long, options.repeats, options.threads)
    result = {"torch": torch.__version__, "small": small, "large": large}
    if options.json:
        print(json.dumps({"environment": environment(), **result}, indent=2))
        return
    print(f"{environment()['processor']}, PyTorch {torch.__version__}")
    for row in (small, large):
        times = row["us_per_step"]
        print(
            f"{row['parameters']:,} parameters, {row['threads']} thread(s), medians of "
            f"{row['repeats']} repeats of {row['steps']} steps: tensor {times['tensor']:,.0f} µs, "
            f"eager PyTorch {times['eager']:,.0f} µs, tensor is {row['times_eager']:.2f} times as "
            f"fast; engine torch {times['torch']:,.0f} µs"
        )


if __name__ == "__main__":
    main()
