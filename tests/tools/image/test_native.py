"""Compiling and packing the kernels."""

import re
import shutil
import struct
import subprocess
from binascii import crc32
from pathlib import Path

import pytest
from click.testing import CliRunner
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy, native, wasm
from ugpt import board


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


@pytest.mark.parametrize("architecture", list(native.TARGETS))
def test_the_committed_kernels_are_those_of_the_source(architecture: str) -> None:
    command = compiler(architecture)
    version = native.compiler_version(command)
    path = native.prebuilt(architecture)
    if version.encode() not in path.read_bytes():
        pytest.skip(f"{path.name} is not by {version}")
    assert native.build(architecture) == path.read_bytes(), "run: make kernels"


def test_the_committed_kernels_are_whole() -> None:
    for architecture in native.TARGETS:
        data = native.prebuilt(architecture).read_bytes()
        assert crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
        if architecture != native.WASM:
            number = mpy.ARCHITECTURES.index(architecture)
            assert data[:4] == bytes((ord("M"), 6, number << 2 | 3, 31))


def test_each_architecture_of_the_board_has_its_kernels() -> None:
    """armv7emdp, a Cortex-M7 with double precision, runs the code for single precision."""
    found = {mpy.ARCHITECTURES[number]: name for number, name in board.KERNELS.items()}
    alone = {name: name for name in native.TARGETS if name != native.WASM}
    assert found == {**alone, "armv7emdp": "armv7emsp"}


def test_the_sections_of_the_committed_wasm_kernels() -> None:
    """They are those of the formats' page: no data, and the last one says the compiler."""
    sections = list(wasm.sections(native.prebuilt(native.WASM).read_bytes()))
    assert [kind for kind, _ in sections] == [1, 2, 3, 6, 7, 10, 0]
    assert re.fullmatch(rb"\x04ugptclang-22 [\d.]+", sections[-1][1][:-4])


def test_all_are_compiled_into_their_place_and_one_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in native.TARGETS:
        compiler(name)
    folder = tmp_path / "native"
    shutil.copytree(native.SOURCE.parent, folder, ignore=shutil.ignore_patterns("*.mpy", "*.wasm"))
    monkeypatch.setattr(native, "SOURCE", folder / "kernels.c")
    result = CliRunner().invoke(native.kernels_command)
    assert result.exit_code == 0, result.output
    names = ["kernels_armv7emsp.mpy", "kernels_x64.mpy", "kernels_xtensawin.mpy"]
    assert sorted(path.name for path in folder.glob("kernels?*")) == [
        "kernels.c",
        "kernels.wasm",
        *names,
    ]
    one = tmp_path / "one.mpy"
    assert CliRunner().invoke(native.kernels_command, ["x64", str(one)]).exit_code == 0
    assert one.read_bytes() == (folder / "kernels_x64.mpy").read_bytes()
