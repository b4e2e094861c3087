"""Move weights between a board and model folders of the computer.

Each verb interrupts the board's program, which saves its run first, and restarts it.
"""

import io
import json
import os
import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import microgpt
import numpy as np
from microgpt.board import SIZES, TOKENIZER
from microgpt.cli.options import PATH
from microgpt.engines import build
from microgpt.errors import ConfigError
from microgpt.model_io import Matrices
from microgpt.system import files
from microgpt.tokenizer import Tokenizer
from ugpt import checkpoint
from ugpt.checkpoint import MIXED, NEWEST, OLDER, PUSHED, SCRATCH, CheckpointError
from ugpt.layout import Sizes, parameter_count, parameter_table
from ugpt.rng import Rng
from ugpt.tokenizer import BOS

from microgpt_board.device import remote
from microgpt_board.device.ports import VIRTUAL, find_port, prompt_port_option
from microgpt_board.device.remote import Remote
from microgpt_board.errors import ToolError

MODELS = Path("models/board")  # the default of pull, and of the copy that push makes
LIST = "import os\nprint([name for name in os.listdir() if name.startswith('checkpoint')])"
# The run that the board would start; a float is sent as its bits.
RUN = """
import json, struct
from binascii import hexlify
from ugpt import app
from ugpt.dataset import open_dataset
settings, _ = app.read_settings(app.SETTINGS_FILE)
data = open_dataset()
lr = hexlify(struct.pack("<f", settings["lr"])).decode()
print(json.dumps([settings["seed"], settings["steps"], lr, data.count, data.crc]))
"""
INSTALL = f"""
from ugpt import checkpoint
with open("{SCRATCH}", "rb") as file:
    checkpoint.read_header(file, "what arrived")
there = checkpoint.Checkpoints()
if not there.locked:
    there.install()
print(there.locked or "installed beside " + str(there.found))
"""
DISCARD = f"from ugpt import checkpoint\ncheckpoint.remove(names=('{SCRATCH}',))"
RESET = "import ugpt\nugpt.reset()"


@dataclass(frozen=True)
class NextRun:
    """The run that a board would start with its settings and its list of names."""

    seed: int
    steps: int
    lr: float
    data: int
    data_crc: int


@dataclass(frozen=True)
class Unpacked:
    """The contents of a checkpoint: its file, the step, settings, sizes and weights.

    `trained`: the board has made a step, so the weights are not just those that were pushed.
    """

    name: str
    step: int
    steps: int
    seed: int
    config: microgpt.ModelConfig
    weights: Matrices
    trained: bool


def unpack(data: bytes, name: str) -> Unpacked:
    """Return what is in a checkpoint; raise CheckpointError if it is not whole."""
    header = checkpoint.read_header(io.BytesIO(data), name)
    sizes = {field: header[field] for field in checkpoint.SIZES}
    config = _config(sizes, len(data), name)
    weights = {
        matrix: np.frombuffer(
            data, "<f4", rows * columns, checkpoint.HEADER_SIZE + 4 * offset
        ).reshape(rows, columns)
        for matrix, (rows, columns), offset in parameter_table(Sizes(**sizes))
    }
    count = parameter_count(Sizes(**sizes))
    moments = np.frombuffer(data, "<f4", count, checkpoint.HEADER_SIZE + 4 * count)
    return Unpacked(
        name, header["step"], header["steps"], header["seed"], config, weights, moments.any() != 0
    )


def _config(sizes: dict[str, int], length: int, name: str) -> microgpt.ModelConfig:
    """Return the sizes in a header; raise CheckpointError if `length` bytes cannot have them."""
    if max(sizes.values()) > length:  # before anything is counted: it could take hours
        raise CheckpointError(f"{name} is damaged: its sizes are too large")
    if sizes["vocab_size"] != SIZES.vocab_size:
        raise CheckpointError(f"{name} has {sizes['vocab_size']} tokens, not {SIZES.vocab_size}")
    try:
        config = microgpt.ModelConfig(
            sizes["n_embd"], sizes["n_head"], sizes["n_layer"], sizes["block_size"]
        )
    except ConfigError as error:
        raise CheckpointError(f"{name} is damaged: {error}") from None
    if length != checkpoint.HEADER_SIZE + 12 * parameter_count(Sizes(**sizes)) + 4:
        raise CheckpointError(f"{name} is damaged: its length is not that of its model")
    return config


def pack(weights: Matrices, next_run: NextRun, train: bool, target: Path) -> None:
    """Write a checkpoint with these weights and zero moments, at step 0 or after the last step.

    The generator's state is the seed's first: these weights were not drawn from it.
    """
    seed = next_run.seed or int.from_bytes(os.urandom(4), "little") or 1
    header = {name: getattr(SIZES, name) for name in checkpoint.SIZES}
    header |= {"data": next_run.data, "data_crc": next_run.data_crc}
    header |= {"seed": seed, "steps": next_run.steps, "lr": next_run.lr}
    header |= {
        "step": 0 if train else next_run.steps,
        "rng": Rng(seed).state,
        "origin": PUSHED | MIXED,
    }
    names = [name for name, _, _ in parameter_table(SIZES)]
    params = np.concatenate([weights[name].ravel() for name in names]).astype("<f4")
    zeros = np.zeros_like(params)
    checkpoint.write(str(target), header, (params, zeros, zeros))


def for_board(folder: Path) -> Matrices:
    """Return the weights of a model folder, its tokens in the board's order.

    Raises ToolError, naming both shapes, if the board's model has another shape.
    """
    model = microgpt.load(folder, dtype="float32")
    theirs = _shape(model.config, model.tokenizer)
    ours = _shape(microgpt.ModelConfig(), TOKENIZER)
    if theirs != ours:
        raise ToolError(f"{folder} has another shape than the board's model: {theirs}, not {ours}")
    weights = dict(model.weights)
    if model.tokenizer.bos != BOS:  # microgpt.py's own: the last token, here the first
        for name in ("wte", "lm_head"):
            weights[name] = np.roll(weights[name], 1, axis=0)
    return weights


def _shape(config: microgpt.ModelConfig, tokenizer: Tokenizer) -> str:
    characters = "a..z" if tokenizer.charset == TOKENIZER.charset else repr(tokenizer.charset)
    special = "".join(f" {token}" for token in tokenizer.special_tokens)
    return (
        f"{tokenizer.vocab_size} tokens ({characters}{special}), n_embd {config.n_embd}, "
        f"n_head {config.n_head}, n_layer {config.n_layer}, block_size {config.block_size}"
        + (", tied lm_head" if config.tie_lm_head else "")
        + ("" if config.input_rmsnorm else ", no input_rmsnorm")
    )


def pull(board: Remote, folder: Path | None = None) -> str:
    """Save the board's newest whole checkpoint as a model in a new folder; return a line about it.

    Without `folder` it is MODELS, with a number behind it if that exists. Raises ToolError if there
    is no checkpoint, OSError if `folder` exists.
    """
    found, remarks = newest(board)
    if not found:
        raise ToolError(
            "; ".join(remarks) or "the board has no checkpoint yet: it saves every 30 seconds"
        )
    return "; ".join([*remarks, save(found, folder)])


def newest(board: Remote) -> tuple[Unpacked | None, list[str]]:
    """Return the board's newest whole checkpoint, None if there is none; and why others are not."""
    there = board.run(LIST)
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in (NEWEST, OLDER):
            if repr(name) not in there:
                continue
            target = Path(scratch) / name
            board.fetch(name, target)
            try:
                return unpack(target.read_bytes(), name), remarks
            except CheckpointError as error:
                remarks.append(str(error))
    return None, remarks


def save(found: Unpacked, folder: Path | None) -> str:
    """Save the model of a checkpoint as `pull` does; return a line about it. Raises OSError."""
    if folder:
        folder.mkdir(parents=True)
    else:
        folder = files.new_folder(MODELS)
    try:
        build(found.config, TOKENIZER, found.weights, "tensor", "float32").save(folder)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    return (
        f"{folder}: step {found.step} of {found.steps}, seed {found.seed}, "
        f"from the board's {found.name}"
    )


def push(board: Remote, folder: Path, train: bool) -> str:
    """Install the model in `folder` on the board; return a line about it.

    What the board has learned is copied to this computer first: a checkpoint that is no longer the
    newest is replaced sooner or later. Raises ToolError if the model does not fit the board, or if
    the copy cannot be made; the board's checkpoints are then unchanged.
    """
    weights = for_board(folder)
    answer = board.run(RUN).strip().splitlines()
    try:
        seed, steps, lr, data, data_crc = json.loads(answer[-1])
        (lr,) = struct.unpack("<f", bytes.fromhex(lr))
        next_run = NextRun(int(seed), int(steps), lr, int(data), int(data_crc))
    except (IndexError, ValueError, TypeError, OverflowError, RecursionError, struct.error):
        raise ToolError("the board gave no settings: put the program on it, make deploy") from None
    found, remarks = newest(board)
    for remark in remarks:
        click.echo(remark)
    if found and found.trained:
        click.echo(f"a copy first: {save(found, None)}")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / SCRATCH
        pack(weights, next_run, train, source)
        try:
            board.put(source, SCRATCH)
            answer = board.run(INSTALL).strip().splitlines()
            if not answer or "installed" not in answer[-1]:
                reason = answer[-1] if answer else "no reason was given, try again"
                raise ToolError(f"the board refused the model: {reason}")
        except ToolError:
            with suppress(ToolError):  # the first error is the one to report
                board.run(DISCARD)
            raise
    what = f"trains on for {steps} steps" if train else "generates names"
    had_none = answer[-1].endswith(" None")
    return f"{folder} is on the board, which {what}" + (
        "" if had_none else f"; its last checkpoint is {OLDER} now"
    )


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
        board.run(RESET)
    click.echo("the checkpoints are removed: the next run starts at step 0")
