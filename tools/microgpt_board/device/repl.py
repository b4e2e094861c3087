"""MicroPython's prompt, in this terminal."""

import click

from microgpt_board.device import remote
from microgpt_board.device.ports import prompt_port_option


@click.command("repl")
@prompt_port_option
def repl_command(port: str | None) -> int:
    """Open MicroPython's prompt on a board or the virtual board.

    Ctrl-C stops the program that runs there, Ctrl-D restarts it, Ctrl-] leaves the prompt. The
    virtual board shows >>> when you press Enter; there Ctrl-C stops a training and nothing else.

    \b
    Examples: microgpt-board repl
              microgpt-board repl --port virtual
    """
    return remote.repl(port)
