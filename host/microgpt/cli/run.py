"""How every command ends: 0, or one line on stderr and another code; 130 for Ctrl-C.

Only what a user can cause becomes one line: UserError, a word that click refuses, and what the
operating system refuses (OSError, MemoryError). A programming error keeps its traceback.
"""

import os
import sys
from typing import NoReturn

import click

from microgpt.errors import UserError

DEBUG = "--debug"
debug_option = click.option(
    DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def run(group: click.Command) -> NoReturn:
    """Run the command line of this process and exit; `--debug` may stand anywhere in it."""
    words = [word for word in sys.argv[1:] if word != DEBUG]
    try:
        code = group.main(words, standalone_mode=False)
    except click.exceptions.Abort:
        print("interrupted", file=sys.stderr)
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        code = 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (UserError, click.ClickException, OSError, MemoryError) as error:
        if DEBUG in sys.argv:
            raise
        print(f"error: {_line(error)}", file=sys.stderr)
        code = error.exit_code if isinstance(error, click.ClickException) else 1
    sys.exit(code or 0)


def _line(error: Exception) -> str:
    """Return what is wrong, in one line."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        text = error.format_message() + hint
    elif isinstance(error, OSError) and not isinstance(error, UserError):
        what = f"{error.filename}: " if error.filename else ""
        text = f"{what}{error.strerror or error}"
    else:
        text = str(error) or "out of memory"
    return " ".join(text.split())
