"""How every tool ends: 0, or one line on stderr and 1; Ctrl-C is 130."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class ToolError(Exception):
    """Something the user can mend; the message is one line: what is wrong and what to do."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; {self.prog} --help says more\n")


def parser_of(name: str, doc: str) -> Parser:
    """Return the parser of `python -m tools.NAME`, described by the first line of `doc`."""
    return Parser(prog=f"python -m tools.{name}", description=doc.splitlines()[0])


def run(main: Callable[[], int | None]) -> None:
    """Exit with what `main` returns; ToolError, OSError and Ctrl-C end in a line and a code."""
    try:
        sys.exit(main() or 0)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # of `| head`: whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        print(f"error: {what}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
