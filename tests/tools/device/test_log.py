"""Lines of the board's log, whole or ignored."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt_board.device import log

START = (
    "# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:portable reason:no-kernels.mpy "
    "seed:42 parameters:4192 steps:1000 data:32469"
)
STEP = "step:100 loss:2.4193 mean:2.5120 lr:0.00900 ms:3.1 free:81234"


def test_each_kind():
    assert log.parse(START) == log.Start(
        "0.1.0", "esp32-1.24.0", "portable", "no-kernels.mpy", 42, 4192, 1000, 32469
    )
    assert log.parse(STEP) == log.Step(100, 2.4193, 2.512, 0.009, 3.1, 81234)
    assert log.parse("name:arona") == log.Name("arona")
    assert log.parse("name:") == log.Name("")
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


@pytest.mark.parametrize("cut", range(1, len(STEP)))
def test_half_a_line_before_another(cut: int):
    assert log.parse(STEP[:cut] + STEP) is None


@given(st.text())
def test_any_text_is_an_event_or_none(text: str):
    event = log.parse(text)
    assert event is None or isinstance(event, log.Event)
