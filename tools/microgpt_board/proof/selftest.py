"""Run the board's self-test: memory, data, random numbers, each kernel, gradient, 20 steps."""

import re

import click

from microgpt_board.device import remote
from microgpt_board.device.ports import prompt_port_option
from microgpt_board.errors import ToolError

CODE = "import ugpt\nugpt.selftest()"


@click.command("selftest")
@prompt_port_option
def selftest_command(port: str | None) -> int:
    """Check memory, data, kernels and gradients on a board.

    Interrupts the board's program and restarts it; it resumes from its checkpoint.

    \b
    Examples: microgpt-board selftest --port /dev/ttyUSB0
              microgpt-board selftest --port virtual
    """
    with remote.connect(port) as board:
        text = board.run(CODE, show=True)
    summary = re.search(r"^selftest: \d+ passed, (\d+) failed", text, re.MULTILINE)
    if not summary:
        raise ToolError("the self-test ended early: its last line above says where")
    return 1 if int(summary[1]) else 0
