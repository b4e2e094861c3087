"""How every tool ends: 0, or one line on stderr and 1; Ctrl-C is 130."""

import sys
from collections.abc import Callable


class ToolError(Exception):
    """Something the user can mend; the message is one line: what is wrong and what to do."""


def run(main: Callable[[], int | None]) -> None:
    """Exit with what `main` returns; ToolError, OSError and Ctrl-C end in a line and a code."""
    try:
        sys.exit(main() or 0)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {error.filename or 'input/output'}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
