"""Conversations from files: the forms that are read, and the others, which are named."""

import gzip
import json
from pathlib import Path

import pytest
from microgpt.chat.conversations import Message
from microgpt.chat.forms import read_conversations
from microgpt.data import DataError
from microgpt.errors import UserError

ROLES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
FROM = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
READ = [Message("user", "hi"), Message("assistant", "hello")]
GOOD = json.dumps(ROLES)
LONG = "x" * 10_000


def told(role: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "Be kind."}, *ROLES]


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talks.jsonl"


@pytest.mark.parametrize(
    "item",
    [
        ROLES,
        {"messages": ROLES},
        {"id": 7, "messages": ROLES, "tools": [], "source": None},
        {"conversations": FROM},
        {"conversations": [{**FROM[0], "from": "user"}, {**FROM[1], "from": "assistant"}]},
        {"conversations": ROLES},
        {"system": "", "conversations": FROM},
        {"system": None, "conversations": FROM},
        {"from": "web", "conversations": FROM},
        {"role": "tutor", "messages": ROLES},
        {"messages": None, "conversations": FROM},
        [{**message, "name": "ada", "tool_calls": None} for message in ROLES],
        [{**ROLES[0], "content": [text_part("h"), text_part("i")]}, ROLES[1]],
        [{"role": "system", "content": ""}, *ROLES],
        [{"role": "system", "content": None}, *ROLES],
    ],
    ids=str,
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_forms_in_use(path: Path, item: object, indent: int | None) -> None:
    path.write_text(json.dumps(item, indent=indent) + "\n")
    assert read_conversations(path) == ([READ], [])
    path.write_text(json.dumps([item, ROLES, item], indent=indent))  # one array
    assert read_conversations(path) == ([READ] * 3, [])
    if not indent:
        path.write_text(f"\ufeff{json.dumps(item)}\r\n\r\n{GOOD}\n", encoding="utf-8")
        assert read_conversations(path) == ([READ] * 2, [])


@pytest.mark.parametrize(
    "item",
    [
        told("system"),
        told("developer"),
        {"messages": told("system")},
        {"conversations": [{"from": "system", "value": "Be kind."}, *FROM]},
        {"conversations": FROM, "system": "Be kind."},
        {"messages": ROLES, "system": [text_part("Be "), text_part("kind.")]},
        {"messages": [{"role": "system", "content": None}, *ROLES], "system": "Be kind."},
    ],
    ids=str,
)
def test_a_system_turn(path: Path, item: object) -> None:
    path.write_text(json.dumps(item))
    assert read_conversations(path) == ([[Message("system", "Be kind."), *READ]], [])


def with_content(content: object) -> str:
    return json.dumps([{"role": "user", "content": content}, ROLES[1]])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("[", "not JSON: Expecting value at column 2"),
        ('{"role": "user", "content": "hi"}', "not an array of messages"),
        ("[]", "no message of the assistant"),
        ("[1]", "message 1 is not an object of role and content"),
        ('[{"role": "user"}]', "message 1 is not an object of role and content"),
        ('[{"from": "human"}]', "message 1 is not an object of from and value"),
        ('[{"role": "system", "content": "hi"}]', "no message of the assistant"),
        ('[{"role": "critic", "content": "hi"}]', "message 1 has the role 'critic', not user, as"),
        ('[{"role": ["user"], "content": "hi"}]', "message 1 has the role ['user']"),
        ('[{"role": "user", "content": 7}]', "message 1 has no text as its content"),
        (with_content(""), "message 1 has no text as its content"),
        (with_content(None), "message 1 has no text as its content"),
        (with_content([]), "message 1 has no text as its content"),
        (with_content([7]), "message 1 has no text as its content"),
        (with_content([{"type": "image_url"}]), "message 1 has a part of type 'image_url', not te"),
        ('[{"role": "user", "content": "\\ud800"}]', "message 1 holds half a character"),
        ('[{"role": "user", "content": "hi"}]', "no message of the assistant"),
        ('[{"role": "assistant", "content": "hi"}]', "message 1 is the assistant's, not the user"),
        (json.dumps([*ROLES, ROLES[1]]), "message 3 is the assistant's, not the user's"),
        (json.dumps([*told("system"), told("system")[0]]), "message 4 is the system's: only the"),
        (json.dumps([*ROLES, {"role": "tool", "content": "3"}]), "message 3 is of a tool call"),
        (json.dumps([ROLES[0], {**ROLES[1], "tool_calls": [1]}]), "message 2 is of a tool call"),
        (json.dumps([FROM[0], {"from": "function_call", "value": "f"}]), "message 2 is of a tool"),
        (json.dumps([ROLES[0], {**ROLES[1], "weight": 0}]), "message 2 has weight 0, which is not"),
        ('{"instruction": "a", "input": "", "output": "b"}', 'the form of Alpaca: write "instr'),
        ('{"prompt": "a", "completion": "b"}', "pairs of prompt and completion: write them as two"),
        ('{"question": "a", "answer": "b"}', "pairs of question and answer: write them as two"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}', "pairs of a chosen and a rejected re"),
        ('{"text": "a"}', "a text, not messages: train without --chat"),
        ('{"a": 1, "b": 2}', "not a conversation: an object of 'a', 'b', not {\"messages\": "),
        ("{}", "not a conversation: an object of nothing"),
        ('{"messages": null}', "not an array of messages"),
        (json.dumps({"messages": ROLES, "system": 7}), "the field system has no text as its cont"),
        (json.dumps({"messages": ROLES, "system": {}}), "the field system has no text as its cont"),
        ('"hi"', "not an array of messages"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_malformed_lines_are_reported_by_number(path: Path, broken: str, reason: str) -> None:
    path.write_text(f"{GOOD}\n\n{broken}\n{GOOD}\n")
    conversations, malformed = read_conversations(path)
    assert conversations == [READ, READ]
    (problem,) = map(str, malformed)
    assert problem.startswith(f"line 3: {reason}")
    assert "\n" not in problem
    path.write_text(broken)
    with pytest.raises(DataError, match="talks.jsonl"):
        read_conversations(path)


@pytest.mark.parametrize(
    "item",
    [
        [{"role": LONG, "content": "hi"}],
        [{"role": [LONG], "content": "hi"}],
        [{"role": "user", "content": [{"type": LONG}]}],
        {LONG: 1},
    ],
    ids=["role", "array", "part", "key"],
)
def test_long_names_are_shortened(path: Path, item: object) -> None:
    path.write_text(f"{GOOD}\n{json.dumps(item)}\n")
    _, (problem,) = read_conversations(path)
    assert "xxx...xxx" in str(problem)
    assert len(str(problem)) < 250


def test_lines_with_commas_between_them(path: Path) -> None:
    path.write_text(f"{GOOD},\r\n{GOOD}, \n[,\n{GOOD}\n")
    conversations, malformed = read_conversations(path)
    assert conversations == [READ] * 3
    assert [problem.number for problem in malformed] == [3]


def test_items_of_an_array_are_reported_by_number(path: Path) -> None:
    path.write_text(json.dumps([ROLES, {"text": "a"}, {"messages": ROLES}], indent=1))
    conversations, malformed = read_conversations(path)
    assert conversations == [READ, READ]
    assert str(malformed[0]).startswith("conversation 2: a text, not messages")


def test_a_line_that_is_not_utf_8(path: Path) -> None:
    path.write_bytes(GOOD.encode() + b'\n[{"role": "user", "content": "\xff"}]\n')
    _, malformed = read_conversations(path)
    assert str(malformed[0]) == "line 2: not UTF-8 text"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no conversations$"),
        (b"\n \n", "holds no conversations$"),
        (b"hello\nhow are you?\n", "is plain text: without --chat its lines are learned"),
        (b"Hello, answer me\n", "is plain text"),
        (b"\xff\xff\n", "is plain text"),
        (b"question,answer\nhi,hello\n", 'is CSV: write each row as a line of JSON, {"messages"'),
        (b'"role";"content"\n', "is CSV"),
        (
            b"[\n" + 2 * (GOOD.encode() + b",\n"),
            "is a damaged JSON array: not JSON: .* at line 4, column 1",
        ),
        (
            f"\n[ \r\n{GOOD},\n[,\n{GOOD}\n]\n".encode(),
            "is a damaged JSON array: not JSON: .* at line 4, column 2",
        ),
        (b'{\n"messages": [\n', "no conversations: not JSON: .* at line 3, column 1"),
        (b"PAR1\x15\x04", "is Parquet: convert it"),
        (b"ARROW1\0\0", "is Arrow"),
        (gzip.compress(GOOD.encode(), mtime=0), "is compressed with gzip: unpack it with gunzip"),
        (b"PK\x03\x04\x14", "is a zip archive: unpack it"),
        (GOOD.encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b'{"text": "a"}\n' * 2, "holds no conversations: line 1: a text, not messages"),
        (b'[{"text": "a"}]', "holds no conversations: .* 1: a text, not messages"),
    ],
)
def test_a_file_without_any_says_what_it_is(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as raised:
        read_conversations(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_by_its_name_a_file_is_csv(tmp_path: Path) -> None:
    path = tmp_path / "talks.csv"
    path.write_text("hi,hello\n")
    with pytest.raises(DataError, match="is CSV"):
        read_conversations(path)


def test_a_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_conversations(path)
