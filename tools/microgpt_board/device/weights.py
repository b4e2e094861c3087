"""Move weights between a board and model folders of the computer.

Each verb interrupts the board's program, which saves its run first, and restarts it.
"""

import json
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import microgpt
import numpy as np
from microgpt.board import refusals
from microgpt.cli.options import PATH
from microgpt.config import field_names
from microgpt.engines import build
from microgpt.engines.base import Model
from microgpt.errors import ConfigError
from microgpt.model_io import Matrices
from microgpt.system import files
from microgpt.tokenizer import Tokenizer
from ugpt import app, checkpoint
from ugpt.checkpoint import HEADER, MAGIC, MIXED, OLDER, PUSHED, VERSION
from ugpt.layout import NUMBERS, parameter_count, parameter_table
from ugpt.rng import Rng
from ugpt.tokenizer import BOS

from microgpt_board.device import remote, transfer
from microgpt_board.device.ports import VIRTUAL, find_port, prompt_port_option
from microgpt_board.device.remote import Remote
from microgpt_board.device.transfer import BoardState, Saved
from microgpt_board.errors import ToolError

MODELS = Path("models/board")  # the default of pull, and of the copy that push makes
ROOM = 3 * 4096  # bytes of a file system for what is beside a file's own
LISTED = 10  # characters that a message names


@dataclass(frozen=True)
class Unpacked:
    """The model in a checkpoint."""

    config: microgpt.ModelConfig
    weights: Matrices


def unpack(saved: Saved) -> Unpacked:
    """Return the model in a checkpoint; raise ToolError if its header is not that of one."""
    try:
        sizes = checkpoint.sizes_of(saved.header)
        config = microgpt.ModelConfig(
            **{name: getattr(sizes, name) for name in field_names(microgpt.ModelConfig)}
        )
    except (ValueError, ConfigError) as error:
        raise ToolError(f"{saved.name} is damaged: {error}") from None
    count = parameter_count(sizes)
    if (saved.length, len(saved.params)) != (checkpoint.HEADER_SIZE + 12 * count + 4, 4 * count):
        raise ToolError(f"{saved.name} is damaged: its length is not that of its model")
    weights = {
        matrix: np.frombuffer(saved.params, "<f4", rows * columns, 4 * offset).reshape(
            rows, columns
        )
        for matrix, (rows, columns), offset in parameter_table(sizes)
    }
    return Unpacked(config, weights)


def for_board(folder: Path) -> Model:
    """Return the model of a folder; raise ToolError if no board's program can hold it."""
    model = microgpt.load(folder, dtype="float32")
    reasons = refusals(model.config, model.tokenizer)
    if reasons:
        raise ToolError(f"no board can hold {folder}: {', '.join(reasons)}")
    return model


def in_order(model: Model, charset: str, folder: Path) -> bytes:
    """Return the parameters of a model as a board with the characters `charset` has them.

    Its tokens are BOS and the characters, in this order. Raises ToolError, naming some, if the
    model has others.
    """
    tokenizer = model.tokenizer
    ours, theirs = set(tokenizer.charset), set(charset)
    if ours != theirs:
        parts = [
            f"only {who} has {_some(characters)}"
            for who, characters in (("the model", ours - theirs), ("the list", theirs - ours))
            if characters
        ]
        raise ToolError(
            f"{folder} and the board's list of names have different characters: {'; '.join(parts)}"
        )
    order = [tokenizer.bos, *tokenizer.characters(charset)]
    weights = model.weights
    return b"".join(
        weights[name][order if name in ("wte", "lm_head") else slice(None)].astype("<f4").tobytes()
        for name, _, _ in model.table
    )


def _some(characters: Iterable[str]) -> str:
    """Return characters in words, control characters escaped."""
    listed = list(map(repr, sorted(characters)))
    more = len(listed) - LISTED
    return " ".join(listed[:LISTED]) + (f" and {more} more" if more > 0 else "")


def pull(board: Remote, folder: Path | None = None) -> str:
    """Save the board's newest whole checkpoint as a model in a new folder; return a line about it.

    Without `folder` it is MODELS, with a number behind it if that exists. Raises ToolError if there
    is no checkpoint, or none whose characters are known, OSError if `folder` exists.
    """
    state = transfer.ask(board, always=True)
    if not state.saved:
        raise ToolError(
            "; ".join([*state.damaged, *filter(None, [state.locked])])
            or "the board has no checkpoint yet: it saves every 30 seconds"
        )
    return "; ".join([*state.damaged, save(state, state.saved, folder)])


def save(state: BoardState, saved: Saved, folder: Path | None) -> str:
    """Save the model of a checkpoint as `pull` does; return a line about it. Raises OSError."""
    found = unpack(saved)
    header = saved.header
    if state.error:
        raise ToolError(f"the characters of {saved.name} are those of the names: {state.error}")
    tokenizer = Tokenizer(state.charset, BOS)
    documents = (state.data, state.data_crc, tokenizer.vocab_size)
    if documents != (header["data"], header["data_crc"], header["vocab_size"]):
        raise ToolError(
            f"{saved.name} is of another list of names than the board's, and only that list has "
            "its characters: make deploy NAMES= with that one, or make reset-training to do without"
        )
    if folder:
        folder.mkdir(parents=True)
    else:
        folder = files.new_folder(MODELS)
    try:
        build(found.config, tokenizer, found.weights, "tensor", "float32").save(folder)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    return (
        f"{folder}: step {header['step']} of {header['steps']}, seed {header['seed']}, "
        f"from the board's {saved.name}"
    )


def push(board: Remote, folder: Path, train: bool) -> str:
    """Install the model in `folder` on the board; return a line about it.

    What the board has learned is copied to this computer first: a checkpoint that is no longer the
    newest is replaced sooner or later. Raises ToolError if the model does not fit the board, or if
    the copy cannot be made; the board's checkpoints are then unchanged.
    """
    model = for_board(folder)
    state = transfer.ask(board, always=False, sizes=model.sizes)
    for remark in state.damaged:
        click.echo(remark)
    for reason in (state.error, state.locked, state.refusal):
        if reason:
            raise ToolError(f"{folder} cannot be pushed: {reason}")
    params = in_order(model, state.charset, folder)
    needed = checkpoint.HEADER_SIZE + 3 * len(params) + 4 + ROOM
    if needed > state.space:
        raise ToolError(
            f"the board has {state.space:,} bytes free, a checkpoint of {folder} needs {needed:,}"
        )
    if state.saved and state.saved.trained:
        click.echo(f"a copy first: {save(state, state.saved, None)}")
    given = _given(state.settings)
    header, steps = _header(model, state, given, train)
    changed = _contradicting(given, model)
    settings = _rewritten(given, changed) if changed else None
    had_one = transfer.install(board, header, params, settings)
    what = f"trains on for {steps} steps" if train else "generates names"
    return (
        f"{folder} is on the board, which {what}"
        + (f"; its last checkpoint is {OLDER} now" if had_one else "")
        + "".join(f"; {name} in ugpt.json is {json.dumps(changed[name])} now" for name in changed)
    )


def _given(settings: bytes | None) -> dict[str, Any]:
    """Return what a ugpt.json sets; nothing if it is not a JSON object, as on the board."""
    try:
        given = json.loads((settings or b"{}").decode().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _rewritten(given: dict[str, Any], changed: dict[str, Any]) -> bytes:
    """Return a ugpt.json with the changes; raise ToolError if no JSON can have what it has."""
    try:
        return json.dumps({**given, **changed}, allow_nan=False).encode()
    except ValueError:
        raise ToolError(
            f"the board's ugpt.json must have {', '.join(changed)} of the model, and has a number "
            "that is infinite or none: correct it first"
        ) from None


def _contradicting(given: dict[str, Any], model: Model) -> dict[str, Any]:
    """Return the settings that have other sizes than the model, as they must be."""
    sizes = {name: getattr(model.config, name) for name in field_names(microgpt.ModelConfig)}
    return {name: sizes[name] for name in sizes if name in given and given[name] != sizes[name]}


def _header(
    model: Model, state: BoardState, given: dict[str, Any], train: bool
) -> tuple[bytes, int]:
    """Return the header of a checkpoint of `model`, and the steps of its run.

    The run is the one that the board would start; it is at step 0, or after the last step. The
    generator's state is the seed's first: the weights were not drawn from it.
    """
    settings, _ = app.complete(given)
    if state.lr is not None and app.fits("lr", given.get("lr")):
        settings["lr"] = state.lr
    seed, steps = settings["seed"], settings["steps"]
    seed = seed or int.from_bytes(os.urandom(4), "little") or 1
    header = {name: getattr(model.sizes, name) for name in NUMBERS}
    header |= {"data": state.data, "data_crc": state.data_crc}
    header |= {"seed": seed, "steps": steps, "lr": settings["lr"]}
    header |= {"step": 0 if train else steps, "rng": Rng(seed).state}
    header["origin"] = PUSHED | MIXED | checkpoint.switches(model.sizes)
    values = [header[name] for name in checkpoint.FIELDS]
    return struct.pack(HEADER, MAGIC, VERSION, *values), steps


def _new(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Return `folder`; raise ToolError if it exists, before the board is interrupted."""
    if folder and folder.exists():
        raise ToolError(f"{folder} exists already: name another")
    return folder


@click.command("pull")
@click.argument("folder", type=PATH, metavar="[MODEL]", required=False, callback=_new)
@prompt_port_option
def pull_command(folder: Path | None, port: str | None) -> None:
    """Save a board's checkpoint as a new model folder.

    MODEL is models/board, or models/board-2 and so on if that exists. Interrupts the board's
    program, which saves its run first, and restarts it.

    Example: microgpt-board pull models/mine
    """
    with remote.connect(port) as board:
        click.echo(pull(board, folder))


@click.command("push")
@click.argument("folder", type=PATH, metavar="MODEL")
@click.option("--train", is_flag=True, help="Train on from these weights, then generate names.")
@prompt_port_option
def push_command(folder: Path, train: bool, port: str | None) -> None:
    """Install a model folder as a board's checkpoint.

    The board generates names from it. Its last checkpoint is kept as the older one, and what it
    has learned is copied to a new folder, models/board, first.

    Example: microgpt-board push models/board --train
    """
    with remote.connect(port) as board:
        click.echo(push(board, folder, train))
    if find_port(port) == VIRTUAL:
        click.echo("make run RESUME=1 starts it")


@click.command("reset")
@prompt_port_option
def reset_command(port: str | None) -> None:
    """Remove a board's checkpoints: its next run starts at step 0.

    Example: microgpt-board reset --port virtual
    """
    with remote.connect(port) as board:
        board.run(remote.FORGET)
    click.echo("the checkpoints are removed: the next run starts at step 0")
