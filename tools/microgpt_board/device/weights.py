"""Move weights between a board and model folders of the computer.

python -m microgpt_board.device.weights pull FOLDER --port PORT      the board's checkpoint as a model folder
python -m microgpt_board.device.weights push FOLDER --port PORT      a model for the board, which makes up names
python -m microgpt_board.device.weights push FOLDER --train          ... and here first trains on
python -m microgpt_board.device.weights reset --port PORT            the board forgets its run and starts afresh

Each interrupts the board, which saves its run first, and starts it again.
"""

import io
import json
import os
import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import microgpt
import numpy as np
from microgpt.board import SIZES, TOKENIZER
from microgpt.engines import build
from microgpt.engines.base import Matrices
from microgpt.tokenizer import Tokenizer
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, CheckpointError
from ugpt.layout import Sizes, parameter_table
from ugpt.tokenizer import BOS

from microgpt_board.device import remote
from microgpt_board.device.remote import Remote
from microgpt_board.errors import ToolError, parser_of, run

LIST = "import os\nprint([name for name in os.listdir() if name.startswith('checkpoint')])"
# The run that the board would begin: a float travels as its bits.
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
class Run:
    """What the board's settings and names make its run."""

    seed: int
    steps: int
    lr: float
    data: int
    data_crc: int


def unpack(data: bytes, name: str) -> tuple[dict[str, float], Matrices]:
    """Return header and weights of a checkpoint; raise CheckpointError if it is not whole."""
    file = io.BytesIO(data)
    header = checkpoint.read_header(file, name)
    table = parameter_table(Sizes(*(header[field] for field in checkpoint.SIZES)))
    return header, {
        matrix: np.frombuffer(
            data, "<f4", rows * columns, checkpoint.HEADER_SIZE + 4 * offset
        ).reshape(rows, columns)
        for matrix, (rows, columns), offset in table
    }


def pack(weights: Matrices, board_run: Run, train: bool, target: Path) -> None:
    """Write a checkpoint with these weights and no moments, at the first step or behind the last.

    The generator's state is the seed itself: the weights have drawn nothing from it.
    """
    seed = board_run.seed or int.from_bytes(os.urandom(4), "little") or 1
    header = {name: getattr(SIZES, name) for name in checkpoint.SIZES}
    header |= {"data": board_run.data, "data_crc": board_run.data_crc}
    header |= {"seed": seed, "steps": board_run.steps, "lr": board_run.lr}
    header |= {"step": 0 if train else board_run.steps, "rng": seed, "pushed": 1}
    names = [name for name, _, _ in parameter_table(SIZES)]
    params = np.concatenate([weights[name].ravel() for name in names]).astype("<f4")
    zeros = np.zeros_like(params)
    checkpoint.write(str(target), header, (params, zeros, zeros))


def for_board(folder: Path) -> Matrices:
    """Return the weights of a model folder, its tokens in the board's order.

    Raises ToolError, naming both shapes, if the board's model is another.
    """
    model = microgpt.load(folder, dtype="float32")
    theirs = _shape(model.config, model.tokenizer)
    ours = _shape(microgpt.ModelConfig(), TOKENIZER)
    if theirs != ours:
        raise ToolError(f"{folder} has another shape than the board's model: {theirs}; it: {ours}")
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

    Raises ToolError if there is none; `folder` then stays as it was.
    """
    there = board.run(LIST)
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in (NEWEST, OLDER):
            if repr(name) not in there:
                continue
            target = Path(scratch) / name
            board.fetch(name, target)
            try:
                header, weights = unpack(target.read_bytes(), name)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            sizes = {
                field: header[field] for field in ("n_embd", "n_head", "n_layer", "block_size")
            }
            config = microgpt.ModelConfig(**sizes)
            build(config, TOKENIZER, weights, "tensor", "float32").save(folder)
            problems.append(
                f"{folder}: step {header['step']} of {header['steps']}, seed {header['seed']}, "
                f"from the board's {name}"
            )
            return "; ".join(problems)
    raise ToolError(
        "; ".join(problems) or "the board has no checkpoint yet: it saves every 30 seconds"
    )


def push(board: Remote, folder: Path, train: bool) -> str:
    """Install the model in `folder` on the board; return a line about it.

    Raises ToolError if it is not for the board; what the board had is then as it was.
    """
    weights = for_board(folder)
    answer = board.run(RUN).strip().splitlines()
    try:
        seed, steps, lr, data, data_crc = json.loads(answer[-1])
    except (IndexError, ValueError):
        raise ToolError("the board gave no settings: is our program there? make deploy") from None
    board_run = Run(seed, steps, struct.unpack("<f", bytes.fromhex(lr))[0], data, data_crc)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / SCRATCH
        pack(weights, board_run, train, source)
        try:
            board.put(source, SCRATCH)
            answer = board.run(INSTALL).strip().splitlines()
            if not answer or "installed" not in answer[-1]:
                reason = answer[-1] if answer else "it said nothing, try again"
                raise ToolError(f"the board did not take it: {reason}")
        except ToolError:
            with suppress(ToolError):  # the first one says more
                board.run(DISCARD)
            raise
    what = f"trains on for {steps} steps" if train else "makes up names"
    lost = answer[-1].endswith(" None")
    return f"{folder} is on the board, which {what}" + (
        "" if lost else f"; its last checkpoint is {OLDER} now"
    )


def main() -> None:
    parser = parser_of("weights", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("pull", "the board's checkpoint as a model folder"),
        ("push", "a model folder as the board's checkpoint"),
        ("reset", "remove the board's checkpoints"),
    ):
        command = commands.add_parser(name, help=text)
        if name != "reset":
            command.add_argument("folder", type=Path, help="model folder")
        if name == "push":
            command.add_argument("--train", action="store_true", help="train on from these weights")
        command.add_argument("--port", help="the board's port, or virtual")
    arguments = parser.parse_args()
    try:
        with remote.connect(arguments.port) as board:
            if arguments.command == "pull":
                print(pull(board, arguments.folder))
            elif arguments.command == "push":
                print(push(board, arguments.folder, arguments.train))
                if arguments.port == remote.VIRTUAL:
                    print("make run RESUME=1 starts it")
            else:
                board.run(RESET)
                print("the board has forgotten its run and starts afresh")
    except microgpt.ModelFolderError as error:
        raise ToolError(str(error)) from None


if __name__ == "__main__":
    run(main)
