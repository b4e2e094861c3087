"""A model as a folder: weights.json, matrices as arrays of rows, and meta.json, all the rest."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ugpt.layout import parameter_table

from microgpt.config import ModelConfig, field_names
from microgpt.model import Matrices, Model, build
from microgpt.tokenizer import Tokenizer

WEIGHTS = "weights.json"
META = "meta.json"


class ModelFolderError(ValueError):
    """A folder does not hold a whole model; the message names the file and the matrix."""


def save(model: Model, folder: str | Path) -> None:
    """Write `model` to `folder`, whole or not at all.

    The new folder is written beside the old one and takes its name; a kill between the two
    renames leaves the old one as `folder`.old, which `load` puts back. Raises ModelFolderError
    rather than replace a folder with other files in it.
    """
    folder = Path(folder).resolve()
    content = folder.iterdir() if folder.is_dir() else ()
    others = {p.name for p in content if not p.name.startswith(".")} - {WEIGHTS, META}
    if others or (folder.exists() and not folder.is_dir()):
        raise ModelFolderError(f"{folder} holds other files, so it is not replaced: name another")
    config, tokenizer = model.config, model.tokenizer
    meta = {
        "vocab_size": tokenizer.vocab_size,
        "charset": tokenizer.charset,
        "bos": tokenizer.bos,
        "special_tokens": list(tokenizer.special_tokens),
        **{name: getattr(config, name) for name in field_names(ModelConfig)},
    }
    weights = {name: np.asarray(matrix).tolist() for name, matrix in model.weights.items()}
    new = _beside(folder, ".new")
    old = _beside(folder, ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        for name, content in ((WEIGHTS, weights), (META, meta)):
            with open(new / name, "w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def load(folder: str | Path, engine: str = "tensor", dtype: str = "float32") -> Model:
    """Return the model in `folder`, or in its sub-folder `model` if it is a run's.

    Raises ModelFolderError if a file is missing or broken, or a matrix missing, misshapen or not
    finite.
    """
    folder = Path(folder)
    folder = _of_run(folder)
    if not folder.exists() and _is_there(folder):
        _beside(folder, ".old").rename(folder)
    config, tokenizer = _read_meta(folder / META)
    weights = _read_weights(folder / WEIGHTS, config, tokenizer, dtype)
    return build(config, tokenizer, weights, engine, dtype)


def weights_file(folder: str | Path) -> Path:
    """Return where the weights of the model in `folder`, a model's or a run's, are."""
    return _of_run(Path(folder)) / WEIGHTS


def _of_run(folder: Path) -> Path:
    if not (folder / META).exists() and _is_there(folder / "model"):
        return folder / "model"
    return folder


def _is_there(folder: Path) -> bool:
    return folder.is_dir() or _beside(folder, ".old").is_dir()


def _read_json(path: Path) -> dict[str, Any]:
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
