"""What meta.json says: the configuration and the tokenizer of a model, as a JSON object.

The same object is in the metadata of a safetensors file.
"""

import json
import os
from typing import BinaryIO, NamedTuple

from microgpt.config import ModelConfig, field_names, from_json
from microgpt.errors import UserError
from microgpt.model_io.matrices import ModelFolderError
from microgpt.system.terminal import printable
from microgpt.tokenizer import Tokenizer

LARGEST = 2_000_000  # bytes; with every character of Unicode 16 in the charset it is smaller

JsonObject = dict[str, object]


class Meta(NamedTuple):
    """What a model is, besides its weights."""

    config: ModelConfig
    tokenizer: Tokenizer

    def as_json(self) -> JsonObject:
        """Return the object that meta.json holds; `parse` takes it."""
        tokenizer = self.tokenizer
        return {
            "vocab_size": tokenizer.vocab_size,
            "charset": tokenizer.charset,
            "bos": tokenizer.bos,
            "special_tokens": list(tokenizer.special_tokens),
            **{name: getattr(self.config, name) for name in field_names(ModelConfig)},
        }


def read(file: BinaryIO, where: str) -> Meta:
    """Return what a meta.json says; raise ModelFolderError, which names it as `where`."""
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST:
        raise ModelFolderError(f"{where} has {size:,} bytes, more than {LARGEST:,}: it is no meta")
    return parse(json_object(file, where), where)


def json_object(file: BinaryIO, where: str) -> JsonObject:
    """Return the JSON object in a file; raise ModelFolderError."""
    try:
        content = file.read()
    except OSError as error:
        raise ModelFolderError(f"cannot read {where}: {error.strerror}") from None
    return json_object_of(content, where)


def json_object_of(content: str | bytes, where: str) -> JsonObject:
    """Return the JSON object in a text, or in bytes, which may begin with a byte order mark."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelFolderError(f"{where} is not a JSON object")
    return found


def parse(meta: JsonObject, where: str) -> Meta:
    """Return what such an object says; raise ModelFolderError."""
    try:
        return _parse(meta, where)
    except RecursionError:  # a message would show a value
        raise ModelFolderError(f"{where} has too many arrays in one another") from None


def _parse(meta: JsonObject, where: str) -> Meta:
    charset = meta.get("charset")
    if isinstance(charset, list) and all(isinstance(c, str) and len(c) == 1 for c in charset):
        charset = "".join(charset)
    if not isinstance(charset, str):
        raise ModelFolderError(f"{where} has no charset, a string of characters")
    bos = meta.get("bos", len(charset))  # without it: microgpt.py's own, where BOS is last
    if type(bos) is not int:
        raise ModelFolderError(f"{where}: bos must be a whole number, not {bos!r}")
    special_tokens = meta.get("special_tokens", [])
    if not isinstance(special_tokens, list):
        raise ModelFolderError(f"{where}: special_tokens must be an array of names")
    sizes = {name: meta[name] for name in field_names(ModelConfig) if name in meta}
    try:
        tokenizer = Tokenizer(charset, bos, special_tokens)
        config = from_json(ModelConfig, sizes)
    except UserError as error:
        raise ModelFolderError(f"{where}: {printable(str(error))}") from None
    if meta.get("vocab_size", tokenizer.vocab_size) != tokenizer.vocab_size:
        raise ModelFolderError(
            f"{where}: vocab_size is {meta['vocab_size']!r}, charset, BOS and special tokens make "
            f"{tokenizer.vocab_size}"
        )
    return Meta(config, tokenizer)
