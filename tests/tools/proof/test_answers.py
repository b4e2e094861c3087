"""The stored answers of the self-test are those of the scalar engine as it is now."""

import pytest
from microgpt_board.proof import answers as tool
from ugpt import answers, checks


def test_the_stored_answers_are_up_to_date() -> None:
    integers, floats = tool.compute()
    assert integers == answers.RNG
    assert set(floats) == set(answers.ANSWERS)
    for name, values in floats.items():
        assert list(checks.stored(name)) == pytest.approx(values, rel=1e-6, abs=1e-9), name
