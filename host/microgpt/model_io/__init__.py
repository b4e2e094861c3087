"""Models in files: a folder of weights.json or model.safetensors and meta.json, or one file."""

from microgpt.model_io.folder import (
    CHECKPOINT as CHECKPOINT,
)
from microgpt.model_io.folder import (
    FORMATS as FORMATS,
)
from microgpt.model_io.folder import Format as Format
from microgpt.model_io.folder import folder_of as folder_of
from microgpt.model_io.folder import read as read
from microgpt.model_io.folder import save as save
from microgpt.model_io.folder import weights_file as weights_file
from microgpt.model_io.matrices import Array as Array
from microgpt.model_io.matrices import Matrices as Matrices
from microgpt.model_io.matrices import ModelFolderError as ModelFolderError
