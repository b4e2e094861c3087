"""Save and load a model as a folder of weights.json and meta.json."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ugpt.layout import parameter_table

from microgpt import files
from microgpt.config import ModelConfig, field_names, from_json
from microgpt.errors import UserError
from microgpt.tokenizer import Tokenizer

WEIGHTS = "weights.json"
META = "meta.json"

Array = NDArray[np.floating]
Matrices = dict[str, Array]  # {name: (rows, columns)}, names and shapes of `ugpt.layout`


class ModelFolderError(UserError):
    """A folder is not a whole model; the message names the file and what is wrong in it."""


def save(config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, folder: str | Path) -> None:
    """Replace `folder` by a model, atomically and durably.

    weights.json is {name: rows} with the names of `ugpt.layout`, meta.json holds the tokenizer and
    the configuration. Raises ModelFolderError if `folder` has files that are not a model's, OSError
    if it cannot be written.
    """
    folder = Path(folder).resolve()
    present = folder.iterdir() if folder.is_dir() else ()
    others = {p.name for p in present if not p.name.startswith(".")} - {WEIGHTS, META}
    if others or (folder.exists() and not folder.is_dir()):
        raise ModelFolderError(f"{folder} holds other files, so it is not replaced: name another")
    meta = {
        "vocab_size": tokenizer.vocab_size,
        "charset": tokenizer.charset,
        "bos": tokenizer.bos,
        "special_tokens": list(tokenizer.special_tokens),
        **{name: getattr(config, name) for name in field_names(ModelConfig)},
    }
    rows = {name: np.asarray(matrix).tolist() for name, matrix in weights.items()}
    with files.replacing(folder) as new:
        new.mkdir()
        for name, content in ((WEIGHTS, rows), (META, meta)):
            with files.naming(folder / name), (new / name).open("w", encoding="utf-8") as file:
                json.dump(content, file)


def read(folder: str | Path, dtype: str = "float32") -> tuple[ModelConfig, Tokenizer, Matrices]:
    """Return configuration, tokenizer and weights of the model in `folder`; see `engines.load`.

    Raises ModelFolderError if something is missing or malformed, or a weight not finite in `dtype`.
    """
    folder = _of_run(Path(folder))
    if not folder.exists() and _is_there(folder):
        files.backup_of(folder).rename(folder)
    config, tokenizer = _read_meta(folder / META)
    return config, tokenizer, _read_weights(folder / WEIGHTS, config, tokenizer, dtype)


def weights_file(folder: str | Path) -> Path:
    """Return the path of the weights of the model in `folder`, which is a model's or a run's."""
    return _of_run(Path(folder)) / WEIGHTS


def _of_run(folder: Path) -> Path:
    """Return the folder of the model: `folder`, or its sub-folder `model` if it is a run's."""
    if not (folder / META).exists() and _is_there(folder / "model"):
        return folder / "model"
    return folder


def _is_there(folder: Path) -> bool:
    """Return whether a folder exists, or the backup that a crash while it was replaced left."""
    return folder.is_dir() or files.backup_of(folder).is_dir()


def _read_json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{path} is not a JSON object")
    return content


def _read_meta(path: Path) -> tuple[ModelConfig, Tokenizer]:
    """Return what meta.json says; raise ModelFolderError, naming the file."""
    meta = _read_json(path)
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


def _read_weights(path: Path, config: ModelConfig, tokenizer: Tokenizer, dtype: str) -> Matrices:
    """Return the matrices of weights.json; raise ModelFolderError, naming file and matrix."""
    content = _read_json(path)
    weights: Matrices = {}
    for name, shape, _ in parameter_table(config.sizes(tokenizer.vocab_size)):
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
