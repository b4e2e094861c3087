"""Chat with a model at a terminal or through a pipe: `microgpt chat`."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import click

from microgpt.chat.conversations import Conversation, Message
from microgpt.chat.session import Chat, ChatError
from microgpt.errors import UserError
from microgpt.system.signals import Ended
from microgpt.system.terminal import as_output, printable

PROMPT = "you> "
SAVED = Path("chat.jsonl")
HELP = f"""\
/reset              start a new conversation
/save [FILE]        append the conversation to FILE ({SAVED}) as a line to train on
/temperature [T]    show or set the temperature of replies; 0: always the likeliest
/say TEXT           say TEXT to the model, also if it is a command: /say help
/help, help         list the commands
/quit, quit, exit   leave, as does Ctrl-D; Ctrl-C stops a reply"""
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
    if name not in COMMANDS:
        raise ChatError(f"{name} is not a command: /help lists them")
    return COMMANDS[name](chat, argument)


def _reset(chat: Chat, _: str) -> str:
    chat.reset()
    return "a new conversation"


def _save(chat: Chat, argument: str) -> str:
    messages = _answered(chat.messages)
    if not messages:
        raise ChatError("there is no reply to save yet")
    path = Path(argument or SAVED)
    line = [dataclasses.asdict(message) for message in messages]
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ChatError(f"cannot write {path}: {error.strerror}") from None
    return f"{len(messages)} messages appended to {path}"


def _answered(messages: Conversation) -> Conversation:
    """Return the messages with a reply, and the replies: a line to train on has no empty one."""
    return [
        message
        for question, reply in pairwise(messages)
        if reply.role == "assistant" and reply.content
        for message in (question, reply)
    ]


def _temperature(chat: Chat, argument: str) -> str:
    if argument:
        try:
            value = float(argument)
        except ValueError:
            raise ChatError(f"{argument} is not a number") from None
        chat.temperature = value
    return f"temperature {chat.temperature:g}"


COMMANDS: dict[str, Callable[[Chat, str], str]] = {
    "/help": lambda chat, argument: HELP,
    "/reset": _reset,
    "/save": _save,
    "/temperature": _temperature,
}
