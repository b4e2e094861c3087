"""Packing the kernels, and which of them the firmware takes."""

import re
import shutil
import struct
import subprocess
from binascii import crc32
from pathlib import Path

import pytest
from microgpt_board.device import log
from microgpt_board.emulation.micropython import build_virtual, find_micropython, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy, names_bin, native, wasm
from microgpt_board.image.names_bin import Source

ROOT = Path(__file__).parents[3]
PREBUILT = native.PREBUILT.read_bytes()


def compiler(architecture: str) -> tuple[str, ...]:
    command = native.find_compiler(architecture)
    if command is None:
        pytest.skip(f"no {' or '.join(c[0] for c in native.TARGETS[architecture].compilers)} here")
    return command


# --- packing


CALL = "int f(int x); int calls(int x) { return f(x) + 1; }"
IMPORT = '__attribute__((import_module("env"), import_name("f"))) '
READ = "extern int table[9]; int reads(int i) { return table[i]; }"
CONSTANT = "float scales(float x) { return x * 1.1f; }"
TABLE = "static const int t[5] = {5, 1, 9, 7, 3}; int looks(int i) { return t[i]; }"
JUMPS = (
    "int jumps(int x) { switch (x) { case 1: return 77; case 2: return 1234; case 3: return x * 9;"
    " case 4: return x ^ 55; case 5: return 12; case 6: return -x; } return 0; }"
)
DOUBLE = "double scales(double x) { return x * x; }"
DIVISION = "float divides(float x, float y) { return x / y; }"
CLEARING = "void clears(char *x) { __builtin_memset(x, 0, 999); }"


@pytest.mark.parametrize(
    ("architecture", "code", "message"),
    [
        ("x64", CALL, "calls needs f:"),
        ("x64", READ, "reads needs table:"),
        ("x64", CONSTANT, "scales needs a constant in memory:"),
        ("armv7emsp", CALL, "calls needs f:"),
        ("armv7emsp", READ, "reads needs table:"),  # by movw and movt, two halves of the address
        ("armv7emsp", TABLE, "looks needs t:"),
        ("armv7emsp", JUMPS, "jumps needs a constant in memory:"),
        ("armv7emsp", DOUBLE, "scales needs __aeabi_dmul:"),
        ("armv7emsp", CLEARING, "clears needs __aeabi_memclr:"),
        ("xtensawin", CALL, "calls needs f:"),
        ("xtensawin", READ, "reads needs table:"),
        ("xtensawin", CONSTANT, "scales needs a constant in memory:"),
        ("xtensawin", DIVISION, "divides needs __divsf3:"),
        ("xtensawin", CLEARING, "clears needs memset:"),
    ],
)
def test_what_needs_a_linker_is_refused(
    tmp_path: Path, architecture: str, code: str, message: str
) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int fine(int x) { return x + 1; }\n" + code)
    with pytest.raises(ToolError, match=message):
        native.compile_functions(architecture, compiler(architecture), source)


def test_constants_beside_the_code_need_no_linker_on_arm(tmp_path: Path) -> None:
    source = tmp_path / "good.c"
    source.write_text(CONSTANT)
    functions = native.compile_functions("armv7emsp", compiler("armv7emsp"), source)
    assert struct.pack("<f", 1.1) in functions["scales"]


def test_what_does_not_compile_is_refused_in_the_compilers_words(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int f(void) { return nothing; }")
    with pytest.raises(ToolError, match="(?s)(clang-22|gcc) does not compile bad.c: .*nothing"):
        native.compile_functions("x64", compiler("x64"), source)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (CALL, "(?s)does not compile bad.c: .*undefined symbol: f"),
        (READ, "(?s)does not compile bad.c: .*undefined symbol: table"),
        (IMPORT + CALL, "needs f:"),
        ("static int count; int counts(int x) { return count += x; }", "needs data in memory"),
        ("static const int t[3] = {5, 1, 9}; int reads(int i) { return t[i]; }", "in memory"),
        ("int fine(int", "(?s)does not compile bad.c: .*expected"),
    ],
)
def test_what_would_write_to_micropythons_memory_is_refused(
    tmp_path: Path, code: str, message: str
) -> None:
    source = tmp_path / "bad.c"
    source.write_text(code)
    with pytest.raises(ToolError, match=message):
        native.link_wasm(compiler("wasm32"), source)


@pytest.mark.parametrize("architecture", list(native.TARGETS))
def test_each_compiler_compiles_the_kernels_without_a_warning(
    tmp_path: Path, architecture: str
) -> None:
    compiler(architecture)
    for command in native.TARGETS[architecture].compilers:
        if shutil.which(command[0]):
            words = [
                *command,
                "-Werror",
                "-c",
                str(native.SOURCE),
                "-o",
                str(tmp_path / "kernels.o"),
            ]
            result = subprocess.run(words, capture_output=True)
            assert result.returncode == 0, result.stderr.decode()


@pytest.mark.parametrize(
    ("architecture", "path"), [("xtensawin", native.PREBUILT), ("wasm32", native.PREBUILT_WASM)]
)
def test_the_committed_kernels_are_those_of_the_source(architecture: str, path: Path) -> None:
    command = compiler(architecture)
    version = native.compiler_version(command)
    if version.encode() not in path.read_bytes():
        pytest.skip(f"{path.name} is not by {version}")
    assert native.build(architecture) == path.read_bytes(), "run: make kernels"


def test_the_committed_kernels_are_whole() -> None:
    assert PREBUILT[:4] == bytes((ord("M"), 6, 10 << 2 | 3, 31))
    for data in (PREBUILT, native.PREBUILT_WASM.read_bytes()):
        assert crc32(data[:-4]) == int.from_bytes(data[-4:], "little")


def test_the_sections_of_the_committed_wasm_kernels() -> None:
    """They are those of the formats' page: no data, and the last one says the compiler."""
    sections = list(wasm.sections(native.PREBUILT_WASM.read_bytes()))
    assert [kind for kind, _ in sections] == [1, 2, 3, 6, 7, 10, 0]
    assert re.fullmatch(rb"\x04ugptclang-22 [\d.]+", sections[-1][1][:-4])


# --- the choice at start


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("built")
    build_virtual(folder, names_bin.read(Source(ROOT / "data" / "names.txt")))
    if not (folder / "ugpt" / "kernels.mpy").exists():
        pytest.skip("no native kernels for this computer: on Linux x86-64 they need gcc")
    return folder


@pytest.fixture
def flash(built: Path, tmp_path: Path) -> Path:
    """The flash of a virtual board, to be damaged."""
    shutil.copytree(built, tmp_path / "flash")
    return tmp_path / "flash"


def choice(flash: Path, before: str = "") -> str:
    code = f"from ugpt import backend, board\n{before}\n"
    code += "kernels, reason = backend.choose()\nprint(kernels.NAME, reason)"
    result = subprocess.run(
        [find_micropython(), "-X", "heapsize=300k", "-c", code],
        cwd=flash,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def with_crc(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def test_native_kernels_where_they_are_there(flash: Path) -> None:
    assert choice(flash) == "native self-check-passed"


def test_portable_without_them(flash: Path) -> None:
    (flash / "ugpt" / "kernels.mpy").unlink()
    assert choice(flash) == "portable no-kernels.mpy"


def test_portable_kernels_for_another_architecture(flash: Path) -> None:
    (flash / "ugpt" / "kernels.mpy").write_bytes(PREBUILT)
    assert choice(flash) == "portable other-architecture"


def test_portable_kernels_with_another_micropython(flash: Path) -> None:
    path = flash / "ugpt" / "kernels.mpy"
    whole = bytearray(path.read_bytes()[:-4])
    for index, value in ((1, 5), (2, whole[2] ^ 1)):
        data = bytearray(whole)
        data[index] = value
        path.write_bytes(with_crc(data))
        assert choice(flash) == "portable other-version-of-micropython"


def test_portable_kernels_if_the_file_is_damaged(flash: Path) -> None:
    path = flash / "ugpt" / "kernels.mpy"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes((whole[middle] ^ 1,)) + whole[middle + 1 :]
    for data in (b"", whole[:3], whole[:8], whole[:middle], whole[:-1], whole + b"\0", flipped):
        path.write_bytes(data)
        assert choice(flash) == "portable damaged-kernels.mpy"


def test_portable_kernels_if_loading_fails(flash: Path) -> None:
    only_one = mpy.module("test", "x64", {"linear": b"\xc3"}, "")
    (flash / "ugpt" / "kernels.mpy").write_bytes(only_one)
    assert choice(flash) == "portable cannot-be-loaded"


@pytest.mark.parametrize("kernel", ["linear_backward_w", "relu", "softmax", "adam"])
def test_portable_kernels_if_one_kernel_is_wrong(flash: Path, kernel: str) -> None:
    functions = native.compile_functions("x64", compiler("x64"))
    functions[kernel] = b"\xb8\x01\0\0\0\xc3"  # return 0
    (flash / "ugpt" / "kernels.mpy").write_bytes(mpy.module("test", "x64", functions, ""))
    assert choice(flash) == "portable self-check-failed"


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [
        ("Generic ESP32 module with ESP32", "native"),
        ("Generic ESP32S3 module with ESP32S3", "native"),
        ("Generic ESP32S2 module with ESP32S2", "portable"),
        ("LOLIN_S2_MINI with ESP32-S2FN4R2", "portable"),
    ],
)
def test_portable_on_an_esp32_s2(flash: Path, machine: str, chosen: str) -> None:
    before = f"board.ON_HARDWARE = True\nboard.MACHINE = {machine!r}"
    assert choice(flash, before).split()[0] == chosen


# --- a whole run


def test_1000_steps_end_where_the_portable_ones_do(flash: Path) -> None:
    def run() -> tuple[log.Start, log.Step]:
        lines = run_board(flash, {"steps": 1000, "log_every": 100})
        events = [log.parse(line) for line in lines]
        return events[0], [event for event in events if isinstance(event, log.Step)][-1]

    start, fast = run()
    assert (start.kernels, start.reason) == ("native", "self-check-passed")
    (flash / "ugpt" / "kernels.mpy").unlink()
    start, slow = run()
    assert (start.kernels, start.reason) == ("portable", "no-kernels.mpy")
    assert fast.step == slow.step == 999
    assert abs(fast.mean - slow.mean) < 0.01  # how much faster: make bench
