"""weights.json: an object of matrices, each an array of rows."""

import json
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from ugpt.layout import parameter_count, parameter_table

from microgpt import memory
from microgpt.model_io.matrices import Matrices, ModelFolderError, check_finite, check_shape
from microgpt.model_io.meta import Meta, json_object
from microgpt.system.terminal import printable


def write(path: Path, weights: Matrices) -> None:
    """Write the matrices row by row: the text of a number is long. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        before = "{"
        for name, matrix in weights.items():
            rows = (json.dumps(row.tolist()) for row in np.asarray(matrix))
            file.write(f"{before}{json.dumps(name)}: [{next(rows)}")
            file.writelines(f", {row}" for row in rows)
            file.write("]")
            before = ", "
        file.write("}")


def read(file: BinaryIO, where: str, meta: Meta, dtype: str) -> Matrices:
    """Return the matrices; raise ModelFolderError, which names the file as `where`.

    They are finite in `dtype`, and not of it.
    """
    size = os.fstat(file.fileno()).st_size
    sizes = meta.config.sizes(meta.tokenizer.vocab_size)
    parameters = int(parameter_count(sizes))
    if size < 2 * parameters:  # a digit and a comma each; so this is known before it is read
        raise ModelFolderError(
            f"{where}: {size:,} bytes are too few for {memory.counted(parameters)} parameters, as "
            f"meta.json asks for"
        )
    reason = memory.refusal(parameters, memory.to_load(size, parameters), "to load")
    if reason:
        raise ModelFolderError(f"{where}: {reason}")
    content = json_object(file, where)
    weights: Matrices = {}
    for name, shape, _ in parameter_table(sizes):
        if name not in content:
            raise ModelFolderError(f"{where}: {name} is missing")
        try:
            matrix = np.array(content[name])
        except ValueError:
            raise ModelFolderError(f"{where}: {name} is not a matrix of numbers") from None
        if matrix.dtype.kind not in "fi":  # integers above 64 bits become objects
            raise ModelFolderError(f"{where}: {name} is not a matrix of numbers")
        check_shape(where, name, matrix.shape, shape)
        check_finite(where, name, matrix, dtype)
        weights[name] = matrix
    unknown = set(content) - set(weights)
    if unknown:
        raise ModelFolderError(f"{where}: {printable(min(unknown))} is not a matrix of this model")
    return weights
