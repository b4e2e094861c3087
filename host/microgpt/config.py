"""The sizes of a model and the settings of a training; both raise ConfigError for bad values."""

from dataclasses import dataclass, fields
from typing import Literal

from ugpt.layout import Sizes

from microgpt.errors import ConfigError

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
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        try:
            self.sizes(vocab_size=1)
        except ValueError as error:
            raise ConfigError(str(error)) from None

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
    """A training: `steps` steps of `batch` documents each; the learning rate decays to 0.

    `order`: "sequential" takes the documents as they come, "shuffled" shuffles them once, as
    microgpt.py does, "random" draws each. The seed fixes the order.
    `validation`: the share of the documents that is never trained on; `data.in_validation_set`
    chooses them.
    `stop_after`: stop after this many steps; the learning rate decays as if all were taken.
    `gradient_accumulation`: a step learns from this many batches; engine "torch" computes their
    gradients one after another.
    `decay`: how the learning rate decays: linearly, as in microgpt.py, or as half a cosine.
    """

    steps: int = 1000
    lr: float = 0.01
    seed: int = 42
    order: Order = "shuffled"
    batch: int = 1
    validation: float = 0.0
    stop_after: int | None = None
    gradient_accumulation: int = 1
    decay: Decay = "linear"

    def __post_init__(self) -> None:
        _check_whole(self, "steps", "batch", "gradient_accumulation")
        if self.stop_after is not None:
            _check_whole(self, "stop_after")
        if not 0 <= self.validation < 1:
            raise ConfigError(
                f"validation must be a number from 0 to below 1, not {self.validation!r}"
            )
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"lr must be a number above 0, not {self.lr!r}")
        if self.order not in ORDERS:
            raise ConfigError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if self.decay not in DECAYS:
            raise ConfigError(f"decay must be one of {', '.join(DECAYS)}, not {self.decay!r}")

    @property
    def end(self) -> int:
        """The number of steps that the run takes."""
        return min(self.steps, self.stop_after or self.steps)


def _check_whole(config: ModelConfig | TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} must be a whole number from 1 on, not {value!r}")


def field_names(config: type[ModelConfig] | type[TrainConfig]) -> list[str]:
    """Return the names of a configuration's fields."""
    return [field.name for field in fields(config)]
