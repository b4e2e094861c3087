"""Read and write safetensors files: a model as one file, and the checkpoint of a run.

A file has a tensor for each matrix, by its name in `ugpt.layout`. Its metadata has one member,
METADATA: what meta.json says, as JSON. (With more members, their order in a file would be random.)
A checkpoint is such a file with Adam's moments as tensors `m.NAME` and `v.NAME`, and with the
member CHECKPOINT in that JSON. In older checkpoints, of version 0.1.0 for example, the weights are
`weight.NAME`, and `_of_before` makes their JSON one of now.
"""

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialized
from ugpt.layout import parameter_table

from microgpt import memory
from microgpt.model_io.matrices import Matrices, ModelFolderError, check_finite, check_shape
from microgpt.model_io.meta import LARGEST, JsonObject, Meta, json_object_of, parse
from microgpt.system import files
from microgpt.system.terminal import printable

METADATA = "microgpt"
CHECKPOINT = "checkpoint"
MOMENTS = ("m.", "v.")
BEFORE = "weight."  # before the names of weights, in checkpoints of before
LARGEST_HEADER = 1 << 24  # bytes, enough for 9,000 layers with moments; the format's is 100 MB
KINDS = {"F32": "float32", "F64": "float64"}  # names in the format and in NumPy


class MovedError(Exception):
    """A file was replaced while it was opened: open it again."""


def content(
    meta: Meta,
    weights: Matrices,
    moments: tuple[Matrices, Matrices] | None = None,
    checkpoint: JsonObject | None = None,
) -> bytes:
    """Return the bytes of a file; `moments` and `checkpoint` are those of a run, both or none."""
    about = meta.as_json()
    parts = [("", weights)]
    if moments is not None:
        about[CHECKPOINT] = checkpoint
        parts += zip(MOMENTS, moments, strict=True)
    # The bytes are written as they are; in engine native a matrix can have gaps.
    tensors = {
        f"{prefix}{name}": np.ascontiguousarray(matrix)
        for prefix, matrices in parts
        for name, matrix in matrices.items()
    }
    return serialized(tensors, {METADATA: json.dumps(about)})


def open_file(path: Path) -> "TensorFile":
    """Return the file at `path`; raise ModelFolderError, OSError."""
    while True:
        with suppress(MovedError), files.open_regular(path) as file:
            return TensorFile(file)


class TensorFile:
    """A safetensors file that is open; `meta` and `checkpoint` are None if it has none.

    No tensor is in memory before it is asked for. The library checks the header: that offsets and
    shapes fit each other, and the whole file.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Open what `file` is, under its name; `file` must stay open meanwhile.

        Raises ModelFolderError, MovedError.
        """
        self.where = str(file.name)
        size = int.from_bytes(file.read(8), "little")
        there = os.fstat(file.fileno()).st_size - 8
        if there >= size > LARGEST_HEADER:
            raise self._error(f"its header has {size:,} bytes, more than {LARGEST_HEADER:,}")
        self._file = self._opened(file)
        self._names = set(self._file.keys())
        self._is_of_before = False
        self.meta: Meta | None = None
        self.checkpoint: JsonObject | None = None
        text = (self._file.metadata() or {}).get(METADATA)
        if text is not None:
            self._read_metadata(text)

    def _opened(self, file: BinaryIO) -> Any:
        """Return the library's reader of the file, which knows it by its name only."""
        opened = reason = None
        try:
            opened = safe_open(self.where, "np")
        except (SafetensorError, OSError) as error:
            reason = printable(str(error)).removeprefix("Error while deserializing header: ")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(self.where)):
                if opened is None:
                    raise self._error(f"it is not a whole safetensors file: {reason}")
                return opened
        raise MovedError

    def _error(self, reason: str) -> ModelFolderError:
        return ModelFolderError(f"{self.where}: {reason}")

    def _read_metadata(self, text: str) -> None:
        where = f"{self.where}, metadata"
        if len(text) > LARGEST:
            raise self._error(f"its metadata has {len(text):,} characters, more than {LARGEST:,}")
        about = json_object_of(text, where)
        if "tokenizer" in about:
            about, self._is_of_before = _of_before(about), True
        self.meta = parse(about, where)
        checkpoint = about.get(CHECKPOINT)
        if checkpoint is not None and not isinstance(checkpoint, dict):
            raise self._error("its metadata is not a checkpoint's")
        self.checkpoint = checkpoint

    def weights(self, meta: Meta, dtype: str) -> Matrices:
        """Return the matrices of the model that `meta` describes, of type float32 or float64.

        They are finite in `dtype`, and not of it. Raises ModelFolderError, also for a tensor that
        no such model has, and before they take memory.
        """
        weights = self._part(meta, self._prefixes[0], KINDS)
        for name, matrix in weights.items():
            check_finite(self.where, name, matrix, dtype)
        return weights

    def state(self, meta: Meta, kind: str) -> tuple[Matrices, Matrices, Matrices]:
        """Return the weights and Adam's moments, m and v, all of type `kind`, as they are.

        Raises ModelFolderError as `weights` does.
        """
        kinds = [name for name, dtype in KINDS.items() if dtype == kind]
        weights, m, v = (self._part(meta, prefix, kinds) for prefix in self._prefixes)
        return weights, m, v

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """What is before the names of the weights and, in a checkpoint, of the moments."""
        if self.checkpoint is None:
            return ("",)
        return (BEFORE if self._is_of_before else "", *MOMENTS)

    def _part(self, meta: Meta, prefix: str, kinds: Collection[str]) -> Matrices:
        """Return the matrices of a model whose names in the file begin with `prefix`."""
        if meta.config.n_layer > len(self._names):  # so that the table is not far too long
            raise self._error(f"it has fewer tensors than its {meta.config.n_layer:,} layers")
        table = parameter_table(meta.config.sizes(meta.tokenizer.vocab_size))
        expected = {f"{before}{name}" for name, _, _ in table for before in self._prefixes}
        if missing := expected - self._names:
            raise self._error(f"{min(missing)} is missing")
        if unknown := self._names - expected:
            raise self._error(f"{printable(min(unknown))} is not a matrix of this model")
        taken = 0
        for name, shape, _ in table:
            tensor = self._file.get_slice(f"{prefix}{name}")
            kind = tensor.get_dtype()
            if kind not in kinds:
                hint = "" if kind in KINDS else ": convert it to F32"
                raise self._error(f"{prefix}{name} is {kind}, not {' or '.join(kinds)}{hint}")
            check_shape(self.where, f"{prefix}{name}", tuple(tensor.get_shape()), shape)
            taken += shape[0] * shape[1] * np.dtype(KINDS[kind]).itemsize
        count = sum(rows * columns for _, (rows, columns), _ in table)
        if reason := memory.refusal(count, taken, "to load"):
            raise self._error(reason)
        return {name: self._file.get_tensor(f"{prefix}{name}") for name, _, _ in table}


def _of_before(about: JsonObject) -> JsonObject:
    """Return the metadata of a checkpoint as it is now, from that of an older one.

    It had `model` and `tokenizer` in place of what meta.json says, and the rest beside them.
    """
    about = dict(about)
    model, tokenizer = about.pop("model", None), about.pop("tokenizer")
    known: JsonObject = dict(model) if isinstance(model, dict) else {}
    with suppress(TypeError, ValueError):
        known["charset"], known["bos"], known["special_tokens"] = cast("list[object]", tokenizer)
    return {**known, CHECKPOINT: about}
