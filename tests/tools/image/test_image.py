"""The image, taken apart again; and what must never become one."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from littlefs import LittleFS
from microgpt.boards import Board
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import board_table, boards, image, manifest, mpy, partitions
from microgpt_board.image.names_bin import Source
from microgpt_board.image.sizes import Settings

from tests.support.commands import microgpt_board
from tests.support.release import esp_image, release

ESP32 = boards.find("ESP32_GENERIC")
S3 = boards.find("ESP32_GENERIC_S3")
C3 = boards.find("ESP32_GENERIC_C3")
C6 = boards.find("ESP32_GENERIC_C6")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the image goes."""
    return tmp_path / "build" / "image.bin"


def build(
    target: Path, names: Path, board: Board, firmware: bytes, settings: Settings | None = None
) -> bytes:
    path = target.parent.parent / "release.bin"
    path.write_bytes(firmware)
    image.write_image(target, board, path, Source(names), settings)
    return target.read_bytes()


@pytest.mark.parametrize("board", [ESP32, S3, C3, C6], ids=lambda board: board.name)
def test_the_image_has_each_part_in_its_place(target: Path, names: Path, board: Board):
    firmware = release(board)
    flash = build(target, names, board, firmware)
    app_offset = 0x10000 - board.bootloader
    bootloader = esp_image(board.chip, b"bootloader".ljust(500))
    parts = {
        board.bootloader: bootloader,
        0x8000: partitions.table(partitions.read()),
        0x10000: firmware[app_offset:],
        0x200000: (target.parent / "names.bin").read_bytes(),
    }
    rest = bytearray(flash[:0x2C0000])
    for offset, part in parts.items():
        found = flash[offset : offset + len(part)]
        assert hashlib.sha256(found).digest() == hashlib.sha256(part).digest(), hex(offset)
        rest[offset : offset + len(part)] = b"\xff" * len(part)
    assert rest == b"\xff" * 0x2C0000  # and nothing else
    assert len(flash) == 0x400000


def files_of(flash: bytes) -> dict[str, bytes]:
    """Return the files in the file system of an image."""
    fs = LittleFS(block_size=4096, block_count=0x140, mount=False)
    fs.context.buffer[:] = flash[0x2C0000:]
    fs.mount()
    return {
        f"{folder}/{name}".lstrip("/"): fs.open(f"{folder}/{name}", "rb").read()
        for folder, _, files in fs.walk("/")
        for name in files
    }


def test_littlefs_reads_the_files_back(target: Path, names: Path):
    found = files_of(build(target, names, ESP32, release(ESP32)))
    files = target.parent / "files"
    assert found == {
        path.relative_to(files).as_posix(): path.read_bytes()
        for path in files.rglob("*")
        if path.is_file()
    }
    assert {"boot.py", "main.py", "ugpt/app.mpy", "ugpt/ops.mpy"} <= found.keys()
    assert not any(name.endswith(".py") for name in found if name.startswith("ugpt/"))


@pytest.mark.parametrize("board", [C3, C6], ids=lambda board: board.name)
def test_a_risc_v_chip_gets_its_own_code_and_no_kernels(target: Path, names: Path, board: Board):
    found = files_of(build(target, names, board, release(board, "1.28.0")))
    ours = {name for name in found if name.startswith("ugpt/")}
    assert "ugpt/ops.mpy" in ours
    assert not any("kernels" in name for name in ours)
    number = mpy.ARCHITECTURES.index("rv32imc")
    # With native code an .mpy has the architecture and the ABI in its third byte.
    assert {name for name in ours if found[name][2]} == {"ugpt/ops.mpy"}
    assert found["ugpt/ops.mpy"][:3] == bytes((ord("M"), 6, number << 2 | mpy.SUB_VERSION))


def test_micropython_mounts_the_file_system(target: Path, names: Path, tmp_path: Path):
    flash = build(target, names, ESP32, release(ESP32))
    (tmp_path / "vfs.bin").write_bytes(flash[0x2C0000:])
    code = """
import os, vfs
class Flash:
    def __init__(self):
        self.file = open("vfs.bin", "r+b")
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, command, value):
        return {4: 320, 5: 4096, 6: 0}.get(command)
vfs.mount(vfs.VfsLfs2(Flash()), "/flash")
with open("/flash/ugpt.json", "w") as file:
    file.write("{}")
print(sorted(os.listdir("/flash")), open("/flash/main.py").read())
"""
    result = subprocess.run(
        [find_micropython(), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    main = (target.parent / "files" / "main.py").read_text()
    assert result.stdout == f"['boot.py', 'main.py', 'ugpt', 'ugpt.json'] {main}\n"


def test_the_same_inputs_give_the_same_bytes(target: Path, names: Path):
    first = build(target, names, ESP32, release(ESP32))
    assert build(target, names, ESP32, release(ESP32)) == first


def test_the_sizes_are_settings_in_the_file_system(target: Path, names: Path):
    settings: Settings = {"n_embd": 12, "n_head": 3, "n_layer": 2, "tie_lm_head": True}
    found = files_of(build(target, names, ESP32, release(ESP32), settings))
    assert json.loads(found["ugpt.json"]) == settings
    found = files_of(build(target, names, ESP32, release(ESP32)))  # and not those of the last time
    assert found["ugpt.json"] == b"{}".ljust(512)


def test_a_page_can_replace_documents_and_settings(target: Path, names: Path, tmp_path: Path):
    first = build(target, names, ESP32, release(ESP32))
    about = json.loads(target.with_name("manifest.json").read_text())
    others = tmp_path / "others.txt"
    others.write_text("Zoë\nAnaïs\n", encoding="utf-8")
    settings: Settings = {"n_embd": 12, "n_head": 3, "n_layer": 2, "tie_lm_head": True}
    second = build(target, others, ESP32, release(ESP32), settings)
    about_second = json.loads(target.with_name("manifest.json").read_text())
    changed = bytearray(first)
    for place in (about["names"], about["settings"]):
        part = slice(place["offset"], place["offset"] + place["size"])
        assert first[part] != second[part]
        changed[part] = second[part]
    assert changed == second  # and nothing else differs, a CRC neither
    assert json.loads(files_of(bytes(changed))["ugpt.json"]) == settings
    assert about["sha256"] == hashlib.sha256(first).hexdigest()
    assert about_second == about | {"sha256": hashlib.sha256(second).hexdigest()}


@pytest.mark.parametrize(
    ("board", "chip"), [(ESP32, "ESP32"), (S3, "ESP32-S3"), (C3, "ESP32-C3"), (C6, "ESP32-C6")]
)
def test_the_manifest(target: Path, names: Path, board: Board, chip: str):
    image_of_board = build(target, names, board, release(board))
    about = json.loads(target.with_name("manifest.json").read_text())
    (one,) = about["builds"]
    assert one == {"chipFamily": chip, "parts": [{"path": "image.bin", "offset": 0}]}
    assert about["board"] == {"name": board.name, "free": 144_000, "piece": 107_784}
    assert about["names"] == {"offset": 0x200000, "size": 0xC0000}
    place = about["settings"]
    assert image_of_board[place["offset"] :][: place["size"]] == b"{}".ljust(512)
    assert about["size"] == len(image_of_board)


def test_settings_that_a_page_could_not_replace_are_refused():
    with pytest.raises(ToolError, match="ugpt.json is not in one piece in the image"):
        manifest.build(ESP32, "image.bin", b"\xff" * 4096, {})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"n_head": 3}, "^n_embd 16 is not divisible by n_head 3$"),
        ({"n_embd": 48}, "^ESP32_GENERIC: 29,664 parameters .* are free; what fits: N_EMBD="),
    ],
)
def test_sizes_that_cannot_be_leave_the_last_image(
    target: Path, names: Path, settings: Settings, complaint: str
):
    target.parent.mkdir()
    target.write_bytes(b"the last good one")
    with pytest.raises(ToolError, match=complaint):
        build(target, names, ESP32, release(ESP32), settings)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == b"the last good one"


def test_the_command_takes_list_sizes_and_psram(
    tmp_path: Path, names: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    board = boards.find("ESP32_GENERIC_S3-SPIRAM_OCT")
    (tmp_path / "release.bin").write_bytes(release(board))
    words = ["--board", board.name, "--firmware", "release.bin", "--names", names]
    sizes = ["--n-embd", 64, "--n-layer", 3, "--block-size", 32, "--no-input-rmsnorm"]
    result = microgpt_board("image", *words, *sizes)
    assert result.returncode == 0, result.stderr
    found = files_of(image.path_of(board).read_bytes())
    assert json.loads(found["ugpt.json"]) == {
        "n_embd": 64,
        "n_layer": 3,
        "block_size": 32,
        "input_rmsnorm": False,
    }
    result = microgpt_board("image", *words, "--n-embd", 128, "--n-layer", 3, "--psram", 2)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {board.name}: 595,200 parameters ")
    assert len(result.stderr.splitlines()) == 1


def changed(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes((data[offset] ^ 1,)) + data[offset + 1 :]


GOOD = release(ESP32)
APP = 0x10000 - 0x1000


@pytest.mark.parametrize(
    ("firmware", "complaint"),
    [
        (release(ESP32, "1.22.2"), "MicroPython 1.22, too old: it must be 1.23 or later"),
        (release(ESP32, size=0x1F0000), "its place at 0x10000 2,031,616"),
        *((release(board), "no whole app|another chip") for board in (S3, C3, C6)),
        (esp_image("esp32s3", b"bootloader"), "the bootloader in .* is for another chip"),
        (GOOD[:APP] + esp_image("esp32s3", b"x"), "the app in .* is for another chip"),
        (GOOD[:APP] + esp_image("esp32", b"another program"), "is not MicroPython"),
        (GOOD[:-4000], "has no whole app at 0xf000"),
        (GOOD[:APP], "has no whole app at 0xf000"),
        (b"", "has no whole bootloader at 0x0"),
        (b"no image at all" * 100, "has no whole bootloader at 0x0"),
        (GOOD[APP:], "no whole app"),
        (changed(GOOD, APP + 100), "the app in .* is damaged \\(checksum differs\\)"),
        (changed(GOOD, 100), "the bootloader in .* is damaged \\(checksum differs\\)"),
        (changed(GOOD, len(GOOD) - 1), "the app in .* is damaged \\(SHA-256 differs\\)"),
        (changed(GOOD, APP + 4), "the app in .* is damaged \\(SHA-256 differs\\)"),
    ],
)
def test_what_must_not_be_flashed_is_refused(tmp_path: Path, firmware: bytes, complaint: str):
    path = tmp_path / "release.bin"
    path.write_bytes(firmware)
    with pytest.raises(ToolError, match=complaint):
        image.build_image(ESP32, path, b"names", tmp_path / "no files")


@pytest.mark.parametrize("board", [C3, C6], ids=lambda board: board.name)
def test_a_risc_v_chip_needs_the_first_release_that_loads_its_machine_code(
    tmp_path: Path, board: Board
):
    path = tmp_path / "release.bin"
    path.write_bytes(release(board, "1.23.0"))
    with pytest.raises(ToolError, match=r"MicroPython 1\.23, too old: it must be 1\.24 or later"):
        image.check_firmware(path, board, 0x10000)
    path.write_bytes(release(board, "1.24.0"))
    image.check_firmware(path, board, 0x10000)


@pytest.mark.parametrize("board", [ESP32, S3], ids=lambda board: board.name)
def test_a_bootloader_for_more_flash_is_remarked_on(target: Path, names: Path, board: Board):
    path = target.parent.parent / "release.bin"
    for megabytes in (2, 4, 8):
        path.write_bytes(release(board, flash=megabytes))
        said = image.write_image(target, board, path, Source(names))
        assert ("\nits bootloader is for 8 MB of flash: a board with" in said) == (megabytes > 4)


@pytest.mark.parametrize("board", [S3, C3, C6], ids=lambda board: board.name)
@pytest.mark.parametrize("other", [ESP32, S3, C3, C6], ids=lambda board: board.name)
def test_the_release_of_another_chip_is_refused(tmp_path: Path, board: Board, other: Board):
    path = tmp_path / "release.bin"
    path.write_bytes(release(other))
    if board == other:
        image.check_firmware(path, board, 0x10000)
        return
    with pytest.raises(ToolError, match=f"for another chip than {board.name}|no whole bootloader"):
        image.check_firmware(path, board, 0x10000)


def test_a_model_whose_checkpoints_have_no_room_is_remarked_on(target: Path, names: Path):
    board = boards.find("ESP32_GENERIC-SPIRAM")
    path = target.parent.parent / "release.bin"
    path.write_bytes(release(board))
    for width, too_large in ((48, False), (52, True)):
        said = image.write_image(target, board, path, Source(names), {"n_embd": width})
        assert ("left for checkpoints, which take 1," in said) == too_large
    free = int(re.search(r"([\d,]+) bytes are left", said)[1].replace(",", "")) // 4096
    used = 320 - free
    assert 0 <= board_table.PROGRAM_BLOCKS - used < 5  # what `make boards` counts on
    assert "NAMES=" not in said  # the list has a partition


def test_a_refused_firmware_leaves_the_last_image(target: Path, names: Path):
    target.parent.mkdir()
    target.write_bytes(b"the last good one")
    with pytest.raises(ToolError, match="no whole bootloader"):
        build(target, names, ESP32, b"")
    assert target.read_bytes() == b"the last good one"


def test_too_many_names_are_refused(target: Path, tmp_path: Path):
    names = tmp_path / "many.txt"
    names.write_text("emma\n" * (0xC0000 // 16))
    with pytest.raises(ToolError, match="list of names has 786,480 bytes, its place .* 786,432"):
        build(target, names, ESP32, release(ESP32))
    assert not target.exists()


def test_a_file_system_that_does_not_fit_is_refused(tmp_path: Path):
    (tmp_path / "large").write_bytes(b"x" * 50_000)
    with pytest.raises(ToolError, match="does not fit into the 40,960 bytes of vfs"):
        image.file_system(tmp_path, 40_960)


def test_an_unknown_board():
    with pytest.raises(ToolError, match="no board is called ESP8266: .* ESP32_GENERIC, "):
        boards.find("ESP8266")
