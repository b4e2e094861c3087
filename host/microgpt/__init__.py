"""microgpt on the computer: create, train, generate, save and load, in two engines."""

from microgpt.config import ModelConfig, TrainConfig
from microgpt.folder import ModelFolderError, load
from microgpt.model import Model, create
from microgpt.sampling import generate
from microgpt.tokenizer import Tokenizer
from microgpt.training import Record, TrainingError, train

__all__ = [
    "Model",
    "ModelConfig",
    "ModelFolderError",
    "Record",
    "Tokenizer",
    "TrainConfig",
    "TrainingError",
    "create",
    "generate",
    "load",
    "train",
]
