"""The reader of log.jsonl: every record, and anything that is not one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.runs import log
from microgpt.runs.log import Name, Remark, Step

RECORDS = [
    Remark("microgpt-esp32 0.1.0"),
    Step(0, 3.3660, 0.01),
    Step(1, None, 0.009, validation=2.5),
    Step(10, 2.4193, 0.009, mean=2.512, ms=3.1, free=81234),
    Name("arona é \t"),
    Name(""),
]


def line(record: log.Line) -> bytes:
    """Return a record as RunFolder writes it."""
    content = record.as_json() if isinstance(record, Step) else None
    if isinstance(record, Name):
        content = {"name": record.text}
    if isinstance(record, Remark):
        content = {"remark": record.text}
    return json.dumps(content).encode() + b"\n"


WHOLE = b"".join(map(line, RECORDS))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / log.FILE).write_bytes(WHOLE)
    assert log.read(tmp_path) == RECORDS
    assert log.read_steps(tmp_path) == [RECORDS[1], RECORDS[3]]  # those with a loss


def test_a_log_cut_at_any_byte_has_the_whole_lines_before(tmp_path: Path) -> None:
    path = tmp_path / log.FILE
    for end in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:end])
        whole = WHOLE[:end].count(b"\n")
        # A line without its end may be whole by chance of the cut, never anything else.
        assert log.read(tmp_path) in (RECORDS[:whole], RECORDS[: whole + 1])
        with path.open("rb") as file:
            records, read = log.read_part(file, 0, len(WHOLE))
        assert records == RECORDS[:whole]
        assert read == WHOLE[:end].rfind(b"\n") + 1


@pytest.mark.parametrize("size", [1, 7, 60, 1000])
def test_reading_in_parts_gives_every_record_once(tmp_path: Path, size: int) -> None:
    path = tmp_path / log.FILE
    path.write_bytes(WHOLE)
    found: list[log.Line] = []
    start = 0
    with path.open("rb") as file:
        while start < len(WHOLE):
            # A part without the end of a line is asked for again, larger.
            step = size
            while (part := log.read_part(file, start, step))[1] == start:
                step += size
            found += part[0]
            start = part[1]
    assert found == RECORDS


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"step"',
        b"noise",
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 5000,
        b'{"step": 1}',
        b'{"loss": 1.0}',
        b'{"step": -1, "loss": 1.0}',
        b'{"step": 1.0, "loss": 1.0}',
        b'{"step": "1", "loss": 1.0}',
        b'{"step": true, "loss": 1.0}',
        b'{"step": null, "loss": 1.0}',
        b'{"name": 7}',
        b'{"remark": null}',
    ],
)
def test_lines_that_are_no_record(text: bytes) -> None:
    assert log.parse(text) is None


@pytest.mark.parametrize(
    "number",
    ["null", "NaN", "Infinity", "-Infinity", "1e999", "9" * 400, '"3.5"', "true", "[]", "{}"],
)
def test_a_value_that_is_not_a_number_is_none(number: str) -> None:
    names = ("loss", "lr", "mean", "validation", "ms", "free")
    fields = ", ".join(f'"{name}": {number}' for name in names)
    expected = int(number) if number.isdecimal() else None
    assert log.parse(f'{{"step": 3, {fields}}}') == Step(3, None, free=expected)


def test_a_step_or_a_loss_that_no_run_has_is_damage() -> None:
    assert log.parse('{"step": 0, "loss": 1e100, "lr": 1e308}') == Step(0, 1e100, 1e308)
    assert log.parse('{"step": 0, "loss": 1e101, "mean": -1e101}') == Step(0, None)
    assert log.parse(f'{{"step": {2**53}, "loss": 1}}') == Step(2**53, 1)
    for step in (2**53 + 1, 10**30, "9" * 400):
        assert log.parse(f'{{"step": {step}, "loss": 1}}') is None


def test_the_old_name_of_the_validation_loss() -> None:
    assert log.parse('{"step": 0, "loss": 3, "holdout": 2.5}') == Step(0, 3, validation=2.5)
    both = '{"step": 0, "loss": 3, "holdout": 2.5, "validation": 2.4}'
    assert log.parse(both) == Step(0, 3, validation=2.4)


@given(
    st.builds(
        Step,
        st.integers(0, 10**9),
        st.none() | st.floats(-1e100, 1e100),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        validation=st.none() | st.floats(-1e100, 1e100),
    )
    | st.builds(Name, st.text())
    | st.builds(Remark, st.text())
)
def test_any_record_comes_back_to_the_last_bit(record: log.Line) -> None:
    assert log.parse(line(record)) == record


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_none(noise: bytes) -> None:
    log.parse(noise)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(log.RunError, match=r"cannot read .*log\.jsonl: No such file"):
        log.read(tmp_path)
