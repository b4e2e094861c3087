"""The board's program in pieces, as a browser's tab runs it: the same run as in one."""

import json
import os
import struct
from binascii import crc32

from ugpt import app, board, checkpoint
from ugpt.dataset import ALIGNMENT, HEADER, MAGIC, VERSION

from tests.support.micropython.arrays import raises
from tests.support.micropython.checkpoints import state

IMPLEMENTATIONS = ("micropython", "micropython-native")  # the program leaves names.bin open
HEAP = "1m"  # two runs; and a board has a names.bin of its own
STEPS = 4


def prepared():
    """Write names.bin and ugpt.json for a short run, and remove the checkpoints."""
    body = b"ab" + bytes(ALIGNMENT - 2)
    for record in (b"\2\1\2", b"\3\2\2\1", b"\1\1"):
        body += record + bytes(ALIGNMENT - len(record))
    with open("names.bin", "wb") as file:
        file.write(struct.pack(HEADER, MAGIC, VERSION, 3, ALIGNMENT, crc32(body), 2, 3) + body)
    with open(app.SETTINGS_FILE, "w") as file:
        file.write(json.dumps({"steps": STEPS, "log_every": 1}))
    checkpoint.remove()
    app.give_up()


def removed():
    for name in ("names.bin", app.SETTINGS_FILE):
        os.remove(name)
    checkpoint.remove()
    app.give_up()


def test_the_program_pauses_before_training_then_after_each_step_and_name():
    prepared()
    steps = []
    for _ in app.program():
        steps.append(app.current[0].step)
    assert steps == list(range(STEPS + 1)) + [STEPS] * board.NAMES_TO_MAKE, steps
    removed()


def test_in_pieces_it_is_the_same_run():
    prepared()
    for _ in app.program():
        pass
    pieces = state(app.current[0])
    prepared()
    app.run()
    assert state(app.current[0]) == pieces
    removed()


def test_a_program_that_cannot_start_raises_before_the_first_pause():
    prepared()
    with open(app.SETTINGS_FILE, "w") as file:
        file.write('{"n_embd": 5}')
    assert raises(app.SettingsError, next, app.program())
    assert app.current is None
    removed()
