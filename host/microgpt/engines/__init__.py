"""Create and load models: the engines are implementations of `engines.base.Model`.

This is the only module that imports all of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ugpt.layout import parameter_table
from ugpt.model import INIT_STD

from microgpt import memory, model_io
from microgpt.config import ModelConfig, check_seed
from microgpt.engines.base import STORED, Model
from microgpt.errors import ConfigError
from microgpt.memory import Work
from microgpt.model_io import Matrices
from microgpt.tokenizer import Tokenizer

DTYPES = tuple(STORED)
ENGINES = ("scalar", "tensor", "torch")


def build(
    config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, engine: str, dtype: str
) -> Model:
    """Return a model of an engine with a copy of `weights`.

    Raises ConfigError if the engine or the dtype is unknown, or not available here.
    """
    _check_dtype(dtype)
    if engine == "torch":
        try:
            from microgpt.engines.torch import TorchModel
        except ImportError:
            raise ConfigError("no PyTorch here: .venv/bin/pip install -e '.[torch]'") from None

        return TorchModel(config, tokenizer, weights, dtype)
    if dtype == "bfloat16":
        raise ConfigError("dtype bfloat16 is for engine torch")
    if engine == "scalar":
        from microgpt.engines.scalar import ScalarModel

        return ScalarModel(config, tokenizer, weights)
    if engine == "tensor":
        from microgpt.engines.tensor import TensorModel

        return TensorModel(config, tokenizer, weights, dtype)
    raise ConfigError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")


def create(
    config: ModelConfig,
    charset: str = "abcdefghijklmnopqrstuvwxyz",
    seed: int = 42,
    engine: str = "tensor",
    dtype: str = "float32",
    special_tokens: Sequence[str] = (),
) -> Model:
    """Return a new model with weights drawn from N(0, 0.08) in flat order; the seed fixes them.

    `dtype` is for the engines "tensor" and "torch"; "scalar" computes in float64. Raises
    ConfigError for a negative seed, if it is too large for this machine and as `build` does,
    VocabularyError for an impossible charset.
    """
    check_seed(seed)
    tokenizer = Tokenizer(charset, special_tokens=special_tokens)
    check_memory(Work(config, tokenizer.vocab_size, engine, dtype))
    rng = np.random.default_rng(seed)
    table = parameter_table(config.sizes(tokenizer.vocab_size))
    weights = {name: rng.normal(0.0, INIT_STD, shape) for name, shape, _ in table}
    return build(config, tokenizer, weights, engine, dtype)


def load(folder: str | Path, engine: str = "tensor", dtype: str = "float32") -> Model:
    """Return the model in `folder`, or in its sub-folder `model` if it is a run's.

    Raises ModelFolderError if a file is missing or malformed, or a matrix is missing, of another
    shape or not finite; ConfigError if it is too large for this machine and as `build` does.
    """
    _check_dtype(dtype)
    config, tokenizer, weights = model_io.read(folder, STORED[dtype])
    work = Work(config, tokenizer.vocab_size, engine, dtype)
    reason = memory.refusal(work.parameters, memory.to_create(work), f"in engine {engine}")
    if reason:
        raise ConfigError(f"{folder}: {reason}")
    return build(config, tokenizer, weights, engine, dtype)


def check_memory(work: Work) -> None:
    """Raise ConfigError, with figures, if this machine has not the memory to train a model.

    With a GPU it needs the memory to create it: when that of the GPU is full, PyTorch says so.
    """
    with_gpu = work.engine == "torch" and _has_gpu()
    memory.check(work, "to train", memory.to_create if with_gpu else memory.to_train)


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def evaluator(model: Model) -> Model:
    """Return `model`, or for engine "scalar" its weights in engine "tensor", to measure losses.

    Engine "scalar" would take minutes for a validation loss.
    """
    if model.engine != "scalar":
        return model
    return build(model.config, model.tokenizer, model.weights, "tensor", "float64")
