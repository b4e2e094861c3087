"""How a command ends: with exit code 0, or with one line on stderr and another code.

Ctrl-C, SIGTERM and SIGHUP end it as KeyboardInterrupt does, with code 128 + the signal's number.
Only an error that a user can cause becomes one line: a UserError, a word that click refuses, and
what the operating system refuses (OSError, MemoryError). A programming error keeps its traceback.
Both commands, `microgpt` and `microgpt-board`, run through here.
"""

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import click

from microgpt.errors import UserError
from microgpt.system import files, signals
from microgpt.system.terminal import printable

DEBUG = "--debug"

debug_option = click.option(
    DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def run(command: click.Command) -> NoReturn:
    """Run `command` with the command line of this process and exit.

    `--debug`, anywhere in the command line, prints the traceback of an error before its line.
    """
    words = [word for word in sys.argv[1:] if word != DEBUG]
    # A group is an installed program, also where Python was started with -m.
    program = command.name if isinstance(command, click.Group) else None
    if isinstance(sys.stdout, io.TextIOWrapper):  # a character that it cannot have is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with signals.raised():
            code = command.main(words, prog_name=program, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        _tell("interrupted")
        code = signals.exit_code(error.__cause__ or error)  # click's error has a cause
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        code = 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (UserError, click.ClickException, OSError, MemoryError) as error:
        if DEBUG in sys.argv:
            for line in traceback.format_exc().splitlines():
                _tell(line)
        _tell(f"error: {_line(error)}")
        code = error.exit_code if isinstance(error, click.ClickException) else 1
    sys.exit(code or 0)


def _tell(line: str) -> None:
    """Print a line on stderr, if there is one."""
    with suppress(OSError):
        print(printable(line), file=sys.stderr)


def _line(error: Exception) -> str:
    """Return the message of an error as one line."""
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" (see {context.command_path} --help)" if context else ""
        text = error.format_message() + hint
    elif isinstance(error, OSError) and not isinstance(error, UserError):
        text = files.explained(error)
    else:
        text = str(error) or "out of memory"
    return " ".join(text.split())
