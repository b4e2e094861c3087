"""Read conversations from files, in the forms in which people have them.

A conversation is an array of messages, or an object that holds it as "messages" or, as ShareGPT
has it, as "conversations". A message is an object of "role" and "content", or of "from" and
"value". A file is JSON Lines, a conversation a line (a comma can end it), or one JSON array of
conversations. What has another form is named, with what to do about it.
"""

import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from microgpt.chat.conversations import Conversation, Message, Role
from microgpt.data import DataError

LINE = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
HOLDING = ("messages", "conversations")  # the fields of an object that are its messages
NAMING = (("role", "content"), ("from", "value"))  # the fields of a message
ROLE_OF: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
    "developer": "system",  # OpenAI's newer word for it
}
OF_TOOLS = {"tool", "function", "function_call", "observation", "ipython"}  # roles
OF_CALLS = ("tool_calls", "function_call")  # fields of a message
TEXT_PARTS = ("text", "input_text", "output_text")

# A file's first bytes, and what it is.
MAGIC = {
    b"PAR1": "Parquet: convert it, as with pandas: read_parquet(...).to_json(..., lines=True, "
    'orient="records")',
    b"ARROW1": "Arrow: convert it to JSON Lines",
    b"\x1f\x8b": "compressed with gzip: unpack it with gunzip",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it with unzstd",
    b"BZh": "compressed with bzip2: unpack it with bunzip2",
    b"\xfd7zXZ": "compressed with xz: unpack it with unxz",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}

# Objects of other forms: the fields that they have, and what they are. The first that fits counts.
QUESTIONS = ("prompt", "instruction", "question", "query", "input")
ANSWERS = ("completion", "response", "answer", "output")
OTHER_FORMS = {
    ("chosen", "rejected"): "pairs of a chosen and a rejected reply, for DPO: write the chosen one",
    ("instruction", "output"): 'the form of Alpaca: write "instruction" and "input" as the user\'s '
    'message and "output" as the assistant\'s',
}
CSV_NAMES = {*QUESTIONS, *ANSWERS, *HOLDING, "role", "content", "text", "user", "assistant"}


@dataclass(frozen=True)
class Malformed:
    """What in a file is not a conversation: the number of its line, from 1, and the reason.

    In a file that is one JSON array it is the number of an item, and `what` is "conversation".
    """

    number: int
    reason: str
    what: str = "line"

    def __str__(self) -> str:
        return f"{self.what} {self.number}: {self.reason}"


def read_conversations(path: Path) -> tuple[list[Conversation], list[Malformed]]:
    """Return the conversations in a file, and what in it is none; empty lines are skipped.

    Raises DataError if the file cannot be read or has no conversation; it says what the file is.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    for magic, what in MAGIC.items():
        if content.startswith(magic):
            raise DataError(f"{path} is {what}")
    content = content.removeprefix(b"\xef\xbb\xbf")
    conversations, malformed = _read_array(path, content) or _read_lines(content)
    if not conversations:
        raise DataError(_nothing_in(path, content, malformed))
    return conversations, malformed


def _read_array(path: Path, content: bytes) -> tuple[list[Conversation], list[Malformed]] | None:
    """Return the conversations of a file that is one JSON value; None if it is not one.

    Two lines of JSON are not one value, so that no file of JSON Lines is taken for it. Raises
    DataError if the first line is only "[", but the array that begins there is damaged: read as
    lines, the file could lose most of its conversations.
    """
    try:
        items = _parsed(content)
    except DataError as error:
        if re.match(rb"\s*\[[ \t\r]*\n", content):
            raise DataError(f"{path} is a damaged JSON array: {error}") from None
        return None
    if not isinstance(items, list) or not items or _is_message(items[0]):
        items = [items]
    elif not isinstance(items[0], dict | list):
        return None
    conversations, malformed = [], []
    for number, item in enumerate(items, 1):
        try:
            conversations.append(conversation(item))
        except DataError as error:
            only = len(items) == 1
            malformed.append(Malformed(number, str(error), "line" if only else "conversation"))
    return conversations, malformed


def _read_lines(content: bytes) -> tuple[list[Conversation], list[Malformed]]:
    conversations, malformed = [], []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            conversations.append(conversation(_parsed(line.rstrip().removesuffix(b","))))
        except DataError as error:
            malformed.append(Malformed(number, str(error)))
    return conversations, malformed


def _parsed(text: bytes) -> object:
    """Return the JSON value that a text is; raise DataError with the reason if it is none."""
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise DataError(f"not JSON: {error.msg} at {line}column {error.colno}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
        raise DataError("not JSON that can be read") from None


def _nothing_in(path: Path, content: bytes, malformed: list[Malformed]) -> str:
    """Return what is wrong with a file that has no conversation."""
    first = next((line for line in content.split(b"\n") if line.strip()), b"").strip()
    text = first.decode("utf-8", "replace")
    cells = {cell.strip().strip('"').lower() for cell in re.split("[,;\t]", text)}
    if (
        path.suffix.lower() in (".csv", ".tsv")
        or len(cells & CSV_NAMES) > 1
        and text[0] not in "[{"
    ):
        return f"{path} is CSV: write each row as a line of JSON, {LINE}"
    if malformed and text[0] not in '[{"':
        return (
            f"{path} is plain text: without --chat its lines are learned; a conversation is {LINE}"
        )
    if text == "{":  # JSON over many lines, which is damaged
        try:
            _parsed(content)
        except DataError as error:
            return f"{path} holds no conversations: {error}"
    return f"{path} holds no conversations" + (f": {malformed[0]}" if malformed else "")


def conversation(item: object) -> Conversation:
    """Return the conversation that a JSON value is; raise DataError with the reason if it is none.

    A system turn can be the first message, or the field "system" of an object.
    """
    items, system = item, ""
    if isinstance(item, dict):
        items = _held(item)
        if items is None and not _is_message(item) and not any(name in item for name in HOLDING):
            raise DataError(_other_form(item))
        system = _text(item.get("system"), "the field system")
    if not isinstance(items, list):
        raise DataError("not an array of messages")
    messages = [_message(item, number) for number, item in enumerate(items, 1)]
    first = 1 if messages and messages[0].role == "system" else 0
    for number, message in enumerate(messages[first:], first + 1):
        expected = ("user", "assistant")[(number - first - 1) % 2]
        if message.role == "system":
            raise DataError(f"message {number} is the system's: only the first one can be")
        if message.role != expected:
            raise DataError(f"message {number} is the {message.role}'s, not the {expected}'s")
        if not message.content:
            raise DataError(f"message {number} has no text as its content")
    if len(messages) - first < 2:
        raise DataError("no message of the assistant")
    if first and not messages[0].content:
        del messages[0]
    if system and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    return messages


def _held(item: Mapping[object, object]) -> object:
    """Return the array of messages that an object holds; None if it holds none."""
    return next((item[name] for name in HOLDING if isinstance(item.get(name), list)), None)


def _is_message(item: object) -> bool:
    """Whether it has a message's field; a conversation can have "from" or "role" as well."""
    if not isinstance(item, dict) or _held(item) is not None:
        return False
    return any(name in item for name, _ in NAMING)


def _other_form(item: Mapping[object, object]) -> str:
    """Return the name of the form of an object that is no conversation, and what to do."""
    for fields, what in OTHER_FORMS.items():
        if all(field in item for field in fields):
            return f"{what}: {LINE}"
    question = next((name for name in QUESTIONS if name in item), None)
    answer = next((name for name in ANSWERS if name in item), None)
    if question and answer:
        return f"pairs of {question} and {answer}: write them as two messages: {LINE}"
    if "text" in item:
        return f"a text, not messages: train without --chat, on its texts, or write {LINE}"
    names = ", ".join(map(reprlib.repr, list(item)[:4]))
    return f"not a conversation: an object of {names or 'nothing'}, not {LINE}"


def _message(item: object, number: int) -> Message:
    """Return message `number` of a conversation; its text can be empty."""
    naming = [pair for pair in NAMING if isinstance(item, dict) and pair[0] in item]
    if not isinstance(item, dict) or not naming:
        raise DataError(f"message {number} is not an object of role and content")
    of_role, of_text = naming[0]
    name = item[of_role]
    role = ROLE_OF.get(name) if isinstance(name, str) else None
    calls = any(item.get(field) for field in OF_CALLS)
    if calls or role is None and isinstance(name, str) and name in OF_TOOLS:
        raise DataError(f"message {number} is of a tool call, which is not learned here")
    if role is None:
        shown = reprlib.repr(name)
        raise DataError(f"message {number} has the role {shown}, not user, assistant or system")
    if of_text not in item:
        raise DataError(f"message {number} is not an object of {of_role} and {of_text}")
    if item.get("weight") == 0 and role == "assistant":
        raise DataError(f"message {number} has weight 0, which is not supported")
    return Message(role, _text(item[of_text], f"message {number}"))


def _text(content: object, where: str) -> str:
    """Return the text of a message: a string, or the texts of an array of parts; "" for null."""
    if content is None:
        return ""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = []
    for part in parts:
        if isinstance(part, dict) and part.get("type") not in TEXT_PARTS:
            shown = reprlib.repr(part.get("type"))
            raise DataError(f"{where} has a part of type {shown}, not text")
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise DataError(f"{where} has no text as its content")
        texts.append(text)
    return _whole("".join(texts), where)


def _whole(text: str, where: str) -> str:
    """Return `text`; raise DataError if it holds half a character."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{where} holds half a character") from None
    return text
