"""Link 7: 50 steps on the board, held against the host's tensor engine."""

import microgpt
import numpy as np
import pytest
from microgpt.data import NAMES
from microgpt_board.device import log
from microgpt_board.device.remote import Remote
from microgpt_board.image import names_bin
from ugpt.dataset import Dataset
from ugpt.model import Model
from ugpt.rng import Rng

SEED, STEPS, LR = 42, 50, 0.01
TOLERANCE = 0.005
CODE = f"""
from ugpt.dataset import open_dataset
from ugpt.report import Report
from ugpt.training import Training
training = Training(open_dataset(), {SEED}, {STEPS}, {LR})
training.run(Report(1))
"""


def board_losses(port: str) -> list[float]:
    """Train on the board and return the loss of each step."""
    text = Remote(port).run(CODE)  # asks again if the board is just restarting
    events = (log.parse(line) for line in text.splitlines())
    steps = [event for event in events if isinstance(event, log.Step)]
    assert [step.step for step in steps] == list(range(STEPS))
    return [step.loss for step in steps]


def host_losses() -> list[float]:
    """Train the tensor engine from the same weights, on the same draws."""
    data = names_bin.read(names_bin.Source(NAMES)).data
    dataset = Dataset(names_bin.InMemory("names.bin", data))
    tokens = bytearray(17)
    rng = Rng(SEED)
    board = Model()
    board.initialise(rng)
    model = microgpt.create(microgpt.ModelConfig(), engine="tensor")
    for name, (rows, columns), offset in model.table:
        values = board.params[offset : offset + rows * columns]
        model.weights[name][...] = np.array(values).reshape(rows, columns)
    losses = []
    for step in range(STEPS):
        count = dataset.read_into(rng.below(dataset.count), tokens)
        losses.append(model.train_step(list(tokens[:count]), step, LR * (1 - step / STEPS)))
    return losses


def test_50_steps_are_the_hosts(port: str):
    assert board_losses(port) == pytest.approx(host_losses(), abs=TOLERANCE)
