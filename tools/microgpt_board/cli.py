"""The command `microgpt-board`: a table of verbs, each in a module that is loaded when it is used.

The module of a verb has its click command, which is called as the verb: `flash_command` of `flash`.
"""

from importlib import import_module
from typing import NoReturn

import click
from click.shell_completion import CompletionItem
from microgpt.cli.run import debug_option, run

VERBS = {  # name: (module, first line of help)
    "run": ("device.run", "Train on the virtual board, then generate 20 names."),
    "image": ("image.image", "Build the image: all of a board's flash in one file."),
    "flash": ("device.flash", "Build the image, write it to a board and watch the run."),
    "erase": ("device.flash", "Erase all of a board's flash."),
    "deploy": ("device.deploy", "Copy what changed to a board that runs MicroPython."),
    "monitor": ("device.monitor", "Watch and record the runs of a board."),
    "repl": ("device.repl", "Open MicroPython's prompt on a board or the virtual board."),
    "boards": ("image.board_table", "Show the table of boards, or all that is known of one."),
    "ports": ("device.ports", "List the serial ports with a board."),
    "emulate": ("emulation.qemu", "Boot the image on an emulated board, Espressif's QEMU."),
    "selftest": ("proof.selftest", "Check memory, data, kernels and gradients on a board."),
    "replay": ("proof.replay", "Train a recorded run again here and compare the losses."),
    "pull": ("device.weights", "Save a board's checkpoint as a new model folder."),
    "push": ("device.weights", "Install a model folder as a board's checkpoint."),
    "reset": ("device.weights", "Remove a board's checkpoints: its next run starts at step 0."),
    "names": ("image.names_bin", "Write names.bin from a text file, one document a line."),
    "site": ("site.build", "Build the site in the browser as the folder TARGET."),
    "site-serve": ("site.serve", "Serve a built site at http://127.0.0.1."),
    "kernels": ("image.native", "Compile the native kernels, as an .mpy or a .wasm."),
    "package": ("image.package", "Make the package that mip installs: package.json, firmware/mip."),
    "bench": ("proof.bench", "Time a training step: engines, virtual board."),
    "bench-kernels": ("proof.bench_kernels", "Count the instructions of each kernel in a step."),
}


class Verbs(click.Group):
    """A group that knows its commands by VERBS and loads none for the list of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"microgpt_board.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [
            CompletionItem(name, help=line)
            for name, (_, line) in VERBS.items()
            if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    "microgpt-board",
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample: microgpt-board run --steps 1000, then microgpt-board VERB --help\n"
    "\b\nTab completion in bash; for zsh or fish, zsh_source or fish_source:\n"
    '  eval "$(_MICROGPT_BOARD_COMPLETE=bash_source microgpt-board)"',
)
@debug_option
@click.version_option(package_name="microgpt-esp32")
def cli() -> None:
    """Build, emulate, flash, watch and check a board that trains microgpt.

    \b
    The port of a board: --port, else PORT where it is not a number, ESPTOOL_PORT, AMPY_PORT,
    else the only board that is plugged in.
    """


def main() -> NoReturn:
    """Run the command line `microgpt-board`."""
    run(cli)
