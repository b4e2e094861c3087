"""A stand-in for the loader in an ESP32's ROM, for the real esptool to write to.

The protocol: https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/serial-protocol.html
It takes esptool's stub too, and from then on answers as the stub does. With the two lines that
reset a board, DTR and RTS, it enters download mode or starts the program, as a board does.
"""

import hashlib
import struct
import threading
import zlib

from esptool.targets import CHIP_DEFS

from tests.support.serial_board import SerialEnd

FLASH_SIZE = 0x400000
FLASH_ID = 0x164020  # its third byte: 2**0x16 bytes
ESP32, ESP32_S2 = 0x00F01D83, 0x000007C6  # what each has at CHIP_MAGIC
CHIP_MAGIC = 0x40001000
ROM_BAUD = 115200
CRYSTAL_HZ = 40_000_000

FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
SYNC, WRITE_REG, READ_REG = 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0F
DEFL_BEGIN, DEFL_DATA, DEFL_END = 0x10, 0x11, 0x12
SPI_FLASH_MD5, SECURITY_INFO = 0x13, 0x14
ERASE_FLASH = 0xD0
DOWNLOAD = b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0))\r\nwaiting for download\r\n"
QUIET = (FLASH_END, MEM_BEGIN, MEM_DATA, SPI_SET_PARAMS, SPI_ATTACH, DEFL_END, WRITE_REG)

END, ESCAPE = b"\xc0", b"\xdb"


class RomLoader:
    """An ESP32 in download mode behind a pseudo-terminal; `flash` is what was written to it.

    `fails_above`: a baud rate over which data does not arrive. `awake`: False is a board that is
    not in download mode. `chip`: which one it is, as esptool names it; `magic` is what an ESP32
    has, or the older chip that is to be taken for one. `flash_id`: how large its flash is.
    `silent_after`: a number of packets with data after which it says nothing. `worn`: a byte of
    its flash does not keep what is written.
    """

    def __init__(
        self,
        fails_above: int | None = None,
        awake: bool = True,
        magic: int = ESP32,
        flash_id: int = FLASH_ID,
        silent_after: int | None = None,
        worn: bool = False,
        chip: str = "esp32",
    ) -> None:
        self._chip = CHIP_DEFS[chip]
        self.flash = bytearray(FLASH_SIZE)  # zeros: what is not written differs from an image
        self.fails_above = fails_above
        self.awake = awake
        self.magic = magic
        self.flash_id = flash_id
        self.silent_after = silent_after
        self.worn = worn
        self.erased = 0  # how often all of it was
        self.starts = 0  # of the program
        self.running = False
        self._lines = {"dataTerminalReady": False, "requestToSend": False}
        self.bauds: list[int] = []  # that data came in with
        self._end = SerialEnd()
        self.port = self._end.port
        self._reset()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _reset(self) -> None:
        self.has_stub = False
        self._baud = ROM_BAUD
        self._offset = 0
        self._inflate = None

    def _work(self) -> None:
        rest = b""
        while data := self._end.read():
            *frames, rest = (rest + data).split(END)
            for frame in frames:
                if frame and self.awake and not self.running:
                    frame = frame.replace(ESCAPE + b"\xdc", END).replace(ESCAPE + b"\xdd", ESCAPE)
                    self._command(frame)

    def signals(self, lines: dict[str, bool]) -> None:
        """Take DTR and RTS: RTS holds the chip in reset, DTR is BOOT when it leaves that."""
        held = self._lines["requestToSend"]
        self._lines |= lines
        if not held or self._lines["requestToSend"]:
            return
        self._reset()
        self.running = not self._lines["dataTerminalReady"]
        self.starts += self.running
        if not self.running:
            self._end.write(DOWNLOAD)

    def say(self, data: bytes) -> None:
        """Send what the program that runs on it prints."""
        self._end.write(data)

    def _send(self, packet: bytes) -> None:
        packet = packet.replace(ESCAPE, ESCAPE + b"\xdd").replace(END, ESCAPE + b"\xdc")
        self._end.write(END + packet + END)

    def _answer(self, command: int, value: int = 0, data: bytes = b"", error: int = 0) -> None:
        status = bytes((bool(error), error)) + (b"" if self.has_stub else b"\0\0")
        data += status
        self._send(struct.pack("<BBHI", 1, command, len(data), value) + data)

    def _command(self, frame: bytes) -> None:
        command = frame[1]
        body = frame[8:]
        words = struct.unpack_from(f"<{len(body) // 4}I", body)
        if command == SYNC:
            self._reset()  # esptool would have reset the chip by the lines that this port lacks
            for _ in range(8):
                self._answer(SYNC, value=0x20120707)
        elif command == READ_REG:
            self._answer(READ_REG, value=self._register(words[0]))
        elif command == MEM_END:
            self._answer(MEM_END)
            self.has_stub = True
            self._send(b"OHAI")
        elif command == CHANGE_BAUDRATE:
            self._answer(command)
            self._baud = words[0]
        elif command in (FLASH_BEGIN, DEFL_BEGIN):
            self._offset = words[3]
            self._inflate = zlib.decompressobj() if command == DEFL_BEGIN else None
            self._answer(command)
        elif command in (FLASH_DATA, DEFL_DATA):
            self._data(command, body[16 : 16 + words[0]])
        elif command == SPI_FLASH_MD5:
            digest = hashlib.md5(self.flash[words[0] : words[0] + words[1]])
            data = digest.digest() if self.has_stub else digest.hexdigest().encode()
            self._answer(command, data=data)
        elif command == SECURITY_INFO and not self._chip.USES_MAGIC_VALUE:
            self._answer(command, data=bytes(12) + struct.pack("<II", self._chip.IMAGE_CHIP_ID, 0))
        elif command == ERASE_FLASH:
            self.flash[:] = b"\xff" * len(self.flash)
            self.erased += 1
            self._answer(command)
        elif command in QUIET:
            self._answer(command)
        else:
            self._answer(command, error=5)  # not known to this chip

    def _register(self, address: int) -> int:
        chip = self._chip
        return {
            CHIP_MAGIC: self.magic,
            chip.SPI_REG_BASE: 0,  # the command is done
            chip.SPI_REG_BASE + chip.SPI_W0_OFFS: self.flash_id,
            chip.UART_CLKDIV_REG: CRYSTAL_HZ // ROM_BAUD,
        }.get(address, 0)

    def _data(self, command: int, data: bytes) -> None:
        self.bauds.append(self._baud)
        if self.silent_after is not None and len(self.bauds) > self.silent_after:
            return
        if self.fails_above and self._baud > self.fails_above:
            self._answer(command, error=7)  # checksum error
            return
        if self._inflate:
            data = self._inflate.decompress(data)
        self.flash[self._offset : self._offset + len(data)] = data
        self._offset += len(data)
        if self.worn:
            self.flash[0] = 0
        self._answer(command)

    def close(self) -> None:
        """Unplug it."""
        self._end.unplug()
        self._thread.join()
        self._end.close()
