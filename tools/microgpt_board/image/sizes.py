"""The size of the model: options of the verbs, settings in ugpt.json, room for its checkpoints."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from microgpt.cli.options import MODEL_HELP, Command
from ugpt import app, checkpoint
from ugpt.dataset import Dataset
from ugpt.layout import Sizes, parameter_count

from microgpt_board.errors import ToolError
from microgpt_board.image.names_bin import InMemory, Source

SETTINGS = "ugpt.json"
# Bytes of ugpt.json, padded with spaces. LittleFS keeps a file of up to 128 bytes, its cache, with
# others in a block with a CRC; a larger one has a block of its own, in which the page that flashes
# boards can replace it.
SETTINGS_SIZE = 512
Settings = dict[str, int | bool]
POINTERS = 8  # bytes of a block of LittleFS, at most, over a whole file
CHECKPOINTS = 3  # while one is written: it, the newest, and the one before
NAMES = tuple(name for name in app.SIZES if name != "block_size")


def _option(name: str) -> Callable[[Command], Command]:
    """Return the option of a setting; its value is None if it is not given."""
    default, lowest, highest = app.SETTINGS[name]
    word = name.replace("_", "-")
    if isinstance(default, bool):
        shown = f"{'' if default else 'no-'}{word}"
        text = f"{MODEL_HELP[name]} [default: {shown}]"
        return click.option(f"--{word}/--no-{word}", default=None, help=text)
    text = f"{MODEL_HELP[name]} [default: {default}]"
    return click.option(f"--{word}", type=click.IntRange(int(lowest), int(highest)), help=text)


def sizes_options(command: Command) -> Command:
    """Add the model's sizes as options; those that are given arrive as one argument, `sizes`.

    The block size is not among them: it is one of the list of documents, `names_options`.
    """

    @wraps(command)
    def with_sizes(*words: object, **values: Any) -> object:
        given = {name: values.pop(name) for name in NAMES}
        sizes = {name: value for name, value in given.items() if value is not None}
        return command(*words, sizes=sizes, **values)

    result: Command = with_sizes
    for name in reversed(NAMES):
        result = _option(name)(result)
    return result


def settings_for(sizes: Settings, names: Source) -> Settings:
    """Return the settings that ugpt.json needs for these options: what was given, in order."""
    given = sizes | ({} if names.block_size is None else {"block_size": names.block_size})
    return {name: given[name] for name in app.SETTINGS if name in given}


def sizes_of(
    settings: Mapping[str, object], names: bytes, saved: dict[str, float] | None = None
) -> Sizes:
    """Return the sizes of the board's model with these settings and this names.bin.

    What `settings` lack is that of the run whose checkpoint has the header `saved`, else the
    default, as on the board. Raises ToolError if no model can have them.
    """
    complete, _ = app.complete(settings, saved)
    try:
        sizes: Sizes = app.sizes_of(complete, Dataset(InMemory("names.bin", names)))
    except app.SettingsError as error:
        raise ToolError(str(error)) from None
    return sizes


def settings_file(settings: Mapping[str, object]) -> bytes:
    """Return ugpt.json with these settings: SETTINGS_SIZE bytes, or more if they take more."""
    return json.dumps(settings).encode().ljust(SETTINGS_SIZE)


def write_settings(settings: Mapping[str, object], folder: Path) -> None:
    """Write the settings as ugpt.json into the folder of a board's files."""
    (folder / SETTINGS).write_bytes(settings_file(settings))


def file_blocks(size: int, block: int) -> int:
    """Return the blocks that a file of `size` bytes takes; LittleFS keeps pointers in them."""
    return -(-size // (block - POINTERS))


def checkpoint_blocks(model: Sizes, block: int) -> int:
    """Return the blocks of `block` bytes that the checkpoints of a model take at most."""
    size = checkpoint.HEADER_SIZE + 12 * parameter_count(model) + 4
    return CHECKPOINTS * file_blocks(size, block)


def too_few_for_checkpoints(
    model: Sizes, blocks: int, block: int, list_is_file: bool
) -> str | None:
    """Return that so many free blocks are too few for a model's checkpoints; None if they are not.

    `list_is_file`: the list of names is in the same file system.
    """
    needed = checkpoint_blocks(model, block)
    if blocks >= needed:
        return None
    list_too = "a shorter list (NAMES=) or " if list_is_file else ""
    return (
        f"{blocks * block:,} bytes are left for checkpoints, which take {needed * block:,}: the "
        f"board will train, and cannot save all of its run; {list_too}a smaller model leaves room"
    )
