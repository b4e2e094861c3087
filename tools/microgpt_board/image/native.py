"""Compile the kernels in C: an .mpy that MicroPython loads, without a linker, or a .wasm."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, Symbol, SymbolTableSection
from microgpt.cli.options import PATH
from microgpt.system import files
from ugpt import board

from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy, wasm

SOURCE = resources.firmware("native/kernels.c")

FLAGS = (
    "-std=c99", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-ffreestanding",
    "-fno-builtin", "-ffunction-sections", "-fomit-frame-pointer", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
)  # fmt: skip
# Loops stay loops: calls of memset and constants for vectors would need a linker.
GCC_FLAGS = (
    *FLAGS,
    "-fno-tree-loop-distribute-patterns",
    "-fno-tree-vectorize",
    "-fno-jump-tables",
)
# Without LLVM's "loop strength reduction", which replaces a loop's pointers by one index and sums.
CLANG_XTENSA = ("--target=xtensa", "-mllvm", "-disable-lsr") + tuple(
    word
    for feature in ("fp", "windowed", "density", "loop", "minmax", "mul32", "sext", "bool")
    for word in ("-Xclang", "-target-feature", "-Xclang", f"+{feature}")
)
# Any Cortex-M with a single-precision floating-point unit: M4F, M7 and M33 run the M4's code.
# For size, which also takes the fewest instructions; with multiply-adds, which clang avoids.
CLANG_CORTEX_M = (
    "--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard",
    "-Os", "-Xclang", "-target-feature", "-Xclang", "-slowfpvfmx",
)  # fmt: skip
CLANG_X64 = ("--target=x86_64-linux-gnu", "-fcf-protection=none", "-fno-vectorize")
# The kernels share the memory of MicroPython's own module, and the page gives them a stack in it.
LINK_WASM = ("-nostdlib", "-fvisibility=default") + tuple(
    f"-Wl,{word}"
    for word in (
        "--no-entry", "--import-memory", "--export-dynamic", "--export=__stack_pointer",
        "--strip-all",
    )
)  # fmt: skip
WASM = "wasm32"


@dataclass(frozen=True)
class Target:
    """A processor: its ELF machine, and its compilers, of which the first that is here is taken.

    A compiler is here only if `linker` is too.
    """

    machine: str
    compilers: tuple[tuple[str, ...], ...]
    linker: str = ""

    def needed(self) -> str:
        """Return in words what has to be installed."""
        names = " or ".join(command[0] for command in self.compilers)
        return f"{names} and {self.linker}" if self.linker else names


TARGETS = {
    "xtensawin": Target(
        "EM_XTENSA",
        (
            ("clang-22", *CLANG_XTENSA, *FLAGS),
            ("xtensa-esp32-elf-gcc", *GCC_FLAGS),
        ),
    ),
    "armv7emsp": Target("EM_ARM", (("clang-22", *FLAGS, *CLANG_CORTEX_M),)),
    "x64": Target(
        "EM_X86_64",
        (
            ("clang-22", *CLANG_X64, *FLAGS),  # its code takes half the time of gcc's
            ("gcc", "-m64", "-fcf-protection=none", *GCC_FLAGS),
        ),
    ),
    WASM: Target("", (("clang-22", "--target=wasm32", *FLAGS),), linker="wasm-ld-22"),
}


def find_compiler(architecture: str) -> tuple[str, ...] | None:
    """Return the command line of the first compiler for `architecture` that is here, or None."""
    target = TARGETS[architecture]
    if not target.linker or shutil.which(target.linker):
        for command in target.compilers:
            if shutil.which(command[0]):
                return command
    return None


def compiler_version(command: tuple[str, ...]) -> str:
    """Return a compiler's name and version, such as "clang-22 22.1.8"."""
    result = subprocess.run([command[0], "--version"], capture_output=True, text=True)
    version = re.search(r"\d+\.\d+(\.\d+)*", result.stdout.partition("\n")[0].rpartition(")")[2])
    version = version or re.search(r"\d+\.\d+(\.\d+)*", result.stdout)
    return f"{command[0]} {version[0] if version else 'of unknown version'}"


def compile_functions(
    architecture: str, command: tuple[str, ...], source: Path = SOURCE
) -> dict[str, bytes]:
    """Return the machine code of each function in `source`; raise ToolError, also as `extract`."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "kernels.o"
        _compile([*command, "-c"], source, target)
        return extract(target, TARGETS[architecture].machine)


def link_wasm(command: tuple[str, ...], source: Path = SOURCE) -> bytes:
    """Return the functions in `source` as a WebAssembly module; raise ToolError as `wasm.check`."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "kernels.wasm"
        _compile([*command, *LINK_WASM], source, target)
        data = target.read_bytes()
    wasm.check(data, source.name)
    return wasm.sealed(data, compiler_version(command))


def _compile(command: list[str], source: Path, target: Path) -> None:
    """Compile `source` to the file `target`; raise ToolError with the compiler's message."""
    result = subprocess.run(
        [*command, str(source), "-o", str(target)], capture_output=True, text=True
    )
    if result.returncode:
        raise ToolError(f"{command[0]} does not compile {source.name}: {result.stderr.strip()}")


def extract(target: Path, machine: str) -> dict[str, bytes]:
    """Return the machine code of each function in an object file.

    Raises ToolError, with function and symbol, if a function refers to anything outside itself.
    """
    with target.open("rb") as file:
        elf = ELFFile(file)
        if elf["e_machine"] != machine:
            raise ToolError(f"{target.name} is for {elf['e_machine']}, not for {machine}")
        sections = list(elf.iter_sections())
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)  # every compiler writes one
        functions = [s for s in symbols.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"]
        _refuse_relocations(functions, sections, symbols)
        start = 1 if machine == "EM_ARM" else 0  # Thumb code, the only one of a Cortex-M, is at 1
        for function in functions:
            size = sections[function["st_shndx"]]["sh_size"]
            if (function["st_value"], function["st_size"]) != (start, size):
                raise ToolError(f"{function.name} is not alone in its section")
        return {f.name: sections[f["st_shndx"]].data() for f in functions}


def _refuse_relocations(
    functions: list[Symbol], sections: list[Section], symbols: SymbolTableSection
) -> None:
    """Raise ToolError for the first relocation in a function."""
    found = [  # (section, offset, symbol, addend: in Arm's files it is in the code, not here)
        (
            section["sh_info"],
            r["r_offset"],
            symbols.get_symbol(r["r_info_sym"]),
            r["r_addend"] if section.is_RELA() else 0,
        )
        for section in sections
        if isinstance(section, RelocationSection)
        for r in section.iter_relocations()
    ]
    named = {(section, offset): symbol.name for section, offset, symbol, _ in found}
    for function in functions:
        for section, offset, symbol, addend in found:
            if section == function["st_shndx"] and offset < function["st_size"]:
                # On Xtensa a relocation refers to a constant, whose own relocation has the name.
                name = symbol.name or named.get((symbol["st_shndx"], addend), "")
                if not name or name.startswith("."):
                    name = "a constant in memory"
                raise ToolError(f"{function.name} needs {name}: a kernel stands alone")


def build(architecture: str) -> bytes | None:
    """Return the packed kernels, None without a compiler; raise ToolError if they need more."""
    command = find_compiler(architecture)
    if command is None:
        return None
    if architecture == WASM:
        return link_wasm(command)
    functions = compile_functions(architecture, command)
    return mpy.module(SOURCE.name, architecture, functions, compiler_version(command))


def prebuilt(architecture: str) -> Path:
    """Return the file of the committed kernels, with which no board and no page needs a compiler.

    A board's has the name that `ugpt` looks for.
    """
    if architecture == WASM:
        return SOURCE.with_name("kernels.wasm")
    return SOURCE.with_name(str(board.kernels_file(mpy.ARCHITECTURES.index(architecture))))


@click.command("kernels")
@click.argument("architecture", type=click.Choice(list(TARGETS)), required=False)
@click.argument("target", type=PATH, required=False)
def kernels_command(architecture: str | None, target: Path | None) -> None:
    """Compile the native kernels, as an .mpy or a .wasm.

    Those of every architecture where the others look for them, or those of one, in a file.

    Example: microgpt-board kernels armv7emsp kernels_armv7emsp.mpy
    """
    for name in [architecture] if architecture else TARGETS:
        data = build(name)
        if data is None:
            raise ToolError(f"no compiler for {name} here: install {TARGETS[name].needed()}")
        path = target or prebuilt(name)
        files.write(path, data)
        click.echo(f"{path}: {len(data)} bytes")
