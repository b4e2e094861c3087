"""Create and load models: the engines are implementations of `engines.base.Model`.

This is the only module that imports all of them, and the one place that decides what "auto" is.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

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
ENGINES = ("native", "tensor", "scalar", "torch")
AUTO = "auto"  # the quickest of "native" and "tensor", see `resolve`
# {instruction set: the largest n_embd with which "native" was measured to be quicker than "tensor"}
# Wider models are matrix products above all, in which a BLAS library for that processor is quicker.
WIDEST_NATIVE = {"avx512": 448, "avx2": 128, "neon": 64, "plain": 128}
NOT_BUILT = (
    "engine native was not built here: install a C compiler (apt install gcc), then "
    ".venv/bin/pip install -e ."
)


def resolve(engine: str, config: ModelConfig, dtype: str) -> str:
    """Return `engine`, or what "auto" is for a model of these sizes: "native" or "tensor".

    It is "native" where that was built and was measured to be the quicker of the two.
    """
    if engine != AUTO:
        return engine
    code = native_code() if dtype == "float32" else None
    return "native" if code and config.n_embd <= WIDEST_NATIVE[code.isa] else "tensor"


def native_is_here() -> bool:
    """Return whether engine "native" was built where this package is installed."""
    try:
        import microgpt.engines.native  # noqa: F401
    except ImportError:
        return False
    return True


def native_code() -> ModuleType | None:
    """Return the compiled part of engine "native"; None where it was not built."""
    return import_module("microgpt.engines._native") if native_is_here() else None


def native_build() -> str | None:
    """Return the instruction set of engine "native" and a hash of its machine code; None without.

    Another compiler, or another instruction set, rounds in another way.
    """
    code = native_code()
    if code is None:
        return None
    digest = hashlib.sha256(Path(str(code.__file__)).read_bytes()).hexdigest()
    return f"{code.isa} {digest[:16]}"


def build(
    config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, engine: str, dtype: str
) -> Model:
    """Return a model of an engine, or of "auto", with a copy of `weights`.

    Raises ConfigError as `find` does.
    """
    _check_dtype(dtype)
    return find(resolve(engine, config, dtype), dtype)(config, tokenizer, weights)


def find(engine: str, dtype: str) -> Callable[[ModelConfig, Tokenizer, Matrices], Model]:
    """Return what makes a model of an engine.

    Raises ConfigError if the engine is unknown, not available here, or does not have the dtype.
    """
    if engine == "torch":
        try:
            from microgpt.engines.torch import TorchModel
        except ImportError:
            raise ConfigError("no PyTorch here: .venv/bin/pip install -e '.[torch]'") from None

        return partial(TorchModel, dtype=dtype)
    if dtype == "bfloat16":
        raise ConfigError("dtype bfloat16 is for engine torch")
    if engine == "scalar":
        from microgpt.engines.scalar import ScalarModel

        return ScalarModel
    if engine == "native":
        if dtype != "float32":
            raise ConfigError(f"engine native computes in float32: for {dtype} take tensor")
        try:
            from microgpt.engines.native import NativeModel
        except ImportError:
            raise ConfigError(NOT_BUILT) from None

        return NativeModel
    if engine == "tensor":
        from microgpt.engines.tensor import TensorModel

        return partial(TensorModel, dtype=dtype)
    names = ", ".join((AUTO, *ENGINES))
    raise ConfigError(f"engine must be one of {names}, not {engine!r}")


def create(
    config: ModelConfig,
    charset: str = "abcdefghijklmnopqrstuvwxyz",
    seed: int = 42,
    engine: str = AUTO,
    dtype: str = "float32",
    special_tokens: Sequence[str] = (),
) -> Model:
    """Return a new model with weights drawn from N(0, 0.08) in flat order; the seed fixes them.

    `dtype` is for the engines "tensor" and "torch"; "native" computes in float32, "scalar" in
    float64. Raises ConfigError for a negative seed, if it is too large for this machine and as
    `build` does, VocabularyError for an impossible charset.
    """
    check_seed(seed)
    engine = resolve(engine, config, dtype)
    tokenizer = Tokenizer(charset, special_tokens=special_tokens)
    check_memory(Work(config, tokenizer.vocab_size, engine, dtype))
    rng = np.random.default_rng(seed)
    table = parameter_table(config.sizes(tokenizer.vocab_size))
    weights = {name: rng.normal(0.0, INIT_STD, shape) for name, shape, _ in table}
    return build(config, tokenizer, weights, engine, dtype)


def load(folder: str | Path, engine: str = AUTO, dtype: str = "float32") -> Model:
    """Return the model in `folder`, or in its sub-folder `model` if it is a run's.

    The weights are in weights.json or in model.safetensors. `folder` may also be a safetensors file
    that is a whole model: one that `save` wrote, or the checkpoint of a run. Raises
    ModelFolderError if a file is missing or malformed, or a matrix is missing, of another shape or
    type or not finite, or if two files say different things; ConfigError if it is too large for
    this machine and as `build` does.
    """
    _check_dtype(dtype)
    config, tokenizer, weights = model_io.read(folder, STORED[dtype])
    engine = resolve(engine, config, dtype)
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
    return bool(torch.cuda.is_available())


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
