"""microgpt on the computer: create, train, generate, save and load, in several engines.

What it offers is imported when it is first used: NumPy takes time, and a command that is only just
starting must end at Ctrl-C.
"""

from importlib import import_module

TYPE_CHECKING = False  # as in typing, which takes time as well
if TYPE_CHECKING:
    from microgpt import config as config
    from microgpt import data as data
    from microgpt import display as display
    from microgpt import engines as engines
    from microgpt import errors as errors
    from microgpt import model_io as model_io
    from microgpt import sampling as sampling
    from microgpt import tokenizer as tokenizer
    from microgpt import training as training
    from microgpt.config import ModelConfig, TrainConfig
    from microgpt.display import progress
    from microgpt.engines import create, load
    from microgpt.engines.base import Model
    from microgpt.errors import ConfigError, UserError
    from microgpt.model_io import ModelFolderError
    from microgpt.runs.log import RunError
    from microgpt.runs.run import Run, read_run
    from microgpt.sampling import Sampling, generate
    from microgpt.tokenizer import Tokenizer
    from microgpt.training import Document, Record, TrainingError, train

__all__ = [
    "ConfigError",
    "Document",
    "Model",
    "ModelConfig",
    "ModelFolderError",
    "Record",
    "Run",
    "RunError",
    "Sampling",
    "Tokenizer",
    "TrainConfig",
    "TrainingError",
    "UserError",
    "create",
    "generate",
    "load",
    "progress",
    "read_run",
    "train",
]

_MODULES = {  # the module of each of these names, and the names of which each is a module
    "config": ("ModelConfig", "TrainConfig"),
    "data": (),
    "display": ("progress",),
    "engines": ("create", "load"),
    "engines.base": ("Model",),
    "errors": ("ConfigError", "UserError"),
    "model_io": ("ModelFolderError",),
    "runs.log": ("RunError",),
    "runs.run": ("Run", "read_run"),
    "sampling": ("Sampling", "generate"),
    "tokenizer": ("Tokenizer",),
    "training": ("Document", "Record", "TrainingError", "train"),
}

if not TYPE_CHECKING:  # which would else take any name for one of this package

    def __getattr__(name: str) -> object:
        """Import what is asked for; raise AttributeError if there is no such name."""
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{module}"), name)
            if name == module:
                return import_module(f"{__name__}.{module}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *(name for name in _MODULES if "." not in name)})
