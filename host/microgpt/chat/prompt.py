"""The conversation at a terminal: `microgpt chat`."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import click

from microgpt.chat.session import Chat
from microgpt.conversations import Conversation, Message

PROMPT = "you> "
SAVED = Path("chat.jsonl")
HELP = f"""\
/reset              begin again
/save [FILE]        append the conversation to FILE ({SAVED}), a line to train on
/temperature [T]    show or set how far replies stray; 0: never
/quit               leave, as does Ctrl-D; Ctrl-C stops a reply"""


def talk(chat: Chat) -> None:
    """Read lines from the terminal (with a history: arrow up) or a pipe; answer until they end."""
    for line in _lines():
        text = line.strip()
        try:
            if text == "/quit":
                return
            if text.startswith("/"):
                click.echo(_command(chat, text))
            elif text:
                _answer(chat, text)
        except ValueError as error:
            click.echo(f"error: {error}", err=True)


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):  # Windows' own terminal keeps a history by itself
        import readline  # noqa: F401 - what it is imported for: input() then has a history
    while True:
        try:
            yield input(PROMPT)
        except KeyboardInterrupt:
            click.echo()  # as a shell does: a new line
        except EOFError:
            return


def _answer(chat: Chat, text: str) -> None:
    chat.say(Message("user", text))
    try:
        for piece in chat.reply():
            click.echo(piece, nl=False)
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    click.echo()


def _command(chat: Chat, text: str) -> str:
    """Carry out a command and return what to say; ValueError if it is none."""
    name, _, argument = text.partition(" ")
    if name not in COMMANDS:
        raise ValueError(f"{name} is no command: /help lists them")
    return COMMANDS[name](chat, argument.strip())


def _reset(chat: Chat, _: str) -> str:
    chat.reset()
    return "a new conversation"


def _save(chat: Chat, argument: str) -> str:
    messages = _answered(chat.messages)
    if not messages:
        raise ValueError("there is no reply to save yet")
    path = Path(argument or SAVED)
    line = [dataclasses.asdict(message) for message in messages]
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None
    return f"{len(messages)} messages appended to {path}"


def _answered(messages: Conversation) -> Conversation:
    """Return the exchanges with a reply: a line to train on has no message without text."""
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
            raise ValueError(f"{argument} is not a number") from None
        chat.temperature = value
    return f"temperature {chat.temperature:g}"


COMMANDS: dict[str, Callable[[Chat, str], str]] = {
    "/help": lambda chat, argument: HELP,
    "/reset": _reset,
    "/save": _save,
    "/temperature": _temperature,
}
