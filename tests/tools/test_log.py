"""The log: what the board writes is read back; anything else is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import log

STEP = "step:100 loss:2.4193 mean:2.5120 lr:0.00900 ms:3.1 free:81234"
START = (
    "# microgpt-esp32 0.1.0 board:virtual-1.29.0 kernels:portable seed:42 parameters:4192 "
    "steps:1000 data:32469"
)


def test_the_designs_lines() -> None:
    assert log.parse(STEP) == log.Step(100, 2.4193, 2.5120, 0.009, 3.1, 81234)
    assert log.parse("name:arona") == log.Name("arona")
    assert log.parse("name:") == log.Name("")
    assert log.parse("# a remark") == log.Remark("a remark")
    assert log.parse(START) == log.Start(
        "0.1.0", "virtual-1.29.0", "portable", 42, 4192, 1000, 32469
    )


@given(st.integers(0, len(STEP) - 2))
def test_a_step_cut_short_before_its_last_pair_is_nothing(end: int) -> None:
    if end < STEP.index("free:") + len("free:8"):
        assert log.parse(STEP[:end]) is None
    assert log.parse(STEP[end + 1 :]) is None


@given(st.text())
def test_noise_never_raises(line: str) -> None:
    log.parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "step:",
        STEP.replace("loss", "lose"),
        STEP.replace("2.4193", "2.4.193"),
        STEP + " more:1",
        STEP.replace("step:100", "step:1e2"),
        "name:Emma",
        "name:em ma",
        "ets Jul 29 2019 12:21:46",
        "#remark",
    ],
)
def test_other_lines_are_nothing(line: str) -> None:
    assert log.parse(line) is None
