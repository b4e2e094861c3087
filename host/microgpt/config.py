"""What a model and a run are made of; both refuse impossible values with a ValueError."""

from dataclasses import dataclass, fields
from typing import Literal

from ugpt.layout import Sizes

Order = Literal["sequential", "shuffled", "random"]
ORDERS = ("sequential", "shuffled", "random")
Decay = Literal["linear", "cosine"]
DECAYS = ("linear", "cosine")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of a model; the defaults are microgpt's."""

    n_embd: int = 16
    n_head: int = 4
    n_layer: int = 1
    block_size: int = 16
    tie_lm_head: bool = False
    input_rmsnorm: bool = True

    def __post_init__(self) -> None:
        _check_whole(self, "n_embd", "n_head", "n_layer", "block_size")
        for name in ("tie_lm_head", "input_rmsnorm"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        self.sizes(vocab_size=1)

    def sizes(self, vocab_size: int) -> Sizes:
        """Return these sizes for `ugpt.layout`, whose parameter table is the only one."""
        return Sizes(
            vocab_size,
            self.n_embd,
            self.n_head,
            self.n_layer,
            self.block_size,
            self.tie_lm_head,
        )


@dataclass(frozen=True)
class TrainConfig:
    """A run: `steps` of `batch` documents each, the learning rate falling to 0.

    `order`: "sequential" takes the documents as they come, "shuffled" shuffles them once, as
    microgpt.py does, "random" draws each. The seed fixes the order.
    `holdout`: the share of the documents that is never trained on, see `microgpt.data.held_out`.
    `stop_after`: end after so many of the steps; the learning rate falls as if there were all.
    `accumulate`: a step learns from so many batches; engine "torch" computes one at a time.
    `decay`: how the learning rate falls: in a straight line, as microgpt.py's, or half a cosine.
    """

    steps: int = 1000
    lr: float = 0.01
    seed: int = 42
    order: Order = "shuffled"
    batch: int = 1
    holdout: float = 0.0
    stop_after: int | None = None
    accumulate: int = 1
    decay: Decay = "linear"

    def __post_init__(self) -> None:
        _check_whole(self, "steps", "batch", "accumulate")
        if self.stop_after is not None:
            _check_whole(self, "stop_after")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be a number from 0 to below 1, not {self.holdout!r}")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"lr must be a number above 0, not {self.lr!r}")
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if self.decay not in DECAYS:
            raise ValueError(f"decay must be one of {', '.join(DECAYS)}, not {self.decay!r}")

    @property
    def end(self) -> int:
        """The number of steps that the run takes."""
        return min(self.steps, self.stop_after or self.steps)


def _check_whole(config: ModelConfig | TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, not {value!r}")


def field_names(config: type) -> list[str]:
    """Return the names of a configuration's fields."""
    return [field.name for field in fields(config)]
