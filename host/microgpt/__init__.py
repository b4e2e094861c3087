"""microgpt on the computer: create, train, generate, save and load, in three engines."""

from microgpt.config import ModelConfig, TrainConfig
from microgpt.folder import ModelFolderError, load
from microgpt.model import Model, create
from microgpt.sampling import generate
from microgpt.tokenizer import Tokenizer
from microgpt.training import Document, Record, TrainingError, train

__all__ = [
    "Document",
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
