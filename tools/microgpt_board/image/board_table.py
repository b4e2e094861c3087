"""The table of boards as `microgpt-board boards` prints it, and all that is known of one."""

import click
from microgpt import boards as host
from microgpt.boards import BOARDS, Board
from microgpt.cli.console import console, say
from rich.table import Table
from rich.text import Text
from ugpt.layout import Sizes, parameter_count

from microgpt_board.image import boards, partitions
from microgpt_board.image.sizes import checkpoint_blocks

OTHER = "other"
NO_FPU = "no floating-point unit"
REPORT = "how to report one: docs/board.md#send-what-yours-says"
Facts = dict[str, str]
PROGRAM_BLOCKS = 40  # of it, rounded up
_NO_CHECKSUM = "checksum not known here"
HEAP = "145,000"  # of which 87,253 are the model's buffers and 56,000 the program
ANY_OTHER: Facts = {  # what a board needs that has no row
    "board": "any other that runs MicroPython",
    "needs": f"MicroPython 1.23 or later; about {HEAP} bytes of heap for the default model; "
    "a file system with 680,000 bytes free",
    "kernels": "native on xtensawin and on armv7emsp or armv7emdp, else portable",
    "how": "make deploy, or mpremote mip install",
    "emulated": "a Cortex-M4F, in MicroPython v1.29's port for QEMU: all verbs, and mip",
    "real": host.NOT_YET,
}
OTHER_ROW = (
    ("any other board", "with MicroPython"),
    (HEAP, "of heap"),
    ("4,192", "the default"),
    ("see below", ""),
    ("emulated", "real: not yet"),
)


def largest(board: Board) -> tuple[str, str]:
    """Return the parameters of a board's widest model of the default shape, and its setting."""
    sizes = host.largest(board.memory)
    if sizes is None:
        return "none", ""
    return f"{parameter_count(sizes):,}", f"N_EMBD={sizes.n_embd}"


def saved(board: Board) -> Facts:
    """Return the widest model whose checkpoints have room in our image, if that is not `largest`.

    Its shape is the default's.
    """
    found = host.largest(board.memory)
    if board.bootloader is None or found is None:
        return {}
    width = found.n_embd
    free = partitions.read()["vfs"].size // partitions.SECTOR - PROGRAM_BLOCKS
    while checkpoint_blocks(Sizes(n_embd=width), partitions.SECTOR) > free:
        width -= found.n_head
    if width == found.n_embd:
        return {}
    count = parameter_count(Sizes(n_embd=width))
    text = f"at most {count:,} parameters of that shape (N_EMBD={width}): flash for checkpoints"
    return {"saved": text}


def memory(board: Board) -> str:
    """Return the bytes for training, with a sign where they are a lower bound."""
    return f"{'≥ ' if board.at_least else ''}{board.memory.free:,}"


def facts(board: Board) -> Facts:
    """Return all that is known of a board, in words."""
    parameters, setting = largest(board)
    piece = board.memory.piece
    one_piece = f", {piece:,} of them in one piece" if piece < board.memory.free else ""
    at_least = "at least " if board.at_least else ""
    found = {
        "board": f"{board.name}: {board.title}",
        "chip": f"{board.chip}, {'with' if board.fpu else 'without'} a floating-point unit",
        "memory": f"{at_least}{board.memory.free:,} bytes to train in{one_piece} "
        f"({board.memory_from})",
        "largest": f"{parameters} parameters, the widest of the default's shape ({setting})",
        **saved(board),
        "kernels": f"native, {board.kernels}" if board.kernels else f"portable: {NO_FPU}",
    }
    if board.bootloader is None:
        found["written"] = (
            f"hold BOOTSEL, copy the UF2 to the drive {boards.DRIVES[board.chip]}, then make deploy"
        )
    else:
        found["written"] = (
            f"make flash BOARD={board.name}: an image at 0x0, with the bootloader at "
            f"{board.bootloader:#x}"
        )
    for release in board.releases:
        default = ", the default" if release == board.release else ""
        chosen = boards.find(board.name, release=release.version)
        checksum = f"sha256 {release.sha256}" if release.sha256 else _NO_CHECKSUM
        found[f"release {release.version}{default}"] = f"{boards.url(chosen)} {checksum}"
    return found | {"emulated": board.emulated, "real": board.real}


def table() -> Table:
    """Return the boards, each with a line of names and figures and one of what they are.

    It fits into 80 columns; the name, which is there to be copied, is never folded.
    """
    found = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    found.add_column("BOARD=", no_wrap=True)
    for heading in ("RAM, bytes", "largest", "kernels", "seen running"):
        found.add_column(heading, overflow="fold")
    for board in BOARDS.values():
        cells = (
            (board.name, board.title),
            (memory(board), board.memory_from.partition(":")[0].partition(" on ")[0]),
            largest(board),
            (board.kernels or "portable", "native" if board.kernels else "no FPU"),
            seen(board),
        )
        found.add_row(*map(_cell, cells))
    found.add_row(*map(_cell, OTHER_ROW))
    return found


def _cell(lines: tuple[str, str]) -> Text:
    return Text.assemble(lines[0], ("\n" + lines[1], "dim"))


def seen(board: Board) -> tuple[str, str]:
    """Return where a board was seen running: emulated, real."""
    if board.emulated == board.real == host.NOT_YET:
        return "not yet", ""
    emulated = "emulated: start" if board.emulated.startswith("start") else "emulated"
    return emulated, f"real: {'not yet' if board.real == host.NOT_YET else 'yes'}"


def say_all(about: Facts) -> None:
    """Print facts, a line each."""
    for name, value in about.items():
        say(f"{name}: {value}")


@click.command("boards")
@click.argument("board", required=False)
@click.option("--board", "named", hidden=True, help="The same, as with the other verbs.")
def boards_command(board: str | None, named: str | None) -> None:
    """Show the table of boards, or all that is known of one.

    In a pipe it is all that is known of each, a line a fact. Nothing in it was seen on a real board
    unless it says so.

    \b
    Examples: microgpt-board boards
              microgpt-board boards RPI_PICO2
    """
    board = board or named
    if board:
        say_all(ANY_OTHER if board.lower() == OTHER else facts(boards.find(board)))
    elif console.is_terminal:
        console.print(table())
        say_all(ANY_OTHER)
    else:
        for about in [*map(facts, BOARDS.values()), ANY_OTHER]:
            say_all(about)
            say("")
    say(REPORT)
