"""The WebAssembly binary format, as far as kernels need it that work in the memory of another."""

from binascii import crc32
from collections.abc import Iterator

from microgpt_board.errors import ToolError

MAGIC = b"\0asm\1\0\0\0"  # with the format's version, 1
CUSTOM, IMPORT, START, DATA = 0, 2, 8, 11  # kinds of sections
MEMORY = 2  # a kind of import
SECTION = "ugpt"


def sealed(data: bytes, note: str) -> bytes:
    """Return a module with one more custom section, which ends the file: SECTION.

    In it are `note` (the compiler) and the CRC32 of all bytes of the file before it, which
    `ugpt.backend` checks. Browsers skip custom sections.
    """
    content = _uint(len(SECTION)) + SECTION.encode() + note.encode()
    data += bytes((CUSTOM,)) + _uint(len(content) + 4) + content
    return data + crc32(data).to_bytes(4, "little")


def check(data: bytes, source: str) -> None:
    """Raise ToolError unless a module imports its memory, and nothing else, and puts nothing there.

    The memory is that of MicroPython: data at a fixed address would overwrite what it has there, as
    would variables that a function clears at the start.
    """
    imports: list[str] = []
    for kind, content in sections(data):
        if kind == IMPORT:
            imports = list(_imports(content))
        if kind in (START, DATA):
            raise ToolError(f"{source} needs data in memory: a kernel stands alone")
    if imports != ["memory"]:
        needed = " and ".join(name for name in imports if name != "memory") or "no memory"
        raise ToolError(f"{source} needs {needed}: a kernel stands alone")


def sections(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of each section; raise ToolError for what is no module."""
    if not data.startswith(MAGIC):
        raise ToolError("the linker's result is not a WebAssembly module")
    at = len(MAGIC)
    while at < len(data):
        size, start = _read_uint(data, at + 1)
        yield data[at], data[start : start + size]
        at = start + size


def _imports(content: bytes) -> Iterator[str]:
    """Yield the names of the imports in a section, up to the first that is not the memory."""
    count, at = _read_uint(content, 0)
    for _ in range(count):
        for _ in ("module", "name"):
            size, at = _read_uint(content, at)
            name, at = content[at : at + size].decode(), at + size
        yield name
        if content[at] != MEMORY:
            return
        limits, at = content[at + 1], at + 2
        for _ in range(1 + (limits & 1)):  # the lowest size and, if there is one, the highest
            _, at = _read_uint(content, at)


def _uint(value: int) -> bytes:
    """Encode a variable-length unsigned integer: 7 bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes(encoded) + bytes((value,))


def _read_uint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer encoded from `at` on, and where the next byte is."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1
