"""Chat with a model at a terminal or through a pipe: `microgpt chat`."""

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import click

from microgpt.chat.conversations import Conversation, Message, first_turn
from microgpt.chat.session import Chat, ChatError
from microgpt.errors import UserError
from microgpt.sampling import Sampling
from microgpt.system.signals import Ended
from microgpt.system.terminal import as_output, printable

PROMPT = "you> "
SAVED = Path("chat.jsonl")
HELP = f"""\
/reset                    start a new conversation
/save [FILE]              append the conversation to FILE ({SAVED}) as a line to train on
/temperature [T]          show or set the temperature of replies; 0: always the likeliest
/top_k [K]                draw from the K likeliest characters; 0: from all
/top_p [P]                draw from the likeliest, up to a probability of P; 1: from all
/min_p [P]                draw from those at least P times as likely as the likeliest
/repetition_penalty [R]   above 1: what occurred is less likely
/say TEXT                 say TEXT to the model, also if it is a command: /say help
/help, help               list the commands
/quit, quit, exit         leave, as does Ctrl-D; Ctrl-C stops a reply"""
WITHOUT_SLASH = ("help", "quit", "exit")  # commands that newcomers try without one
SAY = "/say"
LEAVE = ("/quit", "/exit")


def talk(chat: Chat) -> None:
    """Reply to each line of the terminal, which has a history, or of a pipe, until it ends."""
    for line in _lines():
        text = line.strip()
        name, _, argument = text.partition(" ")
        name = name.lower()
        if text.lower() in WITHOUT_SLASH:
            name = f"/{name}"
        try:
            if name in LEAVE:
                return
            if name == SAY:
                text = argument.strip()
            elif name.startswith("/"):
                click.echo(_visible(_command(chat, name, argument.strip())))
                continue
            if text:
                _answer(chat, text)
        except UserError as error:
            click.echo(f"error: {printable(str(error))}", err=True)


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):  # not on Windows, where the terminal has a history itself
        import readline  # noqa: F401 - importing it gives input() a history
    while True:
        try:
            yield input(PROMPT)
        except Ended:
            raise
        except KeyboardInterrupt:
            click.echo()  # a new line, as a shell does
        except EOFError:
            return


def _answer(chat: Chat, text: str) -> None:
    """Print the reply to `text` as it is generated; Ctrl-C stops it."""
    chat.say(Message("user", text))
    try:
        for piece in chat.reply():
            print(_visible(piece), end="", flush=True)
    except Ended:
        raise
    except KeyboardInterrupt:
        pass
    click.echo()


def _visible(text: str) -> str:
    """Return `text` with control characters visible on a terminal, except the ends of lines."""
    return "\n".join(map(as_output, text.split("\n")))


def _command(chat: Chat, name: str, argument: str) -> str:
    """Execute a command and return what to print; raise UserError if that is impossible."""
    command = COMMANDS.get(name.replace("-", "_"))  # as options are written
    if command is None:
        raise ChatError(f"{name} is not a command: /help lists them")
    return command(chat, argument)


def _reset(chat: Chat, _: str) -> str:
    chat.reset()
    return "a new conversation"


def _save(chat: Chat, argument: str) -> str:
    messages = _answered(chat.messages)
    if not messages:
        raise ChatError("there is no reply to save yet")
    path = _path(argument) if argument else SAVED
    line = json.dumps([dataclasses.asdict(message) for message in messages], ensure_ascii=False)
    try:
        before = "\n" if _ends_within_line(path) else ""
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{before}{line}\n")
    except OSError as error:
        raise ChatError(f"cannot write {path}: {error.strerror}") from None
    return f"{len(messages)} messages appended to {path}"


def _path(text: str) -> Path:
    """Return the path that `text` names, where ~ is the home folder; raise ChatError for none."""
    if "\0" in text:
        raise ChatError(f"{text!r} is not a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ChatError(f"{text!r} is not a path: {error}") from None


def _ends_within_line(path: Path) -> bool:
    """Return whether the last line of a file lacks its end, so that more would be added to it."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _answered(messages: Conversation) -> Conversation:
    """Return the messages with a reply, and the replies: a line to train on has no empty one.

    What the system says before them is kept.
    """
    answered = [
        message
        for question, reply in pairwise(messages)
        if reply.role == "assistant" and reply.content
        for message in (question, reply)
    ]
    return [*messages[: first_turn(messages)], *answered] if answered else []


def _sampling(name: str, chat: Chat, argument: str) -> str:
    """Show or set a field of the chat's Sampling."""
    now = getattr(chat.sampling, name)
    if argument:
        try:
            value = type(now)(argument)
        except ValueError:
            whole = "whole " if isinstance(now, int) else ""
            raise ChatError(f"{argument} is not a {whole}number") from None
        chat.sampling = dataclasses.replace(chat.sampling, **{name: value})
    return f"{name} {getattr(chat.sampling, name):g}"


COMMANDS: dict[str, Callable[[Chat, str], str]] = {
    "/help": lambda chat, argument: HELP,
    "/reset": _reset,
    "/save": _save,
    **{
        f"/{field.name}": functools.partial(_sampling, field.name)
        for field in dataclasses.fields(Sampling)
    },
}
