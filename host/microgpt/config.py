"""The sizes of a model and the settings of a training; bad values raise ConfigError."""

from dataclasses import dataclass, fields
from typing import Literal, TypeVar

from ugpt.layout import Sizes

from microgpt.errors import ConfigError

Order = Literal["sequential", "shuffled", "random"]
ORDERS = ("sequential", "shuffled", "random")
Decay = Literal["linear", "cosine"]
DECAYS = ("linear", "cosine")
# {field of TrainConfig: its name in version 0.1.0}
FORMER_NAMES = {"validation": "holdout", "gradient_accumulation": "accumulate"}
LARGEST = 10**12  # size or batch: so that an estimate of its memory is a number one can read
# Adam moves a weight by at most about 3 times lr a step: with this one, float32 holds the weights.
LARGEST_LR = 1e30


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
        _check_whole(self, "n_embd", "n_head", "n_layer", "block_size", largest=LARGEST)
        for name in ("tie_lm_head", "input_rmsnorm"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        try:
            self.sizes(vocab_size=1)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def sizes(self, vocab_size: int) -> Sizes:
        """Return these sizes as `ugpt.layout` takes them, for its table of parameters."""
        return Sizes(
            vocab_size,
            self.n_embd,
            self.n_head,
            self.n_layer,
            self.block_size,
            self.tie_lm_head,
            self.input_rmsnorm,
        )


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training: `steps` steps of `batch` documents each.

    `lr`: the learning rate of the first step; `decay` is how it falls to 0 over `steps`: linearly,
    as in microgpt.py, or as half a cosine.
    `seed`: fixes the initial weights and the order of the documents.
    `order`: "sequential" takes the documents in the order of the file, "shuffled" shuffles them
    once, as microgpt.py does, "random" draws one independently each time.
    `validation`: the share of the documents kept out of training; `data.in_validation_set` chooses
    them.
    `stop_after`: stop after this many steps; `lr` decays as if all `steps` were taken.
    `gradient_accumulation`: the number of batches in a step; their gradients are computed one
    after another.
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
        _check_whole(self, "steps")
        _check_whole(self, "batch", "gradient_accumulation", largest=LARGEST)
        if self.stop_after is not None:
            _check_whole(self, "stop_after")
        check_seed(self.seed)
        if not _is_number(self.validation) or not 0 <= self.validation < 1:
            raise ConfigError(
                f"validation must be a number from 0 to below 1, not {self.validation!r}"
            )
        if not _is_number(self.lr) or not 0 < self.lr < float("inf"):
            raise ConfigError(f"lr must be a number above 0, not {self.lr!r}")
        if self.lr > LARGEST_LR:
            raise ConfigError(f"lr must be at most {LARGEST_LR:g}, not {self.lr!r}")
        if self.order not in ORDERS:
            raise ConfigError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if self.decay not in DECAYS:
            raise ConfigError(f"decay must be one of {', '.join(DECAYS)}, not {self.decay!r}")

    @property
    def end(self) -> int:
        """The number of steps that are taken."""
        return min(self.steps, self.stop_after or self.steps)


def check_seed(seed: int) -> None:
    """Raise ConfigError unless `seed` is a whole number from 0 on."""
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seed must be a whole number from 0 on, not {seed!r}")


def _check_whole(
    config: ModelConfig | TrainConfig, *names: str, largest: int | None = None
) -> None:
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} must be a whole number from 1 on, not {value!r}")
        if largest and value > largest:
            raise ConfigError(f"{name} must be at most {largest:,}, not {value:,}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Config = TypeVar("Config", ModelConfig, TrainConfig)


def from_json(kind: type[Config], content: object) -> Config:
    """Return the configuration in a JSON object; fields that it lacks have their defaults.

    Raises ConfigError if `content` is not an object, or for an unknown name or a bad value.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"the fields of {kind.__name__} must be an object, not {content!r}")
    unknown = sorted(set(content) - set(field_names(kind)))
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a field of {kind.__name__}")
    return kind(**content)


def field_names(config: type[ModelConfig] | type[TrainConfig]) -> list[str]:
    """Return the names of a configuration's fields."""
    return [field.name for field in fields(config)]
