"""The .mpy format (MicroPython's py/persistentcode.c), as far as machine code needs it."""

from binascii import crc32

VERSION = 6
SUB_VERSION = 3  # of the native ABI: MicroPython 1.23 and later
# The native architectures by their number in sys.implementation._mpy >> 10.
ARCHITECTURES = (
    None, "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip

SMALL_INT_BITS = 31  # those of a 32-bit machine, which a 64-bit one accepts
BYTECODE, VIPER = 0, 2  # kinds of code
HAS_CHILDREN = 4
# Opcodes of the module's own bytecode, which only names its functions.
MAKE_FUNCTION, STORE_NAME, LOAD_CONST_NONE, RETURN_VALUE = 0x32, 0x16, 0x51, 0x63


def module(source: str, architecture: str, functions: dict[str, bytes], note: str) -> bytes:
    """Return an .mpy that defines `functions`, machine code in the viper calling convention.

    `note` (the compiler) and the CRC32 of all bytes before it follow the module; MicroPython does
    not read them. `ugpt.backend` does, because MicroPython itself would run a damaged file.
    """
    feature = ARCHITECTURES.index(architecture) << 2 | SUB_VERSION
    data = bytearray((ord("M"), VERSION, feature, SMALL_INT_BITS))
    data += _uint(1 + len(functions)) + _uint(0)  # strings, constants
    for text in (source, *functions):
        data += _uint(len(text) << 1) + text.encode() + b"\0"

    # The prelude: 2 words of state and no more; 1 byte of information, string 0 as a name.
    code = bytearray((1 << 3, 1 << 1, 0))
    for i in range(len(functions)):
        code += bytes((MAKE_FUNCTION, *_uint(i), STORE_NAME, *_uint(1 + i)))
    code += bytes((LOAD_CONST_NONE, RETURN_VALUE))
    data += _uint(len(code) << 3 | HAS_CHILDREN | BYTECODE) + code

    data += _uint(len(functions))
    for machine_code in functions.values():
        data += _uint(len(machine_code) << 3 | VIPER) + machine_code + _uint(0)  # no flags

    data += note.encode()
    return bytes(data + crc32(data).to_bytes(4, "little"))


def _uint(value: int) -> bytes:
    """Encode a variable-length unsigned integer: 7 bits a byte, the highest first."""
    encoded = bytearray((value & 0x7F,))
    while value := value >> 7:
        encoded.insert(0, 0x80 | value & 0x7F)
    return bytes(encoded)
