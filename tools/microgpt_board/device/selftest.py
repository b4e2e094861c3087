"""Run the board's self-test: memory, data, random numbers, each kernel, gradient, 20 steps.

python -m microgpt_board.device.selftest --port /dev/ttyUSB0        or socket://127.0.0.1:5555, or virtual

Interrupts the board and starts it again; it goes on from its checkpoint.
"""

import re

from microgpt_board.device import remote
from microgpt_board.errors import ToolError, parser_of, run


def main() -> int:
    parser = parser_of("selftest", __doc__)
    parser.add_argument("--port", help="the board's port, or virtual")
    arguments = parser.parse_args()
    with remote.connect(arguments.port) as board:
        text = board.run("import ugpt; ugpt.selftest()", show=True)
    summary = re.search(r"^selftest: \d+ passed, (\d+) failed", text, re.MULTILINE)
    if not summary:
        raise ToolError("the self-test did not come to its end: see its last line")
    return 1 if int(summary[1]) else 0


if __name__ == "__main__":
    run(main)
