"""Lines of the board's log, whole or ignored."""

import io
import math
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.config import ModelConfig
from microgpt_board.device import log
from ugpt import ops
from ugpt.layout import parameter_count
from ugpt.report import Report, escaped

START = (
    "# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:portable reason:no-kernels_xtensawin.mpy "
    "seed:42 parameters:4192 steps:1000 data:32469"
)
STEP = "step:100 loss:2.4193 mean:2.5120 lr:0.00900 ms:3.1 free:81234"


def test_each_kind():
    assert log.parse(START) == log.Start(
        "0.1.0", "esp32-1.24.0", "portable", "no-kernels_xtensawin.mpy", 42, 4192, 1000, 32469
    )
    assert log.parse(STEP) == log.Step(100, 2.4193, 2.512, 0.009, 3.1, 81234)
    assert log.parse("name:arona") == log.Name("arona")
    assert log.parse("name:") == log.Name("")
    assert log.parse("name:Zürich, a  b ") == log.Name("Zürich, a  b ")
    assert log.parse("# error: no names") == log.Remark("error: no names")


def test_a_loss_that_is_not_a_number_is_reported():
    assert math.isnan(log.parse(STEP.replace("2.4193", "nan")).loss)


def test_a_line_that_lost_a_character_is_no_step():
    for i in range(len(STEP)):
        # A digit lost from a whole number cannot be seen; everything else can.
        found = log.parse(STEP[:i] + STEP[i + 1 :])
        assert found is None or STEP[i].isdigit(), i
    for lost in ("loss:2.413", "mean:2.510", "lr:0.0900", "lr:0.0090"):
        key = lost.partition(":")[0]
        line = " ".join(lost if pair.startswith(key) else pair for pair in STEP.split())
        assert log.parse(line) is None


def printed(call: str, *words: object) -> list[str]:
    """Return the lines that the board's program prints for an event."""
    out = io.StringIO()
    with redirect_stdout(out):
        getattr(Report(1), call)(*words)
    return out.getvalue().split("\n")[:-1]


def start_line(model: ModelConfig, vocab_size: int) -> str:
    """Return the first remark of a run whose model may be too large to make."""
    sizes = model.sizes(vocab_size)
    run = SimpleNamespace(
        model=SimpleNamespace(sizes=sizes, kernels=ops, params=range(parameter_count(sizes))),
        dataset=SimpleNamespace(count=32469),
        seed=42,
        steps=1000,
    )
    (line,) = printed("start", run, "self-check-passed")
    return line


@given(
    st.builds(
        lambda head, n_head, *rest: ModelConfig(head * n_head, n_head, *rest),
        st.integers(1, 16),
        st.integers(1, 64),
        st.integers(1, 64),
        st.integers(1, 256),
        st.booleans(),
        st.booleans(),
    ),
    st.integers(2, 255),
)
def test_every_size_is_read_back(model: ModelConfig, vocab_size: int):
    start = log.parse(start_line(model, vocab_size))
    assert isinstance(start, log.Start)
    assert (start.model, start.vocab_size) == (model, vocab_size)
    assert start.parameters == parameter_count(model.sizes(vocab_size))
    assert " ".join(f"{name}:{n}" for name, n in start.sizes().items()) == " ".join(
        start_line(model, vocab_size).split()[10:]
    )


LARGE = start_line(ModelConfig(24, 3, 2, 64, True, False), 60)


@pytest.mark.parametrize("cut", range(LARGE.index(" vocab_size"), len(LARGE)))
def test_a_first_remark_that_lost_its_end_is_another_remark(cut: int):
    found = log.parse(LARGE[:cut])
    # A switch that is no size cannot be missed; the parameters tell all others.
    whole = LARGE[:cut].endswith("tie_lm_head:1")
    assert isinstance(found, log.Start) == whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n_head:3", "n_head:5"),
        ("n_head:3", "n_head:0"),
        ("n_layer:2", "n_layer:0"),
        ("vocab_size:60", "vocab_size:61"),
        ("vocab_size:60", "vocab_size:0"),
        ("tie_lm_head:1", "tie_lm_head:2"),
        ("n_embd:24 n_head:3", "n_head:3 n_embd:24"),
        ("block_size:64", "block_size:64 seed:1"),
    ],
)
def test_a_first_remark_with_impossible_sizes_is_a_remark(old: str, new: str):
    assert old in LARGE
    assert isinstance(log.parse(LARGE.replace(old, new)), log.Remark)


@given(st.text(max_size=256))
def test_every_name_is_one_line_that_is_read_back(text: str):
    lines = printed("name", text)
    assert len(lines) == 1
    (line,) = lines[0].splitlines()
    assert log.parse(line) == log.Name(escaped(text))


@pytest.mark.parametrize(
    "character", "\x00\t\x1b\r\x7f\x85\x9b\u200f\u2028\u202e\u2066\udcc3\udfff"
)
def test_a_name_with_what_a_board_does_not_send_is_none(character: str):
    assert log.parse(f"name:emma{character}emma") is None


def test_a_name_without_end_is_none():
    assert log.parse("name:" + "a" * log.LONGEST_NAME)
    assert log.parse("name:a" + "a" * log.LONGEST_NAME) is None


def test_a_name_that_a_model_cannot_generate():
    start = log.parse(START)
    assert isinstance(start, log.Start)
    for text in ("a" * 16, "\U0001f43f" * 16, r"\x1b\u2028" * 8):
        assert start.can_generate(log.Name(text))
        assert not start.can_generate(log.Name(text + "a"))


def test_bytes_that_are_not_utf_8_are_shown():
    assert log.parse("# no \udcffsuch ü") == log.Remark("no \\xffsuch ü")


@pytest.mark.parametrize("cut", range(1, len(STEP)))
def test_half_a_line_before_another(cut: int):
    assert log.parse(STEP[:cut] + STEP) is None


@given(st.text())
def test_any_text_is_an_event_or_none(text: str):
    event = log.parse(text)
    assert event is None or isinstance(event, log.Event)
