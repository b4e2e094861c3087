"""Save and load a model: a folder of weights and meta.json, or one safetensors file."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from microgpt.config import ModelConfig
from microgpt.errors import ConfigError
from microgpt.model_io import meta as meta_json
from microgpt.model_io import tensor_file, weights_json
from microgpt.model_io.matrices import Matrices, ModelFolderError
from microgpt.model_io.meta import Meta
from microgpt.model_io.tensor_file import MovedError, TensorFile
from microgpt.system import files
from microgpt.tokenizer import Tokenizer

META = "meta.json"
JSON = "weights.json"
TENSORS = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"  # in a run's folder

Format = Literal["json", "safetensors"]
FORMATS: dict[str, str] = {"json": JSON, "safetensors": TENSORS}  # the file of weights of each


def save(
    config: ModelConfig,
    tokenizer: Tokenizer,
    weights: Matrices,
    path: str | Path,
    format: Format | None = None,
) -> None:
    """Write a model to a folder, atomically and durably; other files in it stay.

    The weights are in weights.json, or in model.safetensors if `format` is "safetensors"; the other
    one of the two is removed. A `path` that ends with ".safetensors" and is no folder is a file,
    which is the whole model. Raises ConfigError for an unknown format, ModelFolderError if there is
    a file in place of the folder, or a folder in place of a file, OSError if it cannot be written.
    """
    path = Path(path)
    is_file = path.suffix == ".safetensors" and not path.is_dir()
    chosen = format or ("safetensors" if is_file else "json")
    if chosen not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, not {chosen!r}")
    if is_file and chosen == "json":
        raise ModelFolderError(f"{path} is the name of a safetensors file: name a folder")
    meta = Meta(config, tokenizer)
    if is_file:
        files.write(path, tensor_file.content(meta, _narrowed(weights)))
        return
    if path.exists() and not path.is_dir():
        raise ModelFolderError(f"{path} is a file, not a folder: name another")
    for name in (*FORMATS.values(), META):
        if (path / name).is_dir():
            raise ModelFolderError(f"{path / name} is a folder, not a file: remove it")
    others = [name for other, name in FORMATS.items() if other != chosen]
    with files.replacing_in(path, others) as new:
        name = FORMATS[chosen]
        with files.naming(path / name):
            if chosen == "json":
                weights_json.write(new / name, weights)
            else:
                (new / name).write_bytes(tensor_file.content(meta, _narrowed(weights)))
        with files.naming(path / META):
            (new / META).write_text(json.dumps(meta.as_json()), encoding="utf-8")


def _narrowed(weights: Matrices) -> Matrices:
    """Return the weights in float32 if that holds each of them exactly, else in float64."""
    with np.errstate(over="ignore"):
        narrow = {name: matrix.astype(np.float32) for name, matrix in weights.items()}
    same = all(np.array_equal(matrix, narrow[name], True) for name, matrix in weights.items())
    return narrow if same else {n: matrix.astype(np.float64) for n, matrix in weights.items()}


def read(path: str | Path, dtype: str = "float32") -> tuple[ModelConfig, Tokenizer, Matrices]:
    """Return configuration, tokenizer and weights of the model at `path`; see `engines.load`.

    `path` is a folder, that of a run, or a safetensors file. All files are of the same save, also
    while another process saves; nothing is written. Raises ModelFolderError if something is missing
    or malformed, or a weight not finite in `dtype`, or if two files say different things.
    """
    path = Path(path)
    while True:
        try:
            with _naming(path):
                meta, weights = (_read_file if path.is_file() else _read_folder)(path, dtype)
            return meta.config, meta.tokenizer, weights
        except MovedError:
            continue


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError in the block, and a path that cannot be one, be a ModelFolderError."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise ModelFolderError(f"cannot read {where}: {error.strerror or error}") from None
    except ModelFolderError:
        raise
    except ValueError as error:  # a NUL or half a character in the path
        raise ModelFolderError(f"cannot read {str(path)!r}: {error}") from None


def _read_file(path: Path, dtype: str) -> tuple[Meta, Matrices]:
    if path.name in (JSON, META):
        raise ModelFolderError(f"{path} is a part of a model: name its folder, {path.parent}")
    tensors = tensor_file.open_file(path)
    if tensors.meta is None:
        raise ModelFolderError(
            f"{path} has weights only: put it into a folder as {TENSORS}, with {META}"
        )
    return tensors.meta, tensors.weights(tensors.meta, dtype)


def _read_folder(folder: Path, dtype: str) -> tuple[Meta, Matrices]:
    there = _of_run(folder)
    _refuse_unless_folder(there)
    opened = files.open_together(there, (META, JSON, TENSORS))
    try:
        meta_file, json_file, tensors_file = opened
        tensors = TensorFile(tensors_file) if tensors_file else None
        meta = _meta(there, meta_file, tensors)
        if json_file is None:
            if tensors is None:
                raise ModelFolderError(f"{there} has no weights: {JSON} or {TENSORS}")
            return meta, tensors.weights(meta, dtype)
        weights = weights_json.read(json_file, json_file.name, meta, dtype)
        if tensors is not None:
            _check_equal(there, tensors.weights(meta, dtype), weights)
        return meta, weights
    finally:
        for file in filter(None, opened):
            file.close()


def _refuse_unless_folder(path: Path) -> None:
    """Raise ModelFolderError if there is no folder at `path`, where there is no file either."""
    what = "is not a regular file"
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return
    except (FileNotFoundError, NotADirectoryError):
        what = "does not exist"
    raise ModelFolderError(f"{path} {what}: name a model's folder, a run or a safetensors file")


def _meta(folder: Path, file: BinaryIO | None, tensors: TensorFile | None) -> Meta:
    """Return what meta.json says, or the metadata of the weights; they must not disagree."""
    inside = tensors.meta if tensors else None
    if file is None:
        if inside:
            return inside
        hint = ""
        if (folder / CHECKPOINT).is_file():
            hint = f"; {folder / CHECKPOINT} is a checkpoint, which loads too"
        raise ModelFolderError(f"cannot read {folder / META}: No such file or directory{hint}")
    meta = meta_json.read(file, file.name)
    if inside:
        pairs = zip(inside.as_json().items(), meta.as_json().values(), strict=True)
        for (name, one), other in pairs:
            if one != other:
                raise ModelFolderError(
                    f"{folder}: {name} is not the same in {META} and in the metadata of {TENSORS}: "
                    f"remove {META} if {TENSORS} is right"
                )
    return meta


def _check_equal(folder: Path, tensors: Matrices, weights: Matrices) -> None:
    """Raise ModelFolderError if two files of weights differ."""
    for name, matrix in tensors.items():
        with np.errstate(over="ignore"):
            other = weights[name].astype(matrix.dtype)
        if not np.array_equal(matrix, other):
            raise ModelFolderError(
                f"{folder}: {name} is not the same in {JSON} and {TENSORS}: remove one of them"
            )


def weights_file(path: str | Path) -> Path:
    """Return the path of the weights of the model at `path`: a folder, that of a run, or a file."""
    path = Path(path)
    if path.is_file():
        return path
    folder = _of_run(path)
    return files.newest(folder, TENSORS) or files.newest(folder, JSON) or folder / JSON


def folder_of(path: str | Path) -> Path:
    """Return the folder of the model at `path`; raise ModelFolderError if that is a file."""
    path = Path(path)
    if path.is_file():
        raise ModelFolderError(f"{path} is a file, not a folder: say with --out what to write")
    return _of_run(path)


def _of_run(folder: Path) -> Path:
    """Return the folder of the model: `folder`, or its sub-folder `model` if it is a run's.

    After a crash, version 0.1.0 can have left it under a name that ends with ".old".
    """
    for place in (folder, folder / "model"):
        for there in (place, Path(f"{place.absolute()}.old")):
            if files.newest(there, META) or files.newest(there, TENSORS):
                return there
    return folder
