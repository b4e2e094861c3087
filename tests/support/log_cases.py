"""Bytes as they come from a board, and the lines and events that both readers make of them.

log_cases.json: a list of cases; `chunks` are the bytes as they arrive, a character a byte; in
`lines` a byte that is not UTF-8 is a lone surrogate; where an event is null, the line says nothing.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from microgpt_board.device import log
from microgpt_board.device.serial_lines import LineSplitter

FILE = Path(__file__).with_suffix(".json")
CAPTURE = Path(__file__).parent / "captures" / "esp32.bin"  # of an emulated ESP32, a reset in it


def cases() -> list[dict[str, Any]]:
    """Return the recorded cases."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text())
    return found


def read(chunks: Iterable[bytes]) -> dict[str, Any]:
    """Return the lines and events that the tools make of these bytes, as a case has them."""
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return {"lines": lines, "events": [as_json(log.parse(line)) for line in lines]}


def as_json(event: log.Event | None) -> dict[str, Any] | None:
    """Return an event as host/web/common/log.js has it; a loss that is no number as its name."""
    if event is None:
        return None
    found = dataclasses.asdict(event)
    if isinstance(event, log.Step):
        for name in ("loss", "mean"):
            value = found[name]
            found[name] = value if math.isfinite(value) else str(value)
    return {"kind": type(event).__name__.lower(), **found}
