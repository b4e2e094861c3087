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
from microgpt.model_io import Matrices
from microgpt.tokenizer import Tokenizer
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, CheckpointError
from ugpt.layout import Sizes, parameter_table
from ugpt.tokenizer import BOS

from microgpt_board.device import remote
from microgpt_board.device.ports import VIRTUAL, find_port, prompt_port_option
from microgpt_board.device.remote import Remote
from microgpt_board.errors import ToolError

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
    """The contents of a checkpoint: step, settings, and the sizes and weights of its model."""

    step: int
    steps: int
    seed: int
    config: microgpt.ModelConfig
    weights: Matrices


def unpack(data: bytes, name: str) -> Unpacked:
    """Return what is in a checkpoint; raise CheckpointError if it is not whole."""
    header = checkpoint.read_header(io.BytesIO(data), name)
    sizes = {field: header[field] for field in checkpoint.SIZES}
    weights = {
        matrix: np.frombuffer(
            data, "<f4", rows * columns, checkpoint.HEADER_SIZE + 4 * offset
        ).reshape(rows, columns)
        for matrix, (rows, columns), offset in parameter_table(Sizes(**sizes))
    }
    del sizes["vocab_size"]
    config = microgpt.ModelConfig(**sizes)
    return Unpacked(header["step"], header["steps"], header["seed"], config, weights)


def pack(weights: Matrices, next_run: NextRun, train: bool, target: Path) -> None:
    """Write a checkpoint with these weights and zero moments, at step 0 or after the last step.

    The generator's state is the seed itself: these weights were not drawn from it.
    """
    seed = next_run.seed or int.from_bytes(os.urandom(4), "little") or 1
    header = {name: getattr(SIZES, name) for name in checkpoint.SIZES}
    header |= {"data": next_run.data, "data_crc": next_run.data_crc}
    header |= {"seed": seed, "steps": next_run.steps, "lr": next_run.lr}
    header |= {"step": 0 if train else next_run.steps, "rng": seed, "pushed": 1}
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


def pull(board: Remote, folder: Path) -> str:
    """Make `folder` the model of the board's newest whole checkpoint; return a line about it.

    Raises ToolError if there is none; `folder` is then unchanged.
    """
    there = board.run(LIST)
    remarks = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in (NEWEST, OLDER):
            if repr(name) not in there:
                continue
            target = Path(scratch) / name
            board.fetch(name, target)
            try:
                found = unpack(target.read_bytes(), name)
            except CheckpointError as error:
                remarks.append(str(error))
                continue
            build(found.config, TOKENIZER, found.weights, "tensor", "float32").save(folder)
            remarks.append(
                f"{folder}: step {found.step} of {found.steps}, seed {found.seed}, "
                f"from the board's {name}"
            )
            return "; ".join(remarks)
    raise ToolError(
        "; ".join(remarks) or "the board has no checkpoint yet: it saves every 30 seconds"
    )


def push(board: Remote, folder: Path, train: bool) -> str:
    """Install the model in `folder` on the board; return a line about it.

    Raises ToolError if it does not fit the board; the board's checkpoints are then unchanged.
    """
    weights = for_board(folder)
    answer = board.run(RUN).strip().splitlines()
    try:
        seed, steps, lr, data, data_crc = json.loads(answer[-1])
    except (IndexError, ValueError):
        raise ToolError("the board gave no settings: put the program on it, make deploy") from None
    next_run = NextRun(seed, steps, struct.unpack("<f", bytes.fromhex(lr))[0], data, data_crc)
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


@click.command("pull")
@click.argument("folder", type=PATH)
@prompt_port_option
def pull_command(folder: Path, port: str | None) -> None:
    """Save a board's checkpoint as a model folder.

    Interrupts the board's program, which saves its run first, and restarts it.

    Example: microgpt-board pull models/board
    """
    with remote.connect(port) as board:
        click.echo(pull(board, folder))


@click.command("push")
@click.argument("folder", type=PATH)
@click.option("--train", is_flag=True, help="Train on from these weights, then generate names.")
@prompt_port_option
def push_command(folder: Path, train: bool, port: str | None) -> None:
    """Install a model folder as a board's checkpoint.

    The board generates names from it. Its last checkpoint is kept as the older one.

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
