"""What travels between a board and this computer: the weights of a checkpoint, without moments.

`ugpt.transfer` is the other end.
"""

import json
import struct
from base64 import b64decode, b64encode
from binascii import crc32
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ugpt.checkpoint import FIELDS, HEADER, SCRATCH
from ugpt.layout import SIZES, Sizes
from ugpt.transfer import NEW_SETTINGS

from microgpt_board.device.remote import Remote
from microgpt_board.errors import ToolError

PART = 1536  # bytes that a script holds: the board compiles each in its memory
SEND = "from ugpt import transfer\ntransfer.send({always}, {sizes})"
RECEIVE = "from ugpt.transfer import Arrival\narrival = Arrival()"
DISCARD = f"from ugpt import checkpoint\ncheckpoint.remove(names=('{SCRATCH}', '{NEW_SETTINGS}'))"


@dataclass(frozen=True)
class Saved:
    """The newest whole checkpoint of a board: its file, and its parameters as float32.

    `trained`: the board has made a step, so the weights are not just those that were pushed.
    `length` is that of the file. `params` is empty if they were not asked for.
    """

    name: str
    header: dict[str, Any]
    length: int
    trained: bool
    params: bytes


@dataclass(frozen=True)
class BoardState:
    """What a board has: settings, documents and the newest checkpoint.

    `settings`: the bytes of ugpt.json, None without one; `lr`: in them, as the board reads it.
    `error`: why there are no documents; `charset`, `data` and `data_crc` are theirs.
    `space`: the bytes free in its file system. `locked`: why its checkpoint is not to be replaced.
    `damaged`: messages about checkpoints that are not whole. `refusal`: why it has too little
    memory for the model that it was asked about.
    """

    settings: bytes | None
    lr: float | None
    error: str
    charset: str
    data: int
    data_crc: int
    space: int
    locked: str
    damaged: list[str]
    refusal: str
    saved: Saved | None


def ask(board: Remote, always: bool, sizes: Sizes | None = None) -> BoardState:
    """Return what a board has, and the weights of its newest checkpoint.

    Without `always`, only if they were trained. `sizes` are those of a model that is to come.
    Raises ToolError if the board's program does not answer as this one expects.
    """
    wanted = None
    if sizes:
        wanted = tuple(getattr(sizes, name) for name in SIZES)
    try:
        answer = board.run(SEND.format(always=always, sizes=wanted))
    except ToolError as error:
        if "ImportError" in str(error) or "AttributeError" in str(error):
            raise ToolError(
                "the board has no program of this version: make deploy puts it there"
            ) from None
        raise
    try:
        *lines, crc = answer.split()
        if crc32("".join(lines).encode()) != int(crc, 16):
            raise ValueError
        return _parse(json.loads(b64decode(lines[0])), b"".join(map(b64decode, lines[1:])))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, struct.error):
        raise ToolError("what the board sent has not arrived whole: try again") from None


def _parse(facts: dict[str, Any], params: bytes) -> BoardState:
    saved = None
    if facts.get("header"):
        _, _, *values = struct.unpack(HEADER, b64decode(facts["header"]))
        header = dict(zip(FIELDS, values, strict=True))
        saved = Saved(facts["found"], header, facts["length"], facts["trained"], params)
    lr = facts["lr"] and struct.unpack("<f", b64decode(facts["lr"]))[0]
    return BoardState(
        settings=None if facts["settings"] is None else b64decode(facts["settings"]),
        lr=lr,
        error=facts["error"],
        charset=facts.get("charset", ""),
        data=facts.get("data", 0),
        data_crc=facts.get("data_crc", 0),
        space=facts["space"],
        locked=facts["locked"],
        damaged=facts["damaged"],
        refusal=facts["refusal"],
        saved=saved,
    )


def install(board: Remote, header: bytes, params: bytes, settings: bytes | None) -> bool:
    """Make these weights a board's newest checkpoint, `settings` its ugpt.json if there are any.

    Returns whether there was a checkpoint before. Raises ToolError if it did not work; the board
    is then unchanged.
    """
    try:
        answer = board.run_all(list(_scripts(header + params, settings))).strip().splitlines()
        if not answer or not answer[-1].startswith("installed beside "):
            reason = answer[-1] if answer else "no reason was given, try again"
            raise ToolError(f"the board refused the model: {reason}")
    except ToolError:
        with suppress(ToolError):  # the first error is the one to report
            board.run(DISCARD)
        raise
    return not answer[-1].endswith(" None")


def _scripts(data: bytes, settings: bytes | None) -> Iterator[str]:
    yield RECEIVE
    for start in range(0, len(data), PART):
        yield f"arrival.add('{b64encode(data[start : start + PART]).decode()}')"
    new = None if settings is None else b64encode(settings).decode()
    yield f"arrival.install({crc32(data)}, {new!r})"
