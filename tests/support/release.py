"""Releases of MicroPython as small as they can be: whole ESP images, by esptool's classes."""

from esptool.bin_image import (
    ELFSection,
    ESP32C3FirmwareImage,
    ESP32C6FirmwareImage,
    ESP32FirmwareImage,
    ESP32S3FirmwareImage,
)
from microgpt.boards import Board
from microgpt_board.image import partitions

IMAGES = {
    "esp32": ESP32FirmwareImage,
    "esp32s3": ESP32S3FirmwareImage,
    "esp32c3": ESP32C3FirmwareImage,
    "esp32c6": ESP32C6FirmwareImage,
}
RAM = 0x3FFC0000
APP_OFFSET = 0x10000


def esp_image(chip: str, data: bytes, flash: int = 4) -> bytes:
    """Return an image for `chip` with one segment of `data`, its checksum and its SHA-256.

    Its header is for so many MB of flash.
    """
    image = IMAGES[chip]()
    image.flash_size_freq = flash.bit_length() - 1 << 4
    image.entrypoint = RAM
    image.segments = [ELFSection(b".data", RAM, data, 0)]
    return image.save(None)


def release(board: Board, version: str = "1.24.0", size: int = 5000, flash: int = 4) -> bytes:
    """Return a release for `board`: bootloader, somebody's table, an app of about `size` bytes."""
    app = f"MicroPython v{version} on 2024-10-25; Generic".encode().ljust(size, b"\x5a")
    start = board.bootloader
    parts = esp_image(board.chip, b"bootloader".ljust(500), flash).ljust(
        partitions.TABLE_OFFSET - start, b"\xff"
    ) + b"\xaa\x50 a table that is not ours".ljust(APP_OFFSET - partitions.TABLE_OFFSET, b"\xff")
    return parts + esp_image(board.chip, app)
