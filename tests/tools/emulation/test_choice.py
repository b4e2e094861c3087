"""Which kernels the firmware takes on which machine, and why, on the virtual board."""

import shutil
import subprocess
import sys
from binascii import crc32
from pathlib import Path

import pytest
from microgpt.data import NAMES
from microgpt_board.device import log
from microgpt_board.emulation.micropython import build_virtual, find_micropython, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy, names_bin, native
from microgpt_board.image.names_bin import Source

from tests.support.kernels import make_portable, native_kernels

KERNELS = "kernels_x64.mpy"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("built")
    build_virtual(folder, names_bin.read(Source(NAMES)))
    native_kernels(folder)
    return folder


@pytest.fixture
def flash(built: Path, tmp_path: Path) -> Path:
    """The flash of a virtual board, to be damaged."""
    shutil.copytree(built, tmp_path / "flash")
    return tmp_path / "flash"


def compilers() -> list[tuple[str, ...]]:
    """Return the commands of this computer's own compilers."""
    found = [c for c in native.TARGETS["x64"].compilers if shutil.which(c[0])]
    return found or pytest.skip(f"no {native.TARGETS['x64'].needed()} here")


def in_micropython(flash: Path, code: str) -> str:
    """Return what a program writes that can import what is in `flash`."""
    command = [find_micropython(), "-X", "heapsize=1M", "-c", code]
    result = subprocess.run(command, cwd=flash, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def choice(flash: Path, before: str = "") -> str:
    """Return the kernels and the reason, chosen after `before`."""
    code = f"from ugpt import backend, board\n{before}\n"
    return in_micropython(
        flash, code + "kernels, reason = backend.choose()\nprint(kernels.NAME, reason)"
    )


def with_crc(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def test_native_kernels_where_they_are_there(flash: Path) -> None:
    assert choice(flash) == "native self-check-passed"


def test_portable_without_them(flash: Path) -> None:
    (flash / "ugpt" / KERNELS).unlink()
    assert choice(flash) == "portable no-kernels_x64.mpy"


def test_portable_kernels_for_another_architecture(flash: Path) -> None:
    (flash / "ugpt" / KERNELS).write_bytes(native.prebuilt("xtensawin").read_bytes())
    assert choice(flash) == "portable other-architecture"


def test_portable_kernels_with_another_micropython(flash: Path) -> None:
    path = flash / "ugpt" / KERNELS
    whole = bytearray(path.read_bytes()[:-4])
    for index, value in ((1, 5), (2, whole[2] ^ 1)):
        data = bytearray(whole)
        data[index] = value
        path.write_bytes(with_crc(data))
        assert choice(flash) == "portable other-version-of-micropython"


def test_portable_kernels_if_the_file_is_damaged(flash: Path) -> None:
    path = flash / "ugpt" / KERNELS
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes((whole[middle] ^ 1,)) + whole[middle + 1 :]
    for data in (b"", whole[:3], whole[:8], whole[:middle], whole[:-1], whole + b"\0", flipped):
        path.write_bytes(data)
        assert choice(flash) == "portable damaged-kernels_x64.mpy"


def test_portable_kernels_if_loading_fails(flash: Path) -> None:
    only_one = mpy.module("test", "x64", {"linear": b"\xc3"}, "")
    (flash / "ugpt" / KERNELS).write_bytes(only_one)
    assert choice(flash) == "portable cannot-be-loaded"


@pytest.mark.parametrize("kernel", ["linear_backward_w", "relu", "softmax", "adam"])
def test_portable_kernels_if_one_kernel_is_wrong(flash: Path, kernel: str) -> None:
    functions = native.compile_functions("x64", compilers()[0])
    functions[kernel] = b"\xb8\x01\0\0\0\xc3"  # return 0
    (flash / "ugpt" / KERNELS).write_bytes(mpy.module("test", "x64", functions, ""))
    assert choice(flash) == "portable self-check-failed"


NO_FPU = "no-floating-point-unit"
NO_KERNELS = "no-kernels-for-this-architecture"


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (None, NO_KERNELS),
        ("x86", NO_KERNELS),
        ("armv6", NO_FPU),
        ("armv6m", NO_FPU),
        ("armv7m", NO_FPU),
        ("armv7em", NO_FPU),
        ("armv7emsp", "no-kernels_armv7emsp.mpy"),
        ("armv7emdp", "no-kernels_armv7emsp.mpy"),
        ("xtensa", NO_FPU),
        ("xtensawin", "no-kernels_xtensawin.mpy"),
        ("rv32imc", NO_FPU),
        ("rv64imc", NO_KERNELS),
    ],
)
def test_each_architecture_looks_for_its_own_kernels(
    flash: Path, architecture: str | None, reason: str
) -> None:
    number = mpy.ARCHITECTURES.index(architecture)
    assert choice(flash, f"board.ARCHITECTURE = {number}") == f"portable {reason}"


@pytest.mark.parametrize("architecture", ["armv7emsp", "armv7emdp"])
def test_kernels_for_single_precision_are_loaded_with_double_precision_too(
    flash: Path, architecture: str
) -> None:
    """As far as MicroPython's own check, which refuses them on this computer."""
    path = native.prebuilt("armv7emsp")
    shutil.copy(path, flash / "ugpt")
    number = mpy.ARCHITECTURES.index(architecture)
    assert choice(flash, f"board.ARCHITECTURE = {number}") == "portable cannot-be-loaded"


@pytest.mark.parametrize(
    ("machine", "architecture", "reason"),
    [
        ("Generic ESP32 module with ESP32", "xtensawin", "no-kernels_xtensawin.mpy"),
        ("Generic ESP32S3 module with ESP32S3", "xtensawin", "no-kernels_xtensawin.mpy"),
        ("Generic ESP32S2 module with ESP32S2", "xtensawin", NO_FPU),
        ("LOLIN_S2_MINI with ESP32-S2FN4R2", "xtensawin", NO_FPU),
        ("Generic ESP32C3 module with ESP32C3", "rv32imc", NO_FPU),
        ("Generic ESP32P4 module with ESP32P4", "rv32imc", NO_KERNELS),
    ],
)
def test_an_esp32s_name_says_whether_it_has_an_fpu(
    flash: Path, machine: str, architecture: str, reason: str
) -> None:
    number = mpy.ARCHITECTURES.index(architecture)
    before = f"board.NAME, board.MACHINE, board.ARCHITECTURE = 'esp32', {machine!r}, {number}"
    assert choice(flash, before) == f"portable {reason}"


def test_portable_kernels_if_an_address_is_no_small_int(flash: Path) -> None:
    before = "from ugpt import native; native.REACH = 0xFFFF"
    assert choice(flash, before) == "portable heap-out-of-reach"


# The model's buffers in a second piece of the heap, which begins above the kernels' reach.
OUT_OF_REACH = """
from ugpt import native
from uctypes import addressof
native.addressof = lambda part: addressof(part) | (1 << 62 if len(part) == {} else 0)
"""


@pytest.mark.parametrize("length", [768, 256])  # of arrays that the self-check has not
def test_portable_kernels_if_the_models_buffers_are_out_of_reach(flash: Path, length: int) -> None:
    before = OUT_OF_REACH.format(length)
    assert choice(flash, before) == "native self-check-passed"
    code = """
import ugpt
ugpt.train(steps=3)
ugpt.train(seed=43, steps=3)
print(ugpt.generate(n=2, temperature=0))
"""
    lines = in_micropython(flash, before + code).splitlines()
    starts = [event for line in lines if isinstance(event := log.parse(line), log.Start)]
    assert [(start.kernels, start.reason) for start in starts] == [
        ("portable", "heap-out-of-reach")
    ] * 2
    for path in flash.glob("checkpoint*"):
        path.unlink()
    make_portable(flash)
    expected = in_micropython(flash, code)
    assert lines[-1] == expected.splitlines()[-1]


def test_a_generator_needs_no_buffer_that_may_be_out_of_reach(flash: Path) -> None:
    later = OUT_OF_REACH.format(27)  # the probabilities of the tokens
    code = f"import ugpt\nugpt.train(steps=3)\n{later}\nprint(ugpt.generate(n=2))"
    lines = in_micropython(flash, code).splitlines()
    assert " kernels:native " in lines[0]
    assert lines[-1].startswith("['")


def test_the_self_test_takes_portable_kernels_if_the_buffers_are_out_of_reach(flash: Path) -> None:
    before = OUT_OF_REACH.format(768)
    for first in ("", "ugpt.train(steps=1)\n"):
        code = f"import ugpt\n{first}assert ugpt.selftest() == 0"
        lines = in_micropython(flash, before + code)
        assert "portable kernels (heap-out-of-reach)" in lines


def test_flags_above_the_number_of_the_architecture_are_ignored() -> None:
    code = (
        "import sys; sys.implementation._mpy = 6 | 3 << 8 | 7 << 10 | 5 << 14\n"
        "from ugpt import board; print(board.kernels_file(board.ARCHITECTURE))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "kernels_armv7emsp.mpy\n", result.stderr


# --- whole runs


def test_every_compilers_code_gives_the_same_bits(flash: Path) -> None:
    """A run that is stored was made with one compiler and may be repeated with another."""
    code = """
from binascii import crc32
from ugpt import backend, board
from ugpt.dataset import Dataset
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.training import Training

kernels, reason = backend.choose()
for sizes in ({}, {"n_embd": 20, "n_head": 5, "n_layer": 2, "block_size": 32}):
    dataset = Dataset(board.open_names())
    model = Model(Sizes(dataset.tokenizer.vocab_size, **sizes), kernels)
    training = Training(dataset, model=model)
    for _ in range(200):
        training.run_step()
    print(reason, crc32(model.params))
"""
    found = {}
    for command in compilers():
        functions = native.compile_functions("x64", command)
        module = mpy.module("test", "x64", functions, "")
        (flash / "ugpt" / KERNELS).write_bytes(module)
        found[command[0]] = in_micropython(flash, code)
    assert len(set(found.values())) == 1, found
    assert next(iter(found.values())).count("self-check-passed") == 2


def test_1000_steps_end_where_the_portable_ones_do(flash: Path) -> None:
    def run() -> tuple[log.Start, log.Step]:
        lines = run_board(flash, {"steps": 1000, "log_every": 100})
        events = [log.parse(line) for line in lines]
        return events[0], [event for event in events if isinstance(event, log.Step)][-1]

    start, fast = run()
    assert (start.kernels, start.reason) == ("native", "self-check-passed")
    make_portable(flash)
    start, slow = run()
    assert (start.kernels, start.reason) == ("portable", "no-kernels_x64.mpy")
    assert fast.step == slow.step == 999
    assert abs(fast.mean - slow.mean) < 0.01  # how much faster: make bench
