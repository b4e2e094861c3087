"""The recorded cases that the readers of the log share: what the tools make of them."""

from typing import Any

import pytest

from tests.support.log_cases import CAPTURE, cases, read


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["case"])
def test_a_recorded_case(case: dict[str, Any]) -> None:
    found = read(chunk.encode("latin-1") for chunk in case["chunks"])
    assert found == {"lines": case["lines"], "events": case["events"]}


def test_the_capture_has_two_starts_and_a_whole_run() -> None:
    events = [event for event in read([CAPTURE.read_bytes()])["events"] if event]
    kinds = [event["kind"] for event in events]
    assert kinds.count("start") == 2
    assert [event["step"] for event in events if event["kind"] == "step"][-1] == 999
    assert [event["text"] for event in events if event["kind"] == "name"][:2] == ["araran", "alian"]
