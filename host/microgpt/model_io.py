"""Save and load a model as a folder of weights.json and meta.json."""

import json
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from ugpt.layout import parameter_count, parameter_table

from microgpt import memory
from microgpt.config import ModelConfig, field_names, from_json
from microgpt.errors import UserError
from microgpt.system import files
from microgpt.tokenizer import Tokenizer

WEIGHTS = "weights.json"
META = "meta.json"

Array = NDArray[np.floating]
Matrices = dict[str, Array]  # {name: (rows, columns)}, names and shapes of `ugpt.layout`


class ModelFolderError(UserError):
    """A folder is not a whole model; the message names the file and what is wrong in it."""


def save(config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, folder: str | Path) -> None:
    """Write a model to `folder`, atomically and durably; other files in it stay.

    weights.json is {name: rows} with the names of `ugpt.layout`, meta.json holds the tokenizer and
    the configuration. Raises ModelFolderError if there is a file in place of the folder, or a
    folder in place of a file, OSError if it cannot be written.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file, not a folder: name another")
    for name in (WEIGHTS, META):
        if (folder / name).is_dir():
            raise ModelFolderError(f"{folder / name} is a folder, not a file: remove it")
    meta = {
        "vocab_size": tokenizer.vocab_size,
        "charset": tokenizer.charset,
        "bos": tokenizer.bos,
        "special_tokens": list(tokenizer.special_tokens),
        **{name: getattr(config, name) for name in field_names(ModelConfig)},
    }
    with files.replacing_in(folder) as new:
        with (
            files.naming(folder / WEIGHTS),
            (new / WEIGHTS).open("w", encoding="utf-8") as file,
        ):
            before = "{"
            for name, matrix in weights.items():  # row by row: the text of a number is long
                rows = (json.dumps(row.tolist()) for row in np.asarray(matrix))
                file.write(f"{before}{json.dumps(name)}: [{next(rows)}")
                file.writelines(f", {row}" for row in rows)
                file.write("]")
                before = ", "
            file.write("}")
        with files.naming(folder / META):
            (new / META).write_text(json.dumps(meta), encoding="utf-8")


def read(folder: str | Path, dtype: str = "float32") -> tuple[ModelConfig, Tokenizer, Matrices]:
    """Return configuration, tokenizer and weights of the model in `folder`; see `engines.load`.

    Both files are of the same save, also while another process saves; nothing is written. Raises
    ModelFolderError if something is missing or malformed, or a weight not finite in `dtype`.
    """
    folder = _of_run(Path(folder))
    try:
        meta, weights = files.open_together(folder, (META, WEIGHTS))
    except OSError as error:
        raise ModelFolderError(f"cannot read {error.filename}: {error.strerror}") from None
    except ValueError as error:  # a NUL or half a character in the path
        raise ModelFolderError(f"cannot read {str(folder)!r}: {error}") from None
    with meta, weights:
        config, tokenizer = _read_meta(meta, folder / META)
        return config, tokenizer, _read_weights(weights, folder / WEIGHTS, config, tokenizer, dtype)


def weights_file(folder: str | Path) -> Path:
    """Return the path of the weights of the model in `folder`, which is a model's or a run's."""
    return files.newest(_of_run(Path(folder)), WEIGHTS)


def _of_run(folder: Path) -> Path:
    """Return the folder of the model: `folder`, or its sub-folder `model` if it is a run's.

    After a crash, version 0.1.0 can have left it under a name that ends with ".old".
    """
    for place in (folder, folder / "model"):
        for there in (place, Path(f"{place.absolute()}.old")):
            if files.newest(there, META).exists():
                return there
    return folder


def _read_json(file: BinaryIO, path: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read())  # of bytes: it allows for a byte order mark
    except OSError as error:
        raise ModelFolderError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{path} is not a JSON object")
    return content


def _read_meta(file: BinaryIO, path: Path) -> tuple[ModelConfig, Tokenizer]:
    """Return what meta.json says; raise ModelFolderError, naming the file."""
    meta = _read_json(file, path)
    charset = meta.get("charset")
    if isinstance(charset, list) and all(isinstance(c, str) and len(c) == 1 for c in charset):
        charset = "".join(charset)
    if not isinstance(charset, str):
        raise ModelFolderError(f"{path} has no charset, a string of characters")
    bos = meta.get("bos", len(charset))  # without it: microgpt.py's own, where BOS is last
    if type(bos) is not int:
        raise ModelFolderError(f"{path}: bos must be a whole number, not {bos!r}")
    special_tokens = meta.get("special_tokens", [])
    if not isinstance(special_tokens, list):
        raise ModelFolderError(f"{path}: special_tokens must be an array of names")
    sizes = {name: meta[name] for name in field_names(ModelConfig) if name in meta}
    try:
        tokenizer = Tokenizer(charset, bos, special_tokens)
        config = from_json(ModelConfig, sizes)
    except UserError as error:
        raise ModelFolderError(f"{path}: {error}") from None
    if meta.get("vocab_size", tokenizer.vocab_size) != tokenizer.vocab_size:
        raise ModelFolderError(
            f"{path}: vocab_size is {meta['vocab_size']}, charset, BOS and special tokens make "
            f"{tokenizer.vocab_size}"
        )
    return config, tokenizer


def _read_weights(
    file: BinaryIO, path: Path, config: ModelConfig, tokenizer: Tokenizer, dtype: str
) -> Matrices:
    """Return the matrices of weights.json; raise ModelFolderError, naming file and matrix."""
    size = os.fstat(file.fileno()).st_size
    sizes = config.sizes(tokenizer.vocab_size)
    parameters = int(parameter_count(sizes))
    if size < 2 * parameters:  # a digit and a comma each; so this is known before it is read
        raise ModelFolderError(
            f"{path}: {size:,} bytes are too few for {memory.counted(parameters)} parameters, as "
            f"{META} asks for"
        )
    reason = memory.refusal(parameters, memory.to_load(size, parameters), "to load")
    if reason:
        raise ModelFolderError(f"{path}: {reason}")
    content = _read_json(file, path)
    weights: Matrices = {}
    for name, shape, _ in parameter_table(sizes):
        if name not in content:
            raise ModelFolderError(f"{path}: {name} is missing")
        try:
            matrix = np.array(content[name])
        except ValueError:
            raise ModelFolderError(f"{path}: {name} is not a matrix of numbers") from None
        if matrix.dtype.kind not in "fi":  # integers above 64 bits become objects
            raise ModelFolderError(f"{path}: {name} is not a matrix of numbers")
        if matrix.shape != shape:
            raise ModelFolderError(f"{path}: {name} has shape {matrix.shape}, expected {shape}")
        with np.errstate(over="ignore"):
            finite = np.isfinite(matrix.astype(dtype)).all()
        if not finite:
            raise ModelFolderError(f"{path}: {name} has a value that is not finite in {dtype}")
        weights[name] = matrix
    unknown = set(content) - set(weights)
    if unknown:
        raise ModelFolderError(f"{path}: {min(unknown)} is not a matrix of this model")
    return weights
