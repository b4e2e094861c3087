"""microgpt on the computer: create, train, generate, save and load, in several engines."""

from microgpt.config import ModelConfig, TrainConfig
from microgpt.engines import create, load
from microgpt.engines.base import Model
from microgpt.errors import ConfigError, UserError
from microgpt.model_io import ModelFolderError
from microgpt.sampling import generate
from microgpt.tokenizer import Tokenizer
from microgpt.training import Document, Record, TrainingError, train

__all__ = [
    "ConfigError",
    "Document",
    "Model",
    "ModelConfig",
    "ModelFolderError",
    "Record",
    "Tokenizer",
    "TrainConfig",
    "TrainingError",
    "UserError",
    "create",
    "generate",
    "load",
    "train",
]
