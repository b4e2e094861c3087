"""Weights over the serial port: what `microgpt-board pull` and `push` call on the board.

Only the header and the parameters of a checkpoint travel, a third of it: `send` leaves Adam's
moments out, and `Arrival` makes them zeros.
"""

import json
import os
import struct
from binascii import a2b_base64, b2a_base64, crc32

from . import board, checkpoint
from .checkpoint import CHUNK, HEADER_SIZE, SCRATCH, Checkpoints
from .dataset import Dataset, DatasetError
from .layout import Sizes

LINE = 768  # bytes that a line of base64 holds
OWN = 6144  # bytes in memory for this module's sake: a run has them free (on an ESP32 some 7,200)
SETTINGS = "ugpt.json"
NEW_SETTINGS = "ugpt-new.json"  # the one being written; never read


def send(always, sizes=None):
    """Print the newest checkpoint's weights, after what the computer must know of this board.

    What is printed is lines of base64 and, as the last one, their CRC32. The first is `_facts` as
    JSON, the others are the parameters: none of them if the model has not been trained since it
    was pushed, unless `always`. `sizes` are the arguments of `layout.Sizes` for a model to come.
    """
    there = Checkpoints()
    facts = _facts(there)
    file, left = None, 0
    if there.header:
        file = open(board.ROOT + there.found, "rb")  # noqa: SIM115 - closed below
        length = file.seek(0, 2)
        left = (length - HEADER_SIZE - 4) // 12 * 4
        facts["length"] = length
        facts["trained"] = _is_not_zero(file, HEADER_SIZE + left, left)
        file.seek(0)
        facts["header"] = b2a_base64(file.read(HEADER_SIZE)).decode()
        if not always and not facts["trained"]:
            left = 0
    facts["refusal"] = _refusal(Sizes(*sizes), there.header) if sizes else ""
    crc = _print(json.dumps(facts).encode(), 0)
    while left:
        part = file.read(min(LINE, left))
        crc = _print(part, crc)
        left -= len(part)
    if file:
        file.close()
    print("%08x" % crc)


def _print(data, crc):
    line = b2a_base64(data).strip()
    print(line.decode())
    return crc32(line, crc)


def _facts(there):
    """Return {name: value} of this board: settings, documents, room, and which checkpoint is found.

    `error` says why there are no documents. `settings` is the file as base64, `lr` in it as the
    bits that this board makes of it: another reader of decimals could differ in the last one.
    """
    facts = {"settings": None, "lr": None, "error": ""}
    try:
        with open(board.ROOT + SETTINGS, "rb") as file:
            text = file.read()
        facts["settings"] = b2a_base64(text).decode()
        facts["lr"] = b2a_base64(struct.pack("<f", json.loads(text)["lr"])).decode()
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no file, no JSON, no lr
    try:
        dataset = Dataset(board.open_names())
        facts["charset"] = dataset.tokenizer.charset
        facts["data"] = dataset.count
        facts["data_crc"] = dataset.crc
    except OSError:
        facts["error"] = "the board has no names: make flash, make deploy or mip writes them"
    except DatasetError as error:
        facts["error"] = str(error)
    space = os.statvfs(board.ROOT or ".")
    facts["space"] = space[0] * space[3]
    for name in ("found", "damaged", "locked"):
        facts[name] = getattr(there, name)
    return facts


def _is_not_zero(file, offset, length):
    """Return whether any of the `length` bytes from `offset` on is not zero."""
    zeros = bytes(CHUNK)
    file.seek(offset)
    while length:
        part = file.read(min(CHUNK, length))
        if part != zeros[: len(part)]:
            return True
        length -= len(part)
    return False


def _refusal(sizes, header):
    """Return why the board has too little memory to train a model of these sizes; "" if it has.

    It has if the saved run, with the header given, is of the same sizes.
    """
    if header and checkpoint.sizes_of(header) == sizes:
        return ""
    from . import app, memory  # noqa: F401 - app: only what it leaves free is there for a run

    try:
        memory.check(sizes, OWN)
    except memory.TooLarge as error:
        return str(error)
    return ""


class Arrival:
    """A checkpoint that arrives: base64 of its header, then of its parameters, part after part."""

    def __init__(self):
        self._file = open(board.ROOT + SCRATCH, "wb")  # noqa: SIM115 - closed by `install`
        self._crc = 0
        self._length = 0

    def add(self, text):
        """Write the next part."""
        self._write(a2b_base64(text))

    def _write(self, data):
        self._file.write(data)
        self._crc = crc32(data, self._crc)
        self._length += len(data)

    def install(self, crc, settings=None):
        """Make it the newest checkpoint, with moments of zeros; `crc` is that of all parts.

        `settings`, base64 of the whole file, replaces ugpt.json. Prints "installed beside" and the
        checkpoint that there was, None if there was none; or else why nothing has changed.
        """
        if self._crc != crc:
            print("what arrived is damaged: its CRC32 differs")
            return
        zeros = memoryview(bytes(CHUNK))
        left = 2 * (self._length - HEADER_SIZE)
        while left:
            part = zeros[: min(CHUNK, left)]
            self._write(part)
            left -= len(part)
        self._file.write(struct.pack("<I", self._crc))
        self._file.close()
        with open(board.ROOT + SCRATCH, "rb") as file:
            checkpoint.read_header(file, "what was written")
        there = Checkpoints()
        if there.locked:
            print(there.locked)
            return
        if settings:
            with open(board.ROOT + NEW_SETTINGS, "wb") as file:
                file.write(a2b_base64(settings))
        there.install()
        if settings:
            board.rename(board.ROOT + NEW_SETTINGS, board.ROOT + SETTINGS)
        print("installed beside", there.found)
