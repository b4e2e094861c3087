"""A model as a folder: weights.json, matrices as arrays of rows, and meta.json, all the rest."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ugpt.layout import parameter_table

from microgpt import files
from microgpt.config import ModelConfig, field_names
from microgpt.errors import UserError
from microgpt.tokenizer import Tokenizer

WEIGHTS = "weights.json"
META = "meta.json"

Array = NDArray[np.floating]
Matrices = dict[str, Array]  # {name: (rows, columns)}, names and shapes of `ugpt.layout`


class ModelFolderError(UserError):
    """A folder does not hold a whole model; the message names the file and the matrix."""


def save(config: ModelConfig, tokenizer: Tokenizer, weights: Matrices, folder: str | Path) -> None:
    """Write a model to `folder`, whole or not at all.

    Raises ModelFolderError rather than replace a folder that holds other files.
    """
    folder = Path(folder).resolve()
    content = folder.iterdir() if folder.is_dir() else ()
    others = {p.name for p in content if not p.name.startswith(".")} - {WEIGHTS, META}
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
            with (new / name).open("w", encoding="utf-8") as file:
                json.dump(content, file)


def read(folder: str | Path, dtype: str = "float32") -> tuple[ModelConfig, Tokenizer, Matrices]:
    """Return configuration, tokenizer and weights of the model in `folder`; see `engines.load`.

    Weights must be finite in `dtype`. Raises ModelFolderError.
    """
    folder = _of_run(Path(folder))
    if not folder.exists() and _is_there(folder):
        files.backup_of(folder).rename(folder)
    config, tokenizer = _read_meta(folder / META)
    return config, tokenizer, _read_weights(folder / WEIGHTS, config, tokenizer, dtype)


def weights_file(folder: str | Path) -> Path:
    """Return where the weights of the model in `folder`, a model's or a run's, are."""
    return _of_run(Path(folder)) / WEIGHTS


def _of_run(folder: Path) -> Path:
    if not (folder / META).exists() and _is_there(folder / "model"):
        return folder / "model"
    return folder


def _is_there(folder: Path) -> bool:
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
    meta = _read_json(path)
    charset = meta.get("charset")
    if isinstance(charset, list) and all(isinstance(c, str) and len(c) == 1 for c in charset):
        charset = "".join(charset)
    if not isinstance(charset, str):
        raise ModelFolderError(f"{path} has no charset, a string of characters")
    bos = meta.get("bos", len(charset))  # microgpt.py itself writes none: it is the last token
    if type(bos) is not int:
        raise ModelFolderError(f"{path}: bos must be a whole number, not {bos!r}")
    try:
        special_tokens = meta.get("special_tokens", [])
        if not isinstance(special_tokens, list):
            raise ValueError("special_tokens must be an array of names")
        tokenizer = Tokenizer(charset, bos, special_tokens)
        names = field_names(ModelConfig)
        config = ModelConfig(**{name: meta[name] for name in names if name in meta})
    except ValueError as error:
        raise ModelFolderError(f"{path}: {error}") from None
    if meta.get("vocab_size", tokenizer.vocab_size) != tokenizer.vocab_size:
        raise ModelFolderError(
            f"{path}: vocab_size is {meta['vocab_size']}, charset, BOS and special tokens make "
            f"{tokenizer.vocab_size}"
        )
    return config, tokenizer


def _read_weights(path: Path, config: ModelConfig, tokenizer: Tokenizer, dtype: str) -> Matrices:
    content = _read_json(path)
    weights = {}
    for name, shape, _ in parameter_table(config.sizes(tokenizer.vocab_size)):
        if name not in content:
            raise ModelFolderError(f"{path}: {name} is missing")
        try:
            matrix = np.array(content[name])
        except ValueError:
            raise ModelFolderError(f"{path}: {name} is not a matrix of numbers") from None
        if matrix.dtype.kind not in "fi":  # a huge integer is an object
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
