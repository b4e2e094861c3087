"""Models in files: a folder of weights.json or model.safetensors and meta.json, or one file."""

from microgpt.model_io.folder import (
    CHECKPOINT,
    FORMATS,
    Format,
    folder_of,
    read,
    save,
    weights_file,
)
from microgpt.model_io.matrices import Array, Matrices, ModelFolderError

__all__ = [
    "CHECKPOINT",
    "FORMATS",
    "Array",
    "Format",
    "Matrices",
    "ModelFolderError",
    "folder_of",
    "read",
    "save",
    "weights_file",
]
