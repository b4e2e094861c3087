"""What is on a board that runs MicroPython: its files, its memory, and the room in its flash."""

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ugpt import checkpoint
from ugpt.board import NAMES, PARTITION
from ugpt.checkpoint import NEWEST, OLDER
from ugpt.dataset import HEADER_SIZE

from microgpt_board import resources
from microgpt_board.device.remote import RESET_IT
from microgpt_board.errors import ToolError
from microgpt_board.image.compile import PROGRAMS
from microgpt_board.image.sizes import POINTERS, SETTINGS, Settings, file_blocks

LONGEST = 2048  # bytes of a program that is ours, in any version
COPY = "lib/"  # mip puts the program there; the one beside main.py is the one that runs

# Runs on the board: reports its files, its memory, and the names where ugpt.board finds them.
# A file's name is relative to the current folder, which is "/", or "/flash" as on an STM32.
INSPECT = f"""
import gc, hashlib, json, os, sys
from binascii import hexlify
gc.collect()
found = {{"files": {{}}, "sizes": {{}}, "programs": {{}}, "names": None}}
found["mpy"] = getattr(sys.implementation, "_mpy", 0)
found["machine"] = getattr(sys.implementation, "_machine", "")
found["heap"] = gc.mem_free() + gc.mem_alloc()
found["wide"] = sys.maxsize > 0x7FFFFFFF
def read(name, size):
    with open(name, "rb") as file:
        return hexlify(file.read(size)).decode()
def look(name, hashed=True):
    try:
        with open(name, "rb") as file:
            found["sizes"][name] = file.seek(0, 2)
            file.seek(0)
            digest = hashlib.sha256()
            while hashed:
                data = file.read(1024)
                if not data:
                    found["files"][name] = hexlify(digest.digest()).decode()
                    break
                digest.update(data)
    except OSError:
        pass
def look_all(folder, hashed):
    for name in os.listdir(folder):
        look(folder + "/" + name, hashed)
for name in {(*PROGRAMS, NAMES, SETTINGS)}:
    look(name)
for name in {PROGRAMS}:
    if found["sizes"].get(name, {LONGEST} + 1) <= {LONGEST}:
        found["programs"][name] = read(name, -1)
if "{SETTINGS}" in found["files"]:
    found["settings"] = read("{SETTINGS}", -1)
for name in ("{OLDER}", "{NEWEST}"):
    try:
        found["saved"] = read(name, {checkpoint.HEADER_SIZE})
        look(name, False)
    except OSError:
        pass
try:
    look_all("ugpt", True)
except OSError:
    found["new"] = True
try:
    look_all("{COPY}ugpt", False)
    look("{COPY}{NAMES}", False)
    look("{COPY}main.py", False)
except OSError:
    pass
try:
    import esp32
    regions = esp32.idf_heap_info(esp32.HEAP_DATA)
    found["pieces"] = sorted([region[2] for region in regions], reverse=True)
    for part in esp32.Partition.find(esp32.Partition.TYPE_DATA, label="{PARTITION}"):
        header = bytearray({HEADER_SIZE})
        part.readblocks(0, header, 0)
        found["names"] = hexlify(header).decode()
except ImportError:
    pass
try:
    import flashbdev
    found["flashbdev"] = True
except ImportError:
    pass
space = os.statvfs(os.getcwd())
found["block"] = space[0]
found["space"] = space[0] * space[3]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Found:
    """What is on the board: SHA-256 and bytes of each file, the header of its names partition.

    `machine` is what it says it runs on. `heap` are the bytes of its heap, and `pieces` those by
    which it can grow, the largest first; `wide`: its objects are those of 64 bits. The file system
    has `space` bytes free, in blocks of `block`. `settings` is the board's ugpt.json, `saved` the
    header of its newest checkpoint, `programs` what is in its boot.py and main.py where that is
    short; all bytes are in hex. `flashbdev`: it has this module, as an ESP32 does, which our
    boot.py needs.
    """

    mpy: int
    machine: str
    heap: int
    files: dict[str, str]
    space: int
    names: str | None
    block: int = 4096
    sizes: dict[str, int] = field(default_factory=dict)
    pieces: list[int] = field(default_factory=list)
    wide: bool = False
    settings: str | None = None
    saved: str | None = None
    programs: dict[str, str] = field(default_factory=dict)
    flashbdev: bool = False
    new: bool = False  # there is no folder ugpt

    def blocks(self, size: int) -> int:
        """Return the blocks that a file of `size` bytes takes."""
        return file_blocks(size, self.block)

    def bytes_in(self, blocks: int) -> int:
        """Return the bytes of a file that takes so many blocks."""
        return blocks * (self.block - POINTERS)

    def blocks_of(self, name: str) -> int:
        """Return the blocks that the board's file `name` takes, 0 if it is not there."""
        return self.blocks(self.sizes.get(name, 0))

    def without(self, names: Sequence[str]) -> "Found":
        """Return the same board with these files under names that nothing else has."""
        files = {name: digest for name, digest in self.files.items() if name not in names}
        sizes = {name: size for name, size in self.sizes.items() if name not in names}
        return replace(self, files=files, sizes=sizes)


def inspect(text: str) -> Found:
    """Return what INSPECT printed; raise ToolError if it printed no list, or there are no files."""
    for line in text.splitlines():
        if line.startswith("{"):
            with suppress(ValueError, TypeError, RecursionError):
                found = Found(**json.loads(line))
                break
    else:
        raise ToolError(f"the board gave no list of its files: {RESET_IT} and try again")
    if not found.block:
        raise ToolError("the board has no file system: MicroPython on it has mounted none")
    return found


def not_ours(found: Found) -> list[str]:
    """Return which of the board's boot.py and main.py are no version of ours."""
    return [
        name
        for name in PROGRAMS
        if name in found.files
        and _code(bytes.fromhex(found.programs.get(name, "")))
        != _code(resources.firmware(name).read_bytes())
    ]


def _code(program: bytes) -> list[str]:
    """Return the lines of a program without comments; no string in one of ours has a #."""
    lines = program.decode("utf-8", "replace").splitlines()
    code = (line.partition("#")[0].rstrip() for line in lines)
    # 0.1.0 had the larger number.
    return [line.replace("readsize=1024", "readsize=256") for line in code if line]


def merged(found: Found, given: Settings) -> Settings:
    """Return the board's settings with those that are given put into them.

    Raises ToolError if something is given and the board's ugpt.json is not a JSON object.
    """
    text = bytes.fromhex(found.settings) if found.settings else b"{}"
    try:
        settings = json.loads(text.decode("utf-8-sig"))
        json.dumps(settings, allow_nan=False)  # no JSON has these, and no board would read them
    except (ValueError, RecursionError):
        settings = None
    if isinstance(settings, dict):
        return settings | given
    if given:
        raise ToolError(f"the board's {SETTINGS} is not a JSON object: correct or remove it first")
    return {}


def saved_run(found: Found) -> dict[str, float] | None:
    """Return the header of the board's newest checkpoint; None if no run can have it."""
    try:
        magic, version, *values = struct.unpack(checkpoint.HEADER, bytes.fromhex(found.saved or ""))
        header = dict(zip(checkpoint.FIELDS, values, strict=True))
        checkpoint.sizes_of(header)
    except (struct.error, ValueError):  # it is cut short or damaged
        return None
    return header if (magic, version) == (checkpoint.MAGIC, checkpoint.VERSION) else None
